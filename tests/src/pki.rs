//! Certificates: a test CA, good leaves, and one of each bad kind.

use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, DnType, IsCa, Issuer, KeyIdMethod, KeyPair,
    KeyUsagePurpose, RevokedCertParams, SerialNumber, date_time_ymd,
};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};

/// A certificate authority of a test.
pub struct Ca {
    /// Its certificate.
    pub pem: String,
    issuer: Issuer<'static, KeyPair>,
    /// Itself and who signed it, where it is not its own root.
    chain: Vec<CertificateDer<'static>>,
}

/// A server's certificate and key.
pub struct Leaf {
    pub(crate) chain: Vec<CertificateDer<'static>>,
    pub(crate) key: PrivateKeyDer<'static>,
}

/// What is wrong with a server's certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// It signed itself.
    SelfSigned,
    /// Its time is over.
    Expired,
    /// It is not valid yet.
    NotYetValid,
    /// It is for another name.
    WrongName,
    /// Nobody knows who signed it.
    UnknownRoot,
}

impl Ca {
    /// Makes one.
    #[must_use]
    pub fn new() -> Self {
        Self::named("ensage test CA")
    }

    /// One with this name of its own.
    ///
    /// # Panics
    /// If it can't sign itself.
    #[must_use]
    pub fn named(name: &str) -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let key = KeyPair::generate().unwrap();
        let pem = params.self_signed(&key).unwrap().pem();
        Self { pem, issuer: Issuer::new(params, key), chain: Vec::new() }
    }

    /// An authority that this one has signed, as its certificate `number`.
    #[must_use]
    pub fn intermediate(&self, number: u64) -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.distinguished_name.push(DnType::CommonName, format!("ensage test intermediate {number}"));
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        params.serial_number = Some(SerialNumber::from(number));
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        let mut chain = vec![certificate.der().clone()];
        chain.extend_from_slice(&self.chain);
        Self { pem: certificate.pem(), issuer: Issuer::new(params, key), chain }
    }

    /// A good certificate for `name`, as this authority's certificate `number`.
    #[must_use]
    pub fn numbered(&self, name: &str, number: u64) -> Leaf {
        let mut wanted = params(&[name]);
        wanted.serial_number = Some(SerialNumber::from(number));
        self.signed(wanted)
    }

    /// The list, in PEM, that revokes these certificates of this authority; the next one is due in `due`.
    ///
    /// # Panics
    /// If it can't be signed.
    #[must_use]
    pub fn crl(&self, numbers: &[u64], due: i32) -> String {
        let revoked = |number: &u64| RevokedCertParams {
            serial_number: SerialNumber::from(*number),
            revocation_time: date_time_ymd(2024, 1, 1),
            reason_code: None,
            invalidity_date: None,
        };
        let list = CertificateRevocationListParams {
            this_update: date_time_ymd(2024, 1, 1),
            next_update: date_time_ymd(due, 1, 1),
            crl_number: SerialNumber::from(1),
            issuing_distribution_point: None,
            revoked_certs: numbers.iter().map(revoked).collect(),
            key_identifier_method: KeyIdMethod::Sha256,
        };
        list.signed_by(&self.issuer).unwrap().pem().unwrap()
    }

    /// A good certificate for these names.
    #[must_use]
    pub fn leaf(&self, names: &[&str]) -> Leaf {
        self.signed(params(names))
    }

    /// A certificate for `name` that must be refused.
    #[must_use]
    pub fn bad(&self, name: &str, fault: Fault) -> Leaf {
        let mut wanted = params(&[name]);
        match fault {
            Fault::SelfSigned => {
                let key = KeyPair::generate().unwrap();
                let certificate = wanted.self_signed(&key).unwrap();
                Leaf { chain: vec![certificate.der().clone()], key: pkcs8(&key) }
            }
            Fault::Expired => {
                (wanted.not_before, wanted.not_after) = (date_time_ymd(2020, 1, 1), date_time_ymd(2021, 1, 1));
                self.signed(wanted)
            }
            Fault::NotYetValid => {
                (wanted.not_before, wanted.not_after) = (date_time_ymd(2090, 1, 1), date_time_ymd(2091, 1, 1));
                self.signed(wanted)
            }
            Fault::WrongName => self.leaf(&["other.test"]),
            Fault::UnknownRoot => Self::named("nobody").leaf(&[name]),
        }
    }

    fn signed(&self, wanted: CertificateParams) -> Leaf {
        let key = KeyPair::generate().unwrap();
        let certificate = wanted.signed_by(&key, &self.issuer).unwrap();
        let mut chain = vec![certificate.der().clone()];
        chain.extend_from_slice(&self.chain);
        Leaf { chain, key: pkcs8(&key) }
    }
}

impl Default for Ca {
    fn default() -> Self {
        Self::new()
    }
}

fn params(names: &[&str]) -> CertificateParams {
    let names: Vec<String> = names.iter().map(ToString::to_string).collect();
    let mut params = CertificateParams::new(names).unwrap();
    params.distinguished_name.push(DnType::CommonName, "ensage test origin");
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![rcgen::ExtendedKeyUsagePurpose::ServerAuth];
    params
}

fn pkcs8(key: &KeyPair) -> PrivateKeyDer<'static> {
    PrivatePkcs8KeyDer::from(key.serialize_der()).into()
}
