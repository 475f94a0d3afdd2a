//! AVX2, and what all machines with it have besides.
#![allow(
    unsafe_code,
    reason = "vector loads and calls into code for a machine that was looked at; each block has its proof"
)]

use std::arch::x86_64::{
    __m256i, _mm_clmulepi64_si128, _mm_cvtsi128_si64, _mm_set_epi64x, _mm_set1_epi8, _mm256_and_si256,
    _mm256_cmpeq_epi8, _mm256_loadu_si256, _mm256_min_epu8, _mm256_movemask_epi8, _mm256_or_si256, _mm256_set1_epi8,
    _mm256_setr_epi8, _mm256_shuffle_epi8, _mm256_slli_epi16, _mm256_srli_epi16,
};
use std::sync::atomic::{AtomicU8, Ordering};

use crate::{Isa, Signs, Tokens, Work};

/// The proof that this machine has what the functions below are compiled for. Made by [`Avx2::detect`] alone.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Avx2(());

impl Avx2 {
    #[inline]
    pub(crate) fn detect() -> Option<Self> {
        static KNOWN: AtomicU8 = AtomicU8::new(0);
        once(&KNOWN, looked_at).then_some(Self(()))
    }

    #[inline]
    pub(crate) fn dispatch<W: Work>(self, work: W) -> W::Out {
        // SAFETY: a value of this type is the proof that the machine has these features.
        unsafe { run(self, work) }
    }
}

/// Looks once: 0 stands for not yet.
#[inline]
pub(crate) fn once(known: &AtomicU8, look: impl FnOnce() -> bool) -> bool {
    const ABSENT: u8 = 1;
    const THERE: u8 = 2;
    match known.load(Ordering::Relaxed) {
        0 => {
            let there = look();
            known.store(if there { THERE } else { ABSENT }, Ordering::Relaxed);
            there
        }
        known => known == THERE,
    }
}

#[cold]
fn looked_at() -> bool {
    is_x86_feature_detected!("avx2")
        && is_x86_feature_detected!("pclmulqdq")
        && is_x86_feature_detected!("bmi1")
        && is_x86_feature_detected!("bmi2")
        && is_x86_feature_detected!("lzcnt")
        && is_x86_feature_detected!("popcnt")
}

#[target_feature(enable = "avx2,pclmulqdq,bmi1,bmi2,lzcnt,popcnt")]
fn run<W: Work>(isa: Avx2, work: W) -> W::Out {
    work.run(isa)
}

impl Isa for Avx2 {
    #[inline(always)]
    fn tokens(self, block: &[u8; 64]) -> Tokens {
        // SAFETY: a value of this type is the proof that the machine has these features.
        unsafe { tokens(block) }
    }

    #[inline(always)]
    fn signs(self, block: &[u8; 64]) -> Signs {
        // SAFETY: a value of this type is the proof that the machine has these features.
        unsafe { signs(block) }
    }

    #[inline(always)]
    fn specials(self, block: &[u8; 64]) -> u64 {
        // SAFETY: a value of this type is the proof that the machine has these features.
        unsafe { specials(block) }
    }

    #[inline(always)]
    fn prefix_xor(self, bits: u64) -> u64 {
        // SAFETY: a value of this type is the proof that the machine has these features.
        unsafe { prefix_xor(bits) }
    }
}

/// Both halves of a block.
#[target_feature(enable = "avx2")]
#[inline]
fn load(block: &[u8; 64]) -> [__m256i; 2] {
    let start = block.as_ptr().cast::<__m256i>();
    // SAFETY: 64 bytes from `start` are those of `block`, and the load may be unaligned.
    unsafe { [_mm256_loadu_si256(start), _mm256_loadu_si256(start.add(1))] }
}

/// One bit for each byte whose high bit is set.
#[target_feature(enable = "avx2")]
#[inline]
fn highs(halves: [__m256i; 2]) -> u64 {
    let [low, high] = halves.map(|half| _mm256_movemask_epi8(half) as u32);
    u64::from(low) | u64::from(high) << 32
}

#[target_feature(enable = "avx2")]
#[inline]
fn equal(halves: [__m256i; 2], byte: u8) -> u64 {
    highs(halves.map(|half| _mm256_cmpeq_epi8(half, _mm256_set1_epi8(byte as i8))))
}

