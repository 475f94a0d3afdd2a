//! The ids of JSON-RPC requests.

use crate::json::{Node, Value};

/// A request's id: a string of at most [`Id::BYTES_MAX`] bytes, or a whole number within ±(2^53 - 1).
///
/// Two are equal if type and value are; the text is kept as sent, for an answer must bear it.
#[derive(Clone, Debug)]
pub struct Id {
    text: String,
    value: IdValue,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum IdValue {
    Text(String),
    Integer(i64),
}

impl Id {
    /// Bytes of a string id, decoded. Real ones are numbers, UUIDs, or as long as `server-discover-probe-1`.
    pub const BYTES_MAX: usize = 256;

    /// Beyond it JavaScript rounds, and answers with another id.
    const INTEGER_MAX: i64 = (1 << 53) - 1;

    /// Reads the value of an `id` member of `document`; `None` for anything but an id.
    pub(crate) fn read(node: &Node<'_>, document: &[u8]) -> Option<Self> {
        let value = match &node.value {
            Value::String(text) if text.len() <= Self::BYTES_MAX => IdValue::Text(text.clone().into_owned()),
            Value::Number(text) => {
                let integer = text.parse().ok()?;
                if !(-Self::INTEGER_MAX..=Self::INTEGER_MAX).contains(&integer) {
                    return None;
                }
                IdValue::Integer(integer)
            }
            Value::String(_) | Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => return None,
        };
        let text = String::from_utf8(node.bytes_in(document).to_vec()).ok()?;
        Some(Self { text, value })
    }

    /// The JSON text exactly as sent, the quotes of a string included.
    pub fn text(&self) -> &str {
        &self.text
    }
}

impl PartialEq for Id {
    fn eq(&self, other: &Self) -> bool {
        self.value == other.value
    }
}

impl Eq for Id {}

impl std::hash::Hash for Id {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.value.hash(state);
    }
}
