//! What an error says to do is what helps, and it can be pasted.

use serde_json::Value;

use super::home::{Home, Site, done};

const TWO: &str = "[gateway]\nlisten = \"127.0.0.1:0\"\nmode = \"observe\"\ncatalogue = false\n";

/// The parts of a remedy that are tables of a configuration: `[TABLE] KEY = VALUE`.
fn tables(remedy: &str) -> Vec<String> {
    let at: Vec<usize> = remedy.match_indices('[').map(|(at, _)| at).collect();
    let starts: Vec<usize> = at
        .into_iter()
        .filter(|at| remedy[*at..].starts_with("[enclave.") || remedy[*at..].starts_with("[agent."))
        .collect();
    let ends = starts.iter().skip(1).copied().chain([remedy.len()]);
    starts
        .iter()
        .zip(ends)
        .map(|(start, end)| {
            let table = remedy[*start..end].trim_end_matches(", and say what it is: ").trim_end_matches(", or ");
            let (head, line) = table.split_once("] ").unwrap();
            format!("{head}]\n{line}\n")
        })
        .collect()
}

#[test]
fn an_agent_that_nobody_lists_is_let_in_by_what_the_error_says() {
    let home = Home::with(&format!("{TWO}[agent.one]\nexe = \"**/true\"\n[enclave.lab]\nagents = [\"one\"]\n"));
    let run = ["run", "--", "sleep", "0"];
    let refused = done(home.ensage(&["--json"]).args(run)).json();
    assert_eq!(refused["message"], "no enclave lists agent sleep", "{refused}");
    let remedy = refused["remedy"].as_str().unwrap();
    let tables = tables(remedy);
    let [enclave, agent] = tables.as_slice() else { panic!("{remedy}") };
    assert_eq!(enclave, "[enclave.lab]\nagents = [\"one\", \"sleep\"]\n");
    std::fs::write(home.config(), format!("{TWO}[agent.one]\nexe = \"**/true\"\n{agent}{enclave}")).unwrap();
    assert_eq!(home.done(&["check"]).code, Some(0), "{:?}", home.done(&["check"]));
    let helped = home.done(&run);
    assert_eq!(helped.code, Some(0), "{helped:?}");
    // The same words in `creds placeholder` and `explain`.
    let config =
        format!("{TWO}[enclave.lab]\nagents = []\n[credential.key]\nslot = \"bearer\"\nhosts = [\"a.test\"]\n");
    std::fs::write(home.config(), config).unwrap();
    for words in [
        &["creds", "placeholder", "key", "--agent", "robot"][..],
        &["explain", "--enclave", "lab", "--agent", "robot", "--url", "https://a.test/"],
    ] {
        let told = home.done(&[&["--json"], words].concat());
        assert_eq!(told.code, Some(1), "{told:?}");
        let remedy = told.json()["remedy"].as_str().unwrap().to_owned();
        assert!(remedy.contains("[enclave.lab] agents = [\"robot\"]"), "{remedy}");
        assert!(remedy.contains("[agent.robot] exe = \"**/robot\""), "{remedy}");
    }
}

#[test]
fn agents_are_shown_inside_a_session_too() {
    let home = Home::with(&Site::new().policy());
    let ask = format!(
        "{} --json --state {} --config {} agents",
        env!("CARGO_BIN_EXE_ensage"),
        home.state().display(),
        home.config().display()
    );
    let run = done(&mut home.run(&[], &format!("{ask}; echo; echo $ENSAGE_SESSION")));
    assert_eq!(run.code, Some(0), "{run:?}");
    let mut lines = run.out.lines().filter(|line| !line.is_empty());
    let agents: Value = serde_json::from_str(lines.next().unwrap()).unwrap();
    let id = lines.next().unwrap();
    let ours = agents["agents"].as_array().unwrap().iter().find(|agent| agent["session"] == id);
    let ours = ours.unwrap_or_else(|| panic!("{id} is not in {agents:#}"));
    assert_eq!((&ours["sanctioned"], &ours["enclave"]), (&true.into(), &"lab".into()), "{ours}");
}

#[test]
fn h13_a_file_name_is_quoted_and_moves_no_cursor() {
    let home = Home::new();
    let name = home.path("a\n\x1b[2Jb.toml");
    let named = name.to_str().unwrap();
    let state = home.path("s\x1b[2J");
    for words in [&["--config", named, "check"][..], &["trust", named], &["--state", state.to_str().unwrap(), "status"]]
    {
        let told = done(home.bare(&[]).args(words));
        assert!(told.code.is_some_and(|code| code > 0), "{told:?}");
        assert!(!told.err.contains('\x1b') && told.err.contains("\\u{1b}[2J"), "{told:?}");
        let first = told.err.lines().next().unwrap();
        assert!(first.contains(&format!("\"{}", home.path("").display())), "not quoted: {first}");
    }
    // What the remedy says to run names the file as a shell reads it.
    std::fs::write(home.path("work/ensage.toml"), "[enclave.lab]\nagents = [\"*\"]\n").unwrap();
    let work = home.path("it's here");
    std::fs::rename(home.path("work"), &work).unwrap();
    let told = done(home.bare(&["check", "--json"]).current_dir(&work)).json();
    let remedy = told["remedy"].as_str().unwrap();
    let command = remedy.split('`').nth(1).unwrap().replacen("ensage", env!("CARGO_BIN_EXE_ensage"), 1);
    let mut sh = std::process::Command::new("sh");
    sh.arg("-c").arg(command).env("HOME", home.path("home"));
    let trusted = done(&mut sh);
    assert_eq!(trusted.code, Some(0), "{remedy}: {trusted:?}");
    assert_eq!(done(home.bare(&["check"]).current_dir(&work)).code, Some(0));
}

/// npm asks for `/@scope%2fname`, one segment: what the refusal says to write is what lets it in.
#[test]
fn a_path_rule_that_misses_an_encoded_slash_is_mended_by_what_the_error_says() {
    let text = |paths: &str| {
        let enclave = "[enclave.lab]\nagents = [\"*\"]\n[[enclave.lab.http]]\nhost = \"npm.test\"\n";
        format!("[gateway]\nlisten = \"127.0.0.1:0\"\ncatalogue = false\n{enclave}paths = [{paths}]\n")
    };
    let home = Home::with(&text("\"/@acme/**\""));
    let explain = ["--json", "explain", "--enclave", "lab", "--url", "https://npm.test/@acme%2fthing"];
    let refused = home.done(&explain).json();
    assert_eq!((&refused["decision"], &refused["reason"]), (&"deny".into(), &"path_not_allowed".into()));
    let remedy = refused["remedy"].as_str().unwrap();
    let pattern = remedy.split_whitespace().nth(1).unwrap();
    assert_eq!(pattern, "\"/@acme?thing\"", "{remedy}");
    std::fs::write(home.config(), text(&format!("\"/@acme/**\", {pattern}"))).unwrap();
    assert_eq!(home.done(&explain).json()["decision"], "allow");
}
