//! One message of a server: pass it, change it, leave it out.

use super::{Ask, FilterError, RefusedRequest, Summary, list, stand_in};
use crate::json::{self, Interpreted, JsonError, Limits, Node};
use crate::mcp::{Id, Method, Sender, code};

/// What becomes of a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Byte for byte.
    Pass,
    /// This instead.
    Replace(Vec<u8>),
    /// Nothing.
    Remove,
}

#[derive(Debug)]
pub(super) struct Judge<F> {
    ask: Ask,
    allow: F,
    pub(super) server_requests: Vec<Method>,
    pub(super) seen: Summary,
}

/// Error with `data.elicitations` of 2025-11-25: a request of the server in the form of an answer.
const URL_ELICITATION_REQUIRED: &str = "-32042";

impl<F: Fn(&str) -> bool> Judge<F> {
    pub(super) fn new(ask: Ask, allow: F) -> Self {
        Self { ask, allow, server_requests: Vec::new(), seen: Summary::default() }
    }

    /// A whole JSON body, which is an answer and nothing else.
    pub(super) fn body(&mut self, bytes: &[u8]) -> Result<Verdict, FilterError> {
        let document = json::parse(bytes, &Limits::default())?;
        match Received::read(&document, bytes)? {
            Received::Request { .. } | Received::Notification => Err(FilterError::NotAnAnswer),
            // A server that could not read the request, or does not know the session, can't name its id.
            Received::Answer { id: None, answer: Answer::Error(_) } => {
                self.seen.error = true;
                Ok(Verdict::Pass)
            }
            Received::Answer { id, answer } if id.is_some() && id == self.ask.id => self.answer(&answer, bytes),
            Received::Answer { .. } => Err(FilterError::WrongId),
        }
    }

    /// The data of one event of a stream.
    pub(super) fn event(&mut self, data: &[u8]) -> Verdict {
        match self.try_event(data) {
            Ok(Verdict::Remove) => Verdict::Remove,
            Ok(verdict) => verdict,
            Err(error) => match self.stand_in(error) {
                Some(reply) => Verdict::Replace(reply),
                None => {
                    self.seen.dropped += 1;
                    Verdict::Remove
                }
            },
        }
    }

    fn try_event(&mut self, data: &[u8]) -> Result<Verdict, FilterError> {
        let document = json::parse(data, &Limits::default())?;
        match Received::read(&document, data)? {
            Received::Notification => Ok(Verdict::Pass),
            Received::Request { id, method } => {
                let sent = method.is_sent_by(Sender::Server, self.ask.revision);
                if sent && (method == Method::Ping || self.server_requests.contains(&method)) {
                    return Ok(Verdict::Pass);
                }
                self.refuse(method, Some(id));
                Ok(Verdict::Remove)
            }
            Received::Answer { id, answer } => {
                if self.seen.answered || id.is_none() || id != self.ask.id {
                    self.seen.dropped += 1;
                    return Ok(Verdict::Remove);
                }
                self.answer(&answer, data)
            }
        }
    }

    /// An error for the request, if no answer has gone out yet; from then on none will.
    pub(super) fn stand_in(&mut self, error: FilterError) -> Option<Vec<u8>> {
        self.seen.unreadable.get_or_insert(error);
        if self.seen.answered {
            return None;
        }
        let id = self.ask.id.as_ref()?;
        self.seen.answered = true;
        self.seen.error = true;
        Some(stand_in(id, code::INTERNAL_ERROR, "The server's answer cannot be read."))
    }

    /// The answer to the request that was asked.
    fn answer(&mut self, answer: &Answer<'_, '_>, bytes: &[u8]) -> Result<Verdict, FilterError> {
        let verdict = match answer {
            Answer::Error(error) => {
                let elicits = error.get("code").and_then(Node::as_number) == Some(URL_ELICITATION_REQUIRED);
                if elicits && !self.server_requests.contains(&Method::ElicitationCreate) {
                    self.refuse_inside(Method::ElicitationCreate)
                } else {
                    self.seen.error = true;
                    Verdict::Pass
                }
            }
            Answer::Result(result) => self.result(result, bytes)?,
        };
        self.seen.answered = true;
        Ok(verdict)
    }

