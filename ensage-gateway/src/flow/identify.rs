//! Who is at the other end: what was found at accept, held against the session and the policy of this moment.

use std::future::poll_fn;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::Poll;

use ensage_policy::authority::Authority;
use ensage_policy::judge::{Denial, Trial};
use ensage_policy::model::Enclave;
use ensage_policy::{Mode, Policy, Reason, Scheme};
use uuid::Uuid;

use super::exchange::Exchange;
use super::reply::Stop;
use super::revoke::Watchman;
use super::wait::Patience;
use crate::gate::Watch;
use crate::gateway::Shared;
use crate::h2::Sign;
use crate::refusals::Program;
use crate::session::{Life, Origin, Session};
use crate::socket::Breaks;
use crate::upstream::Pool;
use crate::worker::{Rooms, Worker};

/// What all exchanges of one client connection share.
pub(crate) struct Conn {
    /// UUIDv7.
    pub(crate) id: Uuid,
    /// The gateway.
    pub(crate) shared: Arc<Shared>,
    /// The worker that this connection lives on.
    pub(crate) worker: Rc<Worker>,
    /// Who it is.
    pub(crate) client: Client,
    /// How requests arrive.
    pub(crate) via: Via,
    /// The gate below the connection; told when an exchange is answered.
    pub(crate) gate: Watch,
    /// Set where the connection may only end in a reset.
    pub(crate) breaks: Breaks,
    /// Holds the running call against new policies.
    pub(crate) watchman: Watchman,
    /// The timer of the running exchange.
    pub(crate) patience: Patience,
    /// Tells whether the body of its one request was refused, where that is seen before it is read.
    pub(crate) sign: Option<Sign>,
}

impl Conn {
    /// Why the body of its request is not read to its end.
    pub(crate) fn refusal(&self) -> Option<(Reason, &'static str)> {
        self.sign.as_ref().and_then(Sign::refusal)
    }

    /// What `work` comes to; `None` once the body of the request is refused.
    pub(crate) async fn unless_refused<T>(&self, mut work: Pin<&mut impl Future<Output = T>>) -> Option<T> {
        poll_fn(|cx| {
            let polled = work.as_mut().poll(cx).map(Some);
            let refused = polled.is_pending() && self.sign.as_ref().is_some_and(|sign| sign.poll(cx).is_ready());
            if refused { Poll::Ready(None) } else { polled }
        })
        .await
    }
}

/// How requests arrive on a connection.
#[derive(Clone, Debug)]
pub(crate) enum Via {
    /// Straight from the client: CONNECT or absolute-form.
    Proxy,
    /// Inside a CONNECT.
    Tunnel {
        /// The target of the CONNECT, equal to the SNI.
        authority: Authority,
        /// `https` behind TLS, else `http`.
        scheme: Scheme,
        /// What the head of the CONNECT carried; every request inside is refused for it.
        taint: Option<Taint>,
    },
}

/// A placeholder in the head of a CONNECT.
#[derive(Clone, Debug)]
pub(crate) struct Taint {
    /// One of `placeholder_*`.
    pub(crate) reason: Reason,
    /// Whose, if it is known.
    pub(crate) credential: Option<Arc<str>>,
}

/// What is known of the client's process; kept as the record prints it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Facts {
    /// The `process` member of records.
    pub(crate) process: Option<ensage_audit::Fragment>,
    /// Which program it is, as its refusals of certificates are counted.
    pub(crate) program: Option<Program>,
}

/// The client of a connection.
#[derive(Clone)]
pub(crate) enum Client {
    /// A process of a session.
    Member(Rc<Member>),
    /// A process that belongs to no enclave.
    Stranger(Rc<Stranger>),
}

impl Client {
    /// What records say of the process.
    pub(crate) fn process(&self) -> Option<&ensage_audit::Fragment> {
        match self {
            Self::Member(member) => member.facts.process.as_ref(),
            Self::Stranger(stranger) => stranger.facts.process.as_ref(),
        }
    }
}

/// A process of a session.
pub(crate) struct Member {
    /// Its session.
    pub(crate) session: Arc<Session>,
    /// What the process is.
    pub(crate) facts: Facts,
    /// Set where only observe mode lets it in: why it would be refused.
    pub(crate) would: Option<Reason>,
    /// Upstream connections of its session.
    pub(crate) pool: Pool,
    /// Secrets that are ready for its session.
    pub(crate) rooms: Rooms,
    /// What its session has seen of MCP sessions.
    pub(crate) mcp: Rc<super::scan::McpSessions>,
    /// Its connection is one more than its session may have.
    pub(crate) is_over: bool,
}

/// A process that belongs to no enclave.
pub(crate) struct Stranger {
    /// Why.
    pub(crate) reason: Reason,
    /// What the process is.
    pub(crate) facts: Facts,
}

