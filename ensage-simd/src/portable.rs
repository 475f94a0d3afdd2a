//! Eight bytes of a block in one word.

use crate::{Isa, Signs, Tokens};

#[derive(Clone, Copy, Debug)]
pub(crate) struct Portable;

impl Isa for Portable {
    #[inline(always)]
    fn tokens(self, block: &[u8; 64]) -> Tokens {
        Tokens {
            quote: mask(block, |word| equal(word, b'"')),
            backslash: mask(block, |word| equal(word, b'\\')),
            control: mask(block, |word| below(word, 0x20)),
            white: mask(block, |w| equal(w, b' ') | equal(w, b'\t') | equal(w, b'\n') | equal(w, b'\r')),
            comma: mask(block, |word| equal(word, b',')),
            colon: mask(block, |word| equal(word, b':')),
            // The bit 0x20 parts `[` from `{`, and `]` from `}`.
            open: mask(block, |word| equal(word | splat(0x20), b'{')),
            close: mask(block, |word| equal(word | splat(0x20), b'}')),
            digit: mask(block, |word| below(word ^ splat(0x30), 10)),
            zero: mask(block, |word| equal(word, b'0')),
            brace: mask(block, |word| word << 2 & HIGHS),
        }
    }

    #[inline(always)]
    fn signs(self, block: &[u8; 64]) -> Signs {
        Signs {
            minus: mask(block, |word| equal(word, b'-')),
            plus: mask(block, |word| equal(word, b'+')),
            dot: mask(block, |word| equal(word, b'.')),
            exponent: mask(block, |word| equal(word | splat(0x20), b'e')),
        }
    }

    #[inline(always)]
    fn specials(self, block: &[u8; 64]) -> u64 {
        mask(block, |word| equal(word, b'"') | equal(word, b'\\') | below(word, 0x20))
    }

    #[inline(always)]
    fn prefix_xor(self, bits: u64) -> u64 {
        [1, 2, 4, 8, 16, 32].into_iter().fold(bits, |bits, by| bits ^ (bits << by))
    }
}

const HIGHS: u64 = splat(0x80);

#[inline(always)]
const fn splat(byte: u8) -> u64 {
    u64::from_ne_bytes([byte; 8])
}

/// The high bit of each byte that is `byte`.
#[inline(always)]
const fn equal(word: u64, byte: u8) -> u64 {
    below(word ^ splat(byte), 1)
}

/// The high bit of each byte that is less than `limit`, which is at most 0x80. Nothing is carried from byte to byte.
#[inline(always)]
const fn below(word: u64, limit: u8) -> u64 {
    !(((word & !HIGHS) + splat(0x80 - limit)) | word) & HIGHS
}

/// One bit for each byte of which `hit` sets the high bit.
#[inline(always)]
fn mask(block: &[u8; 64], hit: impl Fn(u64) -> u64) -> u64 {
    let (words, _) = block.as_chunks::<8>();
    words.iter().rev().fold(0, |mask, word| {
        let highs = hit(u64::from_le_bytes(*word)) >> 7;
        // The product has bit 0 of each byte next to one another in its highest byte.
        (mask << 8) | (highs.wrapping_mul(0x0102_0408_1020_4080) >> 56)
    })
}
