//! One direction: bytes read, what of them may go on, and that on its way.

use std::io;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes, BytesMut};
use ensage_creds::Patterns;
use ensage_policy::Reason;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite};

use crate::flow::substitute::Search;
use crate::ws::{HELD_BYTES_MAX, Passage, Reader, Rules, Scrubbing, Shown, Stop};

/// What is read at once where little comes.
const READ_BYTES: usize = 4 * 1024;

/// One direction of a WebSocket.
pub(super) struct Lane {
    way: Way,
    read: BytesMut,
    /// So many of the bytes that were read go on as they came.
    free: usize,
    /// So many are dealt with: invariant `free <= taken`.
    taken: usize,
    /// Goes on behind those.
    out: BytesMut,
    /// The stream may hold back what was written.
    unflushed: bool,
    /// A part of a frame is out whose rest is not.
    in_parts: bool,
    /// Much comes at once.
    busy: bool,
    /// Bytes were read that nobody has looked at.
    fresh: bool,
    ended: bool,
    /// It has broken off behind what was read.
    failed: Option<io::Error>,
    /// Bytes that may go on, or might.
    passed: u64,
    /// Secrets that were replaced, as far as that was told.
    replaced: u64,
}

/// What is done to frames.
enum Way {
    /// Nothing.
    Open(Passage),
    /// They are searched for placeholders; those of messages and of control frames by themselves.
    Searched(Box<(Passage, [Search; 2])>),
    /// Secrets are taken out.
    Scrubbed(Box<Scrubbing>),
}

impl Lane {
    fn new(way: Way) -> Self {
        Self {
            way,
            read: BytesMut::new(),
            free: 0,
            taken: 0,
            out: BytesMut::new(),
            unflushed: false,
            in_parts: false,
            busy: false,
            fresh: false,
            ended: false,
            failed: None,
            passed: 0,
            replaced: 0,
        }
    }

    /// Frames pass.
    pub(super) fn open() -> Self {
        Self::new(Way::Open(Passage::open()))
    }

    /// What a client says is searched; `strictly` it must say it by the rules.
    pub(super) fn searched(search: [Search; 2], strictly: bool) -> Self {
        let rules = if strictly { Rules::Client } else { Rules::Lenient };
        Self::new(Way::Searched(Box::new((Passage::holding(rules), search))))
    }

    /// What a server says is scrubbed.
    pub(super) fn scrubbing(patterns: Arc<Patterns>) -> Self {
        Self::new(Way::Scrubbed(Box::new(Scrubbing::new(patterns))))
    }

    /// With bytes that came before it was one.
    pub(super) fn beginning(mut self, bytes: &[Bytes]) -> Self {
        for some in bytes {
            self.read.extend_from_slice(some);
        }
        self.fresh = !self.read.is_empty();
        self
    }

    /// Bytes that were let through so far.
    pub(super) const fn passed(&self) -> u64 {
        self.passed
    }

    /// Secrets that were replaced since the last time.
    pub(super) fn scrubbed(&mut self) -> u64 {
        match &self.way {
            Way::Open(_) | Way::Searched(_) => 0,
            Way::Scrubbed(scrubbing) => {
                let count = scrubbing.count() as u64;
                count.saturating_sub(std::mem::replace(&mut self.replaced, count))
            }
        }
    }

    fn reader(&self) -> &Reader {
        match &self.way {
            Way::Open(passage) => passage.reader(),
            Way::Searched(searched) => searched.0.reader(),
            Way::Scrubbed(scrubbing) => scrubbing.reader(),
        }
    }

    /// True once a close frame has come.
    pub(super) fn has_closed(&self) -> bool {
        self.reader().has_closed()
    }

    /// True once nothing more comes.
    pub(super) const fn has_ended(&self) -> bool {
        self.ended
    }

    /// Nothing more comes.
    pub(super) const fn end(&mut self) {
        self.ended = true;
    }

    /// True while something waits to be sent, and nothing is read.
    pub(super) fn is_blocked(&self) -> bool {
        self.free > 0 || self.unflushed || !self.out.is_empty()
    }

    /// True if a frame of ours may stand behind all that may go.
    pub(super) fn is_between(&self) -> bool {
        match &self.way {
            Way::Open(passage) => passage.reader().is_between(),
            Way::Searched(_) => !self.in_parts,
            // Each of its frames is made whole.
            Way::Scrubbed(_) => true,
        }
    }

