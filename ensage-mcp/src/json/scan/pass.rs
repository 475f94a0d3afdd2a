//! The plain machine: one pass over a piece, from the state behind the last one.

use super::fast::{self, Grammar, Prev, Stop};
use super::text::Role;
use super::{Scanner, wide};
use crate::json::{Found, JsonError, Kind, Object, Want, What};

/// What may come next. One byte: it is written and read all the time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// The first byte: a value, or the byte order mark that is refused.
    Start,
    /// A value.
    Value,
    /// The first element of an array, or its end.
    ValueOrEnd,
    /// A member's name.
    Name,
    /// The first member's name, or the end of the object.
    NameOrEnd,
    Colon,
    /// What stands behind a value in a container.
    Comma,
    /// More of a string.
    Text,
    /// More of a number.
    Number,
    /// More of a word.
    Word,
    /// Nothing but white space.
    Done,
}

/// The words of JSON.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Word {
    True,
    False,
    Null,
}

impl Word {
    const fn text(self) -> &'static [u8] {
        match self {
            Self::True => b"true",
            Self::False => b"false",
            Self::Null => b"null",
        }
    }

    const fn what(self) -> What<'static> {
        match self {
            Self::True => What::Bool(true),
            Self::False => What::Bool(false),
            Self::Null => What::Null,
        }
    }
}

/// A container that is interpreted.
#[derive(Clone, Copy, Debug)]
pub(super) struct Frame {
    pub(super) want: &'static Want,
    /// `None` for an array.
    pub(super) object: Option<&'static Object>,
    /// What is asked of the value that comes next.
    pub(super) next: &'static Want,
    pub(super) start: u64,
    /// One bit for each known member that was there.
    pub(super) seen: u64,
    /// Where its unknown names begin.
    pub(super) names_from: usize,
    pub(super) twin_told: bool,
}

impl Default for Frame {
    fn default() -> Self {
        let nothing = &Want::NOTHING;
        Self { want: nothing, object: None, next: nothing, start: 0, seen: 0, names_from: 0, twin_told: false }
    }
}

/// The open containers that are interpreted. Real messages need no allocation for them.
#[derive(Debug, Default)]
pub(super) struct Frames {
    first: [Frame; 4],
    rest: Vec<Frame>,
    length: usize,
}

impl Frames {
    pub(super) const fn len(&self) -> usize {
        self.length
    }

    #[inline]
    pub(super) fn top(&mut self) -> Option<&mut Frame> {
        let index = self.length.checked_sub(1)?;
        match self.first.get_mut(index) {
            Some(frame) => Some(frame),
            None => self.rest.last_mut(),
        }
    }

    /// The place for one more, which holds what an earlier one left.
    #[inline]
    pub(super) fn add(&mut self) -> Option<&mut Frame> {
        let index = self.length;
        self.length += 1;
        if index < self.first.len() {
            return self.first.get_mut(index);
        }
        self.rest.push(Frame::default());
        self.rest.last_mut()
    }

    /// Takes the innermost one off.
    pub(super) fn leave(&mut self) {
        if self.length > self.first.len() {
            self.rest.pop();
        }
        self.length = self.length.saturating_sub(1);
    }
}

/// A value that is told in pieces, or not at all.
#[derive(Clone, Copy, Debug)]
pub(super) struct Leaf {
    pub(super) want: &'static Want,
    pub(super) start: u64,
    /// Its bytes are being told; those before this index of the piece were.
    pub(super) told_to: Option<usize>,
}

impl Default for Leaf {
    fn default() -> Self {
        Self { want: &Want::NOTHING, start: 0, told_to: None }
    }
}

/// The lowest bits.
const fn low_bits(word: u64, bits: usize) -> u64 {
    word & ((1 << bits) - 1)
}

/// So far the plain machine goes before the fast way is tried again.
const PLAIN_BYTES: usize = 64;

