//! The answer on its way to the client: its head cleaned, its body filtered, scrubbed and watched as it passes.

mod stages;
mod watch;

use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;

use bytes::Bytes;
use ensage_mcp::filter::{Ask, ResponseFilter};
use ensage_mcp::llm::{Dialect, Framing, Request};
use ensage_mcp::mcp::{Message, Method};
use ensage_policy::Reason;
use http::{HeaderMap, HeaderName, Method as Verb, Response, StatusCode, header};
use http_body::Body;
use tokio::time::Instant;

use super::body::{Cut, Exact, First, ReplyBody, Stream};
use super::exchange::Exchange;
use super::forward::{Answer, Loan};
use super::hold::{Share, no_room};
use super::identify::Conn;
use super::record::EndGuard;
use super::reply::Stop;
use super::websocket::{self, Handshake, Upgraded};
use crate::h1::{Incoming, is_bodyless, tell_length};
use crate::upstream::Fault;

use stages::Filter;
pub(crate) use stages::{Allow, Stages, Watched};
use watch::Watch;

/// How the answer to a request must be read.
pub(crate) enum Expected {
    /// It is not read.
    Opaque,
    /// The answer to one MCP message.
    Mcp(Rc<Message>),
    /// A stream of an MCP server that answers nothing (GET), or the answer to a DELETE.
    McpStream,
    /// An answer of an LLM, in this dialect; to which request, if that was read.
    Llm(Dialect, Option<Rc<Request>>),
    /// A change to WebSocket, or a refusal of it, which is not read.
    Websocket(Box<Handshake>),
}

/// A field that belongs to one connection (RFC 9110 section 7.6.1), or `alt-svc`, which leads past the gateway.
fn is_hop_by_hop(name: &HeaderName) -> bool {
    matches!(
        name.as_str(),
        "connection"
            | "proxy-authenticate"
            | "proxy-authorization"
            | "te"
            | "transfer-encoding"
            | "upgrade"
            | "alt-svc"
            | "keep-alive"
            | "proxy-connection"
            | "alt-used"
    )
}

/// Takes out what belongs to one connection, or what `connection` nominates.
pub(crate) fn hop_by_hop(headers: &mut HeaderMap) {
    let hops: Vec<HeaderName> = headers.keys().filter(|name| is_hop_by_hop(name)).cloned().collect();
    if hops.is_empty() {
        return;
    }
    let nominated: Vec<HeaderName> = headers
        .get_all(header::CONNECTION)
        .iter()
        .filter_map(|v| v.to_str().ok())
        .flat_map(|v| v.split(','))
        .filter_map(|n| n.trim().parse().ok())
        .collect();
    for name in nominated.into_iter().chain(hops) {
        headers.remove(name);
    }
}

/// An answer that is ready to go, but for the exchange that will close its record.
pub(crate) struct Prepared {
    head: http::response::Parts,
    stages: Stages,
    loan: Loan,
    rest: Rest,
}

enum Rest {
    /// All of it is here.
    Whole(Bytes),
    /// More is to come.
    Stream { body: Incoming, first: First, left: Option<u64> },
    /// What follows is no HTTP.
    Websocket(Box<Upgraded>),
}

