//! Folders and files that nobody else may have had a hand in.

use std::{
    fs, io,
    os::{
        fd::OwnedFd,
        unix::fs::{DirBuilderExt as _, MetadataExt as _},
    },
    path::{Path, PathBuf},
};

use rustix::{
    fs::{CWD, Mode, OFlags, Stat, fchmod, fstat, mkdirat, openat},
    io::Errno,
    process::geteuid,
};

/// Write permission of the group or of all.
const OTHERS_WRITE: u32 = 0o022;
/// Any permission of the group or of all.
const OTHERS: u32 = 0o077;

/// A folder of our own, opened.
#[derive(Debug)]
pub struct StateFolder {
    /// Its absolute path, without links.
    pub path: PathBuf,
    /// The folder itself: what is opened through it is in it, whatever becomes of the path.
    pub fd: OwnedFd,
    /// Set if others could read it until now: the mode that it had.
    pub tightened_from: Option<u32>,
}

/// Why a folder or file is not trusted.
#[derive(Debug, thiserror::Error)]
pub enum FolderError {
    /// It is a symbolic link.
    #[error("{path:?} is a symbolic link")]
    Symlink {
        /// Which.
        path: PathBuf,
    },
    /// Something else than a folder (or a plain file) has its name.
    #[error("{path:?} is of the wrong kind")]
    WrongKind {
        /// Which.
        path: PathBuf,
    },
    /// It belongs to another user.
    #[error("{path:?} belongs to user {uid}, not to {wanted}")]
    WrongOwner {
        /// Which.
        path: PathBuf,
        /// Whose it is.
        uid: u32,
        /// Whose it would have to be.
        wanted: u32,
    },
    /// Others may write to it.
    #[error("others may write to {path:?} (mode {mode:04o})")]
    OthersWrite {
        /// Which.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// Others may read it, and it must be secret.
    #[error("others may read {path:?} (mode {mode:04o})")]
    OthersRead {
        /// Which.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// The kernel refused.
    #[error("{path:?} can't be used")]
    Io {
        /// Which.
        path: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
}

impl FolderError {
    /// What the user can do about it, as one sentence.
    pub fn remedy(&self) -> String {
        match self {
            Self::Symlink { path } => format!("name the folder itself, or remove the link: rm {}", quoted(path)),
            Self::WrongKind { path } => format!("move it away, or choose another path than {}", quoted(path)),
            Self::WrongOwner { path, wanted, .. } => {
                format!("run as its owner, or choose another path: chown {wanted} {} makes it yours", quoted(path))
            }
            Self::OthersWrite { path, .. } => {
                format!("see that nothing in it is foreign, then: chmod go-w {}", quoted(path))
            }
            Self::OthersRead { path, .. } => {
                format!("count what is in it as known to others, then: chmod go= {}", quoted(path))
            }
            Self::Io { path, .. } => format!("make {} accessible to this user", quoted(path)),
        }
    }
}

/// Opens the folder that holds keys and records, made with mode 0700 where it is missing.
///
/// A link, another owner, or write permission of others is refused; if others may only read, it is closed to them
/// and the former mode returned, for a warning.
///
/// # Errors
/// A [`FolderError`]: what is wrong with it, or that it can't be made.
pub fn state_folder(path: &Path) -> Result<StateFolder, FolderError> {
    let io = |source| FolderError::Io { path: path.to_path_buf(), source };
    let absolute = std::path::absolute(path).map_err(io)?;
    let (Some(parent), Some(name)) = (absolute.parent(), absolute.file_name()) else {
        return Err(FolderError::WrongKind { path: absolute });
    };
    if !parent.exists() {
        fs::DirBuilder::new().recursive(true).mode(0o700).create(parent).map_err(io)?;
    }
    // Links above it are the owner's way to arrange a disk; it is the last name that must be the thing itself.
    let path = fs::canonicalize(parent).map_err(io)?.join(name);
    replaceable(&path)?;
    match mkdirat(CWD, &path, Mode::RWXU) {
        Ok(()) | Err(Errno::EXIST) => {}
        Err(err) => return Err(FolderError::Io { path, source: err.into() }),
    }
    let fd = open(&path, OFlags::DIRECTORY)?;
    let stat = fstat(&fd).map_err(|err| FolderError::Io { path: path.clone(), source: err.into() })?;
    let mode = own(&path, &stat)?;
    let tightened_from = if mode & OTHERS == 0 {
        None
    } else {
        fchmod(&fd, Mode::RWXU).map_err(|err| FolderError::Io { path: path.clone(), source: err.into() })?;
        Some(mode)
    };
    Ok(StateFolder { path, fd, tightened_from })
}

/// Opens the folder that a socket will be in: it is ours and nobody else may put another one there.
///
/// # Errors
/// A [`FolderError`]: it is not there, or not such a folder.
pub fn socket_folder(socket: &Path) -> Result<StateFolder, FolderError> {
    let io = |source| FolderError::Io { path: socket.to_path_buf(), source };
    let absolute = std::path::absolute(socket).map_err(io)?;
    let folder = absolute.parent().filter(|folder| folder.file_name().is_some());
    let Some((above, name)) = folder.and_then(|folder| folder.parent().zip(folder.file_name())) else {
        return Err(FolderError::WrongKind { path: absolute });
    };
    let path = fs::canonicalize(above).map_err(io)?.join(name);
    replaceable(&path)?;
    let fd = open(&path, OFlags::DIRECTORY)?;
    let stat = fstat(&fd).map_err(|err| FolderError::Io { path: path.clone(), source: err.into() })?;
    own(&path, &stat)?;
    Ok(StateFolder { path, fd, tightened_from: None })
}

/// Opens a file that must be secret (a key, the vault): a plain file of our own that others can't even read.
///
/// # Errors
/// A [`FolderError`]: it is not there, or not such a file.
pub fn secret_file(path: &Path) -> Result<fs::File, FolderError> {
    let fd = open(path, OFlags::empty())?;
    let stat = fstat(&fd).map_err(|err| FolderError::Io { path: path.to_path_buf(), source: err.into() })?;
    if rustix::fs::FileType::from_raw_mode(stat.st_mode) != rustix::fs::FileType::RegularFile {
        return Err(FolderError::WrongKind { path: path.to_path_buf() });
    }
    let mode = own(path, &stat)?;
    if mode & OTHERS != 0 {
        return Err(FolderError::OthersRead { path: path.to_path_buf(), mode });
    }
    Ok(fd.into())
}

/// Opens a file that tells us what to do (the configuration): nobody else may write to it or to its folder. Links
/// are followed, and what counts is the file that they lead to and its folder.
///
/// # Errors
/// A [`FolderError`]: it is not there, or others could have written it.
pub fn trusted_file(path: &Path) -> Result<fs::File, FolderError> {
    let io = |source| FolderError::Io { path: path.to_path_buf(), source };
    let path = fs::canonicalize(path).map_err(io)?;
    let fd = open(&path, OFlags::NONBLOCK)?;
    let failed = |source| FolderError::Io { path: path.clone(), source };
    let stat = fstat(&fd).map_err(|err| failed(err.into()))?;
    if rustix::fs::FileType::from_raw_mode(stat.st_mode) != rustix::fs::FileType::RegularFile {
        return Err(FolderError::WrongKind { path });
    }
    trusted(&path, stat.st_uid, stat.st_mode)?;
    if let Some(parent) = path.parent() {
        let meta = fs::metadata(parent).map_err(failed)?;
        trusted(parent, meta.uid(), meta.mode())?;
    }
    Ok(fd.into())
}

fn open(path: &Path, more: OFlags) -> Result<OwnedFd, FolderError> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NONBLOCK | more;
    openat(CWD, path, flags, Mode::empty()).map_err(|err| {
        let path = path.to_path_buf();
        let is_link = fs::symlink_metadata(&path).is_ok_and(|meta| meta.is_symlink());
        match err {
            // With O_DIRECTORY a link is ENOTDIR, else ELOOP.
            Errno::LOOP | Errno::NOTDIR if is_link => FolderError::Symlink { path },
            Errno::NOTDIR => FolderError::WrongKind { path },
            err => FolderError::Io { path, source: err.into() },
        }
    })
}

/// Ours, and nobody else writes; returns the permission bits.
fn own(path: &Path, stat: &Stat) -> Result<u32, FolderError> {
    let (uid, mode, wanted) = (stat.st_uid, stat.st_mode & 0o7777, geteuid().as_raw());
    let path = || path.to_path_buf();
    match () {
        () if uid != wanted => Err(FolderError::WrongOwner { path: path(), uid, wanted }),
        () if mode & OTHERS_WRITE != 0 => Err(FolderError::OthersWrite { path: path(), mode }),
        () => Ok(mode),
    }
}

/// Ours or root's, and nobody else writes.
fn trusted(path: &Path, uid: u32, mode: u32) -> Result<(), FolderError> {
    let (path, wanted, mode) = (path.to_path_buf(), geteuid().as_raw(), mode & 0o7777);
    match () {
        () if uid != wanted && uid != 0 => Err(FolderError::WrongOwner { path, uid, wanted }),
        () if mode & OTHERS_WRITE != 0 => Err(FolderError::OthersWrite { path, mode }),
        () => Ok(()),
    }
}

/// Refuses a folder whose name others could give to another folder: its parent is writable for others and not
/// sticky, so they may rename what is not theirs.
fn replaceable(path: &Path) -> Result<(), FolderError> {
    let Some(parent) = path.parent() else { return Ok(()) };
    let meta = fs::metadata(parent).map_err(|source| FolderError::Io { path: parent.to_path_buf(), source })?;
    let mode = meta.mode() & 0o7777;
    if mode & OTHERS_WRITE != 0 && mode & 0o1000 == 0 {
        return Err(FolderError::OthersWrite { path: parent.to_path_buf(), mode });
    }
    Ok(())
}

/// For a shell.
fn quoted(path: &Path) -> String {
    format!("'{}'", path.display().to_string().replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests;
