//! Trust stores of machines that are folders of a test, with tools that write down how they were called.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};

use super::*;
use crate::ca::{Certificate, Store, StoreError};

const DEBIAN: (&str, &str) = ("usr/local/share/ca-certificates", "usr/sbin/update-ca-certificates");
const FEDORA: (&str, &str) = ("etc/pki/ca-trust/source/anchors", "usr/bin/update-ca-trust");
const ARCH: (&str, &str) = ("etc/ca-certificates/trust-source/anchors", "usr/bin/trust");
const MACOS: (&str, &str) = ("Library/Keychains/System.keychain", "usr/bin/security");

/// A machine with this store, whose tool prints what `says` has, in the shell's words.
struct Machine(tempfile::TempDir);

impl Machine {
    fn new((folder, tool): (&str, &str), says: &str) -> Self {
        let machine = Self(tempfile::tempdir().unwrap());
        fs::create_dir_all(machine.path(folder)).unwrap();
        machine.tool(tool, says);
        machine
    }

    fn path(&self, name: &str) -> std::path::PathBuf {
        self.0.path().join(name)
    }

    fn tool(&self, tool: &str, says: &str) {
        let tool = self.path(tool);
        fs::create_dir_all(tool.parent().unwrap()).unwrap();
        let script = format!("#!/bin/sh\necho \"$@\" >> '{}'\n{says}\n", self.path("log").display());
        // By another process: a file that is open for writing in a fork of this one can't be run.
        let write = "printf %s \"$1\" > \"$0\" && chmod 755 \"$0\"";
        let made = std::process::Command::new("sh").args(["-c", write]).arg(&tool).arg(script).status().unwrap();
        assert!(made.success());
    }

    fn store(&self) -> Store {
        Store::below(self.0.path()).unwrap()
    }

    /// How the tool was called, in order.
    fn calls(&self) -> Vec<String> {
        fs::read_to_string(self.path("log")).unwrap_or_default().lines().map(str::to_owned).collect()
    }

    fn files(&self, folder: &str) -> Vec<String> {
        let names = fs::read_dir(self.path(folder)).unwrap();
        let mut names: Vec<_> = names.map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }
}

