//! Heads of HTTP/2, held to what the gate demands of HTTP/1 and put into the form that the exchange reads.

use bytes::{BufMut, BytesMut};
use http::header::{CONNECTION, CONTENT_LENGTH, COOKIE, HOST, HeaderName, TE, TRANSFER_ENCODING, UPGRADE};
use http::{HeaderMap, HeaderValue, Method, Uri, request, response};

use crate::gate::{self, Kind, is_field_name, is_framing_twin, origin_form};

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
const HOPS: [HeaderName; 5] = [
    CONNECTION,
    TRANSFER_ENCODING,
    UPGRADE,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
];

/// Brings a request's head into origin-form: what `:authority` says stands in `host` then, beside another `host` if
/// there is one, so that whoever compares authorities sees both. `ends` where no body follows.
///
/// # Errors
/// The first rule that it breaks; the head is left as far as it was brought.
pub(super) fn request(head: &mut request::Parts, limits: &gate::Limits, ends: bool) -> Result<(), Fault> {
    measure(head, limits)?;
    if head.method == Method::CONNECT {
        return Err(malformed("a CONNECT inside a tunnel"));
    }
    if head.uri.scheme_str() != Some("https") {
        return Err(malformed("another scheme than that of the connection"));
    }
    fields(&head.headers)?;
    length(&head.headers, ends)?;
    let parts = std::mem::take(&mut head.uri).into_parts();
    let path = parts.path_and_query.ok_or(malformed("no path"))?;
    origin_form(path.as_str().as_bytes(), limits.target_bytes_max).map_err(|(kind, detail)| Fault { kind, detail })?;
    head.uri = Uri::from(path);
    if head.headers.get_all(HOST).iter().nth(1).is_some() {
        return Err(malformed("several Host fields"));
    }
    match (parts.authority, head.headers.get(HOST)) {
        (None, None) => return Err(malformed("no authority")),
        (Some(authority), said) => {
            if said.is_none_or(|said| said.as_bytes() != authority.as_str().as_bytes()) {
                let value = HeaderValue::try_from(authority.as_str());
                head.headers.append(HOST, value.map_err(|_| malformed("an authority that is none"))?);
            }
        }
        (None, Some(_)) => {}
    }
    join_cookies(&mut head.headers);
    Ok(())
}

/// The bounds of `[limits]`, counted as the lines of HTTP/1 would be.
fn measure(head: &request::Parts, limits: &gate::Limits) -> Result<(), Fault> {
    let target = head.uri.path_and_query().map_or(0, |path| path.as_str().len()) as u64;
    if target > limits.target_bytes_max {
        return Err(Fault { kind: Kind::TargetTooLong, detail: "the request target is too long" });
    }
    if is_too_large(&head.headers, limits, target) {
        return Err(Fault { kind: Kind::HeaderTooLarge, detail: "the head has too many bytes or fields" });
    }
    Ok(())
}

fn is_too_large(headers: &HeaderMap, limits: &gate::Limits, more: u64) -> bool {
    let line = |(name, value): (&HeaderName, &HeaderValue)| (name.as_str().len() + value.len() + 4) as u64;
    headers.len() as u64 > limits.head_lines_max
        || headers.iter().map(line).sum::<u64>().saturating_add(more) > limits.head_bytes_max
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

/// The body's length, if it is told; it is one number, and none where no body follows.
fn length(headers: &HeaderMap, ends: bool) -> Result<Option<u64>, Fault> {
    let mut values = headers.get_all(CONTENT_LENGTH).iter();
    let Some(first) = values.next() else { return Ok(None) };
    if values.next().is_some() {
        return Err(malformed("several Content-Length fields"));
    }
    let digits = first.as_bytes();
    let length = std::str::from_utf8(digits).ok().filter(|_| digits.iter().all(u8::is_ascii_digit));
    let length: u64 = length
        .and_then(|digits| digits.parse().ok())
        .filter(|length| *length <= LENGTH_MAX)
        .ok_or(malformed("a Content-Length that is no number"))?;
    if ends && length > 0 {
        return Err(malformed("a Content-Length without a body"));
    }
    Ok(Some(length))
}

/// How long the body is that follows a head which passed.
pub(super) fn told(headers: &HeaderMap) -> Option<u64> {
    length(headers, false).ok().flatten()
}

/// Cookies may come in pieces, which nobody but HTTP/2 knows (RFC 9113 section 8.2.3).
fn join_cookies(headers: &mut HeaderMap) {
    let mut all = headers.get_all(COOKIE).iter();
    let (Some(first), Some(second)) = (all.next(), all.next()) else { return };
    let mut joined = BytesMut::from(first.as_bytes());
    for next in std::iter::once(second).chain(all) {
        joined.put_slice(b"; ");
        joined.put_slice(next.as_bytes());
    }
    if let Ok(value) = HeaderValue::from_maybe_shared(joined.freeze()) {
        headers.insert(COOKIE, value);
    }
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
    if is_too_large(&head.headers, limits, 0) {
        return Err("the answer's head has too many bytes or fields");
    }
    fields(&head.headers).and_then(|()| length(&head.headers, false)).map(drop).map_err(|fault| fault.detail)
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
