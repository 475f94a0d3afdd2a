//! One table per rule for what clients send.

use super::*;

const HOST: &str = "Host: a\r\n";

fn check(input: &str, expected: Option<(Kind, &str)>) {
    assert_verdict(input, |pieces| requests(input.as_bytes(), SMALL, pieces), expected);
}

fn good(input: &str, heads: u64) {
    check(input, None);
    let outcome = requests(input.as_bytes(), SMALL, &[usize::MAX]);
    assert_eq!((outcome.heads, outcome.idle), (heads, true), "{input:?}");
}

fn bad(input: &str, detail: &str) {
    check(input, Some((Kind::Malformed, detail)));
}

/// A row that is a request with these lines behind its request line and host.
fn with(lines: &str) -> String {
    format!("POST / HTTP/1.1\r\n{HOST}{lines}\r\n")
}

#[test]
fn request_lines() {
    let (method, target, version) = (
        "a byte that may not stand in a method",
        "a byte that may not stand in a request target",
        "neither HTTP/1.1 nor HTTP/1.0",
    );
    let form = "a request target in no known form";
    for (line, detail) in [
        ("GET / HTTP/1.1", None),
        ("get / HTTP/1.0", None),
        ("M-SEARCH * HTTP/1.1", None),
        ("GET /a?b/?c=^`|{}~ HTTP/1.1", None),
        ("GET /{\"|^} HTTP/1.1", None),
        ("GET http://a:80/b?c HTTP/1.1", None),
        ("GET https://a HTTP/1.1", None),
        ("CONNECT a:443 HTTP/1.1", None),
        ("CONNECT [::1]:443 HTTP/1.1", None),
        (" GET / HTTP/1.1", Some(method)),
        ("GET\t/ HTTP/1.1", Some(method)),
        ("G(T / HTTP/1.1", Some(method)),
        ("GET  / HTTP/1.1", Some("no request target")),
        ("GET /  HTTP/1.1", Some(version)),
        ("GET /\tHTTP/1.1", Some(target)),
        ("GET / HTTP/1.1 ", Some("a byte behind the version")),
        ("GET / HTTP/1.10", Some("a byte behind the version")),
        ("GET / HTTP/1.2", Some(version)),
        ("GET / HTTP/2.0", Some(version)),
        ("GET / HTTP/0.9", Some(version)),
        ("GET / http/1.1", Some(version)),
        ("GET / ICE/1.0", Some(version)),
        ("PRI * HTTP/2.0", Some(version)),
        ("GET /", Some(target)),
        ("GET /a#b HTTP/1.1", Some("a fragment in the request target")),
        ("GET /a?b#c HTTP/1.1", Some("a fragment in the request target")),
        ("GET http://a#b HTTP/1.1", Some("a fragment in the request target")),
        ("GET /\u{e9} HTTP/1.1", Some(target)),
        ("GET /\x7f HTTP/1.1", Some(target)),
        ("GET /\0 HTTP/1.1", Some(target)),
        ("GET /<a> HTTP/1.1", Some(target)),
        ("GET /` HTTP/1.1", Some(target)),
        ("GET /?\" HTTP/1.1", Some(target)),
        ("GET *a HTTP/1.1", Some(target)),
        ("GET ** HTTP/1.1", Some(form)),
        ("GET a HTTP/1.1", Some(form)),
        ("GET a/b HTTP/1.1", Some(form)),
        ("GET a:443 HTTP/1.1", Some(form)),
        ("GET http:/a HTTP/1.1", Some(form)),
        ("GET http://a/<b HTTP/1.1", Some(form)),
        ("GET ://a HTTP/1.1", Some(form)),
    ] {
        let input = format!("{line}\r\n{HOST}\r\n");
        match detail {
            None => good(&input, 1),
            Some(detail) => bad(&input, detail),
        }
    }
}

#[test]
fn malformed_authorities_have_their_own_kind() {
    for line in [
        "CONNECT /",
        "CONNECT *",
        "CONNECT [::1",
        "CONNECT http://a:443",
        "CONNECT a:1:2",
        "GET http:///x",
        "GET http://a:b:c/",
    ] {
        let input = format!("{line} HTTP/1.1\r\n{HOST}\r\n");
        check(&input, Some((Kind::Authority, "the target's authority is malformed")));
    }
}

