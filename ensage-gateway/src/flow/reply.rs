//! The only place where a refusal or a fault becomes an answer.

use bytes::Bytes;
use ensage_mcp::Revision;
use ensage_mcp::llm::{Dialect, Refusal, error_body, error_event, failed_response};
use ensage_mcp::mcp::{Id, Kind, code};
use ensage_policy::judge::{Denial, Form as Governed, Route};
use ensage_policy::model::Enclave;
use ensage_policy::{Class, Reason};
use http::{HeaderValue, Response, StatusCode, header};
use serde_json::{Value, json};
use uuid::Uuid;

use super::body::{Cut, Exact, ReplyBody};
use super::exchange::Exchange;
use super::request::Target;
use crate::upstream::Fault;

/// Why an exchange goes no further.
#[derive(Debug)]
pub(crate) enum Stop {
    /// Refused by policy or because it cannot be read in one way only.
    Denied(Box<Denial>),
    /// The upstream failed.
    Fault(Fault),
    /// The client went away; there is nobody to answer.
    ClientGone,
}

impl Stop {
    /// A refusal that no rule of the configuration decided.
    pub(crate) fn refused(reason: Reason, message: impl Into<String>) -> Self {
        Self::Denied(Box::new(Denial::new(reason, message)))
    }
}

impl From<Denial> for Stop {
    fn from(d: Denial) -> Self {
        Self::Denied(Box::new(d))
    }
}

impl From<Fault> for Stop {
    fn from(f: Fault) -> Self {
        Self::Fault(f)
    }
}

/// In whose words the client is told.
#[derive(Clone, Debug, Default)]
pub(crate) enum Form {
    /// Problem details (RFC 9457), or the hidden answer.
    #[default]
    Http,
    /// JSON-RPC; what is known of the message so far.
    Mcp {
        /// The id as sent.
        id: Option<Id>,
        /// Request or notification.
        kind: Option<Kind>,
        /// The revision, once it is known.
        revision: Option<Revision>,
        /// The name that was asked for, as the error repeats it.
        named: Option<String>,
        /// Revisions of the entry, for -32022.
        supported: Vec<Revision>,
    },
    /// The error object of an LLM API.
    Llm {
        /// Whose.
        dialect: Dialect,
        /// The answer is a stream of OpenAI Responses: a refusal is the one event of it.
        streams: bool,
    },
}

/// The form that a refusal of this request has. Where no entry lets it in, the one that its address belongs to.
pub(crate) fn form(route: Option<&Route>, enclave: &Enclave, target: &Target, head: &http::request::Parts) -> Form {
    let form = route.and_then(Route::form).unwrap_or_else(|| {
        ensage_policy::judge::form(enclave, &target.authority, target.scheme, head.method.as_str(), &target.path)
    });
    match form {
        Governed::Http => Form::Http,
        Governed::Llm(dialect) => {
            // As long as the body is not read, the client's readiness for events says what it asks for.
            let accepted = head.headers.get(header::ACCEPT).and_then(|accept| accept.to_str().ok()).unwrap_or_default();
            Form::Llm { dialect, streams: dialect == Dialect::Responses && accepted.contains("text/event-stream") }
        }
        Governed::Mcp { revisions } => {
            Form::Mcp { id: None, kind: None, revision: None, named: None, supported: revisions.to_vec() }
        }
    }
}

