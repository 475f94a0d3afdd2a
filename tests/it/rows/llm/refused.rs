//! What is refused before its provider sees anything.

use serde_json::Value;

use super::super::lab::reason;
use super::{Desk, json};

const MESSAGES: (&str, &str) = ("claude.test", "/v1/messages");
const COUNTED: (&str, &str) = ("claude.test", "/v1/messages/count_tokens");
const CHAT: (&str, &str) = ("gpt.test", "/v1/chat/completions");
const RESPONSES: (&str, &str) = ("gpt.test", "/v1/responses");
const TOKENS: (&str, &str) = ("gpt.test", "/v1/responses/input_tokens");
const COMPACT: (&str, &str) = ("gpt.test", "/v1/responses/compact");

fn desk() -> Desk {
    Desk::start(|_| json("{}"))
}

/// A body of this endpoint: `members`, and what every body has.
fn body((_, path): (&str, &str), members: &str) -> String {
    let said =
        if path.contains("responses") { r#""input":"hi""# } else { r#""messages":[{"role":"user","content":"hi"}]"# };
    let comma = if members.is_empty() { "" } else { "," };
    let said =
        if members.contains("\"input\"") || members.contains("\"messages\"") { "\"max_tokens\":9" } else { said };
    format!("{{\"model\":\"good\",{said}{comma}{members}}}")
}

fn assert_told(answer: &ensage_tests::Answer, why: &str, path: &str) {
    assert_eq!((answer.status, answer.field("x-should-retry")), (400, Some("false")), "{}", answer.text());
    assert_eq!(answer.told(), Some(why));
    let told = answer.json();
    let error = &told["error"];
    assert_eq!(error["type"], "invalid_request_error", "{told}");
    assert_eq!(error["ensage"]["reason"], why, "{told}");
    assert_eq!(error["ensage"]["decision_id"], answer.field("ensage-decision").unwrap(), "{told}");
    if path.starts_with("/v1/messages") {
        assert_eq!(told["type"], "error", "{told}");
    } else {
        assert_eq!((&error["code"], &error["param"]), (&why.into(), &Value::Null), "{told}");
    }
}

#[test]
fn e1_e5_nothing_of_a_refused_call_goes_upstream() {
    let desk = desk();
    let item = |item: &str| format!("\"input\":[{item}]");
    let said = |part: &str| format!("\"messages\":[{{\"role\":\"user\",\"content\":[{part}]}}]");
    let tool = |tool: &str| format!("\"tools\":[{tool}]");
    let hidden = |tool: &str| {
        item(&format!(
            r#"{{"type":"additional_tools","role":"developer","tools":[{{"type":"namespace","name":"n","tools":[{tool}]}}]}}"#
        ))
    };
    let evil = r#"{"type":"mcp","server_label":"l","server_url":"https://evil.test/mcp"}"#;
    let image = r#"{"type":"input_image","image_url":"https://evil.test/x.png"}"#;
    for (at, members, why) in [
        // E1, E2: connectors
        (
            MESSAGES,
            r#""mcp_servers":[{"type":"url","name":"x","url":"https://evil.test/mcp"}]"#.to_owned(),
            "connector_not_allowed",
        ),
        (
            COUNTED,
            r#""mcp_servers":[{"type":"url","name":"x","url":"https://evil.test/mcp"}]"#.to_owned(),
            "connector_not_allowed",
        ),
        (RESPONSES, tool(evil), "connector_not_allowed"),
        (RESPONSES, hidden(evil), "connector_not_allowed"),
        (RESPONSES, item(&format!(r#"{{"type":"tool_search_output","tools":[{evil}]}}"#)), "connector_not_allowed"),
        (TOKENS, tool(evil), "connector_not_allowed"),
        (COMPACT, hidden(evil), "connector_not_allowed"),
        (
            RESPONSES,
            tool(r#"{"type":"mcp","server_label":"l","connector_id":"connector_dropbox"}"#),
            "connector_not_allowed",
        ),
        (RESPONSES, tool(r#"{"type":"mcp","server_label":"l","tunnel_id":"t1"}"#), "connector_not_allowed"),
        // E3: what the provider runs
        (MESSAGES, tool(r#"{"type":"web_fetch_20250910","name":"web_fetch"}"#), "provider_tool_not_allowed"),
        (
            MESSAGES,
            said(
                r#"{"type":"tool_addition","tool":{"type":"tool_definition","definition":{"type":"code_execution_20250825","name":"c"}}}"#,
            ),
            "provider_tool_not_allowed",
        ),
        (RESPONSES, tool(r#"{"type":"file_search","vector_store_ids":[]}"#), "provider_tool_not_allowed"),
        (RESPONSES, tool(r#"{"type":"web_search_preview"}"#), "provider_tool_not_allowed"),
        (RESPONSES, hidden(r#"{"type":"code_interpreter","container":{"type":"auto"}}"#), "provider_tool_not_allowed"),
        (RESPONSES, tool(r#"{"type":"shell","environment":{"type":"container_auto"}}"#), "provider_tool_not_allowed"),
        // E4: what it would fetch
        (
            MESSAGES,
            said(r#"{"type":"image","source":{"type":"url","url":"https://evil.test/x"}}"#),
            "url_source_not_allowed",
        ),
        (CHAT, said(r#"{"type":"image_url","image_url":{"url":"https://evil.test/x"}}"#), "url_source_not_allowed"),
        (RESPONSES, item(&format!(r#"{{"role":"user","content":[{image}]}}"#)), "url_source_not_allowed"),
        (
            RESPONSES,
            item(&format!(r#"{{"type":"function_call_output","call_id":"1","output":[{image}]}}"#)),
            "url_source_not_allowed",
        ),
        // E5: what it keeps
        (MESSAGES, r#""container":"c1""#.to_owned(), "stored_id_not_allowed"),
        (CHAT, said(r#"{"type":"file","file":{"file_id":"file-1"}}"#), "stored_id_not_allowed"),
        (RESPONSES, r#""previous_response_id":"resp_1""#.to_owned(), "stored_id_not_allowed"),
        (RESPONSES, r#""conversation":{"id":"conv_1"}"#.to_owned(), "stored_id_not_allowed"),
        (RESPONSES, r#""prompt":{"id":"pmpt_1"}"#.to_owned(), "stored_id_not_allowed"),
        (RESPONSES, item(r#"{"type":"item_reference","id":"msg_1"}"#), "stored_id_not_allowed"),
        // models, in their odder places
        (MESSAGES, r#""fallbacks":[{"model":"bad"}]"#.to_owned(), "model_not_allowed"),
        (CHAT, r#""moderation":{"model":"bad"}"#.to_owned(), "model_not_allowed"),
        (RESPONSES, r#""moderation":{"model":"bad"}"#.to_owned(), "model_not_allowed"),
        // E7: other people's secrets
        (
            RESPONSES,
            tool(r#"{"type":"mcp","server_label":"l","connector_id":"connector_gmail","authorization":"t"}"#),
            "foreign_credential",
        ),
        // unknown to this gateway, each in its own place
        (MESSAGES, tool(r#"{"type":"web_scrape_20270101","name":"x"}"#), "provider_tool_not_allowed"),
        (MESSAGES, said(r#"{"type":"hologram"}"#), "provider_tool_not_allowed"),
        (MESSAGES, said(r#"{"type":"image","source":{"type":"ftp"}}"#), "provider_tool_not_allowed"),
        (MESSAGES, r#""agents":[]"#.to_owned(), "provider_tool_not_allowed"),
        (CHAT, tool(r#"{"type":"teleport"}"#), "provider_tool_not_allowed"),
        (CHAT, said(r#"{"type":"video_url"}"#), "provider_tool_not_allowed"),
        (CHAT, r#""plugins":[]"#.to_owned(), "provider_tool_not_allowed"),
        (RESPONSES, tool(r#"{"type":"teleport"}"#), "provider_tool_not_allowed"),
        (RESPONSES, hidden(r#"{"type":"teleport"}"#), "provider_tool_not_allowed"),
        (RESPONSES, item(r#"{"type":"hologram"}"#), "provider_tool_not_allowed"),
        (RESPONSES, item(r#"{"role":"user","content":[{"type":"input_video"}]}"#), "provider_tool_not_allowed"),
        (RESPONSES, r#""tool_choice":{"type":"teleport"}"#.to_owned(), "provider_tool_not_allowed"),
        (RESPONSES, r#""context_management":[{"type":"move"}]"#.to_owned(), "provider_tool_not_allowed"),
        (RESPONSES, r#""remote":{"url":"x"}"#.to_owned(), "provider_tool_not_allowed"),
        (
            RESPONSES,
            item(r#"{"type":"shell_call","call_id":"1","environment":{"type":"cloud"}}"#),
            "provider_tool_not_allowed",
        ),
        // E10: two readings
        (CHAT, r#""Tools":[]"#.to_owned(), "malformed_json"),
        (RESPONSES, tool(r#"{"type":"function","name":"t","type":"mcp"}"#), "malformed_json"),
        (RESPONSES, "\"input\":[],\"tool\u{17f}\":[]".to_owned(), "malformed_json"),
        (RESPONSES, r#""tools":{}"#.to_owned(), "malformed_llm"),
    ] {
        let body = body(at, &members);
        let answer = desk.post(at.0, at.1, "", &body);
        assert_told(&answer, why, at.1);
        let record = desk.last();
        assert_eq!((&record["type"], &record["decision"]), (&"llm".into(), &"deny".into()), "{body}: {record}");
        assert_eq!(
            (reason(&record).as_str(), &record["http"]["response"]["status_code"]),
            (why, &400.into()),
            "{body}"
        );
        assert_eq!(desk.origin.connections(), 0, "{body}");
    }
    // Each endpoint is for what the entry allows.
    for at in [MESSAGES, COUNTED, CHAT, RESPONSES, TOKENS, COMPACT] {
        let answer = desk.post(at.0, at.1, "", &body(at, ""));
        assert_eq!(answer.status, 200, "{at:?}: {}", answer.text());
    }
}

/// The twins of the refused ones, which go on.
#[test]
fn e1_e4_what_the_enclave_opens_goes_on() {
    let desk = desk();
    let image = r#"{"type":"input_image","image_url":"https://files.test/x.png"}"#;
    for (at, members) in [
        (
            MESSAGES,
            r#""mcp_servers":[{"type":"url","name":"x","url":"https://desk.test/mcp","authorization_token":"t"}]"#
                .to_owned(),
        ),
        (MESSAGES, r#""tools":[{"type":"web_search_20250305","name":"web_search"}]"#.to_owned()),
        (CHAT, r#""web_search_options":{}"#.to_owned()),
        (
            RESPONSES,
            r#""tools":[{"type":"mcp","server_label":"l","server_url":"https://desk.test/mcp","headers":{"x":"t"}}]"#
                .to_owned(),
        ),
        (RESPONSES, r#""tools":[{"type":"mcp","server_label":"l","connector_id":"connector_gmail"}]"#.to_owned()),
        (RESPONSES, r#""tools":[{"type":"web_search_2025_08_26"}]"#.to_owned()),
        (RESPONSES, format!(r#""input":[{{"role":"user","content":[{image}]}}]"#)),
    ] {
        let body = body(at, &members);
        let answer = desk.post(at.0, at.1, "", &body);
        assert_eq!(answer.status, 200, "{body}: {}", answer.text());
        assert!(desk.origin.text().ends_with(&body), "{body}");
    }
}

#[test]
fn a_refused_stream_of_responses_is_one_event_and_other_streams_are_a_400() {
    let desk = desk();
    let ask = |path: &str, lines: &str, body: &str| desk.post("gpt.test", path, lines, body);
    let event = |answer: &ensage_tests::Answer| {
        let text = answer.text();
        let data = text.strip_prefix("event: response.failed\ndata: ").unwrap().strip_suffix("\n\n").unwrap();
        serde_json::from_str::<Value>(data).unwrap()
    };
    let answer = ask("/v1/responses", "", r#"{"model":"bad","input":"x","stream":true}"#);
    assert_eq!((answer.status, answer.field("content-type")), (200, Some("text/event-stream")), "{}", answer.head);
    assert_eq!((answer.field("x-should-retry"), answer.told()), (Some("false"), Some("model_not_allowed")));
    let failed = event(&answer);
    let error = &failed["response"]["error"];
    assert_eq!((&failed["type"], &error["code"]), (&"response.failed".into(), &"invalid_prompt".into()), "{failed}");
    assert_eq!(error["message"], "the model bad is not allowed; use another one");
    assert_eq!(error["ensage"]["reason"], "model_not_allowed");
    assert_eq!(error["ensage"]["decision_id"], answer.field("ensage-decision").unwrap());
    let record = desk.last();
    assert_eq!((&record["decision"], &record["outcome"]), (&"deny".into(), &"refused".into()), "{record}");
    assert_eq!(record["http"]["response"]["status_code"], 200);
    // Before the body is read, the client's readiness for events tells; and then the body.
    let unread = ask("/v1/responses", "Accept: text/event-stream\r\n", "{");
    assert_eq!(
        (unread.status, event(&unread)["response"]["error"]["ensage"]["reason"].as_str()),
        (200, Some("malformed_json"))
    );
    let both =
        ask("/v1/responses", "Accept: text/event-stream, application/json\r\n", r#"{"model":"bad","input":"x"}"#);
    assert_eq!(both.status, 400, "{}", both.head);
    assert_eq!(ask("/v1/responses", "Accept: application/json\r\n", "{").status, 400);
    let chat =
        ask("/v1/chat/completions", "Accept: text/event-stream\r\n", r#"{"model":"bad","messages":[],"stream":true}"#);
    assert_eq!((chat.status, chat.json()["error"]["code"].as_str()), (400, Some("model_not_allowed")));
    assert_eq!(desk.origin.connections(), 0);
}

#[test]
fn b5_no_websocket_to_openai() {
    let desk = desk();
    let upgrade = "GET /v1/responses HTTP/1.1\r\nHost: gpt.test\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nAccept: text/event-stream\r\n\r\n";
    let answer = desk.open("gpt.test", upgrade).answer();
    assert_eq!((answer.status, answer.told()), (426, Some("websocket_not_allowed")), "{}", answer.head);
    assert_eq!(answer.json()["error"]["code"], "websocket_not_allowed");
    let plain = desk.open("gpt.test", "GET /v1/responses HTTP/1.1\r\nHost: gpt.test\r\n\r\n").answer();
    assert_eq!((plain.status, plain.told()), (400, Some("method_not_allowed")), "{}", plain.head);
    assert_eq!(desk.origin.connections(), 0);
}

#[test]
fn e6_the_rest_of_the_host_needs_a_rule() {
    let desk = desk();
    for path in [
        "/v1/batches",
        "/v1/files",
        "/v1/uploads",
        "/v1/conversations",
        "/v1/vector_stores",
        "/v1/containers",
        "/v1/assistants",
        "/v1/realtime/client_secrets",
        "/v1/organization/admin_api_keys",
        "/v1/responses/resp_1/cancel",
        "/v1/embeddings",
    ] {
        let answer = desk.post("gpt.test", path, "", "{}");
        assert_eq!((answer.status, answer.told()), (403, Some("llm_path_not_allowed")), "{path}");
        assert_eq!(reason(&desk.last()), "llm_path_not_allowed", "{path}");
    }
    for near in
        ["/V1/Responses", "/v1//responses", "/v1/responses/", "/v1/chat/./completions", "/v1/chat%2fcompletions"]
    {
        let answer = desk.post("gpt.test", near, "", &body(RESPONSES, ""));
        assert_eq!(desk.last()["decision"], "deny", "{near}: {}", answer.status);
    }
    assert_eq!(desk.origin.connections(), 0);
    let models = desk.open("gpt.test", "GET /v1/models HTTP/1.1\r\nHost: gpt.test\r\n\r\n").answer();
    assert_eq!(models.status, 200);
}
