//! Bytes out: what is to be written, and how a body is framed in it.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf, BufMut, Bytes};
use http::header::{CONTENT_LENGTH, TRANSFER_ENCODING};
use http::{HeaderMap, HeaderValue};
use http_body::Frame;
use tokio::io::AsyncWrite;

use super::head::write_fields;

/// Pieces up to this size are copied behind what is to be written already; larger ones are written from where they are.
const COPIED_BYTES_MAX: usize = 16 * 1024;
/// With this much to write, nothing more is taken.
const FULL_BYTES: usize = 32 * 1024;
/// Room for a head and a short body.
const BUFFER_BYTES: usize = 2 * 1024;

/// How a body that is written is framed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Framing {
    /// There is none.
    None,
    /// So many bytes are left of its length.
    Length(u64),
    /// In chunks.
    Chunked,
    /// By the end of the stream.
    UntilClose,
}

/// The body breaks its own framing, and what was written of it can't be completed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Unframed;

impl Framing {
    /// The framing of a body, told in its head's fields.
    pub(super) fn told(fields: &mut HeaderMap, exact: Option<u64>, chunks: bool) -> Self {
        match exact {
            Some(length) => {
                tell_length(fields, length);
                if length == 0 { Self::None } else { Self::Length(length) }
            }
            None if chunks => {
                fields.remove(CONTENT_LENGTH);
                fields.insert(TRANSFER_ENCODING, HeaderValue::from_static("chunked"));
                Self::Chunked
            }
            None => {
                fields.remove(CONTENT_LENGTH);
                Self::UntilClose
            }
        }
    }
}

/// Says how long a body is, where its head does not say so already.
pub(crate) fn tell_length(fields: &mut HeaderMap, length: u64) {
    let said = fields.get(CONTENT_LENGTH).and_then(|said| said.to_str().ok()).and_then(|said| said.parse().ok());
    if said != Some(length) {
        fields.insert(CONTENT_LENGTH, HeaderValue::from(length));
    }
}

/// What is to be written: `lead`, then `body`, then `tail`.
#[derive(Debug, Default)]
pub(super) struct Out {
    lead: Vec<u8>,
    /// So much of `lead` is written.
    led: usize,
    body: Bytes,
    tail: &'static [u8],
    /// The stream may hold back what was written.
    unflushed: bool,
}

impl Out {
    /// For heads; only where nothing large is to be written.
    pub(super) fn buffer(&mut self) -> &mut Vec<u8> {
        if self.led == self.lead.len() {
            self.lead.clear();
            self.led = 0;
            self.lead.reserve(BUFFER_BYTES);
        } else if self.led >= FULL_BYTES {
            // A reader that never catches up would make it as long as all that was ever written.
            self.lead.drain(..self.led);
            self.led = 0;
        }
        &mut self.lead
    }

    fn lead(&self) -> &[u8] {
        self.lead.get(self.led..).unwrap_or_default()
    }

    /// True if nothing is to be written.
    pub(super) fn is_empty(&self) -> bool {
        self.lead().is_empty() && self.body.is_empty() && self.tail.is_empty()
    }

    /// True if nothing is to be written, and the stream holds nothing back.
    pub(super) fn is_flushed(&self) -> bool {
        self.is_empty() && !self.unflushed
    }

    /// True while one more piece may be taken.
    pub(super) fn has_room(&self) -> bool {
        self.body.is_empty() && self.tail.is_empty() && self.lead().len() < FULL_BYTES
    }

    /// Takes a piece of a body; only where there [is room](Self::has_room).
    ///
    /// # Errors
    /// The body has more than its length.
    pub(super) fn push(&mut self, frame: Frame<Bytes>, framing: &mut Framing) -> Result<(), Unframed> {
        let data = match frame.into_data() {
            Ok(data) => data,
            Err(frame) => return self.push_trailers(frame, framing),
        };
        if data.is_empty() {
            return Ok(());
        }
        match framing {
            Framing::None => return Err(Unframed),
            Framing::Length(left) => *left = left.checked_sub(data.len() as u64).ok_or(Unframed)?,
            Framing::UntilClose => {}
            Framing::Chunked => {
                let out = self.buffer();
                put_hex(out, data.len());
                out.put_slice(b"\r\n");
            }
        }
        let tail: &'static [u8] = if *framing == Framing::Chunked { b"\r\n" } else { b"" };
        if data.len() > COPIED_BYTES_MAX {
            self.body = data;
            self.tail = tail;
        } else {
            let out = self.buffer();
            out.put_slice(&data);
            out.put_slice(tail);
        }
        Ok(())
    }

    fn push_trailers(&mut self, frame: Frame<Bytes>, framing: &mut Framing) -> Result<(), Unframed> {
        // Without chunks there is no place for them, and they may be dropped (RFC 9110 section 6.5.1).
        let Some(fields) = frame.into_trailers().ok().filter(|_| *framing == Framing::Chunked) else { return Ok(()) };
        let out = self.buffer();
        out.put_slice(b"0\r\n");
        write_fields(out, &fields);
        out.put_slice(b"\r\n");
        *framing = Framing::None;
        Ok(())
    }

    /// The body has ended.
    ///
    /// # Errors
    /// It is shorter than its length.
    pub(super) fn end(&mut self, framing: Framing) -> Result<(), Unframed> {
        match framing {
            Framing::Length(1..) => Err(Unframed),
            Framing::Chunked => {
                self.buffer().put_slice(b"0\r\n\r\n");
                Ok(())
            }
            Framing::None | Framing::Length(0) | Framing::UntilClose => Ok(()),
        }
    }

    /// Writes all there is.
    pub(super) fn poll_flush(
        &mut self,
        mut io: Pin<&mut (impl AsyncWrite + ?Sized)>,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
        while !self.is_empty() {
            let slices = [IoSlice::new(self.lead()), IoSlice::new(&self.body), IoSlice::new(self.tail)];
            let written = match (self.body.is_empty(), self.tail.is_empty()) {
                (true, true) => ready!(io.as_mut().poll_write(cx, self.lead()))?,
                _ => ready!(io.as_mut().poll_write_vectored(cx, &slices))?,
            };
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.unflushed = true;
            self.advance(written);
        }
        ready!(io.poll_flush(cx))?;
        self.unflushed = false;
        Poll::Ready(Ok(()))
    }

    fn advance(&mut self, written: usize) {
        let led = written.min(self.lead().len());
        self.led = self.led.saturating_add(led);
        let mut left = written.saturating_sub(led);
        for part in [&mut self.body as &mut dyn Buf, &mut self.tail] {
            let some = left.min(part.remaining());
            part.advance(some);
            left = left.saturating_sub(some);
        }
        if self.body.is_empty() {
            self.body = Bytes::new();
        }
    }
}

fn put_hex(out: &mut Vec<u8>, number: usize) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut started = false;
    for shift in (0..usize::BITS / 4).rev() {
        let digit = (number >> (shift * 4)) & 15;
        started |= digit != 0;
        if started {
            out.put_u8(DIGITS.get(digit).copied().unwrap_or(b'0'));
        }
    }
}
