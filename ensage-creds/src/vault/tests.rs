use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::PathBuf;

use super::*;

const NOW: SystemTime = UNIX_EPOCH;
const CHEAP: Cost = Cost { memory_kib: 64, passes: 1, lanes: 1 };

struct State(tempfile::TempDir);

impl State {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o700)).unwrap();
        Self(dir)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn private(&self, name: &str, bytes: &[u8]) -> PathBuf {
        let path = self.path(name);
        fs::write(&path, bytes).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        path
    }

    fn open(&self) -> Result<Vault, VaultError> {
        Vault::open(self.0.path(), &KeySource::Machine)
    }

    fn open_by(&self, passphrase: &str) -> Result<Vault, VaultError> {
        Vault::open_at(self.0.path(), &by(passphrase), CHEAP)
    }
}

fn by(passphrase: &str) -> KeySource {
    KeySource::Passphrase(Zeroizing::new(passphrase.as_bytes().to_vec()))
}

fn secret(text: &str) -> Secret {
    Secret::from_stdin(text.as_bytes().to_vec()).unwrap()
}

fn shown(vault: &Vault, name: &str) -> String {
    vault.secret(name).unwrap().expose(|b| String::from_utf8(b.to_vec()).unwrap())
}

#[test]
fn what_is_added_is_there_for_the_next_one() {
    let state = State::new();
    let mut vault = state.open().unwrap();
    vault.add("github", &secret("ghp_0123456789"), NOW).unwrap();
    vault.add("anthropic", &secret("sk-ant-0123456789"), NOW).unwrap();
    let again = state.open().unwrap();
    assert_eq!(again.names().collect::<Vec<_>>(), ["anthropic", "github"]);
    assert_eq!(shown(&again, "github"), "ghp_0123456789");
    assert_eq!(again.meta("github"), Some(Meta { created: NOW, rotated: None }));
    let file = fs::read(state.path("vault.ens")).unwrap();
    assert!(!String::from_utf8_lossy(&file).contains("0123456789"));
    for name in ["vault.ens", "vault.key"] {
        assert_eq!(fs::metadata(state.path(name)).unwrap().permissions().mode() & 0o777, 0o600, "{name}");
    }
    assert_eq!(fs::metadata(state.path("vault.key")).unwrap().len(), 32);
    assert!(!state.path("vault.ens.new").exists());
}

#[test]
fn an_existing_or_missing_name_changes_nothing() {
    let state = State::new();
    let mut vault = state.open().unwrap();
    vault.add("a", &secret("11111111"), NOW).unwrap();
    let before = fs::read(state.path("vault.ens")).unwrap();
    assert!(matches!(vault.add("a", &secret("22222222"), NOW), Err(VaultError::Exists { .. })));
    assert!(matches!(vault.rotate("b", &secret("22222222"), NOW), Err(VaultError::Missing { .. })));
    assert!(matches!(vault.remove("b"), Err(VaultError::Missing { .. })));
    assert!(matches!(vault.add("", &secret("22222222"), NOW), Err(VaultError::Name { .. })));
    assert!(matches!(vault.add("a\nb", &secret("22222222"), NOW), Err(VaultError::Name { .. })));
    assert_eq!(fs::read(state.path("vault.ens")).unwrap(), before);
    let later = NOW + Duration::from_secs(5);
    vault.rotate("a", &secret("33333333"), later).unwrap();
    assert_eq!(shown(&vault, "a"), "33333333");
    assert_eq!(vault.meta("a"), Some(Meta { created: NOW, rotated: Some(later) }));
    vault.remove("a").unwrap();
    assert!(!vault.contains("a"));
    assert!(matches!(vault.secret("a"), Err(VaultError::Missing { .. })));
}

