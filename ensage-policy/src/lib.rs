//! Who may reach what: the policy as values, and the decisions made by it. Pure but for loading files.
#![forbid(unsafe_code)]
#![cfg_attr(
    test,
    allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic, clippy::print_stderr)
)]

pub mod authority;
pub mod config;
pub mod glob;
pub mod judge;
pub mod model;
pub mod path;
pub mod reason;

pub use model::{Mode, Policy, Scheme, Tier};
pub use reason::{Class, Reason, Severity};
