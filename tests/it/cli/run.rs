//! `run`: it is as if the program had been started by itself, except for the gateway.

use std::process::Stdio;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

use super::asking::failed;
use super::home::{Done, Home, Site, done, fed, filled, start, until};

fn lab() -> (Site, Home) {
    let site = Site::new();
    let home = Home::with(&site.policy());
    (site, home)
}

#[test]
fn the_exit_code_is_the_programs() {
    let (_site, home) = lab();
    for (script, code) in [
        ("exit 0", 0),
        ("exit 7", 7),
        ("exit 255", 255),
        ("kill -TERM $$", 128 + 15),
        ("kill -KILL $$", 128 + 9),
        ("kill -SEGV $$", 128 + 11),
    ] {
        let run = done(&mut home.run(&[], script));
        assert_eq!((run.code, run.signal), (Some(code), None), "{script}: {run:?}");
    }
    let plain = home.path("work/plain");
    std::fs::write(&plain, "no program").unwrap();
    for (program, code) in [("./plain", 126), ("/nowhere/at-all", 127), ("no-such-program-here", 127), ("/", 126)] {
        let run = home.done(&["run", "--advisory", "--enclave", "lab", "--", program]);
        assert_eq!((run.code, run.out.as_str()), (Some(code), ""), "{program}: {run:?}");
    }
}

#[test]
fn what_ensage_refuses_itself_is_125() {
    let (_site, home) = lab();
    for options in [&[][..], &["--contained"], &["--observe", "--contained"]] {
        let words = [&["run"], options, &["--enclave", "lab", "--", "true"]].concat();
        let error = failed(&home, &words, 125, "internal");
        assert!(error.to_string().contains("--advisory"), "{error}");
    }
    let error = failed(&home, &["run", "--advisory", "--enclave", "none", "--", "true"], 125, "not_found");
    assert!(error.to_string().contains("lab"), "the choices are named: {error}");
    assert_eq!(home.done(&["run", "--observe", "--enclave", "lab", "--", "true"]).code, Some(0));
}

#[test]
fn without_an_enclave_the_only_one_that_fits_is_taken() {
    let two = "[gateway]\nlisten = \"127.0.0.1:0\"\ncatalogue = false\n\
        [agent.one]\nexe = \"**/true\"\n[agent.both]\nexe = \"**/false\"\n\
        [enclave.a]\nagents = [\"one\", \"both\"]\n[enclave.b]\nagents = [\"both\"]\n";
    let home = Home::with(two);
    let run = |program: &str| home.done(&["run", "--advisory", "--", program]);
    let one = run("true");
    assert_eq!(one.code, Some(0), "{one:?}");
    let sessions = home.document(&["sessions", "list"]);
    assert_eq!((&sessions["sessions"][0]["enclave"], &sessions["sessions"][0]["agent"]), (&"a".into(), &"one".into()));
    let both = run("false");
    assert_eq!(both.code, Some(125), "{both:?}");
    for name in ["a", "b"] {
        assert!(both.err.contains(name), "{both:?}");
    }
    assert_eq!(run("sleep").code, Some(125), "no enclave lists it");
    assert_eq!(home.done(&["run", "--advisory", "--enclave", "b", "--", "false"]).code, Some(1));
}

#[test]
fn the_last_line_counts_and_names_the_session() {
    let (site, home) = lab();
    let script = format!(
        "curl -s http://{0}/; curl -s -o /dev/null -X POST http://{0}/; curl -s -o /dev/null http://no.test/; echo $ENSAGE_SESSION",
        site.at
    );
    let run = done(&mut home.run(&[], &script));
    assert_eq!(run.code, Some(0), "{run:?}");
    let id = run.out.strip_prefix("hello").unwrap_or_else(|| panic!("{run:?}")).trim();
    assert_eq!(run.last(), format!("ensage: 1 allowed, 2 denied, session {id}"));
    assert!(run.err.contains("advisory"), "the tier is told: {run:?}");
    let quiet = done(&mut home.run(&["-q"], "exit 3"));
    assert_eq!((quiet.code, quiet.out.as_str(), quiet.err.as_str()), (Some(3), "", ""));
    assert_eq!(site.asked().len(), 1, "{:?}", site.asked());
}

