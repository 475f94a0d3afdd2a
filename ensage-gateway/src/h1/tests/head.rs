//! Heads between bytes and the types of `http`.

use bytes::Bytes;
use http::{HeaderMap, Method, StatusCode, Uri, Version};
use proptest::prelude::*;

use crate::gate::{Inspector, Limits};
use crate::h1::chunk::Chunk;
use crate::h1::head::{self, Persistence, RequestHead, ResponseHead, write_request, write_response};
use crate::h1::line::Content;

const CHUNKED: Content = Content::Chunked(Chunk::Size);

fn request(head: impl AsRef<[u8]>) -> Option<RequestHead> {
    head::request(&Bytes::copy_from_slice(head.as_ref()))
}

fn response(head: impl AsRef<[u8]>, asked: &Method) -> Option<ResponseHead> {
    head::response(&Bytes::copy_from_slice(head.as_ref()), asked)
}

fn lines(fields: &HeaderMap) -> Vec<(&str, &[u8])> {
    fields.iter().map(|(name, value)| (name.as_str(), value.as_bytes())).collect()
}

#[test]
fn a_request_head_is_read_as_it_is() {
    let text = "PATCH /a?b=c HTTP/1.1\r\nHOST: a\r\nx-one:  two words\t\r\nx-none:\r\nx-old:a\u{e9}\r\n\r\n";
    let RequestHead { parts, content, persistence, expects } = request(text).unwrap();
    assert_eq!(
        (parts.method, parts.uri.to_string(), parts.version),
        (Method::PATCH, "/a?b=c".into(), Version::HTTP_11)
    );
    assert_eq!((content, persistence, expects), (Content::Done, Persistence::KeepAlive, false));
    let expected: [(&str, &[u8]); 4] =
        [("host", b"a"), ("x-one", b"two words"), ("x-none", b""), ("x-old", "a\u{e9}".as_bytes())];
    assert_eq!(lines(&parts.headers), expected);
}

#[test]
fn a_trailer_says_nothing_about_framing() {
    let section = Bytes::from_static(b"content-length: x\r\nx-sum: 1\r\n\r\n");
    assert_eq!(lines(&head::trailers(&section).unwrap()), [("content-length", b"x".as_slice()), ("x-sum", b"1")]);
    assert!(request("GET / HTTP/1.1\r\ncontent-length: x\r\n\r\n").is_none());
}

#[test]
fn every_form_of_target_is_read() {
    for (method, target) in [
        ("GET", "/"),
        ("GET", "/a%20b?c=d&e"),
        ("GET", "http://a.example:8080/x?y"),
        ("OPTIONS", "*"),
        ("CONNECT", "a.example:443"),
        ("CONNECT", "[::1]:443"),
        ("m-search", "/x"),
    ] {
        let head = request(format!("{method} {target} HTTP/1.1\r\n\r\n")).unwrap();
        assert_eq!((head.parts.method.as_str(), head.parts.uri.to_string().as_str()), (method, target));
    }
}

#[test]
fn what_is_no_request_head_is_none() {
    for bad in [
        "",
        "\r\n",
        "\r\n\r\n",
        "GET\r\n\r\n",
        "GET /\r\n\r\n",
        "GET / HTTP/1.2\r\n\r\n",
        "GET / HTTP/2.0\r\n\r\n",
        "GET / http/1.1\r\n\r\n",
        "GET / HTTP/1.1 \r\n\r\n",
        "GET  / HTTP/1.1\r\n\r\n",
        "GET  HTTP/1.1\r\n\r\n",
        " / HTTP/1.1\r\n\r\n",
        "G(T / HTTP/1.1\r\n\r\n",
        "GET /\u{1} HTTP/1.1\r\n\r\n",
        "GET / HTTP/1.1\n\n",
        "GET / HTTP/1.1\r\nhost: a\n\r\n",
        "GET / HTTP/1.1\r\nhost\r\n\r\n",
        "GET / HTTP/1.1\r\n: a\r\n\r\n",
        "GET / HTTP/1.1\r\nho st: a\r\n\r\n",
        "GET / HTTP/1.1\r\nhost: a\0\r\n\r\n",
        "GET / HTTP/1.1\r\n\r\nhost: a\r\n\r\n",
    ] {
        assert!(request(bad).is_none(), "{bad:?}");
    }
}

#[test]
fn no_part_of_a_head_is_a_head() {
    let (asking, answering) = ("GET / HTTP/1.1\r\nhost: a\r\nx: y\r\n\r\n", "HTTP/1.1 200 OK\r\nx: y\r\n\r\n");
    for end in 0..asking.len() {
        assert!(request(&asking[..end]).is_none(), "{:?}", &asking[..end]);
    }
    for end in 0..answering.len() {
        assert!(response(&answering[..end], &Method::GET).is_none(), "{:?}", &answering[..end]);
    }
}