#[test]
fn b3_only_crlf_ends_a_line() {
    let (lf, cr) = ("a line feed without a carriage return", "a carriage return without a line feed");
    bad("GET / HTTP/1.1\nHost: a\r\n\r\n", lf);
    bad("GET / HTTP/1.1\r\nHost: a\n\r\n", lf);
    bad("GET / HTTP/1.1\r\nHost: a\r\n\n", lf);
    bad("GET / HTTP/1.1\rHost: a\r\n\r\n", cr);
    bad("GET / HTTP/1.1\r\nHost: a\rb: c\r\n\r\n", cr);
    bad("GET / HTTP/1.1\r\nHost: a\r\r\n\r\n", cr);
    bad("GET / HTTP/1.1\r\nHost: a\r\n\rX", cr);
}

#[test]
fn one_empty_line_may_stand_before_a_request() {
    good("\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", 2);
    bad("\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", "empty lines before a request");
    bad("\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", "empty lines before a request");
    bad("\rGET / HTTP/1.1\r\nHost: a\r\n\r\n", "a carriage return without a line feed");
}

#[test]
fn b10_field_lines() {
    let (name, blank) = ("a byte that may not stand in a field name", "a line that begins with white space");
    for (line, detail) in [
        ("a:b\r\n", None),
        ("a:\r\n", None),
        ("a: \t b \t\r\n", None),
        ("a: b\u{e9}\u{fc}:\"<\r\n", None),
        ("!#$%&'*+-.^_`|~09azAZ: b\r\n", None),
        ("X_Foo: b\r\n", None),
        ("a : b\r\n", Some("white space before the colon of a field")),
        ("a\t: b\r\n", Some("white space before the colon of a field")),
        ("a\r\n", Some("a field line without a colon")),
        (": b\r\n", Some(name)),
        ("a(b: c\r\n", Some(name)),
        ("\u{e9}: c\r\n", Some(name)),
        (" a: b\r\n", Some(blank)),
        ("a: b\r\n c\r\n", Some(blank)),
        ("a: b\r\n\tc\r\n", Some(blank)),
        ("a: b\0c\r\n", Some("a control byte in a field value")),
        ("a: b\x7f\r\n", Some("a control byte in a field value")),
        ("a: \x0bb\r\n", Some("a control byte in a field value")),
        ("a: \x1b[1m\r\n", Some("a control byte in a field value")),
    ] {
        match detail {
            None => good(&with(line), 1),
            Some(detail) => bad(&with(line), detail),
        }
    }
}

#[test]
fn b10_exactly_one_host() {
    bad("GET / HTTP/1.1\r\n\r\n", "no host field");
    good("GET / HTTP/1.0\r\n\r\n", 1);
    bad(&with("host: a\r\n"), "more than one host field");
    bad("GET / HTTP/1.0\r\nHost: a\r\nHOST: b\r\n\r\n", "more than one host field");
}

#[test]
fn b1_content_length_is_one_plain_number() {
    for value in ["0", "3", " 3", "\t3 \t", "0003"] {
        let body = if value == "0" { "" } else { "abc" };
        good(&format!("{}{body}", with(&format!("Content-Length:{value}\r\n"))), 1);
    }
    for value in ["", " ", "+3", "-3", "3,3", "3, 3", "3 3", "0x3", "3.0", "3;", "three", "\u{e9}"] {
        bad(&with(&format!("content-length:{value}\r\n")), "content-length is not one plain number");
    }
    for value in ["9223372036854775808", "18446744073709551617", "99999999999999999999999"] {
        bad(&with(&format!("content-length: {value}\r\n")), "content-length is too large");
    }
    check(&with("content-length: 9223372036854775807\r\n"), None);
    bad(&with("content-length: 3\r\nContent-Length: 3\r\n"), "more than one content-length field");
    bad(&with("content-length: 0\r\nContent-Length: 0\r\n"), "more than one content-length field");
}

#[test]
fn b1_transfer_encoding_is_chunked_alone() {
    for value in ["chunked", " CHUNKED ", "\tChunked\t"] {
        good(&format!("{}0\r\n\r\n", with(&format!("Transfer-Encoding:{value}\r\n"))), 1);
    }
    for value in
        ["", "chunke", "xchunked", "chunkedx", "chunked,", "chunked, identity", "gzip, chunked", "identity", "chun ked"]
    {
        bad(&with(&format!("transfer-encoding: {value}\r\n")), "transfer-encoding is not chunked alone");
    }
    let twice = "transfer-encoding: chunked\r\ntransfer-encoding: chunked\r\n";
    bad(&with(twice), "more than one transfer-encoding field");
}

