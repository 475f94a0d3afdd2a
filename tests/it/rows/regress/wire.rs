//! C16, D1, A2: what reaches a server, and what a server gets past us.

use ensage_tests::{Answer, Gateway, Origin, Raw, Rig};
use serde_json::{Value, json};

use super::super::lab::{ask, lab, reason, rig};

const DESK: &str = r#"
[[enclave.lab.http]]
host = "ok.test"

[enclave.lab.mcp.desk]
url = "https://desk.test/mcp"
tools = ["ok"]
revisions = ["2025-11-25", "2026-07-28"]
"#;

fn started(answer: impl Fn(&Answer) -> Vec<u8> + Send + Sync + 'static) -> (Rig, Origin, Gateway) {
    let rig = rig();
    let origin = Origin::answering(Some(rig.ca.leaf(&["ok.test", "desk.test"])), answer);
    let gateway = rig.start_with(&lab(DESK).resolve("*.test:443", origin.address()));
    (rig, origin, gateway)
}

fn post(lines: &str, body: &str) -> String {
    let head = "POST /mcp HTTP/1.1\r\nHost: desk.test\r\nContent-Type: application/json\r\n";
    format!("{head}{lines}Content-Length: {}\r\n\r\n{body}", body.len())
}

const LEGACY: &str = "MCP-Protocol-Version: 2025-11-25\r\n";

/// Gives out a session with `initialize`, and a stream on GET.
fn sessions(request: &Answer) -> Vec<u8> {
    let line = request.line();
    if line.starts_with("GET") {
        return b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ncontent-length: 9\r\n\r\ndata: 1\n\n".to_vec();
    }
    if line.starts_with("DELETE") {
        return b"HTTP/1.1 204 No Content\r\n\r\n".to_vec();
    }
    let message: Value = serde_json::from_slice(&request.body).unwrap();
    let (lines, result) = match message["method"].as_str() {
        Some("initialize") => (
            "mcp-session-id: OWN\r\n",
            json!({"protocolVersion": "2025-11-25", "capabilities": {}, "serverInfo": {"name": "x", "version": "1"}}),
        ),
        _ => ("", json!({"content": []})),
    };
    let body = json!({"jsonrpc": "2.0", "id": message["id"], "result": result}).to_string();
    let length = body.len();
    format!("HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n{lines}content-length: {length}\r\n\r\n{body}")
        .into_bytes()
}

#[test]
fn c16_a_foreign_mcp_session_is_unknown_on_get_and_delete() {
    let (rig, origin, gateway) = started(sessions);
    let init = r#"{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"protocolVersion":"2025-11-25","capabilities":{},"clientInfo":{"name":"x","version":"1"}}}"#;
    let answer = ask(&rig, &gateway, "desk.test:443", post("", init).as_bytes());
    assert_eq!(answer.field("mcp-session-id"), Some("OWN"), "{}{}", answer.head, answer.text());
    let before = origin.requests();
    let say = |verb: &str, lines: &str| {
        let mut raw = rig.tunnel(&gateway, "desk.test:443");
        let accept = "Accept: text/event-stream\r\n";
        raw.send(format!("{verb} /mcp HTTP/1.1\r\nHost: desk.test\r\n{accept}{lines}\r\n").as_bytes());
        raw.answer()
    };
    let versions = ["", "2025-11-25", "2026-07-28", "bogus"].map(|version| match version {
        "" => String::new(),
        version => format!("MCP-Protocol-Version: {version}\r\n"),
    });
    let foreign = [
        "Mcp-Session-Id: VICTIM\r\n",
        "Mcp-Session-Id: own\r\n",
        "Mcp-Session-Id:\r\n",
        "Mcp-Session-Id: OWN\r\nMcp-Session-Id: VICTIM\r\n",
        "Mcp-Session-Id: VICTIM\r\nMcp-Session-Id: OWN\r\n",
        "Mcp-Session-Id: OWN\r\nMcp-Session-Id: OWN\r\n",
    ];
    for verb in ["GET", "DELETE"] {
        for version in &versions {
            for id in foreign {
                let answer = say(verb, &format!("{id}{version}"));
                let told = (answer.status, answer.told());
                assert_eq!(told, (404, Some("mcp_session_unknown")), "{verb} {id}{version}: {}", answer.text());
                assert_eq!(reason(&rig.calls().pop().unwrap()), "mcp_session_unknown", "{verb} {id}{version}");
            }
        }
        // Its own session in a revision that has no streams, or that does not exist.
        for version in &versions[2..] {
            let answer = say(verb, &format!("Mcp-Session-Id: OWN\r\n{version}"));
            assert_eq!(answer.status, 400, "{verb} {version}");
            assert_eq!(reason(&rig.calls().pop().unwrap()), "revision_not_allowed", "{verb} {version}");
        }
    }
    assert_eq!(origin.requests(), before);
    // The twin: its own.
    assert_eq!(say("GET", &format!("Mcp-Session-Id: OWN\r\n{LEGACY}")).status, 200);
    let mut raw = rig.tunnel(&gateway, "desk.test:443");
    raw.send(format!("DELETE /mcp HTTP/1.1\r\nHost: desk.test\r\nMcp-Session-Id: OWN\r\n{LEGACY}\r\n").as_bytes());
    assert_eq!(raw.try_answer("DELETE").unwrap().unwrap().status, 204);
    assert_eq!(origin.text().matches("mcp-session-id: OWN\r\n").count(), 2, "{}", origin.text());
    for record in rig.calls().iter().rev().take(2) {
        assert_eq!(record["mcp"]["session"]["id"], "OWN", "{record}");
    }
}

