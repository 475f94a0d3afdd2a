//! Listeners: a connection is asked about at once, before any of its bytes is read, and then goes to its worker.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use ensage_audit::{Ancestor, Fragment, ProcessFacts};
use ensage_endpoint::identify::{Agent, Identity, RootBy, Rules, owner_of};
use ensage_endpoint::peers::{Socket, Unknown};
use ensage_endpoint::proc::{Chain, Process};
use ensage_policy::judge::{Hint, enclave_of};
use ensage_policy::model::{Enclave, Unattributed};
use ensage_policy::{Policy, Reason, Tier};
use tokio::net::TcpListener;
use tokio::sync::{OwnedSemaphorePermit, mpsc};

use super::Shared;
use super::owners::Owner;
use crate::flow::{Arrival, Facts, Seed};
use crate::refusals::Program;
use crate::session::{Attribution, Fresh, Opening, Origin, Session};

/// One of `limits.connections`; given back when dropped.
pub(crate) struct ConnectionSlot {
    shared: Arc<Shared>,
    _permit: OwnedSemaphorePermit,
}

impl ConnectionSlot {
    fn new(shared: &Arc<Shared>, permit: OwnedSemaphorePermit) -> Self {
        shared.open_connections.fetch_add(1, Ordering::Relaxed);
        Self { shared: shared.clone(), _permit: permit }
    }
}

impl Drop for ConnectionSlot {
    fn drop(&mut self) {
        self.shared.open_connections.fetch_sub(1, Ordering::Relaxed);
    }
}

/// What connecting to a listener means.
#[derive(Clone)]
pub(super) enum Scope {
    /// The gateway's own: the process says who it is.
    Gateway,
    /// An enclave's: its clients must still be its agents.
    Enclave(Arc<str>),
    /// A session's: the listener is the identity.
    Session(Arc<Session>),
}

/// Where accepted connections go.
pub(super) type Workers = Arc<Vec<mpsc::UnboundedSender<Arrival>>>;

/// Accepts until the gateway drains. Errors (no descriptors left) are waited out: the rest lives.
pub(super) async fn listen(shared: Arc<Shared>, workers: Workers, listener: TcpListener, scope: Scope) {
    let ended = async {
        match &scope {
            Scope::Session(session) => {
                let mut changes = session.changes();
                while session.life() != crate::session::Life::Ended && changes.changed().await.is_ok() {}
            }
            Scope::Gateway | Scope::Enclave(_) => std::future::pending().await,
        }
    };
    let accepting = async {
        while !shared.is_draining() {
            let permit = match shared.connections.clone().try_acquire_owned() {
                Ok(permit) => permit,
                Err(_) => {
                    shared.metrics.accept_paused();
                    let Ok(permit) = shared.connections.clone().acquire_owned().await else { return };
                    permit
                }
            };
            match listener.accept().await {
                Ok((stream, client)) => {
                    let slot = ConnectionSlot::new(&shared, permit);
                    arrived(&shared, &workers, &scope, stream, client, slot);
                }
                Err(error) => {
                    tracing::warn!(%error, "a connection cannot be accepted; waiting");
                    shared.metrics.accept_paused();
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
            }
        }
    };
    tokio::select! {
        () = ended => {}
        () = accepting => {}
    }
}

fn arrived(
    shared: &Arc<Shared>,
    workers: &Workers,
    scope: &Scope,
    stream: tokio::net::TcpStream,
    client: SocketAddr,
    slot: ConnectionSlot,
) {
    let Ok(local) = stream.local_addr() else { return };
    let Ok(stream) = stream.into_std() else { return };
    let ends = (client, local);
    if let Scope::Session(session) = scope {
        let seed = Seed::Member { session: session.clone(), facts: Facts::default(), would: None };
        shared.metrics.attributed(session.opening.attribution);
        send(workers, Arrival { stream, ends, seed, owner: None, slot });
        return;
    }
    // At once: what the kernel knows of a socket whose owner exits is gone within milliseconds.
    let socket = shared.peers.socket(client, local);
    let (shared, workers, scope) = (shared.clone(), workers.clone(), scope.clone());
    tokio::task::spawn_blocking(move || {
        let (seed, owner) = seed(&shared, socket, &scope);
        shared.metrics.attributed(if seed.process().is_some() { Attribution::Procfs } else { Attribution::None });
        send(&workers, Arrival { stream, ends, seed, owner, slot });
    });
}

/// Connections of one session go to one worker; those of strangers go to the first.
fn send(workers: &Workers, arrival: Arrival) {
    let worker = match &arrival.seed {
        Seed::Member { session, .. } => session.worker,
        Seed::Stranger { .. } => 0,
    };
    // A worker whose channel is closed is gone with the gateway, and the connection with it.
    if let Some(worker) = workers.get(worker).or_else(|| workers.first()) {
        let _ = worker.send(arrival);
    }
}

/// Who is behind a socket, and which session that is. Blocks on `/proc`.
fn seed(shared: &Arc<Shared>, socket: Result<Socket, Unknown>, scope: &Scope) -> (Seed, Option<Owner>) {
    let generation = shared.generation();
    let registered = |key: &_| shared.sessions.is_registered(key);
    let digest = |process: &Process| shared.digests.of(&process.key()).ok();
    let rules = Rules { matchers: &generation.matchers, registered: &registered, digest: &digest };
    let policy = &generation.policy;
    let (socket, identity) = match socket.and_then(|s| Ok((s, owner_of(&shared.peers, &s, &rules)?))) {
        Ok(found) => found,
        Err(unknown) => {
            tracing::debug!(error = &unknown as &dyn std::error::Error, "a client cannot be attributed");
            return (stranger(shared, policy, Facts::default(), scope, Reason::Unattributed), None);
        }
    };
    let owner = Owner::of(socket, &identity);
    let seed = match identity {
        Identity::Agent(agent) => known(shared, policy, *agent, scope),
        Identity::AmbiguousAgent { client, .. } => {
            Seed::Stranger { reason: Reason::AmbiguousAgent, facts: facts(shared, &client) }
        }
        Identity::AmbiguousOwners(owners) => Seed::Stranger {
            reason: Reason::AmbiguousAgent,
            facts: owners.first().map(|o| facts(shared, o)).unwrap_or_default(),
        },
        Identity::Unattributed(client) => unattributed(shared, policy, &client, scope),
    };
    (seed, owner)
}

fn hint(scope: &Scope) -> Hint<'_> {
    match scope {
        Scope::Enclave(name) => Hint::Named(name),
        Scope::Gateway | Scope::Session(_) => Hint::None,
    }
}

