//! Heads of HTTP/2, beside what the gate of HTTP/1 says of them.

use bytes::Bytes;
use http::{HeaderName, HeaderValue, Method, Uri, Version, request};

use crate::gate::{Inspector, Limits};
use crate::h2_head;

/// A request's head as the `h2` crate would hand it over: `METHOD PATH AUTHORITY`, then `name: value` lines. `None` for
/// what that crate would not.
pub fn head(text: &[u8]) -> Option<request::Parts> {
    let mut lines = text.split(|byte| *byte == b'\n');
    let mut words = lines.next()?.splitn(3, |byte| *byte == b' ');
    let (method, path, authority) = (words.next()?, words.next()?, words.next()?);
    let mut parts = http::Request::new(()).into_parts().0;
    parts.version = Version::HTTP_2;
    parts.method = Method::from_bytes(method).ok()?;
    let mut uri = http::uri::Parts::default();
    uri.scheme = Some(http::uri::Scheme::HTTPS);
    uri.authority = Some(authority.try_into().ok()?);
    uri.path_and_query = Some(http::uri::PathAndQuery::from_maybe_shared(Bytes::copy_from_slice(path)).ok()?);
    parts.uri = Uri::from_parts(uri).ok()?;
    for line in lines {
        let colon = line.iter().position(|byte| *byte == b':')?;
        let (name, value) = (line.get(..colon)?, line.get(colon + 1..)?);
        parts.headers.append(HeaderName::from_lowercase(name).ok()?, HeaderValue::from_bytes(value).ok()?);
    }
    Some(parts)
}

/// What becomes of it: the same head in lines of HTTP/1, its own Host alone. `None` where it is refused.
pub fn accepted(mut parts: request::Parts, limits: &Limits, ends: bool) -> Option<Vec<u8>> {
    h2_head::request(&mut parts, limits, ends).ok()?;
    let path = parts.uri.path_and_query().map_or("", |path| path.as_str());
    let mut text = format!("{} {path} HTTP/1.1\r\n", parts.method).into_bytes();
    let mut host = false;
    for (name, value) in &parts.headers {
        // Whoever compares authorities sees both, and one goes on.
        if name == "host" && std::mem::replace(&mut host, true) {
            continue;
        }
        text.extend_from_slice(name.as_str().as_bytes());
        text.extend_from_slice(b": ");
        text.extend_from_slice(value.as_bytes());
        text.extend_from_slice(b"\r\n");
    }
    assert!(host, "no Host");
    if !ends && !parts.headers.contains_key("content-length") {
        text.extend_from_slice(b"transfer-encoding: chunked\r\n");
    }
    text.extend_from_slice(b"\r\n");
    Some(text)
}

/// Whether the gate lets this head through, whole.
pub fn passes(head: &[u8], limits: Limits) -> bool {
    let mut gate = Inspector::requests(limits);
    let seen = gate.feed(head);
    gate.violation().is_none() && gate.heads() == 1 && seen.shown == head.len()
}
