//! The state folder: where it is, who may have touched it, and what is opened in it.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};

use ensage_creds::{KeySource, Vault, VaultError};
use ensage_endpoint::catalogue::Catalogue;
use ensage_policy::config::{Env, EnvProxy};

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
        let tightened = |mode| format!("{path:?} could be read by others (mode {mode:o}) and no longer can");
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
    Env {
        home: std::env::var_os("HOME").filter(|v| !v.is_empty()).map(PathBuf::from),
        cwd: std::env::current_dir().unwrap_or_else(|_| PathBuf::from("/")),
        catalogue: Catalogue::builtin().names().map(str::to_owned).collect(),
        proxy: env_proxy(),
    }
}

/// The proxy that this process's environment names.
fn env_proxy() -> Option<EnvProxy> {
    let (variable, value) = first_set(["HTTPS_PROXY", "https_proxy"])?;
    let value = value.to_string_lossy();
    let (scheme, rest) = value.split_once("://").map_or(("http", &*value), |(scheme, rest)| (scheme, rest));
    let (has_user, place) = rest.rsplit_once('@').map_or((false, rest), |(_, place)| (true, place));
    let no_proxy = first_set(["NO_PROXY", "no_proxy"]).map(|(_, text)| text.to_string_lossy().into_owned());
    Some(EnvProxy {
        variable: variable.to_owned(),
        url: format!("{scheme}://{place}"),
        has_user,
        no_proxy: no_proxy.unwrap_or_default(),
    })
}

fn first_set<const N: usize>(names: [&'static str; N]) -> Option<(&'static str, OsString)> {
    names.into_iter().find_map(|name| std::env::var_os(name).filter(|v| !v.is_empty()).map(|value| (name, value)))
}

/// `user:password` out of the URL that a variable holds, percent-decoded (RFC 3986 section 3.2.1).
pub(crate) fn user_of_proxy(variable: &str) -> Option<OsString> {
    let value = std::env::var_os(variable)?.into_vec();
    let after = memchr::memmem::find(&value, b"://").map_or(0, |at| at.saturating_add(3));
    let rest = value.get(after..)?;
    let mut user: Vec<u8> = percent_encoding::percent_decode(rest.get(..memchr::memrchr(b'@', rest)?)?).collect();
    if !user.contains(&b':') {
        user.push(b':');
    }
    Some(OsString::from_vec(user))
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
