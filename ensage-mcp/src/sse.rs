//! Server-sent events: the stream of the HTML standard (section 9.2.6), cut into events with their bytes as sent.

mod encode;
mod field;
mod lines;

#[cfg(test)]
mod tests;

use std::borrow::Cow;

pub use encode::encode;
pub(crate) use field::{Beside, beside};
use field::{breaks_elsewhere, milliseconds, split_field};
use lines::Lines;

const BOM: &[u8] = b"\xEF\xBB\xBF";
const DATA: &[u8] = b"data: ";

/// What an event may need to be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Limits {
    /// Bytes of one event, line ends and comments included.
    pub event_bytes: usize,
    /// Bytes of one event after which it is asked whether the rest of it must be held: see [`Decoder::paused`].
    pub pause_bytes: usize,
}

impl Limits {
    /// Limits for events of so many bytes.
    pub const fn new(event_bytes: usize) -> Self {
        Self { event_bytes, pause_bytes: usize::MAX }
    }

    /// The same with a pause in longer events.
    #[must_use]
    pub const fn with_pause(mut self, pause_bytes: usize) -> Self {
        self.pause_bytes = pause_bytes;
        self
    }
}

impl Default for Limits {
    /// 4 MiB, where the MCP SDKs stop too.
    fn default() -> Self {
        Self::new(4 << 20)
    }
}

/// A stretch of the stream. The `raw` bytes of all of them are the stream, but for an unterminated end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event<'a> {
    /// The bytes as sent, up to the blank line and with it.
    pub raw: &'a [u8],
    /// What this stretch is.
    pub part: Part,
    /// The `event` field, not yet known to be UTF-8; empty if there is none (a client then says `message`).
    pub name: &'a [u8],
    /// The `data` lines joined by LF, not yet known to be UTF-8; `None` if there are none, and then a client
    /// makes no event of this stretch.
    pub data: Option<&'a [u8]>,
    /// The `id` field, without those that hold NUL.
    pub id: Option<Cow<'a, str>>,
    /// The `retry` field in milliseconds.
    pub retry: Option<u64>,
    /// Bytes of `raw` before the first line: 3 if the stream begins with a byte order mark.
    before: usize,
    shape: Shape,
}

/// Whether other readers than the standard's find the same lines in a stretch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Shape {
    /// Known fields and comments, in lines that end in LF or CR LF.
    #[default]
    Plain,
    /// A line that the standard ignores, or that ends in CR alone, or breaks for a reader that knows more line
    /// breaks than the standard (Python's `splitlines`): something might be hidden in it.
    Odd,
}

/// What a stretch of the stream is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// Lines with the blank one that ends them, or a comment that stands alone.
    Whole,
    /// The LF of a CR LF whose CR ended the stretch before, and which came in a later chunk: it goes or stays
    /// with that one.
    Tail,
}

/// Why a stream is given up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SseError {
    /// An event is longer than [`Limits::event_bytes`].
    #[error("server-sent event longer than {limit} bytes")]
    TooLong {
        /// The limit.
        limit: usize,
    },
}

/// Cuts a stream into events, whatever its chunks are.
///
/// An event is given out as soon as its blank line is there, and held no longer than that. One that lies within one
/// chunk is not copied.
///
/// ```
/// use ensage_mcp::sse::{Decoder, Limits};
/// let mut decoder = Decoder::new(Limits::default());
/// let mut seen = Vec::new();
/// for chunk in [": hi\r\nda", "ta: {\r", "\ndata: }\n\n"] {
///     decoder.feed(chunk.as_bytes(), |event| seen.extend(event.data.map(<[u8]>::to_vec)))?;
/// }
/// assert_eq!(seen, [b"{\n}"]);
/// # Ok::<(), ensage_mcp::sse::SseError>(())
/// ```
#[derive(Debug)]
pub struct Decoder {
    limits: Limits,
    /// The lines of the event so far: `line <= held.len() <= event_bytes`.
    held: Vec<u8>,
    /// Where in `held` the unfinished line begins.
    line: usize,
    fields: Fields,
    state: State,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Nothing seen yet: a byte order mark may come.
    Fresh,
    /// Inside the stream.
    Running,
    /// The last byte was the CR that ended a line: an LF belongs to it.
    AfterCr,
    /// Given up.
    Failed,
}

/// Whether it was asked if an event must be held.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Pause {
    #[default]
    Before,
    Now,
    Over,
}