#[test]
fn b1_a_message_has_one_framing() {
    let (length, coding) = ("Content-Length: 3\r\n", "Transfer-Encoding: chunked\r\n");
    bad(&with(&format!("{length}{coding}")), "transfer-encoding beside content-length");
    bad(&with(&format!("{coding}{length}")), "content-length beside transfer-encoding");
    for twin in ["content_length: 3\r\n", "Transfer_Encoding: chunked\r\n"] {
        bad(&with(twin), "an underscore in the name of a framing field");
    }
}

#[test]
fn b2_http_1_0_is_never_chunked() {
    let input = "POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n";
    bad(input, "transfer-encoding in an HTTP/1.0 message");
}

#[test]
fn b8_connection_nominates_nothing_that_the_message_needs() {
    for value in ["close", "keep-alive, Upgrade", "authorization", " TE , ,x", ""] {
        good(&with(&format!("Connection: {value}\r\n")), 1);
    }
    for value in ["host", "close, Content-Length", "Transfer-Encoding", "x,\tHOST\t", "content-type"] {
        let input = with(&format!("Connection: {value}\r\n"));
        bad(&input, "connection nominates a field that the message needs");
    }
    for value in ["close keep-alive", "a;b", "\"close\""] {
        bad(&with(&format!("Connection: {value}\r\n")), "connection is not a list of names");
    }
}

#[test]
fn h9_heads_have_limits() {
    let long = |n: usize| with(&format!("a: {}\r\n", "b".repeat(n)));
    let fits = 200 - long(0).len();
    good(&long(fits), 1);
    check(&long(fits + 1), Some((Kind::HeaderTooLarge, "the head is too long")));
    check(&long(5000), Some((Kind::HeaderTooLarge, "the head is too long")));
    assert_eq!(requests(long(5000).as_bytes(), SMALL, &[9]).violation.unwrap().offset, 200);

    good(&with("a:\r\nb:\r\nc:\r\n"), 1);
    check(&with("a:\r\nb:\r\nc:\r\nd:\r\n"), Some((Kind::HeaderTooLarge, "too many field lines")));

    for (prefix, suffix) in [("/", ""), ("/?", ""), ("http://a/", ""), ("/", "?")] {
        let target = |n: usize| format!("{prefix}{}{suffix}", "b".repeat(n - prefix.len() - suffix.len()));
        let request = |n| format!("GET {} HTTP/1.1\r\n{HOST}\r\n", target(n));
        good(&request(40), 1);
        check(&request(41), Some((Kind::TargetTooLong, "the request target is too long")));
        check(&request(90), Some((Kind::TargetTooLong, "the request target is too long")));
        assert_eq!(requests(request(90).as_bytes(), SMALL, &[6]).violation.unwrap().offset, 44);
    }
}

#[test]
fn b3_chunks() {
    let head = with("Transfer-Encoding: chunked\r\n");
    for body in [
        "0\r\n\r\n",
        "3\r\nabc\r\n0\r\n\r\n",
        "0003\r\nabc\r\n000\r\n\r\n",
        "a\r\n0123456789\r\nA\r\n0123456789\r\n0\r\n\r\n",
    ] {
        good(&format!("{head}{body}"), 1);
    }
    let number = "a chunk size that is not a hexadecimal number";
    for (body, detail) in [
        ("\r\n", number),
        (" 3\r\n", number),
        ("3 \r\n", number),
        ("+3\r\n", number),
        ("0x3\r\n", number),
        (";a\r\n", number),
        ("g\r\n", number),
        ("3;a=b\r\nabc\r\n", "a chunk extension"),
        ("3\nabc\r\n", "a line feed without a carriage return in a chunk header"),
        ("3\rXabc\r\n", "a carriage return without a line feed in a chunk header"),
        ("3\r\nabcd\r\n", "chunk data longer than its size"),
        ("3\r\nabc\n0\r\n\r\n", "chunk data longer than its size"),
        ("3\r\nabc\r0\r\n\r\n", "chunk data without its line end"),
        ("8000000000000000\r\n", "a chunk size that is too large"),
        ("10000000000000000\r\n", "a chunk size that is too large"),
        ("00000000000000000\r\n", "a chunk size that is too large"),
        ("3\r\nabc\r\n\r\n", number),
    ] {
        bad(&format!("{head}{body}"), detail);
    }
    check(&format!("{head}7fffffffffffffff\r\nabc"), None);
}

