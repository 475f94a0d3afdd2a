//! Small pieces of what a person reads.

use std::path::Path;

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

/// A path as a shell reads it back: a remedy is there to be pasted.
pub(crate) fn word(path: &Path) -> String {
    let text = path.display().to_string();
    if text.chars().any(char::is_control) {
        // The quoting of bash, zsh and ksh (POSIX.1-2024); nothing else spells a control character on one line.
        let spelled = text.chars().map(|c| match c {
            '\'' | '\\' => format!("\\{c}"),
            c if c.is_control() => c.to_string().bytes().map(|b| format!("\\{b:03o}")).collect(),
            c => c.to_string(),
        });
        return format!("$'{}'", spelled.collect::<String>());
    }
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '/' | '.' | '-' | '_' | '+' | ',' | ':' | '@' | '%');
    if text.chars().all(plain) { text } else { format!("'{}'", text.replace('\'', "'\\''")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn h13_a_path_is_one_word_of_a_shell() {
        for (path, want) in [
            ("/a/b-c.toml", "/a/b-c.toml"),
            ("/a b", "'/a b'"),
            ("/a'b", r"'/a'\''b'"),
            ("/a;rm", "'/a;rm'"),
            ("/a\nb'", r"$'/a\012b\''"),
            ("/\u{1b}[2J", r"$'/\033[2J'"),
        ] {
            assert_eq!(word(Path::new(path)), want);
        }
    }
}
