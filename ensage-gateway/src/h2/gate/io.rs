//! The gate as a stream: what is read through it is sifted, what is written passes.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Buf, BytesMut};
use ensage_policy::Reason;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Instant;

use super::ledger::{Ledger, Room};
use super::sift::{Sift, Stop};
use super::upload::Refusal;
use super::{Shared, Watch};
use crate::gate::Limits;
use crate::timer::Timer;

/// A stream whose reads are sifted.
pub(in crate::h2) struct Gate<IO> {
    io: IO,
    sift: Sift,
    shared: Rc<Shared>,
    /// Read, and not sifted.
    raw: BytesMut,
    /// Sifted, and not shown.
    out: BytesMut,
    /// `raw` cannot be sifted before more comes.
    short: bool,
    /// What the content in front of `raw` needs.
    needs: Option<(u64, u32)>,
    head_timeout: Option<Duration>,
    /// Since when a head has been coming.
    since: Option<Instant>,
    timer: Timer,
}

/// A reader that has less room than this is served from a buffer of ours.
const SMALL_BYTES: usize = 64;

const NO_ROOM: Refusal = (Reason::Overloaded, "too many bytes are held at this moment; try again");
/// What is kept of a buffer that is empty.
const KEPT_BYTES: usize = 1024;

impl<IO> Gate<IO> {
    pub(in crate::h2) fn new(io: IO, limits: Limits, head_timeout: Option<Duration>, room: Room) -> (Self, Watch) {
        let shared = Rc::new(Shared {
            heads: RefCell::new(VecDeque::new()),
            passed: Cell::new(false),
            broken: Cell::new(None),
            ledger: RefCell::new(Ledger::new(room)),
            uploads: RefCell::new(Vec::new()),
        });
        let gate = Self {
            io,
            sift: Sift::new(limits, shared.clone()),
            shared: shared.clone(),
            raw: BytesMut::new(),
            out: BytesMut::new(),
            short: false,
            needs: None,
            head_timeout,
            since: None,
            timer: Timer::default(),
        };
        (gate, Watch(shared))
    }

    /// Sifts what is behind `before`, leaves there what is to be shown, and keeps the rest.
    fn sift(&mut self, buf: &mut ReadBuf<'_>, before: usize) {
        let filled = buf.filled_mut().get_mut(before..).unwrap_or_default();
        let sifted = self.sift.turn(filled);
        // Nothing is in front of it: what was kept has been sifted with it.
        self.raw.extend_from_slice(filled.get(sifted.read..).unwrap_or_default());
        if let Some(stub) = sifted.behind {
            self.out.extend_from_slice(stub.as_slice());
        }
        if self.raw.is_empty() && self.raw.capacity() > KEPT_BYTES {
            self.raw = BytesMut::new();
        }
        self.short = sifted.stop == Stop::More;
        if let Stop::Room(bytes, stream) = sifted.stop {
            self.needs = Some((bytes, stream));
        }
        buf.set_filled(before.saturating_add(sifted.shown));
        if !self.sift.is_in_head() {
            self.since = None;
        } else if self.since.is_none() {
            self.since = Some(Instant::now());
        }
    }

    /// Ready where reading goes on.
    fn poll_room(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let Some((bytes, stream)) = self.needs else { return Poll::Ready(()) };
        // Nobody reads it any more: it passes, and is dropped.
        while self.shared.upload(stream).is_some() {
            if ready!(self.shared.ledger.borrow_mut().poll_admit(bytes, cx)) {
                self.sift.admitted();
                break;
            }
            // Who holds most gives room: that may be whom nobody reads, and hardly ever who has just begun.
            match self.shared.largest(stream) {
                Some(most) if most.stream != stream => most.refuse(NO_ROOM),
                own => {
                    if let Some(own) = own {
                        own.refuse(NO_ROOM);
                    }
                    self.shared.ledger.borrow_mut().count(bytes);
                    self.sift.admitted();
                    break;
                }
            }
        }
        self.needs = None;
        Poll::Ready(())
    }

    /// A head that has begun ends in time, or never.
    fn poll_head(&mut self, cx: &mut Context<'_>) {
        if let (Some(since), Some(longest)) = (self.since, self.head_timeout)
            && self.timer.poll(since + longest, cx).is_ready()
        {
            self.since = None;
            self.sift.give_up();
        }
    }
}

impl<IO: AsyncRead + Unpin> Gate<IO> {
    /// One turn: ready with what was shown, nothing at the end of the stream.
    fn poll_turn(&mut self, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<Turn>> {
        let before = buf.filled().len();
        if !self.raw.is_empty() && !self.short {
            let some = self.raw.len().min(buf.remaining());
            let rest = self.raw.split_off(some);
            buf.put_slice(&self.raw);
            self.raw.clear();
            self.sift(buf, before);
            self.short &= rest.is_empty();
            self.raw.unsplit(rest);
            return Poll::Ready(Ok(Turn::Went));
        }
        buf.put_slice(&self.raw);
        let kept = buf.filled().len();
        let read = Pin::new(&mut self.io).poll_read(cx, buf);
        if buf.filled().len() == kept {
            match read {
                // The end: what is left goes as it is, and the protocol knows what that means.
                Poll::Ready(Ok(())) => {
                    self.raw.clear();
                    return Poll::Ready(Ok(Turn::End));
                }
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                Poll::Pending => {
                    buf.set_filled(before);
                    self.poll_head(cx);
                    return Poll::Pending;
                }
            }
        }
        self.raw.clear();
        self.sift(buf, before);
        Poll::Ready(Ok(Turn::Went))
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Turn {
    Went,
    End,
}

impl<IO: AsyncRead + Unpin> AsyncRead for Gate<IO> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.out.is_empty() {
            // Whoever serves the heads that were shown takes them first, and asks again.
            let waiting = !this.shared.heads.borrow().is_empty();
            this.shared.passed.set(waiting);
            if waiting {
                return Poll::Pending;
            }
        }
        let before = buf.filled().len();
        loop {
            if !this.out.is_empty() {
                let some = this.out.len().min(buf.remaining());
                buf.put_slice(this.out.get(..some).unwrap_or_default());
                this.out.advance(some);
            }
            if buf.filled().len() > before || buf.remaining() == 0 {
                return Poll::Ready(Ok(()));
            }
            if this.sift.is_over() {
                return Poll::Pending;
            }
            ready!(this.poll_room(cx));
            let turn = match buf.remaining() {
                // All of it passes, or it has room for whatever comes of it.
                room if room <= this.sift.passing() || room >= SMALL_BYTES => this.poll_turn(cx, buf),
                _ => {
                    let mut room = [0; 8 * SMALL_BYTES];
                    let mut part = ReadBuf::new(&mut room);
                    let turn = this.poll_turn(cx, &mut part);
                    let stub = this.out.split();
                    this.out.extend_from_slice(part.filled());
                    this.out.unsplit(stub);
                    turn
                }
            };
            if ready!(turn)? == Turn::End && this.out.is_empty() {
                return Poll::Ready(Ok(()));
            }
        }
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
