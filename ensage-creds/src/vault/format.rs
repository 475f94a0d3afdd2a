//! The bytes of `vault.ens`.
//!
//! ```text
//! ensage-vault 1            the format's version
//! {"id":…,"records":…}      names and times in the clear, values as XChaCha20-Poly1305 records
//! BASE64                    nonce and tag over the two lines above, so that no record can be taken out or put back
//! ```
//! Each record's associated data is the version, the vault's id, the purpose and the name: a record opens under its own
//! name in its own vault and nowhere else.

use std::collections::BTreeMap;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use zeroize::Zeroizing;

use super::VaultError;
use super::keys::{self, Cost, Key, Material};
use crate::placeholder::AgentPlaceholder;

const MAGIC: &str = "ensage-vault 1\n";
const VERSION: u8 = 1;

/// Bytes, in JSON as base64.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Base64(pub(super) Vec<u8>);

impl Serialize for Base64 {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&STANDARD.encode(&self.0))
    }
}

impl<'de> Deserialize<'de> for Base64 {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        STANDARD.decode(text.as_bytes()).map(Self).map_err(|_| serde::de::Error::custom("not base64"))
    }
}

#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Body {
    pub(super) id: Base64,
    /// Counts the writes.
    pub(super) generation: u64,
    pub(super) wrap: Wrap,
    pub(super) records: BTreeMap<String, Record>,
    /// The agents' placeholders, sealed as one: they are worth something until they expire.
    pub(super) placeholders: Option<Base64>,
}

/// The data key under the key-encrypting key.
#[derive(Clone, Serialize, Deserialize)]
#[serde(tag = "by", rename_all = "snake_case", deny_unknown_fields)]
pub(super) enum Wrap {
    Key { sealed: Base64 },
    Passphrase { salt: Base64, memory_kib: u32, passes: u32, lanes: u32, sealed: Base64 },
}

/// One credential; times are microseconds since 1970.
#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Record {
    pub(super) created: u64,
    pub(super) rotated: Option<u64>,
    pub(super) sealed: Base64,
}

impl Wrap {
    pub(super) fn new(material: &Material, cost: Cost, id: &Base64, data_key: &Key) -> Result<Self, VaultError> {
        match material {
            Material::Key(key) => {
                let sealed = keys::encrypt(key, &associated(id, "wrap", "key"), data_key.as_slice())?;
                Ok(Self::Key { sealed: Base64(sealed) })
            }
            Material::Passphrase(passphrase) => {
                let salt = keys::random::<16>()?;
                let key = cost.derive(passphrase, &salt)?;
                let sealed = keys::encrypt(&key, &associated(id, "wrap", "passphrase"), data_key.as_slice())?;
                let Cost { memory_kib, passes, lanes } = cost;
                let (salt, sealed) = (Base64(salt.to_vec()), Base64(sealed));
                Ok(Self::Passphrase { salt, memory_kib, passes, lanes, sealed })
            }
        }
    }

    /// The data key.
    pub(super) fn open(&self, material: &Material, id: &Base64) -> Result<Key, VaultError> {
        let (plain, wrong) = match (self, material) {
            (Self::Key { sealed }, Material::Key(key)) => {
                (keys::decrypt(key, &associated(id, "wrap", "key"), &sealed.0), VaultError::WrongKey)
            }
            (Self::Passphrase { salt, memory_kib, passes, lanes, sealed }, Material::Passphrase(passphrase)) => {
                let cost = Cost { memory_kib: *memory_kib, passes: *passes, lanes: *lanes };
                let key = cost.derive(passphrase, &salt.0)?;
                (keys::decrypt(&key, &associated(id, "wrap", "passphrase"), &sealed.0), VaultError::WrongPassphrase)
            }
            (Self::Key { .. }, Material::Passphrase(_)) => return Err(VaultError::NeedsKey),
            (Self::Passphrase { .. }, Material::Key(_)) => return Err(VaultError::NeedsPassphrase),
        };
        let plain = plain.ok_or(wrong)?;
        let mut key = Zeroizing::new([0; 32]);
        if plain.len() != key.len() {
            return Err(VaultError::WrongKey);
        }
        key.copy_from_slice(&plain);
        Ok(key)
    }
}

impl Body {
    /// Parses the lines; what they say is proved by [`Lines::prove`] only.
    pub(super) fn parse(bytes: &[u8]) -> Result<(Self, Lines<'_>), &'static str> {
        let text = std::str::from_utf8(bytes).map_err(|_| "it is not text")?;
        let rest = text.strip_prefix(MAGIC).ok_or("its first line is not that of a vault of this version")?;
        let (json, seal) = rest.split_once('\n').ok_or("it ends early")?;
        let seal = seal.strip_suffix('\n').ok_or("it ends early")?;
        let proved = bytes.get(..MAGIC.len().saturating_add(json.len())).ok_or("it ends early")?;
        let seal = STANDARD.decode(seal).map_err(|_| "its seal is not base64")?;
        let body = serde_json::from_str(json).map_err(|_| "its second line can't be read")?;
        Ok((body, Lines { proved, seal }))
    }

    pub(super) fn encode(&self, key: &Key) -> Result<Vec<u8>, VaultError> {
        let mut out = MAGIC.as_bytes().to_vec();
        // Writing these types to memory cannot fail: no maps with other keys than strings, no foreign Serialize.
        let json = serde_json::to_vec(self).map_err(|_| VaultError::Random)?;
        out.extend_from_slice(&json);
        let seal = keys::encrypt(key, &[&associated(&self.id, "file", ""), out.as_slice()].concat(), b"")?;
        out.push(b'\n');
        out.extend_from_slice(STANDARD.encode(seal).as_bytes());
        out.push(b'\n');
        Ok(out)
    }

    pub(super) fn agents(&self, key: &Key) -> Option<Vec<AgentPlaceholder>> {
        let Some(sealed) = &self.placeholders else { return Some(Vec::new()) };
        let plain = keys::decrypt(key, &associated(&self.id, "placeholders", ""), &sealed.0)?;
        serde_json::from_slice(&plain).ok()
    }

    pub(super) fn keep_agents(&mut self, key: &Key, all: &[AgentPlaceholder]) -> Result<(), VaultError> {
        let plain = Zeroizing::new(serde_json::to_vec(all).map_err(|_| VaultError::Random)?);
        let sealed = keys::encrypt(key, &associated(&self.id, "placeholders", ""), &plain)?;
        self.placeholders = Some(Base64(sealed));
        Ok(())
    }
}

/// What was read, and the seal over it.
pub(super) struct Lines<'a> {
    proved: &'a [u8],
    seal: Vec<u8>,
}

impl Lines<'_> {
    /// Says whether the lines are as this key's holder wrote them.
    pub(super) fn prove(&self, id: &Base64, key: &Key) -> bool {
        keys::decrypt(key, &[&associated(id, "file", ""), self.proved].concat(), &self.seal).is_some()
    }
}

/// Associated data: no two purposes or names give the same bytes (`id` has one length, `purpose` no NUL, `name` is last).
pub(super) fn associated(id: &Base64, purpose: &str, name: &str) -> Vec<u8> {
    let mut out = b"ensage-vault\0".to_vec();
    out.push(VERSION);
    out.extend_from_slice(&u32::try_from(id.0.len()).unwrap_or(u32::MAX).to_be_bytes());
    out.extend_from_slice(&id.0);
    out.extend_from_slice(purpose.as_bytes());
    out.push(0);
    out.extend_from_slice(name.as_bytes());
    out
}
