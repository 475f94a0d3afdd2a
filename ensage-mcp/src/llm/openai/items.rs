//! Items of `input`: what was said, called and answered, and what a client adds to it.

use super::responses::Reading;
use super::stored;
use crate::json::{Interpreted, Node};
use crate::llm::members::{Family, elements, open_as, optional_str, present, required_str, unknown, wrong_type};
use crate::llm::{LlmError, StoredKind};

const ITEM: Family =
    Family { place: "input[]", type_place: "input[].type", what: "input item", kinds: ITEMS, common: COMMON };

/// The last is of Codex: where a text came from, and when.
const COMMON: &[&str] = &["type", "id", "status", "internal_chat_message_metadata_passthrough"];

const ITEMS: &[(&str, &[&str])] = &[
    ("message", &["content", "phase", "role"]),
    ("item_reference", &[]),
    ("additional_tools", &["role", "tools"]),
    ("configuration_update", &["reasoning", "text"]),
    ("compaction", &["encrypted_content"]),
    ("compaction_trigger", &[]),
    ("reasoning", &["content", "encrypted_content", "summary"]),
    ("function_call", CALL),
    ("custom_tool_call", CALL),
    ("function_call_output", RESULT),
    ("custom_tool_call_output", RESULT),
    ("local_shell_call", &["action", "call_id"]),
    ("local_shell_call_output", &["call_id", "output"]),
    ("shell_call", &["action", "call_id", "caller", "environment"]),
    ("shell_call_output", &["call_id", "caller", "max_output_length", "output"]),
    ("apply_patch_call", &["call_id", "caller", "operation"]),
    ("apply_patch_call_output", &["call_id", "caller", "output"]),
    ("computer_call", &["action", "actions", "call_id", "pending_safety_checks"]),
    ("computer_call_output", &["acknowledged_safety_checks", "call_id", "output"]),
    ("tool_search_call", &["arguments", "call_id", "execution"]),
    ("tool_search_output", &["call_id", "execution", "tools"]),
    ("web_search_call", &["action"]),
    ("file_search_call", &["queries", "results"]),
    ("code_interpreter_call", &["code", "container_id", "outputs"]),
    (
        "image_generation_call",
        &["action", "background", "error", "output_format", "quality", "result", "revised_prompt", "size", "svg_usage"],
    ),
    ("mcp_list_tools", &["error", "server_label", "tools"]),
    ("mcp_approval_request", &["arguments", "name", "server_label"]),
    ("mcp_approval_response", &["approval_request_id", "approve", "reason"]),
    ("mcp_call", &["approval_request_id", "arguments", "error", "name", "output", "server_label"]),
    ("program", &["call_id", "code", "fingerprint"]),
    ("program_output", &["call_id", "result"]),
];

const CALL: &[&str] = &["arguments", "call_id", "caller", "input", "name", "namespace"];
const RESULT: &[&str] = &["call_id", "caller", "name", "namespace", "output"];

const ROLES: [&str; 4] = ["user", "assistant", "system", "developer"];

impl<'n> Reading<'n> {
    /// One element of `input`.
    pub(super) fn item(&mut self, node: &'n Node<'_>) -> Result<(), LlmError> {
        let kind = kind(node)?;
        let Some((item, kind)) = open_as(&mut self.request, node, &ITEM, kind)? else { return Ok(()) };
        match kind {
            "message" => {
                let role = required_str(item, "role", "input[].role")?;
                if !ROLES.contains(&role) {
                    unknown(&mut self.request, "role", role);
                }
                self.said(item, "content")
            }
            "function_call_output" | "custom_tool_call_output" | "computer_call_output" => self.said(item, "output"),
            "additional_tools" | "tool_search_output" => {
                elements(item, "tools", "input[].tools")?.iter().try_for_each(|tool| self.tool(tool))
            }
            "item_reference" => {
                let id = required_str(item, "id", "input[].id")?;
                self.request.stored(StoredKind::Item, id);
                Ok(())
            }
            "code_interpreter_call" => stored(&mut self.request, item, "container_id", StoredKind::Container),
            "shell_call" => match present(item, "environment") {
                Some(environment) => self.environment(environment).map(|_| ()),
                None => Ok(()),
            },
            // A call that has been held runs once it is approved.
            "mcp_approval_response" => stored(&mut self.request, item, "approval_request_id", StoredKind::Item),
            "mcp_call" if present(item, "output").is_none() && present(item, "error").is_none() => {
                self.connectors_named.push(required_str(item, "server_label", "input[].server_label")?);
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn said(&mut self, item: Interpreted<'n, '_>, key: &'static str) -> Result<(), LlmError> {
        match present(item, key) {
            Some(said) => self.content(said),
            None => Ok(()),
        }
    }
}

/// The item's type; messages and references may do without it.
fn kind<'n>(node: &'n Node<'_>) -> Result<&'n str, LlmError> {
    if node.as_object().is_none() {
        return Err(wrong_type(ITEM.place, node));
    }
    let item = node.interpreted(COMMON)?;
    match optional_str(item, "type", ITEM.type_place)? {
        Some(kind) => Ok(kind),
        None if present(item, "role").is_some() => Ok("message"),
        None if present(item, "id").is_some() => Ok("item_reference"),
        None => Err(LlmError::Missing { member: ITEM.type_place }),
    }
}
