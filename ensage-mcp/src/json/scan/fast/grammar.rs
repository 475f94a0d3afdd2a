//! The grammar between the strings and numbers of a block, all at once.
//!
//! A block begins where a token begins or white space is, and only the tokens that are complete in it are looked at; the
//! next one begins behind them. What must follow a token is a question to one byte, the first one behind it that is no white
//! space: the bits of all tokens of a kind are moved there together, and held against the masks of what may stand there.

use ensage_simd::{Isa, Tokens};

use super::{Window, low, numbers, runs};

/// How it stands between two tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::json::scan) struct Grammar {
    /// One bit for each container that is open in the one that is skipped, itself included, the innermost lowest and set for
    /// an object; above them a bit that is always set. It is 1 when the container that is skipped has ended.
    pub open: u64,
    /// At most so many containers may be open in it.
    pub levels_max: u32,
    pub members_left: u64,
    pub prev: Prev,
}

/// The token before, as one bit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::json::scan) struct Prev(u8);

impl Prev {
    /// A value, which may be a container that has ended.
    pub(in crate::json::scan) const VALUE: Self = Self(1);
    pub(in crate::json::scan) const COMMA: Self = Self(1 << 1);
    pub(in crate::json::scan) const COLON: Self = Self(1 << 2);
    /// A member's name.
    pub(in crate::json::scan) const NAME: Self = Self(1 << 3);
    pub(in crate::json::scan) const OPEN_OBJECT: Self = Self(1 << 4);
    pub(in crate::json::scan) const OPEN_ARRAY: Self = Self(1 << 5);
}

/// Why it went no further.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::json::scan) enum Stop {
    /// The container that is skipped has ended.
    Closed,
    /// The piece has ended, or something is to be looked at, within a string that began at this index.
    Text(usize, Role),
    /// Something is to be looked at, or the piece has ended.
    Look,
}

/// What a string is in a container that nobody looks into.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::json::scan) enum Role {
    Name,
    Value,
}

/// See [`skip`](super::skip).
#[inline(always)]
pub(super) fn skip<I: Isa>(isa: I, bytes: &[u8], mut at: usize, grammar: &mut Grammar) -> (usize, Stop) {
    while at < bytes.len() {
        let mut pad = [b' '; 64];
        let done = match bytes.get(at..).and_then(|rest| rest.first_chunk()) {
            Some(whole) => block(isa, bytes, at, &Window::whole(whole), grammar),
            None => block(isa, bytes, at, &Window::last(bytes, at, &mut pad), grammar),
        };
        let Some(done) = done else { return (at, Stop::Look) };
        at += done.length;
        if done.closed {
            return (at, Stop::Closed);
        }
        if done.text {
            let Some(role) = grammar.begin_text() else { return (at, Stop::Look) };
            let end = runs::long(isa, bytes, at + 1);
            if bytes.get(end) != Some(&b'"') {
                return (end, Stop::Text(at, role));
            }
            at = end + 1;
            // Long texts are often the last that a container has.
            if role == Role::Value {
                at = grammar.close(bytes, at);
                if grammar.open == 1 {
                    return (at, Stop::Closed);
                }
            }
        } else if done.length == 0 {
            return (at, Stop::Look);
        }
    }
    (at, Stop::Look)
}

impl Grammar {
    const fn in_object(&self) -> bool {
        self.open & 1 == 1
    }

    /// Behind a value: goes over the brackets that close.
    #[inline(always)]
    fn close(&mut self, bytes: &[u8], mut at: usize) -> usize {
        while self.open > 1 && bytes.get(at) == Some(&if self.in_object() { b'}' } else { b']' }) {
            self.open >>= 1;
            at += 1;
        }
        at
    }

