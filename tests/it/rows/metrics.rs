//! What the gateway counts: every metric of the interface, told the same by its records, over all workers.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{Read, Write};
use std::net::SocketAddr;
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use ensage_tests::{Answer, Fault, Metrics, Origin, Raw, Rig, canary, ok};
use serde_json::Value;

use super::lab::{lab, reason, rig};

/// Every name of interface section 6 with its labels.
const ALL: [(&str, &[&str]); 21] = [
    ("build_info", &["version"]),
    ("sessions", &[]),
    ("connections", &["leg"]),
    ("calls_total", &["enclave", "type", "decision", "reason"]),
    ("call_duration_seconds", &["type"]),
    ("overhead_seconds", &["type"]),
    ("bytes_total", &["leg", "direction"]),
    ("held_bytes", &[]),
    ("handshakes_total", &["leg", "kind"]),
    ("leaves_minted_total", &[]),
    ("substitutions_total", &["credential"]),
    ("scrubs_total", &["credential"]),
    ("alarms_total", &["reason"]),
    ("attributions_total", &["attribution"]),
    ("tokens_total", &["enclave", "direction"]),
    ("audit_records_total", &[]),
    ("audit_queued", &[]),
    ("audit_durable_seq", &[]),
    ("policy_generation", &[]),
    ("reloads_total", &["result"]),
    ("accept_pauses_total", &[]),
];

/// Two enclaves with a listener each: two sessions of one agent, and so two workers.
const ENTRIES: &str = r#"
listen = "127.0.0.1:0"

[[enclave.lab.http]]
host = "api.test"
credential = "key"

[[enclave.lab.http]]
host = "bad.test"

[enclave.lab.mcp.desk]
url = "https://desk.test/mcp"
tools = ["ok"]

[enclave.lab.llm.anthropic]
api = "anthropic"
host = "llm.test"
models = ["good"]

[enclave."t\"w\\o"]
agents = ["raw"]
listen = "127.0.0.1:0"

[[enclave."t\"w\\o".http]]
host = "other.test"

[credential.key]
slot = "bearer"
hosts = ["api.test"]
placeholder = "ph-"
env = "KEY"
"#;

const TWO: &str = "t\"w\\o";

