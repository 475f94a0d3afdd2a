//! Heads between bytes and the types of `http`.

use std::sync::LazyLock;

use bytes::{BufMut, Bytes};
use http::header::{CONNECTION, CONTENT_LENGTH, EXPECT, TRANSFER_ENCODING};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri, Version, request, response};
use memchr::memmem::Finder;
use memchr::{memchr, memchr_iter};

use super::chunk::Chunk;
use super::line::Content;

/// The end of a head: the gate lets no bare line feed through.
pub(super) static HEAD_END: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new(b"\r\n\r\n"));

/// Whether the connection may serve another message after this one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Persistence {
    KeepAlive,
    Close,
}

/// A request's head.
pub(super) struct RequestHead {
    pub(super) parts: request::Parts,
    pub(super) content: Content,
    pub(super) persistence: Persistence,
    /// The client waits for `100 Continue` (RFC 9110 section 10.1.1).
    pub(super) expects: bool,
}

/// A response's head.
pub(super) struct ResponseHead {
    pub(super) parts: response::Parts,
    pub(super) content: Content,
    pub(super) persistence: Persistence,
}

/// Reads a whole request head; `None` for what is none.
pub(super) fn request(head: &Bytes) -> Option<RequestHead> {
    let (start, lines) = line(head)?;
    let mut words = start.split(|byte| *byte == b' ');
    let (method, target, version) = (words.next()?, words.next()?, words.next()?);
    if words.next().is_some() {
        return None;
    }
    let (mut parts, ()) = http::Request::new(()).into_parts();
    parts.method = Method::from_bytes(method).ok()?;
    parts.uri = Uri::from_maybe_shared(head.slice_ref(target)).ok()?;
    parts.version = self::version(version)?;
    let mut facts = Facts::default();
    parts.headers = fields(head, lines, |name, value| facts.note(name, value))?;
    let content = facts.framed.unwrap_or(Content::Done);
    let persistence = facts.persistence(parts.version);
    let expects = facts.expects && content != Content::Done && parts.version == Version::HTTP_11;
    Some(RequestHead { parts, content, persistence, expects })
}

/// Reads a whole response head, the answer to a request with this method; `None` for what is none.
pub(super) fn response(head: &Bytes, asked: &Method) -> Option<ResponseHead> {
    let (start, lines) = line(head)?;
    // `HTTP/1.1 200`, and a reason phrase that nobody needs.
    let (version, status) = start.split_at_checked(8)?;
    let (mut parts, ()) = http::Response::new(()).into_parts();
    parts.status = StatusCode::from_bytes(status.get(1..4)?).ok()?;
    parts.version = self::version(version)?;
    let mut facts = Facts::default();
    parts.headers = fields(head, lines, |name, value| facts.note(name, value))?;
    let content = match facts.framed {
        _ if is_bodyless(parts.status, asked) => Content::Done,
        Some(framed) => framed,
        None => Content::UntilClose,
    };
    let persistence = match content {
        Content::UntilClose => Persistence::Close,
        _ => facts.persistence(parts.version),
    };
    Some(ResponseHead { parts, content, persistence })
}

/// The fields of a trailer section with its empty line.
pub(super) fn trailers(section: &Bytes) -> Option<HeaderMap> {
    fields(section, section, |_, _| Some(()))
}

/// Whether a client waits to be told to send its body (RFC 9110 section 10.1.1).
pub(crate) fn expects_continue(fields: &HeaderMap) -> bool {
    fields.get(EXPECT).is_some_and(|value| is_continue(value.as_bytes()))
}

fn is_continue(value: &[u8]) -> bool {
    value.eq_ignore_ascii_case(b"100-continue")
}

/// Whether an answer has no content whatever its fields say (RFC 9112 section 6.3).
pub(crate) fn is_bodyless(status: StatusCode, asked: &Method) -> bool {
    *asked == Method::HEAD
        || status.is_informational()
        || matches!(status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED)
}

/// The first line without its end, and what follows.
fn line(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (line, rest) = bytes.split_at_checked(memchr(b'\n', bytes)?)?;
    Some((line.strip_suffix(b"\r")?, rest.get(1..)?))
}

