//! Who a client is: its process, the agent behind that, and the session that this agent has or gets.

use std::cell::Cell;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use ensage_audit::{Ancestor, Fragment, ProcessFacts};
use ensage_endpoint::identify::{Agent, Identity, RootBy, Rules, connector_is, identify, owner_of};
use ensage_endpoint::peers::{Socket, Unknown};
use ensage_endpoint::proc::{Chain, Process};
use ensage_policy::judge::{Hint, enclave_of};
use ensage_policy::model::{Enclave, Unattributed};
use ensage_policy::{Policy, Reason, Tier};

use super::Shared;
use super::accept::Scope;
use super::owners::Owner;
use crate::flow::{Facts, Seed};
use crate::refusals::Program;
use crate::session::{Attribution, Fresh, Opening, Origin};

/// What the kernel could say of a client straight after accept.
pub(super) enum Client {
    /// Its TCP socket: whoever holds that is the client.
    Holds {
        /// The client's address.
        at: SocketAddr,
        /// What the kernel has found.
        socket: Result<Socket, Unknown>,
    },
    /// The process that connected a Unix socket.
    Connected(Result<Process, Unknown>),
}

impl Client {
    /// By what a client of its kind is found.
    pub(super) const fn by(&self) -> Attribution {
        match self {
            Self::Holds { .. } => Attribution::Procfs,
            Self::Connected(_) => Attribution::PeerPidFd,
        }
    }

    /// Whether it is known to be of another user than this one. Root needs no proxy to do what this user can.
    const fn is_anothers(&self, own: u32) -> bool {
        match self {
            Self::Holds { socket: Ok(Socket { uid, .. }), .. } | Self::Connected(Ok(Process { uid, .. })) => {
                *uid != own && *uid != 0
            }
            Self::Holds { socket: Err(_), .. } | Self::Connected(Err(_)) => false,
        }
    }

    /// Whether it may be on another machine: of such an address there is no socket here.
    fn is_remote(&self) -> bool {
        match self {
            Self::Holds { at, socket } => socket.is_err() && !at.ip().to_canonical().is_loopback(),
            Self::Connected(_) => false,
        }
    }
}

/// Where a client has come in, and what judges it.
struct Place<'a> {
    shared: &'a Arc<Shared>,
    policy: &'a Policy,
    scope: &'a Scope,
    by: Attribution,
}

/// Who clients are that came together, and which session that is, as far as that can be told at once; the others are
/// given back.
pub(super) fn seeds(
    shared: &Arc<Shared>,
    clients: Vec<Client>,
    scope: &Scope,
) -> Vec<Result<(Seed, Option<Owner>), Client>> {
    let generation = shared.generation();
    let registered = |key: &_| shared.sessions.is_registered(key);
    // To make one takes time.
    let missed = Cell::new(false);
    let digest = |process: &Process| {
        let known = shared.digests.known(process);
        missed.set(missed.get() || known.is_none());
        known
    };
    let rules = Rules { matchers: &generation.matchers, registered: &registered, digest: &digest };
    let policy = &generation.policy;
    let socket = |client: &Client| match client {
        Client::Holds { socket: Ok(socket), .. } if !client.is_remote() && !is_refused(policy, client) => Some(*socket),
        Client::Holds { .. } | Client::Connected(_) => None,
    };
    let sockets: Vec<Socket> = clients.iter().filter_map(socket).collect();
    let mut chains = if sockets.is_empty() { Vec::new() } else { shared.peers.at_once(&sockets) }.into_iter();
    let told = |client: Client| {
        let Some(socket) = socket(&client) else { return Err(client) };
        let Some(chain) = chains.next().flatten() else { return Err(client) };
        missed.set(false);
        let identity = identify(vec![chain], &rules);
        if missed.get() {
            return Err(client);
        }
        Ok(seed_of(&Place { shared, policy, scope, by: client.by() }, Some(socket), identity))
    };
    clients.into_iter().map(told).collect()
}

