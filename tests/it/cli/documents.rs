//! Each document by interface section 5: every member is there, and of the type that it says.

use serde_json::Value;

use super::home::{Home, Site, done, fed, filled, start, until};

/// What a member is.
#[derive(Clone, Copy, Debug)]
enum Is {
    Text,
    Number,
    Bool,
    /// Of anything; each element is looked at by its own table.
    List,
    /// RFC 3339, UTC, microseconds.
    Time,
    /// Lower-case hex SHA-256.
    Digest,
    /// One of these.
    One(&'static [&'static str]),
}

use Is::{Bool, Digest, List, Number, One, Text, Time};

fn is(value: &Value, what: Is) -> bool {
    let text = value.as_str().unwrap_or_default();
    match what {
        Text => !text.is_empty(),
        Number => value.is_u64(),
        Bool => value.is_boolean(),
        List => value.is_array(),
        Time => {
            let shape = "0000-00-00T00:00:00.000000Z";
            text.len() == shape.len()
                && text.bytes().zip(shape.bytes()).all(|(b, s)| if s == b'0' { b.is_ascii_digit() } else { b == s })
        }
        Digest => text.len() == 64 && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f')),
        One(of) => of.contains(&text),
    }
}

/// Every member is there and is what the table says.
fn conforms(document: &Value, members: &[(&str, Is)]) {
    for (at, what) in members {
        let value = document.pointer(at).unwrap_or_else(|| panic!("{at} is missing in {document:#}"));
        assert!(is(value, *what), "{at} is {value}, not {what:?}");
    }
}

const MODE: Is = One(&["enforce", "observe"]);
const TIER: Is = One(&["contained", "advisory", "outside"]);

const STATUS: &[(&str, Is)] = &[
    ("/schema", One(&["ensage.status.v1"])),
    ("/version", Text),
    ("/pid", Number),
    ("/started", Time),
    ("/ready", Bool),
    ("/draining", Bool),
    ("/listeners", List),
    ("/listeners/0", Text),
    ("/mode", MODE),
    ("/generation", Number),
    ("/policy_hash", Digest),
    ("/last_reload/time", Time),
    ("/last_reload/ok", Bool),
    ("/sessions", Number),
    ("/connections", Number),
    ("/held_bytes", Number),
    ("/decisions/allow", Number),
    ("/decisions/deny", Number),
    ("/audit/seq", Number),
    ("/audit/durable_seq", Number),
    ("/audit/queued", Number),
    ("/audit/writable", Bool),
    ("/audit/head", Digest),
    ("/vault", One(&["open", "locked", "none"])),
    ("/degraded", List),
];

const FINDING: &[(&str, Is)] = &[
    ("/code", Text),
    ("/file", Text),
    ("/line", Number),
    ("/column", Number),
    ("/key", Text),
    ("/message", Text),
    ("/help", Text),
];

const SESSION: &[(&str, Is)] = &[
    ("/id", Text),
    ("/enclave", Text),
    ("/agent", Text),
    ("/mode", MODE),
    ("/tier", TIER),
    ("/process/pid", Number),
    ("/process/executable/path", Text),
    ("/since", Time),
    ("/state", One(&["open", "ended", "quarantined"])),
    ("/streams", Number),
    ("/allowed", Number),
    ("/denied", Number),
];

const CREDENTIAL: &[(&str, Is)] = &[
    ("/name", Text),
    ("/source", Text),
    ("/slots", List),
    ("/slots/0", Text),
    ("/hosts", List),
    ("/hosts/0", Text),
    ("/env", List),
    ("/state", One(&["present", "missing", "locked", "error"])),
];

const AGENT: &[(&str, Is)] = &[
    ("/sanctioned", Bool),
    ("/rogue", Bool),
    ("/agent", Text),
    ("/session", Text),
    ("/enclave", Text),
    ("/mode", MODE),
    ("/tier", TIER),
    ("/process/pid", Number),
    ("/since", Time),
    ("/connections", List),
    ("/listening", List),
];

const EXPLAIN: &[(&str, Is)] = &[
    ("/schema", One(&["ensage.explain.v1"])),
    ("/decision", One(&["allow", "deny"])),
    ("/reason", Text),
    ("/message", Text),
    ("/remedy", Text),
    ("/rule", Text),
    ("/at/file", Text),
    ("/at/line", Number),
    ("/policy/sha256", Digest),
    ("/steps", List),
];

/// The steps of interface section 5, in their order.
const STEPS: [&str; 13] = [
    "identity",
    "reach",
    "authority",
    "protocol",
    "method",
    "path",
    "classify",
    "tool",
    "arguments",
    "model",
    "rate",
    "chamber",
    "credential",
];

