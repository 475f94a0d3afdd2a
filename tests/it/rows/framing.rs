//! B1, B3, B8: one message is one message, whoever reads it.

use ensage_tests::{Config, Gateway, Origin, Raw, Rig};

use super::lab::{KEYED, Keyed, lab, reason, reasons, rig};

const SMUGGLED: &str = "GET /smuggled HTTP/1.1\r\nHost: ok.test\r\n\r\n";

fn one_host() -> (Rig, Origin, Gateway) {
    let rig = rig();
    let origin = Origin::good(rig.ca.leaf(&["ok.test"]));
    let config: Config = lab("[[enclave.lab.http]]\nhost = \"ok.test\"\n").resolve("ok.test:443", origin.address());
    let gateway = rig.start_with(&config);
    (rig, origin, gateway)
}

/// Sends `fields` and `body` as a POST; the request is refused and recorded, and nothing of it went out.
fn refused(rig: &Rig, gateway: &Gateway, origin: &Origin, fields: &str, body: &str) {
    let before = origin.text();
    let mut raw = rig.tunnel(gateway, "ok.test:443");
    raw.send(format!("POST / HTTP/1.1\r\nHost: ok.test\r\n{fields}\r\n{body}").as_bytes());
    let answer = raw.answer();
    assert_eq!((answer.status, answer.told()), (400, Some("malformed_request")), "{fields:?}");
    // Nothing after it is read as a second request.
    assert_eq!(raw.rest(), b"", "{fields:?}");
    assert_eq!(reason(&rig.calls().pop().unwrap()), "malformed_request", "{fields:?}");
    assert_eq!(origin.text(), before, "{fields:?}");
}

#[test]
fn b1_a_body_whose_length_can_be_read_in_two_ways_goes_nowhere() {
    let (rig, origin, gateway) = one_host();
    let chunked = format!("0\r\n\r\n{SMUGGLED}");
    let both = format!("Content-Length: {}\r\nTransfer-Encoding: chunked\r\n", chunked.len());
    let both_turned = format!("Transfer-Encoding: chunked\r\nContent-Length: {}\r\n", chunked.len());
    let framings = [
        both.as_str(),
        both_turned.as_str(),
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n",
        "Transfer-Encoding: chunked, identity\r\n",
        "Transfer-Encoding: gzip, chunked\r\n",
        "Transfer-Encoding: xchunked\r\n",
        "Transfer-Encoding: chunked;q=1\r\n",
        "Transfer-Encoding: \"chunked\"\r\n",
        "Transfer-Encoding:\x0bchunked\r\n",
        "Transfer-Encoding : chunked\r\n",
        "Transfer-Encoding:\r\n chunked\r\n",
        "Transfer_Encoding: chunked\r\n",
        "Content-Length: 5, 6\r\n",
        "Content-Length: 5\r\nContent-Length: 6\r\n",
        "Content-Length: +5\r\n",
        "Content-Length: -5\r\n",
        "Content-Length: 0x5\r\n",
        "Content-Length: 5 \x0b\r\n",
        "Content-Length: 99999999999999999999\r\n",
        "Content-Length:\r\n",
        "Content_Length: 5\r\n",
    ];
    for fields in framings {
        refused(&rig, &gateway, &origin, fields, &chunked);
    }
    assert_eq!(origin.connections(), 0);

    // The twins: by length and in chunks, the next request behind them in the same write.
    let mut raw = rig.tunnel(&gateway, "ok.test:443");
    let next = "GET /next HTTP/1.1\r\nHost: ok.test\r\n\r\n";
    raw.send(format!("POST /l HTTP/1.1\r\nHost: ok.test\r\nContent-Length: 5\r\n\r\nhello{next}").as_bytes());
    assert_eq!((raw.answer().status, raw.answer().status), (200, 200));
    let body = "2\r\nhe\r\n3\r\nllo\r\n0\r\n\r\n";
    raw.send(format!("POST /c HTTP/1.1\r\nHost: ok.test\r\nTransfer-Encoding: chunked\r\n\r\n{body}{next}").as_bytes());
    assert_eq!((raw.answer().status, raw.answer().status), (200, 200));
    let got = origin.text();
    assert_eq!(origin.requests(), 4, "{got}");
    assert_eq!(got.matches("GET /next").count(), 2, "{got}");
    assert!(got.contains("content-length: 5\r\n\r\nhelloGET /next"), "{got}");
    let chunked = got.split("POST /c").nth(1).unwrap();
    assert!(chunked.contains("transfer-encoding: chunked\r\n") && !chunked.contains("content-length"), "{chunked}");
}

