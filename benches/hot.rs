//! The pure pieces of one exchange, each against the plainest code that does a like amount of work.
//!
//! `cargo bench -p ensage-benches`; a word after `--` picks the rows that contain it.
#![forbid(unsafe_code)]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stdout, reason = "a benchmark that cannot run stops")]

use std::fs::File;
use std::hint::black_box;
use std::io::Write;
use std::path::Path;
use std::time::SystemTime;

use ensage_audit::{Call, Draft, End, Log, Options};
use ensage_benches::compare;
use ensage_creds::{Grant, HostFit, Patterns, Placeholders, Scope, Scrubber, Secret, Site, Slot, Who, examine};
use ensage_gateway::gate::{Inspector, Limits};
use ensage_mcp::{json, mcp};
use ensage_policy::authority::Authority;
use ensage_policy::config::{Env, load};
use ensage_policy::judge::{self, CredentialFinding, HeadFacts, Trial};
use ensage_policy::path::RequestPath;
use ensage_policy::{Policy, Scheme};
use serde::de::IgnoredAny;

/// What is timed, against what, and how.
type Row = (&'static str, &'static str, fn() -> ensage_benches::Outcome);

fn main() {
    let wanted = std::env::args().skip(1).find(|word| !word.starts_with("--")).unwrap_or_default();
    println!("| piece | yardstick | yardstick ns | piece ns | ratio |\n|---|---|---|---|---|");
    let rows: [Row; 8] = [
        ("json: strict reader, 1 KiB tools/call", "serde_json, IgnoredAny", json_read),
        ("mcp: message, 1 KiB tools/call", "serde_json, IgnoredAny", mcp_message),
        ("gate: request head", "httparse", gate_head),
        ("creds: examine a head with a placeholder", "clone of its header map", examine_head),
        ("creds: scrub, 16 KiB without a secret", "memmem for the secret", scrub_clean),
        ("policy: judge a head, http rule", "clone of its header map", judge_http),
        ("policy: judge a head, mcp entry", "clone of its header map", judge_mcp),
        ("audit: call + end + written", "one write(2) of as many bytes", audit_pair),
    ];
    for (piece, yardstick, run) in rows.into_iter().filter(|(piece, ..)| piece.contains(&wanted)) {
        let o = run();
        println!("| {piece} | {yardstick} | {:.0} | {:.0} | {:.2} |", o.yardstick_ns, o.piece_ns, o.ratio);
    }
}

/// A `tools/call` as agents send it, 1 KiB: short members, one long text.
fn tools_call() -> Vec<u8> {
    let mut text =
        String::from("{\"jsonrpc\":\"2.0\",\"id\":7,\"method\":\"tools/call\",\"params\":{\"name\":\"echo\",");
    text.push_str(
        "\"_meta\":{\"progressToken\":7},\"arguments\":{\"path\":\"src/main.rs\",\"lines\":[1,80],\"text\":\"",
    );
    while text.len() < 1024 - 4 {
        text.push_str(if text.len() % 61 == 0 { "\\n" } else { "x" });
    }
    text.truncate(1024 - 4);
    let text = text.trim_end_matches('\\').to_owned() + "\"}}}";
    text.into_bytes()
}

fn ignored(bytes: &[u8]) {
    black_box(serde_json::from_slice::<IgnoredAny>(black_box(bytes)).unwrap());
}

fn json_read() -> ensage_benches::Outcome {
    let (bytes, limits) = (tools_call(), json::Limits::default());
    compare(
        || ignored(&bytes),
        || {
            black_box(json::parse(black_box(&bytes), &limits).unwrap());
        },
    )
}

fn mcp_message() -> ensage_benches::Outcome {
    let bytes = tools_call();
    let head = mcp::Head {
        protocol_version: mcp::Field::One("2025-06-18"),
        method: mcp::Field::Absent,
        name: mcp::Field::Absent,
        session_id: mcp::Field::Absent,
        params: Vec::new(),
        negotiated: None,
    };
    compare(
        || ignored(&bytes),
        || {
            let mut reader = mcp::BodyReader::new(1 << 20);
            reader.feed(black_box(&bytes));
            black_box(reader.finish(&head).unwrap());
        },
    )
}

