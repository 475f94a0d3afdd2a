//! What an exchange knows of itself, and the two records that are made of it: `call`, the decision, and `end`.

use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use ensage_audit::{Alarm, Call, Draft, End, Fragment, GenAi, Mcp, Seq};
use ensage_mcp::mcp::Message;
use ensage_mcp::{Revision, llm};
use ensage_policy::authority::Authority;
use ensage_policy::judge::{Denial, HeadPermit, Route, RouteKind, ToolFilter};
use ensage_policy::{Mode, Policy, Reason, Severity};
use http::{HeaderValue, StatusCode};
use uuid::Uuid;

use super::body::{Cut, UpSeen};
use super::forward::Loan;
use super::identify::{Client, Conn, Member, Via};
use super::reply::Form;
use super::request::Target;
use super::respond::{Allow, Expected, Stages};
use super::scan::{Held, McpSessions};
use crate::gateway::{Generation, Shared};
use crate::session::{Life, Session};

/// One request from its head to its record. Whatever happens to it, it is recorded once: dropped unfinished, it was
/// the client that left, or the session that ended.
pub(crate) struct Exchange {
    /// The decision's id, which refusals carry in `ensage-decision`.
    pub(crate) call: Uuid,
    /// The generation that judges it.
    pub(crate) generation: Arc<Generation>,
    /// The policy of that generation.
    pub(crate) policy: Arc<Policy>,
    /// In whose words a refusal is told.
    pub(crate) form: Form,
    /// What a passing body has shown.
    pub(crate) up: Rc<UpSeen>,
    /// How the answer must be read.
    pub(crate) expected: Expected,
    tools: Option<ToolFilter>,
    held: Option<Held>,
    shared: Arc<Shared>,
    exchange: Uuid,
    connection: Uuid,
    started: Instant,
    session: Option<Arc<Session>>,
    member: Option<Rc<Member>>,
    process: Option<Fragment>,
    facts: Facts,
    state: State,
}

/// How far the records of an exchange are.
#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    /// Nothing is decided.
    Open,
    /// Let through; its `call` is in the log.
    Decided(Seq),
    /// Nothing more is to be written.
    Closed,
}

/// What records say of a call.
#[derive(Default)]
struct Facts {
    kind: &'static str,
    server: Option<Authority>,
    peer: Option<IpAddr>,
    method: String,
    scheme: Option<&'static str>,
    path: Option<String>,
    mcp_server: Option<Arc<str>>,
    message: Option<Box<MessageFacts>>,
    provider: Option<Arc<str>>,
    model: Option<String>,
    provider_tools: Vec<String>,
    credential: Option<(Arc<str>, &'static str)>,
    rule: Option<Arc<str>>,
    would: Option<Box<Denial>>,
    status: Option<u16>,
    up: u64,
    down: u64,
    scrubbed: u64,
    seen: Option<Box<llm::anthropic::Seen>>,
}

struct MessageFacts {
    method: String,
    revision: &'static str,
    id: Option<String>,
    tool: Option<String>,
    prompt: Option<String>,
    resource: Option<String>,
    arguments: Option<(String, u64)>,
}

impl Exchange {
    pub(crate) fn begin(conn: &Conn, head: &http::request::Parts) -> Self {
        let generation = conn.shared.generation();
        let facts = Facts { kind: "http", method: head.method.as_str().to_owned(), ..Facts::default() };
        Self {
            call: Uuid::now_v7(),
            policy: generation.policy.clone(),
            generation,
            form: Form::Http,
            up: Rc::default(),
            expected: Expected::Opaque,
            tools: None,
            held: None,
            shared: conn.shared.clone(),
            exchange: Uuid::now_v7(),
            connection: conn.id,
            started: Instant::now(),
            session: None,
            member: None,
            process: match &conn.client {
                Client::Member(m) => m.facts.process.clone(),
                Client::Stranger(s) => s.facts.process.clone(),
            },
            facts,
            state: State::Open,
        }
        .scheme(&conn.via)
    }

    fn scheme(mut self, via: &Via) -> Self {
        if let Via::Tunnel { authority, scheme, .. } = via {
            self.facts.scheme = Some(scheme.code());
            self.facts.server = Some(authority.clone());
        }
        self
    }

    /// The session is known.
    pub(crate) fn member(&mut self, member: &Rc<Member>) {
        member.session.streams.fetch_add(1, Ordering::Relaxed);
        self.session = Some(member.session.clone());
        self.member = Some(member.clone());
    }

    /// The request could not be read; there is no method to record.
    pub(crate) fn unread(&mut self) {
        self.facts.method.clear();
    }

