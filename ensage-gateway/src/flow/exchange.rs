//! What an exchange knows of itself on its way.

use std::borrow::Cow;
use std::net::IpAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant, SystemTime};

use ensage_audit::{Alarm, Draft, Seq};
use ensage_mcp::mcp::Message;
use ensage_mcp::{Revision, llm};
use ensage_policy::authority::Authority;
use ensage_policy::judge::{CredentialFinding, Denial, HeadPermit, Route, RouteKind, ToolFilter, TunnelPermit};
use ensage_policy::{Mode, Policy, Reason};
use http::StatusCode;
use uuid::Uuid;

use super::body::{OutBody, UpSeen};
use super::count::Turn;
use super::hold::Held;
use super::identify::{Conn, Member, Via};
use super::reply::Form;
use super::request::Target;
use super::respond::{Allow, Expected};
use super::revoke::Content;
use super::scan::McpSessions;
use crate::metrics::CallType;
use crate::session::Session;
use crate::worker::{Current, Ready};

/// One request from its head to its record. Whatever happens to it, it is recorded once: dropped unfinished, it was
/// the client that left, or the session that ended.
pub(crate) struct Exchange {
    /// The decision's id, which refusals carry in `ensage-decision`.
    pub(crate) call: Uuid,
    /// The generation that judges it.
    pub(crate) generation: Rc<Current>,
    /// In whose words a refusal is told.
    pub(crate) form: Form,
    /// What a passing body has shown.
    pub(crate) up: Rc<UpSeen>,
    /// How the answer must be read.
    pub(crate) expected: Expected,
    pub(super) conn: Rc<Conn>,
    pub(super) tools: Option<ToolFilter>,
    pub(super) held: Option<Held>,
    pub(super) exchange: Uuid,
    pub(super) started: Instant,
    pub(super) member: Option<Rc<Member>>,
    pub(super) facts: Facts,
    pub(super) state: State,
    pub(super) turn: Turn,
    /// The secrets of its host.
    pub(super) ready: Option<Rc<Ready>>,
}

/// How far the records of an exchange are.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    /// Nothing is decided, and nothing has gone upstream.
    Open,
    /// Judged, and on its way upstream; its `call` is not in the log yet.
    Launched,
    /// Let through; its `call` is in the log.
    Decided(Seq),
    /// Nothing more is to be written.
    Closed,
}

/// What records say of a call.
#[derive(Default)]
pub(super) struct Facts {
    pub(super) kind: CallType,
    pub(super) server: Option<Authority>,
    pub(super) asked: Option<String>,
    pub(super) peer: Option<IpAddr>,
    /// The next hop.
    pub(super) via: Option<Arc<str>>,
    /// Absent where the request could not be read.
    pub(super) method: Option<http::Method>,
    pub(super) scheme: Option<&'static str>,
    pub(super) path: Option<Arc<str>>,
    /// `1.1` or `2`.
    pub(super) version: &'static str,
    pub(super) mcp_server: Option<Arc<str>>,
    pub(super) mcp_session: Option<Box<str>>,
    pub(super) message: Option<Box<MessageFacts>>,
    pub(super) provider: Option<Arc<str>>,
    pub(super) model: Option<String>,
    pub(super) provider_tools: Vec<String>,
    pub(super) credential: Option<(Arc<str>, &'static str)>,
    pub(super) rule: Option<Arc<str>>,
    pub(super) would: Option<Box<Denial>>,
    /// What is wrong with the upstream's certificate.
    pub(super) fault: Option<&'static str>,
    /// What there is to say of it besides.
    pub(super) note: Option<&'static str>,
    pub(super) status: Option<u16>,
    pub(super) up: u64,
    pub(super) down: u64,
    pub(super) scrubbed: u64,
    /// Listed tools with characters that people don't see.
    pub(super) flagged: Vec<String>,
    pub(super) seen: Option<Box<llm::Seen>>,
}

pub(super) struct MessageFacts {
    pub(super) method: String,
    pub(super) revision: &'static str,
    pub(super) id: Option<String>,
    pub(super) tool: Option<String>,
    pub(super) prompt: Option<String>,
    pub(super) resource: Option<String>,
    pub(super) arguments: Option<(String, u64)>,
}

impl Exchange {
    pub(crate) fn begin(conn: &Rc<Conn>, head: &http::request::Parts) -> Box<Self> {
        let (scheme, server) = match &conn.via {
            Via::Proxy => (None, None),
            Via::Tunnel { authority, scheme, .. } => (Some(scheme.code()), Some(authority.clone())),
        };
        let method = Some(head.method.clone());
        let version = if head.version == http::Version::HTTP_2 { "2" } else { "1.1" };
        let facts = Facts { method, scheme, server, version, ..Facts::default() };
        let call = Uuid::now_v7();
        let started = Instant::now();
        Box::new(Self {
            call,
            generation: conn.worker.generation(),
            form: Form::Http,
            up: Rc::default(),
            expected: Expected::Opaque,
            conn: conn.clone(),
            tools: None,
            held: None,
            // Of the same moment, and as random: a second look at clock and dice would tell nothing more.
            exchange: Uuid::from_u128(call.as_u128() ^ 1),
            started,
            member: None,
            facts,
            state: State::Open,
            turn: Turn::begin(started),
            ready: None,
        })
    }

