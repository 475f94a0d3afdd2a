//! From an accepted socket to requests: the head gate, CONNECT, the first bytes of a tunnel, TLS.

use std::cell::{Cell, RefCell};
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::Bytes;
use ensage_endpoint::peers::{Unknown, unix_peer_is_gone};
use ensage_policy::Reason;
use ensage_policy::authority::Authority;
use http::{Method, Response};
use tokio::net::{TcpStream, UnixStream};
use uuid::Uuid;

use super::body::{Cut, Exact, Reply, ReplyBody};
use super::exchange::Exchange;
use super::identify::{self, Client, Conn, Facts, Member, Stranger, Taint, Via};
use super::leaving::{Busy, last_of};
use super::prefixed::Prefixed;
use super::reply::{self, Stop};
use super::request::malformed;
use super::revoke::Watchman;
use super::substitute::misplaced;
use super::trace;
use super::tunnel::{told, tunnel};
use super::wait::{Patience, unless};
use super::websocket;
use crate::gate::{Gate, Watch};
use crate::gateway::{ConnectionSlot, Owner, Shared};
use crate::h1::{self, Presence};
use crate::h2::Sign;
use crate::metrics::{Leg, Meter};
use crate::session::{Life, Origin, Session};
use crate::socket::{Breaks, Socket};
use crate::worker::Worker;

/// Who connected, as far as the acceptor knows it; may cross threads.
pub(crate) enum Seed {
    /// A process of a session.
    Member {
        /// Its session.
        session: Arc<Session>,
        /// What the process is.
        facts: Facts,
        /// Set where only observe mode lets it in.
        would: Option<Reason>,
    },
    /// A process that belongs to no enclave.
    Stranger {
        /// Why.
        reason: Reason,
        /// What the process is.
        facts: Facts,
    },
}

impl Seed {
    /// What is known of the process, if it was found.
    pub(crate) fn process(&self) -> Option<&ensage_audit::Fragment> {
        match self {
            Self::Member { facts, .. } | Self::Stranger { facts, .. } => facts.process.as_ref(),
        }
    }
}

/// An accepted connection on its way to its worker.
pub(crate) struct Arrival {
    /// The socket.
    pub(crate) stream: Incoming,
    /// Who is behind it.
    pub(crate) seed: Seed,
    /// Which process holds it, where the kernel could say.
    pub(crate) owner: Option<Owner>,
    /// Counts against `limits.connections` until it is dropped.
    pub(crate) slot: ConnectionSlot,
}

/// The socket of a client, in no runtime.
pub(crate) enum Incoming {
    /// With the client's address and ours.
    Tcp(std::net::TcpStream, SocketAddr, SocketAddr),
    /// Of this machine.
    Unix(std::os::unix::net::UnixStream),
}

/// By what it is told whether a client is still there.
pub(super) enum There {
    /// Its address and ours.
    Ends(SocketAddr, SocketAddr),
    /// The stream itself.
    Stream(Rc<UnixStream>),
    /// Who was never seen cannot be missed.
    Unknown,
}

impl Incoming {
    fn socket(self, meter: Meter, is_known: bool) -> std::io::Result<(Socket, There)> {
        match self {
            Self::Tcp(stream, client, own) => {
                let there = if is_known { There::Ends(client, own) } else { There::Unknown };
                Ok((Socket::new(TcpStream::from_std(stream)?, meter)?, there))
            }
            Self::Unix(stream) => {
                let socket = Socket::unix(UnixStream::from_std(stream)?, meter);
                let there = socket.as_unix().map_or(There::Unknown, There::Stream);
                Ok((socket, there))
            }
        }
    }
}

/// Serves one client connection to its end. Dropping the future cuts everything that it carries.
pub(crate) async fn serve(shared: Arc<Shared>, worker: Rc<Worker>, arrival: Arrival) {
    let Arrival { stream, seed, owner, slot } = arrival;
    let meter = Meter::new(worker.tally(), Leg::Client);
    let Ok((stream, there)) = stream.socket(meter, owner.is_some()) else { return };
    let (client, counted) = admit(&shared, &worker, seed);
    let id = Uuid::now_v7();
    trace::opened(id, &client);
    let crowded = counted.as_ref().is_some_and(|counted| counted.place == Place::None);
    // Who comes after the end is told so, and recorded; only what was open then is cut.
    let life = counted.as_ref().map(|c| c.session.clone()).filter(|session| session.life() == Life::Open);
    let parts = Rc::default();
    let link = Link { shared: &shared, worker: &worker, client: &client, id, breaks: stream.breaks(), there, parts };
    let parts = link.parts.clone();
    let whole = async {
        if crowded {
            // Nothing is read, and so there is nobody to answer.
            return unheard(&link, identify::overfull());
        }
        // Each in a box of its own: a connection keeps no room for the stages that it is not in.
        if let Some((io, asked)) = Box::pin(proxy(&link, stream)).await {
            Box::pin(tunnel(&link, io, asked)).await;
        }
    };
    match life {
        None => whole.await,
        Some(session) => {
            let end = async {
                tokio::select! {
                    () = over(&session) => {
                        // What is no HTTP sees the end itself, and says so; for that it has this long.
                        if parts.get() {
                            tokio::time::sleep(PARTING_WAIT).await;
                        }
                    }
                    () = handed_on(&shared, owner) => {
                        trace::connection(id, &client)
                            .in_scope(|| tracing::warn!("a connection was handed to another identity"));
                    }
                }
            };
            let _ = unless(end, whole).await;
        }
    }
    trace::closed(id, &client);
    drop((counted, slot));
}

