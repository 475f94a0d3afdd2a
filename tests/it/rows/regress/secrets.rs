//! F2, F4, F14, H14: what a secret gets into, and what is left when the vault is gone.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use ensage_tests::{Answer, Origin, ok, until};

use super::super::lab::{KEYED, Keyed, has, lab, reason, rig};
use super::status;

const LLM: &str = r#"
[[enclave.lab.http]]
host = "other.test"

[enclave.lab.mcp.desk]
url = "https://desk.test/mcp"
tools = ["ok"]

[enclave.lab.llm.anthropic]
api = "anthropic"
host = "llm.test"
models = ["claude-*"]
credential = "key"

[credential.key]
slot = ["header:x-api-key", "bearer"]
hosts = ["llm.test"]
placeholder = "ph-"
env = "KEY"
"#;

fn key_of(request: &Answer) -> String {
    request.field("x-api-key").unwrap_or("none").to_owned()
}

/// An origin that says the key it got wherever an answer has room for it.
fn telling(request: &Answer) -> Vec<u8> {
    let key = key_of(request);
    let body = format!("you sent {key}");
    let length = body.len();
    format!("HTTP/1.1 200 OK-{key}\r\nx-{key}: v\r\nx-plain: v\r\ncontent-length: {length}\r\n\r\n{body}").into_bytes()
}

#[test]
fn f4_a_reason_phrase_and_a_field_name_carry_no_secret() {
    let rig = rig();
    let origin = Origin::answering(Some(rig.ca.leaf(&["api.test"])), telling);
    let lab = Keyed::start(rig, &lab(KEYED).resolve("api.test:443", origin.address()));
    let key = format!("x-api-key: {}\r\n", lab.placeholder);
    let answer = lab.ask("api.test:443", &format!("GET / HTTP/1.1\r\nHost: api.test\r\n{key}\r\n"));
    let all = format!("{}{}", answer.head, answer.text()).to_ascii_lowercase();
    assert!(!all.contains(&lab.secret.to_ascii_lowercase()), "{all}");
    assert_eq!(answer.line(), "HTTP/1.1 200 OK");
    assert_eq!((answer.field("x-plain"), answer.text()), (Some("v"), format!("you sent {}", lab.placeholder)));
    assert!(origin.text().contains(&lab.secret));
    // The twin: a field whose name only looks odd passes.
    let answer = lab.ask("api.test:443", "GET / HTTP/1.1\r\nHost: api.test\r\n\r\n");
    assert_eq!((answer.field("x-none"), answer.text().as_str()), (Some("v"), "you sent none"));
    lab.assert_sealed();
}

/// A model's answer that names the key it was asked with as model and as tool.
fn model(request: &Answer) -> Vec<u8> {
    let key = key_of(request);
    let body = format!(
        r#"{{"id":"m","type":"message","role":"assistant","model":"{key}","content":[{{"type":"tool_use","id":"t","name":"T{key}","input":{{}}}}],"stop_reason":"end_turn","usage":{{"input_tokens":1,"output_tokens":2}}}}"#
    );
    let head = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n";
    format!("{head}content-length: {}\r\n\r\n{body}", body.len()).into_bytes()
}

fn post(host: &str, path: &str, lines: &str, body: &str) -> String {
    let head = format!("POST {path} HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/json\r\n{lines}");
    format!("{head}Content-Length: {}\r\n\r\n{body}", body.len())
}

/// All segments of the log, as they are on disk.
fn segments(lab: &Keyed) -> Vec<u8> {
    let folder = fs::read_dir(lab.rig.state().join("audit/segments")).unwrap();
    folder.flat_map(|entry| fs::read(entry.unwrap().path()).unwrap()).collect()
}

