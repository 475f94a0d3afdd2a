//! Programs that refuse our certificate: noticed always, and in the embedded default let alone.

use std::net::SocketAddr;

use ensage_tests::{Ca, Origin, Raw, Rig, client_hello, ok, roots_of, until};
use rustls::RootCertStore;
use serde_json::Value;

use super::lab::{lab, rig};
use crate::cli::home::{Daemon, Home};

/// A gateway without a configuration, and an origin on an address: names would be looked up.
struct Bare {
    home: Home,
    daemon: Daemon,
    origin: Origin,
    /// Trust in the origin's own CA.
    pinned: RootCertStore,
}

impl Bare {
    fn start() -> Self {
        let home = Home::new();
        let daemon = home.gateway();
        let ca = Ca::new();
        let origin = Origin::good(ca.leaf(&["127.0.0.1"]));
        let pinned = roots_of(&home.write("pinned.pem", &ca.pem));
        Self { home, daemon, origin, pinned }
    }

    fn target(&self) -> String {
        self.origin.address().to_string()
    }

    fn ours(&self) -> RootCertStore {
        roots_of(&self.home.state().join("ca/ca.pem"))
    }

    fn connected(&self) -> Raw {
        connected(self.daemon.at, &self.target())
    }

    /// A client with this trust, through the handshake.
    fn tls(&self, roots: &RootCertStore) -> std::io::Result<Raw> {
        self.connected().tls(roots, "127.0.0.1")
    }

    /// The calls, once there are so many.
    fn calls(&self, many: usize) -> Vec<Value> {
        until("the records", || Some(self.home.calls()).filter(|calls| calls.len() >= many))
    }
}

fn connected(at: SocketAddr, target: &str) -> Raw {
    let mut raw = Raw::open(at);
    let answer = raw.connect(target, "");
    assert_eq!(answer.status, 200, "{}{}", answer.head, answer.text());
    raw
}

const GET: &[u8] = b"GET / HTTP/1.1\r\nHost: pinned\r\n\r\n";

fn told(call: &Value) -> [&str; 4] {
    ["type", "decision", "severity", "outcome"].map(|key| call[key].as_str().unwrap_or("-"))
}

#[test]
fn the_embedded_default_lets_a_pinned_program_through_after_two_refusals() {
    let bare = Bare::start();
    for n in 1..=2 {
        assert!(bare.tls(&bare.pinned).is_err(), "our certificate is refused");
        let calls = bare.calls(n);
        assert_eq!((calls.len(), told(&calls[n - 1])), (n, ["connect", "allow", "low", "client_gone"]));
        let message = calls[n - 1]["message"].as_str().unwrap();
        assert_eq!(message.contains("passes unread"), n == 2, "{message}");
    }
    assert_eq!(bare.origin.connections(), 0);
    let mut raw = bare.tls(&bare.pinned).expect("the origin's own certificate");
    raw.send(GET);
    assert_eq!(raw.answer().text(), "good");
    drop(raw);
    let call = until("the end of the tunnel", || bare.home.calls().pop().filter(|c| c.get("outcome").is_some()));
    assert_eq!(told(&call), ["tunnel", "allow", "info", "complete"], "{call}");
    assert!(call.get("rule").is_none() && call["bytes"]["up"].as_u64() > Some(200), "{call}");
    assert_eq!(call["process"]["pid"], std::process::id());
    assert_eq!(bare.origin.received(), [GET.to_vec()], "as it was sent");
    // Whoever trusts us, or sends something else, is passed through there too: it is one program.
    let mut raw = bare.connected();
    raw.send(&client_hello(&[b"another.test"]));
    assert_eq!(raw.rest(), [0x15, 3, 3, 0, 2, 2, 112]);
    assert_eq!(bare.home.calls().pop().unwrap()["reason"], "authority_mismatch");
}

#[test]
fn one_refusal_is_not_enough_and_counts_for_its_own_host_and_program_only() {
    let bare = Bare::start();
    let other = Origin::answering(None, |_| ok("other"));
    assert!(bare.tls(&bare.pinned).is_err());
    assert!(connected(bare.daemon.at, &other.address().to_string()).tls(&bare.pinned, "127.0.0.1").is_err());
    bare.calls(2);
    let mut raw = bare.tls(&bare.ours()).expect("our certificate");
    raw.send(b"GET / HTTP/1.1\r\nHost: x.test\r\n\r\n");
    assert_eq!(raw.answer().status, 421, "read, and refused for its Host");
    drop(raw);
    assert!(bare.tls(&bare.pinned).is_err());
    bare.calls(4);
    bare.tls(&bare.pinned).expect("two refusals");
    // Another program has refused nothing.
    let url = format!("https://{}/", bare.target());
    let curl = |cacert: &std::path::Path| {
        let mut curl = std::process::Command::new("curl");
        curl.args(["-sS", "-x", &format!("http://{}", bare.daemon.at), "--cacert"]).arg(cacert).arg(&url);
        let out = ensage_tests::output(&mut curl).unwrap();
        (out.status.code(), String::from_utf8(out.stdout).unwrap())
    };
    let (ours, pinned) = (bare.home.state().join("ca/ca.pem"), bare.home.path("pinned.pem"));
    let upstream = || bare.home.calls().iter().filter(|c| c["type"] == "tunnel").count();
    let before = upstream();
    assert_eq!(curl(&pinned).0, Some(60), "curl's word for a certificate that it does not take");
    assert_eq!(curl(&pinned).0, Some(60));
    assert_eq!(upstream(), before);
    assert_eq!(curl(&pinned), (Some(0), "good".to_owned()));
    assert_eq!(upstream(), before + 1);
    assert_eq!(curl(&ours).0, Some(60), "it is passed through, whatever it trusts");
}

