//! Which requests are the API's own.

/// An endpoint that an `llm` entry opens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Endpoint {
    /// `POST /v1/messages`
    Messages,
    /// `POST /v1/messages/count_tokens`: the same body without `max_tokens`, and URL sources are fetched too.
    CountTokens,
    /// `GET /v1/models`
    Models,
    /// `GET /v1/models/{id}`
    Model,
}

impl Endpoint {
    /// The endpoint of a request; `path` is percent-decoded once and has no query.
    ///
    /// `None` for everything else on the provider's hosts (batches, files, skills, sessions, keys): each is a
    /// way around the reading of bodies (threat E6) and needs a rule of its own.
    pub fn of(method: &str, path: &str) -> Option<Self> {
        match (method, path) {
            ("POST", "/v1/messages") => Some(Self::Messages),
            ("POST", "/v1/messages/count_tokens") => Some(Self::CountTokens),
            ("GET", "/v1/models") => Some(Self::Models),
            ("GET", _) => path.strip_prefix("/v1/models/").filter(|id| is_model_id(id)).map(|_| Self::Model),
            _ => None,
        }
    }

    /// True if the request has a body for [`RequestReader`](super::RequestReader).
    pub const fn has_body(self) -> bool {
        match self {
            Self::Messages | Self::CountTokens => true,
            Self::Models | Self::Model => false,
        }
    }
}

fn is_model_id(segment: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b':' | b'@');
    !segment.is_empty() && segment.bytes().all(plain) && !segment.bytes().all(|byte| byte == b'.')
}

#[cfg(test)]
mod tests {
    use super::Endpoint;

    #[test]
    fn e6_only_inference_counting_and_models_are_the_apis_own() {
        for (method, path, expected) in [
            ("POST", "/v1/messages", Some(Endpoint::Messages)),
            ("POST", "/v1/messages/count_tokens", Some(Endpoint::CountTokens)),
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
            ("POST", "/v1/files", None),
            ("GET", "/v1/files/file_1/content", None),
            ("POST", "/v1/skills", None),
            ("POST", "/v1/sessions", None),
            ("POST", "/v1/tunnels/t/reveal_token", None),
            ("GET", "/v1/organizations/api_keys", None),
            ("POST", "/api/event_logging/v2/batch", None),
            ("POST", "", None),
        ] {
            assert_eq!(Endpoint::of(method, path), expected, "{method} {path}");
        }
    }
}
