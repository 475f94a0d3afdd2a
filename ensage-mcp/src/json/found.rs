//! What a [`Scanner`](super::Scanner) tells of a value that was asked for.

use std::ops::Range;

use super::{JsonError, Tag};

/// Something that was asked for.
#[derive(Clone, Debug, PartialEq)]
pub struct Found<'s> {
    /// As the [`Want`](super::Want) of that place has it.
    pub tag: Tag,
    /// The bytes of it in the document: of a value all of it, quotes and brackets included; where a value begins, its
    /// first byte; of a name the name with its quotes.
    pub span: Range<u64>,
    /// What it is.
    pub what: What<'s>,
}

/// What was found. Of each value that was asked for comes either one of the first five, or [`What::Begin`] and
/// [`What::End`] with what is found inside it between them.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum What<'s> {
    /// `null`
    Null,
    /// `true` or `false`
    Bool(bool),
    /// The text exactly as sent; it is finite as an `f64`.
    Number(&'s str),
    /// A string.
    Text {
        /// Decoded.
        text: &'s str,
        /// As sent, without the quotes.
        raw: &'s str,
    },
    /// A string longer than [`ScanLimits::text`](super::ScanLimits::text).
    LongText,
    /// A value begins that is told in pieces: any where its span or bytes were asked for, else a container.
    Begin(Kind),
    /// The next bytes of a value whose bytes were asked for. How they are cut depends on the chunks.
    Bytes(&'s [u8]),
    /// The value that began ends.
    End,
    /// The name of a member that its object does not know, decoded; its value comes next.
    Name(&'s str),
    /// The first name of this object that some reader could take for another one, where that was to be told.
    Twin(JsonError),
}

/// What a value is by its first byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// `null`
    Null,
    /// `true` or `false`
    Bool,
    /// A number.
    Number,
    /// A string.
    Text,
    /// `[`
    Array,
    /// `{`
    Object,
}