#[test]
fn two_writers_lose_nothing() {
    let state = State::new();
    state.open().unwrap();
    std::thread::scope(|scope| {
        for writer in 0..4 {
            let state = &state;
            scope.spawn(move || {
                let mut vault = state.open().unwrap();
                for n in 0..8 {
                    vault.add(&format!("{writer}-{n}"), &secret("12345678"), NOW).unwrap();
                }
            });
        }
    });
    assert_eq!(state.open().unwrap().names().count(), 32);
}

#[test]
fn two_first_openers_make_one_vault() {
    let state = State::new();
    let sealed: Vec<_> = std::thread::scope(|scope| {
        let open = || state.open().unwrap().seal("x", b"y").unwrap();
        let threads: Vec<_> = (0..4).map(|_| scope.spawn(open)).collect();
        threads.into_iter().map(|t| t.join().unwrap()).collect()
    });
    let vault = state.open().unwrap();
    assert!(sealed.iter().all(|s| vault.unseal("x", s).unwrap().as_slice() == b"y"));
}

#[test]
fn f11_a_reader_sees_changes() {
    let state = State::new();
    let mut writer = state.open().unwrap();
    let mut reader = state.open().unwrap();
    assert!(!reader.changed().unwrap());
    writer.add("a", &secret("12345678"), NOW).unwrap();
    assert!(!writer.changed().unwrap());
    assert!(reader.changed().unwrap());
    assert!(!reader.contains("a"));
    reader.reload().unwrap();
    assert!(reader.contains("a"));
    assert!(!reader.changed().unwrap());
    // A reader's own change is made on what the file holds.
    writer.add("b", &secret("12345678"), NOW).unwrap();
    reader.add("c", &secret("12345678"), NOW).unwrap();
    assert_eq!(state.open().unwrap().names().collect::<Vec<_>>(), ["a", "b", "c"]);
}

#[test]
fn every_edit_of_the_file_is_noticed() {
    let state = State::new();
    let mut vault = state.open().unwrap();
    vault.add("a", &secret("12345678"), NOW).unwrap();
    let good = fs::read(state.path("vault.ens")).unwrap();
    for at in 0..good.len() {
        let mut bad = good.clone();
        bad[at] ^= 1;
        fs::write(state.path("vault.ens"), &bad).unwrap();
        assert!(state.open().is_err(), "byte {at} changed");
        assert!(vault.reload().is_err(), "byte {at} changed");
        fs::write(state.path("vault.ens"), &good[..at]).unwrap();
        assert!(state.open().is_err(), "cut at {at}");
    }
    assert_eq!(shown(&vault, "a"), "12345678", "what was read before stays");
    assert!(matches!(vault.add("b", &secret("12345678"), NOW), Err(VaultError::Damaged { .. })));
    assert_eq!(fs::read(state.path("vault.ens")).unwrap(), good[..good.len() - 1], "not written over");
}

#[test]
fn a_record_opens_under_its_own_name_only() {
    let state = State::new();
    let mut vault = state.open().unwrap();
    vault.add("a", &secret("aaaaaaaa"), NOW).unwrap();
    vault.add("b", &secret("bbbbbbbb"), NOW).unwrap();
    let swapped = vault.body.records["a"].sealed.clone();
    vault.body.records.get_mut("b").unwrap().sealed = swapped;
    assert!(matches!(vault.secret("b"), Err(VaultError::Damaged { .. })));
    let mut other = State::new().open().unwrap();
    other.body.records = vault.body.records.clone();
    other.key = vault.key.clone();
    assert!(matches!(other.secret("a"), Err(VaultError::Damaged { .. })), "another vault's id");
}

