//! The control thread: listeners, the admin socket, and the eyes on roots, time, vault and log.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use ensage_endpoint::proc::{PidFd, ProcError};
use tokio::net::UnixListener;
use tokio::sync::mpsc;
use uuid::Uuid;

use super::Shared;
use super::accept::{Listener, Scope, Workers, listen};
use super::listen::Bound;
use super::room::is_out_of_files;
use crate::flow::Arrival;
use crate::session::{Life, Origin, Session};

/// How often sessions are looked at: an end takes effect within a second (contract section 8).
const LOOK_EVERY: Duration = Duration::from_millis(200);
/// After so many looks it is looked who holds the connections: 5 s (design section 6).
const OWNERS_EVERY: u32 = 25;
/// How long an ended session is still shown.
const SHOWN_FOR: Duration = Duration::from_secs(600);

/// Runs until the gateway stops.
pub(super) fn run(
    shared: &Arc<Shared>,
    workers: Vec<mpsc::UnboundedSender<Arrival>>,
    mut listeners: mpsc::UnboundedReceiver<(Bound, Scope)>,
    admin: UnixSocket,
    started: &std::sync::mpsc::Sender<()>,
) {
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            tracing::error!(%error, "the control thread has no runtime");
            return;
        }
    };
    let workers: Workers = Arc::new(workers);
    let stopped = shared.stopped();
    runtime.block_on(async {
        let Ok(admin) = UnixListener::from_std(admin) else { return };
        tokio::spawn(crate::admin::server::serve(shared.clone(), admin));
        let mut stopped = std::pin::pin!(stopped);
        let mut look = tokio::time::interval(LOOK_EVERY);
        let mut eyes = Eyes::default();
        let _ = started.send(());
        loop {
            tokio::select! {
                one = listeners.recv() => if let Some((listener, scope)) = one {
                    match Listener::new(listener) {
                        Ok(listener) => {
                            tokio::spawn(listen(shared.clone(), workers.clone(), listener, scope));
                        }
                        Err(error) => tracing::error!(%error, "a listener cannot be used"),
                    }
                },
                _ = look.tick() => eyes.look(shared),
                () = &mut stopped => break,
            }
        }
    });
    // Not waited for: a look through /proc may still run, and it owns nothing that must be kept.
    runtime.shutdown_background();
}

type UnixSocket = std::os::unix::net::UnixListener;

/// What is watched between two looks.
#[derive(Default)]
struct Eyes {
    roots: HashMap<Uuid, PidFd>,
    ended: HashMap<Uuid, Instant>,
    sweeps: u32,
}

impl Eyes {
    fn look(&mut self, shared: &Arc<Shared>) {
        let now = Instant::now();
        let all = shared.sessions.all();
        for session in &all {
            match session.life() {
                Life::Open | Life::Quarantined => {
                    if session.has_expired(now) {
                        shared.end(session, "ttl");
                    } else if !self.root_lives(session) {
                        shared.end(session, "root_exited");
                    }
                }
                Life::Ended => self.retire(shared, session, now),
            }
        }
        self.roots.retain(|id, _| all.iter().any(|s| s.id == *id));
        self.ended.retain(|id, _| all.iter().any(|s| s.id == *id));
        shared.refresh_vault();
        self.sweeps = self.sweeps.wrapping_add(1);
        shared.look_at_owners(self.sweeps.is_multiple_of(OWNERS_EVERY));
        if self.sweeps.is_multiple_of(64) {
            shared.placeholders.sweep(SystemTime::now());
        }
    }

    /// A session without a root (an embedder's) lives until it is ended.
    fn root_lives(&mut self, session: &Session) -> bool {
        let Some(root) = session.opening.root else { return true };
        if let Some(known) = self.roots.get(&session.id) {
            return known.alive();
        }
        match PidFd::open(&root) {
            Ok(fd) => {
                self.roots.insert(session.id, fd);
                true
            }
            // Not for want of a descriptor: it is looked at again the next time.
            Err(ProcError::Io { source, .. }) if is_out_of_files(&source) => true,
            Err(_) => false,
        }
    }

    /// An ended session is shown for a while; one of `run` stays as long as its root could still ask.
    fn retire(&mut self, shared: &Shared, session: &Arc<Session>, now: Instant) {
        let since = *self.ended.entry(session.id).or_insert(now);
        let held = session.opening.origin == Origin::Run && self.root_lives(session);
        let shown = session.opening.origin != Origin::Connection && now.duration_since(since) < SHOWN_FOR;
        if !held && !shown {
            shared.sessions.forget(session);
        }
    }
}
