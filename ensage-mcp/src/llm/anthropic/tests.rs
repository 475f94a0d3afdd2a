//! Requests and answers of the Messages API, by table, by what real peers sent, and by chance.

mod answers;
mod chance;
mod recorded;
mod requests;

use super::RequestReader;
use crate::llm::{LlmError, Request, Step};

fn read(body: &[u8]) -> Result<Request, LlmError> {
    let mut reader = RequestReader::new(1 << 20);
    assert_eq!(reader.feed(body), Step::More);
    reader.finish()
}

/// A small valid request with `members` besides the two that every one has.
fn with(members: &str) -> String {
    let comma = if members.is_empty() { "" } else { "," };
    format!(r#"{{"model":"claude-sonnet-5","messages":[]{comma}{members}}}"#)
}

/// A request with one message that consists of `blocks`.
fn saying(blocks: &str) -> String {
    format!(r#"{{"model":"claude-sonnet-5","messages":[{{"role":"user","content":[{blocks}]}}]}}"#)
}
