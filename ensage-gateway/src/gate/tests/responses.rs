//! One table per rule for what upstreams send.

use super::*;

fn check(input: &str, asked: &[Asked], expected: Option<&str>) {
    let expected = expected.map(|detail| (Kind::Upstream, detail));
    assert_verdict(input, |pieces| responses(input.as_bytes(), SMALL, asked, pieces), expected);
}

fn good(input: &str, heads: u64) {
    check(input, &[Asked::Other], None);
    let outcome = responses(input.as_bytes(), SMALL, &[Asked::Other], &[usize::MAX]);
    assert_eq!((outcome.heads, outcome.idle), (heads, true), "{input:?}");
}

fn bad(input: &str, detail: &str) {
    check(input, &[Asked::Other], Some(detail));
}

const EMPTY: &str = "content-length: 0\r\n\r\n";

#[test]
fn status_lines() {
    let (version, status) = ("neither HTTP/1.1 nor HTTP/1.0", "the status is not a number from 100 to 999");
    for (line, detail) in [
        ("HTTP/1.1 200 OK", None),
        ("HTTP/1.0 404 Not\tFound\u{e9}", None),
        ("HTTP/1.1 999 ", None),
        ("HTTP/1.1 200", None),
        ("HTTP/1.2 200 OK", Some(version)),
        ("HTTP/2 200", Some(version)),
        ("http/1.1 200 OK", Some(version)),
        ("ICY 200 OK", Some(version)),
        ("\r\nHTTP/1.1 200 OK", Some(version)),
        ("HTTP/1.1  200 OK", Some(status)),
        ("HTTP/1.1 20 OK", Some(status)),
        ("HTTP/1.1 099 OK", Some(status)),
        ("HTTP/1.1 2000 OK", Some("a byte behind the status")),
        ("HTTP/1.1\t200 OK", Some("no space between version and status")),
        ("HTTP/1.1 200\tOK", Some("a byte behind the status")),
        ("HTTP/1.1 200 O\0K", Some("a control byte in the reason phrase")),
        ("HTTP/1.1 200 OK\nx: y", Some("a line feed without a carriage return")),
        ("HTTP/1.1 200\nx: y", Some("a byte behind the status")),
        ("HTTP/1.1 200 OK\rx", Some("a carriage return without a line feed")),
    ] {
        let input = format!("{line}\r\n{EMPTY}");
        match detail {
            None => good(&input, 1),
            Some(detail) => bad(&input, detail),
        }
    }
}

#[test]
fn framing_is_as_strict_as_a_clients() {
    let head = "HTTP/1.1 200 OK\r\n";
    good(&format!("{head}content-length: 3\r\n\r\nabc{head}{EMPTY}"), 2);
    good(&format!("{head}Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n{head}{EMPTY}"), 2);
    for (fields, detail) in [
        ("content-length: 3\r\ntransfer-encoding: chunked\r\n", "transfer-encoding beside content-length"),
        ("transfer-encoding: chunked\r\ncontent-length: 3\r\n", "content-length beside transfer-encoding"),
        ("content-length: 3\r\ncontent-length: 3\r\n", "more than one content-length field"),
        ("content-length: 3, 3\r\n", "content-length is not one plain number"),
        ("transfer-encoding: gzip, chunked\r\n", "transfer-encoding is not chunked alone"),
        ("transfer_encoding: chunked\r\n", "an underscore in the name of a framing field"),
        ("a: b\r\n c\r\n", "a line that begins with white space"),
        ("a : b\r\n", "white space before the colon of a field"),
        ("a:\r\nb:\r\nc:\r\nd:\r\ne:\r\n", "too many field lines"),
    ] {
        bad(&format!("{head}{fields}\r\n"), detail);
    }
    bad(&format!("{head}a: {}\r\n\r\n", "b".repeat(200)), "the head is too long");
    bad("HTTP/1.0 200 OK\r\ntransfer-encoding: chunked\r\n\r\n", "transfer-encoding in an HTTP/1.0 message");
    bad(&format!("{head}transfer-encoding: chunked\r\n\r\n1;x\r\n"), "a chunk extension");
}

