//! Bodies that real clients sent to the scripted model, and its streams: `tests/clients/record_llm.py` records them.

use super::super::{observe, read, strings};
use crate::llm::{Connector, Dialect, Framing, Observer, Place, Request, Seen, StoredId, StoredKind, Usage};

fn stored(kind: StoredKind, id: &str) -> StoredId {
    StoredId { kind, id: id.into() }
}

#[test]
fn codex_is_read_without_any_unknown() {
    let tool: &[u8] = include_bytes!("../../testdata/codex-0.169.0-tool.json");
    let result: &[u8] = include_bytes!("../../testdata/codex-0.169.0-result.json");
    for body in [tool, result] {
        let request = read(Dialect::Responses, body).unwrap();
        // All of its tools are hidden in `additional_tools` and namespaces, and all of them are its own.
        assert!(request.client_tools.contains(&"exec".to_owned()) && request.client_tools.len() > 3, "{request:?}");
        let plain = Request { models: strings(&["gpt-6.1-sol"]), stream: true, ..Request::default() };
        assert_eq!(Request { client_tools: Vec::new(), ..request }, plain);
    }
}

#[test]
fn the_sdk_asking_for_all_it_can_hides_nothing() {
    let body = include_bytes!("../../testdata/openai-python-3.54.0-chat-all.json");
    let expected = Request {
        models: strings(&["gpt-5", "omni"]),
        client_tools: strings(&["look", "write", "old"]),
        provider_tools: strings(&["web_search"]),
        url_sources: strings(&["https://img.example/a.png"]),
        stored_ids: vec![stored(StoredKind::File, "file-1"), stored(StoredKind::Audio, "audio_1")],
        ..Request::default()
    };
    assert_eq!(read(Dialect::Chat, body), Ok(expected));

    let body = include_bytes!("../../testdata/openai-python-3.54.0-responses-all.json");
    let connector = |name: &str, place| Connector { name: name.into(), place, authorized: true };
    let expected = Request {
        models: strings(&["gpt-5", "omni", "gpt-image"]),
        client_tools: strings(&["look", "write", "local_shell", "apply_patch", "shell", "deep"]),
        provider_tools: strings(&[
            "web_search",
            "web_search_preview",
            "tool_search",
            "file_search",
            "code_interpreter",
            "image_generation",
            "programmatic_tool_calling",
        ]),
        connectors: vec![
            connector("mail", Place::Named("connector_gmail".into())),
            connector("evil", Place::Url("https://evil.example/mcp".into())),
        ],
        url_sources: strings(&["https://img.example/a.png", "https://img.example/b.pdf"]),
        stored_ids: vec![
            stored(StoredKind::VectorStore, "vs_1"),
            stored(StoredKind::File, "file-2"),
            stored(StoredKind::File, "file-1"),
            stored(StoredKind::Item, "msg_1"),
            stored(StoredKind::Item, "mcpr_1"),
            stored(StoredKind::Response, "resp_1"),
            stored(StoredKind::Conversation, "conv_1"),
            stored(StoredKind::Prompt, "pmpt_1"),
        ],
        secrets: vec!["network_policy.domain_secrets"],
        ..Request::default()
    };
    assert_eq!(read(Dialect::Responses, body), Ok(expected));
}

#[test]
fn recorded_streams_are_watched_and_pass() {
    let usage = Usage { input_tokens: Some(10), output_tokens: Some(7), ..Usage::default() };
    let seen = |stop: &str| Seen {
        model: Some("gpt-5".into()),
        tools_requested: strings(&["look"]),
        stop_reason: Some(stop.into()),
        usage,
        ..Seen::default()
    };
    let chat: &[u8] = include_bytes!("../../testdata/fake-llm-chat-tool.sse");
    let responses: &[u8] = include_bytes!("../../testdata/fake-llm-responses-tool.sse");
    for (dialect, stream, expected) in
        [(Dialect::Chat, chat, seen("tool_calls")), (Dialect::Responses, responses, seen("completed"))]
    {
        for size in [1, 2, 3, 7, 64, stream.len()] {
            assert_eq!(observe(dialect, Framing::Sse, stream, size), expected, "chunks of {size}");
        }
        let mut observer = Observer::new(dialect, Framing::Sse).holding_to(Request::default().asked());
        observer.feed(stream);
        assert_eq!((observer.passed(), observer.against()), (stream.len() as u64, None));
    }
}
