//! Content blocks, wherever they stand: in messages, in `system`, in tool results and documents.

use super::COMMON;
use super::request::Reading;
use super::tools::provider_tool_called;
use crate::json::{Interpreted, Node, Value};
use crate::llm::members::{Family, open_typed, optional_str, required_str, unknown, wrong_type};
use crate::llm::{LlmError, StoredKind};

const BLOCK: Family =
    Family { place: "content[]", type_place: "content[].type", what: "content block", kinds: BLOCKS, common: COMMON };

/// The second half are the parts of results of provider-side tools, which a client plays back from history.
const BLOCKS: &[(&str, &[&str])] = &[
    ("text", &["text", "citations"]),
    ("image", &["source", "transformations"]),
    ("document", &["source", "title", "context", "citations"]),
    ("search_result", &["source", "title", "content", "citations"]),
    ("thinking", &["thinking", "signature"]),
    ("redacted_thinking", &["data"]),
    ("tool_use", &["id", "name", "input", "caller", "toolset_name"]),
    ("tool_result", &["tool_use_id", "content", "is_error", "toolset_name"]),
    ("tool_reference", &["tool_name"]),
    ("server_tool_use", &["id", "name", "input", "caller"]),
    ("mcp_tool_use", &["id", "name", "input", "server_name"]),
    ("mcp_tool_result", &["tool_use_id", "content", "is_error"]),
    ("mcp_tool_listing", &["mcp_server_name", "tools"]),
    ("tool_addition", &["tool"]),
    ("tool_removal", &["tool"]),
    ("container_upload", &["file_id"]),
    ("compaction", &["content", "encrypted_content", "signature", "tool_changes"]),
    ("fallback", &["from", "to", "trigger"]),
    ("browser_state", &["tabs", "state_changes"]),
    ("web_search_tool_result", RESULT),
    ("web_fetch_tool_result", RESULT),
    ("advisor_tool_result", RESULT),
    ("code_execution_tool_result", RESULT),
    ("bash_code_execution_tool_result", RESULT),
    ("text_editor_code_execution_tool_result", RESULT),
    ("tool_search_tool_result", RESULT),
    ("web_search_result", &["url", "title", "encrypted_content", "page_age"]),
    ("web_search_tool_result_error", FAULT),
    ("web_fetch_result", &["url", "content", "retrieved_at"]),
    ("web_fetch_tool_result_error", FAULT),
    ("advisor_result", &["text", "stop_reason"]),
    ("advisor_redacted_result", &["encrypted_content", "stop_reason"]),
    ("advisor_tool_result_error", FAULT),
    ("code_execution_result", OUTPUT),
    ("encrypted_code_execution_result", &["content", "encrypted_stdout", "return_code", "stderr"]),
    ("code_execution_output", &["file_id"]),
    ("code_execution_tool_result_error", FAULT),
    ("bash_code_execution_result", OUTPUT),
    ("bash_code_execution_output", &["file_id"]),
    ("bash_code_execution_tool_result_error", FAULT),
    ("text_editor_code_execution_view_result", &["content", "file_type", "num_lines", "start_line", "total_lines"]),
    ("text_editor_code_execution_create_result", &["is_file_update"]),
    ("text_editor_code_execution_str_replace_result", &["lines", "new_lines", "new_start", "old_lines", "old_start"]),
    ("text_editor_code_execution_tool_result_error", FAULT),
    ("tool_search_tool_search_result", &["tool_references"]),
    ("tool_search_tool_result_error", FAULT),
];

const RESULT: &[&str] = &["tool_use_id", "content", "caller"];
const OUTPUT: &[&str] = &["content", "return_code", "stderr", "stdout"];
const FAULT: &[&str] = &["error_code", "error_message"];

const SOURCE: Family = Family {
    place: "source",
    type_place: "source.type",
    what: "source",
    kinds: &[
        ("base64", &["media_type", "data"]),
        ("text", &["media_type", "data"]),
        ("url", &["url"]),
        ("file", &["file_id"]),
        ("content", &["content"]),
    ],
    common: COMMON,
};

