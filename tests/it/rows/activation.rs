//! Listening sockets of a supervisor: they outlive a gateway, and nobody who connects is turned away.

use std::net::TcpListener;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixListener;

use ensage_tests::{Config, Gateway, Origin, Raw, Rig};

use super::lab::{lab, rig};

const OK: &str = "[[enclave.lab.http]]\nhost = \"ok.test\"\nmcp = \"allow\"\n";
/// What systemd does: the socket is file 3, and the variables name this process.
const PASS: &str = "LISTEN_PID=$$ LISTEN_FDS=1 LISTEN_FDNAMES=proxy; export LISTEN_PID LISTEN_FDS LISTEN_FDNAMES; exec \"$@\" 3<&0 </dev/null";

fn configured(rig: &Rig, config: &Config, listen: Option<&str>) {
    rig.configure(config);
    let text = std::fs::read_to_string(rig.config_file()).unwrap();
    let line = listen.map(|listen| format!("listen = {listen}")).unwrap_or_default();
    rig.write_config(&text.replacen("listen = \"127.0.0.1:0\"", &line, 1));
}

fn asks(rig: &Rig, mut raw: Raw) -> String {
    assert_eq!(raw.connect("ok.test:443", "").status, 200);
    let mut raw = raw.tls(&rig.trust(), "ok.test").unwrap();
    raw.send(b"GET / HTTP/1.1\r\nHost: ok.test\r\n\r\n");
    raw.answer().text()
}

#[test]
fn a_restart_under_a_supervisor_loses_no_connection() {
    for listen in [None, Some("the very address")] {
        let rig = rig();
        let origin = Origin::good(rig.ca.leaf(&["ok.test"]));
        let socket = TcpListener::bind("127.0.0.1:0").unwrap();
        let at = socket.local_addr().unwrap();
        let config = lab(OK).resolve("ok.test:443", origin.address());
        configured(&rig, &config, listen.map(|_| format!("\"{at}\"")).as_deref());
        let pass = || OwnedFd::from(socket.try_clone().unwrap());
        let mut first = rig.start_by(PASS, pass());
        assert_eq!(first.lines(0), [format!("listening on {at}")]);
        assert_eq!(asks(&rig, Raw::open(at)), "good");
        assert_eq!(first.stop().code(), Some(0));
        // Nobody is there, and still it connects: the socket is the supervisor's.
        let mut between = Raw::open(at);
        between.send(b"CONNECT ok.test:443 HTTP/1.1\r\nHost: ok.test:443\r\n\r\n");
        let second = rig.start_by(PASS, pass());
        assert_eq!(second.address(), at);
        assert_eq!(between.answer_head().unwrap().unwrap().status, 200);
        let mut raw = between.tls(&rig.trust(), "ok.test").unwrap();
        raw.send(b"GET / HTTP/1.1\r\nHost: ok.test\r\n\r\n");
        assert_eq!(raw.answer().text(), "good");
        assert_eq!(rig.calls().pop().unwrap()["session"]["agent"], "raw");
        drop(second);
    }
}

/// What is asked on the old one while it drains is answered by it, and who comes meanwhile is the next one's.
#[test]
fn who_comes_while_a_gateway_drains_is_the_next_ones() {
    let rig = rig();
    let (go, wait) = std::sync::mpsc::channel::<()>();
    let wait = std::sync::Mutex::new(wait);
    let origin = Origin::answering(Some(rig.ca.leaf(&["ok.test"])), move |request| {
        if request.line().contains("/late") {
            let _ = wait.lock().unwrap().recv_timeout(ensage_tests::DEADLINE);
        }
        ensage_tests::ok("good")
    });
    let socket = TcpListener::bind("127.0.0.1:0").unwrap();
    let at = socket.local_addr().unwrap();
    configured(&rig, &lab(OK).resolve("ok.test:443", origin.address()), None);
    let mut first = rig.start_by(PASS, socket.try_clone().unwrap().into());
    let mut running = rig.tunnel(&first, "ok.test:443");
    running.send(b"GET /late HTTP/1.1\r\nHost: ok.test\r\n\r\n");
    origin.wait_for("/late");
    first.terminate();
    ensage_tests::until("it drains", || {
        rig.records().iter().any(|r| r["kind"] == "gateway" && r["event"] == "draining").then_some(())
    });
    let mut next = Raw::open(at);
    next.send(b"GET http://no.test/ HTTP/1.1\r\nHost: no.test\r\n\r\n");
    go.send(()).unwrap();
    assert_eq!(running.answer().text(), "good");
    assert_eq!(first.ended().code(), Some(0));
    let second = rig.start_by(PASS, socket.into());
    assert_eq!(next.answer().told(), Some("name_unknown"));
    drop(second);
}

