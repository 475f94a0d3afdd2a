//! What records say of a call that went on.

use serde_json::{Value, json};

use super::Desk;

const USED: &str = r#""usage":{"prompt_tokens":11,"completion_tokens":7}"#;

fn reply(request: &ensage_tests::Answer) -> Vec<u8> {
    let streams = request.text().contains("\"stream\":true");
    match (request.line().split(' ').nth(1).unwrap(), streams) {
        ("/v1/messages", false) => super::json(
            r#"{"type":"message","model":"good-x","content":[{"type":"tool_use","name":"Bash","input":{}},{"type":"server_tool_use","name":"web_search"}],"usage":{"input_tokens":5,"cache_read_input_tokens":6,"output_tokens":7}}"#,
        ),
        ("/v1/messages", true) => super::events(&[
            r#"{"type":"message_start","message":{"model":"good-x","content":[],"usage":{"input_tokens":5,"cache_read_input_tokens":6,"output_tokens":1}}}"#,
            r#"{"type":"content_block_start","content_block":{"type":"tool_use","name":"Bash"}}"#,
            r#"{"type":"content_block_start","content_block":{"type":"web_search_tool_result"}}"#,
            r#"{"type":"message_delta","delta":{"stop_reason":"tool_use"},"usage":{"output_tokens":7}}"#,
        ]),
        ("/v1/chat/completions", false) => super::json(&format!(
            r#"{{"model":"good-x","choices":[{{"message":{{"tool_calls":[{{"id":"1","type":"function","function":{{"name":"Bash","arguments":"{{}}"}}}}],"annotations":[{{"type":"url_citation"}}]}}}}],{USED}}}"#
        )),
        ("/v1/chat/completions", true) => super::events(&[
            r#"{"model":"good-x","choices":[{"index":0,"delta":{"tool_calls":[{"index":0,"id":"1","function":{"name":"Ba"}}]}}]}"#,
            r#"{"model":"good-x","choices":[{"index":0,"delta":{"tool_calls":[{"index":0,"function":{"name":"sh"}}]}}]}"#,
            r#"{"choices":[{"index":0,"delta":{"annotations":[{"type":"url_citation"}]}}]}"#,
            &format!("{{\"choices\":[],{USED}}}"),
            "[DONE]",
        ]),
        (_, false) => super::json(
            r#"{"id":"resp_1","model":"good-x","status":"completed","output":[{"type":"function_call","name":"Bash"},{"type":"web_search_call"}],"usage":{"input_tokens":11,"output_tokens":7}}"#,
        ),
        (_, true) => super::events(&[
            r#"{"type":"response.created","response":{"id":"resp_1","model":"good","usage":null}}"#,
            r#"{"type":"response.output_item.added","output_index":0,"item":{"type":"function_call","name":"Bash"}}"#,
            r#"{"type":"response.function_call_arguments.delta","delta":"{}"}"#,
            r#"{"type":"response.output_item.done","output_index":0,"item":{"type":"function_call","name":"Bash"}}"#,
            r#"{"type":"response.web_search_call.searching"}"#,
            r#"{"type":"response.completed","response":{"model":"good-x","output":[{"type":"function_call","name":"Bash"},{"type":"web_search_call"}],"usage":{"input_tokens":11,"output_tokens":7}}}"#,
        ]),
    }
}

#[test]
fn a_record_tells_model_tools_and_tokens_of_each_api() {
    let desk = Desk::start(reply);
    let search = r#""tools":[{"type":"web_search_20250305","name":"web_search"}]"#;
    for (entry, host, path, body) in [
        ("anthropic", "claude.test", "/v1/messages", format!(r#"{{"model":"good","messages":[],{search}}}"#)),
        (
            "openai",
            "gpt.test",
            "/v1/chat/completions",
            r#"{"model":"good","messages":[],"web_search_options":{}}"#.to_owned(),
        ),
        (
            "openai",
            "gpt.test",
            "/v1/responses",
            r#"{"model":"good","input":"x","tools":[{"type":"web_search"}]}"#.to_owned(),
        ),
    ] {
        for body in [body.clone(), body.replacen('{', "{\"stream\":true,", 1)] {
            let answer = desk.post(host, path, "", &body);
            assert_eq!(answer.status, 200, "{body}: {}", answer.text());
            let sent = reply(&ensage_tests::Answer {
                head: format!("POST {path} HTTP/1.1\r\n"),
                body: body.clone().into_bytes(),
                ..Default::default()
            });
            let sent = String::from_utf8(sent).unwrap();
            // Every byte of it passed: a body with its length as it was, a stream event by event.
            if body.contains("stream") {
                let events: Vec<&str> =
                    sent.split("data: ").skip(1).map(|event| event.split("\n\n").next().unwrap()).collect();
                let got = answer.text();
                let got: Vec<&str> = got.split("data: ").skip(1).map(|event| event.trim_end()).collect();
                assert_eq!(got, events, "{body}");
            } else {
                assert!(sent.ends_with(&answer.text()) && answer.field("content-length").is_some(), "{body}");
            }
            let record = desk.last();
            assert_eq!((&record["type"], &record["decision"]), (&"llm".into(), &"allow".into()), "{record}");
            assert_eq!((&record["outcome"], &record["url"]["path"]), (&"complete".into(), &path.into()), "{record}");
            let expected = json!({
                "provider": {"name": entry},
                "request": {"model": "good"},
                "response": {"model": "good-x"},
                "usage": {"input_tokens": 11, "output_tokens": 7},
            });
            assert_eq!(record["gen_ai"], expected, "{body}: {record}");
            assert_eq!(record["provider_tools"], json!(["web_search"]), "{record}");
            assert_eq!(record["tools_requested"], json!(["Bash"]), "{record}");
        }
    }
}

/// What was said before a client leaves counts too.
#[test]
fn what_was_used_is_recorded_of_a_call_that_breaks_off() {
    let head = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n";
    let event = r#"data: {"type":"message_start","message":{"model":"good-x","content":[],"usage":{"input_tokens":11,"output_tokens":1}}}"#;
    let start = format!("{head}{:x}\r\n{event}\n\n\r\n", event.len() + 2);
    let desk = Desk::start(move |_| start.clone().into_bytes());
    let mut raw = desk.open(
        "claude.test",
        &super::post("claude.test", "/v1/messages", "", r#"{"model":"good","messages":[],"stream":true}"#),
    );
    assert_eq!(raw.answer_head().unwrap().unwrap().status, 200);
    assert!(String::from_utf8(raw.chunk().unwrap()).unwrap().contains("message_start"));
    drop(raw);
    let record = ensage_tests::until("the end of the call", || {
        Some(desk.last()).filter(|record: &Value| record["outcome"] == "client_gone")
    });
    assert_eq!(record["gen_ai"]["usage"], json!({"input_tokens": 11, "output_tokens": 1}), "{record}");
}
