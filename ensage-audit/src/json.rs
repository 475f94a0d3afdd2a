//! Writes one JSON object by hand: absent and empty members are left out, texts are cut and stay on one line.

use std::borrow::Cow;
use std::io::Write as _;
use std::net::IpAddr;
use std::time::Duration;

use uuid::Uuid;

/// Longest text of a member, in bytes of the value; longer ones are cut and end in `…` (threat H13). The path of a
/// request is the longest thing that interface section 2 promises.
pub(crate) const TEXT_BYTES_MAX: usize = 1024;
/// Longest file path: `PATH_MAX` of Linux.
pub(crate) const FILE_BYTES_MAX: usize = 4096;
/// Longest text in a list.
pub(crate) const ITEM_BYTES_MAX: usize = 256;
/// Most items of a list; one more, `…`, tells that there were others.
pub(crate) const ITEMS_MAX: usize = 64;

/// The members of one object that is being written. Each ends in a comma, and [`Members::close`] takes the place of the
/// last one: then no member asks whether another stands before it.
pub(crate) struct Members<'v> {
    out: &'v mut Vec<u8>,
}

impl<'v> Members<'v> {
    /// For an object whose brace, or whose last member with its comma, was just written.
    pub(crate) fn new(out: &'v mut Vec<u8>) -> Self {
        Self { out }
    }

    /// Ends the object.
    pub(crate) fn close(self) {
        match self.out.last_mut() {
            Some(last) if *last == b',' => *last = b'}',
            _ => self.out.push(b'}'),
        }
    }

    /// Free text.
    pub(crate) fn text(&mut self, key: &str, value: Option<&str>) {
        self.cut(key, value, TEXT_BYTES_MAX);
    }

    /// A path of the file system.
    pub(crate) fn file(&mut self, key: &str, value: Option<&str>) {
        self.cut(key, value, FILE_BYTES_MAX);
    }

    /// A number.
    pub(crate) fn number(&mut self, key: &str, value: Option<u64>) {
        if let Some(n) = value {
            self.key(key);
            push_number(self.out, n);
            self.out.push(b',');
        }
    }

    /// A UUID.
    pub(crate) fn id(&mut self, key: &str, value: Option<Uuid>) {
        if let Some(id) = value {
            self.key(key);
            self.out.push(b'"');
            push_id(self.out, id);
            self.out.extend_from_slice(b"\",");
        }
    }

    /// An IP address.
    pub(crate) fn address(&mut self, key: &str, value: Option<IpAddr>) {
        if let Some(address) = value {
            self.key(key);
            self.out.push(b'"');
            push_address(self.out, address);
            self.out.extend_from_slice(b"\",");
        }
    }

    /// A span in milliseconds, to the microsecond.
    pub(crate) fn millis(&mut self, key: &str, value: Option<Duration>) {
        if let Some(span) = value {
            self.key(key);
            let micros = u64::try_from(span.as_micros()).unwrap_or(u64::MAX);
            push_number(self.out, micros / 1000);
            if !micros.is_multiple_of(1000) {
                self.out.push(b'.');
                push_fraction::<3>(self.out, micros % 1000);
            }
            self.out.push(b',');
        }
    }

    /// A list of texts.
    pub(crate) fn texts(&mut self, key: &str, values: &[String]) {
        if values.is_empty() {
            return;
        }
        self.key(key);
        self.out.push(b'[');
        for (i, value) in values.iter().take(ITEMS_MAX).enumerate() {
            if i > 0 {
                self.out.push(b',');
            }
            push_text(self.out, value, ITEM_BYTES_MAX);
        }
        if values.len() > ITEMS_MAX {
            self.out.extend_from_slice(",\"…\"".as_bytes());
        }
        self.out.extend_from_slice(b"],");
    }

