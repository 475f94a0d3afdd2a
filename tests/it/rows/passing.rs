//! What is allowed passes unharmed: in order, at once, and in bounded memory.

use std::sync::{Mutex, mpsc};
use std::time::Duration;

use ensage_tests::{Config, Origin, Raw, ok};

use super::lab::{KEYED, Keyed, lab, rig};

#[test]
fn pipelined_requests_are_answered_in_order() {
    let rig = rig();
    let origin = Origin::answering(Some(rig.ca.leaf(&["api.test", "other.test"])), |request| ok(request.line()));
    let lab = Keyed::start(rig, &lab(KEYED).resolve("*.test:443", origin.address()));
    for host in ["api.test", "other.test"] {
        let one = |n: usize| format!("GET /{n} HTTP/1.1\r\nHost: {host}\r\n\r\n");
        let mut raw = lab.rig.tunnel(&lab.gateway, &format!("{host}:443"));
        let all: String = (0..5).map(one).collect();
        raw.send(all.as_bytes());
        for n in 0..5 {
            assert_eq!(raw.answer().text(), format!("GET /{n} HTTP/1.1"));
        }
        // The connection lives on, and so does the one behind it.
        raw.send(one(5).as_bytes());
        assert_eq!(raw.answer().text(), "GET /5 HTTP/1.1");
    }
    assert_eq!(origin.connections(), 2);
    let records = lab.rig.calls();
    assert_eq!(records.len(), 12);
    assert!(records.iter().all(|r| r["decision"] == "allow" && r["outcome"] == "complete"), "{records:#?}");
}

#[test]
fn answers_without_a_body_leave_the_connection_in_step() {
    let rig = rig();
    let origin = Origin::answering(Some(rig.ca.leaf(&["api.test", "other.test"])), |request| {
        let line = request.line();
        if line.starts_with("HEAD ") {
            b"HTTP/1.1 200 OK\r\ncontent-length: 12345\r\netag: \"h\"\r\n\r\n".to_vec()
        } else if line.contains("/204") {
            b"HTTP/1.1 204 No Content\r\netag: \"n\"\r\n\r\n".to_vec()
        } else if line.contains("/304") {
            b"HTTP/1.1 304 Not Modified\r\ncontent-length: 777\r\netag: \"m\"\r\n\r\n".to_vec()
        } else if line.contains("/103") {
            [b"HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n".as_slice(), &ok("after hints")].concat()
        } else if line.contains("/empty") {
            b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n".to_vec()
        } else {
            ok("good")
        }
    });
    let lab = Keyed::start(rig, &lab(KEYED).resolve("*.test:443", origin.address()));
    for host in ["api.test", "other.test"] {
        let mut raw = lab.rig.tunnel(&lab.gateway, &format!("{host}:443"));
        let mut ask = |method: &str, path: &str| {
            raw.send(format!("{method} {path} HTTP/1.1\r\nHost: {host}\r\n\r\n").as_bytes());
            raw.try_answer(method).unwrap().unwrap()
        };
        let head = ask("HEAD", "/");
        assert_eq!(
            (head.status, head.field("content-length"), head.field("etag")),
            (200, Some("12345"), Some("\"h\""))
        );
        assert_eq!(ask("GET", "/a").text(), "good");
        let none = ask("GET", "/204");
        assert_eq!((none.status, none.field("content-length"), none.field("transfer-encoding")), (204, None, None));
        assert_eq!(ask("GET", "/b").text(), "good");
        let same = ask("GET", "/304");
        assert_eq!((same.status, same.field("etag"), same.field("transfer-encoding")), (304, Some("\"m\""), None));
        assert_eq!(ask("GET", "/c").text(), "good");
        let empty = ask("GET", "/empty");
        assert_eq!((empty.status, empty.field("content-length"), empty.text().as_str()), (200, Some("0"), ""));
        assert_eq!(ask("GET", "/103").text(), "after hints");
        assert_eq!(ask("GET", "/d").text(), "good");
    }
    assert_eq!(origin.connections(), 2);
}

