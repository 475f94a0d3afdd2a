//! HTTP/1.1 behind the gate: heads and bodies between bytes and the types of `http`, both directions.
//!
//! The [gate](crate::gate) has read every byte before this module does and lets nothing through that is not strict, so
//! what is here need not judge: it cuts heads and bodies out of the stream, and writes them. It owns no task and no
//! channel; an exchange reads the client's body, writes to its upstream and reads the answer in one future, and the
//! head of a short answer leaves together with its body.
//!
//! ```text
//! serve   client   read head ─▶ service ─▶ write head and body ─▶ next
//! Link    upstream write head and body, read head ─▶ body
//! ```

mod body;
mod chunk;
mod head;
mod line;
mod link;
mod lookout;
mod out;
mod serve;

#[cfg(test)]
mod tests;

pub(crate) use body::{Broken, Feed, Incoming};
pub(crate) use head::{expects_continue, is_bodyless, write_response};
pub(crate) use link::{Link, SendError, WORD_WAIT};
pub(crate) use lookout::{Lookout, Presence};
pub(crate) use out::tell_length;
pub(crate) use serve::{DRAIN_BYTES_MAX, DRAIN_WAIT, DRIVE_WAIT, Driven, serve};
