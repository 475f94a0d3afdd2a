//! Strict JSON as it comes: one pass, no tree, the same result however the bytes are cut.
//!
//! [`Pass`] is the plain machine: one byte after another, able to stop behind any. Long strings and values nobody asks
//! for are handed to `fast`, which only ever goes over what is surely valid, and gives the rest back.

mod fast;
mod members;
mod names;
mod number;
mod pass;
mod text;
mod utf8;
mod value;

#[cfg(test)]
mod tests;

use self::names::Names;
use self::number::Number;
use self::pass::{Frames, Leaf, Pass, State, Word};
use self::text::Text;
use self::utf8::{Checked, Pending};
use super::{Found, JsonError, Want};

/// What a document may need to be scanned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ScanLimits {
    /// Containers inside one another; never more than [`ScanLimits::DEPTH_CEILING`].
    pub depth: usize,
    /// Array elements and object members in the whole document.
    pub members: u64,
    /// Bytes, as sent, of a string that is told, or of a name in an object that is interpreted.
    pub text: usize,
    /// Names that their objects do not know, in all interpreted objects that are open at a time; each takes up to 60 bytes.
    pub names: usize,
}

impl ScanLimits {
    /// What `depth` is cut to: the kinds of all open containers are the bits of one word.
    pub const DEPTH_CEILING: usize = 64;

    /// The default limits with another depth.
    #[must_use]
    pub const fn with_depth(mut self, depth: usize) -> Self {
        self.depth = depth;
        self
    }

    /// The default limits with another number of members.
    #[must_use]
    pub const fn with_members(mut self, members: u64) -> Self {
        self.members = members;
        self
    }

    /// The default limits with another length of strings.
    #[must_use]
    pub const fn with_text(mut self, text: usize) -> Self {
        self.text = text;
        self
    }

    /// The default limits with another number of names.
    #[must_use]
    pub const fn with_names(mut self, names: usize) -> Self {
        self.names = names;
        self
    }
}

impl Default for ScanLimits {
    /// 64 levels (no real message has more than 20), any number of members (they take no memory), strings of 2 KiB and
    /// 128 names: under 16 KiB of state in all.
    fn default() -> Self {
        Self { depth: 64, members: u64::MAX, text: 2048, names: 128 }
    }
}

/// Whether the value is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// It is not.
    Inside,
    /// It is (of a number outside of any container only [`Scanner::finish`] knows that); only white space may follow.
    /// The document is valid when `finish` says so.
    Whole,
}

/// Reads one JSON value in pieces and tells what was asked for, as soon as it is known.
///
/// What is told, in which order, and how it ends does not depend on where the pieces are cut, but for the cuts of
/// [`What::Bytes`](super::What::Bytes) and how many of those come before a trouble. Of what is told nothing counts before [`Scanner::finish`] has said that the
/// whole document is valid. Memory: the limits' `text`, three times, and `names`; nothing is allocated for strings that
/// lie within one piece without escapes, and for up to eight unknown names.
///
/// ```
/// use ensage_mcp::json::{Known, Object, Progress, ScanLimits, Scanner, Want, What};
/// const NAME: u16 = 1;
/// const ARGUMENTS: u16 = 2;
/// static ROOT: Want = Want::object(0, &CALL);
/// static CALL: Object =
///     Object::new(&[Known::new("name", Want::value(NAME)), Known::new("arguments", Want::span(ARGUMENTS))]);
///
/// let mut scanner = Scanner::new(&ROOT, ScanLimits::default());
/// let (mut name, mut arguments) = (String::new(), None);
/// for piece in [r#"{"arguments": {"a":[1,2]}, "na"#, r#"me":"ec\u0068o"}"#] {
///     scanner.feed(piece.as_bytes(), |found| match (found.tag, found.what) {
///         (NAME, What::Text { text, .. }) => name = text.to_owned(),
///         (ARGUMENTS, What::End) => arguments = Some(found.span),
///         _ => {}
///     })?;
/// }
/// scanner.finish(|_| {})?;
/// assert_eq!((&*name, arguments), ("echo", Some(14..25)));
/// # Ok::<(), ensage_mcp::json::JsonError>(())
/// ```
///
/// The elements of a list, one at a time:
///
/// ```
/// use ensage_mcp::json::{Kind, Known, Object, ScanLimits, Scanner, Want, What};
/// static ROOT: Want = Want::object(0, &LIST);
/// static LIST: Object = Object::new(&[Known::new("tools", Want::each(1, &ELEMENT))]);
/// static ELEMENT: Want = Want::object(2, &TOOL);
/// static TOOL: Object = Object::new(&[Known::new("name", Want::value(3))]);
///
/// let mut told = Vec::new();
/// let mut scanner = Scanner::new(&ROOT, ScanLimits::default());
/// let list = br#"{"tools":[{"name":"a","x":1},{"name":"b"}]}"#;
/// scanner.feed(list, |found| match (found.tag, found.what) {
///     (2, What::Begin(kind)) => assert_eq!(kind, Kind::Object),
///     (2, What::End) => told.push(format!("ends with byte {}", found.span.end)),
///     (3, What::Text { text, .. }) => told.push(text.to_owned()),
///     _ => {}
/// })?;
/// scanner.finish(|_| {})?;
/// assert_eq!(told, ["a", "ends with byte 28", "b", "ends with byte 41"]);
/// # Ok::<(), ensage_mcp::json::JsonError>(())
/// ```
#[derive(Debug)]
pub struct Scanner {
    limits: ScanLimits,
    root: &'static Want,
    /// Where the piece begins that is looked at.
    offset: u64,
    state: State,
    /// One bit for each open container, the innermost lowest: set for an object.
    kinds: u64,
    /// How many are open; `frames.len() <= depth <= 64`.
    depth: usize,
    /// Those of them that are interpreted, which are the outer ones.
    frames: Frames,
    /// The value that is told in pieces, or skipped, in the innermost of `frames`.
    leaf: Leaf,
    text: Text,
    number: Number,
    /// The word that is being read, and how many bytes of it were there.
    word: (Word, u8),
    names: Names,
    members_left: u64,
    pending: Pending,
    failed: Option<JsonError>,
}

