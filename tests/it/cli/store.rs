//! `ca install|uninstall|rotate` on a real machine's store, seen through a mount namespace of the test's own: the
//! machine's own folders are never touched.

use std::process::Command;

use ensage_tests::{Ca, Origin};
use serde_json::Value;

use super::asking::failed;
use super::home::{Done, Home, done};

const ANCHORS: &str = "/usr/local/share/ca-certificates";

/// Runs a script as the root of a namespace in which the store is a copy of the machine's. `None` where this kernel
/// gives us none, or the machine has no store of Debian's.
fn as_root(home: &Home, script: &str) -> Option<Done> {
    let copies = home.path("store");
    let prepare = format!(
        "set -e; mkdir -p {c}/certs {c}/anchors {c}/hooks; cp -a /etc/ssl/certs/. {c}/certs/; \
         mount --bind {c}/certs /etc/ssl/certs; mount --bind {c}/anchors {ANCHORS}; \
         if [ -d /etc/ca-certificates/update.d ]; then mount --bind {c}/hooks /etc/ca-certificates/update.d; fi; ",
        c = copies.display()
    );
    let mut namespace = Command::new("unshare");
    namespace.args(["--user", "--map-root-user", "--mount", "sh", "-c"]);
    let probe = namespace_probe(&format!("{prepare}true"));
    if probe.code != Some(0) {
        eprintln!("skipped: no namespace with a store of its own here: {}", probe.err.trim());
        return None;
    }
    namespace.arg(format!("{prepare}set +e\n{script}"));
    namespace.env("E", env!("CARGO_BIN_EXE_ensage")).env("S", home.state());
    Some(done(&mut namespace))
}

fn namespace_probe(script: &str) -> Done {
    let mut namespace = Command::new("unshare");
    match ensage_tests::output(namespace.args(["--user", "--map-root-user", "--mount", "sh", "-c", script])) {
        Ok(out) => out.into(),
        Err(error) => Done { code: None, signal: None, out: String::new(), err: error.to_string() },
    }
}

fn documents(done: &Done) -> Vec<Value> {
    done.out.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|e| panic!("{e}: {done:?}"))).collect()
}

fn real_anchors() -> Vec<std::ffi::OsString> {
    let Ok(names) = std::fs::read_dir(ANCHORS) else { return Vec::new() };
    names.map(|entry| entry.unwrap().file_name()).filter(|name| name.to_string_lossy().starts_with("ensage-")).collect()
}

#[test]
fn an_installed_ca_is_trusted_by_programs_that_take_none_from_their_environment() {
    let ca = Ca::new();
    let origin = Origin::good(ca.leaf(&["127.0.0.1"]));
    let home = Home::new();
    let roots = home.write("roots.pem", &ca.pem);
    home.write(
        "ensage-lab.toml",
        &format!(
            "[gateway]\nlisten = \"127.0.0.1:0\"\ncatalogue = false\n[upstream]\nroots = [{roots:?}]\n\
             [enclave.lab]\nagents = [\"*\"]\n[[enclave.lab.http]]\nhost = \"{}\"\n",
            origin.address()
        ),
    );
    let daemon = home.gateway();
    let curl = format!("curl -s -x http://{} https://{}/ >> $S/said; echo $? >> $S/said", daemon.at, origin.address());
    let script = format!(
        "{curl}\n$E --state $S --json ca install\n{curl}\n$E --state $S --json ca install\n$E --state $S --json ca show\n\
         $E --state $S --json ca uninstall\n{curl}\n$E --state $S --json ca uninstall\n$E --state $S --json ca show\n\
         ls {ANCHORS} >> $S/said; find /etc/ssl/certs -name '*ensage*' >> $S/said"
    );
    let before = real_anchors();
    let Some(ran) = as_root(&home, &script) else { return };
    let said = std::fs::read_to_string(home.state().join("said")).unwrap();
    assert_eq!(said, "60\ngood0\n60\n", "refused, trusted, refused, and nothing is left: {ran:?}");
    let [installed, again, shown, gone, not_there, nowhere] = &documents(&ran)[..] else { panic!("{ran:?}") };
    let sha256 = shown["sha256"].as_str().unwrap();
    let place = format!("{ANCHORS}/ensage-{}.crt", &sha256[..16]);
    assert_eq!((&installed["schema"], &installed["changed"]), (&"ensage.ca_install.v1".into(), &true.into()));
    assert_eq!((&installed["installed"][0], &installed["sha256"]), (&place.as_str().into(), &sha256.into()));
    assert_eq!((&again["changed"], &again["installed"]), (&false.into(), &installed["installed"]));
    assert_eq!(shown["installed"], installed["installed"]);
    assert_eq!((&gone["schema"], &gone["removed"][0]), (&"ensage.ca_uninstall.v1".into(), &place.as_str().into()));
    assert_eq!((&not_there["changed"], &not_there["removed"]), (&false.into(), &serde_json::json!([])));
    assert_eq!(nowhere["installed"], serde_json::json!([]));
    assert_eq!(real_anchors(), before, "the machine's own store");
}

