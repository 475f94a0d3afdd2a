//! HTTP/2 on both legs, over the `h2` crate (RFC 9113): what that crate leaves open is decided here.
//!
//! ```text
//! gate    client    frames ─▶ heads, read here; the rest passes
//! serve   client    accept a stream ─▶ one future each ─▶ its head and body go out
//! Call    upstream  a stream of a connection that others of the session use too
//! ```
//!
//! All streams of a client's connection live in the future that serves it: dropping that cuts them. An upstream
//! connection has a task of its own, for it is shared.

mod call;
mod cork;
mod gate;
mod gathering;
mod head;
mod hpack;
mod lines;
mod received;
mod sending;
mod serve;

pub(crate) use call::{Call, CallError, Handle, Rewind, connect};

pub(crate) use gate::{Room, Sign};
pub(crate) use gathering::Read;
pub(crate) use serve::{Asked, Bounds, Done, End, Lost, serve};

/// The window of one stream: with what is on its way out, an exchange that nobody reads holds less than 1 MiB.
const STREAM_WINDOW: u32 = 384 * 1024;
/// The largest window there is (RFC 9113 section 6.9.1).
const WINDOW_MAX: u32 = (1 << 31) - 1;
/// What a peer may send in one frame.
const FRAME_MAX: u32 = 64 * 1024;
/// Most that is taken of one stream's body and not written yet.
const SEND_BUFFER: usize = 64 * 1024;

/// A window in which a reader that pauses holds up no other stream.
const fn connection_window(streams: u32) -> u32 {
    let all = streams.saturating_mul(STREAM_WINDOW);
    if all > WINDOW_MAX { WINDOW_MAX } else { all }
}

/// What small DATA frames that nobody has read may cost, 256 bytes less their own length each.
const FRAMES_BUDGET: usize = 4 << 20;
