//! Coded request bodies in the clear (RFC 9110 section 8.4), as they come: what is governed is judged and searched as
//! what it says, and sent on so. Never more than a bound at once, whatever a coding makes of its bytes.

use std::cell::RefCell;
use std::io::{self, Write};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes, BytesMut};
use ensage_policy::Reason;
use http::{HeaderMap, header};
use http_body::{Body, Frame};
use ruzstd::decoding::FrameDecoder;

use super::body::UpSeen;
use super::hold::Share;
use super::reply::Stop;
use crate::h1::{Broken, Feed, Incoming};

/// Most that a body may grow in being decoded (contract section 4).
const GROWTH_MAX: u64 = 100;
/// So much it may in any case: what is short may well be dense.
const FREE_BYTES: u64 = 64 * 1024;
/// What is decoded at once.
const STEP_BYTES: usize = 4 * 1024;
/// The largest window of zstd: what RFC 8878 section 3.1.1.1.2 asks of every decoder.
const ZSTD_WINDOW_MAX: u64 = 8 << 20;
/// A block of zstd is no longer (RFC 8878 section 3.1.1.2.4).
const ZSTD_BLOCK_MAX: usize = 128 * 1024;
/// The largest window of brotli (RFC 7932 section 9.1).
const BROTLI_WINDOW_MAX: u64 = 16 << 20;
/// In the first byte of brotli: its window is larger, which that RFC has no place for and the decoder takes.
const BROTLI_LARGE_WINDOW: u8 = 0x11;

/// A coding that is read here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Coding {
    Gzip,
    Brotli,
    Zstd,
}

/// Puts a request's body into the clear and takes its coding out of its head. A body that is not coded stays as it is.
///
/// # Errors
/// A coding that is not read here, or several.
pub(super) fn clear(
    headers: &mut HeaderMap,
    body: &mut Option<Incoming>,
    bytes_max: u64,
    window: Share,
    seen: &Rc<UpSeen>,
) -> Result<(), Stop> {
    let Some(coding) = coding(headers)? else { return Ok(()) };
    headers.remove(header::CONTENT_ENCODING);
    let Some(coded) = body.take_if(|body| !body.is_end_stream()) else { return Ok(()) };
    // Of the coded bytes: what they become is told by its own framing.
    headers.remove(header::CONTENT_LENGTH);
    let decoder = Decoder::new(coding, bytes_max);
    let (rest, trailers, seen) = (Bytes::new(), None, seen.clone());
    *body = Some(Incoming::of(Decoded { coded, rest, decoder, window, windowed: 0, trailers, at: At::Coded, seen }));
    Ok(())
}

/// The one coding of a body, if it has any.
fn coding(headers: &HeaderMap) -> Result<Option<Coding>, Stop> {
    let mut found = None;
    for value in headers.get_all(header::CONTENT_ENCODING) {
        for token in value.as_bytes().split(|byte| *byte == b',') {
            let coding = match token.trim_ascii().to_ascii_lowercase().as_slice() {
                b"" | b"identity" => continue,
                b"gzip" | b"x-gzip" => Coding::Gzip,
                b"br" => Coding::Brotli,
                b"zstd" => Coding::Zstd,
                _ => return Err(refused("send this request as gzip, br, zstd or without content-encoding")),
            };
            if found.replace(coding).is_some() {
                return Err(refused("send this request with one content-encoding, or none"));
            }
        }
    }
    Ok(found)
}

fn refused(what: &str) -> Stop {
    Stop::refused(Reason::EncodingRefused, what)
}

/// Why a body cannot be put into the clear.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    /// It becomes too long, or too long for what it was.
    TooLarge,
    /// It is not what its coding says.
    Malformed,
    /// There is no room for its window.
    NoRoom,
}

impl Fault {
    const fn told(self) -> (Reason, &'static str) {
        match self {
            Self::TooLarge => (Reason::BodyTooLarge, "this body is too large once it is decoded"),
            Self::Malformed => (Reason::MalformedRequest, "this body is not what its content-encoding says"),
            Self::NoRoom => (Reason::Overloaded, "too many bytes are held at this moment; try again"),
        }
    }
}

/// Where a decoder puts what it makes; it refuses more than there may be.
#[derive(Clone, Debug)]
struct Sink(Rc<RefCell<Clear>>);

#[derive(Debug)]
struct Clear {
    bytes: BytesMut,
    coded: u64,
    made: u64,
    bytes_max: u64,
    too_large: bool,
}