    /// A nested object; left out if nothing is written into it.
    pub(crate) fn object(&mut self, key: &str, write: impl FnOnce(&mut Members<'_>)) {
        let start = self.out.len();
        self.key(key);
        self.out.push(b'{');
        let opened = self.out.len();
        write(self);
        if self.out.len() == opened {
            self.out.truncate(start);
        } else {
            Members::new(self.out).close();
            self.out.push(b',');
        }
    }

    /// A nested object of one text; left out without it.
    pub(crate) fn object_of_text(&mut self, key: &str, inner: &str, value: Option<&str>) {
        if value.is_some_and(|text| !text.is_empty()) {
            self.object(key, |m| m.text(inner, value));
        }
    }

    /// A list of objects, at most `max` of them; left out if it is empty.
    pub(crate) fn objects<T>(&mut self, key: &str, items: &[T], max: usize, write: impl Fn(&mut Members<'_>, &T)) {
        if items.is_empty() {
            return;
        }
        self.key(key);
        self.out.push(b'[');
        for (i, item) in items.iter().take(max).enumerate() {
            self.out.extend_from_slice(if i > 0 { b",{" } else { b"{" });
            let mut members = Members::new(self.out);
            write(&mut members, item);
            members.close();
        }
        self.out.extend_from_slice(b"],");
    }

    /// A value that is JSON already.
    pub(crate) fn raw(&mut self, key: &str, json: &[u8]) {
        self.key(key);
        self.out.extend_from_slice(json);
        self.out.push(b',');
    }

    fn cut(&mut self, key: &str, value: Option<&str>, max: usize) {
        if let Some(text) = value
            && !text.is_empty()
        {
            self.key(key);
            push_text(self.out, text, max);
            self.out.push(b',');
        }
    }

    fn key(&mut self, key: &str) {
        self.out.push(b'"');
        self.out.extend_from_slice(key.as_bytes());
        self.out.extend_from_slice(b"\":");
    }
}

/// Writes a whole object.
pub(crate) fn object(write: impl FnOnce(&mut Members<'_>)) -> Vec<u8> {
    let mut out = Vec::with_capacity(256);
    out.push(b'{');
    let mut members = Members::new(&mut out);
    write(&mut members);
    members.close();
    out
}

/// Writes the digits.
pub(crate) fn push_number(out: &mut Vec<u8>, n: impl itoa::Integer) {
    out.extend_from_slice(itoa::Buffer::new().format(n).as_bytes());
}

/// Writes the last `DIGITS` digits, with zeros in front.
pub(crate) fn push_fraction<const DIGITS: u32>(out: &mut Vec<u8>, n: u64) {
    let bound = 10_u64.pow(DIGITS);
    let mut buffer = itoa::Buffer::new();
    // The digit in front of the zeros is the 1 of the bound.
    out.extend_from_slice(buffer.format(bound + n % bound).as_bytes().get(1..).unwrap_or_default());
}

fn push_address(out: &mut Vec<u8>, address: IpAddr) {
    match address {
        IpAddr::V4(address) => {
            for (i, octet) in address.octets().into_iter().enumerate() {
                if i > 0 {
                    out.push(b'.');
                }
                push_number(out, octet);
            }
        }
        IpAddr::V6(address) => {
            let _ = write!(out, "{address}");
        }
    }
}

/// Writes the hyphenated form without allocating.
pub(crate) fn push_id(out: &mut Vec<u8>, id: Uuid) {
    let mut buffer = Uuid::encode_buffer();
    out.extend_from_slice(id.hyphenated().encode_lower(&mut buffer).as_bytes());
}

/// Writes a JSON string of at most `max` bytes of `text`, and `…` if it was cut.
pub(crate) fn push_text(out: &mut Vec<u8>, text: &str, max: usize) {
    let (head, tail) = if text.len() <= max {
        (text, "")
    } else {
        (text.get(..text.floor_char_boundary(max)).unwrap_or_default(), "…")
    };
    out.push(b'"');
    // Nearly every text.
    if is_plain_ascii(head.as_bytes()) {
        out.extend_from_slice(head.as_bytes());
    } else {
        push_escaped(out, head);
    }
    out.extend_from_slice(tail.as_bytes());
    out.push(b'"');
}

#[cold]
fn push_escaped(out: &mut Vec<u8>, head: &str) {
    let mut plain = 0;
    for (at, c) in head.char_indices() {
        if is_plain(c) {
            continue;
        }
        out.extend_from_slice(head.get(plain..at).unwrap_or_default().as_bytes());
        plain = at + c.len_utf8();
        match c {
            '"' => out.extend_from_slice(b"\\\""),
            '\\' => out.extend_from_slice(b"\\\\"),
            // Everything that is not plain is below U+FFFF, so one escape says it.
            _ => {
                let _ = write!(out, "\\u{:04x}", u32::from(c));
            }
        }
    }
    out.extend_from_slice(head.get(plain..).unwrap_or_default().as_bytes());
}

/// True if all of it is ASCII that stands for itself. Looks at blocks, the last of which may overlap the one before.
fn is_plain_ascii(bytes: &[u8]) -> bool {
    match bytes.last_chunk() {
        Some(last) => bytes.as_chunks().0.iter().chain([last]).all(is_plain_block),
        None => bytes.iter().all(is_plain_byte),
    }
}

/// `&` and not `&&`, here and below: without branches, the compiler looks at all bytes of a block at once.
fn is_plain_block(block: &[u8; 16]) -> bool {
    block.iter().fold(true, |plain, byte| plain & is_plain_byte(byte))
}

fn is_plain_byte(byte: &u8) -> bool {
    (b' '..=b'~').contains(byte) & (*byte != b'"') & (*byte != b'\\')
}

fn is_plain(c: char) -> bool {
    match c {
        '"' | '\\' => false,
        ' '..='~' => true,
        _ => !is_unprintable(c),
    }
}

/// The text with every character that could break a line, drive a terminal or hide text as `\u` and four digits: for
/// whoever prints a text of a record to people.
pub fn printable(text: &str) -> Cow<'_, str> {
    if !text.chars().any(is_unprintable) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        if is_unprintable(c) {
            out.push_str(&format!("\\u{:04x}", u32::from(c)));
        } else {
            out.push(c);
        }
    }
    Cow::Owned(out)
}

/// Control characters of both sets, line and paragraph separators, and what reorders or hides text on a terminal.
pub(crate) fn is_unprintable(c: char) -> bool {
    matches!(
        u32::from(c),
        0..=0x1f | 0x7f..=0x9f | 0x200b..=0x200f | 0x2028..=0x202e | 0x2060..=0x206f | 0xfeff
    )
}

#[cfg(test)]
mod tests;
