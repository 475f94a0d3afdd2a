//! Finds what has the form of a placeholder, each character spelled plainly, percent-encoded or JSON-escaped.
//!
//! Spellings may be mixed (`e%6es_`); no copy is made. A token begins with `ens_`, so either these four bytes stand
//! there, or one of them is escaped: an underscore, a percent sign or a backslash shows every candidate, and few texts
//! have many of them.

use memchr::{memchr2, memchr3, memchr3_iter};

use crate::placeholder::{MARK, TOKEN_BYTES, is_digit};

/// Most bytes of one spelled-out token: each character as `\uXXXX`.
pub(crate) const SPELLED_BYTES_MAX: usize = TOKEN_BYTES * 6;

/// Most bytes between the start of a token and the end of its first four characters.
const MARK_BYTES_MAX: usize = MARK.len() * 6;

/// Something of a placeholder's form.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Hit {
    /// Where it starts in the searched bytes.
    pub(crate) start: usize,
    /// Where it ends.
    pub(crate) end: usize,
    /// Its characters.
    pub(crate) token: [u8; TOKEN_BYTES],
    pub(crate) outline: Outline,
}

/// Whether what surrounds a token looks as around a placeholder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outline {
    /// It stands alone.
    Sharp,
    /// It may be a piece of a longer word, such as `tokens_…`: no placeholder unless it is known as one.
    Blurred,
}

/// Says whether a token may stand there, in any spelling, or an escape: most texts have neither.
pub(crate) fn may_hold(bytes: &[u8]) -> bool {
    memchr3(b'_', b'%', b'\\', bytes).is_some()
}

/// All of them, from left to right, none overlapping.
pub(crate) fn tokens(bytes: &[u8]) -> impl Iterator<Item = Hit> + '_ {
    let mut marks = memchr3_iter(b'_', b'%', b'\\', bytes);
    let mut from = 0;
    std::iter::from_fn(move || {
        for mark in marks.by_ref() {
            let Some(end) = candidate(bytes, mark) else { continue };
            let first = mark.saturating_sub(MARK_BYTES_MAX).max(from);
            // To its end: in `%6ens_…` the `e` is the escape's last digit, and a token's first character.
            let hit = (first..end).find_map(|start| token_at(bytes, start));
            if let Some(hit) = hit {
                from = hit.end;
                return Some(hit);
            }
        }
        None
    })
}

/// Where the part of a token's first four characters ends that the byte at `mark` shows, if it shows any.
fn candidate(bytes: &[u8], mark: usize) -> Option<usize> {
    match unit(bytes, mark)? {
        (b'_', 1) => bytes.get(..mark).is_some_and(|before| before.ends_with(b"ens")).then_some(mark + 1),
        (char, length) => (length > 1 && MARK.contains(&char)).then_some(mark + length),
    }
}

fn token_at(bytes: &[u8], start: usize) -> Option<Hit> {
    let mut token = [0; TOKEN_BYTES];
    let mut end = start;
    for (place, slot) in token.iter_mut().enumerate() {
        let (char, length) = unit(bytes, end)?;
        let fits = match MARK.get(place) {
            Some(&mark) => char == mark,
            None => is_digit(char),
        };
        if !fits {
            return None;
        }
        *slot = char;
        end += length;
    }
    let longer = unit(bytes, end).is_some_and(|(char, _)| is_digit(char));
    let word = start.checked_sub(1).and_then(|at| bytes.get(at)).is_some_and(u8::is_ascii_lowercase);
    let digits = token.get(MARK.len()..).unwrap_or_default();
    let random = digits.iter().any(u8::is_ascii_digit) && digits.iter().any(u8::is_ascii_uppercase);
    let outline = if longer || (word && !random) { Outline::Blurred } else { Outline::Sharp };
    Some(Hit { start, end, token, outline })
}

/// The character that is spelled at `at`, and how many bytes spell it.
pub(crate) fn unit(bytes: &[u8], at: usize) -> Option<(u8, usize)> {
    let byte = *bytes.get(at)?;
    let escaped = match byte {
        b'%' => bytes.get(at + 1..at + 3).and_then(hex).map(|char| (char, 3)),
        b'\\' => bytes
            .get(at + 2..at + 6)
            .filter(|_| bytes.get(at + 1) == Some(&b'u'))
            .and_then(hex)
            .filter(u8::is_ascii)
            .map(|c| (c, 6)),
        _ => None,
    };
    Some(escaped.unwrap_or((byte, 1)))
}

/// Says whether an escape is itself escaped: `%25` is a percent sign, `%5c` a backslash, `\u0025` and `\u005c` too.
pub(crate) fn hides_an_escape(bytes: &[u8]) -> bool {
    let mut at = 0;
    while let Some(next) = bytes.get(at..).and_then(|rest| memchr2(b'%', b'\\', rest)) {
        at += next;
        if unit(bytes, at).is_some_and(|(char, length)| length > 1 && matches!(char, b'%' | b'\\')) {
            return true;
        }
        at += 1;
    }
    false
}

