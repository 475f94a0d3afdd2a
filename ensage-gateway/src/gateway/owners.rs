//! Who holds a connection while it lives: a socket that another identity holds is nobody's any more (threat G8).
//!
//! All connections are looked at together, off the path, every five seconds (design section 6), and soon after a new
//! one has come: what a process did in the very moment of the first look is seen by the second.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use ensage_endpoint::identify::{Agent, Identity, Rules, identify};
use ensage_endpoint::peers::{Socket, Unknown};
use ensage_endpoint::proc::{Chain, ProcError, Process, ProcessKey};
use tokio::sync::Notify;

use super::Shared;
use super::room::is_out_of_files;

/// Who was found at accept.
#[derive(Clone, Debug)]
pub(crate) struct Owner {
    /// Absent for a Unix socket, which is of who connected it as long as that lives.
    socket: Option<Socket>,
    process: ProcessKey,
    /// Absent without an agent.
    agent: Option<Box<Agent>>,
}

/// After a new connection: the next look may follow at once, and see no more than the first one.
const SOON: u8 = 2;

/// The connections that are looked at.
#[derive(Default)]
pub(crate) struct Owners {
    held: Mutex<HashMap<u64, Arc<Held>>>,
    next: AtomicU64,
    /// Looks that are due because one is new.
    due: AtomicU8,
    looks: AtomicBool,
}

struct Held {
    owner: Owner,
    /// Told when it is somebody else's.
    lost: Notify,
}

impl Owner {
    /// `None` for a client that is refused anyway.
    pub(super) fn of(socket: Option<Socket>, identity: &Identity) -> Option<Self> {
        let (process, agent) = match identity {
            Identity::Agent(agent) => (agent.client.process.key(), Some(agent.clone())),
            Identity::Unattributed(client) => (client.process.key(), None),
            Identity::AmbiguousAgent { .. } | Identity::AmbiguousOwners(_) => return None,
        };
        Some(Self { socket, process, agent })
    }

    /// Returns when the connection belongs to somebody else, too.
    pub(crate) async fn handed_on(self, shared: &Arc<Shared>) {
        let owners = &shared.owners;
        let (id, held) =
            (owners.next.fetch_add(1, Ordering::Relaxed), Arc::new(Held { owner: self, lost: Notify::new() }));
        owners.held().insert(id, held.clone());
        owners.due.store(SOON, Ordering::Release);
        let _watched = Watched { owners, id };
        held.lost.notified().await;
    }

    /// Whose session this is: the agent's root, or else the client itself.
    fn root(&self) -> ProcessKey {
        self.agent.as_ref().map_or(self.process, |agent| agent.root.key())
    }

    /// Whether a holder is of this identity: it has the same root. Of a client without an agent so is who inherited the
    /// socket from it.
    fn is_of(&self, chain: Chain, rules: &Rules<'_>) -> bool {
        match identify(vec![chain], rules) {
            Identity::Agent(agent) => {
                agent.root.key() == self.root() || self.agent.as_ref().is_some_and(|own| agent.is_forked_from(own))
            }
            Identity::Unattributed(client) => {
                self.root() == self.process && client.iter().any(|process| process.key() == self.process)
            }
            Identity::AmbiguousAgent { .. } | Identity::AmbiguousOwners(_) => false,
        }
    }
}

/// A connection that is looked at until this is dropped.
struct Watched<'a> {
    owners: &'a Owners,
    id: u64,
}

impl Drop for Watched<'_> {
    fn drop(&mut self) {
        self.owners.held().remove(&self.id);
    }
}

impl Owners {
    fn held(&self) -> MutexGuard<'_, HashMap<u64, Arc<Held>>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Shared {
    /// Looks at all connections on a thread of its own, where one is new or it is `time` to.
    pub(super) fn look_at_owners(self: &Arc<Self>, time: bool) {
        if self.owners.looks.swap(true, Ordering::AcqRel) {
            return;
        }
        // Only a look that begins is one that was due.
        let due = self.owners.due.fetch_update(Ordering::AcqRel, Ordering::Acquire, |due| due.checked_sub(1)).is_ok();
        if !(due || time) {
            self.owners.looks.store(false, Ordering::Release);
            return;
        }
        let shared = self.clone();
        tokio::task::spawn_blocking(move || {
            let _over = Over(&shared.owners.looks);
            let all: Vec<Arc<Held>> = shared.owners.held().values().cloned().collect();
            look(&shared, &all);
        });
    }
}

