//! The body of `/v1/messages` and `/v1/messages/count_tokens`.

use std::collections::HashSet;

use super::COMMON;
use crate::json::{Interpreted, Node, Value};
use crate::llm::members::{
    Family, Shape, elements, open, open_typed, optional_str, present, required_str, unknown, wrong_type,
};
use crate::llm::{Connector, LlmError, Place, Request, StoredKind};

/// Reads one body.
pub(in crate::llm) fn read(root: &Node<'_>) -> Result<Request, LlmError> {
    let mut reading = Reading::default();
    reading.body(root)?;
    Ok(reading.request)
}

/// What is known of the body half-way.
#[derive(Default)]
pub(super) struct Reading<'n> {
    pub(super) request: Request,
    /// MCP servers that something outside `mcp_servers` refers to.
    pub(super) servers_named: Vec<&'n str>,
    /// (id, tool) of each `server_tool_use`.
    pub(super) provider_calls: Vec<(&'n str, &'n str)>,
    /// (id, server) of each `mcp_tool_use`.
    pub(super) connector_calls: Vec<(&'n str, &'n str)>,
    /// The calls that have a result.
    pub(super) results: HashSet<&'n str>,
}

const BODY: Shape = Shape {
    place: "",
    known: &[
        "billing_policy",
        "cache_control",
        "compaction",
        "container",
        "context_management",
        "diagnostics", // `previous_message_id` there is for a cache report, nothing is taken up
        "fallback_credit_token",
        "fallbacks",
        "inference_geo",
        "max_tokens",
        "mcp_servers",
        "messages",
        "metadata",
        "model",
        "output_config",
        "output_format",
        "service_tier",
        "speed",
        "stop_sequences",
        "stream",
        "system",
        "temperature",
        "thinking",
        "thread",
        "tool_choice",
        "tools",
        "top_k",
        "top_p",
    ],
};

const MESSAGE: Shape = Shape { place: "messages[]", known: &["role", "content", "output_config", "clear_at"] };

const FALLBACK: Shape =
    Shape { place: "fallbacks[]", known: &["model", "max_tokens", "output_config", "speed", "thinking"] };

const SERVER: Shape =
    Shape { place: "mcp_servers[]", known: &["type", "name", "url", "authorization_token", "tool_configuration"] };

const CONTAINER: Shape = Shape { place: "container", known: &["id", "skills"] };

const SKILL: Shape = Shape { place: "container.skills[]", known: &["skill_id", "type", "version"] };

const THREAD: Family = Family {
    place: "thread",
    type_place: "thread.type",
    what: "thread",
    kinds: &[("create", &[]), ("continue", &["previous_message_id"])],
    common: COMMON,
};

const CREDIT: Shape = Shape { place: "fallback_credit_token", known: &["token", "mode"] };

const CONTEXT: Shape = Shape { place: "context_management", known: &["edits"] };

const EDIT: Family = Family {
    place: "context_management.edits[]",
    type_place: "context_management.edits[].type",
    what: "context edit",
    kinds: &[
        ("clear_tool_uses_20250919", &["clear_at_least", "clear_tool_inputs", "exclude_tools", "keep", "trigger"]),
        ("clear_thinking_20251015", &["keep"]),
        ("compact_20260112", &["instructions", "pause_after_compaction", "trigger"]),
    ],
    common: COMMON,
};

const COMPACTION: Family = Family {
    place: "compaction",
    type_place: "compaction.type",
    what: "compaction",
    kinds: &[("summarize", &["instructions"])],
    common: COMMON,
};

impl<'n> Reading<'n> {
    fn body(&mut self, root: &'n Node<'_>) -> Result<(), LlmError> {
        let body = open(&mut self.request, root, &BODY)?;
        self.request.models.push(required_str(body, "model", "model")?.to_owned());
        if let Some(stream) = present(body, "stream") {
            self.request.stream = stream.as_bool().ok_or(wrong_type("stream", stream))?;
        }
        self.fallbacks(body)?;
        for tool in elements(body, "tools", "tools")? {
            self.tool(tool)?;
        }
        if let Some(system) = present(body, "system") {
            self.content(system)?;
        }
        present(body, "messages").ok_or(LlmError::Missing { member: "messages" })?;
        for message in elements(body, "messages", "messages")? {
            self.message(message)?;
        }
        self.stored(body)?;
        self.context(body)?;
        self.settle_calls();
        self.connectors(body)
    }

