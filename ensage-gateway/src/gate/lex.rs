//! The bytes that grammar rules are made of (RFC 9110 section 5, RFC 9112 sections 2 to 5).

use super::Kind;

/// A broken rule, found `ahead` bytes after the ones already read.
#[derive(Clone, Copy, Debug)]
pub(super) struct Fault {
    pub(super) kind: Kind,
    pub(super) detail: &'static str,
    pub(super) ahead: usize,
}

impl Fault {
    /// A fault of form at the next byte.
    pub(super) const fn here(detail: &'static str) -> Self {
        Self::ahead(0, detail)
    }

    /// A fault of form, `ahead` bytes on.
    pub(super) const fn ahead(ahead: usize, detail: &'static str) -> Self {
        Self { kind: Kind::Malformed, detail, ahead }
    }

    /// The same fault, seen from `taken` bytes before.
    pub(super) const fn after(self, taken: usize) -> Self {
        Self { ahead: self.ahead.saturating_add(taken), ..self }
    }

    /// The same fault as another kind.
    pub(super) const fn of(self, kind: Kind) -> Self {
        Self { kind, ..self }
    }
}

/// Sets of bytes; a byte is in those whose bits its entry has.
pub(super) const TOKEN: u8 = 1;
pub(super) const TARGET: u8 = 2;
pub(super) const PATH: u8 = 4;
pub(super) const QUERY: u8 = 8;

/// One look-up per byte: heads are read on every request.
static SETS: [u8; 256] = {
    let mut sets = [0; 256];
    let mut byte = 0_u8;
    while byte < 0x80 {
        let token = matches!(byte, b'!' | b'#'..=b'\'' | b'*' | b'+' | b'-' | b'.' | b'0'..=b'9' | b'A'..=b'Z'
            | b'^'..=b'z' | b'|' | b'~');
        let target = matches!(byte, b'!'..=b'~') && byte != b'#';
        let path = target && !matches!(byte, b'?' | b'<' | b'>' | b'`');
        let query = target && !matches!(byte, b'"' | b'<' | b'>');
        #[expect(clippy::indexing_slicing, reason = "byte < 0x80, and evaluated by the compiler")]
        {
            sets[byte as usize] = token as u8 * TOKEN + target as u8 * TARGET + path as u8 * PATH + query as u8 * QUERY;
        }
        byte += 1;
    }
    sets
};

fn is_in(byte: u8, set: u8) -> bool {
    SETS.get(usize::from(byte)).is_some_and(|sets| sets & set != 0)
}

/// `tchar` of RFC 9110 section 5.6.2.
pub(super) fn is_token(byte: u8) -> bool {
    is_in(byte, TOKEN)
}

/// How many bytes from the first on are in the set.
pub(super) fn set_run(bytes: &[u8], set: u8) -> usize {
    run(bytes, |b| is_in(b, set))
}

/// Optional white space.
pub(super) const fn is_ows(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t')
}

/// A control byte, HTAB apart: in no field value and in no reason phrase (RFC 9110 section 5.5).
const fn is_control(byte: u8) -> bool {
    (byte < b' ' && byte != b'\t') || byte == 0x7f
}

/// How many bytes from the first on satisfy `holds`.
pub(super) fn run(bytes: &[u8], holds: impl Fn(u8) -> bool) -> usize {
    bytes.iter().position(|&b| !holds(b)).unwrap_or(bytes.len())
}

/// How many bytes from the first on may stand in a field value.
pub(super) fn value_run(bytes: &[u8]) -> usize {
    let mut taken = 0_usize;
    for chunk in bytes.chunks(8) {
        // Eight at once where none is a control byte; exact otherwise.
        if !<[u8; 8]>::try_from(chunk).is_ok_and(|eight| no_control(u64::from_le_bytes(eight))) {
            let some = run(chunk, |b| !is_control(b));
            if some < chunk.len() {
                return taken.saturating_add(some);
            }
        }
        taken = taken.saturating_add(chunk.len());
    }
    taken
}

/// True only if no byte of the word is below 0x20 or is 0x7f. (A borrow may make it false without need.)
const fn no_control(word: u64) -> bool {
    const ONES: u64 = u64::MAX / 0xff;
    let low = word.wrapping_sub(ONES * 0x20) & !word;
    let delete = word ^ (ONES * 0x7f);
    let is_delete = delete.wrapping_sub(ONES) & !delete;
    (low | is_delete) & (ONES * 0x80) == 0
}

/// The beginning of a token that may come in pieces: enough of it to know it by.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Token {
    bytes: [u8; Token::KEPT],
    /// Bytes of the whole token; those past `KEPT` are counted only.
    len: usize,
}

impl Token {
    /// One more than the longest name that any rule knows (`proxy-authentication-info`, 25).
    const KEPT: usize = 26;

    pub(super) fn clear(&mut self) {
        self.len = 0;
    }

    pub(super) const fn len(&self) -> usize {
        self.len
    }

    pub(super) const fn is_empty(&self) -> bool {
        self.len == 0
    }

    pub(super) fn push(&mut self, piece: &[u8]) {
        let room = self.bytes.iter_mut().skip(self.len);
        room.zip(piece).for_each(|(to, from)| *to = *from);
        self.len = self.len.saturating_add(piece.len());
    }

    /// The token, `None` if it is longer than any that is known.
    pub(super) fn known(&self) -> Option<&[u8]> {
        self.bytes.get(..self.len).filter(|t| t.len() < Self::KEPT)
    }

    pub(super) fn is(&self, name: &str) -> bool {
        self.known().is_some_and(|t| t.eq_ignore_ascii_case(name.as_bytes()))
    }

    pub(super) fn is_any(&self, names: &[&str]) -> bool {
        names.iter().any(|n| self.is(n))
    }
}
