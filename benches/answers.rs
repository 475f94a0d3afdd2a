//! What goes over answers on their way to the client, each against the plainest pass over the same bytes.
//!
//! `cargo bench -p ensage-benches --bench answers`; a word after `--` picks the rows that contain it.
#![forbid(unsafe_code)]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stdout, reason = "a benchmark that cannot run stops")]

use std::fmt::Write;
use std::hint::black_box;

use ensage_benches::{Outcome, compare};
use ensage_mcp::Revision;
use ensage_mcp::filter::{Ask, Item, ResponseFilter};
use ensage_mcp::llm::{Dialect, Framing, Observer};
use ensage_mcp::mcp::{BodyReader, Head};
use serde::de::IgnoredAny;

/// What is timed, against what, and how.
type Row = (&'static str, &'static str, fn() -> Outcome);

fn main() {
    let wanted = std::env::args().skip(1).find(|word| !word.starts_with("--")).unwrap_or_default();
    println!("| piece | yardstick | yardstick ns | piece ns | ratio |\n|---|---|---|---|---|");
    let rows: [Row; 7] = [
        ("sse: events and usage, pieces of text", "memchr of newlines", observe_text),
        ("sse: events and usage, long pieces", "memchr of newlines", observe_long),
        ("filter: tools/list, 1,000 tools, half hidden", "serde_json, Value", list_half),
        ("filter: tools/list, 1,000 tools, half hidden (2)", "serde_json, IgnoredAny", list_half_ignored),
        ("filter: tools/list, 1,000 tools, all shown", "serde_json, IgnoredAny", list_all),
        ("filter: tools/list, 1,000 tools, all digested", "serde_json, Value", list_pinned),
        ("filter: tools/list, 1,000 tools in one event", "serde_json, IgnoredAny", list_event),
    ];
    for (piece, yardstick, run) in rows.into_iter().filter(|(piece, ..)| piece.contains(&wanted)) {
        let o = run();
        println!("| {piece} | {yardstick} | {:.0} | {:.0} | {:.2} |", o.yardstick_ns, o.piece_ns, o.ratio);
    }
}

/// An answer of Anthropic Messages, streamed in so many pieces of text.
fn text_stream(pieces: usize, text: &str) -> Vec<u8> {
    let mut out = String::from(
        "event: message_start\ndata: {\"type\":\"message_start\",\"message\":{\"id\":\"msg_01\",\"type\":\"message\",\"role\":\"assistant\",\"model\":\"claude-opus-4-5\",\"content\":[],\"stop_reason\":null,\"usage\":{\"input_tokens\":2095,\"cache_read_input_tokens\":12000,\"output_tokens\":3}}}\n\nevent: content_block_start\ndata: {\"type\":\"content_block_start\",\"index\":0,\"content_block\":{\"type\":\"text\",\"text\":\"\"}}\n\n",
    );
    for _ in 0..pieces {
        let _ = write!(
            out,
            "event: content_block_delta\ndata: {{\"type\":\"content_block_delta\",\"index\":0,\"delta\":{{\"type\":\"text_delta\",\"text\":\"{text}\"}}}}\n\n"
        );
    }
    out.push_str("event: content_block_stop\ndata: {\"type\":\"content_block_stop\",\"index\":0}\n\nevent: message_delta\ndata: {\"type\":\"message_delta\",\"delta\":{\"stop_reason\":\"end_turn\",\"stop_sequence\":null},\"usage\":{\"output_tokens\":510}}\n\nevent: message_stop\ndata: {\"type\":\"message_stop\"}\n\n");
    out.into_bytes()
}

fn observe(bytes: &[u8], output: u64) -> Outcome {
    compare(
        || {
            let newlines = memchr::memchr_iter(b'\n', black_box(bytes));
            black_box(newlines.fold(0_usize, |sum, at| sum.wrapping_add(at)));
        },
        || {
            let mut observer = Observer::new(Dialect::Messages, Framing::Sse);
            for chunk in black_box(bytes).chunks(16 << 10) {
                observer.feed(chunk);
            }
            assert_eq!(observer.finish().usage.output_tokens, Some(output));
        },
    )
}

