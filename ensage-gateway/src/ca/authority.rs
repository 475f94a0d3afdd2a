//! The CA itself: made once, kept sealed, never silently replaced.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, KeyUsagePurpose, PublicKeyData};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer};
use sha2::{Digest, Sha256};
use time::{Duration, OffsetDateTime};
use zeroize::Zeroizing;

use super::error::{CaError, LeafError};
use super::folder::{Folder, Readers};
use super::{Seal, random, serial};

const FOLDER: &str = "ca";
const CERTIFICATE: &str = "ca.pem";
const KEY: &str = "ca.key";
/// The label under which the vault seals the key.
const LABEL: &str = "ca.key";

/// Long enough that trust is not a chore, short enough that a forgotten installation dies.
const LIFE: Duration = Duration::days(2 * 365);
/// Clocks of containers and machines differ.
const BACKDATED: Duration = Duration::hours(24);

/// What anybody may know of the CA.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Facts {
    /// The PEM file, absolute.
    pub path: PathBuf,
    /// `O=ensage, CN=ensage local CA 1a2b3c4d`
    pub subject: String,
    /// Of the certificate's DER, in lower-case hex.
    pub sha256: String,
    /// Valid from.
    pub not_before: OffsetDateTime,
    /// Valid until.
    pub not_after: OffsetDateTime,
}

impl Facts {
    /// Reads the facts without the key, `None` if there is no CA under this state folder.
    ///
    /// # Errors
    /// If the folder is unsafe, or the file is no certificate.
    pub fn read(state: &Path) -> Result<Option<Self>, CaError> {
        Ok(Self::read_pem(state)?.map(|(facts, _)| facts))
    }

    /// The same with the text of the certificate.
    ///
    /// # Errors
    /// As [`read`](Self::read).
    pub fn read_pem(state: &Path) -> Result<Option<(Self, Vec<u8>)>, CaError> {
        let Some(folder) = Folder::open(&at(state)?)? else { return Ok(None) };
        let path = folder.path(CERTIFICATE);
        let Some(pem) = folder.read(CERTIFICATE, Readers::Everybody)? else { return Ok(None) };
        let certificate = from_pem(&pem).ok_or_else(|| CaError::Damaged { path: path.clone() })?;
        let facts = Self::of(&certificate, path.clone()).ok_or(CaError::Damaged { path })?;
        Ok(Some((facts, pem)))
    }

    fn of(certificate: &CertificateDer<'_>, path: PathBuf) -> Option<Self> {
        let (_, parsed) = x509_parser::parse_x509_certificate(certificate).ok()?;
        let sha256 = Sha256::digest(certificate).iter().map(|b| format!("{b:02x}")).collect();
        let validity = parsed.validity();
        let (not_before, not_after) = (validity.not_before.to_datetime(), validity.not_after.to_datetime());
        Some(Self { path, subject: parsed.subject().to_string(), sha256, not_before, not_after })
    }
}

/// The local CA, its key in memory.
pub struct Authority {
    facts: Facts,
    pem: String,
    certificate: CertificateDer<'static>,
    issuer: Issuer<'static, KeyPair>,
    provider: Arc<CryptoProvider>,
    warnings: Vec<String>,
}

impl Authority {
    /// Opens the CA of a state folder, and makes one if there is none.
    ///
    /// The certificate is sealed with the key: a lost `ca.pem` is written again, and another one in its place is
    /// noticed.
    ///
    /// # Errors
    /// If what is there can't be used safely. A CA that clients may trust is never replaced.
    pub fn open_or_create(state: &Path, seal: &dyn Seal) -> Result<Self, CaError> {
        Self::open_or_create_at(state, seal, OffsetDateTime::now_utc())
    }

    pub(super) fn open_or_create_at(state: &Path, seal: &dyn Seal, now: OffsetDateTime) -> Result<Self, CaError> {
        let folder = Folder::open_or_create(&at(state)?)?;
        let key = folder.read(KEY, Readers::Owner)?;
        let pem = folder.read(CERTIFICATE, Readers::Everybody)?;
        let path = folder.path(CERTIFICATE);
        match (key, pem) {
            (None, None) => Self::create(&folder, seal, now),
            (None, Some(_)) => Err(CaError::KeyMissing { path }),
            (Some(key), pem) => {
                let authority = Self::unsealed(&folder, seal, &key, now)?;
                match pem {
                    // The key is put first: whoever made it got no further, or the file was removed.
                    None => folder.put(CERTIFICATE, authority.pem.as_bytes(), Readers::Everybody)?,
                    Some(pem) => match from_pem(&pem) {
                        None => return Err(CaError::Damaged { path }),
                        Some(there) if there != authority.certificate => return Err(CaError::Mismatch { path }),
                        Some(_) => {}
                    },
                }
                Ok(authority)
            }
        }
    }

    /// Makes a new CA in place of the one that is there, whatever its state. At each moment of it the folder holds one CA
    /// whole, the old one or the new one; the old one is kept nowhere.
    ///
    /// # Errors
    /// If the folder is unsafe or the vault does not take the new key in.
    pub fn rotate(state: &Path, seal: &dyn Seal) -> Result<Self, CaError> {
        let folder = Folder::open_or_create(&at(state)?)?;
        // Without a certificate beside it the key says which one it is: from here on the key alone decides.
        folder.remove(CERTIFICATE)?;
        Self::create(&folder, seal, OffsetDateTime::now_utc())
    }

