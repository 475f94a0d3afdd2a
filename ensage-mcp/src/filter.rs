//! What a server sends back to one request: lists without what is not allowed, no request that the agent may not get,
//! and every other byte as it was sent.
//!
//! An answer is read as it comes. Of a list one element is held at a time, with what lies between it and the one before;
//! of `initialize` and `server/discover` the capabilities. An answer of at most [`ResponseFilter::HELD_FIRST`] bytes goes
//! on when it was read to its end, so that one that cannot be read leaves no trace. A longer one is passed on on the way,
//! and if it then turns out to be none, it breaks off: the brace that closes it, and an event's blank line, go on last,
//! after the verdict, so no reader takes for whole what was passed on of it.

mod canonical;
mod clean;
mod edit;
mod event;
mod facts;
mod greeting;
mod item;
mod judge;
mod list;
mod plan;
mod rewrite;
mod want;

#[cfg(test)]
mod tests;

use std::mem;

use crate::Revision;
use crate::json::JsonError;
use crate::mcp::{Id, Kind, Message, Method};
use crate::sse::{self, Decoder, Event, Part, SseError};

use event::LongEvent;
pub use item::{Item, ItemKind};
use judge::{Judge, Verdict};
use rewrite::Rewriter;

/// What an answer has to be the answer to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ask {
    /// The method of the request.
    pub method: Method,
    /// Its id; `None` if no answer is due: to a notification, to a response, on a GET stream.
    pub id: Option<Id>,
    /// The revision it was written in.
    pub revision: Revision,
}

impl Ask {
    /// The stream that a client opens by GET: notifications and requests of the server, no answers.
    pub const fn stream(revision: Revision) -> Self {
        Self { method: Method::Absent, id: None, revision }
    }
}

impl From<&Message> for Ask {
    fn from(message: &Message) -> Self {
        let id = match message.kind {
            Kind::Request => message.id.clone(),
            Kind::Notification | Kind::Response => None,
        };
        Self { method: message.method.clone(), id, revision: message.revision }
    }
}

/// Why an answer may not go to the agent; a `response_refused`. All are the server's fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FilterError {
    /// Not one JSON value that can be read in one way only.
    #[error("answer is not strict JSON")]
    Json(#[from] JsonError),
    /// A stretch that must be held is longer than may be: an event, an element of a list, a value.
    #[error("answer has to be held for more than {limit} bytes")]
    TooLong {
        /// The limit.
        limit: usize,
    },
    /// JSON, but no message; or a batch.
    #[error("answer is not an MCP message")]
    NotAMessage,
    /// The answer to another request.
    #[error("answer to another request")]
    WrongId,
    /// A request or a notification where only an answer may stand: in a JSON body.
    #[error("request or notification in place of an answer")]
    NotAnAnswer,
    /// A list that is missing, or whose entries can't be told apart.
    #[error("list cannot be read")]
    List,
    /// It would have to be replaced, but part of it was passed on.
    #[error("answer that must be replaced was passed on in part")]
    TooLate,
}

impl From<SseError> for FilterError {
    fn from(error: SseError) -> Self {
        match error {
            SseError::TooLong { limit } => Self::TooLong { limit },
        }
    }
}

/// A request of the server that the agent did not get.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RefusedRequest {
    /// What it asked for.
    pub method: Method,
    /// The id to answer the server with; `None` if it came inside a result, and then an error replaced that.
    pub id: Option<Id>,
}

/// What was seen, and what was done about it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// The answer came: the server's, or the error that stands for it.
    pub answered: bool,
    /// What went to the agent as the answer is a JSON-RPC error.
    pub error: bool,
    /// What was listed and is shown.
    pub kept: usize,
    /// What was listed and is not shown.
    pub hidden: usize,
    /// Names of shown tools whose definition has characters that people don't see: the first
    /// [`Summary::FLAGGED_MAX`], of at most 128 bytes each.
    pub flagged: Vec<String>,
    /// How many those are in all.
    pub flagged_count: usize,
    /// Those of them from whose description such characters were taken out.
    pub stripped: usize,
    /// Requests of the server that were not passed on: the first [`Summary::REFUSED_MAX`] of them.
    pub refused: Vec<RefusedRequest>,
    /// All of them.
    pub refused_count: usize,
    /// Events that were left out: answers to other requests, second answers, and what could not be read while
    /// no answer was due.
    pub dropped: usize,
    /// Why an error was put in the place of an event.
    pub unreadable: Option<FilterError>,
    /// `result.protocolVersion` of the answer to `initialize`.
    pub protocol_version: Option<String>,
}

impl Summary {
    /// Flagged tools whose names are kept: a server can list any number.
    pub const FLAGGED_MAX: usize = 64;
    /// Refused requests that are kept: a server can send any number.
    pub const REFUSED_MAX: usize = 64;
}

/// What is asked about each message.
#[derive(Debug)]
struct Policy<F> {
    shows: F,
    server_requests: Vec<Method>,
}

