//! What a server sends back to one request: lists without the tools that are not allowed, no request that the
//! agent may not get, and every other byte as it was sent.

mod judge;
mod list;

#[cfg(test)]
mod tests;

use std::mem;

use crate::Revision;
use crate::json::JsonError;
use crate::mcp::{Id, Kind, Message, Method, code, error_reply};
use crate::sse::{self, Decoder, Part, SseError};

use judge::{Judge, Verdict};

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
    /// A body or event that is longer than may be held.
    #[error("answer longer than {limit} bytes")]
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
    /// A list whose entries can't be told apart.
    #[error("list of tools cannot be read")]
    List,
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
    /// Tools that were listed and are allowed.
    pub tools_kept: usize,
    /// Tools that were listed and are not allowed.
    pub tools_hidden: usize,
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
    /// Refused requests that are kept: a server can send any number.
    pub const REFUSED_MAX: usize = 64;
}

/// Passes one answer on, without what the agent may not see.
///
/// ```
/// use ensage_mcp::Revision;
/// use ensage_mcp::filter::{Ask, ResponseFilter};
/// use ensage_mcp::mcp::{BodyReader, Head};
///
/// let mut reader = BodyReader::new(1 << 20);
/// let _ = reader.feed(br#"{"jsonrpc":"2.0","id":1,"method":"tools/list"}"#);
/// let head = Head { negotiated: Some(Revision::V2025_11_25), ..Head::default() };
/// let ask = Ask::from(&reader.finish(&head)?);
///
/// let mut filter = ResponseFilter::json(ask, |tool: &str| tool != "rm", 4 << 20);
/// let mut out = Vec::new();
/// filter.feed(br#"{"jsonrpc":"2.0","id":1,"result":{"tools":[{"name":"ls"}, {"name":"rm"}]}}"#, &mut out)?;
/// let summary = filter.finish(&mut out)?;
/// assert_eq!(out, br#"{"jsonrpc":"2.0","id":1,"result":{"tools":[{"name":"ls"}]}}"#);
/// assert_eq!(summary.tools_hidden, 1);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct ResponseFilter<F = Box<dyn Fn(&str) -> bool + Send + Sync>> {
    judge: Judge<F>,
    form: Form,
}

#[derive(Debug)]
enum Form {
    /// `application/json`: at most `limit` bytes, passed on when all are there.
    Json { held: Vec<u8>, limit: usize },
    /// `text/event-stream`
    Sse(Decoder),
    /// Given up.
    Failed(FilterError),
}

impl<F: Fn(&str) -> bool> ResponseFilter<F> {
    /// For an answer of type `application/json` of at most `hold` bytes; `allow` tells which tools are listed.
    pub fn json(ask: Ask, allow: F, hold: usize) -> Self {
        Self { judge: Judge::new(ask, allow), form: Form::Json { held: Vec::new(), limit: hold } }
    }

    /// For an answer of type `text/event-stream` with events of at most `hold` bytes; any number of them.
    pub fn sse(ask: Ask, allow: F, hold: usize) -> Self {
        Self { judge: Judge::new(ask, allow), form: Form::Sse(Decoder::new(sse::Limits::new(hold))) }
    }

    /// What the server may ask of the agent, beside `ping`; nothing without this call.
    #[must_use]
    pub fn with_server_requests(mut self, allowed: impl IntoIterator<Item = Method>) -> Self {
        self.judge.server_requests = allowed.into_iter().collect();
        self
    }

    /// What was seen so far: refused requests can be answered while the stream goes on.
    pub fn seen(&self) -> &Summary {
        &self.judge.seen
    }

    /// Takes the next bytes of the answer and appends what can go on: byte for byte, but that events which a
    /// lax reader could read in another way than the standard's are written anew ([`sse::Event::write`]).
    ///
    /// # Errors
    /// A [`FilterError`], and then for ever. What is in `out` may still be sent; in a stream that is an error
    /// for the request, if it had no answer yet.
    pub fn feed(&mut self, chunk: &[u8], out: &mut Vec<u8>) -> Result<(), FilterError> {
        let Self { judge, form } = self;
        let result = match form {
            Form::Json { held, limit } if chunk.len() > limit.saturating_sub(held.len()) => {
                Err(FilterError::TooLong { limit: *limit })
            }
            Form::Json { held, .. } => {
                held.extend_from_slice(chunk);
                Ok(())
            }
            Form::Sse(decoder) => feed_events(judge, decoder, chunk, out),
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
    /// A [`FilterError`]; of a JSON body nothing has gone on then.
    pub fn finish(mut self, out: &mut Vec<u8>) -> Result<Summary, FilterError> {
        match mem::replace(&mut self.form, Form::Failed(FilterError::NotAMessage)) {
            // An accepted notification is answered without a body.
            Form::Json { held, .. } if held.is_empty() => {}
            Form::Json { held, .. } => match self.judge.body(&held)? {
                Verdict::Pass => out.extend_from_slice(&held),
                Verdict::Replace(other) => out.extend_from_slice(&other),
                Verdict::Remove => return Err(FilterError::NotAnAnswer),
            },
            Form::Sse(_) => {}
            Form::Failed(error) => return Err(error),
        }
        Ok(self.judge.seen)
    }
}

fn feed_events<F: Fn(&str) -> bool>(
    judge: &mut Judge<F>,
    decoder: &mut Decoder,
    chunk: &[u8],
    out: &mut Vec<u8>,
) -> Result<(), FilterError> {
    let mut rest = chunk;
    loop {
        let event = match decoder.pull(&mut rest) {
            Ok(Some(event)) => event,
            Ok(None) => return Ok(()),
            Err(error) => {
                let error = FilterError::from(error);
                if let Some(reply) = judge.stand_in(error) {
                    sse::encode("message", &reply, out);
                }
                return Err(error);
            }
        };
        let verdict = match (event.part, event.data) {
            // What it belongs to was written with it, or left out.
            (Part::Tail, _) => Verdict::Remove,
            (Part::Whole, None) => Verdict::Pass,
            // The event that primes a legacy stream has empty data (2025-11-25, transports).
            (Part::Whole, Some(data)) if data.trim_ascii().is_empty() => Verdict::Pass,
            (Part::Whole, Some(data)) => judge.event(data),
        };
        match verdict {
            Verdict::Pass => event.write(out),
            Verdict::Replace(data) => event.write_with_data(&data, out),
            Verdict::Remove => {}
        }
    }
}

/// The error that stands for an answer which cannot go to the agent.
fn stand_in(id: &Id, code: i64, message: &str) -> Vec<u8> {
    debug_assert!(code == code::INTERNAL_ERROR || code == code::METHOD_NOT_FOUND);
    error_reply(Some(id), code, message, None)
}
