//! Heads as they are sent: what the `h2` crate would reset or clean is answered, recorded, and goes nowhere.

use ensage_tests::until;
use ensage_tests::wire::{CONTINUATION, DATA, END_HEADERS, END_STREAM, HEADERS, PADDED, PRIORITY, block, frame, head};
use serde_json::Value;

use super::super::lab::{Keyed, reasons};
use super::{echo_h1, wire};

pub(super) const PROTOCOL_ERROR: u32 = 1;
pub(super) const ENHANCE_YOUR_CALM: u32 = 11;

pub(super) type Lines = Vec<(&'static str, &'static str)>;

pub(super) fn good() -> Lines {
    head("GET", "other.test", "/a")
}

/// A good head and these lines behind it.
fn with(more: &[(&'static str, &'static str)]) -> Lines {
    [good(), more.to_vec()].concat()
}

/// A good head whose line of this name says something else.
pub(super) fn instead(name: &str, value: &'static str) -> Lines {
    good().into_iter().map(|line| if line.0 == name { (line.0, value) } else { line }).collect()
}

fn without(name: &str) -> Lines {
    good().into_iter().filter(|line| line.0 != name).collect()
}

pub(super) fn deny(lab: &Keyed) -> Vec<Value> {
    lab.rig.calls().into_iter().filter(|call| call["decision"] == "deny").collect()
}

/// Each is answered on its stream and recorded once, nothing of it goes out, and its connection lives (row B9).
fn refused(rows: &[(Lines, &str, Option<&str>)]) {
    let (origin, lab) = echo_h1();
    let mut wire = wire(&lab);
    for (n, (lines, reason, path)) in rows.iter().enumerate() {
        let stream = u32::try_from(2 * n + 1).unwrap();
        let answer = wire.ask(stream, lines);
        assert_eq!(answer.refusal(), (400, (*reason).to_owned()), "{lines:?}");
        let call = deny(&lab).pop().unwrap();
        assert_eq!((&call["reason"], call["url"]["path"].as_str()), (&Value::from(*reason), *path), "{lines:?}");
        let method = lines.iter().find(|line| line.0 == ":method" && !["", "G T"].contains(&line.1)).map(|line| line.1);
        assert_eq!(call["http"]["request"]["method"].as_str(), method, "{lines:?}");
        assert_eq!((&call["session"]["agent"], &call["server"]["address"]), (&"raw".into(), &"other.test".into()));
        assert_eq!(call["network"]["protocol"]["version"], "2");
        assert_eq!(call["http"]["response"]["status_code"], 400);
    }
    assert_eq!(deny(&lab).len(), rows.len());
    assert_eq!(origin.connections(), 0);
    let stream = u32::try_from(2 * rows.len() + 1).unwrap();
    assert_eq!(wire.ask(stream, &good()).text(), "GET /a HTTP/1.1");
}

