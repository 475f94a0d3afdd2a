//! The two records of a call: the decision (`call`) and its close (`end`), interface section 2.

use std::borrow::Cow;
use std::net::IpAddr;
use std::time::Duration;

use uuid::Uuid;

use crate::fragment::Fragment;
use crate::json::Members;
use crate::shared::Shares;

/// The MCP facts of a call.
#[derive(Clone, Copy, Debug, Default)]
pub struct Mcp<'a> {
    /// Name of the configuration's entry.
    pub server: &'a str,
    /// Who asks: `client` or `server`.
    pub direction: &'a str,
    /// The JSON-RPC method.
    pub method: Option<&'a str>,
    /// The revision.
    pub protocol_version: Option<&'a str>,
    /// The transport's session id.
    pub session_id: Option<&'a str>,
    /// The resource that was asked for.
    pub resource_uri: Option<&'a str>,
    /// The JSON-RPC id as it was sent, quotes and all; written as OpenTelemetry has it, as a string.
    pub request_id: Option<&'a str>,
}

/// The model, tool and prompt of a call, MCP ones too.
#[derive(Clone, Copy, Debug, Default)]
pub struct GenAi<'a> {
    /// `gen_ai.provider.name`
    pub provider: Option<&'a str>,
    /// `gen_ai.request.model`
    pub request_model: Option<&'a str>,
    /// `gen_ai.tool.name`
    pub tool: Option<&'a str>,
    /// `gen_ai.prompt.name`
    pub prompt: Option<&'a str>,
}

/// A decision. Make one with [`Call::new`] and set what is known; what is absent or empty is not written.
///
/// Whoever fills it in takes care that no text holds a secret or a placeholder. Texts are cut at 1 KiB.
#[derive(Clone, Debug, Default)]
pub struct Call<'a> {
    /// UUIDv7, the decision's id.
    pub id: Uuid,
    /// `info`, `low`, `medium` or `high`.
    pub severity: &'a str,
    /// The exchange on the client's connection.
    pub exchange: Option<Uuid>,
    /// The client's connection.
    pub connection: Option<Uuid>,
    /// [`SessionFacts::fragment`](crate::SessionFacts::fragment)
    pub session: Option<&'a Fragment>,
    /// [`ProcessFacts::fragment`](crate::ProcessFacts::fragment)
    pub process: Option<&'a Fragment>,
    /// `type`: `http`, `mcp`, `llm`, `websocket`, `tunnel`, `tcp` or `connect`.
    pub kind: &'a str,
    /// `server.address`, as asked.
    pub server: Option<&'a str>,
    /// `server.port`
    pub port: Option<u16>,
    /// `network.peer.address`, as dialled.
    pub peer: Option<IpAddr>,
    /// `network.protocol.version`: `1.1` or `2`.
    pub protocol_version: Option<&'a str>,
    /// `http.request.method`
    pub method: Option<&'a str>,
    /// `url.scheme`
    pub scheme: Option<&'a str>,
    /// `url.path`, as sent, never with the query.
    pub path: Option<&'a str>,
    /// For MCP.
    pub mcp: Option<Mcp<'a>>,
    /// Model, tool, prompt.
    pub gen_ai: GenAi<'a>,
    /// Server-side tools that the request asked of the provider.
    pub provider_tools: &'a [String],
    /// Digest (lower-case hex) and size of the arguments as forwarded.
    pub arguments: Option<(&'a str, u64)>,
    /// Name of the credential and what was done with it: `substituted`, `injected`, `masked`, `refused` or `bare`.
    pub credential: Option<(&'a str, &'a str)>,
    /// `allow` or `deny`.
    pub decision: &'a str,
    /// `deny` where observe mode let something through.
    pub would: Option<&'a str>,
    /// Only for a deny or a would-be deny.
    pub reason: Option<&'a str>,
    /// The configuration path that decided.
    pub rule: Option<&'a str>,
    /// One sentence: what the reason meant here.
    pub message: Option<&'a str>,
    /// The fault of a certificate.
    pub fault: Option<&'a str>,
    /// The next hop, where there is one.
    pub via: Option<&'a str>,
    /// [`PolicyFacts::fragment`](crate::PolicyFacts::fragment)
    pub policy: Option<&'a Fragment>,
    /// The chamber that guards it.
    pub chamber: Option<&'a str>,
    /// The grant that opened the chamber.
    pub grant: Option<Uuid>,
    /// For a call that is over when it is decided (a refusal): then no `end` follows.
    pub end: Option<&'a End<'a>>,
}

impl<'a> Call<'a> {
    /// A call of which only the id and the severity are known.
    pub fn new(id: Uuid, severity: &'a str) -> Self {
        Self { id, severity, ..Self::default() }
    }

