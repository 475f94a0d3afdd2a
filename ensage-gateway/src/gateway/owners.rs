//! Who holds a connection while it lives: a socket handed on to another identity is nobody's any more (threat G8).

use std::sync::Arc;
use std::time::Duration;

use ensage_endpoint::identify::{Identity, Rules, owner_of};
use ensage_endpoint::peers::{Socket, Unknown};
use ensage_endpoint::proc::{Process, ProcessKey};

use super::Shared;

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

    /// A look at the process that held it is cheap. Where that has let go, all processes are looked at; a machine that
    /// is too busy for that proves nothing.
    fn still_holds(self, shared: &Arc<Shared>, file: &mut Option<u32>) -> bool {
        let Some(socket) = self.socket else {
            return ProcessKey::of(self.process.pid).is_ok_and(|key| key == self.process);
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
            Err(unknown) => matches!(unknown, Unknown::TooSlow(_)),
        }
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
