//! The rig of the end-to-end tests: origins that record what they get, a resolver that logs, raw clients.
//!
//! ```text
//! Raw ──► Gateway (the real binary) ──► Origin, Sink
//!              │└──► Dns
//!              └───► state folder ──► Rig::records
//! ```
//!
//! Everything is on loopback, on ports that the kernel picks, and waits for conditions with a deadline.
#![forbid(unsafe_code)]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a rig that fails must fail its test, there and then"
)]

mod answer;
mod config;
mod dns;
pub mod frames;
mod gateway;
pub mod h2;
mod hello;
mod metrics;
mod origin;
mod pki;
mod raw;
mod rig;
mod spawn;
mod wait;
pub mod wire;

pub use answer::{Answer, sum};
pub use config::Config;
pub use dns::Dns;
pub use gateway::Gateway;
pub use hello::client_hello;
pub use metrics::Metrics;
pub use origin::{Link, Origin, Received, ok};
pub use pki::{Ca, Fault, Leaf};
pub use raw::{Raw, TlsError, client, roots_of};
pub use rig::{Rig, canary};
pub use spawn::{Quiet, output, spawn};
pub use wait::{DEADLINE, until};