/// The session that this exchange belongs to, whether or not it may still ask for anything.
pub(crate) fn known(conn: &Conn, x: &mut Exchange) -> Result<Rc<Member>, Stop> {
    match &conn.client {
        Client::Stranger(s) => {
            let denial = Denial::new(s.reason, stranger_text(s.reason));
            Err(Denial { remedy: stranger_remedy(s.reason).map(str::to_owned), ..denial }.into())
        }
        Client::Member(m) => {
            x.member(m);
            Ok(m.clone())
        }
    }
}

/// The session that this exchange belongs to, if it may still ask for anything.
pub(crate) fn member(conn: &Conn, x: &mut Exchange) -> Result<Rc<Member>, Stop> {
    let member = known(conn, x)?;
    if member.is_over {
        return Err(overfull());
    }
    match member.session.life() {
        Life::Open => Ok(member),
        Life::Ended => Err(Stop::refused(Reason::SessionEnded, "this session is over; start the agent again")),
        Life::Quarantined => {
            let what = "this session is quarantined until its operator releases it";
            Err(Stop::refused(Reason::SessionQuarantined, what))
        }
    }
}

/// What a connection over `limits.per_client` is told.
pub(crate) fn overfull() -> Stop {
    Stop::refused(Reason::Overloaded, "this session has too many connections open; end some")
}

/// One sentence for each reason for which a client belongs to no enclave.
pub(crate) const fn stranger_text(reason: Reason) -> &'static str {
    match reason {
        Reason::AmbiguousAgent => "the process of this connection matches several agents",
        Reason::AmbiguousEnclave => "this agent is listed in several enclaves; say which with `ensage run --enclave`",
        Reason::AgentNotAllowed => "no enclave lists this agent",
        Reason::TierTooLow => "this enclave demands more containment than this agent has",
        Reason::Draining => "the gateway is shutting down",
        _ => "the process of this connection is not a known agent",
    }
}

/// What its operator would write, where that helps.
const fn stranger_remedy(reason: Reason) -> Option<&'static str> {
    match reason {
        Reason::AgentNotAllowed => Some("list it: [enclave.NAME] agents = [\"AGENT\"]"),
        Reason::AmbiguousEnclave => Some("start it with `ensage run --enclave NAME`"),
        Reason::Unattributed => {
            Some("define it, [agent.NAME] exe = \"PATH\", and list it, [enclave.NAME] agents = [\"NAME\"]")
        }
        _ => None,
    }
}

/// The enclave of the session in the policy of this moment; it may have gone with a reload.
pub(crate) fn enclave<'p>(policy: &'p Policy, member: &Member) -> Result<&'p Arc<Enclave>, Stop> {
    let name = &member.session.opening.enclave;
    policy
        .enclave(name)
        .ok_or_else(|| Stop::refused(Reason::AgentNotAllowed, "the enclave of this session is no longer configured"))
}

/// `run --observe` wins over the enclave.
fn mode(enclave: &Enclave, member: &Member) -> Mode {
    member.session.opening.mode.unwrap_or(enclave.mode)
}

/// The identity step of the judgement: agents that have left the enclave, and tiers that are too low.
pub(crate) fn admit<'p>(policy: &'p Policy, enclave: &'p Arc<Enclave>, member: &Member) -> Result<Trial<'p>, Stop> {
    let low = (member.session.opening.tier < enclave.require).then_some(Reason::TierTooLow);
    begun(policy, enclave, member, outsider(member, enclave).or(low))
}

/// The same of a CONNECT, which is refused to whoever has no enclave alone: the rest is told inside.
pub(crate) fn admit_connect<'p>(
    policy: &'p Policy,
    enclave: &'p Arc<Enclave>,
    member: &Member,
) -> Result<Trial<'p>, Stop> {
    begun(policy, enclave, member, outsider(member, enclave))
}

fn begun<'p>(
    policy: &'p Policy,
    enclave: &'p Arc<Enclave>,
    member: &Member,
    against: Option<Reason>,
) -> Result<Trial<'p>, Stop> {
    let newcomer = Trial::begin(policy, enclave, mode(enclave, member));
    newcomer.identity(against, against.map_or("", stranger_text)).map_err(Stop::from)
}

/// Why the enclave is not this client's, if it is not.
fn outsider(member: &Member, enclave: &Enclave) -> Option<Reason> {
    let opening = &member.session.opening;
    // What `run` or the API started is an agent by that act; any other must still be listed.
    let listed = enclave.any_agent || enclave.agents.contains(&opening.agent);
    let gone = (opening.origin == Origin::Found && !listed).then_some(Reason::AgentNotAllowed);
    member.would.or(gone)
}