/// The bit `7 - SHIFT` of each byte.
#[target_feature(enable = "avx2")]
#[inline]
fn class<const SHIFT: i32>(halves: [__m256i; 2]) -> u64 {
    highs(halves.map(|half| _mm256_slli_epi16::<SHIFT>(half)))
}

#[target_feature(enable = "avx2")]
#[inline]
fn control(half: __m256i) -> __m256i {
    _mm256_cmpeq_epi8(_mm256_min_epu8(half, _mm256_set1_epi8(0x1F)), half)
}

pub(crate) const QUOTE: i8 = 0x01;
pub(crate) const DIGIT: i8 = 0x02;
pub(crate) const SPACE: i8 = 0x04;
pub(crate) const OTHER_WHITE: i8 = 0x08;
pub(crate) const COMMA: i8 = 0x10;
pub(crate) const COLON: i8 = 0x20;
pub(crate) const OPEN: i8 = 0x40;
pub(crate) const CLOSE: i8 = -0x80;

/// The classes that a byte may be of by its low four bits.
pub(crate) const LOW: [i8; 16] = [
    DIGIT | SPACE,
    DIGIT,
    DIGIT | QUOTE,
    DIGIT,
    DIGIT,
    DIGIT,
    DIGIT,
    DIGIT,
    DIGIT,
    DIGIT | OTHER_WHITE,
    COLON | OTHER_WHITE,
    OPEN,
    COMMA,
    CLOSE | OTHER_WHITE,
    0,
    0,
];

/// By its high four bits.
pub(crate) const HIGH: [i8; 16] =
    [OTHER_WHITE, 0, QUOTE | SPACE | COMMA, DIGIT | COLON, 0, OPEN | CLOSE, 0, OPEN | CLOSE, 0, 0, 0, 0, 0, 0, 0, 0];

#[target_feature(enable = "avx2")]
#[inline]
fn table(half: [i8; 16]) -> __m256i {
    let [a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p] = half;
    _mm256_setr_epi8(a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p, a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p)
}

#[target_feature(enable = "avx2")]
#[inline]
fn tokens(block: &[u8; 64]) -> Tokens {
    let halves = load(block);
    let classes = halves.map(|half| {
        // The first shuffle yields 0 for bytes above 0x7F.
        let low = _mm256_shuffle_epi8(table(LOW), half);
        let nibble = _mm256_and_si256(_mm256_srli_epi16::<4>(half), _mm256_set1_epi8(0x0F));
        _mm256_and_si256(low, _mm256_shuffle_epi8(table(HIGH), nibble))
    });
    Tokens {
        quote: class::<7>(classes),
        backslash: equal(halves, b'\\'),
        control: highs(halves.map(|half| control(half))),
        white: class::<5>(classes) | class::<4>(classes),
        comma: class::<3>(classes),
        colon: class::<2>(classes),
        open: class::<1>(classes),
        close: class::<0>(classes),
        digit: class::<6>(classes),
        zero: equal(halves, b'0'),
        brace: class::<2>(halves),
    }
}

#[target_feature(enable = "avx2")]
#[inline]
fn signs(block: &[u8; 64]) -> Signs {
    let halves = load(block);
    let folded = halves.map(|half| _mm256_or_si256(half, _mm256_set1_epi8(0x20)));
    Signs {
        minus: equal(halves, b'-'),
        plus: equal(halves, b'+'),
        dot: equal(halves, b'.'),
        exponent: equal(folded, b'e'),
    }
}

#[target_feature(enable = "avx2")]
#[inline]
fn specials(block: &[u8; 64]) -> u64 {
    highs(load(block).map(|half| {
        let quote = _mm256_cmpeq_epi8(half, _mm256_set1_epi8(b'"' as i8));
        let backslash = _mm256_cmpeq_epi8(half, _mm256_set1_epi8(b'\\' as i8));
        _mm256_or_si256(_mm256_or_si256(quote, backslash), control(half))
    }))
}

#[target_feature(enable = "pclmulqdq")]
#[inline]
fn prefix_xor(bits: u64) -> u64 {
    // A product without carries by all ones: bit `i` is the sum of the bits up to `i`.
    let product = _mm_clmulepi64_si128::<0>(_mm_set_epi64x(0, bits as i64), _mm_set1_epi8(-1));
    _mm_cvtsi128_si64(product) as u64
}
