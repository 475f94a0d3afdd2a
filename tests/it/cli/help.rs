//! What the help, the manual pages, the completions and the README say of commands.

use std::process::Command;

use super::asking::{failed, has};
use super::home::{Home, done};

/// What the contract has and this version does not.
const LATER: [&str; 15] = [
    "reach",
    "report",
    "grants",
    "pins",
    "baseline",
    "stdio",
    "doctor",
    "run --publish",
    "sessions quarantine",
    "sessions release",
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

/// What a page or a help calls things, without the marks of roff.
fn plain(page: &str) -> String {
    page.replace("\\-", "-").replace("\\fB", "").replace("\\fI", "").replace("\\fR", "")
}

#[test]
fn man_prints_a_page_for_every_command() {
    let home = Home::new();
    // Neither needs a state folder, nor a configuration that anybody accepted.
    home.write("work/ensage.toml", "nonsense");
    let mut left = vec![String::new()];
    let mut pages = 0;
    while let Some(words) = left.pop() {
        let words: Vec<&str> = words.split_whitespace().collect();
        let page = done(&mut home.bare(&[&["man"], &words[..]].concat()));
        assert_eq!((page.code, page.err.as_str()), (Some(0), ""), "{words:?}");
        let text = plain(&page.out);
        assert!(text.contains(&format!(".TH {} 1", [&["ensage"], &words[..]].concat().join("-"))), "{text}");
        let help = done(&mut home.bare(&[&words[..], &["--help"]].concat()));
        for option in help.out.split([' ', '\n', ',']).filter(|w| w.starts_with("--") && w.len() > 2) {
            assert!(text.contains(option), "{words:?}: {option} is missing in {text}");
        }
        assert!(!text.contains("--linger") && !text.contains("--working-folder"), "{text}");
        pages += 1;
        let prefix = words.iter().map(|w| format!("{w} ")).collect::<String>();
        let dashed = format!("ensage-{}", prefix.replace(' ', "-"));
        let inner = text.lines().filter_map(|l| l.strip_prefix(&dashed)?.strip_suffix("(1)"));
        left.extend(
            inner.filter(|name| *name != "help" && !prefix.starts_with("help")).map(|name| format!("{prefix}{name}")),
        );
    }
    assert!(pages > 20, "{pages}");
    assert!(!home.state().exists() && !home.path("home/.local").exists());
    let json = done(&mut home.bare(&["--json", "man", "creds", "add"])).json();
    has(&json, "man", &["/page"]);
    for words in
        [&["man", "nonsense"][..], &["man", "creds", "nonsense"], &["completions"], &["completions", "nonsense"]]
    {
        failed(&home, words, 2, "usage");
    }
}

#[test]
fn completions_know_every_command() {
    let home = Home::new();
    home.write("work/ensage.toml", "nonsense");
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let script = done(&mut home.bare(&["completions", shell]));
        assert_eq!((script.code, script.err.as_str()), (Some(0), ""), "{shell}");
        for word in ["gateway", "completions", "fail-on-deny", "placeholder"] {
            assert!(script.out.contains(word), "{shell}: {word}");
        }
        assert!(!script.out.contains("linger") && !script.out.contains("working-folder"), "{shell}");
    }
    let script = home.write("ensage.bash", &done(&mut home.bare(&["completions", "bash"])).out);
    for (words, want) in [
        (&["co"][..], "completions"),
        (&["creds", "pl"], "placeholder"),
        (&["run", "--fa"], "--fail-on-deny"),
        (&["completions", "fi"], "fish"),
        (&["gateway", "--l"], ""),
    ] {
        let line = format!(
            "source '{}'; COMP_WORDS=(ensage {}); COMP_CWORD={}; COMPREPLY=(); _ensage ensage {} {}; echo ${{COMPREPLY[*]}}",
            script.display(),
            words.join(" "),
            words.len(),
            words.last().unwrap(),
            words.iter().rev().nth(1).unwrap_or(&"ensage"),
        );
        let bash = done(Command::new("bash").args(["--norc", "-c", &line]));
        assert_eq!(bash.out.trim(), want, "{words:?}: {bash:?}");
    }
    let json = done(&mut home.bare(&["completions", "fish", "--json"])).json();
    has(&json, "completions", &["/shell", "/script"]);
}