#[test]
fn c16_a_modern_call_carries_no_session() {
    let (rig, origin, gateway) = started(sessions);
    let call = r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"ok","arguments":{},"_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28"}}}"#;
    let modern = "MCP-Protocol-Version: 2026-07-28\r\nMcp-Method: tools/call\r\nMcp-Name: ok\r\n";
    for lines in ["Mcp-Session-Id: VICTIM\r\n", "Mcp-Session-Id: VICTIM\r\nLast-Event-Id: 7\r\n"] {
        let answer = ask(&rig, &gateway, "desk.test:443", post(&format!("{modern}{lines}"), call).as_bytes());
        assert_eq!(answer.status, 200, "{lines}: {}", answer.text());
        assert!(rig.calls().pop().unwrap()["mcp"].get("session").is_none());
    }
    let twice = post(&format!("{modern}Mcp-Session-Id: A\r\nMcp-Session-Id: VICTIM\r\n"), call);
    assert_eq!(ask(&rig, &gateway, "desk.test:443", twice.as_bytes()).status, 400);
    let got = origin.text();
    assert_eq!(got.matches(call).count(), 2, "{got}");
    assert_eq!(got.matches("mcp-name: ok\r\n").count(), 2, "{got}");
    assert!(!got.contains("VICTIM") && !got.contains("session-id") && !got.contains("last-event-id"), "{got}");
}

const HIDDEN: &str = r#"{"jsonrpc":"2.0","id":1,"result":{"tools":[{"name":"evil","inputSchema":{"type":"object"}},{"name":"ok","inputSchema":{"type":"object"}}]}}"#;

/// Answers as the tool or the cursor says: a status and content types, `+` between them.
fn odd(request: &Answer) -> Vec<u8> {
    let message: Value = serde_json::from_slice(&request.body).unwrap();
    let wish = message["params"]["cursor"].as_str().or(message["params"]["arguments"]["as"].as_str()).unwrap();
    let (status, kinds) = wish.split_once(' ').unwrap();
    let body = if wish.ends_with("event-stream") { format!("data: {HIDDEN}\n\n") } else { HIDDEN.to_owned() };
    let mut head = format!("HTTP/1.1 {status} Odd\r\ncontent-length: {}\r\n", body.len());
    for kind in kinds.split('+').filter(|kind| !kind.is_empty()) {
        head.push_str(&format!("content-type: {kind}\r\n"));
    }
    format!("{head}\r\n{body}").into_bytes()
}

#[test]
fn d1_a_list_in_another_dress_is_refused() {
    let (rig, origin, gateway) = started(odd);
    let list = |wish: &str| {
        let body = format!(r#"{{"jsonrpc":"2.0","id":1,"method":"tools/list","params":{{"cursor":"{wish}"}}}}"#);
        ask(&rig, &gateway, "desk.test:443", post(LEGACY, &body).as_bytes())
    };
    for wish in ["404 text/plain", "404 ", "500 ", "302 text/html", "503 text/plain", "200 text/plain", "200 "] {
        let answer = list(wish);
        assert_eq!((answer.status, answer.told()), (502, Some("response_refused")), "{wish}: {}", answer.text());
        assert!(!format!("{}{}", answer.head, answer.text()).contains("evil"), "{wish}");
        assert_eq!(reason(&rig.calls().pop().unwrap()), "response_refused", "{wish}");
    }
    for wish in [
        "200 text/event-stream+application/json",
        "200 application/json+text/event-stream",
        "404 application/json",
        "500 text/event-stream",
    ] {
        assert!(!list(wish).text().contains("evil"), "{wish}");
    }
    assert_eq!(origin.requests(), 11);
    // The twins: the list as it should be, and an error page for what is no list.
    let answer = list("200 application/json");
    assert!(answer.status == 200 && answer.text().contains("\"ok\"") && !answer.text().contains("evil"));
    let body =
        r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"ok","arguments":{"as":"404 text/plain"}}}"#;
    let answer = ask(&rig, &gateway, "desk.test:443", post(LEGACY, body).as_bytes());
    assert_eq!((answer.status, answer.text().as_str()), (404, HIDDEN));
}

/// An origin must not read another host out of what we judged.
#[test]
fn a2_upstream_gets_the_one_host_that_was_judged() {
    let (rig, origin, gateway) =
        started(|_| b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 4\r\n\r\ngood".to_vec());
    let mut sent = 0;
    let mut say = |version: &str, lines: &str, good: bool| {
        let mut raw: Raw = rig.tunnel(&gateway, "ok.test:443");
        raw.send(format!("GET /x HTTP/{version}\r\n{lines}Connection: close\r\n\r\n").as_bytes());
        let answer = String::from_utf8(raw.rest()).unwrap();
        sent += usize::from(good);
        let head = answer.split("\r\n").next().unwrap();
        assert_eq!(head.contains(" 200 "), good, "{lines}: {answer}");
        let got = origin.text();
        assert_eq!(got.matches("\r\nhost: ok.test\r\n").count(), sent, "{lines}: {got}");
        assert_eq!(got.to_ascii_lowercase().matches("\r\nhost:").count(), sent, "{lines}: {got}");
    };
    say("1.0", "", true);
    say("1.1", "Host: ok.test\r\n", true);
    say("1.1", "hOsT: OK.TEST\r\n", true);
    say("1.1", "Host: ok.test.\r\n", true);
    say("1.1", "Host: ok.test:443\r\n", true);
    say("1.1", "Host: ok.test.:443\r\n", true);
    say("1.1", "Host:  ok.test \r\n", true);
    // Another spelling of the same name by the rules of internationalised ones.
    say("1.1", "Host: ok\u{3002}test\r\n", true);
    for bad in ["ok.test:+443", "ok.test:443,evil.test", "ok.test:444", "evil.test", "ok.test@evil.test"] {
        say("1.1", &format!("Host: {bad}\r\n"), false);
    }
}