#[test]
fn b9_a_pseudo_field_that_is_wrong_is_answered_and_recorded() {
    const MALFORMED: &str = "malformed_request";
    const AUTHORITY: &str = "malformed_authority";
    let late = [&[(":method", "GET"), (":scheme", "https"), ("x-a", "1")][..], &good()[2..]].concat();
    let protocol = [&[(":method", "CONNECT"), (":protocol", "websocket")][..], &good()[1..]].concat();
    let connect = vec![(":method", "CONNECT"), (":authority", "other.test:443")];
    refused(&[
        (instead(":path", "/a#b"), MALFORMED, Some("/a")),
        (instead(":path", "/a?b#c"), MALFORMED, Some("/a")),
        (instead(":path", "#"), MALFORMED, None),
        (instead(":path", ""), MALFORMED, None),
        (instead(":path", "a"), MALFORMED, Some("a")),
        (instead(":path", "?q"), MALFORMED, None),
        (instead(":path", "*"), MALFORMED, Some("*")),
        (instead(":path", "https://other.test/a"), MALFORMED, Some("https://other.test/a")),
        (instead(":path", "/a b"), MALFORMED, Some("/a b")),
        (instead(":path", "/a\u{e9}"), MALFORMED, Some("/a\u{e9}")),
        (instead(":path", "/a<b>"), MALFORMED, Some("/a<b>")),
        (instead(":path", "/\0"), MALFORMED, Some("/\0")),
        (instead(":scheme", "HTTPS"), MALFORMED, Some("/a")),
        (instead(":scheme", "http"), MALFORMED, Some("/a")),
        (instead(":scheme", ""), MALFORMED, Some("/a")),
        (instead(":method", "G T"), MALFORMED, Some("/a")),
        (instead(":method", ""), MALFORMED, Some("/a")),
        (instead(":authority", ""), AUTHORITY, Some("/a")),
        (instead(":authority", "other test"), AUTHORITY, Some("/a")),
        // Of a good form, and judged where HTTP/1 has it judged.
        (instead(":authority", "a@other.test"), AUTHORITY, None),
        (instead(":authority", "other.test/a"), AUTHORITY, Some("/a")),
        (without(":method"), MALFORMED, Some("/a")),
        (without(":scheme"), MALFORMED, Some("/a")),
        (without(":authority"), MALFORMED, Some("/a")),
        (without(":path"), MALFORMED, None),
        (with(&[(":path", "/a")]), MALFORMED, Some("/a")),
        (with(&[(":method", "GET")]), MALFORMED, Some("/a")),
        (with(&[(":scheme", "https")]), MALFORMED, Some("/a")),
        (with(&[(":authority", "other.test")]), MALFORMED, Some("/a")),
        (with(&[(":status", "200")]), MALFORMED, Some("/a")),
        (with(&[(":unknown", "1")]), MALFORMED, Some("/a")),
        (late, MALFORMED, Some("/a")),
        (protocol, MALFORMED, Some("/a")),
        (connect, MALFORMED, None),
    ]);
}

#[test]
fn b9_a_field_that_is_wrong_is_answered_and_recorded() {
    let rows: Vec<_> = [
        ("X-Upper", "1"),
        ("", "1"),
        ("x a", "1"),
        ("x:a", "1"),
        ("x\u{e9}", "1"),
        ("x\"a\"", "1"),
        ("content_length", "1"),
        ("transfer_encoding", "chunked"),
        ("connection", "close"),
        ("keep-alive", "1"),
        ("proxy-connection", "close"),
        ("transfer-encoding", "chunked"),
        ("upgrade", "websocket"),
        ("te", "gzip"),
        ("te", "trailers, gzip"),
        ("te", "Trailers"),
        ("x-a", " 1"),
        ("x-a", "1\t"),
        ("x-a", "1\r\nx-b: 2"),
        ("x-a", "1\n2"),
        ("x-a", "\0"),
        ("x-a", "\u{7f}"),
        ("content-length", "5"),
        ("content-length", "+0"),
        ("content-length", ""),
        ("content-length", "0, 0"),
        ("content-length", "99999999999999999999"),
    ]
    .into_iter()
    .map(|line| (with(&[line]), "malformed_request", Some("/a")))
    .chain([
        (with(&[("content-length", "0"), ("content-length", "0")]), "malformed_request", Some("/a")),
        (with(&[("host", "other.test"), ("host", "other.test")]), "malformed_request", Some("/a")),
    ])
    .collect();
    refused(&rows);
}

/// What a placeholder is in has no other way into the log than any path.
#[test]
fn a_path_that_is_none_shows_no_placeholder() {
    let (_origin, lab) = echo_h1();
    let path = format!("/{}#x", lab.placeholder);
    assert_eq!(wire(&lab).ask(1, &head("GET", "other.test", &path)).refusal().0, 400);
    assert!(deny(&lab)[0]["url"]["path"].as_str().is_some_and(|path| path.starts_with('/')));
    lab.assert_sealed();
}

