//! A folder for secrets: made private, never reached through a link, locked while it is worked in.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, FileType, FlockOperation, Mode, OFlags, Stat};
use rustix::io::Errno;

use super::error::{CaError, Unsafe};

/// No file here is larger.
const FILE_BYTES_MAX: u64 = 64 << 10;

/// Who may read a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Readers {
    Owner,
    Everybody,
}

impl Readers {
    fn mode(self) -> Mode {
        match self {
            Self::Owner => Mode::from_raw_mode(0o600),
            Self::Everybody => Mode::from_raw_mode(0o644),
        }
    }
}

/// An open, locked folder that belongs to this user alone.
#[derive(Debug)]
pub(super) struct Folder {
    path: PathBuf,
    fd: OwnedFd,
    /// It could be read by others, and can't any more.
    pub(super) tightened: bool,
}

impl Folder {
    /// Opens the folder, and makes it if it is not there; waits for whoever has it open.
    pub(super) fn open_or_create(path: &Path) -> Result<Self, CaError> {
        match rustix::fs::mkdir(path, Mode::from_raw_mode(0o700)) {
            Ok(()) | Err(Errno::EXIST) => {}
            Err(errno) => return Err(failed(path, errno)),
        }
        let folder = Self::open(path)?;
        folder.ok_or_else(|| failed(path, Errno::NOENT))
    }

    /// Opens the folder, `None` if it is not there.
    pub(super) fn open(path: &Path) -> Result<Option<Self>, CaError> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let fd = match rustix::fs::open(path, flags, Mode::empty()) {
            Ok(fd) => fd,
            Err(Errno::NOENT) => return Ok(None),
            Err(errno) => return Err(refused(path, errno)),
        };
        let stat = rustix::fs::fstat(&fd).map_err(|errno| failed(path, errno))?;
        owned(path, &stat)?;
        let tightened = mode(&stat) & 0o077 != 0;
        if tightened {
            rustix::fs::fchmod(&fd, Mode::from_raw_mode(0o700)).map_err(|errno| failed(path, errno))?;
        }
        rustix::fs::flock(&fd, FlockOperation::LockExclusive).map_err(|errno| failed(path, errno))?;
        Ok(Some(Self { path: path.to_owned(), fd, tightened }))
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// Reads a file whole, `None` if it is not there.
    pub(super) fn read(&self, name: &str, readers: Readers) -> Result<Option<Vec<u8>>, CaError> {
        let path = self.path(name);
        // NONBLOCK, or a FIFO would hold us for ever.
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let fd = match rustix::fs::openat(&self.fd, name, flags, Mode::empty()) {
            Ok(fd) => fd,
            Err(Errno::NOENT) => return Ok(None),
            Err(errno) => return Err(refused(&path, errno)),
        };
        let stat = rustix::fs::fstat(&fd).map_err(|errno| failed(&path, errno))?;
        if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile || stat.st_nlink != 1 {
            return Err(CaError::Unsafe { path, what: Unsafe::Kind });
        }
        owned(&path, &stat)?;
        if readers == Readers::Owner && mode(&stat) & 0o077 != 0 {
            return Err(CaError::Unsafe { path, what: Unsafe::Readable });
        }
        let mut bytes = Vec::new();
        let read = File::from(fd).take(FILE_BYTES_MAX).read_to_end(&mut bytes);
        read.map_err(|source| CaError::Io { path, source })?;
        Ok(Some(bytes))
    }

    /// Takes a file away, if it is there.
    pub(super) fn remove(&self, name: &str) -> Result<(), CaError> {
        match rustix::fs::unlinkat(&self.fd, name, AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => {}
            Err(errno) => return Err(failed(&self.path(name), errno)),
        }
        rustix::fs::fsync(&self.fd).map_err(|errno| failed(&self.path, errno))
    }

    /// Puts a file there: whole and on disk, or not at all.
    pub(super) fn put(&self, name: &str, bytes: &[u8], readers: Readers) -> Result<(), CaError> {
        let path = self.path(name);
        let made = format!(".{name}.new");
        // Of a process that died here; nobody else works in a locked folder.
        match rustix::fs::unlinkat(&self.fd, &made, AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => {}
            Err(errno) => return Err(failed(&self.path(&made), errno)),
        }
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let fd = rustix::fs::openat(&self.fd, &made, flags, Mode::from_raw_mode(0o600))
            .map_err(|errno| failed(&path, errno))?;
        let mut file = File::from(fd);
        file.write_all(bytes)
            .and_then(|()| rustix::fs::fchmod(&file, readers.mode()).map_err(io::Error::from))
            .and_then(|()| file.sync_all())
            .and_then(|()| rustix::fs::renameat(&self.fd, &made, &self.fd, name).map_err(io::Error::from))
            .and_then(|()| rustix::fs::fsync(&self.fd).map_err(io::Error::from))
            .map_err(|source| CaError::Io { path, source })
    }
}

fn owned(path: &Path, stat: &Stat) -> Result<(), CaError> {
    let what = if stat.st_uid != rustix::process::geteuid().as_raw() {
        Unsafe::Owner
    } else if mode(stat) & 0o022 != 0 {
        Unsafe::Writable
    } else {
        return Ok(());
    };
    Err(CaError::Unsafe { path: path.to_owned(), what })
}

const fn mode(stat: &Stat) -> u32 {
    stat.st_mode & 0o7777
}

fn failed(path: &Path, errno: Errno) -> CaError {
    CaError::Io { path: path.to_owned(), source: errno.into() }
}

/// What an `open` that follows no link says of one.
fn refused(path: &Path, errno: Errno) -> CaError {
    let what = match errno {
        Errno::LOOP => Unsafe::Link,
        Errno::NOTDIR if path.symlink_metadata().is_ok_and(|m| m.is_symlink()) => Unsafe::Link,
        Errno::NOTDIR | Errno::NXIO => Unsafe::Kind,
        _ => return failed(path, errno),
    };
    CaError::Unsafe { path: path.to_owned(), what }
}
