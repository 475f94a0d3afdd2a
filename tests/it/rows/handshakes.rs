//! Handshakes on both legs: what they cost, and what nobody may learn of them.

use std::sync::{Arc, Barrier};

use ensage_tests::{Gateway, Metrics, Origin, Raw, Rig, client};
use rustls::ClientConfig;

use super::lab::{lab, rig};

const ENTRIES: &str = "[[enclave.lab.http]]\nhost = \"*.test\"\n";

fn closing(rig: &Rig) -> Origin {
    let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\nconnection: close\r\n\r\ngood";
    Origin::answering(Some(rig.ca.leaf(&["a.test", "b.test"])), |_| answer.to_vec())
}

/// One request on a connection of its own; whether its handshake was resumed.
fn ask(gateway: &Gateway, client: &Arc<ClientConfig>, host: &str) -> bool {
    let mut raw = Raw::open(gateway.address());
    assert_eq!(raw.connect(&format!("{host}:443"), "").status, 200);
    let mut raw = raw.tls_by(client, host).unwrap();
    raw.send(format!("GET / HTTP/1.1\r\nHost: {host}\r\n\r\n").as_bytes());
    assert_eq!(raw.answer().text(), "good");
    raw.is_resumed()
}

#[test]
fn both_legs_resume_for_the_same_host() {
    let rig = rig();
    let origin = closing(&rig);
    let gateway = rig.start_with(&lab(ENTRIES).resolve("*.test:443", origin.address()));
    let client = Arc::new(client(&rig.trust()));
    let resumed = ["a.test", "a.test", "b.test", "a.test"].map(|host| ask(&gateway, &client, host));
    assert_eq!(resumed, [false, true, false, true]);
    assert_eq!(origin.connections(), 4);
    let metrics = Metrics::parse(&rig.good(&["status", "--metrics"]));
    for leg in ["client", "upstream"] {
        let kinds = ["full", "resumed", "failed"];
        let counted = kinds.map(|kind| metrics.value("handshakes_total", &[("leg", leg), ("kind", kind)]));
        assert_eq!(counted, [2.0, 2.0, 0.0], "{leg}");
    }
    assert_eq!(metrics.value("leaves_minted_total", &[]), 2.0);
    // What was given before a reload counts for nothing after it, on the leg whose trust may have changed.
    super::regress::reloaded(&rig, &gateway);
    ask(&gateway, &client, "a.test");
    let metrics = Metrics::parse(&rig.good(&["status", "--metrics"]));
    let full = metrics.value("handshakes_total", &[("leg", "upstream"), ("kind", "full")]);
    assert_eq!(full, 3.0);
}

#[test]
fn h11_many_at_once_mint_one_leaf() {
    let rig = rig();
    let origin = closing(&rig);
    let gateway = rig.start_with(&lab(ENTRIES).gateway("workers = 2").resolve("*.test:443", origin.address()));
    const MANY: usize = 24;
    let (trust, start) = (rig.trust(), Barrier::new(MANY));
    std::thread::scope(|scope| {
        for _ in 0..MANY {
            scope.spawn(|| {
                let client = Arc::new(client(&trust));
                start.wait();
                ask(&gateway, &client, "a.test")
            });
        }
    });
    let metrics = Metrics::parse(&rig.good(&["status", "--metrics"]));
    assert_eq!(metrics.value("leaves_minted_total", &[]), 1.0);
    assert_eq!(metrics.value("handshakes_total", &[("leg", "client"), ("kind", "full")]), MANY as f64);
}

#[test]
fn h3_nobody_gets_a_key_log() {
    let rig = rig();
    let origin = closing(&rig);
    let log = rig.path("keys.log");
    rig.configure(&lab(ENTRIES).resolve("*.test:443", origin.address()));
    let gateway = rig.start_in(&[("SSLKEYLOGFILE", log.to_str().unwrap())]);
    let mut config = client(&rig.trust());
    ask(&gateway, &Arc::new(config.clone()), "a.test");
    assert!(!log.exists(), "{}", std::fs::read_to_string(&log).unwrap_or_default());
    // The twin: what a key log would have, from a client that keeps one.
    let kept = Arc::new(Kept::default());
    config.key_log = kept.clone();
    ask(&gateway, &Arc::new(config), "b.test");
    assert!(kept.0.lock().unwrap().iter().any(|label| label == "CLIENT_TRAFFIC_SECRET_0"));
    assert!(!log.exists());
}

#[derive(Debug, Default)]
struct Kept(std::sync::Mutex<Vec<String>>);

impl rustls::KeyLog for Kept {
    fn log(&self, label: &str, _random: &[u8], _secret: &[u8]) {
        self.0.lock().unwrap().push(label.to_owned());
    }
}
