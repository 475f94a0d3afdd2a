//! Real clients through the real binary: what they see, what arrives upstream, and what is recorded.
//!
//! They are installed by `tests/clients/install`. Without them a test says so and passes, but not in CI.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic, clippy::print_stderr)]

mod agents;
mod claude;
mod embed;
mod fetch;
mod git;
mod http;
mod mcp;
mod openai;
mod packages;
mod python;
mod registry;
mod servers;
mod shell;
mod trust;
mod websocket;