#[test]
fn a_passed_unix_socket_stays_when_the_gateway_goes() {
    let rig = rig();
    let path = rig.path("passed.sock");
    let socket = UnixListener::bind(&path).unwrap();
    let origin = Origin::good(rig.ca.leaf(&["ok.test"]));
    let config = lab(OK).resolve("ok.test:443", origin.address());
    configured(&rig, &config, Some(&format!("[\"127.0.0.1:0\", \"unix:{}\"]", path.display())));
    let mut gateway: Gateway = rig.start_by(PASS, socket.into());
    assert_eq!(gateway.lines(1)[1], format!("listening on unix:{}", path.display()));
    assert_eq!(asks(&rig, Raw::open_unix(&path)), "good");
    assert_eq!(asks(&rig, Raw::open(gateway.address())), "good");
    gateway.stop();
    assert!(path.exists(), "it is not ours to remove");
}

/// Other machines may reach it, since the file says that it shall be so; this one's own clients are known as anywhere.
#[test]
fn a_passed_socket_that_is_open_to_others_is_used_where_the_file_names_it() {
    let rig = rig();
    let origin = Origin::good(rig.ca.leaf(&["ok.test"]));
    let socket = TcpListener::bind("0.0.0.0:0").unwrap();
    let at = socket.local_addr().unwrap();
    configured(&rig, &lab(OK).resolve("ok.test:443", origin.address()), Some(&format!("\"{at}\"")));
    let _gateway = rig.start_by(PASS, socket.into());
    assert_eq!(asks(&rig, Raw::open(([127, 0, 0, 1], at.port()).into())), "good");
    assert_eq!(rig.calls().pop().unwrap()["session"]["agent"], "raw");
}

#[test]
fn what_was_passed_is_used_or_refused() {
    let rig = rig();
    let fails = |script: &str, socket: OwnedFd, why: &str| {
        let out = rig.ends_by(script, socket);
        let said = String::from_utf8_lossy(&out.stderr).into_owned();
        assert_eq!((out.status.code(), out.stdout.as_slice()), (Some(1), b"".as_slice()), "{said}");
        assert!(said.contains(why) && said.contains("help: "), "{said}");
    };
    let socket = || OwnedFd::from(TcpListener::bind("127.0.0.1:0").unwrap());
    configured(&rig, &lab(OK), Some("\"127.0.0.1:0\""));
    // A client of a socket that nobody serves would wait for ever.
    fails(PASS, socket(), "which no `listen` names");
    configured(&rig, &lab(OK), None);
    let open = || OwnedFd::from(TcpListener::bind("0.0.0.0:0").unwrap());
    fails(PASS, open(), "which other machines may reach");
    fails(&PASS.replace("LISTEN_FDS=1", "LISTEN_FDS=x"), socket(), "LISTEN_FDS");
    fails(&PASS.replace("LISTEN_FDS=1", "LISTEN_FDS=1000"), socket(), "LISTEN_FDS");
    fails(&PASS.replace("LISTEN_FDS=1", "LISTEN_FDS=2"), socket(), "file descriptor 4 ");
    let datagrams = OwnedFd::from(std::net::UdpSocket::bind("127.0.0.1:0").unwrap());
    fails(PASS, datagrams, "is no listening TCP or Unix socket");
    fails(PASS, std::fs::File::open("/dev/null").unwrap().into(), "is no listening TCP or Unix socket");
    // What is meant for another process is not ours: the sockets are not even looked at.
    let at = TcpListener::bind("127.0.0.1:0").unwrap();
    let gateway = rig.start_by(&PASS.replace("LISTEN_PID=$$", "LISTEN_PID=1"), at.try_clone().unwrap().into());
    assert_ne!(gateway.address(), at.local_addr().unwrap());
}
