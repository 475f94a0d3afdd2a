//! The body of `/v1/chat/completions`.

use super::{common, file_data, source, stored};
use crate::json::{Interpreted, Node, Value};
use crate::llm::members::{
    Family, Shape, elements, open, open_typed, optional_str, present, required_str, unknown, wrong_type,
};
use crate::llm::{LlmError, Request, StoredKind};

const BODY: Shape = Shape {
    place: "",
    known: &[
        "audio",
        "frequency_penalty",
        "function_call",
        "functions",
        "logit_bias",
        "logprobs",
        "max_completion_tokens",
        "max_tokens",
        "messages",
        "metadata",
        "modalities",
        "model",
        "moderation",
        "n",
        "parallel_tool_calls",
        "prediction",
        "presence_penalty",
        "prompt_cache_key",
        "prompt_cache_options",
        "prompt_cache_retention",
        "reasoning_effort",
        "response_format",
        "safety_identifier",
        "seed",
        "service_tier",
        "stop",
        "store",
        "stream",
        "stream_options",
        "temperature",
        "tool_choice",
        "tools",
        "top_logprobs",
        "top_p",
        "user",
        "verbosity",
        "web_search_options",
    ],
};

const MESSAGE: Shape = Shape {
    place: "messages[]",
    known: &["audio", "content", "function_call", "name", "refusal", "role", "tool_call_id", "tool_calls"],
};

const ROLES: [&str; 6] = ["system", "developer", "user", "assistant", "tool", "function"];

const PART: Family = Family {
    place: "content[]",
    type_place: "content[].type",
    what: "content part",
    kinds: &[
        ("text", &["text"]),
        ("image_url", &["image_url"]),
        ("input_audio", &["input_audio"]),
        ("file", &["file"]),
        ("refusal", &["refusal"]),
    ],
    common: &["type", "prompt_cache_breakpoint"],
};

const IMAGE: Shape = Shape { place: "image_url", known: &["url", "detail"] };
const FILE: Shape = Shape { place: "file", known: &["file_data", "file_id", "filename"] };
const AUDIO: Shape = Shape { place: "audio", known: &["format", "voice"] };
const NAMED: Shape = Shape { place: "audio", known: &["id"] };
const PREDICTION: Shape = Shape { place: "prediction", known: &["type", "content"] };
const WEB_SEARCH: Shape = Shape { place: "web_search_options", known: &["search_context_size", "user_location"] };

const TOOL: Family = Family {
    place: "tools[]",
    type_place: "tools[].type",
    what: "tool",
    kinds: &[("function", &["function"]), ("custom", &["custom"])],
    common: &["type"],
};

const FUNCTION: Shape = Shape { place: "function", known: &["description", "name", "parameters", "strict"] };
const CUSTOM: Shape = Shape { place: "custom", known: &["description", "format", "name"] };

const CALL: Family = Family {
    place: "tool_calls[]",
    type_place: "tool_calls[].type",
    what: "tool call",
    kinds: &[("function", &["function", "id"]), ("custom", &["custom", "id"])],
    common: &["type"],
};

const CHOICE: Family = Family {
    place: "tool_choice",
    type_place: "tool_choice.type",
    what: "tool choice",
    kinds: &[("function", &["function"]), ("custom", &["custom"]), ("allowed_tools", &["allowed_tools"])],
    common: &["type"],
};

const ALLOWED: Shape = Shape { place: "tool_choice.allowed_tools", known: &["mode", "tools"] };

/// Reads one body.
pub(in crate::llm) fn read(root: &Node<'_>) -> Result<Request, LlmError> {
    let mut request = Request::default();
    let body = open(&mut request, root, &BODY)?;
    common(&mut request, body, true)?;
    for node in elements(body, "tools", "tools")? {
        tool(&mut request, node)?;
    }
    for node in elements(body, "functions", "functions")? {
        named(&mut request, node, &FUNCTION, "functions[].name")?;
    }
    if let Some(options) = present(body, "web_search_options") {
        open(&mut request, options, &WEB_SEARCH)?;
        request.provider_tool("web_search");
    }
    present(body, "messages").ok_or(LlmError::Missing { member: "messages" })?;
    for node in elements(body, "messages", "messages")? {
        message(&mut request, node)?;
    }
    if let Some(prediction) = present(body, "prediction") {
        let prediction = open(&mut request, prediction, &PREDICTION)?;
        content(&mut request, present(prediction, "content"))?;
    }
    if let Some(audio) = present(body, "audio") {
        voice(&mut request, audio)?;
    }
    if let Some(choice) = present(body, "tool_choice").filter(|choice| choice.as_str().is_none()) {
        tool_choice(&mut request, choice)?;
    }
    Ok(request)
}

