//! Small pieces of what a person reads.

use serde_json::Value;

/// A member as text; `-` where it is absent. Control characters are shown, never sent to the terminal.
pub(crate) fn at(value: &Value, pointer: &str) -> String {
    match value.pointer(pointer) {
        None | Some(Value::Null) => "-".to_owned(),
        Some(Value::String(s)) => safe(s),
        Some(other) => other.to_string(),
    }
}

/// A number; 0 where it is absent.
pub(crate) fn count(value: &Value, pointer: &str) -> u64 {
    value.pointer(pointer).and_then(Value::as_u64).unwrap_or(0)
}

/// Text of others without anything that moves a cursor (threat H13).
pub(crate) fn safe(text: &str) -> String {
    text.chars().flat_map(|c| {
        let hidden = c.is_control() || matches!(c, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}' | '\u{e0000}'..='\u{e007f}');
        if hidden { c.escape_unicode().collect::<Vec<_>>() } else { vec![c] }
    }).collect()
}