/// curl asks before it sends much, and waits for the word: ours where the gateway reads the exchange, else upstream's.
#[test]
fn an_expectation_is_met() {
    let rig = rig();
    let origin = Origin::start(Some(rig.ca.leaf(&["api.test", "other.test"])), |link| {
        while let Some(head) = link.request_head()? {
            if head.line().contains("/unwanted") {
                link.write(b"HTTP/1.1 417 No\r\ncontent-length: 0\r\n\r\n")?;
                // Not a byte of the body comes, however long one waits.
                while !link.some()?.is_empty() {}
                return Ok(());
            }
            let asks = head.field("expect").is_some();
            if asks {
                link.write(b"HTTP/1.1 100 Continue\r\n\r\n")?;
            }
            let (length, _) = link.body_sum(&head)?;
            link.write(&ok(&format!("{length} {asks}")))?;
        }
        Ok(())
    });
    let lab = Keyed::start(rig, &lab(KEYED).resolve("*.test:443", origin.address()));
    for host in ["api.test", "other.test"] {
        let mut raw = lab.rig.tunnel(&lab.gateway, &format!("{host}:443"));
        let ask = |path: &str, host: &str| {
            format!("POST {path} HTTP/1.1\r\nHost: {host}\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n")
        };
        raw.send(ask("/", host).as_bytes());
        let word = raw.answer_head().unwrap().unwrap();
        assert_eq!(word.status, 100, "{host}: {}", word.head);
        raw.send(b"hello");
        assert_eq!(raw.answer().text(), format!("5 {}", host == "other.test"));
        // What is refused by its head is refused without a word before.
        raw.send(ask("/", "no.test").as_bytes());
        assert_eq!(raw.answer().status, 421, "{host}");
    }
    let mut raw = lab.rig.tunnel(&lab.gateway, "other.test:443");
    raw.send(b"POST /unwanted HTTP/1.1\r\nHost: other.test\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n");
    assert_eq!(raw.answer().status, 417);
    // Whether its body still comes is not to be known, so nothing can follow it.
    let _ = raw.try_send(b"ABCDE");
    assert_eq!(raw.rest(), b"");
    drop(lab);
    assert!(origin.text().contains("/unwanted") && !origin.text().contains("ABCDE"), "{}", origin.text());
}

