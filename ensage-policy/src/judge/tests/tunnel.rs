//! TLS that passes unread.

use std::path::Path;

use super::super::*;
use super::{begun, enclave, path};
use crate::config::{Env, embedded, load};
use crate::model::Mode;

const POLICY: &str = r#"
[upstream]
private_addresses = ["127.0.0.1/32"]

[enclave.a]
closed = ["shut.wild.test"]
tunnel = ["pinned.test", "*.wild.test:8443", "*.wild.test", "10.9.9.9"]

[[enclave.a.http]]
host = "*"
addresses = ["10.0.0.0/8"]
mcp = "allow"
"#;

fn authority(text: &str) -> Authority {
    Authority::parse(text.as_bytes(), Some(443)).unwrap()
}

fn tunnel(policy: &Policy, name: &str, to: &str, unseen: Unseen) -> Option<TunnelPermit> {
    let mut trial = begun(policy, enclave(policy, name), Mode::Enforce);
    trial.tunnel(&authority(to), unseen).unwrap()
}

fn written() -> Policy {
    let loaded = load(POLICY, Some(Path::new("ensage.toml")), &Env::default());
    loaded.policy.unwrap_or_else(|| panic!("{:#?}", loaded.errors))
}

#[test]
fn a_listed_host_passes_by_its_own_entry() {
    let policy = written();
    for (to, rule) in [
        ("pinned.test", Some("enclave.a.tunnel[0]")),
        ("pinned.test:8443", None),
        ("a.wild.test:8443", Some("enclave.a.tunnel[1]")),
        ("a.wild.test", Some("enclave.a.tunnel[2]")),
        ("wild.test", None),
        ("other.test", None),
        // Closed is closed.
        ("shut.wild.test", None),
    ] {
        let permit = tunnel(&policy, "a", to, Unseen::Listed);
        assert_eq!(permit.as_ref().map(|permit| path(permit.rule())).as_deref(), rule, "{to}");
        assert!(permit.is_none_or(|permit| *permit.authority() == authority(to) && permit.would().is_none()));
    }
    // Only what its own entry says, and what counts for all, may be dialled: a wider rule lends it nothing.
    let addresses = |to: &str| {
        let permit = tunnel(&policy, "a", to, Unseen::Listed).unwrap();
        permit.addresses().iter().map(ToString::to_string).collect::<Vec<_>>()
    };
    assert_eq!(addresses("pinned.test"), ["127.0.0.1/32"]);
    assert_eq!(addresses("10.9.9.9"), ["10.9.9.9/32", "127.0.0.1/32"]);
}

#[test]
fn a_written_policy_takes_no_word_of_a_program() {
    let policy = written();
    for to in ["pinned.test", "other.test"] {
        assert!(tunnel(&policy, "a", to, Unseen::Refused).is_none(), "{to}");
    }
    // Nor does a text that came from no file.
    let policy = load(POLICY, None, &Env::default()).policy.unwrap();
    assert!(policy.file.is_none() && tunnel(&policy, "a", "other.test", Unseen::Refused).is_none());
    let policy = embedded(&Env::default()).policy.unwrap();
    assert!(tunnel(&policy, "default", "other.test", Unseen::Listed).is_none());
    let permit = tunnel(&policy, "default", "other.test:9999", Unseen::Refused).unwrap();
    assert!(permit.rule().is_none());
    let link_local = "169.254.169.254".parse::<std::net::IpAddr>().unwrap();
    assert!(!permit.addresses().iter().any(|range| range.contains(&link_local)));
}

#[test]
fn a_tunnel_is_reached_by_connect_alone() {
    let text = POLICY.split_once("[[enclave").unwrap().0;
    let policy = load(text, Some(Path::new("ensage.toml")), &Env::default()).policy.unwrap();
    let trial = || begun(&policy, enclave(&policy, "a"), Mode::Enforce);
    let told = |verdict: Result<(), Denial>| verdict.map_err(|denial| denial.reason);
    let pinned = authority("pinned.test");
    assert_eq!(told(trial().connect(&pinned)), Ok(()));
    for scheme in [Scheme::Https, Scheme::Http] {
        assert_eq!(told(trial().reach(&pinned, scheme)), Err(Reason::SchemeNotAllowed));
    }
    assert_eq!(told(trial().plain_tunnel(&pinned)), Err(Reason::ProtocolNotAllowed));
    assert_eq!(told(trial().connect(&authority("pinned.test:1"))), Err(Reason::PortNotAllowed));
    assert_eq!(told(trial().connect(&authority("none.test"))), Err(Reason::HostNotAllowed));

    let explained = |url: &str| {
        let url = Url::parse(url).unwrap();
        let question = Question::Url { url: &url, method: "DELETE" };
        let said = explain(&policy, enclave(&policy, "a"), Mode::Enforce, &question);
        (said.decision, path(said.rule.as_ref()))
    };
    assert_eq!(explained("https://pinned.test/any"), (Verdict::Allow, "enclave.a.tunnel[0]".to_owned()));
    assert_eq!(explained("http://pinned.test:443/").0, Verdict::Deny);
}
