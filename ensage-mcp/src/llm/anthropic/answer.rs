//! What an answer of Anthropic Messages says.

use super::tools::provider_tool_called;
use crate::json::Node;
use crate::llm::StoredKind;
use crate::llm::seen::{Needs, Notes, Usage, cut};

/// True for an event that is nothing but a piece of a block that has begun, as nearly all are.
pub(in crate::llm) fn is_piece(data: &[u8]) -> bool {
    const PIECES: [&[u8]; 2] = [b"{\"type\":\"content_block_delta\",", b"{\"type\": \"content_block_delta\","];
    PIECES.iter().any(|start| data.starts_with(start))
}

/// One event, or the whole answer. Events whose type is not known pass: what a provider does, it tells in a block.
pub(in crate::llm) fn watch(notes: &mut Notes, value: &Node<'_>) {
    let kind = value.get("type").and_then(Node::as_str).unwrap_or_default();
    match kind {
        "message_start" => {
            if let Some(start) = value.get("message") {
                message(notes, start);
            }
        }
        "content_block_start" => {
            if let Some(start) = value.get("content_block") {
                block(notes, start);
            }
        }
        "message_delta" => {
            kept(notes, value.get("delta"));
            usage(notes, value);
        }
        "message" => message(notes, value),
        "error" => {
            let kind = value.get("error").and_then(|error| error.get("type")).and_then(Node::as_str);
            notes.seen.error = Some(cut(kind.unwrap_or("error")));
        }
        // The answer of `count_tokens` has no type.
        "" => update(&mut notes.seen.usage, value),
        _ => {}
    }
}

fn message(notes: &mut Notes, message: &Node<'_>) {
    notes.seen.model = message.get("model").and_then(Node::as_str).map(cut);
    notes.give(StoredKind::Thread, message.get("id").and_then(Node::as_str));
    kept(notes, Some(message));
    usage(notes, message);
    for part in message.get("content").and_then(Node::as_array).unwrap_or_default() {
        block(notes, part);
    }
}

/// Why it stopped, and what the provider keeps of it.
fn kept(notes: &mut Notes, holder: Option<&Node<'_>>) {
    let Some(holder) = holder else { return };
    if let Some(reason) = holder.get("stop_reason").and_then(Node::as_str) {
        notes.seen.stop_reason = Some(cut(reason));
    }
    let inside = |object: &str, key: &str| holder.get(object).and_then(|object| object.get(key)).and_then(Node::as_str);
    notes.give(StoredKind::Container, inside("container", "id"));
    notes.give(StoredKind::FallbackCredit, inside("stop_details", "fallback_credit_token"));
}

fn usage(notes: &mut Notes, holder: &Node<'_>) {
    if let Some(usage) = holder.get("usage") {
        update(&mut notes.seen.usage, usage);
    }
}

/// Takes over what `told` says, and what it says of other inferences.
fn update(usage: &mut Usage, told: &Node<'_>) {
    count(usage, told);
    let Some(iterations) = told.get("iterations").and_then(Node::as_array) else { return };
    (usage.aside_input_tokens, usage.aside_output_tokens) = (0, 0);
    for iteration in iterations {
        let kind = iteration.get("type").and_then(Node::as_str).unwrap_or_default();
        if ["compaction", "advisor_message"].contains(&kind) {
            let mut aside = Usage::default();
            count(&mut aside, iteration);
            let (input, output) = (aside.input_total().unwrap_or(0), aside.output_tokens.unwrap_or(0));
            usage.aside_input_tokens = usage.aside_input_tokens.saturating_add(input);
            usage.aside_output_tokens = usage.aside_output_tokens.saturating_add(output);
        }
    }
}

fn count(usage: &mut Usage, told: &Node<'_>) {
    for (field, key) in [
        (&mut usage.input_tokens, "input_tokens"),
        (&mut usage.cache_read_input_tokens, "cache_read_input_tokens"),
        (&mut usage.cache_creation_input_tokens, "cache_creation_input_tokens"),
        (&mut usage.output_tokens, "output_tokens"),
    ] {
        *field = told.get(key).and_then(Node::as_u64).or(*field);
    }
}

/// Searching and fetching run code to filter what they find (types of 2026-02-09 and later).
const CODE: &[&str] = &["code_execution", "web_search", "web_fetch"];

fn block(notes: &mut Notes, block: &Node<'_>) {
    let text = |key| block.get(key).and_then(Node::as_str);
    let kind = text("type").unwrap_or_default();
    let needs = match kind {
        "text" | "thinking" | "redacted_thinking" | "compaction" => return,
        "tool_use" => return notes.seen.request_tool(text("name").unwrap_or_default()),
        "server_tool_use" => text("name").and_then(provider_tool_called).map_or(Needs::Unknown, needs_of),
        "web_search_tool_result" => Needs::Tool(&["web_search"]),
        "web_fetch_tool_result" => Needs::Tool(&["web_fetch"]),
        "code_execution_tool_result"
        | "bash_code_execution_tool_result"
        | "text_editor_code_execution_tool_result"
        | "container_upload" => Needs::Tool(CODE),
        "tool_search_tool_result" => Needs::Tool(&["tool_search_tool_bm25", "tool_search_tool_regex"]),
        "advisor_tool_result" => Needs::Tool(&["advisor"]),
        "mcp_tool_use" => Needs::Connector(text("server_name").map(str::to_owned)),
        "mcp_tool_listing" => Needs::Connector(text("mcp_server_name").map(str::to_owned)),
        "mcp_tool_result" => Needs::Connector(None),
        "fallback" => Needs::OtherModel,
        _ => Needs::Unknown,
    };
    let model = || block.get("to").and_then(|to| to.get("model")).and_then(Node::as_str);
    notes.activity(kind, text("name").or_else(model), needs);
    files(notes, block);
}

fn needs_of(tool: &'static str) -> Needs {
    Needs::Tool(match tool {
        "web_search" => &["web_search"],
        "web_fetch" => &["web_fetch"],
        "code_execution" => CODE,
        "advisor" => &["advisor"],
        "tool_search_tool_bm25" => &["tool_search_tool_bm25"],
        "tool_search_tool_regex" => &["tool_search_tool_regex"],
        _ => return Needs::Unknown,
    })
}

/// Files that code has made.
fn files(notes: &mut Notes, block: &Node<'_>) {
    notes.give(StoredKind::File, block.get("file_id").and_then(Node::as_str));
    let outputs = block.get("content").and_then(|result| result.get("content")).and_then(Node::as_array);
    for output in outputs.unwrap_or_default() {
        notes.give(StoredKind::File, output.get("file_id").and_then(Node::as_str));
    }
}