/// The embedded default is for the user who started it, not a proxy for everybody on the machine: whose files it may
/// not look into would else be a client that cannot be found, and observed.
fn is_refused(policy: &Policy, client: &Client) -> bool {
    policy.embedded && client.is_anothers(rustix::process::geteuid().as_raw())
}

/// Who a client is, and which session that is. Blocks on `/proc`.
pub(super) fn seed(shared: &Arc<Shared>, client: Client, scope: &Scope) -> (Seed, Option<Owner>) {
    let generation = shared.generation();
    let registered = |key: &_| shared.sessions.is_registered(key);
    let digest = |process: &Process| shared.digests.of(&process.key()).ok();
    let rules = Rules { matchers: &generation.matchers, registered: &registered, digest: &digest };
    let place = Place { shared, policy: &generation.policy, scope, by: client.by() };
    // In no mode, and whatever is said of unattributed clients: those are processes of this machine.
    if client.is_remote() {
        tracing::debug!("a client on another machine was refused");
        return (Seed::Stranger { reason: Reason::Unattributed, facts: Facts::default() }, None);
    }
    if is_refused(place.policy, &client) {
        return (Seed::Stranger { reason: Reason::Unattributed, facts: Facts::default() }, None);
    }
    let found = match client {
        Client::Holds { socket, .. } => socket.and_then(|s| Ok((Some(s), owner_of(&shared.peers, &s, &rules)?))),
        Client::Connected(process) => process.and_then(|p| Ok((None, connector_is(p, &rules)?))),
    };
    match found {
        Ok((socket, identity)) => seed_of(&place, socket, identity),
        Err(unknown) => {
            tracing::debug!(error = &unknown as &dyn std::error::Error, "a client cannot be attributed");
            (stranger(&place, Facts::default(), Reason::Unattributed), None)
        }
    }
}

