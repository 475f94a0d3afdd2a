//! SHA-256 of the program that a process runs.

use std::{
    collections::HashMap,
    fs::{self, File, Metadata},
    io::{self, Read as _},
    os::unix::fs::MetadataExt as _,
    path::Path,
    sync::{Arc, Mutex, PoisonError},
};

use sha2::{Digest as _, Sha256};

use super::{Process, ProcessKey, Stat};

/// A machine runs fewer different programs than this at a time.
const PROGRAMS_MAX: usize = 1024;

/// What the file system says of one state of one file. A restored mtime does not restore the ctime.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
struct Version {
    dev: u64,
    ino: u64,
    size: u64,
    mtime_ns: i128,
    ctime_ns: i128,
}

/// Digests by file version, since a large program takes 0.2 s to hash.
#[derive(Default)]
pub struct Digests {
    known: Mutex<HashMap<Version, Arc<str>>>,
}

/// Why a program has no digest.
#[derive(Debug, thiserror::Error)]
pub enum DigestError {
    /// The process has exited, or its pid belongs to another by now.
    #[error("process {0} is gone")]
    Gone(u32),
    /// The file changed while it was read.
    #[error("the program of process {0} changed while it was read")]
    Changed(u32),
    /// It can't be read.
    #[error("the program of process {pid} can't be read")]
    Io {
        /// The process.
        pid: u32,
        /// What the kernel said.
        source: io::Error,
    },
}

enum Failed {
    Changed,
    Io(io::Error),
}

impl Digests {
    /// An empty cache.
    pub fn new() -> Self {
        Self::default()
    }

    /// Lower-case hex of the program's bytes, read through `/proc/PID/exe`: a replaced or deleted file does not
    /// change what runs.
    ///
    /// # Errors
    /// A [`DigestError`]; nothing is kept then.
    pub fn of(&self, key: &ProcessKey) -> Result<Arc<str>, DigestError> {
        let pid = key.pid;
        let mut file = File::open(format!("/proc/{pid}/exe")).map_err(|source| DigestError::Io { pid, source })?;
        // The open file is the one of this process only if it was still there after the open.
        match Stat::read(pid) {
            Ok(stat) if stat.start_time == key.start_time => {}
            Ok(_) | Err(_) => return Err(DigestError::Gone(pid)),
        }
        self.of_open(&mut file).map_err(|err| match err {
            Failed::Changed => DigestError::Changed(pid),
            Failed::Io(source) => DigestError::Io { pid, source },
        })
    }

    /// What [`of`](Self::of) would say, if it can be said without reading the program: that of the file that the process
    /// ran when it was read, if its pid still runs that.
    pub fn known(&self, process: &Process) -> Option<Arc<str>> {
        let meta = fs::metadata(format!("/proc/{}/exe", process.pid)).ok()?;
        let is_its_own = process.exe.as_ref().is_some_and(|exe| exe.id == (meta.dev(), meta.ino()));
        let version = Version::of(&meta);
        self.known.lock().unwrap_or_else(PoisonError::into_inner).get(&version).filter(|_| is_its_own).cloned()
    }

    /// The same of a file; `None` if it can't be read or changes meanwhile.
    pub fn of_file(&self, path: &Path) -> Option<Arc<str>> {
        self.of_open(&mut File::open(path).ok()?).ok()
    }

    fn of_open(&self, file: &mut File) -> Result<Arc<str>, Failed> {
        let before = version(file).map_err(Failed::Io)?;
        if let Some(known) = self.known.lock().unwrap_or_else(PoisonError::into_inner).get(&before) {
            return Ok(known.clone());
        }
        let digest: Arc<str> = stream(file).map_err(Failed::Io)?.into();
        let after = version(file).map_err(Failed::Io)?;
        if before != after {
            return Err(Failed::Changed);
        }
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= PROGRAMS_MAX {
            known.clear();
        }
        known.insert(before, digest.clone());
        Ok(digest)
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.known.lock().unwrap().len()
    }
}

fn version(file: &File) -> io::Result<Version> {
    Ok(Version::of(&file.metadata()?))
}

impl Version {
    fn of(meta: &Metadata) -> Self {
        let ns = |seconds: i64, ns: i64| i128::from(seconds) * 1_000_000_000 + i128::from(ns);
        Self {
            dev: meta.dev(),
            ino: meta.ino(),
            size: meta.size(),
            mtime_ns: ns(meta.mtime(), meta.mtime_nsec()),
            ctime_ns: ns(meta.ctime(), meta.ctime_nsec()),
        }
    }
}

fn stream(file: &mut File) -> io::Result<String> {
    let mut hash = Sha256::new();
    let mut chunk = vec![0_u8; 256 * 1024];
    loop {
        match file.read(&mut chunk) {
            Ok(0) => break,
            Ok(read) => hash.update(chunk.get(..read).unwrap_or_default()),
            Err(err) if err.kind() == io::ErrorKind::Interrupted => {}
            Err(err) => return Err(err),
        }
    }
    use std::fmt::Write as _;
    let mut hex = String::with_capacity(64);
    for byte in hash.finalize() {
        // Writing to a String does not fail.
        let _ = write!(hex, "{byte:02x}");
    }
    Ok(hex)
}
