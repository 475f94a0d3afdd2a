//! Signed heads: what the chain looked like at a time, in a form that a copy elsewhere can anchor.
//!
//! A line of `heads` is `{"v":1,"seq":N,"hash":H,"time":T,"key":K,"sig":S}`: the last record, its chain hash, when it
//! was signed, the first 16 digits of the SHA-256 of the public key, and the Ed25519 signature (hex) of the text
//!
//! ```text
//! ensage.head.v1 LF N LF H LF T LF
//! ```
//!
//! `start` holds one line of the same form, signed with `ensage.start.v1`: the last record that `retain` removed.

use std::time::SystemTime;

use ed25519_dalek::{Signature, Signer as _, SigningKey, VerifyingKey};
use serde::Deserialize;
use sha2::{Digest, Sha256};

use crate::clock::Stamp;
use crate::frame::{Hash, hex, unhex};

/// What a signed line says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    Head,
    Start,
}

impl Purpose {
    fn tag(self) -> &'static str {
        match self {
            Self::Head => "ensage.head.v1",
            Self::Start => "ensage.start.v1",
        }
    }
}

/// A point of the chain that was signed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Head {
    pub(crate) seq: u64,
    pub(crate) hash: Hash,
    pub(crate) time: String,
}

/// Why a line is not a head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum HeadFault {
    Form,
    Key,
    Signature,
}

/// Signs heads.
pub(crate) struct Signer {
    key: SigningKey,
    id: String,
}

impl Signer {
    pub(crate) fn new(secret: &[u8; 32]) -> Self {
        let key = SigningKey::from_bytes(secret);
        let id = key_id(key.verifying_key().as_bytes());
        Self { key, id }
    }

    /// The line of `key.pub`.
    pub(crate) fn public_line(&self) -> String {
        format!("{}\n", hex(self.key.verifying_key().as_bytes()))
    }

    /// One signed line, with its line feed.
    pub(crate) fn line(&self, purpose: Purpose, seq: u64, hash: &Hash, now: SystemTime) -> String {
        let (hash, time) = (hex(hash), Stamp::of(now));
        let sig = self.key.sign(message(purpose, seq, &hash, time.as_str()).as_bytes());
        format!(
            "{{\"v\":1,\"seq\":{seq},\"hash\":\"{hash}\",\"time\":\"{time}\",\"key\":\"{}\",\"sig\":\"{}\"}}\n",
            self.id,
            hex(&sig.to_bytes())
        )
    }
}

fn message(purpose: Purpose, seq: u64, hash: &str, time: &str) -> String {
    format!("{}\n{seq}\n{hash}\n{time}\n", purpose.tag())
}

fn key_id(public: &[u8; 32]) -> String {
    let digest = Sha256::digest(public);
    hex(digest.get(..8).unwrap_or_default())
}

/// The keys that heads may be signed with.
#[derive(Debug, Default)]
pub(crate) struct Keys(Vec<(String, VerifyingKey)>);

impl Keys {
    /// Reads `key.pub`; a line that is no key is no key.
    pub(crate) fn read(text: &str) -> Self {
        let key = |line: &str| {
            let bytes = unhex::<32>(line)?;
            Some((key_id(&bytes), VerifyingKey::from_bytes(&bytes).ok()?))
        };
        Self(text.lines().filter_map(key).collect())
    }

    /// Reads one line, without its line feed.
    pub(crate) fn check(&self, purpose: Purpose, line: &str) -> Result<Head, HeadFault> {
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Line<'a> {
            v: u64,
            seq: u64,
            hash: &'a str,
            time: &'a str,
            key: &'a str,
            sig: &'a str,
        }
        let line: Line<'_> = serde_json::from_str(line).map_err(|_| HeadFault::Form)?;
        let hash = unhex(line.hash).filter(|_| line.v == 1).ok_or(HeadFault::Form)?;
        let sig = unhex::<64>(line.sig).ok_or(HeadFault::Form)?;
        let (_, key) = self.0.iter().find(|(id, _)| id == line.key).ok_or(HeadFault::Key)?;
        key.verify_strict(message(purpose, line.seq, line.hash, line.time).as_bytes(), &Signature::from_bytes(&sig))
            .map_err(|_| HeadFault::Signature)?;
        Ok(Head { seq: line.seq, hash, time: line.time.to_owned() })
    }
}

#[cfg(test)]
mod tests {
    use std::time::UNIX_EPOCH;

    use super::*;

    #[test]
    fn a_line_reads_back_and_no_byte_of_it_may_change() {
        let signer = Signer::new(&[7; 32]);
        let keys = Keys::read(&signer.public_line());
        let line = signer.line(Purpose::Head, 42, &[9; 32], UNIX_EPOCH);
        let line = line.strip_suffix('\n').unwrap();
        let head = Head { seq: 42, hash: [9; 32], time: "1970-01-01T00:00:00.000000Z".to_owned() };
        assert_eq!(keys.check(Purpose::Head, line), Ok(head));
        assert_eq!(keys.check(Purpose::Start, line), Err(HeadFault::Signature));
        assert_eq!(Keys::default().check(Purpose::Head, line), Err(HeadFault::Key));
        for at in 0..line.len() {
            let mut bytes = line.as_bytes().to_vec();
            bytes[at] ^= 1;
            let Ok(text) = std::str::from_utf8(&bytes) else { continue };
            assert!(keys.check(Purpose::Head, text).is_err(), "byte {at}: {text}");
        }
    }
}