fn steps(document: &Value) -> Vec<(&str, &str)> {
    let all: Vec<_> = document["steps"]
        .as_array()
        .unwrap()
        .iter()
        .map(|step| (step["step"].as_str().unwrap(), step["decision"].as_str().unwrap()))
        .collect();
    let at: Vec<_> = all.iter().map(|(step, _)| STEPS.iter().position(|known| known == step).expect(step)).collect();
    assert!(at.is_sorted() && !at.is_empty(), "{all:?}");
    assert!(all.iter().all(|(_, decision)| matches!(*decision, "allow" | "deny")), "{all:?}");
    all
}

#[test]
fn a_table_finds_what_is_missing_and_what_is_wrong() {
    let wrong = |document: Value| std::panic::catch_unwind(|| conforms(&document, &[("/a", Time)])).is_err();
    assert!(wrong(serde_json::json!({})) && wrong(serde_json::json!({ "a": 1 })));
    assert!(wrong(serde_json::json!({ "a": "2026-11-25T15:14:06Z" })));
    assert!(!wrong(serde_json::json!({ "a": "2026-11-25T15:14:06.000001Z" })));
}

#[test]
fn status_sessions_and_agents_are_as_the_interface_says() {
    let home = Home::with(&Site::new().policy());
    let _daemon = home.gateway();
    assert_eq!(home.document(&["status"]).get("last_reload"), None, "nothing was reloaded");
    assert_eq!(home.done(&["reload"]).code, Some(0));
    let (here, go) = (home.path("here"), home.path("go"));
    let script =
        format!("echo $ENSAGE_SESSION > {}; while [ ! -e {} ]; do sleep 0.05; done", here.display(), go.display());
    let mut run = start(&mut home.run(&[], &script));
    let id = until("the session is open", || filled(&here));
    conforms(&home.document(&["status"]), STATUS);
    let sessions = home.document(&["sessions", "list"]);
    conforms(&sessions, &[("/schema", One(&["ensage.sessions_list.v1"])), ("/sessions", List)]);
    conforms(&sessions["sessions"][0], SESSION);
    let agents = home.document(&["agents"]);
    conforms(&agents, &[("/schema", One(&["ensage.agents.v1"])), ("/agents", List)]);
    let ours = agents["agents"].as_array().unwrap().iter().find(|a| a["session"] == id.trim()).unwrap();
    conforms(ours, AGENT);
    std::fs::write(home.config(), "nonsense = 1\n").unwrap();
    assert_eq!(home.done(&["reload"]).code, Some(1));
    let status = done(home.bare(&["--json", "status", "--state"]).arg(home.state())).json();
    conforms(&status, STATUS);
    conforms(&status, &[("/last_reload/error", Text)]);
    assert_eq!((&status["last_reload"]["ok"], &status["generation"]), (&false.into(), &2.into()), "{status}");
    std::fs::write(&go, "").unwrap();
    assert_eq!(run.wait().unwrap().code(), Some(0));
}

#[test]
fn check_is_as_the_interface_says() {
    let home = Home::with("[gateway]\nlisten = 5\n[enclave.lab]\nagents = [\"*\"]\n");
    let check = home.done(&["--json", "check"]).json();
    conforms(&check, &[("/schema", One(&["ensage.check.v1"])), ("/ok", Bool), ("/errors", List), ("/warnings", List)]);
    check["errors"].as_array().unwrap().iter().for_each(|error| conforms(error, FINDING));
    let home = Home::with("[enclave.lab]\nagents = [\"*\"]\n");
    let check = home.document(&["check"]);
    conforms(&check, &[("/ok", Bool), ("/errors", List), ("/warnings", List)]);
    check["warnings"].as_array().unwrap().iter().for_each(|warning| conforms(warning, FINDING));
    assert!(!check["warnings"].as_array().unwrap().is_empty());
}

#[test]
fn credentials_are_as_the_interface_says() {
    let home = Home::with(
        "[enclave.lab]\nagents = [\"*\"]\n[[enclave.lab.http]]\nhost = \"a.test\"\ncredential = \"key\"\n\
         [credential.key]\nslot = \"bearer\"\nhosts = [\"a.test\"]\nplaceholder = \"ph-\"\nenv = \"KEY\"\n",
    );
    let list = |state: &str| {
        let list = home.document(&["creds", "list"]);
        conforms(&list, &[("/schema", One(&["ensage.creds_list.v1"])), ("/credentials", List)]);
        conforms(&list["credentials"][0], CREDENTIAL);
        assert_eq!(
            (&list["credentials"][0]["state"], &list["credentials"][0]["env"][0]),
            (&state.into(), &"KEY".into())
        );
        list
    };
    list("missing");
    fed(&mut home.ensage(&["creds", "add", "key"]), b"real-secret-value\n");
    list("present");
    fed(&mut home.ensage(&["creds", "rotate", "key"]), b"other-secret-value\n");
    conforms(&list("present")["credentials"][0], &[("/rotated", Time)]);
    let made = home.document(&["creds", "placeholder", "key", "--agent", "robot"]);
    conforms(
        &made,
        &[
            ("/schema", One(&["ensage.creds_placeholder.v1"])),
            ("/name", Text),
            ("/placeholder", Text),
            ("/env", List),
            ("/enclave", Text),
            ("/agent", Text),
            ("/expires", Time),
        ],
    );
}