    /// What anybody may know of it.
    pub const fn facts(&self) -> &Facts {
        &self.facts
    }

    /// The certificate, as it stands in `ca.pem`.
    pub fn pem(&self) -> &str {
        &self.pem
    }

    /// The certificate.
    pub const fn certificate(&self) -> &CertificateDer<'static> {
        &self.certificate
    }

    /// What was tightened on the way.
    pub fn warnings(&self) -> &[String] {
        &self.warnings
    }

    pub(super) const fn issuer(&self) -> &Issuer<'static, KeyPair> {
        &self.issuer
    }

    pub(super) const fn provider(&self) -> &Arc<CryptoProvider> {
        &self.provider
    }

    fn create(folder: &Folder, seal: &dyn Seal, now: OffsetDateTime) -> Result<Self, CaError> {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let (pem, key) = make(&provider, now).map_err(CaError::Make)?;
        let sealed = seal.seal(LABEL, &pack(&pem, &key)).map_err(CaError::Unsealed)?;
        let authority = Self::new(folder, provider, pem, key)?;
        folder.put(KEY, &sealed, Readers::Owner)?;
        folder.put(CERTIFICATE, authority.pem.as_bytes(), Readers::Everybody)?;
        Ok(authority)
    }

    fn unsealed(folder: &Folder, seal: &dyn Seal, sealed: &[u8], now: OffsetDateTime) -> Result<Self, CaError> {
        let path = folder.path(KEY);
        let packed = match seal.unseal(LABEL, sealed) {
            Ok(packed) => packed,
            Err(source) => return Err(CaError::Sealed { path, source }),
        };
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let (pem, key) = unpack(&packed).ok_or(CaError::Damaged { path })?;
        let authority = Self::new(folder, provider, pem, key)?;
        let Facts { not_before, not_after, .. } = authority.facts;
        if !(not_before..not_after).contains(&now) {
            return Err(CaError::OutOfTime { not_before, not_after });
        }
        Ok(authority)
    }

    fn new(folder: &Folder, provider: Arc<CryptoProvider>, pem: String, key: KeyPair) -> Result<Self, CaError> {
        let damaged = || CaError::Damaged { path: folder.path(KEY) };
        let certificate = from_pem(pem.as_bytes()).ok_or_else(damaged)?;
        let same_key = x509_parser::parse_x509_certificate(&certificate)
            .is_ok_and(|(_, c)| c.public_key().raw == key.subject_public_key_info());
        if !same_key {
            return Err(damaged());
        }
        let facts = Facts::of(&certificate, folder.path(CERTIFICATE)).ok_or_else(damaged)?;
        let issuer = Issuer::from_ca_cert_der(&certificate, key).map_err(|e| CaError::Make(e.into()))?;
        let warnings = folder.tightened.then(|| format!("{FOLDER} could be read by others, and can't any more"));
        Ok(Self { facts, pem, certificate, issuer, provider, warnings: warnings.into_iter().collect() })
    }
}

impl fmt::Debug for Authority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Authority").field("facts", &self.facts).finish_non_exhaustive()
    }
}

/// The CA's folder, absolute.
fn at(state: &Path) -> Result<PathBuf, CaError> {
    let path = state.join(FOLDER);
    std::path::absolute(&path).map_err(|source| CaError::Io { path, source })
}

fn make(provider: &CryptoProvider, now: OffsetDateTime) -> Result<(String, KeyPair), LeafError> {
    let key = KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256)?;
    let mut unique = [0_u8; 4];
    random(provider, &mut unique)?;
    let unique: String = unique.iter().map(|b| format!("{b:02x}")).collect();
    let mut ca = CertificateParams::default();
    ca.distinguished_name = rcgen::DistinguishedName::new();
    ca.distinguished_name.push(DnType::OrganizationName, "ensage");
    // Unique, or clients would take an old CA of the same name for this one and report a bad signature.
    ca.distinguished_name.push(DnType::CommonName, format!("ensage local CA {unique}"));
    ca.serial_number = Some(serial(provider)?);
    ca.not_before = now - BACKDATED;
    ca.not_after = now + LIFE;
    ca.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    ca.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    let pem = ca.self_signed(&key)?.pem();
    Ok((pem, key))
}

/// What is sealed: the length of the PEM (4 bytes, big-endian), the PEM, the key (PKCS #8).
fn pack(pem: &str, key: &KeyPair) -> Zeroizing<Vec<u8>> {
    let length = u32::try_from(pem.len()).unwrap_or(u32::MAX);
    let key = Zeroizing::new(key.serialize_der());
    Zeroizing::new([&length.to_be_bytes()[..], pem.as_bytes(), &key].concat())
}

fn unpack(packed: &[u8]) -> Option<(String, KeyPair)> {
    let (length, rest) = packed.split_first_chunk::<4>()?;
    let (pem, key) = rest.split_at_checked(usize::try_from(u32::from_be_bytes(*length)).ok()?)?;
    let key = PrivatePkcs8KeyDer::from(key);
    let key = KeyPair::from_pkcs8_der_and_sign_algo(&key, &rcgen::PKCS_ECDSA_P256_SHA256).ok()?;
    Some((str::from_utf8(pem).ok()?.to_owned(), key))
}

/// The one certificate of a PEM file.
fn from_pem(pem: &[u8]) -> Option<CertificateDer<'static>> {
    let mut found = CertificateDer::pem_slice_iter(pem);
    let certificate = found.next()?.ok()?;
    found.next().is_none().then_some(certificate)
}