#[test]
fn b2_an_old_request_has_a_length_or_no_body() {
    let (rig, origin, gateway) = one_host();
    for request in [
        format!("POST / HTTP/1.0\r\nHost: ok.test\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n{SMUGGLED}"),
        format!("GET / HTTP/0.9\r\nHost: ok.test\r\n\r\n{SMUGGLED}"),
        format!("GET / HTTP/1.2\r\nHost: ok.test\r\n\r\n{SMUGGLED}"),
        format!("GET /\r\n\r\n{SMUGGLED}"),
        format!("GET / HTTP/1.1\r\n\r\n{SMUGGLED}"),
        format!("GET / HTTP/1.1\r\nHost: ok.test\r\nHost: ok.test\r\n\r\n{SMUGGLED}"),
        format!("GET  / HTTP/1.1\r\nHost: ok.test\r\n\r\n{SMUGGLED}"),
        format!("GET / HTTP/1.1\r\nHost: ok.test\r\nX: a\r\n b\r\n\r\n{SMUGGLED}"),
        format!("GET / HTTP/1.1\nHost: ok.test\n\n{SMUGGLED}"),
        format!("GET / HTTP/1.1\r\nHost: ok.test\r\nX: a\0b\r\n\r\n{SMUGGLED}"),
        format!("\0GET / HTTP/1.1\r\nHost: ok.test\r\n\r\n{SMUGGLED}"),
    ] {
        let mut raw = rig.tunnel(&gateway, "ok.test:443");
        raw.send(request.as_bytes());
        let told = String::from_utf8_lossy(&raw.rest()).into_owned();
        let once = told.matches("\r\nproxy-status: ").count() == 1;
        assert!(told.starts_with("HTTP/1.1 400 ") && once, "{request:?}: {told:?}");
        assert_eq!(reason(&rig.calls().pop().unwrap()), "malformed_request", "{request:?}");
    }
    assert_eq!(origin.connections(), 0);
    let mut raw = rig.tunnel(&gateway, "ok.test:443");
    raw.send(b"GET / HTTP/1.0\r\nHost: ok.test\r\n\r\n");
    assert!(String::from_utf8_lossy(&raw.rest()).ends_with("\r\n\r\ngood"));
    assert_eq!(origin.text(), "GET / HTTP/1.1\r\nhost: ok.test\r\n\r\n");
}

/// Chunked bodies that are broken after a good first chunk.
const BROKEN: [&str; 13] = [
    "5;a=b\r\nhello\r\n0\r\n\r\n",
    "5;\r\nhello\r\n0\r\n\r\n",
    "5\nhello\r\n0\r\n\r\n",
    "5\r\nhelloXX0\r\n\r\n",
    "5\r\nhello\n0\r\n\r\n",
    "5\r\nhello\r\r\n0\r\n\r\n",
    "ffffffffffffffff5\r\nhello\r\n0\r\n\r\n",
    "8000000000000000\r\nhello\r\n0\r\n\r\n",
    "+5\r\nhello\r\n0\r\n\r\n",
    "0x5\r\nhello\r\n0\r\n\r\n",
    "0\r\nX-Sum\r\n\r\n",
    "0\r\n X-Sum: 1\r\n\r\n",
    "0\r\nX-Sum : 1\r\n\r\n",
];

#[test]
fn b3_a_broken_chunk_never_becomes_a_whole_message() {
    let (rig, origin, gateway) = one_host();
    let head = "POST / HTTP/1.1\r\nHost: ok.test\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n";
    let oversize = format!("5;{}\r\nhello\r\n0\r\n\r\n", "x".repeat(70_000));
    for (n, broken) in BROKEN.iter().copied().chain([oversize.as_str()]).enumerate() {
        let shown = broken.get(..40).unwrap_or(broken);
        let mut raw = rig.tunnel(&gateway, "ok.test:443");
        let mut sent = head.as_bytes().to_vec();
        sent.extend_from_slice(broken.as_bytes());
        sent.extend_from_slice(SMUGGLED.as_bytes());
        // The gateway may close while the rest is on its way.
        let _ = raw.try_send(&sent);
        let told = String::from_utf8_lossy(&raw.rest()).into_owned();
        assert!(told.starts_with("HTTP/1.1 400 ") && told.contains("malformed_request"), "{shown:?}: {told:?}");
        assert_eq!(told.matches("HTTP/1.1 ").count(), 1, "{shown:?}: {told:?}");
        // Its head may have been let through before: then that call is on record as one that was never complete.
        let (denied, let_through): (Vec<_>, Vec<_>) = rig.calls().into_iter().partition(|r| r["decision"] == "deny");
        assert_eq!(denied.len(), n + 1, "{shown:?}: one refusal for each");
        assert!(denied.iter().all(|r| r["reason"] == "malformed_request"), "{denied:#?}");
        assert!(
            let_through.len() <= n + 1 && let_through.iter().all(|r| r["outcome"] != "complete"),
            "{let_through:#?}"
        );
    }
    // Whole chunks before the broken one may have gone out; never an end, and never what stood behind it.
    for (n, got) in origin.received().iter().enumerate() {
        let got = String::from_utf8_lossy(got).to_lowercase();
        let whole = got.contains("\r\n0\r\n") || got.contains("smuggled") || got.contains("authorization");
        assert!(!whole, "connection {n}: {got}");
        // None at all where the broken chunk came together with the head.
        assert!(got.matches(" http/1.1\r\n").count() <= 1, "connection {n}: {got}");
    }
}

