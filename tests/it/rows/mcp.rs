//! C1, C2, C10, D1, D2: an MCP server as the enclave shows it.

use ensage_tests::{Answer, Gateway, Origin, Rig};
use serde_json::{Value, json};

use super::lab::{lab, reason, rig};

const ENTRY: &str = r#"
[enclave.lab.mcp.desk]
url = "https://desk.test/mcp"
tools = ["ok", "get_*"]
"#;

/// What a server of the lab answers: in JSON, or in a stream where the body asks for `stream`.
fn server(request: &Answer) -> Vec<u8> {
    let Ok(message) = serde_json::from_slice::<Value>(&request.body) else {
        return b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n".to_vec();
    };
    let result = match message["method"].as_str() {
        Some("tools/list") => json!({ "tools": [
            { "name": "ok", "inputSchema": { "type": "object" }, "n": 1.0 },
            { "name": "evil", "description": "EVIL-DESCRIPTION", "inputSchema": { "type": "object" } },
            { "name": "get_it", "inputSchema": { "type": "object" } },
        ], "nextCursor": "page2" }),
        _ => json!({ "content": [{ "type": "text", "text": "done" }] }),
    };
    let body = json!({ "jsonrpc": "2.0", "id": message["id"], "result": result }).to_string();
    if request.head.contains("x-lab: stream")
        || request.head.contains("last-event-id")
        || message["params"]["cursor"] == "stream"
    {
        let body = format!(": hello\n\nevent: message\nid: 7\ndata: {body}\n\n");
        return format!(
            "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n{:x}\r\n{body}\r\n0\r\n\r\n",
            body.len()
        )
        .into_bytes();
    }
    format!("HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}", body.len())
        .into_bytes()
}

struct Desk {
    rig: Rig,
    origin: Origin,
    gateway: Gateway,
}

impl Desk {
    fn start() -> Self {
        let rig = rig();
        let origin = Origin::answering(Some(rig.ca.leaf(&["desk.test"])), server);
        let gateway = rig.start_with(&lab(ENTRY).resolve("desk.test:443", origin.address()));
        Self { rig, origin, gateway }
    }

    /// One POST of these header lines and this body.
    fn post(&self, lines: &str, body: &str) -> Answer {
        let mut raw = self.rig.tunnel(&self.gateway, "desk.test:443");
        let length = body.len();
        let head = "POST /mcp HTTP/1.1\r\nHost: desk.test\r\nContent-Type: application/json\r\nAccept: application/json, text/event-stream\r\n";
        raw.send(format!("{head}Content-Length: {length}\r\n{lines}\r\n{body}").as_bytes());
        raw.answer()
    }

    /// The same in revision 2025-11-25.
    fn say(&self, body: &str) -> Answer {
        self.post("MCP-Protocol-Version: 2025-11-25\r\n", body)
    }

    /// The body is refused with this error and reason, and nothing went out.
    fn refuses(&self, lines: &str, body: &str, code: i64, why: &str) {
        let before = self.origin.text();
        let answer = self.post(lines, body);
        assert_eq!(answer.status, 400, "{body}: {}", answer.text());
        assert_eq!(answer.json()["error"]["code"], code, "{body}: {}", answer.text());
        let record = self.rig.calls().pop().unwrap();
        assert_eq!((reason(&record), &record["decision"]), (why.to_owned(), &"deny".into()), "{body}");
        assert_eq!(self.origin.text(), before, "{body}");
    }
}

const LEGACY: &str = "MCP-Protocol-Version: 2025-11-25\r\n";
const CALL: &str = r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"ok","arguments":{"a":1}}}"#;

#[test]
fn c1_duplicate_members_are_refused_wherever_they_are_read() {
    let desk = Desk::start();
    for body in [
        r#"{"jsonrpc":"2.0","id":1,"method":"tools/list","method":"tools/call","params":{"name":"evil"}}"#,
        r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","method":"tools/list","params":{"name":"evil"}}"#,
        r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"ok"},"params":{"name":"evil"}}"#,
        r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"ok","name":"evil"}}"#,
        r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"evil","name":"ok"}}"#,
        r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"ok","n\u0061me":"evil"}}"#,
        r#"{"jsonrpc":"2.0","id":1,"id":2,"method":"tools/call","params":{"name":"ok"}}"#,
    ] {
        desk.refuses(LEGACY, body, -32700, "malformed_json");
    }
    assert_eq!(desk.origin.connections(), 0);
    assert_eq!(desk.say(CALL).json()["result"]["content"][0]["text"], "done");
    assert!(desk.origin.text().ends_with(CALL), "{}", desk.origin.text());
}

