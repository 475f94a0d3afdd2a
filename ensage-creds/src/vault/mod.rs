//! The vault file `STATE/vault.ens`: secrets by name, and the key under which other files are sealed.
//!
//! Every change is made on what the file holds at that moment, under a lock, and put in place by a rename: two
//! processes lose nothing of each other's, and a crash leaves the old file or the new one. All of it blocks on the disk;
//! unlocking by a passphrase also takes a fifth of a second of one core.

mod error;
mod folder;
mod format;
mod keys;
#[cfg(test)]
mod tests;

use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use zeroize::Zeroizing;

use crate::placeholder::{self, AgentPlaceholder, time_of};
use crate::secret::Secret;

pub use error::VaultError;
use folder::{Folder, Stamp};
use format::{Base64, Body, Record, Wrap, associated};
pub use keys::KeySource;
use keys::{Cost, Key};

const FILE: &str = "vault.ens";
const LOCK: &str = "vault.lock";
const LOCK_WAIT: Duration = Duration::from_secs(5);
const FILE_BYTES_MAX: u64 = 16 * 1024 * 1024;
const NAME_BYTES_MAX: usize = 128;
const CREDENTIALS_MAX: usize = 4096;
const AGENT_PLACEHOLDERS_MAX: usize = 4096;
const SEAL_MAGIC: &[u8] = b"ensage-sealed 1\n";

/// The vault, unlocked.
pub struct Vault {
    folder: Folder,
    key: Key,
    body: Body,
    stamp: Stamp,
}

/// What is known of a credential besides its value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Meta {
    /// When it was added.
    pub created: SystemTime,
    /// When it last got another value; absent for the first one.
    pub rotated: Option<SystemTime>,
}

/// What `creds placeholder` asks for.
#[derive(Clone, Copy, Debug)]
pub struct AgentAsk<'a> {
    /// The shape that the client expects, such as `sk-ant-api03-`.
    pub prefix: &'a str,
    /// The credential.
    pub credential: &'a str,
    /// The enclave.
    pub enclave: &'a str,
    /// The agent.
    pub agent: &'a str,
    /// When it ends.
    pub expires: SystemTime,
}

impl Vault {
    /// Opens the vault of a state folder that is there; makes the vault, and the machine key, if there is none.
    ///
    /// # Errors
    /// The folder or a file is not ours alone, the key does not open it, the file was cut or edited.
    pub fn open(state: &Path, keys: &KeySource) -> Result<Self, VaultError> {
        Self::open_at(state, keys, Cost::DEFAULT)
    }

    /// Like [`Vault::open`], but `None` if there is no vault.
    ///
    /// # Errors
    /// As [`Vault::open`].
    pub fn find(state: &Path, keys: &KeySource) -> Result<Option<Self>, VaultError> {
        let folder = Folder::open(state)?;
        if folder.stamp(FILE)?.is_none() {
            return Ok(None);
        }
        Self::unlock(folder, keys).map(Some)
    }

