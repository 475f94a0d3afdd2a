//! What of a body of Responses is refused: what is not known, what can be read in two ways, what is no such body.

use super::super::{read, strings};
use super::responses::{check, declared, items, with};
use crate::json::JsonError;
use crate::llm::{Dialect, LlmError};

#[test]
fn what_is_not_known_makes_the_call_unknown() {
    for (body, name) in [
        (with(r#""agents":[]"#), "member agents"),
        (with(r#""remote":{"url":"x"}"#), "member remote"),
        (with(r#""data":["connector_gmail"]"#), "member data"),
        (with(r#""data":["web_search_preview"]"#), "member data"),
        (with(r#""tool_choice":{"type":"teleport"}"#), "tool choice teleport"),
        (with(r#""context_management":[{"type":"move"}]"#), "context edit move"),
        (items(r#"{"type":"hologram","tools":[{"type":"mcp"}]}"#), "input item hologram"),
        (items(r#"{"role":"root","content":"x"}"#), "role root"),
        (items(r#"{"type":"message","role":"user","content":"x","tools":[]}"#), "member input[].tools"),
        (items(r#"{"role":"user","content":[{"type":"input_video","video_url":"x"}]}"#), "content part input_video"),
        (
            items(r#"{"role":"user","content":[{"type":"input_text","text":"","image_url":"data:"}]}"#),
            "member content[].image_url",
        ),
        (items(r#"{"type":"shell_call","call_id":"1","environment":{"type":"cloud"}}"#), "environment cloud"),
    ] {
        check(&body, |request| request.unknown = strings(&[name]));
    }
    for tool in [
        r#"{"type":"teleport"}"#,
        r#"{"type":"Function","name":"t"}"#,
        r#"{"type":"web_search_20250826"}"#,
        r#"{"type":"mcp_toolset","server_url":"https://x"}"#,
    ] {
        for body in declared(tool) {
            let kind = tool.split('"').nth(3).unwrap();
            check(&body, |request| request.unknown = strings(&[&format!("tool {kind}")]));
        }
    }
    let container = |inner: &str| with(&format!(r#""tools":[{{"type":"code_interpreter","container":{inner}}}]"#));
    for (body, name) in [
        (container(r#"{"type":"vm"}"#), "container vm"),
        (container(r#"{"type":"auto","network_policy":{"type":"open"}}"#), "network policy open"),
    ] {
        check(&body, |request| {
            request.unknown = strings(&[name]);
            request.provider_tools = strings(&["code_interpreter"]);
        });
    }
    check(&with(r#""warmth":1"#), |request| request.unknown_members = strings(&["warmth"]));
}

#[test]
fn e10_duplicates_and_case_twins_are_refused_in_every_object_that_is_read() {
    let mut objects: Vec<String> = [
        r#"{"model":"m","input":[],KEY}"#,
        r#"{"model":"m","input":[{"role":"user","content":"",KEY}]}"#,
        r#"{"model":"m","input":[{"type":"hologram",KEY}]}"#,
        r#"{"model":"m","input":[{"role":"user","content":[{"type":"input_text","text":"",KEY}]}]}"#,
        r#"{"model":"m","input":[{"role":"user","content":[{"type":"hologram",KEY}]}]}"#,
        r#"{"model":"m","input":[{"type":"shell_call","environment":{"type":"local",KEY}}]}"#,
        r#"{"model":"m","conversation":{"id":"c",KEY}}"#,
        r#"{"model":"m","prompt":{"id":"c",KEY}}"#,
        r#"{"model":"m","background_options":{KEY}}"#,
        r#"{"model":"m","prompt_cache_options":{KEY}}"#,
        r#"{"model":"m","moderation":{"model":"m",KEY}}"#,
        r#"{"model":"m","context_management":[{"type":"compaction",KEY}]}"#,
        r#"{"model":"m","tool_choice":{"type":"function",KEY}}"#,
        r#"{"model":"m","tool_choice":{"type":"allowed_tools","tools":[{"type":"function",KEY}]}}"#,
    ]
    .map(str::to_owned)
    .to_vec();
    for tool in [
        r#"{"type":"function","name":"t",KEY}"#,
        r#"{"type":"hologram",KEY}"#,
        r#"{"type":"mcp","server_label":"l","server_url":"u",KEY}"#,
        r#"{"type":"code_interpreter","container":{"type":"auto",KEY}}"#,
        r#"{"type":"code_interpreter","container":{"type":"auto","network_policy":{"type":"disabled",KEY}}}"#,
        r#"{"type":"shell","environment":{"type":"local",KEY}}"#,
        r#"{"type":"shell","environment":{"type":"container_auto","skills":[{"type":"inline",KEY}]}}"#,
        r#"{"type":"image_generation","svg":{KEY}}"#,
        r#"{"type":"image_generation","input_image_mask":{KEY}}"#,
    ] {
        objects.extend(declared(tool));
    }
    for object in objects {
        for (key, duplicate) in [(r#""zz":1,"zz":1"#, true), (r#""zz":1,"zZ":1"#, false)] {
            let body = object.replace("KEY", key);
            let found = read(Dialect::Responses, body.as_bytes());
            let refused = if duplicate {
                matches!(found, Err(LlmError::Json(JsonError::Duplicate { .. })))
            } else {
                matches!(found, Err(LlmError::Json(JsonError::Twin { .. })))
            };
            assert!(refused, "{body}: {found:?}");
        }
    }
    for body in [
        with(r#""Tools":[]"#),
        with("\"tool\u{17f}\":[]"),
        with(r#""tools":[{"type":"function","name":"a","Type":"mcp"}]"#),
        items(r#"{"type":"message","role":"user","content":"","Type":"additional_tools"}"#),
    ] {
        assert!(matches!(read(Dialect::Responses, body.as_bytes()), Err(LlmError::Json(_))), "{body}");
    }
}

#[test]
fn what_is_no_responses_request_is_refused() {
    for (body, expected) in [
        ("[]", LlmError::WrongType { member: "", offset: 0 }),
        (r#"{"model":""}"#, LlmError::Missing { member: "model" }),
        (r#"{"model":7}"#, LlmError::WrongType { member: "model", offset: 9 }),
        (r#"{"model":"m","input":{}}"#, LlmError::WrongType { member: "input", offset: 21 }),
        (r#"{"model":"m","input":["x"]}"#, LlmError::WrongType { member: "input[]", offset: 22 }),
        (r#"{"model":"m","input":[{}]}"#, LlmError::Missing { member: "input[].type" }),
        (r#"{"model":"m","input":[{"type":"message","content":"x"}]}"#, LlmError::Missing { member: "input[].role" }),
        (r#"{"model":"m","input":[{"type":"item_reference"}]}"#, LlmError::Missing { member: "input[].id" }),
        (r#"{"model":"m","tools":[{"name":"x"}]}"#, LlmError::Missing { member: "tools[].type" }),
        (r#"{"model":"m","tools":[{"type":"function"}]}"#, LlmError::Missing { member: "tools[].name" }),
        (
            r#"{"model":"m","tools":[{"type":"mcp","server_label":"x"}]}"#,
            LlmError::Missing { member: "tools[].server_url" },
        ),
        (
            r#"{"model":"m","tools":[{"type":"mcp","server_url":"x"}]}"#,
            LlmError::Missing { member: "tools[].server_label" },
        ),
        (
            r#"{"model":"m","previous_response_id":7}"#,
            LlmError::WrongType { member: "previous_response_id", offset: 36 },
        ),
        (r#"{"model":"m","prompt":{"variables":[]}}"#, LlmError::WrongType { member: "prompt.variables", offset: 35 }),
    ] {
        assert_eq!(read(Dialect::Responses, body.as_bytes()), Err(expected), "{body}");
    }
}
