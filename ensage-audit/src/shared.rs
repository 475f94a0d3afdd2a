//! What many calls have in common: its text stands once in a segment, and the others name the record that has it. That
//! is some of their members, or all but the few that are new in each, where a connection repeats itself.
//!
//! Writer and reader hold the same texts at the same record, because both take them by the same rule.

use std::collections::HashMap;
use std::mem;
use std::sync::Arc;

use crate::fragment::Fragment;

/// The members, in the order in which a stored call begins with them.
pub(crate) const NAMES: [&str; MEMBERS] = ["session", "process", "policy"];
const MEMBERS: usize = 3;

/// Most bytes of texts that can be named; the next one takes the place of all.
const TEXT_BYTES_MAX: usize = 256 * 1024;

/// Stands behind the severity of a call that is like another one (its `seq`), or that others may be like (its own).
pub(crate) const LIKE: &str = "like";
/// By this number readers hold what a whole call has.
pub(crate) const WHOLE: usize = MEMBERS;

/// What a call has in common with others, by [`NAMES`].
pub(crate) type Shares<'a> = [Option<&'a Fragment>; MEMBERS];

/// The last calls of this many connections are known.
const CALL_SLOTS: usize = 256;
/// Most bytes of a call that others may be like, without what it shares.
const CALL_BYTES_MAX: usize = 2048;
/// So many calls are like one; then it is told again, so that damage to one record takes no more than these with it.
const ALIKE_MAX: u32 = 64;

/// How a call stands to those before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Like {
    /// It is the first of its kind.
    None,
    /// The last one was the same: those that follow will name this one.
    Itself,
    /// All that it has was told by this record.
    Record(u64),
}

/// The last call of a connection.
#[derive(Clone, Debug, Default)]
struct Last {
    shares: [Option<Fragment>; MEMBERS],
    rest: Vec<u8>,
    /// The record that tells it to readers, and how many may still name that.
    told: Option<(u64, u32)>,
}

/// What becomes of a text behind the ones that are held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Room {
    Enough,
    /// All others go.
    Made,
    /// It is too long to be held.
    None,
}

fn room(held_bytes: &mut usize, text_bytes: usize) -> Room {
    if text_bytes > TEXT_BYTES_MAX {
        return Room::None;
    }
    let fits = *held_bytes + text_bytes <= TEXT_BYTES_MAX;
    *held_bytes = if fits { *held_bytes + text_bytes } else { text_bytes };
    if fits { Room::Enough } else { Room::Made }
}

/// Texts that were asked for lately are found by where they lie in memory.
const NEAR_SLOTS: usize = 128;

/// The texts of the segment that is being written.
#[derive(Debug)]
pub(crate) struct Dictionary {
    held: [HashMap<Fragment, u64>; MEMBERS],
    held_bytes: usize,
    /// Each keeps its text alive, so that no other can come to lie there.
    near: Vec<Option<(usize, Fragment, u64)>>,
    calls: Vec<Last>,
}

impl Dictionary {
    pub(crate) fn new() -> Self {
        Self {
            held: Default::default(),
            held_bytes: 0,
            near: vec![None; NEAR_SLOTS],
            calls: vec![Last::default(); CALL_SLOTS],
        }
    }

    /// How a call stands to the last one in its `place`.
    pub(crate) fn like(&mut self, place: u64, shares: &Shares<'_>, rest: &[u8]) -> Like {
        let Some(last) = self.calls.get_mut(call_slot(place)).filter(|_| rest.len() <= CALL_BYTES_MAX) else {
            return Like::None;
        };
        if last.rest != rest || last.shares.each_ref().map(Option::as_ref) != *shares {
            last.rest.clear();
            last.rest.extend_from_slice(rest);
            last.shares = shares.map(Option::<&Fragment>::cloned);
            last.told = None;
            return Like::None;
        }
        match &mut last.told {
            Some((seq, left)) if *left > 0 => {
                *left -= 1;
                Like::Record(*seq)
            }
            _ => Like::Itself,
        }
    }

    /// The record `seq` tells the last call in its `place`: `bytes` as a reader gets it.
    pub(crate) fn tell(&mut self, place: u64, seq: u64, bytes: usize) {
        if self.hold(bytes)
            && let Some(last) = self.calls.get_mut(call_slot(place))
        {
            last.told = Some((seq, ALIKE_MAX));
        }
    }

    /// The record that has this text as its member.
    pub(crate) fn find(&mut self, member: usize, text: &Fragment) -> Option<u64> {
        let near = self.near.get_mut(slot(text))?;
        if let Some((known, there, seq)) = near
            && *known == member
            && Arc::ptr_eq(&there.0, &text.0)
        {
            return Some(*seq);
        }
        let seq = *self.held.get(member)?.get(text)?;
        *near = Some((member, text.clone(), seq));
        Some(seq)
    }

    /// The record `seq` has it in full.
    pub(crate) fn define(&mut self, member: usize, text: &Fragment, seq: u64) {
        if self.hold(text.bytes().len())
            && let Some(held) = self.held.get_mut(member)
        {
            held.insert(text.clone(), seq);
        }
    }

