//! HTTP/2 by hand: good frames, and such that no library would send.

use std::collections::HashMap;

use crate::raw::Raw;

/// What a client begins with (RFC 9113 section 3.4).
pub const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// Types of frames.
pub const DATA: u8 = 0;
/// See [`DATA`].
pub const HEADERS: u8 = 1;
/// See [`DATA`].
pub const RST_STREAM: u8 = 3;
/// See [`DATA`].
pub const SETTINGS: u8 = 4;
/// See [`DATA`].
pub const PING: u8 = 6;
/// See [`DATA`].
pub const GOAWAY: u8 = 7;
/// See [`DATA`].
pub const CONTINUATION: u8 = 9;
/// Flags of frames.
pub const END_STREAM: u8 = 0x1;
/// See [`END_STREAM`].
pub const END_HEADERS: u8 = 0x4;
/// See [`END_STREAM`].
pub const PADDED: u8 = 0x8;
/// See [`END_STREAM`].
pub const PRIORITY: u8 = 0x20;

/// A frame as bytes.
///
/// # Panics
/// If the payload is longer than a frame may be.
#[must_use]
pub fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    let mut out = vec![length[1], length[2], length[3], kind, flags];
    out.extend(stream.to_be_bytes());
    out.extend(payload);
    out
}

/// A string without Huffman (RFC 7541 section 5.2).
fn string(text: &[u8], out: &mut Vec<u8>) {
    match text.len() {
        short @ 0..127 => out.push(u8::try_from(short).unwrap()),
        long => {
            out.push(127);
            let mut rest = long - 127;
            while rest >= 128 {
                out.push(u8::try_from(rest % 128).unwrap() | 0x80);
                rest /= 128;
            }
            out.push(u8::try_from(rest).unwrap());
        }
    }
    out.extend_from_slice(text);
}

/// A block of these lines, each a literal that is not indexed.
#[must_use]
pub fn block<N: AsRef<[u8]>, V: AsRef<[u8]>>(lines: &[(N, V)]) -> Vec<u8> {
    let mut out = Vec::new();
    for (name, value) in lines {
        out.push(0);
        string(name.as_ref(), &mut out);
        string(value.as_ref(), &mut out);
    }
    out
}

/// What a good head begins with.
#[must_use]
pub fn head<'a>(method: &'a str, authority: &'a str, path: &'a str) -> Vec<(&'a str, &'a str)> {
    vec![(":method", method), (":scheme", "https"), (":authority", authority), (":path", path)]
}

/// What came of one stream.
#[derive(Clone, Debug, Default)]
pub struct Stream {
    /// Its content.
    pub body: Vec<u8>,
    /// Whether it ended in order.
    pub ended: bool,
    /// The error that it was reset with.
    pub reset: Option<u32>,
}

impl Stream {
    /// The status and the reason that a refusal tells.
    ///
    /// # Panics
    /// If it is none.
    #[must_use]
    pub fn refusal(&self) -> (u64, String) {
        let json: serde_json::Value =
            serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"));
        (json["status"].as_u64().unwrap(), json["reason"].as_str().unwrap().to_owned())
    }

    /// Its content as text.
    #[must_use]
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

/// A connection that speaks frames.
pub struct Wire {
    raw: Raw,
    streams: HashMap<u32, Stream>,
    goaway: Option<u32>,
    pongs: u64,
    pings: u64,
    told: bool,
}

impl Wire {
    /// Inside TLS that speaks HTTP/2; begins, and takes what it is told.
    #[must_use]
    pub fn open(raw: Raw) -> Self {
        let mut wire = Self { raw, streams: HashMap::new(), goaway: None, pongs: 0, pings: 0, told: false };
        wire.send(&[PREFACE, &frame(SETTINGS, 0, 0, &[])].concat());
        // What it is told holds from its acknowledgement on.
        while !wire.told && wire.read() {}
        wire
    }

    /// Sends bytes.
    pub fn send(&mut self, bytes: &[u8]) {
        self.raw.send(bytes);
    }

    /// The connection below.
    pub fn raw(&mut self) -> &mut Raw {
        &mut self.raw
    }

    /// Asks without a body.
    pub fn ask(&mut self, stream: u32, lines: &[(&str, &str)]) -> Stream {
        self.send(&frame(HEADERS, END_HEADERS | END_STREAM, stream, &block(lines)));
        self.answer(stream)
    }

    /// Everything of a stream, to its end.
    ///
    /// # Panics
    /// If the connection ends before.
    pub fn answer(&mut self, stream: u32) -> Stream {
        while !self.streams.get(&stream).is_some_and(|s| s.ended || s.reset.is_some()) {
            assert!(self.read(), "the connection ended: {:?}", self.goaway);
        }
        self.streams.remove(&stream).unwrap()
    }

    /// What came of a stream so far.
    #[must_use]
    pub fn so_far(&self, stream: u32) -> Stream {
        self.streams.get(&stream).cloned().unwrap_or_default()
    }

    /// Waits until all that was sent has been read.
    ///
    /// # Panics
    /// If the connection ends before.
    pub fn settle(&mut self) {
        self.pings += 1;
        self.send(&frame(PING, 0, 0, &self.pings.to_be_bytes()));
        while self.pongs < self.pings {
            assert!(self.read(), "the connection ended: {:?}", self.goaway);
        }
    }

    /// The error that the connection ends with.
    pub fn end(&mut self) -> Option<u32> {
        while self.read() {}
        self.goaway
    }

    /// Reads the next frame; false at the end.
    fn read(&mut self) -> bool {
        let mut head = [0; 9];
        if self.raw.exact(&mut head).is_err() {
            return false;
        }
        let mut payload = vec![0; u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize];
        if self.raw.exact(&mut payload).is_err() {
            return false;
        }
        let stream = u32::from_be_bytes([head[5], head[6], head[7], head[8]]);
        let number = |from: usize| u32::from_be_bytes(payload[from..from + 4].try_into().unwrap());
        match head[3] {
            DATA | HEADERS => {
                let of = self.streams.entry(stream).or_default();
                if head[3] == DATA {
                    of.body.extend_from_slice(&payload);
                }
                of.ended |= head[4] & END_STREAM != 0;
            }
            RST_STREAM => self.streams.entry(stream).or_default().reset = Some(number(0)),
            GOAWAY => self.goaway = Some(number(4)),
            SETTINGS if head[4] & 1 == 0 => {
                self.send(&frame(SETTINGS, 1, 0, &[]));
                self.told = true;
            }
            PING if head[4] & 1 != 0 => self.pongs += 1,
            _ => {}
        }
        true
    }
}
