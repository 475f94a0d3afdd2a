//! The body of `/v1/responses` and of what takes the same.

use super::{common, file_data, source, stored};
use crate::json::{Interpreted, Node, Value};
use crate::llm::members::{Family, Shape, elements, open, open_typed, present, unknown, wrong_type};
use crate::llm::{LlmError, Request, StoredKind};

/// Members of `response.create` of the WebSocket, and of `input_tokens` and `compact`, are among them.
const BODY: Shape = Shape {
    place: "",
    known: &[
        "access_programs",
        "background",
        "background_options",
        "client_metadata", // of Codex: ids of its own session and thread
        "context_management",
        "conversation",
        "image",
        "include",
        "input",
        "instructions",
        "max_output_tokens",
        "max_tool_calls",
        "metadata",
        "model",
        "moderation",
        "parallel_tool_calls",
        "personality",
        "previous_response_id",
        "prompt",
        "prompt_cache_key",
        "prompt_cache_options",
        "prompt_cache_retention",
        "reasoning",
        "safety_identifier",
        "service_tier",
        "store",
        "stream",
        "stream_options",
        "temperature",
        "text",
        "tool_choice",
        "tools",
        "top_logprobs",
        "top_p",
        "truncation",
        "user",
    ],
};

const BACKGROUND: Shape = Shape { place: "background_options", known: &["completion_window", "continuation_id"] };
const CONVERSATION: Shape = Shape { place: "conversation", known: &["id"] };
const PROMPT: Shape = Shape { place: "prompt", known: &["id", "variables", "version"] };

const CONTEXT: Family = Family {
    place: "context_management[]",
    type_place: "context_management[].type",
    what: "context edit",
    kinds: &[("compaction", &["compact_threshold"])],
    common: &["type"],
};

const PART: Family = Family {
    place: "content[]",
    type_place: "content[].type",
    what: "content part",
    kinds: &[
        ("input_text", &["text"]),
        ("output_text", &["annotations", "logprobs", "text"]),
        ("text", &["text"]),
        ("refusal", &["refusal"]),
        ("input_image", &["detail", "file_id", "image_url"]),
        ("input_file", &["detail", "file_data", "file_id", "file_url", "filename"]),
        ("input_audio", &["input_audio"]),
        ("computer_screenshot", &["detail", "file_id", "image_url"]),
        ("encrypted_content", &["encrypted_content"]),
    ],
    common: &["type", "prompt_cache_breakpoint"],
};

/// What is known of the body half-way.
#[derive(Default)]
pub(super) struct Reading<'n> {
    pub(super) request: Request,
    /// Connectors that something refers to.
    pub(super) connectors_named: Vec<&'n str>,
}

/// Reads one body.
pub(in crate::llm) fn read(root: &Node<'_>) -> Result<Request, LlmError> {
    let mut reading = Reading::default();
    reading.body(root)?;
    let Reading { mut request, connectors_named } = reading;
    for name in connectors_named {
        if !request.connectors.iter().any(|connector| connector.name == name) {
            unknown(&mut request, "connector", name);
        }
    }
    Ok(request)
}

impl<'n> Reading<'n> {
    fn body(&mut self, root: &'n Node<'_>) -> Result<(), LlmError> {
        let body = open(&mut self.request, root, &BODY)?;
        // A stored prompt may bring a model, and then it is for the judge that none was named.
        common(&mut self.request, body, false)?;
        for tool in elements(body, "tools", "tools")? {
            self.tool(tool)?;
        }
        if let Some(choice) = present(body, "tool_choice").filter(|choice| choice.as_str().is_none()) {
            self.choice(choice)?;
        }
        match present(body, "input") {
            None => {}
            Some(input) => match &input.value {
                Value::String(_) => {}
                Value::Array(items) => items.iter().try_for_each(|item| self.item(item))?,
                _ => return Err(wrong_type("input", input)),
            },
        }
        // Instructions are text to the SDK; a list of items is what an answer repeats.
        match present(body, "instructions") {
            None => {}
            Some(text) => match &text.value {
                Value::String(_) => {}
                Value::Array(items) => items.iter().try_for_each(|item| self.item(item))?,
                _ => return Err(wrong_type("instructions", text)),
            },
        }
        for edit in elements(body, "context_management", "context_management")? {
            open_typed(&mut self.request, edit, &CONTEXT)?;
        }
        self.kept(body)
    }

    fn kept(&mut self, body: Interpreted<'n, '_>) -> Result<(), LlmError> {
        let request = &mut self.request;
        stored(request, body, "previous_response_id", StoredKind::Response)?;
        if let Some(options) = present(body, "background_options") {
            let options = open(request, options, &BACKGROUND)?;
            stored(request, options, "continuation_id", StoredKind::Continuation)?;
        }
        if let Some(conversation) = present(body, "conversation") {
            match conversation.as_str() {
                Some(id) => request.stored(StoredKind::Conversation, id),
                None => {
                    let conversation = open(request, conversation, &CONVERSATION)?;
                    stored(request, conversation, "id", StoredKind::Conversation)?;
                }
            }
        }
        let Some(prompt) = present(body, "prompt") else { return Ok(()) };
        let prompt = open(request, prompt, &PROMPT)?;
        stored(request, prompt, "id", StoredKind::Prompt)?;
        let Some(variables) = present(prompt, "variables") else { return Ok(()) };
        // Their names are the client's own, so each of them is read, those of equal names too.
        for variable in variables.as_object().ok_or(wrong_type("prompt.variables", variables))? {
            if variable.node.as_str().is_none() && !variable.node.is_null() {
                self.part(&variable.node)?;
            }
        }
        Ok(())
    }

    /// A string or an array of parts.
    pub(super) fn content(&mut self, node: &'n Node<'_>) -> Result<(), LlmError> {
        match &node.value {
            Value::Null | Value::String(_) => Ok(()),
            Value::Array(parts) => parts.iter().try_for_each(|part| self.part(part)),
            // The screenshot of a computer is one part.
            Value::Object(_) => self.part(node),
            Value::Bool(_) | Value::Number(_) => Err(wrong_type("content", node)),
        }
    }

    fn part(&mut self, node: &'n Node<'_>) -> Result<(), LlmError> {
        let request = &mut self.request;
        let Some((part, _)) = open_typed(request, node, &PART)? else { return Ok(()) };
        stored(request, part, "file_id", StoredKind::File)?;
        for key in ["image_url", "file_url"] {
            if let Some(url) = present(part, key) {
                source(request, key, url)?;
            }
        }
        match present(part, "file_data") {
            Some(data) => file_data(request, data),
            None => Ok(()),
        }
    }
}