/// How long what is no HTTP may take to say that its session is over.
const PARTING_WAIT: Duration = Duration::from_secs(3);

/// Returns when another identity holds the connection.
async fn handed_on(shared: &Arc<Shared>, owner: Option<Owner>) {
    match owner {
        Some(owner) => owner.handed_on(shared).await,
        None => std::future::pending().await,
    }
}

/// Returns when nothing of the session may go on.
pub(super) async fn over(session: &Session) {
    let mut changes = session.changes();
    while session.life() == Life::Open {
        if changes.changed().await.is_err() {
            return;
        }
    }
}

/// Most connections of one session over `limits.per_client` that are heard, each for the one request that is refused:
/// that costs a handshake. Beyond, a connection is closed.
const TOLD_MAX: u64 = 32;

/// What room there is for one more connection of a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    /// It is served.
    Within,
    /// It is over `limits.per_client`, and told so.
    Over,
    /// So many are being told that this one is not heard.
    None,
}

/// One connection counted against `limits.per_client`.
struct Counted {
    session: Arc<Session>,
    shared: Arc<Shared>,
    place: Place,
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.session.connections.fetch_sub(1, Ordering::AcqRel);
        if self.session.opening.origin == Origin::Connection {
            self.shared.end(&self.session, "connection_closed");
        }
    }
}

fn admit(shared: &Arc<Shared>, worker: &Rc<Worker>, seed: Seed) -> (Client, Option<Counted>) {
    match seed {
        Seed::Stranger { reason, facts } => (Client::Stranger(Rc::new(Stranger { reason, facts })), None),
        Seed::Member { session, facts, would } => {
            let most = shared.policy().limits.per_client;
            let before = session.connections.fetch_add(1, Ordering::AcqRel);
            let place = match before {
                n if n < most => Place::Within,
                n if n < most.saturating_add(TOLD_MAX) => Place::Over,
                _ => Place::None,
            };
            let counted = Some(Counted { session: session.clone(), shared: shared.clone(), place });
            let rooms = worker.rooms(&session);
            let (pool, mcp, is_over) = (rooms.pool.clone(), rooms.mcp.clone(), place != Place::Within);
            let member = Member { session, facts, would, pool, mcp, rooms, is_over };
            (Client::Member(Rc::new(member)), counted)
        }
    }
}

/// A CONNECT that was let through.
pub(super) struct Tunnel {
    pub(super) authority: Authority,
    /// What its head carried and must be told inside: agents wait for ever on a refused CONNECT.
    pub(super) taint: Option<Taint>,
}

/// What is known of a connection besides its bytes.
pub(super) struct Link<'a> {
    pub(super) shared: &'a Arc<Shared>,
    pub(super) worker: &'a Rc<Worker>,
    pub(super) client: &'a Client,
    pub(super) id: Uuid,
    pub(super) breaks: Breaks,
    /// Set where what is served sees the session's end by itself.
    pub(super) parts: Rc<Cell<bool>>,
    pub(super) there: There,
}

impl Link<'_> {
    /// Asks whether somebody holds the client's socket. The stream itself does not tell who closes one direction only
    /// from who has gone.
    pub(super) fn presence(&self) -> Box<dyn Fn() -> Presence> {
        match &self.there {
            There::Ends(client, own) => {
                let (shared, client, own) = (self.shared.clone(), *client, *own);
                Box::new(move || match shared.peers.socket(client, own) {
                    Ok(_) => Presence::Here,
                    Err(Unknown::NoSocket | Unknown::Orphaned) => Presence::Gone,
                    Err(_) => Presence::Unknown,
                })
            }
            There::Stream(stream) => {
                let stream = stream.clone();
                Box::new(move || if unix_peer_is_gone(&*stream) { Presence::Gone } else { Presence::Here })
            }
            There::Unknown => Box::new(|| Presence::Unknown),
        }
    }

    pub(super) fn conn(&self, via: Via, gate: Watch) -> Rc<Conn> {
        self.stream(via, gate, None)
    }

    /// For one request of many; `sign` tells of its body.
    pub(super) fn stream(&self, via: Via, gate: Watch, sign: Option<Sign>) -> Rc<Conn> {
        Rc::new(Conn {
            id: self.id,
            shared: self.shared.clone(),
            worker: self.worker.clone(),
            client: self.client.clone(),
            via,
            gate,
            breaks: self.breaks.clone(),
            watchman: Watchman::default(),
            patience: Patience::default(),
            sign,
        })
    }
}

