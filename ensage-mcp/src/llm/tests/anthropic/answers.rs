//! What an answer says.

use super::super::sse;
use crate::llm::{Activity, Dialect, Framing, Needs, Seen, Usage};

fn observe(framing: Framing, body: &[u8], chunk: usize) -> Seen {
    super::super::observe(Dialect::Messages, framing, body, chunk)
}

fn check(framing: Framing, body: &str, expected: &Seen) {
    super::super::check_answer(Dialect::Messages, framing, body, expected);
}

fn activity(kind: &str, name: Option<&str>, needs: Needs) -> Activity {
    Activity { kind: kind.into(), name: name.map(str::to_owned), needs }
}

#[test]
fn content_types_have_a_framing() {
    for (content_type, expected) in [
        ("application/json", Some(Framing::Json)),
        ("Application/JSON ; charset=utf-8", Some(Framing::Json)),
        ("text/event-stream; charset=utf-8", Some(Framing::Sse)),
        ("TEXT/EVENT-STREAM", Some(Framing::Sse)),
        ("text/html", None),
        ("application/jsonl", None),
        ("", None),
    ] {
        assert_eq!(Framing::of(content_type), expected, "{content_type}");
    }
}

#[test]
fn a_whole_answer_tells_all() {
    let body = r#"{"type":"message","model":"claude-sonnet-5","stop_reason":"tool_use","content":[
        {"type":"text","text":"x"},{"type":"tool_use","id":"1","name":"b","input":{}},{"type":"tool_use","id":"2","name":"a","input":{}},
        {"type":"server_tool_use","id":"3","name":"web_search","input":{}},{"type":"web_search_tool_result","tool_use_id":"3","content":[]},
        {"type":"fallback","from":{"model":"x"},"to":{"model":"y"}}],
        "usage":{"input_tokens":1,"cache_read_input_tokens":20,"cache_creation_input_tokens":300,"output_tokens":4000}}"#;
    let expected = Seen {
        model: Some("claude-sonnet-5".into()),
        usage: Usage {
            input_tokens: Some(1),
            cache_read_input_tokens: Some(20),
            cache_creation_input_tokens: Some(300),
            output_tokens: Some(4000),
            ..Usage::default()
        },
        tools_requested: vec!["b".into(), "a".into()],
        provider_activity: vec![
            activity("server_tool_use", Some("web_search"), Needs::Tool(&["web_search"])),
            activity("web_search_tool_result", None, Needs::Tool(&["web_search"])),
            activity("fallback", Some("y"), Needs::OtherModel),
        ],
        stop_reason: Some("tool_use".into()),
        ..Seen::default()
    };
    check(Framing::Json, body, &expected);
    assert_eq!(expected.usage.input_total(), Some(321));
    assert_eq!(expected.usage.output_total(), Some(4000));
}

#[test]
fn usage_is_cumulative_and_the_last_word_counts() {
    let body = sse(&[
        r#"{"type":"message_start","message":{"model":"m","usage":{"input_tokens":10,"cache_read_input_tokens":5,"output_tokens":1}}}"#,
        r#"{"type":"message_delta","delta":{"stop_reason":null},"usage":{"output_tokens":7}}"#,
        r#"{"type":"message_delta","delta":{"stop_reason":"end_turn"},"usage":{"input_tokens":12,"cache_read_input_tokens":null,"output_tokens":9,
            "iterations":[{"type":"message","input_tokens":12,"output_tokens":9},{"type":"compaction","input_tokens":100,"output_tokens":40},
            {"type":"advisor_message","model":"x","input_tokens":1,"cache_read_input_tokens":2,"cache_creation_input_tokens":3,"output_tokens":5}]}}"#,
    ])
    .replace("            ", "")
    .replace("\n\"", "\ndata: \"")
    .replace("\n{\"type\":\"advisor", "\ndata: {\"type\":\"advisor");
    let usage = Usage {
        input_tokens: Some(12),
        cache_read_input_tokens: Some(5),
        cache_creation_input_tokens: None,
        output_tokens: Some(9),
        aside_input_tokens: 106,
        aside_output_tokens: 45,
    };
    let expected = Seen { model: Some("m".into()), usage, stop_reason: Some("end_turn".into()), ..Seen::default() };
    check(Framing::Sse, &body, &expected);
    assert_eq!((usage.input_total(), usage.output_total()), (Some(123), Some(54)));
    assert_eq!((Usage::default().input_total(), Usage::default().output_total()), (None, None));
}