/// Answers a stopped exchange, and records it before the answer's last byte.
pub(crate) fn refuse(
    mut x: Box<Exchange>,
    stop: Stop,
    head: &http::request::Parts,
) -> Result<Response<ReplyBody>, Cut> {
    let (denial, fault) = match stop {
        Stop::Denied(d) => (*d, None),
        Stop::Fault(f) => {
            if tracing::enabled!(tracing::Level::DEBUG) {
                x.within(|| tracing::debug!(error = crate::telemetry::chain(&f), "the upstream failed"));
            }
            let name = f.certificate_fault();
            x.fault(name);
            let denial = Denial::new(f.reason(), fault_text(&f));
            (Denial { remedy: fault_remedy(&f).map(str::to_owned), ..denial }, name)
        }
        Stop::ClientGone => {
            x.client_gone();
            return Err(Cut::Client);
        }
    };
    let mut answer = answer(&x.form, x.call, &denial, fault, &x.asked_name());
    if x.refused(&denial, answer.status()).is_err() {
        let lost = Denial::new(Reason::AuditUnavailable, "the audit log cannot be written; try again later");
        answer = self::answer(&x.form, x.call, &lost, None, &x.asked_name());
    }
    if head.method == http::Method::HEAD {
        *answer.body_mut() = ReplyBody::whole(Bytes::new(), Exact::Told);
    }
    Ok(answer)
}

fn fault_text(fault: &Fault) -> String {
    // The client learns no address and no cause, only what kind of fault it was.
    match fault {
        Fault::Address { .. } => "the upstream's address is special-purpose and not allowed".to_owned(),
        other => other.to_string(),
    }
}

/// What a human would do about it.
fn fault_remedy(fault: &Fault) -> Option<&'static str> {
    match fault {
        Fault::Address { .. } => Some("open its range: `addresses` of the entry, or `upstream.private_addresses`"),
        Fault::Certificate { .. } => Some("a CA of your own belongs into `upstream.roots`"),
        _ => None,
    }
}

/// The answer for `denial`, in the words of `form`.
pub(crate) fn answer(form: &Form, id: Uuid, denial: &Denial, fault: Option<&str>, name: &str) -> Response<ReplyBody> {
    let class = denial.reason.class();
    match (form, class) {
        (_, Class::Hidden) => hidden(id, name),
        (Form::Llm { dialect, streams }, _) => llm(id, denial, *dialect, *streams),
        (Form::Mcp { id: rpc, kind, revision, named, supported }, _) => {
            let asked =
                Asked { id: rpc.as_ref(), kind: *kind, revision: *revision, named: named.as_deref(), supported };
            mcp(id, denial, &asked).unwrap_or_else(|| problem(id, denial, fault))
        }
        (Form::Http, _) => problem(id, denial, fault),
    }
}

/// Looks like a name that does not exist, whatever the true reason (contract section 4).
fn hidden(id: Uuid, name: &str) -> Response<ReplyBody> {
    let body = format!("name_unknown {name} {id}\n");
    build(StatusCode::BAD_GATEWAY, "text/plain", "ensage; error=dns_error; details=\"name_unknown\"", id, body.into())
}

fn problem(id: Uuid, denial: &Denial, fault: Option<&str>) -> Response<ReplyBody> {
    let status = status(denial.reason.status());
    let mut body = json!({
        "type": "about:blank",
        "title": status.canonical_reason().unwrap_or("Refused"),
        "status": status.as_u16(),
        "detail": denial.message,
        "reason": denial.reason.code(),
        "decision_id": id.to_string(),
    });
    put(&mut body, "remedy", denial.remedy.as_deref());
    put(&mut body, "fault", fault);
    let mut answer =
        build(status, "application/problem+json", &proxy_status(denial.reason), id, body.to_string().into());
    retry_after(&mut answer, denial.reason);
    answer
}

fn put(body: &mut Value, key: &str, value: Option<&str>) {
    if let (Some(map), Some(value)) = (body.as_object_mut(), value) {
        map.insert(key.to_owned(), Value::from(value));
    }
}

/// `ensage = {reason, decision_id, ask}`
fn ensage(id: Uuid, denial: &Denial) -> Value {
    let mut e = json!({ "reason": denial.reason.code(), "decision_id": id.to_string() });
    put(&mut e, "ask", denial.remedy.as_deref());
    e
}

