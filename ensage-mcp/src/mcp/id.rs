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
        match &node.value {
            Value::String(text) => {
                let quoted = std::str::from_utf8(node.bytes_in(document)).ok()?;
                Self::from_text(text, quoted.get(1..quoted.len().checked_sub(1)?)?)
            }
            Value::Number(text) => Self::from_number(text),
            Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => None,
        }
    }

    /// From a string, decoded and as sent without its quotes.
    pub(crate) fn from_text(text: &str, raw: &str) -> Option<Self> {
        if text.len() > Self::BYTES_MAX {
            return None;
        }
        Some(Self { text: format!("\"{raw}\""), value: IdValue::Text(text.to_owned()) })
    }

    /// From the text of a number.
    pub(crate) fn from_number(text: &str) -> Option<Self> {
        let integer = text.parse().ok()?;
        if !(-Self::INTEGER_MAX..=Self::INTEGER_MAX).contains(&integer) {
            return None;
        }
        Some(Self { text: text.to_owned(), value: IdValue::Integer(integer) })
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