#[test]
fn b3_twin_trailers_that_may_pass() {
    let lab = {
        let rig = rig();
        let origin = Origin::good(rig.ca.leaf(&["api.test", "other.test"]));
        let config = lab(KEYED).resolve("*.test:443", origin.address());
        (Keyed::start(rig, &config), origin)
    };
    let (lab, origin) = lab;
    let post = |trailer: &str| {
        let mut raw = lab.rig.tunnel(&lab.gateway, "other.test:443");
        let head = "POST / HTTP/1.1\r\nHost: other.test\r\nTrailer: x-sum\r\nTransfer-Encoding: chunked\r\n\r\n";
        raw.send(format!("{head}5\r\nhello\r\n0\r\nx-sum: {trailer}\r\n\r\n").as_bytes());
        raw.try_answer("POST").ok().flatten().map(|answer| answer.status)
    };
    assert_eq!(post("5d41402a"), Some(200));
    assert!(origin.text().ends_with("5\r\nhello\r\n0\r\nx-sum: 5d41402a\r\n\r\n"), "{}", origin.text());
    // A trailer is no slot (F2).
    assert_ne!(post(&lab.placeholder), Some(200));
    assert!(!origin.text().contains(&lab.placeholder), "{}", origin.text());
    assert_eq!(reason(&lab.rig.calls().pop().unwrap()), "placeholder_wrong_host");
}

/// Fields of framing, routing and credentials are dropped, and the rest passes (contract section 4).
#[test]
fn b3_trailers_that_may_not_pass_are_dropped() {
    let rig = rig();
    let origin = Origin::good(rig.ca.leaf(&["api.test"]));
    let keyed = KEYED.replace("\"header:x-api-key\"", "\"header:x-own-key\"");
    let lab = Keyed::start(rig, &lab(&keyed).resolve("*.test:443", origin.address()));
    let post = |trailers: &str| {
        let head = "POST / HTTP/1.1\r\nHost: api.test\r\nTransfer-Encoding: chunked\r\n\r\n";
        lab.ask("api.test:443", &format!("{head}5\r\nhello\r\n0\r\nX-Sum: 1\r\n{trailers}\r\n"))
    };
    let dropped = "Authorization: Bearer x\r\nContent-Length: 5\r\ncontent_length: 5\r\nHost: no.test\r\nCookie: a=b\r\nX-Own-Key: k\r\n";
    assert_eq!(post(dropped).status, 200);
    assert_eq!(post("").status, 200);
    let got = origin.text().to_lowercase();
    assert_eq!(got.matches("5\r\nhello\r\n0\r\nx-sum: 1\r\n\r\n").count(), 2, "{got}");
    assert!(!got.contains("no.test") && !got.contains("bearer x"), "{got}");
    // A placeholder there is refused, not dropped.
    for name in ["Authorization: Bearer ", "X-Own-Key: ", "X-Sum: "] {
        let answer = post(&format!("{name}{}\r\n", lab.placeholder));
        assert_eq!((answer.status, answer.told()), (403, Some("placeholder_wrong_slot")), "{name}");
    }
    assert_eq!(reasons(&lab.rig), ["placeholder_wrong_slot"; 3]);
    lab.assert_sealed();
}

/// A governed body is sent in one piece; what its trailers carry is told all the same.
#[test]
fn f2_a_placeholder_behind_a_governed_body_is_refused() {
    let rig = rig();
    let result = r#"{"jsonrpc":"2.0","id":1,"result":{}}"#;
    let head = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: ";
    let result = format!("{head}{}\r\n\r\n{result}", result.len()).into_bytes();
    let origin = Origin::answering(Some(rig.ca.leaf(&["desk.test"])), move |_| result.clone());
    let desk = "[enclave.lab.mcp.desk]\nurl = \"https://desk.test/mcp\"\ntools = [\"ok\"]\n";
    let lab = Keyed::start(rig, &lab(&format!("{KEYED}{desk}")).resolve("*.test:443", origin.address()));
    let call = r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"ok"}}"#;
    let post = |trailer: &str| {
        let head = "POST /mcp HTTP/1.1\r\nHost: desk.test\r\nContent-Type: application/json\r\nMCP-Protocol-Version: 2025-11-25\r\nTransfer-Encoding: chunked\r\n\r\n";
        lab.ask("desk.test:443", &format!("{head}{:x}\r\n{call}\r\n0\r\nX-Sum: {trailer}\r\n\r\n", call.len()))
    };
    assert_eq!(post("1").status, 200);
    let answer = post(&lab.placeholder);
    assert_eq!((answer.status, answer.told()), (403, Some("placeholder_wrong_host")), "{}", answer.text());
    let record = lab.rig.refused();
    assert_eq!((&record["reason"], &record["severity"]), (&"placeholder_wrong_host".into(), &"high".into()));
    assert_eq!(origin.text().matches("tools/call").count(), 1);
    lab.assert_sealed();
}

