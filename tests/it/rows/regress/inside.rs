//! H3, H4: what a process inside a session gets from the gateway, and from the `run` that started it.

use std::fs::{self, Permissions};
use std::io::{Read, Write};
use std::os::unix::fs::{PermissionsExt, chown};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Command, Stdio};

use ensage_tests::{DEADLINE, Origin, Rig, canary, output, spawn, until};
use serde_json::Value;

use super::super::lab::{lab, rig};
use super::seen;

/// What the admin socket answers to one request, by its status line.
struct Told {
    stream: UnixStream,
    status: u16,
    text: String,
}

fn admin(rig: &Rig, line: &str) -> Told {
    admin_with(rig, line, "")
}

fn admin_with(rig: &Rig, line: &str, body: &str) -> Told {
    let mut stream = UnixStream::connect(rig.state().join("admin.sock")).unwrap();
    stream.set_read_timeout(Some(DEADLINE)).unwrap();
    let head = format!("{line} HTTP/1.1\r\nhost: x\r\ncontent-length: {}\r\n\r\n", body.len());
    stream.write_all(format!("{head}{body}").as_bytes()).unwrap();
    let mut bytes = Vec::new();
    let mut buffer = [0; 4096];
    // The head and what came with it: a life has no end.
    while !bytes.windows(4).any(|w| w == b"\r\n\r\n") {
        let n = stream.read(&mut buffer).unwrap();
        assert!(n > 0, "{line}");
        bytes.extend_from_slice(&buffer[..n]);
    }
    let text = String::from_utf8(bytes).unwrap();
    let status = text.split(' ').nth(1).unwrap().parse().unwrap();
    Told { stream, status, text }
}

#[test]
fn h3_the_admin_socket_tells_and_ends_nothing_for_a_process_inside() {
    let rig = rig();
    let origin = Origin::good(rig.ca.leaf(&["ok.test"]));
    let config = lab("[[enclave.lab.http]]\nhost = \"ok.test\"\n").resolve("*.test:443", origin.address());
    let gateway = rig.start_with(&config);
    // The twin: as long as this process is in no session, it may look.
    assert_eq!(admin(&rig, "GET /v1/sessions").status, 200);
    // A session of somebody else.
    let script = "echo $ENSAGE_SESSION > here; while [ ! -e go ]; do sleep 0.05; done; exit 7";
    let mut command = rig.ensage(&["run", "--advisory", "--enclave", "lab", "--", "sh", "-c", script]);
    let mut victim = spawn(command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null())).unwrap();
    let theirs = until("their session is open", || {
        fs::read_to_string(rig.path("home/here")).ok().filter(|id| id.ends_with('\n'))
    });
    // From its first call on this process is the root of a session.
    let mut raw = rig.tunnel(&gateway, "ok.test:443");
    let mut get = || {
        raw.send(b"GET / HTTP/1.1\r\nHost: ok.test\r\n\r\n");
        assert_eq!(raw.answer().status, 200);
    };
    get();
    let own = rig.calls()[0]["session"]["id"].as_str().unwrap().to_owned();
    let ended = seen(&rig, "session", "ended");
    let mut lines: Vec<String> = vec!["GET /v1/sessions".into(), "POST /v1/sessions/all/end".into()];
    lines.extend(["POST /v1/sessions", "POST /v1/env", "POST /v1/reload"].map(String::from));
    for id in [theirs.trim(), &own] {
        lines.push(format!("GET /v1/sessions/{id}"));
        lines.push(format!("GET /v1/sessions/{id}/life"));
        lines.push(format!("POST /v1/sessions/{id}/end"));
    }
    for line in &lines {
        let told = admin(&rig, line);
        assert_eq!(told.status, 403, "{line}: {}", told.text);
        assert!(told.text.contains("from_session"), "{line}: {}", told.text);
        // Whoever leaves a life ends it, if it was given.
        drop(told.stream);
    }
    assert_eq!(admin(&rig, "GET /v1/status").status, 200);
    get();
    assert_eq!(seen(&rig, "session", "ended"), ended);
    fs::write(rig.path("home/go"), "").unwrap();
    assert_eq!(until("the other ends by itself", || victim.try_wait().unwrap()).code(), Some(7));
    until("its session is over", || (seen(&rig, "session", "ended") == ended + 1).then_some(()));
}

const KEYS: &str = r#"
[[enclave.lab.http]]
host = "api.test"

