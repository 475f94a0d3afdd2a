//! Answers of MCP servers: no panic, the same result in any chunks, no hidden tool in what a lax reader finds.
#![no_main]

use ensage_mcp::Revision;
use ensage_mcp::filter::{Ask, FilterError, Item, ResponseFilter, Summary};
use ensage_mcp::mcp::{BodyReader, Head};
use ensage_mcp::sse::{Decoder, Limits};
use libfuzzer_sys::fuzz_target;

// The first byte says how long the chunks are, the second in which form the answer comes.
fuzz_target!(|data: &[u8]| {
    let Some((&[size, form], answer)) = data.split_first_chunk() else { return };
    let whole = run(answer, answer.len().max(1), form);
    assert_eq!(whole, run(answer, usize::from(size).max(1), form));
    let out = whole.0;
    if form % 2 == 0 {
        check(&out);
    } else {
        let mut decoder = Decoder::new(Limits::new(4 << 20));
        decoder.feed(&out, |event| event.data.into_iter().for_each(check)).expect("shorter than the limit");
    }
});

fn run(answer: &[u8], size: usize, form: u8) -> (Vec<u8>, Result<Summary, FilterError>) {
    let hidden = |item: &Item<'_>| item.name != "cron";
    let mut filter = if form % 2 == 0 {
        ResponseFilter::json(ask(), hidden, 1 << 20)
    } else {
        ResponseFilter::sse(ask(), hidden, 1 << 20)
    };
    let mut out = Vec::new();
    for chunk in answer.chunks(size) {
        if let Err(error) = filter.feed(chunk, &mut out) {
            return (out, Err(error));
        }
    }
    let summary = filter.finish(&mut out);
    (out, summary)
}

fn ask() -> Ask {
    let mut reader = BodyReader::new(1 << 10);
    let _ = reader.feed(br#"{"jsonrpc":"2.0","id":1,"method":"tools/list"}"#);
    let head = Head { negotiated: Some(Revision::V2025_11_25), ..Head::default() };
    Ask::from(&reader.finish(&head).expect("a message"))
}

fn check(message: &[u8]) {
    let Ok(message) = serde_json::from_slice::<serde_json::Value>(message) else { return };
    let tools = message.pointer("/result/tools").and_then(serde_json::Value::as_array);
    assert!(tools.into_iter().flatten().all(|tool| tool["name"] != "cron"));
}