    /// The names of all credentials, sorted.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.body.records.keys().map(String::as_str)
    }

    /// Says whether there is a credential of that name.
    pub fn contains(&self, name: &str) -> bool {
        self.body.records.contains_key(name)
    }

    /// When a credential was added and rotated.
    pub fn meta(&self, name: &str) -> Option<Meta> {
        let record = self.body.records.get(name)?;
        Some(Meta { created: time_of(record.created), rotated: record.rotated.map(time_of) })
    }

    /// A credential's value, as of the last [`Vault::reload`].
    ///
    /// # Errors
    /// [`VaultError::Missing`], or the record is damaged.
    pub fn secret(&self, name: &str) -> Result<Secret, VaultError> {
        let record = self.body.records.get(name).ok_or_else(|| VaultError::Missing { name: name.to_owned() })?;
        let plain = keys::decrypt(&self.key, &associated(&self.body.id, "record", name), &record.sealed.0);
        let plain = plain.ok_or_else(|| self.damaged("a record does not open under its name"))?;
        Secret::checked(plain).map_err(VaultError::Value)
    }

    /// Adds a credential.
    ///
    /// # Errors
    /// [`VaultError::Exists`]; nothing has changed then.
    pub fn add(&mut self, name: &str, secret: &Secret, now: SystemTime) -> Result<(), VaultError> {
        if name.is_empty() || name.len() > NAME_BYTES_MAX || name.chars().any(char::is_control) {
            return Err(VaultError::Name { max: NAME_BYTES_MAX });
        }
        self.change(|body, key| {
            if body.records.contains_key(name) {
                return Err(VaultError::Exists { name: name.to_owned() });
            }
            if body.records.len() >= CREDENTIALS_MAX {
                return Err(VaultError::Full { what: "credentials", max: CREDENTIALS_MAX });
            }
            let sealed = sealed_value(body, key, name, secret)?;
            body.records.insert(name.to_owned(), Record { created: micros(now), rotated: None, sealed });
            Ok(())
        })
    }

    /// Gives a credential another value.
    ///
    /// # Errors
    /// [`VaultError::Missing`]; nothing has changed then.
    pub fn rotate(&mut self, name: &str, secret: &Secret, now: SystemTime) -> Result<(), VaultError> {
        self.change(|body, key| {
            let sealed = sealed_value(body, key, name, secret)?;
            let record = body.records.get_mut(name).ok_or_else(|| VaultError::Missing { name: name.to_owned() })?;
            record.rotated = Some(micros(now));
            record.sealed = sealed;
            Ok(())
        })
    }

    /// Takes a credential out.
    ///
    /// # Errors
    /// [`VaultError::Missing`]; nothing has changed then.
    pub fn remove(&mut self, name: &str) -> Result<(), VaultError> {
        self.change(|body, _| match body.records.remove(name) {
            Some(_) => Ok(()),
            None => Err(VaultError::Missing { name: name.to_owned() }),
        })
    }

    /// Mints a placeholder for an agent and keeps it until it ends; those that have ended go.
    ///
    /// # Errors
    /// There are too many, or the prefix is none.
    pub fn add_placeholder(&mut self, ask: &AgentAsk<'_>, now: SystemTime) -> Result<AgentPlaceholder, VaultError> {
        let placeholder = placeholder::mint(ask.prefix).map_err(|error| match error {
            placeholder::MintError::Random => VaultError::Random,
            placeholder::MintError::Prefix | placeholder::MintError::Full => {
                VaultError::Prefix { max: placeholder::PREFIX_BYTES_MAX }
            }
        })?;
        let made = AgentPlaceholder {
            placeholder,
            credential: ask.credential.to_owned(),
            enclave: ask.enclave.to_owned(),
            agent: ask.agent.to_owned(),
            expires_us: micros(ask.expires),
        };
        let path = self.folder.path_of(FILE);
        self.change(|body, key| {
            let what = "the placeholders do not open";
            let mut all = body.agents(key).ok_or(VaultError::Damaged { path, what })?;
            all.retain(|one| one.expires() > now);
            if all.len() >= AGENT_PLACEHOLDERS_MAX {
                return Err(VaultError::Full { what: "placeholders", max: AGENT_PLACEHOLDERS_MAX });
            }
            all.push(made.clone());
            body.keep_agents(key, &all)
        })?;
        Ok(made)
    }

    /// The agents' placeholders, ended ones among them until the next is added.
    ///
    /// # Errors
    /// The list is damaged.
    pub fn placeholders(&self) -> Result<Vec<AgentPlaceholder>, VaultError> {
        self.body.agents(&self.key).ok_or_else(|| self.damaged("the placeholders do not open"))
    }

    /// Encrypts another file of the state folder under the vault's key; `label` says which.
    ///
    /// # Errors
    /// No random numbers.
    pub fn seal(&self, label: &str, bytes: &[u8]) -> Result<Vec<u8>, VaultError> {
        let sealed = keys::encrypt(&self.key, &associated(&self.body.id, "seal", label), bytes)?;
        Ok([SEAL_MAGIC, sealed.as_slice()].concat())
    }

    /// The reverse of [`Vault::seal`]; the bytes are wiped when dropped.
    ///
    /// # Errors
    /// [`VaultError::Unsealable`]: cut, edited, another label or another vault's.
    pub fn unseal(&self, label: &str, bytes: &[u8]) -> Result<Zeroizing<Vec<u8>>, VaultError> {
        let sealed = bytes.strip_prefix(SEAL_MAGIC);
        let plain = sealed.and_then(|s| keys::decrypt(&self.key, &associated(&self.body.id, "seal", label), s));
        plain.ok_or_else(|| VaultError::Unsealable { label: label.to_owned() })
    }

    /// Says whether the file is another one than was read; one `stat`.
    ///
    /// # Errors
    /// The file can't be examined.
    pub fn changed(&self) -> Result<bool, VaultError> {
        Ok(self.folder.stamp(FILE)? != Some(self.stamp))
    }

    /// Reads the file again; on an error what was read before stays.
    ///
    /// # Errors
    /// As [`Vault::open`].
    pub fn reload(&mut self) -> Result<(), VaultError> {
        (self.body, self.stamp) = self.current()?;
        Ok(())
    }

    /// Locks the vault by another key or passphrase. What was sealed stays readable.
    ///
    /// # Errors
    /// The new source can't be read; nothing has changed then.
    pub fn rewrap(&mut self, keys: &KeySource) -> Result<(), VaultError> {
        self.rewrap_at(keys, Cost::DEFAULT)
    }

    fn rewrap_at(&mut self, keys: &KeySource, cost: Cost) -> Result<(), VaultError> {
        let lock = self.folder.lock(LOCK, LOCK_WAIT)?;
        let material = keys.read_or_make(&self.folder)?;
        drop(lock);
        self.change(|body, key| {
            body.wrap = Wrap::new(&material, cost, &body.id, key)?;
            Ok(())
        })
    }

    fn open_at(state: &Path, keys: &KeySource, cost: Cost) -> Result<Self, VaultError> {
        let folder = Folder::open(state)?;
        if folder.stamp(FILE)?.is_none() {
            let _lock = folder.lock(LOCK, LOCK_WAIT)?;
            // Another process may have made it while we waited.
            if folder.stamp(FILE)?.is_none() {
                return Self::make(folder, keys, cost);
            }
        }
        Self::unlock(folder, keys)
    }

    fn make(folder: Folder, keys: &KeySource, cost: Cost) -> Result<Self, VaultError> {
        let material = keys.read_or_make(&folder)?;
        let key = keys::random_key()?;
        let id = Base64(keys::random::<16>()?.to_vec());
        let wrap = Wrap::new(&material, cost, &id, &key)?;
        let body = Body { id, generation: 1, wrap, records: Default::default(), placeholders: None };
        let stamp = folder.replace(FILE, &body.encode(&key)?)?;
        Ok(Self { folder, key, body, stamp })
    }

    fn unlock(folder: Folder, keys: &KeySource) -> Result<Self, VaultError> {
        let path = folder.path_of(FILE);
        let found = folder.read(FILE, FILE_BYTES_MAX)?;
        let (bytes, stamp) = found.ok_or_else(|| VaultError::Absent { path: path.clone() })?;
        let damaged = |what| VaultError::Damaged { path: path.clone(), what };
        let (body, lines) = Body::parse(&bytes).map_err(damaged)?;
        let key = body.wrap.open(&keys.read(&folder)?, &body.id)?;
        if !lines.prove(&body.id, &key) {
            return Err(damaged("its seal does not fit"));
        }
        Ok(Self { folder, key, body, stamp })
    }

    /// What the file holds at this moment.
    fn current(&self) -> Result<(Body, Stamp), VaultError> {
        let found = self.folder.read(FILE, FILE_BYTES_MAX)?;
        let (bytes, stamp) = found.ok_or_else(|| VaultError::Absent { path: self.folder.path_of(FILE) })?;
        let (body, lines) = Body::parse(&bytes).map_err(|what| self.damaged(what))?;
        if !lines.prove(&body.id, &self.key) {
            return Err(self.damaged("its seal does not fit"));
        }
        Ok((body, stamp))
    }

    fn change(&mut self, edit: impl FnOnce(&mut Body, &Key) -> Result<(), VaultError>) -> Result<(), VaultError> {
        let _lock = self.folder.lock(LOCK, LOCK_WAIT)?;
        let (mut body, _) = self.current()?;
        edit(&mut body, &self.key)?;
        body.generation = body.generation.saturating_add(1);
        let bytes = body.encode(&self.key)?;
        let size = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        if size > FILE_BYTES_MAX {
            return Err(VaultError::TooLarge { path: self.folder.path_of(FILE), bytes: size, max: FILE_BYTES_MAX });
        }
        self.stamp = self.folder.replace(FILE, &bytes)?;
        self.body = body;
        Ok(())
    }

    fn damaged(&self, what: &'static str) -> VaultError {
        VaultError::Damaged { path: self.folder.path_of(FILE), what }
    }
}

impl std::fmt::Debug for Vault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Vault").field("generation", &self.body.generation).finish_non_exhaustive()
    }
}

fn sealed_value(body: &Body, key: &Key, name: &str, secret: &Secret) -> Result<Base64, VaultError> {
    let aad = associated(&body.id, "record", name);
    secret.expose(|bytes| keys::encrypt(key, &aad, bytes)).map(Base64)
}

/// Microseconds since 1970; 0 for what was before.
fn micros(time: SystemTime) -> u64 {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_micros()).unwrap_or(u64::MAX)
}
