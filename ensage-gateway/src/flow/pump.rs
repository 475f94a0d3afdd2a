//! Bytes both ways between two streams, unseen: each way at the pace of its reader, and each with an end of its own.

use std::cell::Cell;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// What is held of each way: the rest waits in the kernel, and with it whoever sends.
const BUFFER_BYTES: usize = 8 * 1024;

/// How it came to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Over {
    /// Both have said all that they had to say to somebody who still listened.
    Complete,
    /// The client broke off.
    Client,
    /// The upstream broke off.
    Upstream,
}

/// Carries bytes between `client` and `upstream`.
pub(super) struct Pump<'a, C, U> {
    client: C,
    upstream: U,
    up: Lane<'a>,
    down: Lane<'a>,
}

impl<'a, C, U> Pump<'a, C, U>
where
    C: AsyncRead + AsyncWrite + Unpin,
    U: AsyncRead + AsyncWrite + Unpin,
{
    /// What was written upstream and to the client is counted in `up` and `down`.
    pub(super) fn new(client: C, upstream: U, up: &'a Cell<u64>, down: &'a Cell<u64>) -> Self {
        Self { client, upstream, up: Lane::new(up), down: Lane::new(down) }
    }

    /// Whether the client has said that it sends no more.
    pub(super) fn client_has_ended(&self) -> bool {
        matches!(self.up.state, State::Ending | State::Ended)
    }

    /// Goes on until it is over. What is said to one side is not lost because the other listens no more.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Over> {
        let up = self.up.poll(&mut self.client, &mut self.upstream, cx);
        let down = self.down.poll(&mut self.upstream, &mut self.client, cx);
        match (self.up.state, self.down.state) {
            (State::Unread, State::Ended) => Poll::Ready(Over::Complete),
            (State::Unread, _) => Poll::Ready(Over::Client),
            (_, State::Unread) => Poll::Ready(Over::Upstream),
            // The reader of a way that cannot be written broke off, and so its own way ends soon.
            _ if up.is_pending() || down.is_pending() => Poll::Pending,
            (State::Unwritten, State::Unwritten) => Poll::Ready(Over::Client),
            _ => Poll::Ready(Over::Complete),
        }
    }
}

/// One way: `at <= filled <= BUFFER_BYTES`.
struct Lane<'a> {
    buffer: Box<[u8]>,
    at: usize,
    filled: usize,
    state: State,
    moved: &'a Cell<u64>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Running,
    /// All was read and written; the end is not told yet.
    Ending,
    Ended,
    /// Its sender broke off.
    Unread,
    /// Its reader broke off.
    Unwritten,
}

impl<'a> Lane<'a> {
    fn new(moved: &'a Cell<u64>) -> Self {
        Self { buffer: vec![0; BUFFER_BYTES].into(), at: 0, filled: 0, state: State::Running, moved }
    }

    /// Ready when this way is over, however it ended.
    fn poll<R, W>(&mut self, from: &mut R, to: &mut W, cx: &mut Context<'_>) -> Poll<()>
    where
        R: AsyncRead + Unpin,
        W: AsyncWrite + Unpin,
    {
        loop {
            let left = self.buffer.get(self.at..self.filled).unwrap_or_default();
            match self.state {
                State::Ended | State::Unread | State::Unwritten => return Poll::Ready(()),
                State::Ending => {
                    let told = ready!(Pin::new(&mut *to).poll_shutdown(cx));
                    self.state = if told.is_ok() { State::Ended } else { State::Unwritten };
                }
                State::Running if left.is_empty() => {
                    let mut buffer = ReadBuf::new(&mut self.buffer);
                    let read = ready!(Pin::new(&mut *from).poll_read(cx, &mut buffer));
                    (self.at, self.filled) = (0, buffer.filled().len());
                    match read {
                        Err(_) => self.state = State::Unread,
                        Ok(()) if self.filled == 0 => self.state = State::Ending,
                        Ok(()) => {}
                    }
                }
                State::Running => match ready!(Pin::new(&mut *to).poll_write(cx, left)) {
                    Ok(n @ 1..) => {
                        self.at += n;
                        self.moved.set(self.moved.get().saturating_add(n as u64));
                    }
                    Ok(0) | Err(_) => self.state = State::Unwritten,
                },
            }
        }
    }
}

#[cfg(test)]
mod tests;