#[test]
fn c2_case_twins_are_refused() {
    let desk = Desk::start();
    for body in [
        r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"ok","Name":"evil"}}"#,
        r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","Method":"tools/list","params":{"name":"ok"}}"#,
        "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"tools/call\",\"params\":{\"name\":\"ok\"},\"param\u{17f}\":{\"name\":\"evil\"}}",
        "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"tools/call\",\"params\":{\"name\":\"ok\",\"ta\u{17f}k\":{},\"task\":{}}}",
        "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"tools/call\",\"params\":{\"name\":\"ok\",\"task\":{},\"tas\u{212a}\":{}}}",
    ] {
        desk.refuses(LEGACY, body, -32700, "malformed_json");
    }
    // Alone, a twin stands for nothing that we read: what a folding server would take it for is refused too.
    let alone = r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"Name":"evil"}}"#;
    assert_ne!(desk.say(alone).status, 200);
    assert_eq!(desk.origin.connections(), 0);
    // In arguments nobody reads, twins are the server's business.
    let arguments =
        r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"ok","arguments":{"a":1,"A":2}}}"#;
    assert_eq!(desk.say(arguments).status, 200);
    assert!(desk.origin.text().ends_with(arguments));
}

/// A request of 2026-07-28.
fn modern(method: &str, params: &str) -> String {
    let meta = r#""_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28"}"#;
    format!(r#"{{"jsonrpc":"2.0","id":1,"method":"{method}","params":{{{params}{meta}}}}}"#)
}

#[test]
fn c10_headers_that_disagree_with_the_body_are_refused() {
    let desk = Desk::start();
    let evil = modern("tools/call", r#""name":"evil","#);
    let ok = modern("tools/call", r#""name":"ok","#);
    let version = "MCP-Protocol-Version: 2026-07-28\r\n";
    for (body, lines) in [
        (&evil, "Mcp-Method: tools/list\r\n"),
        (&evil, "Mcp-Method: tools/call\r\nMcp-Name: ok\r\n"),
        (&ok, "Mcp-Method: tools/call\r\n"),
        (&ok, "Mcp-Name: ok\r\n"),
        (&ok, "Mcp-Method: tools/call\r\nMcp-Name: ok\r\nMcp-Name: ok\r\n"),
        (&ok, "Mcp-Method: tools/call\r\nMcp-Method: tools/call\r\nMcp-Name: ok\r\n"),
        (&ok, "Mcp-Method: tools/call\r\nMcp-Name: =?base64?ZXZpbA==?=\r\n"),
        (&ok, "Mcp-Method: tools/call\r\nMcp-Name: =?BASE64?b2s=?=\r\n"),
        (&ok, "Mcp-Method: tools/call\r\nMcp-Name: OK\r\n"),
    ] {
        desk.refuses(&format!("{version}{lines}"), body, -32020, "header_mismatch");
    }
    assert_eq!(desk.origin.connections(), 0);
    for name in ["ok", "=?base64?b2s=?="] {
        let answer = desk.post(&format!("{version}Mcp-Method: tools/call\r\nMcp-Name: {name}\r\n"), &ok);
        assert_eq!(answer.json()["result"]["content"][0]["text"], "done", "{}", answer.text());
        let got = desk.origin.text();
        assert!(got.contains("mcp-method: tools/call\r\n") && got.contains(&format!("mcp-name: {name}\r\n")), "{got}");
        assert!(got.ends_with(&ok), "{got}");
    }
    // What `Connection` nominates would not reach the server (B8).
    let nominated = format!("{version}Connection: mcp-method, mcp-name\r\nMcp-Method: tools/call\r\nMcp-Name: ok\r\n");
    let before = desk.origin.text();
    let answer = desk.post(&nominated, &ok);
    assert_eq!((answer.status, answer.told()), (400, Some("malformed_request")));
    assert_eq!(desk.origin.text(), before);
}

#[test]
fn d1_a_hidden_tool_is_as_unknown_as_an_absent_one() {
    let desk = Desk::start();
    let call = |name: &str| {
        let body = format!(r#"{{"jsonrpc":"2.0","id":"x\u0031","method":"tools/call","params":{{"name":"{name}"}}}}"#);
        let answer = desk.say(&body);
        let decision = answer.field("ensage-decision").unwrap().to_owned();
        assert_eq!(answer.status, 200);
        assert_eq!(answer.field("content-type"), Some("application/json"));
        assert_eq!(answer.told(), None, "{}", answer.head);
        let record = desk.rig.calls().pop().unwrap();
        assert_eq!(record["id"], decision.as_str());
        assert_eq!((reason(&record).as_str(), &record["decision"]), ("tool_not_allowed", &"deny".into()));
        assert_eq!((&record["type"], &record["mcp"]["server"]), (&"mcp".into(), &"desk".into()));
        assert_eq!(record["gen_ai"]["tool"]["name"], name);
        assert_eq!(record["rule"], "enclave.lab.mcp.desk.tools");
        answer.text()
    };
    // `evil` is on the server, `none` is nowhere.
    let (hidden, absent) = (call("evil"), call("none"));
    let expected = r#"{"jsonrpc":"2.0","id":"x\u0031","error":{"code":-32602,"message":"Unknown tool: evil"}}"#;
    assert_eq!(hidden, expected);
    assert_eq!(absent, expected.replace("evil", "none"));
    for near in ["OK", "ok ", "get", "x/ok", "mcp__desk__ok"] {
        call(near);
    }
    assert_eq!(desk.origin.connections(), 0);

    let answer = desk.say(CALL);
    assert_eq!(answer.json()["result"]["content"][0]["text"], "done");
    let record = desk.rig.calls().pop().unwrap();
    assert_eq!((&record["decision"], &record["rule"]), (&"allow".into(), &"enclave.lab.mcp.desk.tools[0]".into()));
    assert_eq!(record["arguments"]["bytes"], r#"{"a":1}"#.len());
}

#[test]
fn d2_a_list_shows_only_what_may_be_called() {
    let desk = Desk::start();
    let list = |params: &str| {
        let answer = desk.say(&format!(r#"{{"jsonrpc":"2.0","id":5,"method":"tools/list","params":{params}}}"#));
        assert_eq!(answer.status, 200);
        assert!(!answer.text().contains("evil") && !answer.text().contains("EVIL"), "{}", answer.text());
        answer
    };
    let expected = r#"{"id":5,"jsonrpc":"2.0","result":{"nextCursor":"page2","tools":[{"inputSchema":{"type":"object"},"n":1.0,"name":"ok"},{"inputSchema":{"type":"object"},"name":"get_it"}]}}"#;
    for params in ["{}", r#"{"cursor":"page2"}"#] {
        let answer = list(params);
        assert_eq!(answer.text(), expected);
        assert_eq!(answer.field("content-length"), Some(expected.len().to_string().as_str()));
    }
    let answer = list(r#"{"cursor":"stream"}"#);
    assert_eq!(answer.field("content-type"), Some("text/event-stream"));
    assert_eq!(answer.text(), format!(": hello\n\nevent: message\nid: 7\ndata: {expected}\n\n"));
    let records = desk.rig.calls();
    assert_eq!(records.len(), 3);
    assert!(records.iter().all(|r| r["decision"] == "allow" && r["outcome"] == "complete"), "{records:#?}");
}

#[test]
fn d2_a_list_that_cannot_be_read_is_not_passed_on() {
    for (kind, body) in [
        ("application/json", r#"{"jsonrpc":"2.0","id":5,"result":{"tools":[{"name":"ok","name":"evil"}]}}"#),
        ("application/json", r#"{"jsonrpc":"2.0","id":5,"result":{"tools":[],"Tools":[{"name":"evil"}]}}"#),
        ("application/json", r#"{"jsonrpc":"2.0","id":5,"result":{"tools":[{"name":"evil"}"#),
        ("text/plain", r#"{"jsonrpc":"2.0","id":5,"result":{"tools":[{"name":"evil"}]}}"#),
        (
            "application/json\r\ncontent-encoding: gzip",
            r#"{"jsonrpc":"2.0","id":5,"result":{"tools":[{"name":"evil"}]}}"#,
        ),
    ] {
        let rig = rig();
        let answer = format!("HTTP/1.1 200 OK\r\ncontent-type: {kind}\r\ncontent-length: {}\r\n\r\n{body}", body.len());
        let origin = Origin::answering(Some(rig.ca.leaf(&["desk.test"])), move |_| answer.clone().into_bytes());
        let gateway = rig.start_with(&lab(ENTRY).resolve("desk.test:443", origin.address()));
        let desk = Desk { rig, origin, gateway };
        let answer = desk.say(r#"{"jsonrpc":"2.0","id":5,"method":"tools/list"}"#);
        assert_eq!((answer.status, answer.told()), (502, Some("response_refused")), "{kind} {body}");
        assert!(!answer.text().contains("evil"), "{}", answer.text());
        assert_eq!(desk.origin.requests(), 1, "the list itself was asked for");
        let record = desk.rig.calls().pop().unwrap();
        assert_eq!(reason(&record), "response_refused", "{record}");
    }
}