    /// A string begins: what it is, if one may be here.
    #[inline(always)]
    fn begin_text(&mut self) -> Option<Role> {
        let (role, counts) = match self.prev {
            Prev::OPEN_OBJECT => (Role::Name, 1),
            Prev::COMMA if self.in_object() => (Role::Name, 1),
            Prev::COMMA | Prev::OPEN_ARRAY => (Role::Value, 1),
            Prev::COLON => (Role::Value, 0),
            _ => return None,
        };
        self.members_left = self.members_left.checked_sub(counts)?;
        self.prev = if role == Role::Name { Prev::NAME } else { Prev::VALUE };
        Some(role)
    }
}

/// What a block was good for.
struct Done {
    /// So many bytes are read.
    length: usize,
    /// The container that is skipped has ended with them.
    closed: bool,
    /// A string begins behind them that does not end in the block, or has escapes.
    text: bool,
}

/// Reads what is complete in the block at `at`; `None`, and `grammar` as it was, if something in it is to be looked at.
#[inline(always)]
fn block<I: Isa>(isa: I, bytes: &[u8], at: usize, window: &Window<'_>, grammar: &mut Grammar) -> Option<Done> {
    let seen = isa.tokens(window.block);
    let t = Tokens {
        quote: window.see(seen.quote),
        backslash: window.see(seen.backslash),
        control: window.see(seen.control),
        white: window.see(seen.white),
        comma: window.see(seen.comma),
        colon: window.see(seen.colon),
        open: window.see(seen.open),
        close: window.see(seen.close),
        digit: window.see(seen.digit),
        zero: window.see(seen.zero),
        brace: window.see(seen.brace),
    };

    // The block ends before a string or a number that is not complete in it. That there is one is anybody's guess, so no
    // branch; and the next block waits for where this one ends, so that comes first and by the shortest way.
    let structure = t.comma | t.colon | t.open | t.close;
    let cut_text = t.quote.count_ones() & 1;
    let whole = window.there & (structure | t.white | t.quote);
    let end = if cut_text == 1 { t.quote } else { whole };
    let mut limit = up_to_highest(end) >> cut_text;
    // One that is short may be complete in the next block.
    let mut text = cut_text == 1 && limit < TEXT_AT;
    // Strings: from the opening quote to before the closing one.
    let inside = isa.prefix_xor(t.quote);
    if t.backslash != 0 {
        // It ends before the string that has escapes.
        let before = t.quote & low(t.backslash.trailing_zeros());
        limit = up_to_highest(before) >> 1;
        if inside & !limit & up_to_highest(before) == 0 {
            return None;
        }
        text = limit < TEXT_AT;
    }
    let outside = limit & !(inside | t.quote);
    let white = t.white & outside;
    let mut run = outside & !(white | structure);
    let levels = grammar.levels(t.open & outside, t.close & outside, t.brace)?;
    if let Some(end) = levels.end {
        limit &= low(end + 1);
        text = false;
    }
    if limit == 0 {
        return Some(Done { length: 0, closed: false, text });
    }
    let [comma, colon, open, close] = [t.comma, t.colon, t.open, t.close].map(|mask| mask & outside & limit);
    run &= limit;
    let (begin, end) = (t.quote & inside & limit, t.quote & !inside & limit);
    let plain = inside & !t.quote & limit;
    if t.control & plain != 0 || run != 0 && !numbers::are_good(isa, bytes, at, window, &t, run) {
        return None;
    }

    // What stands behind what.
    let object = open & levels.objects;
    let value = begin | run & !(run << 1) | open;
    let mut behind = [comma, colon, object, open & !object];
    for (mask, token) in behind.iter_mut().zip([Prev::COMMA, Prev::COLON, Prev::OPEN_OBJECT, Prev::OPEN_ARRAY]) {
        *mask = grammar.behind(*mask, token, white) & limit;
    }
    let [behind_comma, behind_colon, behind_object, behind_array] = behind;
    let name = (behind_object | behind_comma & levels.in_object) & begin;
    let name_end = along(name << 1, plain) & end;
    let value_end = end & !name_end | run & !(run >> 1) | close;
    let behind_name = grammar.behind(name_end, Prev::NAME, white) & limit;
    let behind_value = grammar.behind(value_end, Prev::VALUE, white) & limit;
    let bad = behind_object & !(begin | close)
        | behind_array & !(value | close)
        | behind_comma & !value
        | behind_comma & levels.in_object & !begin
        | behind_colon & !value
        | behind_name ^ colon
        | behind_value & !(comma | close);
    if bad != 0 {
        return None;
    }

    let members = (behind_comma | (behind_object | behind_array) & !close).count_ones();
    grammar.members_left = grammar.members_left.checked_sub(u64::from(members))?;
    grammar.open = levels.open;
    if let Some(last) = highest(value_end | comma | colon | name_end | open) {
        // One of them has that bit; no branch, since it is anybody's guess which.
        let kinds = [value_end, comma, colon, name_end, object, open & !object];
        grammar.prev = Prev(kinds.iter().rev().fold(0, |bits, kind| bits << 1 | (kind >> last & 1) as u8));
    }
    Some(Done { length: 64 - limit.leading_zeros() as usize, closed: levels.end.is_some(), text })
}