fn llm(id: Uuid, denial: &Denial, dialect: Dialect, streams: bool) -> Response<ReplyBody> {
    let reason = denial.reason;
    let (status, kind) = match reason.class() {
        // An LLM WebSocket is told to fall back to POST (contract section 4).
        _ if reason == Reason::WebsocketNotAllowed => (426, Refusal::Invalid),
        Class::Rate => (429, Refusal::RateLimit),
        _ if reason.is_fault() => (reason.status(), Refusal::for_status(reason.status())),
        _ if streams => (200, Refusal::Invalid),
        _ => (400, Refusal::Invalid),
    };
    let told = ensage(id, denial);
    let (media_type, body) = if status == 200 {
        ("text/event-stream", failed_response(&response_id(id), created(id), &denial.message, &told))
    } else {
        ("application/json", error_body(dialect, kind, &denial.message, &told))
    };
    let mut answer = build(self::status(status), media_type, &proxy_status(reason), id, Bytes::from(body));
    // What was refused of an answer would be refused again, and would be paid again.
    if !reason.is_fault() || reason == Reason::ResponseRefused {
        answer.headers_mut().insert("x-should-retry", HeaderValue::from_static("false"));
    }
    retry_after(&mut answer, reason);
    answer
}

/// The last event of an LLM's stream that breaks off.
pub(super) fn last_words(dialect: Dialect, id: Uuid, cut: Cut) -> Vec<u8> {
    let message = match cut {
        Cut::Unasked => "the provider did something by itself that was not asked for",
        _ => "the provider's answer cannot be read",
    };
    let told = ensage(id, &Denial::new(Reason::ResponseRefused, message));
    error_event(dialect, &response_id(id), created(id), message, &told)
}

fn response_id(id: Uuid) -> String {
    format!("resp_{}", id.simple())
}

/// When the decision was taken, in seconds since 1970.
fn created(id: Uuid) -> u64 {
    id.get_timestamp().map_or(0, |begun| begun.to_unix().0)
}

struct Asked<'a> {
    id: Option<&'a Id>,
    kind: Option<Kind>,
    revision: Option<Revision>,
    named: Option<&'a str>,
    supported: &'a [Revision],
}

/// Most bytes of a name that an error repeats.
const NAME_BYTES_MAX: usize = 128;

/// `None` where the refusal is not JSON-RPC's business and goes out as problem details.
fn mcp(id: Uuid, denial: &Denial, asked: &Asked<'_>) -> Option<Response<ReplyBody>> {
    let modern = asked.revision.is_some_and(Revision::is_modern);
    let (status, number, message, data) = match (denial.reason.class(), denial.reason) {
        (Class::McpUnknown | Class::McpMethod | Class::Asked | Class::Rate, _)
            if asked.kind == Some(Kind::Notification) =>
        {
            return Some(empty(403, id, denial.reason));
        }
        (Class::McpUnknown, reason) => {
            let name = cut(asked.named.unwrap_or(""), NAME_BYTES_MAX);
            let (number, text) = match reason {
                Reason::PromptNotAllowed => (code::INVALID_PARAMS, format!("Unknown prompt: {name}")),
                Reason::ResourceNotAllowed => {
                    let revision = asked.revision.unwrap_or(Revision::V2025_11_25);
                    (code::resource_not_found(revision), format!("Resource not found: {name}"))
                }
                _ => (code::INVALID_PARAMS, format!("Unknown tool: {name}")),
            };
            (200, number, text, None)
        }
        (Class::McpMethod, _) => {
            (if modern { 404 } else { 200 }, code::METHOD_NOT_FOUND, "Method not found".to_owned(), None)
        }
        (Class::Asked | Class::Rate, _) => {
            (200, code::REFUSED, denial.message.clone(), Some(json!({ "ensage": ensage(id, denial) })))
        }
        (_, Reason::MalformedJson) => {
            (400, code::PARSE_ERROR, denial.message.clone(), Some(json!({ "ensage": ensage(id, denial) })))
        }
        (_, Reason::MalformedMcp) => {
            (400, code::INVALID_REQUEST, denial.message.clone(), Some(json!({ "ensage": ensage(id, denial) })))
        }
        (_, Reason::HeaderMismatch) => {
            (400, code::HEADER_MISMATCH, denial.message.clone(), Some(json!({ "ensage": ensage(id, denial) })))
        }
        (_, Reason::RevisionNotAllowed) => {
            let supported: Vec<&str> = asked.supported.iter().map(|r| r.as_str()).collect();
            let data = json!({ "supported": supported, "ensage": ensage(id, denial) });
            (400, code::UNSUPPORTED_VERSION, "Unsupported protocol version".to_owned(), Some(data))
        }
        _ => return None,
    };
    let rpc = match denial.reason {
        Reason::MalformedJson | Reason::MalformedMcp => None,
        _ => asked.id,
    };
    let body = ensage_mcp::mcp::error_reply(rpc, number, &message, data);
    let how = match denial.reason.class() {
        // Hidden and absent look alike: no details.
        Class::McpUnknown => "ensage; error=http_request_denied".to_owned(),
        _ => proxy_status(denial.reason),
    };
    Some(build(self::status(status), "application/json", &how, id, Bytes::from(body)))
}