/// Passes one answer on, without what the agent may not see.
///
/// `shows` is asked about each [`Item`] when all of it is there. Of an answer that is then refused, its words count for
/// nothing: whoever remembers definitions waits for [`ResponseFilter::finish`].
///
/// ```
/// use ensage_mcp::Revision;
/// use ensage_mcp::filter::{Ask, Item, ItemKind, ResponseFilter};
/// use ensage_mcp::mcp::{BodyReader, Head};
///
/// let mut reader = BodyReader::new(1 << 20);
/// let _ = reader.feed(br#"{"jsonrpc":"2.0","id":1,"method":"tools/list"}"#);
/// let head = Head { negotiated: Some(Revision::V2025_11_25), ..Head::default() };
/// let ask = Ask::from(&reader.finish(&head)?);
///
/// let shows = |item: &Item<'_>| item.kind == ItemKind::Tool && item.name != "rm";
/// let mut filter = ResponseFilter::json(ask, shows, 4 << 20);
/// let mut out = Vec::new();
/// filter.feed(br#"{"jsonrpc":"2.0","id":1,"result":{"tools":[{"name":"ls"}, {"name":"rm"}]}}"#, &mut out)?;
/// let summary = filter.finish(&mut out)?;
/// assert_eq!(out, br#"{"jsonrpc":"2.0","id":1,"result":{"tools":[{"name":"ls"}]}}"#);
/// assert_eq!(summary.hidden, 1);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct ResponseFilter<F = Box<dyn FnMut(&Item<'_>) -> bool + Send + Sync>> {
    judge: Judge<F>,
    form: Form,
}

#[derive(Debug)]
enum Form {
    /// `application/json`
    Json { rewriter: Box<Rewriter>, passing: Passing },
    /// `text/event-stream`
    Sse(Box<Events>),
    /// Given up.
    Failed(FilterError),
}

/// A stream, and how far it is.
#[derive(Debug)]
struct Events {
    decoder: Decoder,
    /// What of an event's data passes.
    buffer: Vec<u8>,
    /// The event that goes on as it comes.
    long: Option<LongEvent>,
    limit: usize,
}

/// How far a JSON answer is.
#[derive(Debug)]
enum Passing {
    /// Nothing of it has gone on; this can, once it is over or longer than `most`.
    Held { ready: Vec<u8>, most: u64 },
    /// It goes on as it comes.
    Begun,
}

impl<F: FnMut(&Item<'_>) -> bool> ResponseFilter<F> {
    /// Bytes of a JSON answer that are held for a verdict on the whole: real lists of tools have up to 150 KiB.
    pub const HELD_FIRST: usize = 256 << 10;

    /// For an answer of type `application/json` of which at most `hold` bytes must be held at a time; `shows` tells
    /// what of it is listed.
    pub fn json(ask: Ask, shows: F, hold: usize) -> Self {
        let rewriter = Box::new(Rewriter::new(&ask, hold));
        let most = u64::try_from(hold.min(Self::HELD_FIRST)).unwrap_or(u64::MAX);
        let passing = Passing::Held { ready: Vec::new(), most };
        Self { judge: Judge::new(ask, shows), form: Form::Json { rewriter, passing } }
    }

    /// For an answer of type `text/event-stream`, any number of events, of which at most `hold` bytes must be held at a
    /// time: of the answer what must be held of one in JSON, of all else the event.
    pub fn sse(ask: Ask, shows: F, hold: usize) -> Self {
        let decoder = Decoder::new(sse::Limits::new(hold).with_pause(Self::HELD_FIRST));
        let events = Events { decoder, buffer: Vec::new(), long: None, limit: hold };
        Self { judge: Judge::new(ask, shows), form: Form::Sse(Box::new(events)) }
    }

    /// What the server may ask of the agent, beside `ping`; nothing without this call.
    #[must_use]
    pub fn with_server_requests(mut self, allowed: impl IntoIterator<Item = Method>) -> Self {
        self.judge.policy.server_requests = allowed.into_iter().collect();
        self
    }

    /// What was seen so far: refused requests can be answered while the stream goes on.
    pub fn seen(&self) -> &Summary {
        &self.judge.seen
    }

    /// True while nothing goes on: the answer may still be refused as a whole.
    pub fn is_undecided(&self) -> bool {
        matches!(self.form, Form::Json { passing: Passing::Held { .. }, .. })
    }

    /// How many bytes are held.
    pub fn held(&self) -> usize {
        match &self.form {
            Form::Json { rewriter, passing: Passing::Held { ready, .. } } => rewriter.held() + ready.len(),
            Form::Json { rewriter, passing: Passing::Begun } => rewriter.held(),
            Form::Sse(events) => match &events.long {
                Some(long) => long.held(),
                None => events.decoder.unterminated().len(),
            },
            Form::Failed(_) => 0,
        }
    }

    /// Takes the next bytes of the answer and appends what can go on: byte for byte, but that events which a
    /// lax reader could read in another way than the standard's are written anew ([`sse::Event::write`]).
    ///
    /// # Errors
    /// A [`FilterError`], and then for ever. What is in `out` may still be sent, and the body must then break off; in a
    /// stream it ends with an error for the request, if that had no answer yet.
    pub fn feed(&mut self, chunk: &[u8], out: &mut Vec<u8>) -> Result<(), FilterError> {
        let Self { judge, form } = self;
        let result = match form {
            Form::Json { rewriter, passing: Passing::Begun } => rewriter.feed(chunk, &mut judge.policy, out),
            Form::Json { rewriter, passing: passing @ Passing::Held { .. } } => {
                hold(rewriter, passing, judge, chunk, out)
            }
            Form::Sse(events) => feed_events(judge, events, chunk, out),
            Form::Failed(error) => Err(*error),
        };
        if let Err(error) = result {
            self.form = Form::Failed(error);
        }
        result
    }

    /// Ends the answer: appends what was held back, and tells what was done. An event without its end is left
    /// out, as the standard says.
    ///
    /// # Errors
    /// A [`FilterError`]; nothing is appended then.
    pub fn finish(mut self, out: &mut Vec<u8>) -> Result<Summary, FilterError> {
        match mem::replace(&mut self.form, Form::Failed(FilterError::NotAMessage)) {
            // An accepted notification is answered without a body.
            Form::Json { rewriter, .. } if rewriter.offset() == 0 => {}
            Form::Json { mut rewriter, passing } => {
                let (begun, mut rest) = match passing {
                    Passing::Held { ready, .. } => (false, ready),
                    Passing::Begun => (true, Vec::new()),
                };
                let received = rewriter.finish(&mut self.judge.policy, &mut rest)?;
                match self.judge.body(&mut rewriter, received)? {
                    Verdict::Pass => out.append(&mut rest),
                    Verdict::Replace(_) if begun => return Err(FilterError::TooLate),
                    Verdict::Replace(mut other) => out.append(&mut other),
                    Verdict::Remove => return Err(FilterError::NotAnAnswer),
                }
            }
            Form::Sse(_) => {}
            Form::Failed(error) => return Err(error),
        }
        Ok(self.judge.seen)
    }
}

