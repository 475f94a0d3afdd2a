//! Messages requests and answers: no panic, the same result in any chunks, never more than serde_json accepts.
#![no_main]

use ensage_mcp::llm::anthropic::{Framing, Observer, RequestReader, Seen};
use ensage_mcp::llm::{LlmError, Request};
use libfuzzer_sys::fuzz_target;

// The first byte says how long the chunks are.
fuzz_target!(|data: &[u8]| {
    let Some((&size, body)) = data.split_first() else { return };
    let size = usize::from(size).max(1);

    let whole = read(body, body.len().max(1));
    assert_eq!(whole, read(body, size));
    if whole.is_ok() {
        assert!(serde_json::from_slice::<serde_json::Value>(body).is_ok());
    }
    for framing in [Framing::Json, Framing::Sse] {
        assert_eq!(observe(framing, body, body.len().max(1)), observe(framing, body, size));
    }
});

fn read(body: &[u8], size: usize) -> Result<Request, LlmError> {
    let mut reader = RequestReader::new(1 << 20);
    for chunk in body.chunks(size) {
        let _ = reader.feed(chunk);
    }
    reader.finish()
}

fn observe(framing: Framing, body: &[u8], size: usize) -> Seen {
    let mut observer = Observer::new(framing);
    body.chunks(size).for_each(|chunk| observer.feed(chunk));
    observer.finish()
}
