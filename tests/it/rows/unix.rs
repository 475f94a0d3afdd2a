//! Listeners on Unix sockets: for the gateway's own user alone, and the kernel says who connected.

use std::os::unix::fs::{FileTypeExt, PermissionsExt, symlink};
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::process::Output;
use std::sync::{Mutex, mpsc};

use ensage_tests::{Answer, Config, DEADLINE, Gateway, Origin, Raw, Rig, until};

use super::lab::{KEYED, Keyed, lab, reason, rig};

const OK: &str = "[[enclave.lab.http]]\nhost = \"ok.test\"\nmcp = \"allow\"\n[[enclave.lab.http]]\nhost = \"plain.test\"\nscheme = \"http\"\nmcp = \"allow\"\n";

/// With this as its listener.
fn listening(config: Config, rig: &Rig, listen: &str) {
    rig.configure(&config);
    let text = std::fs::read_to_string(rig.config_file()).unwrap();
    rig.write_config(&text.replacen("listen = \"127.0.0.1:0\"", &format!("listen = {listen}"), 1));
}

fn unix(path: &Path) -> String {
    format!("\"unix:{}\"", path.display())
}

fn ask(rig: &Rig, path: &Path, target: &str, request: &str) -> Answer {
    let mut raw = Raw::open_unix(path);
    assert_eq!(raw.connect(target, "").status, 200);
    let mut raw = raw.tls(&rig.trust(), target.rsplit_once(':').unwrap().0).unwrap();
    raw.send(request.as_bytes());
    raw.answer()
}

const GET_OK: &str = "GET /x HTTP/1.1\r\nHost: ok.test\r\n\r\n";

#[test]
fn a_unix_socket_serves_what_a_port_serves() {
    let rig = rig();
    let origin = Origin::good(rig.ca.leaf(&["ok.test"]));
    let plain = Origin::answering(None, |_| ensage_tests::ok("plain"));
    let path = rig.path("proxy.sock");
    let config = lab(OK).resolve("ok.test:443", origin.address()).resolve("plain.test:80", plain.address());
    listening(config, &rig, &unix(&path));
    let mut gateway = rig.start();
    assert_eq!(gateway.lines(0), [format!("listening on unix:{}", path.display())]);
    let meta = std::fs::symlink_metadata(&path).unwrap();
    assert!(meta.file_type().is_socket());
    assert_eq!(meta.permissions().mode() & 0o7777, 0o600);
    let status: serde_json::Value = serde_json::from_str(&rig.good(&["--json", "status"])).unwrap();
    assert_eq!(status["listeners"], serde_json::json!([format!("unix:{}", path.display())]));
    assert_eq!(ask(&rig, &path, "ok.test:443", GET_OK).text(), "good");
    let mut raw = Raw::open_unix(&path);
    for _ in 0..2 {
        raw.send(b"GET http://plain.test/x HTTP/1.1\r\nHost: plain.test\r\n\r\n");
        assert_eq!(raw.answer().text(), "plain");
    }
    raw.send(b"GET http://no.test/x HTTP/1.1\r\nHost: no.test\r\n\r\n");
    assert_eq!(raw.answer().told(), Some("name_unknown"));
    let calls = rig.calls();
    assert_eq!(calls.len(), 4);
    for record in &calls {
        assert_eq!(record["session"]["attribution"], "peerpidfd", "{record}");
        assert_eq!(
            (&record["session"]["agent"], &record["process"]["pid"]),
            (&"raw".into(), &std::process::id().into())
        );
    }
    assert_eq!(reason(&calls[3]), "host_not_allowed");
    let metrics = rig.good(&["status", "--metrics"]);
    assert!(metrics.contains("ensage_attributions_total{attribution=\"peerpidfd\"} 2\n"), "{metrics}");
    assert_eq!((origin.connections(), plain.connections()), (1, 1));
    gateway.stop();
    assert!(!path.exists(), "the socket is removed at the end");
}

