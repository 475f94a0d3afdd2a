//! The inside of a CONNECT: its first bytes, TLS with the client, and the requests in it.

use std::io;
use std::rc::Rc;
use std::time::Instant;

use bytes::Bytes;
use ensage_policy::authority::Authority;
use ensage_policy::{Reason, Scheme};
use http::request::Parts;
use http::{HeaderValue, Request, Response, Version};
use rustls::HandshakeKind;
use rustls::server::{Accepted, Acceptor};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio_rustls::StartHandshake;
use tokio_rustls::server::TlsStream;

use super::body::{Cut, ReplyBody};
use super::connection::{Link, Tunnel, unless_revoked};
use super::exchange::Exchange;
use super::identify::{self, Client, Conn, Via};
use super::prefixed::Prefixed;
use super::reply::{self, Stop};
use super::streams::streams;
use super::unseen::{self, Refusal, UNRECOGNIZED_NAME, Use};
use super::websocket;
use crate::gate::{Gate, Watch};
use crate::h1::{self, Incoming};
use crate::metrics::Leg;
use crate::socket::Socket;

const ALPN_H2: &[u8] = b"h2";

/// The inside of a CONNECT: TLS, plain HTTP/1, or nothing that we pass on.
pub(super) async fn tunnel(link: &Link<'_>, mut io: Prefixed<Socket>, asked: Tunnel) {
    let wait = link.shared.policy().limits.head_timeout;
    let note = |stop: Stop| tunnel_refused(link, &asked.authority, stop);
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
        let Tunnel { authority, taint } = asked;
        Box::pin(requests(link, Via::Tunnel { authority, scheme, taint }, io)).await;
        return;
    }
    if let Some(permit) = unseen::permit(link, &asked.authority) {
        return Box::pin(unseen::pass(link, io, permit, asked)).await;
    }
    let opened = {
        let mut opening = Box::pin(tls(link, io, &asked.authority));
        let opened = tokio::time::timeout(wait, opening.as_mut()).await;
        // The record first: with what is still opening the connection is closed.
        if opened.is_err() {
            note(Stop::refused(Reason::ClientTimeout, "the TLS handshake took too long"));
        }
        opened.ok().flatten()
    };
    let shaken = opened.as_ref().and_then(|tls| tls.get_ref().1.handshake_kind());
    link.worker.tally().handshake(Leg::Client, shaken);
    if let Some(stream) = opened {
        let resumed = shaken == Some(HandshakeKind::Resumed);
        let shaken = Instant::now();
        let Tunnel { authority, taint } = asked;
        let via = Via::Tunnel { authority: authority.clone(), scheme, taint };
        let used = match stream.get_ref().1.alpn_protocol() {
            Some(ALPN_H2) => Box::pin(streams(link, via, stream)).await,
            _ => Box::pin(requests(link, via, stream)).await,
        };
        // A resumed handshake shows no certificate that could be refused.
        if let Some(used) = used.filter(|used| *used == Use::Something || !resumed) {
            unseen::taken(link, &authority, used, shaken);
        }
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
async fn first_bytes(io: &mut Prefixed<Socket>) -> io::Result<First> {
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

/// A ClientHello fits, one with a post-quantum key share too; a longer one takes several reads.
const HELLO_PACKET: usize = 4096;

/// A fatal alert, for a client that has no keys yet (RFC 8446 section 6).
pub(super) const fn alert(description: u8) -> [u8; 7] {
    [0x15, 0x03, 0x03, 0x00, 0x02, 0x02, description]
}

/// The handshake with the client. A leaf is minted only here: after the host was allowed and the SNI agrees. What is
/// refused is recorded before the client sees anything of it; `None` where there is no TLS.
async fn tls(
    link: &Link<'_>,
    mut io: Prefixed<Socket>,
    authority: &Authority,
) -> Option<Box<TlsStream<Prefixed<Socket>>>> {
    let read = hello(&mut io).await;
    let named = read.and_then(|hello| match sni(hello.client_hello().server_name(), authority) {
        Ok(()) => Ok(hello),
        Err(stop) => Err(Some(stop)),
    });
    let accepted = match named {
        Ok(accepted) => accepted,
        Err(None) => return None,
        Err(Some(stop)) => {
            tunnel_refused(link, authority, stop);
            // RFC 6066 section 3.
            let _ = io.write_all(&alert(UNRECOGNIZED_NAME)).await;
            let _ = io.shutdown().await;
            return None;
        }
    };
    let leaf = reach_tls(link, authority).and_then(|()| {
        let minted = link.shared.minter.leaf(&authority.host);
        minted.map_err(|_| Stop::refused(Reason::Internal, "no certificate could be made for this host"))
    });
    let config = match leaf {
        Ok(config) => config,
        Err(stop) => {
            tunnel_refused(link, authority, stop);
            return None;
        }
    };
    let shakes = io.inner().shakes();
    shakes.set(true);
    let shaken = StartHandshake::from_parts(accepted, io).into_stream(config).await;
    shakes.set(false);
    match shaken {
        Ok(stream) => Some(Box::new(stream)),
        Err(error) => {
            if let Some(refusal) = Refusal::of(&error) {
                unseen::refused(link, authority, refusal);
            }
            None
        }
    }
}

/// Reads the ClientHello and answers nothing yet: for one that rustls refuses (two names, a name that is none) it has
/// an alert of its own, and the client must get exactly one. `None` where the client went away.
async fn hello(io: &mut Prefixed<Socket>) -> Result<Accepted, Option<Stop>> {
    let mut acceptor = Acceptor::default();
    let mut packet = vec![0; HELLO_PACKET];
    loop {
        let n = io.read(&mut packet).await.map_err(|_| None)?;
        let mut bytes = packet.get(..n).unwrap_or_default();
        if bytes.is_empty() {
            return Err(None);
        }
        while !bytes.is_empty() {
            if acceptor.read_tls(&mut bytes).map_err(|_| None)? == 0 {
                return Err(None);
            }
        }
        match acceptor.accept() {
            Ok(None) => {}
            Ok(Some(accepted)) => return Ok(accepted),
            Err((_, _alert)) => {
                let what = "the ClientHello cannot be read in one way only";
                return Err(Some(Stop::refused(Reason::AuthorityMismatch, what)));
            }
        }
    }
}

/// CONNECT target and SNI are one name; no SNI is good for an address literal only (RFC 6066 section 3).
pub(super) fn sni(name: Option<&str>, authority: &Authority) -> Result<(), Stop> {
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
fn reach_tls(link: &Link<'_>, authority: &Authority) -> Result<(), Stop> {
    let Client::Member(member) = link.client else { return Ok(()) };
    let policy = link.shared.policy();
    let enclave = identify::enclave(&policy, member)?;
    let mut trial = identify::admit_connect(&policy, enclave, member)?;
    trial.reach(authority, Scheme::Https).map_err(Stop::from)
}

/// Records what was refused in a tunnel before any request could be answered in it.
fn tunnel_refused(link: &Link<'_>, authority: &Authority, stop: Stop) {
    let conn = link.conn(Via::Proxy, Watch::detached());
    let Some(head) = unseen::connect() else { return };
    let mut x = Exchange::begin(&conn, &head);
    if let Client::Member(member) = link.client {
        x.member(member);
    }
    x.connect_target(authority);
    let _ = reply::refuse(x, stop, &head);
}

/// Requests inside a tunnel, through the gate, until either side is done. `None` where it was cut.
async fn requests<IO>(link: &Link<'_>, via: Via, io: IO) -> Option<Use>
where
    IO: AsyncRead + AsyncWrite + Unpin + 'static,
{
    let (gate, watch) = Gate::requests(io, link.worker.gate_limits(), link.worker.gate_waits());
    let conn = link.conn(via, watch);
    let upgraded = websocket::Slot::default();
    let service =
        async |head: &mut Parts, body: Incoming| websocket::noted(&upgraded, super::exchange(&conn, head, body).await);
    let served = unless_revoked(&conn, h1::serve(gate, link.presence(), service)).await??;
    let (mut io, carried) = served.io.into_parts();
    if let Some(upgraded) = upgraded.take() {
        Box::pin(websocket::stream(link, &conn, upgraded, io, [served.read, carried])).await;
        return Some(Use::Something);
    }
    told(&conn, served.unread, &mut io).await;
    Some(if conn.gate.is_unused() { Use::Nothing } else { Use::Something })
}

/// Answers what the gate refused or what is `unread`, then closes in a way that lets the client read the answer. Says
/// nothing, not even goodbye, behind an answer that broke off.
pub(super) async fn told<IO>(conn: &Rc<Conn>, unread: bool, io: &mut IO)
where
    IO: AsyncRead + AsyncWrite + Unpin,
{
    if conn.breaks.get() {
        return;
    }
    let unread = unread.then_some((Reason::MalformedRequest, "the head of the request cannot be read"));
    let refused = conn.gate.violation().map(|violation| (violation.kind.reason(), violation.detail)).or(unread);
    if let Some((reason, detail)) = refused {
        let answer = violated(conn, reason, detail);
        if let Some(bytes) = answer.filter(|_| conn.gate.may_tell()) {
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
    unread(conn, &head, Stop::refused(reason, detail)).ok().map(plain)
}

/// Refuses and records what no exchange can be made of.
pub(super) fn unread(conn: &Rc<Conn>, head: &Parts, stop: Stop) -> Result<Response<ReplyBody>, Cut> {
    let mut x = Exchange::begin(conn, head);
    x.unread();
    if let Client::Member(member) = &conn.client {
        x.member(member);
    }
    reply::refuse(x, stop, head)
}

/// An answer of ours as bytes: nothing is served on the connection any more.
fn plain(mut answer: Response<ReplyBody>) -> Bytes {
    answer.headers_mut().insert(http::header::CONNECTION, HeaderValue::from_static("close"));
    let mut out = Vec::with_capacity(512);
    h1::write_response(&mut out, Version::HTTP_11, answer.status(), answer.headers());
    out.extend_from_slice(b"\r\n");
    if let ReplyBody::Whole { bytes: Some(body), .. } = answer.body() {
        out.extend_from_slice(body);
    }
    out.into()
}

/// Reads and drops what is still coming, bounded; a reset would take the answer away from the client.
pub(super) async fn drain<IO: AsyncRead + Unpin>(io: &mut IO) {
    let mut sink = vec![0u8; 16 * 1024];
    let mut left = h1::DRAIN_BYTES_MAX;
    let read = async {
        while let Ok(n) = io.read(&mut sink).await {
            let Some(rest) = left.checked_sub(n) else { return };
            if n == 0 {
                return;
            }
            left = rest;
        }
    };
    let _ = tokio::time::timeout(h1::DRAIN_WAIT, read).await;
}
