//! From an accepted socket to requests: the head gate, CONNECT, the first bytes of a tunnel, TLS.

use std::cell::RefCell;
use std::future::poll_fn;
use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use bytes::{Bytes, BytesMut};
use ensage_policy::authority::Authority;
use ensage_policy::judge::Trial;
use ensage_policy::{Reason, Scheme};
use http::{HeaderValue, Method};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::LazyConfigAcceptor;
use uuid::Uuid;

use super::body::{Cut, Exact, Reply, ReplyBody};
use super::identify::{self, Client, Conn, Facts, Member, Stranger, Taint, Via};
use super::prefixed::Prefixed;
use super::record::Exchange;
use super::reply::{self, Stop};
use super::request::malformed;
use super::substitute::misplaced;
use crate::gate::{Gate, Watch};
use crate::gateway::{ConnectionSlot, Shared};
use crate::session::{Life, Origin, Session};
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

/// An accepted connection on its way to its worker.
pub(crate) struct Arrival {
    /// The socket.
    pub(crate) stream: std::net::TcpStream,
    /// Who is behind it.
    pub(crate) seed: Seed,
    /// Counts against `limits.connections` until it is dropped.
    pub(crate) slot: ConnectionSlot,
}

/// Serves one client connection to its end. Dropping the future cuts everything that it carries.
pub(crate) async fn serve(shared: Arc<Shared>, worker: Rc<Worker>, arrival: Arrival) {
    let Arrival { stream, seed, slot } = arrival;
    let Ok(stream) = TcpStream::from_std(stream) else { return };
    // Without it Nagle and delayed ACK together cost 40 ms on every small answer.
    if stream.set_nodelay(true).is_err() {
        return;
    }
    let (client, counted) = admit(&shared, &worker, seed);
    let id = Uuid::now_v7();
    let life = counted.as_ref().map(|c| c.session.clone());
    let link = Link { shared: &shared, worker: &worker, client: &client, id };
    let whole = async {
        if let Some((io, asked)) = proxy(&link, stream).await {
            tunnel(&link, io, asked).await;
        }
    };
    match life {
        None => whole.await,
        Some(session) => {
            tokio::select! {
                () = whole => {}
                () = over(&session) => {}
            }
        }
    }
    drop((counted, slot));
}

/// Returns when nothing of the session may go on.
async fn over(session: &Session) {
    let mut changes = session.changes();
    while session.life() == Life::Open {
        if changes.changed().await.is_err() {
            return;
        }
    }
}

/// One connection counted against `limits.per_client`.
struct Counted {
    session: Arc<Session>,
    shared: Arc<Shared>,
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
            let counted = Some(Counted { session: session.clone(), shared: shared.clone() });
            if before >= most {
                return (Client::Stranger(Rc::new(Stranger { reason: Reason::Overloaded, facts })), counted);
            }
            let rooms = worker.rooms(&session);
            let member = Member { session, facts, would, pool: rooms.pool, mcp: rooms.mcp };
            (Client::Member(Rc::new(member)), counted)
        }
    }
}

/// A CONNECT that was let through.
struct Tunnel {
    authority: Authority,
    /// What its head carried and must be told inside: agents wait for ever on a refused CONNECT.
    taint: Option<Taint>,
}

/// What is known of a connection besides its bytes.
struct Link<'a> {
    shared: &'a Arc<Shared>,
    worker: &'a Rc<Worker>,
    client: &'a Client,
    id: Uuid,
}

impl Link<'_> {
    fn conn(&self, via: Via, gate: Watch) -> Rc<Conn> {
        Rc::new(Conn {
            id: self.id,
            shared: self.shared.clone(),
            worker: self.worker.clone(),
            client: self.client.clone(),
            via,
            gate,
        })
    }
}

