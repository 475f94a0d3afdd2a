//! What a body of Chat Completions asks for, and what is refused of it.

use super::super::{read, strings};
use crate::json::JsonError;
use crate::llm::{Dialect, LlmError, Request, StoredId, StoredKind};

fn check(body: &str, change: impl FnOnce(&mut Request)) {
    super::check(Dialect::Chat, body, change);
}

fn with(members: &str) -> String {
    super::with(Dialect::Chat, members)
}

fn saying(parts: &str) -> String {
    format!(r#"{{"model":"gpt-5","messages":[{{"role":"user","content":[{parts}]}}]}}"#)
}

#[test]
fn a_plain_request_asks_for_nothing_but_its_model() {
    for members in [
        "",
        r#""stream":false,"stream_options":{"include_usage":true},"n":2,"stop":["x"],"seed":1,"user":"u""#,
        r#""tools":null,"functions":null,"audio":null,"web_search_options":null,"moderation":null,"prediction":null"#,
        r#""tool_choice":"auto","function_call":"none","logit_bias":{"1":2},"response_format":{"type":"json_schema","json_schema":{"Schema":1,"schema":2}}"#,
        r#""audio":{"format":"mp3","voice":"alloy"},"prediction":{"type":"content","content":"x"}"#,
        r#""prompt_cache_options":{"mode":"implicit"},"prompt_cache_key":"k","store":true,"metadata":{"tool":"t"}"#,
        r#""tool_choice":{"type":"function","function":{"name":"t"}}"#,
    ] {
        check(&with(members), |_| {});
    }
    check(&with(r#""stream":true"#), |request| request.stream = true);
    let history = r#"{"model":"gpt-5","messages":[{"role":"developer","content":"x"},{"role":"system","content":[{"type":"text","text":"x"}]},
        {"role":"assistant","content":null,"refusal":null,"tool_calls":[{"id":"1","type":"function","function":{"name":"t","arguments":"{}"}},
        {"id":"2","type":"custom","custom":{"name":"c","input":"x"}}]},{"role":"tool","tool_call_id":"1","content":"x"},
        {"role":"function","name":"t","content":"x"},{"role":"assistant","content":[{"type":"refusal","refusal":"no"}],"function_call":{"name":"t","arguments":"{}"}}]}"#;
    check(history, |_| {});
}

#[test]
fn every_place_that_says_a_model_is_read() {
    check(&with(r#""moderation":{"model":"omni"}"#), |request| request.models.push("omni".into()));
    let body = with("").replace("gpt-5", "gpt-4o-search-preview");
    check(&body, |request| {
        request.models = strings(&["gpt-4o-search-preview"]);
        request.provider_tools = strings(&["web_search"]);
    });
}

#[test]
fn e3_tools_are_read_wherever_they_are_declared() {
    let tools = r#""tools":[{"type":"function","function":{"name":"a","description":"d","parameters":{"type":"object","X":1,"x":2},"strict":null}},
        {"type":"custom","custom":{"name":"b","format":{"type":"text"}}}],
        "functions":[{"name":"c","parameters":{}}],
        "tool_choice":{"type":"allowed_tools","allowed_tools":{"mode":"auto","tools":[{"type":"function","function":{"name":"a"}}]}}"#;
    check(&with(tools), |request| request.client_tools = strings(&["a", "b", "c"]));
    for options in ["{}", r#"{"search_context_size":"low","user_location":{"type":"approximate","approximate":{}}}"#] {
        check(&with(&format!(r#""web_search_options":{options}"#)), |request| {
            request.provider_tools = strings(&["web_search"]);
        });
    }
}

#[test]
fn e4_url_sources_are_found_and_data_is_none() {
    for part in [
        r#"{"type":"image_url","image_url":{"url":"http://10.0.0.1/x","detail":"low"}}"#,
        r#"{"type":"image_url","image_url":"http://10.0.0.1/x"}"#,
        r#"{"type":"im\u0061ge_url","image_url":{"url":"http:\/\/10.0.0.1\/x"}}"#,
        r#"{"type":"file","file":{"file_data":"http://10.0.0.1/x"}}"#,
    ] {
        check(&saying(part), |request| request.url_sources = strings(&["http://10.0.0.1/x"]));
        let tool =
            format!(r#"{{"model":"gpt-5","messages":[{{"role":"tool","tool_call_id":"1","content":[{part}]}}]}}"#);
        check(&tool, |request| request.url_sources = strings(&["http://10.0.0.1/x"]));
        let prediction = with(&format!(r#""prediction":{{"type":"content","content":[{part}]}}"#));
        check(&prediction, |request| request.url_sources = strings(&["http://10.0.0.1/x"]));
    }
    for part in [
        r#"{"type":"image_url","image_url":{"url":"data:image/png;base64,AA=="}}"#,
        r#"{"type":"image_url","image_url":{"url":"DATA:image/png;base64,AA=="}}"#,
        r#"{"type":"file","file":{"file_data":"AA==","filename":"http://x"}}"#,
        r#"{"type":"file","file":{"file_data":"data:application/pdf;base64,AA=="}}"#,
        r#"{"type":"input_audio","input_audio":{"data":"AA==","format":"wav"}}"#,
        r#"{"type":"text","text":"see http://x","prompt_cache_breakpoint":{"mode":"explicit"}}"#,
    ] {
        check(&saying(part), |_| {});
    }
}

#[test]
fn e5_stored_state_is_named() {
    let stored = |kind, id: &str| vec![StoredId { kind, id: id.into() }];
    check(&saying(r#"{"type":"file","file":{"file_id":"file-1"}}"#), |request| {
        request.stored_ids = stored(StoredKind::File, "file-1");
    });
    let audio = r#"{"model":"gpt-5","messages":[{"role":"assistant","audio":{"id":"audio_1"}}]}"#;
    check(audio, |request| request.stored_ids = stored(StoredKind::Audio, "audio_1"));
    check(&with(r#""audio":{"format":"mp3","voice":{"id":"voice_1"}}"#), |request| {
        request.stored_ids = stored(StoredKind::Voice, "voice_1");
    });
    check(&with(r#""prompt_cache_options":{"comparison_response_id":"r1"}"#), |request| {
        request.stored_ids = stored(StoredKind::Response, "r1");
    });
}

#[test]
fn what_is_not_known_makes_the_call_unknown() {
    for (body, name) in [
        (with(r#""tools":[{"type":"web_search"}]"#), "tool web_search"),
        (with(r#""tools":[{"type":"mcp","server_url":"https://x"}]"#), "tool mcp"),
        (with(r#""tool_choice":{"type":"web_search"}"#), "tool choice web_search"),
        (with(r#""models":["a"]"#), "member models"),
        (with(r#""plugins":[]"#), "member plugins"),
        (with(r#""data_sources":[{"parameters":{"endpoint":"https://x"}}]"#), "member data_sources"),
        (with(r#""mcp_servers":[]"#), "member mcp_servers"),
        (saying(r#"{"type":"video_url","video_url":{"url":"https://x"}}"#), "content part video_url"),
        (saying(r#"{"type":"text","text":"","file_url":"x"}"#), "member content[].file_url"),
        (saying(r#"{"type":"file","file":{"file_url":"x"}}"#), "member file.file_url"),
        (r#"{"model":"gpt-5","messages":[{"role":"root","content":""}]}"#.to_owned(), "role root"),
        (
            r#"{"model":"gpt-5","messages":[{"role":"assistant","tool_calls":[{"type":"mcp","id":"1"}]}]}"#.to_owned(),
            "tool call mcp",
        ),
    ] {
        check(&body, |request| request.unknown = strings(&[name]));
    }
    check(&with(r#""warmth":{"level":1}"#), |request| request.unknown_members = strings(&["warmth"]));
}

#[test]
fn e10_duplicates_and_case_twins_are_refused_in_every_object_that_is_read() {
    for object in [
        r#"{"model":"m","messages":[],KEY}"#,
        r#"{"model":"m","messages":[{"role":"user","content":"",KEY}]}"#,
        r#"{"model":"m","messages":[{"role":"user","content":[{"type":"text","text":"",KEY}]}]}"#,
        r#"{"model":"m","messages":[{"role":"user","content":[{"type":"hologram",KEY}]}]}"#,
        r#"{"model":"m","messages":[{"role":"user","content":[{"type":"image_url","image_url":{"url":"data:",KEY}}]}]}"#,
        r#"{"model":"m","messages":[{"role":"user","content":[{"type":"file","file":{KEY}}]}]}"#,
        r#"{"model":"m","messages":[{"role":"assistant","audio":{"id":"a",KEY}}]}"#,
        r#"{"model":"m","messages":[{"role":"assistant","tool_calls":[{"type":"function",KEY}]}]}"#,
        r#"{"model":"m","messages":[],"tools":[{"type":"function","function":{"name":"t"},KEY}]}"#,
        r#"{"model":"m","messages":[],"tools":[{"type":"function","function":{"name":"t",KEY}}]}"#,
        r#"{"model":"m","messages":[],"tools":[{"type":"custom","custom":{"name":"t",KEY}}]}"#,
        r#"{"model":"m","messages":[],"functions":[{"name":"t",KEY}]}"#,
        r#"{"model":"m","messages":[],"web_search_options":{KEY}}"#,
        r#"{"model":"m","messages":[],"moderation":{"model":"m",KEY}}"#,
        r#"{"model":"m","messages":[],"audio":{"format":"x",KEY}}"#,
        r#"{"model":"m","messages":[],"prediction":{"type":"content",KEY}}"#,
        r#"{"model":"m","messages":[],"tool_choice":{"type":"allowed_tools","allowed_tools":{KEY}}}"#,
        r#"{"model":"m","messages":[],"prompt_cache_options":{KEY}}"#,
    ] {
        for (key, duplicate) in [(r#""zz":1,"zz":1"#, true), (r#""zz":1,"zZ":1"#, false)] {
            let body = object.replace("KEY", key);
            let found = read(Dialect::Chat, body.as_bytes());
            let refused = if duplicate {
                matches!(found, Err(LlmError::Json(JsonError::Duplicate { .. })))
            } else {
                matches!(found, Err(LlmError::Json(JsonError::Twin { .. })))
            };
            assert!(refused, "{body}: {found:?}");
        }
    }
    for body in [with(r#""Tools":[]"#), with("\"too\u{6c}S\":[]"), with("\"function\u{17f}\":[]")] {
        assert!(matches!(read(Dialect::Chat, body.as_bytes()), Err(LlmError::Json(_))), "{body}");
    }
}

#[test]
fn what_is_no_chat_request_is_refused() {
    for (body, expected) in [
        ("[]", LlmError::WrongType { member: "", offset: 0 }),
        ("{}", LlmError::Missing { member: "model" }),
        (r#"{"model":"m"}"#, LlmError::Missing { member: "messages" }),
        (r#"{"model":"m","messages":"x"}"#, LlmError::WrongType { member: "messages", offset: 24 }),
        (r#"{"model":"m","messages":[{"content":""}]}"#, LlmError::Missing { member: "messages[].role" }),
        (
            r#"{"model":"m","messages":[{"role":"user","content":{}}]}"#,
            LlmError::WrongType { member: "content", offset: 50 },
        ),
        (r#"{"model":"m","messages":[],"tools":[{"function":{}}]}"#, LlmError::Missing { member: "tools[].type" }),
        (
            r#"{"model":"m","messages":[],"tools":[{"type":"function"}]}"#,
            LlmError::Missing { member: "tools[].function" },
        ),
        (r#"{"model":"m","messages":[],"moderation":{}}"#, LlmError::Missing { member: "moderation.model" }),
        (r#"{"model":"m","messages":[],"stream":"x"}"#, LlmError::WrongType { member: "stream", offset: 36 }),
    ] {
        assert_eq!(read(Dialect::Chat, body.as_bytes()), Err(expected), "{body}");
    }
}
