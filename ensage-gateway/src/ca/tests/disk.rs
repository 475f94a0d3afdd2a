//! The CA's folder: private, and never replaced behind the user's back.

use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt, symlink};

use time::{Duration, OffsetDateTime};
use x509_parser::prelude::ParsedExtension;

use super::*;

fn mode(path: &Path) -> u32 {
    fs::symlink_metadata(path).unwrap().permissions().mode() & 0o7777
}

#[test]
fn h1_a_ca_is_made_once_and_private() {
    let state = tempfile::tempdir().unwrap();
    let made = open(state.path()).unwrap();
    let folder = state.path().join("ca");
    let modes = [folder.clone(), folder.join("ca.pem"), folder.join("ca.key")].map(|p| mode(&p));
    assert_eq!(modes, [0o700, 0o644, 0o600]);
    assert_eq!(fs::read_dir(&folder).unwrap().count(), 2);
    assert_eq!(fs::read_to_string(&made.facts().path).unwrap(), made.pem());
    assert!(made.facts().path.is_absolute());

    let again = open(state.path()).unwrap();
    assert_eq!((again.facts(), again.pem()), (made.facts(), made.pem()));
    assert_eq!(Facts::read(state.path()).unwrap().as_ref(), Some(made.facts()));
    assert!(again.warnings().is_empty());
    let other = super::state();
    assert_ne!(Facts::read(other.path()).unwrap().unwrap().subject, made.facts().subject);
    assert_eq!(Facts::read(&state.path().join("none")).unwrap(), None);
}

#[test]
fn the_ca_may_sign_leaves_and_nothing_else() {
    let state = tempfile::tempdir().unwrap();
    let ca = open(state.path()).unwrap();
    let (_, parsed) = x509_parser::parse_x509_certificate(ca.certificate()).unwrap();
    let constraints = parsed.basic_constraints().unwrap().unwrap();
    assert!(constraints.critical && constraints.value.ca && constraints.value.path_len_constraint == Some(0));
    let usage = parsed.key_usage().unwrap().unwrap();
    assert!(usage.critical && usage.value.flags == 0b110_0000, "certificate and CRL signing: {:b}", usage.value.flags);
    assert!(parsed.iter_extensions().any(|e| matches!(e.parsed_extension(), ParsedExtension::SubjectKeyIdentifier(_))));
    let facts = ca.facts();
    let subject = facts.subject.strip_prefix("O=ensage, CN=ensage local CA ").unwrap();
    assert!(subject.len() == 8 && subject.bytes().all(|b| b.is_ascii_hexdigit()), "{subject}");
    assert_eq!(parsed.raw_serial().len(), 16);
    assert_eq!((facts.not_after - facts.not_before).whole_days(), 2 * 365 + 1);
}

/// Breaks a good CA folder, and says how opening it fails.
fn broken(how: impl Fn(&Path)) -> CaError {
    let state = state();
    let folder = state.path().join("ca");
    let before = fs::read(folder.join("ca.pem")).unwrap();
    how(&folder);
    let error = open(state.path()).expect_err("opened what is broken");
    assert!(!error.remedy().is_empty());
    if let Ok(pem) = fs::read(folder.join("ca.pem")) {
        assert!(pem == before || matches!(error, CaError::Mismatch { .. } | CaError::Damaged { .. }));
    }
    error
}

fn is_unsafe(error: &CaError) -> Option<Unsafe> {
    match error {
        CaError::Unsafe { what, .. } => Some(*what),
        _ => None,
    }
}

fn chmod(path: &Path, mode: u32) {
    fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
}

#[test]
fn h1_what_others_may_have_touched_is_refused() {
    let elsewhere = tempfile::tempdir().unwrap();
    let link = |from: &Path, name: &str| {
        let target = elsewhere.path().join(name);
        fs::rename(from, &target).unwrap();
        symlink(&target, from).unwrap();
    };
    for (name, what) in [("ca.key", Unsafe::Link), ("ca.pem", Unsafe::Link)] {
        assert_eq!(is_unsafe(&broken(|ca| link(&ca.join(name), name))), Some(what), "{name}");
    }
    assert_eq!(is_unsafe(&broken(|ca| link(ca, "folder"))), Some(Unsafe::Link));
    for (mode, what) in [(0o640, Unsafe::Readable), (0o604, Unsafe::Readable), (0o620, Unsafe::Writable)] {
        assert_eq!(is_unsafe(&broken(|ca| chmod(&ca.join("ca.key"), mode))), Some(what), "{mode:o}");
    }
    assert_eq!(is_unsafe(&broken(|ca| chmod(&ca.join("ca.pem"), 0o664))), Some(Unsafe::Writable));
    assert_eq!(is_unsafe(&broken(|ca| chmod(ca, 0o770))), Some(Unsafe::Writable));
    assert_eq!(is_unsafe(&broken(|ca| chmod(ca, 0o707))), Some(Unsafe::Writable));
    let second = elsewhere.path().join("second");
    let hard = |ca: &Path| fs::hard_link(ca.join("ca.key"), &second).unwrap();
    assert_eq!(is_unsafe(&broken(hard)), Some(Unsafe::Kind));
    let folder = |ca: &Path| {
        fs::remove_file(ca.join("ca.key")).unwrap();
        fs::create_dir(ca.join("ca.key")).unwrap();
    };
    assert_eq!(is_unsafe(&broken(folder)), Some(Unsafe::Kind));
    let file = |ca: &Path| {
        fs::remove_dir_all(ca).unwrap();
        fs::write(ca, "").unwrap();
    };
    assert_eq!(is_unsafe(&broken(file)), Some(Unsafe::Kind));
}

