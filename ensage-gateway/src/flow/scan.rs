//! The body of a request: held and judged whole where it is governed, searched on its way where it is not.

use std::cell::RefCell;
use std::collections::{HashMap, HashSet};
use std::rc::Rc;
use std::sync::Arc;

use ensage_mcp::Revision;
use ensage_mcp::llm::{Dialect, Endpoint, RequestReader, StoredId, StoredKind};
use ensage_mcp::mcp::{self, BodyReader, Field, Message};
use ensage_policy::Reason;
use ensage_policy::judge::{RouteKind, Trial};
use ensage_policy::path::RequestPath;
use http::{HeaderMap, header};
use http_body::Body;
use http_body_util::BodyExt;
use tokio::time::timeout;

use super::Asked;
use super::body::{OutBody, Passing};
use super::exchange::Exchange;
use super::hold::{Held, no_room};
use super::identify::Member;
use super::reply::{Form, Stop};
use super::respond::Expected;
use super::substitute;
use crate::h1::Incoming;

/// Reads what must be read of the body, and says what goes upstream.
pub(super) async fn body(
    asked: &Asked<'_>,
    x: &mut Exchange,
    trial: &mut Trial<'_>,
    body: &mut Option<Incoming>,
) -> Result<OutBody, Stop> {
    match asked.route.kind() {
        RouteKind::Mcp { server } => mcp_body(asked, x, trial, server, body).await,
        RouteKind::Llm { provider, endpoint } => llm_body(asked, x, trial, (provider, *endpoint), body).await,
        RouteKind::Http | RouteKind::Unlisted => passing(asked, x, body),
    }
}

fn passing(asked: &Asked<'_>, x: &mut Exchange, body: &mut Option<Incoming>) -> Result<OutBody, Stop> {
    let Some(b) = body.take_if(|b| !b.is_end_stream()) else { return Ok(OutBody::Empty) };
    Ok({
        let search = substitute::Search::new(asked.conn, asked.member, asked.sites);
        OutBody::Passing(Box::new(Passing::new(b, search, x.up.clone())))
    })
}

/// MCP sessions and revisions that one session of ours was given. Bounded by the servers of the policy and
/// [`MCP_SESSIONS_MAX`]; when it is full all ids are forgotten, and an agent that meets the 404 begins a new session.
#[derive(Default)]
pub(crate) struct McpSessions {
    known: RefCell<HashMap<Arc<str>, Servers>>,
}

#[derive(Default)]
struct Servers {
    ids: HashSet<String>,
    negotiated: Option<Revision>,
}

/// Most `Mcp-Session-Id`s remembered for one server.
const MCP_SESSIONS_MAX: usize = 1024;

impl McpSessions {
    /// A server gave a session id, or agreed on a revision.
    pub(crate) fn learn(&self, server: &Arc<str>, id: Option<&str>, revision: Option<Revision>) {
        let mut known = self.known.borrow_mut();
        let of = known.entry(server.clone()).or_default();
        if let Some(id) = id {
            if of.ids.len() >= MCP_SESSIONS_MAX {
                of.ids.clear();
            }
            of.ids.insert(id.to_owned());
        }
        if revision.is_some() {
            of.negotiated = revision;
        }
    }

    fn knows(&self, server: &str, id: &str) -> bool {
        self.known.borrow().get(server).is_some_and(|s| s.ids.contains(id))
    }

    pub(crate) fn negotiated(&self, server: &str) -> Option<Revision> {
        self.known.borrow().get(server).and_then(|s| s.negotiated)
    }
}

async fn mcp_body(
    asked: &Asked<'_>,
    x: &mut Exchange,
    trial: &mut Trial<'_>,
    server: &Arc<str>,
    body: &mut Option<Incoming>,
) -> Result<OutBody, Stop> {
    let Asked { conn, member, head, route, .. } = *asked;
    let facts = mcp_head(&head.headers, member.mcp.negotiated(server));
    x.mcp_server(server);
    let session = session_of(&head.method, &facts);
    if let Field::One(id) = session {
        x.mcp_session(id);
    }
    session_is_known(session, member, server)?;
    if head.method != http::Method::POST {
        if body.as_ref().is_some_and(|b| !b.is_end_stream()) {
            return Err(Stop::refused(Reason::MalformedMcp, "only POST carries a message"));
        }
        streams_revision(asked, &facts)?;
        x.show(trial.tool_filter(route));
        x.expect(Expected::McpStream);
        return Ok(OutBody::Empty);
    }
    json_content(&head.headers)?;
    let mut held = hold(asked, x, body).await?;
    let (bytes, masked) = substitute::mask(conn, member, &mut held)?;
    x.masked(masked);
    let mut reader = BodyReader::new(x.policy().limits.body_hold);
    reader.feed(&bytes);
    let message = match reader.finish(&facts) {
        Ok(message) => message,
        Err(error) => {
            note_unread(x, &error);
            return Err(trial.unreadable_mcp(route, &error).into());
        }
    };
    x.mcp_message(&message);
    note(x, &message);
    let proof = trial.message(route, &message)?;
    x.show(trial.tool_filter(route));
    x.expect(Expected::Mcp(Rc::new(message)));
    x.hold(held);
    Ok(OutBody::judged(bytes, proof))
}

