//! Requests and answers of every dialect: no panic, the same result in any chunks, never more than serde_json accepts,
//! and what may pass of an answer holds nothing that was not asked for.
#![no_main]

use ensage_mcp::llm::{Against, Asked, Dialect, Framing, LlmError, Observer, Request, RequestReader, Seen};
use libfuzzer_sys::fuzz_target;

const DIALECTS: [Dialect; 3] = [Dialect::Messages, Dialect::Chat, Dialect::Responses];
const LIMIT: usize = 1 << 20;

// The first byte says how long the chunks are, the second which dialect it is.
fuzz_target!(|data: &[u8]| {
    let [size, which, body @ ..] = data else { return };
    let size = usize::from(*size).max(1);
    let dialect = DIALECTS[usize::from(*which) % DIALECTS.len()];

    let whole = read(dialect, body, body.len().max(1));
    assert_eq!(whole, read(dialect, body, size));
    let asked = match &whole {
        Ok(request) => {
            assert!(serde_json::from_slice::<serde_json::Value>(body).is_ok());
            request.asked()
        }
        Err(_) => Asked::default(),
    };
    for framing in [Framing::Json, Framing::Sse] {
        let (seen, passed, against) = observe(dialect, framing, &asked, body, body.len().max(1));
        assert_eq!((seen.clone(), passed, against.clone()), observe(dialect, framing, &asked, body, size));
        // What passed of a stream would pass again, all of it.
        let passed = usize::try_from(passed).unwrap_or(usize::MAX).min(body.len());
        if framing == Framing::Sse {
            let again = observe(dialect, framing, &asked, &body[..passed], size);
            assert_eq!((again.1, again.2), (passed as u64, None));
        }
        // Who watches alone sees the same up to there, and is never stopped.
        let mut free = Observer::with_limit(dialect, framing, LIMIT);
        body.chunks(size).for_each(|chunk| free.feed(chunk));
        assert_eq!(free.against(), None);
        if against.is_none() {
            assert_eq!(free.finish(), seen);
        }
    }
});

fn read(dialect: Dialect, body: &[u8], size: usize) -> Result<Request, LlmError> {
    let mut reader = RequestReader::new(dialect, LIMIT as u64);
    for chunk in body.chunks(size) {
        let _ = reader.feed(chunk);
    }
    reader.finish()
}

fn observe(
    dialect: Dialect,
    framing: Framing,
    asked: &Asked,
    body: &[u8],
    size: usize,
) -> (Seen, u64, Option<Against>) {
    let mut observer = Observer::with_limit(dialect, framing, LIMIT).holding_to(asked.clone());
    body.chunks(size).for_each(|chunk| observer.feed(chunk));
    let passed = observer.passed();
    observer.end();
    let against = observer.against().cloned();
    (observer.finish(), passed, against)
}
