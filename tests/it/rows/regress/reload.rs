//! H6, H7: from the moment that a policy is in force nothing runs by an older one.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Child, ChildStdout, Command, Output, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use ensage_tests::{Answer, Gateway, Origin, Rig, output, spawn, until};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use super::super::lab::{KEYED, Keyed, ask, lab, reason, rig};
use super::{reloaded, status};

const DESK: &str = r#"
[[enclave.lab.http]]
host = "ok.test"

[enclave.lab.mcp.desk]
url = "https://desk.test/mcp"
tools = ["ok", "evil"]

[agent.other]
exe = "/nonexistent"
"#;

fn desk(request: &Answer) -> Vec<u8> {
    let body = r#"{"jsonrpc":"2.0","id":1,"result":{"content":[]}}"#;
    let body = if request.line().starts_with("POST") { body } else { "good" };
    let head = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n";
    format!("{head}content-length: {}\r\n\r\n{body}", body.len()).into_bytes()
}

fn started() -> (Rig, Origin, Gateway) {
    let rig = rig();
    let origin = Origin::answering(Some(rig.ca.leaf(&["ok.test", "desk.test"])), desk);
    let gateway = rig.start_with(&lab(DESK).resolve("*.test:443", origin.address()));
    (rig, origin, gateway)
}

/// The configuration with other words in place of these.
fn edit(rig: &Rig, from: &str, to: &str) {
    let text = fs::read_to_string(rig.config_file()).unwrap();
    assert!(text.contains(from), "{text}");
    rig.write_config(&text.replace(from, to));
}

