//! The data path. [`exchange`] is the one way through: read it from top to bottom.
//!
//! ```text
//! accept → identify → head gate → CONNECT or absolute-form → authority → reach (before DNS)
//!   → TLS with the client → head gate → head → authority again → classify
//!   → scan the body until the call is judged → substitute → upstream
//!   → head gate → answer's head → filter, scrub, observe → client → record (before the last byte)
//! ```
//!
//! The steps before the first request of a connection are in [`connection`]; everything after is here.

mod body;
mod connection;
mod count;
mod decode;
mod exchange;
mod forward;
mod given;
mod hold;
mod identify;
mod leaving;
mod prefixed;
mod pump;
mod record;
mod reply;
mod request;
mod respond;
mod revoke;
mod scan;
mod streams;
mod strip;
mod substitute;
mod trace;
mod tunnel;
mod unseen;
mod wait;
mod websocket;

use std::future::poll_fn;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::Poll;

use ensage_policy::Reason;
use ensage_policy::judge::{Governed, Route, SiteFit};
use http::Response;

use body::Reply;
pub(crate) use body::{Cut, OutBody};
pub(crate) use connection::Seed;
pub(crate) use connection::{Arrival, Incoming as Accepted, serve};
use exchange::Exchange;
pub(crate) use given::Given;
pub(crate) use hold::HOLD_UNIT;
use hold::Share;
pub(crate) use identify::Facts;
use identify::{Conn, Member};
use leaving::Busy;
use reply::Stop;
use respond::Prepared;
use revoke::Running;
pub(crate) use scan::McpSessions;
use substitute::Caller;
pub(crate) use substitute::creds_slot;

use crate::h1::Incoming;

/// One request and its answer. An error cuts the connection; everything else is an answer.
pub(crate) async fn exchange(
    conn: &Rc<Conn>,
    head: &mut http::request::Parts,
    body: Incoming,
) -> Result<Response<Reply>, Cut> {
    let busy = Busy::new(&conn.worker);
    let mut x = Exchange::begin(conn, head);
    let mut body = Some(body);
    let judged = unwinding(pin!(conn.unless_refused(pin!(judged(conn, &mut x, head, &mut body))))).await;
    let failed = || Some(Err(Stop::refused(Reason::Internal, "the gateway failed on this request")));
    let answer = match faulty(conn, judged.unwrap_or_else(failed)) {
        Ok(prepared) => match prepared.release(x).await {
            Ok(answer) => Ok(answer),
            Err((x, stop)) => reply::refuse(x, stop, head),
        },
        Err(stop) => reply::refuse(x, stop, head),
    };
    answer.map(|a| leaving::last_of(conn, head.version, a).map(|body| Reply::new(body, conn, head.version, busy)))
}

/// What the steps came to, unless the body broke a rule before it was read: that is told, and not that it broke off.
fn faulty<T>(conn: &Conn, judged: Option<Result<T, Stop>>) -> Result<T, Stop> {
    let judged = judged.unwrap_or(Err(Stop::ClientGone));
    match (judged, conn.refusal()) {
        (Err(Stop::ClientGone), Some((reason, detail))) => Err(Stop::refused(reason, detail)),
        (judged, _) => judged,
    }
}

/// A panic ends its exchange and nothing else: `None`. What it may have left half done is of that exchange alone.
async fn unwinding<T>(mut work: Pin<&mut impl Future<Output = T>>) -> Option<T> {
    poll_fn(|cx| match catch_unwind(AssertUnwindSafe(|| work.as_mut().poll(cx))) {
        Ok(polled) => polled.map(Some),
        Err(_) => Poll::Ready(None),
    })
    .await
}

/// What the steps behind the head know of a request.
struct Asked<'a> {
    conn: &'a Conn,
    member: &'a Member,
    head: &'a http::request::Parts,
    /// How each credential of the enclave stands to it.
    sites: &'a [SiteFit],
    route: &'a Route,
}

/// The way through. Whatever stops it is answered and recorded by [`reply::refuse`], and by nothing else.
async fn judged(
    conn: &Rc<Conn>,
    x: &mut Exchange,
    head: &mut http::request::Parts,
    body: &mut Option<Incoming>,
) -> Result<Box<Prepared>, Stop> {
    // Who: the process and its session were found when the connection was accepted; is the session still open?
    let generation = x.generation.clone();
    let policy = &*generation.policy;
    x.meant(head);
    let upgrade = websocket::asked(x, head);
    let member = identify::member(conn, x)?;
    let enclave = identify::enclave(policy, &member)?;
    let mut trial = identify::admit(policy, enclave, &member)?;

    // Where: CONNECT target, SNI, Host and the name that will be dialled are one, or nothing goes on.
    let target = request::target(conn, x, head)?;
    x.server(&target);
    request::reach(conn, &mut trial, &target)?;

    // What: which entry of the enclave governs this request, and what its head carries as credential.
    let sites = substitute::sites(policy, enclave, &target);
    let finding = substitute::examine_head(conn, x, head, &member, &sites);
    x.carries(&finding);
    let route = request::untainted(conn, x)
        .and_then(|()| trial.head(&request::facts(head, &target, upgrade, &finding)).map_err(Stop::from));
    x.form(reply::form(route.as_ref().ok(), enclave, &target, head));
    let route = route?;
    x.route(&route);
    leaving::still_served(conn)?;

    // A governed body is judged, searched and sent on in the clear.
    if matches!(route.governed(), Governed::Governed) {
        decode::clear(&mut head.headers, body, policy.limits.decoded, Share::new(conn), &x.up)?;
    }

    // The call itself: a governed body is held and judged whole, anything else passes under the search.
    let asked = Asked { conn, member: &member, head, sites: &sites, route: &route };
    let body = scan::body(&asked, x, &mut trial, body).await?;
    websocket::expect(&asked, x, upgrade);

    // The real secret, for this one host and slot only, and only with the proof in hand.
    let permit = trial.permit(route, &finding, body.proof())?;
    x.permitted(&permit);
    let content = x.content(&body);
    let caller = Caller { conn, member: &member, sites: &sites };
    let outbound = substitute::outbound(&caller, x, permit, body, head)?;

    // Out: from here on the upstream sees it. A log that cannot be written stops it first.
    x.launch()?;
    let method = head.method.clone();
    conn.watchman.begin(Running { member: member.clone(), method, target, upgrade, finding, content });
    if conn.shared.generation_number() != x.policy().generation {
        // The policy changed while the body came in; from here on the watchman sees every change.
        conn.watchman.judge_again(&conn.shared)?;
    }
    let answer = forward::send(conn, x, &member, outbound).await?;

    // And back.
    x.decided(answer.peer())?;
    respond::answer(conn, x, &head.method, answer).await
}
