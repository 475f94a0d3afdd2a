//! Takes secrets and placeholders out of what is written down: the last look at a record before it is one.

use zeroize::Zeroizing;

use crate::find;
use crate::secret::Secret;

/// Every secret that is known, each as it is and as JSON spells it.
#[derive(Default)]
pub struct Redactor {
    spellings: Vec<Zeroizing<Vec<u8>>>,
}

impl Redactor {
    /// Takes the secrets; made anew when one of them changes.
    pub fn new<'s>(secrets: impl IntoIterator<Item = &'s Secret>) -> Self {
        let mut spellings = Vec::new();
        for secret in secrets {
            secret.expose(|bytes| {
                let escaped = escaped(bytes);
                if escaped.as_slice() != bytes {
                    spellings.push(escaped);
                }
                spellings.push(Zeroizing::new(bytes.to_vec()));
            });
        }
        Self { spellings }
    }

    /// Overwrites what was found by as many `*`, whatever its case: hosts and header names are written in lower case.
    /// The length stays, and JSON stays JSON.
    pub fn redact(&self, text: &mut [u8]) {
        for spelling in &self.spellings {
            overwrite(text, spelling);
        }
        let ranges: Vec<_> = find::tokens(text).map(|hit| hit.start..hit.end).collect();
        for range in ranges {
            text.get_mut(range).unwrap_or_default().fill(b'*');
        }
    }
}

impl std::fmt::Debug for Redactor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Redactor").finish_non_exhaustive()
    }
}

/// The bytes between the quotes of a JSON string; secrets have no control bytes.
fn escaped(bytes: &[u8]) -> Zeroizing<Vec<u8>> {
    let mut out = Zeroizing::new(Vec::with_capacity(bytes.len().saturating_mul(2)));
    for byte in bytes {
        if matches!(byte, b'"' | b'\\') {
            out.push(b'\\');
        }
        out.push(*byte);
    }
    out
}

/// Searched for by the byte of it that records have least often.
fn overwrite(text: &mut [u8], spelling: &[u8]) {
    let rarest = spelling.iter().enumerate().min_by_key(|(_, byte)| frequency(**byte));
    let Some((offset, byte)) = rarest else { return };
    let (low, high) = (byte.to_ascii_lowercase(), byte.to_ascii_uppercase());
    let mut from = offset;
    while let Some(found) = text.get(from..).and_then(|rest| memchr::memchr2(low, high, rest)) {
        let at = from.saturating_add(found);
        let start = at.saturating_sub(offset);
        match text.get_mut(start..start.saturating_add(spelling.len())) {
            Some(window) if window.eq_ignore_ascii_case(spelling) => {
                window.fill(b'*');
                from = start.saturating_add(spelling.len()).saturating_add(offset);
            }
            Some(_) => from = at.saturating_add(1),
            None => return,
        }
    }
}

/// How often a byte stands in a record, rarest first: what is no letter, digit or mark of JSON, then the letters that
/// its keys seldom have. Hex digests and ids are why digits and `a` to `f` come last.
fn frequency(byte: u8) -> usize {
    const LETTERS: &[u8] = b"zjqxkgwyvlhupmnirost";
    match byte.to_ascii_lowercase() {
        b'"' | b':' | b',' | b'{' | b'}' | b'/' | b'.' | b'-' | b'_' => 30,
        b'0'..=b'9' | b'a'..=b'f' => 40,
        letter @ b'g'..=b'z' => LETTERS.iter().position(|l| *l == letter).map_or(30, |place| place + 1),
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn redacted(secret: &str, text: &str) -> String {
        let secret = Secret::from_stdin(secret.as_bytes().to_vec()).unwrap();
        let mut bytes = text.as_bytes().to_vec();
        Redactor::new([&secret]).redact(&mut bytes);
        String::from_utf8(bytes).unwrap()
    }

    #[test]
    fn h14_no_spelling_of_a_secret_is_written_down() {
        for (secret, text, want) in [
            ("SECRETvalue", r#"{"a":"xSECRETvaluey"}"#, r#"{"a":"x***********y"}"#),
            ("SECRETvalue", "host secretvalue.test SECRETvalue", "host ***********.test ***********"),
            (r#"se"cr\et12"#, r#"{"a":"se\"cr\\et12"}"#, r#"{"a":"************"}"#),
            ("SECRETvalue", "SECRETvalu", "SECRETvalu"),
            ("ssssssss", "sssssssssssssssss", "****************s"),
            ("abcdefgZ", "zabcdefgzabcdefgZz", "z****************z"),
            ("abcdefgZ", "abcdefg abcdefgz", "abcdefg ********"),
            ("Zabcdefg", "zabcdef zabcdefgZABCDEF", "zabcdef ********ZABCDEF"),
            ("aZbcdefg", "Z aZ azbcdefg aZbcdef", "Z aZ ******** aZbcdef"),
        ] {
            assert_eq!(redacted(secret, text), want, "{text}");
        }
    }

    #[test]
    fn h14_a_placeholder_is_not_written_down() {
        let text = format!("PUT x-ens_{} end", "a1".repeat(11));
        assert_eq!(redacted("SECRETvalue", &text), format!("PUT x-{} end", "*".repeat(26)));
    }
}
