//! Heads between bytes and the types of `http`.

use std::mem::MaybeUninit;
use std::sync::LazyLock;

use bytes::{BufMut, Bytes, BytesMut};
use http::header::{CONNECTION, CONTENT_LENGTH, EXPECT, TRANSFER_ENCODING};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri, Version, request, response};
use httparse::Header;
use memchr::memmem::Finder;

use super::chunk::Chunk;
use super::line::Content;

/// The end of a head: the gate lets no bare line feed through.
pub(super) static HEAD_END: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new(b"\r\n\r\n"));

/// Field lines that are read without an allocation.
const LINES: usize = 128;

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
    with_lines(head, |lines| {
        let mut read = httparse::Request::new(&mut []);
        let done = read.parse_with_uninit_headers(head, lines);
        if !matches!(done.as_ref().map(httparse::Status::is_complete), Ok(true)) {
            return Err(done.err());
        }
        let made = || {
            let (mut parts, ()) = http::Request::new(()).into_parts();
            parts.method = Method::from_bytes(read.method?.as_bytes()).ok()?;
            parts.uri = Uri::from_maybe_shared(head.slice_ref(read.path?.as_bytes())).ok()?;
            parts.version = version(read.version?);
            parts.headers = fields(head, read.headers)?;
            let content = framed(&parts.headers).unwrap_or(Content::Done);
            let persistence = persistence(parts.version, &parts.headers);
            let expects = content != Content::Done
                && parts.version == Version::HTTP_11
                && parts.headers.get(EXPECT).is_some_and(|v| v.as_bytes().eq_ignore_ascii_case(b"100-continue"));
            Some(RequestHead { parts, content, persistence, expects })
        };
        Ok(made())
    })
}

/// Reads a whole response head, the answer to a request with this method; `None` for what is none.
pub(super) fn response(head: &Bytes, asked: &Method) -> Option<ResponseHead> {
    with_lines(head, |lines| {
        let mut read = httparse::Response::new(&mut []);
        let done = httparse::ParserConfig::default().parse_response_with_uninit_headers(&mut read, head, lines);
        if !matches!(done.as_ref().map(httparse::Status::is_complete), Ok(true)) {
            return Err(done.err());
        }
        let made = || {
            let (mut parts, ()) = http::Response::new(()).into_parts();
            parts.status = StatusCode::from_u16(read.code?).ok()?;
            parts.version = version(read.version?);
            parts.headers = fields(head, read.headers)?;
            let content = if is_bodyless(parts.status, asked) {
                Content::Done
            } else {
                framed(&parts.headers).unwrap_or(Content::UntilClose)
            };
            let persistence = match content {
                Content::UntilClose => Persistence::Close,
                _ => persistence(parts.version, &parts.headers),
            };
            Some(ResponseHead { parts, content, persistence })
        };
        Ok(made())
    })
}

/// The fields of a trailer section with its empty line.
pub(super) fn trailers(section: Bytes) -> Option<HeaderMap> {
    let mut lines = vec![httparse::EMPTY_HEADER; section.iter().filter(|byte| **byte == b'\n').count()];
    match httparse::parse_headers(&section, &mut lines) {
        Ok(httparse::Status::Complete((_, read))) => fields(&section, read),
        Ok(httparse::Status::Partial) | Err(_) => None,
    }
}

/// Whether an answer has no content whatever its fields say (RFC 9112 section 6.3).
pub(super) fn is_bodyless(status: StatusCode, asked: &Method) -> bool {
    *asked == Method::HEAD
        || status.is_informational()
        || matches!(status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED)
}

/// Parses with room for the usual number of field lines, and once more with room for all if there are more.
fn with_lines<'b, T>(
    head: &'b Bytes,
    parse: impl Fn(&mut [MaybeUninit<Header<'b>>]) -> Result<Option<T>, Option<httparse::Error>>,
) -> Option<T> {
    match parse(&mut [const { MaybeUninit::uninit() }; LINES]) {
        Err(Some(httparse::Error::TooManyHeaders)) => {
            let lines = head.iter().filter(|byte| **byte == b'\n').count();
            parse(&mut vec![MaybeUninit::uninit(); lines]).ok()?
        }
        read => read.ok()?,
    }
}

const fn version(minor: u8) -> Version {
    if minor == 0 { Version::HTTP_10 } else { Version::HTTP_11 }
}

fn fields(head: &Bytes, read: &[Header<'_>]) -> Option<HeaderMap> {
    let mut fields = HeaderMap::with_capacity(read.len());
    for line in read {
        let name = HeaderName::from_bytes(line.name.as_bytes()).ok()?;
        let value = HeaderValue::from_maybe_shared(head.slice_ref(line.value)).ok()?;
        fields.try_append(name, value).ok()?;
    }
    Some(fields)
}

/// How content is framed, where its head says it.
fn framed(fields: &HeaderMap) -> Option<Content> {
    if fields.contains_key(TRANSFER_ENCODING) {
        return Some(Content::Chunked(Chunk::Size));
    }
    let length: u64 = fields.get(CONTENT_LENGTH)?.to_str().ok()?.parse().ok()?;
    Some(if length == 0 { Content::Done } else { Content::Length(length) })
}

fn persistence(version: Version, fields: &HeaderMap) -> Persistence {
    let says = |option: &str| {
        let values = fields.get_all(CONNECTION).iter().filter_map(|v| v.to_str().ok());
        values.flat_map(|v| v.split(',')).any(|o| o.trim().eq_ignore_ascii_case(option))
    };
    let stays = if version == Version::HTTP_10 { says("keep-alive") } else { true };
    if stays && !says("close") { Persistence::KeepAlive } else { Persistence::Close }
}

/// Writes `METHOD target HTTP/1.1` and the fields, without the empty line.
pub(super) fn write_request(out: &mut BytesMut, method: &Method, target: &Uri, fields: &HeaderMap) {
    out.put_slice(method.as_str().as_bytes());
    out.put_u8(b' ');
    out.put_slice(target.path_and_query().map_or("/", |t| t.as_str()).as_bytes());
    out.put_slice(b" HTTP/1.1\r\n");
    write_fields(out, fields);
}

/// Writes the status line and the fields, without the empty line.
pub(super) fn write_response(out: &mut BytesMut, version: Version, status: StatusCode, fields: &HeaderMap) {
    out.put_slice(if version == Version::HTTP_10 { b"HTTP/1.0 " } else { b"HTTP/1.1 " });
    out.put_slice(status.as_str().as_bytes());
    out.put_u8(b' ');
    out.put_slice(status.canonical_reason().unwrap_or_default().as_bytes());
    out.put_slice(b"\r\n");
    write_fields(out, fields);
}

/// Writes one field line each.
pub(super) fn write_fields(out: &mut BytesMut, fields: &HeaderMap) {
    for (name, value) in fields {
        write_field(out, name, value.as_bytes());
    }
}

/// Writes one field line.
pub(super) fn write_field(out: &mut BytesMut, name: &HeaderName, value: &[u8]) {
    out.put_slice(name.as_str().as_bytes());
    out.put_slice(b": ");
    out.put_slice(value);
    out.put_slice(b"\r\n");
}
