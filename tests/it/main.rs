//! End to end: the real binary between real clients and servers, on loopback.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test that meets the unexpected must fail"
)]

mod cli;
mod clients;
mod rows;
