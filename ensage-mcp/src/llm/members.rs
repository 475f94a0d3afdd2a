//! Objects of a body: their members, the known and the unknown ones.
//!
//! The rule for a member that the reader does not know: it is only noted if it looks like a setting, and makes
//! the whole call unknown if its name or anything inside it speaks of tools, models, servers, files or URLs.
//! Vendors add settings every month and agents send them the same day; a new way to reach something is refused.

use crate::json::{Interpreted, Member, Node, Value};
use crate::llm::{LlmError, Request};

/// At most so many entries of [`Request::unknown`]: one is enough to refuse.
const UNKNOWN_MAX: usize = 16;
/// At most so many entries of [`Request::unknown_members`].
const UNKNOWN_MEMBERS_MAX: usize = 32;
/// At most so many bytes of a name that a client made up.
const NAME_BYTES_MAX: usize = 128;

/// An object that is interpreted: where it stands and the members that have a meaning in it.
pub(super) struct Shape {
    pub(super) place: &'static str,
    pub(super) known: &'static [&'static str],
}

/// Proves that the object can be read in one way only and notes the members that `shape` does not have.
pub(super) fn open<'n, 'a>(
    request: &mut Request,
    node: &'n Node<'a>,
    shape: &Shape,
) -> Result<Interpreted<'n, 'a>, LlmError> {
    if node.as_object().is_none() {
        return Err(wrong_type(shape.place, node));
    }
    let object = node.interpreted(shape.known)?;
    for member in object.members() {
        if !shape.known.contains(&&*member.key) {
            note(request, shape.place, member);
        }
    }
    Ok(object)
}

/// Objects of which `type` says what they are.
pub(super) struct Family {
    pub(super) place: &'static str,
    /// The name for the whole `type`.
    pub(super) type_place: &'static str,
    /// What to call one whose type is not known.
    pub(super) what: &'static str,
    /// Each known type with its members, those that all have apart.
    pub(super) kinds: &'static [(&'static str, &'static [&'static str])],
    /// Members that any of them may have, `type` among them.
    pub(super) common: &'static [&'static str],
}

/// As [`open`], by the object's type; `None` if that is not known, which is noted.
pub(super) fn open_typed<'n, 'a>(
    request: &mut Request,
    node: &'n Node<'a>,
    family: &Family,
) -> Result<Option<(Interpreted<'n, 'a>, &'static str)>, LlmError> {
    if node.as_object().is_none() {
        return Err(wrong_type(family.place, node));
    }
    // The proof comes before the first look inside: after it a name stands for one member.
    let object = node.interpreted(family.common)?;
    let kind = required_str(object, "type", family.type_place)?;
    open_as(request, node, family, kind)
}

/// The same where something else than `type`, or more than it, says what it is.
pub(super) fn open_as<'n, 'a>(
    request: &mut Request,
    node: &'n Node<'a>,
    family: &Family,
    kind: &str,
) -> Result<Option<(Interpreted<'n, 'a>, &'static str)>, LlmError> {
    let object = node.interpreted(family.common)?;
    let Some((kind, known)) = family.kinds.iter().find(|(known, _)| *known == kind) else {
        unknown(request, family.what, kind);
        return Ok(None);
    };
    node.interpreted(known)?;
    for member in object.members() {
        if !known.contains(&&*member.key) && !family.common.contains(&&*member.key) {
            note(request, family.place, member);
        }
    }
    Ok(Some((object, kind)))
}

/// Notes something that makes the call unknown: `what` is the kind of thing, `name` what the client calls it.
pub(super) fn unknown(request: &mut Request, what: &str, name: &str) {
    if request.unknown.len() < UNKNOWN_MAX {
        request.unknown.push(format!("{what} {}", cut(name)));
    }
}

/// The member as a string; absent and null are the same.
pub(super) fn optional_str<'n>(
    object: Interpreted<'n, '_>,
    key: &str,
    place: &'static str,
) -> Result<Option<&'n str>, LlmError> {
    match present(object, key) {
        None => Ok(None),
        Some(node) => node.as_str().map(Some).ok_or(wrong_type(place, node)),
    }
}

/// The member as a string that must be there and not empty.
pub(super) fn required_str<'n>(
    object: Interpreted<'n, '_>,
    key: &str,
    place: &'static str,
) -> Result<&'n str, LlmError> {
    optional_str(object, key, place)?.filter(|text| !text.is_empty()).ok_or(LlmError::Missing { member: place })
}

/// The elements of the member; absent and null are the empty list.
pub(super) fn elements<'n, 'a>(
    object: Interpreted<'n, 'a>,
    key: &str,
    place: &'static str,
) -> Result<&'n [Node<'a>], LlmError> {
    match present(object, key) {
        None => Ok(&[]),
        Some(node) => node.as_array().ok_or(wrong_type(place, node)),
    }
}

/// The member, unless it is absent or null.
pub(super) fn present<'n, 'a>(object: Interpreted<'n, 'a>, key: &str) -> Option<&'n Node<'a>> {
    object.get(key).filter(|node| !node.is_null())
}

pub(super) const fn wrong_type(member: &'static str, node: &Node<'_>) -> LlmError {
    LlmError::WrongType { member, offset: node.span.start }
}

fn note(request: &mut Request, place: &str, member: &Member<'_>) {
    let name = if place.is_empty() { cut(&member.key).to_owned() } else { format!("{place}.{}", cut(&member.key)) };
    if is_reaching(&member.key) || reaches(&member.node) {
        unknown(request, "member", &name);
    } else if request.unknown_members.len() < UNKNOWN_MEMBERS_MAX && !request.unknown_members.contains(&name) {
        request.unknown_members.push(name);
    }
}

/// True if the value holds a URL, names something that a provider runs, or has a member that does.
fn reaches(node: &Node<'_>) -> bool {
    match &node.value {
        Value::Null | Value::Bool(_) | Value::Number(_) => false,
        Value::String(text) => {
            text.contains("://") || super::anthropic::is_provider_side(text) || super::openai::is_provider_side(text)
        }
        Value::Array(elements) => elements.iter().any(reaches),
        Value::Object(members) => members.iter().any(|member| is_reaching(&member.key) || reaches(&member.node)),
    }
}

fn is_reaching(key: &str) -> bool {
    const WORDS: [&str; 15] = [
        "agent",
        "connector",
        "container",
        "file_id",
        "files",
        "function",
        "host",
        "mcp",
        "model",
        "plugin",
        "server",
        "skill",
        "tool",
        "uri",
        "url",
    ];
    let key = key.to_lowercase();
    WORDS.iter().any(|word| key.contains(word))
}

fn cut(text: &str) -> &str {
    text.get(..text.floor_char_boundary(NAME_BYTES_MAX)).unwrap_or(text)
}
