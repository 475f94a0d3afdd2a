//! WebSocket frames (RFC 6455 section 5): out of bytes, into bytes, searched and scrubbed on their way. Pure, and the
//! same whatever the chunking.
//!
//! ```text
//! client ─▶ Passage   frames as they came; what they carry is shown unmasked, and no frame goes before all of it was
//! server ─▶ Passage   frames as they came
//! server ─▶ Scrubbing frames without secrets, made anew where that changes them
//! ```
//! Nobody holds more than one [`HELD_BYTES_MAX`] of a frame, however long it is.

mod frame;
mod passage;
mod reader;
mod scrubbing;

#[cfg(test)]
mod tests;

pub use frame::{Header, Opcode, close, mask};
pub use passage::{Passage, Shown, Stop};
pub use reader::{Broken, Reader, Rules};
pub use scrubbing::{Passed, Scrubbing};

/// Of a frame that has not come whole so much is held back before it goes on in parts.
pub const HELD_BYTES_MAX: usize = 64 * 1024;
