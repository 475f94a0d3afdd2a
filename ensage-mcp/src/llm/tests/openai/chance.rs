//! Any bytes in any chunks.

use proptest::collection::vec;
use proptest::prelude::*;

use crate::llm::{Dialect, Framing, LlmError, Observer, Request, RequestReader, Seen};

const CHAT: &str = r#"{"model":"gpt-5","messages":[{"role":"user","content":[{"type":"image_url","image_url":{"url":"https://x"}}]}],"tools":[{"type":"function","function":{"name":"t"}}],"web_search_options":{}}"#;
const RESPONSES: &str = r#"{"model":"gpt-5","input":[{"type":"additional_tools","role":"developer","tools":[{"type":"namespace","name":"n","tools":[{"type":"mcp","server_label":"l","server_url":"https://x"}]}]},{"role":"user","content":[{"type":"input_file","file_url":"https://y"}]}],"previous_response_id":"resp_1"}"#;

fn cut(mut bytes: &[u8], sizes: &[usize], mut each: impl FnMut(&[u8])) {
    for &size in sizes {
        let (chunk, rest) = bytes.split_at(size.min(bytes.len()));
        each(chunk);
        bytes = rest;
    }
    each(bytes);
}

fn read(dialect: Dialect, body: &[u8], sizes: &[usize]) -> Result<Request, LlmError> {
    let mut reader = RequestReader::new(dialect, 1 << 20);
    cut(body, sizes, |chunk| {
        let _ = reader.feed(chunk);
    });
    reader.finish()
}

fn observe(dialect: Dialect, framing: Framing, body: &[u8], sizes: &[usize]) -> (Seen, u64, bool) {
    let mut observer = Observer::new(dialect, framing).holding_to(Request::default().asked());
    cut(body, sizes, |chunk| observer.feed(chunk));
    let (passed, against) = (observer.passed(), observer.against().is_some());
    (observer.finish(), passed, against)
}

/// A body with some bytes changed.
fn damaged(body: &'static str) -> impl Strategy<Value = Vec<u8>> {
    let change =
        (any::<prop::sample::Index>(), prop_oneof![any::<u8>(), prop::sample::select(b"{}[]\",:0n\\".to_vec())]);
    vec(change, 0..4).prop_map(move |changes| {
        let mut body = body.as_bytes().to_vec();
        for (at, byte) in changes {
            let at = at.index(body.len());
            body[at] = byte;
        }
        body
    })
}

/// Events of both APIs, good and bad.
fn stream() -> impl Strategy<Value = Vec<u8>> {
    let event = prop::sample::select(vec![
        "data: {\"type\":\"response.output_text.delta\",\"delta\":\"x\"}\n\n",
        "event: x\r\ndata: {\"type\":\"response.output_item.added\",\"output_index\":0,\"item\":{\"type\":\"function_call\",\"name\":\"f\"}}\r\n\r\n",
        "data: {\"type\":\"response.output_item.done\",\"output_index\":1,\"item\":{\"type\":\"mcp_call\",\"server_label\":\"s\"}}\n\n",
        "data: {\"choices\":[{\"delta\":{\"tool_calls\":[{\"index\":0,\"function\":{\"name\":\"a\"}}]}}]}\r\r",
        "data: {\"choices\":[{\"delta\":{\"annotations\":[{\"type\":\"url_citation\"}]}}]}\n\n",
        ": comment\n\n",
        "data: [DONE]\n\n",
        "data: {\n",
        "data: }\n\n",
    ]);
    vec(event, 0..8).prop_map(|events| events.concat().into_bytes())
}

proptest! {
    #[test]
    fn a_request_reads_the_same_in_any_chunks(
        chat in damaged(CHAT),
        responses in damaged(RESPONSES),
        sizes in vec(0_usize..90, 0..9),
    ) {
        for (dialect, body) in [(Dialect::Chat, chat), (Dialect::Responses, responses)] {
            let whole = read(dialect, &body, &[]);
            prop_assert_eq!(&read(dialect, &body, &sizes), &whole);
            if whole.is_ok() {
                prop_assert!(serde_json::from_slice::<serde_json::Value>(&body).is_ok());
            }
        }
    }

    #[test]
    fn an_answer_is_watched_the_same_in_any_chunks(
        stream in stream(),
        sizes in vec(0_usize..90, 0..9),
        dialect in prop::sample::select(vec![Dialect::Chat, Dialect::Responses, Dialect::Messages]),
        framing in prop::sample::select(vec![Framing::Json, Framing::Sse]),
    ) {
        let whole = observe(dialect, framing, &stream, &[]);
        prop_assert_eq!(&observe(dialect, framing, &stream, &sizes), &whole);
        prop_assert!(whole.1 <= stream.len() as u64);
    }
}
