//! Strings: where they end, whether their escapes are good, and what they say.

use super::pass::{Pass, State};
use super::{fast, wide};
use crate::json::{Found, JsonError};

/// The string that is being read.
#[derive(Debug, Default)]
pub(super) struct Text {
    /// The offset of its opening quote.
    pub(super) start: u64,
    pub(super) role: Role,
    escape: Escape,
    /// The offset of the backslash of the escape that is being read.
    escape_start: u64,
    /// Of a string that is told: what earlier pieces had of it.
    held: Vec<u8>,
    long: bool,
    decoded: String,
}

/// What a string is for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Role {
    /// A value whose text nobody needs.
    #[default]
    Value,
    /// A value that is told.
    ToldValue,
    /// A name in an object that is not interpreted.
    Name,
    /// A name that counts.
    ToldName,
}

impl Role {
    const fn is_told(self) -> bool {
        matches!(self, Self::ToldValue | Self::ToldName)
    }
}

/// How far an escape is read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Escape {
    #[default]
    Outside,
    Backslash,
    /// Behind `\u`: so many digits are missing, these are read; the first half of a pair was this.
    Hex {
        missing: u8,
        code: u16,
        high: Option<u16>,
    },
    /// Behind the first half of a surrogate pair.
    High(u16),
    /// Behind that and a backslash.
    HighBackslash(u16),
}

/// The last part of a string that has ended.
#[derive(Clone, Copy)]
pub(super) struct Last<'p> {
    bytes: &'p [u8],
    /// The same, if it is known to be text.
    text: Option<&'p str>,
    /// The whole string is known to have no escapes.
    is_plain: bool,
}

/// A string that has ended.
pub(super) struct Ended<'t> {
    pub(super) text: &'t str,
    pub(super) raw: &'t str,
}

impl Text {
    /// A string begins at the offset `start`.
    pub(super) fn begin(&mut self, start: u64, role: Role) {
        (self.start, self.role, self.escape) = (start, role, Escape::Outside);
        if role.is_told() {
            self.long = false;
            self.held.clear();
        }
    }

    /// Keeps what this piece has of a string that goes on.
    fn hold(&mut self, bytes: &[u8], limit: usize) {
        self.long |= self.held.len() + bytes.len() > limit;
        if self.long {
            self.held.clear();
        } else {
            self.held.extend_from_slice(bytes);
        }
    }

    /// The string; `None` if it is too long.
    pub(super) fn end<'t>(&'t mut self, last: Last<'t>, limit: usize) -> Option<Ended<'t>> {
        if self.long || self.held.len() + last.bytes.len() > limit {
            return None;
        }
        // The piece was checked, and those before it.
        let raw = match last.text {
            Some(text) if self.held.is_empty() => text,
            _ if self.held.is_empty() => std::str::from_utf8(last.bytes).unwrap_or_default(),
            _ => {
                self.held.extend_from_slice(last.bytes);
                std::str::from_utf8(&self.held).unwrap_or_default()
            }
        };
        if last.is_plain || memchr::memchr(b'\\', raw.as_bytes()).is_none() {
            return Some(Ended { text: raw, raw });
        }
        self.decoded.clear();
        decode(raw, &mut self.decoded);
        Some(Ended { text: &self.decoded, raw })
    }
}