/// A client that a definition or `run` says who it is.
fn known(shared: &Arc<Shared>, policy: &Policy, agent: Agent, scope: &Scope) -> Seed {
    let facts = facts(shared, &agent.client);
    if agent.by == RootBy::Registration {
        return match shared.sessions.registered(&agent.root.key()) {
            Some(session) => Seed::Member { session, facts, would: None },
            None => Seed::Stranger { reason: Reason::Unattributed, facts },
        };
    }
    let name = agent.name.clone().unwrap_or_else(|| base_name(&agent.root));
    match enclave_of(policy, &name, hint(scope)) {
        Ok(enclave) => member(shared, enclave, name, &agent.root, facts),
        Err(denial) => stranger(shared, policy, facts, scope, denial.reason),
    }
}

/// A client without a definition: its own agent where an enclave takes any, else what `unattributed` says.
fn unattributed(shared: &Arc<Shared>, policy: &Policy, client: &Chain, scope: &Scope) -> Seed {
    let facts = facts(shared, client);
    let process = &client.process;
    let own = process.uid == rustix::process::geteuid().as_raw();
    let any: Vec<&Arc<Enclave>> = policy
        .enclaves
        .iter()
        .filter(|e| {
            e.any_agent && matches!(scope, Scope::Gateway)
                || matches!(scope, Scope::Enclave(n) if *n == e.name && e.any_agent)
        })
        .collect();
    match (own, any.as_slice()) {
        (true, [enclave]) => member(shared, enclave, base_name(process), process, facts),
        (true, [_, _, ..]) => stranger(shared, policy, facts, scope, Reason::AmbiguousEnclave),
        _ => match &policy.gateway.unattributed {
            Unattributed::Deny => stranger(shared, policy, facts, scope, Reason::Unattributed),
            // The embedded default is for the user who started it, not a proxy for everybody on the machine.
            Unattributed::Enclave(_) if policy.file.is_none() && !own => {
                Seed::Stranger { reason: Reason::Unattributed, facts }
            }
            Unattributed::Enclave(name) => match policy.enclave(name) {
                Some(enclave) => for_connection(shared, enclave, base_name(process), facts, None),
                None => Seed::Stranger { reason: Reason::Unattributed, facts },
            },
        },
    }
}

