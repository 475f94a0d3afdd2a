//! The state folder: where it is, who may have touched it, and what is opened in it.

use std::path::{Path, PathBuf};

use ensage_creds::{KeySource, Vault, VaultError};
use ensage_endpoint::catalogue::Catalogue;
use ensage_policy::config::Env;

/// The state folder, checked (contract section 7).
#[derive(Clone, Debug)]
pub struct StateFolder {
    path: PathBuf,
    warnings: Vec<String>,
}

impl StateFolder {
    /// Makes or checks the folder.
    ///
    /// # Errors
    /// If it belongs to somebody else, may be written by others, or is a symbolic link.
    pub fn open(path: &Path) -> Result<Self, ensage_endpoint::folder::FolderError> {
        let checked = ensage_endpoint::folder::state_folder(path)?;
        let tightened = |mode| format!("{} could be read by others (mode {mode:o}) and no longer can", path.display());
        Ok(Self { warnings: checked.tightened_from.map(tightened).into_iter().collect(), path: checked.path })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What was tightened.
    pub fn warnings(&self) -> &[String] {
        &self.warnings
    }

    /// Opens the vault, making it on first use.
    ///
    /// # Errors
    /// If it is locked, damaged, or readable by others.
    pub fn vault(&self) -> Result<Vault, VaultError> {
        Vault::open(&self.path, &keys())
    }
}

/// What opens the vault: a key file, a passphrase file, else the machine key.
pub fn keys() -> KeySource {
    let file = |name: &str| std::env::var_os(name).filter(|v| !v.is_empty()).map(PathBuf::from);
    file("ENSAGE_VAULT_KEY_FILE")
        .map(KeySource::KeyFile)
        .or_else(|| file("ENSAGE_VAULT_PASSPHRASE_FILE").map(KeySource::PassphraseFile))
        .unwrap_or(KeySource::Machine)
}

/// The surroundings that a configuration is read in: this process's.
pub(crate) fn surroundings() -> Env {
    let set = |name: &&str| std::env::var_os(name).is_some_and(|v| !v.is_empty());
    Env {
        home: std::env::var_os("HOME").filter(|v| !v.is_empty()).map(PathBuf::from),
        cwd: std::env::current_dir().unwrap_or_else(|_| PathBuf::from("/")),
        catalogue: Catalogue::builtin().names().map(str::to_owned).collect(),
        proxy: ["HTTPS_PROXY", "https_proxy"].into_iter().find(set).map(str::to_owned),
    }
}

/// The CA's key and the audit log's key are sealed by the vault.
impl crate::ca::Seal for Vault {
    fn seal(&self, label: &str, bytes: &[u8]) -> Result<Vec<u8>, crate::ca::SealError> {
        Self::seal(self, label, bytes).map_err(|e| crate::ca::SealError(Box::new(e)))
    }

    fn unseal(&self, label: &str, bytes: &[u8]) -> Result<zeroize::Zeroizing<Vec<u8>>, crate::ca::SealError> {
        Self::unseal(self, label, bytes).map_err(|e| crate::ca::SealError(Box::new(e)))
    }
}
