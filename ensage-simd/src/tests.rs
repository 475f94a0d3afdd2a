//! Every way of a mask against its definition, byte by byte.
#![allow(clippy::indexing_slicing, clippy::unwrap_used)]

use proptest::prelude::*;

use super::*;

struct All<'b>(&'b [u8; 64]);

impl Work for All<'_> {
    type Out = (Tokens, Signs, u64, [u64; 2]);
    #[inline(always)]
    fn run<I: Isa>(self, isa: I) -> Self::Out {
        let tokens = isa.tokens(self.0);
        (tokens, isa.signs(self.0), isa.specials(self.0), [isa.prefix_xor(tokens.quote), isa.prefix_xor(tokens.digit)])
    }
}

fn by_definition(block: &[u8; 64]) -> (Tokens, Signs, u64, [u64; 2]) {
    let mask = |is: fn(u8) -> bool| (0..64).filter(|i| is(block[*i])).fold(0, |mask, i| mask | 1_u64 << i);
    let parity = |bits: u64| {
        (0..64).filter(|i| (bits & (u64::MAX >> (63 - i))).count_ones() % 2 == 1).fold(0, |mask, i| mask | 1_u64 << i)
    };
    let tokens = Tokens {
        quote: mask(|b| b == b'"'),
        backslash: mask(|b| b == b'\\'),
        control: mask(|b| b < 0x20),
        white: mask(|b| matches!(b, b' ' | b'\t' | b'\n' | b'\r')),
        comma: mask(|b| b == b','),
        colon: mask(|b| b == b':'),
        open: mask(|b| matches!(b, b'[' | b'{')),
        close: mask(|b| matches!(b, b']' | b'}')),
        digit: mask(|b| b.is_ascii_digit()),
        zero: mask(|b| b == b'0'),
        brace: mask(|b| b & 0x20 != 0),
    };
    let signs = Signs {
        minus: mask(|b| b == b'-'),
        plus: mask(|b| b == b'+'),
        dot: mask(|b| b == b'.'),
        exponent: mask(|b| matches!(b, b'e' | b'E')),
    };
    (tokens, signs, tokens.quote | tokens.backslash | tokens.control, [parity(tokens.quote), parity(tokens.digit)])
}

fn agrees(block: &[u8; 64]) {
    let expected = by_definition(block);
    assert_eq!(portable(All(block)), expected, "portable {block:?}");
    #[cfg(target_arch = "x86_64")]
    assert_eq!(avx2(All(block)), expected, "avx2 {block:?}");
    assert_eq!(dispatch(All(block)), expected, "dispatched {block:?}");
}

#[test]
fn every_byte_at_every_place() {
    for byte in 0..=255 {
        agrees(&[byte; 64]);
        for place in 0..64 {
            for ground in [0, b' ', b'x', 0xFF] {
                let mut block = [ground; 64];
                block[place] = byte;
                agrees(&block);
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2048))]

    #[test]
    fn any_block(bytes in prop::collection::vec(any::<u8>(), 64), json in "[\\[\\]{}:,\"\\\\0-9.eE+\\- \t\ntrufalsn]{64}") {
        agrees(bytes.first_chunk().unwrap());
        agrees(json.as_bytes().first_chunk().unwrap());
    }
}