/// Turns the upstream's answer into the client's.
pub(crate) async fn answer(conn: &Conn, x: &mut Exchange, verb: &Verb, answer: Answer) -> Result<Box<Prepared>, Stop> {
    let Answer { response, loan, scrub } = answer;
    let (mut head, mut body) = response.into_parts();
    if head.status == StatusCode::SWITCHING_PROTOCOLS {
        let mut loan = loan;
        let upgraded = websocket::accepted(x, &mut head, &mut loan, &scrub)?;
        return Ok(Box::new(Prepared { head, stages: Stages::default(), loan, rest: Rest::Websocket(upgraded) }));
    }
    let length: Option<u64> =
        head.headers.get(header::CONTENT_LENGTH).and_then(|v| v.to_str().ok()).and_then(|v| v.parse().ok());
    hop_by_hop(&mut head.headers);
    if scrub.is_governed() && is_coded(&head.headers) {
        return Err(Fault::Response { detail: "it is coded although identity was asked for" }.into());
    }
    let framing = framing(&head.headers);
    let filter = filter(x, head.status, framing)?;
    let bodyless = is_bodyless(head.status, verb);
    let watch = if bodyless { None } else { Watch::of(conn, x, head.status, framing) };
    let filters_all = filter.is_some() && framing == Some(Framing::Json);
    let holds = filters_all || watch.as_ref().is_some_and(|watch| watch.holds_all());
    let mut stages = Stages {
        held: holds.then(|| Share::new(conn)),
        filter,
        watch,
        scrub: scrub.scrubber(),
        mcp: x.mcp_room(),
        buffer: Vec::new(),
        flagged: Vec::new(),
    };
    if let Some(scrubber) = &mut stages.scrub {
        scrubber.scrub_headers(&mut head.headers);
    }
    x.status(head.status);
    learn_session(x, &head.headers);
    if bodyless {
        stages.filter = None;
        return Ok(Box::new(Prepared { head, stages, loan, rest: Rest::Whole(Bytes::new()) }));
    }
    let undecided = stages.is_undecided();
    let wait = if undecided {
        Wait::Verdict(x.policy().limits.upstream_head_timeout)
    } else if is_short(&body) {
        Wait::All(SHORT_WAIT)
    } else {
        Wait::Nothing
    };
    let mut first = First::default();
    let taken = match wait {
        Wait::Nothing => Some(at_once(&mut body, &mut stages, &mut first, wait).await),
        Wait::Verdict(most) | Wait::All(most) => {
            let taking = pin!(at_once(&mut body, &mut stages, &mut first, wait));
            conn.patience.until(Instant::now() + most, taking).await
        }
    };
    if undecided {
        x.takes_over();
    }
    let ended = match taken {
        Some(taken) => taken.map_err(|failed| {
            x.saw(&mut stages);
            failed.told(&loan)
        })?,
        None if stages.is_undecided() => return Err(Fault::Timeout.into()),
        None => false,
    };
    if !stages.keep_length() {
        head.headers.remove(header::CONTENT_LENGTH);
    }
    // A request that is still under way is watched until it is out, and so its exchange must live.
    if !ended || (!stages.is_undecided() && !loan.is_out()) {
        let left = length.filter(|_| stages.keep_length());
        return Ok(Box::new(Prepared { head, stages, loan, rest: Rest::Stream { body, first, left } }));
    }
    if let Err(cut) = stages.finish(&mut first.data) {
        x.saw(&mut stages);
        return Err(broke(&loan, cut));
    }
    let all = joined(first.data);
    if length.is_some() {
        // The length is known again, so the client gets one as it did from upstream.
        tell_length(&mut head.headers, all.len() as u64);
    }
    Ok(Box::new(Prepared { head, stages, loan, rest: Rest::Whole(all) }))
}

/// Most bytes of an answer that are taken in one go before its head goes out.
const AT_ONCE_BYTES_MAX: usize = 64 * 1024;

/// An answer of no more bytes than this is short, where its length is told.
const SHORT_BYTES: u64 = 16 * 1024;
/// How long the head of a short answer waits for its body. Many servers say the two one after the other, and what goes
/// out together is one write and one record.
const SHORT_WAIT: Duration = Duration::from_millis(5);

fn is_short(body: &Incoming) -> bool {
    !body.is_end_stream() && body.size_hint().exact().is_some_and(|left| left <= SHORT_BYTES)
}

/// What is waited for before the head of an answer goes out.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Wait {
    /// What is not here yet comes behind it.
    Nothing,
    /// As much of the body as the filter needs, so long at most.
    Verdict(Duration),
    /// All of the body, so long at most.
    All(Duration),
}

/// What came together with the head, through the stages into `first`; true if that is all. A short answer usually did:
/// taken whole it keeps its length and needs one write to the log. What the filter holds is waited for, to its end or
/// until it lets the first bytes go: whether the head may go out is known there only.
async fn at_once(body: &mut Incoming, stages: &mut Stages, first: &mut First, wait: Wait) -> Result<bool, Failed> {
    let mut seen = 0;
    while (stages.is_undecided() || seen < AT_ONCE_BYTES_MAX) && !body.is_end_stream() {
        let waits = match wait {
            Wait::Nothing => false,
            Wait::Verdict(_) => stages.is_undecided(),
            Wait::All(_) => true,
        };
        let frame = poll_fn(|cx| match Pin::new(&mut *body).poll_frame(cx) {
            Poll::Ready(frame) => Poll::Ready(Some(frame)),
            Poll::Pending if waits => Poll::Pending,
            Poll::Pending => Poll::Ready(None),
        })
        .await;
        match frame {
            None => return Ok(false),
            Some(None) => return Ok(true),
            Some(Some(Err(_))) => return Err(Failed::Broken(Cut::Upstream)),
            Some(Some(Ok(frame))) => match frame.into_data() {
                Ok(data) => {
                    seen += data.len();
                    if let Some((held, more)) = stages.room_for(data.len())
                        && !held.grow_in_time(more).await
                    {
                        return Err(Failed::NoRoom);
                    }
                    stages.feed(data, &mut first.data).map_err(Failed::Broken)?;
                    if stages.failed().is_some() {
                        return Ok(false);
                    }
                }
                // What is held goes out with a length, and HTTP/1 has no place for trailers then.
                Err(_) if stages.is_undecided() => return Ok(true),
                Err(frame) => {
                    first.trailers = frame.into_trailers().ok();
                    return Ok(false);
                }
            },
        }
    }
    Ok(body.is_end_stream())
}

