//! An answer, watched as it passes. Watching never fails it; what it says may.

use super::seen::Notes;
use super::skip::{Skip, Skipped};
use super::{Activity, Asked, Dialect, Seen, StoredId, anthropic, openai};
use crate::json::{Limits, parse};
use crate::sse;

/// Bytes of a whole answer, or of one event, that are held to be read where no other limit is said: 128 k tokens of
/// output are under 1 MiB.
const BYTES_MAX: usize = 4 << 20;

/// How an answer's body is framed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    /// One JSON value.
    Json,
    /// Server-sent events.
    Sse,
}

impl Framing {
    /// The framing of a `content-type`; `None` for one that no API here uses.
    pub fn of(content_type: &str) -> Option<Self> {
        let media_type = content_type.split(';').next().unwrap_or_default().trim_matches([' ', '\t']);
        if media_type.eq_ignore_ascii_case("application/json") {
            Some(Self::Json)
        } else if media_type.eq_ignore_ascii_case("text/event-stream") {
            Some(Self::Sse)
        } else {
            None
        }
    }
}

/// Watches one answer in bounded memory, whatever its length and chunks.
#[derive(Debug)]
pub struct Observer {
    source: Source,
    limit: usize,
    watcher: Watcher,
    /// Bytes at the front of the answer that nothing speaks against.
    passed: u64,
    against: Option<Against>,
}

/// Why an answer may not be passed on, from [`Observer::passed`] on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Against {
    /// Its provider did this, and was not asked for it.
    Unasked(Activity),
    /// It, or an event of it, is longer than may be held.
    TooLong,
    /// It, or an event of it, is not JSON that can be read in one way only.
    Unreadable,
}

#[derive(Debug)]
enum Source {
    Json(Vec<u8>),
    /// A JSON answer over the limit.
    Dropped,
    Sse(sse::Decoder),
    /// Inside an event over the limit, up to its blank line.
    Skipping(Skip),
    /// Something speaks against it: the rest is not looked at.
    Stopped,
}

#[derive(Debug)]
struct Watcher {
    dialect: Dialect,
    calls: openai::Calls,
    notes: Notes,
    in_doubt: bool,
}

impl Observer {
    /// An observer of one answer.
    pub fn new(dialect: Dialect, framing: Framing) -> Self {
        Self::with_limit(dialect, framing, BYTES_MAX)
    }

    /// The same, which holds at most `limit` bytes of a whole answer or of one event.
    pub fn with_limit(dialect: Dialect, framing: Framing, limit: usize) -> Self {
        let source = match framing {
            Framing::Json => Source::Json(Vec::new()),
            Framing::Sse => Source::Sse(decoder(limit)),
        };
        let watcher = Watcher { dialect, calls: openai::Calls::default(), notes: Notes::default(), in_doubt: false };
        Self { source, limit, watcher, passed: 0, against: None }
    }

    /// The same, and the answer is held against what was asked for.
    #[must_use]
    pub fn holding_to(mut self, asked: Asked) -> Self {
        self.watcher.notes.asked = Some(asked);
        self
    }

    /// The same for an answer whose framing nobody told: what can't be read in the one that was asked for may be
    /// something else, and passes.
    #[must_use]
    pub const fn in_doubt(mut self) -> Self {
        self.watcher.in_doubt = true;
        self
    }

    /// Takes the next bytes of the body.
    pub fn feed(&mut self, chunk: &[u8]) {
        let mut rest = chunk;
        loop {
            let next = match &mut self.source {
                Source::Dropped | Source::Stopped => return,
                Source::Json(held) => {
                    if held.len().saturating_add(rest.len()) <= self.limit {
                        return held.extend_from_slice(rest);
                    }
                    Source::Dropped
                }
                Source::Sse(decoder) => match pull_all(decoder, &mut rest, &mut self.watcher, &mut self.passed) {
                    Pulled::All => return,
                    Pulled::TooLong => Source::Skipping(Skip::after(decoder.unterminated())),
                    Pulled::Against(against) => {
                        self.against = Some(against);
                        Source::Stopped
                    }
                },
                Source::Skipping(skip) => match skip.take(&mut rest) {
                    Skipped::Starved => return,
                    Skipped::Ended => Source::Sse(decoder(self.limit)),
                },
            };
            self.source = next;
            if matches!(self.source, Source::Dropped | Source::Skipping(_)) {
                self.watcher.notes.seen.skip();
                if self.watcher.notes.asked.is_some() {
                    self.against = Some(Against::TooLong);
                    self.source = Source::Stopped;
                }
            }
        }
    }