    /// When it began, to the millisecond.
    pub(crate) fn time(&self) -> SystemTime {
        let (seconds, nanos) = self.call.get_timestamp().map_or((0, 0), |begun| begun.to_unix());
        SystemTime::UNIX_EPOCH + Duration::new(seconds, nanos)
    }

    /// The session is known.
    pub(crate) fn member(&mut self, member: &Rc<Member>) {
        member.session.streams.fetch_add(1, Ordering::Relaxed);
        self.member = Some(member.clone());
    }

    /// Its session, once that is known.
    pub(super) fn session(&self) -> Option<&Arc<Session>> {
        self.member.as_ref().map(|member| &member.session)
    }

    /// The policy that judges it.
    pub(crate) fn policy(&self) -> &Policy {
        &self.generation.policy
    }

    /// The request could not be read; there is no method to record.
    pub(crate) fn unread(&mut self) {
        self.facts.method = None;
    }

    /// The authority and path are known.
    pub(crate) fn server(&mut self, target: &Target) {
        if self.facts.server.as_ref() != Some(&target.authority) {
            self.facts.server = Some(target.authority.clone());
        }
        self.facts.scheme = Some(target.scheme.code());
        self.facts.path = Some(match ensage_creds::mask_text(target.path.as_str()) {
            Cow::Borrowed(_) => target.path.shared(),
            Cow::Owned(masked) => masked.into(),
        });
    }

    /// Where it says that it goes, for the record of a client that is not even let ask.
    pub(crate) fn meant(&mut self, head: &http::request::Parts) {
        if let Some(raw) = head.uri.authority()
            && let Ok(authority) = Authority::parse(raw.as_str().as_bytes(), raw.port_u16().or(Some(80)))
        {
            self.facts.server = Some(authority);
        }
        if head.method == http::Method::CONNECT {
            self.facts.kind = CallType::Connect;
        }
    }

    /// It asks to become a WebSocket.
    pub(crate) fn websocket(&mut self) {
        self.facts.kind = CallType::Websocket;
    }

    /// The target of a CONNECT.
    pub(crate) fn connect_target(&mut self, authority: &Authority) {
        self.facts.kind = CallType::Connect;
        self.facts.server = Some(authority.clone());
    }

    /// The upstream's certificate was refused for this.
    pub(crate) fn fault(&mut self, name: Option<&'static str>) {
        self.facts.fault = name;
    }

    /// TLS that passes unread.
    pub(crate) fn unseen(&mut self, permit: &TunnelPermit) {
        self.facts.kind = CallType::Tunnel;
        self.facts.server = Some(permit.authority().clone());
        self.facts.rule = permit.rule().map(|r| r.path.clone());
        self.facts.would = permit.would().cloned().map(Box::new);
    }

    /// A CONNECT that is let through is no call: its requests are.
    pub(crate) fn tunnelled(mut self) {
        self.state = State::Closed;
    }

    /// Something that somebody must look at, whatever becomes of this exchange.
    pub(crate) fn alarm(&self, reason: Reason) {
        let session = self.session().map(|s| s.fragment(self.mode()));
        let alarm = Alarm { reason: reason.code(), call: Some(self.call), session, message: None };
        self.conn.shared.metrics.alarm(reason);
        self.conn.shared.note(Draft::alarm(reason.severity().code(), &alarm));
    }

