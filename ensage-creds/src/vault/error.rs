//! What can be wrong with a vault, and what to do about it.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::secret::SecretError;

/// Why the vault can't do what was asked. It has changed nothing then.
#[derive(Debug, thiserror::Error)]
pub enum VaultError {
    /// A key or the vault is open to others: they may have it already.
    #[error("{path:?} may be read by others (mode {mode:o})")]
    Readable {
        /// The file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// Others may plant files in the state folder.
    #[error("{path:?} may be written by others (mode {mode:o})")]
    Writable {
        /// The folder.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// It belongs to somebody else.
    #[error("{path:?} belongs to user {owner}, not to {expected}")]
    Owner {
        /// The file or folder.
        path: PathBuf,
        /// Whose it is.
        owner: u32,
        /// Whose it must be.
        expected: u32,
    },
    /// A symlink stands where a file or folder of ours belongs.
    #[error("{path:?} is a symbolic link")]
    Symlink {
        /// The link.
        path: PathBuf,
    },
    /// A device, FIFO, socket or folder stands where a file belongs.
    #[error("{path:?} is not a regular file")]
    NotAFile {
        /// What stands there.
        path: PathBuf,
    },
    /// A file that must be there is not.
    #[error("{path:?} is missing")]
    Absent {
        /// The file.
        path: PathBuf,
    },
    /// A file is larger than it can be.
    #[error("{path:?} has {bytes} bytes, more than {max}")]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// Its size.
        bytes: u64,
        /// The limit.
        max: u64,
    },
    /// The operating system refused.
    #[error("cannot {action} {path:?}")]
    Io {
        /// What was tried.
        action: &'static str,
        /// On what.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// Another process has been writing all the time.
    #[error("{path:?} has been locked for {} s", wait.as_secs())]
    Busy {
        /// The lock file.
        path: PathBuf,
        /// How long we waited.
        wait: Duration,
    },
    /// A key file holds no key.
    #[error("{path:?} is no key: it has {bytes} bytes, not 32 or 64 hex digits")]
    KeySize {
        /// The key file.
        path: PathBuf,
        /// Its size.
        bytes: usize,
    },
    /// A passphrase of no bytes.
    #[error("the passphrase is empty")]
    EmptyPassphrase,
    /// The key opens another vault, or the vault's head was edited.
    #[error("the key does not open the vault")]
    WrongKey,
    /// The passphrase does not open the vault, or the vault's head was edited.
    #[error("the passphrase does not open the vault")]
    WrongPassphrase,
    /// The vault opens by a passphrase, and none was given.
    #[error("the vault is locked by a passphrase")]
    NeedsPassphrase,
    /// The vault opens by a key file, and a passphrase was given.
    #[error("the vault is locked by a key file, not by a passphrase")]
    NeedsKey,
    /// The vault file was cut or edited.
    #[error("{path:?} is damaged: {what}")]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What does not fit.
        what: &'static str,
    },
    /// A sealed file was cut or edited, or sealed under another vault or label.
    #[error("what was sealed as {label} does not open under this vault's key")]
    Unsealable {
        /// What it should be.
        label: String,
    },
    /// There is a credential of that name.
    #[error("there is a credential {name} already")]
    Exists {
        /// Its name.
        name: String,
    },
    /// There is no credential of that name.
    #[error("there is no credential {name} in the vault")]
    Missing {
        /// The asked name.
        name: String,
    },
    /// No name of a credential.
    #[error("a credential's name has 1 to {max} bytes and no control characters")]
    Name {
        /// Most bytes of a name.
        max: usize,
    },
    /// No prefix of a placeholder.
    #[error("a placeholder's prefix has at most {max} visible ASCII characters")]
    Prefix {
        /// Most bytes of a prefix.
        max: usize,
    },
    /// It holds as many entries as it may.
    #[error("the vault holds {max} {what} already")]
    Full {
        /// Of what.
        what: &'static str,
        /// How many.
        max: usize,
    },
    /// What is stored under the name is no secret.
    #[error("the stored value is no secret")]
    Value(#[source] SecretError),
    /// The system gave no random numbers.
    #[error("no random numbers from the system")]
    Random,
    /// The key can't be derived (the parameters are out of bounds, or memory is short).
    #[error("the key can't be derived from the passphrase")]
    Derivation,
}

impl VaultError {
    /// What to do about it, where there is something to do.
    pub fn remedy(&self) -> Option<String> {
        let quoted = |path: &Path| format!("'{}'", path.display());
        Some(match self {
            Self::Readable { path, .. } => {
                format!("run: chmod 600 {}; then rotate what others may have read", quoted(path))
            }
            Self::Writable { path, .. } => format!("run: chmod 700 {}", quoted(path)),
            Self::Owner { path, expected, .. } => {
                format!("run ensage as the owner, or: chown {expected} {}", quoted(path))
            }
            Self::Symlink { path } => format!("put the file or folder itself at {}, not a link to it", quoted(path)),
            Self::NotAFile { path } => format!("move {} away", quoted(path)),
            Self::Absent { path } => format!("restore {} from a backup", quoted(path)),
            Self::Busy { .. } => "wait for the other ensage command to end, and try again".to_owned(),
            Self::KeySize { .. } => "make a key file with: openssl rand -hex 32".to_owned(),
            Self::EmptyPassphrase => "put the passphrase on the first line of its file".to_owned(),
            Self::WrongKey => "name the vault's own key in $ENSAGE_VAULT_KEY_FILE, or restore vault.key".to_owned(),
            Self::WrongPassphrase => "try the passphrase again".to_owned(),
            Self::NeedsPassphrase => "name a file with the passphrase in $ENSAGE_VAULT_PASSPHRASE_FILE".to_owned(),
            Self::NeedsKey => {
                "unset $ENSAGE_VAULT_PASSPHRASE_FILE; name the key in $ENSAGE_VAULT_KEY_FILE if it is not vault.key"
                    .to_owned()
            }
            Self::Damaged { path, .. } | Self::TooLarge { path, .. } => {
                format!("restore {} from a backup, or move it away and add the credentials again", quoted(path))
            }
            Self::Exists { name } => format!("use: ensage creds rotate {name}"),
            Self::Missing { name } => format!("use: ensage creds add {name}"),
            Self::Value(cause) => cause.remedy().to_owned(),
            Self::Io { .. }
            | Self::Unsealable { .. }
            | Self::Name { .. }
            | Self::Prefix { .. }
            | Self::Full { .. }
            | Self::Random
            | Self::Derivation => return None,
        })
    }
}
