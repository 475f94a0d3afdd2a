//! What is allowed passes unharmed, whatever the other leg speaks.

use ensage_tests::h2::{self, H2Origin, Message, good, whole};
use ensage_tests::{Origin, Raw, ok, sum};
use http::{HeaderMap, HeaderValue, Request};

use super::super::lab::{KEYED, Keyed, has, lab, rig};
use super::{echo, echo_h1, post};

#[test]
fn the_secret_goes_out_on_a_connection_that_all_of_the_session_share() {
    let (origin, lab) = echo();
    let clients: Vec<_> = (0..2).map(|_| lab.rig.h2(&lab.gateway, "api.test:443")).collect();
    for (n, client) in clients.iter().enumerate() {
        let all = (0..20).map(|k| {
            let url = format!("https://api.test/{n}/{k}");
            let request = Request::get(&url).header("authorization", format!("Bearer {}", lab.placeholder));
            h2::ask(client.sender(), request.body(Vec::new()).unwrap())
        });
        for (k, answer) in client.run(futures_util::future::join_all(all)).into_iter().enumerate() {
            let answer = answer.unwrap();
            assert_eq!((answer.status, answer.text()), (200, format!("GET https://api.test/{n}/{k}")));
        }
    }
    assert_eq!(origin.connections(), 1);
    let asked = origin.asked();
    assert_eq!(asked.len(), 40);
    assert!(asked.iter().all(|m| m.field("authorization") == Some(&format!("Bearer {}", lab.secret))), "{asked:?}");
    let calls = lab.rig.calls();
    assert_eq!(calls.len(), 40);
    for call in &calls {
        assert_eq!((&call["decision"], &call["outcome"]), (&"allow".into(), &"complete".into()), "{call}");
        assert_eq!(call["network"]["protocol"]["version"], "2");
        assert_eq!(call["credential"]["action"], "substituted");
        assert_eq!(call["http"]["response"]["status_code"], 200);
    }
    let mut exchanges: Vec<_> = calls.iter().map(|c| c["exchange"].as_str().unwrap()).collect();
    exchanges.sort_unstable();
    exchanges.dedup();
    assert_eq!(exchanges.len(), 40);
    let mut connections: Vec<_> = calls.iter().map(|c| c["connection"].as_str().unwrap()).collect();
    connections.sort_unstable();
    connections.dedup();
    assert_eq!(connections.len(), 2);
    lab.assert_sealed();
}

#[test]
fn two_credentials_share_no_connection() {
    let (origin, lab) = echo();
    let client = lab.rig.h2(&lab.gateway, "api.test:443");
    assert_eq!(client.get("https://api.test/bare").unwrap().status, 200);
    let keyed = Request::get("https://api.test/keyed").header("authorization", format!("Bearer {}", lab.placeholder));
    assert_eq!(client.ask(keyed.body(Vec::new()).unwrap()).unwrap().status, 200);
    assert_eq!(origin.asked().iter().map(|m| m.connection).collect::<Vec<_>>(), [0, 1]);
}

/// HTTP/2 towards the client promises nothing upstream.
#[test]
fn an_upstream_that_speaks_http1_alone_gets_that() {
    let (origin, lab) = echo_h1();
    let client = lab.rig.h2(&lab.gateway, "other.test:443");
    let request = Request::put("https://other.test/a?b=c")
        .header("cookie", "a=1")
        .header("cookie", "b=2")
        .header("x-kept", "yes")
        .body(b"hello".to_vec())
        .unwrap();
    let answer = client.ask(request).unwrap();
    assert_eq!((answer.status, answer.text().as_str()), (200, "PUT /a?b=c HTTP/1.1"));
    assert_eq!(answer.field("connection"), None);
    let got = origin.text();
    assert!(got.starts_with("PUT /a?b=c HTTP/1.1\r\n"), "{got}");
    for line in ["host: other.test\r\n", "cookie: a=1; b=2\r\n", "x-kept: yes\r\n"] {
        assert!(got.contains(line), "{line:?} in {got}");
    }
    // Its length was not told, so it goes in chunks.
    assert!(got.contains("transfer-encoding: chunked\r\n") && got.ends_with("5\r\nhello\r\n0\r\n\r\n"), "{got}");
    // A client of HTTP/1.1 stays with that.
    let answer = lab.ask("other.test:443", "GET /one HTTP/1.1\r\nHost: other.test\r\n\r\n");
    assert_eq!(answer.text(), "GET /one HTTP/1.1");
}

#[test]
fn an_http1_client_gets_an_upstream_that_speaks_http1_alone() {
    let rig = rig();
    let origin = Origin::answering(Some(rig.ca.leaf(&["other.test"])), |asked| ok(asked.line()));
    let lab = Keyed::start(rig, &lab(KEYED).resolve("*.test:443", origin.address()));
    let answer = lab.ask("other.test:443", "GET /one HTTP/1.1\r\nHost: other.test\r\n\r\n");
    assert_eq!(answer.text(), "GET /one HTTP/1.1");
    assert_eq!(lab.rig.calls()[0]["network"]["protocol"]["version"], "1.1");
}

