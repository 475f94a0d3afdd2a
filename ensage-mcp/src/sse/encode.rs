//! Events written, and events with other data than they came with.

use super::{Event, split_field};

/// Appends one event with LF line ends; a line break in `data` makes a further `data` line.
///
/// An empty `name` writes no `event` line; what follows a line break in `name` is left out.
///
/// ```
/// let mut out = Vec::new();
/// ensage_mcp::sse::encode("message", b"{\n}", &mut out);
/// assert_eq!(out, b"event: message\ndata: {\ndata: }\n\n");
/// ```
pub fn encode(name: &str, data: &[u8], out: &mut Vec<u8>) {
    let name = name.split(['\r', '\n']).next().unwrap_or_default();
    if !name.is_empty() {
        out.extend_from_slice(b"event: ");
        out.extend_from_slice(name.as_bytes());
        out.push(b'\n');
    }
    data_lines(data, b"\n", out);
    out.push(b'\n');
}

impl Event<'_> {
    /// Appends this event with other data: all other lines, and the line ends, stay as sent.
    pub fn write_with_data(&self, data: &[u8], out: &mut Vec<u8>) {
        let (before, mut rest) = self.raw.split_at(self.before.min(self.raw.len()));
        out.extend_from_slice(before);
        let mut written = false;
        while let Some(end) = memchr::memchr2(b'\r', b'\n', rest) {
            let (line, from_end) = rest.split_at(end);
            let ending_length = if from_end.starts_with(b"\r\n") { 2 } else { 1 };
            let (ending, behind) = from_end.split_at(ending_length);
            rest = behind;
            if split_field(line).0 != b"data" {
                out.extend_from_slice(line);
                out.extend_from_slice(ending);
            } else if !written {
                written = true;
                data_lines(data, ending, out);
            }
        }
    }
}

fn data_lines(data: &[u8], ending: &[u8], out: &mut Vec<u8>) {
    let mut rest = data;
    loop {
        let end = memchr::memchr2(b'\r', b'\n', rest).unwrap_or(rest.len());
        let (line, from_end) = rest.split_at(end);
        out.extend_from_slice(b"data: ");
        out.extend_from_slice(line);
        out.extend_from_slice(ending);
        if from_end.is_empty() {
            return;
        }
        let skip = if from_end.starts_with(b"\r\n") { 2 } else { 1 };
        rest = from_end.get(skip..).unwrap_or_default();
    }
}
