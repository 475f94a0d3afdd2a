//! Bounds of what is read, held and waited for.

use std::time::Duration;

/// `[limits]`: bytes, counts and waits, none of them 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Most bytes held of one undecided message.
    pub body_hold: u64,
    /// Most bytes held by all exchanges together.
    pub held_total: u64,
    /// Most bytes of a coded request after decoding.
    pub decoded: u64,
    /// Most bytes of one message head.
    pub header: u64,
    /// Most bytes of one request target.
    pub target: u64,
    /// Most field lines of one head.
    pub header_lines: u64,
    /// Most client connections in all.
    pub connections: u64,
    /// Most client connections of one session.
    pub per_client: u64,
    /// Most streams of one HTTP/2 connection.
    pub streams: u64,
    /// Longest wait for a client's head or handshake.
    pub head_timeout: Duration,
    /// Longest wait for a TCP connection upstream.
    pub dial_timeout: Duration,
    /// Longest wait for an upstream's response head.
    pub upstream_head_timeout: Duration,
    /// Longest silence on a kept-alive connection.
    pub idle_timeout: Duration,
}