    /// What was said up to here; of a JSON answer nothing before [`Observer::end`].
    pub const fn seen(&self) -> &Seen {
        &self.watcher.notes.seen
    }

    /// Bytes at the front of an answer that is [held to](Self::holding_to) something, which nothing speaks against:
    /// whole events. Of a JSON answer none; all of it may pass after [`Observer::end`], if nothing is against it then.
    pub const fn passed(&self) -> u64 {
        self.passed
    }

    /// What speaks against an answer that is [held to](Self::holding_to) something.
    pub const fn against(&self) -> Option<&Against> {
        self.against.as_ref()
    }

    /// Names that the provider has given to things it keeps, since this was asked last.
    pub fn take_given(&mut self) -> Vec<StoredId> {
        std::mem::take(&mut self.watcher.notes.given)
    }

    /// The answer has ended: what is held is read. An event without its blank line counts too, since some clients
    /// take it for one.
    pub fn end(&mut self) {
        match &mut self.source {
            Source::Json(held) => {
                let held = std::mem::take(held);
                self.source = Source::Dropped;
                if !held.is_empty() {
                    self.against = self.watcher.value(&held);
                }
            }
            Source::Sse(decoder) => {
                if !decoder.unterminated().is_empty() {
                    self.feed(b"\n\n");
                }
            }
            Source::Dropped | Source::Skipping(_) | Source::Stopped => {}
        }
    }

    /// The answer has ended, or was cut off.
    pub fn finish(mut self) -> Seen {
        self.end();
        self.watcher.notes.seen
    }
}

fn decoder(limit: usize) -> sse::Decoder {
    sse::Decoder::new(sse::Limits::new(limit))
}

enum Pulled {
    All,
    TooLong,
    Against(Against),
}

fn pull_all(decoder: &mut sse::Decoder, rest: &mut &[u8], watcher: &mut Watcher, passed: &mut u64) -> Pulled {
    loop {
        match decoder.pull(rest) {
            Err(sse::SseError::TooLong { .. }) => return Pulled::TooLong,
            Ok(None) => return Pulled::All,
            Ok(Some(event)) => {
                if let Some(against) = event.data.and_then(|data| watcher.event(data)) {
                    return Pulled::Against(against);
                }
                *passed = passed.saturating_add(event.raw.len() as u64);
            }
        }
    }
}

impl Watcher {
    fn event(&mut self, data: &[u8]) -> Option<Against> {
        let says_nothing = match self.dialect {
            Dialect::Messages => anthropic::is_piece(data),
            Dialect::Responses => openai::is_piece(data),
            Dialect::Chat => false,
        };
        // The end of a stream of Chat Completions, and of Responses by some servers, is no JSON.
        if says_nothing || data == b"[DONE]" || data.trim_ascii().is_empty() { None } else { self.value(data) }
    }

    /// One event, or the whole answer.
    fn value(&mut self, json: &[u8]) -> Option<Against> {
        let Ok(value) = parse(json, &Limits::default().with_depth(Limits::DEPTH_CEILING)) else {
            self.notes.seen.skip();
            return (self.notes.asked.is_some() && !self.in_doubt).then_some(Against::Unreadable);
        };
        match self.dialect {
            Dialect::Messages => anthropic::watch(&mut self.notes, &value),
            Dialect::Chat => openai::watch_chat(&mut self.notes, &mut self.calls, &value),
            Dialect::Responses => openai::watch_responses(&mut self.notes, &mut self.calls, &value),
        }
        self.notes.unasked.take().map(Against::Unasked)
    }
}
