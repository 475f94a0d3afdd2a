//! What an answer of Chat Completions says.

use super::{CALLS_MAX, Calls};
use crate::json::Node;
use crate::llm::StoredKind;
use crate::llm::seen::{Needs, Notes, Usage, cut};

/// One chunk, or the whole answer.
pub(in crate::llm) fn watch(notes: &mut Notes, calls: &mut Calls, value: &Node<'_>) {
    if let Some(error) = value.get("error").filter(|error| !error.is_null()) {
        notes.seen.error = Some(error_name(error));
    }
    if let Some(model) = value.get("model").and_then(Node::as_str) {
        notes.seen.model = Some(cut(model));
    }
    if let Some(usage) = value.get("usage") {
        update(&mut notes.seen.usage, usage, ["prompt_tokens", "completion_tokens"]);
    }
    for (at, choice) in value.get("choices").and_then(Node::as_array).unwrap_or_default().iter().enumerate() {
        if let Some(reason) = choice.get("finish_reason").and_then(Node::as_str) {
            notes.seen.stop_reason = Some(cut(reason));
        }
        let number = choice.get("index").and_then(Node::as_u64).unwrap_or(at as u64);
        // A whole message, or a piece of one.
        for message in [choice.get("message"), choice.get("delta")].into_iter().flatten() {
            said(notes, calls, number, message);
        }
    }
}

/// The last word of each counts; null says nothing.
pub(super) fn update(usage: &mut Usage, told: &Node<'_>, [input, output]: [&str; 2]) {
    usage.input_tokens = told.get(input).and_then(Node::as_u64).or(usage.input_tokens);
    usage.output_tokens = told.get(output).and_then(Node::as_u64).or(usage.output_tokens);
}

/// The `code` of an error, or its `type`.
pub(super) fn error_name(error: &Node<'_>) -> String {
    let text = |key| error.get(key).and_then(Node::as_str);
    cut(text("code").or_else(|| text("type")).unwrap_or("error"))
}

fn said(notes: &mut Notes, calls: &mut Calls, choice: u64, message: &Node<'_>) {
    let audio = message.get("audio").and_then(|audio| audio.get("id"));
    notes.give(StoredKind::Audio, audio.and_then(Node::as_str));
    for (at, call) in message.get("tool_calls").and_then(Node::as_array).unwrap_or_default().iter().enumerate() {
        tool_call(notes, calls, (choice, call.get("index").and_then(Node::as_u64).unwrap_or(at as u64)), call);
    }
    // The one call of the API before there were tools; it can't meet the others in one answer.
    if let Some(call) = message.get("function_call").filter(|call| !call.is_null()) {
        piece(notes, calls, (choice, u64::MAX), call.get("name").and_then(Node::as_str));
    }
    for annotation in message.get("annotations").and_then(Node::as_array).unwrap_or_default() {
        let kind = annotation.get("type").and_then(Node::as_str).unwrap_or_default();
        let needs = if kind == "url_citation" { Needs::Tool(&["web_search"]) } else { Needs::Unknown };
        notes.activity(kind, None, needs);
    }
}

fn tool_call(notes: &mut Notes, calls: &mut Calls, key: (u64, u64), call: &Node<'_>) {
    match call.get("type").and_then(Node::as_str) {
        None | Some("function" | "custom") => {
            let inner = call.get("function").or_else(|| call.get("custom"));
            piece(notes, calls, key, inner.and_then(|inner| inner.get("name")).and_then(Node::as_str));
        }
        Some(kind) => notes.activity(kind, None, Needs::Unknown),
    }
}

/// A call, or a piece of one: the name comes in the first, rarely in several.
fn piece(notes: &mut Notes, calls: &mut Calls, key: (u64, u64), name: Option<&str>) {
    let name = name.unwrap_or_default();
    match calls.chat.get(&key) {
        Some(&at) => {
            if let Some(known) = notes.seen.tools_requested.get_mut(at).filter(|known| *known != name) {
                *known = cut(&format!("{known}{name}"));
            }
        }
        None if calls.chat.len() >= CALLS_MAX => notes.seen.skip(),
        None => {
            calls.chat.insert(key, notes.seen.tools_requested.len());
            notes.seen.request_tool(name);
        }
    }
}