/// A CA, as stores have it.
fn with<T>(work: impl FnOnce(&Certificate<'_>) -> T) -> T {
    let state = state();
    let (facts, pem) = Facts::read_pem(state.path()).unwrap().unwrap();
    work(&Certificate { sha256: &facts.sha256, path: &facts.path, pem: &pem })
}

#[test]
fn each_machine_gets_the_certificate_where_its_store_looks_and_loses_it_whole() {
    for (machine, added, removed) in
        [(DEBIAN, "", "--fresh"), (FEDORA, "", ""), (ARCH, "extract-compat", "extract-compat")]
    {
        let folder = machine.0;
        let machine = Machine::new(machine, "");
        let store = machine.store();
        fs::write(machine.path(folder).join("somebody.crt"), "else").unwrap();
        with(|certificate| {
            let name = format!("ensage-{}.crt", &certificate.sha256[..16]);
            assert!(!store.holds(certificate).unwrap() && !store.take_away(certificate).unwrap());
            assert_eq!(machine.calls(), [""; 0], "{folder}");
            store.put(certificate).unwrap();
            assert!(store.holds(certificate).unwrap());
            let at = machine.path(folder).join(&name);
            assert_eq!((store.place(certificate), fs::read(&at).unwrap()), (at.clone(), certificate.pem.to_vec()));
            assert_eq!(fs::metadata(&at).unwrap().permissions().mode() & 0o777, 0o644);
            // Once more changes nothing, and makes the store again: the last time it may have failed.
            store.put(certificate).unwrap();
            assert_eq!(machine.files(folder), [name, "somebody.crt".to_owned()]);
            assert!(store.take_away(certificate).unwrap());
            assert_eq!(machine.calls(), [added, added, removed], "{folder}");
            assert!(!store.holds(certificate).unwrap());
            assert_eq!(machine.files(folder), ["somebody.crt"]);
        });
    }
}

#[test]
fn a_keychain_is_asked_and_told() {
    with(|certificate| {
        let digest = certificate.sha256.to_uppercase();
        let knows = |digest: &str| format!("[ \"$1\" != find-certificate ] || echo SHA-256 hash: {digest}");
        let machine = Machine::new(MACOS, &knows("0000"));
        let (store, keychain) = (machine.store(), machine.path(MACOS.0).display().to_string());
        assert!(!store.holds(certificate).unwrap());
        store.put(certificate).unwrap();
        machine.tool(MACOS.1, &knows(&digest));
        assert!(store.holds(certificate).unwrap());
        store.put(certificate).unwrap();
        assert!(store.take_away(certificate).unwrap());
        let changes: Vec<_> = machine.calls().into_iter().filter(|call| !call.starts_with("find-")).collect();
        let pem = certificate.path.display();
        let want = [
            format!("add-trusted-cert -d -r trustRoot -k {keychain} {pem}"),
            format!("delete-certificate -Z {digest} -t {keychain}"),
        ];
        assert_eq!(changes, want);
    });
}

#[test]
fn a_machine_without_a_known_store_has_none() {
    let empty = tempfile::tempdir().unwrap();
    assert!(matches!(Store::below(empty.path()), Err(StoreError::Unknown)));
    // A folder that nothing reads, and a tool that reads nothing of ours.
    fs::create_dir_all(empty.path().join(DEBIAN.0)).unwrap();
    assert!(matches!(Store::below(empty.path()), Err(StoreError::Unknown)));
}

#[test]
fn what_is_not_ours_is_neither_replaced_nor_taken_away() {
    let machine = Machine::new(DEBIAN, "");
    let store = machine.store();
    with(|certificate| {
        let at = store.place(certificate);
        let other = with(|other| other.pem.to_vec());
        let elsewhere = machine.path("elsewhere.pem");
        fs::write(&elsewhere, certificate.pem).unwrap();
        let twice = [certificate.pem, &other].concat();
        for content in [Some(other.as_slice()), Some(b"nothing"), Some(twice.as_slice()), None] {
            match content {
                Some(content) => fs::write(&at, content).unwrap(),
                None => symlink(&elsewhere, &at).unwrap(),
            }
            for result in
                [store.put(certificate), store.take_away(certificate).map(drop), store.holds(certificate).map(drop)]
            {
                assert!(matches!(&result, Err(StoreError::Foreign { path }) if *path == at), "{result:?}");
            }
            fs::remove_file(&at).unwrap();
        }
        assert_eq!(machine.calls(), [""; 0]);
        assert_eq!(fs::read(&elsewhere).unwrap(), certificate.pem);
    });
}

#[test]
fn a_tool_that_fails_is_named_with_its_last_words() {
    let machine = Machine::new(FEDORA, "echo one >&2; echo 'no \u{1b}[31mroom' >&2; exit 3");
    with(|certificate| {
        let error = machine.store().put(certificate).unwrap_err().to_string();
        assert!(error.ends_with("update-ca-trust failed: no \\u{1b}[31mroom"), "{error}");
        machine.tool(FEDORA.1, "");
        machine.store().put(certificate).unwrap();
        assert_eq!(machine.calls().len(), 2, "the second time makes up for the first");
    });
}

#[test]
fn h4_tools_run_with_nothing_of_our_environment() {
    let machine = Machine::new(FEDORA, "");
    machine.tool(FEDORA.1, &format!("env > '{}'", machine.path("environment").display()));
    with(|certificate| machine.store().put(certificate).unwrap());
    let environment = fs::read_to_string(machine.path("environment")).unwrap();
    let mut names: Vec<_> = environment.lines().filter_map(|line| line.split_once('=')).map(|(name, _)| name).collect();
    // The shell's own.
    names.retain(|name| !["PWD", "SHLVL", "_", "OLDPWD"].contains(name));
    names.sort_unstable();
    assert_eq!(names, ["LANG", "PATH"]);
}

#[test]
fn the_command_for_root_says_the_same() {
    let machine = Machine::new(DEBIAN, "");
    let store = machine.store();
    with(|certificate| {
        let quoted = |word: &str| format!("<{word}>");
        let (at, tool) = (store.place(certificate), machine.path(DEBIAN.1));
        let (at, tool, pem) = (at.display(), tool.display(), certificate.path.display());
        assert_eq!(
            store.put_command(certificate, quoted),
            format!("sudo install -m 644 <{pem}> <{at}> && sudo {tool}")
        );
        assert_eq!(store.take_away_command(certificate, quoted), format!("sudo rm <{at}> && sudo {tool} --fresh"));
    });
}
