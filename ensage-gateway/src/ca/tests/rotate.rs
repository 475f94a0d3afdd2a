//! A new CA in place of the old one.

use std::fs;

use super::*;

#[test]
fn a_rotated_ca_is_another_one_and_the_old_one_is_gone() {
    let state = state();
    let old = open(state.path()).unwrap();
    let old_key = fs::read(state.path().join("ca/ca.key")).unwrap();
    let new = Authority::rotate(state.path(), &VAULT).unwrap();
    assert_ne!((new.facts().sha256.as_str(), new.pem()), (old.facts().sha256.as_str(), old.pem()));
    assert_ne!(new.facts().subject, old.facts().subject, "or clients would take the one for the other");
    let again = open(state.path()).unwrap();
    assert_eq!((again.facts(), again.pem()), (new.facts(), new.pem()));
    let left: Vec<_> = fs::read_dir(state.path().join("ca")).unwrap().map(|e| e.unwrap().path()).collect();
    assert_eq!(left.len(), 2, "{left:?}");
    for path in left {
        let bytes = fs::read(&path).unwrap();
        let holds = |what: &[u8]| bytes.windows(what.len()).any(|w| w == what);
        assert!(!holds(&old_key[..]) && !holds(old.pem().as_bytes()), "{}", path.display());
    }
}

/// Wherever the power fails, there is one whole CA: which one, the key says.
#[test]
fn h1_a_rotation_that_breaks_off_leaves_one_ca_whole() {
    let (state, other) = (state(), super::state());
    let (old, new) = (open(state.path()).unwrap(), open(other.path()).unwrap());
    let certificate = state.path().join("ca/ca.pem");
    // Before the key is replaced.
    fs::remove_file(&certificate).unwrap();
    assert_eq!(open(state.path()).unwrap().pem(), old.pem());
    // Between key and certificate, and with what a half-written file leaves.
    fs::remove_file(&certificate).unwrap();
    fs::copy(other.path().join("ca/ca.key"), state.path().join("ca/ca.key")).unwrap();
    fs::write(state.path().join("ca/.ca.pem.new"), "half").unwrap();
    assert_eq!(open(state.path()).unwrap().pem(), new.pem());
    assert_eq!(fs::read_to_string(&certificate).unwrap(), new.pem());
}

#[test]
fn h1_a_rotation_that_fails_half_way_is_completed_by_whoever_opens_the_ca_next() {
    let state = state();
    let old = open(state.path()).unwrap();
    // Where the certificate is to be written something stands in the way, after the key has been replaced.
    let in_the_way = state.path().join("ca/.ca.pem.new");
    fs::create_dir(&in_the_way).unwrap();
    assert!(matches!(Authority::rotate(state.path(), &VAULT), Err(CaError::Io { .. })));
    fs::remove_dir(&in_the_way).unwrap();
    let new = open(state.path()).unwrap();
    assert_ne!(new.pem(), old.pem());
    assert_eq!(fs::read_to_string(state.path().join("ca/ca.pem")).unwrap(), new.pem());
}

#[test]
fn what_cannot_be_opened_any_more_can_be_rotated() {
    for damage in ["ca.pem", "ca.key"] {
        let state = state();
        fs::write(state.path().join("ca").join(damage), "nothing").unwrap();
        assert!(open(state.path()).is_err());
        let new = Authority::rotate(state.path(), &VAULT).unwrap();
        assert_eq!(open(state.path()).unwrap().pem(), new.pem(), "{damage}");
    }
    let fresh = tempfile::tempdir().unwrap();
    let made = Authority::rotate(fresh.path(), &VAULT).unwrap();
    assert_eq!(open(fresh.path()).unwrap().pem(), made.pem());
}
