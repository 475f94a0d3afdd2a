//! Which configuration counts, and whose files are believed.

use std::os::unix::fs::PermissionsExt;

use super::asking::failed;
use super::home::{Done, Home, Site, done};

/// Each command that looks into the state folder, or for a gateway.
const EVERY: [&[&str]; 16] = [
    &["check"],
    &["run", "--advisory", "--", "true"],
    &["gateway"],
    &["status"],
    &["reload"],
    &["sessions", "list"],
    &["sessions", "end", "--all"],
    &["env"],
    &["ca", "path"],
    &["ca", "show"],
    &["explain", "--enclave", "lab", "--url", "https://a.test/"],
    &["explain", "01a21085-33aa-7155-94db-c01b45659007"],
    &["creds", "list"],
    &["agents"],
    &["audit"],
    &["audit", "verify"],
];

fn check(home: &Home, set: &[(&str, &str)], options: &[&str]) -> Done {
    let mut command = home.bare(&["--json", "check"]);
    command.args(options).env("ENSAGE_STATE", home.state()).envs(set.iter().copied());
    done(&mut command)
}

/// A file that `check` refuses on a line of its own, by which it is recognised.
fn marked(line: usize) -> String {
    format!("{}unheard = 1\n", "\n".repeat(line - 1))
}

fn line(done: &Done) -> i64 {
    done.json()["errors"][0]["line"].as_i64().unwrap_or_else(|| panic!("{done:?}"))
}

#[test]
fn the_nearest_configuration_counts() {
    let home = Home::new();
    assert_eq!(check(&home, &[], &[]).json()["ok"], true, "the embedded default");
    std::fs::create_dir_all(home.path("home/.config/ensage")).unwrap();
    home.write("home/.config/ensage/ensage.toml", &marked(4));
    assert_eq!(line(&check(&home, &[], &[])), 4, "the user's folder");
    let named = home.write("named.toml", &marked(2));
    let named = named.to_str().unwrap();
    assert_eq!(line(&check(&home, &[("ENSAGE_CONFIG", named)], &[])), 2, "the variable");
    let said = home.write("said.toml", &marked(7));
    assert_eq!(line(&check(&home, &[("ENSAGE_CONFIG", named)], &["--config", said.to_str().unwrap()])), 7, "--config");
    let inside = [("ENSAGE_CONFIG", named), ("ENSAGE_SESSION", "x")];
    assert_eq!(line(&check(&home, &inside, &[])), 4, "neither variable counts inside a session");
}

#[test]
fn the_state_variable_does_not_count_inside_a_session() {
    let home = Home::new();
    let path = |set: &[(&str, &str)]| {
        let mut command = home.bare(&["ca", "path"]);
        done(command.env("ENSAGE_STATE", home.state()).envs(set.iter().copied())).out
    };
    assert_eq!(path(&[]).trim(), home.state().join("ca/ca.pem").display().to_string());
    let own = home.path("home/.local/share/ensage/ca/ca.pem");
    assert_eq!(path(&[("ENSAGE_SESSION", "x")]).trim(), own.display().to_string());
}

#[test]
fn h2_a_cloned_repository_does_not_configure_the_gateway() {
    let home = Home::new();
    home.write("work/ensage.toml", &Site::new().policy());
    for arguments in EVERY {
        let error = failed(&home, arguments, 2, "untrusted_config");
        assert!(error["remedy"].as_str().unwrap().contains("ensage trust"), "{error}");
    }
    let trust = home.done(&["trust"]);
    assert_eq!(trust.code, Some(0), "{trust:?}");
    assert_eq!(home.document(&["check"])["ok"], true);
    // The words were accepted, not the name.
    home.write("work/ensage.toml", &Site::new().policy().replace("GET", "POST"));
    failed(&home, &["check"], 2, "untrusted_config");
    let named = home.path("work/ensage.toml");
    // Who else may write a file that nobody accepted is the smaller trouble.
    std::fs::set_permissions(&named, PermissionsExt::from_mode(0o666)).unwrap();
    failed(&home, &["audit"], 2, "untrusted_config");
    std::fs::set_permissions(&named, PermissionsExt::from_mode(0o644)).unwrap();
    assert_eq!(home.done(&["trust", named.to_str().unwrap()]).code, Some(0));
    assert_eq!(home.done(&["check"]).code, Some(0));
    assert_eq!(home.done(&["audit"]).code, Some(0));
    failed(&home, &["trust", "nothing.toml"], 1, "not_found");
}

#[test]
fn h2_a_file_that_others_may_write_is_refused() {
    let home = Home::with(&Site::new().policy());
    let config = home.config();
    let folder = config.parent().unwrap();
    for (path, mode) in [(config.as_path(), 0o664), (config.as_path(), 0o646), (folder, 0o770), (folder, 0o707)] {
        let before = std::fs::metadata(path).unwrap().permissions();
        std::fs::set_permissions(path, PermissionsExt::from_mode(mode)).unwrap();
        let error = failed(&home, &["check"], 1, "bad_config");
        assert!(error["message"].as_str().unwrap().contains("written by others"), "{error}");
        assert_eq!(done(&mut home.run(&[], "true")).code, Some(125));
        std::fs::set_permissions(path, before).unwrap();
        assert_eq!(home.done(&["check"]).code, Some(0));
    }
}

#[test]
fn a_file_that_is_not_there_is_a_bad_configuration() {
    let home = Home::new();
    failed(&home, &["--config", "/nowhere/ensage.toml", "check"], 1, "bad_config");
}

#[test]
fn a_state_folder_of_others_is_refused() {
    let home = Home::new();
    let refused = |why: &str| {
        for arguments in EVERY {
            let exit = if arguments[0] == "run" { 125 } else { 1 };
            let error = failed(&home, arguments, exit, "internal");
            assert!(error["message"].as_str().unwrap().contains(why), "{arguments:?}: {error}");
            assert!(error["remedy"].is_string(), "{error}");
        }
    };
    std::fs::create_dir(home.state()).unwrap();
    for mode in [0o777, 0o720] {
        std::fs::set_permissions(home.state(), PermissionsExt::from_mode(mode)).unwrap();
        refused("others may write");
    }
    std::fs::remove_dir(home.state()).unwrap();
    std::os::unix::fs::symlink(home.path("home"), home.state()).unwrap();
    refused("symbolic link");
    std::fs::remove_file(home.state()).unwrap();
    std::fs::write(home.state(), "no folder").unwrap();
    refused("wrong kind");
}

#[test]
fn asking_changes_nothing_of_a_folder() {
    let home = Home::new();
    let mode = || std::fs::metadata(home.state()).unwrap().permissions().mode() & 0o777;
    for words in [&["audit"][..], &["status"], &["agents"]] {
        home.done(words);
        assert!(!home.state().exists(), "{words:?}");
    }
    std::fs::create_dir(home.state()).unwrap();
    std::fs::set_permissions(home.state(), PermissionsExt::from_mode(0o755)).unwrap();
    home.done(&["audit"]);
    assert_eq!(mode(), 0o755);
}
