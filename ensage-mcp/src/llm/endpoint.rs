//! Which requests are an API's own.

/// What a provider speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Api {
    /// Anthropic Messages.
    Anthropic,
    /// OpenAI Chat Completions and Responses.
    OpenAi,
}

/// The shape of a body and of its answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Dialect {
    /// Anthropic Messages.
    Messages,
    /// OpenAI Chat Completions.
    Chat,
    /// OpenAI Responses.
    Responses,
}

/// An endpoint that an `llm` entry opens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Endpoint {
    /// A model is asked.
    Inference(Dialect),
    /// The tokens of such a body are counted; URL sources in it are fetched too.
    Count(Dialect),
    /// The list of models.
    Models,
    /// One model.
    Model,
    /// An answer that the provider has kept; its id is the path's last segment.
    Kept,
}

impl Api {
    /// The endpoint of a request; `path` is percent-decoded once and has no query.
    ///
    /// `None` for everything else on the provider's hosts (batches, files, skills, sessions, keys): each is a
    /// way around the reading of bodies (threat E6) and needs a rule of its own.
    pub fn endpoint(self, method: &str, path: &str) -> Option<Endpoint> {
        match self {
            Self::Anthropic => anthropic(method, path),
            Self::OpenAi => openai(method, path),
        }
    }

    /// The dialect in which its errors are told where no endpoint says which.
    pub const fn dialect(self) -> Dialect {
        match self {
            Self::Anthropic => Dialect::Messages,
            Self::OpenAi => Dialect::Chat,
        }
    }
}

impl Endpoint {
    /// How a body for it is read; `None` if it takes none.
    pub const fn body(self) -> Option<Dialect> {
        match self {
            Self::Inference(dialect) | Self::Count(dialect) => Some(dialect),
            Self::Models | Self::Model | Self::Kept => None,
        }
    }

    /// How an answer of it is watched; `None` if it says nothing of interest.
    pub const fn answer(self) -> Option<Dialect> {
        match self {
            Self::Inference(dialect) | Self::Count(dialect) => Some(dialect),
            Self::Kept => Some(Dialect::Responses),
            Self::Models | Self::Model => None,
        }
    }
}

fn anthropic(method: &str, path: &str) -> Option<Endpoint> {
    match (method, path) {
        ("POST", "/v1/messages") => Some(Endpoint::Inference(Dialect::Messages)),
        ("POST", "/v1/messages/count_tokens") => Some(Endpoint::Count(Dialect::Messages)),
        _ => models(method, path, "/v1/models"),
    }
}

fn openai(method: &str, path: &str) -> Option<Endpoint> {
    // Codex signed in with ChatGPT asks chatgpt.com, where the same API stands under this.
    if let Some(path) = path.strip_prefix("/backend-api/codex") {
        return match (method, path) {
            ("POST", "/responses" | "/responses/compact") => Some(Endpoint::Inference(Dialect::Responses)),
            _ => models(method, path, "/models"),
        };
    }
    match (method, path) {
        ("POST", "/v1/chat/completions") => Some(Endpoint::Inference(Dialect::Chat)),
        // To compact is to let a model write a summary: the same body, and what comes back is an answer.
        ("POST", "/v1/responses" | "/v1/responses/compact") => Some(Endpoint::Inference(Dialect::Responses)),
        ("POST", "/v1/responses/input_tokens") => Some(Endpoint::Count(Dialect::Responses)),
        ("GET", "/v1/responses/compact" | "/v1/responses/input_tokens") => None,
        ("GET", _) if path.strip_prefix("/v1/responses/").is_some_and(is_id) => Some(Endpoint::Kept),
        _ => models(method, path, "/v1/models"),
    }
}

fn models(method: &str, path: &str, list: &str) -> Option<Endpoint> {
    let rest = path.strip_prefix(list).filter(|_| method == "GET")?;
    match rest.strip_prefix('/') {
        None if rest.is_empty() => Some(Endpoint::Models),
        Some(id) if is_id(id) => Some(Endpoint::Model),
        _ => None,
    }
}

fn is_id(segment: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b':' | b'@');
    !segment.is_empty() && segment.bytes().all(plain) && !segment.bytes().all(|byte| byte == b'.')
}

#[cfg(test)]
mod tests {
    use super::{Api, Dialect, Endpoint};

