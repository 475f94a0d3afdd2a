//! The Huffman code of HPACK (RFC 7541 section 5.2 and appendix B).

/// Bits of each byte's code. The code is canonical: codes of one length count up in the order of their bytes, so the
/// lengths tell all of it.
pub(super) const LENGTHS: [u8; 256] = [
    13, 23, 28, 28, 28, 28, 28, 28, 28, 24, 30, 28, 28, 30, 28, 28, 28, 28, 28, 28, 28, 28, 30, 28, 28, 28, 28, 28, 28,
    28, 28, 28, 6, 10, 10, 12, 13, 6, 8, 11, 10, 10, 8, 11, 8, 6, 6, 6, 5, 5, 5, 6, 6, 6, 6, 6, 6, 6, 7, 8, 15, 6, 12,
    10, 13, 6, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 8, 7, 8, 13, 19, 13, 14, 6, 15, 5, 6,
    5, 6, 5, 6, 6, 6, 5, 7, 7, 6, 6, 6, 5, 6, 7, 6, 5, 5, 6, 7, 7, 7, 7, 7, 15, 11, 14, 13, 28, 20, 22, 20, 20, 22, 22,
    22, 23, 22, 23, 23, 23, 23, 23, 24, 23, 24, 24, 22, 23, 24, 23, 23, 23, 23, 21, 22, 23, 22, 23, 23, 24, 22, 21, 20,
    22, 22, 23, 23, 21, 23, 22, 22, 24, 21, 22, 23, 23, 21, 21, 22, 21, 23, 22, 23, 23, 20, 22, 22, 22, 23, 22, 22, 23,
    26, 26, 20, 19, 22, 23, 22, 25, 26, 26, 26, 27, 27, 26, 24, 25, 19, 21, 26, 27, 27, 26, 27, 24, 21, 21, 26, 26, 28,
    27, 27, 27, 20, 24, 20, 21, 22, 21, 21, 23, 22, 22, 25, 25, 24, 24, 26, 23, 26, 27, 26, 26, 27, 27, 27, 27, 27, 28,
    27, 27, 27, 27, 27, 26,
];
/// No code is longer; that of the end, which may not occur, is the last of them.
const LENGTH_MAX: usize = 30;
/// Codes of up to so many bits are found by one look.
const SHORT: u32 = 8;

/// What codes begin with, made once by the compiler.
struct Code {
    /// By the next eight bits: the byte of a short code, and its bits; 0 bits where the code is longer.
    short: [(u8, u8); 1 << SHORT],
    /// Bytes in the order of their codes.
    sorted: [u8; 256],
    /// Of each length, the first code beyond it, as the upper bits of a word.
    beyond: [u64; LENGTH_MAX + 1],
    /// Of each length, its first code, and where in `sorted` that stands.
    first: [(u32, u16); LENGTH_MAX + 1],
}

#[expect(clippy::indexing_slicing, clippy::cast_possible_truncation, reason = "evaluated by the compiler")]
static CODE: Code = {
    let mut made = Code {
        short: [(0, 0); 1 << SHORT],
        sorted: [0; 256],
        beyond: [0; LENGTH_MAX + 1],
        first: [(0, 0); LENGTH_MAX + 1],
    };
    let (mut code, mut place, mut length) = (0_u32, 0_usize, 1_usize);
    while length <= LENGTH_MAX {
        code <<= 1;
        made.first[length] = (code, place as u16);
        let mut byte = 0;
        while byte < 256 {
            if LENGTHS[byte] as usize == length {
                made.sorted[place] = byte as u8;
                place += 1;
                if length <= SHORT as usize {
                    let spread = SHORT as usize - length;
                    let mut tail = 0;
                    while tail < 1 << spread {
                        made.short[((code as usize) << spread) + tail] = (byte as u8, length as u8);
                        tail += 1;
                    }
                }
                code += 1;
            }
            byte += 1;
        }
        made.beyond[length] = (code as u64) << (64 - length);
        length += 1;
    }
    made
};

/// Appends what `coded` stands for; `None` where it is not coded by the rules: a code that is none, padding that is more
/// than seven bits or has a zero among them, the end itself. Each byte of `coded` makes less than two.
pub(super) fn decode(coded: &[u8], out: &mut Vec<u8>) -> Option<()> {
    // The bits at hand are the upper ones of the word.
    let (mut word, mut bits) = (0_u64, 0_u32);
    let mut coming = coded.iter();
    loop {
        while bits <= 56
            && let Some(&byte) = coming.next()
        {
            word |= u64::from(byte) << (56 - bits);
            bits += 8;
        }
        let (byte, length) = next(word)?;
        if length > bits {
            // Fewer bits than the shortest code that they could begin: padding, all of it ones.
            let ones = !(u64::MAX.checked_shr(bits).unwrap_or(0));
            return (bits < 8 && word == ones).then_some(());
        }
        out.push(byte);
        word <<= length;
        bits -= length;
    }
}

/// The byte whose code the word begins with, and the bits of that.
fn next(word: u64) -> Option<(u8, u32)> {
    let &(byte, length) = CODE.short.get(usize::try_from(word >> (64 - SHORT)).ok()?)?;
    if length > 0 {
        return Some((byte, u32::from(length)));
    }
    let length = (SHORT as usize + 1..=LENGTH_MAX).find(|&length| CODE.beyond.get(length).is_some_and(|b| word < *b));
    // Beyond all of them is the end's own code, or padding.
    let Some(length) = length else { return Some((0, u32::MAX)) };
    let &(first, place) = CODE.first.get(length)?;
    let code = u32::try_from(word >> (64 - length)).ok()?;
    let byte = CODE.sorted.get(usize::from(place) + usize::try_from(code.checked_sub(first)?).ok()?)?;
    Some((*byte, u32::try_from(length).ok()?))
}
