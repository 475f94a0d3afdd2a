//! A gateway that is told to end: what was asked is answered, nothing new begins, and idle clients are let go.

use std::net::TcpStream;
use std::sync::{Arc, Mutex, mpsc};

use ensage_tests::h2::{self, H2Origin};
use ensage_tests::{DEADLINE, Gateway, Origin, Raw, Rig, until};
use serde_json::Value;

use super::lab::{lab, reason, rig};

const ENTRIES: &str = "[[enclave.lab.http]]\nhost = \"*.test\"\nmcp = \"allow\"\n[enclave.lab.llm.anthropic]\napi = \"anthropic\"\nhost = \"llm.test\"\nmodels = [\"*\"]\n";

/// An origin that answers `/late` when it is told to, and whatever else at once.
fn started() -> (Rig, Origin, Gateway, mpsc::Sender<()>) {
    let rig = rig();
    let (go, wait) = mpsc::channel::<()>();
    let wait = Arc::new(Mutex::new(wait));
    let origin = Origin::start(Some(rig.ca.leaf(&["ok.test", "llm.test"])), move |link| {
        while let Some(request) = link.request()? {
            if request.line().contains("/late") {
                let _ = wait.lock().unwrap().recv_timeout(DEADLINE);
            }
            if request.line().contains("/large") {
                let body = vec![b'x'; LARGE];
                link.write(format!("HTTP/1.1 200 OK\r\ncontent-length: {LARGE}\r\n\r\n").as_bytes())?;
                link.write(&body)?;
            } else {
                link.write(&ensage_tests::ok("good"))?;
            }
        }
        Ok(())
    });
    let gateway = rig.start_with(&lab(ENTRIES).resolve("*.test:443", origin.address()));
    (rig, origin, gateway, go)
}

const LARGE: usize = 24 << 20;

fn get(path: &str) -> Vec<u8> {
    format!("GET {path} HTTP/1.1\r\nHost: ok.test\r\n\r\n").into_bytes()
}

fn drains(rig: &Rig, gateway: &Gateway) {
    gateway.terminate();
    until("the gateway to drain", || {
        rig.records().iter().any(|r| r["kind"] == "gateway" && r["event"] == "draining").then_some(())
    });
}

/// A tunnel in which one request was answered.
fn used(rig: &Rig, gateway: &Gateway) -> Raw {
    let mut raw = rig.tunnel(gateway, "ok.test:443");
    raw.send(&get("/"));
    let answer = raw.answer();
    assert_eq!((answer.text().as_str(), answer.field("connection")), ("good", None));
    raw
}

#[test]
fn a_gateway_that_drains_ends_what_runs_and_begins_nothing() {
    let (rig, origin, mut gateway, go) = started();
    let mut idle = used(&rig, &gateway);
    let mut idle_proxy = Raw::open(gateway.address());
    idle_proxy.send(b"GET http://no.test/ HTTP/1.1\r\nHost: no.test\r\n\r\n");
    assert_eq!(idle_proxy.answer().status, 502);
    let mut fresh = rig.tunnel(&gateway, "ok.test:443");
    let mut llm = rig.tunnel(&gateway, "llm.test:443");
    let mut half = used(&rig, &gateway);
    half.send(b"GET /half HTTP/1.1\r\nHo");
    // Of a connection on which nothing was said: it has been taken, and who it is is known.
    let mut silent = Raw::open(gateway.address());
    until("all are taken", || {
        let status: Value = serde_json::from_str(&rig.good(&["--json", "status"])).unwrap();
        (status["connections"] == 6).then_some(())
    });
    let mut running = used(&rig, &gateway);
    running.send(&get("/late"));
    origin.wait_for("/late");
    drains(&rig, &gateway);
    // Who rests is let go, in order.
    assert_eq!(idle.try_rest().unwrap(), b"");
    assert_eq!(idle_proxy.try_rest().unwrap(), b"");
    // Nobody new is taken.
    until("the listener to close", || TcpStream::connect(gateway.address()).is_err().then_some(()));
    // What comes on a connection that is still there is told.
    fresh.send(&get("/new"));
    half.send(b"st: ok.test\r\n\r\n");
    for raw in [&mut fresh, &mut half] {
        let answer = raw.answer();
        assert_eq!((answer.status, answer.told()), (503, Some("draining")), "{}", answer.text());
        assert_eq!((answer.field("connection"), answer.field("retry-after")), (Some("close"), Some("5")));
        assert_eq!(raw.try_rest().unwrap(), b"");
        let record = rig.calls().pop().unwrap();
        assert_eq!((reason(&record).as_str(), &record["outcome"]), ("draining", &"refused".into()), "{record}");
    }
    let body = r#"{"model":"m","max_tokens":1,"messages":[]}"#;
    llm.send(format!("POST /v1/messages HTTP/1.1\r\nHost: llm.test\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}", body.len()).as_bytes());
    let answer = llm.answer();
    assert_eq!((answer.status, answer.told(), answer.json()["type"].as_str()), (503, Some("draining"), Some("error")));
    // A CONNECT is never refused for that: it is told inside.
    assert_eq!(silent.connect("ok.test:443", "").status, 200);
    let mut silent = silent.tls(&rig.trust(), "ok.test").unwrap();
    silent.send(&get("/inside"));
    assert_eq!(silent.answer().told(), Some("draining"));
    assert_eq!(origin.requests(), 4, "{}", origin.text());
    // What was asked before is answered, and that is the last answer of its connection.
    go.send(()).unwrap();
    let answer = running.answer();
    assert_eq!((answer.text().as_str(), answer.field("connection")), ("good", Some("close")));
    assert_eq!(running.try_rest().unwrap(), b"");
    assert_eq!(gateway.ended().code(), Some(0));
    let records = rig.records();
    let last = records.last().unwrap();
    assert_eq!((&last["kind"], &last["event"]), (&"gateway".into(), &"stopped".into()));
    let late = records.iter().find(|r| r["url"]["path"] == "/late").unwrap();
    assert_eq!(late["outcome"], "complete", "{late}");
}

