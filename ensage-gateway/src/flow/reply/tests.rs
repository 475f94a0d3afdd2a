//! Each reason in each form, against the table of interface section 3.

use ensage_mcp::mcp::{BodyReader, Head};
use http::HeaderMap;
use http_body_util::BodyExt;

use super::*;

fn whole(answer: Response<ReplyBody>) -> (u16, HeaderMap, String) {
    let (head, body) = answer.into_parts();
    let body = futures_now(body.collect()).map(http_body_util::Collected::to_bytes).unwrap_or_default();
    (head.status.as_u16(), head.headers, String::from_utf8(body.to_vec()).unwrap())
}

/// An answer of ours is never waited for.
fn futures_now<F: Future>(future: F) -> F::Output {
    let mut future = std::pin::pin!(future);
    let mut cx = std::task::Context::from_waker(std::task::Waker::noop());
    match future.as_mut().poll(&mut cx) {
        std::task::Poll::Ready(output) => output,
        std::task::Poll::Pending => panic!("an answer of ours waits"),
    }
}

fn told(form: &Form, reason: Reason) -> (u16, HeaderMap, String) {
    let denial = Denial::new(reason, "a sentence").remedy("what a human would add");
    whole(answer(form, Uuid::nil(), &denial, None, "asked.test"))
}