/// What a refusal of this message must repeat.
fn note(x: &mut Exchange, message: &Message) {
    if let Form::Mcp { id, kind, revision, named, .. } = &mut x.form {
        id.clone_from(&message.id);
        *kind = Some(message.kind);
        *revision = Some(message.revision);
        *named = message.named().map(str::to_owned);
    }
}

fn note_unread(x: &mut Exchange, error: &mcp::ReadError) {
    if let Form::Mcp { id, .. } = &mut x.form {
        *id = error.id().cloned();
    }
}

/// The header fields that MCP gives a meaning to.
fn mcp_head(headers: &HeaderMap, negotiated: Option<Revision>) -> mcp::Head<'_> {
    mcp::Head {
        protocol_version: field(headers, "mcp-protocol-version"),
        method: field(headers, "mcp-method"),
        name: field(headers, "mcp-name"),
        session_id: field(headers, "mcp-session-id"),
        params: headers
            .iter()
            // A value that is not visible ASCII is shown as one that no sentinel may have, and so refused.
            .filter_map(|(name, value)| {
                Some((name.as_str().strip_prefix("mcp-param-")?, value.to_str().unwrap_or("\u{fffd}")))
            })
            .collect(),
        negotiated,
    }
}

fn field<'a>(headers: &'a HeaderMap, name: &str) -> Field<'a> {
    Field::from_values(headers.get_all(name).iter().map(http::HeaderValue::as_bytes))
}

/// The MCP session that a request says it is of. The stateless era ignores the field, and what a server is to ignore is
/// not sent to it; but only POST has that era, since GET and DELETE serve sessions.
fn session_of<'a>(verb: &http::Method, facts: &mcp::Head<'a>) -> Field<'a> {
    let modern = matches!(facts.protocol_version, Field::One(v) if Revision::parse(v).is_some_and(Revision::is_modern));
    if modern && verb == http::Method::POST { Field::Absent } else { facts.session_id }
}

/// Another session's `Mcp-Session-Id` does not exist here (contract section 4).
fn session_is_known(session: Field<'_>, member: &Member, server: &str) -> Result<(), Stop> {
    match session {
        Field::Absent => Ok(()),
        Field::One(id) if member.mcp.knows(server, id) => Ok(()),
        Field::One(_) | Field::Repeated => {
            Err(Stop::refused(Reason::McpSessionUnknown, "this MCP session is not known; begin with initialize"))
        }
    }
}

/// GET and DELETE have no body whose revision could be judged: the header says it, or what was agreed on.
fn streams_revision(asked: &Asked<'_>, facts: &mcp::Head<'_>) -> Result<(), Stop> {
    let revision = match facts.protocol_version {
        Field::Absent => facts.negotiated.or(Some(Revision::V2025_11_25)),
        Field::One(text) => Revision::parse(text),
        Field::Repeated => None,
    };
    let listed = |r: &Revision| asked.route.mcp().is_some_and(|rule| rule.revisions.contains(r)) && !r.is_modern();
    match revision.filter(listed) {
        Some(_) => Ok(()),
        None => Err(Stop::refused(Reason::RevisionNotAllowed, "this revision of MCP has no stream or session here")),
    }
}