#[test]
fn csv_has_the_columns_of_the_interface() {
    let site = Site::new();
    let home = Home::with(&site.policy());
    done(&mut home.run(&[], &format!("curl -s http://{0}/a; curl -s -X POST http://{0}/b", site.at)));
    let csv = home.done(&["audit", "--csv"]).out;
    let mut lines = csv.lines();
    let heads = "time,session,enclave,agent,pid,type,server,method,target,tool,model,decision,reason,rule,status,\
                 bytes_up,bytes_down,id";
    assert_eq!(lines.next(), Some(heads));
    let calls = home.calls();
    assert_eq!(lines.clone().count(), calls.len());
    for (line, call) in lines.zip(&calls) {
        let cells: std::collections::HashMap<&str, &str> = heads.split(',').zip(line.split(',')).collect();
        for (cell, at) in [
            ("time", "/time"),
            ("session", "/session/id"),
            ("enclave", "/session/enclave"),
            ("agent", "/session/agent"),
            ("type", "/type"),
            ("method", "/http/request/method"),
            ("target", "/url/path"),
            ("decision", "/decision"),
            ("rule", "/rule"),
            ("id", "/id"),
        ] {
            assert_eq!(Some(cells[cell]), call.pointer(at).and_then(Value::as_str), "{cell} of {line}");
        }
        for (cell, at) in
            [("pid", "/process/pid"), ("status", "/http/response/status_code"), ("bytes_down", "/bytes/down")]
        {
            assert_eq!(cells[cell].parse().ok(), call.pointer(at).and_then(Value::as_u64), "{cell} of {line}");
        }
    }
}

#[test]
fn a_decision_is_explained_by_its_steps() {
    let site = Site::new();
    let home = Home::with(&site.policy());
    let script = format!("curl -s http://{0}/a; curl -s -X POST http://{0}/b; curl -s http://no.test/c", site.at);
    done(&mut home.run(&[], &script));
    let text = home.done(&["audit"]).out;
    let calls = home.calls();
    let [allowed, refused, hidden] = calls.as_slice() else { panic!("{calls:#?}") };
    for (call, code, last, remedy) in [
        (allowed, 0, ("classify", "allow"), None),
        (refused, 1, ("method", "deny"), Some("methods")),
        (hidden, 1, ("reach", "deny"), Some("host = \"no.test:80\" and scheme = \"http\"")),
    ] {
        let id = call["id"].as_str().unwrap();
        assert!(text.lines().any(|line| line.ends_with(id)), "{id} is not in {text}");
        let told = home.done(&["--json", "explain", id]);
        assert_eq!(told.code, Some(code), "{told:?}");
        let told = told.json();
        if code == 1 {
            conforms(&told, EXPLAIN);
            assert_eq!(told["reason"], call["reason"]);
        }
        let steps = steps(&told);
        assert!(steps.contains(&last) && steps[0] == ("identity", "allow"), "{steps:?}");
        if code == 1 {
            assert_eq!(steps.iter().find(|(_, decision)| *decision == "deny"), Some(&last), "{steps:?}");
        }
        assert_eq!((&told["agent"], &told["host"]), (&"sh".into(), &call["server"]["address"]), "{told}");
        let remedied = told.get("remedy").and_then(Value::as_str);
        assert_eq!(remedied.is_some(), remedy.is_some(), "{told}");
        assert!(remedied.zip(remedy).is_none_or(|(said, want)| said.contains(want)), "{told}");
        let read = home.done(&["explain", id]).out;
        assert!(read.contains("sh in enclave lab asked "), "{read}");
        assert!(read.contains(call["server"]["address"].as_str().unwrap()), "{read}");
    }
    // With another policy in the file, the record alone is told; what it tells does not change.
    let before = home.done(&["--json", "explain", refused["id"].as_str().unwrap()]).json();
    std::fs::write(home.config(), "[enclave.other]\nagents = [\"*\"]\n").unwrap();
    let after = home.done(&["--json", "explain", refused["id"].as_str().unwrap()]);
    assert_eq!(after.code, Some(1), "{after:?}");
    let after = after.json();
    for member in ["decision", "reason", "message", "rule", "agent", "host"] {
        assert_eq!(after[member], before[member], "{member}");
    }
    let steps = steps(&after);
    assert_eq!(steps.last(), Some(&("method", "deny")), "{steps:?}");
    conforms(&after, &[("/remedy", Text)]);
}
