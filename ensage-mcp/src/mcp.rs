//! What an agent posts to an MCP server: one JSON-RPC message, read together with the headers that speak of it.
//!
//! The rules are those of `A gateway must therefore refuse`: whatever two servers could take for two different
//! calls is no message at all.

mod draft;
mod error;
mod head;
mod id;
mod method;
mod params;
mod reader;
mod wants;

#[cfg(test)]
mod tests;

use std::ops::Range;

pub use error::{Fault, Header, ReadError, code, error_reply};
pub use head::{Field, Head};
pub use id::Id;
pub use method::{Method, Sender};
pub use reader::{BodyReader, Step};

use crate::Revision;

/// One message of a client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// What it is by its members.
    pub kind: Kind,
    /// What it asks for; [`Method::Absent`] in a response.
    pub method: Method,
    /// Of a request or a response; a notification has none.
    pub id: Option<Id>,
    /// The revision it is written in. Of `initialize`: the asked one, or the newest legacy one if that is
    /// modern; the server's answer decides.
    pub revision: Revision,
    /// The tool that `tools/call` names.
    pub tool: Option<String>,
    /// The prompt that `prompts/get` names, or `completion/complete` by its `ref`.
    pub prompt: Option<String>,
    /// Every resource that is named: `params.uri`, or `resourceSubscriptions` of `subscriptions/listen`.
    pub resource_uris: Vec<String>,
    /// The URI template that `completion/complete` names by its `ref`.
    pub resource_template: Option<String>,
    /// Every task that is named: `params.taskId`, or `taskIds` of `subscriptions/listen`.
    pub tasks: Vec<String>,
    /// `params.arguments` of `tools/call` and `prompts/get`.
    pub arguments: Option<ArgumentsSpan>,
    /// `params.requestId` of `notifications/cancelled`.
    pub cancels: Option<Id>,
}

/// What a message is by its members.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// `method` and `id`.
    Request,
    /// `method` without `id`.
    Notification,
    /// `result` or `error`: the answer to a request of the server.
    Response,
}

/// Arguments as sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ArgumentsSpan {
    /// Their bytes in the body, brackets included.
    pub range: Range<u64>,
    /// The SHA-256 of exactly these bytes, in lower-case hexadecimal.
    pub sha256: String,
}

impl Message {
    /// True if the revision knows the method and clients send it: all else is to be refused, unless the policy
    /// names the method.
    pub fn is_known(&self) -> bool {
        self.kind == Kind::Response || self.method.is_sent_by(Sender::Client, self.revision)
    }

    /// The first object that it names, for a sentence about it; judge by the fields, which have all of them.
    pub fn named(&self) -> Option<&str> {
        let one = self.tool.as_ref().or(self.prompt.as_ref()).or(self.resource_uris.first());
        one.or(self.resource_template.as_ref()).or(self.tasks.first()).map(String::as_str)
    }
}
