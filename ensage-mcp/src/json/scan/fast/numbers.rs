//! Numbers and words in a block, all at once.

use ensage_simd::{Isa, Tokens};

use super::Window;

/// True if each of these runs is surely a number of RFC 8259 section 6 that is finite as an `f64`, or a word of JSON.
///
/// `runs` has the bytes of all of them, each complete, with at least one other byte between two and behind the last.
#[inline(always)]
pub(super) fn are_good<I: Isa>(isa: I, bytes: &[u8], at: usize, window: &Window<'_>, t: &Tokens, runs: u64) -> bool {
    let (digit, zero) = (t.digit & runs, t.zero & runs);
    let starts = runs & !(runs << 1);
    if runs == digit {
        return (zero & starts) << 1 & runs == 0;
    }
    let signs = isa.signs(window.block);
    let [minus, plus, dot, exponent] =
        [signs.minus, signs.plus, signs.dot, signs.exponent].map(|mask| window.see(mask) & runs);
    let mut words = 0;
    let mut begin = starts & !(digit | minus);
    while begin != 0 {
        let place = begin.trailing_zeros();
        begin &= begin - 1;
        let Some(length) = word(bytes, at + place as usize) else { return false };
        words |= super::low(length) << place;
    }
    // No word runs on, and the parts of words are no signs.
    let runs = runs & !words;
    let exponent = exponent & !words;
    let mut bad = words << 1 & runs;
    let starts = starts & !words;
    bad |= runs & !(digit | minus | plus | dot | exponent);
    bad |= starts & !(digit | minus);
    bad |= minus & !(starts | exponent << 1);
    bad |= plus & !(exponent << 1);
    bad |= (minus | plus | dot) << 1 & !digit;
    bad |= (dot | exponent) & !(digit << 1);
    bad |= exponent << 1 & !(digit | minus | plus);
    let whole = starts & digit | (starts & minus) << 1;
    bad |= (zero & whole) << 1 & digit;
    // A sum carries a bit through the digits that it begins with, to the byte behind them.
    let fraction = dot << 1 & digit;
    bad |= digit.wrapping_add(fraction) & !digit & dot;
    let signed = exponent << 1 & (minus | plus);
    let power = (exponent << 1 | signed << 1) & digit;
    bad |= digit.wrapping_add(power) & !digit & (dot | exponent);
    // With three digits the number may be out of range; with less than 64 bytes and two digits it is not.
    bad |= power << 2 & digit << 1 & digit;
    bad == 0
}

/// How long the word is that begins there, if there is one.
#[inline(always)]
fn word(bytes: &[u8], at: usize) -> Option<u32> {
    let rest = bytes.get(at..)?;
    match rest.first_chunk()? {
        b"true" | b"null" => Some(4),
        b"fals" if rest.get(4) == Some(&b'e') => Some(5),
        _ => None,
    }
}