/// What a `tool_addition` or `tool_removal` is about.
const CHANGE: Family = Family {
    place: "tool",
    type_place: "tool.type",
    what: "tool change",
    kinds: &[
        ("tool_reference", &["name"]),
        ("mcp_tool_reference", &["name", "server_name"]),
        ("mcp_toolset_reference", &["server_name"]),
        ("tool_definition", &["definition"]),
    ],
    common: COMMON,
};

impl<'n> Reading<'n> {
    /// A string, a block or an array of blocks; null is none.
    pub(super) fn content(&mut self, node: &'n Node<'_>) -> Result<(), LlmError> {
        match &node.value {
            Value::Null | Value::String(_) => Ok(()),
            Value::Object(_) => self.block(node),
            Value::Array(elements) => elements.iter().try_for_each(|element| self.block(element)),
            Value::Bool(_) | Value::Number(_) => Err(wrong_type("content", node)),
        }
    }

    fn block(&mut self, node: &'n Node<'_>) -> Result<(), LlmError> {
        let Some((block, kind)) = open_typed(&mut self.request, node, &BLOCK)? else { return Ok(()) };
        self.call_or_result(block, kind)?;
        for member in block.members() {
            match &*member.key {
                // Of a search result it is a name to be cited, which nobody opens.
                "source" if kind == "search_result" => {}
                "source" => self.source(&member.node)?,
                "content" | "tool_changes" | "tool_references" => self.content(&member.node)?,
                "tool" => self.change(&member.node)?,
                "file_id" => self.file(&member.node)?,
                "mcp_server_name" => self.server_named(&member.node)?,
                _ => {}
            }
        }
        Ok(())
    }

    /// A call without its result is one that the provider would still run.
    fn call_or_result(&mut self, block: Interpreted<'n, '_>, kind: &str) -> Result<(), LlmError> {
        match kind {
            "server_tool_use" => {
                let id = required_str(block, "id", "content[].id")?;
                self.provider_calls.push((id, required_str(block, "name", "content[].name")?));
            }
            "mcp_tool_use" => {
                let id = required_str(block, "id", "content[].id")?;
                self.connector_calls.push((id, required_str(block, "server_name", "content[].server_name")?));
            }
            _ => {
                if let Some(id) = optional_str(block, "tool_use_id", "content[].tool_use_id")? {
                    self.results.insert(id);
                }
            }
        }
        Ok(())
    }

    fn source(&mut self, node: &'n Node<'_>) -> Result<(), LlmError> {
        let Some((source, kind)) = open_typed(&mut self.request, node, &SOURCE)? else { return Ok(()) };
        if kind == "url" {
            let url = required_str(source, "url", "source.url")?;
            self.request.url_sources.push(url.to_owned());
        }
        for member in source.members() {
            match &*member.key {
                "content" => self.content(&member.node)?,
                "file_id" => self.file(&member.node)?,
                _ => {}
            }
        }
        Ok(())
    }

    fn change(&mut self, node: &'n Node<'_>) -> Result<(), LlmError> {
        let Some((change, _)) = open_typed(&mut self.request, node, &CHANGE)? else { return Ok(()) };
        for member in change.members() {
            match &*member.key {
                "definition" => self.tool(&member.node)?,
                "server_name" => self.server_named(&member.node)?,
                _ => {}
            }
        }
        Ok(())
    }

    fn file(&mut self, node: &Node<'_>) -> Result<(), LlmError> {
        self.request.stored(StoredKind::File, node.as_str().ok_or(wrong_type("file_id", node))?);
        Ok(())
    }

    pub(super) fn server_named(&mut self, node: &'n Node<'_>) -> Result<(), LlmError> {
        self.servers_named.push(node.as_str().ok_or(wrong_type("mcp_server_name", node))?);
        Ok(())
    }

    /// Asks of the provider what the played-back history leaves to be done.
    pub(super) fn settle_calls(&mut self) {
        for (id, name) in std::mem::take(&mut self.provider_calls) {
            if self.results.contains(id) {
                continue;
            }
            match provider_tool_called(name) {
                Some(tool) => self.request.provider_tool(tool),
                None => unknown(&mut self.request, "provider tool", name),
            }
        }
        for (id, server) in std::mem::take(&mut self.connector_calls) {
            if !self.results.contains(id) {
                self.servers_named.push(server);
            }
        }
    }
}