#[test]
fn a_ca_that_is_installed_is_rotated_in_the_store_too() {
    let home = Home::new();
    let script = format!(
        "$E --state $S --json ca install\n$E --state $S --json ca rotate\n$E --state $S --json ca show\nls {ANCHORS} >&2"
    );
    let Some(ran) = as_root(&home, &script) else { return };
    let [installed, rotated, shown] = &documents(&ran)[..] else { panic!("{ran:?}") };
    assert_eq!((&rotated["schema"], &rotated["was"]), (&"ensage.ca_rotate.v1".into(), &installed["sha256"]));
    assert_ne!(rotated["sha256"], installed["sha256"]);
    let new = format!("ensage-{}.crt", &rotated["sha256"].as_str().unwrap()[..16]);
    assert_eq!(rotated["installed"], serde_json::json!([format!("{ANCHORS}/{new}")]));
    let left: Vec<_> = ran.err.lines().filter(|line| line.starts_with("ensage-")).collect();
    assert_eq!(left, [new], "the old one is not there any more: {ran:?}");
    for key in ["path", "subject", "sha256", "not_before", "not_after", "installed"] {
        assert_eq!(shown[key], rotated[key], "{key}");
    }
}

#[test]
fn rotating_waits_for_no_gateway() {
    let home = Home::new();
    let before = home.document(&["ca", "show"])["sha256"].clone();
    let daemon = home.gateway();
    let error = failed(&home, &["ca", "rotate"], 1, "already_running");
    assert!(error["remedy"].as_str().unwrap().contains("status"), "{error}");
    assert_eq!(home.document(&["ca", "show"])["sha256"], before);
    drop(daemon);
    let rotated = home.document(&["ca", "rotate"]);
    assert_eq!((&rotated["was"], rotated["sha256"] == before), (&before, false));
    assert_eq!(home.document(&["ca", "show"])["sha256"], rotated["sha256"]);
    // The next gateway mints with the new one, and only that is trusted.
    let daemon = home.gateway();
    let mut raw = ensage_tests::Raw::open(daemon.at);
    assert_eq!(raw.connect("127.0.0.1:443", "").status, 200);
    let trust = ensage_tests::roots_of(std::path::Path::new(rotated["path"].as_str().unwrap()));
    raw.tls(&trust, "127.0.0.1").unwrap();
}

/// Somebody who is not root is told what root would type, and it is that what root would do.
#[test]
fn who_is_not_root_is_told_the_words() {
    let home = Home::new();
    let here = home.path("it's here");
    std::fs::create_dir(&here).unwrap();
    // A user of a namespace that is root of nothing.
    let script =
        format!("exec unshare --user --map-user=4711 \"$E\" --state \"{}/state\" --json ca install", here.display());
    let Some(ran) = as_root(&home, &script) else { return };
    let error: Value = serde_json::from_str(&ran.out).unwrap_or_else(|e| panic!("{e}: {ran:?}"));
    assert_eq!((ran.code, &error["error"]), (Some(1), &"internal".into()), "{error}");
    let remedy = error["remedy"].as_str().unwrap();
    let pem = here.join("state/ca/ca.pem").display().to_string().replace('\'', "'\\''");
    assert!(remedy.starts_with(&format!("sudo install -m 644 '{pem}' '{ANCHORS}/ensage-")), "{remedy}");
    assert!(remedy.ends_with("' && sudo /usr/sbin/update-ca-certificates"), "{remedy}");
    // The words do it.
    let words = remedy.replace("sudo ", "");
    let check = format!("{words} >/dev/null 2>&1; \"$E\" --state \"{}/state\" --json ca show", here.display());
    let ran = as_root(&home, &check).unwrap();
    let shown: Value = serde_json::from_str(&ran.out).unwrap_or_else(|e| panic!("{e}: {ran:?}"));
    assert_eq!(shown["installed"].as_array().map(Vec::len), Some(1), "{ran:?}");
}
