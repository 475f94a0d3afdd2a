//! Bodies that real peers sent to the scripted provider: Claude Code 2.1.330 (long texts, schemas and ids cut)
//! and the Python SDK anthropic 2.12.0.

use super::super::strings;
use super::read;
use crate::llm::{Connector, Dialect, Framing, Observer, Place, Request, Seen, StoredId, StoredKind, Usage};

const CLAUDE_TOOLS: [&str; 13] = [
    "Agent",
    "Bash",
    "Edit",
    "ListAgents",
    "Read",
    "ReportFindings",
    "ScheduleWakeup",
    "Skill",
    "ToolSearch",
    "Workflow",
    "Write",
    "DeferredToolPlaceholder",
    "mcp__lab__echo",
];

#[test]
fn claude_code_with_an_mcp_tool_is_read_without_any_unknown() {
    let body = include_bytes!("../../testdata/claude-code-2.1.330-mcp.json");
    let expected = Request {
        models: strings(&["claude-opus-5-5"]),
        stream: true,
        client_tools: strings(&CLAUDE_TOOLS),
        ..Request::default()
    };
    assert_eq!(read(body), Ok(expected));
}

#[test]
fn claude_code_reading_files_is_read_without_any_unknown() {
    let body = include_bytes!("../../testdata/claude-code-2.1.330-read.json");
    let request = read(body).unwrap();
    assert_eq!(request.client_tools.len(), 12);
    assert_eq!(
        Request { client_tools: Vec::new(), ..request },
        Request { models: strings(&["claude-opus-5-5"]), stream: true, ..Request::default() }
    );
}

#[test]
fn claude_code_searching_the_web_asks_the_provider() {
    let body = include_bytes!("../../testdata/claude-code-2.1.330-websearch.json");
    let expected = Request {
        models: strings(&["claude-opus-5-5"]),
        stream: true,
        provider_tools: strings(&["web_search"]),
        ..Request::default()
    };
    assert_eq!(read(body), Ok(expected));
}

#[test]
fn the_sdk_asking_for_all_it_can_hides_nothing() {
    let body = include_bytes!("../../testdata/anthropic-python-2.12.0-all.json");
    let stored = |kind, id: &str| StoredId { kind, id: id.into() };
    let expected = Request {
        models: strings(&["claude-sonnet-5", "claude-haiku-5", "claude-opus-5-5"]),
        stream: false,
        client_tools: strings(&["memory"]),
        provider_tools: strings(&["web_search", "code_execution", "advisor", "tool_search_tool_bm25", "web_fetch"]),
        connectors: vec![Connector {
            name: "evil".into(),
            place: Place::Url("https://evil.example/mcp".into()),
            authorized: true,
        }],
        url_sources: strings(&["https://img.example/a.png", "https://img.example/b.png"]),
        stored_ids: vec![
            stored(StoredKind::File, "file_1"),
            stored(StoredKind::File, "file_2"),
            stored(StoredKind::Container, "container_1"),
            stored(StoredKind::Skill, "pdf"),
            stored(StoredKind::Thread, "msg_1"),
            stored(StoredKind::FallbackCredit, "fct_1"),
        ],
        ..Request::default()
    };
    assert_eq!(read(body), Ok(expected));
}

#[test]
fn recorded_streams_are_observed() {
    let usage = Usage {
        input_tokens: Some(10),
        cache_read_input_tokens: Some(0),
        cache_creation_input_tokens: Some(0),
        output_tokens: Some(7),
        ..Usage::default()
    };
    let tool: &[u8] = include_bytes!("../../testdata/anthropic-python-2.12.0-tool.sse");
    let text: &[u8] = include_bytes!("../../testdata/claude-code-2.1.330-text.sse");
    let called = Seen {
        model: Some("claude-sonnet-5".into()),
        tools_requested: strings(&["get_weather"]),
        stop_reason: Some("tool_use".into()),
        usage,
        ..Seen::default()
    };
    let said =
        Seen { model: Some("claude-opus-5-5".into()), stop_reason: Some("end_turn".into()), usage, ..Seen::default() };
    for (stream, expected) in [(tool, called), (text, said)] {
        for size in [1, 2, 3, 7, 64, stream.len()] {
            let mut observer = Observer::new(Dialect::Messages, Framing::Sse);
            stream.chunks(size).for_each(|chunk| observer.feed(chunk));
            assert_eq!(observer.finish(), expected, "chunks of {size}");
        }
    }
}
