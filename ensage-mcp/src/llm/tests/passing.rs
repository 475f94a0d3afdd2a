//! How much of an answer may pass: nothing of what was not asked for.

use crate::llm::{Against, Dialect, Framing, Observer, Request, RequestReader, StoredKind};

fn asking(dialect: Dialect, body: &str) -> Request {
    let mut reader = RequestReader::new(dialect, 1 << 20);
    let _ = reader.feed(body.as_bytes());
    reader.finish().unwrap()
}

fn against(dialect: Dialect, request: &str, framing: Framing, answer: &str) -> (u64, Option<String>) {
    let mut told = Vec::new();
    for chunk in [1, 7, answer.len()] {
        let mut observer = Observer::new(dialect, framing).holding_to(asking(dialect, request).asked());
        answer.as_bytes().chunks(chunk).for_each(|piece| observer.feed(piece));
        observer.end();
        let why = observer.against().map(|against| match against {
            Against::Unasked(activity) => activity.kind.clone(),
            Against::TooLong => "too long".to_owned(),
            Against::Unreadable => "unreadable".to_owned(),
        });
        told.push((observer.passed(), why));
    }
    assert!(told.iter().all(|one| *one == told[0]), "{told:?}: {answer}");
    told.swap_remove(0)
}

/// An event that may pass, one that may not, and one more: only the first does.
fn refused(dialect: Dialect, request: &str, bad: &str, kind: &str) {
    let good = "data: {\"type\":\"ping\"}\n\n";
    let stream = format!("{good}data: {bad}\n\n{good}");
    assert_eq!(
        against(dialect, request, Framing::Sse, &stream),
        (good.len() as u64, Some(kind.to_owned())),
        "{request} {bad}"
    );
    // What ends without its blank line may be taken for an event all the same.
    let (passed, why) = against(dialect, request, Framing::Sse, &format!("{good}data: {bad}"));
    assert_eq!((passed, why.as_deref()), (good.len() as u64, Some(kind)), "{request} {bad}");
}

fn passes(dialect: Dialect, request: &str, event: &str) {
    let stream = format!("data: {event}\n\n");
    assert_eq!(against(dialect, request, Framing::Sse, &stream), (stream.len() as u64, None), "{request} {event}");
}

const MESSAGES: &str = r#"{"model":"m","messages":[]}"#;

