//! The pass over the bytes.

use std::borrow::Cow;
use std::ops::Range;

use super::{JsonError, Limits, Member, Node, Value};

/// Reads one value: UTF-8 without a byte order mark, nothing but white space around it.
///
/// # Errors
/// A [`JsonError`] with the place of the first trouble; duplicate members are no trouble here, see
/// [`Node::interpreted`].
///
/// ```
/// use ensage_mcp::json::{JsonError, Limits, parse};
/// let node = parse(br#" {"id": 12345678901234567890123} "#, &Limits::default())?;
/// assert_eq!(node.get("id").and_then(|id| id.as_number()), Some("12345678901234567890123"));
/// assert_eq!(node.span, 1..32);
/// assert_eq!(parse(b"{} {}", &Limits::default()), Err(JsonError::Trailing { offset: 3 }));
/// # Ok::<(), JsonError>(())
/// ```
pub fn parse<'a>(bytes: &'a [u8], limits: &Limits) -> Result<Node<'a>, JsonError> {
    if bytes.starts_with(b"\xEF\xBB\xBF") {
        return Err(JsonError::Bom { offset: 0 });
    }
    let text = std::str::from_utf8(bytes).map_err(|bad| JsonError::Utf8 { offset: wide(bad.valid_up_to()) })?;
    let mut reader =
        Reader { text, at: 0, levels_left: limits.depth.min(Limits::DEPTH_CEILING), members_left: limits.members };
    reader.skip_space();
    let node = reader.value()?;
    reader.skip_space();
    match reader.peek() {
        None => Ok(node),
        Some(_) => Err(JsonError::Trailing { offset: wide(reader.at) }),
    }
}

struct Reader<'a> {
    text: &'a str,
    /// `at <= text.len()`, always on a character boundary.
    at: usize,
    levels_left: usize,
    members_left: usize,
}

impl<'a> Reader<'a> {
    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    /// What stands at `at` does not belong there.
    fn unexpected(&self) -> JsonError {
        let offset = wide(self.at);
        if self.at < self.text.len() { JsonError::Syntax { offset } } else { JsonError::End { offset } }
    }

    fn span_from(&self, start: usize) -> Range<u64> {
        wide(start)..wide(self.at)
    }

    fn skip_space(&mut self) {
        while let Some(b' ' | b'\t' | b'\n' | b'\r') = self.peek() {
            self.at += 1;
        }
    }