/// The connection as a proxy sees it: absolute-form requests, until a CONNECT turns it into a tunnel.
async fn proxy(link: &Link<'_>, stream: Socket) -> Option<(Prefixed<Socket>, Tunnel)> {
    let (gate, watch) = Gate::requests(stream, link.worker.gate_limits(), link.worker.gate_waits());
    let conn = link.conn(Via::Proxy, watch);
    let asked: Rc<RefCell<Option<Tunnel>>> = Rc::default();
    let upgraded = websocket::Slot::default();
    let service = async |head: &mut http::request::Parts, body: h1::Incoming| match head.method {
        Method::CONNECT => connect(&conn, head, &asked),
        _ => websocket::noted(&upgraded, super::exchange(&conn, head, body).await),
    };
    // A revocation leaves nothing to say.
    let served = unless_revoked(&conn, h1::serve(gate, link.presence(), service)).await??;
    let tunnel = asked.borrow_mut().take();
    let unread = served.unread;
    let (mut stream, carried) = served.io.into_parts();
    if let Some(upgraded) = upgraded.take() {
        Box::pin(websocket::stream(link, &conn, upgraded, stream, [served.read, carried])).await;
        return None;
    }
    match tunnel {
        Some(tunnel) => Some((Prefixed::new([served.read, carried], stream), tunnel)),
        None => {
            told(&conn, unread, &mut stream).await;
            None
        }
    }
}

/// Records what is refused to a connection that is closed unheard.
fn unheard(link: &Link<'_>, stop: Stop) {
    let conn = link.conn(Via::Proxy, Watch::detached());
    let Some(head) = super::unseen::connect() else { return };
    // That nobody is told is what this is for.
    let _ = super::tunnel::unread(&conn, &head, stop);
}

/// Serves until the running call may no longer run; what is dropped then is cut, without a last chunk. When the gateway
/// drains, it serves no longer than to the end of what was asked.
pub(super) async fn unless_revoked<T>(conn: &Rc<Conn>, serving: impl Future<Output = T>) -> Option<T> {
    let leaving = async {
        conn.leaves().await;
        conn.gate.leave();
        std::future::pending().await
    };
    match &conn.client {
        Client::Stranger(_) => unless(leaving, serving).await,
        Client::Member(member) => {
            let end = async {
                tokio::select! {
                    () = conn.watchman.revoked(member, &conn.shared) => {}
                    () = leaving => {}
                }
            };
            unless(end, serving).await
        }
    }
}

/// Decides a CONNECT. It is refused only where the host does not exist for this agent, where its target is
/// malformed, or where no enclave is known: agents wait for ever on a refused CONNECT, so the rest is told inside.
fn connect(
    conn: &Rc<Conn>,
    head: &http::request::Parts,
    asked: &Rc<RefCell<Option<Tunnel>>>,
) -> Result<Response<Reply>, Cut> {
    let busy = Busy::new(&conn.worker);
    let mut x = Exchange::begin(conn, head);
    let answer = match allowed(conn, &mut x, head) {
        Ok(tunnel) => {
            asked.replace(Some(tunnel));
            x.tunnelled();
            conn.gate.open();
            Response::new(ReplyBody::whole(Bytes::new(), Exact::Told))
        }
        Err(stop) => last_of(conn, head.version, reply::refuse(x, stop, head)?),
    };
    Ok(answer.map(|body| Reply::new(body, conn, head.version, busy)))
}

fn allowed(conn: &Conn, x: &mut Exchange, head: &http::request::Parts) -> Result<Tunnel, Stop> {
    let generation = x.generation.clone();
    let policy = &*generation.policy;
    x.meant(head);
    // That its session is over, or has too many connections, is told inside.
    let member = identify::known(conn, x)?;
    let enclave = identify::enclave(policy, &member)?;
    let raw = head.uri.authority().map_or("", |a| a.as_str());
    x.asked(raw);
    let authority = Authority::parse(raw.as_bytes(), None).map_err(malformed)?;
    if let Some(host) = head.headers.get(http::header::HOST) {
        // Clients repeat the target there, with or without its port.
        let host = Authority::parse(host.as_bytes(), Some(authority.port)).map_err(malformed)?;
        if host != authority {
            return Err(Stop::refused(Reason::MalformedAuthority, "the Host header names another target than CONNECT"));
        }
    }
    x.connect_target(&authority);
    let mut trial = identify::admit_connect(policy, enclave, &member)?;
    trial.connect(&authority)?;
    let taint = misplaced(conn, x, head, &member, enclave, &authority);
    if let Some(taint) = &taint {
        x.alarm(taint.reason);
    }
    Ok(Tunnel { authority, taint })
}