#[test]
fn a_passphrase_opens_what_it_locked() {
    let state = State::new();
    let mut vault = state.open_by("correct horse").unwrap();
    vault.add("a", &secret("12345678"), NOW).unwrap();
    assert!(!state.path("vault.key").exists());
    assert_eq!(shown(&state.open_by("correct horse").unwrap(), "a"), "12345678");
    assert!(matches!(state.open_by("wrong horse"), Err(VaultError::WrongPassphrase)));
    assert!(matches!(state.open_by(""), Err(VaultError::EmptyPassphrase)));
    assert!(matches!(state.open(), Err(VaultError::Absent { .. })), "no new machine key");
    let file = state.private("pass", b"correct horse\n");
    let found = Vault::find(state.0.path(), &KeySource::PassphraseFile(file)).unwrap().unwrap();
    assert_eq!(shown(&found, "a"), "12345678");
    vault.rewrap_at(&KeySource::Machine, CHEAP).unwrap();
    assert_eq!(shown(&state.open().unwrap(), "a"), "12345678");
    assert!(matches!(state.open_by("correct horse"), Err(VaultError::NeedsKey)));
    vault.rewrap_at(&by("other"), CHEAP).unwrap();
    assert!(matches!(state.open(), Err(VaultError::NeedsPassphrase)));
}

#[test]
fn a_vault_file_cannot_ask_for_all_memory() {
    for cost in [Cost { memory_kib: u32::MAX, ..CHEAP }, Cost { passes: u32::MAX, ..CHEAP }, Cost { lanes: 0, ..CHEAP }]
    {
        assert!(matches!(cost.derive(b"x", &[0; 16]), Err(VaultError::Derivation)), "{cost:?}");
    }
    assert!(matches!(CHEAP.derive(b"x", &[0; 2]), Err(VaultError::Derivation)), "a salt of 2 bytes");
    assert_eq!(Cost::DEFAULT, Cost { memory_kib: 65_536, passes: 3, lanes: 1 });
}

#[test]
fn a_key_file_is_raw_or_hex_and_never_made() {
    let state = State::new();
    let open = |path: &Path| Vault::open(state.0.path(), &KeySource::KeyFile(path.to_owned()));
    assert!(matches!(open(&state.path("absent")), Err(VaultError::Absent { .. })));
    let short = state.private("short", &[7; 31]);
    assert!(matches!(open(&short), Err(VaultError::KeySize { bytes: 31, .. })));
    let text = state.private("text", &[b'g'; 64]);
    assert!(matches!(open(&text), Err(VaultError::KeySize { bytes: 64, .. })));
    assert!(!state.path("vault.ens").exists(), "nothing is left of a failed start");
    open(&state.private("raw", &[0x77; 32])).unwrap();
    open(&state.private("hex", format!("{}\n", "77".repeat(32)).as_bytes())).unwrap();
    let other = state.private("other", &[8; 32]);
    assert!(matches!(open(&other), Err(VaultError::WrongKey)));
    assert!(Vault::find(State::new().0.path(), &KeySource::Machine).unwrap().is_none());
}

#[test]
fn h1_files_of_others_are_refused_with_the_remedy() {
    let check = |spoil: &dyn Fn(&State), expected: fn(&VaultError) -> bool, remedy: &str| {
        let state = State::new();
        state.open().unwrap();
        spoil(&state);
        let error = state.open().unwrap_err();
        assert!(expected(&error), "{error:?}");
        assert!(error.remedy().unwrap().contains(remedy), "{:?}", error.remedy());
    };
    let mode = |name: &'static str, mode| {
        move |state: &State| fs::set_permissions(state.path(name), fs::Permissions::from_mode(mode)).unwrap()
    };
    let link = |name: &'static str| {
        move |state: &State| {
            fs::rename(state.path(name), state.path("moved")).unwrap();
            symlink(state.path("moved"), state.path(name)).unwrap();
        }
    };
    check(&mode("vault.ens", 0o640), |e| matches!(e, VaultError::Readable { mode: 0o640, .. }), "chmod 600");
    check(&mode("vault.key", 0o604), |e| matches!(e, VaultError::Readable { mode: 0o604, .. }), "chmod 600");
    check(&mode("", 0o770), |e| matches!(e, VaultError::Writable { mode: 0o770, .. }), "chmod 700");
    check(&link("vault.ens"), |e| matches!(e, VaultError::Symlink { .. }), "not a link");
    check(&link("vault.key"), |e| matches!(e, VaultError::Symlink { .. }), "not a link");
    let folder = |state: &State| {
        fs::remove_file(state.path("vault.key")).unwrap();
        fs::create_dir(state.path("vault.key")).unwrap();
    };
    check(&folder, |e| matches!(e, VaultError::NotAFile { .. }), "move");
    let lost = |state: &State| fs::remove_file(state.path("vault.key")).unwrap();
    check(&lost, |e| matches!(e, VaultError::Absent { .. }), "backup");
}