    /// Makes room for a text; false where it is too long to be held.
    fn hold(&mut self, bytes: usize) -> bool {
        match room(&mut self.held_bytes, bytes) {
            Room::Enough => true,
            Room::Made => {
                let held_bytes = self.held_bytes;
                self.clear();
                self.held_bytes = held_bytes;
                true
            }
            Room::None => false,
        }
    }

    /// A new segment begins.
    pub(crate) fn clear(&mut self) {
        self.held.iter_mut().for_each(HashMap::clear);
        self.held_bytes = 0;
        self.near.fill(None);
        self.calls.fill(Last::default());
    }
}

fn call_slot(place: u64) -> usize {
    usize::try_from(place % CALL_SLOTS as u64).unwrap_or(0)
}

fn slot(text: &Fragment) -> usize {
    // Texts of one length lie at even distances; times the golden ratio they come to lie all over the top bits.
    let spread = (text.0.as_ptr().addr() as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32;
    usize::try_from(spread).unwrap_or(0) % NEAR_SLOTS
}

/// The texts of a segment that is being read, by member ([`WHOLE`] for all of them) and record.
#[derive(Clone, Debug, Default)]
pub(crate) struct Defined {
    held: Texts,
    held_bytes: usize,
    /// What was held before all went: where a definition was damaged, the writer has held it a little longer.
    before: Texts,
}

type Texts = HashMap<(usize, u64), String>;

impl Defined {
    /// The text that the record `seq` has as its member.
    pub(crate) fn get(&self, member: usize, seq: u64) -> Option<&str> {
        self.held.get(&(member, seq)).or_else(|| self.before.get(&(member, seq))).map(String::as_str)
    }

    /// The record `seq` has it in full.
    pub(crate) fn define(&mut self, member: usize, text: &str, seq: u64) {
        match room(&mut self.held_bytes, text.len()) {
            Room::Enough => {}
            Room::Made => self.before = mem::take(&mut self.held),
            Room::None => return,
        }
        self.held.insert((member, seq), text.to_owned());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fragment::ProcessFacts;

    fn text(script: &str) -> Fragment {
        ProcessFacts { pid: 7, script: Some(script), ..ProcessFacts::default() }.fragment()
    }

    #[test]
    fn a_text_is_found_by_its_place_and_by_what_it_says_and_for_its_own_member_only() {
        let mut dictionary = Dictionary::new();
        let (one, twin, other) = (text("a"), text("a"), text("b"));
        assert_eq!(dictionary.find(1, &one), None);
        dictionary.define(1, &one, 5);
        for _ in 0..2 {
            assert_eq!([&one, &twin, &other].map(|text| dictionary.find(1, text)), [Some(5), Some(5), None]);
            assert_eq!(dictionary.find(0, &one), None);
        }
        dictionary.clear();
        assert_eq!([&one, &twin].map(|text| dictionary.find(1, text)), [None, None]);
    }

    #[test]
    fn writer_and_reader_hold_the_same_texts_and_bounded_ones() {
        let (mut dictionary, mut defined) = (Dictionary::new(), Defined::default());
        let texts: Vec<Fragment> = (0..400_usize).map(|n| text(&format!("{n}{}", "x".repeat(n * 37 % 4000)))).collect();
        let mut seqs = Vec::new();
        let mut named = 0;
        for (seq, text) in texts.iter().flat_map(|text| [text, text]).chain(&texts).enumerate() {
            let seq = seq as u64;
            match dictionary.find(2, text) {
                Some(earlier) => {
                    named += 1;
                    assert_eq!(defined.get(2, earlier), Some(text.as_str()));
                }
                None => {
                    dictionary.define(2, text, seq);
                    defined.define(2, text.as_str(), seq);
                    seqs.push(seq);
                }
            }
            let bytes: usize = defined.held.values().map(String::len).sum();
            assert_eq!((bytes, defined.held.len()), (dictionary.held_bytes, dictionary.held[2].len()));
            assert!(bytes <= TEXT_BYTES_MAX);
        }
        assert!(named >= texts.len() && seqs.len() > texts.len(), "{named} named, {} in full", seqs.len());
    }

    #[test]
    fn a_reader_that_missed_one_text_has_all_others() {
        let texts: Vec<Fragment> = (0..300_usize).map(|n| text(&format!("{n}{}", "x".repeat(n * 37 % 4000)))).collect();
        for missed in (0..300).step_by(23) {
            let (mut dictionary, mut defined) = (Dictionary::new(), Defined::default());
            for (seq, text) in texts.iter().flat_map(|text| [text, &texts[0], text]).enumerate() {
                let seq = seq as u64;
                match dictionary.find(2, text) {
                    Some(earlier) if earlier == missed => {}
                    Some(earlier) => assert_eq!(defined.get(2, earlier), Some(text.as_str()), "{missed}"),
                    None => {
                        dictionary.define(2, text, seq);
                        if seq != missed {
                            defined.define(2, text.as_str(), seq);
                        }
                    }
                }
            }
        }
    }

    #[test]
    fn a_text_without_room_is_not_held() {
        let (mut held_bytes, most) = (10, TEXT_BYTES_MAX);
        assert_eq!((room(&mut held_bytes, most + 1), held_bytes), (Room::None, 10));
        assert_eq!((room(&mut held_bytes, most - 10), held_bytes), (Room::Enough, most));
        assert_eq!((room(&mut held_bytes, 1), held_bytes), (Room::Made, 1));
    }
}
