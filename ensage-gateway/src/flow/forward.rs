//! The egress leg of one exchange: a pooled or new connection, the request, the head of the answer.

use std::future::poll_fn;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use ensage_policy::Reason;
use http::{Request, Response};
use tokio::time::Instant;

use super::body::{Cut, OutBody, UpSeen};
use super::exchange::Exchange;
use super::identify::{Conn, Member};
use super::reply::Stop;
use super::respond::Expected;
use super::substitute::{Outbound, ScrubPlan};
use crate::gate::{Asked, Gate, Watch};
use crate::h1::{Incoming, Link, SendError};
use crate::h2::{self, Call, CallError};
use crate::upstream::{Dialer, Fault, Lane, Lease, OriginIo, PoolKey, Shared, Single};

/// The head of an answer, its body unread.
pub(crate) struct Answer {
    /// What the upstream said.
    pub(crate) response: Response<Incoming>,
    /// The connection, given back to the pool when the body is complete.
    pub(crate) loan: Loan,
    /// What must not be reflected.
    pub(crate) scrub: ScrubPlan,
}

impl Answer {
    /// The address that was dialled.
    pub(crate) fn peer(&self) -> Option<SocketAddr> {
        match &self.loan.lent {
            Some(Lent::Single(single)) => Some(single.peer),
            Some(Lent::Stream(_, shared)) => Some(shared.peer),
            None => None,
        }
    }
}

/// What is used of a connection, or all of it. Dropped without [`Loan::done`], and with it the answer's body, it is
/// closed: that cancels the upstream request.
pub(crate) struct Loan {
    lent: Option<Lent>,
    lane: Rc<Lane>,
}

enum Lent {
    Single(Single),
    Stream(Call<OutBody>, Rc<Shared>),
}

impl Loan {
    /// The answer is complete: the connection may serve the next request of this session, unless this one's body is
    /// still under way.
    pub(crate) fn done(&mut self) {
        match &self.lent {
            Some(Lent::Single(single)) if single.link.is_idle() => {}
            _ => return,
        }
        if let Some(Lent::Single(single)) = self.lent.take() {
            self.lane.give_back(single);
        }
    }

    /// True where nothing of the request is left to be sent.
    pub(crate) fn is_out(&self) -> bool {
        match &self.lent {
            Some(Lent::Single(single)) => single.link.is_out(),
            Some(Lent::Stream(call, _)) => call.is_out(),
            None => true,
        }
    }

    /// Goes on with a body that is still under way. The connection is closed with the loan.
    pub(crate) fn poll_upload(&self, cx: &mut Context<'_>) -> Poll<()> {
        match &self.lent {
            Some(Lent::Single(single)) => single.link.poll_rest(cx),
            Some(Lent::Stream(call, _)) => call.poll_rest(cx),
            None => Poll::Ready(()),
        }
    }

    /// The stream itself and what was read of it, where the answer has led out of HTTP.
    pub(super) fn take_stream(&mut self) -> Option<(OriginIo, [Bytes; 2])> {
        let Some(Lent::Single(single)) = self.lent.take() else { return None };
        let (gate, read) = single.link.into_parts()?;
        let (io, carried) = gate.into_parts();
        Some((io, [read, carried]))
    }

    /// What the response gate refused, if it refused something.
    pub(crate) fn violation(&self) -> Option<&'static str> {
        match &self.lent {
            Some(Lent::Single(single)) => single.gate.violation().map(|v| v.detail),
            Some(Lent::Stream(..)) | None => None,
        }
    }
}

/// How long an upstream may take for its answer's head before the running call is shown in the log.
const SHOWN_AFTER: Duration = Duration::from_secs(1);
/// How often a request is sent once more that an upstream has not looked at (RFC 9113 section 8.7).
const AGAIN_MAX: u32 = 3;