/// The value with its escapes taken off once.
pub(crate) fn unescaped(bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while let Some((char, length)) = unit(bytes, at) {
        out.push(char);
        at += length;
    }
    out
}

/// Says whether a parameter's name, as sent, is this one.
pub(crate) fn spells(name: &[u8], known: &[u8]) -> bool {
    let mut at = 0;
    for &expected in known {
        match unit(name, at) {
            Some((char, length)) if char == expected => at += length,
            _ => return false,
        }
    }
    at == name.len()
}

/// The byte of these hexadecimal digits.
fn hex(digits: &[u8]) -> Option<u8> {
    let value = digits.iter().try_fold(0, |sum, &d| char::from(d).to_digit(16).map(|v| sum * 16 + v))?;
    u8::try_from(value).ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const TOKEN: &str = "ens_0123456789ABCDEFGHIJab";

    fn check(text: &str, expected: &[(usize, usize)]) {
        let found: Vec<_> = tokens(text.as_bytes()).map(|hit| (hit.start, hit.end)).collect();
        assert_eq!(found, expected, "{text}");
        for hit in tokens(text.as_bytes()) {
            assert_eq!(hit.token, TOKEN.as_bytes(), "{text}");
        }
    }

    fn percent(text: &str) -> String {
        text.bytes().map(|b| format!("%{b:02x}")).collect()
    }

    fn json(text: &str) -> String {
        text.bytes().map(|b| format!("\\u{b:04X}")).collect()
    }

    #[test]
    fn f3_a_token_is_found_in_every_spelling() {
        check("", &[]);
        check("nothing_here", &[]);
        check(TOKEN, &[(0, 26)]);
        check(&format!("ghp_{TOKEN}"), &[(4, 30)]);
        check(&format!("{TOKEN}{TOKEN}"), &[(0, 26), (26, 52)]);
        check(&format!("x={}&y", percent(TOKEN)), &[(2, 80)]);
        check(&percent(TOKEN).to_uppercase(), &[(0, 78)]);
        check(&json(TOKEN), &[(0, 156)]);
        for at in 0..TOKEN.len() {
            let (before, rest) = TOKEN.split_at(at);
            let (char, after) = rest.split_at(1);
            check(&format!("{before}{}{after}", percent(char)), &[(0, 28)]);
            check(&format!("{before}{}{after}", json(char)), &[(0, 31)]);
            check(&format!("%6e%6e\\u0065{before}{}{}", json(char), percent(after)), &[(12, 12 + 81 - 2 * at)]);
            check(&format!("{before}-{after}"), &[]);
        }
        check(&format!("%6{TOKEN}"), &[(2, 28)]);
        check(&format!("\\u006{TOKEN}"), &[(5, 31)]);
        check(&TOKEN[..25], &[]);
        check(&TOKEN.replace("ens", "ENS"), &[]);
        check("ens_0123456789ABCDEFGHIJa%", &[]);
        check("ens_0123456789ABCDEFGHIJa\\u00", &[]);
    }

    #[test]
    fn words_that_only_look_alike_are_blurred() {
        let outline = |text: &str| tokens(text.as_bytes()).next().unwrap().outline;
        assert_eq!(outline(TOKEN), Outline::Sharp);
        assert_eq!(outline(&format!("AIza{TOKEN}")), Outline::Sharp);
        assert_eq!(outline(&format!("ghp_{TOKEN}.")), Outline::Sharp);
        assert_eq!(outline(&format!("{TOKEN}x")), Outline::Blurred);
        assert_eq!(outline(&format!("{TOKEN}%41")), Outline::Blurred);
        assert_eq!(outline("tokens_abcdefghijklmnopqrstuv"), Outline::Blurred);
    }

    proptest! {
        #[test]
        fn nothing_panics_and_hits_are_in_order(bytes in proptest::collection::vec(
            prop_oneof![Just(b'e'), Just(b'n'), Just(b's'), Just(b'_'), Just(b'%'), Just(b'\\'), Just(b'u'), Just(b'0'),
                Just(b'6'), Just(b'5'), any::<u8>()], 0..400)) {
            let mut from = 0;
            for hit in tokens(&bytes) {
                prop_assert!(from <= hit.start && hit.end <= bytes.len());
                prop_assert!(hit.end - hit.start <= SPELLED_BYTES_MAX);
                from = hit.end;
            }
        }

        #[test]
        fn a_token_is_found_among_anything(before in "[^eE]*", after in "[^0-9A-Za-z%\\\\]*") {
            let text = format!("{before}{TOKEN}{after}");
            prop_assert!(tokens(text.as_bytes()).any(|hit| hit.token == TOKEN.as_bytes()));
        }
    }
}
