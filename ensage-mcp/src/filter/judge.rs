//! What becomes of one message of a server: it passes, is changed, or is left out.

use super::facts::Received;
use super::rewrite::Rewriter;
use super::{Ask, FilterError, Item, Policy, RefusedRequest, Summary};
use crate::json::{self, JsonError, Limits, Node};
use crate::mcp::{Id, Method, Sender, code, error_reply};

/// What becomes of a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// As the rewriter wrote it.
    Pass,
    /// This instead.
    Replace(Vec<u8>),
    /// Nothing.
    Remove,
}

#[derive(Debug)]
pub(super) struct Judge<F> {
    pub(super) ask: Ask,
    pub(super) policy: Policy<F>,
    pub(super) seen: Summary,
}

impl<F: FnMut(&Item<'_>) -> bool> Judge<F> {
    pub(super) fn new(ask: Ask, shows: F) -> Self {
        Self { ask, policy: Policy { shows, server_requests: Vec::new() }, seen: Summary::default() }
    }

    /// A JSON body, which is an answer and nothing else.
    pub(super) fn body(&mut self, rewriter: &mut Rewriter, received: Received) -> Result<Verdict, FilterError> {
        match received {
            Received::Request { .. } | Received::Notification(_) => Err(FilterError::NotAnAnswer),
            // A server that could not read the request, or does not know the session, can't name its id.
            Received::Error { id: None } => Ok(self.error(rewriter)),
            Received::Result { id } if id.is_some() && id == self.ask.id => Ok(self.result(rewriter)),
            Received::Error { id } if id == self.ask.id => Ok(self.error(rewriter)),
            Received::Result { .. } | Received::Error { .. } => Err(FilterError::WrongId),
        }
    }

    /// The data of one event of a stream; `out` gets what of it passes.
    pub(super) fn event(&mut self, data: &[u8], limit: usize, out: &mut Vec<u8>) -> Verdict {
        let mut rewriter = Rewriter::new(&self.ask, limit);
        let received = rewriter.whole(data, &mut self.policy, out);
        match received.and_then(|received| self.streamed(&mut rewriter, received, data)) {
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

    /// One whole message of a stream.
    pub(super) fn streamed(
        &mut self,
        rewriter: &mut Rewriter,
        received: Received,
        data: &[u8],
    ) -> Result<Verdict, FilterError> {
        match received {
            Received::Notification(Method::NotificationsTasks) => Ok(self.task(data)),
            Received::Notification(_) => Ok(Verdict::Pass),
            Received::Request { id, method } => {
                let sent = method.is_sent_by(Sender::Server, self.ask.revision);
                if sent && (method == Method::Ping || self.policy.server_requests.contains(&method)) {
                    return Ok(Verdict::Pass);
                }
                self.refuse(method, Some(id));
                Ok(Verdict::Remove)
            }
            Received::Result { id } | Received::Error { id }
                if self.seen.answered || id.is_none() || id != self.ask.id =>
            {
                self.seen.dropped += 1;
                Ok(Verdict::Remove)
            }
            Received::Result { .. } => Ok(self.result(rewriter)),
            Received::Error { .. } => Ok(self.error(rewriter)),
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
        Some(error_reply(Some(id), code::INTERNAL_ERROR, "The server's answer cannot be read.", None))
    }

    /// A notification that has a whole task: like an answer, but it can only be left out.
    fn task(&mut self, data: &[u8]) -> Verdict {
        match self.policy.refused_in_task(data) {
            Ok(None) => return Verdict::Pass,
            Ok(Some(method)) => self.refuse(method, None),
            Err(error) => {
                self.seen.unreadable.get_or_insert(error);
                self.seen.dropped += 1;
            }
        }
        Verdict::Remove
    }

    fn error(&mut self, rewriter: &mut Rewriter) -> Verdict {
        self.seen.answered = true;
        self.seen.error = true;
        match rewriter.plan.facts.refused.take() {
            Some(method) => self.refuse_inside(method),
            None => Verdict::Pass,
        }
    }

    fn result(&mut self, rewriter: &mut Rewriter) -> Verdict {
        self.seen.answered = true;
        if let Some(method) = rewriter.plan.facts.refused.take() {
            return self.refuse_inside(method);
        }
        rewriter.plan.facts.tell(&mut self.seen);
        Verdict::Pass
    }

    /// A stripped request would only be asked again: the whole answer becomes an error.
    fn refuse_inside(&mut self, method: Method) -> Verdict {
        self.refuse(method, None);
        self.seen.error = true;
        match &self.ask.id {
            Some(id) => {
                let message = "The server asks for something that this agent's policy does not let it ask for.";
                Verdict::Replace(error_reply(Some(id), code::METHOD_NOT_FOUND, message, None))
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

/// Error with `data.elicitations` of 2025-11-25: a request of the server in the form of an answer.
const URL_ELICITATION_REQUIRED: f64 = -32042.0;

impl<F> Policy<F> {
    /// The first request in `inputRequests` (MRTR of 2026-07-28) that the agent may not get.
    pub(super) fn refused_input(&self, inputs: &Node<'_>) -> Result<Option<Method>, FilterError> {
        for request in inputs.interpreted(&[]).map_err(object_needed)?.members() {
            let members = request.node.interpreted(&["method", "params"]).map_err(object_needed)?;
            let method = members.get("method").and_then(Node::as_str).ok_or(FilterError::NotAMessage)?;
            let method = Method::parse(method);
            if !self.server_requests.contains(&method) {
                return Ok(Some(method));
            }
        }
        Ok(None)
    }

    /// The method of a request in the form of this error, if the agent may not get it.
    pub(super) fn refused_elicitation(&self, error: &Node<'_>) -> Result<Option<Method>, FilterError> {
        let members = error.interpreted(&["code", "message", "data"]).map_err(object_needed)?;
        let code = members.get("code").and_then(|code| code.as_number()?.parse::<f64>().ok());
        let refused =
            code == Some(URL_ELICITATION_REQUIRED) && !self.server_requests.contains(&Method::ElicitationCreate);
        Ok(refused.then_some(Method::ElicitationCreate))
    }

    /// The same of what a task in `params` asks, or what it has given.
    fn refused_in_task(&self, message: &[u8]) -> Result<Option<Method>, FilterError> {
        let message = json::parse(message, &Limits::default())?;
        let Some(task) = message.get("params") else { return Ok(None) };
        let task = task.interpreted(&["inputRequests", "result"]).map_err(object_needed)?;
        let of_result = match task.get("result") {
            Some(result) if result.as_object().is_some() => {
                result.interpreted(&["inputRequests"])?.get("inputRequests")
            }
            Some(_) | None => None,
        };
        for inputs in [task.get("inputRequests"), of_result].into_iter().flatten() {
            if let Some(method) = self.refused_input(inputs)? {
                return Ok(Some(method));
            }
        }
        Ok(None)
    }
}

fn object_needed(error: JsonError) -> FilterError {
    match error {
        JsonError::NotAnObject { .. } => FilterError::NotAMessage,
        other => FilterError::Json(other),
    }
}