/// An Upgrade is refused as long as nobody reads what would come behind it; nothing that follows gets out (B4).
#[test]
fn b4_an_upgrade_and_what_follows_it_go_nowhere() {
    let (rig, origin, gateway) = one_host();
    let upgrade = "GET /ws HTTP/1.1\r\nHost: ok.test\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n";
    let mut raw = rig.tunnel(&gateway, "ok.test:443");
    raw.send(&[upgrade.as_bytes(), b"\x82\x05hello\x88\x00", SMUGGLED.as_bytes()].concat());
    let answer = raw.answer();
    assert_eq!((answer.status, answer.told()), (403, Some("websocket_not_allowed")));
    // A refused upgrade leaves HTTP behind, and frames are none.
    assert_eq!(raw.answer().told(), Some("malformed_request"));
    assert_eq!(raw.rest(), b"");
    assert_eq!(reasons(&rig), ["websocket_not_allowed", "malformed_request"]);
    assert_eq!(origin.connections(), 0);
    // HTTP/2 in the clear, CONNECT inside a tunnel, TRACE (B7).
    for (head, statuses) in [
        (
            "GET /h2c HTTP/1.1\r\nHost: ok.test\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AA\r\n\r\n",
            400..=403,
        ),
        ("CONNECT evil.test:443 HTTP/1.1\r\nHost: evil.test:443\r\n\r\n", 400..=405),
        ("TRACE / HTTP/1.1\r\nHost: ok.test\r\n\r\n", 400..=405),
    ] {
        let before = origin.text();
        let mut raw = rig.tunnel(&gateway, "ok.test:443");
        raw.send(head.as_bytes());
        let answer = raw.answer();
        assert!(statuses.contains(&answer.status), "{head}: {}", answer.head);
        assert_eq!(origin.text(), before, "{head}");
        assert_eq!(rig.calls().pop().unwrap()["decision"], "deny", "{head}");
    }
}

#[test]
fn b8_a_field_that_connection_nominates_cannot_take_the_secret_away() {
    let rig = rig();
    let origin = Origin::good(rig.ca.leaf(&["api.test"]));
    let lab = Keyed::start(rig, &lab(KEYED).resolve("api.test:443", origin.address()));
    let bearer = format!("Authorization: Bearer {}\r\n", lab.placeholder);
    for nominated in ["authorization", "Authorization, close", "keep-alive, AUTHORIZATION", "x-note, authorization"] {
        let before = origin.text().len();
        let request =
            format!("GET / HTTP/1.1\r\nHost: api.test\r\nConnection: {nominated}\r\nX-Note: n\r\n{bearer}\r\n");
        let answer = lab.ask("api.test:443", &request);
        assert_eq!(answer.status, 200, "{nominated}: {}", answer.text());
        let got = origin.text().split_off(before);
        assert_eq!(got.matches("authorization: ").count(), 1, "{nominated}: {got}");
        assert!(got.contains(&format!("authorization: Bearer {}\r\n", lab.secret)), "{nominated}: {got}");
        assert!(!got.contains("connection:") && !got.contains(&lab.placeholder), "{nominated}: {got}");
        assert_eq!(got.contains("x-note: n\r\n"), !nominated.contains("x-note"), "{nominated}: {got}");
    }
    // What frames or routes the message can't be nominated at all.
    let before = origin.text();
    for nominated in ["host", "content-length", "content-type", "transfer-encoding"] {
        let mut raw: Raw = lab.rig.tunnel(&lab.gateway, "api.test:443");
        raw.send(
            format!("POST / HTTP/1.1\r\nHost: api.test\r\nConnection: {nominated}\r\nContent-Length: 2\r\n\r\n{{}}")
                .as_bytes(),
        );
        let answer = raw.answer();
        assert_eq!((answer.status, answer.told()), (400, Some("malformed_request")), "{nominated}");
        assert_eq!(reason(&lab.rig.calls().pop().unwrap()), "malformed_request", "{nominated}");
    }
    assert_eq!(origin.text(), before);
    lab.assert_sealed();
}
