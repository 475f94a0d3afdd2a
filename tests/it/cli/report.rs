//! `run --summary` and `run --fail-on-deny`: what a run came to, for scripts.

use std::io::Read;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::process::Stdio;

use rustix::process::{Signal, kill_process};
use serde_json::{Value, json};

use super::asking::has;
use super::home::{Done, Home, Site, done, filled, start, until};

fn lab() -> (Site, Home) {
    let site = Site::new();
    let home = Home::with(&site.policy());
    (site, home)
}

fn read(path: &Path) -> Value {
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

/// One call let through, one refused for its method, two for their host.
fn calls(site: &Site) -> String {
    let quiet = "curl -s -o /dev/null";
    format!(
        "{quiet} http://{0}/; {quiet} -X POST http://{0}/; {quiet} http://no.test/; {quiet} http://no.test/",
        site.at
    )
}

#[test]
fn the_summary_says_what_became_of_the_calls() {
    let (site, home) = lab();
    let file = home.write("work/out.json", "what was here before");
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o640)).unwrap();
    let mut before = std::fs::File::open(&file).unwrap();
    symlink(&file, home.path("work/link.json")).unwrap();
    for name in ["out.json", "link.json", "./out.json"] {
        let run = done(&mut home.run(&["--summary", name], &format!("{}; echo $ENSAGE_SESSION; exit 3", calls(&site))));
        let id = run.out.trim();
        assert_eq!(run.code, Some(3), "{run:?}");
        let summary = read(&file);
        has(&summary, "run_summary", &[]);
        let want = json!({
            "schema": "ensage.run_summary.v1", "session": id, "enclave": "lab", "agent": "sh", "tier": "advisory",
            "exit_code": 3, "allowed": 1, "denied": 3,
            "reasons": { "method_not_allowed": 1, "host_not_allowed": 2 },
        });
        assert_eq!(summary, want);
        assert_eq!(run.last(), format!("ensage: 1 allowed, 3 denied, session {id}"));
    }
    let mut kept = String::new();
    before.read_to_string(&mut kept).unwrap();
    assert_eq!(kept, "what was here before", "whoever reads the old one is left with it");
    assert_eq!(file.metadata().unwrap().permissions().mode() & 0o777, 0o640);
    assert!(home.path("work/link.json").is_symlink(), "what it leads to is replaced, not the link");
    let left: Vec<_> = std::fs::read_dir(home.path("work")).unwrap().map(|e| e.unwrap().file_name()).collect();
    assert_eq!(left.len(), 2, "{left:?}");
}

#[test]
fn the_summary_is_written_however_the_program_ends() {
    let (_site, home) = lab();
    let file = home.path("out.json");
    let name = file.to_str().unwrap();
    for (script, code) in [("exit 0", 0), ("kill -KILL $$", 137)] {
        let run = done(&mut home.run(&["--summary", name], script));
        assert_eq!((run.code, &read(&file)["exit_code"]), (Some(code), &json!(code)), "{run:?}");
    }
    let run = home.done(&["run", "--advisory", "--enclave", "lab", "--summary", name, "--", "/nowhere/at-all"]);
    assert_eq!((run.code, &read(&file)["exit_code"]), (Some(127), &json!(127)), "{run:?}");
    assert_eq!(read(&file)["reasons"], json!({}));
    // A pipe or a device is written into.
    let run = done(&mut home.run(&["--summary", "/dev/stdout"], "true"));
    assert_eq!(run.json()["allowed"], 0, "{run:?}");
}

#[test]
fn the_summary_is_written_when_the_gateway_has_died() {
    let (site, home) = lab();
    let (file, here) = (home.path("out.json"), home.path("here"));
    let script = format!("{}; echo $$ > {}; sleep 300", calls(&site), here.display());
    let options = ["--summary", file.to_str().unwrap()];
    let run = start(home.run(&options, &script).stdout(Stdio::piped()).stderr(Stdio::piped()));
    until("the program has asked", || filled(&here));
    assert!(!file.exists(), "nothing is written before the end");
    kill_process(home.gateway_pid().unwrap(), Signal::KILL).unwrap();
    let run = Done::from(run.wait_with_output().unwrap());
    assert_eq!(run.code, Some(125), "{run:?}");
    let summary = read(&file);
    assert_eq!((&summary["exit_code"], &summary["allowed"], &summary["denied"]), (&json!(125), &json!(1), &json!(3)));
    assert_eq!(summary["reasons"]["host_not_allowed"], 2);
}

#[test]
fn a_summary_that_cannot_be_written_is_told_before_the_program_starts() {
    let (_site, home) = lab();
    let ran = home.path("ran");
    let script = format!("echo x > {}", ran.display());
    for name in ["/nowhere/out.json", "/", ".", "/proc/out.json"] {
        let run = done(&mut home.run(&["--json", "--summary", name], &script));
        let error = run.json();
        assert_eq!((run.code, &error["error"]), (Some(125), &json!("internal")), "{name}: {run:?}");
        assert!(error["message"].as_str().unwrap().contains("summary"), "{error}");
        assert!(!ran.exists() && !home.state().join("admin.sock").exists(), "{name}");
    }
    // And one that can no longer be written at the end is no success.
    std::fs::create_dir(home.path("gone")).unwrap();
    let name = home.path("gone/out.json");
    for (exit, code) in [(0, 125), (7, 7)] {
        std::fs::create_dir_all(home.path("gone")).unwrap();
        let script = format!("rm -r {}; exit {exit}", home.path("gone").display());
        let run = done(&mut home.run(&["-q", "--summary", name.to_str().unwrap()], &script));
        assert_eq!((run.code, run.out.as_str()), (Some(code), ""), "{run:?}");
        assert!(run.err.contains("summary"), "{run:?}");
    }
}

#[test]
fn fail_on_deny_turns_success_into_1() {
    let (site, home) = lab();
    let file = home.path("out.json");
    let (fine, refused) =
        (format!("curl -s http://{}/", site.at), format!("curl -s -o /dev/null -X POST http://{}/", site.at));
    for (options, script, code) in [
        (&["--fail-on-deny"][..], fine.clone(), 0),
        (&["--fail-on-deny"], refused.clone(), 1),
        (&["--fail-on-deny"], format!("{refused}; exit 4"), 4),
        (&[], refused.clone(), 0),
        // Observe denies nothing.
        (&["--fail-on-deny", "--observe"], refused.clone(), 0),
    ] {
        let options = [options, &["--summary", file.to_str().unwrap()]].concat();
        let run = done(&mut home.run(&options, &script));
        assert_eq!((run.code, &read(&file)["exit_code"]), (Some(code), &json!(code)), "{options:?} {script}: {run:?}");
    }
    assert_eq!(done(&mut home.run(&["--fail-on-deny"], &refused)).code, Some(1), "without a summary too");
}

#[test]
fn what_cannot_be_counted_is_no_success() {
    let (_site, home) = lab();
    let script = format!("rm -r {}; exit", home.state().join("audit").display());
    for (options, exit, code) in [(&["--fail-on-deny"][..], 0, 125), (&["--fail-on-deny"], 5, 5), (&[], 0, 0)] {
        let run = done(&mut home.run(options, &format!("{script} {exit}")));
        assert_eq!(run.code, Some(code), "{options:?} {exit}: {run:?}");
        kill_process(home.gateway_pid().unwrap(), Signal::KILL).unwrap();
        until("the gateway has gone", || home.gateway_pid().is_none().then_some(()));
    }
}
