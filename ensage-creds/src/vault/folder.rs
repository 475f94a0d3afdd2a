//! The files of the state folder: who may touch them, how they are replaced, who writes.
//!
//! Everything is opened relative to the folder's own descriptor and never through a symlink (threat H1), so a path that
//! is swapped after the check leads nowhere else.

use std::fs::{File, TryLockError};
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::fs::{AtFlags, CWD, FileType, Mode, OFlags, Stat};
use rustix::io::Errno;
use zeroize::Zeroizing;

use super::VaultError;

/// What tells one version of a file from another without reading it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stamp {
    dev: u64,
    ino: u64,
    mtime: (i64, i64),
    size: i64,
}

impl Stamp {
    fn of(stat: &Stat) -> Self {
        // The field types differ between platforms; on 64-bit Linux nothing is lost.
        Self {
            dev: stat.st_dev,
            ino: stat.st_ino,
            mtime: (stat.st_mtime, i64::try_from(stat.st_mtime_nsec).unwrap_or_default()),
            size: stat.st_size,
        }
    }
}

/// What a private file holds, if there is one.
type Private = Option<(Zeroizing<Vec<u8>>, Stamp)>;

/// The state folder, checked and held open.
pub(super) struct Folder {
    fd: OwnedFd,
    path: PathBuf,
}

