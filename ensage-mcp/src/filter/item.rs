//! What a server lists, one thing at a time.

use super::canonical;

/// Something that a server lists or says of itself, as it is shown to whoever decides about it.
#[derive(Clone, Copy, Debug)]
pub struct Item<'a> {
    /// What it is.
    pub kind: ItemKind,
    /// What it is called, decoded: see [`ItemKind`].
    pub name: &'a str,
    /// All of it as the server sent it, one JSON value.
    pub json: &'a [u8],
}

impl Item<'_> {
    /// SHA-256 of the definition's canonical form, to pin it by; costs a pass over it.
    ///
    /// The form is that of RFC 8785 (JCS): no white space, members sorted by the UTF-16 code units of their decoded
    /// names, strings with the shortest escapes, UTF-8. It differs in two points, both so that two definitions never have
    /// one digest: a number stays as it was sent (`1.0` is not `1`), and of equal names all members stay, in their order
    /// (only in objects that nobody interprets: elsewhere they refuse the list).
    ///
    /// ```
    /// use ensage_mcp::filter::{Item, ItemKind};
    /// let item = |json| Item { kind: ItemKind::Tool, name: "ls", json };
    /// let plain = item(br#"{"name":"ls","title":"L"}"#).sha256();
    /// assert_eq!(item(br#"{ "title": "\u004c", "name": "ls" }"#).sha256(), plain);
    /// assert_ne!(item(br#"{"name":"ls","title":"M"}"#).sha256(), plain);
    /// ```
    pub fn sha256(&self) -> [u8; 32] {
        canonical::sha256(self.json)
    }
}

/// What an [`Item`] is, and so what its name is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ItemKind {
    /// An element of `tools`, by `name`.
    Tool,
    /// An element of `resources`, a skill's included, by `uri`.
    Resource,
    /// An element of `resourceTemplates`, by `uriTemplate`.
    Template,
    /// An element of `prompts`, by `name`.
    Prompt,
    /// An element of `skills`, by `uri`.
    Skill,
    /// An element of `tasks`, by `taskId`.
    Task,
    /// A member of `capabilities` of `initialize` and `server/discover`, by its name.
    Capability,
    /// A member of `capabilities.extensions`, by its name.
    Extension,
    /// The `instructions` of `initialize` and `server/discover`; without a name.
    Instructions,
}