    /// The authority and path are known.
    pub(crate) fn server(&mut self, target: &Target) {
        self.facts.server = Some(target.authority.clone());
        self.facts.scheme = Some(target.scheme.code());
        self.facts.path = Some(ensage_creds::mask_text(target.path.as_str()).into_owned());
    }

    /// The target of a CONNECT.
    pub(crate) fn connect_target(&mut self, authority: &Authority) {
        self.facts.kind = "connect";
        self.facts.server = Some(authority.clone());
    }

    /// A CONNECT that is let through is no call: its requests are.
    pub(crate) fn tunnelled(mut self) {
        self.state = State::Closed;
    }

    /// Something that somebody must look at, whatever becomes of this exchange.
    pub(crate) fn alarm(&self, reason: Reason) {
        let session = self.session.as_ref().map(|s| s.fragment(self.mode()));
        let alarm = Alarm { reason: reason.code(), call: Some(self.call), session, message: None };
        self.shared.note(&Draft::alarm(reason.severity().code(), &alarm));
    }

    /// The name that a hidden answer repeats: the one that the client itself sent, in its one spelling.
    pub(crate) fn asked_name(&self) -> String {
        self.facts.server.as_ref().map_or_else(|| "-".to_owned(), |a| a.host.to_string())
    }

    pub(crate) fn form(&mut self, form: Form) {
        self.form = form;
    }

    pub(crate) fn route(&mut self, route: &Route) {
        match route.kind() {
            RouteKind::Mcp { server } => {
                self.facts.kind = "mcp";
                self.facts.mcp_server = Some(server.clone());
            }
            RouteKind::Llm { provider, .. } => {
                self.facts.kind = "llm";
                self.facts.provider = Some(provider.clone());
            }
            RouteKind::Http | RouteKind::Unlisted => {}
        }
    }

    pub(crate) fn mcp_server(&mut self, server: &Arc<str>) {
        self.facts.mcp_server = Some(server.clone());
    }

    pub(crate) fn mcp_message(&mut self, m: &Message) {
        self.facts.message = Some(Box::new(MessageFacts {
            method: m.method.name().to_owned(),
            revision: m.revision.as_str(),
            id: m.id.as_ref().map(|id| id.text().to_owned()),
            tool: m.tool.clone(),
            prompt: m.prompt.clone(),
            resource: m.resource_uris.first().map(|u| ensage_creds::mask_text(u).into_owned()),
            arguments: m.arguments.as_ref().map(|a| (a.sha256.clone(), a.range.end.saturating_sub(a.range.start))),
        }));
    }

    pub(crate) fn inference(&mut self, r: &llm::Request) {
        self.facts.model = r.models.first().cloned();
        self.facts.provider_tools.clone_from(&r.provider_tools);
    }

    /// Placeholders in the JSON of a governed message were overwritten.
    pub(crate) fn masked(&mut self, credential: Option<Arc<str>>) {
        if let Some(name) = credential {
            self.facts.credential = Some((name, "masked"));
        }
    }

    pub(crate) fn credential(&mut self, name: &Arc<str>, action: &'static str) {
        self.facts.credential = Some((name.clone(), action));
    }

    pub(crate) fn expect(&mut self, expected: Expected) {
        self.expected = expected;
    }

    pub(crate) fn permitted(&mut self, permit: &HeadPermit) {
        self.facts.rule = permit.rule().map(|r| r.path.clone());
        self.facts.would = permit.would().cloned().map(Box::new);
    }

    pub(crate) fn peer(&mut self, peer: SocketAddr) {
        self.facts.peer = Some(peer.ip());
    }

    pub(crate) fn status(&mut self, status: StatusCode) {
        self.facts.status = Some(status.as_u16());
    }

    pub(crate) fn scrubbed(&mut self, more: u64) {
        self.facts.scrubbed += more;
    }

    pub(crate) fn down(&mut self, more: u64) {
        self.facts.down += more;
    }

    /// Where the revision that this exchange's server agrees on is remembered.
    pub(crate) fn mcp_room(&self) -> Option<(Rc<McpSessions>, Arc<str>)> {
        Some((self.member.as_ref()?.mcp.clone(), self.facts.mcp_server.clone()?))
    }

    /// The revision of a stream that answers no message: what the server agreed on, or the latest that has streams.
    pub(crate) fn mcp_revision(&self) -> Revision {
        let known = self.mcp_room().and_then(|(room, server)| room.negotiated(&server));
        known.unwrap_or(Revision::V2025_11_25)
    }

    /// Which tools the answer may list.
    pub(crate) fn show(&mut self, tools: ToolFilter) {
        self.tools = Some(tools);
    }

    /// Takes the filter for the answer; without one nothing is listed.
    pub(crate) fn tool_filter(&mut self) -> Allow {
        match self.tools.take() {
            Some(tools) => Box::new(move |name| tools.shows(name)),
            None => Box::new(|_| false),
        }
    }