    #[test]
    fn e6_only_inference_counting_and_models_are_the_apis_own() {
        for (method, path, expected) in [
            ("POST", "/v1/messages", Some(Endpoint::Inference(Dialect::Messages))),
            ("POST", "/v1/messages/count_tokens", Some(Endpoint::Count(Dialect::Messages))),
            ("GET", "/v1/models", Some(Endpoint::Models)),
            ("GET", "/v1/models/claude-sonnet-5", Some(Endpoint::Model)),
            ("GET", "/v1/models/claude-3.5@20241022", Some(Endpoint::Model)),
            ("GET", "/v1/messages", None),
            ("PUT", "/v1/messages", None),
            ("post", "/v1/messages", None),
            ("POST", "/V1/messages", None),
            ("POST", "/v1/messages/", None),
            ("POST", "//v1/messages", None),
            ("POST", "/v1/messages/batches", None),
            ("GET", "/v1/messages/batches/msgbatch_1/results", None),
            ("POST", "/v1/models", None),
            ("POST", "/v1/models/claude-sonnet-5", None),
            ("GET", "/v1/models/", None),
            ("GET", "/v1/models/..", None),
            ("GET", "/v1/models/a/b", None),
            ("GET", "/v1/models/a\r\nb", None),
            ("GET", "/v1/modelsx", None),
            ("POST", "/v1/chat/completions", None),
            ("POST", "/v1/responses", None),
            ("POST", "/v1/files", None),
            ("GET", "/v1/files/file_1/content", None),
            ("POST", "/v1/skills", None),
            ("POST", "/v1/sessions", None),
            ("POST", "/v1/tunnels/t/reveal_token", None),
            ("GET", "/v1/organizations/api_keys", None),
            ("POST", "/api/event_logging/v2/batch", None),
            ("POST", "", None),
        ] {
            assert_eq!(Api::Anthropic.endpoint(method, path), expected, "{method} {path}");
        }
    }

    #[test]
    fn e6_of_openai_too() {
        let responses = Some(Endpoint::Inference(Dialect::Responses));
        for (method, path, expected) in [
            ("POST", "/v1/chat/completions", Some(Endpoint::Inference(Dialect::Chat))),
            ("POST", "/v1/responses", responses),
            ("POST", "/v1/responses/compact", responses),
            ("POST", "/v1/responses/input_tokens", Some(Endpoint::Count(Dialect::Responses))),
            ("GET", "/v1/responses/resp_1", Some(Endpoint::Kept)),
            ("GET", "/v1/models", Some(Endpoint::Models)),
            ("GET", "/v1/models/ft:gpt-5:acme::x", Some(Endpoint::Model)),
            ("POST", "/backend-api/codex/responses", responses),
            ("POST", "/backend-api/codex/responses/compact", responses),
            ("GET", "/backend-api/codex/models", Some(Endpoint::Models)),
            ("GET", "/backend-api/wham/accounts/check", None),
            ("GET", "/v1/responses", None),
            ("GET", "/v1/responses/compact", None),
            ("GET", "/v1/responses/input_tokens", None),
            ("GET", "/v1/responses/..", None),
            ("GET", "/v1/responses/resp_1/input_items", None),
            ("POST", "/v1/responses/resp_1", None),
            ("POST", "/v1/responses/resp_1/cancel", None),
            ("DELETE", "/v1/responses/resp_1", None),
            ("GET", "/v1/chat/completions", None),
            ("GET", "/v1/chat/completions/chatcmpl-1", None),
            ("POST", "/v1/messages", None),
            ("POST", "/v1/completions", None),
            ("POST", "/v1/batches", None),
            ("POST", "/v1/files", None),
            ("POST", "/v1/uploads", None),
            ("POST", "/v1/conversations", None),
            ("POST", "/v1/containers", None),
            ("POST", "/v1/vector_stores", None),
            ("POST", "/v1/assistants", None),
            ("POST", "/v1/threads", None),
            ("POST", "/v1/agents", None),
            ("POST", "/v1/skills", None),
            ("POST", "/v1/vaults", None),
            ("POST", "/v1/evals", None),
            ("POST", "/v1/fine_tuning/jobs", None),
            ("GET", "/v1/realtime", None),
            ("POST", "/v1/realtime/client_secrets", None),
            ("GET", "/v1/organization/admin_api_keys", None),
            ("POST", "/V1/Responses", None),
            ("POST", "/v1/responses/", None),
        ] {
            assert_eq!(Api::OpenAi.endpoint(method, path), expected, "{method} {path}");
        }
    }
}
