//! The local certificate authority: its key sealed on disk, and a leaf for each host that an enclave allows.
//!
//! # Use
//!
//! ```no_run
//! # fn f(state: &std::path::Path, vault: &dyn ensage_gateway::ca::Seal, host: &ensage_policy::authority::Host)
//! # -> Result<(), Box<dyn std::error::Error>> {
//! use ensage_gateway::ca::{Authority, Minter};
//! let authority = Authority::open_or_create(state, vault)?;
//! println!("{}", authority.facts().path.display());
//! let minter = Minter::new(authority)?; // one for the process, shared by all workers
//! let config = minter.leaf(host)?; // after the host was allowed
//! # drop(config); Ok(()) }
//! ```

mod authority;
mod error;
mod folder;
mod minter;
mod store;

#[cfg(test)]
mod tests;

pub use authority::{Authority, Facts};
pub use error::{CaError, LeafError, Unsafe};
pub use minter::Minter;
pub use store::{Certificate, Store, StoreError};

use zeroize::Zeroizing;

/// What keeps the CA's key secret on disk: the vault.
pub trait Seal {
    /// Encrypts `bytes` so that only [`unseal`](Self::unseal) with the same label gives them back.
    ///
    /// # Errors
    /// If there is no key to do it with.
    fn seal(&self, label: &str, bytes: &[u8]) -> Result<Vec<u8>, SealError>;

    /// The reverse of [`seal`](Self::seal).
    ///
    /// # Errors
    /// If the bytes were sealed by another vault, under another label, or changed since.
    fn unseal(&self, label: &str, bytes: &[u8]) -> Result<Zeroizing<Vec<u8>>, SealError>;
}

/// Why bytes were not sealed or unsealed.
#[derive(Debug, thiserror::Error)]
#[error("the vault refused")]
pub struct SealError(#[source] pub Box<dyn std::error::Error + Send + Sync>);

/// Fills `bytes` from the system's source of randomness.
fn random(provider: &rustls::crypto::CryptoProvider, bytes: &mut [u8]) -> Result<(), LeafError> {
    provider.secure_random.fill(bytes).map_err(|_| LeafError::Random)
}

/// A certificate's serial number: positive, 16 bytes, 126 of its bits random (RFC 5280 section 4.1.2.2).
fn serial(provider: &rustls::crypto::CryptoProvider) -> Result<rcgen::SerialNumber, LeafError> {
    let mut bytes = [0_u8; 16];
    random(provider, &mut bytes)?;
    bytes[0] = (bytes[0] & 0x3f) | 0x40;
    Ok(rcgen::SerialNumber::from_slice(&bytes))
}
