//! Strict JSON: one value of RFC 8259 that no two readers can take for two different ones.
//!
//! The reader goes over the bytes once, borrows strings that have no escapes and remembers where each value
//! lies, so that an edit can leave every other byte as it was sent.

mod found;
mod reader;
mod scan;
mod twin;
mod want;

#[cfg(test)]
pub(crate) mod tests;

use std::borrow::Cow;
use std::ops::Range;

pub use found::{Found, Kind, What};
pub use reader::parse;
pub use scan::{Progress, ScanLimits, Scanner};
pub use twin::same_folded;
pub use want::{Known, Object, Tag, Want};

/// What a document may need to be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Limits {
    /// Containers inside one another; never more than [`Limits::DEPTH_CEILING`].
    pub depth: usize,
    /// Array elements and object members in the whole document.
    pub members: usize,
}

impl Limits {
    /// What `depth` is cut to: the reader recurses, a level costs some hundred bytes of stack.
    pub const DEPTH_CEILING: usize = 256;

    /// The default limits with another depth.
    #[must_use]
    pub const fn with_depth(mut self, depth: usize) -> Self {
        self.depth = depth;
        self
    }

    /// The default limits with another number of members.
    #[must_use]
    pub const fn with_members(mut self, members: usize) -> Self {
        self.members = members;
        self
    }
}

impl Default for Limits {
    /// 64 levels (no real message has more than 20), 2^18 members (a member takes under 100 bytes of memory).
    fn default() -> Self {
        Self { depth: 64, members: 1 << 18 }
    }
}

/// A value and where its bytes are in the document.
#[derive(Clone, Debug, PartialEq)]
pub struct Node<'a> {
    /// The value's bytes, quotes and brackets included.
    pub span: Range<u64>,
    /// What it is.
    pub value: Value<'a>,
}

/// One JSON value.
#[derive(Clone, Debug, PartialEq)]
pub enum Value<'a> {
    /// `null`
    Null,
    /// `true` or `false`
    Bool(bool),
    /// The text exactly as sent; it is finite as an `f64`.
    Number(&'a str),
    /// Decoded.
    String(Cow<'a, str>),
    /// In document order.
    Array(Vec<Node<'a>>),
    /// In document order, duplicates included: see [`Node::interpreted`].
    Object(Vec<Member<'a>>),
}

/// One member of an object.
#[derive(Clone, Debug, PartialEq)]
pub struct Member<'a> {
    /// Decoded.
    pub key: Cow<'a, str>,
    /// The key's bytes, quotes included.
    pub key_span: Range<u64>,
    /// Its value.
    pub node: Node<'a>,
}

impl<'a> Node<'a> {
    /// The first member of that name. In an object that decides anything, ask [`Node::interpreted`] instead.
    pub fn get(&self, key: &str) -> Option<&Self> {
        find(self.as_object()?, key)
    }

    /// The decoded string.
    pub fn as_str(&self) -> Option<&str> {
        if let Value::String(text) = &self.value { Some(text) } else { None }
    }

    /// The number's text.
    pub fn as_number(&self) -> Option<&'a str> {
        if let Value::Number(text) = self.value { Some(text) } else { None }
    }

    /// The number, if it is a whole one written without sign, fraction and exponent and fits.
    pub fn as_u64(&self) -> Option<u64> {
        self.as_number().and_then(|text| text.parse().ok())
    }

    /// The truth value.
    pub fn as_bool(&self) -> Option<bool> {
        if let Value::Bool(truth) = self.value { Some(truth) } else { None }
    }

    /// True for `null`.
    pub fn is_null(&self) -> bool {
        self.value == Value::Null
    }

    /// The elements.
    pub fn as_array(&self) -> Option<&[Self]> {
        if let Value::Array(elements) = &self.value { Some(elements) } else { None }
    }

    /// The members.
    pub fn as_object(&self) -> Option<&[Member<'a>]> {
        if let Value::Object(members) = &self.value { Some(members) } else { None }
    }

    /// This value's bytes in the document it was read from; empty if it is another one.
    pub fn bytes_in<'s>(&self, document: &'s [u8]) -> &'s [u8] {
        slice(document, &self.span)
    }

    /// This object's members, after the proof that every reader finds the same ones.
    ///
    /// # Errors
    /// [`JsonError::Duplicate`] and [`JsonError::Twin`] if two names are equal, or equal but for case (simple
    /// and full folding of Unicode), or if a name differs only so from one of `known`, the names that its
    /// reader looks for; [`JsonError::NotAnObject`] otherwise. Only this object is looked at, not those inside.
    ///
    /// ```
    /// use ensage_mcp::json::{JsonError, Limits, parse};
    /// let node = parse(br#"{"name":"a","paramS":1}"#, &Limits::default())?;
    /// assert!(node.interpreted(&["name"]).is_ok());
    /// assert_eq!(node.interpreted(&["name", "params"]).err(), Some(JsonError::Twin { offset: 12 }));
    /// # Ok::<(), JsonError>(())
    /// ```
    pub fn interpreted(&self, known: &[&str]) -> Result<Interpreted<'_, 'a>, JsonError> {
        let Some(members) = self.as_object() else {
            return Err(JsonError::NotAnObject { offset: self.span.start });
        };
        twin::check(members, known)?;
        Ok(Interpreted { members })
    }
}

