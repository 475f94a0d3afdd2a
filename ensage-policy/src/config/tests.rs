//! Configurations, and what must come of each.

mod errors;
mod good;
mod later;
mod listen;
mod next_hop;
mod robust;
mod rules;
mod tunnel;

use std::path::{Path, PathBuf};

use super::{Diagnostic, Env, Loaded, load};
use crate::model::Policy;

fn env() -> Env {
    Env {
        home: Some(PathBuf::from("/home/ann")),
        cwd: PathBuf::from("/work/chip"),
        catalogue: vec!["claude-code".to_owned(), "codex".to_owned()],
        proxy: None,
    }
}

fn loaded(text: &str) -> Loaded {
    let loaded = load(text, Some(Path::new("ensage.toml")), &env());
    assert_eq!(loaded.policy.is_some(), loaded.errors.is_empty());
    for d in loaded.errors.iter().chain(&loaded.warnings) {
        assert!(!d.message.is_empty() && !d.help.is_empty(), "{d:?}");
        assert_eq!(d.to_string().lines().count(), 2, "{d}");
    }
    loaded
}

fn policy(text: &str) -> Policy {
    let Loaded { policy, errors, .. } = loaded(text);
    policy.unwrap_or_else(|| panic!("{text}\n{}", shown(&errors)))
}

fn shown(found: &[Diagnostic]) -> String {
    found.iter().map(|d| format!("{d} [{} {}]\n", d.code, d.key)).collect()
}
