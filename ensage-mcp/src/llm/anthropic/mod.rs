//! The Messages API of Anthropic.
//!
//! Members and types are those of the vendor's SDK, anthropic 2.12.0 (`types/beta`), and of what Claude Code
//! 2.1 sends. What is not among them is told in [`Request::unknown`](super::Request::unknown).

mod answer;
mod blocks;
mod request;
mod tools;

pub(super) use answer::{is_piece, watch};
pub(super) use request::read;
pub(super) use tools::is_provider_side;

/// Members that any typed object of this API may have.
const COMMON: &[&str] = &["type", "cache_control"];
