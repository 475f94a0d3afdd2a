//! What most rows share.

use ensage_tests::{Config, Rig};

/// A rig around the binary under test.
pub(super) fn rig() -> Rig {
    Rig::new(env!("CARGO_BIN_EXE_ensage"))
}

/// A configuration with one enclave of the test's own agent and these entries.
pub(super) fn lab(entries: &str) -> Config {
    Config::new().body(&format!("[enclave.lab]\nagents = [\"raw\"]\n\n{entries}"))
}
