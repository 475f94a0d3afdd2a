//! The names of interpreted objects that nobody knows: no two of them may be taken for one another.
//!
//! Hashes stand for the names. Two names that are equal, or equal when folded, have equal hashes and are found; two others
//! whose 64 bits are the same by accident or by design refuse the document, and let nothing through.

use std::collections::HashMap;

use crate::json::twin::fold;

/// Up to here the names of one object are compared one by one; above, a hash table keeps the work linear.
const ROW_MAX: usize = 32;
/// So many names need no allocation.
const INLINE: usize = 8;

#[derive(Clone, Copy, Debug, Default)]
struct Name {
    folded: u64,
    exact: u64,
}

/// The names of all open objects, the innermost object's last.
#[derive(Debug, Default)]
pub(super) struct Names {
    first: [Name; INLINE],
    rest: Vec<Name>,
    length: usize,
    /// The names of rows longer than [`ROW_MAX`], by where their row begins and folded.
    long: Option<HashMap<(usize, u64), u64>>,
}

/// How two names of an object stand to one another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Likeness {
    None,
    Folded,
    Equal,
}

impl Names {
    pub(super) const fn len(&self) -> usize {
        self.length
    }

    /// Adds a name to the row that begins at `from` and reaches to the end; says how it stands to those before.
    pub(super) fn add(&mut self, from: usize, text: &str) -> Likeness {
        let name = Name { folded: folded(text), exact: hash(text.bytes()) };
        let known = if self.length - from <= ROW_MAX {
            self.row(from).find(|other| other.folded == name.folded).map(|other| other.exact)
        } else {
            self.long.as_ref().and_then(|long| long.get(&(from, name.folded)).copied())
        };
        match known {
            Some(exact) if exact == name.exact => return Likeness::Equal,
            Some(_) => return Likeness::Folded,
            None => self.push(from, name),
        }
        Likeness::None
    }

    /// Forgets the row that begins at `from`.
    pub(super) fn leave(&mut self, from: usize) {
        if self.length - from > ROW_MAX {
            let Self { first, rest, long, .. } = self;
            let long = long.get_or_insert_default();
            for name in first.iter().chain(rest.iter()).skip(from) {
                long.remove(&(from, name.folded));
            }
        }
        self.rest.truncate(from.saturating_sub(INLINE));
        self.length = from;
    }

    fn push(&mut self, from: usize, name: Name) {
        match self.first.get_mut(self.length) {
            Some(place) => *place = name,
            None => self.rest.push(name),
        }
        self.length += 1;
        if self.length - from == ROW_MAX + 1 {
            let Self { first, rest, long, .. } = self;
            let row = first.iter().chain(rest.iter()).skip(from);
            long.get_or_insert_default().extend(row.map(|name| ((from, name.folded), name.exact)));
        } else if self.length - from > ROW_MAX {
            self.long.get_or_insert_default().insert((from, name.folded), name.exact);
        }
    }

    fn row(&self, from: usize) -> impl Iterator<Item = &Name> {
        self.first.iter().take(self.length.min(INLINE)).chain(&self.rest).skip(from)
    }
}

fn folded(text: &str) -> u64 {
    if text.is_ascii() { hash(text.bytes().map(|byte| byte.to_ascii_lowercase())) } else { hash(fold(text).bytes()) }
}

/// FNV-1a.
fn hash(bytes: impl Iterator<Item = u8>) -> u64 {
    bytes.fold(0xCBF2_9CE4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01B3))
}
