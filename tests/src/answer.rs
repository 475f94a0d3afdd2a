//! One HTTP/1 message as bytes, read by its framing and by nothing else.

use std::io::{self, Read};

/// A head and a body, as they were on the wire.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Answer {
    /// The status; 0 for a request.
    pub status: u16,
    /// The head with its empty line.
    pub head: String,
    /// The body, its chunks joined.
    pub body: Vec<u8>,
    /// How the body came: the sizes of its chunks, empty if it was not chunked.
    pub chunks: Vec<usize>,
    /// Trailer lines.
    pub trailers: String,
}

/// How a body ends where the head does not say.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unsaid {
    /// There is none.
    Nothing,
    /// With the connection.
    Close,
}

/// Most bytes of a head that a test reads.
const HEAD_MAX: usize = 4 << 20;

impl Answer {
    /// The value of a field; `None` if it is absent.
    ///
    /// # Panics
    /// If it is there twice.
    #[must_use]
    pub fn field(&self, name: &str) -> Option<&str> {
        let mut found = self.fields(name);
        let first = found.next();
        assert_eq!(found.next(), None, "{name} is there twice in\n{}", self.head);
        first
    }

    /// All values of a field.
    pub fn fields<'a>(&'a self, name: &str) -> impl Iterator<Item = &'a str> {
        self.head.split("\r\n").skip(1).filter_map(move |line| {
            let (field, value) = line.split_once(':')?;
            field.eq_ignore_ascii_case(name).then_some(value.trim())
        })
    }

    /// The body as text.
    #[must_use]
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The body as JSON.
    ///
    /// # Panics
    /// If it is none.
    #[must_use]
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|e| panic!("{e}: {}{}", self.head, self.text()))
    }

    /// The reason that `proxy-status` tells.
    #[must_use]
    pub fn told(&self) -> Option<&str> {
        self.field("proxy-status")?.split_once("details=\"")?.1.split('"').next()
    }

    /// The first line.
    #[must_use]
    pub fn line(&self) -> &str {
        self.head.split("\r\n").next().unwrap_or("")
    }
}

/// Reads a head up to and with its empty line; `None` at a clean end before its first byte.
pub(crate) fn head(io: &mut impl Read) -> io::Result<Option<String>> {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") {
        if io.read(&mut byte)? == 0 {
            if head.is_empty() {
                return Ok(None);
            }
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, String::from_utf8_lossy(&head).into_owned()));
        }
        head.push(byte[0]);
        assert!(head.len() < HEAD_MAX, "a head without end");
    }
    Ok(Some(String::from_utf8_lossy(&head).into_owned()))
}

/// Reads the body of `message` by its head.
pub(crate) fn body(message: &mut Answer, io: &mut impl Read, unsaid: Unsaid) -> io::Result<()> {
    if let Some(coding) = message.field("transfer-encoding") {
        assert!(coding.eq_ignore_ascii_case("chunked"), "{}", message.head);
        assert_eq!(message.field("content-length"), None, "{}", message.head);
        return chunked(message, io);
    }
    if let Some(length) = message.field("content-length") {
        message.body = vec![0; length.parse().unwrap_or_else(|_| panic!("{}", message.head))];
        return io.read_exact(&mut message.body);
    }
    if unsaid == Unsaid::Close {
        io.read_to_end(&mut message.body)?;
    }
    Ok(())
}

/// A checksum that sees order and place.
#[must_use]
pub fn sum(before: u64, bytes: &[u8]) -> u64 {
    bytes.iter().fold(before, |sum, &byte| sum.wrapping_mul(0x0100_0000_01b3).wrapping_add(u64::from(byte)))
}

/// Reads a body without keeping it: its length and its checksum.
pub(crate) fn body_sum(message: &Answer, io: &mut impl Read) -> io::Result<(u64, u64)> {
    let (mut length, mut checked) = (0, 0);
    let mut take = |io: &mut dyn Read, mut left: usize| -> io::Result<()> {
        let mut buffer = vec![0; 64 << 10];
        while left > 0 {
            let room = left.min(buffer.len());
            let n = io.read(&mut buffer[..room])?;
            if n == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            length += u64::try_from(n).unwrap_or(0);
            checked = sum(checked, &buffer[..n]);
            left -= n;
        }
        Ok(())
    };
    if message.field("transfer-encoding").is_none() {
        let length = message.field("content-length").unwrap_or("0");
        take(io, length.parse().map_err(io::Error::other)?)?;
    } else {
        loop {
            let size = usize::from_str_radix(&line(io)?, 16).map_err(io::Error::other)?;
            take(io, size)?;
            line(io)?;
            if size == 0 {
                break;
            }
        }
    }
    Ok((length, checked))
}

fn chunked(message: &mut Answer, io: &mut impl Read) -> io::Result<()> {
    loop {
        let size = line(io)?;
        let size =
            usize::from_str_radix(&size, 16).map_err(|_| io::Error::other(format!("no chunk size: {size:?}")))?;
        if size == 0 {
            break;
        }
        message.chunks.push(size);
        let from = message.body.len();
        message.body.resize(from + size, 0);
        io.read_exact(&mut message.body[from..])?;
        assert_eq!(line(io)?, "", "a chunk ends with CRLF");
    }
    loop {
        let trailer = line(io)?;
        if trailer.is_empty() {
            return Ok(());
        }
        message.trailers.push_str(&trailer);
        message.trailers.push_str("\r\n");
    }
}

/// One line without its CRLF.
pub(crate) fn line(io: &mut impl Read) -> io::Result<String> {
    let mut line = Vec::new();
    let mut byte = [0];
    while !line.ends_with(b"\r\n") {
        io.read_exact(&mut byte)?;
        line.push(byte[0]);
    }
    line.truncate(line.len() - 2);
    Ok(String::from_utf8_lossy(&line).into_owned())
}