    /// What it has in common with others; that is not [written](Self::write), nor is the exchange.
    pub(crate) fn shares(&self) -> Shares<'a> {
        [self.session, self.process, self.policy]
    }

    pub(crate) fn write(&self, m: &mut Members<'_>) {
        m.id("connection", self.connection);
        self.write_what(m);
        self.write_verdict(m);
        if let Some(end) = self.end {
            end.write_counts(m);
        }
    }

    fn write_what(&self, m: &mut Members<'_>) {
        m.text("type", Some(self.kind));
        m.object("server", |m| {
            m.text("address", self.server);
            m.number("port", self.port.map(u64::from));
        });
        m.object("network", |m| {
            m.object("peer", |m| m.address("address", self.peer));
            m.object_of_text("protocol", "version", self.protocol_version);
        });
        m.object("http", |m| {
            m.object_of_text("request", "method", self.method);
            m.object("response", |m| m.number("status_code", self.end.and_then(|e| e.status).map(u64::from)));
        });
        m.object("url", |m| {
            m.text("scheme", self.scheme);
            m.text("path", self.path);
        });
        if let Some(mcp) = &self.mcp {
            mcp.write(m);
        }
        m.object("gen_ai", |m| self.write_gen_ai(m));
        m.texts("provider_tools", self.provider_tools);
        m.texts("tools_requested", self.end.map_or(&[], |e| e.tools_requested));
        m.object("arguments", |m| {
            m.text("sha256", self.arguments.map(|(sha256, _)| sha256));
            m.number("bytes", self.arguments.map(|(_, bytes)| bytes));
        });
        m.object("credential", |m| {
            m.text("name", self.credential.map(|(name, _)| name));
            m.text("action", self.credential.map(|(_, action)| action));
        });
    }

    fn write_gen_ai(&self, m: &mut Members<'_>) {
        m.object_of_text("provider", "name", self.gen_ai.provider);
        m.object_of_text("request", "model", self.gen_ai.request_model);
        m.object_of_text("tool", "name", self.gen_ai.tool);
        m.object_of_text("prompt", "name", self.gen_ai.prompt);
        if let Some(end) = self.end {
            end.write_gen_ai(m);
        }
    }

    fn write_verdict(&self, m: &mut Members<'_>) {
        m.text("decision", Some(self.decision));
        m.text("would", self.would);
        m.text("reason", self.reason);
        m.text("rule", self.rule);
        m.text("message", self.message);
        m.text("fault", self.fault);
        m.text("via", self.via);
        m.text("chamber", self.chamber);
        m.id("grant", self.grant);
    }
}

impl Mcp<'_> {
    fn write(&self, m: &mut Members<'_>) {
        m.object("mcp", |m| {
            m.text("server", Some(self.server));
            m.text("direction", Some(self.direction));
            m.object_of_text("method", "name", self.method);
            m.object_of_text("protocol", "version", self.protocol_version);
            m.object_of_text("session", "id", self.session_id);
            m.object_of_text("resource", "uri", self.resource_uri);
        });
        let id = self.request_id.map(meaning);
        m.object("jsonrpc", |m| m.object_of_text("request", "id", id.as_deref()));
    }
}

/// What the JSON of an id stands for: a string for its text, a number for its digits.
fn meaning(sent: &str) -> Cow<'_, str> {
    // Most ids are numbers: asking for a string and being told that there is none costs more than the rest of `mcp`.
    if !sent.contains('"') {
        return Cow::Borrowed(sent);
    }
    serde_json::from_str::<String>(sent).map_or(Cow::Borrowed(sent), Cow::Owned)
}

/// The close of a call.
#[derive(Clone, Debug, Default)]
pub struct End<'a> {
    /// `http.response.status_code`, as the client got it.
    pub status: Option<u16>,
    /// `gen_ai.response.model`
    pub response_model: Option<&'a str>,
    /// `gen_ai.usage.input_tokens`
    pub input_tokens: Option<u64>,
    /// `gen_ai.usage.output_tokens`
    pub output_tokens: Option<u64>,
    /// Tools that the provider's answer called.
    pub tools_requested: &'a [String],
    /// Tools that the answer lists and whose definition has characters that people don't see.
    pub flagged: &'a [String],
    /// Number of reflections of a secret that were replaced.
    pub scrubbed: Option<u64>,
    /// Bytes from the client.
    pub bytes_up: u64,
    /// Bytes to the client.
    pub bytes_down: u64,
    /// From the first byte of the request to the last of the answer.
    pub duration: Option<Duration>,
    /// `complete`, `refused`, `client_gone`, `upstream_failed`, `revoked`, `session_ended` or `gateway_stopped`.
    pub outcome: &'a str,
    /// Why a call that was let through was cut off after all.
    pub reason: Option<&'a str>,
}

impl End<'_> {
    /// Whether it has texts that others have made; the rest are numbers, and words of this program.
    pub(crate) const fn is_foreign(&self) -> bool {
        self.response_model.is_some() || !self.tools_requested.is_empty() || !self.flagged.is_empty()
    }

    pub(crate) fn write(&self, m: &mut Members<'_>) {
        m.object("http", |m| {
            m.object("response", |m| m.number("status_code", self.status.map(u64::from)));
        });
        m.object("gen_ai", |m| self.write_gen_ai(m));
        m.texts("tools_requested", self.tools_requested);
        m.texts("flagged", self.flagged);
        m.text("reason", self.reason);
        self.write_counts(m);
    }

    fn write_gen_ai(&self, m: &mut Members<'_>) {
        m.object_of_text("response", "model", self.response_model);
        m.object("usage", |m| {
            m.number("input_tokens", self.input_tokens);
            m.number("output_tokens", self.output_tokens);
        });
    }

    fn write_counts(&self, m: &mut Members<'_>) {
        m.number("scrubbed", self.scrubbed);
        m.object("bytes", |m| {
            m.number("up", Some(self.bytes_up));
            m.number("down", Some(self.bytes_down));
        });
        m.millis("duration_ms", self.duration);
        m.text("outcome", Some(self.outcome));
    }
}

#[cfg(test)]
mod tests;
