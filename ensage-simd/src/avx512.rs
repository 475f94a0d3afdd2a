//! AVX-512: a comparison of 64 bytes yields the mask itself.
#![allow(
    unsafe_code,
    reason = "vector loads and calls into code for a machine that was looked at; each block has its proof"
)]

use std::arch::x86_64::{
    __m512i, _mm_loadu_epi8, _mm512_and_si512, _mm512_broadcast_i32x4, _mm512_cmpeq_epi8_mask, _mm512_cmplt_epu8_mask,
    _mm512_loadu_epi8, _mm512_or_si512, _mm512_set1_epi8, _mm512_shuffle_epi8, _mm512_srli_epi16,
    _mm512_test_epi8_mask,
};
use std::sync::atomic::AtomicU8;

use crate::x86::{self, Avx2, CLOSE, COLON, COMMA, DIGIT, HIGH, LOW, OPEN, OTHER_WHITE, QUOTE, SPACE};
use crate::{Isa, Signs, Tokens, Work};

/// The proof that this machine has what the functions below are compiled for. Made by [`Avx512::detect`] alone.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Avx512(Avx2);

impl Avx512 {
    #[inline]
    pub(crate) fn detect() -> Option<Self> {
        static KNOWN: AtomicU8 = AtomicU8::new(0);
        let there = x86::once(&KNOWN, || is_x86_feature_detected!("avx512bw") && is_x86_feature_detected!("avx512vl"));
        Avx2::detect().filter(|_| there).map(Self)
    }

    #[inline]
    pub(crate) fn dispatch<W: Work>(self, work: W) -> W::Out {
        // SAFETY: a value of this type is the proof that the machine has these features.
        unsafe { run(self, work) }
    }
}

#[target_feature(enable = "avx512bw,avx512vl,avx2,pclmulqdq,bmi1,bmi2,lzcnt,popcnt")]
fn run<W: Work>(isa: Avx512, work: W) -> W::Out {
    work.run(isa)
}

impl Isa for Avx512 {
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
        self.0.prefix_xor(bits)
    }
}

#[target_feature(enable = "avx512bw")]
#[inline]
fn load(block: &[u8; 64]) -> __m512i {
    // SAFETY: the 64 bytes are those of `block`, and the load may be unaligned.
    unsafe { _mm512_loadu_epi8(block.as_ptr().cast()) }
}

#[target_feature(enable = "avx512bw")]
#[inline]
fn equal(bytes: __m512i, byte: u8) -> u64 {
    _mm512_cmpeq_epi8_mask(bytes, _mm512_set1_epi8(byte as i8))
}

#[target_feature(enable = "avx512bw")]
#[inline]
fn class(classes: __m512i, class: i8) -> u64 {
    _mm512_test_epi8_mask(classes, _mm512_set1_epi8(class))
}

#[target_feature(enable = "avx512bw")]
#[inline]
fn control(bytes: __m512i) -> u64 {
    _mm512_cmplt_epu8_mask(bytes, _mm512_set1_epi8(0x20))
}

#[target_feature(enable = "avx512bw,avx512vl")]
#[inline]
fn table(quarter: &[i8; 16]) -> __m512i {
    // SAFETY: the 16 bytes are those of `quarter`, and the load may be unaligned.
    _mm512_broadcast_i32x4(unsafe { _mm_loadu_epi8(quarter.as_ptr()) })
}

#[target_feature(enable = "avx512bw,avx512vl")]
#[inline]
fn tokens(block: &[u8; 64]) -> Tokens {
    let bytes = load(block);
    // The first shuffle yields 0 for bytes above 0x7F.
    let low = _mm512_shuffle_epi8(table(&LOW), bytes);
    let nibble = _mm512_and_si512(_mm512_srli_epi16::<4>(bytes), _mm512_set1_epi8(0x0F));
    let classes = _mm512_and_si512(low, _mm512_shuffle_epi8(table(&HIGH), nibble));
    Tokens {
        quote: class(classes, QUOTE),
        backslash: equal(bytes, b'\\'),
        control: control(bytes),
        white: class(classes, SPACE | OTHER_WHITE),
        comma: class(classes, COMMA),
        colon: class(classes, COLON),
        open: class(classes, OPEN),
        close: class(classes, CLOSE),
        digit: class(classes, DIGIT),
        zero: equal(bytes, b'0'),
        brace: class(bytes, 0x20),
    }
}

#[target_feature(enable = "avx512bw")]
#[inline]
fn signs(block: &[u8; 64]) -> Signs {
    let bytes = load(block);
    Signs {
        minus: equal(bytes, b'-'),
        plus: equal(bytes, b'+'),
        dot: equal(bytes, b'.'),
        exponent: equal(_mm512_or_si512(bytes, _mm512_set1_epi8(0x20)), b'e'),
    }
}

#[target_feature(enable = "avx512bw")]
#[inline]
fn specials(block: &[u8; 64]) -> u64 {
    let bytes = load(block);
    equal(bytes, b'"') | equal(bytes, b'\\') | control(bytes)
}
