//! Where a credential's secret is found.

use std::collections::HashMap;
use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;

use crate::secret::{Secret, SecretError};
use crate::vault::{Vault, VaultError};

/// Where a secret comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// The vault, under the credential's own name.
    Vault,
    /// An environment variable of the gateway, as it was at the start.
    Env(String),
}

/// The secrets that don't change while the gateway runs, and the way to those that do.
pub struct Secrets {
    env: HashMap<String, Result<Secret, SecretError>>,
}

/// Why there is no secret: the request is answered `credential_unavailable` and goes nowhere.
#[derive(Debug, thiserror::Error)]
pub enum Unavailable {
    /// There is no open vault.
    #[error("the vault is not open")]
    Locked,
    /// The vault doesn't give it.
    #[error("the vault does not hold it")]
    Vault(#[source] VaultError),
    /// The variable was not set when the gateway started.
    #[error("the variable {variable} was not set when the gateway started")]
    Unset {
        /// Its name.
        variable: String,
    },
    /// The variable's value is no secret.
    #[error("the value of the variable {variable} is no secret")]
    Value {
        /// Its name.
        variable: String,
        /// Why not.
        source: SecretError,
    },
}

impl Unavailable {
    /// What to do about it.
    pub fn remedy(&self) -> Option<String> {
        match self {
            Self::Locked => Some("unlock the vault and run: ensage reload".to_owned()),
            Self::Vault(cause) => cause.remedy(),
            Self::Unset { variable } => Some(format!("set {variable} and start the gateway again")),
            Self::Value { source, .. } => Some(source.remedy().to_owned()),
        }
    }
}

impl Secrets {
    /// Takes the variables that credentials name, read once by the caller; absent ones are left out. One final newline
    /// is taken off, as of what comes from stdin.
    pub fn new(env: impl IntoIterator<Item = (String, OsString)>) -> Self {
        let env = env.into_iter().map(|(name, value)| (name, Secret::from_stdin(value.into_vec())));
        Self { env: env.collect() }
    }

    /// The secret of a credential, at this moment.
    ///
    /// # Errors
    /// It is missing, or the vault is locked or damaged.
    pub fn resolve(&self, name: &str, source: &Source, vault: Option<&Vault>) -> Result<Secret, Unavailable> {
        match source {
            Source::Vault => vault.ok_or(Unavailable::Locked)?.secret(name).map_err(Unavailable::Vault),
            Source::Env(variable) => match self.env.get(variable) {
                Some(Ok(secret)) => Ok(secret.another()),
                Some(Err(cause)) => Err(Unavailable::Value { variable: variable.clone(), source: *cause }),
                None => Err(Unavailable::Unset { variable: variable.clone() }),
            },
        }
    }
}

impl std::fmt::Debug for Secrets {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Secrets").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::time::UNIX_EPOCH;

    use super::*;
    use crate::vault::KeySource;

    #[test]
    fn f14_a_secret_that_is_not_there_is_a_typed_error() {
        let secrets = Secrets::new([("GOOD".to_owned(), "0123456789\n".into()), ("SHORT".to_owned(), "0123".into())]);
        let get = |variable: &str| secrets.resolve("x", &Source::Env(variable.to_owned()), None);
        assert!(get("GOOD").unwrap().matches(b"0123456789"));
        assert!(matches!(get("ABSENT"), Err(Unavailable::Unset { .. })));
        assert!(matches!(get("SHORT"), Err(Unavailable::Value { source: SecretError::Short { bytes: 4 }, .. })));
        assert!(matches!(secrets.resolve("x", &Source::Vault, None), Err(Unavailable::Locked)));
        let state = tempfile::tempdir().unwrap();
        let mut vault = Vault::open(state.path(), &KeySource::Machine).unwrap();
        let missing = secrets.resolve("x", &Source::Vault, Some(&vault));
        assert!(matches!(missing, Err(Unavailable::Vault(VaultError::Missing { .. }))));
        vault.add("x", &get("GOOD").unwrap(), UNIX_EPOCH).unwrap();
        assert!(secrets.resolve("x", &Source::Vault, Some(&vault)).unwrap().matches(b"0123456789"));
    }
}
