//! Leaf certificates: one key for the process, one signature per host, minted when first asked for.

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use ensage_policy::authority::Host;
use moka::sync::Cache;
use rcgen::{CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair, KeyUsagePurpose, SanType};
use rustls::ServerConfig;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::server::{NoServerSessionStorage, ProducesTickets};
use rustls::sign::{CertifiedKey, SigningKey, SingleCertAndKey};
use time::{Duration, OffsetDateTime};

use super::authority::Authority;
use super::error::LeafError;
use super::serial;

/// Clocks of containers and machines differ.
const BACKDATED: Duration = Duration::hours(1);
const LIFE: Duration = Duration::days(7);
/// A leaf with less than this to live is minted anew: a client may keep its connection that long.
const RENEWED_BEFORE: Duration = Duration::days(1);
/// Each is a few KiB. Hosts beyond are minted again when they come back.
const LEAVES_MAX: u64 = 1024;
/// RFC 5280, `ub-common-name`.
const COMMON_NAME_MAX: usize = 64;
/// What clients are offered; most take the first.
const ALPN: [&[u8]; 2] = [b"h2", b"http/1.1"];

/// Gives out the server side of TLS for any host; to be asked only after the host was allowed.
pub struct Minter {
    authority: Authority,
    key: KeyPair,
    signing: Arc<dyn SigningKey>,
    ticketer: Arc<dyn ProducesTickets>,
    leaves: Cache<Host, Result<Leaf, LeafError>>,
    minted: AtomicU64,
}

#[derive(Clone)]
struct Leaf {
    config: Arc<ServerConfig>,
    renewed_at: OffsetDateTime,
}

impl Minter {
    /// A minter with a fresh leaf key and fresh ticket keys.
    ///
    /// # Errors
    /// If the system has no randomness.
    pub fn new(authority: Authority) -> Result<Self, LeafError> {
        let key = KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256)?;
        let der = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.serialize_der()));
        let signing = authority.provider().key_provider.load_private_key(der)?;
        let ticketer = rustls::crypto::aws_lc_rs::Ticketer::new()?;
        let leaves = Cache::builder().max_capacity(LEAVES_MAX).build();
        Ok(Self { authority, key, signing, ticketer, leaves, minted: AtomicU64::new(0) })
    }

    /// The CA behind the leaves.
    pub const fn authority(&self) -> &Authority {
        &self.authority
    }

    /// How many leaves it has made.
    pub fn minted(&self) -> u64 {
        self.minted.load(Ordering::Relaxed)
    }

    /// The server side of TLS for a host. The same host costs one signature in six days, however many ask at once.
    ///
    /// # Errors
    /// If the name can't stand in a certificate.
    pub fn leaf(&self, host: &Host) -> Result<Arc<ServerConfig>, LeafError> {
        self.leaf_at(host, OffsetDateTime::now_utc())
    }

    pub(super) fn leaf_at(&self, host: &Host, now: OffsetDateTime) -> Result<Arc<ServerConfig>, LeafError> {
        let usable = |leaf: &Result<Leaf, LeafError>| leaf.as_ref().is_ok_and(|l| now < l.renewed_at);
        let leaf = match self.leaves.get(host) {
            Some(leaf) if usable(&leaf) => leaf,
            _ => {
                let entry = self.leaves.entry_by_ref(host);
                entry.or_insert_with_if(|| self.mint(host, now), |leaf| !usable(leaf)).into_value()
            }
        };
        leaf.map(|l| l.config)
    }

    fn mint(&self, host: &Host, now: OffsetDateTime) -> Result<Leaf, LeafError> {
        let not_after = (now + LIFE).min(self.authority.facts().not_after);
        let mut leaf = CertificateParams::default();
        leaf.distinguished_name = rcgen::DistinguishedName::new();
        let (text, san) = match host {
            Host::Name(name) => (name.to_string(), SanType::DnsName(name.as_ref().try_into()?)),
            Host::V4(ip) => (ip.to_string(), SanType::IpAddress(IpAddr::V4(*ip))),
            Host::V6(ip) => (ip.to_string(), SanType::IpAddress(IpAddr::V6(*ip))),
        };
        // An empty subject makes the SAN critical, which rcgen sees to and every client takes.
        if text.len() <= COMMON_NAME_MAX {
            leaf.distinguished_name.push(DnType::CommonName, text);
        }
        leaf.subject_alt_names = vec![san];
        leaf.serial_number = Some(serial(self.authority.provider())?);
        leaf.not_before = now - BACKDATED;
        leaf.not_after = not_after;
        // Said explicitly, or rcgen writes no subject key identifier.
        leaf.is_ca = IsCa::ExplicitNoCa;
        leaf.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        leaf.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        leaf.use_authority_key_identifier_extension = true;
        let certificate = leaf.signed_by(&self.key, self.authority.issuer())?;
        let config = self.config(CertifiedKey::new(vec![certificate.der().clone()], self.signing.clone()))?;
        self.minted.fetch_add(1, Ordering::Relaxed);
        Ok(Leaf { config: Arc::new(config), renewed_at: not_after - RENEWED_BEFORE })
    }

    /// Every part is said here: no process-wide default, and no key log whatever the environment asks for.
    fn config(&self, leaf: CertifiedKey) -> Result<ServerConfig, LeafError> {
        let mut config = ServerConfig::builder_with_provider(self.authority.provider().clone())
            .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])?
            .with_no_client_auth()
            .with_cert_resolver(Arc::new(SingleCertAndKey::from(leaf)));
        config.alpn_protocols = ALPN.map(<[u8]>::to_vec).to_vec();
        // One for all hosts: a ticket carries the name it was given under, and counts for no other.
        config.ticketer = self.ticketer.clone();
        // Each connection that takes one up gets another.
        config.send_tls13_tickets = 1;
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.key_log = Arc::new(rustls::NoKeyLog {});
        Ok(config)
    }
}

impl fmt::Debug for Minter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Minter").field("authority", &self.authority).finish_non_exhaustive()
    }
}