fn message(request: &mut Request, node: &Node<'_>) -> Result<(), LlmError> {
    let message = open(request, node, &MESSAGE)?;
    let role = required_str(message, "role", "messages[].role")?;
    if !ROLES.contains(&role) {
        unknown(request, "role", role);
    }
    content(request, present(message, "content"))?;
    if let Some(audio) = present(message, "audio") {
        let audio = open(request, audio, &NAMED)?;
        stored(request, audio, "id", StoredKind::Audio)?;
    }
    for call in elements(message, "tool_calls", "messages[].tool_calls")? {
        open_typed(request, call, &CALL)?;
    }
    Ok(())
}

/// A string or an array of parts.
fn content(request: &mut Request, node: Option<&Node<'_>>) -> Result<(), LlmError> {
    let Some(node) = node else { return Ok(()) };
    match &node.value {
        Value::Null | Value::String(_) => Ok(()),
        Value::Array(parts) => parts.iter().try_for_each(|node| part(request, node)),
        Value::Bool(_) | Value::Number(_) | Value::Object(_) => Err(wrong_type("content", node)),
    }
}

fn part(request: &mut Request, node: &Node<'_>) -> Result<(), LlmError> {
    let Some((part, _)) = open_typed(request, node, &PART)? else { return Ok(()) };
    for member in part.members() {
        match &*member.key {
            // The SDK wants an object, servers take the URL alone too.
            "image_url" if member.node.as_str().is_some() => source(request, "image_url", &member.node)?,
            "image_url" => {
                let image = open(request, &member.node, &IMAGE)?;
                let url = present(image, "url").ok_or(LlmError::Missing { member: "image_url.url" })?;
                source(request, "image_url.url", url)?;
            }
            "file" => file(request, &member.node)?,
            _ => {}
        }
    }
    Ok(())
}

fn file(request: &mut Request, node: &Node<'_>) -> Result<(), LlmError> {
    let file = open(request, node, &FILE)?;
    stored(request, file, "file_id", StoredKind::File)?;
    match present(file, "file_data") {
        Some(data) => file_data(request, data),
        None => Ok(()),
    }
}

fn voice(request: &mut Request, node: &Node<'_>) -> Result<(), LlmError> {
    let audio = open(request, node, &AUDIO)?;
    let Some(voice) = present(audio, "voice").filter(|voice| voice.as_str().is_none()) else { return Ok(()) };
    let voice = open(request, voice, &NAMED)?;
    stored(request, voice, "id", StoredKind::Voice)
}

fn tool(request: &mut Request, node: &Node<'_>) -> Result<(), LlmError> {
    let Some((tool, kind)) = open_typed(request, node, &TOOL)? else { return Ok(()) };
    let (shape, place) = if kind == "custom" { (&CUSTOM, "tools[].custom") } else { (&FUNCTION, "tools[].function") };
    named(request, present(tool, kind).ok_or(LlmError::Missing { member: place })?, shape, place)
}

fn named(request: &mut Request, node: &Node<'_>, shape: &Shape, place: &'static str) -> Result<(), LlmError> {
    let function = open(request, node, shape)?;
    let name = optional_str(function, "name", place)?.ok_or(LlmError::Missing { member: place })?;
    request.client_tools.push(name.to_owned());
    Ok(())
}

fn tool_choice(request: &mut Request, node: &Node<'_>) -> Result<(), LlmError> {
    let Some((choice, "allowed_tools")) = open_typed(request, node, &CHOICE)? else { return Ok(()) };
    let Some(allowed) = present(choice, "allowed_tools") else { return Ok(()) };
    let allowed: Interpreted<'_, '_> = open(request, allowed, &ALLOWED)?;
    for tool in elements(allowed, "tools", "tool_choice.allowed_tools.tools")? {
        open_typed(request, tool, &TOOL)?;
    }
    Ok(())
}
