//! H8, H9 and what else is too much: each limit is answered with its own reason.

use ensage_tests::{Answer, Gateway, Metrics, Origin, Raw, Rig, until};

use super::lab::{ask, lab, reason, reasons, rig};

const LIMITS: &str =
    "[limits]\nheader = \"4KiB\"\ntarget = \"1KiB\"\nheader_lines = 20\nhead_timeout = \"2s\"\nbody_hold = \"1KiB\"\n";
const ENTRIES: &str = "[[enclave.lab.http]]\nhost = \"ok.test\"\n[enclave.lab.mcp.desk]\nurl = \"https://desk.test/mcp\"\ntools = [\"ok\"]\n[enclave.lab.llm.anthropic]\napi = \"anthropic\"\nhost = \"llm.test\"\nmodels = [\"*\"]\n";

fn limited() -> (Rig, Origin, Gateway) {
    let rig = rig();
    let origin = Origin::good(rig.ca.leaf(&["ok.test", "desk.test", "llm.test"]));
    let gateway = rig.start_with(&lab(ENTRIES).body(LIMITS).resolve("*.test:443", origin.address()));
    (rig, origin, gateway)
}

/// The answer names the reason, and so does the record.
fn check(rig: &Rig, answer: &Answer, status: u16, why: &str) {
    assert_eq!((answer.status, answer.told()), (status, Some(why)), "{}", answer.text());
    let record = rig.calls().pop().unwrap();
    assert_eq!((reason(&record).as_str(), &record["decision"]), (why, &"deny".into()), "{record}");
    assert_eq!(record["id"].as_str(), answer.field("ensage-decision"));
}

#[test]
fn h9_a_head_that_is_too_large_is_told_so() {
    let (rig, origin, gateway) = limited();
    let lines: String = (0..30).map(|n| format!("x-{n}: y\r\n")).collect();
    let heads = [
        (431, "header_too_large", format!("GET / HTTP/1.1\r\nHost: ok.test\r\nCookie: {}\r\n\r\n", "c".repeat(6000))),
        (431, "header_too_large", format!("GET / HTTP/1.1\r\nHost: ok.test\r\n{lines}\r\n")),
        (414, "target_too_long", format!("GET /{} HTTP/1.1\r\nHost: ok.test\r\n\r\n", "p".repeat(2000))),
    ];
    for (status, why, head) in &heads {
        let mut raw = rig.tunnel(&gateway, "ok.test:443");
        raw.send(head.as_bytes());
        check(&rig, &raw.answer(), *status, why);
        let mut raw = Raw::open(gateway.address());
        raw.send(head.replacen("GET ", "GET https://ok.test", 1).as_bytes());
        check(&rig, &raw.answer(), *status, why);
    }
    assert_eq!(origin.connections(), 0);
    // Just below each limit it passes.
    let mut raw = rig.tunnel(&gateway, "ok.test:443");
    let lines: String = (0..15).map(|n| format!("x-{n}: {}\r\n", "y".repeat(100))).collect();
    raw.send(format!("GET /{} HTTP/1.1\r\nHost: ok.test\r\n{lines}\r\n", "p".repeat(900)).as_bytes());
    assert_eq!(raw.answer().status, 200);
}

#[test]
fn h8_a_head_that_does_not_come_is_timed_out() {
    let (rig, origin, gateway) = limited();
    // All of them wait at the same time.
    let mut outside = Raw::open(gateway.address());
    outside.send(b"CONNECT ok.test:443 HTTP/1.1\r\nHost: ok");
    let mut inside = rig.tunnel(&gateway, "ok.test:443");
    inside.send(b"GET / HT");
    let mut handshakes = [b"".as_slice(), b"\x16", b"\x16\x03\x01\x02\x00\x01"].map(|hello| {
        let mut raw = Raw::open(gateway.address());
        assert_eq!(raw.connect("ok.test:443", "").status, 200);
        raw.send(hello);
        raw
    });
    for raw in [&mut outside, &mut inside] {
        let answer = raw.answer();
        assert_eq!((answer.status, answer.told()), (408, Some("client_timeout")));
    }
    // A handshake that stalls can't be told, but it is closed and recorded.
    for raw in &mut handshakes {
        assert_eq!(raw.rest(), b"");
    }
    assert_eq!(reasons(&rig), ["client_timeout"; 5]);
    assert_eq!(origin.connections(), 0);
    // Slow, but in time: piece by piece.
    let mut raw = rig.tunnel(&gateway, "ok.test:443");
    raw.send_in_pieces(b"GET / HTTP/1.1\r\nHost: ok.test\r\n\r\n", 1);
    assert_eq!(raw.answer().status, 200);
}