/// Sends the request over a pooled connection, or a new one where there is none that is still open.
pub(crate) async fn send(conn: &Conn, x: &mut Exchange, member: &Member, outbound: Outbound) -> Result<Answer, Stop> {
    let Outbound { request, key, shares, scrub, te } = outbound;
    let dialer = dialer(conn, x)?;
    x.via(dialer.via(&key.authority));
    let limit = x.policy().limits.upstream_head_timeout;
    let begun = Instant::now();
    x.hands_over(begun.into_std());
    let shown = begun + SHOWN_AFTER;
    let lane = member.pool.lane(&key);
    let (head, mut body) = request.into_parts();
    for _ in 0..=AGAIN_MAX {
        let (lease, due) = match poll_fn(|cx| Poll::Ready(lane.take(shares, cx))).await {
            Some(lease) => (lease, begun + limit),
            None => {
                // Boxed: it is seldom needed, and larger than all the rest.
                let opened = Box::pin(open(&dialer, &key, shares, conn, &lane));
                let lease = until_shown(conn, x, shown, None, pin!(opened)).await??;
                (lease, Instant::now() + limit)
            }
        };
        match lease {
            Lease::Single(single) => {
                let upgrades = matches!(x.expected, Expected::Websocket(_));
                single.gate.expect(if upgrades { Asked::Upgrade } else { Asked::from(&head.method) });
                single.link.ask(Request::from_parts(head, body));
                let answered = until_shown(conn, x, shown, Some(due), pin!(single.link.answer())).await?;
                let response = answered.map_err(|error| failed(&x.up, &single.gate, &error))?;
                x.takes_over();
                return Ok(Answer { response, loan: Loan { lent: Some(Lent::Single(single)), lane }, scrub });
            }
            Lease::Shared(shared) => {
                let call = match Call::ask(&shared.handle, head.clone(), body, te) {
                    Ok(call) => call,
                    Err(back) => {
                        body = back;
                        continue;
                    }
                };
                let answered = until_shown(conn, x, shown, Some(due), pin!(call.answer(&shared.handle))).await;
                // A connection on which nothing comes must not hold up whoever asks next.
                match answered.inspect_err(|_| shared.handle.close())? {
                    Ok(response) => {
                        x.takes_over();
                        return Ok(Answer {
                            response,
                            loan: Loan { lent: Some(Lent::Stream(call, shared)), lane },
                            scrub,
                        });
                    }
                    Err(CallError::Unprocessed) => match call.into_body() {
                        Some(back) => body = back,
                        None => return Err(Fault::Closed.into()),
                    },
                    Err(error) => return Err(ended(&x.up, &error)),
                }
            }
        }
    }
    Err(Fault::Closed.into())
}

/// What connections of this exchange's generation are opened by.
pub(super) fn dialer(conn: &Conn, x: &Exchange) -> Result<Rc<Dialer>, Stop> {
    conn.worker.dialer(&x.generation).map_err(|error| {
        tracing::error!(error = &error as &dyn std::error::Error, "the upstream leg cannot be set up");
        Stop::refused(Reason::Internal, "the gateway cannot reach any upstream now")
    })
}

/// What `work` comes to, by `due` where there is a limit. When it is not done by `shown`, the call goes into the log on
/// its way.
async fn until_shown<T>(
    conn: &Conn,
    x: &mut Exchange,
    shown: Instant,
    due: Option<Instant>,
    mut work: Pin<&mut impl Future<Output = T>>,
) -> Result<T, Stop> {
    if x.is_launched() && due.is_none_or(|due| shown < due) {
        if let Some(done) = conn.patience.until(shown, work.as_mut()).await {
            return Ok(done);
        }
        x.decided(None)?;
    }
    match due {
        Some(due) => conn.patience.until(due, work).await.ok_or_else(|| Fault::Timeout.into()),
        None => Ok(work.await),
    }
}

/// Opens a connection. Where it may become one that many share, whoever comes meanwhile waits for it instead of opening
/// another.
async fn open(dialer: &Dialer, key: &PoolKey, shares: bool, conn: &Conn, lane: &Rc<Lane>) -> Result<Lease, Stop> {
    if let Some(opening) = lane.opening().filter(|_| shares) {
        opening.notified().await;
        if let Some(lease) = poll_fn(|cx| Poll::Ready(lane.take(shares, cx))).await {
            return Ok(lease);
        }
    }
    let _opening = shares.then(|| lane.open());
    let connected = dialer.dial(key, shares, &conn.shared).await?;
    let limits = conn.worker.gate_limits();
    if shares {
        lane.opened(!connected.h2);
    }
    if connected.h2 {
        let (handle, running) = h2::connect(connected.io, limits).await.map_err(|_| Fault::Closed)?;
        // It ends with the last of its requests once the pool has let go of it.
        tokio::task::spawn_local(async move {
            if let Err(error) = running.await {
                tracing::debug!(%error, "a connection to an upstream broke");
            }
        });
        return Ok(Lease::Shared(lane.share(handle, connected.peer)));
    }
    let (gate, handle) = Gate::responses(connected.io, limits);
    Ok(Lease::Single(Single { link: Link::new(gate), gate: handle, peer: connected.peer }))
}

/// Names what went wrong between the request's first byte and the answer's head.
fn failed(up: &UpSeen, gate: &Watch, error: &SendError<Cut>) -> Stop {
    if let Some(violation) = gate.violation() {
        return Fault::Protocol { detail: violation.detail }.into();
    }
    match error {
        SendError::Body(cut) => unsent(up, *cut),
        SendError::Head => Fault::Protocol { detail: "the answer's head cannot be read" }.into(),
        SendError::Closed => up.refusal().unwrap_or_else(|| Fault::Closed.into()),
    }
}

/// The same of a stream.
fn ended(up: &UpSeen, error: &CallError<Cut>) -> Stop {
    match error {
        CallError::Body(cut) => unsent(up, *cut),
        CallError::Protocol(detail) => Fault::Protocol { detail }.into(),
        CallError::Unprocessed | CallError::Closed => up.refusal().unwrap_or_else(|| Fault::Closed.into()),
    }
}

/// The request's own body failed.
fn unsent(up: &UpSeen, cut: Cut) -> Stop {
    match (up.refusal(), cut) {
        (Some(stop), _) => stop,
        (None, Cut::Client) => Stop::ClientGone,
        (None, _) => Fault::Closed.into(),
    }
}