fn empty(code: u16, id: Uuid, reason: Reason) -> Response<ReplyBody> {
    let mut answer = build(status(code), "", &proxy_status(reason), id, Bytes::new());
    answer.headers_mut().remove(header::CONTENT_TYPE);
    answer
}

fn cut(name: &str, max: usize) -> &str {
    let mut end = name.len().min(max);
    while !name.is_char_boundary(end) {
        end -= 1;
    }
    name.get(..end).unwrap_or("")
}

fn status(code: u16) -> StatusCode {
    StatusCode::from_u16(code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
}

/// RFC 9209 section 2.3.
fn proxy_status(reason: Reason) -> String {
    let error = match reason {
        Reason::UpstreamDns => "dns_error",
        Reason::UpstreamAddress => "destination_ip_prohibited",
        Reason::UpstreamRefused => "connection_refused",
        Reason::UpstreamCertificate => "tls_certificate_error",
        Reason::UpstreamTls => "tls_protocol_error",
        Reason::UpstreamProtocol | Reason::ResponseRefused => "http_protocol_error",
        Reason::UpstreamClosed => "connection_terminated",
        Reason::UpstreamTimeout => "connection_timeout",
        Reason::UpstreamProxy => "destination_unavailable",
        Reason::Overloaded => "connection_limit_reached",
        Reason::CredentialUnavailable | Reason::AuditUnavailable | Reason::Draining | Reason::Internal => {
            "proxy_internal_error"
        }
        _ => match reason.class() {
            Class::Malformed | Class::TargetTooLong | Class::HeaderTooLarge | Class::Timeout => "http_request_error",
            _ => "http_request_denied",
        },
    };
    format!("ensage; error={error}; details=\"{}\"", reason.code())
}

fn retry_after(answer: &mut Response<ReplyBody>, reason: Reason) {
    if matches!(reason.class(), Class::Unavailable | Class::Rate) {
        answer.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("5"));
    }
}

fn build(code: StatusCode, kind: &'static str, how: &str, id: Uuid, body: Bytes) -> Response<ReplyBody> {
    let length = body.len();
    let mut answer = Response::new(ReplyBody::whole(body, Exact::Told));
    *answer.status_mut() = code;
    let headers = answer.headers_mut();
    headers.insert(header::DATE, super::record::http_date());
    if !kind.is_empty() {
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    }
    headers.insert(header::CONTENT_LENGTH, HeaderValue::from(length));
    headers.insert("ensage-decision", text(&id.to_string()));
    headers.insert("proxy-status", text(how));
    answer
}

fn text(value: &str) -> HeaderValue {
    HeaderValue::from_str(value).unwrap_or_else(|_| HeaderValue::from_static("-"))
}

#[cfg(test)]
mod tests;