/// Lets the next look begin, however this one ends.
struct Over<'a>(&'a AtomicBool);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        self.0.store(false, Ordering::Release);
    }
}

fn look(shared: &Shared, all: &[Arc<Held>]) {
    let sockets: Vec<Socket> = all.iter().filter_map(|held| held.owner.socket).collect();
    // What proves nothing about all of them is no reason to cut any.
    let Ok(found) = (if sockets.is_empty() { Ok(Vec::new()) } else { shared.peers.holders(&sockets) }) else { return };
    let mut found = found.into_iter();
    let generation = shared.generation();
    let registered = |key: &_| shared.sessions.is_registered(key);
    let digest = |process: &Process| shared.digests.of(&process.key()).ok();
    let rules = Rules { matchers: &generation.matchers, registered: &registered, digest: &digest };
    let mut seen = Seen { shared, keys: HashMap::new(), chains: HashMap::new() };
    let mut doubtful = Vec::new();
    for held in all {
        let still = match held.owner.socket {
            None => seen.lives(&held.owner.process).unwrap_or_else(|error| proves_nothing(&error.into())),
            Some(socket) => {
                let pids = found.next().unwrap_or_default();
                if !seen.holds(&held.owner, &pids, &rules) && !still_holds(shared, &held.owner, &socket, &rules) {
                    doubtful.push((held, socket));
                }
                true
            }
        };
        if !still {
            held.lost.notify_one();
        }
    }
    if doubtful.is_empty() {
        return;
    }
    // A child that is about to become another program has its parent's files for a moment.
    std::thread::sleep(BECOMES);
    for (held, socket) in doubtful {
        if !still_holds(shared, &held.owner, &socket, &rules) {
            held.lost.notify_one();
        }
    }
}

/// How long whoever seems to hold a socket too may need to give up what it inherited.
const BECOMES: Duration = Duration::from_millis(100);

/// What one look has read so far: clients have many connections each.
struct Seen<'a> {
    shared: &'a Shared,
    keys: HashMap<u32, ProcessKey>,
    chains: HashMap<u32, Chain>,
}

impl Seen<'_> {
    fn lives(&mut self, process: &ProcessKey) -> Result<bool, ProcError> {
        if let Some(known) = self.keys.get(&process.pid) {
            return Ok(known == process);
        }
        let key = match ProcessKey::of(process.pid) {
            Ok(key) => key,
            Err(ProcError::Gone { .. }) => return Ok(false),
            Err(error) => return Err(error),
        };
        self.keys.insert(process.pid, key);
        Ok(key == *process)
    }

    /// Whether all that were seen to hold it are of the identity, and somebody is. What can't be read is not.
    fn holds(&mut self, owner: &Owner, pids: &[u32], rules: &Rules<'_>) -> bool {
        !pids.is_empty()
            && pids.iter().all(|pid| {
                if *pid == owner.process.pid {
                    return self.lives(&owner.process).unwrap_or(false);
                }
                self.chain(*pid).is_some_and(|chain| owner.is_of(chain, rules))
            })
    }

    fn chain(&mut self, pid: u32) -> Option<Chain> {
        if let Some(known) = self.chains.get(&pid) {
            return Some(known.clone());
        }
        let chain = self.shared.peers.chain(pid).ok()?;
        self.chains.insert(pid, chain.clone());
        Some(chain)
    }
}

/// The last word, by a look for this socket alone.
fn still_holds(shared: &Shared, owner: &Owner, socket: &Socket, rules: &Rules<'_>) -> bool {
    match shared.peers.chains(socket) {
        Ok(chains) => chains.into_iter().all(|chain| chain.process.key() == owner.process || owner.is_of(chain, rules)),
        Err(unknown) => proves_nothing(&unknown),
    }
}

/// A machine that is too busy for a look, or out of file descriptors, says nothing about who holds a connection.
fn proves_nothing(unknown: &Unknown) -> bool {
    match unknown {
        Unknown::TooSlow(_) => true,
        Unknown::Kernel(error) | Unknown::Process(ProcError::Io { source: error, .. }) => is_out_of_files(error),
        Unknown::NoSocket | Unknown::Orphaned | Unknown::NoHolder | Unknown::Process(_) => false,
    }
}
