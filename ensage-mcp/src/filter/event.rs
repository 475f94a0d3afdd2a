//! An event of a stream that is longer than what is held of it: its one line of data goes on as it comes.

use super::judge::{Judge, Verdict};
use super::rewrite::Rewriter;
use super::{FilterError, Item};
use crate::sse::{self, Beside, Partial};

/// The rest of such an event.
#[derive(Debug)]
pub(super) struct LongEvent {
    rewriter: Box<Rewriter>,
    lines: Option<Lines>,
}

/// What follows the data.
#[derive(Debug)]
struct Lines {
    line: Vec<u8>,
    after_cr: bool,
}

/// Bytes of a line behind the data: an id, or a comment.
const LINE_BYTES_MAX: usize = 4096;

impl LongEvent {
    /// Begins to pass on an event, if it is known already to be the answer; else it must be held.
    pub(super) fn begin<F: FnMut(&Item<'_>) -> bool>(
        partial: Partial<'_>,
        judge: &mut Judge<F>,
        limit: usize,
        out: &mut Vec<u8>,
    ) -> Option<Self> {
        let (before, data) = partial.raw.split_at_checked(partial.data_at)?;
        let mut rewriter = Box::new(Rewriter::new(&judge.ask, limit));
        let mut ready = Vec::new();
        rewriter.feed(data, &mut judge.policy, &mut ready).ok()?;
        if judge.seen.answered || !rewriter.plan.facts.is_result_of(judge.ask.id.as_ref()) {
            return None;
        }
        out.extend_from_slice(before);
        out.append(&mut ready);
        Some(Self { rewriter, lines: None })
    }

    /// How many bytes are held.
    pub(super) fn held(&self) -> usize {
        self.rewriter.held()
    }

    /// Takes bytes off the front of `input`; true once the event has ended, with the blank line that lets it count.
    pub(super) fn take<F: FnMut(&Item<'_>) -> bool>(
        &mut self,
        input: &mut &[u8],
        judge: &mut Judge<F>,
        out: &mut Vec<u8>,
    ) -> Result<bool, FilterError> {
        while !input.is_empty() {
            let Some(lines) = &mut self.lines else {
                self.data(input, judge, out)?;
                continue;
            };
            let after_cr = std::mem::take(&mut lines.after_cr);
            if let Some(rest) = input.strip_prefix(b"\n").filter(|_| after_cr) {
                *input = rest;
                continue;
            }
            let end = memchr::memchr2(b'\r', b'\n', input);
            let (content, rest) = input.split_at(end.unwrap_or(input.len()));
            if lines.line.len() + content.len() > LINE_BYTES_MAX {
                return Err(FilterError::TooLong { limit: LINE_BYTES_MAX });
            }
            lines.line.extend_from_slice(content);
            let Some((ending, rest)) = rest.split_first() else {
                *input = rest;
                return Ok(false);
            };
            *input = rest;
            lines.after_cr = *ending == b'\r';
            if lines.line.is_empty() {
                out.push(b'\n');
                return Ok(true);
            }
            match sse::beside(&lines.line) {
                Beside::Data => return Err(FilterError::NotAMessage),
                Beside::Odd => lines.line.clear(),
                Beside::Plain => {
                    out.append(&mut lines.line);
                    out.push(b'\n');
                }
            }
        }
        Ok(false)
    }

    fn data<F: FnMut(&Item<'_>) -> bool>(
        &mut self,
        input: &mut &[u8],
        judge: &mut Judge<F>,
        out: &mut Vec<u8>,
    ) -> Result<(), FilterError> {
        let end = memchr::memchr2(b'\r', b'\n', input);
        let (content, rest) = input.split_at(end.unwrap_or(input.len()));
        *input = rest;
        self.rewriter.feed(content, &mut judge.policy, out)?;
        let Some((ending, rest)) = rest.split_first() else { return Ok(()) };
        *input = rest;
        let received = self.rewriter.finish(&mut judge.policy, out)?;
        match judge.streamed(&mut self.rewriter, received, b"")? {
            Verdict::Pass => {}
            Verdict::Replace(_) | Verdict::Remove => return Err(FilterError::TooLate),
        }
        out.push(b'\n');
        self.lines = Some(Lines { line: Vec::new(), after_cr: *ending == b'\r' });
        Ok(())
    }
}
