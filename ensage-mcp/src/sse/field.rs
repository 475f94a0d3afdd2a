//! One line of a stream.

/// The name and value of a line that is neither blank nor a comment.
pub(super) fn split_field(line: &[u8]) -> (&[u8], &[u8]) {
    let Some(colon) = memchr::memchr(b':', line) else { return (line, &[]) };
    let (field, rest) = line.split_at(colon);
    let value = rest.get(1..).unwrap_or_default();
    (field, value.strip_prefix(b" ").unwrap_or(value))
}

/// What a line is that stands in an event beside one of data.
pub(crate) enum Beside {
    /// More data.
    Data,
    /// A field or a comment, for every reader.
    Plain,
    /// What the standard ignores, or another reader takes for several lines.
    Odd,
}

/// Reads such a line, without its end.
pub(crate) fn beside(line: &[u8]) -> Beside {
    match split_field(line) {
        (b"data", _) => Beside::Data,
        (b"" | b"event" | b"id" | b"retry", value) if !breaks_elsewhere(value) => Beside::Plain,
        _ => Beside::Odd,
    }
}

/// True if a reader with more line breaks than the standard's three finds one in this line: VT, FF, FS, GS, RS, NEL, LS
/// or PS. A few bytes that are no UTF-8 count too.
pub(super) fn breaks_elsewhere(line: &[u8]) -> bool {
    if line.iter().all(|byte| (0x20..0x7f).contains(byte)) {
        return false;
    }
    line.iter().any(|byte| matches!(byte, 0xb | 0xc | 0x1c..=0x1e))
        || line.windows(2).any(|pair| pair == [0xc2, 0x85])
        || line.windows(3).any(|three| matches!(three, [0xe2, 0x80, 0xa8 | 0xa9]))
}

/// The value of a `retry` field, if it is one.
pub(super) fn milliseconds(value: &[u8]) -> Option<u64> {
    let digits = value.iter().all(u8::is_ascii_digit);
    std::str::from_utf8(value).ok().filter(|_| digits)?.parse().ok()
}