/// One pass over a piece.
pub(super) struct Pass<'p, F> {
    pub(super) scanner: &'p mut Scanner,
    pub(super) bytes: &'p [u8],
    /// Its bytes from the index `text_from` on, as far as they are known to be text.
    pub(super) text: &'p str,
    pub(super) text_from: usize,
    /// `at <= bytes.len()`: what is before it was read.
    pub(super) at: usize,
    pub(super) found: &'p mut F,
    /// Up to here the plain machine reads, since the fast way found something to look at.
    pub(super) plain_to: usize,
}

impl<F: FnMut(Found<'_>)> Pass<'_, F> {
    pub(super) fn run(&mut self) -> Result<(), JsonError> {
        while let Some(&byte) = self.bytes.get(self.at) {
            if self.is_skipping() && self.at >= self.plain_to && self.skip() {
                continue;
            }
            match self.scanner.state {
                State::Text => self.text()?,
                State::Number => self.number(self.at)?,
                State::Word => self.word()?,
                State::Start => self.start(byte)?,
                _ if matches!(byte, b' ' | b'\n' | b'\r' | b'\t') => self.at += 1,
                State::Name => self.names(byte)?,
                State::NameOrEnd if byte == b'}' => self.close(byte)?,
                State::NameOrEnd => self.names(byte)?,
                State::Colon if byte == b':' => {
                    self.at += 1;
                    self.scanner.state = State::Value;
                }
                State::Comma if byte == b',' => {
                    self.at += 1;
                    self.scanner.state = if self.in_object() { State::Name } else { State::Value };
                }
                State::Comma => self.close(byte)?,
                State::ValueOrEnd if byte == b']' => self.close(byte)?,
                State::Value | State::ValueOrEnd => self.value(byte)?,
                State::Done => return Err(JsonError::Trailing { offset: self.here() }),
                State::Colon => return Err(self.unexpected()),
            }
        }
        self.tell_bytes(self.bytes.len());
        if let Some(told_to) = &mut self.scanner.leaf.told_to {
            *told_to = 0;
        }
        Ok(())
    }

    /// Goes over what is plainly valid in a value that nobody looks into; false if that is nothing.
    fn skip(&mut self) -> bool {
        let scanner = &mut *self.scanner;
        let prev = match scanner.state {
            State::Value if scanner.kinds & 1 == 1 => Prev::COLON,
            State::Value | State::Name => Prev::COMMA,
            State::ValueOrEnd => Prev::OPEN_ARRAY,
            State::NameOrEnd => Prev::OPEN_OBJECT,
            State::Colon => Prev::NAME,
            State::Comma => Prev::VALUE,
            State::Start | State::Text | State::Number | State::Word | State::Done => {
                return false;
            }
        };
        // The containers around the one that is skipped, and those within it.
        let around = scanner.frames.len();
        let levels = scanner.depth - around;
        if levels > 62 {
            return false;
        }
        let (outer, inner) = (scanner.kinds >> levels, low_bits(scanner.kinds, levels));
        let mut grammar = Grammar {
            open: inner | 1 << levels,
            levels_max: (scanner.limits.depth - around).min(62) as u32,
            members_left: scanner.members_left,
            prev,
        };
        let (at, stop) = fast::skip(self.bytes, self.at, &mut grammar);
        let moved = at > self.at;
        self.at = at;
        let levels = 63 - grammar.open.leading_zeros();
        scanner.kinds = outer << levels | low_bits(grammar.open, levels as usize);
        scanner.depth = around + levels as usize;
        scanner.members_left = grammar.members_left;
        let in_object = scanner.kinds & 1 == 1;
        match stop {
            Stop::Closed => self.closed(),
            Stop::Text(start, role) => {
                let role = if role == fast::Role::Name { Role::Name } else { Role::Value };
                self.scanner.text.begin(self.scanner.offset + wide(start), role);
                self.scanner.state = State::Text;
            }
            Stop::Look => {
                self.plain_to = at + PLAIN_BYTES;
                self.scanner.state = match grammar.prev {
                    Prev::COLON => State::Value,
                    Prev::COMMA if in_object => State::Name,
                    Prev::COMMA => State::Value,
                    Prev::OPEN_ARRAY => State::ValueOrEnd,
                    Prev::OPEN_OBJECT => State::NameOrEnd,
                    Prev::NAME => State::Colon,
                    _ => State::Comma,
                };
            }
        }
        moved
    }

    fn start(&mut self, byte: u8) -> Result<(), JsonError> {
        // Of a byte order mark, or of another character that no value begins with: one byte is enough to refuse it, and
        // more of them may not be there yet.
        if byte == 0xEF {
            return Err(JsonError::Bom { offset: 0 });
        }
        self.scanner.state = State::Value;
        Ok(())
    }

    pub(super) fn unexpected(&self) -> JsonError {
        JsonError::Syntax { offset: self.here() }
    }

    pub(super) const fn in_object(&self) -> bool {
        self.scanner.depth > 0 && self.scanner.kinds & 1 == 1
    }

    /// True within a value that nobody looks into.
    pub(super) const fn is_skipping(&self) -> bool {
        self.scanner.depth > self.scanner.frames.len()
    }

    fn count(&mut self) -> Result<(), JsonError> {
        let Some(left) = self.scanner.members_left.checked_sub(1) else {
            return Err(JsonError::Members { offset: self.here() });
        };
        self.scanner.members_left = left;
        Ok(())
    }

    /// Where a member's name must begin: reads some members, or this name.
    fn names(&mut self, byte: u8) -> Result<(), JsonError> {
        if byte == b'"' && !self.is_skipping() && self.members() {
            return Ok(());
        }
        self.name(byte)
    }

    /// Where a member's name must begin.
    fn name(&mut self, byte: u8) -> Result<(), JsonError> {
        self.count()?;
        if byte != b'"' {
            return Err(self.unexpected());
        }
        let role = if self.is_skipping() { Role::Name } else { Role::ToldName };
        let here = self.here();
        self.scanner.text.begin(here, role);
        self.scanner.state = State::Text;
        self.at += 1;
        self.text()
    }

    /// Where a value must begin.
    fn value(&mut self, byte: u8) -> Result<(), JsonError> {
        if self.scanner.depth > 0 && !self.in_object() {
            self.count()?;
        }
        match byte {
            b'{' | b'[' => self.open(byte),
            b'"' => self.begin_text(),
            b'-' | b'0'..=b'9' => {
                self.begin_scalar(Kind::Number);
                let here = self.here();
                self.scanner.number.begin(here);
                self.scanner.state = State::Number;
                self.number(self.at)
            }
            b't' => self.begin_word(Word::True, Kind::Bool),
            b'f' => self.begin_word(Word::False, Kind::Bool),
            b'n' => self.begin_word(Word::Null, Kind::Null),
            _ => Err(self.unexpected()),
        }
    }

    fn begin_word(&mut self, word: Word, kind: Kind) -> Result<(), JsonError> {
        self.begin_scalar(kind);
        self.scanner.state = State::Word;
        self.scanner.word = (word, 0);
        self.word()
    }

    fn word(&mut self) -> Result<(), JsonError> {
        let (word, there) = self.scanner.word;
        let rest = word.text().get(usize::from(there)..).unwrap_or_default();
        for (read, expected) in rest.iter().enumerate() {
            match self.bytes.get(self.at) {
                None => {
                    self.scanner.word.1 = there + read as u8;
                    return Ok(());
                }
                Some(byte) if byte == expected => self.at += 1,
                Some(_) => return Err(self.unexpected()),
            }
        }
        self.value_ends(Some(word.what()));
        Ok(())
    }

    /// Within a number of which this piece has the bytes from `from` on.
    fn number(&mut self, from: usize) -> Result<(), JsonError> {
        let offset = self.scanner.offset;
        self.at = self.scanner.number.read(self.bytes, from, self.at, offset)?;
        let last = self.bytes.get(from..self.at).unwrap_or_default();
        if self.at == self.bytes.len() {
            self.scanner.number.hold(last);
            return Ok(());
        }
        self.number_ends(last)
    }

    /// The offset behind what was read.
    pub(super) fn end(&self) -> u64 {
        self.scanner.offset + wide(self.at)
    }
}
