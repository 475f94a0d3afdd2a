//! The records that are no calls: what became of sessions, agents, policies, grants, pins and the gateway.

use uuid::Uuid;

use crate::fragment::Fragment;
use crate::json::Members;

/// `session`: one was opened, ended, quarantined or released.
#[derive(Clone, Debug, Default)]
pub struct SessionEvent<'a> {
    /// `opened`, `ended`, `quarantined` or `released`.
    pub event: &'a str,
    /// [`crate::SessionFacts::fragment`]
    pub session: Option<&'a Fragment>,
    /// The session's root.
    pub process: Option<&'a Fragment>,
    /// Who did it, where somebody did.
    pub by: Option<&'a str>,
    /// Why: `root_exited`, `ttl`, `admin`, ...
    pub cause: Option<&'a str>,
}

impl SessionEvent<'_> {
    pub(crate) fn write(&self, m: &mut Members<'_>) {
        m.text("event", Some(self.event));
        fragments(m, self.session, self.process);
        m.text("by", self.by);
        m.text("cause", self.cause);
    }
}

/// `agent`: one was found, is rogue, goes around the gateway, or is gone.
#[derive(Clone, Debug, Default)]
pub struct AgentEvent<'a> {
    /// `found`, `rogue`, `bypass` or `gone`.
    pub event: &'a str,
    /// The agent's name.
    pub agent: &'a str,
    /// Its enclave.
    pub enclave: Option<&'a str>,
    /// Its session, if it has one.
    pub session: Option<&'a Fragment>,
    /// Its root.
    pub process: Option<&'a Fragment>,
    /// Where it connected to without the gateway.
    pub server: Option<(&'a str, u16)>,
}

impl AgentEvent<'_> {
    pub(crate) fn write(&self, m: &mut Members<'_>) {
        m.text("event", Some(self.event));
        m.text("agent", Some(self.agent));
        m.text("enclave", self.enclave);
        fragments(m, self.session, self.process);
        m.object("server", |m| {
            m.text("address", self.server.map(|(address, _)| address));
            m.number("port", self.server.map(|(_, port)| port.into()));
        });
    }
}

/// `grant`: one was approved, denied, used, revoked or has expired.
#[derive(Clone, Debug, Default)]
pub struct GrantEvent<'a> {
    /// `approved`, `denied`, `used`, `expired` or `revoked`.
    pub event: &'a str,
    /// The chamber.
    pub chamber: &'a str,
    /// The grant.
    pub grant: Option<Uuid>,
    /// The OS user.
    pub by: Option<&'a str>,
    /// The session it is for.
    pub session: Option<&'a Fragment>,
    /// The call that used or asked for it.
    pub call: Option<Uuid>,
}

impl GrantEvent<'_> {
    pub(crate) fn write(&self, m: &mut Members<'_>) {
        m.text("event", Some(self.event));
        m.text("chamber", Some(self.chamber));
        m.id("grant", self.grant);
        m.text("by", self.by);
        fragments(m, self.session, None);
        m.id("call", self.call);
    }
}

/// `policy`: a configuration is in force, or was rejected.
#[derive(Clone, Debug, Default)]
pub struct PolicyEvent<'a> {
    /// `loaded` or `rejected`.
    pub event: &'a str,
    /// The generation that is in force after it.
    pub generation: Option<u64>,
    /// Digest of the configuration, lower-case hex.
    pub sha256: Option<&'a str>,
    /// The file.
    pub file: Option<&'a str>,
    /// Why it was rejected.
    pub message: Option<&'a str>,
}

impl PolicyEvent<'_> {
    pub(crate) fn write(&self, m: &mut Members<'_>) {
        m.text("event", Some(self.event));
        m.object("policy", |m| {
            m.number("generation", self.generation);
            m.text("sha256", self.sha256);
            m.file("file", self.file);
        });
        m.text("message", self.message);
    }
}

/// `pin`: the definition of a tool was pinned, changed, approved or rejected, or a new one came up.
#[derive(Clone, Debug, Default)]
pub struct PinEvent<'a> {
    /// `pinned`, `changed`, `added`, `approved` or `rejected`.
    pub event: &'a str,
    /// The enclave.
    pub enclave: &'a str,
    /// The MCP server's entry.
    pub server: &'a str,
    /// The tool.
    pub tool: Option<&'a str>,
    /// Digest of the definition.
    pub sha256: Option<&'a str>,
    /// Digest of the definition before.
    pub was: Option<&'a str>,
    /// Who approved or rejected it.
    pub by: Option<&'a str>,
}

impl PinEvent<'_> {
    pub(crate) fn write(&self, m: &mut Members<'_>) {
        m.text("event", Some(self.event));
        m.text("enclave", Some(self.enclave));
        m.object_of_text("mcp", "server", Some(self.server));
        m.object("gen_ai", |m| m.object_of_text("tool", "name", self.tool));
        m.text("sha256", self.sha256);
        m.text("was", self.was);
        m.text("by", self.by);
    }
}

/// `alarm`: something that somebody must look at.
#[derive(Clone, Debug, Default)]
pub struct Alarm<'a> {
    /// The reason of interface section 3.
    pub reason: &'a str,
    /// The call it is about.
    pub call: Option<Uuid>,
    /// The session it is about.
    pub session: Option<&'a Fragment>,
    /// One sentence.
    pub message: Option<&'a str>,
}

impl Alarm<'_> {
    pub(crate) fn write(&self, m: &mut Members<'_>) {
        m.text("reason", Some(self.reason));
        m.id("call", self.call);
        fragments(m, self.session, None);
        m.text("message", self.message);
    }
}

/// `admin`: what an operator did.
#[derive(Clone, Debug, Default)]
pub struct AdminEvent<'a> {
    /// The command: `reload`, `creds_add`, `sessions_end`, ...
    pub event: &'a str,
    /// What it was done to: a name or an id, never a value.
    pub target: Option<&'a str>,
    /// The OS user.
    pub by: Option<&'a str>,
    /// The process that asked.
    pub process: Option<&'a Fragment>,
    /// Why it was refused, if it was.
    pub reason: Option<&'a str>,
}

impl AdminEvent<'_> {
    pub(crate) fn write(&self, m: &mut Members<'_>) {
        m.text("event", Some(self.event));
        m.text("target", self.target);
        m.text("by", self.by);
        fragments(m, None, self.process);
        m.text("reason", self.reason);
    }
}

/// `gateway`: it started, drains, stopped, or something of it does not work.
#[derive(Clone, Debug, Default)]
pub struct GatewayEvent<'a> {
    /// `started`, `draining`, `stopped` or `degraded`. Queries take `started` as the end of all calls before it.
    pub event: &'a str,
    /// Of the program.
    pub version: Option<&'a str>,
    /// Where it listens.
    pub listeners: &'a [String],
    /// What is degraded.
    pub code: Option<&'a str>,
    /// One sentence.
    pub message: Option<&'a str>,
}

impl GatewayEvent<'_> {
    pub(crate) fn write(&self, m: &mut Members<'_>) {
        m.text("event", Some(self.event));
        m.text("version", self.version);
        m.texts("listeners", self.listeners);
        m.text("code", self.code);
        m.text("message", self.message);
    }
}

fn fragments(m: &mut Members<'_>, session: Option<&Fragment>, process: Option<&Fragment>) {
    if let Some(session) = session {
        m.raw("session", session.bytes());
    }
    if let Some(process) = process {
        m.raw("process", process.bytes());
    }
}
