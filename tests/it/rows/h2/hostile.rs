//! What each stream is judged by, and what a client may not do to its connection.

use ensage_tests::h2::{self, H2Origin, good};
use ensage_tests::wire::{CONTINUATION, DATA, HEADERS, PING, PREFACE, RST_STREAM, SETTINGS, frame};
use ensage_tests::{Raw, until};
use http::Request;

use super::super::lab::{KEYED, Keyed, lab, reasons, rig};
use super::{echo, echo_h1};

#[test]
fn a5_each_stream_names_its_authority() {
    let (origin, lab) = echo();
    let client = lab.rig.h2(&lab.gateway, "api.test:443");
    assert_eq!(client.get("https://api.test/1").unwrap().status, 200);
    let evil = client.get("https://other.test/2").unwrap();
    assert_eq!((evil.status, &evil.json()["reason"]), (421, &"authority_mismatch".into()));
    let both = Request::get("https://api.test/3").header("host", "other.test").body(Vec::new()).unwrap();
    let both = client.ask(both).unwrap();
    assert_eq!((both.status, &both.json()["reason"]), (421, &"authority_mismatch".into()));
    // The same name in another spelling is the same, and goes on in one.
    let same = Request::get("https://api.test/4").header("host", "API.test:443").body(Vec::new()).unwrap();
    assert_eq!(client.ask(same).unwrap().text(), "GET https://api.test/4");
    assert_eq!(client.get("https://api.test/5").unwrap().status, 200);
    assert_eq!(reasons(&lab.rig), ["authority_mismatch"; 2]);
    let refused = lab.rig.calls().into_iter().find(|c| c["decision"] == "deny").unwrap();
    assert_eq!(refused["server"]["address"], "api.test");
    let asked: Vec<_> = origin.asked().iter().map(|m| (m.line.clone(), m.field("host").is_some())).collect();
    let lines = [1, 4, 5].map(|n| (format!("GET https://api.test/{n}"), false));
    assert_eq!(asked, lines);
}

#[test]
fn a_refusal_is_that_of_its_stream() {
    let rig = rig();
    let origin = H2Origin::answering(rig.ca.leaf(&["ok.test"]), |_| good("good"));
    let entries = "[[enclave.lab.http]]\nhost = \"ok.test\"\nmethods = [\"GET\"]\npaths = [\"/a/**\"]\n";
    let gateway = rig.start_with(&lab(entries).resolve("*.test:443", origin.address()));
    let client = rig.h2(&gateway, "ok.test:443");
    for (method, url, status, reason) in [
        ("GET", "https://ok.test/a/b", 200, None),
        ("POST", "https://ok.test/a/b", 403, Some("method_not_allowed")),
        ("GET", "https://ok.test/b", 403, Some("path_not_allowed")),
        ("GET", "https://ok.test/a/../b", 400, Some("ambiguous_path")),
        ("GET", "http://ok.test/a/b", 400, Some("malformed_request")),
        ("GET", "https://ok.test/a/\u{7f}", 400, Some("malformed_request")),
        ("GET", "https://ok.test/a/c", 200, None),
    ] {
        let Ok(request) = Request::builder().method(method).uri(url).body(Vec::new()) else { continue };
        let answer = client.ask(request).unwrap();
        assert_eq!(answer.status, status, "{method} {url}: {}", answer.text());
        if let Some(reason) = reason {
            assert_eq!(answer.json()["reason"], reason, "{method} {url}");
            assert_eq!(answer.field("ensage-decision").unwrap(), answer.json()["decision_id"].as_str().unwrap());
        }
    }
    assert_eq!(origin.asked().len(), 2);
}