/// A client that enforce mode refuses. Observe lets it into the enclave that is meant, and records that it would not.
fn stranger(shared: &Arc<Shared>, policy: &Policy, facts: Facts, scope: &Scope, reason: Reason) -> Seed {
    let meant = match scope {
        Scope::Enclave(name) => policy.enclave(name),
        Scope::Gateway | Scope::Session(_) => policy.enclaves.first().filter(|_| policy.enclaves.len() == 1),
    };
    match meant {
        Some(enclave) if enclave.mode.lets_pass(reason) => {
            for_connection(shared, enclave, "unknown".into(), facts, Some(reason))
        }
        _ => Seed::Stranger { reason, facts },
    }
}

fn member(shared: &Arc<Shared>, enclave: &Arc<Enclave>, agent: Arc<str>, root: &Process, facts: Facts) -> Seed {
    let ttl = shared.policy().gateway.session_ttl;
    let (session, fresh) = shared.sessions.find_or_open(root.key(), &enclave.name, || Opening {
        enclave: enclave.name.clone(),
        agent,
        tier: Tier::Advisory,
        attribution: Attribution::Procfs,
        origin: Origin::Found,
        root: Some(root.key()),
        listener: None,
        mode: None,
        ttl,
        process: Some(root_fragment(shared, root)),
    });
    if fresh == Fresh::Opened {
        shared.session_record(&session, "opened", None);
    }
    Seed::Member { session, facts, would: None }
}

fn for_connection(
    shared: &Arc<Shared>,
    enclave: &Arc<Enclave>,
    agent: Arc<str>,
    facts: Facts,
    would: Option<Reason>,
) -> Seed {
    let session = shared.sessions.open(Opening {
        enclave: enclave.name.clone(),
        agent,
        tier: Tier::Advisory,
        attribution: if facts.process.is_some() { Attribution::Procfs } else { Attribution::None },
        origin: Origin::Connection,
        root: None,
        listener: None,
        mode: None,
        ttl: shared.policy().gateway.session_ttl,
        process: facts.process.clone(),
    });
    shared.session_record(&session, "opened", None);
    Seed::Member { session, facts, would }
}

fn base_name(process: &Process) -> Arc<str> {
    process.base_name().unwrap_or("unknown").into()
}

/// The digest of a process's program, if it was made before; else it is made off the path, one at a time, for the next
/// connection: a large program takes 0.2 s to read.
fn digest(shared: &Arc<Shared>, process: &Process) -> Option<Arc<str>> {
    let key = process.key();
    let known = shared.digests.known(&key);
    if known.is_none() && !shared.hashing.swap(true, Ordering::AcqRel) {
        let shared = shared.clone();
        tokio::task::spawn_blocking(move || {
            let _ = shared.digests.of(&key);
            shared.hashing.store(false, Ordering::Release);
        });
    }
    known
}

/// The `process` member of records.
fn facts(shared: &Arc<Shared>, chain: &Chain) -> Facts {
    let ancestors: Vec<Ancestor<'_>> =
        chain.ancestors.iter().map(|p| Ancestor { pid: p.pid, executable: p.exe_path().map(Into::into) }).collect();
    let digest = digest(shared, &chain.process);
    let process = &chain.process;
    let program = process.exe_path().map_or(Program::Process(process.key()), |path| Program::Executable(path.into()));
    Facts { process: Some(fragment(process, digest.as_deref(), &ancestors)), program: Some(program) }
}

/// The same for a session's root.
pub(super) fn root_fragment(shared: &Arc<Shared>, process: &Process) -> Fragment {
    fragment(process, digest(shared, process).as_deref(), &[])
}

fn fragment(process: &Process, digest: Option<&str>, ancestors: &[Ancestor<'_>]) -> Fragment {
    let owner = process.owner();
    ProcessFacts {
        pid: process.pid,
        start_time: Some(process.start_time),
        executable: process.exe_path(),
        executable_sha256: digest,
        script: process.script_path(),
        owner: owner.as_deref(),
        ancestors,
    }
    .fragment()
}