/// The connection as a proxy sees it: absolute-form requests, until a CONNECT turns it into a tunnel.
async fn proxy(link: &Link<'_>, stream: TcpStream) -> Option<(Prefixed<TcpStream>, Tunnel)> {
    let (gate, watch) = Gate::requests(stream, link.worker.gate_limits(), link.worker.gate_waits());
    let conn = link.conn(Via::Proxy, watch);
    let asked: Rc<RefCell<Option<Tunnel>>> = Rc::default();
    let service = {
        let (conn, asked) = (conn.clone(), asked.clone());
        service_fn(move |request: Request<Incoming>| {
            let (conn, asked) = (conn.clone(), asked.clone());
            Box::pin(async move {
                match *request.method() {
                    Method::CONNECT => connect(&conn, request, &asked),
                    _ => super::exchange(conn, request).await,
                }
            })
        })
    };
    let mut served = builder(link.worker).serve_connection(TokioIo::new(gate), service);
    // An error here is as good as an end: where the gate refused a head of which a part was shown, hyper sees a stream
    // that broke off, and the client must still be told.
    let _ = poll_fn(|cx| served.poll_without_shutdown(cx)).await;
    let tunnel = asked.borrow_mut().take();
    let parts = served.into_parts();
    let (mut stream, carried) = parts.io.into_inner().into_parts();
    match tunnel {
        Some(tunnel) => Some((Prefixed::new([parts.read_buf, carried], stream), tunnel)),
        None => {
            told(&conn, &mut stream).await;
            None
        }
    }
}

fn builder(worker: &Worker) -> hyper::server::conn::http1::Builder {
    let mut b = hyper::server::conn::http1::Builder::new();
    // Nothing is added to what the upstream said (contract section 4); our own answers carry their date.
    b.auto_date_header(false).max_headers(worker.header_lines());
    b
}

/// Decides a CONNECT. It is refused only where the host does not exist for this agent, where its target is
/// malformed, or where no enclave is known: agents wait for ever on a refused CONNECT, so the rest is told inside.
fn connect(
    conn: &Rc<Conn>,
    request: Request<Incoming>,
    asked: &Rc<RefCell<Option<Tunnel>>>,
) -> Result<Response<Reply>, Cut> {
    let (head, body) = request.into_parts();
    let mut x = Exchange::begin(conn, &head);
    let answer = match allowed(conn, &mut x, &head) {
        Ok(tunnel) => {
            asked.replace(Some(tunnel));
            x.tunnelled();
            conn.gate.open();
            Response::new(ReplyBody::whole(Bytes::new(), Exact::Told))
        }
        Err(stop) => reply::refuse(conn, x, stop, Some(body), &head)?,
    };
    Ok(answer.map(|body| Reply::new(body, &conn.gate)))
}

fn allowed(conn: &Conn, x: &mut Exchange, head: &http::request::Parts) -> Result<Tunnel, Stop> {
    let policy = x.policy.clone();
    let member = identify::member(conn, x)?;
    let enclave = identify::enclave(&policy, &member)?;
    let raw = head.uri.authority().map_or("", |a| a.as_str());
    let authority = Authority::parse(raw.as_bytes(), None).map_err(malformed)?;
    if let Some(host) = head.headers.get(http::header::HOST) {
        // Clients repeat the target there, with or without its port.
        let host = Authority::parse(host.as_bytes(), Some(authority.port)).map_err(malformed)?;
        if host != authority {
            return Err(Stop::refused(Reason::MalformedAuthority, "the Host header names another target than CONNECT"));
        }
    }
    x.connect_target(&authority);
    let mut trial = Trial::begin(&policy, &enclave, identify::mode(&enclave, &member));
    identify::admit(&mut trial, &member, &enclave)?;
    trial.connect(&authority)?;
    let taint = misplaced(conn, x, head, &member, &enclave, &authority);
    if let Some(taint) = &taint {
        x.alarm(taint.reason);
    }
    Ok(Tunnel { authority, taint })
}

/// The inside of a CONNECT: TLS, plain HTTP/1, or nothing that we pass on.
async fn tunnel(link: &Link<'_>, mut io: Prefixed<TcpStream>, asked: Tunnel) {
    let wait = link.shared.policy().limits.head_timeout;
    let Tunnel { authority, taint } = asked;
    let note = |stop: Stop| tunnel_refused(link, &authority, stop);
    let scheme = match tokio::time::timeout(wait, first_bytes(&mut io)).await {
        Err(_) => return note(Stop::refused(Reason::ClientTimeout, "nothing was sent in the tunnel in time")),
        Ok(Err(_)) => return,
        Ok(Ok(First::Other)) => {
            return note(Stop::refused(Reason::ProtocolNotAllowed, "only TLS and HTTP/1.1 are let through a CONNECT"));
        }
        Ok(Ok(First::Tls)) => Scheme::Https,
        Ok(Ok(First::Http)) => Scheme::Http,
    };
    if scheme == Scheme::Http {
        return requests(link, Via::Tunnel { authority, scheme, taint }, io).await;
    }
    match tokio::time::timeout(wait, tls(link, io, &authority)).await {
        Err(_) => note(Stop::refused(Reason::ClientTimeout, "the TLS handshake took too long")),
        Ok(Err(None)) => {}
        Ok(Err(Some(stop))) => note(stop),
        Ok(Ok(stream)) => requests(link, Via::Tunnel { authority, scheme, taint }, stream).await,
    }
}

