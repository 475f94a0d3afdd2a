//! Configurations: no panic, a policy if and only if there is no error, and every finding at a place in the file.
#![no_main]

use std::path::{Path, PathBuf};

use ensage_policy::config::{Diagnostic, Env, load_bytes};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let env = Env {
        home: Some(PathBuf::from("/home/ann")),
        cwd: PathBuf::from("/work"),
        catalogue: vec!["codex".to_owned()],
        proxy: None,
    };
    let loaded = load_bytes(data, Some(Path::new("ensage.toml")), &env);
    assert_eq!(loaded.policy.is_some(), loaded.errors.is_empty());
    let lines = data.split(|&b| b == b'\n').count();
    for found in [&loaded.errors, &loaded.warnings] {
        assert!(found.is_sorted_by_key(|d| (d.line, d.column)));
        found.iter().for_each(|d| placed(d, lines, data.len()));
    }
    // A policy has nothing that the file does not say: what is closed by default stays closed.
    if let Some(policy) = loaded.policy {
        let names = policy.credentials.iter().map(|c| &c.name).collect::<Vec<_>>();
        for enclave in &policy.enclaves {
            assert!(!enclave.name.is_empty() && &*enclave.name != "deny");
            let http = enclave.http.iter().map(|rule| &rule.credential);
            let llm = enclave.llm.iter().map(|rule| &rule.credential);
            let mcp = enclave.mcp.iter().map(|rule| &rule.credential);
            assert!(http.chain(llm).chain(mcp).flatten().all(|name| names.contains(&name)));
        }
    }
});

fn placed(d: &Diagnostic, lines: usize, bytes: usize) {
    assert!(d.line >= 1 && d.line as usize <= lines && d.column >= 1 && d.column as usize <= bytes + 1, "{d:?}");
    assert!(!d.message.is_empty() && !d.help.is_empty(), "{d:?}");
    let shown = d.to_string();
    assert_eq!(shown.lines().count(), 2, "{d:?}");
    assert!(!shown.chars().any(|c| c.is_control() && c != '\n'), "{d:?}");
}
