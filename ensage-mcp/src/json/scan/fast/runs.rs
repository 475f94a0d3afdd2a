//! Within strings.

use ensage_simd::Isa;

use super::Window;

/// Two words: most names, and many values, end there. `Err` is how far nothing was found.
#[inline]
pub(super) fn short(bytes: &[u8], mut at: usize) -> Result<usize, usize> {
    for _ in 0..2 {
        let Some(word) = bytes.get(at..).and_then(|rest| rest.first_chunk()) else { return Err(at) };
        let special = special(u64::from_le_bytes(*word));
        if special != 0 {
            let hit = at + special.trailing_zeros() as usize / 8;
            return if bytes.get(hit) == Some(&b'\\') { Err(hit) } else { Ok(hit) };
        }
        at += 8;
    }
    Err(at)
}

/// A high bit for the first quote, backslash or byte below 0x20; behind it there may be wrong ones.
#[inline]
const fn special(word: u64) -> u64 {
    const ONES: u64 = u64::from_ne_bytes([1; 8]);
    const HIGHS: u64 = ONES << 7;
    let quote = word ^ (ONES * b'"' as u64);
    let backslash = word ^ (ONES * b'\\' as u64);
    let zero = (quote.wrapping_sub(ONES) & !quote) | (backslash.wrapping_sub(ONES) & !backslash);
    (zero | (word.wrapping_sub(ONES * 0x20) & !word)) & HIGHS
}

/// As [`text_run`](super::text_run), in long steps.
#[inline(always)]
pub(super) fn long<I: Isa>(isa: I, bytes: &[u8], mut at: usize) -> usize {
    while let Some(block) = bytes.get(at..).and_then(|rest| rest.first_chunk()) {
        match within(bytes, at, isa.specials(block)) {
            Ok(hit) => return hit,
            Err(next) => at = next,
        }
    }
    if at < bytes.len() {
        let mut pad = [0; 64];
        let window = Window::last(bytes, at, &mut pad);
        if let Ok(hit) = within(bytes, at, window.see(isa.specials(window.block))) {
            return hit;
        }
    }
    bytes.len()
}

/// Goes over the good escapes among these bytes, whose block begins at `at`: `Ok` for where the run ends, `Err` for where
/// it goes on.
#[inline(always)]
fn within(bytes: &[u8], at: usize, mut special: u64) -> Result<usize, usize> {
    while special != 0 {
        let place = special.trailing_zeros();
        let hit = at + place as usize;
        let Some(length) = escape(bytes, hit) else { return Ok(hit) };
        if place as usize + length >= 64 {
            return Err(hit + length);
        }
        special &= !0 << (place as usize + length);
    }
    Err(at + 64)
}

/// How long the escape is that begins at `at`; `None` if there is none, or none that is good and complete.
#[inline(always)]
fn escape(bytes: &[u8], at: usize) -> Option<usize> {
    let [b'\\', kind] = *bytes.get(at..)?.first_chunk()? else { return None };
    if is_simple(kind) {
        return Some(2);
    }
    if kind == b'u' { unicode(bytes, at) } else { None }
}

/// What may stand behind a backslash and is the whole escape with it.
#[inline(always)]
const fn is_simple(kind: u8) -> bool {
    const SIMPLE: u128 = 1 << b'"' | 1 << b'\\' | 1 << b'/' | 1 << b'b' | 1 << b'f' | 1 << b'n' | 1 << b'r' | 1 << b't';
    kind < 128 && SIMPLE >> kind & 1 == 1
}

#[inline]
fn unicode(bytes: &[u8], at: usize) -> Option<usize> {
    let code = |at: usize| {
        let digits = bytes.get(at..)?.first_chunk::<4>()?;
        digits.iter().try_fold(0, |code, digit| Some(code << 4 | char::from(*digit).to_digit(16)?))
    };
    match code(at + 2)? {
        0xD800..=0xDBFF => {
            let behind = bytes.get(at + 6..)?.first_chunk()? == b"\\u";
            (behind && (0xDC00..=0xDFFF).contains(&code(at + 8)?)).then_some(12)
        }
        0xDC00..=0xDFFF => None,
        _ => Some(6),
    }
}
