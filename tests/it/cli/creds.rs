//! `creds`: what goes in, what never comes out, and what is refused.

use super::asking::{failed, has};
use super::home::{Home, done, fed};

const POLICY: &str = r#"
[gateway]
listen = "127.0.0.1:0"
catalogue = false
[agent.robot]
exe = "**/robot"
[enclave.lab]
agents = ["robot"]
[[enclave.lab.http]]
host = "api.lab.test"
credential = "lab"
[[enclave.lab.http]]
host = "other.lab.test"
credential = "env"
[credential.lab]
slot = "bearer"
hosts = ["api.lab.test"]
placeholder = "lab_"
env = "LAB_TOKEN"
[credential.env]
source = "env:LAB_FROM_ENV"
slot = ["header:x-lab", "bearer"]
hosts = ["other.lab.test"]
"#;

#[test]
fn a_secret_is_kept_less_one_final_newline() {
    let home = Home::with(POLICY);
    let add = fed(&mut home.ensage(&["creds", "add", "lab"]), b"real-secret-value\n");
    assert_eq!((add.code, add.out.as_str()), (Some(0), ""), "{add:?}");
    let file = std::fs::read(home.state().join("vault.ens")).unwrap();
    assert!(!file.windows(17).any(|w| w == b"real-secret-value"), "the vault is not encrypted");
    let again = fed(&mut home.ensage(&["--json", "creds", "add", "lab"]), b"another-secret\n");
    assert_eq!((again.code, &again.json()["error"]), (Some(1), &"exists".into()));
    let rotate = fed(&mut home.ensage(&["creds", "rotate", "lab"]), b"another-secret");
    assert_eq!(rotate.code, Some(0), "{rotate:?}");
    assert_eq!(home.done(&["creds", "rm", "lab"]).code, Some(0));
    failed(&home, &["creds", "rm", "lab"], 1, "not_found");
    failed(&home, &["creds", "rotate", "lab"], 1, "not_found");
}

#[test]
fn a_name_that_no_configuration_declares_is_taken_with_a_warning() {
    let home = Home::with(POLICY);
    let declared = fed(&mut home.ensage(&["creds", "add", "lab"]), b"real-secret-value\n");
    assert_eq!((declared.code, declared.err.as_str()), (Some(0), "ensage: lab added\n"));
    let typo = fed(&mut home.ensage(&["creds", "add", "lba"]), b"real-secret-value\n");
    assert_eq!((typo.code, typo.out.as_str()), (Some(0), ""), "{typo:?}");
    assert!(typo.err.starts_with("ensage: warning: "), "{typo:?}");
    for part in ["[credential.lba]", home.config().to_str().unwrap(), "lba added"] {
        assert!(typo.err.contains(part), "{part}: {typo:?}");
    }
    let again = fed(&mut home.ensage(&["creds", "add", "lba"]), b"real-secret-value\n");
    assert!(again.code == Some(1) && !again.err.contains("warning"), "{again:?}");
    let quiet = fed(&mut home.ensage(&["-q", "creds", "add", "other"]), b"real-secret-value\n");
    assert_eq!((quiet.code, quiet.err.as_str()), (Some(0), ""));
    let none = Home::new();
    let embedded = fed(&mut none.ensage(&["creds", "add", "lab"]), b"real-secret-value\n");
    assert_eq!(embedded.code, Some(0), "{embedded:?}");
    assert!(embedded.err.contains("[credential.lab]"), "{embedded:?}");
}

#[test]
fn f10_a_value_that_is_no_secret_is_refused() {
    let home = Home::with(POLICY);
    for (name, value) in [
        ("empty", &b""[..]),
        ("only a newline", b"\n"),
        ("line feed inside", b"two-lines\nof-secret\n"),
        ("two newlines", b"a-secret-value\n\n"),
        ("carriage return", b"a-secret-value\r\n"),
        ("NUL", b"a-secret\0value\n"),
        ("shorter than 8", b"seven77\n"),
    ] {
        let done = fed(&mut home.ensage(&["creds", "add", "lab"]), value);
        assert_eq!((done.code, done.out.as_str()), (Some(1), ""), "{name}: {done:?}");
    }
    assert_eq!(home.document(&["creds", "list"])["credentials"][1]["state"], "missing");
    assert_eq!(fed(&mut home.ensage(&["creds", "add", "lab"]), b"eight888").code, Some(0));
}

#[test]
fn the_list_names_everything_but_values() {
    let home = Home::with(POLICY);
    fed(&mut home.ensage(&["creds", "add", "lab"]), b"real-secret-value\n");
    let mut list = home.ensage(&["--json", "creds", "list"]);
    let list = done(list.env("LAB_FROM_ENV", "secret-of-the-environment"));
    assert!(!list.out.contains("real-secret-value") && !list.out.contains("secret-of-the"), "{list:?}");
    let list = list.json();
    has(&list, "creds_list", &["/credentials/1"]);
    let [env, lab] = list["credentials"].as_array().unwrap().as_slice() else { panic!("{list}") };
    for c in [env, lab] {
        has(c, "", &["/name", "/source", "/slots/0", "/hosts/0", "/env", "/state"]);
    }
    assert_eq!((&lab["name"], &lab["source"], &lab["state"]), (&"lab".into(), &"vault".into(), &"present".into()));
    assert_eq!((&lab["slots"][0], &lab["env"][0]), (&"bearer".into(), &"LAB_TOKEN".into()));
    assert_eq!((&env["source"], &env["state"]), (&"env:LAB_FROM_ENV".into(), &"present".into()));
    assert_eq!((&env["slots"][0], &env["slots"][1]), (&"header:x-lab".into(), &"bearer".into()));
}

#[test]
fn a_placeholder_of_an_agent_is_alone_on_its_line() {
    let home = Home::with(POLICY);
    fed(&mut home.ensage(&["creds", "add", "lab"]), b"real-secret-value\n");
    let text = home.done(&["creds", "placeholder", "lab", "--agent", "robot"]);
    assert_eq!((text.code, text.err.as_str()), (Some(0), ""), "{text:?}");
    assert!(text.out.starts_with("lab_") && text.out.ends_with('\n') && text.out.lines().count() == 1, "{text:?}");
    let json = home.document(&["creds", "placeholder", "lab", "--agent", "robot", "--enclave", "lab"]);
    has(&json, "creds_placeholder", &["/name", "/placeholder", "/env/0", "/enclave", "/agent", "/expires"]);
    assert_eq!((&json["name"], &json["agent"], &json["enclave"]), (&"lab".into(), &"robot".into(), &"lab".into()));
    failed(&home, &["creds", "placeholder", "none", "--agent", "robot"], 1, "not_found");
    failed(&home, &["creds", "placeholder", "lab", "--agent", "stranger"], 1, "not_found");
    failed(&home, &["creds", "placeholder", "lab", "--agent", "robot", "--enclave", "none"], 1, "not_found");
}