#[test]
fn trailers_are_left_to_the_exchange() {
    let chunked = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n0\r\n";
    good(&format!("{chunked}grpc-status: 0\r\nset-cookie: a\r\ncontent-length: 5\r\n\r\n"), 1);
    bad(&format!("{chunked}a\r\n\r\n"), "a field line without a colon");
    for (name, passes) in [
        ("grpc-status", true),
        ("x-sum", true),
        ("content-length", false),
        ("content_length", false),
        ("set-cookie", false),
        ("alt-svc", false),
        ("host", false),
    ] {
        assert_eq!(crate::gate::trailer_passes(&http::HeaderName::from_static(name)), passes, "{name}");
    }
}

#[test]
fn without_framing_the_content_ends_with_the_stream() {
    let input = "HTTP/1.1 200 OK\r\n\r\nHTTP/1.1 200 \n\0\r\n\r\n";
    check(input, &[Asked::Other], None);
    let outcome = responses(input.as_bytes(), SMALL, &[Asked::Other], &[usize::MAX]);
    assert_eq!((outcome.heads, outcome.idle), (1, false));
}

#[test]
fn some_answers_have_no_content() {
    let next = format!("HTTP/1.1 200 OK\r\n{EMPTY}");
    for (head, asked) in [
        ("HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n", Asked::Head),
        ("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n", Asked::Head),
        ("HTTP/1.1 404 No\r\n\r\n", Asked::Head),
        ("HTTP/1.1 304 Not Modified\r\ncontent-length: 9\r\n\r\n", Asked::Other),
        ("HTTP/1.1 204 None\r\n\r\n", Asked::Other),
        ("HTTP/1.1 204 None\r\ncontent-length: 0\r\n\r\n", Asked::Other),
    ] {
        let input = format!("{head}{next}");
        check(&input, &[asked, Asked::Other], None);
        let outcome = responses(input.as_bytes(), SMALL, &[asked, Asked::Other], &[usize::MAX]);
        assert_eq!((outcome.heads, outcome.idle), (2, true), "{input:?}");
    }
    for status in ["204", "100"] {
        for fields in ["content-length: 1\r\n", "transfer-encoding: chunked\r\n"] {
            bad(&format!("HTTP/1.1 {status} x\r\n{fields}\r\n"), "content announced by a status that has none");
        }
    }
}

#[test]
fn interim_answers_are_counted() {
    let (interim, last) = ("HTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\n", format!("HTTP/1.1 200 OK\r\n{EMPTY}"));
    let sixteen = interim.repeat(16);
    good(&format!("{sixteen}{last}{sixteen}{last}"), 2);
    bad(&format!("{sixteen}{interim}{last}"), "too many interim answers");
}

#[test]
fn b6_a_101_that_nobody_asked_for_is_refused() {
    let switch = "HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: upgrade\r\n\r\n";
    for asked in [Asked::Other, Asked::Head, Asked::Connect] {
        check(switch, &[asked], Some("a change of protocol that nobody asked for"));
    }
    check(&format!("{switch}\x01\x02\n"), &[Asked::Upgrade], None);
    check("HTTP/1.1 200 OK\r\n\r\n\x16\x03\n", &[Asked::Connect], None);
    let refused = format!("HTTP/1.1 403 No\r\n{EMPTY}");
    check(&format!("{refused}x"), &[Asked::Connect, Asked::Other], Some("neither HTTP/1.1 nor HTTP/1.0"));
}

#[test]
fn an_answer_needs_a_question() {
    let unasked = "an answer that nobody asked for";
    check("HTTP/1.1 408 Timeout\r\n\r\n", &[], Some(unasked));
    let mut inspector = Inspector::responses(SMALL);
    inspector.expect(Asked::Other);
    let answer = format!("HTTP/1.1 200 OK\r\n{EMPTY}");
    let seen = inspector.feed(format!("{answer}HTTP/1.1 200 OK\r\n\r\n").as_bytes());
    assert_eq!(seen.shown, answer.len(), "the first answer is whole");
    assert_eq!(inspector.violation().unwrap().detail, unasked);
}

#[test]
fn what_speaks_against_a_whole_head_has_one_place() {
    let unasked = b"HTTP/1.1 101 204 No Content\r\n\r\n";
    let whole = responses(unasked, SMALL, &[Asked::Other], &[usize::MAX]);
    let bytes = responses(unasked, SMALL, &[Asked::Other], &[1]);
    assert_eq!(whole.violation, bytes.violation);
    assert_eq!(whole.violation.map(|v| v.offset), Some(unasked.len() as u64 - 1));
}