fn reply(request: &Answer) -> Vec<u8> {
    let json = |body: &str| {
        let head = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n";
        format!("{head}content-length: {}\r\n\r\n{body}", body.len()).into_bytes()
    };
    match request.field("host").unwrap() {
        "desk.test" => json(r#"{"jsonrpc":"2.0","id":1,"result":{"content":[]}}"#),
        "llm.test" => json(
            r#"{"id":"m","type":"message","role":"assistant","model":"good","content":[],"usage":{"input_tokens":11,"output_tokens":7}}"#,
        ),
        _ if request.line().contains("/long") => ok(&"y".repeat(100_000)),
        _ => ok(&format!("you sent {}", request.field("authorization").unwrap_or("nothing"))),
    }
}

fn metrics(rig: &Rig) -> Metrics {
    Metrics::parse(&rig.good(&["status", "--metrics"]))
}

fn tunnel(rig: &Rig, at: SocketAddr, host: &str) -> Raw {
    let mut raw = Raw::open(at);
    let answer = raw.connect(&format!("{host}:443"), "");
    assert_eq!(answer.status, 200, "{}{}", answer.head, answer.text());
    raw.tls(&rig.trust(), host).unwrap()
}

/// One request in a tunnel of its own.
fn ask(rig: &Rig, at: SocketAddr, host: &str, request: &str) -> Answer {
    let mut raw = tunnel(rig, at, host);
    raw.send(request.as_bytes());
    raw.answer()
}

fn post(host: &str, path: &str, body: &str) -> String {
    let lines = "Content-Type: application/json\r\nMCP-Protocol-Version: 2025-11-25\r\n";
    format!("POST {path} HTTP/1.1\r\nHost: {host}\r\n{lines}Content-Length: {}\r\n\r\n{body}", body.len())
}

fn call(tool: &str) -> String {
    let body = format!(r#"{{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{{"name":"{tool}"}}}}"#);
    post("desk.test", "/mcp", &body)
}

struct Lab {
    rig: Rig,
    gateway: ensage_tests::Gateway,
    _origins: [Origin; 2],
    /// The listeners of the gateway and of both enclaves.
    at: [SocketAddr; 3],
    placeholder: String,
}

fn start() -> Lab {
    let rig = rig();
    let names = ["api.test", "desk.test", "llm.test", "other.test"];
    let origin = Origin::answering(Some(rig.ca.leaf(&names)), reply);
    let bad = Origin::good(rig.ca.bad("bad.test", Fault::Expired));
    let mut config = lab(ENTRIES).gateway("workers = 2").resolve("bad.test:443", bad.address());
    for name in names {
        config = config.resolve(&format!("{name}:443"), origin.address());
    }
    rig.configure(&config);
    rig.add_secret("key", &canary("key"));
    let placeholder = rig.good(&["creds", "placeholder", "key", "--agent", "raw", "--enclave", "lab"]);
    let gateway = rig.start();
    let status: Value = serde_json::from_str(&rig.good(&["--json", "status"])).unwrap();
    let at = [0, 1, 2].map(|n: usize| status["listeners"][n].as_str().unwrap().parse().unwrap());
    Lab { rig, gateway, _origins: [origin, bad], at, placeholder: placeholder.trim_end().to_owned() }
}

#[test]
fn every_metric_is_there_before_anything_has_happened() {
    let lab = start();
    let told = metrics(&lab.rig);
    assert_eq!(told.families(), ALL.iter().map(|(name, _)| *name).collect::<BTreeSet<_>>());
    for (name, labels) in ALL {
        assert_eq!(told.labels(name), Some(labels.iter().copied().collect()), "{name}");
    }
    assert_eq!(told.value("build_info", &[("version", env!("CARGO_PKG_VERSION"))]), 1.0);
    for name in ["calls_total", "substitutions_total", "handshakes_total", "bytes_total", "alarms_total", "sessions"] {
        assert_eq!(told.all(name).count(), 0, "{name}");
    }
    // The same by HTTP.
    let mut socket = UnixStream::connect(lab.rig.state().join("admin.sock")).unwrap();
    socket.write_all(b"GET /metrics HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").unwrap();
    let mut page = String::new();
    socket.read_to_string(&mut page).unwrap();
    let (head, body) = page.split_once("\r\n\r\n").unwrap();
    assert!(head.starts_with("HTTP/1.1 200") && head.contains("text/plain; version=0.0.4"), "{head}");
    assert_eq!(Metrics::parse(body).families(), told.families());
    let json: Value = serde_json::from_str(&lab.rig.good(&["--json", "status", "--metrics"])).unwrap();
    assert_eq!(json["schema"], "ensage.status_metrics.v1");
    assert_eq!(Metrics::parse(json["metrics"].as_str().unwrap()).families(), told.families());
}

#[test]
fn counters_say_what_the_records_say() {
    let lab = start();
    let (rig, [own, first, second]) = (&lab.rig, lab.at);
    let get = |host: &str, lines: &str| format!("GET / HTTP/1.1\r\nHost: {host}\r\n{lines}\r\n");
    let keyed = get("api.test", &format!("Authorization: Bearer {}\r\n", lab.placeholder));
    for _ in 0..2 {
        assert!(ask(rig, first, "api.test", &keyed).text().contains(&lab.placeholder));
    }
    assert_eq!(ask(rig, first, "desk.test", &call("ok")).status, 200);
    assert_eq!(ask(rig, first, "desk.test", &call("evil")).status, 200);
    let inference = post("llm.test", "/v1/messages", r#"{"model":"good","max_tokens":1,"messages":[]}"#);
    assert_eq!(ask(rig, first, "llm.test", &inference).status, 200);
    assert_eq!(ask(rig, first, "bad.test", &get("bad.test", "")).status, 502);
    assert_eq!(Raw::open(first).connect("no.test:443", "").status, 502);
    let upload = format!("POST / HTTP/1.1\r\nHost: other.test\r\nContent-Length: 50000\r\n\r\n{}", "x".repeat(50_000));
    let long = "GET /long HTTP/1.1\r\nHost: other.test\r\n\r\n".to_owned();
    for request in [get("other.test", ""), long, upload] {
        assert_eq!(ask(rig, second, "other.test", &request).status, 200);
    }
    // A placeholder in a passing body is an alarm.
    let body = format!("POST / HTTP/1.1\r\nHost: other.test\r\nContent-Length: 90\r\n\r\n{:90}", lab.placeholder);
    let mut raw = tunnel(rig, second, "other.test");
    raw.send(body.as_bytes());
    assert!(raw.try_answer("POST").is_ok_and(|answer| answer.is_some_and(|a| a.status == 403)));
    // A placeholder in the head of a CONNECT is another, and the request inside is refused for it.
    let mut raw = Raw::open(second);
    assert_eq!(raw.connect("other.test:443", &format!("Authorization: Bearer {}\r\n", lab.placeholder)).status, 200);
    let alarmed = raw.tls(&rig.trust(), "other.test").map(|mut raw| {
        raw.send(get("other.test", "").as_bytes());
        raw.answer().status
    });
    assert!(alarmed.is_ok());
    // No name where there must be one: no handshake.
    let mut raw = Raw::open(second);
    assert_eq!(raw.connect("other.test:443", "").status, 200);
    assert!(raw.tls(&rig.trust(), "api.test").is_err());
    // Listed in two enclaves, and the gateway's own listener says which to nobody.
    assert_eq!(Raw::open(own).connect("other.test:443", "").status, 403);

    let (told, records) = (metrics(rig), rig.records());
    assert_eq!(calls_told(&told), calls_recorded(&records), "{records:#?}");
    for kind in ["http", "mcp", "llm", "connect"] {
        let of = |decision: &str| {
            let calls = records.iter().filter(|r| r["kind"] == "call" && r["type"] == kind);
            calls.filter(|r| decision.is_empty() || r["decision"] == decision).count() as f64
        };
        assert_eq!(told.value("call_duration_seconds_count", &[("type", kind)]), of(""), "{kind}");
        assert_eq!(told.value("overhead_seconds_count", &[("type", kind)]), of("allow"), "{kind}");
        let sums = ["call_duration_seconds_sum", "overhead_seconds_sum"].map(|n| told.value(n, &[("type", kind)]));
        assert!(sums[0] >= sums[1] && (sums[1] > 0.0) == (of("allow") > 0.0), "{kind}: {sums:?}");
    }
    assert_eq!(told.value("substitutions_total", &[("credential", "key")]), 2.0);
    assert_eq!(told.value("scrubs_total", &[("credential", "key")]), 2.0);
    assert_eq!(told.value("tokens_total", &[("enclave", "lab"), ("direction", "up")]), 11.0);
    assert_eq!(told.value("tokens_total", &[("enclave", "lab"), ("direction", "down")]), 7.0);
    assert_eq!(told.value("sessions", &[]), 2.0);
    assert_eq!(told.value("leaves_minted_total", &[]), 5.0, "one for each host");
    let handshakes = |leg: &str, kind: &str| told.value("handshakes_total", &[("leg", leg), ("kind", kind)]);
    assert_eq!(handshakes("client", "full") + handshakes("client", "resumed"), 11.0);
    assert_eq!(handshakes("client", "failed"), 1.0);
    assert_eq!(handshakes("upstream", "failed"), 1.0, "bad.test");
    assert!(handshakes("upstream", "full") + handshakes("upstream", "resumed") >= 4.0);
    let alarms: Vec<_> = told.all("alarms_total").map(|(labels, n)| (labels["reason"].clone(), n)).collect();
    let mut recorded = BTreeMap::<String, f64>::new();
    for alarm in records.iter().filter(|r| r["kind"] == "alarm") {
        *recorded.entry(reason(alarm)).or_default() += 1.0;
    }
    assert_eq!(recorded.values().sum::<f64>(), 2.0, "{recorded:?}");
    assert_eq!(alarms, recorded.into_iter().collect::<Vec<_>>());
    let attributed = told.value("attributions_total", &[("attribution", "procfs")]);
    assert_eq!(attributed, 14.0, "one for each connection");
    let bytes = |leg: &str, direction: &str| told.value("bytes_total", &[("leg", leg), ("direction", direction)]);
    for leg in ["client", "upstream"] {
        assert!((50_000.0..100_000.0).contains(&bytes(leg, "up")), "{leg}");
        assert!((100_000.0..200_000.0).contains(&bytes(leg, "down")), "{leg}");
    }
    assert!(told.value("audit_records_total", &[]) >= records.len() as f64);
    let seqs = ["audit_durable_seq", "audit_records_total"].map(|n| told.value(n, &[]));
    assert!(seqs[0] <= seqs[1], "{seqs:?}");
    assert_eq!(told.value("policy_generation", &[]), 1.0);
    drop(lab.gateway);
}

#[test]
fn connections_and_reloads_are_counted() {
    let lab = start();
    let open = |leg: &str| metrics(&lab.rig).value("connections", &[("leg", leg)]);
    let mut raw = Raw::open(lab.at[2]);
    assert_eq!(raw.connect("other.test:443", "").status, 200);
    assert_eq!((open("client"), open("upstream")), (1.0, 0.0));
    let mut raw = raw.tls(&lab.rig.trust(), "other.test").unwrap();
    raw.send(b"GET / HTTP/1.1\r\nHost: other.test\r\n\r\n");
    assert_eq!(raw.answer().status, 200);
    assert_eq!((open("client"), open("upstream")), (1.0, 1.0));
    drop(raw);
    ensage_tests::until("the connection has gone", || (open("client") == 0.0).then_some(()));
    assert_eq!(open("upstream"), 1.0, "kept for the next one");
    // By signal: whoever has a session may not ask for it.
    let reloads = |result: &str, count: f64| {
        ensage_tests::until(result, || {
            let told = Metrics::parse(&admin(&lab.rig));
            (told.value("reloads_total", &[("result", result)]) == count).then_some(told)
        })
    };
    lab.gateway.hang_up();
    let _ = reloads("loaded", 1.0);
    lab.rig.write_config("[gateway]\nlisten = \n");
    for count in [1.0, 2.0] {
        lab.gateway.hang_up();
        let _ = reloads("rejected", count);
    }
    let told = reloads("loaded", 1.0);
    assert_eq!(told.value("policy_generation", &[]), 2.0);
}

#[test]
fn waiting_for_a_body_is_no_overhead() {
    let lab = start();
    let mut raw = tunnel(&lab.rig, lab.at[1], "desk.test");
    let request = call("ok");
    let (most, last) = request.split_at(request.len() - 1);
    raw.send(most.as_bytes());
    ensage_tests::until("it is held", || (metrics(&lab.rig).value("held_bytes", &[]) > 0.0).then_some(()));
    let held = Instant::now();
    ensage_tests::until("a while has passed", || (held.elapsed() > Duration::from_millis(200)).then_some(()));
    raw.send(last.as_bytes());
    assert_eq!(raw.answer().status, 200);
    let told = metrics(&lab.rig);
    let [whole, own] = ["call_duration_seconds_sum", "overhead_seconds_sum"].map(|n| told.value(n, &[("type", "mcp")]));
    assert!(own > 0.0 && whole - own > 0.2, "{own} of {whole}");
    drop(raw);
    ensage_tests::until("nothing is held", || (metrics(&lab.rig).value("held_bytes", &[]) == 0.0).then_some(()));
}

#[test]
fn a_pause_of_accepting_is_counted() {
    let rig = rig();
    let gateway = rig.start_with(&lab("\n[limits]\nconnections = 2\n"));
    let raws: Vec<Raw> = (0..3).map(|_| Raw::open(gateway.address())).collect();
    ensage_tests::until("a pause", || (metrics(&rig).value("accept_pauses_total", &[]) == 1.0).then_some(()));
    assert_eq!(metrics(&rig).value("connections", &[("leg", "client")]), 2.0);
    drop(raws);
}

/// The page by the socket, where no configuration can be read any more.
fn admin(rig: &Rig) -> String {
    let mut socket = UnixStream::connect(rig.state().join("admin.sock")).unwrap();
    socket.write_all(b"GET /metrics HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").unwrap();
    let mut page = String::new();
    socket.read_to_string(&mut page).unwrap();
    page.split_once("\r\n\r\n").unwrap().1.to_owned()
}

type Calls = BTreeMap<[String; 4], u64>;

fn calls_told(told: &Metrics) -> Calls {
    let key = |labels: &BTreeMap<String, String>| ["enclave", "type", "decision", "reason"].map(|l| labels[l].clone());
    told.all("calls_total").map(|(labels, count)| (key(labels), count as u64)).collect()
}

fn calls_recorded(records: &[Value]) -> Calls {
    let mut all = Calls::new();
    for call in records.iter().filter(|r| r["kind"] == "call") {
        let text = |pointer: &str| call.pointer(pointer).and_then(Value::as_str).unwrap_or("").to_owned();
        *all.entry(["/session/enclave", "/type", "/decision", "/reason"].map(text)).or_default() += 1;
    }
    assert!(
        all.keys().any(|k| k[0] == TWO) && all.keys().any(|k| k[0] == "lab") && all.keys().any(|k| k[0].is_empty())
    );
    all
}
