//! H8, H9: what is held, open or still running takes a bounded room, and gives it back.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use ensage_tests::{Answer, Gateway, Origin, Raw, Rig, ok, until};

use super::super::lab::{ask, lab, reason, rig};
use super::status;

const DESK: &str = r#"
[[enclave.lab.http]]
host = "ok.test"

[enclave.lab.mcp.desk]
url = "https://desk.test/mcp"
tools = ["ok"]
"#;

fn head(length: usize) -> String {
    let lines = "Content-Type: application/json\r\nMCP-Protocol-Version: 2025-11-25\r\n";
    format!("POST /mcp HTTP/1.1\r\nHost: desk.test\r\n{lines}Content-Length: {length}\r\n\r\n")
}

fn post(body: &str) -> String {
    format!("{}{body}", head(body.len()))
}

const CALL: &str = r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"ok"}}"#;
const LIST: &str = r#"{"jsonrpc":"2.0","id":1,"method":"tools/list"}"#;

fn desk(request: &Answer) -> Vec<u8> {
    if request.line().starts_with("GET") {
        return ok("good");
    }
    let body = r#"{"jsonrpc":"2.0","id":1,"result":{"content":[]}}"#;
    let lines = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n";
    format!("{lines}content-length: {}\r\n\r\n{body}", body.len()).into_bytes()
}

fn started(limits: &str) -> (Rig, Origin, Gateway) {
    let rig = rig();
    let origin = Origin::answering(Some(rig.ca.leaf(&["ok.test", "desk.test"])), desk);
    let gateway = rig.start_with(&lab(DESK).body(limits).resolve("*.test:443", origin.address()));
    (rig, origin, gateway)
}

/// Two of them take all the room there is; nobody may keep it by saying nothing more.
#[test]
fn h8_a_held_body_that_stands_still_gives_its_room_back() {
    let limits = "[limits]\nheld_total = \"64KiB\"\nbody_hold = \"32KiB\"\nhead_timeout = \"1s\"\n";
    let (rig, origin, gateway) = started(limits);
    let mut stalled: Vec<Raw> = (0..2)
        .map(|_| {
            let mut raw = rig.tunnel(&gateway, "desk.test:443");
            raw.send(format!("{}{}", head(32768), " ".repeat(32700)).as_bytes());
            raw
        })
        .collect();
    for raw in &mut stalled {
        let answer = raw.answer();
        assert_eq!((answer.status, answer.told()), (408, Some("client_timeout")), "{}", answer.text());
    }
    let denied: Vec<String> = rig.calls().iter().map(reason).collect();
    assert_eq!(denied, ["client_timeout"; 2]);
    assert_eq!(origin.connections(), 0);
    until("the room is free", || (status(&rig)["held_bytes"] == 0).then_some(()));
    // The twin: what takes all of the room and goes on, with pauses shorter than the limit.
    let whole = format!("{}{}", head(32768), format_args!("{}{CALL}", " ".repeat(32768 - CALL.len())));
    let mut raw = rig.tunnel(&gateway, "desk.test:443");
    raw.send_in_pieces(whole.as_bytes(), 4096);
    let answer = raw.answer();
    assert_eq!(answer.status, 200, "{}", answer.text());
    until("the room is free", || (status(&rig)["held_bytes"] == 0).then_some(()));
}