#[test]
fn a_unix_socket_may_stand_beside_ports_and_belong_to_an_enclave() {
    let rig = rig();
    let origin = Origin::good(rig.ca.leaf(&["ok.test"]));
    let (path, own) = (rig.path("proxy.sock"), rig.path("own.sock"));
    let other = format!(
        "[enclave.other]\nagents = [\"raw\"]\nlisten = {}\n[[enclave.other.http]]\nhost = \"ok.test\"\n",
        unix(&own)
    );
    let config = lab(OK).body(&other).resolve("ok.test:443", origin.address());
    listening(config, &rig, &format!("[\"127.0.0.1:0\", {}]", unix(&path)));
    let gateway = rig.start();
    let expected = [&path, &own].map(|path| format!("listening on unix:{}", path.display()));
    assert_eq!(gateway.lines(2)[1..], expected);
    // The agent is of both enclaves: only a listener says which is meant.
    assert_eq!(Raw::open_unix(&path).connect("ok.test:443", "").told(), Some("ambiguous_enclave"));
    assert_eq!(Raw::open(gateway.address()).connect("ok.test:443", "").told(), Some("ambiguous_enclave"));
    assert_eq!(ask(&rig, &own, "ok.test:443", GET_OK).text(), "good");
    let record = rig.calls().pop().unwrap();
    assert_eq!(
        (&record["session"]["enclave"], &record["session"]["attribution"]),
        (&"other".into(), &"peerpidfd".into())
    );
}

/// A gateway that must not start: what it said.
fn refused(rig: &Rig) -> String {
    let Output { status, stdout, stderr } = rig.ends(&["gateway"]);
    let said = String::from_utf8_lossy(&stderr).into_owned();
    assert_eq!((status.code(), stdout.as_slice()), (Some(1), b"".as_slice()), "{said}");
    assert!(said.contains("help: "), "{said}");
    said
}

#[test]
fn only_a_dead_socket_of_ones_own_is_replaced() {
    let rig = rig();
    let path = rig.path("proxy.sock");
    listening(lab(OK), &rig, &unix(&path));
    // What a gateway leaves that is killed is replaced.
    let mut gateway = rig.start();
    gateway.kill();
    assert!(path.exists());
    let mut gateway = rig.start();
    let mut raw = Raw::open_unix(&path);
    assert_eq!(raw.connect("no.test:443", "").told(), Some("name_unknown"));
    gateway.stop();
    // Another's live one is not, nor anything that is no socket.
    let other = UnixListener::bind(&path).unwrap();
    assert!(refused(&rig).contains("another program listens there"));
    assert!(UnixListener::bind(&path).is_err() && path.exists(), "the live one is untouched");
    drop(other);
    std::fs::remove_file(&path).unwrap();
    std::fs::write(&path, "precious").unwrap();
    assert!(refused(&rig).contains("no socket of this user"));
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "precious");
    std::fs::remove_file(&path).unwrap();
    let target = rig.path("target.sock");
    let dead = UnixListener::bind(&target).unwrap();
    drop(dead);
    symlink(&target, &path).unwrap();
    assert!(refused(&rig).contains("no socket of this user"));
    assert!(target.exists() && path.is_symlink());
}

#[test]
fn a_socket_is_made_where_nobody_else_may_make_one() {
    let rig = rig();
    let folder = rig.path("run");
    std::fs::create_dir(&folder).unwrap();
    let path = folder.join("proxy.sock");
    listening(lab(OK), &rig, &unix(&path));
    for (mode, fine) in [(0o777, false), (0o1777, false), (0o770, false), (0o755, true), (0o700, true)] {
        std::fs::set_permissions(&folder, std::fs::Permissions::from_mode(mode)).unwrap();
        if fine {
            rig.start().stop();
        } else {
            assert!(refused(&rig).contains("others may write to"), "{mode:o}");
        }
        assert!(!path.exists(), "{mode:o}");
    }
    let link = rig.path("link");
    symlink(&folder, &link).unwrap();
    listening(lab(OK), &rig, &unix(&link.join("proxy.sock")));
    assert!(refused(&rig).contains("is a symbolic link"));
    listening(lab(OK), &rig, &unix(&rig.path("absent").join("proxy.sock")));
    assert!(refused(&rig).contains("can't be used"));
    // A relative path starts at the file's own folder.
    listening(lab(OK), &rig, "\"unix:run/proxy.sock\"");
    let gateway = rig.start();
    assert_eq!(gateway.lines(0), [format!("listening on unix:{}", path.display())]);
}

