//! What a process inside a session may not do to what holds it.

use super::home::{Home, Site, done, fed, filled, start, until};

#[test]
fn h3_an_agent_does_not_change_what_holds_it() {
    let home = Home::with(&Site::new().policy());
    let out = home.path("out");
    std::fs::create_dir(&out).unwrap();
    fed(&mut home.ensage(&["creds", "add", "kept"]), b"real-secret-value\n");
    let commands = [
        "creds list",
        "creds add other",
        "creds rm kept",
        "creds placeholder kept --agent sh",
        "reload",
        "sessions list",
        "sessions end --all",
        "trust ../ensage-lab.toml",
    ];
    let mut script = String::new();
    for (n, words) in commands.iter().enumerate() {
        // Re-parented or in a session of its own, it is the same caller.
        for (way, before) in [("plain", ""), ("setsid", "setsid -w ")] {
            script.push_str(&format!(
                "printf secret-of-the-agent | {before}{} --json --state {} --config {} {words} > {}/{n}.{way}; echo $? >> {}/{n}.{way}\n",
                env!("CARGO_BIN_EXE_ensage"), home.state().display(), home.config().display(), out.display(), out.display(),
            ));
        }
    }
    let run = done(&mut home.run(&[], &script));
    assert_eq!(run.code, Some(0), "{run:?}");
    for (n, words) in commands.iter().enumerate() {
        for way in ["plain", "setsid"] {
            let said = std::fs::read_to_string(out.join(format!("{n}.{way}"))).unwrap();
            let (document, code) = said.trim_end().rsplit_once('\n').unwrap_or_else(|| panic!("{words}: {said}"));
            assert_eq!(code, "1", "{words}: {said}");
            let document: serde_json::Value = serde_json::from_str(document).unwrap();
            assert_eq!(document["error"], "from_session", "{words}: {document}");
            assert!(document["remedy"].as_str().unwrap().contains("outside of every session"), "{document}");
        }
    }
    let list = home.document(&["creds", "list"]);
    assert_eq!(list["credentials"].as_array().unwrap().len(), 1, "{list}");
}

/// The variables that name a state folder don't count inside a session: what is refused there is refused by that name
/// all the same, and nothing is said that would not help.
#[test]
fn h3_an_agent_that_does_not_name_the_state_folder_is_refused_too() {
    let home = Home::with(&Site::new().policy());
    let out = home.path("out");
    std::fs::create_dir(&out).unwrap();
    let commands = ["reload", "sessions list", "sessions end --all", "creds add other", "trust ../ensage-lab.toml"];
    let mut script = String::new();
    for (n, words) in commands.iter().enumerate() {
        let (bin, out) = (env!("CARGO_BIN_EXE_ensage"), out.display());
        script.push_str(&format!("printf a-secret-of-the-agent | {bin} --json {words} > {out}/{n}\n"));
    }
    let mut run = home.bare(&["run", "--advisory", "--enclave", "lab", "--", "sh", "-c", &script]);
    let run = done(run.env("ENSAGE_STATE", home.state()).env("ENSAGE_CONFIG", home.config()));
    assert_eq!(run.code, Some(1), "{run:?}");
    for (n, words) in commands.iter().enumerate() {
        let said = std::fs::read_to_string(out.join(n.to_string())).unwrap();
        let document: serde_json::Value =
            serde_json::from_str(&said).unwrap_or_else(|e| panic!("{words}: {e}: {said}"));
        assert_eq!(document["error"], "from_session", "{words}: {document}");
        assert!(document["remedy"].as_str().unwrap().contains("outside of every session"), "{document}");
    }
    assert!(!home.path("home/.local/share/ensage").exists(), "another state folder was made");
    // What the remedy says helps.
    let reloaded = home.done(&["reload"]);
    assert_eq!(reloaded.code, Some(0), "{reloaded:?}");
}

/// Where the gateway knows better, a shell that was started in a session which is over is nobody's.
#[test]
fn a_variable_of_a_session_that_is_over_is_not_in_the_way() {
    let home = Home::with(&Site::new().policy());
    let _daemon = home.gateway();
    let mut reload = home.ensage(&["reload"]);
    let reload = done(reload.env("ENSAGE_SESSION", "01a21085-33aa-7155-94db-c01b45659007"));
    assert_eq!(reload.code, Some(0), "{reload:?}");
}

#[test]
fn what_asks_only_works_inside_too() {
    let home = Home::with(&Site::new().policy());
    let ask = format!(
        "{} --state {} --config {}",
        env!("CARGO_BIN_EXE_ensage"),
        home.state().display(),
        home.config().display()
    );
    for words in ["audit", "check", "agents", "status", "ca path", "version"] {
        let run = done(&mut home.run(&[], &format!("{ask} {words}")));
        assert_eq!(run.code, Some(0), "{words}: {run:?}");
    }
}

#[test]
fn f11_an_ended_session_is_cut_and_void_within_a_second() {
    let site = Site::new();
    let home = Home::with(&site.policy());
    let (here, cut, refused) = (home.path("here"), home.path("cut"), home.path("refused"));
    let script = format!(
        "echo $ENSAGE_SESSION > {}; curl -sN http://{}/slow > /dev/null; echo $? > {}; \
         curl -s -o {} http://{}/after; while :; do sleep 0.05; done",
        here.display(),
        site.at,
        cut.display(),
        refused.display(),
        site.at
    );
    let mut run = start(&mut home.run(&[], &script));
    let id = until("the session is open", || filled(&here));
    until("the stream flows", || {
        let sessions = home.document(&["sessions", "list"]);
        (sessions["sessions"][0]["streams"] == 1).then_some(())
    });
    let end = home.done(&["sessions", "end", id.trim()]);
    let at = std::time::Instant::now();
    assert_eq!(end.code, Some(0), "{end:?}");
    let code = until("curl has noticed", || filled(&cut));
    assert!(at.elapsed() < std::time::Duration::from_secs(1), "{:?}", at.elapsed());
    // 18: the transfer ended before its last chunk.
    assert_eq!(code.trim(), "18");
    let body = until("the next request is answered", || filled(&refused));
    assert!(body.contains("session_ended"), "{body}");
    assert!(!site.asked().iter().any(|h| h.starts_with("GET /after")), "{:?}", site.asked());
    run.kill().unwrap();
    run.wait().unwrap();
    let outcomes: Vec<_> = home.calls().iter().map(|c| (c["decision"].clone(), c["outcome"].clone())).collect();
    assert_eq!(outcomes, [("allow".into(), "session_ended".into()), ("deny".into(), "refused".into())]);
    let missing = home.done(&["--json", "sessions", "end", "01a21085-33aa-7155-94db-c01b45659007"]);
    assert_eq!((missing.code, &missing.json()["error"]), (Some(1), &"not_found".into()));
}