#[test]
fn a_folder_that_others_may_only_read_is_tightened() {
    let state = state();
    chmod(&state.path().join("ca"), 0o755);
    assert_eq!(open(state.path()).unwrap().warnings().len(), 1);
    assert_eq!(mode(&state.path().join("ca")), 0o700);
}

#[test]
fn h1_a_tampered_ca_is_refused_and_never_replaced() {
    let flip = |path: &Path, at: usize| {
        let mut bytes = fs::read(path).unwrap();
        let at = at.min(bytes.len() - 1);
        bytes[at] ^= 1;
        fs::write(path, bytes).unwrap();
    };
    for at in [0, 9, usize::MAX] {
        assert!(matches!(broken(|ca| flip(&ca.join("ca.key"), at)), CaError::Sealed { .. }), "{at}");
    }
    assert!(matches!(broken(|ca| fs::write(ca.join("ca.key"), "").unwrap()), CaError::Sealed { .. }));
    let foreign = state();
    let swap = |ca: &Path| fs::copy(foreign.path().join("ca/ca.pem"), ca.join("ca.pem")).map(|_| ()).unwrap();
    assert!(matches!(broken(swap), CaError::Mismatch { .. }));
    assert!(matches!(broken(|ca| fs::write(ca.join("ca.pem"), "x").unwrap()), CaError::Damaged { .. }));
    let twice = |ca: &Path| {
        let pem = fs::read_to_string(ca.join("ca.pem")).unwrap();
        fs::write(ca.join("ca.pem"), pem.repeat(2)).unwrap();
    };
    assert!(matches!(broken(twice), CaError::Damaged { .. }));
    let sealed_empty = |ca: &Path| fs::write(ca.join("ca.key"), VAULT.seal("ca.key", b"\0\0\0\0x").unwrap()).unwrap();
    assert!(matches!(broken(sealed_empty), CaError::Damaged { .. }));
    let state = state();
    assert!(matches!(Authority::open_or_create(state.path(), &Sum(8)), Err(CaError::Sealed { .. })));
}

#[test]
fn a_half_made_pair_is_completed_only_where_nobody_can_trust_another() {
    assert!(matches!(broken(|ca| fs::remove_file(ca.join("ca.key")).unwrap()), CaError::KeyMissing { .. }));
    let state = state();
    let folder = state.path().join("ca");
    let pem = fs::read(folder.join("ca.pem")).unwrap();
    fs::remove_file(folder.join("ca.pem")).unwrap();
    fs::write(folder.join(".ca.pem.new"), "left by one that died").unwrap();
    open(state.path()).unwrap();
    assert_eq!(fs::read(folder.join("ca.pem")).unwrap(), pem, "the same certificate is back");
    assert_eq!((mode(&folder.join("ca.pem")), fs::read_dir(&folder).unwrap().count()), (0o644, 2));
}

#[test]
fn many_at_once_make_one_ca() {
    let state = tempfile::tempdir().unwrap();
    let made: Vec<_> = std::thread::scope(|scope| {
        let all: Vec<_> = (0..8).map(|_| scope.spawn(|| open(state.path()).unwrap().facts().clone())).collect();
        all.into_iter().map(|t| t.join().unwrap()).collect()
    });
    assert!(made.iter().all(|facts| *facts == made[0]));
}

#[test]
fn h1_what_belongs_to_another_user_is_refused() {
    if !rustix::process::geteuid().is_root() {
        eprintln!("skipped: only root can give files away");
        return;
    }
    let give = |path: &Path| std::os::unix::fs::chown(path, Some(12345), None).unwrap();
    assert_eq!(is_unsafe(&broken(give)), Some(Unsafe::Owner));
    for name in ["ca.key", "ca.pem"] {
        assert_eq!(is_unsafe(&broken(|ca| give(&ca.join(name)))), Some(Unsafe::Owner), "{name}");
    }
}

#[test]
fn a_ca_out_of_its_time_is_not_used() {
    let state = state();
    let not_after = Facts::read(state.path()).unwrap().unwrap().not_after;
    let at = |now| Authority::open_or_create_at(state.path(), &VAULT, now).map(|_| ());
    at(not_after - Duration::seconds(1)).unwrap();
    assert!(matches!(at(not_after), Err(CaError::OutOfTime { .. })));
    assert!(matches!(at(OffsetDateTime::now_utc() - Duration::hours(25)), Err(CaError::OutOfTime { .. })));
}
