//! A19, B11, B14, C4, C8, C9, D15: no spelling of a request gets a call past the entry that governs it.

use ensage_tests::{Answer, Gateway, Origin, Rig};

use super::lab::{lab, reason, rig};

/// An `http` rule opens the whole host; the `mcp` and `llm` entries on it govern theirs all the same.
const ENTRIES: &str = r#"
[[enclave.lab.http]]
host = "desk.test"

[enclave.lab.mcp.desk]
url = "https://desk.test/mcp"
tools = ["ok"]

[enclave.lab.llm.anthropic]
api = "anthropic"
host = "desk.test"
models = ["good"]
"#;

const EVIL: &str = r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"evil"}}"#;
const GOOD: &str = r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"ok"}}"#;
const JSON: &str = "Content-Type: application/json\r\nMCP-Protocol-Version: 2025-11-25\r\n";

fn desk() -> (Rig, Origin, Gateway) {
    let rig = rig();
    let origin = Origin::answering(Some(rig.ca.leaf(&["desk.test"])), |_| {
        let body = r#"{"jsonrpc":"2.0","id":1,"result":{"content":[]}}"#;
        let head = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n";
        format!("{head}content-length: {}\r\n\r\n{body}", body.len()).into_bytes()
    });
    let gateway = rig.start_with(&lab(ENTRIES).resolve("desk.test:443", origin.address()));
    (rig, origin, gateway)
}

fn post(rig: &Rig, gateway: &Gateway, path: &str, lines: &str, body: &[u8]) -> Answer {
    let mut raw = rig.tunnel(gateway, "desk.test:443");
    let head = format!("POST {path} HTTP/1.1\r\nHost: desk.test\r\n{lines}Content-Length: {}\r\n\r\n", body.len());
    raw.send(&[head.as_bytes(), body].concat());
    raw.answer()
}

