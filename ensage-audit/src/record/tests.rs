use serde_json::{Value, json};

use super::*;
use crate::draft::Draft;
use crate::event::{Alarm, GatewayEvent, PolicyEvent, SessionEvent};
use crate::fragment::{Ancestor, PolicyFacts, ProcessFacts, SessionFacts};
use crate::json::is_unprintable;
use crate::shared::NAMES;

fn body(draft: &Draft<'_>) -> Value {
    let (severity, rest) = rest(draft).split_at(draft.shares_at);
    let shares = draft.shares.iter().zip(NAMES).filter_map(|(text, name)| Some((name, text.as_ref()?.as_str())));
    let shares: String = shares.map(|(name, text)| format!(",\"{name}\":{text}")).collect();
    let mut exchange = Vec::new();
    draft.write_exchange(&mut exchange);
    let exchange = String::from_utf8(exchange).unwrap();
    let text = format!("{{\"time\":\"T{}{severity}{exchange}{shares}{rest}", lead(draft));
    serde_json::from_str(&text).expect(&text)
}

fn lead(draft: &Draft<'_>) -> String {
    let mut out = Vec::new();
    draft.write_lead(&mut out);
    String::from_utf8(out).unwrap()
}

fn rest<'d>(draft: &'d Draft<'_>) -> &'d str {
    std::str::from_utf8(&draft.rest).unwrap()
}

fn id(n: u8) -> Uuid {
    Uuid::from_bytes([n; 16])
}