fn rpc(modern: bool) -> Form {
    let mut reader = BodyReader::new(1 << 10);
    reader.feed(br#"{"jsonrpc":"2.0","id":"a\u0031","method":"tools/call","params":{"name":"t"}}"#);
    let head = Head { negotiated: Some(Revision::V2025_11_25), ..Head::default() };
    let id = reader.finish(&head).unwrap().id;
    let revision = if modern { Revision::V2026_07_28 } else { Revision::V2025_11_25 };
    Form::Mcp {
        id,
        kind: Some(Kind::Request),
        revision: Some(revision),
        named: Some("t".repeat(200)),
        supported: vec![revision],
    }
}

#[test]
fn plain_http_has_the_status_of_each_reason() {
    for reason in Reason::ALL.iter().copied() {
        let (status, headers, body) = told(&Form::Http, reason);
        assert_eq!(status, reason.status(), "{reason}");
        assert_eq!(headers["ensage-decision"], Uuid::nil().to_string(), "{reason}");
        if reason.class() == Class::Hidden {
            assert_eq!(body, format!("name_unknown asked.test {}\n", Uuid::nil()), "{reason}");
            assert_eq!(headers["proxy-status"], "ensage; error=dns_error; details=\"name_unknown\"");
            assert_eq!(headers["content-type"], "text/plain");
            continue;
        }
        let body: Value = serde_json::from_str(&body).unwrap();
        assert_eq!(headers["content-type"], "application/problem+json");
        assert_eq!(body["reason"], reason.code());
        assert_eq!(body["status"], status);
        assert_eq!(body["remedy"], "what a human would add");
        assert!(headers["proxy-status"].to_str().unwrap().ends_with(&format!("details=\"{reason}\"")), "{reason}");
        let waits = matches!(reason.class(), Class::Unavailable | Class::Rate);
        assert_eq!(headers.contains_key("retry-after"), waits, "{reason}");
    }
}

#[test]
fn an_llm_refusal_is_a_400_in_the_words_of_its_api() {
    let forms =
        [Dialect::Messages, Dialect::Chat, Dialect::Responses].map(|dialect| Form::Llm { dialect, streams: false });
    for (form, reason) in forms.iter().flat_map(|form| Reason::ALL.iter().copied().map(move |reason| (form, reason))) {
        let (status, headers, body) = told(form, reason);
        if reason.class() == Class::Hidden {
            assert_eq!(status, 502);
            continue;
        }
        let body: Value = serde_json::from_str(&body).unwrap();
        let (expected, kind, openai) = match reason {
            Reason::RateLimited => (429, "rate_limit_error", "rate_limit_error"),
            // An LLM WebSocket is told to fall back.
            Reason::WebsocketNotAllowed => (426, "invalid_request_error", "invalid_request_error"),
            Reason::UpstreamTimeout => (504, "timeout_error", "server_error"),
            _ if reason.is_fault() => (reason.status(), "api_error", "server_error"),
            _ => (400, "invalid_request_error", "invalid_request_error"),
        };
        let error = &body["error"];
        if matches!(form, Form::Llm { dialect: Dialect::Messages, .. }) {
            assert_eq!((&body["type"], &error["type"]), (&"error".into(), &kind.into()), "{reason}");
        } else {
            assert_eq!((&error["code"], &error["param"]), (&reason.code().into(), &Value::Null), "{reason}");
            assert_eq!(error["type"], openai, "{reason}");
        }
        assert_eq!(status, expected, "{reason}");
        assert_eq!(error["message"], "a sentence");
        let e =
            json!({"reason": reason.code(), "decision_id": Uuid::nil().to_string(), "ask": "what a human would add"});
        assert_eq!(error["ensage"], e);
        let last = !reason.is_fault() || reason == Reason::ResponseRefused;
        assert_eq!(headers.contains_key("x-should-retry"), last, "{reason}");
    }
}

#[test]
fn a_refused_stream_of_responses_is_its_one_event() {
    for reason in Reason::ALL.iter().copied().filter(|reason| reason.class() != Class::Hidden) {
        let (status, headers, body) = told(&Form::Llm { dialect: Dialect::Responses, streams: true }, reason);
        let plain = reason.is_fault() || matches!(reason, Reason::RateLimited | Reason::WebsocketNotAllowed);
        assert_eq!(status == 200, !plain, "{reason}");
        if plain {
            assert_eq!(headers["content-type"], "application/json", "{reason}");
            continue;
        }
        assert_eq!(
            (&headers["content-type"], &headers["x-should-retry"]),
            (&"text/event-stream".parse().unwrap(), &"false".parse().unwrap())
        );
        assert_eq!(headers["ensage-decision"], Uuid::nil().to_string());
        let data = body.strip_prefix("event: response.failed\ndata: ").unwrap().strip_suffix("\n\n").unwrap();
        let error = serde_json::from_str::<Value>(data).unwrap()["response"]["error"].take();
        assert_eq!((&error["code"], &error["message"]), (&"invalid_prompt".into(), &"a sentence".into()));
        assert_eq!(error["ensage"]["reason"], reason.code());
    }
}

#[test]
fn mcp_is_told_in_its_own_errors() {
    // reason, status and code in a legacy revision, status and code in 2026-07-28, whether `data` is there
    for (reason, legacy, modern, data) in [
        (Reason::ToolNotAllowed, (200, -32602), (200, -32602), false),
        (Reason::ToolWithheld, (200, -32602), (200, -32602), false),
        (Reason::PromptNotAllowed, (200, -32602), (200, -32602), false),
        (Reason::ResourceNotAllowed, (200, -32002), (200, -32602), false),
        (Reason::McpMethodNotAllowed, (200, -32601), (404, -32601), false),
        (Reason::ServerRequestNotAllowed, (200, -32601), (404, -32601), false),
        (Reason::GrantRequired, (200, -31001), (200, -31001), true),
        (Reason::ArgumentsInvalid, (200, -31001), (200, -31001), true),
        (Reason::RateLimited, (200, -31001), (200, -31001), true),
        (Reason::MalformedJson, (400, -32700), (400, -32700), true),
        (Reason::MalformedMcp, (400, -32600), (400, -32600), true),
        (Reason::HeaderMismatch, (400, -32020), (400, -32020), true),
        (Reason::RevisionNotAllowed, (400, -32022), (400, -32022), true),
    ] {
        for (form, (status, code)) in [(rpc(false), legacy), (rpc(true), modern)] {
            let (got, headers, body) = told(&form, reason);
            let body: Value = serde_json::from_str(&body).unwrap();
            assert_eq!((got, body["error"]["code"].as_i64()), (status, Some(code)), "{reason}");
            assert_eq!(body["error"].get("data").is_some(), data, "{reason}");
            let unread = matches!(reason, Reason::MalformedJson | Reason::MalformedMcp);
            assert_eq!(body["id"], if unread { Value::Null } else { json!("a1") }, "{reason}");
            let hidden = reason.class() == Class::McpUnknown;
            assert_eq!(headers["proxy-status"].to_str().unwrap().contains("details"), !hidden, "{reason}");
        }
    }
}

#[test]
fn d1_a_hidden_tool_is_named_up_to_128_bytes() {
    let (_, _, body) = told(&rpc(false), Reason::ToolNotAllowed);
    let body: Value = serde_json::from_str(&body).unwrap();
    assert_eq!(body["error"]["message"], format!("Unknown tool: {}", "t".repeat(128)));
    assert_eq!(cut("aé", 2), "a");
}

#[test]
fn a_refused_notification_is_an_empty_403() {
    let Form::Mcp { id, revision, named, supported, .. } = rpc(false) else { panic!() };
    let form = Form::Mcp { id, kind: Some(Kind::Notification), revision, named, supported };
    let (status, _, body) = told(&form, Reason::McpMethodNotAllowed);
    assert_eq!((status, body.as_str()), (403, ""));
}

#[test]
fn an_unspoken_revision_names_those_that_are() {
    let (_, _, body) = told(&rpc(false), Reason::RevisionNotAllowed);
    let body: Value = serde_json::from_str(&body).unwrap();
    assert_eq!(body["error"]["data"]["supported"], json!(["2025-11-25"]));
}

#[test]
fn what_is_not_json_rpcs_business_is_plain_http() {
    for reason in
        [Reason::MethodNotAllowed, Reason::PlaceholderUnknown, Reason::McpSessionUnknown, Reason::UpstreamClosed]
    {
        let (status, headers, _) = told(&rpc(false), reason);
        assert_eq!(status, reason.status(), "{reason}");
        assert_eq!(headers["content-type"], "application/problem+json", "{reason}");
    }
}
