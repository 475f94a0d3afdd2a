//! From the bytes of a body, and the head before it, to a message.

use std::mem;

use super::error::{Fault, Header, ReadError};
use super::head::Head;
use super::params::{Objects, Params};
use super::{Id, Kind, Message, Method};
use crate::Revision;
use crate::json::{self, Interpreted, Node};

/// Whether more of a body can be taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// It can.
    More,
    /// The body is over the limit, what was held is gone, and [`BodyReader::finish`] will refuse.
    Full,
}

/// Takes a body in pieces and reads the message in it.
///
/// ```
/// use ensage_mcp::Revision;
/// use ensage_mcp::mcp::{BodyReader, Field, Head, Step};
/// let mut reader = BodyReader::new(1 << 20);
/// for piece in [&br#"{"jsonrpc":"2.0","id":7,"method":"tools/call","#[..], br#""params":{"name":"echo"}}"#] {
///     assert_eq!(reader.feed(piece), Step::More);
/// }
/// let head = Head { negotiated: Some(Revision::V2025_11_25), ..Head::default() };
/// let message = reader.finish(&head)?;
/// assert_eq!(message.tool.as_deref(), Some("echo"));
/// # Ok::<(), ensage_mcp::mcp::ReadError>(())
/// ```
#[derive(Debug)]
pub struct BodyReader {
    limit: u64,
    body: Body,
}

#[derive(Debug)]
enum Body {
    /// At most `limit` bytes.
    Held(Vec<u8>),
    TooLong,
}

impl BodyReader {
    /// A reader of bodies of at most `limit` bytes.
    pub const fn new(limit: u64) -> Self {
        Self { limit, body: Body::Held(Vec::new()) }
    }

    /// Takes the next bytes.
    pub fn feed(&mut self, chunk: &[u8]) -> Step {
        let Body::Held(held) = &mut self.body else { return Step::Full };
        let length = u64::try_from(held.len().saturating_add(chunk.len())).unwrap_or(u64::MAX);
        if length > self.limit {
            self.body = Body::TooLong;
            return Step::Full;
        }
        held.extend_from_slice(chunk);
        Step::More
    }

    /// Reads the whole as one message of the revision that `head` and body agree on.
    ///
    /// # Errors
    /// Every [`ReadError`]; no part of such a body may go on.
    pub fn finish(mut self, head: &Head<'_>) -> Result<Message, ReadError> {
        match mem::replace(&mut self.body, Body::TooLong) {
            Body::Held(body) => read(&body, head),
            Body::TooLong => Err(ReadError::TooLong { limit: self.limit }),
        }
    }
}

fn read(body: &[u8], head: &Head<'_>) -> Result<Message, ReadError> {
    let document = json::parse(body, &json::Limits::default())?;
    let envelope = Envelope::read(&document, body)?;
    let params = Params::read(envelope.params, &envelope.id)?;
    let revision = revision(&envelope, &params, head)?;
    let objects = Objects::read(&envelope.method, &params, body)?;
    let agreement = head.check_session().and_then(|()| {
        if revision.is_modern() {
            head.check_modern(envelope.kind, &envelope.method, objects.subject(&envelope.method))
        } else {
            head.check_legacy()
        }
    });
    agreement.map_err(|header| envelope.mismatch(header))?;
    let Envelope { kind, method, id, .. } = envelope;
    Ok(Message {
        kind,
        method,
        id,
        revision,
        tool: objects.tool,
        prompt: objects.prompt,
        resource_uris: objects.resource_uris,
        resource_template: objects.resource_template,
        tasks: objects.tasks,
        arguments: objects.arguments,
        cancels: objects.cancels,
    })
}

/// What JSON-RPC says of a message.
struct Envelope<'n, 'a> {
    kind: Kind,
    method: Method,
    id: Option<Id>,
    params: Option<&'n Node<'a>>,
}

