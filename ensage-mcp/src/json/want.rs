//! What a reader asks a [`Scanner`](super::Scanner) for: a tree of constants, one node for each place in the document.

use std::fmt;

/// What a place is called in the [`Found`](super::Found)s of it; the reader's own numbers.
pub type Tag = u16;

/// What is asked of one value, and of those inside it.
///
/// What nobody asks for is only held to be valid JSON. Constants may refer to one another, so that a value may contain
/// values of its own kind:
///
/// ```
/// use ensage_mcp::json::{Known, Object, Want};
/// static BLOCK: Object = Object::new(&[
///     Known::new("text", Want::value(1)),
///     Known::new("content", Want::each(2, &INNER)),
/// ]);
/// static INNER: Want = Want::object(3, &BLOCK);
/// ```
#[derive(Clone, Copy)]
pub struct Want {
    pub(super) tag: Tag,
    pub(super) tells: Tells,
    pub(super) object: Option<&'static Object>,
    pub(super) each: Option<&'static Self>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Tells {
    Nothing,
    Span,
    Bytes,
    Value,
}

impl Want {
    /// Nothing but that it is valid.
    pub const NOTHING: Self = Self { tag: 0, tells: Tells::Nothing, object: None, each: None };

    const fn telling(tag: Tag, tells: Tells) -> Self {
        Self { tag, tells, object: None, each: None }
    }

    /// What it is: a string decoded, a number's text; of a container that it begins and where it ends.
    pub const fn value(tag: Tag) -> Self {
        Self::telling(tag, Tells::Value)
    }

    /// Where it begins and ends, whatever it is.
    pub const fn span(tag: Tag) -> Self {
        Self::telling(tag, Tells::Span)
    }

    /// Where it begins and ends, and its bytes as they come.
    pub const fn bytes(tag: Tag) -> Self {
        Self::telling(tag, Tells::Bytes)
    }

    /// As [`Want::value`]; if it is an object, its members are read too.
    pub const fn object(tag: Tag, object: &'static Object) -> Self {
        Self { object: Some(object), ..Self::value(tag) }
    }

    /// As [`Want::value`]; if it is an array, this is asked of each element.
    pub const fn each(tag: Tag, element: &'static Self) -> Self {
        Self { each: Some(element), ..Self::value(tag) }
    }

    /// The same; if it is an array, `element` is asked of each of its elements. For what may be an object or a list.
    #[must_use]
    pub const fn or_each(mut self, element: &'static Self) -> Self {
        self.each = Some(element);
        self
    }
}

impl fmt::Debug for Want {
    /// Not what is inside: that may be endless.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Want").field("tag", &self.tag).field("tells", &self.tells).finish_non_exhaustive()
    }
}

/// An object that is interpreted: no two of its names may be equal but for case, and none may differ only so from one
/// that its reader knows (see [`same_folded`](super::same_folded)).
#[derive(Clone, Copy)]
pub struct Object {
    pub(super) members: &'static [Known],
    pub(super) others: Option<&'static Want>,
    pub(super) twins: Twins,
}

/// What is done with two names that some reader may take for one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Twins {
    Refused,
    Told,
}

impl Object {
    /// Most members that an object may know.
    pub const MEMBERS_MAX: usize = 64;

    /// An object whose reader knows these members, at most [`Object::MEMBERS_MAX`]; the frequent ones first is fastest.
    /// Duplicates and twins refuse the document.
    ///
    /// # Panics
    /// With more members; where it is a constant, that is an error of the compiler.
    pub const fn new(members: &'static [Known]) -> Self {
        assert!(members.len() <= Self::MEMBERS_MAX, "an object can know 64 members");
        Self { members, others: None, twins: Twins::Refused }
    }

    /// The same; of any other member the name is told, under the tag of `want`, which then is asked of its value.
    #[must_use]
    pub const fn others(mut self, want: &'static Want) -> Self {
        self.others = Some(want);
        self
    }

    /// The same, but the first duplicate or twin is told as [`What::Twin`](super::What::Twin) and the document goes on:
    /// for an object that may turn out to be none that is interpreted.
    #[must_use]
    pub const fn telling_twins(mut self) -> Self {
        self.twins = Twins::Told;
        self
    }
}

impl fmt::Debug for Object {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.members.iter().map(|member| member.name)).finish()
    }
}

/// A member that an object's reader knows.
#[derive(Clone, Copy, Debug)]
pub struct Known {
    pub(super) name: &'static str,
    /// The name's first eight bytes, so that most names are told apart by one comparison.
    pub(super) head: u64,
    pub(super) want: Want,
}

impl Known {
    /// The member of that name, compared decoded and exactly.
    pub const fn new(name: &'static str, want: Want) -> Self {
        Self { name, head: head(name.as_bytes()), want }
    }

    /// A member whose value nobody needs, though its name has a meaning: its twins are refused.
    pub const fn unread(name: &'static str) -> Self {
        Self::new(name, Want::NOTHING)
    }
}

/// The first eight bytes as one number, the first lowest.
#[inline]
pub(super) const fn head(name: &[u8]) -> u64 {
    if let Some(eight) = name.first_chunk::<8>() {
        return u64::from_le_bytes(*eight);
    }
    let (mut head, mut rest, mut shift) = (0, name, 0);
    while let [first, others @ ..] = rest {
        head |= (*first as u64) << shift;
        shift += 8;
        rest = others;
    }
    head
}
