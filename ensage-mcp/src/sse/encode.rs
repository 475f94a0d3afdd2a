//! Events written: anew, as they came, and with other data than they came with.

use super::{Event, Shape, breaks_elsewhere, split_field};

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
    field_line("event", name, out);
    data_lines(data, b"\n", out);
    out.push(b'\n');
}

impl Event<'_> {
    /// Appends this stretch so that every reader finds in it what the standard finds.
    ///
    /// That is byte for byte, but for two things. What has lines that the standard ignores, or that end in CR
    /// alone, is written anew: name, id, retry and data, nothing else. And a last CR gets its LF at once: the
    /// [`super::Part::Tail`] that may follow is to be left out.
    pub fn write(&self, out: &mut Vec<u8>) {
        match self.shape {
            Shape::Plain => {
                out.extend_from_slice(self.raw);
                complete(out);
            }
            Shape::Odd => self.write_anew(self.data, out),
        }
    }

    /// As [`Event::write`], with other data: all other lines, and the line ends, stay as sent.
    pub fn write_with_data(&self, data: &[u8], out: &mut Vec<u8>) {
        if self.shape == Shape::Odd {
            return self.write_anew(Some(data), out);
        }
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
        complete(out);
    }

    fn write_anew(&self, data: Option<&[u8]>, out: &mut Vec<u8>) {
        let start = out.len();
        if let Some(id) = &self.id {
            // An empty id is one too: it forgets the last.
            if id.is_empty() {
                out.extend_from_slice(b"id\n");
            }
            field_line("id", id, out);
        }
        if let Some(retry) = self.retry {
            field_line("retry", &retry.to_string(), out);
        }
        if let Some(data) = data {
            field_line("event", &String::from_utf8_lossy(self.name), out);
            data_lines(data, b"\n", out);
        }
        if out.len() > start {
            out.push(b'\n');
        }
    }
}

fn complete(out: &mut Vec<u8>) {
    if out.last() == Some(&b'\r') {
        out.push(b'\n');
    }
}

/// One line, if there is a value that is one line for every reader.
fn field_line(field: &str, value: &str, out: &mut Vec<u8>) {
    let value = value.split(['\r', '\n']).next().unwrap_or_default();
    if value.is_empty() || breaks_elsewhere(value.as_bytes()) {
        return;
    }
    out.extend_from_slice(field.as_bytes());
    out.extend_from_slice(b": ");
    out.extend_from_slice(value.as_bytes());
    out.push(b'\n');
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