/// Node.js looks at a certificate when the handshake is done, and says nothing.
#[test]
fn a_program_that_closes_when_it_has_our_certificate_refuses_it_too() {
    let bare = Bare::start();
    for n in 1..=2 {
        // Whichever protocol it meant to speak.
        let ours = bare.ours();
        let shaken = if n == 1 { bare.tls(&ours) } else { bare.connected().tls_h2(&ours, "127.0.0.1") };
        drop(shaken.expect("our certificate"));
        assert_eq!(told(&bare.calls(n)[n - 1]), ["connect", "allow", "low", "client_gone"]);
    }
    let mut raw = bare.tls(&bare.pinned).expect("the origin's own certificate");
    raw.send(GET);
    assert_eq!(raw.answer().text(), "good");
}

#[test]
fn a_program_that_has_used_our_certificate_may_close_its_connections_as_it_likes() {
    let bare = Bare::start();
    let target = bare.target();
    let used = bare.tls(&bare.ours()).map(|mut raw| {
        raw.send(format!("GET / HTTP/1.1\r\nHost: {target}\r\nConnection: close\r\n\r\n").as_bytes());
        // Its origin is signed by nobody that the gateway knows.
        assert_eq!(raw.answer().told(), Some("upstream_certificate"));
        raw.rest();
    });
    used.unwrap();
    for _ in 0..3 {
        drop(bare.tls(&bare.ours()).expect("our certificate, still"));
    }
    let mut raw = bare.tls(&bare.ours()).expect("our certificate, still");
    raw.send(format!("GET /again HTTP/1.1\r\nHost: {target}\r\n\r\n").as_bytes());
    assert_eq!(raw.answer().told(), Some("upstream_certificate"));
    assert_eq!(bare.home.calls().len(), 2);
    // A word is a word.
    for _ in 0..2 {
        assert!(bare.tls(&bare.pinned).is_err());
    }
    bare.calls(4);
    bare.tls(&bare.pinned).expect("the origin's own certificate");
}

#[test]
fn a14_a_program_that_refuses_our_certificate_reaches_nothing_that_is_closed() {
    let bare = Bare::start();
    for target in [bare.daemon.at.to_string(), "169.254.169.254:443".to_owned()] {
        let name = target.rsplit_once(':').unwrap().0.to_owned();
        let before = bare.home.calls().len();
        for n in 1..=2 {
            assert!(connected(bare.daemon.at, &target).tls(&bare.pinned, &name).is_err());
            bare.calls(before + n);
        }
        let mut raw = connected(bare.daemon.at, &target);
        raw.send(&client_hello(&[]));
        assert_eq!(raw.rest(), [0x15, 3, 3, 0, 2, 2, 80], "{target}");
        let call = bare.home.calls().pop().unwrap();
        assert_eq!((&call["type"], &call["reason"]), (&"tunnel".into(), &"upstream_address".into()), "{call}");
    }
}

/// With a written configuration a refusal is recorded, and nothing else comes of it; an observing one is written too.
#[test]
fn v7_a_written_configuration_never_learns_a_tunnel() {
    for mode in ["enforce", "observe"] {
        let rig: Rig = rig();
        let origin = Origin::good(rig.ca.leaf(&["pinned.test"]));
        let config = lab("[[enclave.lab.http]]\nhost = \"*\"\n").gateway(&format!("mode = \"{mode}\""));
        let gateway = rig.start_with(&config.resolve("pinned.test:443", origin.address()));
        let pinned = roots_of(&rig.path("roots.pem"));
        for n in 1..=4 {
            let refused = connected(gateway.address(), "pinned.test:443").tls(&pinned, "pinned.test");
            assert!(refused.is_err(), "{mode}: passed unread");
            let calls = until("the record", || Some(rig.calls()).filter(|calls| calls.len() == n));
            assert_eq!(told(&calls[n - 1]), ["connect", "allow", "low", "client_gone"], "{mode}");
            assert_eq!(calls[n - 1]["message"], "the client refuses our certificate");
        }
        assert_eq!(origin.connections(), 0, "{mode}");
        let shown = rig.good(&["audit"]);
        assert!(shown.contains("(the client refuses our certificate)"), "{shown}");
    }
}