fn version(text: &[u8]) -> Option<Version> {
    match text {
        b"HTTP/1.1" => Some(Version::HTTP_11),
        b"HTTP/1.0" => Some(Version::HTTP_10),
        _ => None,
    }
}

/// Whether a value of `Connection` has this option.
pub(super) fn lists(value: &[u8], option: &[u8]) -> bool {
    value.split(|byte| *byte == b',').any(|o| o.trim_ascii().eq_ignore_ascii_case(option))
}

/// What the fields say about their message.
#[derive(Default)]
struct Facts {
    /// How content is framed.
    framed: Option<Content>,
    close: bool,
    keep_alive: bool,
    /// `Expect: 100-continue`
    expects: bool,
}

impl Facts {
    fn note(&mut self, name: &HeaderName, value: &[u8]) -> Option<()> {
        if *name == TRANSFER_ENCODING {
            self.framed = Some(Content::Chunked(Chunk::Size));
        } else if *name == CONTENT_LENGTH {
            let length = std::str::from_utf8(value).ok()?.parse().ok()?;
            let content = if length == 0 { Content::Done } else { Content::Length(length) };
            self.framed = self.framed.or(Some(content));
        } else if *name == CONNECTION {
            self.close |= lists(value, b"close");
            self.keep_alive |= lists(value, b"keep-alive");
        } else if *name == EXPECT {
            self.expects |= is_continue(value);
        }
        Some(())
    }

    fn persistence(&self, version: Version) -> Persistence {
        let stays = version != Version::HTTP_10 || self.keep_alive;
        if stays && !self.close { Persistence::KeepAlive } else { Persistence::Close }
    }
}

/// The field lines up to the empty one, which ends them. Each is shown to `note`, which may refuse it.
fn fields(head: &Bytes, lines: &[u8], mut note: impl FnMut(&HeaderName, &[u8]) -> Option<()>) -> Option<HeaderMap> {
    let mut fields = HeaderMap::with_capacity(memchr_iter(b'\n', lines).count().saturating_sub(1));
    let mut rest = lines;
    loop {
        let (field, after) = line(rest)?;
        if field.is_empty() {
            return after.is_empty().then_some(fields);
        }
        let (name, value) = field.split_at_checked(memchr(b':', field)?)?;
        let name = HeaderName::from_bytes(name).ok()?;
        let value = value.get(1..)?.trim_ascii();
        note(&name, value)?;
        let value = HeaderValue::from_maybe_shared(head.slice_ref(value)).ok()?;
        fields.try_append(name, value).ok()?;
        rest = after;
    }
}

/// Writes `METHOD target HTTP/1.1` and the fields, without the empty line.
pub(super) fn write_request(out: &mut Vec<u8>, method: &Method, target: &Uri, fields: &HeaderMap) {
    out.put_slice(method.as_str().as_bytes());
    out.put_u8(b' ');
    let target = target.path_and_query().map_or("/", |t| t.as_str());
    // An absolute form may have a query and no path.
    if target.starts_with('?') {
        out.put_u8(b'/');
    }
    out.put_slice(target.as_bytes());
    out.put_slice(b" HTTP/1.1\r\n");
    write_fields(out, fields);
}

/// Writes the status line and the fields, without the empty line.
pub(crate) fn write_response(out: &mut Vec<u8>, version: Version, status: StatusCode, fields: &HeaderMap) {
    out.put_slice(if version == Version::HTTP_10 { b"HTTP/1.0 " } else { b"HTTP/1.1 " });
    out.put_slice(status.as_str().as_bytes());
    out.put_u8(b' ');
    out.put_slice(status.canonical_reason().unwrap_or_default().as_bytes());
    out.put_slice(b"\r\n");
    write_fields(out, fields);
}

/// Writes one field line each.
pub(super) fn write_fields(out: &mut Vec<u8>, fields: &HeaderMap) {
    for (name, value) in fields {
        write_field(out, name, value.as_bytes());
    }
}

/// Writes one field line.
pub(super) fn write_field(out: &mut Vec<u8>, name: &HeaderName, value: &[u8]) {
    out.put_slice(name.as_str().as_bytes());
    out.put_slice(b": ");
    out.put_slice(value);
    out.put_slice(b"\r\n");
}