impl<'n, 'a> Envelope<'n, 'a> {
    fn read(document: &'n Node<'a>, body: &[u8]) -> Result<Self, ReadError> {
        let unidentified = |fault| ReadError::Malformed { id: None, fault };
        if document.as_array().is_some() {
            return Err(unidentified(Fault::Batch));
        }
        if document.as_object().is_none() {
            return Err(unidentified(Fault::NotAnObject));
        }
        let members = document.interpreted(&["jsonrpc", "id", "method", "params", "result", "error"])?;
        let id = match members.get("id") {
            None => None,
            Some(node) => Some(Id::read(node, body).ok_or(unidentified(Fault::Id))?),
        };
        let malformed = |fault| ReadError::Malformed { id: id.clone(), fault };
        if members.get("jsonrpc").and_then(Node::as_str) != Some("2.0") {
            return Err(malformed(Fault::JsonRpc));
        }
        let (kind, method) = match (members.get("method"), members.get("result"), members.get("error")) {
            (Some(method), None, None) => {
                let method = Method::parse(method.as_str().ok_or_else(|| malformed(Fault::Shape))?);
                let kind = if id.is_some() { Kind::Request } else { Kind::Notification };
                if method.kind().is_some_and(|needed| needed != kind) {
                    return Err(malformed(Fault::Id));
                }
                (kind, method)
            }
            (None, Some(answer), None) | (None, None, Some(answer)) => {
                if id.is_none() {
                    return Err(malformed(Fault::Id));
                }
                check_answer(&members, answer, &malformed)?;
                (Kind::Response, Method::Absent)
            }
            (_, _, _) => return Err(malformed(Fault::Shape)),
        };
        Ok(Self { kind, method, params: members.get("params"), id })
    }

    fn mismatch(&self, header: Header) -> ReadError {
        ReadError::HeaderMismatch { id: self.id.clone(), header }
    }
}

/// The `result` or `error` that a client answers a server with.
fn check_answer(
    members: &Interpreted<'_, '_>,
    answer: &Node<'_>,
    malformed: &impl Fn(Fault) -> ReadError,
) -> Result<(), ReadError> {
    if members.get("params").is_some() {
        return Err(malformed(Fault::Shape));
    }
    if answer.as_object().is_none() {
        return Err(malformed(Fault::Member("result or error")));
    }
    answer.interpreted(&["code", "message", "data", "action", "content", "roots", "model", "role", "_meta"])?;
    Ok(())
}

/// The one revision that the version header, the body and the session stand for.
fn revision(envelope: &Envelope<'_, '_>, params: &Params<'_, '_>, head: &Head<'_>) -> Result<Revision, ReadError> {
    let unsupported =
        |requested: &str| ReadError::Revision { requested: requested.to_owned(), id: envelope.id.clone() };
    let mismatch = || envelope.mismatch(Header::ProtocolVersion);
    let header = head.protocol_version.at_most_one(Header::ProtocolVersion).map_err(|h| envelope.mismatch(h))?;
    let (text, revision) = match (header, params.version) {
        (Some(header), Some(in_body)) if header == in_body => match handled(header) {
            // The member belongs to the modern era, and to some servers its presence is the era.
            Some(revision) if !revision.is_modern() => return Err(mismatch()),
            revision => (header, revision),
        },
        (_, Some(_)) => return Err(mismatch()),
        (Some(header), None) => match (handled(header), envelope.kind) {
            (Some(Revision::V2026_07_28), Kind::Request) => return Err(mismatch()),
            (Some(Revision::V2026_07_28), Kind::Response) => {
                return Err(ReadError::Malformed { id: envelope.id.clone(), fault: Fault::Response });
            }
            (revision, Kind::Request | Kind::Notification | Kind::Response) => (header, revision),
        },
        (None, None) if envelope.method == Method::Initialize => ("", Some(Revision::V2025_11_25)),
        // 2025-06-18, transports: without a header and without another way to know it is 2025-03-26.
        (None, None) => {
            let negotiated = head.negotiated.unwrap_or(Revision::V2025_03_26);
            (negotiated.as_str(), handled(negotiated.as_str()).filter(|revision| !revision.is_modern()))
        }
    };
    let revision = revision.ok_or_else(|| unsupported(text))?;
    if revision.is_modern() {
        return Ok(revision);
    }
    if envelope.method == Method::Initialize {
        return match params.string("protocolVersion")? {
            None => Err(params.fault("protocolVersion")),
            // rmcp asks so by default, and means the handshake all the same.
            Some(requested) if requested == Revision::V2026_07_28.as_str() => Ok(Revision::V2025_11_25),
            Some(requested) => handled(requested).ok_or_else(|| unsupported(requested)),
        };
    }
    match head.negotiated {
        Some(negotiated) if negotiated != revision => Err(mismatch()),
        Some(_) | None => Ok(revision),
    }
}

/// The revision of that name, if this reader knows its rules.
fn handled(name: &str) -> Option<Revision> {
    match Revision::parse(name)? {
        Revision::V2024_11_05 | Revision::V2025_03_26 => None,
        revision @ (Revision::V2025_06_18 | Revision::V2025_11_25 | Revision::V2026_07_28) => Some(revision),
    }
}
