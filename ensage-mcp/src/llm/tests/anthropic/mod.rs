//! Anthropic Messages.

mod answers;
mod chance;
mod recorded;
mod requests;

use crate::llm::{Dialect, LlmError, Request};

fn read(body: &[u8]) -> Result<Request, LlmError> {
    super::read(Dialect::Messages, body)
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