    fn value(&mut self) -> Result<Node<'a>, JsonError> {
        let start = self.at;
        let value = match self.peek() {
            Some(b'{') => self.object()?,
            Some(b'[') => self.array()?,
            Some(b'"') => Value::String(self.string()?),
            Some(b'-' | b'0'..=b'9') => self.number()?,
            Some(b't') => self.word("true", Value::Bool(true))?,
            Some(b'f') => self.word("false", Value::Bool(false))?,
            Some(b'n') => self.word("null", Value::Null)?,
            _ => return Err(self.unexpected()),
        };
        Ok(Node { span: self.span_from(start), value })
    }

    fn word(&mut self, word: &str, value: Value<'a>) -> Result<Value<'a>, JsonError> {
        for expected in word.bytes() {
            if self.peek() != Some(expected) {
                return Err(self.unexpected());
            }
            self.at += 1;
        }
        Ok(value)
    }

    /// Goes down one level, over the opening bracket.
    fn enter(&mut self) -> Result<(), JsonError> {
        let Some(left) = self.levels_left.checked_sub(1) else {
            return Err(JsonError::Depth { offset: wide(self.at) });
        };
        self.levels_left = left;
        self.at += 1;
        self.skip_space();
        Ok(())
    }

    /// Goes up again, over the closing bracket.
    fn leave(&mut self) {
        self.levels_left += 1;
        self.at += 1;
    }

    fn count_member(&mut self) -> Result<(), JsonError> {
        let Some(left) = self.members_left.checked_sub(1) else {
            return Err(JsonError::Members { offset: wide(self.at) });
        };
        self.members_left = left;
        Ok(())
    }

    fn array(&mut self) -> Result<Value<'a>, JsonError> {
        self.enter()?;
        let mut elements = Vec::new();
        if self.peek() != Some(b']') {
            loop {
                self.count_member()?;
                elements.push(self.value()?);
                self.skip_space();
                match self.peek() {
                    Some(b',') => self.at += 1,
                    Some(b']') => break,
                    _ => return Err(self.unexpected()),
                }
                self.skip_space();
            }
        }
        self.leave();
        Ok(Value::Array(elements))
    }

    fn object(&mut self) -> Result<Value<'a>, JsonError> {
        self.enter()?;
        let mut members = Vec::new();
        if self.peek() != Some(b'}') {
            loop {
                self.count_member()?;
                members.push(self.member()?);
                self.skip_space();
                match self.peek() {
                    Some(b',') => self.at += 1,
                    Some(b'}') => break,
                    _ => return Err(self.unexpected()),
                }
                self.skip_space();
            }
        }
        self.leave();
        Ok(Value::Object(members))
    }

    fn member(&mut self) -> Result<Member<'a>, JsonError> {
        let start = self.at;
        if self.peek() != Some(b'"') {
            return Err(self.unexpected());
        }
        let key = self.string()?;
        let key_span = self.span_from(start);
        self.skip_space();
        if self.peek() != Some(b':') {
            return Err(self.unexpected());
        }
        self.at += 1;
        self.skip_space();
        Ok(Member { key, key_span, node: self.value()? })
    }

    /// RFC 8259 section 6; the text is kept, for a re-written number would not be the one that was judged.
    fn number(&mut self) -> Result<Value<'a>, JsonError> {
        let start = self.at;
        if self.peek() == Some(b'-') {
            self.at += 1;
        }
        if self.peek() == Some(b'0') {
            self.at += 1;
        } else {
            self.digits()?;
        }
        if self.peek() == Some(b'.') {
            self.at += 1;
            self.digits()?;
        }
        let mut scaled = false;
        if let Some(b'e' | b'E') = self.peek() {
            scaled = true;
            self.at += 1;
            if let Some(b'+' | b'-') = self.peek() {
                self.at += 1;
            }
            self.digits()?;
        }
        let text = self.text.get(start..self.at).unwrap_or_default();
        // Below 10^308 without an exponent it is finite whatever its digits are.
        if (scaled || text.len() > 300) && !text.parse::<f64>().is_ok_and(f64::is_finite) {
            return Err(JsonError::Number { offset: wide(start) });
        }
        Ok(Value::Number(text))
    }

    fn digits(&mut self) -> Result<(), JsonError> {
        let Some(b'0'..=b'9') = self.peek() else { return Err(self.unexpected()) };
        while let Some(b'0'..=b'9') = self.peek() {
            self.at += 1;
        }
        Ok(())
    }

    /// From the opening quote to behind the closing one.
    fn string(&mut self) -> Result<Cow<'a, str>, JsonError> {
        self.at += 1;
        let first = self.plain_run()?;
        if self.peek() == Some(b'"') {
            self.at += 1;
            return Ok(Cow::Borrowed(first));
        }
        let mut decoded = String::from(first);
        while self.peek() == Some(b'\\') {
            decoded.push(self.escape()?);
            decoded.push_str(self.plain_run()?);
        }
        self.at += 1;
        Ok(Cow::Owned(decoded))
    }

    /// Up to the next quote or backslash, which is there.
    fn plain_run(&mut self) -> Result<&'a str, JsonError> {
        let rest = self.text.get(self.at..).unwrap_or_default();
        let Some(length) = memchr::memchr2(b'"', b'\\', rest.as_bytes()) else {
            return Err(JsonError::End { offset: wide(self.text.len()) });
        };
        let run = rest.get(..length).unwrap_or_default();
        // Over the whole run without an exit, so that it is done many bytes at a time.
        if run.bytes().fold(false, |any, byte| any | (byte < 0x20)) {
            let control = run.bytes().position(|byte| byte < 0x20).unwrap_or_default();
            return Err(JsonError::Syntax { offset: wide(self.at.saturating_add(control)) });
        }
        self.at += length;
        Ok(run)
    }

    fn escape(&mut self) -> Result<char, JsonError> {
        let start = self.at;
        self.at += 1;
        let plain = match self.peek() {
            Some(same @ (b'"' | b'\\' | b'/')) => char::from(same),
            Some(b'b') => '\u{8}',
            Some(b'f') => '\u{C}',
            Some(b'n') => '\n',
            Some(b'r') => '\r',
            Some(b't') => '\t',
            Some(b'u') => return self.unicode_escape(start),
            _ => return Err(self.unexpected()),
        };
        self.at += 1;
        Ok(plain)
    }

    fn unicode_escape(&mut self, start: usize) -> Result<char, JsonError> {
        let lone = JsonError::Surrogate { offset: wide(start) };
        let first = self.hex4()?;
        if !(0xD800..=0xDFFF).contains(&first) {
            return char::from_u32(first).ok_or(lone);
        }
        if first >= 0xDC00 || self.peek() != Some(b'\\') {
            return Err(lone);
        }
        self.at += 1;
        if self.peek() != Some(b'u') {
            return Err(lone);
        }
        let second = self.hex4()?;
        if !(0xDC00..=0xDFFF).contains(&second) {
            return Err(lone);
        }
        char::from_u32(0x1_0000 + ((first & 0x3FF) << 10) + (second & 0x3FF)).ok_or(lone)
    }

    /// Four hexadecimal digits behind the `u` that stands at `at`.
    fn hex4(&mut self) -> Result<u32, JsonError> {
        self.at += 1;
        let mut code = 0;
        for _ in 0..4 {
            let Some(digit) = self.peek().and_then(|byte| char::from(byte).to_digit(16)) else {
                return Err(self.unexpected());
            };
            code = code * 16 + digit;
            self.at += 1;
        }
        Ok(code)
    }
}

/// An index in memory as an offset; no machine has more than 64 bits of address.
fn wide(index: usize) -> u64 {
    u64::try_from(index).unwrap_or(u64::MAX)
}
