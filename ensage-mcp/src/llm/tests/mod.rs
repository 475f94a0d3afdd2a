//! Requests and answers: by table, by what real peers sent, and by chance.

mod anthropic;
mod openai;
mod passing;

use super::{Dialect, Framing, LlmError, Observer, Request, RequestReader, Seen, Step};

fn read(dialect: Dialect, body: &[u8]) -> Result<Request, LlmError> {
    let mut reader = RequestReader::new(dialect, 1 << 20);
    assert_eq!(reader.feed(body), Step::More);
    reader.finish()
}

fn observe(dialect: Dialect, framing: Framing, body: &[u8], chunk: usize) -> Seen {
    let mut observer = Observer::new(dialect, framing);
    body.chunks(chunk).for_each(|piece| observer.feed(piece));
    observer.finish()
}

/// A stream of these events.
fn sse(events: &[&str]) -> String {
    events.iter().map(|data| format!("event: x\ndata: {data}\n\n")).collect()
}

/// As a whole and byte by byte.
fn check_answer(dialect: Dialect, framing: Framing, body: &str, expected: &Seen) {
    for chunk in [1, body.len().max(1)] {
        assert_eq!(&observe(dialect, framing, body.as_bytes(), chunk), expected, "chunks of {chunk}: {body}");
    }
}

fn strings(texts: &[&str]) -> Vec<String> {
    texts.iter().map(|&text| text.to_owned()).collect()
}
