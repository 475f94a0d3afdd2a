//! What most rows share.

use ensage_tests::{Answer, Config, Gateway, Rig, canary};
use serde_json::Value;

/// A rig around the binary under test.
pub(super) fn rig() -> Rig {
    Rig::new(env!("CARGO_BIN_EXE_ensage"))
}

/// A configuration with one enclave of the test's own agent and these entries.
pub(super) fn lab(entries: &str) -> Config {
    Config::new().body(&format!("[enclave.lab]\nagents = [\"raw\"]\n\n{entries}"))
}

/// One host that a credential binds, and one that none does.
pub(super) const KEYED: &str = r#"
[[enclave.lab.http]]
host = "api.test"
credential = "key"

[[enclave.lab.http]]
host = "other.test"

[credential.key]
slot = ["bearer", "header:x-api-key"]
hosts = ["api.test"]
placeholder = "ph-"
env = "KEY"
"#;

/// A gateway whose vault holds the credential `key`.
pub(super) struct Keyed {
    pub(super) rig: Rig,
    pub(super) gateway: Gateway,
    /// The real value.
    pub(super) secret: String,
    /// What the agent has instead.
    pub(super) placeholder: String,
}

impl Keyed {
    /// Starts it, the secret being a canary.
    pub(super) fn start(rig: Rig, config: &Config) -> Self {
        Self::with(rig, config, canary("key"))
    }

    pub(super) fn with(rig: Rig, config: &Config, secret: String) -> Self {
        rig.configure(config);
        rig.add_secret("key", &secret);
        let placeholder = rig.placeholder("key");
        assert!(placeholder.starts_with("ph-") && placeholder != secret, "{placeholder}");
        let gateway = rig.start();
        Self { rig, gateway, secret, placeholder }
    }

    /// One request in a tunnel of its own.
    pub(super) fn ask(&self, target: &str, request: &str) -> Answer {
        ask(&self.rig, &self.gateway, target, request.as_bytes())
    }

    /// Neither the answer nor anything the gateway keeps or says has the secret or the placeholder in clear.
    pub(super) fn assert_sealed(&self) {
        let remains = self.rig.remains(&self.gateway);
        for (what, text) in [("secret", &self.secret), ("placeholder", &self.placeholder)] {
            assert!(!has(&remains, text.as_bytes()), "the {what} is in the state folder or on stderr");
        }
    }
}

/// One request in a tunnel of its own, and its answer.
pub(super) fn ask(rig: &Rig, gateway: &Gateway, target: &str, request: &[u8]) -> Answer {
    let mut raw = rig.tunnel(gateway, target);
    raw.send(request);
    raw.answer()
}

/// Whether `needle` is in `bytes`.
pub(super) fn has(bytes: &[u8], needle: &[u8]) -> bool {
    find(bytes, needle).is_some()
}

/// Where `needle` is in `bytes`.
pub(super) fn find(bytes: &[u8], needle: &[u8]) -> Option<usize> {
    bytes.windows(needle.len()).position(|window| window == needle)
}

/// The reasons of all refused calls, in order.
pub(super) fn reasons(rig: &Rig) -> Vec<String> {
    rig.calls().iter().filter(|r| r["decision"] == "deny").map(reason).collect()
}

/// The reason of a record.
pub(super) fn reason(record: &Value) -> String {
    record["reason"].as_str().unwrap_or("-").to_owned()
}
