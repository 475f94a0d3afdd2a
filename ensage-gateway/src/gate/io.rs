//! The gate as a stream: inspects what its inner stream reads, in place, and passes writes through.

use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Instant;

use super::inspect::{Inspector, Stop};
use super::watch::{Phase, Shared, Watch};
use super::{Kind, Limits, Waits};
use crate::timer::Timer;

/// A stream whose reads are inspected: what is read from it is strict HTTP/1.
#[derive(Debug)]
pub struct Gate<IO> {
    io: IO,
    inspector: Inspector,
    shared: Rc<Shared>,
    /// Bytes behind a held request, at most one read; empty otherwise.
    carried: BytesMut,
    waits: Waits,
    waiting: Option<Waiting>,
    timer: Timer,
    /// The idle time ran out.
    expired: bool,
}

/// What the reader waits for and since when.
#[derive(Clone, Copy, Debug)]
struct Waiting {
    heads: u64,
    wait: Wait,
    since: Instant,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wait {
    HeadRest,
    Anything,
}

impl<IO> Gate<IO> {
    /// A gate for what a client sends.
    pub fn requests(io: IO, limits: Limits, waits: Waits) -> (Self, Watch) {
        Self::new(io, Inspector::requests(limits), waits)
    }

    /// A gate for what an upstream sends.
    pub fn responses(io: IO, limits: Limits) -> (Self, Watch) {
        Self::new(io, Inspector::responses(limits), Waits::NONE)
    }

    fn new(io: IO, inspector: Inspector, waits: Waits) -> (Self, Watch) {
        let shared = Rc::new(Shared::new());
        let watch = Watch { shared: Rc::clone(&shared) };
        let carried = BytesMut::new();
        let gate =
            Self { io, inspector, shared, carried, waits, waiting: None, timer: Timer::default(), expired: false };
        (gate, watch)
    }

    /// Takes the gate away: the inner stream, and bytes read from it that nobody was shown (they come first).
    pub fn into_parts(self) -> (IO, Bytes) {
        (self.io, self.carried.freeze())
    }

    /// Takes over what the watch was told since the last read.
    fn catch_up(&mut self) {
        if let Some(asked) = self.shared.asked.take() {
            self.inspector.expect(asked);
        }
        if self.inspector.is_held() {
            if self.shared.granted.take() {
                self.inspector.open();
            } else if self.shared.answered.get() >= self.inspector.heads() {
                self.inspector.resume();
            }
        }
    }

    fn publish(&self) {
        self.shared.heads.set(self.inspector.heads());
        self.shared.violation.set(self.inspector.violation());
        self.shared.cut.set(self.inspector.is_cut());
        self.shared.phase.set(match &self.inspector {
            i if i.violation().is_some() => Phase::Refused,
            i if i.is_held() => Phase::Held,
            i if i.is_open() => Phase::Open,
            i if i.is_in_head() => Phase::InHead,
            i if i.is_in_body() => Phase::InBody,
            _ => Phase::Idle,
        });
    }

    /// Inspects what was filled in behind `before`, hides what may not be shown, and says how much is left.
    fn inspect(&mut self, buf: &mut ReadBuf<'_>, before: usize, from: From) -> usize {
        let new = buf.filled().get(before..).unwrap_or_default();
        let seen = self.inspector.feed(new);
        match from {
            From::Carried => self.carried.advance(seen.shown),
            From::Inner if seen.stop == Some(Stop::Held) => {
                self.carried.extend_from_slice(new.get(seen.shown..).unwrap_or_default());
            }
            From::Inner => {}
        }
        buf.set_filled(before.saturating_add(seen.shown));
        self.publish();
        seen.shown
    }

    /// The end of the stream, once whoever is owed an answer has it.
    fn end(&self, cx: &Context<'_>) -> Poll<io::Result<()>> {
        if self.shared.answered.get() >= self.inspector.owed() { Poll::Ready(Ok(())) } else { self.park(cx) }
    }

    fn park(&self, cx: &Context<'_>) -> Poll<io::Result<()>> {
        self.shared.reader.replace(Some(cx.waker().clone()));
        Poll::Pending
    }

    /// Nothing came: waits for the deadline that holds now.
    fn wait(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.rests() {
            if self.shared.leaving.get() {
                self.expired = true;
                return Poll::Ready(Ok(()));
            }
            let mut resting = self.shared.resting.borrow_mut();
            if !resting.as_ref().is_some_and(|known| known.will_wake(cx.waker())) {
                *resting = Some(cx.waker().clone());
            }
        }
        let Some((wait, due)) = self.due() else { return Poll::Pending };
        ready!(self.timer.poll(due, cx));
        match wait {
            Wait::HeadRest => {
                self.inspector.refuse(Kind::ClientTimeout, "the head did not end in time");
                self.publish();
                self.end(cx)
            }
            Wait::Anything => {
                self.expired = true;
                Poll::Ready(Ok(()))
            }
        }
    }

    /// Whether the client has all that it has asked for, and has not begun to ask for more.
    fn rests(&self) -> bool {
        let heads = self.inspector.heads();
        self.waits != Waits::NONE && heads > 0 && self.shared.answered.get() >= heads && self.inspector.is_idle()
    }

    /// What is waited for, and until when.
    fn due(&mut self) -> Option<(Wait, Instant)> {
        if self.inspector.is_open() {
            return None;
        }
        let (wait, longest) = if self.inspector.is_in_head() {
            (Wait::HeadRest, self.waits.head_timeout?)
        } else {
            // How long an exchange takes that is in flight is not ours to say.
            let idle = self.waits.idle_timeout.filter(|_| self.shared.answered.get() >= self.inspector.heads())?;
            // Who has never asked for anything is not kept alive for long: the slot is somebody else's.
            let first = self.waits.head_timeout.filter(|_| self.inspector.heads() == 0);
            (Wait::Anything, first.map_or(idle, |first| first.min(idle)))
        };
        let heads = self.inspector.heads();
        let since = match (wait, self.shared.answered_at.get(), self.waiting) {
            (Wait::Anything, Some(answered), _) => answered,
            (_, _, Some(w)) if w.heads == heads && w.wait == wait => w.since,
            _ => {
                let since = Instant::now();
                self.waiting = Some(Waiting { heads, wait, since });
                since
            }
        };
        Some((wait, since.checked_add(longest)?))
    }
}

#[derive(Clone, Copy, Debug)]
enum From {
    Inner,
    Carried,
}

impl<IO: AsyncRead + Unpin> AsyncRead for Gate<IO> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        while buf.remaining() > 0 {
            this.catch_up();
            if this.expired {
                break;
            }
            if this.inspector.violation().is_some() {
                return this.end(cx);
            }
            let before = buf.filled().len();
            let from = if this.carried.is_empty() {
                if this.inspector.is_held() {
                    let _ = this.park(cx);
                }
                match Pin::new(&mut this.io).poll_read(cx, buf) {
                    Poll::Ready(read) => read?,
                    Poll::Pending => return this.wait(cx),
                }
                From::Inner
            } else if this.inspector.is_held() {
                return this.park(cx);
            } else {
                let some = this.carried.len().min(buf.remaining());
                buf.put_slice(this.carried.get(..some).unwrap_or_default());
                From::Carried
            };
            if buf.filled().len() == before {
                break; // The peer has ended its stream; the reader knows what that means here.
            }
            if this.inspect(buf, before, from) > 0 {
                break;
            }
        }
        Poll::Ready(Ok(()))
    }
}

impl<IO: AsyncWrite + Unpin> AsyncWrite for Gate<IO> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().io).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().io).poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().io).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().io).poll_shutdown(cx)
    }
}
