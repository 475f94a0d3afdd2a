//! The egress leg of one exchange: a pooled or new connection, the request, the head of the answer.

use std::future::poll_fn;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use ensage_policy::Reason;
use http::Response;
use tokio::time::Instant;

use super::body::{Cut, UpSeen};
use super::exchange::Exchange;
use super::identify::{Conn, Member};
use super::reply::Stop;
use super::substitute::{Outbound, ScrubPlan};
use crate::gate::{Asked, Gate, Watch};
use crate::h1::{Incoming, Link, SendError};
use crate::upstream::{Dialer, Fault, Lane, Lease, PoolKey};

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
        self.loan.lent.as_ref().map(|lease| lease.peer)
    }
}

/// A connection in use. Dropped without [`Loan::done`], and with it the answer's body, it is closed: that cancels the
/// upstream request.
pub(crate) struct Loan {
    lent: Option<Lease>,
    lane: Rc<Lane>,
}

impl Loan {
    /// The answer is complete: the connection may serve the next request of this session, unless this one's body is
    /// still under way.
    pub(crate) fn done(&mut self) {
        if let Some(lease) = self.lent.take_if(|lease| lease.link.is_idle()) {
            self.lane.give_back(lease);
        }
    }

    /// True where nothing of the request is left to be sent.
    pub(crate) fn is_out(&self) -> bool {
        self.lent.as_ref().is_none_or(|lease| lease.link.is_out())
    }

    /// Goes on with a body that is still under way. The connection is closed with the loan.
    pub(crate) fn poll_upload(&self, cx: &mut Context<'_>) -> Poll<()> {
        match &self.lent {
            Some(lease) => lease.link.poll_rest(cx),
            None => Poll::Ready(()),
        }
    }

    /// What the response gate refused, if it refused something.
    pub(crate) fn violation(&self) -> Option<&'static str> {
        self.lent.as_ref().and_then(|lease| lease.gate.violation()).map(|v| v.detail)
    }
}

/// How long an upstream may take for its answer's head before the running call is shown in the log.
const SHOWN_AFTER: Duration = Duration::from_secs(1);

/// Sends the request over a pooled connection, or a new one where there is none that is still open.
pub(crate) async fn send(conn: &Conn, x: &mut Exchange, member: &Member, outbound: Outbound) -> Result<Answer, Stop> {
    let Outbound { request, key, scrub } = outbound;
    let dialer = conn.worker.dialer(&x.generation).map_err(|error| {
        tracing::error!(error = &error as &dyn std::error::Error, "the upstream leg cannot be set up");
        Stop::refused(Reason::Internal, "the gateway cannot reach any upstream now")
    })?;
    let limit = x.policy().limits.upstream_head_timeout;
    let begun = Instant::now();
    x.hands_over(begun.into_std());
    let shown = begun + SHOWN_AFTER;
    let lane = member.pool.lane(&key);
    let (lease, due) = match poll_fn(|cx| Poll::Ready(lane.take(cx))).await {
        Some(lease) => (lease, begun + limit),
        None => {
            // Boxed: it is seldom needed, and larger than all the rest.
            let lease = until_shown(conn, x, shown, None, Box::pin(open(&dialer, &key, conn)).as_mut()).await??;
            (lease, Instant::now() + limit)
        }
    };
    lease.gate.expect(Asked::from(request.method()));
    lease.link.ask(request);
    let answered = until_shown(conn, x, shown, Some(due), pin!(lease.link.answer())).await?;
    match answered {
        Ok(response) => {
            x.takes_over();
            let loan = Loan { lent: Some(lease), lane };
            Ok(Answer { response, loan, scrub })
        }
        Err(error) => Err(failed(&x.up, &lease.gate, &error)),
    }
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

async fn open(dialer: &Dialer, key: &PoolKey, conn: &Conn) -> Result<Lease, Stop> {
    let connected = dialer.dial(&key.authority, key.scheme, &key.opened, &conn.shared.own_addresses()).await?;
    let (gate, handle) = Gate::responses(connected.io, conn.worker.gate_limits());
    Ok(Lease { link: Link::new(gate), gate: handle, peer: connected.peer })
}

/// Names what went wrong between the request's first byte and the answer's head.
fn failed(up: &UpSeen, gate: &Watch, error: &SendError<Cut>) -> Stop {
    if let Some(violation) = gate.violation() {
        return Fault::Protocol { detail: violation.detail }.into();
    }
    if let Some(reason) = up.stray.get() {
        return Stop::refused(reason, "the body carries a placeholder, which belongs into its slot only");
    }
    match error {
        SendError::Body(Cut::Client) => Stop::ClientGone,
        SendError::Head => Fault::Protocol { detail: "the answer's head cannot be read" }.into(),
        SendError::Body(_) | SendError::Closed => Fault::Closed.into(),
    }
}