#[test]
fn a_run_without_a_call_says_how_that_can_be() {
    let (site, home) = lab();
    let hints = |err: &str| err.lines().filter(|l| l.starts_with("ensage: no call was seen")).count();
    // As a program does that heeds no proxy variable.
    let past = done(&mut home.run(&[], &format!("curl -s --noproxy '*' http://{}/", site.at)));
    assert_eq!((past.code, past.out.as_str(), hints(&past.err)), (Some(0), "hello", 1), "{past:?}");
    assert!(past.err.contains("proxy variables") && past.err.contains("Node.js"), "{past:?}");
    assert!(past.last().starts_with("ensage: 0 allowed, 0 denied, session "), "{past:?}");
    for script in [format!("curl -s http://{}/", site.at), format!("curl -s -X DELETE http://{}/", site.at)] {
        let through = done(&mut home.run(&[], &script));
        assert_eq!((through.code, hints(&through.err)), (Some(0), 0), "{through:?}");
    }
    let nothing = home.done(&["run", "--advisory", "--enclave", "lab", "--", "no-such-program-here"]);
    assert_eq!((nothing.code, hints(&nothing.err)), (Some(127), 0), "{nothing:?}");
}

#[test]
fn the_tier_is_told_in_every_mode() {
    let none = Home::new();
    let (_site, lab) = lab();
    for (home, words) in [
        (&none, &["run", "--", "true"][..]),
        (&none, &["run", "--advisory", "--", "true"]),
        (&lab, &["run", "--observe", "--enclave", "lab", "--", "true"]),
    ] {
        let run = home.done(words);
        assert_eq!(run.code, Some(0), "{run:?}");
        let told = run.err.lines().filter(|l| l.starts_with("ensage: advisory: ")).count();
        assert_eq!(told, 1, "{words:?}: {run:?}");
    }
}

#[test]
fn observe_lets_through_and_records_what_it_would_deny() {
    let (site, home) = lab();
    let run = done(&mut home.run(&["--observe"], &format!("curl -s -X POST http://{}/", site.at)));
    assert_eq!((run.code, run.out.as_str()), (Some(0), "hello"), "{run:?}");
    assert!(run.last().contains("1 allowed, 0 denied"), "{run:?}");
    let call = &home.calls()[0];
    assert_eq!((&call["decision"], &call["would"]), (&"allow".into(), &"deny".into()), "{call}");
    assert_eq!((&call["reason"], &call["session"]["mode"]), (&"method_not_allowed".into(), &"observe".into()));
}

#[test]
fn bytes_pass_as_they_are() {
    let (_site, home) = lab();
    let every: Vec<u8> = (0..=255).cycle().take(300_000).collect();
    let copy = home.path("copy");
    let mut run = home.run(&[], &format!("tee {}; printf '\\377' >&2", copy.display()));
    let mut child = start(run.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()));
    let mut stdin = child.stdin.take().unwrap();
    let sent = every.clone();
    let writer = std::thread::spawn(move || std::io::Write::write_all(&mut stdin, &sent).unwrap());
    let output = child.wait_with_output().unwrap();
    writer.join().unwrap();
    assert!(output.status.success());
    assert_eq!(output.stdout, every);
    assert_eq!(std::fs::read(copy).unwrap(), every);
    assert!(output.stderr.contains(&0xff));
    let closed = fed(&mut home.run(&[], "cat; echo end"), b"");
    assert_eq!(closed.out, "end\n");
}

#[test]
fn signals_reach_the_program() {
    let (_site, home) = lab();
    for (signal, name) in [(Signal::TERM, "TERM"), (Signal::INT, "INT"), (Signal::HUP, "HUP"), (Signal::USR1, "USR1")] {
        let here = home.path(name);
        let script = format!(
            "trap 'echo got {name}; exit 33' {name}; echo x > {}; while :; do sleep 0.05; done",
            here.display()
        );
        let child = start(home.run(&[], &script).stdout(Stdio::piped()).stderr(Stdio::piped()));
        until("the program runs", || filled(&here));
        kill_process(Pid::from_child(&child), signal).unwrap();
        let run = Done::from(child.wait_with_output().unwrap());
        assert_eq!((run.code, run.out), (Some(33), format!("got {name}\n")), "{name}: {}", run.err);
    }
}

#[test]
fn a_terminal_is_the_programs() {
    let (_site, home) = lab();
    let inner = "test -t 0 && test -t 1 && test -t 2 && stty size && read line && echo \"line=$line\"; exit 9";
    let words = format!(
        "stty rows 33 cols 77; {} -q --state {} --config {} run --advisory --enclave lab -- sh -c '{inner}'",
        env!("CARGO_BIN_EXE_ensage"),
        home.state().display(),
        home.config().display()
    );
    let mut script = std::process::Command::new("script");
    script.args(["-qec", &words, "/dev/null"]).env("HOME", home.path("home")).current_dir(home.path("work"));
    let run = fed(&mut script, b"typed\n");
    assert_eq!(run.code, Some(9), "{run:?}");
    assert!(run.out.contains("33 77") && run.out.contains("line=typed"), "{run:?}");
}

