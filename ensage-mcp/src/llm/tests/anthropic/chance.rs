//! Any bytes in any chunks.

use proptest::collection::vec;
use proptest::prelude::*;

use super::saying;
use crate::llm::{Dialect, Framing, LlmError, Observer, Request, RequestReader};

const BODIES: [&[u8]; 4] = [
    include_bytes!("../../testdata/anthropic-python-2.12.0-all.json"),
    include_bytes!("../../testdata/claude-code-2.1.330-mcp.json"),
    include_bytes!("../../testdata/claude-code-2.1.330-read.json"),
    include_bytes!("../../testdata/claude-code-2.1.330-websearch.json"),
];

const STREAM: &[u8] = include_bytes!("../../testdata/anthropic-python-2.12.0-tool.sse");

fn cut(mut bytes: &[u8], sizes: &[usize], mut each: impl FnMut(&[u8])) {
    for &size in sizes {
        let (chunk, rest) = bytes.split_at(size.min(bytes.len()));
        each(chunk);
        bytes = rest;
    }
    each(bytes);
}

fn read(body: &[u8], sizes: &[usize], limit: u64) -> Result<Request, LlmError> {
    let mut reader = RequestReader::new(Dialect::Messages, limit);
    cut(body, sizes, |chunk| {
        let _ = reader.feed(chunk);
    });
    reader.finish()
}

/// A recorded body with some bytes changed.
fn damaged() -> impl Strategy<Value = Vec<u8>> {
    let change =
        (any::<prop::sample::Index>(), prop_oneof![any::<u8>(), prop::sample::select(b"{}[]\",:0n\\".to_vec())]);
    (prop::sample::select(BODIES.to_vec()), vec(change, 0..4)).prop_map(|(body, changes)| {
        let mut body = body.to_vec();
        for (at, byte) in changes {
            let at = at.index(body.len());
            body[at] = byte;
        }
        body
    })
}

/// JSON of the shapes that are looked at.
fn shaped() -> impl Strategy<Value = serde_json::Value> {
    let word = prop::sample::select(vec![
        "type",
        "text",
        "content",
        "source",
        "url",
        "image",
        "tool_result",
        "tool",
        "tool_addition",
        "tool_definition",
        "definition",
        "name",
        "model",
        "web_search_20250305",
        "custom",
        "file",
        "file_id",
        "base64",
        "document",
        "server_tool_use",
        "id",
        "mcp_toolset",
        "mcp_server_name",
        "tool_use_id",
        "x",
    ]);
    let leaf = prop_oneof![
        Just(serde_json::Value::Null),
        any::<bool>().prop_map(serde_json::Value::from),
        word.clone().prop_map(serde_json::Value::from),
    ];
    leaf.prop_recursive(6, 48, 6, move |inner| {
        prop_oneof![
            vec(inner.clone(), 0..4).prop_map(serde_json::Value::from),
            prop::collection::btree_map(word.clone().prop_map(str::to_owned), inner, 0..6)
                .prop_map(|members| members.into_iter().collect::<serde_json::Map<_, _>>().into()),
        ]
    })
}

proptest! {
    #[test]
    fn a_request_reads_the_same_in_any_chunks(body in damaged(), sizes in vec(0_usize..2000, 0..9)) {
        prop_assert_eq!(read(&body, &sizes, 1 << 20), read(&body, &[], 1 << 20));
    }

    #[test]
    fn a_limit_is_kept_in_any_chunks(body in damaged(), sizes in vec(0_usize..2000, 0..9), limit in 0_u64..8000) {
        let over = body.len() as u64 > limit;
        prop_assert_eq!(read(&body, &sizes, limit) == Err(LlmError::TooLong { limit }), over);
    }

    #[test]
    fn any_bytes_are_read_without_a_panic(body in vec(any::<u8>(), 0..200)) {
        prop_assert!(read(&body, &[], 1 << 20).is_err());
    }

    #[test]
    fn any_block_is_read_without_a_panic_and_what_is_read_is_json(block in shaped()) {
        let body = saying(&block.to_string());
        let _ = read(body.as_bytes(), &[], 1 << 20);
        let body = body.replace("\"messages\":", "\"messages\":[],\"tools\":[{\"name\":\"t\"}],\"x\":");
        if read(body.as_bytes(), &[], 1 << 20).is_ok() {
            prop_assert!(serde_json::from_str::<serde_json::Value>(&body).is_ok());
        }
    }

    /// The oracle: a URL source that serde_json's tree holds in the content is never missed.
    #[test]
    fn e4_no_url_source_is_missed(block in shaped()) {
        let body = saying(&block.to_string());
        if let Ok(request) = read(body.as_bytes(), &[], 1 << 20) {
            let found = request.url_sources.len() + request.unknown.len();
            prop_assert!(found > 0 || !holds_url_image(&block), "{}", block);
        }
    }

    #[test]
    fn an_answer_is_observed_the_same_in_any_chunks(
        noise in vec(any::<u8>(), 0..40),
        at in any::<prop::sample::Index>(),
        sizes in vec(0_usize..400, 0..9),
        framing in prop::sample::select(vec![Framing::Json, Framing::Sse]),
    ) {
        let mut stream = STREAM.to_vec();
        let at = at.index(stream.len());
        stream.splice(at..at, noise);
        let observe = |sizes: &[usize]| {
            let mut observer = Observer::new(Dialect::Messages, framing);
            cut(&stream, sizes, |chunk| observer.feed(chunk));
            observer.finish()
        };
        prop_assert_eq!(observe(&sizes), observe(&[]));
    }
}

/// An image whose source is a URL, as a block of the message or in a tool result's content.
fn holds_url_image(block: &serde_json::Value) -> bool {
    let direct = block["type"] == "image" && block["source"]["type"] == "url" && block["source"]["url"].is_string();
    let inside = block["type"] == "tool_result"
        && block["content"].as_array().is_some_and(|content| content.iter().any(holds_url_image));
    direct || inside
}
