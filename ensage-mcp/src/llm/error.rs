//! The bodies of refusals and faults.

use serde::Serialize;
use serde_json::{Value, json};

use super::Dialect;

/// What kind of refusal or fault is told.
///
/// Claude Code shows the message of a 400 after one try and retries or hides others: policy refusals are
/// [`Refusal::Invalid`] whatever the reason.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// 400, and every refusal by policy.
    Invalid,
    /// 429
    RateLimit,
    /// 504
    Timeout,
    /// Any other fault (500, 502, 503).
    Fault,
}

impl Refusal {
    /// The kind that belongs to a status of ours.
    pub const fn for_status(status: u16) -> Self {
        match status {
            429 => Self::RateLimit,
            504 => Self::Timeout,
            500..=599 => Self::Fault,
            _ => Self::Invalid,
        }
    }

    /// The `type` on the wire.
    const fn as_str(self, dialect: Dialect) -> &'static str {
        match (self, dialect) {
            (Self::Invalid, _) => "invalid_request_error",
            (Self::RateLimit, _) => "rate_limit_error",
            (Self::Timeout, Dialect::Messages) => "timeout_error",
            (Self::Fault, Dialect::Messages) => "api_error",
            (Self::Timeout | Self::Fault, Dialect::Chat | Dialect::Responses) => "server_error",
        }
    }
}

/// The error object as a whole body; `ensage` has `reason`, `decision_id` and `ask`.
///
/// Anthropic: `{"type":"error","error":{"type":T,"message":M,"ensage":E}}`. OpenAI:
/// `{"error":{"message":M,"type":T,"param":null,"code":REASON,"ensage":E}}`.
pub fn error_body(dialect: Dialect, refusal: Refusal, message: &str, ensage: &Value) -> Vec<u8> {
    match dialect {
        Dialect::Messages => {
            let error = Error { r#type: refusal.as_str(dialect), message, ensage: present(ensage) };
            written(&Anthropic { r#type: "error", error })
        }
        Dialect::Chat | Dialect::Responses => {
            let error = OpenAiError {
                message,
                r#type: refusal.as_str(dialect),
                param: (),
                code: ensage.get("reason"),
                ensage: present(ensage),
            };
            written(&OpenAi { error })
        }
    }
}

/// The last event of a stream that has begun: the error in the dialect's own form.
pub fn error_event(dialect: Dialect, id: &str, created: u64, message: &str, ensage: &Value) -> Vec<u8> {
    let body = match dialect {
        Dialect::Responses => return failed_response(id, created, message, ensage),
        Dialect::Messages | Dialect::Chat => error_body(dialect, Refusal::Invalid, message, ensage),
    };
    let head: &[u8] = if dialect == Dialect::Messages { b"event: error\ndata: " } else { b"data: " };
    [head, &body, b"\n\n"].concat()
}

/// A stream of OpenAI Responses of one event, `response.failed`.
///
/// Codex shows the message of `invalid_prompt` after one try; every other code, and every 4xx, it retries or hides.
/// `created` is in seconds since 1970.
pub fn failed_response(id: &str, created: u64, message: &str, ensage: &Value) -> Vec<u8> {
    let event = json!({
        "type": "response.failed",
        "sequence_number": 0,
        "response": {
            "id": id,
            "object": "response",
            "created_at": created,
            "status": "failed",
            "error": { "code": "invalid_prompt", "message": message, "ensage": ensage },
            "incomplete_details": null,
            "instructions": null,
            "metadata": {},
            "model": "",
            "output": [],
            "parallel_tool_calls": true,
            "tool_choice": "auto",
            "tools": [],
            "usage": null,
        },
    });
    format!("event: response.failed\ndata: {event}\n\n").into_bytes()
}

fn present(ensage: &Value) -> Option<&Value> {
    (!ensage.is_null()).then_some(ensage)
}

fn written(body: &impl Serialize) -> Vec<u8> {
    // Strings and a value with string keys always serialise; an empty body would still be a refusal.
    serde_json::to_vec(body).unwrap_or_default()
}

#[derive(Serialize)]
struct Anthropic<'a> {
    r#type: &'static str,
    error: Error<'a>,
}

#[derive(Serialize)]
struct Error<'a> {
    r#type: &'static str,
    message: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    ensage: Option<&'a Value>,
}

#[derive(Serialize)]
struct OpenAi<'a> {
    error: OpenAiError<'a>,
}