/// What the first bytes of a tunnel are.
enum First {
    Tls,
    Http,
    Other,
}

/// Longest method token that is waited for.
const METHOD_BYTES_MAX: usize = 24;

/// Looks at the first bytes without taking them: 0x16 is a TLS handshake record, `TOKEN SP` is HTTP/1.
async fn first_bytes(io: &mut Prefixed<TcpStream>) -> io::Result<First> {
    loop {
        let seen = io.prefix();
        match seen.first() {
            None => {}
            Some(0x16) => return Ok(First::Tls),
            Some(b) if !b.is_ascii_uppercase() => return Ok(First::Other),
            Some(_) => {
                let token = seen.iter().take_while(|b| b.is_ascii_uppercase()).count();
                match seen.get(token) {
                    Some(b' ') => return Ok(First::Http),
                    Some(_) => return Ok(First::Other),
                    None if token > METHOD_BYTES_MAX => return Ok(First::Other),
                    None => {}
                }
            }
        }
        if io.fill().await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
}

/// The alert that RFC 6066 section 3 gives for a name the server does not answer for.
const UNRECOGNIZED_NAME: [u8; 7] = [0x15, 0x03, 0x03, 0x00, 0x02, 0x02, 0x70];

/// The handshake with the client. A leaf is minted only here: after the host was allowed and the SNI agrees.
async fn tls(
    link: &Link<'_>,
    io: Prefixed<TcpStream>,
    authority: &Authority,
) -> Result<tokio_rustls::server::TlsStream<Prefixed<TcpStream>>, Option<Stop>> {
    let mut hello = LazyConfigAcceptor::new(rustls::server::Acceptor::default(), io);
    let start = match (&mut hello).await {
        Ok(start) => start,
        Err(e) => return Err(hello_failed(&mut hello, &e).await),
    };
    if let Err(stop) = sni(start.client_hello().server_name(), authority) {
        let mut io = start.io;
        let _ = io.write_all(&UNRECOGNIZED_NAME).await;
        let _ = io.shutdown().await;
        return Err(Some(stop));
    }
    reach_tls(link, authority)?;
    let config = link
        .shared
        .minter
        .leaf(&authority.host)
        .map_err(|_| Some(Stop::refused(Reason::Internal, "no certificate could be made for this host")))?;
    // A client that refuses our certificate is its own affair; nothing was asked yet, so nothing is recorded.
    start.into_stream(config).await.map_err(|_| None)
}

/// A hello that rustls refuses (two names, a name that is none) is an authority that cannot be read in one way.
async fn hello_failed<IO>(hello: &mut LazyConfigAcceptor<IO>, error: &io::Error) -> Option<Stop>
where
    IO: AsyncRead + AsyncWrite + Unpin,
{
    let malformed = error.get_ref().is_some_and(|e| e.is::<rustls::Error>());
    if !malformed {
        return None;
    }
    if let Some(mut io) = hello.take_io() {
        let _ = io.write_all(&UNRECOGNIZED_NAME).await;
        let _ = io.shutdown().await;
    }
    Some(Stop::refused(Reason::AuthorityMismatch, "the ClientHello cannot be read in one way only"))
}

/// CONNECT target and SNI are one name; no SNI is good for an address literal only (RFC 6066 section 3).
fn sni(name: Option<&str>, authority: &Authority) -> Result<(), Stop> {
    let literal = authority.host.ip().is_some();
    let same = match name {
        None => literal,
        Some(name) => {
            Authority::parse(name.as_bytes(), Some(authority.port)).is_ok_and(|sni| sni.host == authority.host)
        }
    };
    if same {
        return Ok(());
    }
    Err(Stop::refused(Reason::AuthorityMismatch, "SNI and CONNECT target are not one name"))
}

/// A host that only an `http` entry opens gets no certificate.
fn reach_tls(link: &Link<'_>, authority: &Authority) -> Result<(), Option<Stop>> {
    let Client::Member(member) = link.client else { return Ok(()) };
    let policy = link.shared.policy();
    let enclave = identify::enclave(&policy, member).map_err(Some)?;
    let mut trial = Trial::begin(&policy, &enclave, identify::mode(&enclave, member));
    trial.reach(authority, Scheme::Https).map_err(|d| Some(Stop::from(d)))
}

/// Records what was refused in a tunnel before any request could be answered in it.
fn tunnel_refused(link: &Link<'_>, authority: &Authority, stop: Stop) {
    let conn = link.conn(Via::Proxy, Watch::detached());
    let head = Request::builder().method(Method::CONNECT).body(()).map(|r| r.into_parts().0);
    let Ok(head) = head else { return };
    let mut x = Exchange::begin(&conn, &head);
    if let Client::Member(member) = link.client {
        x.member(member);
    }
    x.connect_target(authority);
    let _ = reply::refuse(&conn, x, stop, None, &head);
}

/// Requests inside a tunnel, through the gate, until either side is done.
async fn requests<IO>(link: &Link<'_>, via: Via, io: IO)
where
    IO: AsyncRead + AsyncWrite + Unpin + 'static,
{
    let (gate, watch) = Gate::requests(io, link.worker.gate_limits(), link.worker.gate_waits());
    let conn = link.conn(via, watch);
    let service = {
        let conn = conn.clone();
        service_fn(move |request: Request<Incoming>| Box::pin(super::exchange(conn.clone(), request)))
    };
    let mut served = builder(link.worker).serve_connection(TokioIo::new(gate), service);
    let _ = poll_fn(|cx| served.poll_without_shutdown(cx)).await;
    let (mut io, _) = served.into_parts().io.into_inner().into_parts();
    told(&conn, &mut io).await;
}

/// Answers what the gate refused, then closes in a way that lets the client read the answer.
async fn told<IO>(conn: &Rc<Conn>, io: &mut IO)
where
    IO: AsyncRead + AsyncWrite + Unpin,
{
    if let Some(violation) = conn.gate.violation() {
        let answer = violated(conn, violation.kind.reason(), violation.detail);
        if let Some(bytes) = answer {
            let _ = io.write_all(&bytes).await;
        }
        let _ = io.shutdown().await;
        drain(io).await;
        return;
    }
    let _ = io.shutdown().await;
}

fn violated(conn: &Rc<Conn>, reason: Reason, detail: &'static str) -> Option<Bytes> {
    let head = Request::builder().body(()).ok()?.into_parts().0;
    let mut x = Exchange::begin(conn, &head);
    x.unread();
    if let Client::Member(member) = &conn.client {
        x.member(member);
    }
    let answer = reply::refuse(conn, x, Stop::refused(reason, detail), None, &head).ok()?;
    Some(plain(answer))
}

/// An answer of ours as bytes: hyper has already let go of the connection.
fn plain(mut answer: Response<ReplyBody>) -> Bytes {
    answer.headers_mut().insert(http::header::CONNECTION, HeaderValue::from_static("close"));
    let mut out = BytesMut::with_capacity(512);
    let status = answer.status();
    out.extend_from_slice(b"HTTP/1.1 ");
    out.extend_from_slice(status.as_str().as_bytes());
    out.extend_from_slice(b" ");
    out.extend_from_slice(status.canonical_reason().unwrap_or("").as_bytes());
    out.extend_from_slice(b"\r\n");
    for (name, value) in answer.headers() {
        out.extend_from_slice(name.as_str().as_bytes());
        out.extend_from_slice(b": ");
        out.extend_from_slice(value.as_bytes());
        out.extend_from_slice(b"\r\n");
    }
    out.extend_from_slice(b"\r\n");
    if let ReplyBody::Whole { bytes: Some(body), .. } = answer.body() {
        out.extend_from_slice(body);
    }
    out.freeze()
}

/// Reads and drops what is still coming, bounded; a reset would take the answer away from the client.
async fn drain<IO: AsyncRead + Unpin>(io: &mut IO) {
    let mut sink = vec![0u8; 16 * 1024];
    let mut left: usize = 1024 * 1024;
    let read = async {
        while let Ok(n) = io.read(&mut sink).await {
            let Some(rest) = left.checked_sub(n) else { return };
            if n == 0 {
                return;
            }
            left = rest;
        }
    };
    let _ = tokio::time::timeout(std::time::Duration::from_secs(2), read).await;
}