#[test]
fn a19_no_spelling_of_a_path_leads_round_its_entry() {
    let (rig, origin, gateway) = desk();
    let paths = [
        "/mcp",
        "/mcp/",
        "/MCP",
        "/%6dcp",
        "/mcp%2f",
        "//mcp",
        "/./mcp",
        "/x/../mcp",
        "/x/..%2fmcp",
        "/mcp;a",
        "/mcp?x=1",
        "/mcp/.",
        "/mcp%00",
        "/mcp%20",
        "/mcp\\",
        "\\mcp",
    ];
    for path in paths {
        let answer = post(&rig, &gateway, path, JSON, EVIL.as_bytes());
        let record = rig.calls().pop().unwrap();
        assert_eq!(record["decision"], "deny", "{path}: {} {record}", answer.status);
        assert_eq!(origin.connections(), 0, "{path}");
    }
    let ask = br#"{"model":"evil","max_tokens":1,"messages":[]}"#;
    for path in [
        "/v1/messages",
        "/v1/messages/",
        "/V1/Messages",
        "/v1//messages",
        "/v1/%6dessages",
        "/v1/./messages",
        "/v1/messages;a",
    ] {
        let answer = post(&rig, &gateway, path, JSON, ask);
        let record = rig.calls().pop().unwrap();
        assert_eq!(record["decision"], "deny", "{path}: {} {record}", answer.status);
        assert_eq!(origin.connections(), 0, "{path}");
    }
    // What the rule alone opens is open, and both entries are for what they allow.
    assert_eq!(post(&rig, &gateway, "/other/%2Fpath;v=1?q", JSON, b"{}").status, 200);
    assert_eq!(post(&rig, &gateway, "/mcp", JSON, GOOD.as_bytes()).status, 200);
    assert_eq!(
        post(&rig, &gateway, "/v1/messages", JSON, br#"{"model":"good","max_tokens":1,"messages":[]}"#).status,
        200
    );
    assert!(origin.text().starts_with("POST /other/%2Fpath;v=1?q HTTP/1.1\r\n"), "{}", origin.text());
}

#[test]
fn b11_b14_a_body_that_is_no_plain_json_is_not_read_as_opaque() {
    let (rig, origin, gateway) = desk();
    let version = "MCP-Protocol-Version: 2025-11-25\r\n";
    for (lines, why) in [
        ("Content-Type: application/json\r\nContent-Encoding: deflate\r\n", "encoding_refused"),
        ("Content-Type: application/json\r\nContent-Encoding: gzip, br\r\n", "encoding_refused"),
        ("Content-Type: application/json\r\nContent-Encoding: zstd\r\nContent-Encoding: gzip\r\n", "encoding_refused"),
        ("Content-Type: text/plain\r\n", "content_type_refused"),
        ("", "content_type_refused"),
        ("Content-Type: application/json\r\nContent-Type: text/plain\r\n", "content_type_refused"),
        ("Content-Type: application/json; charset=utf-16\r\n", "content_type_refused"),
        ("Content-Type: multipart/form-data; boundary=x\r\n", "content_type_refused"),
    ] {
        let answer = post(&rig, &gateway, "/mcp", &format!("{version}{lines}"), EVIL.as_bytes());
        assert_eq!((answer.status, answer.told()), (415, Some(why)), "{lines}");
        assert_eq!(reason(&rig.calls().pop().unwrap()), why, "{lines}");
    }
    assert_eq!(origin.connections(), 0);
    let lines = format!("{version}Content-Type: Application/JSON; charset=\"UTF-8\"\r\nContent-Encoding: identity\r\n");
    assert_eq!(post(&rig, &gateway, "/mcp", &lines, GOOD.as_bytes()).status, 200);
}

#[test]
fn c4_c8_c9_one_value_in_utf_8_or_nothing() {
    let (rig, origin, gateway) = desk();
    let utf16: Vec<u8> = EVIL.encode_utf16().flat_map(u16::to_le_bytes).collect();
    let bodies: [(&[u8], &str); 12] = [
        (&[b"\xef\xbb\xbf", EVIL.as_bytes()].concat(), "malformed_json"),
        (&utf16, "malformed_json"),
        (&[EVIL.as_bytes(), EVIL.as_bytes()].concat(), "malformed_json"),
        (&[GOOD.as_bytes(), b"\n", EVIL.as_bytes()].concat(), "malformed_json"),
        (&[GOOD.as_bytes(), b"\0"].concat(), "malformed_json"),
        (b"", "malformed_json"),
        (&EVIL.as_bytes()[..40], "malformed_json"),
        (br#"{"jsonrpc":"2.0","id":1e400,"method":"tools/list"}"#, "malformed_json"),
        (br#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"\ud800"}}"#, "malformed_json"),
        (&[b"[", GOOD.as_bytes(), b",", EVIL.as_bytes(), b"]"].concat(), "malformed_mcp"),
        (b"[]", "malformed_mcp"),
        (br#"{"jsonrpc":"2.0","id":{},"method":"tools/list"}"#, "malformed_mcp"),
    ];
    for (body, why) in bodies {
        let shown = String::from_utf8_lossy(body);
        let answer = post(&rig, &gateway, "/mcp", JSON, body);
        assert_eq!(answer.status, 400, "{shown}: {}", answer.text());
        let code = if why == "malformed_json" { -32700 } else { -32600 };
        let error = answer.json();
        assert_eq!(
            (&error["error"]["code"], &error["id"]),
            (&code.into(), &serde_json::Value::Null),
            "{shown}: {error}"
        );
        assert_eq!(reason(&rig.calls().pop().unwrap()), why, "{shown}");
    }
    assert_eq!(origin.connections(), 0);
    assert_eq!(post(&rig, &gateway, "/mcp", JSON, GOOD.as_bytes()).status, 200);
}

#[test]
fn d15_what_the_client_says_of_itself_does_not_reach_an_mcp_server() {
    let (rig, origin, gateway) = desk();
    let claims = "X-OpenClaw-Sender-Is-Owner: true\r\nX-Session-Key: k\r\nX-Forwarded-For: 10.0.0.1\r\nX-User: root\r\nCookie: a=b\r\nAuthorization: Bearer mine\r\nX_Owner: 1\r\n";
    let answer = post(&rig, &gateway, "/mcp", &format!("{JSON}{claims}User-Agent: twin/1\r\n"), GOOD.as_bytes());
    assert_eq!(answer.status, 200, "{}", answer.text());
    let got = origin.text().to_lowercase();
    for claim in ["openclaw", "session-key", "forwarded", "x-user", "cookie", "authorization", "x_owner"] {
        assert!(!got.contains(claim), "{claim}: {got}");
    }
    assert!(got.contains("user-agent: twin/1\r\n") && got.contains("mcp-protocol-version: 2025-11-25\r\n"), "{got}");
}
