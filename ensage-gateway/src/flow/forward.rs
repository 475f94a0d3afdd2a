//! The egress leg of one exchange: a pooled or new connection, the request, the head of the answer.

use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::time::Duration;

use ensage_policy::Reason;
use hyper::Response;
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use tokio::time::Instant;

use super::body::{Cut, OutBody, UpSeen};
use super::exchange::Exchange;
use super::identify::{Conn, Member};
use super::reply::Stop;
use super::substitute::{Outbound, ScrubPlan};
use crate::gate::{Asked, Gate, Watch};
use crate::upstream::{Dialer, Fault, Lease, Pool, PoolKey};

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
        self.loan.lent.as_ref().map(|(lease, _)| lease.peer)
    }
}

/// A connection in use. Dropped without [`Loan::done`] it is closed, which cancels the upstream request.
pub(crate) struct Loan {
    lent: Option<(Lease, PoolKey)>,
    pool: Pool,
    up: Rc<UpSeen>,
}

impl Loan {
    /// The answer is complete: the connection may serve the next request of this session, unless this one's body is
    /// still under way. Then it is closed with the loan.
    pub(crate) fn done(&mut self) {
        if let Some((lease, key)) = self.lent.take_if(|_| !self.up.open.get()) {
            self.pool.give_back(key, lease);
        }
    }

    /// What the response gate refused, if it refused something.
    pub(crate) fn violation(&self) -> Option<&'static str> {
        self.lent.as_ref().and_then(|(lease, _)| lease.gate.violation()).map(|v| v.detail)
    }
}

/// Longest wait for a pooled connection to be done with what it did; another is opened then.
const READY_WAIT: Duration = Duration::from_millis(500);

/// How long an upstream may take for its answer's head before the running call is shown in the log.
const SHOWN_AFTER: Duration = Duration::from_secs(1);

/// Sends the request. A pooled connection that turns out to be closed before a byte was sent is replaced once.
pub(crate) async fn send(conn: &Conn, x: &mut Exchange, member: &Member, outbound: Outbound) -> Result<Answer, Stop> {
    let Outbound { mut request, key, scrub } = outbound;
    let dialer = conn.worker.dialer(&x.generation).map_err(|error| {
        tracing::error!(error = &error as &dyn std::error::Error, "the upstream leg cannot be set up");
        Stop::refused(Reason::Internal, "the gateway cannot reach any upstream now")
    })?;
    let limit = x.policy.limits.upstream_head_timeout;
    let method = request.method().clone();
    let shown = Instant::now() + SHOWN_AFTER;
    let mut pooled = member.pool.take(&key);
    loop {
        let reused = pooled.is_some();
        let mut lease = match pooled.take() {
            Some(lease) => lease,
            // Boxed: it is seldom needed, and larger than all the rest.
            None => until_shown(conn, x, shown, Box::pin(open(&dialer, &key, conn)).as_mut()).await??,
        };
        if !is_ready(&mut lease).await {
            pooled = if reused { member.pool.take(&key) } else { None };
            if !reused {
                return Err(Fault::Closed.into());
            }
            continue;
        }
        lease.gate.expect(Asked::from(&method));
        let sent = answered(conn, x, shown, limit, lease.sender.try_send_request(request)).await?;
        match sent {
            Ok(response) => {
                let loan = Loan { lent: Some((lease, key)), pool: member.pool.clone(), up: x.up.clone() };
                return Ok(Answer { response, loan, scrub });
            }
            Err(mut error) => match error.take_message() {
                Some(unsent) if reused => {
                    request = unsent;
                    pooled = member.pool.take(&key);
                }
                _ => return Err(failed(&x.up, &lease.gate, error.into_error())),
            },
        }
    }
}

/// A pooled connection is ready but for the moment after its last answer.
async fn is_ready(lease: &mut Lease) -> bool {
    lease.sender.is_ready() || matches!(tokio::time::timeout(READY_WAIT, lease.sender.ready()).await, Ok(Ok(())))
}

/// What `work` comes to. When it is not done by `shown`, the call goes into the log on its way.
async fn until_shown<T>(
    conn: &Conn,
    x: &mut Exchange,
    shown: Instant,
    mut work: Pin<&mut impl Future<Output = T>>,
) -> Result<T, Stop> {
    if x.is_launched() {
        if let Some(done) = conn.patience.until(shown, work.as_mut()).await {
            return Ok(done);
        }
        x.decided(None)?;
    }
    Ok(work.await)
}

/// The same for the head of an answer, which has `limit` to come.
async fn answered<T>(
    conn: &Conn,
    x: &mut Exchange,
    shown: Instant,
    limit: Duration,
    work: impl Future<Output = T>,
) -> Result<T, Stop> {
    let mut work = pin!(work);
    let due = Instant::now() + limit;
    if shown < due && x.is_launched() {
        if let Some(done) = conn.patience.until(shown, work.as_mut()).await {
            return Ok(done);
        }
        x.decided(None)?;
    }
    conn.patience.until(due, work).await.ok_or_else(|| Fault::Timeout.into())
}

async fn open(dialer: &Dialer, key: &PoolKey, conn: &Conn) -> Result<Lease, Stop> {
    let connected = dialer.dial(&key.authority, key.scheme, &key.opened, &conn.shared.own_addresses()).await?;
    let (gate, handle) = Gate::responses(connected.io, conn.worker.gate_limits());
    let (sender, link) = hyper::client::conn::http1::Builder::new()
        .max_headers(conn.worker.header_lines())
        .handshake::<_, OutBody>(TokioIo::new(gate))
        .await
        .map_err(|_| Fault::Closed)?;
    // The task ends when the sender is dropped or the upstream closes; it owns nothing but the connection.
    tokio::task::spawn_local(async move {
        let _ = link.await;
    });
    Ok(Lease { sender, gate: handle, peer: connected.peer })
}

/// Names what went wrong between the request's first byte and the answer's head.
fn failed(up: &UpSeen, gate: &Watch, error: hyper::Error) -> Stop {
    if let Some(violation) = gate.violation() {
        return Fault::Protocol { detail: violation.detail }.into();
    }
    if let Some(reason) = up.stray.get() {
        return Stop::refused(reason, "the body carries a placeholder, which belongs into its slot only");
    }
    let cause = std::error::Error::source(&error).and_then(|e| e.downcast_ref::<Cut>());
    match cause {
        Some(Cut::Client) => Stop::ClientGone,
        _ if error.is_parse() => Fault::Protocol { detail: "the answer's head cannot be read" }.into(),
        _ => Fault::Closed.into(),
    }
}
