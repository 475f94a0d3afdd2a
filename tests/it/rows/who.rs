//! G1: a socket that two identities hold belongs to neither.

use std::fs;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use ensage_tests::{Config, Origin, Raw, Rig};

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

/// Opens a connection, asks once, hands it to a child of `definitions`, lets go, and says whether it is still open
/// some looks later.
fn handed(definitions: &str) -> bool {
    let rig = rig();
    let (script, fifo) = blocking(&rig);
    let origin = Origin::good(rig.ca.leaf(&["ok.test"]));
    let body = "[enclave.lab]\nagents = [\"raw\"]\n[[enclave.lab.http]]\nhost = \"ok.test\"\n";
    let config = Config::new().body(&format!("{body}{definitions}")).resolve("ok.test:443", origin.address());
    let gateway = rig.start_with(&config);
    let mut raw = rig.tunnel(&gateway, "ok.test:443");
    raw.send(b"GET / HTTP/1.1\r\nHost: ok.test\r\n\r\n");
    assert_eq!(raw.answer().text(), "good");
    let mut command = Command::new("/bin/sh");
    command.arg(&script).arg(&fifo).stdout(Stdio::null()).stderr(Stdio::null());
    let _child = Holder(raw.hand_on(&mut command));
    let open = || {
        let status: serde_json::Value = serde_json::from_str(&rig.good(&["status", "--json"])).unwrap();
        status["connections"].as_u64().unwrap() > 0
    };
    assert!(open());
    // Two looks and a half.
    let until = std::time::Instant::now() + std::time::Duration::from_secs(13);
    while open() && std::time::Instant::now() < until {
        std::thread::sleep(std::time::Duration::from_millis(100));
    }
    open()
}

#[test]
fn g8_a_connection_handed_to_another_agent_is_cut() {
    assert!(!handed("[agent.other]\nscript = \"**/other.sh\"\n"));
}

#[test]
fn g8_twin_a_helper_of_the_same_agent_keeps_it() {
    assert!(handed(""));
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