/// What cannot be read behind a good request is told behind its answer, never inside it.
#[test]
fn a_refusal_never_stands_inside_an_answer() {
    let rig = rig();
    let (go, gone) = mpsc::channel::<()>();
    let gone = Mutex::new(gone);
    let origin = Origin::start(Some(rig.ca.leaf(&["api.test", "other.test"])), move |link| {
        while let Some(request) = link.request()? {
            if request.line().contains("/length") {
                link.write(b"HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\npart")?;
            } else {
                link.write(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n4\r\npart\r\n")?;
            }
            let _ = gone.lock().unwrap().recv_timeout(ensage_tests::DEADLINE);
            if request.line().contains("/length") {
                link.write(&[b'.'; 996])?;
            } else {
                link.write(b"0\r\n\r\n")?;
            }
        }
        Ok(())
    });
    let lab = Keyed::start(rig, &lab(KEYED).resolve("*.test:443", origin.address()));
    for host in ["api.test", "other.test"] {
        for path in ["/length", "/chunks"] {
            let mut raw = lab.rig.tunnel(&lab.gateway, &format!("{host}:443"));
            raw.send(format!("GET {path} HTTP/1.1\r\nHost: {host}\r\n\r\n").as_bytes());
            let head = raw.answer_head().unwrap().unwrap();
            assert_eq!(head.status, 200);
            raw.send(b"GARBAGE\r\n\r\n");
            go.send(()).unwrap();
            let whole = if path == "/length" { format!("part{}", ".".repeat(996)) } else { "part".to_owned() };
            assert_eq!(raw.body(head).unwrap().text(), whole, "{host}{path}");
            assert_eq!(raw.answer().told(), Some("malformed_request"), "{host}{path}");
            assert_eq!(raw.rest(), b"", "{host}{path}");
        }
    }
}

/// A body that breaks while its answer is on the way ends both; nothing of ours completes the answer.
#[test]
fn a_refusal_never_completes_an_answer() {
    let rig = rig();
    let origin = Origin::start(Some(rig.ca.leaf(&["api.test", "other.test"])), |link| {
        let Some(head) = link.request_head()? else { return Ok(()) };
        let framing = if head.line().contains("/length") { "content-length: 60" } else { "connection: close" };
        link.write(format!("HTTP/1.1 200 OK\r\n{framing}\r\n\r\npart").as_bytes())?;
        link.body_sum(&head)?;
        Ok(())
    });
    let lab = Keyed::start(rig, &lab(KEYED).resolve("*.test:443", origin.address()));
    for host in ["api.test", "other.test"] {
        for path in ["/length", "/close"] {
            let mut raw = lab.rig.tunnel(&lab.gateway, &format!("{host}:443"));
            raw.send(
                format!("POST {path} HTTP/1.1\r\nHost: {host}\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n")
                    .as_bytes(),
            );
            let head = raw.answer_head().unwrap().unwrap();
            assert_eq!(head.status, 200);
            raw.send(b"nonsense\r\n");
            let body = raw.body(head);
            assert!(body.is_err(), "{host}{path}: {}", body.unwrap().text());
        }
    }
}

/// Clients send the ClientHello right behind the CONNECT.
#[test]
fn what_comes_with_a_connect_is_inside_the_tunnel() {
    let rig = rig();
    let origin = Origin::good(rig.ca.leaf(&["other.test"]));
    let lab = Keyed::start(rig, &lab(KEYED).resolve("*.test:443", origin.address()));
    let mut raw = Raw::open(lab.gateway.address());
    let hello = ensage_tests::client_hello(&[b"other.test"]);
    raw.send(&[b"CONNECT other.test:443 HTTP/1.1\r\nHost: other.test:443\r\n\r\n".as_slice(), &hello].concat());
    assert_eq!(raw.answer_head().unwrap().unwrap().status, 200);
    raw.end();
    assert_eq!(raw.rest().first(), Some(&0x16));
    let mut raw = Raw::open(lab.gateway.address());
    raw.send(b"CONNECT other.test:443 HTTP/1.1\r\nHost: other.test:443\r\n\r\nSSH-2.0-x\r\n");
    assert_eq!(raw.answer_head().unwrap().unwrap().status, 200);
    assert_eq!(raw.rest(), b"");
    assert_eq!(lab.rig.refused()["reason"], "protocol_not_allowed");
}

/// The gateway may buffer, but not much of it.
const ROOM_KIB: u64 = 24 * 1024;
const UPLOAD: usize = 64 << 20;

/// Something that is not all the same.
fn piece(n: usize) -> Vec<u8> {
    (0..64 << 10).map(|i: usize| u8::try_from((i * 31 + n * 7) % 251).unwrap()).collect()
}

#[test]
fn an_upload_of_64_mib_needs_no_memory() {
    let rig = rig();
    let origin = Origin::start(Some(rig.ca.leaf(&["api.test", "other.test"])), |link| {
        while let Some(head) = link.request_head()? {
            let (length, sum) = link.body_sum(&head)?;
            link.write(&ok(&format!("{length} {sum}")))?;
        }
        Ok(())
    });
    let lab = Keyed::start(rig, &lab(KEYED).resolve("*.test:443", origin.address()));
    let count = UPLOAD / (64 << 10);
    let sum = (0..count).fold(0_u64, |sum, n| ensage_tests::sum(sum, &piece(n)));
    // The handshake and the first exchange have their own needs.
    let warm = lab.ask("other.test:443", "POST / HTTP/1.1\r\nHost: other.test\r\nContent-Length: 0\r\n\r\n");
    assert_eq!(warm.text(), "0 0");
    for (host, chunked) in [("other.test", false), ("other.test", true), ("api.test", true)] {
        let before = lab.gateway.peak_kib();
        let mut raw = lab.rig.tunnel(&lab.gateway, &format!("{host}:443"));
        let framing =
            if chunked { "Transfer-Encoding: chunked".to_owned() } else { format!("Content-Length: {UPLOAD}") };
        raw.send(format!("POST /up HTTP/1.1\r\nHost: {host}\r\n{framing}\r\n\r\n").as_bytes());
        for n in 0..count {
            if chunked {
                raw.send(b"10000\r\n");
            }
            raw.send(&piece(n));
            if chunked {
                raw.send(b"\r\n");
            }
        }
        if chunked {
            raw.send(b"0\r\n\r\n");
        }
        assert_eq!(raw.answer().text(), format!("{UPLOAD} {sum}"), "{host} chunked {chunked}");
        let grown = lab.gateway.peak_kib().saturating_sub(before);
        assert!(grown < ROOM_KIB, "{host} chunked {chunked}: {grown} KiB more");
        let record = lab.rig.calls().pop().unwrap();
        assert_eq!(record["bytes"]["up"], UPLOAD, "{record}");
    }
}

#[test]
fn a_download_that_nobody_reads_waits_upstream() {
    let rig = rig();
    let (sent, progress) = mpsc::channel();
    let sent = Mutex::new(sent);
    let origin = Origin::start(Some(rig.ca.leaf(&["other.test"])), move |link| {
        let Some(_) = link.request()? else { return Ok(()) };
        link.write(format!("HTTP/1.1 200 OK\r\ncontent-length: {UPLOAD}\r\n\r\n").as_bytes())?;
        for n in 0..UPLOAD / (64 << 10) {
            link.write(&piece(n))?;
            let _ = sent.lock().unwrap().send(n);
        }
        Ok(())
    });
    let lab = Keyed::start(rig, &lab(KEYED).resolve("other.test:443", origin.address()));
    let mut raw = lab.rig.tunnel(&lab.gateway, "other.test:443");
    let before = lab.gateway.peak_kib();
    raw.send(b"GET / HTTP/1.1\r\nHost: other.test\r\n\r\n");
    // Until nothing more is taken from the origin: every buffer on the way is full.
    let mut last = 0;
    while let Ok(n) = progress.recv_timeout(Duration::from_secs(1)) {
        last = n;
    }
    assert!(last + 1 < UPLOAD / (64 << 10), "all of it was taken although nobody reads");
    assert!(lab.gateway.peak_kib().saturating_sub(before) < ROOM_KIB);
    let answer = raw.answer();
    assert_eq!(answer.body.len(), UPLOAD);
    assert!((0..UPLOAD / (64 << 10)).all(|n| answer.body[n << 16..(n + 1) << 16] == piece(n)));
}

/// Events come one by one: the second is sent only when the client has the first.
fn events(host: &'static str, entries: &str, method: &str, path: &str, body: &str) {
    let rig = rig();
    let (confirm, confirmed) = mpsc::channel::<()>();
    let confirmed = Mutex::new(confirmed);
    let origin = Origin::start(Some(rig.ca.leaf(&[host])), move |link| {
        let Some(_) = link.request()? else { return Ok(()) };
        link.write(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n")?;
        for n in 0..3 {
            let event = format!("event: ping\ndata: {{\"type\":\"ping\",\"n\":{n}}}\n\n");
            link.write(format!("{:x}\r\n{event}\r\n", event.len()).as_bytes())?;
            if confirmed.lock().unwrap().recv_timeout(ensage_tests::DEADLINE).is_err() {
                return Ok(());
            }
        }
        link.write(b"0\r\n\r\n")
    });
    let config: Config = lab(entries).resolve("*.test:443", origin.address());
    let lab = Keyed::start(rig, &config);
    let mut raw: Raw = lab.rig.tunnel(&lab.gateway, &format!("{host}:443"));
    let lines = if body.is_empty() {
        String::new()
    } else {
        format!("Content-Type: application/json\r\nContent-Length: {}\r\n", body.len())
    };
    let key = format!("Authorization: Bearer {}\r\n", lab.placeholder);
    let key = if host == "other.test" { "" } else { key.as_str() };
    raw.send(format!("{method} {path} HTTP/1.1\r\nHost: {host}\r\n{key}{lines}\r\n{body}").as_bytes());
    let head = raw.answer_head().unwrap().unwrap();
    assert_eq!((head.status, head.field("content-type")), (200, Some("text/event-stream")));
    for n in 0..3 {
        let mut seen = Vec::new();
        while !seen.ends_with(b"\n\n") {
            seen.extend(raw.chunk().unwrap());
        }
        assert_eq!(String::from_utf8(seen).unwrap(), format!("event: ping\ndata: {{\"type\":\"ping\",\"n\":{n}}}\n\n"));
        // The call is on record while it runs.
        confirm.send(()).unwrap();
    }
    assert_eq!(raw.chunk().unwrap(), b"");
    let record = lab.rig.calls().pop().unwrap();
    assert_eq!((&record["outcome"], &record["http"]["response"]["status_code"]), (&"complete".into(), &200.into()));
}

#[test]
fn events_come_as_they_are_sent() {
    events("other.test", KEYED, "GET", "/", "");
}

#[test]
fn events_of_a_bound_host_come_as_they_are_sent() {
    events("api.test", KEYED, "GET", "/", "");
}

#[test]
fn events_of_a_model_come_as_they_are_sent() {
    let entries = "[enclave.lab.llm.anthropic]\napi = \"anthropic\"\nhost = \"llm.test\"\nmodels = [\"claude-*\"]\ncredential = \"key\"\n[credential.key]\nslot = \"bearer\"\nhosts = [\"llm.test\"]\nplaceholder = \"ph-\"\n";
    let body = r#"{"model":"claude-x","stream":true,"max_tokens":1,"messages":[{"role":"user","content":"hi"}]}"#;
    events("llm.test", entries, "POST", "/v1/messages", body);
}
