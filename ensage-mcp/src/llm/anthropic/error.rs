//! The bodies of refusals and faults.

use serde::Serialize;
use serde_json::Value;

/// The `type` of an error object.
///
/// Claude Code shows the message of a 400 after one try and retries or hides others: policy refusals are
/// [`ErrorKind::InvalidRequest`] whatever the reason.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorKind {
    /// 400, and every refusal by policy.
    InvalidRequest,
    /// 429
    RateLimit,
    /// 504
    Timeout,
    /// Any other fault (500, 502, 503).
    Api,
}

impl ErrorKind {
    /// The kind that belongs to a status of ours.
    pub const fn for_status(status: u16) -> Self {
        match status {
            429 => Self::RateLimit,
            504 => Self::Timeout,
            500..=599 => Self::Api,
            _ => Self::InvalidRequest,
        }
    }

    /// The name on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::InvalidRequest => "invalid_request_error",
            Self::RateLimit => "rate_limit_error",
            Self::Timeout => "timeout_error",
            Self::Api => "api_error",
        }
    }
}

/// `{"type":"error","error":{"type":T,"message":M,"ensage":E}}`; `ensage` is left out if it is null.
pub fn error_body(kind: ErrorKind, message: &str, ensage: &Value) -> Vec<u8> {
    let ensage = (!ensage.is_null()).then_some(ensage);
    let body = Body { r#type: "error", error: Inner { r#type: kind.as_str(), message, ensage } };
    // Strings and a value with string keys always serialise; an empty body would still be a refusal.
    serde_json::to_vec(&body).unwrap_or_default()
}

#[derive(Serialize)]
struct Body<'a> {
    r#type: &'static str,
    error: Inner<'a>,
}

#[derive(Serialize)]
struct Inner<'a> {
    r#type: &'static str,
    message: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    ensage: Option<&'a Value>,
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::{ErrorKind, error_body};

    #[test]
    fn bodies_are_as_the_interface_says() {
        let told = json!({"reason": "model_not_allowed", "decision_id": "019ab0c2", "ask": "a model of the list"});
        assert_eq!(
            String::from_utf8(error_body(ErrorKind::InvalidRequest, "no \"x\"\n", &told)).unwrap(),
            "{\"type\":\"error\",\"error\":{\"type\":\"invalid_request_error\",\"message\":\"no \\\"x\\\"\\n\",\
             \"ensage\":{\"ask\":\"a model of the list\",\"decision_id\":\"019ab0c2\",\"reason\":\"model_not_allowed\"}}}"
        );
        assert_eq!(
            error_body(ErrorKind::Api, "m", &Value::Null),
            br#"{"type":"error","error":{"type":"api_error","message":"m"}}"#
        );
    }

    #[test]
    fn each_status_has_its_kind() {
        for (status, kind) in [
            (400, "invalid_request_error"),
            (403, "invalid_request_error"),
            (413, "invalid_request_error"),
            (429, "rate_limit_error"),
            (500, "api_error"),
            (502, "api_error"),
            (503, "api_error"),
            (504, "timeout_error"),
        ] {
            assert_eq!(ErrorKind::for_status(status).as_str(), kind, "{status}");
        }
    }
}
