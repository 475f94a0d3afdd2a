//! MCP messages: no panic, the same result in any chunks, and what serde_json reads of a message that is accepted.
#![no_main]

use ensage_mcp::Revision;
use ensage_mcp::mcp::{BodyReader, Field, Head, Kind, Message, ReadError};
use libfuzzer_sys::fuzz_target;

// The first byte says how long the chunks are, the second which head the body comes with.
fuzz_target!(|data: &[u8]| {
    let Some((&[size, head], body)) = data.split_first_chunk() else { return };
    let head = match head % 4 {
        0 => Head::default(),
        1 => Head { negotiated: Some(Revision::V2025_11_25), ..Head::default() },
        2 => modern("tools/call", Field::One("echo")),
        _ => modern("tools/list", Field::Absent),
    };
    let whole = read(body, body.len().max(1), &head);
    assert_eq!(whole, read(body, usize::from(size).max(1), &head));
    // What is no JSON to one reader is none to the other; and no message has a member twice.
    if let Err(ReadError::Malformed { .. } | ReadError::HeaderMismatch { .. } | ReadError::Revision { .. }) = whole {
        serde_json::from_slice::<serde_json::Value>(body).expect("what is read here is read there");
    }
    let Ok(message) = whole else { return };

    let second: serde_json::Value = serde_json::from_slice(body).expect("what is read here is read there");
    let method = second["method"].as_str().unwrap_or_default();
    assert_eq!(message.method.name(), method);
    assert_eq!(message.kind == Kind::Response, second.get("method").is_none());
    assert_eq!(message.id.is_some(), second.get("id").is_some());
    if method == "tools/call" {
        assert_eq!(message.tool.as_deref(), second["params"]["name"].as_str());
    }
    if let Some(arguments) = message.arguments {
        let range = arguments.range.start as usize..arguments.range.end as usize;
        assert_eq!(body[range.start], b'{');
        assert_eq!(arguments.sha256.len(), 64);
        let alone: serde_json::Value = serde_json::from_slice(&body[range]).expect("a value by itself is one too");
        assert_eq!(alone, second["params"]["arguments"]);
    }
});

fn modern<'a>(method: &'a str, name: Field<'a>) -> Head<'a> {
    Head { protocol_version: Field::One("2026-07-28"), method: Field::One(method), name, ..Head::default() }
}

fn read(body: &[u8], size: usize, head: &Head<'_>) -> Result<Message, ReadError> {
    let mut reader = BodyReader::new(1 << 20);
    for chunk in body.chunks(size) {
        let _ = reader.feed(chunk);
    }
    reader.finish(head)
}