/// A string that begins in the first half of a block and does not end in it is long.
const TEXT_AT: u64 = 1 << 32;

/// The containers of a block.
struct Levels {
    /// As in the grammar.
    open: u64,
    /// The brackets that open objects.
    objects: u64,
    /// The bytes whose innermost container is an object; a bracket counts as inside what was open before it.
    in_object: u64,
    /// The bracket with which the container that is skipped ends.
    end: Option<u32>,
}

impl Grammar {
    /// Follows the brackets, of which those of objects are in `brace`.
    #[inline(always)]
    fn levels(&self, opens: u64, closes: u64, brace: u64) -> Option<Levels> {
        let fill = |open: u64| (open & 1).wrapping_neg();
        let mut open = self.open;
        if 63 - open.leading_zeros() + opens.count_ones() > self.levels_max {
            return None;
        }
        let (mut in_object, mut bad, mut end) = (fill(open), 0, None);
        let mut brackets = opens | closes;
        while brackets != 0 {
            let place = brackets.trailing_zeros();
            let up_to = brackets ^ brackets.wrapping_sub(1);
            brackets &= brackets - 1;
            let object = brace >> place & 1;
            // No branch: what comes next is anybody's guess.
            let is_open = opens >> place & 1;
            bad |= (open ^ object) & (is_open ^ 1);
            open = if is_open == 1 { open << 1 | object } else { open >> 1 };
            in_object ^= (in_object ^ fill(open)) & !up_to;
            if open == 1 {
                end = Some(place);
                break;
            }
        }
        (bad == 0).then_some(Levels { open, objects: opens & brace, in_object, end })
    }

    /// The places right behind these tokens, white space apart, and behind the one before the block if it is of their kind.
    #[inline(always)]
    const fn behind(&self, mask: u64, token: Prev, white: u64) -> u64 {
        let next = mask << 1 | (self.prev.0 & token.0 != 0) as u64;
        if white == 0 { next } else { along(next, white) }
    }
}

/// Moves each bit to the first place, from its own on, that is not in `road`. The bits are at beginnings of stretches of
/// `road`, or not on it: a sum carries them through.
#[inline(always)]
const fn along(bits: u64, road: u64) -> u64 {
    (bits & road).wrapping_add(road) & !road | bits & !road
}

/// The highest bit, by its number.
#[inline(always)]
const fn highest(bits: u64) -> Option<u32> {
    63_u32.checked_sub(bits.leading_zeros())
}

/// All bits up to the highest one of these.
#[inline(always)]
const fn up_to_highest(bits: u64) -> u64 {
    if bits == 0 { 0 } else { !0 >> bits.leading_zeros() }
}