#[test]
fn h9_what_is_too_large_is_answered_and_recorded() {
    let (origin, lab) = echo_h1();
    let mut wire = wire(&lab);
    let long = format!("/{}", "a".repeat(17 << 10));
    let many: Vec<_> = (0..129).map(|n| (format!("x-{n}"), "1".to_owned())).collect();
    let large: Vec<_> = (0..70).map(|n| (format!("x-{n}"), "a".repeat(1000))).collect();
    let huge: Vec<_> = (0..50).map(|n| (format!("x-{n}"), "a".repeat(10_000))).collect();
    let mut ask = |stream: u32, path: &str, more: &[(String, String)]| {
        let mut lines: Vec<_> = head("GET", "other.test", path);
        lines.extend(more.iter().map(|(name, value)| (name.as_str(), value.as_str())));
        let block = block(&lines);
        // In frames that any peer may send.
        let mut parts = block.chunks(16_384).peekable();
        let (mut kind, mut flags) = (HEADERS, END_STREAM);
        while let Some(part) = parts.next() {
            let last = if parts.peek().is_none() { END_HEADERS } else { 0 };
            wire.send(&frame(kind, flags | last, stream, part));
            (kind, flags) = (CONTINUATION, 0);
        }
    };
    ask(1, &long, &[]);
    ask(3, "/many", &many);
    ask(5, "/large", &large);
    assert_eq!(wire.answer(1).refusal(), (414, "target_too_long".to_owned()));
    assert_eq!(wire.answer(3).refusal(), (431, "header_too_large".to_owned()));
    assert_eq!(wire.answer(5).refusal(), (431, "header_too_large".to_owned()));
    assert_eq!(wire.ask(7, &good()).text(), "GET /a HTTP/1.1");
    // Beyond all bounds nothing is kept to answer it by: the connection ends, and the request is on record.
    let mut ask = |stream: u32, more: &[(String, String)]| {
        let mut lines: Vec<_> = head("GET", "other.test", "/huge");
        lines.extend(more.iter().map(|(name, value)| (name.as_str(), value.as_str())));
        let block = block(&lines);
        let mut parts = block.chunks(60_000);
        wire.send(&frame(HEADERS, END_STREAM, stream, parts.next().unwrap()));
        wire.send(&frame(CONTINUATION, 0, stream, parts.next().unwrap()));
        // Its head alone tells that it is too much; what nobody reads would take the last word along.
        wire.send(&frame(CONTINUATION, 0, stream, parts.next().unwrap())[..9]);
    };
    ask(9, &huge);
    assert_eq!(wire.end(), Some(ENHANCE_YOUR_CALM));
    assert_eq!(reasons(&lab.rig), ["target_too_long", "header_too_large", "header_too_large", "header_too_large"]);
    let paths: Vec<_> = deny(&lab).iter().map(|call| call["url"]["path"].clone()).collect();
    assert_eq!(paths[1..], ["/many", "/large", "/huge"]);
    assert_eq!(origin.requests(), 1);
}

/// Every head has its padding, its priority and its frames, whatever pieces they come in.
#[test]
fn heads_and_bodies_come_in_any_pieces() {
    let (origin, lab) = echo_h1();
    let known = block(&head("POST", "other.test", "/p"));
    let (a, b) = known.split_at(7);
    let padded = [&[3, 0x80, 0, 0, 0, 9][..], a, &[0; 3]].concat();
    let ask = |stream: u32| {
        [
            frame(HEADERS, PADDED | PRIORITY, stream, &padded),
            frame(CONTINUATION, 0, stream, &b[..5]),
            frame(CONTINUATION, END_HEADERS, stream, &b[5..]),
            frame(DATA, PADDED, stream, b"\x02hel\0\0"),
            frame(DATA, 0, stream, b"lo"),
            frame(HEADERS, END_HEADERS | END_STREAM, stream, &block(&[("x-sum", "5")])),
        ]
        .concat()
    };
    let mut pieces = wire(&lab);
    let bytes: Vec<u8> = [1, 3, 5].into_iter().flat_map(ask).collect();
    for piece in bytes.chunks(1) {
        pieces.send(piece);
    }
    let mut whole = wire(&lab);
    whole.send(&bytes);
    for stream in [1, 3, 5] {
        assert_eq!(pieces.answer(stream).text(), "POST /p HTTP/1.1");
        assert_eq!(whole.answer(stream).text(), "POST /p HTTP/1.1");
    }
    let got = origin.text();
    assert_eq!(got.matches("POST /p HTTP/1.1\r\n").count(), 6, "{got}");
    let content: String =
        got.lines().filter(|line| matches!(*line, "hel" | "lo" | "hello" | "h" | "e" | "l" | "o")).collect();
    assert_eq!((content, got.matches("x-sum: 5\r\n").count()), ("hello".repeat(6), 6), "{got}");
    assert!(deny(&lab).is_empty());
}

