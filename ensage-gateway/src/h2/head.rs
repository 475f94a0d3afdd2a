//! Heads of HTTP/2, held to what the gate demands of HTTP/1 and put into the form that the exchange reads.

use http::header::{CONNECTION, CONTENT_LENGTH, HOST, HeaderName, TE, TRANSFER_ENCODING, UPGRADE};
use http::{HeaderMap, HeaderValue, Uri, request, response};

use crate::gate::{self, Kind, is_field_name, is_framing_twin};

/// Why a head is no request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Fault {
    /// What kind of fault.
    pub(crate) kind: Kind,
    /// The rule that was broken, in words without anything that the client sent.
    pub(crate) detail: &'static str,
}

const fn malformed(detail: &'static str) -> Fault {
    Fault { kind: Kind::Malformed, detail }
}

/// Fields of one connection, which HTTP/2 has no place for (RFC 9113 section 8.2.2).
pub(super) const HOPS: [HeaderName; 5] = [
    CONNECTION,
    TRANSFER_ENCODING,
    UPGRADE,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
];

fn is_too_large(headers: &HeaderMap, limits: &gate::Limits) -> bool {
    let line = |(name, value): (&HeaderName, &HeaderValue)| (name.as_str().len() + value.len() + 4) as u64;
    headers.len() as u64 > limits.head_lines_max || headers.iter().map(line).sum::<u64>() > limits.head_bytes_max
}

/// What RFC 9113 section 8.2.1 and the gate forbid, and the `h2` crate lets through.
fn fields(headers: &HeaderMap) -> Result<(), Fault> {
    for (name, value) in headers {
        // The `http` crate takes more for a name than HTTP/1 does.
        if !is_field_name(name.as_str()) {
            return Err(malformed("a field name that is no token"));
        }
        if is_framing_twin(name.as_str()) {
            return Err(malformed("a field that some servers read as a framing field"));
        }
        let edge = |byte: Option<&u8>| matches!(byte, Some(b' ' | b'\t'));
        if edge(value.as_bytes().first()) || edge(value.as_bytes().last()) {
            return Err(malformed("a field value with white space around it"));
        }
    }
    if HOPS.iter().any(|hop| headers.contains_key(hop)) {
        return Err(malformed("a field of one connection"));
    }
    Ok(())
}

/// Larger lengths overflow the signed numbers of other parsers; the gate refuses them too.
const LENGTH_MAX: u64 = i64::MAX as u64;

/// A length as it is told: digits, and no sign, space or second number beside them.
pub(super) fn number(digits: &[u8]) -> Option<u64> {
    let text = std::str::from_utf8(digits).ok().filter(|_| digits.iter().all(u8::is_ascii_digit))?;
    text.parse().ok().filter(|length| *length <= LENGTH_MAX)
}

/// The body's length, if it is told; it is one number.
fn length(headers: &HeaderMap) -> Result<Option<u64>, Fault> {
    let mut values = headers.get_all(CONTENT_LENGTH).iter();
    let Some(first) = values.next() else { return Ok(None) };
    if values.next().is_some() {
        return Err(malformed("several Content-Length fields"));
    }
    number(first.as_bytes()).map(Some).ok_or(malformed("a Content-Length that is no number"))
}

/// How long the body of an answer is whose head passed.
pub(super) fn told(headers: &HeaderMap) -> Option<u64> {
    length(headers).ok().flatten()
}

/// Takes out of an answer's head what HTTP/2 has no place for.
pub(super) fn answered(head: &mut response::Parts) {
    for hop in &HOPS {
        head.headers.remove(hop);
    }
    head.version = http::Version::HTTP_2;
}

/// Checks the head of an upstream's answer.
///
/// # Errors
/// The rule that it breaks.
pub(super) fn response(head: &response::Parts, limits: &gate::Limits) -> Result<(), &'static str> {
    if is_too_large(&head.headers, limits) {
        return Err("the answer's head has too many bytes or fields");
    }
    fields(&head.headers).and_then(|()| length(&head.headers)).map(drop).map_err(|fault| fault.detail)
}

/// Makes the request of an exchange, in origin-form, one of HTTP/2. `te` where the client takes trailers.
pub(super) fn outgoing(head: &mut request::Parts, te: bool) -> Option<()> {
    let host = head.headers.remove(HOST)?;
    let mut uri = std::mem::take(&mut head.uri).into_parts();
    uri.scheme = Some(http::uri::Scheme::HTTPS);
    uri.authority = Some(http::uri::Authority::try_from(host.as_bytes()).ok()?);
    head.uri = Uri::from_parts(uri).ok()?;
    head.version = http::Version::HTTP_2;
    for hop in &HOPS {
        head.headers.remove(hop);
    }
    if te {
        head.headers.insert(TE, HeaderValue::from_static("trailers"));
    }
    Some(())
}