#[test]
fn h9_a_head_has_its_limits() {
    let (origin, lab) = echo();
    let client = lab.rig.h2(&lab.gateway, "other.test:443");
    let long = format!("https://other.test/{}", "a".repeat(17 << 10));
    let answer = client.get(&long).unwrap();
    assert_eq!((answer.status, &answer.json()["reason"]), (414, &"target_too_long".into()));
    let mut many = Request::get("https://other.test/");
    for n in 0..129 {
        many = many.header(format!("x-{n}"), "1");
    }
    let answer = client.ask(many.body(Vec::new()).unwrap()).unwrap();
    assert_eq!((answer.status, &answer.json()["reason"]), (431, &"header_too_large".into()));
    let mut large = Request::get("https://other.test/");
    for n in 0..70 {
        large = large.header(format!("x-{n}"), "a".repeat(1000));
    }
    let answer = client.ask(large.body(Vec::new()).unwrap()).unwrap();
    assert_eq!((answer.status, &answer.json()["reason"]), (431, &"header_too_large".into()));
    let twin = Request::get("https://other.test/").header("x-1", "a".repeat(1000)).body(Vec::new()).unwrap();
    assert_eq!(client.ask(twin).unwrap().status, 200);
    assert_eq!(reasons(&lab.rig), ["target_too_long", "header_too_large", "header_too_large"]);
    assert_eq!(origin.asked().len(), 1);
}

/// What the h2 crate lets through and HTTP/1 would read in another way.
#[test]
fn a_field_that_another_server_reads_in_another_way_goes_nowhere() {
    let (origin, lab) = echo_h1();
    let client = lab.rig.h2(&lab.gateway, "other.test:443");
    for (name, value) in [
        ("x\"quoted", "1"),
        ("content_length", "5"),
        ("transfer_encoding", "chunked"),
        ("x-space", " a"),
        ("x-tab", "a\t"),
    ] {
        let name = http::HeaderName::from_lowercase(name.as_bytes()).unwrap();
        let request = Request::get("https://other.test/").header(&name, value).body(Vec::new()).unwrap();
        let answer = client.ask(request).unwrap();
        assert_eq!((answer.status, &answer.json()["reason"]), (400, &"malformed_request".into()), "{name}");
    }
    assert_eq!(origin.connections(), 0);
    // Fields of a connection: the stream is malformed to the h2 crate already.
    for (name, value) in [("connection", "close"), ("transfer-encoding", "chunked"), ("upgrade", "websocket")] {
        let request = Request::get("https://other.test/").header(name, value).body(Vec::new()).unwrap();
        assert!(client.ask(request).is_err(), "{name}");
    }
    let short = Request::get("https://other.test/").header("content-length", "5").body(Vec::new()).unwrap();
    assert!(client.ask(short).map_or(true, |answer| answer.status == 400));
    assert_eq!(origin.connections(), 0);
    assert_eq!(client.get("https://other.test/twin").unwrap().status, 200);
}

#[test]
fn the_number_of_streams_is_bounded() {
    let rig = rig();
    let origin = H2Origin::answering(rig.ca.leaf(&["other.test"]), |_| good("good"));
    let config = lab(KEYED).resolve("*.test:443", origin.address()).body("[limits]\nstreams = 3\n");
    let lab = Keyed::start(rig, &config);
    let client = lab.rig.h2(&lab.gateway, "other.test:443");
    assert_eq!(client.get("https://other.test/").unwrap().status, 200);
    assert_eq!(client.sender().current_max_send_streams(), 3);
}

/// GET https://other.test/, by the static table and literals without Huffman (RFC 7541).
fn get() -> Vec<u8> {
    let mut block = vec![0x82, 0x87, 0x84, 0x41, 10];
    block.extend(b"other.test");
    block
}

/// A connection that speaks bytes.
fn raw(lab: &Keyed) -> Raw {
    let mut raw = Raw::open(lab.gateway.address());
    assert_eq!(raw.connect("other.test:443", "").status, 200);
    let mut raw = raw.tls_h2(&lab.rig.trust(), "other.test").unwrap();
    raw.send(&[PREFACE, &frame(SETTINGS, 0, 0, &[])].concat());
    raw
}

/// Sends until the gateway has had enough; it is bounded by `most`.
fn flood(raw: &mut Raw, most: usize, mut next: impl FnMut(usize) -> Vec<u8>) -> bool {
    (0..most).any(|n| raw.try_send(&next(n)).is_err())
}

