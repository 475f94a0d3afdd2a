//! Chunked bodies (RFC 9112 section 7.1): sizes without extensions, exact line ends, trailers.

use super::fields::{Fields, Section, Step};
use super::lex::Fault;
use super::{Kind, Limits};

#[derive(Clone, Copy, Debug)]
enum At {
    Size,
    SizeLf,
    /// Bytes left of a chunk's data.
    Data(u64),
    DataCr,
    DataLf,
    Trailers,
}

/// Reads one chunked body.
///
/// `Size -> SizeLf -> Data -> DataCr -> DataLf -> Size ...; a size of 0: SizeLf -> Trailers -> ended`
#[derive(Clone, Debug)]
pub(super) struct Chunks {
    at: At,
    size: u64,
    digits: u8,
    trailers: Fields,
    trailer_bytes: u64,
}

impl Chunks {
    /// Leading zeros included.
    const DIGITS_MAX: u8 = 16;
    /// Larger sizes overflow the signed numbers of other parsers.
    const SIZE_MAX: u64 = i64::MAX as u64;
    /// Other readers refuse 16 KiB.
    const TRAILER_BYTES_MAX: u64 = (16 << 10) - 1;

    pub(super) fn new() -> Self {
        Self { at: At::Size, size: 0, digits: 0, trailers: Fields::new(Section::Trailers), trailer_bytes: 0 }
    }

    pub(super) fn clear(&mut self) {
        self.at = At::Size;
        self.size = 0;
        self.digits = 0;
        self.trailers.clear();
        self.trailer_bytes = 0;
    }

    /// Reads on in `rest`, which is not empty.
    pub(super) fn read(&mut self, rest: &[u8], limits: &Limits) -> Result<Step, Fault> {
        let Some(&first) = rest.first() else { return Ok(Step::Took(0)) };
        match self.at {
            At::Size => self.size(first),
            At::SizeLf => match first {
                b'\n' => self.on(if self.size == 0 { At::Trailers } else { At::Data(self.size) }),
                _ => Err(Fault::here("a carriage return without a line feed in a chunk header")),
            },
            At::Data(left) => {
                let (taken, left) = count_down(left, rest.len());
                self.at = if left == 0 { At::DataCr } else { At::Data(left) };
                Ok(Step::Took(taken))
            }
            At::DataCr => match first {
                b'\r' => self.on(At::DataLf),
                _ => Err(Fault::here("chunk data longer than its size")),
            },
            At::DataLf => match first {
                b'\n' => {
                    self.size = 0;
                    self.digits = 0;
                    self.on(At::Size)
                }
                _ => Err(Fault::here("chunk data without its line end")),
            },
            At::Trailers => self.trailers(rest, limits),
        }
    }

    fn on(&mut self, at: At) -> Result<Step, Fault> {
        self.at = at;
        Ok(Step::Took(1))
    }

    fn size(&mut self, first: u8) -> Result<Step, Fault> {
        let Some(digit) = char::from(first).to_digit(16) else {
            return match first {
                b'\r' if self.digits > 0 => self.on(At::SizeLf),
                b';' if self.digits > 0 => Err(Fault::here("a chunk extension")),
                b'\n' => Err(Fault::here("a line feed without a carriage return in a chunk header")),
                _ => Err(Fault::here("a chunk size that is not a hexadecimal number")),
            };
        };
        let size = self.size.checked_mul(16).and_then(|s| s.checked_add(u64::from(digit)));
        let (Some(size), true) = (size.filter(|s| *s <= Self::SIZE_MAX), self.digits < Self::DIGITS_MAX) else {
            return Err(Fault::here("a chunk size that is too large"));
        };
        self.size = size;
        self.digits = self.digits.saturating_add(1);
        Ok(Step::Took(1))
    }

    fn trailers(&mut self, rest: &[u8], limits: &Limits) -> Result<Step, Fault> {
        let room = limits.head_bytes_max.min(Self::TRAILER_BYTES_MAX).saturating_sub(self.trailer_bytes);
        let shown = rest.get(..usize::try_from(room).unwrap_or(usize::MAX)).unwrap_or(rest);
        if shown.is_empty() {
            return Err(Fault::here("too many bytes of trailers").of(Kind::HeaderTooLarge));
        }
        let step = self.trailers.read(shown, limits.head_lines_max)?;
        let (Step::Took(taken) | Step::Ended(taken)) = step;
        self.trailer_bytes = self.trailer_bytes.saturating_add(u64::try_from(taken).unwrap_or(u64::MAX));
        Ok(step)
    }
}

/// How many of `there` bytes belong to the `left` ones, and how many are left then.
pub(super) fn count_down(left: u64, there: usize) -> (usize, u64) {
    let there_len = u64::try_from(there).unwrap_or(u64::MAX);
    let taken = usize::try_from(left.min(there_len)).unwrap_or(there);
    (taken, left.saturating_sub(there_len))
}
