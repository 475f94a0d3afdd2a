//! What can go wrong with the CA, and what to do about it.

use std::io;
use std::path::PathBuf;

use time::OffsetDateTime;

use super::SealError;

/// Why the CA could not be opened or made.
#[derive(Debug, thiserror::Error)]
pub enum CaError {
    /// The file system refused.
    #[error("cannot use {path:?}")]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What it said.
        #[source]
        source: io::Error,
    },
    /// Somebody else may have had their hands on it.
    #[error("{path:?} {what}")]
    Unsafe {
        /// The file or folder.
        path: PathBuf,
        /// What is wrong with it.
        what: Unsafe,
    },
    /// There is a certificate, which clients may trust, and no key.
    #[error("{path:?} is there, but not its key")]
    KeyMissing {
        /// The certificate.
        path: PathBuf,
    },
    /// The vault does not give the key out.
    #[error("cannot unseal {path:?}")]
    Sealed {
        /// The key.
        path: PathBuf,
        /// What the vault said.
        #[source]
        source: SealError,
    },
    /// The vault does not take the key in.
    #[error("cannot seal the key of a new CA")]
    Unsealed(#[source] SealError),
    /// A file holds something else than it should.
    #[error("{path:?} is damaged")]
    Damaged {
        /// The file.
        path: PathBuf,
    },
    /// The certificate is not the one of the key.
    #[error("{path:?} is not the certificate of the key beside it")]
    Mismatch {
        /// The certificate.
        path: PathBuf,
    },
    /// The CA's time is over, or its clock's not come.
    #[error("the CA's certificate is valid from {not_before} to {not_after}, not now")]
    OutOfTime {
        /// Valid from.
        not_before: OffsetDateTime,
        /// Valid until.
        not_after: OffsetDateTime,
    },
    /// No new CA could be made.
    #[error("cannot make a CA")]
    Make(#[source] LeafError),
}

impl CaError {
    /// What the operator can do, as one sentence.
    pub const fn remedy(&self) -> &'static str {
        match self {
            Self::Io { .. } => "make the state folder usable for this user",
            Self::Unsafe { what, .. } => what.remedy(),
            Self::KeyMissing { .. } | Self::Damaged { .. } | Self::Mismatch { .. } => {
                "restore the ca folder from a backup, or move it away to get a new CA, which clients must then trust"
            }
            Self::Sealed { .. } => {
                "open the vault with the key it was made with, or move the ca folder away to get a new CA, \
                 which clients must then trust"
            }
            Self::OutOfTime { .. } => {
                "check the clock, or move the ca folder away to get a new CA, which clients must then trust"
            }
            Self::Unsealed(_) | Self::Make(_) => "open the vault first",
        }
    }
}

/// What makes a file or folder unfit for a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unsafe {
    /// A symbolic link, whose target somebody else may choose.
    #[error("is a symbolic link")]
    Link,
    /// Neither a file nor a folder, or the wrong one of them, or one with a second name.
    #[error("is not a plain file or folder of its own")]
    Kind,
    /// Of another user.
    #[error("belongs to another user")]
    Owner,
    /// Others may write to it.
    #[error("may be written by others")]
    Writable,
    /// Others may read it, and it is secret.
    #[error("may be read by others")]
    Readable,
}

impl Unsafe {
    const fn remedy(self) -> &'static str {
        match self {
            Self::Link | Self::Kind => "find out who put it there, and move it away",
            Self::Owner => "give it to the user that runs ensage, or use another state folder",
            Self::Writable => "find out who wrote to it, then take the right from group and others (chmod go-w)",
            Self::Readable => "take the key for known to others: move the ca folder away to get a new CA",
        }
    }
}

/// Why a certificate could not be made.
#[derive(Clone, Debug, thiserror::Error)]
pub enum LeafError {
    /// The certificate's parts are not encodable, or its signature failed.
    #[error("cannot make the certificate")]
    Certificate(#[source] rcgen::Error),
    /// The TLS library refuses it.
    #[error("cannot serve with the certificate")]
    Tls(#[source] rustls::Error),
    /// The system has no randomness.
    #[error("no randomness")]
    Random,
}

impl From<rcgen::Error> for LeafError {
    fn from(error: rcgen::Error) -> Self {
        Self::Certificate(error)
    }
}

impl From<rustls::Error> for LeafError {
    fn from(error: rustls::Error) -> Self {
        Self::Tls(error)
    }
}