#[test]
fn a_call_is_the_json_of_the_interface() {
    let session = SessionFacts {
        id: id(1),
        enclave: "chip-a",
        agent: "claude-code",
        tier: "advisory",
        attribution: "procfs",
        ..SessionFacts::default()
    }
    .fragment();
    let ancestors = [Ancestor { pid: 1, executable: Some("/sbin/init".into()) }, Ancestor { pid: 2, executable: None }];
    let process = ProcessFacts {
        pid: 4711,
        start_time: Some(99),
        executable: Some("/usr/bin/node"),
        owner: Some("alice"),
        ancestors: &ancestors,
        ..ProcessFacts::default()
    }
    .fragment();
    let tools = ["Bash".to_owned()];
    let end = End { status: Some(200), tools_requested: &tools, bytes_up: 3, outcome: "refused", ..End::default() };
    let call = Call {
        exchange: Some(id(3)),
        session: Some(&session),
        process: Some(&process),
        kind: "mcp",
        server: Some("api.githubcopilot.com"),
        port: Some(443),
        peer: Some("127.0.0.1".parse().unwrap()),
        protocol_version: Some("1.1"),
        method: Some("POST"),
        scheme: Some("https"),
        path: Some("/mcp/"),
        mcp: Some(Mcp {
            server: "github",
            direction: "client",
            method: Some("tools/call"),
            request_id: Some(r#""a\n7""#),
            ..Mcp::default()
        }),
        gen_ai: GenAi { tool: Some("delete_repo"), ..GenAi::default() },
        arguments: Some(("00ff", 12)),
        credential: Some(("github", "substituted")),
        decision: "deny",
        reason: Some("tool_not_allowed"),
        rule: Some("enclave.chip-a.mcp.github.tools"),
        policy: Some(&PolicyFacts { generation: 7, ..PolicyFacts::default() }.fragment()),
        end: Some(&end),
        ..Call::new(id(9), "medium")
    };
    let want = json!({
        "time": "T", "kind": "call", "id": id(9).to_string(), "severity": "medium",
        "exchange": id(3).to_string(),
        "session": {"id": id(1).to_string(), "enclave": "chip-a", "agent": "claude-code", "tier": "advisory",
                    "attribution": "procfs"},
        "process": {"pid": 4711, "start_time": 99, "executable": {"path": "/usr/bin/node"}, "owner": "alice",
                    "ancestors": [{"pid": 1, "executable": {"path": "/sbin/init"}}, {"pid": 2}]},
        "type": "mcp",
        "server": {"address": "api.githubcopilot.com", "port": 443},
        "network": {"peer": {"address": "127.0.0.1"}, "protocol": {"version": "1.1"}},
        "http": {"request": {"method": "POST"}, "response": {"status_code": 200}},
        "url": {"scheme": "https", "path": "/mcp/"},
        "mcp": {"server": "github", "direction": "client", "method": {"name": "tools/call"}},
        "jsonrpc": {"request": {"id": "a\n7"}},
        "gen_ai": {"tool": {"name": "delete_repo"}},
        "tools_requested": ["Bash"],
        "arguments": {"sha256": "00ff", "bytes": 12},
        "credential": {"name": "github", "action": "substituted"},
        "decision": "deny", "reason": "tool_not_allowed", "rule": "enclave.chip-a.mcp.github.tools",
        "policy": {"generation": 7},
        "bytes": {"up": 3, "down": 0}, "outcome": "refused",
    });
    assert_eq!(body(&Draft::call(&call)), want);
    assert_eq!(serde_json::to_value(&session).unwrap(), want["session"]);
}

#[test]
fn the_close_has_what_is_known_then() {
    let end = End {
        status: Some(200),
        response_model: Some("m"),
        input_tokens: Some(5),
        output_tokens: Some(6),
        flagged: &["t".to_owned()],
        scrubbed: Some(1),
        bytes_up: 10,
        bytes_down: 20,
        duration: Some(Duration::from_micros(1234)),
        outcome: "complete",
        ..End::default()
    };
    let want = json!({
        "time": "T", "kind": "end", "id": id(9).to_string(), "severity": "info",
        "http": {"response": {"status_code": 200}},
        "gen_ai": {"response": {"model": "m"}, "usage": {"input_tokens": 5, "output_tokens": 6}},
        "flagged": ["t"], "scrubbed": 1, "bytes": {"up": 10, "down": 20}, "duration_ms": 1.234, "outcome": "complete",
    });
    assert_eq!(body(&Draft::end(id(9), "info", &end)), want);
}

#[test]
fn absent_fields_are_not_written() {
    let call = body(&Draft::call(&Call { kind: "connect", decision: "allow", ..Call::new(id(9), "info") }));
    let keys: Vec<&str> = call.as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!(keys, ["decision", "id", "kind", "severity", "time", "type"]);
    let alarm = body(&Draft::alarm("high", &Alarm { reason: "foreign_credential", ..Alarm::default() }));
    assert_eq!(alarm.as_object().unwrap().len(), 5, "{alarm}");
}

#[test]
fn events_name_what_happened() {
    let policy = PolicyEvent { event: "rejected", message: Some("line 3"), ..PolicyEvent::default() };
    let session = SessionEvent { event: "ended", cause: Some("ttl"), ..SessionEvent::default() };
    let gateway = GatewayEvent { event: "started", version: Some("0.1.0"), ..GatewayEvent::default() };
    for (draft, kind, key, value) in [
        (Draft::policy("medium", &policy), "policy", "message", "line 3"),
        (Draft::session("info", &session), "session", "cause", "ttl"),
        (Draft::gateway("info", &gateway), "gateway", "version", "0.1.0"),
    ] {
        let body = body(&draft);
        assert_eq!((body["kind"].as_str(), body[key].as_str()), (Some(kind), Some(value)));
        assert!(body["event"].is_string() && body["id"].as_str().unwrap().as_bytes()[14] == b'7', "{body}");
    }
}

#[test]
fn h13_hostile_texts_stay_inside_their_field() {
    for hostile in ["a\r\nb", "\u{1b}]0;x\u{7}", "\",\"decision\":\"allow", "\u{202e}\u{9b}", "{\"v\":1,\"seq\":1"] {
        let call = Call {
            kind: "mcp",
            server: Some(hostile),
            path: Some(hostile),
            mcp: Some(Mcp { server: hostile, request_id: Some(hostile), ..Mcp::default() }),
            gen_ai: GenAi { tool: Some(hostile), ..GenAi::default() },
            decision: "deny",
            ..Call::new(id(9), "info")
        };
        let draft = Draft::call(&call);
        let line = rest(&draft).strip_suffix('\n').unwrap();
        assert!(!line.chars().any(is_unprintable), "{line:?}");
        assert!(!line.contains("{\"v\":1,\"seq\":"), "{line:?}");
        let body = body(&draft);
        assert_eq!(body["gen_ai"]["tool"]["name"], hostile);
        assert_eq!(body["decision"], "deny");
    }
}

#[test]
fn h13_the_longest_record_fits() {
    let nasty = "\u{1}".repeat(1 << 16);
    let list: Vec<String> = std::iter::repeat_n(nasty.clone(), 1000).collect();
    let ancestors: Vec<Ancestor<'_>> =
        (0..100).map(|pid| Ancestor { pid, executable: Some((&*nasty).into()) }).collect();
    let process =
        ProcessFacts { executable: Some(&nasty), script: Some(&nasty), ancestors: &ancestors, ..Default::default() };
    let process = process.fragment();
    let end = End { tools_requested: &list, response_model: Some(&nasty), reason: Some(&nasty), ..End::default() };
    let mcp = Mcp {
        server: &nasty,
        direction: &nasty,
        method: Some(&nasty),
        protocol_version: Some(&nasty),
        session_id: Some(&nasty),
        resource_uri: Some(&nasty),
        request_id: Some(&nasty),
    };
    let call = Call {
        process: Some(&process),
        server: Some(&nasty),
        method: Some(&nasty),
        path: Some(&nasty),
        mcp: Some(mcp),
        gen_ai: GenAi { provider: Some(&nasty), request_model: Some(&nasty), tool: Some(&nasty), prompt: Some(&nasty) },
        provider_tools: &list,
        rule: Some(&nasty),
        message: Some(&nasty),
        end: Some(&end),
        ..Call::new(id(9), "info")
    };
    let draft = Draft::call(&call);
    assert!(draft.rest.len() < crate::frame::RECORD_BYTES_MAX - 512, "{}", draft.rest.len());
}