[credential.key]
slot = "header:x-api-key"
hosts = ["api.test"]
placeholder = "ph-"
env = "KEY"

[credential.own]
source = "env:DAEMON_KEY"
slot = "header:x-api-key"
hosts = ["own.test"]
"#;

#[test]
fn h4_no_secret_is_in_the_environment_of_what_run_starts() {
    let rig = rig();
    let [key, orphan, own, stale] = ["key", "orphan", "own", "stale"].map(canary);
    rig.configure(&lab(KEYS));
    rig.add_secret("key", &key);
    rig.add_secret("orphan", &orphan);
    let mut command = rig.ensage(&["gateway"]);
    command.env("DAEMON_KEY", &own).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut gateway = spawn(&mut command).unwrap();
    let mut line = [0; 12];
    gateway.stdout.as_mut().unwrap().read_exact(&mut line).unwrap();
    assert_eq!(&line, b"listening on");
    let mut run = rig.ensage(&["run", "--advisory", "--enclave", "lab", "--", "env", "-0"]);
    run.env("KEY", &key).env("OTHER", format!("x{key}")).env("ORPHAN", &orphan).env("DAEMON_KEY", &stale);
    let out = output(run.env("COPY", format!("Bearer {own}")).env("KEPT", "as it is")).unwrap();
    let _ = gateway.kill();
    let _ = gateway.wait();
    let said = String::from_utf8(out.stdout).unwrap();
    assert!(out.status.success(), "{said}{}", String::from_utf8_lossy(&out.stderr));
    for (name, secret) in [("key", &key), ("orphan", &orphan), ("own", &own), ("stale", &stale)] {
        assert!(!said.contains(secret.as_str()), "{name}: {said}");
    }
    let names: Vec<&str> = said.split('\0').filter_map(|l| l.split_once('=')).map(|(name, _)| name).collect();
    for gone in ["OTHER", "ORPHAN", "DAEMON_KEY", "COPY"] {
        assert!(!names.contains(&gone), "{gone}: {names:?}");
    }
    assert!(said.contains("KEPT=as it is\0") && said.contains("\0KEY=ph-"), "{said}");
}

/// `nobody`, who owns nothing.
const NOBODY: u32 = 65534;

/// A program of this folder as `nobody`, or as who we are where we may not become another.
fn as_nobody(folder: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new("setpriv");
    command.args(["--reuid=65534", "--regid=65534", "--clear-groups"]).args(arguments);
    command.env_clear().env("PATH", std::env::var_os("PATH").unwrap()).env("HOME", folder).current_dir(folder);
    command
}

/// The keys were taken out of the child's environment; its parent's still has them.
#[test]
fn h4_the_environment_of_run_is_not_readable_from_inside() {
    let folder = tempfile::Builder::new().prefix("ensage-it-").tempdir().unwrap();
    let here = folder.path();
    let may = rustix::process::geteuid().is_root()
        && output(&mut as_nobody(Path::new("/"), &["true"])).is_ok_and(|o| o.status.success());
    if !may {
        return; // For root nothing is unreadable, and who is not root can't become another.
    }
    let bin = here.join("ensage");
    fs::copy(env!("CARGO_BIN_EXE_ensage"), &bin).unwrap();
    let config = "[gateway]\nlisten = \"127.0.0.1:0\"\ncatalogue = false\n[enclave.lab]\nagents = [\"*\"]\nmode = \"observe\"\n[[enclave.lab.http]]\nhost = \"a.test\"\n[credential.x]\nslot = \"bearer\"\nhosts = [\"a.test\"]\nsource = \"env:KEY\"\n";
    fs::write(here.join("c.toml"), config).unwrap();
    for path in [here, &bin, &here.join("c.toml")] {
        chown(path, Some(NOBODY), Some(NOBODY)).unwrap();
    }
    fs::set_permissions(here, Permissions::from_mode(0o700)).unwrap();
    let secret = canary("parent");
    let script = "tr '\\0' '\\n' < /proc/self/environ > own; cat /proc/$PPID/environ > parents; echo $? > code; cat /proc/$PPID/mem > memory";
    let mut run = as_nobody(
        here,
        &["./ensage", "--config", "c.toml", "--state", "state", "run", "--enclave", "lab", "--", "sh", "-c", script],
    );
    let out = output(run.env("KEY", &secret).env("KEPT", "as it is")).unwrap();
    let pid = output(&mut as_nobody(here, &["./ensage", "--config", "c.toml", "--state", "state", "status", "--json"]));
    let read = |name: &str| fs::read(here.join(name)).unwrap_or_default();
    let own = String::from_utf8(read("own")).unwrap();
    assert!(own.contains("KEPT=as it is\n") && !own.contains(&secret), "{own}{}", String::from_utf8_lossy(&out.stderr));
    assert_ne!(read("code"), b"0\n", "the environment of run was read");
    assert_eq!((read("parents"), read("memory")), (Vec::new(), Vec::new()));
    // The gateway that run started goes by itself, but need not outlive the test.
    let pid = pid.ok().and_then(|o| serde_json::from_slice::<Value>(&o.stdout).ok()).and_then(|s| s["pid"].as_i64());
    if let Some(pid) = pid.and_then(|p| rustix::process::Pid::from_raw(i32::try_from(p).ok()?)) {
        let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
    }
}

