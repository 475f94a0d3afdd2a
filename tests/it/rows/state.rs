//! H1, H15: what lies in the state folder is ours and whole, or the gateway does not start and `verify` says so.

use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use ensage_tests::{Config, Origin, Rig};

use super::lab::{ask, lab, rig};

fn chmod(path: &Path, mode: u32) {
    fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
}

/// A state folder that a gateway has used: CA, vault, machine key, audit.
fn used() -> Rig {
    let rig = rig();
    rig.configure(&lab("[[enclave.lab.http]]\nhost = \"ok.test\"\n"));
    rig.add_secret("key", "a-secret-of-a-test");
    assert!(rig.start().stop().success());
    rig
}

/// Moves a file or folder away and puts a link to it in its place.
fn plant_link(rig: &Rig, name: &str) {
    let (from, to) = (rig.state().join(name), rig.path("elsewhere"));
    fs::rename(&from, &to).unwrap();
    symlink(&to, &from).unwrap();
}

#[test]
fn h1_a_state_folder_that_others_touched_is_refused() {
    type Touch = fn(&Rig);
    let cases: [(&str, Touch); 15] = [
        ("ca.key", |rig| plant_link(rig, "ca/ca.key")),
        ("ca.pem", |rig| plant_link(rig, "ca/ca.pem")),
        ("ca", |rig| plant_link(rig, "ca")),
        ("vault.key", |rig| plant_link(rig, "vault.key")),
        ("vault.ens", |rig| plant_link(rig, "vault.ens")),
        ("audit", |rig| plant_link(rig, "audit")),
        ("state", |rig| {
            fs::rename(rig.state(), rig.path("real")).unwrap();
            symlink(rig.path("real"), rig.state()).unwrap();
        }),
        ("ca.key", |rig| chmod(&rig.state().join("ca/ca.key"), 0o644)),
        ("ca.key", |rig| chmod(&rig.state().join("ca/ca.key"), 0o660)),
        ("vault.key", |rig| chmod(&rig.state().join("vault.key"), 0o640)),
        ("vault.ens", |rig| chmod(&rig.state().join("vault.ens"), 0o644)),
        ("ca", |rig| chmod(&rig.state().join("ca"), 0o770)),
        ("audit", |rig| chmod(&rig.state().join("audit"), 0o777)),
        ("state", |rig| chmod(&rig.state(), 0o770)),
        ("state", |rig| chmod(&rig.state(), 0o707)),
    ];
    for (n, (named, touch)) in cases.into_iter().enumerate() {
        let rig = used();
        touch(&rig);
        let out = rig.ends(&["gateway"]);
        let said = String::from_utf8_lossy(&out.stderr).into_owned();
        assert_eq!(out.status.code(), Some(1), "{n} {named}: {said}");
        assert_eq!(out.stdout, b"", "{n} {named}");
        assert!(said.contains(named), "{n} {named}: {said}");
        // The log says it in one line.
        let remedy = said.contains("\n  help: ") || named == "audit" && said.contains("; ");
        assert!(remedy, "{n}: a remedy for {named}: {said}");
    }
}

/// Another CA in place of ours: nobody could tell which leaves are ours.
#[test]
fn h1_a_replaced_ca_is_refused() {
    for name in ["ca/ca.key", "ca/ca.pem", "vault.key"] {
        let (mine, theirs) = (used(), used());
        fs::copy(theirs.state().join(name), mine.state().join(name)).unwrap();
        let out = mine.ends(&["gateway"]);
        assert_eq!(out.status.code(), Some(1), "{name}: {}", String::from_utf8_lossy(&out.stderr));
        assert_eq!(out.stdout, b"");
    }
}

#[test]
fn h1_twin_readable_folders_are_tightened_and_used() {
    let rig = used();
    for folder in [rig.state(), rig.state().join("ca"), rig.state().join("audit")] {
        chmod(&folder, 0o755);
    }
    let mut gateway = rig.start();
    assert!(gateway.stop().success());
    assert!(gateway.stderr().contains("could be read by others"), "{}", gateway.stderr());
    let mode = fs::metadata(rig.state()).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o700);
    let mode = |name: &str| fs::metadata(rig.state().join(name)).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode("ca/ca.pem"), mode("ca/ca.key"), mode("vault.key")), (0o644, 0o600, 0o600));
}

/// A rig with some calls on record, its gateway ended.
fn recorded() -> Rig {
    let rig = rig();
    let origin = Origin::good(rig.ca.leaf(&["ok.test"]));
    let config: Config = lab("[[enclave.lab.http]]\nhost = \"ok.test\"\n").resolve("ok.test:443", origin.address());
    let mut gateway = rig.start_with(&config);
    for n in 0..5 {
        let request = format!("GET /call-{n} HTTP/1.1\r\nHost: ok.test\r\n\r\n");
        assert_eq!(ask(&rig, &gateway, "ok.test:443", request.as_bytes()).status, 200);
    }
    assert!(gateway.stop().success());
    rig
}

fn segment(rig: &Rig) -> PathBuf {
    let folder = rig.state().join("audit/segments");
    let mut all: Vec<PathBuf> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    all.sort();
    assert_eq!(all.len(), 1, "{all:?}");
    all.remove(0)
}

fn verify(rig: &Rig, head: Option<&Path>) -> (Option<i32>, String) {
    let mut arguments = vec!["audit", "verify", "--json"];
    if let Some(head) = head {
        arguments.extend(["--head", head.to_str().unwrap()]);
    }
    let out = rig.run(&arguments);
    (out.status.code(), String::from_utf8(out.stdout).unwrap())
}

#[test]
fn h15_a_touched_log_does_not_verify() {
    type Touch = fn(&[u8]) -> Vec<u8>;
    let cases: [(&str, Touch); 4] = [
        ("one byte of a record is another", |bytes| {
            let at = super::lab::find(bytes, b"/call-2").unwrap();
            let mut bytes = bytes.to_vec();
            bytes[at + 6] = b'9';
            bytes
        }),
        ("the end is gone", |bytes| bytes[..super::lab::find(bytes, b"/call-3").unwrap()].to_vec()),
        ("all is gone", |_| Vec::new()),
        ("a byte is missing", |bytes| {
            let mut bytes = bytes.to_vec();
            bytes.remove(super::lab::find(bytes.as_slice(), b"/call-1").unwrap());
            bytes
        }),
    ];
    for (what, touch) in cases {
        let rig = recorded();
        assert_eq!(verify(&rig, None).0, Some(0), "{what}: the twin");
        let head = rig.path("heads-elsewhere");
        fs::copy(rig.state().join("audit/heads"), &head).unwrap();
        let segment = segment(&rig);
        let bytes = fs::read(&segment).unwrap();
        fs::write(&segment, touch(&bytes)).unwrap();
        let (code, said) = verify(&rig, Some(&head));
        assert_eq!(code, Some(1), "{what}: {said}");
        let report: serde_json::Value = serde_json::from_str(&said).unwrap();
        assert_eq!(report["ok"], false);
        assert!(report["problems"].as_array().is_some_and(|p| !p.is_empty()), "{what}: {said}");
        // With the heads rolled back too the copy that is elsewhere still tells.
        fs::remove_file(rig.state().join("audit/heads")).unwrap();
        assert_eq!(verify(&rig, Some(&head)).0, Some(1), "{what}");
    }
}