/// What a typical SDK sends.
const FIELDS: [(&str, &str); 10] = [
    ("host", "origin.bench.test:8443"),
    ("user-agent", "claude-cli/2.1.3 (external, cli)"),
    ("accept", "application/json, text/event-stream"),
    ("content-type", "application/json"),
    ("x-app", "cli"),
    ("x-stainless-runtime-version", "v22.11.0"),
    ("accept-encoding", "gzip, deflate, br"),
    ("accept-language", "*"),
    ("traceparent", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f0671102900217-01"),
    ("connection", "keep-alive"),
];

fn raw_head() -> Vec<u8> {
    let mut head = String::from("GET /v1/things/42?page=2 HTTP/1.1\r\n");
    for (name, value) in FIELDS {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    (head + "\r\n").into_bytes()
}

fn gate_head() -> ensage_benches::Outcome {
    let bytes = raw_head();
    let mut inspector = Inspector::requests(Limits::default());
    compare(
        || {
            let mut fields = [httparse::EMPTY_HEADER; 64];
            let mut request = httparse::Request::new(&mut fields);
            black_box(request.parse(black_box(&bytes)).unwrap());
        },
        || {
            assert_eq!(inspector.feed(black_box(&bytes)).shown, bytes.len());
        },
    )
}

fn head_with(authorization: &str) -> http::request::Parts {
    let mut request = http::Request::builder().uri("/v1/things/42?page=2");
    for (name, value) in FIELDS {
        request = request.header(name, value);
    }
    request.header("authorization", authorization).body(()).unwrap().into_parts().0
}

fn copied(head: &http::request::Parts) {
    black_box(black_box(&head.headers).clone());
}

fn examine_head() -> ensage_benches::Outcome {
    let table = Placeholders::new();
    let now = SystemTime::now();
    let expires = now + std::time::Duration::from_secs(3600);
    let session = [7; 16];
    let grant = Grant { credential: "api".into(), scope: Scope::Session(session), expires };
    let placeholder = table.mint("sk-", grant).unwrap();
    let head = head_with(&format!("Bearer {placeholder}"));
    let who = Who { session, enclave: "a", agent: "coder" };
    let slots = [Slot::Bearer];
    let sites = [Site { name: "api", slots: &slots, host: HostFit::Bound, path: ensage_creds::PathFit::Covered }];
    compare(
        || copied(&head),
        || {
            black_box(examine(black_box(&head), &who, &sites, &table, now));
        },
    )
}

fn scrub_clean() -> ensage_benches::Outcome {
    let secret = Secret::from_stdin(b"ghp_0123456789abcdefghijABCDEFGHIJ".to_vec()).unwrap();
    let patterns = Patterns::new(&[(&secret, "ghp_ens_0123456789abcdefghijAB")]);
    let mut scrubber = Scrubber::over(patterns);
    let bytes: Vec<u8> = tools_call().into_iter().cycle().take(16 * 1024).collect();
    let finder = memchr::memmem::Finder::new(b"ghp_0123456789abcdefghijABCDEFGHIJ");
    compare(
        || {
            black_box(finder.find(black_box(&bytes)));
        },
        || assert!(scrubber.clean(black_box(&bytes))),
    )
}

fn policy() -> Policy {
    let text = r#"
[enclave.a]
agents = ["coder"]

[[enclave.a.http]]
host = "*.bench.test:*"
credential = "api"

[enclave.a.mcp.tools]
url = "https://origin.bench.test:8443/mcp"
credential = "api"
tools = ["echo"]
pin = false

[credential.api]
source = "vault"
slot = "bearer"
hosts = ["*.bench.test:*"]
"#;
    let env = Env { cwd: "/".into(), catalogue: vec!["coder".to_owned()], ..Env::default() };
    let loaded = load(text, Some(Path::new("ensage.toml")), &env);
    loaded.policy.expect("the policy of the benchmark is good")
}

fn judge_http() -> ensage_benches::Outcome {
    judged("GET", "/v1/things/42")
}

fn judge_mcp() -> ensage_benches::Outcome {
    judged("POST", "/mcp")
}

/// Everything of the judging step that a head needs, authority and path read from their bytes.
fn judged(method: &str, path: &str) -> ensage_benches::Outcome {
    let policy = policy();
    let enclave = policy.enclaves.first().unwrap();
    let finding = CredentialFinding::Placeholder { credential: "api".into(), slot: ensage_policy::model::Slot::Bearer };
    let copy = head_with("Bearer sk-placeholder");
    let begun = || Trial::begin(&policy, enclave, enclave.mode).identity(None, "").unwrap();
    // What a body says is judged once: reading it is measured elsewhere.
    let body = (method == "POST").then(|| {
        let (authority, path) = (authority(), RequestPath::parse(path).unwrap());
        let mut trial = begun();
        let route = trial.head(&facts(method, &authority, &path, &finding)).unwrap();
        trial.message(&route, &message()).unwrap()
    });
    let proof = body.as_ref().map_or(judge::BodyProof::Absent, judge::BodyProof::Judged);
    compare(
        || copied(&copy),
        || {
            let authority = authority();
            let path = RequestPath::parse(black_box(path)).unwrap();
            let mut trial = begun();
            trial.reach(&authority, Scheme::Https).unwrap();
            black_box(judge::sites(&policy, enclave, &authority, &path));
            let route = trial.head(&facts(method, &authority, &path, &finding)).unwrap();
            let permit = trial.permit(route, &finding, proof).unwrap();
            black_box(&permit);
        },
    )
}

fn facts<'a>(
    method: &'a str,
    authority: &'a Authority,
    path: &'a RequestPath,
    finding: &'a CredentialFinding,
) -> HeadFacts<'a> {
    let (scheme, upgrade) = (Scheme::Https, judge::Upgrade::Stay);
    HeadFacts { authority, scheme, method, path, query: None, upgrade, finding }
}