#[test]
fn field_lines_beyond_any_small_number_are_kept_in_order() {
    let values: Vec<String> = (0..1000).map(|n| n.to_string()).collect();
    let mut text = String::from("GET / HTTP/1.1\r\n");
    for value in &values {
        text += &format!("x-same: {value}\r\nx-{value}: only\r\n");
    }
    let head = request(text + "\r\n").unwrap();
    assert_eq!(head.parts.headers.len(), 2000);
    assert!(head.parts.headers.get_all("x-same").iter().eq(values.iter().map(String::as_str)));
    assert!(values.iter().all(|value| head.parts.headers.contains_key(format!("x-{value}"))));
}

#[test]
fn a_requests_content_is_what_its_head_says() {
    for (fields, content) in [
        ("", Content::Done),
        ("content-length: 0\r\n", Content::Done),
        ("content-length: 00\r\n", Content::Done),
        ("content-length: 7\r\n", Content::Length(7)),
        ("Content-Length: 9223372036854775807\r\n", Content::Length(i64::MAX as u64)),
        ("Transfer-Encoding: Chunked\r\n", CHUNKED),
    ] {
        for method in ["GET", "POST", "HEAD"] {
            let head = request(format!("{method} / HTTP/1.1\r\n{fields}\r\n")).unwrap();
            assert_eq!(head.content, content, "{method} {fields:?}");
        }
    }
}

#[test]
fn only_a_client_with_content_can_wait_to_go_on() {
    for (version, fields, expects) in [
        ("1.1", "content-length: 1\r\nexpect: 100-continue\r\n", true),
        ("1.1", "transfer-encoding: chunked\r\nExpect: 100-Continue\r\n", true),
        ("1.0", "content-length: 1\r\nexpect: 100-continue\r\n", false),
        ("1.1", "content-length: 0\r\nexpect: 100-continue\r\n", false),
        ("1.1", "expect: 100-continue\r\n", false),
        ("1.1", "content-length: 1\r\nexpect: more\r\n", false),
        ("1.1", "content-length: 1\r\n", false),
    ] {
        let head = request(format!("POST / HTTP/{version}\r\n{fields}\r\n")).unwrap();
        assert_eq!(head.expects, expects, "{version} {fields:?}");
    }
}

#[test]
fn both_sides_say_whether_a_connection_stays() {
    use Persistence::{Close, KeepAlive};
    for (version, fields, expected) in [
        ("1.1", "", KeepAlive),
        ("1.1", "connection: keep-alive\r\n", KeepAlive),
        ("1.1", "Connection: Close\r\n", Close),
        ("1.1", "connection: te,\tclose\r\n", Close),
        ("1.1", "connection: keep-alive, close\r\n", Close),
        ("1.1", "connection: te\r\nconnection: close\r\n", Close),
        ("1.1", "connection: closed, not-close\r\n", KeepAlive),
        ("1.1", "x: close\r\n", KeepAlive),
        ("1.0", "", Close),
        ("1.0", "connection: te\r\n", Close),
        ("1.0", "connection: te, Keep-Alive\r\n", KeepAlive),
        ("1.0", "connection: keep-alive, close\r\n", Close),
    ] {
        let head = request(format!("GET / HTTP/{version}\r\n{fields}\r\n")).unwrap();
        assert_eq!(head.persistence, expected, "request {version} {fields:?}");
        let head = response(format!("HTTP/{version} 204\r\n{fields}\r\n"), &Method::GET).unwrap();
        assert_eq!(head.persistence, expected, "response {version} {fields:?}");
        let head = response(format!("HTTP/{version} 200\r\ncontent-length: 3\r\n{fields}\r\n"), &Method::GET).unwrap();
        assert_eq!(head.persistence, expected, "response with a length {version} {fields:?}");
        let head = response(format!("HTTP/{version} 200 OK\r\n{fields}\r\n"), &Method::GET).unwrap();
        assert_eq!((head.content, head.persistence), (Content::UntilClose, Close), "until close {version} {fields:?}");
    }
}

#[test]
fn an_answers_content_is_a_matter_of_status_and_method_first() {
    for (status, asked, fields, content) in [
        (200, Method::GET, "", Content::UntilClose),
        (200, Method::GET, "content-length: 0\r\n", Content::Done),
        (200, Method::GET, "content-length: 12\r\n", Content::Length(12)),
        (200, Method::GET, "transfer-encoding: chunked\r\n", CHUNKED),
        (404, Method::POST, "content-length: 12\r\n", Content::Length(12)),
        (205, Method::GET, "content-length: 12\r\n", Content::Length(12)),
        (200, Method::HEAD, "content-length: 12\r\n", Content::Done),
        (200, Method::HEAD, "transfer-encoding: chunked\r\n", Content::Done),
        (200, Method::HEAD, "", Content::Done),
        (204, Method::GET, "", Content::Done),
        (304, Method::GET, "content-length: 12\r\n", Content::Done),
        (304, Method::GET, "transfer-encoding: chunked\r\n", Content::Done),
        (100, Method::GET, "", Content::Done),
        (103, Method::GET, "link: x\r\n", Content::Done),
    ] {
        let head = response(format!("HTTP/1.1 {status} Why\r\n{fields}\r\n"), &asked).unwrap();
        assert_eq!((head.parts.status.as_u16(), head.content), (status, content), "{asked} {fields:?}");
    }
}

