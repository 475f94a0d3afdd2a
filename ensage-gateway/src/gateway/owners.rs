//! Who holds a connection while it lives: a socket handed on to another identity is nobody's any more (threat G8).

use std::sync::Arc;
use std::time::Duration;

use ensage_endpoint::identify::{Identity, Rules, owner_of};
use ensage_endpoint::peers::{Socket, Unknown};
use ensage_endpoint::proc::{ProcError, Process, ProcessKey};

use super::Shared;
use super::room::is_out_of_files;

/// How often it is looked again, off the path (design section 6).
const LOOK_EVERY: Duration = Duration::from_secs(5);

/// Who was found at accept.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Owner {
    /// Absent for a Unix socket, which is of who connected it as long as that lives.
    socket: Option<Socket>,
    process: ProcessKey,
    root: ProcessKey,
}

impl Owner {
    /// `None` for a client that is refused anyway.
    pub(super) fn of(socket: Option<Socket>, identity: &Identity) -> Option<Self> {
        let (process, root) = keys(identity)?;
        Some(Self { socket, process, root })
    }

    /// Returns when the connection belongs to somebody else.
    pub(crate) async fn handed_on(self, shared: &Arc<Shared>) {
        let mut file = None;
        loop {
            tokio::time::sleep(LOOK_EVERY).await;
            let shared = shared.clone();
            let still = tokio::task::spawn_blocking(move || (self.still_holds(&shared, &mut file), file)).await;
            match still {
                Ok((true, seen)) => file = seen,
                Ok((false, _)) | Err(_) => return,
            }
        }
    }

    /// A look at the process that held it is cheap. Where that has let go, all processes are looked at.
    fn still_holds(self, shared: &Arc<Shared>, file: &mut Option<u32>) -> bool {
        let Some(socket) = self.socket else {
            return match ProcessKey::of(self.process.pid) {
                Ok(key) => key == self.process,
                Err(error) => proves_nothing(&error.into()),
            };
        };
        if shared.peers.still_holds(&socket, &self.process, file) {
            return true;
        }
        let generation = shared.generation();
        let registered = |key: &_| shared.sessions.is_registered(key);
        let digest = |process: &Process| shared.digests.of(&process.key()).ok();
        let rules = Rules { matchers: &generation.matchers, registered: &registered, digest: &digest };
        match owner_of(&shared.peers, &socket, &rules) {
            Ok(identity) => keys(&identity).is_some_and(|(_, root)| root == self.root),
            Err(unknown) => proves_nothing(&unknown),
        }
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

/// The process of one identity, and the root that its session has.
fn keys(identity: &Identity) -> Option<(ProcessKey, ProcessKey)> {
    match identity {
        Identity::Agent(agent) => Some((agent.client.process.key(), agent.root.key())),
        Identity::Unattributed(client) => Some((client.process.key(), client.process.key())),
        Identity::AmbiguousAgent { .. } | Identity::AmbiguousOwners(_) => None,
    }
}