    fn message(&mut self, node: &'n Node<'_>) -> Result<(), LlmError> {
        let message = open(&mut self.request, node, &MESSAGE)?;
        let role = required_str(message, "role", "messages[].role")?;
        if !["user", "assistant", "system"].contains(&role) {
            unknown(&mut self.request, "role", role);
        }
        self.content(present(message, "content").ok_or(LlmError::Missing { member: "messages[].content" })?)
    }

    fn fallbacks(&mut self, body: Interpreted<'n, '_>) -> Result<(), LlmError> {
        if let Some(preset) = present(body, "fallbacks").and_then(Node::as_str) {
            self.request.models.push(preset.to_owned());
            return Ok(());
        }
        for fallback in elements(body, "fallbacks", "fallbacks")? {
            let fallback = open(&mut self.request, fallback, &FALLBACK)?;
            self.request.models.push(required_str(fallback, "model", "fallbacks[].model")?.to_owned());
        }
        Ok(())
    }

    fn stored(&mut self, body: Interpreted<'n, '_>) -> Result<(), LlmError> {
        if let Some(container) = present(body, "container") {
            self.container(container)?;
        }
        if let Some(thread) = present(body, "thread")
            && let Some((thread, "continue")) = open_typed(&mut self.request, thread, &THREAD)?
        {
            let id = required_str(thread, "previous_message_id", "thread.previous_message_id")?;
            self.request.stored(StoredKind::Thread, id);
        }
        if let Some(credit) = present(body, "fallback_credit_token") {
            let token = match &credit.value {
                Value::String(token) => token,
                Value::Null | Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_) => {
                    required_str(open(&mut self.request, credit, &CREDIT)?, "token", "fallback_credit_token.token")?
                }
            };
            self.request.stored(StoredKind::FallbackCredit, token);
        }
        Ok(())
    }

    fn container(&mut self, node: &'n Node<'_>) -> Result<(), LlmError> {
        if let Some(id) = node.as_str() {
            self.request.stored(StoredKind::Container, id);
            return Ok(());
        }
        let container = open(&mut self.request, node, &CONTAINER)?;
        if let Some(id) = optional_str(container, "id", "container.id")? {
            self.request.stored(StoredKind::Container, id);
        }
        for skill in elements(container, "skills", "container.skills")? {
            let skill = open(&mut self.request, skill, &SKILL)?;
            self.request.stored(StoredKind::Skill, required_str(skill, "skill_id", "container.skills[].skill_id")?);
        }
        Ok(())
    }

    fn context(&mut self, body: Interpreted<'n, '_>) -> Result<(), LlmError> {
        if let Some(compaction) = present(body, "compaction") {
            open_typed(&mut self.request, compaction, &COMPACTION)?;
        }
        let Some(context) = present(body, "context_management") else { return Ok(()) };
        let context = open(&mut self.request, context, &CONTEXT)?;
        for edit in elements(context, "edits", "context_management.edits")? {
            open_typed(&mut self.request, edit, &EDIT)?;
        }
        Ok(())
    }

    /// Last, when everything that may refer to a connector was seen.
    fn connectors(&mut self, body: Interpreted<'n, '_>) -> Result<(), LlmError> {
        let mut declared = HashSet::new();
        for server in elements(body, "mcp_servers", "mcp_servers")? {
            let server = open(&mut self.request, server, &SERVER)?;
            let kind = required_str(server, "type", "mcp_servers[].type")?;
            if kind != "url" {
                unknown(&mut self.request, "connector", kind);
                continue;
            }
            let name = required_str(server, "name", "mcp_servers[].name")?;
            let url = required_str(server, "url", "mcp_servers[].url")?;
            let authorized = present(server, "authorization_token").is_some();
            declared.insert(name);
            let place = Place::Url(url.to_owned());
            self.request.connectors.push(Connector { name: name.to_owned(), place, authorized });
        }
        for name in std::mem::take(&mut self.servers_named) {
            if !declared.contains(name) {
                unknown(&mut self.request, "connector", name);
            }
        }
        Ok(())
    }
}