#[test]
fn h1_a_linked_state_folder_is_refused() {
    let state = State::new();
    let elsewhere = State::new();
    symlink(elsewhere.0.path(), state.path("link")).unwrap();
    for path in ["link", "link/"] {
        let opened = Vault::open(&state.0.path().join(path), &KeySource::Machine);
        assert!(matches!(opened, Err(VaultError::Symlink { .. })), "{path}: {opened:?}");
    }
    assert!(!elsewhere.path("vault.key").exists());
}

#[test]
fn a_lock_that_stays_is_told() {
    let state = State::new();
    let vault = state.open().unwrap();
    let _held = vault.folder.lock(LOCK, Duration::ZERO).unwrap();
    assert!(matches!(vault.folder.lock(LOCK, Duration::ZERO), Err(VaultError::Busy { .. })));
}

#[test]
fn a_new_file_left_by_a_killed_writer_is_in_nobodys_way() {
    let state = State::new();
    let mut vault = state.open().unwrap();
    let victim = state.private("victim", b"untouched");
    symlink(&victim, state.path("vault.ens.new")).unwrap();
    vault.add("a", &secret("12345678"), NOW).unwrap();
    assert_eq!(fs::read(&victim).unwrap(), b"untouched");
    assert!(state.open().unwrap().contains("a"));
}

#[test]
fn what_is_sealed_opens_under_its_label() {
    let state = State::new();
    let vault = state.open().unwrap();
    let sealed = vault.seal("ca.key", b"private").unwrap();
    assert_eq!(state.open().unwrap().unseal("ca.key", &sealed).unwrap().as_slice(), b"private");
    assert!(matches!(vault.unseal("audit.key", &sealed), Err(VaultError::Unsealable { .. })));
    let mut edited = sealed.clone();
    *edited.last_mut().unwrap() ^= 1;
    assert!(vault.unseal("ca.key", &edited).is_err());
    assert!(vault.unseal("ca.key", &sealed[..20]).is_err());
    assert!(vault.unseal("ca.key", b"").is_err());
}

#[test]
fn an_agents_placeholder_is_kept_until_it_ends() {
    let state = State::new();
    let mut vault = state.open().unwrap();
    let end = NOW + Duration::from_secs(60);
    let ask = AgentAsk { prefix: "ghp_", credential: "github", enclave: "chip-a", agent: "codex", expires: end };
    let made = vault.add_placeholder(&ask, NOW).unwrap();
    assert!(made.placeholder.starts_with("ghp_ens_"));
    assert_eq!((made.prefix(), made.expires()), ("ghp_", end));
    let file = fs::read_to_string(state.path("vault.ens")).unwrap();
    assert!(!file.contains("ens_"), "sealed");
    assert!(!format!("{made:?}").contains("ens_"));
    assert_eq!(state.open().unwrap().placeholders().unwrap(), std::slice::from_ref(&made));
    let next = vault.add_placeholder(&ask, end).unwrap();
    assert_eq!(vault.placeholders().unwrap(), [next]);
    let bad = AgentAsk { prefix: "a b", ..ask };
    assert!(matches!(vault.add_placeholder(&bad, NOW), Err(VaultError::Prefix { .. })));
}
