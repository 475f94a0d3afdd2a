//! Listeners: a connection is asked about at once, before any of its bytes is read, and then goes to its worker.

use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsRawFd, RawFd};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use ensage_endpoint::peers::unix_peer;
use futures_util::FutureExt as _;
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};
use tokio::sync::{OwnedSemaphorePermit, mpsc};

use super::Shared;
use super::attribution::{Client, seed, seeds};
use super::listen::Bound;
use super::owners::Owner;
use super::room::{Pause, has_room, is_of_the_client};
use crate::flow::{Accepted as Incoming, Arrival, Facts, Seed};
use crate::session::{Attribution, Session};

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

/// A listener in the runtime that accepts from it.
pub(super) enum Listener {
    Tcp(TcpListener),
    Unix(UnixListener),
}

/// A connection as it was accepted.
enum Accepted {
    Tcp(TcpStream, SocketAddr),
    Unix(UnixStream),
}

impl Listener {
    /// Inside the runtime.
    pub(super) fn new(bound: Bound) -> io::Result<Self> {
        Ok(match bound {
            Bound::Tcp(listener) => Self::Tcp(TcpListener::from_std(listener)?),
            Bound::Unix(listener) => Self::Unix(UnixListener::from_std(listener)?),
        })
    }

    /// Loses no connection when it is dropped on its way.
    async fn accept(&self) -> io::Result<Accepted> {
        match self {
            Self::Tcp(listener) => listener.accept().await.map(|(stream, client)| Accepted::Tcp(stream, client)),
            Self::Unix(listener) => listener.accept().await.map(|(stream, _)| Accepted::Unix(stream)),
        }
    }
}

impl AsRawFd for Accepted {
    fn as_raw_fd(&self) -> RawFd {
        match self {
            Self::Tcp(stream, _) => stream.as_raw_fd(),
            Self::Unix(stream) => stream.as_raw_fd(),
        }
    }
}

/// So many connections are taken and asked about together at most.
const TOGETHER_MAX: usize = 16;

/// Accepts until the gateway drains. Where no descriptors are left it waits, and the rest lives.
pub(super) async fn listen(shared: Arc<Shared>, workers: Workers, listener: Listener, scope: Scope) {
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
        let mut pause = Pause::new(&shared);
        while !shared.is_draining() {
            let permit = match shared.connections.clone().try_acquire_owned() {
                Ok(permit) => permit,
                Err(_) => {
                    shared.metrics.accept_paused();
                    shared.out_of_slots.store(true, Ordering::Relaxed);
                    let Ok(permit) = shared.connections.clone().acquire_owned().await else { return };
                    shared.out_of_slots.store(false, Ordering::Relaxed);
                    permit
                }
            };
            match listener.accept().await {
                Ok(accepted) => {
                    let mut newest = accepted.as_raw_fd();
                    let mut together = vec![(accepted, ConnectionSlot::new(&shared, permit))];
                    // Who waits already is asked about in the same look.
                    while together.len() < TOGETHER_MAX
                        && has_room(newest)
                        && let Ok(permit) = shared.connections.clone().try_acquire_owned()
                        && let Some(Ok(accepted)) = listener.accept().now_or_never()
                    {
                        newest = accepted.as_raw_fd();
                        together.push((accepted, ConnectionSlot::new(&shared, permit)));
                    }
                    arrived(&shared, &workers, &scope, together);
                    pause.until_room(newest).await;
                }
                Err(error) if is_of_the_client(&error) => {}
                Err(error) => pause.once(&error).await,
            }
        }
    };
    tokio::select! {
        () = ended => {}
        () = shared.left() => {}
        () = accepting => {}
    }
}

fn arrived(shared: &Arc<Shared>, workers: &Workers, scope: &Scope, together: Vec<(Accepted, ConnectionSlot)>) {
    let (mut clients, mut streams) = (Vec::new(), Vec::new());
    for (accepted, slot) in together {
        let Some((stream, client)) = taken(shared, accepted) else { continue };
        if let Scope::Session(session) = scope {
            let seed = Seed::Member { session: session.clone(), facts: Facts::default(), would: None };
            shared.metrics.attributed(session.opening.attribution);
            send(workers, Arrival { stream, seed, owner: None, slot });
            continue;
        }
        clients.push(client);
        streams.push((stream, slot));
    }
    let by: Vec<Attribution> = clients.iter().map(Client::by).collect();
    for ((told, by), (stream, slot)) in seeds(shared, clients, scope).into_iter().zip(by).zip(streams) {
        match told {
            Ok(found) => identified(shared, workers, by, found, stream, slot),
            Err(client) => {
                let (shared, workers, scope) = (shared.clone(), workers.clone(), scope.clone());
                tokio::task::spawn_blocking(move || {
                    identified(&shared, &workers, by, seed(&shared, client, &scope), stream, slot);
                });
            }
        }
    }
}

fn identified(
    shared: &Shared,
    workers: &Workers,
    by: Attribution,
    (seed, owner): (Seed, Option<Owner>),
    stream: Incoming,
    slot: ConnectionSlot,
) {
    shared.metrics.attributed(if seed.process().is_some() { by } else { Attribution::None });
    send(workers, Arrival { stream, seed, owner, slot });
}

/// The connection as another thread takes it, and what the kernel says of its client. That is asked at once: of a socket
/// whose owner exits it is gone within milliseconds.
fn taken(shared: &Arc<Shared>, accepted: Accepted) -> Option<(Incoming, Client)> {
    match accepted {
        Accepted::Tcp(stream, client) => {
            let local = stream.local_addr().ok()?;
            let stream = stream.into_std().ok()?;
            let socket = shared.peers.socket(client, local);
            // A connection that was reset may still be read, and its client's port is free: what was found there could be
            // the socket of somebody else. No two that live have the same addresses.
            stream.peer_addr().ok()?;
            Some((Incoming::Tcp(stream, client, local), Client::Holds { at: client, socket }))
        }
        Accepted::Unix(stream) => {
            let stream = stream.into_std().ok()?;
            let connected = unix_peer(&stream);
            Some((Incoming::Unix(stream), Client::Connected(connected)))
        }
    }
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
