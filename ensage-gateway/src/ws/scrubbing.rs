//! Frames of a server, reflected secrets taken out of what they carry.

use std::sync::Arc;

use ensage_creds::{Patterns, Scrubber};

use super::frame::{Header, Opcode, cut};
use super::reader::{Broken, Reader, Rules, Step};

/// What may go on: the first `as_it_came` of the bytes, then what was appended to `out`; all `taken` are dealt with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Passed {
    /// So many bytes go as they came.
    pub as_it_came: usize,
    /// So many bytes are done with.
    pub taken: usize,
}

/// One direction that is scrubbed. A frame that need not change goes as it came; of one that does the payload is another,
/// and one that is too long to be held becomes several of its message.
#[derive(Debug)]
pub struct Scrubbing {
    reader: Reader,
    data: Scrubber,
    control: Scrubber,
    /// The message that is under way, until its first frame is out.
    begins: Option<Opcode>,
}

/// A part of a frame that is dealt with at once.
#[derive(Clone, Copy)]
struct Part<'a> {
    header: Header,
    /// With its header, if that is part of it.
    raw: &'a [u8],
    payload: &'a [u8],
    first: bool,
    last: bool,
}

impl Scrubbing {
    /// At the first frame.
    pub fn new(patterns: Arc<Patterns>) -> Self {
        let (data, control) = (Scrubber::over(patterns.clone()), Scrubber::over(patterns));
        Self { reader: Reader::new(Rules::Server), data, control, begins: None }
    }

    /// Where it stands.
    pub const fn reader(&self) -> &Reader {
        &self.reader
    }

    /// How many secrets were replaced.
    pub const fn count(&self) -> usize {
        self.data.count().saturating_add(self.control.count())
    }

    /// Reads on in `bytes`, which begin with the first one that is not dealt with. A frame that is not whole is left
    /// there, if it may be longer than the bytes at hand (`full`): then it goes in parts.
    ///
    /// # Errors
    /// The frames are not as they must be.
    pub fn read(&mut self, bytes: &[u8], full: bool, out: &mut Vec<u8>) -> Result<Passed, Broken> {
        let mut passed = Passed::default();
        // What is behind another frame may yet fit.
        while let Some(part) = self.part(bytes.get(passed.taken..).unwrap_or_default(), full && passed.taken == 0)? {
            let taken = passed.taken.saturating_add(part.raw.len());
            if !self.goes_as_it_came(&part) {
                self.rewrite(&part, out);
            } else if out.is_empty() && passed.as_it_came == passed.taken {
                passed.as_it_came = taken;
            } else {
                out.extend_from_slice(part.raw);
            }
            passed.taken = taken;
        }
        Ok(passed)
    }

    /// The next frame, or as much of it as is to be dealt with; `None` if that is nothing yet.
    fn part<'a>(&mut self, bytes: &'a [u8], full: bool) -> Result<Option<Part<'a>>, Broken> {
        // Nothing is taken of a frame that is left where it is.
        let mut ahead = self.reader.clone();
        let first = ahead.is_between();
        let (mut header, mut head, mut payload) = (None, 0, 0);
        loop {
            match ahead.step(bytes.get(head + payload..).unwrap_or_default())? {
                Step::More => break,
                Step::Head(new, taken) => (header, head) = (Some(new), taken),
                Step::Payload(old, taken, _) => (header, payload) = (Some(old), taken),
            }
            if ahead.is_between() {
                break;
            }
        }
        let last = ahead.is_between();
        let Some(header) = header.filter(|_| last || full && payload > 0) else { return Ok(None) };
        self.reader = ahead;
        let raw = bytes.get(..head + payload).unwrap_or_default();
        Ok(Some(Part { header, raw, payload: raw.get(head..).unwrap_or_default(), first, last }))
    }

    /// Says whether a whole frame is good as it is, and takes note of it if so.
    fn goes_as_it_came(&mut self, part: &Part<'_>) -> bool {
        let Part { header, payload, first, last, .. } = *part;
        if header.opcode.is_control() {
            return self.control.clean(payload);
        }
        if first && header.opcode != Opcode::Continuation {
            self.begins = Some(header.opcode);
        }
        let in_place = self.begins.is_none() == (header.opcode == Opcode::Continuation);
        // An empty last frame is where something that was held back comes out.
        let ends = header.fin && payload.is_empty();
        let good = first && last && in_place && !ends && self.data.clean(payload);
        if good {
            self.begins = None;
        }
        good
    }

    /// Writes what may go of a part, in a frame of its own.
    fn rewrite(&mut self, part: &Part<'_>, out: &mut Vec<u8>) {
        let Part { header, payload, last, .. } = *part;
        let mut clean = Vec::new();
        if header.opcode.is_control() {
            self.control.feed(payload, &mut clean);
            self.control.finish(&mut clean);
            cut(header.opcode, &mut clean);
            Header::unmasked(true, header.opcode, clean.len() as u64).write(out);
            out.extend_from_slice(&clean);
            return;
        }
        self.data.feed(payload, &mut clean);
        let fin = last && header.fin;
        if fin {
            self.data.event_end(&mut clean);
        }
        if fin || !clean.is_empty() {
            let opcode = self.begins.take().unwrap_or(Opcode::Continuation);
            Header::unmasked(fin, opcode, clean.len() as u64).write(out);
            out.extend_from_slice(&clean);
        }
    }
}