/// A body that is not what its head says, or ends in fields that it may not have, never becomes whole (row B9).
#[test]
fn b9_a_body_that_breaks_a_rule_is_one_record() {
    let (origin, lab) = echo_h1();
    let mut wire = wire(&lab);
    let head = |length: Option<&'static str>| {
        let mut lines = head("POST", "other.test", "/up");
        lines.extend(length.map(|length| ("content-length", length)));
        lines
    };
    let ends = |lines: &[(&str, &str)], flags: u8| (HEADERS, END_HEADERS | flags, block(lines));
    let rows = [
        ("more than its length", Some("3"), vec![(DATA, END_STREAM, b"four".to_vec())]),
        ("less than its length", Some("5"), vec![(DATA, END_STREAM, b"four".to_vec())]),
        ("nothing of its length", Some("5"), vec![(DATA, END_STREAM, Vec::new())]),
        ("fields before its length", Some("5"), vec![(DATA, 0, b"four".to_vec()), ends(&[("x-a", "1")], END_STREAM)]),
        ("a pseudo-field behind it", None, vec![(DATA, 0, b"x".to_vec()), ends(&[(":path", "/b")], END_STREAM)]),
        ("upper case behind it", None, vec![(DATA, 0, b"x".to_vec()), ends(&[("X-A", "1")], END_STREAM)]),
        (
            "a field of one connection behind it",
            None,
            vec![(DATA, 0, b"x".to_vec()), ends(&[("upgrade", "a")], END_STREAM)],
        ),
        ("a control byte behind it", None, vec![(DATA, 0, b"x".to_vec()), ends(&[("x-a", "1\n2")], END_STREAM)]),
    ];
    for (n, (what, length, frames)) in rows.iter().enumerate() {
        let stream = u32::try_from(2 * n + 1).unwrap();
        wire.send(&frame(HEADERS, END_HEADERS, stream, &block(&head(*length))));
        for (kind, flags, payload) in frames {
            wire.send(&frame(*kind, *flags, stream, payload));
        }
        assert_eq!(wire.answer(stream).refusal(), (400, "malformed_request".to_owned()), "{what}");
        let refused = deny(&lab);
        assert_eq!((refused.len(), &refused[n]["url"]["path"]), (n + 1, &"/up".into()), "{what}");
    }
    // Fields that end nothing: the stream cannot go on.
    let stream = u32::try_from(2 * rows.len() + 1).unwrap();
    wire.send(&frame(HEADERS, END_HEADERS, stream, &block(&head(None))));
    wire.send(&frame(DATA, 0, stream, b"x"));
    wire.send(&frame(HEADERS, END_HEADERS, stream, &block(&[("x-a", "1")])));
    assert_eq!(wire.answer(stream).reset, Some(PROTOCOL_ERROR));
    until("the record", || (deny(&lab).len() == rows.len() + 1).then_some(()));
    assert_eq!(lab.rig.calls().len(), rows.len() + 1);
    assert_eq!(wire.ask(stream + 2, &good()).text(), "GET /a HTTP/1.1");
    let got = origin.text();
    assert!(!got.contains("0\r\n\r\n") && !got.contains("four"), "{got}");
}
