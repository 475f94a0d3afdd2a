//! The audit log: typed records, a hash chain in append-only segments, signed heads, queries and verification.
//!
//! `dir` is the audit folder (`STATE/audit`) everywhere in this crate. Nothing here knows tokio: [`Log`] owns one
//! plain thread, and what blocks (a write, an fdatasync) says so.
//!
//! ```
//! use ensage_audit::{Call, Draft, End, Log, Options, Uuid};
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let folder = tempfile::tempdir()?;
//! # let dir = folder.path().join("audit");
//! let log = Log::open(&dir, Options::default(), &[7; 32])?;
//! let id = Uuid::now_v7();
//! let call = Call { kind: "http", decision: "allow", method: Some("GET"), ..Call::new(id, "info") };
//! log.append(&Draft::call(&call))?;
//! // ... the answer passes ...
//! let end = End { status: Some(200), bytes_up: 0, bytes_down: 5, outcome: "complete", ..End::default() };
//! let seq = log.append(&Draft::end(id, "info", &end))?;
//! log.written(seq)?; // only now may the last byte leave
//! # Ok(())
//! # }
//! ```
#![forbid(unsafe_code)]
#![cfg_attr(
    test,
    allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic, clippy::print_stderr)
)]

mod clock;
pub mod csv;
mod draft;
mod error;
mod event;
mod folder;
mod fragment;
mod frame;
mod head;
mod json;
mod log;
pub mod query;
pub mod read;
mod record;
mod shared;
pub mod verify;

pub use uuid::Uuid;

pub use crate::clock::{Stamp, TimeError, parse_duration, parse_since};
pub use crate::draft::Draft;
pub use crate::error::{AuditError, OtherVersion, ReadError};
pub use crate::event::{AdminEvent, AgentEvent, Alarm, GatewayEvent, GrantEvent, PinEvent, PolicyEvent, SessionEvent};
pub use crate::fragment::{Ancestor, Fragment, PolicyFacts, ProcessFacts, SessionFacts};
pub use crate::json::printable;
pub use crate::log::{Log, Options, Seq, Status};
pub use crate::record::{Call, End, GenAi, Mcp};