impl Clear {
    /// The most that may be made of what has come.
    fn most(&self) -> u64 {
        self.coded.saturating_mul(GROWTH_MAX).saturating_add(FREE_BYTES).min(self.bytes_max)
    }
}

impl Write for Sink {
    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        let clear = &mut *self.0.borrow_mut();
        clear.made = clear.made.saturating_add(data.len() as u64);
        if clear.made > clear.most() {
            clear.too_large = true;
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        clear.bytes.extend_from_slice(data);
        Ok(data.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// One coding's decoder, which takes bytes as they come.
struct Decoder {
    clear: Sink,
    engine: Engine,
}

enum Engine {
    Gzip(Box<flate2::write::MultiGzDecoder<Sink>>),
    Brotli(Box<brotli_decompressor::DecompressorWriter<Sink>>),
    Zstd(Box<Zstd>),
}

impl Decoder {
    fn new(coding: Coding, bytes_max: u64) -> Self {
        let clear = Clear { bytes: BytesMut::new(), coded: 0, made: 0, bytes_max, too_large: false };
        let clear = Sink(Rc::new(RefCell::new(clear)));
        let engine = match coding {
            Coding::Gzip => Engine::Gzip(Box::new(flate2::write::MultiGzDecoder::new(clear.clone()))),
            Coding::Brotli => {
                Engine::Brotli(Box::new(brotli_decompressor::DecompressorWriter::new(clear.clone(), STEP_BYTES)))
            }
            Coding::Zstd => Engine::Zstd(Box::new(Zstd::new(clear.clone()))),
        };
        Self { clear, engine }
    }

    fn feed(&mut self, data: &[u8]) -> Result<(), Fault> {
        {
            let clear = &mut *self.clear.0.borrow_mut();
            let begins = clear.coded == 0;
            clear.coded = clear.coded.saturating_add(data.len() as u64);
            let large = data.first().is_some_and(|first| first & 0x7f == BROTLI_LARGE_WINDOW);
            if begins && large && matches!(self.engine, Engine::Brotli(_)) {
                return Err(Fault::Malformed);
            }
        }
        let fed = match &mut self.engine {
            Engine::Gzip(gzip) => gzip.write_all(data),
            Engine::Brotli(brotli) => brotli.write_all(data),
            Engine::Zstd(zstd) => zstd.feed(data),
        };
        fed.map_err(|_| self.fault())
    }

    /// The coded bytes are over: so must be what they say.
    fn finish(&mut self) -> Result<(), Fault> {
        let ended = match &mut self.engine {
            Engine::Gzip(gzip) => gzip.try_finish(),
            Engine::Brotli(brotli) => brotli.close(),
            Engine::Zstd(zstd) => zstd.finish(),
        };
        ended.map_err(|_| self.fault())
    }

    /// So much of what it has made it may keep, for what follows to repeat.
    fn window(&self) -> u64 {
        let most = match &self.engine {
            Engine::Gzip(_) => 0,
            Engine::Brotli(_) => BROTLI_WINDOW_MAX,
            Engine::Zstd(_) => ZSTD_WINDOW_MAX,
        };
        self.clear.0.borrow().made.min(most)
    }

    fn take(&mut self) -> Bytes {
        self.clear.0.borrow_mut().bytes.split().freeze()
    }

    fn fault(&self) -> Fault {
        if self.clear.0.borrow().too_large { Fault::TooLarge } else { Fault::Malformed }
    }
}

/// Frames of zstd (RFC 8878), given to their decoder block by block: it makes all at once of what it is given.
struct Zstd {
    decoder: FrameDecoder,
    clear: Sink,
    coded: BytesMut,
    at: Next,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Next {
    /// The head of a frame, or the end.
    Head,
    /// A block; `checksum` where four more bytes follow the last.
    Block { checksum: bool },
}

const CHECKSUM_BYTES: usize = 4;

impl Zstd {
    fn new(clear: Sink) -> Self {
        let mut decoder = FrameDecoder::new();
        decoder.set_max_window_size(ZSTD_WINDOW_MAX);
        Self { decoder, clear, coded: BytesMut::new(), at: Next::Head }
    }

    fn feed(&mut self, data: &[u8]) -> io::Result<()> {
        self.coded.extend_from_slice(data);
        while self.step()? {}
        Ok(())
    }

    fn finish(&self) -> io::Result<()> {
        if self.at == Next::Head && self.coded.is_empty() { Ok(()) } else { Err(io::ErrorKind::UnexpectedEof.into()) }
    }

    /// Decodes the next piece; false where it is not here whole.
    fn step(&mut self) -> io::Result<bool> {
        match self.at {
            Next::Head => {
                let Some(&descriptor) = self.coded.get(4) else { return Ok(false) };
                let Some(head) = self.coded.get(..head_length(descriptor)) else { return Ok(false) };
                self.decoder.reset(head).map_err(malformed)?;
                self.coded.advance(head_length(descriptor));
                self.at = Next::Block { checksum: descriptor & 4 != 0 };
            }
            Next::Block { checksum } => {
                let Some(&[low, middle, high]) = self.coded.first_chunk() else { return Ok(false) };
                let word = u32::from_le_bytes([low, middle, high, 0]);
                let (last, kind, size) =
                    (word & 1 == 1, (word >> 1) & 3, usize::try_from(word >> 3).unwrap_or(usize::MAX));
                if size > ZSTD_BLOCK_MAX {
                    return Err(io::ErrorKind::InvalidData.into());
                }
                // A run is one byte, however often it stands there.
                let mut length = if kind == 1 { 4 } else { size.saturating_add(3) };
                if last && checksum {
                    length = length.saturating_add(CHECKSUM_BYTES);
                }
                let Some(block) = self.coded.get(..length) else { return Ok(false) };
                self.decoder.decode_from_to(block, &mut []).map_err(malformed)?;
                self.coded.advance(length);
                self.decoder.collect_to_writer(&mut self.clear)?;
                if last {
                    self.at = Next::Head;
                }
            }
        }
        Ok(true)
    }
}

/// How long a frame's head with this descriptor is, magic number and all (RFC 8878 section 3.1.1.1).
const fn head_length(descriptor: u8) -> usize {
    let single = descriptor & 0x20 != 0;
    let window = if single { 0 } else { 1 };
    let dictionary = match descriptor & 3 {
        0 => 0,
        1 => 1,
        2 => 2,
        _ => 4,
    };
    let size = match descriptor >> 6 {
        0 => single as usize,
        1 => 2,
        2 => 4,
        _ => 8,
    };
    5 + window + dictionary + size
}

fn malformed<E>(_: E) -> io::Error {
    io::ErrorKind::InvalidData.into()
}

/// A body that is decoded as it is read.
struct Decoded {
    coded: Incoming,
    /// Of what came of it, not decoded yet.
    rest: Bytes,
    decoder: Decoder,
    /// Of all held bytes, for `windowed` ones of its window.
    window: Share,
    windowed: u64,
    trailers: Option<HeaderMap>,
    at: At,
    seen: Rc<UpSeen>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum At {
    Coded,
    Trailers,
    End,
}

impl Decoded {
    fn decode(&mut self, step: &[u8]) -> Result<(), Fault> {
        self.decoder.feed(step)?;
        let window = self.decoder.window();
        let more = usize::try_from(window.saturating_sub(self.windowed)).unwrap_or(usize::MAX);
        self.windowed = window;
        if self.window.grow(more) { Ok(()) } else { Err(Fault::NoRoom) }
    }

    fn failed(&mut self, fault: Fault) -> Poll<Option<Result<Frame<Bytes>, Broken>>> {
        self.seen.refused.set(Some(fault.told()));
        self.at = At::End;
        Poll::Ready(Some(Err(Broken)))
    }
}

impl Feed for Decoded {
    fn poll_body(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Broken>>> {
        loop {
            let clear = self.decoder.take();
            if !clear.is_empty() {
                return Poll::Ready(Some(Ok(Frame::data(clear))));
            }
            match self.at {
                At::Coded if !self.rest.is_empty() => {
                    let step = self.rest.split_to(STEP_BYTES.min(self.rest.len()));
                    if let Err(fault) = self.decode(&step) {
                        return self.failed(fault);
                    }
                }
                At::Coded => match ready!(Pin::new(&mut self.coded).poll_frame(cx)) {
                    Some(Ok(frame)) => match frame.into_data() {
                        Ok(data) => self.rest = data,
                        Err(frame) => self.trailers = frame.into_trailers().ok(),
                    },
                    Some(Err(broken)) => return Poll::Ready(Some(Err(broken))),
                    None => {
                        if let Err(fault) = self.decoder.finish() {
                            return self.failed(fault);
                        }
                        self.at = At::Trailers;
                    }
                },
                At::Trailers => {
                    self.at = At::End;
                    return Poll::Ready(self.trailers.take().map(|trailers| Ok(Frame::trailers(trailers))));
                }
                At::End => return Poll::Ready(None),
            }
        }
    }

    fn left(&self) -> Option<u64> {
        (self.at == At::End && self.rest.is_empty()).then_some(0)
    }
}

#[cfg(test)]
mod tests;
