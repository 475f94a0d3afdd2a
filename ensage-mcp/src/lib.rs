//! Bytes to calls: what an agent asks of an MCP server or an LLM, read strictly and without any I/O.
#![forbid(unsafe_code)]
#![cfg_attr(
    test,
    allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic, clippy::print_stderr)
)]

pub mod filter;
pub mod json;
pub mod llm;
pub mod mcp;
pub mod sse;

mod revision;

pub use revision::Revision;