impl Scanner {
    /// A scanner of one document of which `root` is asked.
    pub fn new(root: &'static Want, limits: ScanLimits) -> Self {
        let depth = limits.depth.min(ScanLimits::DEPTH_CEILING);
        Self {
            limits: ScanLimits { depth, ..limits },
            root,
            offset: 0,
            state: State::Start,
            kinds: 0,
            depth: 0,
            frames: Frames::default(),
            leaf: Leaf::default(),
            text: Text::default(),
            number: Number::default(),
            word: (Word::Null, 0),
            names: Names::default(),
            members_left: limits.members,
            pending: Pending::default(),
            failed: None,
        }
    }

    /// Takes the next bytes and tells what is found in them.
    ///
    /// # Errors
    /// The first trouble of the document; the same again for every later call. [`JsonError::Length`] for a name in an
    /// interpreted object that is longer than the limit, [`JsonError::Members`] for too many of them.
    pub fn feed(&mut self, chunk: &[u8], mut found: impl FnMut(Found<'_>)) -> Result<Progress, JsonError> {
        if let Some(error) = self.failed {
            return Err(error);
        }
        // A piece is checked for UTF-8 first: it should still be near when it is read.
        for piece in chunk.chunks(PIECE_BYTES) {
            if let Err(error) = self.piece(piece, &mut found) {
                self.failed = Some(error);
                return Err(error);
            }
        }
        Ok(if matches!(self.state, State::Done) { Progress::Whole } else { Progress::Inside })
    }

    /// The document has ended.
    ///
    /// # Errors
    /// As [`Scanner::feed`]; [`JsonError::End`] if the value is not over.
    pub fn finish(&mut self, mut found: impl FnMut(Found<'_>)) -> Result<(), JsonError> {
        if let Some(error) = self.failed {
            return Err(error);
        }
        if matches!(self.state, State::Done) && self.pending.is_empty() {
            return Ok(());
        }
        let end = self.offset;
        // What may still come behind a number outside of any container is white space; it is no byte of the document.
        self.leaf.told_to = None;
        let verdict = match self.feed(b" ", &mut found) {
            Ok(Progress::Whole) => Ok(()),
            Ok(Progress::Inside) => Err(JsonError::End { offset: end }),
            Err(JsonError::Syntax { offset }) if offset == end => Err(JsonError::End { offset }),
            Err(error) => Err(error),
        };
        self.failed = verdict.err();
        verdict
    }

    /// How many bytes were taken.
    pub const fn offset(&self) -> u64 {
        self.offset
    }

    fn piece(&mut self, piece: &[u8], found: &mut impl FnMut(Found<'_>)) -> Result<(), JsonError> {
        let Checked { bytes, text, text_from, bad } = self.pending.check(piece, self.offset);
        Pass { scanner: self, bytes, text, text_from, at: 0, found, plain_to: 0 }.run()?;
        self.offset += wide(piece.len());
        bad.map_or(Ok(()), Err)
    }
}

const PIECE_BYTES: usize = 16 << 10;

/// An index in memory as an offset; no machine has more than 64 bits of address.
#[inline]
fn wide(index: usize) -> u64 {
    index as u64
}
