//! The files of the audit folder: names, access rights, the lock.

use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use crate::error::AuditError;

/// The files of one audit folder.
#[derive(Clone, Debug)]
pub(crate) struct Folder {
    root: PathBuf,
}

impl Folder {
    pub(crate) fn at(dir: &Path) -> Self {
        Self { root: dir.to_owned() }
    }

    pub(crate) fn segments(&self) -> PathBuf {
        self.root.join("segments")
    }

    pub(crate) fn segment(&self, name: &str) -> PathBuf {
        self.segments().join(name)
    }

    /// Signed heads, JSON Lines.
    pub(crate) fn heads(&self) -> PathBuf {
        self.root.join("heads")
    }

    /// Where the chain starts since old segments were removed.
    pub(crate) fn start(&self) -> PathBuf {
        self.root.join("start")
    }

    /// The public keys, a line of hex each.
    pub(crate) fn keys(&self) -> PathBuf {
        self.root.join("key.pub")
    }

    fn lock_file(&self) -> PathBuf {
        self.root.join("lock")
    }

    /// Makes what is missing and refuses what others could have changed.
    pub(crate) fn prepare(&self) -> Result<(), AuditError> {
        for path in [self.root.clone(), self.segments()] {
            let made = DirBuilder::new().recursive(true).mode(0o700).create(&path);
            made.map_err(|source| AuditError::Open { path: path.clone(), source })?;
            check_folder(&path)?;
        }
        Ok(())
    }

    /// Keeps every other writer out for as long as the file is open.
    pub(crate) fn lock(&self) -> Result<File, AuditError> {
        let path = self.lock_file();
        let open = private().create(true).truncate(false).write(true).open(&path);
        let file = open.map_err(|source| AuditError::Open { path: path.clone(), source })?;
        let deadline = Instant::now() + LOCK_WAIT;
        loop {
            match file.try_lock() {
                Ok(()) => return Ok(file),
                Err(TryLockError::WouldBlock) if Instant::now() < deadline => thread::sleep(LOCK_WAIT / 20),
                Err(TryLockError::WouldBlock) => return Err(AuditError::AlreadyOpen { path }),
                Err(TryLockError::Error(source)) => return Err(AuditError::Open { path, source }),
            }
        }
    }

    /// True while a gateway writes this very folder (never for a copy).
    pub(crate) fn is_live(&self) -> bool {
        // Asking for the lock and not getting it is the only sign; the file is opened for reading, so that a folder
        // of another owner can be looked at too.
        let Ok(file) = File::open(self.lock_file()) else { return false };
        matches!(file.try_lock_shared(), Err(TryLockError::WouldBlock))
    }

    /// The names of the segments, in the order of their records.
    pub(crate) fn segment_names(&self) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in fs::read_dir(self.segments())? {
            if let Some(name) = entry?.file_name().to_str()
                && first_seq(name).is_some()
            {
                names.push(name.to_owned());
            }
        }
        names.sort_unstable();
        Ok(names)
    }

    /// Makes names of files durable.
    pub(crate) fn sync_names(path: &Path) -> io::Result<()> {
        File::open(path)?.sync_all()
    }

    /// Replaces a small file so that a crash leaves the old or the new one.
    pub(crate) fn replace(path: &Path, content: &[u8]) -> io::Result<()> {
        use std::io::Write as _;
        let next = path.with_extension("next");
        let mut file = private().create(true).truncate(true).write(true).open(&next)?;
        file.write_all(content)?;
        file.sync_all()?;
        fs::rename(&next, path)?;
        path.parent().map_or(Ok(()), Self::sync_names)
    }
}

/// How long a writer waits for the lock: `verify` holds it for an instant to see whether somebody else does.
const LOCK_WAIT: Duration = Duration::from_millis(200);

/// How every file here is opened for writing: ours alone, never through a symbolic link.
pub(crate) fn private() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.mode(0o600).custom_flags(rustix::fs::OFlags::NOFOLLOW.bits().cast_signed());
    options
}

/// The file name of the segment whose first record is `seq`; names sort as their records do.
pub(crate) fn segment_name(seq: u64) -> String {
    format!("{seq:020}.seg")
}

/// The seq in the name of a segment, if it is one.
pub(crate) fn first_seq(name: &str) -> Option<u64> {
    let digits = name.strip_suffix(".seg")?;
    (digits.len() == 20 && digits.bytes().all(|b| b.is_ascii_digit())).then(|| digits.parse().ok())?
}

fn check_folder(path: &Path) -> Result<(), AuditError> {
    let refuse = |fault, remedy| Err(AuditError::Unsafe { path: path.to_owned(), fault, remedy });
    let open = |source| AuditError::Open { path: path.to_owned(), source };
    let meta = fs::symlink_metadata(path).map_err(open)?;
    if !meta.is_dir() {
        return refuse("is not a folder of its own", "replace the link or file by a folder of mode 0700");
    }
    if meta.uid() != rustix::process::geteuid().as_raw() {
        return refuse("belongs to another user", "give it to the user of the gateway (chown)");
    }
    let mode = meta.permissions().mode();
    if mode & 0o022 != 0 {
        return refuse("can be changed by others", "look at what is in it, then chmod 700 it");
    }
    if mode & 0o077 != 0 {
        fs::set_permissions(path, fs::Permissions::from_mode(0o700)).map_err(open)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_sort_as_their_records() {
        assert_eq!(segment_name(42), "00000000000000000042.seg");
        assert!(segment_name(9) < segment_name(10));
        assert_eq!(first_seq(&segment_name(u64::MAX)), Some(u64::MAX));
        for bad in ["42.seg", "00000000000000000042.torn", "0000000000000000004x.seg", "+0000000000000000042.seg", ""] {
            assert_eq!(first_seq(bad), None, "{bad}");
        }
    }

    #[test]
    fn unsafe_folders_are_refused_and_open_ones_tightened() {
        let temp = tempfile::tempdir().unwrap();
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        let set = |path: &Path, mode| fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();

        let dir = temp.path().join("audit");
        Folder::at(&dir).prepare().unwrap();
        assert_eq!((mode(&dir), mode(&dir.join("segments"))), (0o700, 0o700));
        set(&dir, 0o755);
        Folder::at(&dir).prepare().unwrap();
        assert_eq!(mode(&dir), 0o700);
        for writable in [0o770, 0o702] {
            set(&dir, writable);
            assert!(matches!(Folder::at(&dir).prepare(), Err(AuditError::Unsafe { .. })), "{writable:o}");
        }
        let link = temp.path().join("link");
        std::os::unix::fs::symlink(temp.path(), &link).unwrap();
        assert!(matches!(Folder::at(&link).prepare(), Err(AuditError::Unsafe { .. })));
    }
}
