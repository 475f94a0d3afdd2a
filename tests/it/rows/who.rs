//! G1: a socket that two identities hold belongs to neither.

use std::fs;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use ensage_tests::{Config, Gateway, Origin, Raw, Rig, until};

use super::lab::{reason, rig};

/// Ends the other holder with the test.
struct Holder(Child);

impl Drop for Holder {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A script and a pipe for it: it blocks on opening one that nobody writes to, and so never reads its socket.
fn blocking(rig: &Rig) -> (PathBuf, PathBuf) {
    let (script, fifo) = (rig.path("other.sh"), rig.path("never"));
    fs::write(&script, "read x < \"$1\"\n").unwrap();
    assert!(Command::new("mkfifo").arg(&fifo).status().unwrap().success());
    (script, fifo)
}

/// The answer to a CONNECT on a socket that a child holds too, and the reason of the record, if it was refused.
fn shared(definitions: &str, agents: &str) -> (u16, Option<String>, String, usize) {
    let rig = rig();
    let (script, fifo) = blocking(&rig);
    let origin = Origin::good(rig.ca.leaf(&["ok.test"]));
    let config: Config = Config::new()
        .body(&format!("[enclave.lab]\nagents = {agents}\n[[enclave.lab.http]]\nhost = \"ok.test\"\n{definitions}"))
        .resolve("ok.test:443", origin.address());
    let gateway = rig.start_with(&config);
    let mut command = Command::new("/bin/sh");
    command.arg(&script).arg(&fifo).stdout(Stdio::null()).stderr(Stdio::null());
    let (mut raw, child) = Raw::open_shared(gateway.address(), &mut command);
    let _child = Holder(child);
    let answer = raw.connect("ok.test:443", "");
    let told = answer.told().map(str::to_owned);
    if answer.status == 200 {
        let mut raw = raw.tls(&rig.trust(), "ok.test").unwrap();
        raw.send(b"GET / HTTP/1.1\r\nHost: ok.test\r\n\r\n");
        assert_eq!(raw.answer().text(), "good");
    }
    let record = rig.calls().pop().unwrap();
    (answer.status, told, reason(&record), origin.connections())
}

#[test]
fn g1_a_socket_of_two_agents_is_refused() {
    let other = "[agent.other]\nscript = \"**/other.sh\"\n";
    let expected = (403, Some("ambiguous_agent".to_owned()), "ambiguous_agent".to_owned(), 0);
    assert_eq!(shared(other, "[\"raw\", \"other\"]"), expected);
    // Not being listed anywhere makes the other no less an owner.
    assert_eq!(shared(other, "[\"raw\"]"), expected);
}

/// What becomes of a connection that a child of `definitions` gets.
#[derive(Clone, Copy)]
enum Given {
    /// And the first one lets go of it.
    Away,
    /// The first one keeps it too.
    Shared,
}

/// Opens a connection, asks once, gives it to a child of `definitions`, and says whether it is still open some looks
/// later.
fn handed(definitions: &str, given: Given) -> bool {
    let rig = rig();
    let (script, fifo) = blocking(&rig);
    let origin = Origin::good(rig.ca.leaf(&["ok.test"]));
    let body = "[enclave.lab]\nagents = [\"raw\"]\n[[enclave.lab.http]]\nhost = \"ok.test\"\n";
    let config = Config::new().body(&format!("{body}{definitions}")).resolve("ok.test:443", origin.address());
    let gateway = rig.start_with(&config);
    let mut raw = rig.tunnel(&gateway, "ok.test:443");
    raw.send(b"GET / HTTP/1.1\r\nHost: ok.test\r\n\r\n");
    assert_eq!(raw.answer().text(), "good");
    let open = || {
        let status: serde_json::Value = serde_json::from_str(&rig.good(&["status", "--json"])).unwrap();
        status["connections"].as_u64().unwrap() > 0
    };
    assert!(open());
    let mut command = Command::new("/bin/sh");
    command.arg(&script).arg(&fifo).stdout(Stdio::null()).stderr(Stdio::null());
    let (_kept, _child) = match given {
        Given::Away => (None, Holder(raw.hand_on(&mut command))),
        Given::Shared => {
            let child = Holder(raw.share(&mut command));
            (Some(raw), child)
        }
    };
    // Two looks and a half.
    let until = std::time::Instant::now() + std::time::Duration::from_secs(13);
    while open() && std::time::Instant::now() < until {
        std::thread::sleep(std::time::Duration::from_millis(100));
    }
    open()
}

#[test]
fn g8_a_connection_handed_to_another_agent_is_cut() {
    assert!(!handed("[agent.other]\nscript = \"**/other.sh\"\n", Given::Away));
}

#[test]
fn g8_a_connection_that_another_agent_holds_too_is_cut() {
    assert!(!handed("[agent.other]\nscript = \"**/other.sh\"\n", Given::Shared));
}

#[test]
fn g8_twin_a_helper_of_the_same_agent_keeps_it() {
    assert!(handed("", Given::Away));
}

#[test]
fn g8_twin_a_helper_of_the_same_agent_may_have_it_too() {
    assert!(handed("", Given::Shared));
}

/// Opens a connection as a client without an agent, asks once, and gives it to a child as well.
fn of_nobody(agents: &str) -> (Rig, Gateway, Origin, Raw, Holder) {
    let rig = rig();
    let (script, fifo) = blocking(&rig);
    let origin = Origin::good(rig.ca.leaf(&["ok.test"]));
    rig.write_config(&format!(
        "[gateway]\nlisten = \"127.0.0.1:0\"\ncatalogue = false\n[upstream]\nroots = [{:?}]\nprivate_addresses = [\"127.0.0.0/8\"]\nresolve = {{ \"ok.test:443\" = \"{}\" }}\n{agents}[enclave.lab]\nagents = [\"*\"]\n[[enclave.lab.http]]\nhost = \"ok.test\"\n",
        rig.path("roots.pem"),
        origin.address()
    ));
    let gateway = rig.start();
    let mut raw = rig.tunnel(&gateway, "ok.test:443");
    raw.send(b"GET / HTTP/1.1\r\nHost: ok.test\r\n\r\n");
    assert_eq!(raw.answer().text(), "good");
    let mut command = Command::new("/bin/sh");
    command.arg(&script).arg(&fifo).stdout(Stdio::null()).stderr(Stdio::null());
    let child = Holder(raw.share(&mut command));
    (rig, gateway, origin, raw, child)
}

#[test]
fn g8_a_client_without_an_agent_is_cut_where_its_child_is_one() {
    use std::io::ErrorKind::{TimedOut, WouldBlock};
    let (_rig, gateway, _origin, mut raw, _child) = of_nobody("[agent.other]\nscript = \"**/other.sh\"\n");
    let end = raw.try_rest();
    assert!(!matches!(&end, Err(error) if [TimedOut, WouldBlock].contains(&error.kind())), "{end:?}");
    until("the warning", || gateway.stderr().contains("handed to another identity").then_some(()));
}

#[test]
fn g8_twin_a_child_of_a_client_without_an_agent_may_have_it_too() {
    let (_rig, gateway, _origin, mut raw, _child) = of_nobody("");
    // Looks come and go; one after the first that was due would have cut it.
    for _ in 0..20 {
        raw.send(b"GET / HTTP/1.1\r\nHost: ok.test\r\n\r\n");
        assert_eq!(raw.answer().text(), "good");
        std::thread::sleep(std::time::Duration::from_millis(100));
    }
    assert!(!gateway.stderr().contains("handed to another identity"), "{}", gateway.stderr());
}

/// A process that sleeps until something is passed to it, says so, and keeps that.
const TAKER: &str = "import socket\ns=socket.socket(fileno=0)\nheld=[]\ns.send(b'x')\nwhile True:\n b,f,_,_=socket.recv_fds(s,1,1)\n if not b: break\n held+=f\n s.send(b'x')\n";

/// The answer to a CONNECT on a socket that was passed to a process that had slept since long before, and the twin's:
/// on one that was not.
fn passed(definitions: &str) -> ((u16, Option<String>), u16) {
    use std::io::Read as _;
    use std::os::unix::net::UnixStream;
    let rig = rig();
    let script = rig.path("other.py");
    fs::write(&script, TAKER).unwrap();
    let origin = Origin::good(rig.ca.leaf(&["ok.test"]));
    let body = "[enclave.lab]\nagents = [\"raw\"]\n[[enclave.lab.http]]\nhost = \"ok.test\"\n";
    let config = Config::new().body(&format!("{body}{definitions}")).resolve("ok.test:443", origin.address());
    let gateway = rig.start_with(&config);
    let (mut line, own) = UnixStream::pair().unwrap();
    let mut command = Command::new("python3");
    let child = command.arg(&script).stdin(Stdio::from(std::os::fd::OwnedFd::from(own))).spawn().unwrap();
    let _child = Holder(child);
    drop(command);
    line.read_exact(&mut [0]).unwrap();
    // The gateway knows the files of all who sleep.
    let alone = (0..3).map(|_| Raw::open(gateway.address()).connect("ok.test:443", "").status).max().unwrap();
    let mut raw = Raw::open_passed(gateway.address(), &mut line);
    let answer = raw.connect("ok.test:443", "");
    ((answer.status, answer.told().map(str::to_owned)), alone)
}

#[test]
fn g1_a_socket_passed_to_another_agent_that_had_slept_is_refused() {
    let other = "[agent.other]\nscript = \"**/other.py\"\n";
    assert_eq!(passed(other), ((403, Some("ambiguous_agent".to_owned())), 200));
}

#[test]
fn g1_twin_a_socket_passed_to_a_helper_is_the_agents() {
    assert_eq!(passed(""), ((200, None), 200));
}

#[test]
fn g1_twin_a_helper_of_the_same_agent_is_the_agent() {
    assert_eq!(shared("", "[\"raw\"]"), (200, None, "-".to_owned(), 1));
}

#[test]
fn g1_a_listed_agent_beside_nobody_is_unattributed_without_a_definition() {
    let rig = rig();
    let origin = Origin::good(rig.ca.leaf(&["ok.test"]));
    rig.write_config(&format!(
        "[gateway]\nlisten = \"127.0.0.1:0\"\ncatalogue = false\n[upstream]\nprivate_addresses = [\"127.0.0.0/8\"]\nresolve = {{ \"ok.test:443\" = \"{}\" }}\n[agent.other]\nexe = \"/nowhere/*\"\n[enclave.lab]\nagents = [\"other\"]\n[[enclave.lab.http]]\nhost = \"ok.test\"\n",
        origin.address()
    ));
    let gateway = rig.start();
    let mut raw = Raw::open(gateway.address());
    let answer = raw.connect("ok.test:443", "");
    assert_eq!((answer.status, answer.told()), (403, Some("unattributed")));
    let record = rig.refused();
    assert_eq!(record["reason"], "unattributed");
    assert_eq!(record["process"]["pid"], std::process::id());
    assert!(record.get("session").is_none(), "{record}");
    assert_eq!(origin.connections(), 0);
}