#[test]
fn trailers_pass_both_ways_but_for_those_that_may_not() {
    let rig = rig();
    let origin = H2Origin::answering(rig.ca.leaf(&["other.test"]), |asked| {
        let mut trailers = HeaderMap::new();
        trailers.insert("grpc-status", HeaderValue::from_static("0"));
        trailers.insert("set-cookie", HeaderValue::from_static("a=b"));
        Message { trailers: Some(trailers), ..good(format!("{:?}", asked.trailers)) }
    });
    let lab = Keyed::start(rig, &lab(KEYED).resolve("*.test:443", origin.address()));
    let client = lab.rig.h2(&lab.gateway, "other.test:443");
    let answer = client.run(async {
        let mut send = client.sender().ready().await.unwrap();
        let request = Request::post("https://other.test/g").header("te", "trailers").body(()).unwrap();
        let (answer, mut stream) = send.send_request(request, false).unwrap();
        h2::send_all(&mut stream, b"abc", false).await;
        let mut trailers = HeaderMap::new();
        trailers.insert("x-sum", HeaderValue::from_static("abc"));
        for (name, value) in [("authorization", "Bearer x"), ("content-length", "3"), ("host", "no.test")] {
            trailers.insert(name, HeaderValue::from_static(value));
        }
        stream.send_trailers(trailers).unwrap();
        h2::answer(answer.await.unwrap()).await.unwrap()
    });
    assert_eq!(answer.text(), r#"Some({"x-sum": "abc"})"#);
    let trailers = answer.trailers.unwrap();
    assert_eq!((trailers.len(), trailers.get("grpc-status").unwrap().to_str().unwrap()), (1, "0"));
    assert_eq!(origin.asked()[0].field("te"), Some("trailers"));
}

#[test]
fn answers_without_a_body_leave_the_connection_in_step() {
    let rig = rig();
    let origin = H2Origin::answering(rig.ca.leaf(&["api.test", "other.test"]), |asked| {
        let mut answer = Message { status: 200, ..Message::default() };
        if asked.line.starts_with("HEAD ") {
            answer.fields.insert("content-length", HeaderValue::from_static("12345"));
        } else if asked.line.ends_with("/204") {
            answer.status = 204;
        } else if asked.line.ends_with("/304") {
            answer.status = 304;
        } else {
            answer.body = b"good".to_vec();
        }
        answer
    });
    let lab = Keyed::start(rig, &lab(KEYED).resolve("*.test:443", origin.address()));
    for host in ["api.test", "other.test"] {
        let client = lab.rig.h2(&lab.gateway, &format!("{host}:443"));
        let ask = |method: &str, path: &str| {
            let url = format!("https://{host}{path}");
            client.ask(Request::builder().method(method).uri(url).body(Vec::new()).unwrap()).unwrap()
        };
        let head = ask("HEAD", "/");
        assert_eq!((head.status, head.field("content-length"), head.text().as_str()), (200, Some("12345"), ""));
        assert_eq!(ask("GET", "/204").status, 204);
        assert_eq!(ask("GET", "/304").status, 304);
        assert_eq!(ask("GET", "/a").text(), "good");
    }
}

/// A reader that pauses holds up nobody else (design section 5), and holds bounded memory.
#[test]
fn a_stream_that_nobody_reads_holds_up_no_other() {
    const LENGTH: usize = 8 << 20;
    // So many that a huge page more or less, 2 MiB, does not decide.
    const STREAMS: u64 = 16;
    let rig = rig();
    let origin = H2Origin::start(rig.ca.leaf(&["other.test"]), |request, mut respond, _| async move {
        let size = if request.uri().path() == "/large" { LENGTH } else { 3 };
        let mut stream = respond.send_response(http::Response::new(()), false).unwrap();
        h2::send_all(&mut stream, &vec![b'x'; size], true).await;
    });
    let lab = Keyed::start(rig, &lab(KEYED).resolve("*.test:443", origin.address()));
    let mut raw = Raw::open(lab.gateway.address());
    assert_eq!(raw.connect("other.test:443", "").status, 200);
    let mut settings = ::h2::client::Builder::new();
    // What is paused takes up the streams' own windows, and not that of all.
    settings.initial_connection_window_size(8 << 20);
    let client = h2::Client::with(raw, &lab.rig.trust(), "other.test", &settings);
    // What one connection takes is not counted, but what its streams do.
    assert_eq!(client.get("https://other.test/small").unwrap().text(), "xxx");
    let before = lab.gateway.peak_kib();
    client.run(async {
        let mut paused = Vec::new();
        for _ in 0..STREAMS {
            let mut send = client.sender().ready().await.unwrap();
            let request = Request::get("https://other.test/large").body(()).unwrap();
            let answer = send.send_request(request, true).unwrap().0.await.unwrap();
            assert_eq!(answer.status(), 200);
            paused.push(answer);
            let small = Request::get("https://other.test/small").body(Vec::new()).unwrap();
            assert_eq!(h2::ask(client.sender(), small).await.unwrap().text(), "xxx");
        }
        // Bounded by its windows: 16 times 8 MiB are on their way, and hardly any of it is here.
        let grown = lab.gateway.peak_kib().saturating_sub(before);
        assert!(grown < STREAMS * 1024, "{grown} KiB for {STREAMS} streams");
        for answer in paused {
            assert_eq!(h2::answer(answer).await.unwrap().body.len(), LENGTH);
        }
    });
}

#[test]
fn an_upload_arrives_whole_with_its_length() {
    let rig = rig();
    let origin = H2Origin::answering(rig.ca.leaf(&["other.test"]), |asked| {
        good(format!("{} {} {:?}", asked.body.len(), sum(0, &asked.body), asked.field("content-length")))
    });
    let lab = Keyed::start(rig, &lab(KEYED).resolve("*.test:443", origin.address()));
    let client = lab.rig.h2(&lab.gateway, "other.test:443");
    let body: Vec<u8> = (0..9_000_001_u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    let told = Request::post("https://other.test/up").header("content-length", body.len()).body(body.clone()).unwrap();
    let expected = |length: &str| format!("{} {} {length}", body.len(), sum(0, &body));
    assert_eq!(client.ask(told).unwrap().text(), expected(&format!("Some({:?})", body.len().to_string())));
    assert_eq!(client.ask(post("https://other.test/up", &body)).unwrap().text(), expected("None"));
}

#[test]
fn an_expectation_is_met() {
    let rig = rig();
    let origin = H2Origin::answering(rig.ca.leaf(&["api.test", "other.test"]), |asked| {
        good(format!("{} {:?}", asked.text(), asked.field("expect")))
    });
    let lab = Keyed::start(rig, &lab(KEYED).resolve("*.test:443", origin.address()));
    for (host, forwarded) in [("api.test", "None"), ("other.test", "Some(\"100-continue\")")] {
        let client = lab.rig.h2(&lab.gateway, &format!("{host}:443"));
        let answer = client.run(async {
            let mut send = client.sender().ready().await.unwrap();
            let request = Request::post(format!("https://{host}/e")).header("expect", "100-continue").body(()).unwrap();
            let (mut answer, mut stream) = send.send_request(request, false).unwrap();
            let word = std::future::poll_fn(|cx| answer.poll_informational(cx)).await.unwrap().unwrap();
            assert_eq!(word.status(), 100);
            h2::send_all(&mut stream, b"hello", true).await;
            h2::answer(answer.await.unwrap()).await.unwrap()
        });
        assert_eq!(answer.text(), format!("hello {forwarded}"));
    }
}

/// Reflections are replaced in head, body and trailers, however the frames cut them.
#[test]
fn f4_f5_a_secret_does_not_come_back() {
    let rig = rig();
    let origin = H2Origin::start(rig.ca.leaf(&["api.test"]), |request, mut respond, _| async move {
        let asked = whole(request).await.unwrap();
        let said = asked.fields.get("authorization").unwrap().clone();
        let head = http::Response::builder().header("x-echo", &said).body(()).unwrap();
        let mut stream = respond.send_response(head, false).unwrap();
        for byte in said.as_bytes() {
            h2::send_all(&mut stream, &[*byte], false).await;
        }
        let mut trailers = HeaderMap::new();
        trailers.insert("x-echo", said);
        stream.send_trailers(trailers).unwrap();
    });
    let lab = Keyed::start(rig, &lab(KEYED).resolve("*.test:443", origin.address()));
    let client = lab.rig.h2(&lab.gateway, "api.test:443");
    let shown = format!("Bearer {}", lab.placeholder);
    let request = Request::get("https://api.test/echo").header("authorization", &shown).body(Vec::new()).unwrap();
    let answer = client.ask(request).unwrap();
    assert_eq!(answer.field("x-echo"), Some(&*shown));
    assert_eq!(answer.trailers.unwrap().get("x-echo").unwrap().to_str().unwrap(), shown);
    // Three bytes may go before it is known that they begin a secret (contract section 5).
    assert!(answer.body.ends_with(lab.placeholder.as_bytes()) && answer.body.len() <= shown.len() + 3);
    assert!(!has(&answer.body, lab.secret.get(..4).unwrap().as_bytes()));
    let call = &lab.rig.calls()[0];
    assert_eq!((&call["scrubbed"], &call["outcome"]), (&3.into(), &"complete".into()), "{call}");
}