/// Rapid reset, CONTINUATION, PING, SETTINGS and empty DATA without end: the connection is closed or stands still, and
/// the gateway lives.
#[test]
fn h10_a_flood_of_frames_ends_its_connection() {
    const MOST: usize = 200_000;
    let (origin, lab) = echo_h1();
    let before = lab.gateway.peak_kib();
    let odd = |n: usize| u32::try_from(2 * n + 1).unwrap();
    let mut rapid = raw(&lab);
    assert!(flood(&mut rapid, MOST, |n| {
        [frame(HEADERS, 0x5, odd(n), &get()), frame(RST_STREAM, 0, odd(n), &8_u32.to_be_bytes())].concat()
    }));
    let mut endless = raw(&lab);
    endless.send(&frame(HEADERS, 0x1, 1, &get()));
    assert!(flood(&mut endless, MOST, |_| frame(CONTINUATION, 0, 1, &[0; 64])));
    let mut pings = raw(&lab);
    // Each is answered before the next is read: who does not read the answers stands still.
    pings.send_some(&frame(PING, 0, 0, &[0; 8]).repeat(MOST));
    let mut settings = raw(&lab);
    settings.send_some(&frame(SETTINGS, 0, 0, &[0, 3, 0, 0, 0, 9]).repeat(MOST));
    let mut empty = raw(&lab);
    empty.send(&frame(HEADERS, 0x4, 1, &[&[0x83], &get()[1..]].concat()));
    assert!(flood(&mut empty, MOST, |_| frame(DATA, 0, 1, &[])));
    // An HPACK bomb: one entry of the table, named again and again.
    let mut bomb = raw(&lab);
    let mut block = get();
    block.extend([0x40, 1, b'a', 0x7f, 0x81, 0x1e]);
    block.extend([b'x'; 4000]);
    block.extend(vec![0xbe; 12_000]);
    bomb.send(&frame(HEADERS, 0x5, 1, &block));
    assert!(!bomb.rest().is_empty() || bomb.try_send(&frame(PING, 0, 0, &[0; 8])).is_err());
    let grown = lab.gateway.peak_kib().saturating_sub(before);
    assert!(grown < 32 * 1024, "{grown} KiB");
    assert!(origin.connections() <= 40, "{} connections upstream", origin.connections());
    let client = lab.rig.h2(&lab.gateway, "other.test:443");
    assert_eq!(client.get("https://other.test/twin").unwrap().status, 200);
}

#[test]
fn what_is_no_http2_is_refused_and_recorded() {
    let (origin, lab) = echo_h1();
    let mut raw = raw(&lab);
    // DATA for a stream that was never opened (RFC 9113 section 5.1).
    raw.send(&frame(DATA, 1, 7, b"x"));
    raw.rest();
    until("the record", || reasons(&lab.rig).contains(&"malformed_request".to_owned()).then_some(()));
    assert_eq!(origin.connections(), 0);
    let client = lab.rig.h2(&lab.gateway, "other.test:443");
    assert_eq!(client.run(h2::ask(client.sender(), super::post("https://other.test/", b"a"))).unwrap().status, 200);
}

/// What is answered and never taken keeps no connection for longer than silence may last.
#[test]
fn h8_a_window_that_stays_shut_keeps_no_connection() {
    let rig = rig();
    let origin = H2Origin::answering(rig.ca.leaf(&["ok.test"]), |_| good("short"));
    let entries = "[[enclave.lab.http]]\nhost = \"ok.test\"\n";
    let config = lab(entries).resolve("ok.test:443", origin.address()).body("[limits]\nidle_timeout = \"1s\"\n");
    let gateway = rig.start_with(&config);
    let mut shut = ::h2::client::Builder::new();
    shut.initial_window_size(0);
    let mut tunnel = Raw::open(gateway.address());
    assert_eq!(tunnel.connect("ok.test:443", "").status, 200);
    let client = h2::Client::with(tunnel, &rig.trust(), "ok.test", &shut);
    let broken = client.run(async {
        let mut send = client.sender().ready().await.unwrap();
        let (head, _) = send.send_request(Request::get("https://ok.test/").body(()).unwrap(), true).unwrap();
        head.await.unwrap().into_body().data().await
    });
    assert!(matches!(broken, Some(Err(_))), "{broken:?}");
}