/// Why an answer cannot be taken.
#[derive(Debug)]
enum Failed {
    /// It breaks off, or may not be passed on.
    Broken(Cut),
    /// It must be held, and there was no room in time.
    NoRoom,
}

impl Failed {
    fn told(self, loan: &Loan) -> Stop {
        match self {
            Self::Broken(cut) => broke(loan, cut),
            Self::NoRoom => no_room(),
        }
    }
}

fn joined(parts: Vec<Bytes>) -> Bytes {
    let mut parts = parts;
    match parts.len() {
        0 => Bytes::new(),
        1 => parts.swap_remove(0),
        _ => parts.concat().into(),
    }
}

fn broke(loan: &Loan, cut: Cut) -> Stop {
    match (loan.violation(), cut) {
        (Some(detail), _) => Fault::Protocol { detail }.into(),
        (None, Cut::Unasked) => Fault::Response { detail: "its provider did something that was not asked for" }.into(),
        (None, Cut::Response) => Fault::Response { detail: "it cannot be read in one way only" }.into(),
        (None, _) => Fault::Closed.into(),
    }
}

impl Prepared {
    /// Lets the answer go. The exchange comes back where its record could not be written.
    pub(crate) async fn release(
        self: Box<Self>,
        x: Box<Exchange>,
    ) -> Result<Response<ReplyBody>, (Box<Exchange>, Stop)> {
        let Self { head, mut stages, loan, rest } = *self;
        let body = match rest {
            Rest::Whole(all) => {
                let mut end = EndGuard::new(x, loan);
                end.down(all.len() as u64);
                if end.complete_whole(&mut stages).await.is_err() {
                    let lost =
                        Stop::refused(Reason::AuditUnavailable, "the audit log cannot be written; try again later");
                    return Err((end.into_exchange(), lost));
                }
                // A body that upstream sent in chunks goes on in chunks; nothing is added to its head.
                let told = head.headers.contains_key(header::CONTENT_LENGTH) || all.is_empty();
                let exact = if told { Exact::Told } else { Exact::Untold };
                ReplyBody::whole(all, exact)
            }
            Rest::Stream { body, first, left } => {
                let end = EndGuard::new(x, loan);
                end.begun();
                ReplyBody::Stream(Box::new(Stream::new(body, stages, end, first, left)))
            }
            Rest::Websocket(upgraded) => {
                x.count_overhead();
                ReplyBody::Upgraded(Some((x, upgraded)))
            }
        };
        Ok(Response::from_parts(head, body))
    }
}

/// The filter of an MCP answer, by what was asked.
fn filter(x: &mut Exchange, status: StatusCode, framing: Option<Framing>) -> Result<Option<Box<Filter>>, Stop> {
    let ask = match &x.expected {
        Expected::Opaque | Expected::Llm(..) | Expected::Websocket(_) => return Ok(None),
        Expected::Mcp(message) => Ask::from(&**message),
        Expected::McpStream => Ask::stream(x.mcp_revision()),
    };
    let hold = usize::try_from(x.policy().limits.body_hold).unwrap_or(usize::MAX);
    let allow: Allow = x.list_filter();
    Ok(match framing {
        Some(Framing::Json) => Some(Box::new(ResponseFilter::json(ask, allow, hold))),
        Some(Framing::Sse) => Some(Box::new(ResponseFilter::sse(ask, allow, hold))),
        // Some clients read the stream of a GET as one whatever it is called.
        None if status.is_success() && matches!(x.expected, Expected::McpStream) => {
            Some(Box::new(ResponseFilter::sse(ask, allow, hold)))
        }
        // Errors of a front proxy are no messages: they pass, but never where a list could hide in them.
        None if (!status.is_success() && ask.method != Method::ToolsList) || ask.id.is_none() => None,
        None => return Err(Fault::Response { detail: "an MCP answer must be JSON or an event stream" }.into()),
    })
}

fn framing(headers: &HeaderMap) -> Option<Framing> {
    Framing::of(headers.get(header::CONTENT_TYPE).and_then(|v| v.to_str().ok()).unwrap_or(""))
}

pub(crate) fn is_coded(headers: &HeaderMap) -> bool {
    headers.get_all(header::CONTENT_ENCODING).iter().any(|v| !v.as_bytes().eq_ignore_ascii_case(b"identity"))
}

/// The `Mcp-Session-Id` that a legacy server gives on `initialize` belongs to this session from now on.
fn learn_session(x: &Exchange, headers: &HeaderMap) {
    if let Expected::Mcp(message) = &x.expected
        && message.method == Method::Initialize
        && let Some(id) = headers.get("mcp-session-id").and_then(|v| v.to_str().ok())
    {
        x.learn(Some(id), None);
    }
}

#[cfg(test)]
mod tests;