fn observe_text() -> Outcome {
    observe(&text_stream(500, " the quick brown fox"), 510)
}

fn observe_long() -> Outcome {
    observe(&text_stream(500, &" the quick brown fox".repeat(50)), 510)
}

/// Tools as real servers describe them.
fn list() -> Vec<u8> {
    let mut out = String::from("{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":{\"tools\":[");
    for at in 0..1000 {
        let comma = if at > 0 { "," } else { "" };
        let hidden = if at % 2 == 0 { "get" } else { "rm" };
        let _ = write!(
            out,
            "{comma}{{\"name\":\"{hidden}_file_{at}\",\"description\":\"Get the contents of a file or directory from a repository.\\nReturns the \\\"raw\\\" text, or a list of entries — one for each file — when the path names a directory.\",\"inputSchema\":{{\"type\":\"object\",\"properties\":{{\"owner\":{{\"type\":\"string\",\"description\":\"Repository owner (username or organization)\"}},\"repo\":{{\"type\":\"string\",\"description\":\"Repository name\"}},\"path\":{{\"type\":\"string\",\"description\":\"Path to file/directory (directories must end with a slash '/')\",\"default\":\"/\"}},\"perPage\":{{\"type\":\"number\",\"minimum\":1,\"maximum\":100}}}},\"required\":[\"owner\",\"repo\"],\"additionalProperties\":false}},\"annotations\":{{\"title\":\"Get file {at}\",\"readOnlyHint\":true}}}}"
        );
    }
    out.push_str("]}}");
    out.into_bytes()
}

fn ask() -> Ask {
    let mut reader = BodyReader::new(1 << 10);
    let _ = reader.feed(br#"{"jsonrpc":"2.0","id":1,"method":"tools/list"}"#);
    let head = Head { negotiated: Some(Revision::V2025_11_25), ..Head::default() };
    Ask::from(&reader.finish(&head).expect("a message"))
}

fn filtered<F: FnMut(&Item<'_>) -> bool>(mut filter: ResponseFilter<F>, bytes: &[u8], kept: usize) {
    let mut out = Vec::new();
    for chunk in bytes.chunks(16 << 10) {
        filter.feed(chunk, &mut out).unwrap();
    }
    assert_eq!(filter.finish(&mut out).unwrap().kept, kept);
    black_box(out);
}

fn value(bytes: &[u8]) {
    black_box(serde_json::from_slice::<serde_json::Value>(black_box(bytes)).unwrap());
}

fn ignored(bytes: &[u8]) {
    black_box(serde_json::from_slice::<IgnoredAny>(black_box(bytes)).unwrap());
}

fn half(item: &Item<'_>) -> bool {
    item.name.starts_with("get")
}

fn list_half() -> Outcome {
    let (bytes, ask) = (list(), ask());
    compare(|| value(&bytes), || filtered(ResponseFilter::json(ask.clone(), half, 4 << 20), black_box(&bytes), 500))
}

fn list_half_ignored() -> Outcome {
    let (bytes, ask) = (list(), ask());
    compare(|| ignored(&bytes), || filtered(ResponseFilter::json(ask.clone(), half, 4 << 20), black_box(&bytes), 500))
}

fn list_all() -> Outcome {
    let (bytes, ask) = (list(), ask());
    let all = |_: &Item<'_>| true;
    compare(|| ignored(&bytes), || filtered(ResponseFilter::json(ask.clone(), all, 4 << 20), black_box(&bytes), 1000))
}

fn list_pinned() -> Outcome {
    let (bytes, ask) = (list(), ask());
    let pinned = |item: &Item<'_>| item.sha256() != [0; 32];
    compare(|| value(&bytes), || filtered(ResponseFilter::json(ask.clone(), pinned, 4 << 20), black_box(&bytes), 1000))
}

fn list_event() -> Outcome {
    let (bytes, ask) = (list(), ask());
    let event = [b"event: message\ndata: ", &bytes[..], b"\n\n"].concat();
    compare(|| ignored(&bytes), || filtered(ResponseFilter::sse(ask.clone(), half, 4 << 20), black_box(&event), 500))
}