    /// Bytes that were judged count as held until the exchange is over.
    pub(crate) fn hold(&mut self, held: Held) {
        self.held = Some(held);
    }

    /// The session's MCP sessions, for what an answer teaches.
    pub(crate) fn learn(&self, id: Option<&str>, revision: Option<ensage_mcp::Revision>) {
        if let (Some(member), Some(server)) = (&self.member, &self.facts.mcp_server) {
            member.mcp.learn(server, id, revision);
        }
    }

    /// The decision to let it through goes into the log before anything goes upstream.
    pub(crate) fn decided(&mut self) -> Result<(), super::reply::Stop> {
        let severity = match (&self.facts.would, &self.facts.credential) {
            (Some(d), _) => d.reason.severity(),
            (None, Some((_, "masked"))) => Severity::Low,
            (None, _) => Severity::Info,
        };
        match self.append_call(severity, "allow", None, None) {
            Ok(seq) => {
                self.state = State::Decided(seq);
                if let Some(session) = &self.session {
                    session.allowed.fetch_add(1, Ordering::Relaxed);
                }
                self.shared.count_allowed();
                Ok(())
            }
            Err(_) => Err(super::reply::Stop::refused(
                Reason::AuditUnavailable,
                "the audit log cannot be written; try again later",
            )),
        }
    }

    /// A refusal is one record, written before its answer goes out.
    pub(crate) fn refused(&mut self, denial: &Denial, status: StatusCode) -> Result<(), ensage_audit::AuditError> {
        self.facts.status = Some(status.as_u16());
        let outcome = if denial.reason.is_fault() { "upstream_failed" } else { "refused" };
        let seq = match self.state {
            State::Closed => return Ok(()),
            State::Open => {
                if let Some(session) = &self.session {
                    session.denied.fetch_add(1, Ordering::Relaxed);
                }
                if let Some((_, action)) = &mut self.facts.credential {
                    *action = "refused";
                }
                self.append_call(denial.reason.severity(), "deny", Some(denial), Some(outcome))
            }
            State::Decided(_) => self.append_end(outcome, Some(denial.reason)),
        }?;
        self.state = State::Closed;
        self.shared.log.written(seq)
    }

    /// The answer is complete but for its last byte.
    pub(crate) fn complete(&mut self) -> Result<(), Cut> {
        self.close("complete", None)
    }

    fn close(&mut self, outcome: &str, reason: Option<Reason>) -> Result<(), Cut> {
        if self.state == State::Closed {
            return Ok(());
        }
        let seq = self.append_end(outcome, reason).map_err(|_| Cut::Audit)?;
        self.state = State::Closed;
        self.shared.log.written(seq).map_err(|_| Cut::Audit)
    }

    pub(crate) fn client_gone(&mut self) {
        self.gone("client_gone");
    }

    pub(crate) fn cut(&mut self, cut: Cut) {
        let outcome = match cut {
            Cut::Client => "client_gone",
            Cut::Upstream => "upstream_failed",
            Cut::Placeholder | Cut::Response => "refused",
            Cut::Audit => "gateway_stopped",
        };
        self.gone(outcome);
    }

    fn gone(&mut self, outcome: &str) {
        if self.state == State::Open {
            // Nothing was decided and nothing went upstream: there is no decision to record.
            self.state = State::Closed;
            return;
        }
        let _ = self.close(outcome, None);
    }

    fn append_call(
        &self,
        severity: Severity,
        decision: &str,
        denial: Option<&Denial>,
        outcome: Option<&str>,
    ) -> Result<Seq, ensage_audit::AuditError> {
        let f = &self.facts;
        let end = outcome.map(|o| self.end(o, None));
        let message = f.message.as_deref();
        let shown = denial.or(f.would.as_deref());
        let call = Call {
            exchange: Some(self.exchange),
            connection: Some(self.connection),
            session: self.session.as_ref().map(|s| s.fragment(self.mode())),
            process: self.process.as_ref(),
            kind: f.kind,
            server: None,
            port: f.server.as_ref().map(|a| a.port),
            peer: f.peer,
            protocol_version: Some("1.1"),
            method: (!f.method.is_empty()).then_some(f.method.as_str()),
            scheme: f.scheme,
            path: f.path.as_deref(),
            mcp: f.mcp_server.as_deref().map(|server| Mcp {
                server,
                direction: "client",
                method: message.map(|m| m.method.as_str()),
                protocol_version: message.map(|m| m.revision),
                session_id: None,
                resource_uri: message.and_then(|m| m.resource.as_deref()),
                request_id: message.and_then(|m| m.id.as_deref()),
            }),
            gen_ai: GenAi {
                provider: f.provider.as_deref(),
                request_model: f.model.as_deref(),
                tool: message.and_then(|m| m.tool.as_deref()),
                prompt: message.and_then(|m| m.prompt.as_deref()),
            },
            provider_tools: &f.provider_tools,
            arguments: message.and_then(|m| m.arguments.as_ref()).map(|(sha256, bytes)| (sha256.as_str(), *bytes)),
            credential: f.credential.as_ref().map(|(name, action)| (&**name, *action)),
            decision,
            would: f.would.as_ref().filter(|_| denial.is_none()).map(|_| "deny"),
            reason: shown.map(|d| d.reason.code()),
            rule: shown.and_then(|d| d.rule.as_ref()).map(|r| &*r.path).or(f.rule.as_deref()),
            message: shown.map(|d| d.message.as_str()),
            generation: Some(self.policy.generation),
            policy_sha256: Some(&self.policy.sha256),
            end: end.as_ref(),
            ..Call::new(self.call, severity.code())
        };
        // The host's one spelling is made here, not kept: most exchanges need it once.
        let host = f.server.as_ref().map(|a| a.host.to_string());
        self.shared.log.append(&Draft::call(&Call { server: host.as_deref(), ..call }))
    }