#[test]
fn e5_activity_of_anthropic_passes_where_it_was_asked_for() {
    let asked = |members: &str| format!(r#"{{"model":"m","messages":[],{members}}}"#);
    let tool = |kind: &str| asked(&format!(r#""tools":[{{"type":"{kind}","name":"x","model":"m"}}]"#));
    let server = r#""mcp_servers":[{"type":"url","name":"s","url":"https://x"}]"#;
    for (block, by) in [
        (r#"{"type":"server_tool_use","id":"1","name":"web_search","input":{}}"#, tool("web_search_20250305")),
        (r#"{"type":"web_search_tool_result","tool_use_id":"1"}"#, tool("web_search_20250305")),
        (r#"{"type":"server_tool_use","name":"web_fetch"}"#, tool("web_fetch_20250910")),
        (r#"{"type":"web_fetch_tool_result"}"#, tool("web_fetch_20250910")),
        (r#"{"type":"server_tool_use","name":"bash_code_execution"}"#, tool("code_execution_20250825")),
        (r#"{"type":"bash_code_execution_tool_result"}"#, tool("code_execution_20250825")),
        (r#"{"type":"code_execution_tool_result"}"#, tool("web_search_20260209")),
        (r#"{"type":"container_upload","file_id":"f"}"#, tool("code_execution_20250825")),
        (r#"{"type":"server_tool_use","name":"tool_search_tool_bm25"}"#, tool("tool_search_tool_bm25_20251119")),
        (r#"{"type":"tool_search_tool_result"}"#, tool("tool_search_tool_regex_20251119")),
        (r#"{"type":"advisor_tool_result"}"#, tool("advisor_20260301")),
        (r#"{"type":"mcp_tool_use","server_name":"s","name":"t"}"#, asked(server)),
        (r#"{"type":"mcp_tool_result"}"#, asked(server)),
        (r#"{"type":"mcp_tool_listing","mcp_server_name":"s"}"#, asked(server)),
        (r#"{"type":"fallback","to":{"model":"n"}}"#, asked(r#""fallbacks":[{"model":"n"}]"#)),
    ] {
        let kind = block.split('"').nth(3).unwrap();
        let event = format!(r#"{{"type":"content_block_start","index":0,"content_block":{block}}}"#);
        passes(Dialect::Messages, &by, &event);
        refused(Dialect::Messages, MESSAGES, &event, kind);
        let whole = format!(r#"{{"type":"message","content":[{block}]}}"#);
        assert_eq!(against(Dialect::Messages, &by, Framing::Json, &whole), (0, None));
        assert_eq!(against(Dialect::Messages, MESSAGES, Framing::Json, &whole), (0, Some(kind.to_owned())));
    }
    let other = r#"{"type":"content_block_start","content_block":{"type":"mcp_tool_use","server_name":"other"}}"#;
    refused(Dialect::Messages, &asked(server), other, "mcp_tool_use");
    let unknown = r#"{"type":"content_block_start","content_block":{"type":"hologram"}}"#;
    refused(Dialect::Messages, &asked(server), unknown, "hologram");
    for event in [
        r#"{"type":"content_block_start","content_block":{"type":"tool_use","name":"t"}}"#,
        r#"{"type":"content_block_start","content_block":{"type":"text","text":""}}"#,
        r#"{"type":"content_block_start","content_block":{"type":"thinking","thinking":""}}"#,
        r#"{"type":"glow"}"#,
    ] {
        passes(Dialect::Messages, MESSAGES, event);
    }
}

#[test]
fn e5_activity_of_openai_passes_where_it_was_asked_for() {
    let asked = |tool: &str| format!(r#"{{"model":"m","input":"x","tools":[{tool}]}}"#);
    let tool = |kind: &str| asked(&format!(r#"{{"type":"{kind}"}}"#));
    let server = asked(r#"{"type":"mcp","server_label":"s","server_url":"https://x"}"#);
    let plain = r#"{"model":"m","input":"x"}"#;
    for (item, by) in [
        (r#"{"type":"web_search_call"}"#, tool("web_search")),
        (r#"{"type":"web_search_call"}"#, tool("web_search_preview_2025_03_11")),
        (r#"{"type":"file_search_call"}"#, tool("file_search")),
        (r#"{"type":"code_interpreter_call"}"#, tool("code_interpreter")),
        (r#"{"type":"image_generation_call"}"#, tool("image_generation")),
        (r#"{"type":"shell_call","environment":{"type":"container_reference"}}"#, tool("shell")),
        (r#"{"type":"shell_call_output"}"#, tool("shell")),
        (r#"{"type":"tool_search_call","execution":"server"}"#, tool("tool_search")),
        (r#"{"type":"tool_search_output"}"#, tool("tool_search")),
        (r#"{"type":"program"}"#, tool("programmatic_tool_calling")),
        (r#"{"type":"mcp_call","server_label":"s"}"#, server.clone()),
        (r#"{"type":"mcp_list_tools","server_label":"s"}"#, server.clone()),
        (r#"{"type":"mcp_approval_request","server_label":"s"}"#, server.clone()),
    ] {
        let kind = item.split('"').nth(3).unwrap();
        let event = format!(r#"{{"type":"response.output_item.added","output_index":0,"item":{item}}}"#);
        passes(Dialect::Responses, &by, &event);
        refused(Dialect::Responses, plain, &event, kind);
        let completed = format!(r#"{{"type":"response.completed","response":{{"output":[{item}]}}}}"#);
        refused(Dialect::Responses, plain, &completed, kind);
        let whole = format!(r#"{{"object":"response","output":[{item}]}}"#);
        assert_eq!(against(Dialect::Responses, &by, Framing::Json, &whole), (0, None));
        assert_eq!(against(Dialect::Responses, plain, Framing::Json, &whole), (0, Some(kind.to_owned())));
    }
    let other = r#"{"type":"response.output_item.done","item":{"type":"mcp_call","server_label":"other"}}"#;
    refused(Dialect::Responses, &server, other, "mcp_call");
    refused(Dialect::Responses, plain, r#"{"type":"response.mcp_call.in_progress"}"#, "mcp_call");

    let cited = r#"{"choices":[{"delta":{"annotations":[{"type":"url_citation"}]}}]}"#;
    let chat = r#"{"model":"m","messages":[]}"#;
    refused(Dialect::Chat, chat, cited, "url_citation");
    passes(Dialect::Chat, r#"{"model":"m","messages":[],"web_search_options":{}}"#, cited);
    passes(Dialect::Chat, r#"{"model":"gpt-4o-search-preview","messages":[]}"#, cited);
    let call = r#"{"choices":[{"delta":{"tool_calls":[{"index":0,"type":"mcp"}]}}]}"#;
    refused(Dialect::Chat, chat, call, "mcp");
}

#[test]
fn what_cannot_be_read_does_not_pass_either() {
    refused(Dialect::Messages, MESSAGES, "{", "unreadable");
    refused(Dialect::Messages, MESSAGES, "{\"type\":\"ping\"} {}", "unreadable");
    assert_eq!(against(Dialect::Messages, MESSAGES, Framing::Json, "<html>"), (0, Some("unreadable".to_owned())));
    for fine in ["[DONE]", "", " "] {
        passes(Dialect::Chat, r#"{"model":"m","messages":[]}"#, fine);
    }
    let doubtful = |framing, answer: &str| {
        let asked = Request::default().asked();
        let mut observer = Observer::new(Dialect::Responses, framing).holding_to(asked).in_doubt();
        observer.feed(answer.as_bytes());
        observer.end();
        observer.against().is_some()
    };
    assert!(!doubtful(Framing::Json, "good") && !doubtful(Framing::Sse, "data: good\n\n"));
    assert!(doubtful(Framing::Json, r#"{"output":[{"type":"mcp_call"}]}"#));
    for framing in [Framing::Json, Framing::Sse] {
        let mut observer = Observer::with_limit(Dialect::Messages, framing, 64).holding_to(Request::default().asked());
        observer.feed(b"data: {\"type\":\"ping\"}\n\n");
        let passed = observer.passed();
        observer.feed(&[b'x'; 99]);
        assert_eq!((observer.against(), observer.passed()), (Some(&Against::TooLong), passed));
        assert_eq!(observer.finish().skipped, 1);
    }
}

#[test]
fn what_a_provider_keeps_is_told_as_it_comes() {
    let given = |dialect, body: &str| {
        let mut observer = Observer::new(dialect, Framing::Json);
        observer.feed(body.as_bytes());
        observer.end();
        let given = observer.take_given();
        assert!(observer.take_given().is_empty());
        given.into_iter().map(|stored| (stored.kind, stored.id)).collect::<Vec<_>>()
    };
    let of = |told: &[(StoredKind, &str)]| told.iter().map(|(kind, id)| (*kind, (*id).to_owned())).collect::<Vec<_>>();
    let message = r#"{"type":"message","id":"msg_1","container":{"id":"c1"},"stop_details":{"fallback_credit_token":"f1"},
        "content":[{"type":"code_execution_tool_result","content":{"type":"code_execution_result","content":[{"type":"code_execution_output","file_id":"file_1"}]}},
        {"type":"container_upload","file_id":"file_2"}]}"#;
    assert_eq!(
        given(Dialect::Messages, message),
        of(&[
            (StoredKind::Thread, "msg_1"),
            (StoredKind::Container, "c1"),
            (StoredKind::FallbackCredit, "f1"),
            (StoredKind::File, "file_1"),
            (StoredKind::File, "file_2")
        ])
    );
    let response = r#"{"id":"resp_1","previous_response_id":"resp_0","conversation":{"id":"conv_1"},"output":[
        {"type":"message","id":"msg_1","content":[{"type":"output_text","annotations":[{"type":"container_file_citation","file_id":"file-1","container_id":"cntr_1"},{"type":"file_citation","file_id":"no"}]}]},
        {"type":"code_interpreter_call","id":"ci_1","container_id":"cntr_2"},{"type":"shell_call","environment":{"type":"container_reference","container_id":"cntr_3"}}]}"#;
    assert_eq!(
        given(Dialect::Responses, response),
        of(&[
            (StoredKind::Response, "resp_1"),
            (StoredKind::Item, "msg_1"),
            (StoredKind::File, "file-1"),
            (StoredKind::Container, "cntr_1"),
            (StoredKind::Item, "ci_1"),
            (StoredKind::Container, "cntr_2"),
            (StoredKind::Container, "cntr_3")
        ])
    );
    let chat = r#"{"id":"chatcmpl-1","choices":[{"message":{"audio":{"id":"audio_1"}}}]}"#;
    assert_eq!(given(Dialect::Chat, chat), of(&[(StoredKind::Audio, "audio_1")]));
    let long = format!(r#"{{"id":"{}"}}"#, "x".repeat(513));
    assert_eq!(given(Dialect::Responses, &long), []);
}

#[test]
fn e5_an_item_that_becomes_another_one_is_held_to_what_was_asked_again() {
    let request = r#"{"model":"m","input":"x"}"#;
    let event = |kind: &str, item: &str| {
        format!("data: {{\"type\":\"response.output_item.{kind}\",\"output_index\":0,\"item\":{item}}}\n\n")
    };
    let first = event("added", r#"{"type":"message"}"#);
    let stream = format!("{first}{}", event("done", r#"{"type":"mcp_call","server_label":"x"}"#));
    let told = against(Dialect::Responses, request, Framing::Sse, &stream);
    assert_eq!(told, (first.len() as u64, Some("mcp_call".to_owned())));
}

#[test]
fn ids_that_nobody_asks_for_are_not_kept_without_end() {
    let mut observer = Observer::new(Dialect::Responses, Framing::Sse);
    for n in 0..5000 {
        let event = format!("data: {{\"type\":\"response.in_progress\",\"response\":{{\"id\":\"r{n}\"}}}}\n\n");
        observer.feed(event.as_bytes());
    }
    assert_eq!(observer.take_given().len(), 4096);
}
