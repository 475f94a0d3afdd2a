//! What any text file must not have: too many lines, the paths of one machine, an address to fetch packages from.

use super::{File, Finding, LONG_FILES, MAX_LINES};

/// Beginnings of paths that exist on one machine only. In pieces, or this file would name them itself.
const MACHINE_PATHS: [&str; 6] = [
    concat!("/ro", "ot/"),
    concat!("/wo", "rk/main"),
    concat!("/wo", "rk/shared"),
    concat!("/wo", "rk/seams"),
    concat!("/wo", "rk/t/"),
    concat!("/.py", "env"),
];

/// Files that say what to fetch: they must not say from where.
const PACKAGE_FILES: [&str; 6] =
    ["package-lock.json", "package.json", "requirements.txt", ".npmrc", "pip.conf", ".cargo/config.toml"];

const CRATES_IO: &str = "source = \"registry+https://github.com/rust-lang/crates.io-index\"";

pub fn check(file: &File) -> Vec<Finding> {
    let mut findings = Vec::new();
    if file.is_rust() {
        let count = file.text.lines().count();
        if count > MAX_LINES && !LONG_FILES.iter().any(|(path, _)| *path == file.path) {
            let message = format!(
                "{count} lines, {MAX_LINES} are allowed: move tests to their own file, then find the two subjects"
            );
            findings.push(file.find(MAX_LINES + 1, "size", message));
        }
        if !file.is_test() && !file.text.starts_with("//!") {
            findings.push(file.find(1, "room", "begin with a //! line that says what the room is for"));
        }
    }
    for (at, line) in file.text.lines().enumerate() {
        if let Some(path) = MACHINE_PATHS.iter().find(|path| line.contains(*path)) {
            let message = format!("{path} is a path of one machine: use a relative path or a temporary folder");
            findings.push(file.find(at + 1, "machine", message));
        }
        if let Some(message) = fetched_from(file, line) {
            findings.push(file.find(at + 1, "registry", message));
        }
    }
    findings
}

fn fetched_from(file: &File, line: &str) -> Option<&'static str> {
    if file.path.ends_with("Cargo.lock") {
        let elsewhere = line.starts_with("source = ") && line != CRATES_IO;
        return elsewhere.then_some("crates come from crates.io alone");
    }
    let names = PACKAGE_FILES.iter().any(|name| file.path == *name || file.path.ends_with(&format!("/{name}")));
    // `funding` links of a lock file lead to people, not to packages: a `url`, or a text alone on its line.
    let funding = ["\"url\":", "\"https://"].iter().any(|start| line.trim_start().starts_with(start));
    let address = line.contains("://") && !funding;
    let option = line.contains("--index-url") || line.contains("\"resolved\"");
    (names && (address || option)).then_some("a lock file pins names and digests, never where they come from")
}

/// Every fuzz target is registered and has seeds, so that the smoke run can't miss one.
pub fn fuzz_targets(files: &[File]) -> Vec<Finding> {
    let mut findings = Vec::new();
    let manifest = files.iter().find(|file| file.path == "fuzz/Cargo.toml").map_or("", |file| file.text.as_str());
    for file in files {
        let Some(name) = file.path.strip_prefix("fuzz/fuzz_targets/").and_then(|name| name.strip_suffix(".rs")) else {
            continue;
        };
        if !manifest.lines().any(|line| line.trim() == format!("path = \"fuzz_targets/{name}.rs\"")) {
            findings.push(file.find(1, "fuzz", format!("add a [[bin]] {name} to fuzz/Cargo.toml")));
        }
        if !files.iter().any(|other| other.path.starts_with(&format!("fuzz/corpus/{name}/"))) {
            findings.push(file.find(1, "fuzz", format!("add seeds to fuzz/corpus/{name}/")));
        }
    }
    findings
}