    /// The mode of the session's enclave at this moment.
    fn mode(&self) -> Mode {
        let name = self.session.as_ref().map(|s| &s.opening.enclave);
        let enclave = self.policy.enclaves.iter().find(|e| Some(&e.name) == name);
        enclave.map_or(self.policy.gateway.mode, |e| e.mode)
    }

    fn append_end(&self, outcome: &str, reason: Option<Reason>) -> Result<Seq, ensage_audit::AuditError> {
        let severity = reason.map_or(Severity::Info, Reason::severity);
        self.shared.log.append(&Draft::end(self.call, severity.code(), &self.end(outcome, reason)))
    }

    fn end<'a>(&'a self, outcome: &'a str, reason: Option<Reason>) -> End<'a> {
        let f = &self.facts;
        let seen = f.seen.as_deref();
        End {
            status: f.status,
            response_model: seen.and_then(|s| s.model.as_deref()),
            input_tokens: seen.and_then(|s| s.usage.input_total()),
            output_tokens: seen.and_then(|s| s.usage.output_total()),
            tools_requested: seen.map_or(&[], |s| &s.tools_requested),
            scrubbed: (f.scrubbed > 0).then_some(f.scrubbed),
            bytes_up: f.up.max(self.up.bytes.get()),
            bytes_down: f.down,
            duration: Some(self.started.elapsed()),
            outcome,
            reason: reason.map(Reason::code),
        }
    }
}

impl Drop for Exchange {
    fn drop(&mut self) {
        if self.state != State::Closed {
            let over = self.session.as_ref().is_some_and(|s| s.life() != Life::Open);
            let outcome = match (over, self.shared.is_stopping()) {
                (true, _) => "session_ended",
                (false, true) => "gateway_stopped",
                (false, false) => "client_gone",
            };
            self.gone(outcome);
        }
        if let Some(session) = &self.session {
            session.streams.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

/// Owns the exchange while its answer streams, and closes its record before the last byte.
pub(crate) struct EndGuard {
    x: Exchange,
    loan: Loan,
}

impl EndGuard {
    pub(crate) fn new(x: Exchange, loan: Loan) -> Self {
        Self { x, loan }
    }

    /// The exchange, whose answer is another one after all.
    pub(crate) fn into_exchange(self) -> Exchange {
        self.x
    }

    /// Bytes went to the client.
    pub(crate) fn down(&mut self, bytes: u64) {
        self.x.down(bytes);
    }

    /// The answer breaks off here.
    pub(crate) fn broken(&mut self, cut: Cut) -> Cut {
        self.x.cut(cut);
        cut
    }

    /// Everything but the last byte is out.
    pub(crate) fn complete(&mut self, stages: &mut Stages) -> Result<(), Cut> {
        let (scrubbed, seen) = stages.summary();
        self.x.scrubbed(scrubbed);
        self.x.facts.seen = seen.map(Box::new);
        self.x.complete()?;
        self.loan.done();
        Ok(())
    }
}

/// `date`, RFC 9110 section 6.6.1.
pub(crate) fn http_date() -> HeaderValue {
    use time::format_description::FormatItem;
    use time::macros::format_description;
    const FORMAT: &[FormatItem<'_>] =
        format_description!("[weekday repr:short], [day] [month repr:short] [year] [hour]:[minute]:[second] GMT");
    let text = time::OffsetDateTime::now_utc().format(FORMAT).unwrap_or_default();
    HeaderValue::from_str(&text).unwrap_or_else(|_| HeaderValue::from_static("Thu, 01 Jan 1970 00:00:00 GMT"))
}
