//! From the bytes of a body, and the head before it, to a message.

use super::draft::{Draft, Said, Version};
use super::error::{Fault, Header, ReadError};
use super::head::Head;
use super::params::{Objects, fault};
use super::{Id, Kind, Message, Method, wants};
use crate::Revision;
use crate::json::{self, ScanLimits, Scanner};

/// Whether more of a body can be taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// It can.
    More,
    /// The body is over the limit, and [`BodyReader::finish`] will refuse.
    Full,
}

/// Takes a body in pieces and reads the message in it, as they come: it holds what the message names, and no body.
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
    taken: u64,
    scanner: Scanner,
    draft: Draft,
}

impl BodyReader {
    /// A reader of bodies of at most `limit` bytes.
    pub fn new(limit: u64) -> Self {
        // What a message names may be as long as the message, and the message has it in the end.
        let text = usize::try_from(limit).unwrap_or(usize::MAX);
        let members = json::Limits::default().members;
        let limits =
            ScanLimits::default().with_text(text).with_names(members).with_members(u64::try_from(members).unwrap_or(0));
        Self { limit, taken: 0, scanner: Scanner::new(&wants::MESSAGE, limits), draft: Draft::default() }
    }

    /// Takes the next bytes.
    pub fn feed(&mut self, chunk: &[u8]) -> Step {
        self.taken = self.taken.saturating_add(u64::try_from(chunk.len()).unwrap_or(u64::MAX));
        if self.taken > self.limit {
            return Step::Full;
        }
        let draft = &mut self.draft;
        // A trouble is the scanner's last word: `finish` is told the same.
        let _ = self.scanner.feed(chunk, |found| draft.note(&found));
        Step::More
    }

    /// Reads the whole as one message of the revision that `head` and body agree on.
    ///
    /// # Errors
    /// Every [`ReadError`]; no part of such a body may go on.
    pub fn finish(mut self, head: &Head<'_>) -> Result<Message, ReadError> {
        if self.taken > self.limit {
            return Err(ReadError::TooLong { limit: self.limit });
        }
        let draft = &mut self.draft;
        self.scanner.finish(|found| draft.note(&found))?;
        read(draft, head)
    }
}

fn read(draft: &mut Draft, head: &Head<'_>) -> Result<Message, ReadError> {
    let envelope = Envelope::read(draft)?;
    draft.check_params(&envelope.id)?;
    let revision = revision(&envelope, draft, head)?;
    let objects = Objects::read(&envelope.method, draft, &envelope.id)?;
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
struct Envelope {
    kind: Kind,
    method: Method,
    id: Option<Id>,
}

impl Envelope {
    fn read(draft: &mut Draft) -> Result<Self, ReadError> {
        let unidentified = |fault| ReadError::Malformed { id: None, fault };
        match draft.root {
            Some(json::Kind::Object) => {}
            Some(json::Kind::Array) => return Err(unidentified(Fault::Batch)),
            _ => return Err(unidentified(Fault::NotAnObject)),
        }
        let id = match std::mem::take(&mut draft.id) {
            Said::Absent => None,
            Said::Wrong => return Err(unidentified(Fault::Id)),
            Said::Is(id) => Some(id),
        };
        let malformed = |fault| ReadError::Malformed { id: id.clone(), fault };
        if !draft.is_2_0 {
            return Err(malformed(Fault::JsonRpc));
        }
        let (result, error) = (draft.result.said.is_there(), draft.error.said.is_there());
        let (kind, method) = match (std::mem::take(&mut draft.method), result, error) {
            (Said::Is(method), false, false) => {
                let kind = if id.is_some() { Kind::Request } else { Kind::Notification };
                if method.kind().is_some_and(|needed| needed != kind) {
                    return Err(malformed(Fault::Id));
                }
                (kind, method)
            }
            (Said::Absent, true, false) | (Said::Absent, false, true) => {
                if id.is_none() {
                    return Err(malformed(Fault::Id));
                }
                check_answer(draft, &malformed)?;
                (Kind::Response, Method::Absent)
            }
            (_, _, _) => return Err(malformed(Fault::Shape)),
        };
        Ok(Self { kind, method, id })
    }

    fn mismatch(&self, header: Header) -> ReadError {
        ReadError::HeaderMismatch { id: self.id.clone(), header }
    }
}

/// The `result` or `error` that a client answers a server with: the one that is there.
fn check_answer(draft: &Draft, malformed: &impl Fn(Fault) -> ReadError) -> Result<(), ReadError> {
    if draft.params.said.is_there() {
        return Err(malformed(Fault::Shape));
    }
    let answer = if draft.result.said.is_there() { &draft.result } else { &draft.error };
    if answer.said == Said::Wrong {
        return Err(malformed(Fault::Member("result or error")));
    }
    answer.twin.map_or(Ok(()), |twin| Err(ReadError::Json(twin)))
}

/// The one revision that the version header, the body and the session stand for.
fn revision(envelope: &Envelope, draft: &Draft, head: &Head<'_>) -> Result<Revision, ReadError> {
    let unsupported =
        |requested: &str| ReadError::Revision { requested: requested.to_owned(), id: envelope.id.clone() };
    let mismatch = || envelope.mismatch(Header::ProtocolVersion);
    let header = head.protocol_version.at_most_one(Header::ProtocolVersion).map_err(|h| envelope.mismatch(h))?;
    let (text, revision) = match (header, draft.version.get().map(Version::as_str)) {
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
        return match &draft.protocol_version {
            Said::Absent | Said::Wrong => Err(fault("protocolVersion", &envelope.id)),
            // rmcp asks so by default, and means the handshake all the same.
            Said::Is(Version::Published(Revision::V2026_07_28)) => Ok(Revision::V2025_11_25),
            Said::Is(version) => handled(version.as_str()).ok_or_else(|| unsupported(version.as_str())),
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
