//! One direction of bytes in: what was read and is not taken yet, and the message that it belongs to.

use std::io;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes, BytesMut};
use http_body::Frame;
use tokio::io::{AsyncRead, AsyncReadExt};

use super::body::Broken;
use super::chunk::{Chunk, Next};
use super::head::HEAD_END;

/// What is read at once of heads and short bodies.
const READ_BYTES: usize = 8 * 1024;
/// What is read at once of a body that has at least as much left.
const STREAM_BYTES: usize = 32 * 1024;
/// A read into less room than this is not worth its call.
const ROOM_BYTES_MIN: usize = 2 * 1024;
/// Pieces up to this size are copied: to give a part of the buffer away costs more than a copy of it.
const COPIED_BYTES_MAX: usize = 4 * 1024;

/// What is left of a message's content.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Content {
    /// Nothing.
    Done,
    /// So many bytes, at least one.
    Length(u64),
    /// Chunks.
    Chunked(Chunk),
    /// All until the stream ends.
    UntilClose,
}

impl Content {
    /// How many bytes are left, where that is known.
    pub(super) const fn left(self) -> Option<u64> {
        match self {
            Self::Done => Some(0),
            Self::Length(left) => Some(left),
            Self::Chunked(_) | Self::UntilClose => None,
        }
    }
}

/// Bytes that were read off a stream, and what is left of the message in them.
#[derive(Debug)]
pub(super) struct Line<IO> {
    pub(super) io: IO,
    pub(super) content: Content,
    read: BytesMut,
    /// So much of it was searched for the end of a head in vain.
    searched: usize,
    /// The stream has ended.
    ended: bool,
}

impl<IO: AsyncRead + Unpin> Line<IO> {
    pub(super) fn new(io: IO) -> Self {
        Self { io, content: Content::Done, read: BytesMut::new(), searched: 0, ended: false }
    }

    /// The stream, and what was read of it too early.
    pub(super) fn into_parts(self) -> (IO, Bytes) {
        (self.io, self.read.freeze())
    }

    /// True if something was read that nobody has taken.
    pub(super) fn has_read(&self) -> bool {
        !self.read.is_empty()
    }

    /// True if the stream has ended.
    pub(super) const fn has_ended(&self) -> bool {
        self.ended
    }

    /// The bytes of the next head with its empty line; `None` where the stream ended before.
    pub(super) fn poll_head(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Option<Bytes>>> {
        loop {
            // Empty lines before a message are nobody's (RFC 9112 section 2.2); the gate has counted them.
            while self.read.starts_with(b"\r\n") {
                self.read.advance(2);
            }
            let found = self.read.get(self.searched..).and_then(|rest| HEAD_END.find(rest));
            if let Some(found) = found {
                let end = self.searched.saturating_add(found).saturating_add(4);
                self.searched = 0;
                // Copied, so that the buffer stays whole: heads are short.
                let head = Bytes::copy_from_slice(self.read.get(..end).unwrap_or_default());
                self.read.advance(end);
                return Poll::Ready(Ok(Some(head)));
            }
            // The end may have begun in its last three bytes.
            self.searched = self.read.len().saturating_sub(3);
            if ready!(self.poll_fill(cx, READ_BYTES))? == 0 {
                return Poll::Ready(Ok(None));
            }
        }
    }

    /// The next piece of the message's content.
    pub(super) fn poll_content(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Broken>>> {
        loop {
            let more = match &mut self.content {
                Content::Done => return Poll::Ready(None),
                Content::Length(_) | Content::UntilClose if self.read.is_empty() => STREAM_BYTES,
                Content::UntilClose => return Poll::Ready(Some(Ok(Frame::data(self.take(u64::MAX))))),
                Content::Length(left) => {
                    let left = *left;
                    let data = self.take(left);
                    self.content = match left.saturating_sub(data.len() as u64) {
                        0 => Content::Done,
                        rest => Content::Length(rest),
                    };
                    return Poll::Ready(Some(Ok(Frame::data(data))));
                }
                Content::Chunked(chunk) => match chunk.next(&mut self.read) {
                    Next::Data(left) if !self.read.is_empty() => {
                        let data = self.take(left);
                        if let Content::Chunked(chunk) = &mut self.content {
                            chunk.took(data.len() as u64);
                        }
                        return Poll::Ready(Some(Ok(Frame::data(data))));
                    }
                    Next::Data(_) | Next::More => STREAM_BYTES,
                    Next::End(fields) => {
                        self.content = Content::Done;
                        return Poll::Ready(fields.map(|fields| Ok(Frame::trailers(fields))));
                    }
                    Next::Broken => return Poll::Ready(Some(Err(Broken))),
                },
            };
            let room = match self.content {
                Content::Length(left) => usize::try_from(left).unwrap_or(usize::MAX).clamp(READ_BYTES, more),
                _ => more,
            };
            match ready!(self.poll_fill(cx, room)) {
                Ok(0) if self.content == Content::UntilClose => {
                    self.content = Content::Done;
                    return Poll::Ready(None);
                }
                Ok(0) | Err(_) => return Poll::Ready(Some(Err(Broken))),
                Ok(_) => {}
            }
        }
    }

    /// Reads what comes between messages, to learn of the stream's end: true once it is there. Bytes that come are the
    /// next message's, and nothing more is read then.
    pub(super) fn poll_end(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if self.has_read() {
            return Poll::Pending;
        }
        match ready!(self.poll_fill(cx, READ_BYTES)) {
            Ok(0) | Err(_) => Poll::Ready(()),
            Ok(_) => Poll::Pending,
        }
    }

    fn poll_fill(&mut self, cx: &mut Context<'_>, bytes: usize) -> Poll<io::Result<usize>> {
        if self.ended {
            return Poll::Ready(Ok(0));
        }
        let room = self.read.capacity().saturating_sub(self.read.len());
        // An empty buffer goes back to its start: what was written there last is still near.
        if self.read.is_empty() || room < ROOM_BYTES_MIN.min(bytes) {
            self.read.reserve(bytes);
        }
        let read = ready!(Pin::new(&mut pin!(self.io.read_buf(&mut self.read))).poll(cx));
        self.ended = !matches!(read, Ok(1..));
        Poll::Ready(read)
    }

    fn take(&mut self, most: u64) -> Bytes {
        let bytes = usize::try_from(most).unwrap_or(usize::MAX).min(self.read.len());
        if bytes > COPIED_BYTES_MAX {
            return self.read.split_to(bytes).freeze();
        }
        let piece = Bytes::copy_from_slice(self.read.get(..bytes).unwrap_or_default());
        self.read.advance(bytes);
        piece
    }
}
