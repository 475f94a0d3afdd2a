//! What answers say.

use super::super::{check_answer, sse, strings};
use crate::llm::{Activity, Dialect, Framing, Needs, Seen, Usage};

fn chat(framing: Framing, body: &str, expected: &Seen) {
    check_answer(Dialect::Chat, framing, body, expected);
}

fn responses(framing: Framing, body: &str, expected: &Seen) {
    check_answer(Dialect::Responses, framing, body, expected);
}

fn usage(input: u64, output: u64) -> Usage {
    Usage { input_tokens: Some(input), output_tokens: Some(output), ..Usage::default() }
}

fn activity(kind: &str, name: Option<&str>, needs: Needs) -> Activity {
    Activity { kind: kind.into(), name: name.map(str::to_owned), needs }
}

#[test]
fn a_whole_completion_tells_all() {
    let body = r#"{"id":"chatcmpl-1","object":"chat.completion","model":"gpt-5-x","choices":[
        {"index":0,"finish_reason":"tool_calls","message":{"role":"assistant","content":null,"tool_calls":[
            {"id":"1","type":"function","function":{"name":"b","arguments":"{}"}},{"id":"2","type":"custom","custom":{"name":"a","input":""}}]}},
        {"index":1,"finish_reason":"stop","message":{"content":"x","function_call":{"name":"old","arguments":"{}"},
            "annotations":[{"type":"url_citation","url_citation":{"url":"https://x"}}]}}],
        "usage":{"prompt_tokens":9,"completion_tokens":4,"total_tokens":13,"prompt_tokens_details":{"cached_tokens":5}}}"#;
    let expected = Seen {
        model: Some("gpt-5-x".into()),
        usage: usage(9, 4),
        tools_requested: strings(&["b", "a", "old"]),
        provider_activity: vec![activity("url_citation", None, Needs::Tool(&["web_search"]))],
        stop_reason: Some("stop".into()),
        ..Seen::default()
    };
    chat(Framing::Json, body, &expected);
    assert_eq!((expected.usage.input_total(), expected.usage.output_total()), (Some(9), Some(4)));
}