/// An event of which [`Limits::pause_bytes`] are there, and more are to come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Partial<'a> {
    /// Its bytes as sent.
    pub raw: &'a [u8],
    /// Where in them its data begins: one line, that has not ended. All lines before it are known fields and comments.
    pub data_at: usize,
}

#[derive(Debug, Default)]
struct Fields {
    before: usize,
    /// The event was given out: the next byte begins a new one.
    given: bool,
    pause: Pause,
    name: Vec<u8>,
    data: Vec<u8>,
    has_data: bool,
    id: Option<Vec<u8>>,
    retry: Option<u64>,
    shape: Shape,
}

impl Decoder {
    /// A decoder at the start of a stream.
    pub fn new(limits: Limits) -> Self {
        Self { limits, held: Vec::new(), line: 0, fields: Fields::default(), state: State::Fresh }
    }

    /// Takes the next bytes and gives out each stretch that they end.
    ///
    /// # Errors
    /// [`SseError::TooLong`], and then for ever.
    pub fn feed(&mut self, chunk: &[u8], mut each: impl FnMut(Event<'_>)) -> Result<(), SseError> {
        let mut rest = chunk;
        while let Some(event) = self.pull(&mut rest)? {
            each(event);
        }
        Ok(())
    }

    /// Takes bytes off the front of `input` until a stretch ends; `None` when they are used up.
    ///
    /// # Errors
    /// As [`Decoder::feed`].
    pub fn pull<'s, 'i: 's>(&'s mut self, input: &mut &'i [u8]) -> Result<Option<Event<'s>>, SseError> {
        if self.fields.given {
            self.start_event();
        }
        if self.is_paused() {
            self.fields.pause = Pause::Over;
        }
        if self.state == State::Running && self.held.is_empty() {
            let bytes: &'i [u8] = input;
            let limit = self.limits.event_bytes.min(self.limits.pause_bytes);
            if let Some(lines) = Lines::read(bytes, limit, &mut self.fields.data) {
                let (raw, rest) = bytes.split_at(lines.end.min(bytes.len()));
                *input = rest;
                return Ok(Some(lines.event(raw, &self.fields.data)));
            }
            self.fields.data.clear();
        }
        loop {
            match self.step(input)? {
                Progress::Starved | Progress::Paused => return Ok(None),
                Progress::Line => {}
                Progress::Ended(part) => {
                    self.fields.given = true;
                    return Ok(Some(self.event(part)));
                }
            }
        }
    }

    /// True if [`Decoder::pull`] has stopped, once, within an event that is longer than [`Limits::pause_bytes`]; it goes
    /// on with the next call.
    pub fn is_paused(&self) -> bool {
        self.fields.pause == Pause::Now
    }

    /// What is there of the event in which it is paused, if it is within the first line of data, and everything before
    /// that is as every reader reads it.
    pub fn paused(&self) -> Option<Partial<'_>> {
        if !self.is_paused() || self.fields.has_data || self.fields.shape != Shape::Plain || self.fields.before > 0 {
            return None;
        }
        let line = self.held.get(self.line..)?;
        let (field, value) = split_field(line);
        let data_at = self.held.len() - value.len();
        (field == b"data" && line.len() > DATA.len()).then_some(Partial { raw: &self.held, data_at })
    }

    /// Forgets the event in which it is paused: somebody else reads the rest of it, up to and with its blank line.
    pub fn hand_over(&mut self) {
        self.start_event();
    }

    /// What is held of an event that has not ended; a client throws it away at the end of the stream.
    pub fn unterminated(&self) -> &[u8] {
        if self.fields.given { &[] } else { &self.held }
    }

    fn start_event(&mut self) {
        self.held.clear();
        self.line = 0;
        self.fields.data.clear();
        self.fields.name.clear();
        self.fields = Fields {
            data: std::mem::take(&mut self.fields.data),
            name: std::mem::take(&mut self.fields.name),
            ..Fields::default()
        };
    }