/// Who closes one direction only still waits for its answer; who has gone is missed.
#[test]
fn a_client_of_a_unix_socket_is_missed_when_it_has_gone() {
    let rig = rig();
    let (left, gone) = mpsc::channel::<()>();
    let left = Mutex::new(left);
    let (go, wait) = mpsc::channel::<()>();
    let wait = Mutex::new(wait);
    let origin = Origin::start(Some(rig.ca.leaf(&["api.test", "other.test"])), move |link| {
        let Some(request) = link.request()? else { return Ok(()) };
        if request.line().contains("/never") {
            while link.some().is_ok_and(|some| !some.is_empty()) {}
            let _ = left.lock().unwrap().send(());
            return Ok(());
        }
        link.write(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nfirst\r\n")?;
        let _ = wait.lock().unwrap().recv_timeout(DEADLINE);
        link.write(b"4\r\nlast\r\n0\r\n\r\n")
    });
    let path = rig.path("proxy.sock");
    let config = lab(KEYED).gateway("").resolve("*.test:443", origin.address());
    listening(config, &rig, &format!("[\"127.0.0.1:0\", {}]", unix(&path)));
    let gateway = rig.start();
    let tunnel = |request: &str| {
        let mut raw = Raw::open_unix(&path);
        assert_eq!(raw.connect("other.test:443", "").status, 200);
        let mut raw = raw.tls(&rig.trust(), "other.test").unwrap();
        raw.send(format!("GET {request} HTTP/1.1\r\nHost: other.test\r\n\r\n").as_bytes());
        raw
    };
    let mut half = tunnel("/");
    half.end();
    let head = half.answer_head().unwrap().unwrap();
    assert_eq!(half.chunk().unwrap(), b"first");
    go.send(()).unwrap();
    assert_eq!((head.status, half.chunk().unwrap().as_slice()), (200, b"last".as_slice()));
    let whole = tunnel("/never");
    origin.wait_for("/never");
    assert!(gone.try_recv().is_err());
    drop(whole);
    gone.recv_timeout(DEADLINE).unwrap();
    let record = until("the end of the call", || rig.calls().pop().filter(|r| r.get("open").is_none()));
    assert_eq!(record["outcome"], "client_gone", "{record}");
    drop(gateway);
}

/// G8: a connection is of the process that made it, and of nobody to whom that leaves it.
#[test]
fn g8_a_unix_connection_ends_with_who_made_it() {
    let rig = rig();
    let path = rig.path("proxy.sock");
    listening(lab(OK), &rig, &format!("[\"127.0.0.1:0\", {}]", unix(&path)));
    let gateway = rig.start();
    // The maker asks, leaves the connection to its child, and exits; the child tells what comes then.
    let script = r#"
import os, socket, sys
s = socket.socket(socket.AF_UNIX)
s.connect(sys.argv[1])
s.sendall(b"GET http://no.test/ HTTP/1.1\r\nHost: no.test\r\n\r\n")
assert s.recv(4096).startswith(b"HTTP/1.1 502 ")
if os.fork():
    os._exit(0)
s.settimeout(100)
told = b"cut" if s.recv(1) == b"" else b"open"
with open(sys.argv[2] + ".part", "wb") as f:
    f.write(told)
os.rename(sys.argv[2] + ".part", sys.argv[2])
"#;
    let told = rig.path("told");
    let mut command = std::process::Command::new("python3");
    command.args(["-c", script]).arg(&path).arg(&told);
    let mut maker = ensage_tests::spawn(&mut command).unwrap();
    assert!(maker.wait().unwrap().success());
    assert_eq!(until("the word of the child", || std::fs::read_to_string(&told).ok()), "cut");
    assert_eq!(rig.calls().len(), 1);
    drop(gateway);
}

/// No variable can name a Unix socket: a program must not be started that would go past the gateway.
#[test]
fn run_needs_a_listener_that_a_variable_can_name() {
    let rig = rig();
    listening(lab(OK), &rig, &unix(&rig.path("proxy.sock")));
    let gateway: Gateway = rig.start();
    for arguments in [&["run", "--advisory", "--enclave", "lab", "--", "true"][..], &["env"][..]] {
        let out = rig.run(arguments);
        let code = if arguments.len() > 1 { 125 } else { 1 };
        assert_eq!(out.status.code(), Some(code), "{}", String::from_utf8_lossy(&out.stderr));
        assert!(String::from_utf8_lossy(&out.stderr).contains("Unix sockets only"), "{out:?}");
        assert!(out.stdout.is_empty(), "{out:?}");
    }
    drop(gateway);
}

/// The credential goes by a Unix socket as by any other.
#[test]
fn a_unix_socket_substitutes_too() {
    let rig = rig();
    let origin = Origin::good(rig.ca.leaf(&["api.test", "other.test"]));
    let path = rig.path("proxy.sock");
    let own = format!("[enclave.own]\nagents = [\"raw\"]\nlisten = {}\n", unix(&path));
    let entries = KEYED.replace("enclave.lab", "enclave.own");
    let config = Config::new().body(&own).body(&entries).resolve("*.test:443", origin.address());
    let lab = Keyed::start(rig, &config);
    let request = format!("GET / HTTP/1.1\r\nHost: api.test\r\nAuthorization: Bearer {}\r\n\r\n", lab.placeholder);
    assert_eq!(ask(&lab.rig, &path, "api.test:443", &request).text(), "good");
    assert!(origin.text().contains(&lab.secret));
    lab.assert_sealed();
}
