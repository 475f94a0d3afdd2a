//! Chunked content (RFC 9112 section 7.1) that the gate has found to be strict.

use bytes::{Buf, BytesMut};
use http::HeaderMap;
use memchr::memchr;

use super::head::{self, HEAD_END};

/// Where in chunked content the next byte stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Chunk {
    /// At a chunk's size.
    Size,
    /// In a chunk, with so many bytes left.
    Data(u64),
    /// Behind a chunk's data.
    DataEnd,
    /// Behind the last chunk's line.
    Trailers,
}

/// What the bytes at hand come to.
#[derive(Debug)]
pub(super) enum Next {
    /// So many bytes of content may be taken.
    Data(u64),
    /// More bytes are needed.
    More,
    /// The end, and the trailer fields before it.
    End(Option<HeaderMap>),
    /// No chunk. The gate lets none of these through.
    Broken,
}

impl Chunk {
    /// Reads on to the next content.
    pub(super) fn next(&mut self, read: &mut BytesMut) -> Next {
        loop {
            match *self {
                Self::Data(left) => return Next::Data(left),
                Self::DataEnd => {
                    if read.len() < 2 {
                        return Next::More;
                    }
                    read.advance(2);
                    *self = Self::Size;
                }
                Self::Size => {
                    let Some(line) = memchr(b'\n', read).and_then(|end| read.get(..end)) else { return Next::More };
                    let Some(size) = size(line) else { return Next::Broken };
                    read.advance(line.len().saturating_add(1));
                    *self = if size == 0 { Self::Trailers } else { Self::Data(size) };
                }
                Self::Trailers => return trailers(read),
            }
        }
    }

    /// So many bytes of a chunk's data were taken.
    pub(super) fn took(&mut self, bytes: u64) {
        if let Self::Data(left) = *self {
            *self = match left.saturating_sub(bytes) {
                0 => Self::DataEnd,
                rest => Self::Data(rest),
            };
        }
    }
}

/// The hexadecimal digits that a line begins with.
fn size(line: &[u8]) -> Option<u64> {
    let digits = line.iter().take_while(|byte| byte.is_ascii_hexdigit()).count();
    let text = std::str::from_utf8(line.get(..digits)?).ok()?;
    u64::from_str_radix(text, 16).ok()
}

fn trailers(read: &mut BytesMut) -> Next {
    if read.len() < 2 {
        return Next::More;
    }
    if read.starts_with(b"\r\n") {
        read.advance(2);
        return Next::End(None);
    }
    let Some(end) = HEAD_END.find(read) else { return Next::More };
    match head::trailers(&read.split_to(end.saturating_add(4)).freeze()) {
        Some(fields) => Next::End(Some(fields)),
        None => Next::Broken,
    }
}
