//! The head gate: every raw HTTP/1 head and chunk header is strict RFC 9112, or no reader ever sees its end.
//!
//! A reader that makes messages of bytes cleans them: CL+TE to TE alone, equal lengths to one, bare LF to CRLF, `/a#b`
//! to `/a`. What must be refused is gone by then. So a [`Gate`] lies between TLS and whoever reads HTTP, in both
//! directions: an [`Inspector`] reads along, and at the first byte that is not strict the stream ends for the reader.
//! The gate copies nothing and changes nothing.
//!
//! # Use
//!
//! ```no_run
//! use ensage_gateway::gate::{Gate, Limits, Waits};
//! # async fn serve(tls: tokio::net::TcpStream) {
//! let (gate, watch) = Gate::requests(tls, Limits::default(), Waits::default());
//! // the server reads `gate`; for each request it says when that is answered, and reads on:
//! watch.answered();
//! // and when nothing more comes:
//! if let Some(violation) = watch.violation() {
//!     eprintln!("{} at byte {}", violation.detail, violation.offset);
//! }
//! # drop(gate); }
//! ```

mod chunk;
mod fields;
mod head;
mod inspect;
mod io;
mod lex;
mod target;
mod watch;

#[cfg(test)]
mod tests;

use std::time::Duration;

use ensage_policy::Reason;

pub use fields::trailer_passes;
pub(crate) use fields::{is_field_name, is_framing_twin};
pub use inspect::{Asked, Inspector, Seen, Stop};
pub use io::Gate;
pub(crate) use target::origin_form;
pub use watch::{Phase, Watch};

/// Bounds of one message head (contract section 2, `[limits]`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Most bytes from a head's first byte to the line feed of its empty line.
    pub head_bytes_max: u64,
    /// Most field lines of one head, and of one trailer section.
    pub head_lines_max: u64,
    /// Most bytes of a request target.
    pub target_bytes_max: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self { head_bytes_max: 64 << 10, head_lines_max: 128, target_bytes_max: 16 << 10 }
    }
}

impl From<&ensage_policy::model::Limits> for Limits {
    fn from(limits: &ensage_policy::model::Limits) -> Self {
        Self { head_bytes_max: limits.header, head_lines_max: limits.header_lines, target_bytes_max: limits.target }
    }
}

/// How long a gate waits for its peer; `None` waits for ever.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Waits {
    /// Longest wait for the rest of a head of which something has come.
    pub head_timeout: Option<Duration>,
    /// Longest silence while no exchange is in flight.
    pub idle_timeout: Option<Duration>,
}

impl Waits {
    /// No deadline at all, for the upstream leg: its waits belong to the exchange and to the pool.
    pub const NONE: Self = Self { head_timeout: None, idle_timeout: None };
}

impl From<&ensage_policy::model::Limits> for Waits {
    fn from(limits: &ensage_policy::model::Limits) -> Self {
        Self { head_timeout: Some(limits.head_timeout), idle_timeout: Some(limits.idle_timeout) }
    }
}

impl Default for Waits {
    fn default() -> Self {
        Self { head_timeout: Some(Duration::from_secs(10)), idle_timeout: Some(Duration::from_secs(300)) }
    }
}

/// What kind of fault ended a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// A client's message is not strict HTTP/1.
    Malformed,
    /// The authority of an absolute-form or CONNECT target can't be one.
    Authority,
    /// A client's head has too many bytes or lines.
    HeaderTooLarge,
    /// A client's request target is too long.
    TargetTooLong,
    /// A client began a head and did not end it in time.
    ClientTimeout,
    /// An upstream's message is not strict HTTP/1, or nobody asked for it.
    Upstream,
}

impl Kind {
    /// The reason that records and answers carry.
    pub const fn reason(self) -> Reason {
        match self {
            Self::Malformed => Reason::MalformedRequest,
            Self::Authority => Reason::MalformedAuthority,
            Self::HeaderTooLarge => Reason::HeaderTooLarge,
            Self::TargetTooLong => Reason::TargetTooLong,
            Self::ClientTimeout => Reason::ClientTimeout,
            Self::Upstream => Reason::UpstreamProtocol,
        }
    }
}

/// The first fault of a stream; nothing from it on is shown to the reader.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{detail} at byte {offset}")]
pub struct Violation {
    /// What kind of fault.
    pub kind: Kind,
    /// The rule that was broken, in words without anything that the peer sent.
    pub detail: &'static str,
    /// The byte at which the rule broke, counted from the stream's first byte.
    pub offset: u64,
}