    fn result(&mut self, result: &Interpreted<'_, '_>, bytes: &[u8]) -> Result<Verdict, FilterError> {
        let refused = self.disallowed_input(result)?;
        if let Some(method) = refused {
            return Ok(self.refuse_inside(method));
        }
        if self.ask.method == Method::Initialize {
            self.seen.protocol_version = result.get("protocolVersion").and_then(Node::as_str).map(str::to_owned);
        }
        if self.ask.method != Method::ToolsList || is_input_required(result) {
            return Ok(Verdict::Pass);
        }
        let tools = list::Tools::read(result, &self.allow)?;
        self.seen.tools_kept += tools.kept;
        self.seen.tools_hidden += tools.hidden;
        let scope = self.ask.revision.is_modern().then(|| result.get("cacheScope")).flatten();
        Ok(match tools.without_hidden(scope, bytes) {
            Some(other) => Verdict::Replace(other),
            None => Verdict::Pass,
        })
    }

    /// The first request in `inputRequests` (MRTR of 2026-07-28) that the agent may not get.
    fn disallowed_input(&self, result: &Interpreted<'_, '_>) -> Result<Option<Method>, FilterError> {
        let Some(requests) = result.get("inputRequests") else { return Ok(None) };
        for request in requests.interpreted(&[])?.members() {
            let members = request.node.interpreted(&["method", "params"])?;
            let method = members.get("method").and_then(Node::as_str).ok_or(FilterError::NotAMessage)?;
            let method = Method::parse(method);
            if !self.server_requests.contains(&method) {
                return Ok(Some(method));
            }
        }
        Ok(None)
    }

    /// A stripped request would only be asked again: the whole answer becomes an error.
    fn refuse_inside(&mut self, method: Method) -> Verdict {
        self.refuse(method, None);
        self.seen.error = true;
        match &self.ask.id {
            Some(id) => {
                let message = "The server asks for something that this agent's policy does not let it ask for.";
                Verdict::Replace(stand_in(id, code::METHOD_NOT_FOUND, message))
            }
            None => Verdict::Remove,
        }
    }

    fn refuse(&mut self, method: Method, id: Option<Id>) {
        self.seen.refused_count += 1;
        if self.seen.refused.len() < Summary::REFUSED_MAX {
            self.seen.refused.push(RefusedRequest { method, id });
        }
    }
}

fn is_input_required(result: &Interpreted<'_, '_>) -> bool {
    result.get("tools").is_none() && result.get("resultType").and_then(Node::as_str) == Some("input_required")
}

/// A message of a server.
enum Received<'n, 'a> {
    Request { id: Id, method: Method },
    Notification,
    Answer { id: Option<Id>, answer: Answer<'n, 'a> },
}

enum Answer<'n, 'a> {
    Result(Interpreted<'n, 'a>),
    Error(Interpreted<'n, 'a>),
}

impl<'n, 'a> Received<'n, 'a> {
    fn read(document: &'n Node<'a>, bytes: &[u8]) -> Result<Self, FilterError> {
        let members = document.interpreted(&["jsonrpc", "id", "method", "params", "result", "error"]);
        let members = members.map_err(object_needed)?;
        if members.get("jsonrpc").and_then(Node::as_str) != Some("2.0") {
            return Err(FilterError::NotAMessage);
        }
        let id = match members.get("id") {
            None => None,
            Some(node) if node.is_null() => None,
            Some(node) => Some(Id::read(node, bytes).ok_or(FilterError::NotAMessage)?),
        };
        match (members.get("method"), members.get("result"), members.get("error")) {
            (Some(method), None, None) => {
                let method = Method::parse(method.as_str().ok_or(FilterError::NotAMessage)?);
                match (id, members.get("id")) {
                    (Some(id), _) => Ok(Self::Request { id, method }),
                    (None, None) => Ok(Self::Notification),
                    (None, Some(_)) => Err(FilterError::NotAMessage),
                }
            }
            (None, Some(result), None) => {
                let result = result.interpreted(&KNOWN_RESULT).map_err(object_needed)?;
                Ok(Self::Answer { id, answer: Answer::Result(result) })
            }
            (None, None, Some(error)) => {
                let error = error.interpreted(&["code", "message", "data"]).map_err(object_needed)?;
                Ok(Self::Answer { id, answer: Answer::Error(error) })
            }
            (_, _, _) => Err(FilterError::NotAMessage),
        }
    }
}

/// What a client reads in some result, and may decide something.
const KNOWN_RESULT: [&str; 18] = [
    "_meta",
    "cacheScope",
    "capabilities",
    "content",
    "contents",
    "inputRequests",
    "instructions",
    "isError",
    "nextCursor",
    "prompts",
    "protocolVersion",
    "requestState",
    "resources",
    "resultType",
    "structuredContent",
    "task",
    "tools",
    "ttlMs",
];

fn object_needed(error: JsonError) -> FilterError {
    match error {
        JsonError::NotAnObject { .. } => FilterError::NotAMessage,
        other => FilterError::Json(other),
    }
}