#[derive(Serialize)]
struct OpenAiError<'a> {
    message: &'a str,
    r#type: &'static str,
    param: (),
    code: Option<&'a Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ensage: Option<&'a Value>,
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::{Refusal, error_body, error_event, failed_response};
    use crate::llm::Dialect;

    fn told() -> Value {
        json!({"reason": "model_not_allowed", "decision_id": "019ab0c2", "ask": "a model of the list"})
    }

    fn text(bytes: Vec<u8>) -> String {
        String::from_utf8(bytes).unwrap()
    }

    #[test]
    fn bodies_are_as_the_interface_says() {
        let e = "{\"ask\":\"a model of the list\",\"decision_id\":\"019ab0c2\",\"reason\":\"model_not_allowed\"}";
        let anthropic = format!(
            "{{\"type\":\"error\",\"error\":{{\"type\":\"invalid_request_error\",\"message\":\"no \\\"x\\\"\\n\",\"ensage\":{e}}}}}"
        );
        assert_eq!(text(error_body(Dialect::Messages, Refusal::Invalid, "no \"x\"\n", &told())), anthropic);
        let openai = format!(
            "{{\"error\":{{\"message\":\"m\",\"type\":\"invalid_request_error\",\"param\":null,\"code\":\"model_not_allowed\",\"ensage\":{e}}}}}"
        );
        for dialect in [Dialect::Chat, Dialect::Responses] {
            assert_eq!(text(error_body(dialect, Refusal::Invalid, "m", &told())), openai);
        }
        assert_eq!(
            error_body(Dialect::Messages, Refusal::Fault, "m", &Value::Null),
            br#"{"type":"error","error":{"type":"api_error","message":"m"}}"#
        );
        assert_eq!(
            error_body(Dialect::Chat, Refusal::Timeout, "m", &Value::Null),
            br#"{"error":{"message":"m","type":"server_error","param":null,"code":null}}"#
        );
    }

    #[test]
    fn a_stream_ends_with_the_error_in_its_own_form() {
        let failed = text(failed_response("resp_1", 7, "m", &told()));
        let data = failed.strip_prefix("event: response.failed\ndata: ").unwrap().strip_suffix("\n\n").unwrap();
        let event: Value = serde_json::from_str(data).unwrap();
        assert_eq!(event["type"], "response.failed");
        assert_eq!(event["response"]["error"], json!({"code": "invalid_prompt", "message": "m", "ensage": told()}));
        assert_eq!((&event["response"]["status"], &event["response"]["id"]), (&json!("failed"), &json!("resp_1")));
        assert_eq!(text(error_event(Dialect::Responses, "resp_1", 7, "m", &told())), failed);
        let messages = text(error_event(Dialect::Messages, "", 7, "m", &told()));
        assert!(messages.starts_with("event: error\ndata: {\"type\":\"error\",") && messages.ends_with("}\n\n"));
        let chat = text(error_event(Dialect::Chat, "", 7, "m", &told()));
        assert!(chat.starts_with("data: {\"error\":{\"message\":\"m\",") && chat.ends_with("}\n\n"));
    }

    #[test]
    fn each_status_has_its_kind() {
        for (status, kind, openai) in [
            (400, "invalid_request_error", "invalid_request_error"),
            (403, "invalid_request_error", "invalid_request_error"),
            (413, "invalid_request_error", "invalid_request_error"),
            (429, "rate_limit_error", "rate_limit_error"),
            (500, "api_error", "server_error"),
            (502, "api_error", "server_error"),
            (503, "api_error", "server_error"),
            (504, "timeout_error", "server_error"),
        ] {
            let refusal = Refusal::for_status(status);
            assert_eq!((refusal.as_str(Dialect::Messages), refusal.as_str(Dialect::Chat)), (kind, openai), "{status}");
        }
    }
}
