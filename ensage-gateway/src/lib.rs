//! The ensage gateway: the data path, the daemon and the command line, wired together; the facade for embedders.
//!
//! [`gateway::Gateway`] runs in any process; `flow` is the way of one exchange, read top to bottom; [`cli`] is the
//! binary.
#![forbid(unsafe_code)]
#![cfg_attr(
    test,
    allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic, clippy::print_stderr)
)]

pub mod admin;
mod ahead;
mod bell;
mod bundle;
pub mod ca;
pub mod cli;
mod flow;
pub mod gate;
pub mod gateway;
mod h1;
mod h2;
mod metrics;
mod refusals;
pub mod session;
mod socket;
pub mod state;
mod telemetry;
mod timer;
mod upstream;
mod worker;
pub mod ws;

pub use gateway::{Gateway, Options, Session, SessionSpec};
pub use upstream::{CrlError, SetupError};
