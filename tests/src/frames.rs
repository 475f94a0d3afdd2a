//! WebSocket frames by hand: good ones and such that no library would send.

use std::io::{self, Read};

/// One frame, as it was on the wire but for its mask.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    /// FIN, the reserved bits and the opcode.
    pub first: u8,
    /// Whether it was masked.
    pub masked: bool,
    /// Its payload, in the clear.
    pub payload: Vec<u8>,
}

/// `FIN` and the opcode of text.
pub const TEXT: u8 = 0x81;
/// The same of bytes.
pub const BINARY: u8 = 0x82;
/// The same of a close frame.
pub const CLOSE: u8 = 0x88;
/// The same of a ping.
pub const PING: u8 = 0x89;
/// The same of a pong.
pub const PONG: u8 = 0x8a;

/// A key of 16 bytes, and what a server makes of it (RFC 6455 section 1.3).
pub const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";
/// See [`KEY`].
pub const ACCEPT: &str = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";

impl Frame {
    /// A status of a close frame and its reason.
    #[must_use]
    pub fn status(&self) -> Option<(u16, String)> {
        let (status, reason) = self.payload.split_first_chunk()?;
        let close = self.first == CLOSE;
        close.then(|| (u16::from_be_bytes(*status), String::from_utf8_lossy(reason).into_owned()))
    }

    /// The payload as text.
    #[must_use]
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.payload).into_owned()
    }
}

fn head(first: u8, masked: bool, length: usize) -> Vec<u8> {
    let bit = if masked { 0x80 } else { 0 };
    let mut out = vec![first];
    match length {
        0..=125 => out.push(bit | u8::try_from(length).unwrap()),
        126..=0xffff => {
            out.push(bit | 126);
            out.extend_from_slice(&u16::try_from(length).unwrap().to_be_bytes());
        }
        _ => {
            out.push(bit | 127);
            out.extend_from_slice(&u64::try_from(length).unwrap().to_be_bytes());
        }
    }
    out
}

/// A frame of a server.
#[must_use]
pub fn plain(first: u8, payload: impl AsRef<[u8]>) -> Vec<u8> {
    let payload = payload.as_ref();
    [&head(first, false, payload.len()), payload].concat()
}

/// A frame of a client.
#[must_use]
pub fn masked(first: u8, payload: impl AsRef<[u8]>) -> Vec<u8> {
    const MASK: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];
    let payload = payload.as_ref();
    let mut out = head(first, true, payload.len());
    out.extend_from_slice(&MASK);
    out.extend(payload.iter().zip(MASK.iter().cycle()).map(|(byte, key)| byte ^ key));
    out
}

/// A close frame's payload.
#[must_use]
pub fn status(code: u16, reason: &str) -> Vec<u8> {
    [code.to_be_bytes().as_slice(), reason.as_bytes()].concat()
}

/// Reads one frame; `None` at the end of the stream before its first byte.
pub(crate) fn read(io: &mut impl Read) -> io::Result<Option<Frame>> {
    let mut first = [0];
    if io.read(&mut first)? == 0 {
        return Ok(None);
    }
    let mut byte = [0];
    io.read_exact(&mut byte)?;
    let masked = byte[0] & 0x80 != 0;
    let length = match byte[0] & 0x7f {
        126 => {
            let mut length = [0; 2];
            io.read_exact(&mut length)?;
            usize::from(u16::from_be_bytes(length))
        }
        127 => {
            let mut length = [0; 8];
            io.read_exact(&mut length)?;
            usize::try_from(u64::from_be_bytes(length)).unwrap()
        }
        length => usize::from(length),
    };
    let mut key = [0; 4];
    if masked {
        io.read_exact(&mut key)?;
    }
    let mut payload = vec![0; length];
    io.read_exact(&mut payload)?;
    payload.iter_mut().zip(key.iter().cycle()).for_each(|(byte, key)| *byte ^= key);
    Ok(Some(Frame { first: first[0], masked, payload }))
}
