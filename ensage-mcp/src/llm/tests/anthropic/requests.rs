//! What a request asks for, and what is refused of it.

use super::super::strings;
use super::{read, saying, with};
use crate::json::JsonError;
use crate::llm::{Connector, Dialect, LlmError, Place, Request, RequestReader, Step, StoredId, StoredKind};

fn check(body: &str, change: impl FnOnce(&mut Request)) {
    let mut expected = Request { models: vec!["claude-sonnet-5".into()], ..Request::default() };
    change(&mut expected);
    assert_eq!(read(body.as_bytes()), Ok(expected), "{body}");
}

fn stored(kind: StoredKind, id: &str) -> StoredId {
    StoredId { kind, id: id.into() }
}

#[test]
fn a_plain_request_asks_for_nothing_but_its_model() {
    for members in [
        "",
        r#""max_tokens":9,"stream":false"#,
        r#""tools":null,"mcp_servers":null,"system":null,"stream":null,"container":null,"fallbacks":null"#,
        r#""system":"be kind""#,
        r#""system":[{"type":"text","text":"be kind","cache_control":{"type":"ephemeral","ttl":"1h"}}]"#,
        r#""metadata":{"user_id":"u"},"thinking":{"type":"enabled","budget_tokens":9},"temperature":0.5,"top_k":1,"top_p":1"#,
        r#""context_management":{"edits":[{"type":"compact_20260112","trigger":{"type":"input_tokens","value":9}}]}"#,
        r#""compaction":{"type":"summarize"},"diagnostics":{"previous_message_id":"msg_1"},"thread":{"type":"create"}"#,
        r#""tool_choice":{"type":"tool","name":"t"},"stop_sequences":["x"],"service_tier":"auto","speed":"fast""#,
        r#""output_config":{"effort":"low","format":{"type":"json_schema","schema":{"tools":1,"Tools":2}}}"#,
    ] {
        check(&with(members), |_| {});
    }
    check(&with(r#""stream":true"#), |request| request.stream = true);
}

#[test]
fn every_place_that_says_a_model_is_read() {
    let tool = r#"{"type":"advisor_20260301","name":"advisor","model":"claude-x"}"#;
    let expected = |request: &mut Request| {
        request.models.push("claude-x".into());
        request.provider_tools = strings(&["advisor"]);
    };
    check(&with(&format!(r#""tools":[{tool}]"#)), expected);
    let hidden = format!(r#"{{"type":"tool_addition","tool":{{"type":"tool_definition","definition":{tool}}}}}"#);
    check(&saying(&hidden), expected);
    check(&saying(&format!(r#"{{"type":"compaction","content":null,"tool_changes":[{hidden}]}}"#)), expected);
    check(&with(r#""fallbacks":[{"model":"a","max_tokens":1},{"model":"b"}]"#), |request| {
        request.models.extend(strings(&["a", "b"]));
    });
    check(&with(r#""fallbacks":"default""#), |request| request.models.push("default".into()));
    check(&with(r#""tools":[{"name":"t","model":"m"}]"#), |request| {
        request.models.push("m".into());
        request.client_tools.push("t".into());
    });
}

#[test]
fn e3_provider_tools_are_told_from_client_tools() {
    let tools = r#""tools":[{"name":"a","description":"d","input_schema":{"type":"object","x":1,"X":2},"defer_loading":true},
        {"type":"custom","name":"web_search","cache_control":null},{"type":"bash_20250124","name":"bash"},
        {"type":"computer_toolset_20260801","configs":null},
        {"type":"web_search_20250305","name":"web_search","max_uses":8,"allowed_domains":["a.example"],"user_location":{"type":"approximate"}},
        {"type":"web_search_20260318","name":"web_search"},
        {"type":"web_fetch_20260318","name":"web_fetch","url_sources":{"user_input":{"type":"all"}}},
        {"type":"code_execution_20260521","name":"code_execution"},
        {"type":"tool_search_tool_regex_20251119","name":"tool_search_tool_regex"}]"#;
    check(&with(tools), |request| {
        request.client_tools = strings(&["a", "web_search", "bash", "computer_toolset"]);
        request.provider_tools = strings(&["web_search", "web_fetch", "code_execution", "tool_search_tool_regex"]);
    });
}

#[test]
fn e1_connectors_are_read_with_their_url() {
    let server = r#"{"type":"url","url":"https://evil.example/mcp","name":"evil""#;
    let connector = |authorized| Connector {
        name: "evil".into(),
        place: Place::Url("https://evil.example/mcp".into()),
        authorized,
    };
    check(&with(&format!(r#""mcp_servers":[{server}}}]"#)), |request| request.connectors = vec![connector(false)]);
    let authorized = format!(
        r#""mcp_servers":[{server},"authorization_token":"t","tool_configuration":{{"enabled":true}}}}],
           "tools":[{{"type":"mcp_toolset","mcp_server_name":"evil","configs":{{"Tool":1,"tool":1}},"tools":[]}}]"#
    );
    check(&with(&authorized), |request| request.connectors = vec![connector(true)]);
    let elsewhere = r#""tools":[{"type":"mcp_toolset","mcp_server_name":"ghost"}]"#;
    check(&with(elsewhere), |request| request.unknown = strings(&["connector ghost"]));
    for block in [
        r#"{"type":"mcp_tool_listing","mcp_server_name":"ghost","tools":[]}"#,
        r#"{"type":"tool_addition","tool":{"type":"mcp_toolset_reference","server_name":"ghost"}}"#,
        r#"{"type":"tool_addition","tool":{"type":"mcp_tool_reference","server_name":"ghost","name":"t"}}"#,
        r#"{"type":"mcp_tool_use","id":"1","name":"t","server_name":"ghost","input":{}}"#,
    ] {
        check(&saying(block), |request| request.unknown = strings(&["connector ghost"]));
    }
    let stdio = r#""mcp_servers":[{"type":"tunnel","name":"t"}]"#;
    check(&with(stdio), |request| request.unknown = strings(&["connector tunnel"]));
}

#[test]
fn e4_url_sources_are_found_wherever_they_nest() {
    let image = r#"{"type":"image","source":{"type":"url","url":"http://10.0.0.1/x"}}"#;
    let content = format!(r#"{{"type":"document","source":{{"type":"content","content":[{image}]}}}}"#);
    for block in [
        image.to_owned(),
        content.clone(),
        image.replace("image", "document"),
        format!(r#"{{"type":"tool_result","tool_use_id":"1","content":[{{"type":"text","text":"t"}},{image}]}}"#),
        format!(r#"{{"type":"tool_result","tool_use_id":"1","content":[{content}]}}"#),
        format!(
            r#"{{"type":"web_fetch_tool_result","tool_use_id":"1","content":{{"type":"web_fetch_result","url":"u","content":{content}}}}}"#
        ),
        r#"{"type":"im\u0061ge","sourc\u0065":{"type":"url","url":"http:\/\/10.0.0.1\/x"}}"#.to_owned(),
    ] {
        check(&saying(&block), |request| request.url_sources = strings(&["http://10.0.0.1/x"]));
    }
    check(&with(&format!(r#""system":[{image}]"#)), |request| {
        request.url_sources = strings(&["http://10.0.0.1/x"]);
    });
    let data = r#"{"type":"image","source":{"type":"base64","media_type":"image/png","data":"AA=="}},
        {"type":"document","source":{"type":"text","media_type":"text/plain","data":"see http://a.example"},"title":"t"},
        {"type":"search_result","source":"https://a.example/cited","title":"t","content":[{"type":"text","text":"x"}]}"#;
    check(&saying(data), |_| {});
}

#[test]
fn e5_stored_state_is_named() {
    for (members, kind, id) in [
        (r#""container":"c1""#, StoredKind::Container, "c1"),
        (r#""container":{"id":"c1","skills":null}"#, StoredKind::Container, "c1"),
        (
            r#""container":{"skills":[{"type":"anthropic","skill_id":"pdf","version":"latest"}]}"#,
            StoredKind::Skill,
            "pdf",
        ),
        (r#""thread":{"type":"continue","previous_message_id":"msg_1"}"#, StoredKind::Thread, "msg_1"),
        (r#""fallback_credit_token":"f1""#, StoredKind::FallbackCredit, "f1"),
        (r#""fallback_credit_token":{"token":"f1","mode":"strict"}"#, StoredKind::FallbackCredit, "f1"),
    ] {
        check(&with(members), |request| request.stored_ids = vec![stored(kind, id)]);
    }
    for block in [
        r#"{"type":"document","source":{"type":"file","file_id":"file_1"}}"#,
        r#"{"type":"container_upload","file_id":"file_1"}"#,
        r#"{"type":"code_execution_tool_result","tool_use_id":"1","content":{"type":"code_execution_result","stdout":"","stderr":"","return_code":0,"content":[{"type":"code_execution_output","file_id":"file_1"}]}}"#,
    ] {
        check(&saying(block), |request| request.stored_ids = vec![stored(StoredKind::File, "file_1")]);
    }
}

#[test]
fn history_asks_for_nothing_but_a_call_without_result_does() {
    let call =
        |name: &str| format!(r#"{{"type":"server_tool_use","id":"s1","name":"{name}","input":{{"a":1,"A":2}}}}"#);
    let result = r#"{"type":"web_search_tool_result","tool_use_id":"s1","content":[{"type":"web_search_result","url":"https://a.example","title":"t","encrypted_content":"e"}]}"#;
    check(&saying(&format!("{},{result}", call("web_search"))), |_| {});
    check(&saying(&call("web_fetch")), |request| request.provider_tools = strings(&["web_fetch"]));
    check(&saying(&call("bash_code_execution")), |request| request.provider_tools = strings(&["code_execution"]));
    check(&saying(&call("teleport")), |request| request.unknown = strings(&["provider tool teleport"]));
    let history = r#"{"type":"thinking","thinking":"","signature":"s"},{"type":"redacted_thinking","data":"d"},
        {"type":"tool_use","id":"1","name":"t","input":{},"caller":{"type":"direct"}},
        {"type":"mcp_tool_use","id":"m1","name":"t","server_name":"gone","input":{}},
        {"type":"mcp_tool_result","tool_use_id":"m1","is_error":false,"content":[{"type":"text","text":"x"}]},
        {"type":"tool_search_tool_result","tool_use_id":"2","content":{"type":"tool_search_tool_search_result","tool_references":[{"type":"tool_reference","tool_name":"t"}]}},
        {"type":"advisor_tool_result","tool_use_id":"3","content":{"type":"advisor_result","text":"t","stop_reason":null}},
        {"type":"web_fetch_tool_result","tool_use_id":"4","content":{"type":"web_fetch_tool_result_error","error_code":"unavailable"}},
        {"type":"text_editor_code_execution_tool_result","tool_use_id":"5","content":{"type":"text_editor_code_execution_view_result","content":"c","file_type":"text"}},
        {"type":"fallback","from":{"model":"a"},"to":{"model":"b"},"trigger":null},
        {"type":"compaction","content":"summary","encrypted_content":"e"},
        {"type":"tool_removal","tool":{"type":"tool_reference","name":"t"}},
        {"type":"browser_state","tabs":[{"tab_id":"1","title":"t","url":"https://a.example"}]}"#;
    check(&saying(history), |_| {});
}

#[test]
fn what_is_not_known_makes_the_call_unknown() {
    for (body, name) in [
        (with(r#""tools":[{"type":"web_scrape_20270101","name":"x"}]"#), "tool web_scrape_20270101"),
        (with(r#""tools":[{"name":"x","server_url":"https://a.example"}]"#), "member tools[].server_url"),
        (with(r#""agents":[]"#), "member agents"),
        (with(r#""remote":{"kind":"mcp_servers"}"#), "member remote"),
        (with(r#""data":{"deep":[{"Tools":[]}]}"#), "member data"),
        (with(r#""data":["https://a.example"]"#), "member data"),
        (with(r#""data":["web_search_20250305"]"#), "member data"),
        (with(r#""thread":{"type":"fork","from":"msg_1"}"#), "thread fork"),
        (with(r#""compaction":{"type":"summarize","model":"m"}"#), "member compaction.model"),
        (with(r#""context_management":{"edits":[{"type":"move_20270101"}]}"#), "context edit move_20270101"),
        (with(r#""system":[{"type":"hologram"}]"#), "content block hologram"),
        (saying(r#"{"type":"hologram","Source":{"type":"url"}}"#), "content block hologram"),
        (saying(r#"{"type":"image","source":{"type":"ftp","url":"ftp://x"}}"#), "source ftp"),
        (saying(r#"{"type":"image","source":{"type":"base64","data":"","url":"http://x"}}"#), "member source.url"),
        (saying(r#"{"type":"image","source":{"type":"base64","data":"","file_id":"f"}}"#), "member source.file_id"),
        (saying(r#"{"type":"text","text":"t","image_url":"x"}"#), "member content[].image_url"),
        (
            saying(r#"{"type":"tool_addition","tool":{"type":"agent_reference","id":"a"}}"#),
            "tool change agent_reference",
        ),
        (r#"{"model":"claude-sonnet-5","messages":[{"role":"developer","content":""}]}"#.to_owned(), "role developer"),
    ] {
        check(&body, |request| {
            request.unknown = strings(&[name]);
            // What is read of it all the same.
            if name == "member source.file_id" {
                request.stored_ids = vec![stored(StoredKind::File, "f")];
            }
            if name == "member tools[].server_url" {
                request.client_tools = strings(&["x"]);
            }
        });
    }
    let many = vec![r#"{"type":"x"}"#; 99].join(",");
    assert_eq!(read(saying(&many).as_bytes()).unwrap().unknown.len(), 16);
    let long = format!(r#"{{"type":"{}"}}"#, "\u{e9}".repeat(999));
    assert_eq!(read(saying(&long).as_bytes()).unwrap().unknown[0].len(), "content block ".len() + 128);
}

#[test]
fn a_setting_that_is_not_known_is_noted() {
    for (members, name) in [
        (r#""verbosity":{"level":"high","steps":[1,2,null,true]}"#, "verbosity"),
        (r#""context_management":{"edits":[],"pace":1}"#, "context_management.pace"),
        (r#""system":[{"type":"text","text":"t","colour":"red"}]"#, "content[].colour"),
        (
            r#""system":[{"type":"text","text":"t","colour":"red"},{"type":"text","text":"t","colour":"blue"}]"#,
            "content[].colour",
        ),
    ] {
        check(&with(members), |request| request.unknown_members = strings(&[name]));
    }
    let many: Vec<String> = (0..99).map(|index| format!(r#""m{index}":1"#)).collect();
    assert_eq!(read(with(&many.join(",")).as_bytes()).unwrap().unknown_members.len(), 32);
}

#[test]
fn e10_duplicates_and_case_twins_are_refused_in_every_object_that_is_read() {
    let objects = [
        r#"{"model":"m","messages":[],KEY}"#,
        r#"{"model":"m","messages":[{"role":"user","content":"",KEY}]}"#,
        r#"{"model":"m","messages":[{"role":"user","content":[{"type":"text","text":"",KEY}]}]}"#,
        r#"{"model":"m","messages":[{"role":"user","content":[{"type":"hologram",KEY}]}]}"#,
        r#"{"model":"m","messages":[{"role":"user","content":[{"type":"image","source":{"type":"base64","data":"",KEY}}]}]}"#,
        r#"{"model":"m","messages":[{"role":"user","content":[{"type":"tool_addition","tool":{"type":"tool_reference",KEY}}]}]}"#,
        r#"{"model":"m","messages":[{"role":"user","content":[{"type":"tool_result","tool_use_id":"1","content":{"type":"text",KEY}}]}]}"#,
        r#"{"model":"m","messages":[],"system":[{"type":"text","text":"",KEY}]}"#,
        r#"{"model":"m","messages":[],"tools":[{"name":"t",KEY}]}"#,
        r#"{"model":"m","messages":[],"mcp_servers":[{"type":"url","name":"n","url":"u",KEY}]}"#,
        r#"{"model":"m","messages":[],"container":{"id":"c",KEY}}"#,
        r#"{"model":"m","messages":[],"container":{"skills":[{"skill_id":"s",KEY}]}}"#,
        r#"{"model":"m","messages":[],"thread":{"type":"create",KEY}}"#,
        r#"{"model":"m","messages":[],"fallbacks":[{"model":"m",KEY}]}"#,
        r#"{"model":"m","messages":[],"fallback_credit_token":{"token":"t",KEY}}"#,
        r#"{"model":"m","messages":[],"context_management":{"edits":[],KEY}}"#,
        r#"{"model":"m","messages":[],"context_management":{"edits":[{"type":"clear_thinking_20251015",KEY}]}}"#,
        r#"{"model":"m","messages":[],"compaction":{"type":"summarize",KEY}}"#,
    ];
    for object in objects {
        for (key, kind) in [(r#""zz":1,"zz":1"#, "duplicate"), (r#""zz":1,"zZ":1"#, "twin")] {
            let body = object.replace("KEY", key);
            let kind_found = match read(body.as_bytes()) {
                Err(LlmError::Json(JsonError::Duplicate { .. })) => "duplicate",
                Err(LlmError::Json(JsonError::Twin { .. })) => "twin",
                other => panic!("{body}: {other:?}"),
            };
            assert_eq!(kind_found, kind, "{body}");
        }
    }
    // Of a known name one twin is enough; the Kelvin sign and the long s fold too.
    for body in [
        with(r#""Mcp_servers":[]"#),
        with(r#""mcp_\u0073ervers":[],"mcp_servers":[]"#),
        with("\"mcp_\u{17f}ervers\":[]"),
        with("\"too\u{6c}S\":[]"),
        with(r#""Tools":[]"#),
        saying(r#"{"type":"text","text":"","Cache_control":null}"#),
        with(r#""tools":[{"Type":"web_search_20250305","name":"w"}]"#),
        saying(r#"{"type":"image","Source":{"type":"url","url":"u"}}"#),
        saying(r#"{"type":"image","source":{"type":"base64","Url":"u"}}"#).replace("Url", "Type"),
    ] {
        assert!(matches!(read(body.as_bytes()), Err(LlmError::Json(_))), "{body}");
    }
}

#[test]
fn what_is_no_messages_request_is_refused() {
    for (body, expected) in [
        ("[]", LlmError::WrongType { member: "", offset: 0 }),
        ("{}", LlmError::Missing { member: "model" }),
        (r#"{"messages":[]}"#, LlmError::Missing { member: "model" }),
        (r#"{"model":"","messages":[]}"#, LlmError::Missing { member: "model" }),
        (r#"{"model":["m"],"messages":[]}"#, LlmError::WrongType { member: "model", offset: 9 }),
        (r#"{"model":"m"}"#, LlmError::Missing { member: "messages" }),
        (r#"{"model":"m","messages":{}}"#, LlmError::WrongType { member: "messages", offset: 24 }),
        (r#"{"model":"m","messages":["x"]}"#, LlmError::WrongType { member: "messages[]", offset: 25 }),
        (r#"{"model":"m","messages":[{"content":""}]}"#, LlmError::Missing { member: "messages[].role" }),
        (r#"{"model":"m","messages":[{"role":"user"}]}"#, LlmError::Missing { member: "messages[].content" }),
        (
            r#"{"model":"m","messages":[{"role":"user","content":1}]}"#,
            LlmError::WrongType { member: "content", offset: 50 },
        ),
        (
            r#"{"model":"m","messages":[{"role":"user","content":[{}]}]}"#,
            LlmError::Missing { member: "content[].type" },
        ),
        (
            r#"{"model":"m","messages":[{"role":"user","content":["x"]}]}"#,
            LlmError::WrongType { member: "content[]", offset: 51 },
        ),
        (r#"{"model":"m","messages":[],"stream":1}"#, LlmError::WrongType { member: "stream", offset: 36 }),
        (r#"{"model":"m","messages":[],"tools":{}}"#, LlmError::WrongType { member: "tools", offset: 35 }),
        (r#"{"model":"m","messages":[],"tools":[{"type":"custom"}]}"#, LlmError::Missing { member: "tools[].name" }),
        (
            r#"{"model":"m","messages":[],"tools":[{"type":"advisor_20260301","name":"advisor"}]}"#,
            LlmError::Missing { member: "tools[].model" },
        ),
        (
            r#"{"model":"m","messages":[],"tools":[{"type":"mcp_toolset"}]}"#,
            LlmError::Missing { member: "tools[].mcp_server_name" },
        ),
        (r#"{"model":"m","messages":[],"fallbacks":[{}]}"#, LlmError::Missing { member: "fallbacks[].model" }),
        (
            r#"{"model":"m","messages":[],"mcp_servers":[{"type":"url","name":"n"}]}"#,
            LlmError::Missing { member: "mcp_servers[].url" },
        ),
        (r#"{"model":"m","messages":[]} {}"#, LlmError::Json(JsonError::Trailing { offset: 28 })),
        ("", LlmError::Json(JsonError::End { offset: 0 })),
        ("\u{feff}{}", LlmError::Json(JsonError::Bom { offset: 0 })),
    ] {
        assert_eq!(read(body.as_bytes()), Err(expected), "{body}");
    }
}

#[test]
fn a_body_over_the_limit_is_not_held() {
    let body = with("");
    let limit = body.len() as u64;
    let mut reader = RequestReader::new(Dialect::Messages, limit);
    assert_eq!(reader.feed(body.as_bytes()), Step::More);
    assert!(reader.finish().is_ok());
    let mut reader = RequestReader::new(Dialect::Messages, limit - 1);
    assert_eq!(reader.feed(&body.as_bytes()[..10]), Step::More);
    assert_eq!(reader.feed(&body.as_bytes()[10..]), Step::Full);
    assert_eq!(reader.feed(b""), Step::Full);
    assert_eq!(reader.finish(), Err(LlmError::TooLong { limit: limit - 1 }));
}
