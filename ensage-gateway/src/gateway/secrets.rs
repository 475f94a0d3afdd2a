//! The vault of a running gateway: its secrets of this moment, and what must never be written down.

use std::path::Path;
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};

use ensage_audit::{Draft, GatewayEvent};
use ensage_creds::{Redactor, Secret, Source, Unavailable, Vault, VaultError};
use ensage_policy::model::{self, Credential};

use super::{Shared, StartError};

/// Label under which the audit log's signing key is sealed.
const AUDIT_KEY: &str = "audit.key";

impl Shared {
    /// Looks whether the vault's file has changed; true if it has. A file that is gone or broken takes its secrets with
    /// it: what is in memory is not used any more (P7).
    pub(crate) fn refresh_vault(&self) -> bool {
        let mut vault = self.vault.lock().unwrap_or_else(PoisonError::into_inner);
        let looked = match vault.changed() {
            Ok(false) if self.vault_readable.load(Ordering::Acquire) => return false,
            Ok(_) => vault.reload(),
            Err(error) => Err(error),
        };
        let readable = looked.is_ok();
        let was = self.vault_readable.swap(readable, Ordering::AcqRel);
        match looked {
            Ok(()) => {
                if let Ok(known) = vault.placeholders() {
                    self.placeholders.sync_agents(&known);
                }
            }
            Err(_) if !was => return false,
            Err(error) => self.vault_lost(&error),
        }
        drop(vault);
        self.vault_epoch.fetch_add(1, Ordering::AcqRel);
        self.redact_anew();
        // Running calls are held against it: what rests on a secret that is gone may not go on.
        self.sessions.judge_again();
        true
    }

    fn vault_lost(&self, error: &VaultError) {
        tracing::error!(error = error as &dyn std::error::Error, "the vault cannot be read; its secrets are not used");
        self.note(Draft::gateway("high", &GatewayEvent { event: "degraded", ..GatewayEvent::default() }));
    }

    /// Makes the last look at records know every secret of this moment.
    pub(super) fn redact_anew(&self) {
        let vault = self.vault.lock().unwrap_or_else(PoisonError::into_inner);
        let mut all: Vec<Secret> = vault.names().filter_map(|name| vault.secret(name).ok()).collect();
        for credential in self.policy().all_credentials() {
            if let model::Source::Env(name) = &credential.source {
                all.extend(self.secrets.resolve(&credential.name, &Source::Env(name.clone()), None).ok());
            }
        }
        self.redactor.store(Arc::new(Redactor::new(&all)));
    }

    /// Whether the vault's secrets can be used.
    pub(crate) fn vault_is_readable(&self) -> bool {
        self.vault_readable.load(Ordering::Acquire)
    }

    /// Counts the changes of the vault's content.
    pub(crate) fn vault_epoch(&self) -> u64 {
        self.vault_epoch.load(Ordering::Acquire)
    }

    /// The secret of a credential at this moment.
    pub(crate) fn secret(&self, credential: &Credential) -> Result<Secret, Unavailable> {
        let source = match &credential.source {
            model::Source::Vault => Source::Vault,
            model::Source::Env(name) => Source::Env(name.clone()),
        };
        let vault = self.vault.lock().unwrap_or_else(PoisonError::into_inner);
        let vault = Some(&*vault).filter(|_| self.vault_is_readable());
        self.secrets.resolve(&credential.name, &source, vault)
    }

    /// Which of these variables hold a secret that the vault or the gateway's environment has.
    pub(super) fn holding_secrets(&self, variables: &[(String, String)]) -> Vec<String> {
        let policy = self.policy();
        let mut secrets: Vec<Secret> = policy.all_credentials().filter_map(|c| self.secret(c).ok()).collect();
        let mut sources = Vec::new();
        for credential in policy.all_credentials() {
            if let model::Source::Env(name) = &credential.source {
                sources.push(name.as_str());
            }
        }
        let vault = self.vault.lock().unwrap_or_else(PoisonError::into_inner);
        secrets.extend(vault.names().filter_map(|name| vault.secret(name).ok()));
        let holds = |name: &str, value: &str| {
            sources.contains(&name) || secrets.iter().any(|secret| secret.is_inside(value.as_bytes()))
        };
        variables.iter().filter(|(name, value)| holds(name, value)).map(|(name, _)| name.clone()).collect()
    }
}

/// The key that signs heads, sealed beside the log; made on first use.
pub(super) fn audit_key(state: &Path, vault: &Vault) -> Result<[u8; 32], StartError> {
    use std::io::Write;
    use std::os::unix::fs::OpenOptionsExt;
    let path = state.join(AUDIT_KEY);
    match std::fs::read(&path) {
        Ok(sealed) => {
            let key = vault.unseal(AUDIT_KEY, &sealed).map_err(StartError::Vault)?;
            key.as_slice().try_into().map_err(|_| StartError::State(std::io::ErrorKind::InvalidData.into()))
        }
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => {
            let mut key = [0u8; 32];
            rustls::crypto::aws_lc_rs::default_provider()
                .secure_random
                .fill(&mut key)
                .map_err(|_| StartError::State(std::io::ErrorKind::Other.into()))?;
            let sealed = vault.seal(AUDIT_KEY, &key).map_err(StartError::Vault)?;
            let written = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path);
            written.and_then(|mut f| f.write_all(&sealed).and_then(|()| f.sync_all())).map_err(StartError::State)?;
            Ok(key)
        }
        Err(e) => Err(StartError::State(e)),
    }
}
