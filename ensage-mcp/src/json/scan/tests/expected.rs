//! What should be told, by the tree that `parse` makes of the document.

use super::{Told, tell};
use crate::json::want::{Tells, Twins};
use crate::json::{Found, JsonError, Kind, Node, Object, Value, Want, What, same_folded, slice};

pub(super) fn expected(want: &Want, node: &Node<'_>, document: &[u8]) -> Told {
    let mut told = Told::new();
    value(want, node, document, &mut told);
    told
}

fn value(want: &Want, node: &Node<'_>, document: &[u8], told: &mut Told) {
    let bytes = node.bytes_in(document);
    let say = |span: std::ops::Range<u64>, what: What<'_>, told: &mut Told| {
        tell(told, &Found { tag: want.tag, span, what });
    };
    let begin = node.span.start..node.span.start + 1;
    if matches!(want.tells, Tells::Span | Tells::Bytes) {
        say(begin, What::Begin(kind(node)), told);
        if want.tells == Tells::Bytes {
            say(node.span.clone(), What::Bytes(bytes), told);
        }
        return say(node.span.clone(), What::End, told);
    }
    let tells = want.tells == Tells::Value;
    let scalar = match &node.value {
        Value::Null => What::Null,
        Value::Bool(truth) => What::Bool(*truth),
        Value::Number(text) => What::Number(text),
        Value::String(text) => {
            let raw = std::str::from_utf8(&bytes[1..bytes.len() - 1]).unwrap();
            if raw.len() > 2048 { What::LongText } else { What::Text { text, raw } }
        }
        Value::Array(_) | Value::Object(_) => {
            if tells {
                say(begin, What::Begin(kind(node)), told);
            }
            match (&want.object, &want.each) {
                (Some(object), _) if node.as_object().is_some() => members(want, object, node, document, told),
                (_, Some(each)) => node.as_array().into_iter().flatten().for_each(|e| value(each, e, document, told)),
                (_, _) => {}
            }
            What::End
        }
    };
    if tells {
        say(node.span.clone(), scalar, told);
    }
}

fn members(want: &Want, object: &Object, node: &Node<'_>, document: &[u8], told: &mut Told) {
    let members = node.as_object().unwrap();
    let mut twin_told = false;
    for (index, member) in members.iter().enumerate() {
        let offset = member.key_span.start;
        let span = member.key_span.clone();
        let earlier = members.iter().take(index).map(|other| &*other.key);
        let known = object.members.iter().map(|known| known.name);
        let is_known = known.clone().any(|name| name == member.key);
        let twin = if earlier.clone().any(|name| name == member.key) {
            Some(JsonError::Duplicate { offset })
        } else if !is_known && earlier.chain(known).any(|name| same_folded(name, &member.key)) {
            Some(JsonError::Twin { offset })
        } else {
            None
        };
        if let Some(twin) = twin {
            assert_eq!(object.twins, Twins::Told, "it would have been refused");
            if !std::mem::replace(&mut twin_told, true) {
                tell(told, &Found { tag: want.tag, span: span.clone(), what: What::Twin(twin) });
            }
        }
        let next = match object.members.iter().find(|known| known.name == member.key) {
            Some(known) => &known.want,
            None => object.others.unwrap_or(&Want::NOTHING),
        };
        if !is_known && object.others.is_some() {
            tell(told, &Found { tag: next.tag, span, what: What::Name(&member.key) });
        }
        value(next, &member.node, document, told);
    }
    assert_eq!(slice(document, &node.span).first(), Some(&b'{'));
}

fn kind(node: &Node<'_>) -> Kind {
    match node.value {
        Value::Null => Kind::Null,
        Value::Bool(_) => Kind::Bool,
        Value::Number(_) => Kind::Number,
        Value::String(_) => Kind::Text,
        Value::Array(_) => Kind::Array,
        Value::Object(_) => Kind::Object,
    }
}