/// Every process descends from the first: whoever made that one a root would speak for all, and switch enforcing off.
#[test]
fn h3_nobody_opens_a_session_for_another_process() {
    let rig = rig();
    let origin = Origin::good(rig.ca.leaf(&["ok.test"]));
    let config =
        lab("[[enclave.lab.http]]\nhost = \"ok.test\"\npaths = [\"/yes\"]\n").resolve("*.test:443", origin.address());
    let gateway = rig.start_with(&config);
    let started = |pid: u32| {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
        stat.rsplit_once(") ").unwrap().1.split(' ').nth(19).unwrap().to_owned()
    };
    let open = |pid: u32, start: &str| {
        let body = format!(
            r#"{{"enclave":"lab","agent":"x","observe":true,"pid":{pid},"start_time":{start},"bundles":[],"environment":[]}}"#
        );
        admin_with(&rig, "POST /v1/sessions", &body)
    };
    let own = std::process::id();
    for (pid, start) in [(1, started(1)), (own, "1".to_owned()), (gateway.pid(), started(gateway.pid()))] {
        let told = open(pid, &start);
        assert_eq!(told.status, 400, "{pid}: {}", told.text);
    }
    let mut raw = rig.tunnel(&gateway, "ok.test:443");
    raw.send(b"GET /no HTTP/1.1\r\nHost: ok.test\r\n\r\n");
    assert_eq!(raw.answer().status, 403);
    drop(raw);
    // The twin: what `run` does, for itself.
    drop(gateway);
    let gateway = rig.start();
    let told = open(own, &started(own));
    assert_eq!(told.status, 200, "{}", told.text);
    drop(gateway);
}

/// V11: an agent whose program is called like ours is no `run`, and does not hide behind an agent that it starts.
#[test]
fn g3_an_agent_called_ensage_is_listed() {
    let rig = rig();
    let lab = rig.path("lab");
    fs::create_dir(&lab).unwrap();
    for (from, name) in [("/bin/bash", "ensage"), ("/bin/sleep", "kid")] {
        fs::copy(from, lab.join(name)).unwrap();
    }
    rig.write_config(&format!(
        "[gateway]\nlisten = \"127.0.0.1:0\"\ncatalogue = false\n[agent.boss]\nexe = \"{0}/ensage\"\n[agent.kid]\nexe = \"{0}/kid\"\n[enclave.lab]\nagents = [\"boss\"]\n",
        lab.display()
    ));
    let gateway = rig.start();
    let script = format!(
        "exec 3<>/dev/tcp/127.0.0.1/{}; echo x >&3; read -r _ <&3; ./kid 300 & echo $! > started; wait",
        gateway.address().port()
    );
    let mut boss = spawn(Command::new(lab.join("ensage")).args(["-c", &script]).current_dir(&lab)).unwrap();
    let kid = until("its agent runs", || fs::read_to_string(lab.join("started")).ok()?.trim().parse::<u32>().ok());
    let listed: Value = serde_json::from_str(&rig.good(&["--json", "agents"])).unwrap();
    let all = listed["agents"].as_array().unwrap();
    let of = |pid: u32| all.iter().find(|a| a["process"]["pid"] == pid).unwrap_or_else(|| panic!("{pid}: {listed}"));
    assert_eq!((&of(boss.id())["agent"], &of(boss.id())["enclave"]), (&"boss".into(), &"lab".into()));
    assert_eq!(of(kid)["agent"], "kid");
    assert!(of(kid).get("session").is_none(), "{listed}");
    let _ = boss.kill();
    let _ = boss.wait();
    let _ = Command::new("kill").arg(kid.to_string()).status();
}
