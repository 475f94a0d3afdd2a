//! An event that lies whole in one chunk, read where it is.

use std::ops::Range;

use super::{Event, Part, Shape, breaks_elsewhere, milliseconds, split_field};

/// Where in the chunk the parts of an event are.
#[derive(Debug, Default)]
pub(super) struct Lines {
    /// Behind its blank line.
    pub(super) end: usize,
    name: Range<usize>,
    data: Data,
    id: Option<Range<usize>>,
    retry: Option<u64>,
    shape: Shape,
}

#[derive(Debug, Default)]
enum Data {
    #[default]
    None,
    /// One line: it is there.
    Here(Range<usize>),
    /// Several: they were joined.
    Joined,
}

impl Lines {
    /// Reads the event at the start of `bytes`; `None` where it does not end in them, is over the limit, or has a line
    /// that ends in CR alone. Several lines of data are joined in `joined`.
    pub(super) fn read(bytes: &[u8], limit: usize, joined: &mut Vec<u8>) -> Option<Self> {
        let mut found = Self::default();
        loop {
            let start = found.end;
            let rest = bytes.get(start..)?;
            let length = memchr::memchr2(b'\r', b'\n', rest)?;
            let (line, ending) = rest.split_at_checked(length)?;
            let ending = match ending {
                [b'\n', ..] => 1,
                [b'\r', b'\n', ..] => 2,
                _ => return None,
            };
            found.end = start + length + ending;
            if found.end > limit {
                return None;
            }
            match line {
                [] => return Some(found),
                [b':', comment @ ..] => {
                    if breaks_elsewhere(comment) {
                        found.shape = Shape::Odd;
                    }
                    if start == 0 {
                        return Some(found);
                    }
                }
                line => found.take(line, start..start + length, bytes, joined),
            }
        }
    }

    /// A line with a field, and where it is.
    fn take(&mut self, line: &[u8], at: Range<usize>, bytes: &[u8], joined: &mut Vec<u8>) {
        // What nearly all lines are, without looking for the colon.
        let (field, value): (&[u8], &[u8]) = match line {
            [b'd', b'a', b't', b'a', b':', b' ', value @ ..] => (b"data", value),
            [b'e', b'v', b'e', b'n', b't', b':', b' ', value @ ..] => (b"event", value),
            _ => split_field(line),
        };
        let at = at.end - value.len()..at.end;
        if field != b"data" && breaks_elsewhere(value) {
            self.shape = Shape::Odd;
        }
        match field {
            b"data" => match std::mem::take(&mut self.data) {
                Data::None => self.data = Data::Here(at),
                first => {
                    if let Data::Here(first) = first {
                        joined.clear();
                        joined.extend_from_slice(bytes.get(first).unwrap_or_default());
                    }
                    joined.push(b'\n');
                    joined.extend_from_slice(value);
                    self.data = Data::Joined;
                }
            },
            b"event" => self.name = at,
            b"id" if !value.contains(&0) => self.id = Some(at),
            b"id" => {}
            b"retry" => self.retry = milliseconds(value).or(self.retry),
            _ => self.shape = Shape::Odd,
        }
    }

    /// The event, whose bytes are `raw`.
    pub(super) fn event<'a>(&self, raw: &'a [u8], joined: &'a [u8]) -> Event<'a> {
        let of = |range: &Range<usize>| raw.get(range.clone()).unwrap_or_default();
        Event {
            raw,
            part: Part::Whole,
            name: of(&self.name),
            data: match &self.data {
                Data::None => None,
                Data::Here(range) => Some(of(range)),
                Data::Joined => Some(joined),
            },
            id: self.id.as_ref().map(|range| String::from_utf8_lossy(of(range))),
            retry: self.retry,
            before: 0,
            shape: self.shape,
        }
    }
}
