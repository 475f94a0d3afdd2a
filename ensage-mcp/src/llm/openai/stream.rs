//! What an answer of Responses says.

use super::completion::{error_name, update};
use super::{CALLS_MAX, Calls};
use crate::json::Node;
use crate::llm::seen::{Needs, Notes, cut};
use crate::llm::{Activity, StoredKind};

/// Events that are nothing but a piece of an item that has begun, as nearly all are.
const PIECES: [&str; 6] = [
    "response.output_text.delta",
    "response.function_call_arguments.delta",
    "response.custom_tool_call_input.delta",
    "response.reasoning_text.delta",
    "response.reasoning_summary_text.delta",
    "response.refusal.delta",
];

/// True for an event of [`PIECES`] by the first of its bytes.
pub(in crate::llm) fn is_piece(data: &[u8]) -> bool {
    let Some(rest) = data.strip_prefix(b"{\"type\":").map(|rest| rest.strip_prefix(b" ").unwrap_or(rest)) else {
        return false;
    };
    let Some(rest) = rest.strip_prefix(b"\"") else { return false };
    PIECES.iter().any(|kind| rest.strip_prefix(kind.as_bytes()).is_some_and(|rest| rest.starts_with(b"\",")))
}

/// One event, or the whole answer.
pub(in crate::llm) fn watch(notes: &mut Notes, calls: &mut Calls, value: &Node<'_>) {
    let Some(kind) = value.get("type").and_then(Node::as_str) else { return whole(notes, calls, value) };
    match kind {
        "response.output_item.added" | "response.output_item.done" => {
            if let Some(item) = value.get("item") {
                self::item(notes, calls, value.get("output_index").and_then(Node::as_u64), item);
            }
        }
        "error" => notes.seen.error = Some(error_name(value.get("error").unwrap_or(value))),
        _ => match value.get("response") {
            Some(response) => whole(notes, calls, response),
            None => event(notes, kind, value),
        },
    }
}

/// An answer as a whole, at its beginning or its end; or an error, or a count of tokens.
fn whole(notes: &mut Notes, calls: &mut Calls, response: &Node<'_>) {
    let text = |key| response.get(key).and_then(Node::as_str);
    if let Some(model) = text("model").filter(|model| !model.is_empty()) {
        notes.seen.model = Some(cut(model));
    }
    if let Some(error) = response.get("error").filter(|error| !error.is_null()) {
        notes.seen.error = Some(error_name(error));
    }
    notes.give(StoredKind::Response, text("id"));
    let reason = response.get("incomplete_details").and_then(|details| details.get("reason")).and_then(Node::as_str);
    if let Some(stop) = reason.or_else(|| text("status")).filter(|stop| !["in_progress", "queued"].contains(stop)) {
        notes.seen.stop_reason = Some(cut(stop));
    }
    // A count of tokens has them at the top.
    update(&mut notes.seen.usage, response.get("usage").unwrap_or(response), ["input_tokens", "output_tokens"]);
    let drawn = response.get("tool_usage").and_then(|usage| usage.get("image_gen"));
    if let Some(drawn) = drawn {
        let count = |key| drawn.get(key).and_then(Node::as_u64).unwrap_or(0);
        notes.seen.usage.aside_input_tokens = count("input_tokens");
        notes.seen.usage.aside_output_tokens = count("output_tokens");
    }
    for (at, item) in response.get("output").and_then(Node::as_array).unwrap_or_default().iter().enumerate() {
        self::item(notes, calls, Some(at as u64), item);
    }
}

/// An event that is neither an item nor an answer. What a provider does by itself is told in items; events of such
/// items count too, whatever came before, and every other event passes.
fn event(notes: &mut Notes, kind: &str, value: &Node<'_>) {
    if kind == "response.output_text.annotation.added" {
        if let Some(annotation) = value.get("annotation") {
            cited(notes, annotation);
        }
        return;
    }
    let stem = kind.strip_prefix("response.").and_then(|rest| rest.split('.').next()).unwrap_or_default();
    let needs = match stem {
        "function_call_arguments" | "custom_tool_call_input" | "shell_call_command" => return,
        "shell_call_output_content" => Needs::Tool(&["shell"]),
        "mcp_call_arguments" => Needs::Connector(None),
        _ if stem.contains("_call") || stem.contains("mcp") || stem.contains("tool") => match runner(stem, value) {
            Runner::Client(_) | Runner::Nobody => Needs::Unknown,
            Runner::Provider(needs) => needs,
        },
        _ => return,
    };
    // One after the other tells of the same doing.
    if !notes.seen.provider_activity.iter().any(|known| known.kind == stem) {
        notes.activity(stem, None, needs);
    }
}