/// An exchange is over when its last byte is with the kernel, not when the gateway has it.
#[test]
fn a_slow_reader_gets_the_whole_of_its_answer() {
    let (rig, _origin, mut gateway, _go) = started();
    let mut raw = rig.tunnel(&gateway, "ok.test:443");
    raw.send(&get("/large"));
    let head = raw.answer_head().unwrap().unwrap();
    drains(&rig, &gateway);
    let answer = raw.body(head).unwrap();
    assert_eq!(answer.body.len(), LARGE);
    assert_eq!(raw.try_rest().unwrap(), b"", "its head was out before, and its connection ends all the same");
    assert_eq!(gateway.ended().code(), Some(0));
    assert_eq!(rig.calls().pop().unwrap()["outcome"], "complete");
}

/// A connection of HTTP/2 is told to ask no more, and ends when its streams have.
#[test]
fn streams_that_run_are_ended_and_no_more_are_begun() {
    let rig = rig();
    let (go, wait) = mpsc::channel::<()>();
    let wait = Arc::new(Mutex::new(wait));
    let (begun, begins) = mpsc::channel();
    let origin = H2Origin::start(rig.ca.leaf(&["ok.test"]), move |request, respond, _| {
        let (wait, begun) = (wait.clone(), begun.clone());
        async move {
            let asked = h2::whole(request).await.unwrap();
            if asked.line.contains("/late") {
                begun.send(()).unwrap();
                let _ = tokio::task::spawn_blocking(move || wait.lock().unwrap().recv_timeout(DEADLINE)).await;
                h2::send(respond, h2::good(vec![b'x'; 1 << 20])).await;
            } else {
                h2::send(respond, h2::good("good")).await;
            }
        }
    });
    let mut gateway = rig.start_with(&lab(ENTRIES).resolve("*.test:443", origin.address()));
    let idle = rig.h2(&gateway, "ok.test:443");
    assert_eq!(idle.get("https://ok.test/").unwrap().text(), "good");
    let client = rig.h2(&gateway, "ok.test:443");
    let late = http::Request::get("https://ok.test/late").body(Vec::new()).unwrap();
    let running = h2::ask(client.sender(), late);
    let asks = async {
        let told = async {
            // The client's own runtime carries the streams, so what blocks waits elsewhere.
            let begins = tokio::task::spawn_blocking(move || begins.recv_timeout(DEADLINE).unwrap());
            begins.await.unwrap();
            drains(&rig, &gateway);
            // One that was sent before the client heard of it is told; one after is not even sent.
            loop {
                let new = http::Request::get("https://ok.test/new").body(Vec::new()).unwrap();
                let Ok(answer) = h2::ask(client.sender(), new).await else { break };
                assert_eq!((answer.status, answer.field("connection")), (503, None), "{answer:?}");
                assert!(answer.field("proxy-status").unwrap().contains("draining"), "{answer:?}");
            }
            go.send(()).unwrap();
        };
        tokio::join!(running, told).0
    };
    let answer = client.run(asks).unwrap();
    assert_eq!((answer.status, answer.body.len()), (200, 1 << 20));
    assert_eq!(gateway.ended().code(), Some(0));
    assert!(idle.get("https://ok.test/").is_err());
    let calls = rig.calls();
    let late = calls.iter().find(|r| r["url"]["path"] == "/late").unwrap();
    assert_eq!((&late["outcome"], &late["network"]["protocol"]["version"]), (&"complete".into(), &"2".into()));
}

/// The second signal is not waited for.
#[test]
fn a_second_signal_cuts_what_still_runs() {
    let (rig, origin, mut gateway, _go) = started();
    let mut raw = rig.tunnel(&gateway, "ok.test:443");
    raw.send(&get("/late"));
    origin.wait_for("/late");
    drains(&rig, &gateway);
    gateway.terminate();
    assert_eq!(gateway.ended().code(), Some(0));
    assert!(raw.rest().is_empty());
    assert_eq!(rig.calls().pop().unwrap()["outcome"], "gateway_stopped");
}