fn call(name: &str) -> String {
    let body =
        format!(r#"{{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{{"name":"{name}","arguments":{{}}}}}}"#);
    let lines = "Content-Type: application/json\r\nMCP-Protocol-Version: 2025-11-25\r\n";
    format!("POST /mcp HTTP/1.1\r\nHost: desk.test\r\n{lines}Content-Length: {}\r\n\r\n{body}", body.len())
}

#[test]
fn h7_a_body_held_over_a_reload_is_judged_by_the_new_policy() {
    let (rig, origin, gateway) = started();
    let (evil, ok) = (call("evil"), call("ok"));
    // The twin: before the reload both tools are there.
    assert_eq!(ask(&rig, &gateway, "desk.test:443", evil.as_bytes()).status, 200);
    let held_bytes = || status(&rig)["held_bytes"].as_u64().unwrap();
    let begin = |request: &str| {
        let before = held_bytes();
        let mut raw = rig.tunnel(&gateway, "desk.test:443");
        raw.send(&request.as_bytes()[..request.len() - 1]);
        until("the body is held", || (held_bytes() > before).then_some(()));
        raw
    };
    let mut held = [begin(&evil), begin(&ok)];
    let before = origin.text();
    edit(&rig, r#"["ok", "evil"]"#, r#"["ok"]"#);
    reloaded(&rig, &gateway);
    let answers = held.each_mut().map(|raw| {
        raw.send(b"}");
        raw.answer()
    });
    assert_eq!(answers[0].json()["error"]["code"], -32602, "{}", answers[0].text());
    assert!(answers[1].json()["result"].is_object(), "{}", answers[1].text());
    let got = origin.text().split_off(before.len());
    assert!(!got.contains("evil") && got.contains(r#""name":"ok""#), "{got}");
    assert_eq!(rig.refused()["reason"], "tool_not_allowed");
}

#[test]
fn h7_an_agent_taken_off_its_enclave_loses_its_open_connection() {
    let (rig, origin, gateway) = started();
    let get = |path: &str| format!("GET {path} HTTP/1.1\r\nHost: ok.test\r\n\r\n");
    let mut open = rig.tunnel(&gateway, "ok.test:443");
    open.send(get("/before").as_bytes());
    assert_eq!(open.answer().status, 200);
    // The twin: a reload that leaves the agent where it is leaves its connection.
    reloaded(&rig, &gateway);
    open.send(get("/still").as_bytes());
    assert_eq!(open.answer().status, 200);
    edit(&rig, r#"agents = ["raw"]"#, r#"agents = ["other"]"#);
    reloaded(&rig, &gateway);
    open.send(get("/after").as_bytes());
    let answer = open.answer();
    assert_eq!((answer.status, answer.told()), (403, Some("agent_not_allowed")), "{}", answer.text());
    assert_eq!(reason(&rig.calls().pop().unwrap()), "agent_not_allowed");
    let got = origin.text();
    assert!(got.contains("/still") && !got.contains("/after"), "{got}");
}

#[test]
fn session_mode_in_records_follows_a_reload() {
    let rig = rig();
    let origin = Origin::good(rig.ca.leaf(&["ok.test"]));
    let entries = "mode = \"observe\"\n[[enclave.lab.http]]\nhost = \"ok.test\"\n";
    let gateway = rig.start_with(&lab(entries).resolve("*.test:443", origin.address()));
    let mut raw = rig.tunnel(&gateway, "ok.test:443");
    let mut mode_of = |path: &str| {
        raw.send(format!("GET {path} HTTP/1.1\r\nHost: ok.test\r\n\r\n").as_bytes());
        assert_eq!(raw.answer().status, 200);
        let record = rig.calls().pop().unwrap();
        assert_eq!(record["url"]["path"], path);
        (record["session"]["id"].clone(), record["session"]["mode"].as_str().unwrap().to_owned())
    };
    let (first, observed) = mode_of("/1");
    edit(&rig, "mode = \"observe\"", "mode = \"enforce\"");
    reloaded(&rig, &gateway);
    let (second, enforced) = mode_of("/2");
    edit(
        &rig,
        "[enclave.lab]\nagents = [\"raw\"]\n\nmode = \"enforce\"",
        "[enclave.lab]\nagents = [\"raw\"]\n\nmode = \"observe\"",
    );
    reloaded(&rig, &gateway);
    let (third, again) = mode_of("/3");
    assert_eq!([observed, enforced, again], ["observe", "enforce", "observe"]);
    assert!(first == second && second == third);
}

/// Far longer than the second of contract section 8, for busy machines; far shorter than an origin's patience.
const SOON: Duration = Duration::from_secs(15);

/// An origin whose streams begin and then stand still until they are told to go on.
fn streaming(rig: &Rig, go: &Arc<AtomicBool>) -> Origin {
    let go = go.clone();
    Origin::start(Some(rig.ca.leaf(&["api.test", "other.test"])), move |link| {
        while link.request()?.is_some() {
            link.write(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nfirst\r\n")?;
            until("the stream may go on", || go.load(Ordering::Acquire).then_some(()));
            link.write(b"4\r\nlast\r\n0\r\n\r\n")?;
        }
        Ok(())
    })
}

#[test]
fn f11_a_reload_that_takes_a_credential_cuts_the_stream_that_used_it() {
    let (rig, go) = (rig(), Arc::default());
    let origin = streaming(&rig, &go);
    let lab = Keyed::start(rig, &lab(KEYED).resolve("*.test:443", origin.address()));
    let stream = |host: &str, lines: &str| {
        let mut raw = lab.rig.tunnel(&lab.gateway, &format!("{host}:443"));
        raw.send(format!("GET /stream HTTP/1.1\r\nHost: {host}\r\n{lines}\r\n").as_bytes());
        assert_eq!(raw.answer_head().unwrap().unwrap().status, 200);
        assert_eq!(raw.chunk().unwrap(), b"first");
        raw
    };
    let mut keyed = stream("api.test", &format!("x-api-key: {}\r\n", lab.placeholder));
    let mut bare = stream("other.test", "");
    let text = fs::read_to_string(lab.rig.config_file()).unwrap();
    let (without, _) = text.split_once("[credential.key]").unwrap();
    lab.rig.write_config(&without.replace("credential = \"key\"\n", ""));
    reloaded(&lab.rig, &lab.gateway);
    // It is cut although the origin says nothing more, and never looks complete.
    let begun = Instant::now();
    assert!(keyed.rest_of_chunks().is_err());
    assert!(begun.elapsed() < SOON, "{:?}", begun.elapsed());
    go.store(true, Ordering::Release);
    assert_eq!(bare.rest_of_chunks().unwrap(), b"last");
}

/// The agent is curl, so that the test is outside of every session and may change the vault.
#[test]
fn f11_creds_rm_cuts_the_stream_that_used_it() {
    let (rig, go) = (rig(), Arc::default());
    let origin = streaming(&rig, &go);
    let curl =
        ["/usr/bin/curl", "/bin/curl", "/usr/local/bin/curl"].map(PathBuf::from).into_iter().find(|p| p.exists());
    let curl = fs::canonicalize(curl.expect("curl")).unwrap();
    let raw = std::env::current_exe().unwrap();
    rig.configure(&lab(KEYED).resolve("*.test:443", origin.address()));
    edit(&rig, &format!("{raw:?}"), &format!("{curl:?}"));
    rig.add_secret("key", "CANARY-of-the-vault");
    let placeholder = rig.placeholder("key");
    let gateway = rig.start();
    let proxy = format!("http://{}", gateway.address());
    let ca = rig.state().join("ca/ca.pem");
    let stream = |host: &str, key: &str, file: &str| {
        let mut command = Command::new(&curl);
        command.env_clear().args(["-sN", "--http1.1", "-x", &proxy, "--cacert"]).arg(&ca);
        command.args(["-H", key, "-o"]).arg(rig.path(file)).arg(format!("https://{host}/stream"));
        let child = Ended(spawn(command.stdin(Stdio::null())).unwrap());
        until("the stream flows", || fs::read(rig.path(file)).ok().filter(|got| got == b"first"));
        child
    };
    let mut keyed = stream("api.test", &format!("x-api-key: {placeholder}"), "keyed");
    let mut bare = stream("other.test", "x-note: nothing", "bare");
    let _ = rig.good(&["creds", "rm", "key"]);
    let begun = Instant::now();
    // 18: the transfer ended before its last chunk.
    assert_eq!(until("the stream is cut", || keyed.0.try_wait().unwrap()).code(), Some(18));
    assert!(begun.elapsed() < SOON, "{:?}", begun.elapsed());
    go.store(true, Ordering::Release);
    assert_eq!(until("the other ends", || bare.0.try_wait().unwrap()).code(), Some(0));
    assert_eq!(fs::read(rig.path("keyed")).unwrap(), b"first");
    assert_eq!(fs::read(rig.path("bare")).unwrap(), b"firstlast");
}

/// A process that does not outlive its test.
struct Ended(Child);

impl Drop for Ended {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The program in this folder, nothing said about a configuration.
fn in_folder(rig: &Rig, folder: &str, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_ensage"));
    command.env_clear().env("PATH", std::env::var_os("PATH").unwrap()).env("HOME", rig.path("home"));
    command.current_dir(rig.path(folder)).arg("--state").arg(rig.state()).args(arguments);
    command
}

fn listens(rig: &Rig) -> (Ended, BufReader<ChildStdout>) {
    let mut command = in_folder(rig, "work", &["gateway"]);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut child = Ended(spawn(&mut command).unwrap());
    let mut out = BufReader::new(child.0.stdout.take().unwrap());
    let mut line = String::new();
    out.read_line(&mut line).unwrap();
    assert!(line.starts_with("listening on "), "{line:?}");
    (child, out)
}

#[test]
fn h2_a_reload_takes_no_text_that_was_not_accepted() {
    let rig = rig();
    fs::create_dir(rig.path("work")).unwrap();
    let write = |host: &str| {
        let text = format!(
            "[gateway]\nlisten = \"127.0.0.1:0\"\ncatalogue = false\n[enclave.lab]\nagents = [\"*\"]\n[[enclave.lab.http]]\nhost = \"{host}\"\n"
        );
        fs::write(rig.path("work/ensage.toml"), text).unwrap();
    };
    let say = |folder: &str, arguments: &[&str]| -> Output { output(&mut in_folder(&rig, folder, arguments)).unwrap() };
    // Asked from elsewhere: the edited file stops every question from its own folder.
    let told = || {
        let status: Value = serde_json::from_slice(&say("home", &["status", "--json"]).stdout).unwrap();
        (status["policy_hash"].clone(), status["generation"].clone())
    };
    write("good.test");
    assert!(say("work", &["trust"]).status.success());
    let (gateway, _out) = listens(&rig);
    let before = told();
    write("evil.test");
    let records = || {
        let out = say("home", &["audit", "--json"]).stdout;
        let all: Vec<Value> = out.split(|b| *b == b'\n').filter_map(|line| serde_json::from_slice(line).ok()).collect();
        all.iter().filter(|r| r["kind"] == "policy" && r["event"] == "rejected").count()
    };
    for folder in ["work", "home"] {
        let out = say(folder, &["reload"]);
        assert!(!out.status.success(), "{folder}: {out:?}");
        assert_eq!(told(), before, "{folder}");
    }
    let rejected = records();
    kill_process(Pid::from_child(&gateway.0), Signal::HUP).unwrap();
    until("the reload is rejected", || (records() > rejected).then_some(()));
    assert_eq!(told(), before);
    // The twin: what its owner has accepted is taken.
    assert!(say("work", &["trust"]).status.success());
    let out = say("work", &["reload"]);
    assert!(out.status.success(), "{out:?}");
    let after = told();
    assert!(after.0 != before.0 && after.1 == 2, "{before:?} {after:?}");
}

/// The answer was there before the request: what goes on behind it is held against the new policy like any other call.
#[test]
fn f11_an_upload_behind_an_early_answer_is_cut_with_its_host() {
    let rig = rig();
    let origin = Origin::start(Some(rig.ca.leaf(&["ok.test"])), |link| {
        let Some(head) = link.request_head()? else { return Ok(()) };
        link.write(&ensage_tests::ok("early"))?;
        link.body_sum(&head).map(drop)
    });
    let gateway = rig.start_with(
        &lab("[[enclave.lab.http]]\nhost = \"ok.test\"\nmethods = [\"POST\"]\n")
            .resolve("*.test:443", origin.address()),
    );
    let mut raw = rig.tunnel(&gateway, "ok.test:443");
    raw.send(b"POST / HTTP/1.1\r\nHost: ok.test\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n");
    assert_eq!(raw.answer().text(), "early");
    // The twin: a reload that leaves the host open leaves the upload.
    reloaded(&rig, &gateway);
    raw.send(b"5\r\nstill\r\n");
    origin.wait_for("still");
    edit(&rig, "host = \"ok.test\"", "host = \"other.test\"");
    reloaded(&rig, &gateway);
    let _ = raw.try_send(b"5\r\nafter\r\n0\r\n\r\n");
    assert_eq!(raw.rest(), b"", "nothing more is said");
    let got = origin.text();
    assert!(got.contains("still") && !got.contains("after"), "{got}");
}
