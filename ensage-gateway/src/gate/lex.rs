//! The bytes that grammar rules are made of (RFC 9110 section 5, RFC 9112 sections 2 to 5).

use memchr::memchr2;

use super::Kind;

/// A broken rule, found `ahead` bytes after the ones already read.
#[derive(Clone, Copy, Debug)]
pub(super) struct Fault {
    pub(super) kind: Kind,
    pub(super) detail: &'static str,
    pub(super) ahead: usize,
}

impl Fault {
    /// A fault of form at the next byte.
    pub(super) const fn here(detail: &'static str) -> Self {
        Self::ahead(0, detail)
    }

    /// A fault of form, `ahead` bytes on.
    pub(super) const fn ahead(ahead: usize, detail: &'static str) -> Self {
        Self { kind: Kind::Malformed, detail, ahead }
    }

    /// The same fault, seen from `taken` bytes before.
    pub(super) const fn after(self, taken: usize) -> Self {
        Self { ahead: self.ahead.saturating_add(taken), ..self }
    }

    /// The same fault as another kind.
    pub(super) const fn of(self, kind: Kind) -> Self {
        Self { kind, ..self }
    }
}

/// `tchar` of RFC 9110 section 5.6.2.
pub(super) const fn is_token(byte: u8) -> bool {
    matches!(byte,
        b'!' | b'#'..=b'\'' | b'*' | b'+' | b'-' | b'.' | b'0'..=b'9' | b'A'..=b'Z' | b'^'..=b'z' | b'|' | b'~')
}

/// Optional white space.
pub(super) const fn is_ows(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t')
}

/// A control byte, HTAB apart: in no field value and in no reason phrase (RFC 9110 section 5.5).
const fn is_control(byte: u8) -> bool {
    (byte < b' ' && byte != b'\t') || byte == 0x7f
}

/// How many bytes from the first on satisfy `holds`.
pub(super) fn run(bytes: &[u8], holds: impl Fn(u8) -> bool) -> usize {
    bytes.iter().position(|&b| !holds(b)).unwrap_or(bytes.len())
}

/// How many bytes from the first on may stand in a field value.
pub(super) fn value_run(bytes: &[u8]) -> usize {
    let line = memchr2(b'\r', b'\n', bytes).and_then(|end| bytes.get(..end)).unwrap_or(bytes);
    // One pass without a branch per byte (the compiler makes it a vector loop); a second only for a refusal.
    if line.iter().fold(false, |bad, &b| bad | is_control(b)) { run(line, |b| !is_control(b)) } else { line.len() }
}

/// The beginning of a token that may come in pieces: enough of it to know it by.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Token {
    bytes: [u8; Token::KEPT],
    /// Bytes of the whole token; those past `KEPT` are counted only.
    len: usize,
}

impl Token {
    /// One more than the longest name that any rule knows (`proxy-authentication-info`, 25).
    const KEPT: usize = 26;

    pub(super) fn clear(&mut self) {
        self.len = 0;
    }

    pub(super) const fn is_empty(&self) -> bool {
        self.len == 0
    }

    pub(super) fn push(&mut self, piece: &[u8]) {
        if let Some(room) = self.bytes.get_mut(self.len..) {
            for (to, from) in room.iter_mut().zip(piece) {
                *to = *from;
            }
        }
        self.len = self.len.saturating_add(piece.len());
    }

    /// The token, `None` if it is longer than any that is known.
    pub(super) fn known(&self) -> Option<&[u8]> {
        self.bytes.get(..self.len).filter(|t| t.len() < Self::KEPT)
    }

    pub(super) fn is(&self, name: &str) -> bool {
        self.len == name.len() && self.known().is_some_and(|t| t.eq_ignore_ascii_case(name.as_bytes()))
    }

    pub(super) fn is_any(&self, names: &[&str]) -> bool {
        names.iter().any(|n| self.is(n))
    }
}
