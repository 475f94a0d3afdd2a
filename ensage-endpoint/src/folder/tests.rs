use std::os::unix::fs::{PermissionsExt as _, symlink};

use super::*;

/// A folder that only we may write to, by its path without links.
fn ours() -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().canonicalize().unwrap();
    (folder, path)
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o7777
}

fn chmod(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

/// Only root can give a file away; otherwise the row is about a file of root.
fn foreign(path: &Path) -> PathBuf {
    if geteuid().is_root() {
        std::os::unix::fs::chown(path, Some(54321), None).unwrap();
        path.to_path_buf()
    } else {
        PathBuf::from("/usr")
    }
}

#[test]
fn h1_a_state_folder_is_made_for_us_alone() {
    let (_keep, at) = ours();
    let made = state_folder(&at.join("a/b/state")).unwrap();
    assert_eq!((made.path.clone(), made.tightened_from), (at.join("a/b/state"), None));
    assert_eq!(mode(&made.path), 0o700);
    assert_eq!(mode(&at.join("a")), 0o700);
    let again = state_folder(&made.path).unwrap();
    assert_eq!(fstat(&again.fd).unwrap().st_ino, fstat(&made.fd).unwrap().st_ino);
}

#[test]
fn h1_what_others_may_write_is_refused_and_what_they_may_read_is_closed() {
    let (_keep, at) = ours();
    let path = at.join("state");
    fs::create_dir(&path).unwrap();
    for (given, want) in [
        (0o700, Ok(None)),
        (0o500, Ok(None)),
        (0o755, Ok(Some(0o755))),
        (0o711, Ok(Some(0o711))),
        (0o750, Ok(Some(0o750))),
        (0o770, Err(())),
        (0o720, Err(())),
        (0o702, Err(())),
        (0o1777, Err(())),
    ] {
        chmod(&path, given);
        let got = state_folder(&path);
        match &got {
            Err(err @ FolderError::OthersWrite { mode: told, .. }) => {
                assert_eq!(*told, given);
                assert_eq!(
                    err.remedy(),
                    format!("see that nothing in it is foreign, then: chmod go-w '{}'", path.display())
                );
                assert_eq!(mode(&path), given, "a refused folder is left as it is");
            }
            Err(err) => panic!("{err:?}"),
            Ok(folder) if folder.tightened_from.is_some() => assert_eq!(mode(&path), 0o700),
            Ok(_) => {}
        }
        assert_eq!(got.map(|folder| folder.tightened_from).map_err(|_| ()), want, "{given:o}");
    }
}

#[test]
fn h1_links_strangers_and_files_are_refused() {
    let (_keep, at) = ours();
    fs::create_dir(at.join("real")).unwrap();
    symlink(at.join("real"), at.join("link")).unwrap();
    symlink(at.join("nowhere"), at.join("dangling")).unwrap();
    fs::write(at.join("file"), "").unwrap();
    let got = state_folder(&at.join("link"));
    assert!(matches!(got, Err(FolderError::Symlink { .. })), "{got:?}");
    let got = state_folder(&at.join("dangling"));
    assert!(matches!(got, Err(FolderError::Symlink { .. })), "{got:?}");
    assert!(!at.join("nowhere").exists());
    let got = state_folder(&at.join("file"));
    assert!(matches!(got, Err(FolderError::WrongKind { .. })), "{got:?}");
    let got = state_folder(Path::new("/"));
    assert!(matches!(got, Err(FolderError::WrongKind { .. })), "{got:?}");
    // A link above it is an arrangement of the owner.
    assert_eq!(state_folder(&at.join("link/state")).unwrap().path, at.join("real/state"));
    let got = state_folder(&foreign(&at.join("real")));
    assert!(matches!(got, Err(FolderError::WrongOwner { .. })), "{got:?}");
    // Where others may rename it, it is not ours for long.
    fs::create_dir(at.join("open")).unwrap();
    chmod(&at.join("open"), 0o777);
    let got = state_folder(&at.join("open/state"));
    assert!(matches!(got, Err(FolderError::OthersWrite { .. })), "{got:?}");
    chmod(&at.join("open"), 0o1777);
    assert!(state_folder(&at.join("open/state")).is_ok());
}

#[test]
fn h1_a_secret_file_is_ours_alone() {
    let (_keep, at) = ours();
    let path = at.join("key");
    fs::write(&path, "k").unwrap();
    symlink(&path, at.join("link")).unwrap();
    for (given, want) in
        [(0o600, "ok"), (0o400, "ok"), (0o640, "read"), (0o604, "read"), (0o620, "write"), (0o602, "write")]
    {
        chmod(&path, given);
        let got = match secret_file(&path) {
            Ok(_) => "ok",
            Err(FolderError::OthersRead { .. }) => "read",
            Err(FolderError::OthersWrite { .. }) => "write",
            Err(err) => panic!("{err:?}"),
        };
        assert_eq!(got, want, "{given:o}");
    }
    chmod(&path, 0o600);
    assert!(matches!(secret_file(&at.join("link")), Err(FolderError::Symlink { .. })));
    assert!(matches!(secret_file(&at), Err(FolderError::WrongKind { .. })));
    assert!(matches!(secret_file(&at.join("none")), Err(FolderError::Io { .. })));
    rustix::fs::mknodat(CWD, at.join("fifo"), rustix::fs::FileType::Fifo, Mode::RUSR, 0).unwrap();
    assert!(matches!(secret_file(&at.join("fifo")), Err(FolderError::WrongKind { .. })));
    if geteuid().is_root() {
        assert!(matches!(secret_file(&foreign(&path)), Err(FolderError::WrongOwner { .. })));
    }
}

#[test]
fn a_configuration_that_others_may_write_is_refused() {
    let (_keep, at) = ours();
    let path = at.join("ensage.toml");
    fs::write(&path, "x").unwrap();
    symlink(&path, at.join("link")).unwrap();
    for (file, folder, want) in [
        (0o644, 0o755, true),
        (0o600, 0o700, true),
        (0o664, 0o755, false),
        (0o646, 0o755, false),
        (0o644, 0o775, false),
        (0o644, 0o757, false),
        (0o644, 0o1777, false),
    ] {
        chmod(&path, file);
        chmod(&at, folder);
        for name in ["ensage.toml", "link"] {
            let got = trusted_file(&at.join(name));
            assert_eq!(got.is_ok(), want, "{file:o} {folder:o} {name}: {got:?}");
        }
    }
    chmod(&at, 0o700);
    assert!(matches!(trusted_file(&at), Err(FolderError::WrongKind { .. })));
    assert!(trusted_file(Path::new("/etc/passwd")).is_ok(), "root's file is trusted by all");
    if geteuid().is_root() {
        assert!(matches!(trusted_file(&foreign(&path)), Err(FolderError::WrongOwner { .. })));
    }
}