    fn step(&mut self, input: &mut &[u8]) -> Result<Progress, SseError> {
        if self.state == State::Failed {
            return Err(SseError::TooLong { limit: self.limits.event_bytes });
        }
        if input.is_empty() {
            return Ok(Progress::Starved);
        }
        if self.state == State::AfterCr {
            self.state = State::Running;
            let tail = self.held.is_empty();
            if let Some(rest) = input.strip_prefix(b"\n") {
                *input = rest;
                self.hold(b"\n")?;
                self.line = self.held.len();
                return Ok(if tail { Progress::Ended(Part::Tail) } else { Progress::Line });
            }
            if !tail {
                self.fields.shape = Shape::Odd;
            }
        }
        let end = memchr::memchr2(b'\r', b'\n', input);
        if let Some(content) = input.get(..end.unwrap_or(input.len()))
            && self.pauses(content.len())
        {
            let (first, rest) = content.split_at(self.limits.pause_bytes.saturating_sub(self.held.len()));
            *input = input.get(first.len()..).unwrap_or(rest);
            self.hold(first)?;
            return Ok(Progress::Paused);
        }
        let Some(end) = end else {
            self.hold(input)?;
            *input = &[];
            return Ok(Progress::Starved);
        };
        let (content, from_end) = input.split_at(end);
        self.hold(content)?;
        let line_end = self.held.len();
        let ending: &[u8] = match from_end {
            [b'\r', b'\n', ..] => b"\r\n",
            [b'\r', ..] => b"\r",
            _ => b"\n",
        };
        self.hold(ending)?;
        *input = from_end.get(ending.len()..).unwrap_or_default();
        // Only the first line of a stream can begin with one.
        let bom = if self.state == State::Fresh && self.held.starts_with(BOM) { BOM.len() } else { 0 };
        self.state = if ending == b"\r" && input.is_empty() { State::AfterCr } else { State::Running };
        let progress = self.end_line(line_end, bom);
        if matches!(progress, Progress::Line) && ending == b"\r" && self.state == State::Running {
            self.fields.shape = Shape::Odd;
        }
        Ok(progress)
    }

    /// Whether so many bytes more of a line bring the event to its pause.
    fn pauses(&mut self, more: usize) -> bool {
        self.fields.pause = match self.fields.pause {
            Pause::Before if self.held.len().saturating_add(more) > self.limits.pause_bytes => Pause::Now,
            before => before,
        };
        self.fields.pause == Pause::Now
    }

    fn hold(&mut self, bytes: &[u8]) -> Result<(), SseError> {
        let limit = self.limits.event_bytes;
        if self.held.len().saturating_add(bytes.len()) > limit {
            self.state = State::Failed;
            return Err(SseError::TooLong { limit });
        }
        self.held.extend_from_slice(bytes);
        Ok(())
    }

    /// Reads the line that ends at `end` in `held`, before its line end; `bom` bytes stand before it.
    fn end_line(&mut self, end: usize, bom: usize) -> Progress {
        let first_of_event = self.line == 0;
        let line = self.held.get(self.line + bom..end).unwrap_or_default();
        self.fields.before += bom;
        self.line = self.held.len();
        if line.is_empty() {
            return Progress::Ended(Part::Whole);
        }
        if line.first() == Some(&b':') {
            if breaks_elsewhere(line) {
                self.fields.shape = Shape::Odd;
            }
            // A comment before all fields is a keep-alive: it must not wait for an event, nor fill one up.
            return if first_of_event { Progress::Ended(Part::Whole) } else { Progress::Line };
        }
        self.fields.take(line);
        Progress::Line
    }

    fn event(&self, part: Part) -> Event<'_> {
        let fields = &self.fields;
        Event {
            raw: &self.held,
            part,
            name: &fields.name,
            data: fields.has_data.then_some(fields.data.as_slice()),
            id: fields.id.as_deref().map(String::from_utf8_lossy),
            retry: fields.retry,
            before: fields.before,
            shape: fields.shape,
        }
    }
}

enum Progress {
    Starved,
    Paused,
    Line,
    Ended(Part),
}

impl Fields {
    fn take(&mut self, line: &[u8]) {
        let (field, value) = split_field(line);
        if !matches!(field, b"event" | b"data" | b"id" | b"retry") || (field != b"data" && breaks_elsewhere(value)) {
            self.shape = Shape::Odd;
        }
        match field {
            b"event" => value.clone_into(&mut self.name),
            b"data" => {
                if self.has_data {
                    self.data.push(b'\n');
                }
                self.has_data = true;
                self.data.extend_from_slice(value);
            }
            b"id" if !value.contains(&0) => self.id = Some(value.to_vec()),
            b"retry" => self.retry = milliseconds(value).or(self.retry),
            _ => {}
        }
    }
}