async fn llm_body(
    asked: &Asked<'_>,
    x: &mut Exchange,
    trial: &mut Trial<'_>,
    (provider, endpoint): (&Arc<str>, Endpoint),
    body: &mut Option<Incoming>,
) -> Result<OutBody, Stop> {
    let Asked { conn, member, head, route, .. } = *asked;
    let given = |stored: &StoredId| member.rooms.given.has(provider, stored);
    let Some(dialect) = endpoint.body() else {
        if body.as_ref().is_some_and(|b| !b.is_end_stream()) {
            return Err(Stop::refused(Reason::MalformedLlm, "this endpoint takes no body"));
        }
        if endpoint == Endpoint::Kept {
            trial.kept(route, StoredId { kind: StoredKind::Response, id: last_segment(head) }, &given)?;
        }
        if let Some(dialect) = endpoint.answer() {
            x.expect(Expected::Llm(dialect, None));
        }
        return Ok(OutBody::Empty);
    };
    json_content(&head.headers)?;
    let mut held = hold(asked, x, body).await?;
    let (bytes, masked) = substitute::mask(conn, member, &mut held)?;
    x.masked(masked);
    let mut reader = RequestReader::new(dialect, x.policy().limits.body_hold);
    reader.feed(&bytes);
    let request = reader.finish().map_err(|error| trial.unreadable_llm(route, &error))?;
    x.inference(&request);
    if let Form::Llm { streams, .. } = &mut x.form {
        *streams = request.stream && dialect == Dialect::Responses;
    }
    let proof = trial.inference(route, &request, &given)?;
    x.expect(Expected::Llm(dialect, Some(Rc::new(request))));
    x.hold(held);
    Ok(OutBody::judged(bytes, proof))
}

/// The last segment of the path, percent-decoded.
fn last_segment(head: &http::request::Parts) -> String {
    let path = RequestPath::parse(head.uri.path()).ok().and_then(|path| path.decoded());
    path.and_then(|path| path.rsplit('/').next().map(str::to_owned)).unwrap_or_default()
}

/// A governed body is JSON, or it is not read and so refused.
fn json_content(headers: &HeaderMap) -> Result<(), Stop> {
    let mut kinds = headers.get_all(header::CONTENT_TYPE).iter();
    let (Some(kind), None) = (kinds.next(), kinds.next()) else {
        return Err(Stop::refused(Reason::ContentTypeRefused, "send this request as application/json"));
    };
    let kind = kind.to_str().unwrap_or("");
    let mut parts = kind.split(';').map(str::trim);
    let json = parts.next().is_some_and(|t| t.eq_ignore_ascii_case("application/json"));
    let utf8 = parts.all(|p| {
        let Some((name, value)) = p.split_once('=') else { return false };
        !name.eq_ignore_ascii_case("charset") || value.trim_matches('"').eq_ignore_ascii_case("utf-8")
    });
    if json && utf8 {
        return Ok(());
    }
    Err(Stop::refused(Reason::ContentTypeRefused, "send this request as application/json in UTF-8"))
}

/// Collects a body up to `body_hold`, within the budget of all held bytes.
async fn hold(asked: &Asked<'_>, x: &mut Exchange, body: &mut Option<Incoming>) -> Result<Held, Stop> {
    let conn = asked.conn;
    let limit = x.policy().limits.body_hold;
    let mut held = Held::new(conn);
    let Some(mut incoming) = body.take() else { return Ok(held) };
    // Known to be too long: nothing of it needs to be read.
    if incoming.size_hint().lower() > limit {
        *body = Some(incoming);
        return Err(too_long(limit));
    }
    // What is held keeps others from being held, so it may not stand still.
    let wait = x.policy().limits.head_timeout;
    loop {
        let frame = match timeout(wait, incoming.frame()).await {
            Ok(Some(frame)) => frame,
            Ok(None) => break,
            Err(_) => return Err(Stop::refused(Reason::ClientTimeout, "the body of this request stood still")),
        };
        let Ok(frame) = frame else { return Err(x.up.refusal().unwrap_or(Stop::ClientGone)) };
        let data = match frame.into_data() {
            Ok(data) => data,
            Err(frame) => {
                searched(asked, x, frame.into_trailers().unwrap_or_default())?;
                continue;
            }
        };
        if (held.len() + data.len()) as u64 > limit {
            *body = Some(incoming);
            return Err(too_long(limit));
        }
        if !held.push(data).await {
            *body = Some(incoming);
            return Err(no_room());
        }
    }
    x.sent(held.len() as u64);
    x.has_waited();
    Ok(held)
}

/// What is sent in one piece has no trailers, but what they carry is told all the same.
fn searched(asked: &Asked<'_>, x: &Exchange, trailers: HeaderMap) -> Result<(), Stop> {
    let Err(found) = substitute::Search::new(asked.conn, asked.member, asked.sites).trailers(trailers) else {
        return Ok(());
    };
    x.up.stray.set(Some(found));
    x.up.refusal().map_or(Ok(()), Err)
}

fn too_long(limit: u64) -> Stop {
    Stop::refused(
        Reason::BodyUndecided,
        format!("this body is longer than the {limit} bytes that can be held to be judged"),
    )
}