#[test]
fn a_status_line_may_have_any_reason_or_none() {
    for line in ["HTTP/1.1 299", "HTTP/1.1 299 ", "HTTP/1.0 299 \u{e9} or 200 OK"] {
        let head = response(format!("{line}\r\n\r\n"), &Method::GET).unwrap();
        assert_eq!(head.parts.status.as_u16(), 299, "{line:?}");
    }
    for bad in [
        "",
        "HTTP/1.1",
        "HTTP/1.1 ",
        "HTTP/1.1 20",
        "HTTP/1.1 099",
        "HTTP/1.1 2x0 OK",
        "HTTP/2.0 200",
        "GET / HTTP/1.1",
    ] {
        assert!(response(format!("{bad}\r\n\r\n"), &Method::GET).is_none(), "{bad:?}");
    }
}

#[test]
fn heads_are_written_as_they_are_read() {
    let text = "PUT /a?b HTTP/1.1\r\nhost: a\r\nx: 1\r\nx: 2\r\n\r\n";
    let mut parts = request(text).unwrap().parts;
    let mut out = Vec::new();
    write_request(&mut out, &parts.method, &parts.uri, &parts.headers);
    assert_eq!(String::from_utf8(out).unwrap() + "\r\n", text);

    // Only the origin form is written, whatever the client sent.
    parts.headers.clear();
    for (target, written) in
        [("http://a:80/x?y", "/x?y"), ("http://a", "/"), ("http://a?y", "/?y"), ("a:443", "/"), ("*", "*")]
    {
        let mut out = Vec::new();
        write_request(&mut out, &Method::GET, &Uri::try_from(target).unwrap(), &parts.headers);
        assert_eq!(String::from_utf8(out).unwrap(), format!("GET {written} HTTP/1.1\r\n"));
    }
    for (version, status, written) in [
        (Version::HTTP_11, 200, "HTTP/1.1 200 OK\r\n"),
        (Version::HTTP_10, 404, "HTTP/1.0 404 Not Found\r\n"),
        (Version::HTTP_11, 799, "HTTP/1.1 799 \r\n"),
    ] {
        let mut out = Vec::new();
        write_response(&mut out, version, StatusCode::from_u16(status).unwrap(), &parts.headers);
        assert_eq!(String::from_utf8(out).unwrap(), written);
    }
}

/// A head of an odd kind that the gate may or may not let through.
fn odd() -> impl Strategy<Value = Vec<u8>> {
    let start = proptest::sample::select(vec![
        "GET / HTTP/1.1",
        "get /a/b?c=d HTTP/1.0",
        "M-SEARCH * HTTP/1.1",
        "GET http://a/%2f^{}| HTTP/1.1",
        "POST //?/ HTTP/1.1",
    ]);
    let name =
        proptest::sample::select(vec!["a", "X-Y", "a_b", "!#$%&'*+-.^_`|~", "accept", "content-length", "connection"]);
    let value = prop_oneof![
        proptest::sample::select(vec!["", " 5", "\tb\t", " \"q\" ", "a:b:c", " close , x", "  "])
            .prop_map(|v| v.as_bytes().to_vec()),
        proptest::collection::vec(any::<u8>(), 0..30),
    ];
    let line = (name, value).prop_map(|(n, v)| [n.as_bytes(), b":", v.as_slice(), b"\r\n"].concat());
    (start, proptest::collection::vec(line, 0..6))
        .prop_map(|(start, lines)| [start.as_bytes(), b"\r\nHost: a\r\n", &lines.concat(), b"\r\n"].concat())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 3000, failure_persistence: None, ..ProptestConfig::default() })]

    /// Whatever the gate lets through can be read, and says what the gate has understood.
    #[test]
    fn what_the_gate_shows_is_read_as_it_stands(head in odd()) {
        let mut gate = Inspector::requests(Limits::default());
        let seen = gate.feed(&head);
        if seen.stop.is_none() && gate.heads() == 1 {
            let read = request(&head);
            prop_assert!(read.is_some(), "{:?}", String::from_utf8_lossy(&head));
            let RequestHead { parts, content, .. } = read.unwrap();
            prop_assert_eq!(gate.is_in_body(), content != Content::Done);
            let text = &head[head.iter().position(|b| *b == b'\n').unwrap() + 1..head.len() - 4];
            let said: Vec<&[u8]> = text.split(|b| *b == b'\n').collect();
            prop_assert_eq!(parts.headers.len(), said.len());
        }
    }
}
