//! OpenAI Chat Completions and Responses.

mod answers;
mod chance;
mod chat;
mod recorded;
mod refused;
mod responses;

use crate::llm::{Dialect, Request};

fn check(dialect: Dialect, body: &str, change: impl FnOnce(&mut Request)) {
    let mut expected = Request { models: vec!["gpt-5".into()], ..Request::default() };
    change(&mut expected);
    assert_eq!(super::read(dialect, body.as_bytes()), Ok(expected), "{body}");
}

/// A small valid body of `dialect` with `members` besides the two that every one has.
fn with(dialect: Dialect, members: &str) -> String {
    let said = if dialect == Dialect::Chat { "messages" } else { "input" };
    let comma = if members.is_empty() { "" } else { "," };
    format!(r#"{{"model":"gpt-5","{said}":[]{comma}{members}}}"#)
}
