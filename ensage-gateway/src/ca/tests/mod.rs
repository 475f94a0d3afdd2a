//! Tests of the CA: what lies on disk, and who accepts a leaf.

mod disk;
mod leaves;
mod rotate;
mod store;

use std::path::Path;

use zeroize::Zeroizing;

use super::*;

/// Not secret, but as strict as the vault: label and bytes must be the sealed ones.
struct Sum(u8);

impl Seal for Sum {
    fn seal(&self, label: &str, bytes: &[u8]) -> Result<Vec<u8>, SealError> {
        let sum = bytes.iter().chain(label.as_bytes()).fold(self.0, |sum, b| sum.rotate_left(1) ^ b);
        Ok([&[sum], bytes].concat())
    }

    fn unseal(&self, label: &str, bytes: &[u8]) -> Result<Zeroizing<Vec<u8>>, SealError> {
        let (_, plain) = bytes.split_first().ok_or_else(|| SealError("empty".into()))?;
        if self.seal(label, plain)? == bytes {
            Ok(Zeroizing::new(plain.to_vec()))
        } else {
            Err(SealError("changed".into()))
        }
    }
}

const VAULT: Sum = Sum(7);

fn open(state: &Path) -> Result<Authority, CaError> {
    Authority::open_or_create(state, &VAULT)
}

fn state() -> tempfile::TempDir {
    let state = tempfile::tempdir().unwrap();
    open(state.path()).unwrap();
    state
}
