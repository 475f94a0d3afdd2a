//! What can go wrong with the log.

use std::io;
use std::path::{Path, PathBuf};

use crate::frame::VERSION;

/// Why the log could not be opened, or a record not be written. Always a fault of this machine, never of a client.
#[derive(Debug, thiserror::Error)]
pub enum AuditError {
    /// Another process writes this log.
    #[error("the audit log {path:?} is in use by another process")]
    AlreadyOpen {
        /// The lock file.
        path: PathBuf,
    },
    /// A folder or file that others could have changed.
    #[error("{path:?} {fault}; {remedy}")]
    Unsafe {
        /// What was refused.
        path: PathBuf,
        /// What is wrong with it.
        fault: &'static str,
        /// What to do.
        remedy: &'static str,
    },
    /// A segment that another version of the program wrote.
    #[error(transparent)]
    Version(#[from] OtherVersion),
    /// The log could not be opened.
    #[error("cannot open the audit log at {path:?}")]
    Open {
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// The operating system gave no thread.
    #[error("cannot start the thread of the audit log")]
    Thread(#[source] io::Error),
    /// Nothing can be written; it is tried again each second.
    #[error("the audit log cannot be written")]
    Unwritable(#[source] io::Error),
    /// A record that is longer than the format allows. Texts are cut before, so this is a defect.
    #[error("a record of {bytes} bytes is over the limit of {max}")]
    RecordTooLarge {
        /// Its size.
        bytes: usize,
        /// The limit.
        max: usize,
    },
}

/// Why a log can't be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// What the file system says.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// A segment that another version of the program wrote.
    #[error(transparent)]
    Version(#[from] OtherVersion),
}

/// A segment in another format than the one that is read here.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the segment {path:?} was written in format version {version}, this build reads version {VERSION}")]
pub struct OtherVersion {
    /// The segment.
    pub path: PathBuf,
    /// The version that it names.
    pub version: u32,
}

impl OtherVersion {
    /// What to do about it.
    pub fn remedy(&self) -> String {
        let folder = self.path.ancestors().nth(2).unwrap_or(Path::new("the audit folder"));
        format!("move {folder:?} aside, a new log begins in its place; nothing is deleted")
    }
}