impl<F: FnMut(Found<'_>)> Pass<'_, F> {
    /// Within a string that began at or before `at`.
    #[inline]
    pub(super) fn text(&mut self) -> Result<(), JsonError> {
        let from = self.at;
        if self.scanner.text.escape == Escape::Outside {
            match fast::short_run(self.bytes, from) {
                Ok(end) => {
                    self.at = end;
                    if self.bytes.get(end) == Some(&b'"') {
                        let is_plain = self.scanner.text.held.is_empty();
                        return self.text_ends(from, is_plain);
                    }
                }
                Err(none_before) => self.at = none_before,
            }
        }
        self.long_text(from)
    }

    fn long_text(&mut self, from: usize) -> Result<(), JsonError> {
        loop {
            if self.scanner.text.escape == Escape::Outside {
                self.at = fast::text_run(self.bytes, self.at);
            }
            let Some(&byte) = self.bytes.get(self.at) else { break };
            match self.scanner.text.escape {
                Escape::Outside if byte == b'"' => return self.text_ends(from, false),
                _ => self.text_byte(byte)?,
            }
            self.at += 1;
        }
        let text = &mut self.scanner.text;
        if text.role.is_told() {
            text.hold(self.bytes.get(from..).unwrap_or_default(), self.scanner.limits.text);
        }
        Ok(())
    }

    /// A byte that is no plain one, or belongs to an escape.
    fn text_byte(&mut self, byte: u8) -> Result<(), JsonError> {
        let here = self.here();
        let text = &mut self.scanner.text;
        let lone = JsonError::Surrogate { offset: text.escape_start };
        text.escape = match (text.escape, byte) {
            (Escape::Outside, b'\\') => {
                text.escape_start = here;
                Escape::Backslash
            }
            // A run may stop early.
            (Escape::Outside, 0x20..) => Escape::Outside,
            (Escape::Backslash, b'u') => Escape::Hex { missing: 4, code: 0, high: None },
            (Escape::Backslash, b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => Escape::Outside,
            (Escape::Hex { missing, code, high }, b'0'..=b'9' | b'a'..=b'f' | b'A'..=b'F') => {
                let digit = char::from(byte).to_digit(16).unwrap_or_default() as u16;
                let code = code << 4 | digit;
                match (missing, high, code) {
                    (2.., _, _) => Escape::Hex { missing: missing - 1, code, high },
                    (_, None, 0xD800..=0xDBFF) => Escape::High(code),
                    (_, None, 0xDC00..=0xDFFF) => return Err(lone),
                    (_, None, _) | (_, Some(_), 0xDC00..=0xDFFF) => Escape::Outside,
                    (_, Some(_), _) => return Err(lone),
                }
            }
            (Escape::High(high), b'\\') => Escape::HighBackslash(high),
            (Escape::HighBackslash(high), b'u') => Escape::Hex { missing: 4, code: 0, high: Some(high) },
            (Escape::High(_) | Escape::HighBackslash(_), _) => return Err(lone),
            (Escape::Outside | Escape::Backslash | Escape::Hex { .. }, _) => {
                return Err(JsonError::Syntax { offset: here });
            }
        };
        Ok(())
    }

    /// At the closing quote; this piece has the string from `from` on.
    #[inline]
    fn text_ends(&mut self, from: usize, is_plain: bool) -> Result<(), JsonError> {
        let bytes = self.bytes;
        let to = self.at;
        self.at += 1;
        let role = self.scanner.text.role;
        if !role.is_told() {
            if role == Role::Value {
                self.value_ends(None);
            } else {
                self.scanner.state = State::Colon;
            }
            return Ok(());
        }
        let known = self.known_text(from, to);
        let last = Last { bytes: bytes.get(from..to).unwrap_or_default(), text: known, is_plain };
        if role == Role::ToldValue {
            self.told_text_ends(last);
            return Ok(());
        }
        self.name_ends(last)?;
        self.scanner.state = State::Colon;
        if bytes.get(self.at) == Some(&b':') {
            self.at += 1;
            self.scanner.state = State::Value;
        }
        Ok(())
    }

    /// The offset of the byte at `at`.
    pub(super) fn here(&self) -> u64 {
        self.scanner.offset + wide(self.at)
    }
}

/// Decodes a string whose escapes are known to be good.
fn decode(raw: &str, decoded: &mut String) {
    let mut rest = raw;
    while let Some((plain, behind)) = rest.split_once('\\') {
        decoded.push_str(plain);
        let mut chars = behind.chars();
        let (one, used) = match chars.next() {
            Some('b') => ('\u{8}', 1),
            Some('f') => ('\u{C}', 1),
            Some('n') => ('\n', 1),
            Some('r') => ('\r', 1),
            Some('t') => ('\t', 1),
            Some('u') => unicode(behind),
            other => (other.unwrap_or_default(), 1),
        };
        decoded.push(one);
        rest = behind.get(used..).unwrap_or_default();
    }
    decoded.push_str(rest);
}

/// The character of `uXXXX` or `uXXXX\uXXXX`, and how long that is.
fn unicode(escape: &str) -> (char, usize) {
    let code =
        |from: usize| u32::from_str_radix(escape.get(from..from + 4).unwrap_or_default(), 16).unwrap_or_default();
    let first = code(1);
    if !(0xD800..0xDC00).contains(&first) {
        return (char::from_u32(first).unwrap_or_default(), 5);
    }
    let low = code(7);
    (char::from_u32(0x1_0000 + ((first & 0x3FF) << 10) + (low & 0x3FF)).unwrap_or_default(), 11)
}