    /// What the client asked for, as it spelled it: a hidden answer repeats that.
    pub(crate) fn asked(&mut self, raw: &str) {
        let host = if raw.ends_with(']') { raw } else { raw.rsplit_once(':').map_or(raw, |(host, _)| host) };
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_' | ':' | '[' | ']');
        self.facts.asked = Some(host.chars().take(255).filter(|c| plain(*c)).collect());
    }

    /// The name that a hidden answer repeats: the one that the client itself sent, so that its spelling shows nothing
    /// of what it was read as.
    pub(crate) fn asked_name(&self) -> String {
        let server = || self.facts.server.as_ref().map(|a| a.host.to_string());
        self.facts.asked.clone().or_else(server).unwrap_or_else(|| "-".to_owned())
    }

    /// The next hop through which the upstream is reached, if it is.
    pub(crate) fn via(&mut self, hop: Option<Arc<str>>) {
        self.facts.via = hop;
    }

    pub(crate) fn form(&mut self, form: Form) {
        self.form = form;
    }

    pub(crate) fn route(&mut self, route: &Route) {
        match route.kind() {
            RouteKind::Mcp { server } => {
                self.facts.kind = CallType::Mcp;
                self.facts.mcp_server = Some(server.clone());
            }
            RouteKind::Llm { provider, .. } => {
                self.facts.kind = CallType::Llm;
                self.facts.provider = Some(provider.clone());
            }
            RouteKind::Http | RouteKind::Unlisted => {}
        }
    }

    pub(crate) fn mcp_server(&mut self, server: &Arc<str>) {
        self.facts.mcp_server = Some(server.clone());
    }

    /// The MCP session that the client names.
    pub(crate) fn mcp_session(&mut self, id: &str) {
        self.facts.mcp_session = Some(ensage_creds::mask_text(id).into());
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

    /// What was done with a credential of the head; that one was masked in the body says more, and stays.
    pub(crate) fn credential(&mut self, name: &Arc<str>, action: &'static str) {
        if !matches!(self.facts.credential, Some((_, "masked"))) {
            self.facts.credential = Some((name.clone(), action));
        }
    }

    /// A placeholder where it does not belong is refused, whichever step says so.
    pub(crate) fn carries(&mut self, finding: &CredentialFinding) {
        if let CredentialFinding::Misuse { credential: Some(name), .. } = finding {
            self.credential(name, "refused");
        }
    }

    pub(crate) fn expect(&mut self, expected: Expected) {
        self.expected = expected;
    }

    pub(crate) fn permitted(&mut self, permit: &HeadPermit) {
        self.facts.rule = permit.rule().map(|r| r.path.clone());
        self.facts.would = permit.would().cloned().map(Box::new);
    }

    /// Bytes of a body that was held.
    pub(crate) fn sent(&mut self, bytes: u64) {
        self.facts.up = bytes;
    }

    pub(crate) fn status(&mut self, status: StatusCode) {
        self.facts.status = Some(status.as_u16());
    }

    pub(crate) fn scrubbed(&mut self, more: u64) {
        self.facts.scrubbed += more;
        if let Some(tally) = self.credit().filter(|_| more > 0) {
            tally.scrubs.add(more);
        }
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

    /// What the body said, for whoever judges it again.
    pub(crate) fn content(&self, body: &OutBody) -> Content {
        match &self.expected {
            Expected::Opaque | Expected::McpStream | Expected::Websocket(_) | Expected::Llm(_, None) => body.unread(),
            Expected::Mcp(message) => Content::Mcp(message.clone()),
            Expected::Llm(_, Some(request)) => Content::Llm(request.clone()),
        }
    }

    /// Which tools the answer may list.
    pub(crate) fn show(&mut self, tools: ToolFilter) {
        self.tools = Some(tools);
    }

    /// Takes the filter for the answer; without one nothing is listed.
    pub(crate) fn list_filter(&mut self) -> Allow {
        match self.tools.take() {
            Some(tools) => Box::new(move |item| tools.lists(item.kind, item.name)),
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

    /// The mode of the session's enclave at this moment.
    pub(super) fn mode(&self) -> Mode {
        let enclave = self.session().and_then(|s| self.policy().enclave(&s.opening.enclave));
        enclave.map_or(self.policy().gateway.mode, |e| e.mode)
    }
}
