//! What the help and the README say of commands.

use super::asking::failed;
use super::home::{Home, done};

/// What the contract has and this version does not.
const LATER: [&str; 21] = [
    "reach",
    "report",
    "grants",
    "pins",
    "baseline",
    "stdio",
    "doctor",
    "completions",
    "man",
    "run --publish",
    "status --metrics",
    "sessions quarantine",
    "sessions release",
    "ca install",
    "ca uninstall",
    "ca rotate",
    "check --against",
    "creds import",
    "creds passphrase",
    "agents --watch",
    "audit export",
];

#[test]
fn the_readme_names_every_command_that_is_not_there_yet() {
    let readme = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../README.md")).unwrap();
    let later = readme.split("## What it does not do yet").nth(1).unwrap();
    let home = Home::new();
    for words in LATER.into_iter().chain(["run --contained"]) {
        assert!(later.contains(&format!("`{words}`")), "{words}");
    }
    for words in LATER {
        failed(&home, &words.split(' ').collect::<Vec<_>>(), 2, "usage");
    }
}

#[test]
fn the_help_of_run_shows_where_the_command_begins() {
    let home = Home::new();
    let help = done(&mut home.bare(&["run", "--help"]));
    assert_eq!((help.code, help.err.as_str()), (Some(0), ""));
    assert!(help.out.contains("Usage: ensage run [OPTIONS] [--] <CMD>..."), "{help:?}");
    let contained = help.out.lines().find(|l| l.contains("--contained")).unwrap();
    assert!(contained.contains("not there yet"), "{contained}");
}
