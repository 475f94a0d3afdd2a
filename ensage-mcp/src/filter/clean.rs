//! Characters that people don't see and models read, or that change what people see (threat D4).

use std::iter::Peekable;
use std::str::Chars;

/// True if the text of a JSON value, as sent, has one anywhere.
pub(super) fn is_tainted(json: &[u8]) -> bool {
    stripped(json).is_some()
}

/// A JSON string without them, quotes included, all else spelled as it was; `None` if it has none.
///
/// Taken out: what Unicode calls default-ignorable (zero-width characters, bidirectional controls, tags, variation
/// selectors), interlinear annotations, the controls of C0 and C1 but for tab and line ends, DEL, and whole ANSI escape
/// sequences (ECMA-48 sections 5.3 to 5.6). One presentation selector behind a character that is not ASCII stays: many
/// emoji have it.
pub(super) fn stripped(json: &[u8]) -> Option<String> {
    if may_be_tainted(json) { strip(std::str::from_utf8(json).ok()?) } else { None }
}

/// The quick look: false only if there is none.
fn may_be_tainted(json: &[u8]) -> bool {
    may_be_plainly(json) || may_be_escaped(json)
}

/// Looks at where a character of several bytes begins, and at DEL.
fn may_be_plainly(json: &[u8]) -> bool {
    const STEP: usize = 16;
    json.chunks(STEP).enumerate().any(|(index, chunk)| {
        let suspicious = |(at, byte): (usize, &u8)| {
            *byte >= 0x7f && begins_hidden(json.get(index * STEP + at..).unwrap_or_default())
        };
        chunk.iter().any(|byte| *byte >= 0x7f) && chunk.iter().enumerate().any(suspicious)
    })
}

/// True for the first bytes of each character that is hidden, and of some others.
const fn begins_hidden(bytes: &[u8]) -> bool {
    matches!(
        bytes,
        [0x7f, ..]
            | [0xc2, 0x80..=0x9f | 0xad, ..]
            | [0xcd, 0x8f, ..]
            | [0xd8, 0x9c, ..]
            | [0xe1, 0x85 | 0x9e | 0xa0, ..]
            | [0xe2, 0x80, 0x8b..=0x8f | 0xaa..=0xae, ..]
            | [0xe2, 0x81, ..]
            | [0xe3, 0x85, 0xa4, ..]
            | [0xef, 0xb8 | 0xbb | 0xbe | 0xbf, ..]
            | [0xf0, 0x9b | 0x9d, ..]
            | [0xf3, ..]
    )
}

/// Looks at escapes. One behind an escaped backslash is none; to take it for one only costs the long look.
fn may_be_escaped(json: &[u8]) -> bool {
    memchr::memchr_iter(b'\\', json).any(|at| match json.get(at + 1..) {
        Some([b'b' | b'f', ..]) => true,
        Some([b'u', four @ ..]) => {
            let four = four.get(..4).and_then(|four| std::str::from_utf8(four).ok()).unwrap_or_default();
            // Half of a pair is no character.
            u32::from_str_radix(four, 16).ok().and_then(char::from_u32).is_none_or(is_hidden)
        }
        _ => false,
    })
}

fn strip(json: &str) -> Option<String> {
    let mut out = String::with_capacity(json.len());
    let mut units = Units { rest: json }.peekable();
    let mut visible = false;
    let mut taken = false;
    while let Some((spelling, read)) = units.next() {
        let goes = match read {
            '\u{1b}' | '\u{9b}' => {
                skip_sequence(read, &mut units);
                true
            }
            '\u{fe0e}' | '\u{fe0f}' => !visible,
            _ => is_hidden(read),
        };
        taken |= goes;
        visible = !goes && !read.is_ascii() && !matches!(read, '\u{fe0e}' | '\u{fe0f}');
        if !goes {
            out.push_str(spelling);
        }
    }
    taken.then_some(out)
}

fn is_hidden(c: char) -> bool {
    matches!(c,
        '\0'..='\u{8}' | '\u{b}' | '\u{c}' | '\u{e}'..='\u{1f}' | '\u{7f}'..='\u{9f}'
        | '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}' | '\u{180b}'..='\u{180f}'
        | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{3164}'
        | '\u{fe00}'..='\u{fe0f}' | '\u{feff}' | '\u{ffa0}' | '\u{fff0}'..='\u{fffb}'
        | '\u{1bca0}'..='\u{1bca3}' | '\u{1d173}'..='\u{1d17a}' | '\u{e0000}'..='\u{e0fff}')
}

/// Goes over what follows an ESC or CSI, if it is a whole sequence; else over nothing: then it is text.
fn skip_sequence(introducer: char, units: &mut Peekable<Units<'_>>) {
    let mut ahead = units.clone();
    let kind = if introducer == '\u{9b}' { Some('[') } else { ahead.next().map(|(_, read)| read) };
    let whole = match kind {
        Some('[') => {
            while ahead.next_if(|(_, c)| matches!(c, '0'..='?')).is_some() {}
            while ahead.next_if(|(_, c)| matches!(c, ' '..='/')).is_some() {}
            ahead.next_if(|(_, c)| matches!(c, '@'..='~')).is_some()
        }
        // A string of the terminal's own: up to BEL or ST.
        Some('P' | 'X' | ']' | '^' | '_') => loop {
            match ahead.next() {
                None => break false,
                Some((_, '\u{7}' | '\u{9c}')) => break true,
                Some((_, '\u{1b}')) if ahead.next_if(|(_, c)| *c == '\\').is_some() => break true,
                Some(_) => {}
            }
        },
        Some(' '..='/') => {
            while ahead.next_if(|(_, c)| matches!(c, ' '..='/')).is_some() {}
            ahead.next_if(|(_, c)| matches!(c, '0'..='~')).is_some()
        }
        Some('0'..='~') => true,
        Some(_) | None => false,
    };
    if whole {
        *units = ahead;
    }
}

