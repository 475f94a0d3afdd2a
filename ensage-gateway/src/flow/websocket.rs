//! WebSocket: the handshake within `judged`, and what both sides say behind it, in the connection's own future.
//!
//! ```text
//! client ─▶ up    searched for placeholders ─▶ upstream
//! client ◀─ down  secrets taken out where credentials bind the host ◀─ upstream
//! ```
//! Where an extension was agreed on (never on a governed host) frames pass unread, but for where they begin and end.

mod handshake;
mod lane;
mod relay;

use std::cell::RefCell;
use std::rc::Rc;

use bytes::Bytes;
use ensage_policy::judge::Upgrade;
use http::{Response, header};
use tokio::io::{AsyncRead, AsyncWrite};

use super::Asked;
use super::body::{Cut, Reply};
use super::connection::{Link, over};
use super::exchange::Exchange;
use super::forward::Loan;
use super::identify::{Client, Conn};
use super::reply::Stop;
use super::respond::{Expected, hop_by_hop};
use super::substitute::{ScrubPlan, Search};
use super::wait::unless;
use crate::upstream::{Fault, OriginIo};
use handshake::Frames;
pub(crate) use handshake::Handshake;
use lane::Lane;
use relay::{Finish, Relay};

/// What is needed of upstream behind its 101.
pub(crate) struct Upgraded {
    origin: OriginIo,
    up: Lane,
    down: Lane,
}

/// Where a connection's service leaves what its last answer has led to.
pub(super) type Slot = RefCell<Option<(Box<Exchange>, Box<Upgraded>)>>;

/// What a head asks for. What asks to become a WebSocket is recorded as one, whatever becomes of it.
pub(super) fn asked(x: &mut Exchange, head: &http::request::Parts) -> Upgrade {
    let upgrade = handshake::asked(head);
    if matches!(upgrade, Upgrade::Websocket | Upgrade::Malformed(_)) {
        x.websocket();
    }
    upgrade
}

/// Notes what the answer must be like, for a request that may become a WebSocket.
pub(super) fn expect(asked: &Asked<'_>, x: &mut Exchange, upgrade: Upgrade) {
    if upgrade != Upgrade::Websocket {
        return;
    }
    let search = || Search::new(asked.conn, asked.member, asked.sites);
    if let Some(handshake) = Handshake::of(asked.head, [search(), search()]) {
        x.expect(Expected::Websocket(Box::new(handshake)));
    }
}

/// Verifies a 101 and takes the stream behind it.
pub(super) fn accepted(
    x: &mut Exchange,
    head: &mut http::response::Parts,
    loan: &mut Loan,
    scrub: &ScrubPlan,
) -> Result<Box<Upgraded>, Stop> {
    let protocol = |detail| Stop::from(Fault::Protocol { detail });
    let Expected::Websocket(handshake) = std::mem::replace(&mut x.expected, Expected::Opaque) else {
        return Err(protocol("101 although no upgrade was asked for"));
    };
    let frames = handshake.accepts(&head.headers)?;
    hop_by_hop(&mut head.headers);
    if let Some(mut scrubber) = scrub.scrubber() {
        x.scrubbed(scrubber.scrub_headers(&mut head.headers) as u64);
    }
    head.headers.insert(header::CONNECTION, handshake::CONNECTION);
    head.headers.insert(header::UPGRADE, handshake::WEBSOCKET);
    let (origin, read) = loan.take_stream().ok_or_else(|| protocol("101 before it has the whole request"))?;
    let (up, down) = match (frames, scrub.is_governed()) {
        (Frames::Extended, _) => (Lane::open(), Lane::open()),
        (Frames::Plain, false) => (Lane::searched(handshake.search, false), Lane::open()),
        (Frames::Plain, true) => (Lane::searched(handshake.search, true), Lane::scrubbing(scrub.patterns())),
    };
    x.status(head.status);
    Ok(Box::new(Upgraded { origin, up, down: down.beginning(&read) }))
}

/// Takes out of an answer what the connection needs when that is written.
pub(super) fn noted(slot: &Slot, answer: Result<Response<Reply>, Cut>) -> Result<Response<Reply>, Cut> {
    answer.map(|mut answer| {
        if let Some(upgraded) = answer.body_mut().upgraded() {
            slot.replace(Some(upgraded));
        }
        answer
    })
}

/// Carries frames both ways until both sides are done, or nothing may go on. `read` came from the client too early.
pub(super) async fn stream<IO>(
    link: &Link<'_>,
    conn: &Rc<Conn>,
    upgraded: (Box<Exchange>, Box<Upgraded>),
    client: IO,
    read: [Bytes; 2],
) where
    IO: AsyncRead + AsyncWrite + Unpin,
{
    let (x, upgraded) = upgraded;
    let Upgraded { origin, up, down } = *upgraded;
    let Client::Member(member) = &conn.client else { return };
    let mut relay = Relay::new(x, client, origin, up.beginning(&read), down, link.presence());
    link.parts.set(true);
    let end = async {
        tokio::select! {
            () = over(&member.session) => {}
            () = conn.watchman.revoked(member, &conn.shared) => {}
        }
    };
    let finish = unless(end, relay.run()).await.unwrap_or(Finish::Stopped);
    relay.end(finish).await;
}
