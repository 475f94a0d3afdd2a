//! The fast way: over what is surely valid, sixty-four bytes at a time.
//!
//! Nothing is refused here and nothing is told. Where something is wrong, unusual, or cut off by the end of the piece, the
//! plain machine goes on from a place in front of it; so a mistake here could only be to go over what is not valid.

mod grammar;
mod numbers;
mod runs;

pub(super) use grammar::{Grammar, Prev, Role, Stop};

use ensage_simd::{Isa, Work, dispatch};

/// Goes on within a string, sixteen bytes at most: `Ok` for a quote or a byte below 0x20, `Err` for where neither was seen
/// before.
#[inline]
pub(super) fn short_run(bytes: &[u8], at: usize) -> Result<usize, usize> {
    runs::short(bytes, at)
}

/// Goes on within a string: to its closing quote, to what the plain machine must look at, or to the end of the piece.
pub(super) fn text_run(bytes: &[u8], at: usize) -> usize {
    dispatch(TextRun { bytes, at })
}

/// Goes on within a container that nobody looks into; says where it stopped, and `grammar` how it stands there.
pub(super) fn skip(bytes: &[u8], at: usize, grammar: &mut Grammar) -> (usize, Stop) {
    dispatch(Skip { bytes, at, grammar })
}

struct TextRun<'b> {
    bytes: &'b [u8],
    at: usize,
}

impl Work for TextRun<'_> {
    type Out = usize;

    #[inline(always)]
    fn run<I: Isa>(self, isa: I) -> usize {
        runs::long(isa, self.bytes, self.at)
    }
}

struct Skip<'b> {
    bytes: &'b [u8],
    at: usize,
    grammar: &'b mut Grammar,
}

impl Work for Skip<'_> {
    type Out = (usize, Stop);

    #[inline(always)]
    fn run<I: Isa>(self, isa: I) -> (usize, Stop) {
        grammar::skip(isa, self.bytes, self.at, self.grammar)
    }
}

/// Sixty-four bytes that begin with those at an index, as far as the piece has them.
struct Window<'b> {
    block: &'b [u8; 64],
    /// The block begins so many bytes earlier.
    early: u32,
    /// One bit for each byte that is there.
    there: u64,
}

impl<'b> Window<'b> {
    #[inline(always)]
    const fn whole(block: &'b [u8; 64]) -> Self {
        Self { block, early: 0, there: !0 }
    }

    /// The last bytes of a piece, from `at`, which is less than its length; `pad` has room for a piece shorter than a
    /// block.
    #[inline(always)]
    fn last(bytes: &'b [u8], at: usize, pad: &'b mut [u8; 64]) -> Self {
        let rest = bytes.get(at..).unwrap_or_default();
        let there = low(rest.len() as u32);
        if let Some(block) = bytes.last_chunk() {
            return Self { block, early: 64 - rest.len() as u32, there };
        }
        for (place, byte) in pad.iter_mut().zip(rest) {
            *place = *byte;
        }
        Self { block: pad, early: 0, there }
    }

    /// A mask of the block as a mask of the window.
    #[inline(always)]
    const fn see(&self, mask: u64) -> u64 {
        (mask >> self.early) & self.there
    }
}

/// The lowest bits.
#[inline(always)]
const fn low(bits: u32) -> u64 {
    if bits >= 64 { !0 } else { (1 << bits) - 1 }
}