enum Runner<'v> {
    /// A tool that the agent is to run, by this name.
    Client(&'v str),
    Provider(Needs),
    /// Nothing is run.
    Nobody,
}

fn runner<'v>(kind: &str, item: &'v Node<'_>) -> Runner<'v> {
    let text = |key| item.get(key).and_then(Node::as_str);
    let needs = match kind {
        "function_call" | "custom_tool_call" => return Runner::Client(text("name").unwrap_or_default()),
        "local_shell_call" => return Runner::Client("local_shell"),
        "apply_patch_call" => return Runner::Client("apply_patch"),
        "computer_call" => return Runner::Client("computer"),
        "shell_call" => {
            let environment = item.get("environment").and_then(|environment| environment.get("type"));
            match environment.and_then(Node::as_str) {
                None | Some("local") => return Runner::Client("shell"),
                Some(_) => Needs::Tool(&["shell"]),
            }
        }
        "tool_search_call" if text("execution") == Some("client") => return Runner::Client("tool_search"),
        "message" | "reasoning" | "compaction" | "compaction_summary" => return Runner::Nobody,
        // Results of the agent's own tools, which some answers repeat.
        "function_call_output"
        | "custom_tool_call_output"
        | "local_shell_call_output"
        | "apply_patch_call_output"
        | "computer_call_output"
        | "mcp_approval_response" => return Runner::Nobody,
        "web_search_call" => Needs::Tool(&["web_search", "web_search_preview"]),
        "file_search_call" => Needs::Tool(&["file_search"]),
        "code_interpreter_call" | "code_interpreter_call_code" => Needs::Tool(&["code_interpreter"]),
        "image_generation_call" => Needs::Tool(&["image_generation"]),
        "shell_call_output" => Needs::Tool(&["shell"]),
        "tool_search_call" | "tool_search_output" | "additional_tools" => Needs::Tool(&["tool_search"]),
        "program" | "program_output" => Needs::Tool(&["programmatic_tool_calling"]),
        "mcp_call" | "mcp_list_tools" | "mcp_approval_request" => {
            Needs::Connector(text("server_label").map(str::to_owned))
        }
        _ => Needs::Unknown,
    };
    Runner::Provider(needs)
}

/// One item of the answer; it is told when it begins, when it ends and with the whole, and counts once.
fn item(notes: &mut Notes, calls: &mut Calls, index: Option<u64>, item: &Node<'_>) {
    let text = |key| item.get(key).and_then(Node::as_str);
    notes.give(StoredKind::Item, text("id"));
    notes.give(StoredKind::Container, text("container_id"));
    let environment = item.get("environment").and_then(|environment| environment.get("container_id"));
    notes.give(StoredKind::Container, environment.and_then(Node::as_str));
    for part in item.get("content").and_then(Node::as_array).unwrap_or_default() {
        for annotation in part.get("annotations").and_then(Node::as_array).unwrap_or_default() {
            cited(notes, annotation);
        }
    }
    let kind = text("type").unwrap_or_default();
    let fresh = match index {
        Some(index) if calls.items.contains(&index) => false,
        Some(index) if calls.items.len() < CALLS_MAX => calls.items.insert(index),
        Some(_) | None => true,
    };
    match runner(kind, item) {
        Runner::Nobody => {}
        Runner::Client(name) => {
            if fresh {
                notes.seen.request_tool(name);
            }
        }
        Runner::Provider(needs) => {
            let name = text("name").or_else(|| text("server_label"));
            match fresh {
                true => notes.activity(kind, name, needs),
                false => notes.hold(&Activity { kind: cut(kind), name: name.map(cut), needs }),
            }
        }
    }
}

/// Files that a container has made are named in what is cited.
fn cited(notes: &mut Notes, annotation: &Node<'_>) {
    let text = |key| annotation.get(key).and_then(Node::as_str);
    if ["container_file_citation", "file_path"].contains(&text("type").unwrap_or_default()) {
        notes.give(StoredKind::File, text("file_id"));
        notes.give(StoredKind::Container, text("container_id"));
    }
}