#[test]
fn a_completion_is_put_together_of_its_pieces() {
    let delta = |choice: u64, inner: &str, rest: &str| {
        format!(
            r#"{{"object":"chat.completion.chunk","model":"gpt-5","choices":[{{"index":{choice},"delta":{inner},"finish_reason":null}}]{rest}}}"#
        )
    };
    let call = |index: u64, inner: &str| format!(r#"{{"tool_calls":[{{"index":{index},{inner}}}]}}"#);
    let events = [
        delta(0, r#"{"role":"assistant","content":""}"#, r#","usage":null"#),
        delta(0, &call(0, r#""id":"1","type":"function","function":{"name":"get_","arguments":""}"#), ""),
        delta(1, &call(0, r#""id":"9","type":"function","function":{"name":"other","arguments":""}"#), ""),
        delta(0, &call(1, r#""id":"2","type":"custom","custom":{"name":"second","input":""}"#), ""),
        delta(0, &call(0, r#""function":{"name":"weather"}"#), ""),
        delta(0, &call(0, r#""function":{"arguments":"{\"a\":"}"#), ""),
        delta(0, &call(1, r#""custom":{"input":"x"}"#), ""),
        delta(0, &call(1, r#""custom":{"name":"second","input":"x"}"#), ""),
        delta(1, r#"{"function_call":{"name":"old","arguments":""}}"#, ""),
        delta(1, r#"{"function_call":{"arguments":"{}"}}"#, ""),
        r#"{"choices":[{"index":0,"delta":{},"finish_reason":"tool_calls"}]}"#.to_owned(),
        r#"{"choices":[],"usage":{"prompt_tokens":9,"completion_tokens":4}}"#.to_owned(),
        "[DONE]".to_owned(),
    ];
    let expected = Seen {
        model: Some("gpt-5".into()),
        usage: usage(9, 4),
        tools_requested: strings(&["get_weather", "other", "second", "old"]),
        stop_reason: Some("tool_calls".into()),
        ..Seen::default()
    };
    chat(Framing::Sse, &sse(&events.iter().map(String::as_str).collect::<Vec<_>>()), &expected);
}

#[test]
fn errors_are_answers_too() {
    let failed = Seen { error: Some("rate_limit_exceeded".into()), ..Seen::default() };
    let error = r#"{"error":{"message":"m","type":"requests","param":null,"code":"rate_limit_exceeded"}}"#;
    chat(Framing::Json, error, &failed);
    chat(Framing::Sse, &sse(&[error]), &failed);
    responses(Framing::Json, error, &failed);
    let typed = r#"{"error":{"message":"m","type":"server_error","param":null,"code":null}}"#;
    chat(Framing::Json, typed, &Seen { error: Some("server_error".into()), ..Seen::default() });
    let event = r#"{"type":"error","code":"rate_limit_exceeded","message":"m","param":null,"sequence_number":1}"#;
    responses(Framing::Sse, &sse(&[event]), &failed);
    let event = r#"{"type":"response.failed","response":{"status":"failed","error":{"code":"rate_limit_exceeded","message":"m"}}}"#;
    responses(Framing::Sse, &sse(&[event]), &Seen { stop_reason: Some("failed".into()), ..failed });
}

const OUTPUT: &str = r#"[{"type":"reasoning","id":"rs"},{"type":"function_call","id":"fc","call_id":"1","name":"f","namespace":"n","arguments":"{}"},
    {"type":"custom_tool_call","name":"exec","input":"x"},{"type":"local_shell_call"},{"type":"shell_call","environment":{"type":"local"}},{"type":"shell_call","environment":null},
    {"type":"apply_patch_call"},{"type":"computer_call"},{"type":"tool_search_call","execution":"client"},{"type":"message","content":[]},
    {"type":"web_search_call"},{"type":"file_search_call"},{"type":"code_interpreter_call"},{"type":"image_generation_call"},{"type":"shell_call","environment":{"type":"container_reference"}},
    {"type":"tool_search_call","execution":"server"},{"type":"tool_search_output"},{"type":"program"},{"type":"program_output"},
    {"type":"mcp_call","server_label":"s","name":"t"},{"type":"mcp_list_tools","server_label":"s"},{"type":"mcp_approval_request","server_label":"s","name":"t"},{"type":"hologram"}]"#;

fn of_output() -> Seen {
    let tool = |kind: &str, names| activity(kind, None, Needs::Tool(names));
    let mcp = |kind: &str, name: &str| activity(kind, Some(name), Needs::Connector(Some("s".into())));
    Seen {
        tools_requested: strings(&[
            "f",
            "exec",
            "local_shell",
            "shell",
            "shell",
            "apply_patch",
            "computer",
            "tool_search",
        ]),
        provider_activity: vec![
            tool("web_search_call", &["web_search", "web_search_preview"]),
            tool("file_search_call", &["file_search"]),
            tool("code_interpreter_call", &["code_interpreter"]),
            tool("image_generation_call", &["image_generation"]),
            tool("shell_call", &["shell"]),
            tool("tool_search_call", &["tool_search"]),
            tool("tool_search_output", &["tool_search"]),
            tool("program", &["programmatic_tool_calling"]),
            tool("program_output", &["programmatic_tool_calling"]),
            mcp("mcp_call", "t"),
            mcp("mcp_list_tools", "s"),
            mcp("mcp_approval_request", "t"),
            activity("hologram", None, Needs::Unknown),
        ],
        ..Seen::default()
    }
}

#[test]
fn each_item_of_a_whole_response_is_told() {
    let body = format!(
        r#"{{"id":"resp_1","object":"response","status":"incomplete","incomplete_details":{{"reason":"max_output_tokens"}},"model":"gpt-5","error":null,"output":{OUTPUT},
        "usage":{{"input_tokens":9,"input_tokens_details":{{"cached_tokens":5}},"output_tokens":4}},"tool_usage":{{"image_gen":{{"input_tokens":10,"output_tokens":20}}}}}}"#
    );
    let usage = Usage { aside_input_tokens: 10, aside_output_tokens: 20, ..usage(9, 4) };
    let expected =
        Seen { model: Some("gpt-5".into()), usage, stop_reason: Some("max_output_tokens".into()), ..of_output() };
    responses(Framing::Json, &body, &expected);
    assert_eq!((usage.input_total(), usage.output_total()), (Some(19), Some(24)));
}

#[test]
fn each_item_of_a_stream_is_told_once() {
    let items: Vec<serde_json::Value> = serde_json::from_str(OUTPUT).unwrap();
    let mut events = vec![
        r#"{"type":"response.created","response":{"id":"resp_1","status":"in_progress","model":"gpt-5","output":[],"usage":null,"error":null}}"#.to_owned(),
    ];
    for (index, item) in items.iter().enumerate() {
        for kind in ["added", "done"] {
            events.push(format!(r#"{{"type":"response.output_item.{kind}","output_index":{index},"item":{item}}}"#));
        }
        events.push(r#"{"type":"response.function_call_arguments.delta","delta":"x"}"#.to_owned());
    }
    let output = serde_json::Value::from(items);
    events.push(format!(
        r#"{{"type":"response.completed","response":{{"id":"resp_1","status":"completed","model":"gpt-5-x","output":{output},"usage":{{"input_tokens":9,"output_tokens":4}}}}}}"#
    ));
    let expected = Seen {
        model: Some("gpt-5-x".into()),
        usage: usage(9, 4),
        stop_reason: Some("completed".into()),
        ..of_output()
    };
    responses(Framing::Sse, &sse(&events.iter().map(String::as_str).collect::<Vec<_>>()), &expected);
}

#[test]
fn the_last_word_on_tokens_counts() {
    let event = |usage: &str| format!(r#"{{"type":"response.in_progress","response":{{"usage":{usage}}}}}"#);
    let events = [
        event(r#"{"input_tokens":1,"output_tokens":1}"#),
        event(r#"{"input_tokens":2,"output_tokens":3}"#),
        event("null"),
    ];
    let expected = Seen { usage: usage(2, 3), ..Seen::default() };
    responses(Framing::Sse, &sse(&events.iter().map(String::as_str).collect::<Vec<_>>()), &expected);
    let counted = Seen { usage: Usage { input_tokens: Some(7), ..Usage::default() }, ..Seen::default() };
    responses(Framing::Json, r#"{"object":"response.input_tokens","input_tokens":7}"#, &counted);
}

#[test]
fn events_of_what_a_provider_does_count_without_their_item() {
    for (kind, needs) in [
        ("mcp_call.in_progress", Needs::Connector(None)),
        ("mcp_call_arguments.delta", Needs::Connector(None)),
        ("mcp_list_tools.completed", Needs::Connector(None)),
        ("web_search_call.searching", Needs::Tool(&["web_search", "web_search_preview"])),
        ("file_search_call.searching", Needs::Tool(&["file_search"])),
        ("code_interpreter_call.interpreting", Needs::Tool(&["code_interpreter"])),
        ("code_interpreter_call_code.delta", Needs::Tool(&["code_interpreter"])),
        ("image_generation_call.partial_image", Needs::Tool(&["image_generation"])),
        ("shell_call_output_content.delta", Needs::Tool(&["shell"])),
        ("teleport_call.in_progress", Needs::Unknown),
    ] {
        let stem = kind.split('.').next().unwrap();
        let event = format!(r#"{{"type":"response.{kind}","item_id":"x"}}"#);
        let expected = Seen { provider_activity: vec![activity(stem, None, needs)], ..Seen::default() };
        responses(Framing::Sse, &sse(&[&event, &event]), &expected);
    }
    for kind in [
        "response.function_call_arguments.done",
        "response.custom_tool_call_input.done",
        "response.shell_call_command.delta",
        "response.content_part.added",
        "response.audio.transcript.delta",
        "response.glow.delta",
        "codex.rate_limits",
        "keepalive",
    ] {
        responses(Framing::Sse, &sse(&[&format!(r#"{{"type":"{kind}"}}"#)]), &Seen::default());
    }
}