fn seed_of(place: &Place<'_>, socket: Option<Socket>, identity: Identity) -> (Seed, Option<Owner>) {
    let shared = place.shared;
    let owner = Owner::of(socket, &identity);
    let seed = match identity {
        Identity::Agent(agent) => known(place, *agent),
        Identity::AmbiguousAgent { client, .. } => {
            Seed::Stranger { reason: Reason::AmbiguousAgent, facts: facts(shared, &client) }
        }
        Identity::AmbiguousOwners(owners) => Seed::Stranger {
            reason: Reason::AmbiguousAgent,
            facts: owners.first().map(|o| facts(shared, o)).unwrap_or_default(),
        },
        Identity::Unattributed(client) => unattributed(place, &client),
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
fn known(place: &Place<'_>, agent: Agent) -> Seed {
    let Place { shared, policy, scope, .. } = *place;
    let facts = facts(shared, &agent.client);
    if agent.by == RootBy::Registration {
        return match shared.sessions.registered(&agent.root.key()) {
            Some(session) => Seed::Member { session, facts, would: None },
            None => Seed::Stranger { reason: Reason::Unattributed, facts },
        };
    }
    let name = agent.name.clone().unwrap_or_else(|| base_name(&agent.root));
    match enclave_of(policy, &name, hint(scope)) {
        Ok(enclave) => member(place, enclave, name, &agent.root, facts),
        Err(denial) => stranger(place, facts, denial.reason),
    }
}

/// A client without a definition: its own agent where an enclave takes any, else what `unattributed` says.
fn unattributed(place: &Place<'_>, client: &Chain) -> Seed {
    let Place { shared, policy, scope, .. } = *place;
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
        (true, [enclave]) => member(place, enclave, base_name(process), process, facts),
        (true, [_, _, ..]) => stranger(place, facts, Reason::AmbiguousEnclave),
        _ => match &policy.gateway.unattributed {
            Unattributed::Deny => stranger(place, facts, Reason::Unattributed),
            // The embedded default is for the user who started it, not a proxy for everybody on the machine.
            Unattributed::Enclave(_) if policy.file.is_none() && !own => {
                Seed::Stranger { reason: Reason::Unattributed, facts }
            }
            Unattributed::Enclave(name) => match policy.enclave(name) {
                Some(enclave) => for_connection(place, enclave, base_name(process), facts, None),
                None => Seed::Stranger { reason: Reason::Unattributed, facts },
            },
        },
    }
}

/// A client that enforce mode refuses. Observe lets it into the enclave that is meant, and records that it would not.
fn stranger(place: &Place<'_>, facts: Facts, reason: Reason) -> Seed {
    let Place { policy, scope, .. } = *place;
    let meant = match scope {
        Scope::Enclave(name) => policy.enclave(name),
        Scope::Gateway | Scope::Session(_) => policy.enclaves.first().filter(|_| policy.enclaves.len() == 1),
    };
    match meant {
        Some(enclave) if enclave.mode.lets_pass(reason) => {
            for_connection(place, enclave, "unknown".into(), facts, Some(reason))
        }
        _ => Seed::Stranger { reason, facts },
    }
}

fn member(place: &Place<'_>, enclave: &Arc<Enclave>, agent: Arc<str>, root: &Process, facts: Facts) -> Seed {
    let Place { shared, by, .. } = *place;
    let ttl = shared.policy().gateway.session_ttl;
    let (session, fresh) = shared.sessions.find_or_open(root.key(), &enclave.name, || Opening {
        enclave: enclave.name.clone(),
        agent,
        tier: Tier::Advisory,
        attribution: by,
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
    place: &Place<'_>,
    enclave: &Arc<Enclave>,
    agent: Arc<str>,
    facts: Facts,
    would: Option<Reason>,
) -> Seed {
    let Place { shared, by, .. } = *place;
    let session = shared.sessions.open(Opening {
        enclave: enclave.name.clone(),
        agent,
        tier: Tier::Advisory,
        attribution: if facts.process.is_some() { by } else { Attribution::None },
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
    let known = shared.digests.known(process);
    if known.is_none() && !shared.hashing.swap(true, Ordering::AcqRel) {
        let (shared, key) = (shared.clone(), process.key());
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

#[cfg(test)]
mod tests {
    use super::*;

    fn found(at: &str, uid: Option<u32>) -> Client {
        let socket = uid.map(|uid| Socket { inode: 1, uid, cookie: 1, cgroup: None }).ok_or(Unknown::NoSocket);
        Client::Holds { at: at.parse().unwrap(), socket }
    }

    /// Whose files may not be looked into is found by the kernel alone: without a process, but not without a user.
    #[test]
    fn h3_the_user_of_a_socket_is_known_without_its_process() {
        let of = |uid| found("127.0.0.1:1", Some(uid));
        assert!(of(1001).is_anothers(1000));
        assert!(!of(1000).is_anothers(1000));
        assert!(!of(0).is_anothers(1000));
        assert!(of(1000).is_anothers(0));
        assert!(!found("127.0.0.1:1", None).is_anothers(1000));
    }

    #[test]
    fn h3_a_client_that_has_no_socket_here_is_remote_unless_its_address_is_always_local() {
        for (at, remote) in [
            ("192.0.2.7:1", true),
            ("[2001:db8::7]:1", true),
            ("[::ffff:192.0.2.7]:1", true),
            ("10.0.0.1:1", true),
            ("127.0.0.1:1", false),
            ("127.9.9.9:1", false),
            ("[::1]:1", false),
            ("[::ffff:127.0.0.1]:1", false),
        ] {
            assert_eq!(found(at, None).is_remote(), remote, "{at}");
            assert!(!found(at, Some(0)).is_remote(), "{at}: a socket of this machine, at whichever of its addresses");
        }
        assert!(!Client::Connected(Err(Unknown::NoHolder)).is_remote());
    }
}