fn authority() -> Authority {
    Authority::parse(black_box(b"origin.bench.test:8443"), None).unwrap()
}

fn message() -> mcp::Message {
    let mut reader = mcp::BodyReader::new(1 << 20);
    reader.feed(br#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"echo"}}"#);
    let head = mcp::Head {
        protocol_version: mcp::Field::One("2025-11-25"),
        method: mcp::Field::Absent,
        name: mcp::Field::Absent,
        session_id: mcp::Field::Absent,
        params: Vec::new(),
        negotiated: None,
    };
    reader.finish(&head).unwrap()
}

fn audit_pair() -> ensage_benches::Outcome {
    let folder = tempfile::tempdir().unwrap();
    let log = Log::open(&folder.path().join("audit"), Options::default(), &[7; 32]).unwrap();
    let id = ensage_audit::SessionFacts::default().id;
    let policy = ensage_audit::PolicyFacts { generation: 1, sha256: None }.fragment();
    let call = Call {
        kind: "http",
        server: Some("origin.bench.test"),
        port: Some(8443),
        method: Some("GET"),
        scheme: Some("https"),
        path: Some("/v1/things/42"),
        credential: Some(("api", "substituted")),
        decision: "allow",
        rule: Some("enclave.a.http[0]"),
        policy: Some(&policy),
        ..Call::new(id, "info")
    };
    let end = End { status: Some(200), bytes_down: 1024, outcome: "complete", ..End::default() };
    let bytes = vec![b'x'; pair_bytes(&log, folder.path(), &call, &end)];
    let mut plain = File::create(folder.path().join("plain")).unwrap();
    compare(
        || plain.write_all(black_box(&bytes)).unwrap(),
        || {
            log.append(&Draft::call(black_box(&call))).unwrap();
            let seq = log.append(&Draft::end(id, "info", &end)).unwrap();
            log.written(seq).unwrap();
        },
    )
}

/// How long both records are in the file.
fn pair_bytes(log: &Log, folder: &Path, call: &Call<'_>, end: &End<'_>) -> usize {
    let size = || {
        let segments = std::fs::read_dir(folder.join("audit/segments")).unwrap();
        segments.map(|entry| entry.unwrap().metadata().unwrap().len()).sum::<u64>()
    };
    let write = || {
        log.append(&Draft::call(call)).unwrap();
        let seq = log.append(&Draft::end(call.id, "info", end)).unwrap();
        log.written(seq).unwrap();
    };
    write();
    let before = size();
    write();
    usize::try_from(size() - before).unwrap()
}