/// The characters of a JSON text, each as it is spelled and as it is read.
#[derive(Clone)]
struct Units<'a> {
    rest: &'a str,
}

impl<'a> Iterator for Units<'a> {
    type Item = (&'a str, char);

    fn next(&mut self) -> Option<Self::Item> {
        let mut chars = self.rest.chars();
        let read = match chars.next()? {
            '\\' => escaped(&mut chars),
            // The end of the string: what follows it is no part of a sequence.
            '"' => '\n',
            other => other,
        };
        let (spelling, rest) = self.rest.split_at(self.rest.len() - chars.as_str().len());
        self.rest = rest;
        Some((spelling, read))
    }
}

/// What an escape stands for, of a text that is known to be JSON.
fn escaped(chars: &mut Chars<'_>) -> char {
    match chars.next() {
        Some('b') => '\u{8}',
        Some('f') => '\u{c}',
        Some('n' | 'r') => '\n',
        Some('t') => '\t',
        Some('u') => {
            let first = hex(chars);
            let mut ahead = chars.clone();
            if (0xd800..0xdc00).contains(&first) && ahead.next() == Some('\\') && ahead.next() == Some('u') {
                let second = hex(&mut ahead);
                *chars = ahead;
                let joined = 0x10000 + ((first - 0xd800) << 10) + (second.wrapping_sub(0xdc00) & 0x3ff);
                return char::from_u32(joined).unwrap_or(char::REPLACEMENT_CHARACTER);
            }
            char::from_u32(first).unwrap_or(char::REPLACEMENT_CHARACTER)
        }
        other => other.unwrap_or('\\'),
    }
}

fn hex(chars: &mut Chars<'_>) -> u32 {
    chars.by_ref().take(4).filter_map(|c| c.to_digit(16)).fold(0, |sum, digit| sum << 4 | digit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn d4_hidden_characters_are_taken_out_and_the_rest_stays_as_spelled() {
        let check = |before: &str, after: &str| {
            let (before, after) = (format!("\"{before}\""), format!("\"{after}\""));
            let expected = (before != after).then_some(after);
            assert_eq!(stripped(before.as_bytes()), expected, "{before:?}");
            assert_eq!(is_tainted(before.as_bytes()), expected.is_some());
        };
        // The quick look misses none.
        for c in ('\0'..=char::MAX).filter(|c| is_hidden(*c) && !('\u{fe0e}'..='\u{fe0f}').contains(c)) {
            if c >= ' ' {
                assert_eq!(stripped(format!("\"é{c}\"").as_bytes()).as_deref(), Some("\"é\""), "{c:?}");
            }
            let escaped: String = c.encode_utf16(&mut [0; 2]).iter().map(|unit| format!("\\u{unit:04X}")).collect();
            assert_eq!(stripped(format!("\"{escaped}\"").as_bytes()).as_deref(), Some("\"\""), "{escaped}");
        }
        for same in [
            "",
            "plain \\\"text\\\" \\n\\t\\r \\\\u200b",
            "é — “x” \\u00e9 😀 \\ud83d\\ude00",
            "❤\u{fe0f} ⚠\u{fe0e}",
            "\\u2028\u{a0}",
        ] {
            check(same, same);
        }
        check("a\u{200b}b\\u200Bc", "abc");
        check("\u{202e}gnp.exe\u{2066}x\u{2069}", "gnp.exex");
        check("hi\u{e0041}\u{e0042}\\udb40\\udc43!", "hi!");
        check("\\u001b[31mred\\u001b[0m", "red");
        check("\\u001B[38;5;1;2 qx", "x");
        check("\u{9b}2Kx\\u009b1mY", "xY");
        check("\\u001b]0;title\\u0007x\\u001b]8;;u:\\u001b\\\\y", "xy");
        check("\\u001bcx\\u001b(By\\u001b", "xy");
        // What is no whole sequence is text, and shows.
        check("\\u001b]0;never", "]0;never");
        check("\\u001b[31", "[31");
        check("\\u001b", "");
        check("\\u001b\\u200b\\\"", "\\\"");
        check("\\u0000\\b\\f\u{7f}x", "x");
        check("A\u{fe0f}B ❤\u{fe0f}\u{fe0f} \u{e0100}é\u{e0101}", "AB ❤\u{fe0f} é");
        check("👨\u{200d}👩", "👨👩");
    }

    #[test]
    fn d4_a_whole_definition_is_looked_at() {
        assert!(is_tainted(b"{\"name\":\"a\",\"inputSchema\":{\"x\":[\"\\u2060\"]}}"));
        assert!(!is_tainted("{\"name\":\"é\",\"x\":\"\\n\"}".as_bytes()));
    }
}