/// The members of an object of which no two can be taken for one another.
#[derive(Clone, Copy, Debug)]
pub struct Interpreted<'n, 'a> {
    members: &'n [Member<'a>],
}

impl<'n, 'a> Interpreted<'n, 'a> {
    /// The member of that name.
    pub fn get(&self, key: &str) -> Option<&'n Node<'a>> {
        find(self.members, key)
    }

    /// All of them, in document order.
    pub fn members(&self) -> &'n [Member<'a>] {
        self.members
    }
}

/// Why bytes are not one JSON value that can be read in one way only. Offsets are in bytes from the start.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum JsonError {
    /// Not UTF-8.
    #[error("invalid UTF-8 at byte {offset}")]
    Utf8 {
        /// Where.
        offset: u64,
    },
    /// A byte order mark in front; to the scanner, any character there that has its first byte.
    #[error("byte order mark at byte {offset}")]
    Bom {
        /// Where.
        offset: u64,
    },
    /// Against the grammar.
    #[error("syntax error at byte {offset}")]
    Syntax {
        /// Where.
        offset: u64,
    },
    /// The document ends inside a value, or is empty.
    #[error("the document ends too early, at byte {offset}")]
    End {
        /// Where.
        offset: u64,
    },
    /// An escaped half of a surrogate pair.
    #[error("lone surrogate at byte {offset}")]
    Surrogate {
        /// Where the escape begins.
        offset: u64,
    },
    /// Something after the value.
    #[error("bytes after the value at byte {offset}")]
    Trailing {
        /// Where.
        offset: u64,
    },
    /// More containers inside one another than [`Limits::depth`].
    #[error("nested too deeply at byte {offset}")]
    Depth {
        /// Where.
        offset: u64,
    },
    /// More elements and members than [`Limits::members`].
    #[error("too many members at byte {offset}")]
    Members {
        /// Where.
        offset: u64,
    },
    /// Not finite as an `f64`.
    #[error("number out of range at byte {offset}")]
    Number {
        /// Where it begins.
        offset: u64,
    },
    /// A name longer than [`ScanLimits::text`].
    #[error("name too long at byte {offset}")]
    Length {
        /// Where it begins.
        offset: u64,
    },
    /// A name that the object has already.
    #[error("duplicate member at byte {offset}")]
    Duplicate {
        /// Where the second key begins.
        offset: u64,
    },
    /// A name that equals another one but for case.
    #[error("member that differs only in case at byte {offset}")]
    Twin {
        /// Where the key begins.
        offset: u64,
    },
    /// Something else where an object is needed.
    #[error("not an object at byte {offset}")]
    NotAnObject {
        /// Where the value begins.
        offset: u64,
    },
}

impl JsonError {
    /// Where the trouble is, in bytes from the start of the document.
    pub const fn offset(self) -> u64 {
        match self {
            Self::Utf8 { offset }
            | Self::Bom { offset }
            | Self::Syntax { offset }
            | Self::End { offset }
            | Self::Surrogate { offset }
            | Self::Trailing { offset }
            | Self::Depth { offset }
            | Self::Members { offset }
            | Self::Number { offset }
            | Self::Length { offset }
            | Self::Duplicate { offset }
            | Self::Twin { offset }
            | Self::NotAnObject { offset } => offset,
        }
    }
}

/// The document's bytes in `span`; empty if they are not all there.
pub fn slice<'s>(document: &'s [u8], span: &Range<u64>) -> &'s [u8] {
    let (Ok(start), Ok(end)) = (usize::try_from(span.start), usize::try_from(span.end)) else { return &[] };
    document.get(start..end).unwrap_or_default()
}

fn find<'n, 'a>(members: &'n [Member<'a>], key: &str) -> Option<&'n Node<'a>> {
    members.iter().find(|member| member.key == key).map(|member| &member.node)
}