    /// Says this frame last of all; what was read and may not go is dropped.
    pub(super) fn say(&mut self, frame: &[u8]) {
        self.ended = true;
        self.read.truncate(self.taken);
        self.out.extend_from_slice(frame);
    }

    /// Writes all that may go.
    pub(super) fn poll_send(
        &mut self,
        mut to: Pin<&mut (impl AsyncWrite + ?Sized)>,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
        loop {
            let next = match self.read.get(..self.free) {
                Some(free @ [_, ..]) => free,
                _ => {
                    self.read.advance(std::mem::take(&mut self.taken));
                    &self.out
                }
            };
            if next.is_empty() {
                // Its room is seldom needed again.
                self.out = BytesMut::new();
                break;
            }
            let written = ready!(to.as_mut().poll_write(cx, next))?;
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.unflushed = true;
            if self.free > 0 {
                self.read.advance(written);
                self.free = self.free.saturating_sub(written);
                self.taken = self.taken.saturating_sub(written);
            } else {
                self.out.advance(written);
            }
        }
        if self.unflushed {
            ready!(to.poll_flush(cx))?;
            self.unflushed = false;
        }
        Poll::Ready(Ok(()))
    }

    /// Reads until nothing comes or there is enough; only where nothing is to be sent.
    pub(super) fn poll_fill(
        &mut self,
        from: &mut (impl AsyncRead + Unpin),
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
        if std::mem::take(&mut self.fresh) {
            return Poll::Ready(Ok(()));
        }
        if let Some(error) = self.failed.take() {
            return Poll::Ready(Err(error));
        }
        let before = self.read.len();
        while !self.ended && self.read.len() < HELD_BYTES_MAX {
            let room = self.read.capacity().saturating_sub(self.read.len());
            let want = if self.busy { HELD_BYTES_MAX.saturating_sub(self.read.len()) } else { READ_BYTES };
            if room < want.min(READ_BYTES / 2) || (self.busy && self.read.is_empty()) {
                self.read.reserve(want);
            }
            let room = self.read.capacity().saturating_sub(self.read.len());
            match Pin::new(&mut pin!(from.read_buf(&mut self.read))).poll(cx) {
                Poll::Ready(Ok(0)) => self.ended = true,
                Poll::Ready(Ok(come)) => self.busy |= come == room,
                Poll::Ready(Err(error)) if self.read.len() > before => {
                    // What came before it goes first.
                    self.failed = Some(error);
                    break;
                }
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                Poll::Pending if self.read.len() > before => break,
                Poll::Pending => {
                    if self.busy && self.read.is_empty() {
                        // It may be long until more comes.
                        (self.read, self.busy) = (BytesMut::new(), false);
                    }
                    return Poll::Pending;
                }
            }
        }
        Poll::Ready(Ok(()))
    }

    /// Finds out what may go of the bytes that were read; only where nothing is to be sent. Of what is refused nothing
    /// goes.
    pub(super) fn take(&mut self) -> Result<(), Stop<Reason>> {
        let full = self.read.len() >= HELD_BYTES_MAX;
        let free = match &mut self.way {
            Way::Open(passage) => passage.read(&self.read, |_, _| Ok(()))?,
            Way::Searched(searched) => {
                let (passage, [data, control]) = &mut **searched;
                let free = passage.read(&self.read, |what, part| {
                    let search = match what {
                        Shown::Data => &mut *data,
                        Shown::Control => &mut *control,
                    };
                    search.feed(part).inspect(|reason| search.alarm(*reason)).map_or(Ok(()), Err)
                })?;
                self.in_parts &= free == 0;
                match free {
                    0 if full => {
                        self.in_parts = true;
                        passage.let_go()
                    }
                    free => free,
                }
            }
            Way::Scrubbed(scrubbing) => {
                let mut out = Vec::new();
                let passed = scrubbing.read(&self.read, full, &mut out).map_err(Stop::Broken)?;
                self.passed = self.passed.saturating_add((passed.as_it_came + out.len()) as u64);
                self.out.extend_from_slice(&out);
                (self.free, self.taken) = (passed.as_it_came, passed.taken);
                return Ok(());
            }
        };
        self.passed = self.passed.saturating_add(free as u64);
        (self.free, self.taken) = (free, free);
        Ok(())
    }
}