#[test]
fn b3_trailers() {
    let head = with("Transfer-Encoding: chunked\r\n");
    good(&format!("{head}0\r\nx-sum: 1\r\nY:\r\n\r\n"), 1);
    // What may not pass is dropped by the exchange.
    good(&format!("{head}0\r\nAuthorization: x\r\ncontent-length: 1\r\nhost: a\r\n\r\n"), 1);
    for (trailers, detail) in [
        (" x: a\r\n", "a line that begins with white space"),
        ("x: a\n", "a line feed without a carriage return"),
        ("x: a\0\r\n", "a control byte in a field value"),
        ("x\r\n", "a field line without a colon"),
    ] {
        bad(&format!("{head}0\r\n{trailers}\r\n"), detail);
    }
    check(
        &format!("{head}0\r\na:\r\nb:\r\nc:\r\nd:\r\ne:\r\n\r\n"),
        Some((Kind::HeaderTooLarge, "too many field lines")),
    );
    check(
        &format!("{head}0\r\na: {}\r\n\r\n", "b".repeat(200)),
        Some((Kind::HeaderTooLarge, "too many bytes of trailers")),
    );
}

#[test]
fn bodies_are_counted_and_pipelined_requests_are_read() {
    let one = with("Content-Length: 4\r\n") + "\n\0\r ";
    let two = with("Transfer-Encoding: chunked\r\n") + "4\r\n\n\0\r \r\n0\r\n\r\n";
    let three = with("");
    good(&format!("{one}{two}{three}{one}"), 4);
    bad(&format!("{one}{two}{three}X: Y\r\n"), "a byte that may not stand in a method");
    let outcome = requests(format!("{one}{three} ").as_bytes(), SMALL, &[usize::MAX]);
    assert_eq!(outcome.heads, 2);
}

#[test]
fn nothing_follows_a_message_that_closes() {
    let close = with("Connection: close\r\n");
    good(&close, 1);
    good(&format!("{close}\r\n"), 1);
    let behind = "bytes behind a message that closes the connection";
    bad(&format!("{close}{close}"), behind);
    bad("GET / HTTP/1.0\r\n\r\nGET / HTTP/1.0\r\n\r\n", behind);
    good("GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\nGET / HTTP/1.0\r\n\r\n", 2);
}

#[test]
fn b4_what_follows_connect_or_upgrade_is_held() {
    let connect = "CONNECT a:1 HTTP/1.1\r\nHost: a\r\n\r\n".to_owned();
    let upgrade = with("Connection: x, Upgrade\r\nUpgrade: websocket\r\n");
    let chunked = with("Connection: upgrade\r\nUpgrade: h2c\r\nTransfer-Encoding: chunked\r\n") + "1\r\na\r\n0\r\n\r\n";
    for (head, holds) in [
        (&connect, true),
        (&upgrade, true),
        (&chunked, true),
        (&with("Upgrade: websocket\r\n"), false),
        (&with("Connection: upgrade\r\n"), false),
    ] {
        let behind = format!("{head}GET /secret");
        let mut inspector = Inspector::requests(SMALL);
        let seen = inspector.feed(behind.as_bytes());
        assert_eq!((seen.stop == Some(Stop::Held), inspector.is_held()), (holds, holds), "{head:?}");
        if holds {
            assert_eq!(seen.shown, head.len());
            assert_eq!(inspector.feed(b"G").shown, 0);
            let mut open = Inspector::requests(SMALL);
            open.feed(head.as_bytes());
            open.open();
            assert_eq!(open.feed(b"\x16\x03\0\n").shown, 4);
            inspector.resume();
            assert_eq!(inspector.feed(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").stop, None);
            assert_eq!(inspector.heads(), 2);
            assert!(inspector.feed(b"\x16").stop.is_some());
        }
    }
    for framing in ["Content-Length: 1\r\n", "Transfer-Encoding: chunked\r\n"] {
        bad(&format!("CONNECT a:1 HTTP/1.1\r\nHost: a\r\n{framing}\r\n"), "a CONNECT request with content");
    }
}

#[test]
fn of_a_refused_head_nothing_is_shown() {
    let good = with("");
    let input = format!("{good}GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n");
    let (outcome, shown, _) = drive(Inspector::requests(SMALL), input.as_bytes(), &[], &[usize::MAX]);
    assert_eq!((outcome.heads, shown), (1, good.len()));
    // In pieces its beginning is out before the fault is known; the fault and the end never are.
    for piece in 1..input.len() {
        let (outcome, shown, _) = drive(Inspector::requests(SMALL), input.as_bytes(), &[], &[piece]);
        let fault = usize::try_from(outcome.violation.unwrap().offset).unwrap();
        assert!(outcome.heads == 1 && shown >= good.len() && shown <= fault, "{piece}: {shown} {outcome:?}");
    }
}
