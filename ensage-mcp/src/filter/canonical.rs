//! One form for all spellings of a JSON value, for digests that outlive a server's next release of its encoder.

use sha2::{Digest, Sha256};

use crate::json::{Limits, Member, Node, Value, parse};

/// SHA-256 of the canonical form of one JSON value.
///
/// The form is that of RFC 8785 (JCS), sections 3.2.1 to 3.2.4: no white space, members sorted by the UTF-16 code units
/// of their decoded names, strings with the shortest escapes, UTF-8. It differs in two points, both so that two values
/// never have one digest: a number stays as it was sent (`1.0` is not `1`, and nothing is rounded to a double), and of
/// equal names all members stay, in their order.
///
/// What is no JSON value is digested as it is.
pub(super) fn sha256(json: &[u8]) -> [u8; 32] {
    let mut sink = Sink { buffer: Vec::with_capacity(BUFFER_BYTES), sha: Sha256::new() };
    match parse(json, &Limits::default().with_members(usize::MAX)) {
        Ok(node) => sink.value(&node),
        Err(_) => sink.put(json),
    }
    sink.flush();
    sink.sha.finalize().into()
}

const BUFFER_BYTES: usize = 4096;

struct Sink {
    buffer: Vec<u8>,
    sha: Sha256,
}

impl Sink {
    fn put(&mut self, bytes: &[u8]) {
        if self.buffer.len() + bytes.len() > BUFFER_BYTES {
            self.flush();
        }
        if bytes.len() > BUFFER_BYTES {
            self.sha.update(bytes);
        } else {
            self.buffer.extend_from_slice(bytes);
        }
    }

    fn flush(&mut self) {
        self.sha.update(&self.buffer);
        self.buffer.clear();
    }

    /// Recurses no deeper than the reader did.
    fn value(&mut self, node: &Node<'_>) {
        match &node.value {
            Value::Null => self.put(b"null"),
            Value::Bool(true) => self.put(b"true"),
            Value::Bool(false) => self.put(b"false"),
            Value::Number(text) => self.put(text.as_bytes()),
            Value::String(text) => self.string(text),
            Value::Array(elements) => {
                self.put(b"[");
                for (index, element) in elements.iter().enumerate() {
                    if index > 0 {
                        self.put(b",");
                    }
                    self.value(element);
                }
                self.put(b"]");
            }
            Value::Object(members) => self.object(members),
        }
    }

    fn object(&mut self, members: &[Member<'_>]) {
        let mut sorted: Vec<&Member<'_>> = members.iter().collect();
        sorted.sort_by(|a, b| utf16_order(&a.key, &b.key));
        self.put(b"{");
        for (index, member) in sorted.into_iter().enumerate() {
            if index > 0 {
                self.put(b",");
            }
            self.string(&member.key);
            self.put(b":");
            self.value(&member.node);
        }
        self.put(b"}");
    }

    fn string(&mut self, text: &str) {
        self.put(b"\"");
        let mut rest = text;
        while let Some(at) = rest.bytes().position(|b| b < 0x20 || b == b'"' || b == b'\\') {
            let (plain, from) = rest.split_at(at);
            self.put(plain.as_bytes());
            let (special, behind) = from.split_at(1);
            match special.as_bytes() {
                b"\"" => self.put(b"\\\""),
                b"\\" => self.put(b"\\\\"),
                b"\x08" => self.put(b"\\b"),
                b"\t" => self.put(b"\\t"),
                b"\n" => self.put(b"\\n"),
                b"\x0c" => self.put(b"\\f"),
                b"\r" => self.put(b"\\r"),
                other => other.iter().for_each(|byte| self.put(format!("\\u{byte:04x}").as_bytes())),
            }
            rest = behind;
        }
        self.put(rest.as_bytes());
        self.put(b"\"");
    }
}

fn utf16_order(a: &str, b: &str) -> std::cmp::Ordering {
    // Only above the surrogates do UTF-8 and UTF-16 sort in different ways.
    if a.is_ascii() && b.is_ascii() { a.cmp(b) } else { a.encode_utf16().cmp(b.encode_utf16()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn canonical(text: &str) -> String {
        let mut sink = Sink { buffer: Vec::new(), sha: Sha256::new() };
        sink.value(&parse(text.as_bytes(), &Limits::default()).unwrap());
        String::from_utf8(sink.buffer).unwrap()
    }

    #[test]
    fn d3_the_form_is_that_of_rfc_8785_but_for_numbers_and_duplicates() {
        // RFC 8785, sections 3.2.2 and 3.2.3, their numbers written as JCS would have them.
        let example = r#"{
            "numbers": [333333333.3333333, 1e+30, 4.5, 0.002, 1e-27],
            "string": "\u20ac$\u000F\u000aA'\u0042\u0022\u005c\\\"\/",
            "literals": [null, true, false]
        }"#;
        assert_eq!(
            canonical(example),
            r#"{"literals":[null,true,false],"numbers":[333333333.3333333,1e+30,4.5,0.002,1e-27],"string":"€$\u000f\nA'B\"\\\\\"/"}"#
        );
        let sorted = r#"{"\u20ac":"Euro Sign","\r":"Carriage Return","\ufb33":"Hebrew Letter Dalet With Dagesh","1":"One","\ud83d\ude00":"Emoji: Grinning Face","\u0080":"Control","\u00f6":"Latin Small Letter O With Diaeresis"}"#;
        let names = ["\"\\r\"", "\"1\"", "\"\u{80}\"", "\"ö\"", "\"€\"", "\"😀\"", "\"\u{fb33}\""];
        let out = canonical(sorted);
        let at: Vec<_> = names.iter().map(|name| out.find(&format!("{name}:")).unwrap()).collect();
        assert!(at.is_sorted(), "{out}");
        assert_eq!(canonical(r#"{"b":1.0,"a":1,"b":1e2}"#), r#"{"a":1,"b":1.0,"b":1e2}"#);
        assert_eq!(canonical("\"\\b\\f\\t\\u0000\\u007f\""), "\"\\b\\f\\t\\u0000\u{7f}\"");
    }

    #[test]
    fn d3_spelling_makes_no_difference_and_content_does() {
        let same =
            [r#"{"name":"a","n":[1,{"x":"é\/"}]}"#, " { \"n\" : [1,{\"x\":\"\\u00e9/\"}],\n\"na\\u006de\":\"a\"}"];
        assert_eq!(sha256(same[0].as_bytes()), sha256(same[1].as_bytes()));
        for other in [r#"{"name":"a","n":[1.0,{"x":"é/"}]}"#, r#"{"name":"a","n":[{"x":"é/"},1]}"#, r#"{"name":"a"}"#]
        {
            assert_ne!(sha256(same[0].as_bytes()), sha256(other.as_bytes()), "{other}");
        }
        // The plain form, longer than the buffer too.
        let long = format!("\"{}\"", "x".repeat(3 * BUFFER_BYTES));
        for text in [r#"{"a":1}"#, &long] {
            assert_eq!(sha256(text.as_bytes()), <[u8; 32]>::from(Sha256::digest(text)));
        }
    }
}
