//! Sixty-four bytes at a time: which of them are quotes, brackets, digits and so on.
//!
//! Bit `i` of every mask is byte `i` of the block. An algorithm over blocks is written once, as a [`Work`] over any
//! [`Isa`], and [`dispatch`] runs it with the best instructions that this machine has. Beside `ensage-endpoint` this is the
//! only crate with `unsafe`: it has no state, no input but a block, and its ways are held against each other in tests.

#[cfg(target_arch = "x86_64")]
mod avx512;
mod portable;
#[cfg(target_arch = "x86_64")]
mod x86;

#[cfg(test)]
mod tests;

/// What the reader of a JSON text looks at first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tokens {
    /// `"`
    pub quote: u64,
    /// `\`
    pub backslash: u64,
    /// Below 0x20.
    pub control: u64,
    /// Space, tab, line feed, carriage return.
    pub white: u64,
    /// `,`
    pub comma: u64,
    /// `:`
    pub colon: u64,
    /// `[` and `{`
    pub open: u64,
    /// `]` and `}`
    pub close: u64,
    /// `0` to `9`
    pub digit: u64,
    /// `0`
    pub zero: u64,
    /// The bit 0x20, which parts `{` and `}` from `[` and `]`.
    pub brace: u64,
}

/// What numbers have beside digits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Signs {
    /// `-`
    pub minus: u64,
    /// `+`
    pub plus: u64,
    /// `.`
    pub dot: u64,
    /// `e` and `E`
    pub exponent: u64,
}

/// Instructions of a machine.
pub trait Isa: Copy {
    /// All masks of [`Tokens`].
    fn tokens(self, block: &[u8; 64]) -> Tokens;
    /// All masks of [`Signs`].
    fn signs(self, block: &[u8; 64]) -> Signs;
    /// Where a run of plain text within a string ends: quotes, backslashes and bytes below 0x20.
    fn specials(self, block: &[u8; 64]) -> u64;
    /// Each bit is the parity of the bits up to it: from every other set bit up to before the next.
    fn prefix_xor(self, bits: u64) -> u64;
}

/// An algorithm over blocks.
pub trait Work {
    /// What it yields.
    type Out;
    /// Does it. To be `#[inline(always)]`, and so all it calls: only then are the instructions of `isa` in its loop.
    fn run<I: Isa>(self, isa: I) -> Self::Out;
}

/// Does the work with the best instructions that this machine has.
///
/// ```
/// use ensage_simd::{Isa, Work, dispatch};
/// struct Commas<'b>(&'b [u8; 64]);
/// impl Work for Commas<'_> {
///     type Out = u32;
///     #[inline(always)]
///     fn run<I: Isa>(self, isa: I) -> u32 {
///         isa.tokens(self.0).comma.count_ones()
///     }
/// }
/// assert_eq!(dispatch(Commas(&[b','; 64])), 64);
/// ```
#[inline]
pub fn dispatch<W: Work>(work: W) -> W::Out {
    #[cfg(target_arch = "x86_64")]
    if let Some(isa) = avx512::Avx512::detect() {
        return isa.dispatch(work);
    } else if let Some(isa) = x86::Avx2::detect() {
        return isa.dispatch(work);
    }
    portable(work)
}

/// Does the work with AVX2 at most.
#[cfg(target_arch = "x86_64")]
#[inline]
pub fn avx2<W: Work>(work: W) -> W::Out {
    match x86::Avx2::detect() {
        Some(isa) => isa.dispatch(work),
        None => portable(work),
    }
}

/// Does the work without any special instructions, as on machines that have none that are known here.
#[inline]
pub fn portable<W: Work>(work: W) -> W::Out {
    work.run(portable::Portable)
}