/// One connection more than a session may have: refused by the gateway, not by an upstream, and on the session's account.
#[test]
fn h8_a_connection_too_many_is_refused_on_its_session() {
    let rig = rig();
    let origin = Origin::good(rig.ca.leaf(&["ok.test"]));
    let limits = "[limits]\nper_client = 1\n";
    let gateway = rig.start_with(&lab(ENTRIES).body(limits).resolve("*.test:443", origin.address()));
    let mut first = rig.tunnel(&gateway, "ok.test:443");
    first.send(b"GET / HTTP/1.1\r\nHost: ok.test\r\n\r\n");
    assert_eq!(first.answer().status, 200);
    let allowed = rig.calls().pop().unwrap();
    // Agents wait for ever on a refused CONNECT.
    let mut over = rig.tunnel(&gateway, "ok.test:443");
    over.send(b"GET / HTTP/1.1\r\nHost: ok.test\r\n\r\n");
    let answer = over.answer();
    check(&rig, &answer, 503, "overloaded");
    assert_eq!((answer.field("retry-after"), answer.field("connection")), (Some("5"), Some("close")));
    assert_eq!(over.rest(), b"", "it is there for one answer");
    let refused = rig.refused();
    assert_eq!(refused["outcome"], "refused", "{refused}");
    assert!(allowed["session"]["id"].is_string());
    assert_eq!(refused["session"], allowed["session"]);
    let text = rig.good(&["status", "--metrics"]);
    let labels = [("enclave", "lab"), ("type", "http"), ("decision", "deny"), ("reason", "overloaded")];
    assert!((Metrics::parse(&text).value("calls_total", &labels) - 1.0).abs() < f64::EPSILON, "{text}");
    // HTTP/2 says so too, and that it takes no more.
    let over = rig.h2(&gateway, "ok.test:443");
    let refused = over.get("https://ok.test/").unwrap();
    assert_eq!((refused.status, &refused.json()["reason"]), (503, &"overloaded".into()));
    until("it takes no more", || over.get("https://ok.test/").is_err().then_some(()));
    assert!(reasons(&rig).iter().all(|reason| reason == "overloaded"));
    assert_eq!(origin.connections(), 1);
    first.send(b"GET / HTTP/1.1\r\nHost: ok.test\r\n\r\n");
    assert_eq!(first.answer().status, 200);
}

/// Being told costs a handshake: of those who wait to be told there are so many and no more.
#[test]
fn h8_connections_that_are_far_too_many_are_closed_unheard() {
    let rig = rig();
    let origin = Origin::good(rig.ca.leaf(&["ok.test"]));
    let limits = "[limits]\nper_client = 1\nhead_timeout = \"10m\"\n";
    let gateway = rig.start_with(&lab(ENTRIES).body(limits).resolve("*.test:443", origin.address()));
    let mut first = rig.tunnel(&gateway, "ok.test:443");
    let mut waiting: Vec<Raw> = (0..32).map(|_| Raw::open(gateway.address())).collect();
    let connections = |wanted: u64| {
        until(&format!("{wanted} connections"), || {
            let status: serde_json::Value = serde_json::from_str(&rig.good(&["--json", "status"])).unwrap();
            (status["connections"] == wanted).then_some(())
        });
    };
    connections(33);
    let mut unheard = Raw::open(gateway.address());
    assert_eq!(unheard.rest(), b"");
    assert_eq!(reason(&rig.refused()), "overloaded");
    connections(33);
    // Each of the others is heard, and makes room for another.
    waiting.truncate(31);
    connections(32);
    let answer = ask(&rig, &gateway, "ok.test:443", b"GET / HTTP/1.1\r\nHost: ok.test\r\n\r\n");
    check(&rig, &answer, 503, "overloaded");
    assert_eq!(origin.connections(), 0);
    first.send(b"GET / HTTP/1.1\r\nHost: ok.test\r\n\r\n");
    assert_eq!(first.answer().status, 200);
}