#[test]
fn h14_no_secret_or_placeholder_is_recorded() {
    let rig = rig();
    let origin = Origin::answering(Some(rig.ca.leaf(&["llm.test", "other.test", "desk.test"])), model);
    let lab = Keyed::start(rig, &lab(LLM).resolve("*.test:443", origin.address()));
    let (secret, placeholder) = (&lab.secret, &lab.placeholder);
    let ask = r#"{"model":"claude-x","max_tokens":1,"messages":[{"role":"user","content":"hi"}]}"#;
    let legacy = "MCP-Protocol-Version: 2025-11-25\r\n";
    let call = |id: &str, name: &str| {
        let id = format!(r#"{{"jsonrpc":"2.0","id":"{id}","method":"tools/call","params":{{"name":"{name}"}}}}"#);
        post("desk.test", "/mcp", legacy, &id)
    };
    let key = format!("x-api-key: {placeholder}\r\n");
    let requests = [
        // Whose key it is, the answer tells in its model and in its tool.
        ("llm.test", post("llm.test", "/v1/messages", &key, ask)),
        // The agent has the secret from elsewhere.
        ("other.test", format!("GET /p/{secret}?q={secret} HTTP/1.1\r\nHost: other.test\r\n\r\n")),
        ("desk.test", call(&format!("{secret}-id"), "ok")),
        ("desk.test", call("1", secret)),
        ("desk.test", call("1", placeholder)),
        ("desk.test", call(placeholder, "ok")),
        ("other.test", format!("{placeholder} /a HTTP/1.1\r\nHost: other.test\r\n\r\n")),
        ("other.test", format!("GET /a/{placeholder} HTTP/1.1\r\nHost: other.test\r\n\r\n")),
        ("other.test", format!("GET /a HTTP/1.1\r\nHost: other.test\r\n{placeholder}: 1\r\n\r\n")),
        ("llm.test", post("llm.test", "/v1/messages", &key, &ask.replace("claude-x", secret))),
        ("llm.test", post("llm.test", "/v1/messages", &key, &ask.replace("claude-x", placeholder))),
    ];
    for (n, (host, request)) in requests.iter().enumerate() {
        lab.ask(&format!("{host}:443"), request);
        let calls = until("the record", || Some(lab.rig.calls()).filter(|c| c.len() > n));
        assert_eq!(calls.len(), n + 1, "{request}");
        let written = segments(&lab);
        for (what, text) in [("secret", secret), ("placeholder", placeholder)] {
            assert!(!has(&written, text.as_bytes()), "the {what} of {request} is recorded: {:#}", calls[n]);
        }
    }
    // The twin: what is neither is written down as it was.
    lab.ask("other.test:443", "GET /plain-path HTTP/1.1\r\nHost: other.test\r\n\r\n");
    assert!(has(&segments(&lab), b"/plain-path"));
    assert_eq!(lab.rig.calls()[0]["decision"], "allow");
    lab.assert_sealed();
}

#[test]
fn f14_a_broken_or_removed_vault_gives_no_secret() {
    let rig = rig();
    let origin = Origin::good(rig.ca.leaf(&["api.test", "other.test"]));
    let lab = Keyed::start(rig, &lab(KEYED).resolve("*.test:443", origin.address()));
    let keyed = format!("GET /keyed HTTP/1.1\r\nHost: api.test\r\nx-api-key: {}\r\n\r\n", lab.placeholder);
    let vault: PathBuf = lab.rig.state().join("vault.ens");
    let good = fs::read(&vault).unwrap();
    let put_back = || {
        fs::write(&vault, &good).unwrap();
        fs::set_permissions(&vault, Permissions::from_mode(0o600)).unwrap();
        until("the vault is open", || (status(&lab.rig)["vault"] == "open").then_some(()));
    };
    assert_eq!(lab.ask("api.test:443", &keyed).status, 200);
    assert_eq!(status(&lab.rig)["degraded"], serde_json::json!([]));
    type Touch = fn(&PathBuf);
    let touches: [(&str, Touch); 3] = [
        ("broken", |vault| fs::write(vault, "garbage".repeat(20)).unwrap()),
        ("empty", |vault| fs::write(vault, "").unwrap()),
        ("removed", |vault| fs::remove_file(vault).unwrap()),
    ];
    for (how, touch) in touches {
        touch(&vault);
        let told = until("the vault is locked", || Some(status(&lab.rig)).filter(|s| s["vault"] == "locked"));
        assert_eq!(told["degraded"][0]["code"], "credential_unavailable", "{how}: {told}");
        let before = origin.text();
        let answer = lab.ask("api.test:443", &keyed);
        assert_eq!((answer.status, answer.told()), (503, Some("credential_unavailable")), "{how}");
        assert_eq!(reason(&lab.rig.calls().pop().unwrap()), "credential_unavailable", "{how}");
        assert_eq!(origin.text(), before, "{how}");
        // That it can't be used does not make it fit to be written down.
        let told = format!("GET /{} HTTP/1.1\r\nHost: other.test\r\n\r\n", lab.secret);
        assert_eq!(lab.ask("other.test:443", &told).status, 200, "{how}");
        assert!(!has(&segments(&lab), lab.secret.as_bytes()), "{how}");
        // What needs no secret goes on.
        assert_eq!(lab.ask("other.test:443", "GET / HTTP/1.1\r\nHost: other.test\r\n\r\n").status, 200, "{how}");
        put_back();
        assert_eq!(lab.ask("api.test:443", &keyed).status, 200, "{how}");
        assert_eq!(status(&lab.rig)["degraded"], serde_json::json!([]), "{how}");
    }
    let filled = format!("x-api-key: {}\r\n", lab.secret);
    assert_eq!(origin.text().matches(&filled).count(), 4, "{}", origin.text());
}

/// The answer is whole, and its call recorded so, before the placeholder comes.
#[test]
fn f2_a_placeholder_after_an_early_answer_raises_an_alarm() {
    let rig = rig();
    let origin = Origin::start(Some(rig.ca.leaf(&["api.test", "other.test"])), |link| {
        let Some(head) = link.request_head()? else { return Ok(()) };
        link.write(&ok("early"))?;
        link.body_sum(&head).map(drop)
    });
    let lab = Keyed::start(rig, &lab(KEYED).resolve("*.test:443", origin.address()));
    let alarms = || {
        let mut records = lab.rig.records();
        records.retain(|r| r["kind"] == "alarm" || r["type"] == "alarm");
        records
    };
    let chunk = |text: &str| format!("{:x}\r\n{text}\r\n", text.len());
    let say = |host: &str, text: &str| {
        let mut raw = lab.rig.tunnel(&lab.gateway, &format!("{host}:443"));
        let head = format!("POST /early HTTP/1.1\r\nHost: {host}\r\nTransfer-Encoding: chunked\r\n\r\n");
        raw.send(format!("{head}{}", chunk("hello")).as_bytes());
        assert_eq!(raw.answer().text(), "early");
        let _ = raw.try_send(format!("{}0\r\n\r\n", chunk(text)).as_bytes());
        raw
    };
    // The twin first: what comes late and is no placeholder arrives, and nobody is alarmed.
    let raw = say("other.test", "nothing-of-note");
    origin.wait_for("nothing-of-note\r\n0\r\n\r\n");
    drop(raw);
    assert!(alarms().is_empty(), "{:#?}", alarms());
    for (n, (host, why)) in
        [("other.test", "placeholder_wrong_host"), ("api.test", "placeholder_wrong_slot")].into_iter().enumerate()
    {
        let raw = say(host, &lab.placeholder);
        let all = until("the alarm", || Some(alarms()).filter(|a| a.len() > n));
        assert_eq!((reason(&all[n]).as_str(), &all[n]["severity"]), (why, &"high".into()), "{:#}", all[n]);
        drop(raw);
    }
    assert!(!origin.text().contains(&lab.placeholder), "{}", origin.text());
    assert_eq!(origin.text().matches("0\r\n\r\n").count(), 1, "{}", origin.text());
    lab.assert_sealed();
}