#[test]
fn twenty_at_once_start_one_gateway() {
    let (site, home) = lab();
    let script = format!("curl -s http://{}/", site.at);
    let runs: Vec<_> =
        (0..20).map(|_| start(home.run(&[], &script).stdout(Stdio::piped()).stderr(Stdio::piped()))).collect();
    for child in runs {
        let run = Done::from(child.wait_with_output().unwrap());
        assert_eq!((run.code, run.out.as_str()), (Some(0), "hello"), "{run:?}");
        assert!(run.last().contains("1 allowed, 0 denied"), "{run:?}");
    }
    let records = home.records(&[]);
    let count = |kind: &str, event: &str| records.iter().filter(|r| r["kind"] == kind && r["event"] == event).count();
    assert_eq!((count("gateway", "started"), count("session", "opened"), count("session", "ended")), (1, 20, 20));
    assert_eq!(records.iter().filter(|r| r["kind"] == "call").count(), 20);
}

#[test]
fn its_gateway_ends_five_seconds_after_the_last_session() {
    let (_site, home) = lab();
    done(&mut home.run(&[], "true"));
    let pid = home.gateway_pid().expect("it lives on");
    // Another session within that time keeps it.
    std::thread::sleep(Duration::from_secs(3));
    done(&mut home.run(&[], "true"));
    let ended = std::time::Instant::now();
    assert_eq!(home.gateway_pid(), Some(pid), "the second session has the first one's gateway");
    until("the gateway has ended", || home.gateway_pid().is_none().then_some(()));
    let lived = ended.elapsed();
    assert!(lived > Duration::from_secs(4) && lived < Duration::from_secs(15), "{lived:?}");
    // Its last record comes after its socket has gone.
    until("the last record", || (home.records(&[]).pop()?["event"] == "stopped").then_some(()));
    assert_eq!(home.done(&["audit", "verify"]).code, Some(0));
}

#[test]
fn a_gateway_with_another_configuration_is_an_error_that_names_both() {
    let (site, home) = lab();
    let _daemon = home.gateway();
    let other = home.write("other.toml", &site.policy().replace("GET", "PUT"));
    let words = ["--json", "run", "--config", other.to_str().unwrap(), "--state"];
    let state = home.state();
    let tail = [state.to_str().unwrap(), "--advisory", "--enclave", "lab", "--", "true"];
    let run = done(&mut home.bare(&[&words[..], &tail[..]].concat()));
    assert_eq!(run.code, Some(125), "{run:?}");
    let error = run.json();
    assert_eq!(error["error"], "already_running");
    for name in ["other.toml", "ensage-lab.toml"] {
        assert!(error["message"].as_str().unwrap().contains(name), "{error}");
    }
    // The same words under another name are the same configuration.
    let same = home.write("same.toml", &site.policy());
    let mut words = vec!["--config", same.to_str().unwrap(), "--state", state.to_str().unwrap()];
    words.extend(["run", "--advisory", "--enclave", "lab", "--", "true"]);
    let run = done(&mut home.bare(&words));
    assert_eq!(run.code, Some(0), "{run:?}");
}

#[test]
fn the_program_does_not_outlive_its_gateway() {
    let (_site, home) = lab();
    let (here, child_here) = (home.path("here"), home.path("child"));
    let script = format!("sleep 300 & echo $! > {}; echo $$ > {}; wait", child_here.display(), here.display());
    let run = start(home.run(&[], &script).stdout(Stdio::piped()).stderr(Stdio::piped()));
    let pids: Vec<i32> =
        [&here, &child_here].map(|p| until("the program runs", || filled(p)).trim().parse().unwrap()).to_vec();
    kill_process(home.gateway_pid().unwrap(), Signal::KILL).unwrap();
    let run = Done::from(run.wait_with_output().unwrap());
    assert_eq!(run.code, Some(125), "{run:?}");
    assert!(run.err.contains("gateway"), "{run:?}");
    for pid in pids {
        until("nothing is left", || (!std::path::Path::new(&format!("/proc/{pid}")).exists()).then_some(()));
    }
}