/// The right to write; ends when dropped.
pub(super) struct Lock(#[expect(dead_code, reason = "held for its lock")] File);

impl Folder {
    pub(super) fn open(path: &Path) -> Result<Self, VaultError> {
        // Rebuilt from its components: a trailing slash would make O_NOFOLLOW follow.
        let path: PathBuf = path.components().collect();
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let fd = rustix::fs::openat(CWD, &path, flags, Mode::empty()).map_err(|errno| {
            let link = errno == Errno::NOTDIR
                && std::fs::symlink_metadata(&path).is_ok_and(|meta| meta.file_type().is_symlink());
            if link { VaultError::Symlink { path: path.clone() } } else { failed("open", &path, errno) }
        })?;
        let stat = rustix::fs::fstat(&fd).map_err(|errno| failed("examine", &path, errno))?;
        owned(&stat, &path)?;
        if stat.st_mode & 0o022 != 0 {
            return Err(VaultError::Writable { path, mode: stat.st_mode & 0o7777 });
        }
        Ok(Self { fd, path })
    }

    pub(super) fn path_of(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// Reads a private file; `None` if there is none.
    pub(super) fn read(&self, name: &str, max: u64) -> Result<Private, VaultError> {
        read_private(self.fd.as_fd(), Path::new(name), &self.path_of(name), max)
    }

    pub(super) fn stamp(&self, name: &str) -> Result<Option<Stamp>, VaultError> {
        match rustix::fs::statat(&self.fd, name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) => Ok(Some(Stamp::of(&stat))),
            Err(Errno::NOENT) => Ok(None),
            Err(errno) => Err(failed("examine", &self.path_of(name), errno)),
        }
    }

    /// Puts the whole of `bytes` in place of `name`, or changes nothing. The caller holds the [`Lock`].
    pub(super) fn replace(&self, name: &str, bytes: &[u8]) -> Result<Stamp, VaultError> {
        let next = format!("{name}.new");
        // One left behind by a process that was killed between the two steps.
        match rustix::fs::unlinkat(&self.fd, next.as_str(), AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => {}
            Err(errno) => return Err(failed("remove", &self.path_of(&next), errno)),
        }
        let written = self.write_new(&next, bytes).and_then(|stamp| {
            rustix::fs::renameat(&self.fd, next.as_str(), &self.fd, name)
                .map_err(|errno| failed("replace", &self.path_of(name), errno))?;
            Ok(stamp)
        });
        if written.is_err() {
            // The old file is still in place; the half-written one is of no use. Its own failure changes nothing.
            let _ = rustix::fs::unlinkat(&self.fd, next.as_str(), AtFlags::empty());
        }
        let stamp = written?;
        rustix::fs::fsync(&self.fd).map_err(|errno| failed("sync", &self.path, errno))?;
        Ok(stamp)
    }

    fn write_new(&self, name: &str, bytes: &[u8]) -> Result<Stamp, VaultError> {
        let path = self.path_of(name);
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let fd = rustix::fs::openat(&self.fd, name, flags, Mode::RUSR | Mode::WUSR)
            .map_err(|errno| failed("create", &path, errno))?;
        let mut file = File::from(fd);
        let written = file.write_all(bytes).and_then(|()| file.sync_all());
        written.map_err(|source| VaultError::Io { action: "write", path: path.clone(), source })?;
        let stat = rustix::fs::fstat(&file).map_err(|errno| failed("examine", &path, errno))?;
        Ok(Stamp::of(&stat))
    }

    /// Waits at most `wait` for the right to write; blocks the thread.
    pub(super) fn lock(&self, name: &str, wait: Duration) -> Result<Lock, VaultError> {
        let path = self.path_of(name);
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let fd = rustix::fs::openat(&self.fd, name, flags, Mode::RUSR | Mode::WUSR)
            .map_err(|errno| opening(&path, errno))?;
        let file = File::from(fd);
        let stat = rustix::fs::fstat(&file).map_err(|errno| failed("examine", &path, errno))?;
        owned(&stat, &path)?;
        let deadline = Instant::now() + wait;
        loop {
            match file.try_lock() {
                Ok(()) => return Ok(Lock(file)),
                Err(TryLockError::WouldBlock) if Instant::now() < deadline => {
                    // flock(2) has no time limit of its own.
                    std::thread::sleep(Duration::from_millis(5));
                }
                Err(TryLockError::WouldBlock) => return Err(VaultError::Busy { path, wait }),
                Err(TryLockError::Error(source)) => return Err(VaultError::Io { action: "lock", path, source }),
            }
        }
    }
}

/// Reads a private file at any path; `None` if there is none.
pub(super) fn read_at(path: &Path, max: u64) -> Result<Option<Zeroizing<Vec<u8>>>, VaultError> {
    let path: PathBuf = path.components().collect();
    Ok(read_private(CWD, &path, &path, max)?.map(|(bytes, _)| bytes))
}

fn read_private(folder: BorrowedFd<'_>, name: &Path, path: &Path, max: u64) -> Result<Private, VaultError> {
    // NONBLOCK: opening a FIFO that somebody planted must not hang.
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let fd = match rustix::fs::openat(folder, name, flags, Mode::empty()) {
        Ok(fd) => fd,
        Err(Errno::NOENT) => return Ok(None),
        Err(errno) => return Err(opening(path, errno)),
    };
    let stat = rustix::fs::fstat(&fd).map_err(|errno| failed("examine", path, errno))?;
    if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
        return Err(VaultError::NotAFile { path: path.to_owned() });
    }
    owned(&stat, path)?;
    if stat.st_mode & 0o077 != 0 {
        return Err(VaultError::Readable { path: path.to_owned(), mode: stat.st_mode & 0o7777 });
    }
    let bytes = u64::try_from(stat.st_size).unwrap_or(u64::MAX);
    if bytes > max {
        return Err(VaultError::TooLarge { path: path.to_owned(), bytes, max });
    }
    // Room for all of it at once: growing would leave unwiped copies of a key behind.
    let room = usize::try_from(bytes).unwrap_or(usize::MAX).saturating_add(1);
    let mut content = Zeroizing::new(Vec::with_capacity(room));
    let mut file = File::from(fd).take(bytes);
    file.read_to_end(&mut content).map_err(|source| VaultError::Io {
        action: "read",
        path: path.to_owned(),
        source,
    })?;
    Ok(Some((content, Stamp::of(&stat))))
}

fn owned(stat: &Stat, path: &Path) -> Result<(), VaultError> {
    let me = rustix::process::geteuid().as_raw();
    if stat.st_uid == me {
        return Ok(());
    }
    Err(VaultError::Owner { path: path.to_owned(), owner: stat.st_uid, expected: me })
}

fn opening(path: &Path, errno: Errno) -> VaultError {
    // O_NOFOLLOW reports a symlink as ELOOP.
    if errno == Errno::LOOP { VaultError::Symlink { path: path.to_owned() } } else { failed("open", path, errno) }
}

fn failed(action: &'static str, path: &Path, errno: Errno) -> VaultError {
    VaultError::Io { action, path: path.to_owned(), source: io::Error::from(errno) }
}
