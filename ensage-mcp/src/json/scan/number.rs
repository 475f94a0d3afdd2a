//! Numbers: RFC 8259 section 6; the text is kept, for a re-written number would not be the one that was judged.

use super::wide;
use crate::json::JsonError;

/// Bytes of a number. `serde_json`, like most readers, takes longer ones; nobody sends them.
const BYTES_MAX: usize = 1024;

/// The number that is being read.
#[derive(Debug, Default)]
pub(super) struct Number {
    part: Part,
    scaled: bool,
    /// The offset of its first byte.
    start: u64,
    /// What earlier pieces had of it.
    held: Vec<u8>,
}

/// Behind which part of a number.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Part {
    #[default]
    Nothing,
    Minus,
    Zero,
    Whole,
    Dot,
    Fraction,
    Exponent,
    Sign,
    Power,
}

impl Number {
    /// A number begins at that offset, with a digit or a minus that is still to be read.
    pub(super) fn begin(&mut self, start: u64) {
        (self.part, self.scaled, self.start) = (Part::Nothing, false, start);
        self.held.clear();
    }

    /// Reads on from `at`, in a piece that begins at `offset` and has the number from `from` on. Says where it ends,
    /// which is the end of the piece if that is not known.
    pub(super) fn read(&mut self, bytes: &[u8], from: usize, mut at: usize, offset: u64) -> Result<usize, JsonError> {
        use Part as P;
        while let Some(byte) = bytes.get(at) {
            self.part = match (self.part, byte) {
                (P::Nothing, b'-') => P::Minus,
                (P::Nothing | P::Minus, b'0') => P::Zero,
                (P::Nothing | P::Minus | P::Whole, b'0'..=b'9') => P::Whole,
                (P::Zero | P::Whole, b'.') => P::Dot,
                (P::Dot | P::Fraction, b'0'..=b'9') => P::Fraction,
                (P::Zero | P::Whole | P::Fraction, b'e' | b'E') => P::Exponent,
                (P::Exponent, b'+' | b'-') => P::Sign,
                (P::Exponent | P::Sign | P::Power, b'0'..=b'9') => P::Power,
                (P::Zero | P::Whole | P::Fraction | P::Power, _) => break,
                (_, _) => return Err(JsonError::Syntax { offset: offset + wide(at) }),
            };
            self.scaled |= self.part == P::Exponent;
            at += 1;
            if self.held.len() + (at - from) > BYTES_MAX {
                return Err(JsonError::Number { offset: self.start });
            }
        }
        Ok(at)
    }

    /// Keeps the part of it that this piece has.
    pub(super) fn hold(&mut self, bytes: &[u8]) {
        self.held.extend_from_slice(bytes);
    }

    /// The whole text, of which this piece has the last part.
    pub(super) fn end<'n>(&'n mut self, last: &'n [u8]) -> Result<&'n str, JsonError> {
        let whole = if self.held.is_empty() {
            last
        } else {
            self.held.extend_from_slice(last);
            &self.held
        };
        let text = std::str::from_utf8(whole).unwrap_or_default();
        // Below 10^308 without an exponent it is finite whatever its digits are.
        if (self.scaled || text.len() > 300) && !text.parse::<f64>().is_ok_and(f64::is_finite) {
            return Err(JsonError::Number { offset: self.start });
        }
        Ok(text)
    }
}