#[test]
fn what_other_inferences_used_is_cumulative_too() {
    let delta = |tokens| {
        format!(
            r#"{{"type":"message_delta","usage":{{"iterations":[{{"type":"compaction","input_tokens":{tokens},"output_tokens":1}}]}}}}"#
        )
    };
    let usage = Usage { aside_input_tokens: 12, aside_output_tokens: 1, ..Usage::default() };
    check(Framing::Sse, &sse(&[&delta(9), &delta(12)]), &Seen { usage, ..Seen::default() });
}

#[test]
fn a_count_and_an_error_are_answers_too() {
    let counted = Seen { usage: Usage { input_tokens: Some(42), ..Usage::default() }, ..Seen::default() };
    check(Framing::Json, r#"{"input_tokens":42}"#, &counted);
    let failed = Seen { error: Some("overloaded_error".into()), ..Seen::default() };
    let error = r#"{"type":"error","error":{"type":"overloaded_error","message":"m"}}"#;
    check(Framing::Json, error, &failed);
    check(Framing::Sse, &sse(&[error]), &failed);
}

#[test]
fn e9_the_event_name_does_not_hide_a_call() {
    let body = "event: content_block_delta\ndata: {\"type\":\"content_block_start\",\ndata: \
                \"content_block\":{\"type\":\"tool_use\",\"name\":\"rm\"}}\r\n\r\n";
    check(Framing::Sse, body, &Seen { tools_requested: vec!["rm".into()], ..Seen::default() });
}

#[test]
fn what_cannot_be_read_is_counted_and_nothing_else() {
    let skipped = Seen { skipped: 1, ..Seen::default() };
    check(Framing::Json, "<html>", &skipped);
    check(Framing::Json, "", &Seen::default());
    check(Framing::Sse, &sse(&["[DONE"]), &skipped);
    check(Framing::Sse, &sse(&["[DONE]", ""]), &Seen::default());
    check(Framing::Sse, &sse(&["null", "7", "[]", r#"{"type":7}"#, r#"{"type":"ping"}"#]), &Seen::default());
}

#[test]
fn an_event_over_the_limit_is_skipped_and_the_next_is_read() {
    let stop = r#"{"type":"message_delta","delta":{"stop_reason":"end_turn"},"usage":{"output_tokens":9}}"#;
    for (end, filler) in [("\n\n", "y"), ("\r\n\r\n", "y"), ("\r\r", "y"), ("\n\n", "y\ndata: \r\ndata: ")] {
        let long = filler.repeat((4 << 20) / filler.len());
        let body = format!("data: {{\"type\":\"web_fetch\",\"x\":\"{long}\"}}{end}data: {stop}{end}");
        let expected = Seen {
            stop_reason: Some("end_turn".into()),
            usage: Usage { output_tokens: Some(9), ..Usage::default() },
            skipped: 1,
            ..Seen::default()
        };
        for chunk in [1000, 4096, body.len()] {
            assert_eq!(observe(Framing::Sse, body.as_bytes(), chunk), expected, "{end:?} {chunk}");
        }
    }
}

#[test]
fn an_event_whose_lines_just_fill_the_limit_ends_at_its_blank_line() {
    let stop = r#"{"type":"message_delta","delta":{"stop_reason":"end_turn"}}"#;
    let expected = Seen { stop_reason: Some("end_turn".into()), skipped: 1, ..Seen::default() };
    for end in ["\n", "\r\n"] {
        let line = format!("data: {}{end}", "y".repeat((4 << 20) - "data: ".len() - end.len()));
        let body = format!("{line}{end}data: {stop}\n\n");
        for chunk in [1000, line.len(), body.len()] {
            assert_eq!(observe(Framing::Sse, body.as_bytes(), chunk), expected, "{end:?} {chunk}");
        }
    }
}

#[test]
fn memory_is_bounded_by_dropping_what_is_too_much() {
    let body = format!(r#"{{"type":"message","content":[{{"type":"text","text":"{}"}}]}}"#, "x".repeat(4 << 20));
    assert_eq!(observe(Framing::Json, body.as_bytes(), 4096), Seen { skipped: 1, ..Seen::default() });

    let name = "\u{e9}".repeat(200);
    let call = format!(r#"{{"type":"content_block_start","content_block":{{"type":"tool_use","name":"{name}"}}}}"#);
    let other = r#"{"type":"content_block_start","content_block":{"type":"mcp_tool_use","name":"t"}}"#;
    let mut events = vec![call.as_str(); 300];
    events.extend(vec![other; 300]);
    let seen = observe(Framing::Sse, sse(&events).as_bytes(), 4096);
    assert_eq!((seen.tools_requested.len(), seen.provider_activity.len(), seen.skipped), (256, 256, 88));
    assert!(seen.tools_requested.iter().all(|name| name.len() == 256));
}