/// Takes bytes of an answer of which nothing has gone on.
fn hold<F: FnMut(&Item<'_>) -> bool>(
    rewriter: &mut Rewriter,
    passing: &mut Passing,
    judge: &mut Judge<F>,
    chunk: &[u8],
    out: &mut Vec<u8>,
) -> Result<(), FilterError> {
    let Passing::Held { ready, most } = passing else { return Ok(()) };
    rewriter.feed(chunk, &mut judge.policy, ready)?;
    if rewriter.offset() > *most {
        out.append(ready);
        *passing = Passing::Begun;
    }
    Ok(())
}

fn feed_events<F: FnMut(&Item<'_>) -> bool>(
    judge: &mut Judge<F>,
    events: &mut Events,
    chunk: &[u8],
    out: &mut Vec<u8>,
) -> Result<(), FilterError> {
    let Events { decoder, buffer, long, limit } = events;
    let mut rest = chunk;
    loop {
        if let Some(event) = long {
            if !event.take(&mut rest, judge, out)? {
                return Ok(());
            }
            *long = None;
        }
        match decoder.pull(&mut rest) {
            Ok(Some(event)) => {
                pass_event(judge, &event, buffer, *limit, out);
                continue;
            }
            Ok(None) => {}
            Err(error) => {
                let error = FilterError::from(error);
                if let Some(reply) = judge.stand_in(error) {
                    sse::encode("message", &reply, out);
                }
                return Err(error);
            }
        }
        if !decoder.is_paused() {
            return Ok(());
        }
        *long = decoder.paused().and_then(|partial| LongEvent::begin(partial, judge, *limit, out));
        if long.is_some() {
            decoder.hand_over();
        }
    }
}

/// Passes on what of one event may go.
fn pass_event<F: FnMut(&Item<'_>) -> bool>(
    judge: &mut Judge<F>,
    event: &Event<'_>,
    buffer: &mut Vec<u8>,
    limit: usize,
    out: &mut Vec<u8>,
) {
    match (event.part, event.data) {
        // What it belongs to was written with it, or left out.
        (Part::Tail, _) => {}
        (Part::Whole, None) => event.write(out),
        // The event that primes a legacy stream has empty data (2025-11-25, transports).
        (Part::Whole, Some(data)) if data.trim_ascii().is_empty() => event.write(out),
        (Part::Whole, Some(data)) => {
            buffer.clear();
            match judge.event(data, limit, buffer) {
                Verdict::Pass if *buffer == data => event.write(out),
                Verdict::Pass => event.write_with_data(buffer, out),
                Verdict::Replace(data) => event.write_with_data(&data, out),
                Verdict::Remove => {}
            }
        }
    }
}