/// H11: without file descriptors nobody new is taken, and whoever is there is served as before.
#[test]
fn h11_without_descriptors_the_rest_lives() {
    let rig = rig();
    let origin = Origin::good(rig.ca.leaf(&["ok.test", "new.test"]));
    let limits = "[limits]\nhead_timeout = \"10m\"\n[[enclave.lab.http]]\nhost = \"new.test\"\n";
    let gateway = rig.start_with(&lab(ENTRIES).body(limits).resolve("*.test:443", origin.address()));
    let mut there = rig.tunnel(&gateway, "ok.test:443");
    let mut dials = rig.tunnel(&gateway, "new.test:443");
    let get = |host: &str| format!("GET / HTTP/1.1\r\nHost: {host}\r\n\r\n").into_bytes();
    there.send(&get("ok.test"));
    assert_eq!(there.answer().text(), "good");
    gateway.limit_files(96);
    // Far more than there are descriptors; they wait in the kernel's queue.
    let flood: Vec<std::net::TcpStream> =
        (0..120).map(|_| std::net::TcpStream::connect(gateway.address()).unwrap()).collect();
    let status = || serde_json::from_str::<serde_json::Value>(&rig.good(&["--json", "status"])).unwrap();
    let degraded = |wanted: bool| {
        until(&format!("degraded: {wanted}"), || {
            let found = status()["degraded"].as_array().unwrap().iter().any(|d| d["code"] == "overloaded");
            (found == wanted).then_some(())
        });
    };
    degraded(true);
    assert!(status()["degraded"][0]["remedy"].as_str().unwrap().contains("ulimit"));
    let pauses = Metrics::parse(&rig.good(&["status", "--metrics"])).value("accept_pauses_total", &[]);
    assert!(pauses >= 1.0, "{pauses}");
    // Long enough for a look at who holds the connections, and at the roots of sessions.
    for _ in 0..40 {
        there.send(&get("ok.test"));
        assert_eq!(there.answer().text(), "good");
        std::thread::sleep(std::time::Duration::from_millis(150));
    }
    dials.send(&get("new.test"));
    assert_eq!(dials.answer().text(), "good", "a new connection upstream");
    // Told when it begins, not at each try; looks at who connected come and go, and may make it begin more than once.
    let told = gateway.stderr().matches("no connection can be accepted now").count();
    assert!((1..10).contains(&told), "{}", gateway.stderr());
    drop(flood);
    degraded(false);
    let mut new = rig.tunnel(&gateway, "ok.test:443");
    new.send(&get("ok.test"));
    assert_eq!(new.answer().text(), "good");
    assert!(reasons(&rig).is_empty(), "{:?}", reasons(&rig));
}

#[test]
fn a_governed_body_that_cannot_be_held_is_not_sent() {
    let (rig, origin, gateway) = limited();
    let long = "x".repeat(2000);
    let post = |host: &str, path: &str, body: &str, chunked: bool| {
        let mut raw = rig.tunnel(&gateway, &format!("{host}:443"));
        let head = format!(
            "POST {path} HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/json\r\nMCP-Protocol-Version: 2025-11-25\r\n"
        );
        let framed = if chunked {
            format!("Transfer-Encoding: chunked\r\n\r\n{:x}\r\n{body}\r\n0\r\n\r\n", body.len())
        } else {
            format!("Content-Length: {}\r\n\r\n{body}", body.len())
        };
        raw.send(format!("{head}{framed}").as_bytes());
        raw.answer()
    };
    for chunked in [false, true] {
        let call = format!(
            r#"{{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{{"name":"ok","arguments":{{"a":"{long}"}}}}}}"#
        );
        check(&rig, &post("desk.test", "/mcp", &call, chunked), 413, "body_undecided");
        let ask = format!(r#"{{"model":"m","max_tokens":1,"messages":[{{"role":"user","content":"{long}"}}]}}"#);
        let answer = post("llm.test", "/v1/messages", &ask, chunked);
        check(&rig, &answer, 400, "body_undecided");
        assert_eq!(answer.json()["error"]["ensage"]["reason"], "body_undecided");
    }
    // Nor is it kept: what is longer than the limit is dropped as it comes.
    let before = gateway.peak_kib();
    let mut raw = rig.tunnel(&gateway, "desk.test:443");
    raw.send(b"POST /mcp HTTP/1.1\r\nHost: desk.test\r\nContent-Type: application/json\r\nMCP-Protocol-Version: 2025-11-25\r\nTransfer-Encoding: chunked\r\n\r\n");
    let chunk = [b"10000\r\n".as_slice(), &[b' '; 0x10000], b"\r\n"].concat();
    let sent = (0..1024).take_while(|_| raw.try_send(&chunk).is_ok()).count();
    assert!(sent < 1024, "64 MiB were taken of a body that had been refused");
    assert!(gateway.peak_kib().saturating_sub(before) < 24 * 1024);
    assert_eq!(reason(&rig.calls().pop().unwrap()), "body_undecided");
    assert_eq!(origin.connections(), 0);
    let answer = post("llm.test", "/v1/messages", r#"{"model":"m","max_tokens":1,"messages":[]}"#, true);
    assert_eq!(answer.status, 200, "{}", answer.text());
}