#[test]
fn h9_answers_that_are_held_to_be_read_count() {
    // Of a longer answer what was read goes on.
    const PART: usize = 200 << 10;
    const TOTAL: u64 = 700 << 10;
    const MANY: usize = 12;
    let go = Arc::<AtomicBool>::default();
    let rig = rig();
    let origin = {
        let go = go.clone();
        Origin::start(Some(rig.ca.leaf(&["desk.test"])), move |link| {
            while let Some(request) = link.request()? {
                let small = request.text().contains("small");
                let begin = format!(
                    "{{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":{{\"tools\":[{}",
                    " ".repeat(if small { 1 } else { PART })
                );
                let end = "{\"name\":\"ok\",\"inputSchema\":{\"type\":\"object\"}}]}}";
                let lines = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n";
                link.write(format!("{lines}{:x}\r\n{begin}\r\n", begin.len()).as_bytes())?;
                if !small {
                    until("the answers may end", || go.load(Ordering::Acquire).then_some(()));
                }
                link.write(format!("{:x}\r\n{end}\r\n0\r\n\r\n", end.len()).as_bytes())?;
            }
            Ok(())
        })
    };
    let entries = "[enclave.lab.mcp.desk]\nurl = \"https://desk.test/mcp\"\ntools = [\"ok\"]\n";
    let limits = "[limits]\nheld_total = \"700KiB\"\nbody_hold = \"512KiB\"\n";
    let gateway = rig.start_with(&lab(entries).body(limits).resolve("*.test:443", origin.address()));
    let mut asked: Vec<Raw> = (0..MANY)
        .map(|_| {
            let mut raw = rig.tunnel(&gateway, "desk.test:443");
            raw.send(post(LIST).as_bytes());
            raw
        })
        .collect();
    // Whatever finds no room is refused while the others still wait.
    let room = usize::try_from(TOTAL).unwrap() / PART;
    until("what has no room is refused", || {
        let held = status(&rig)["held_bytes"].as_u64().unwrap();
        assert!(held <= TOTAL, "{held}");
        let refused = rig.calls().iter().filter(|r| reason(r) == "overloaded").count();
        (refused >= MANY - room).then_some(())
    });
    // None before it has waited for a second.
    let refused: Vec<_> = rig.calls().into_iter().filter(|r| reason(r) == "overloaded").collect();
    assert!(refused.iter().all(|r| r["duration_ms"].as_f64().unwrap() >= 1000.0), "{refused:#?}");
    go.store(true, Ordering::Release);
    let mut good = 0;
    for raw in &mut asked {
        // Its head waits for its end, so a refusal is an answer and never a cut.
        let answer = raw.answer();
        if answer.status == 200 {
            good += 1;
            assert_eq!(answer.json()["result"]["tools"][0]["name"], "ok");
        } else {
            assert_eq!((answer.status, answer.told()), (503, Some("overloaded")), "{}", answer.text());
            assert!(answer.field("retry-after").is_some(), "{}", answer.head);
        }
    }
    assert!(good > 0 && good <= room, "{good}");
    until("the room is free", || (status(&rig)["held_bytes"] == 0).then_some(()));
    let small = r#"{"jsonrpc":"2.0","id":1,"method":"tools/list","params":{"cursor":"small"}}"#;
    assert_eq!(ask(&rig, &gateway, "desk.test:443", post(small).as_bytes()).status, 200);
}

/// The body of an answered call still runs: its connection is busy, so the next call gets another.
#[test]
fn a_connection_whose_request_body_still_runs_is_not_reused() {
    let rig = rig();
    let origin = Origin::start(Some(rig.ca.leaf(&["ok.test"])), |link| {
        while let Some(head) = link.request_head()? {
            link.write(&ok("early"))?;
            link.body_sum(&head)?;
        }
        Ok(())
    });
    let entries = "[[enclave.lab.http]]\nhost = \"ok.test\"\n";
    let gateway = rig.start_with(&lab(entries).resolve("*.test:443", origin.address()));
    let get = b"GET / HTTP/1.1\r\nHost: ok.test\r\n\r\n";
    // The twin: what is over is used again.
    for _ in 0..2 {
        assert_eq!(ask(&rig, &gateway, "ok.test:443", get).status, 200);
    }
    assert_eq!(origin.connections(), 1);
    let mut busy = rig.tunnel(&gateway, "ok.test:443");
    busy.send(b"POST / HTTP/1.1\r\nHost: ok.test\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n");
    assert_eq!(busy.answer().text(), "early");
    let mut next = rig.tunnel(&gateway, "ok.test:443");
    let begun = Instant::now();
    next.send(get);
    assert_eq!(next.answer().text(), "early");
    assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
    let received = origin.received();
    assert_eq!(received.len(), 2, "{}", origin.text());
    assert!(received[1].starts_with(b"GET / "), "{}", origin.text());
}

#[test]
fn bytes_up_of_a_governed_call_are_its_body() {
    let (rig, _origin, gateway) = started("");
    let chunked = post(CALL).replace(&format!("Content-Length: {}", CALL.len()), "Transfer-Encoding: chunked");
    let (lines, _) = chunked.split_once("\r\n\r\n").unwrap();
    let (first, second) = CALL.split_at(20);
    let chunked = format!("{lines}\r\n\r\n14\r\n{first}\r\n{:x}\r\n{second}\r\n0\r\n\r\n", second.len());
    for request in [post(CALL), chunked] {
        assert_eq!(ask(&rig, &gateway, "desk.test:443", request.as_bytes()).status, 200);
        let record = rig.calls().pop().unwrap();
        assert_eq!(record["bytes"]["up"], CALL.len(), "{record}");
        assert!(record["bytes"]["down"].as_u64().unwrap() > 0, "{record}");
    }
    let request = b"POST / HTTP/1.1\r\nHost: ok.test\r\nContent-Length: 7\r\n\r\npassing";
    assert_eq!(ask(&rig, &gateway, "ok.test:443", request).status, 200);
    assert_eq!(rig.calls().pop().unwrap()["bytes"]["up"], 7);
}

#[test]
fn h8_silent_connections_do_not_keep_others_out() {
    let (rig, origin, gateway) = started("[limits]\nconnections = 4\nhead_timeout = \"1s\"\n");
    let mut silent: Vec<Raw> = (0..4).map(|_| Raw::open(gateway.address())).collect();
    for raw in &mut silent {
        let said = String::from_utf8(raw.rest()).unwrap();
        assert!(said.is_empty() || said.starts_with("HTTP/1.1 408 "), "{said}");
    }
    // Their sockets are still open on this side.
    let get = b"GET / HTTP/1.1\r\nHost: ok.test\r\n\r\n";
    assert_eq!(ask(&rig, &gateway, "ok.test:443", get).status, 200);
    assert_eq!(origin.requests(), 1);
    drop(silent);
}
