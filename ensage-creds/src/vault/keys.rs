//! Where the vault's key comes from, and the cipher that uses it.

use std::path::PathBuf;

use argon2::{Algorithm, Argon2, Params, Version};
use chacha20poly1305::aead::{Aead, KeyInit, Payload};
use chacha20poly1305::{XChaCha20Poly1305, XNonce};
use zeroize::Zeroizing;

use super::VaultError;
use super::folder::{self, Folder};

/// Name of the machine key in the state folder.
pub(super) const KEY_FILE: &str = "vault.key";

const KEY_FILE_BYTES_MAX: u64 = 66;
const PASSPHRASE_BYTES_MAX: u64 = 64 * 1024;
const NONCE_BYTES: usize = 24;

/// 32 bytes, wiped when dropped.
pub(super) type Key = Zeroizing<[u8; 32]>;

/// What opens the vault. The caller chooses it; nothing here reads the environment.
pub enum KeySource {
    /// The machine key `STATE/vault.key`, made together with a new vault.
    Machine,
    /// A key file elsewhere: 32 bytes, or 64 hex digits and a newline at most. It is never made here.
    KeyFile(PathBuf),
    /// A file with the passphrase; one final newline is taken off.
    PassphraseFile(PathBuf),
    /// The passphrase itself, from a prompt.
    Passphrase(Zeroizing<Vec<u8>>),
}

impl std::fmt::Debug for KeySource {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let name = match self {
            Self::Machine => "Machine",
            Self::KeyFile(_) => "KeyFile",
            Self::PassphraseFile(_) => "PassphraseFile",
            Self::Passphrase(_) => "Passphrase",
        };
        f.debug_struct(name).finish_non_exhaustive()
    }
}

/// What a source holds once it is read.
pub(super) enum Material {
    Key(Key),
    Passphrase(Zeroizing<Vec<u8>>),
}

impl KeySource {
    /// Reads the source for a vault that is there.
    pub(super) fn read(&self, folder: &Folder) -> Result<Material, VaultError> {
        match self {
            Self::Machine => {
                let path = folder.path_of(KEY_FILE);
                let found = folder.read(KEY_FILE, KEY_FILE_BYTES_MAX)?;
                let (bytes, _) = found.ok_or(VaultError::Absent { path: path.clone() })?;
                key_of(&bytes, path).map(Material::Key)
            }
            Self::KeyFile(path) => {
                let found = folder::read_at(path, KEY_FILE_BYTES_MAX)?;
                let bytes = found.ok_or_else(|| VaultError::Absent { path: path.clone() })?;
                key_of(&bytes, path.clone()).map(Material::Key)
            }
            Self::PassphraseFile(path) => {
                let found = folder::read_at(path, PASSPHRASE_BYTES_MAX)?;
                let mut bytes = found.ok_or_else(|| VaultError::Absent { path: path.clone() })?;
                if bytes.last() == Some(&b'\n') {
                    bytes.pop();
                }
                passphrase(bytes)
            }
            Self::Passphrase(bytes) => passphrase(bytes.clone()),
        }
    }

    /// Reads the source for a vault that is about to be made; makes the machine key. The caller holds the lock.
    pub(super) fn read_or_make(&self, folder: &Folder) -> Result<Material, VaultError> {
        if matches!(self, Self::Machine) && folder.stamp(KEY_FILE)?.is_none() {
            let key = random_key()?;
            folder.replace(KEY_FILE, key.as_slice())?;
        }
        self.read(folder)
    }
}

fn passphrase(bytes: Zeroizing<Vec<u8>>) -> Result<Material, VaultError> {
    if bytes.is_empty() { Err(VaultError::EmptyPassphrase) } else { Ok(Material::Passphrase(bytes)) }
}

fn key_of(bytes: &[u8], path: PathBuf) -> Result<Key, VaultError> {
    if let Ok(raw) = <[u8; 32]>::try_from(bytes) {
        return Ok(Zeroizing::new(raw));
    }
    let digits = bytes.strip_suffix(b"\n").unwrap_or(bytes);
    hex_key(digits).ok_or(VaultError::KeySize { path, bytes: bytes.len() })
}

fn hex_key(digits: &[u8]) -> Option<Key> {
    if digits.len() != 64 {
        return None;
    }
    let mut key = Zeroizing::new([0; 32]);
    for (byte, pair) in key.iter_mut().zip(digits.chunks_exact(2)) {
        let mut value = 0;
        for &digit in pair {
            value = value * 16 + char::from(digit).to_digit(16)?;
        }
        *byte = u8::try_from(value).ok()?;
    }
    Some(key)
}

/// What Argon2id costs; stored with the vault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Cost {
    pub(super) memory_kib: u32,
    pub(super) passes: u32,
    pub(super) lanes: u32,
}

impl Cost {
    /// 64 MiB, 3 passes, 1 lane: 194 ms where it was measured; more lanes gain nothing without their threads.
    pub(super) const DEFAULT: Self = Self { memory_kib: 64 * 1024, passes: 3, lanes: 1 };

    /// The most that a vault file may ask for: it is read before anything of it is proved.
    const CEILING: Self = Self { memory_kib: 1024 * 1024, passes: 64, lanes: 16 };

    pub(super) fn derive(self, passphrase: &[u8], salt: &[u8]) -> Result<Key, VaultError> {
        let over = self.memory_kib > Self::CEILING.memory_kib
            || self.passes > Self::CEILING.passes
            || self.lanes > Self::CEILING.lanes;
        if over {
            return Err(VaultError::Derivation);
        }
        let params = Params::new(self.memory_kib, self.passes, self.lanes, Some(32));
        let params = params.map_err(|_| VaultError::Derivation)?;
        let mut key = Zeroizing::new([0; 32]);
        Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
            .hash_password_into(passphrase, salt, key.as_mut_slice())
            .map_err(|_| VaultError::Derivation)?;
        Ok(key)
    }
}

pub(super) fn random<const N: usize>() -> Result<[u8; N], VaultError> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).map_err(|_| VaultError::Random)?;
    Ok(bytes)
}

pub(super) fn random_key() -> Result<Key, VaultError> {
    let mut key = Zeroizing::new([0; 32]);
    getrandom::fill(key.as_mut_slice()).map_err(|_| VaultError::Random)?;
    Ok(key)
}

/// Encrypts to nonce, ciphertext, tag. 192-bit nonces are drawn at random and never meet again.
pub(super) fn encrypt(key: &Key, aad: &[u8], plain: &[u8]) -> Result<Vec<u8>, VaultError> {
    let nonce = random::<NONCE_BYTES>()?;
    let cipher = cipher(key);
    // Fails only for a message of 256 GiB.
    let sealed = cipher.encrypt(&XNonce::from(nonce), Payload { msg: plain, aad }).map_err(|_| VaultError::Random)?;
    let mut out = Vec::with_capacity(sealed.len().saturating_add(NONCE_BYTES));
    out.extend_from_slice(&nonce);
    out.extend_from_slice(&sealed);
    Ok(out)
}

/// The reverse of [`encrypt`]; `None` for another key, other associated data or changed bytes.
pub(super) fn decrypt(key: &Key, aad: &[u8], sealed: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
    let (nonce, sealed) = sealed.split_first_chunk::<NONCE_BYTES>()?;
    let cipher = cipher(key);
    let plain = cipher.decrypt(&XNonce::from(*nonce), Payload { msg: sealed, aad }).ok()?;
    Some(Zeroizing::new(plain))
}

fn cipher(key: &Key) -> XChaCha20Poly1305 {
    let key: &[u8; 32] = key;
    XChaCha20Poly1305::new(key.into())
}
