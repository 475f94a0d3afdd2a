//! Verification of upstream certificates: webpki's verdict, the gateway's own CA never among the anchors.

use std::sync::Arc;

use ensage_policy::Policy;
use ensage_policy::model::Roots;
use rustls::client::WebPkiServerVerifier;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme};

/// Why the upstream leg could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum SetupError {
    /// The operating system's store gave no certificate.
    #[error("the system's certificate store is empty")]
    NoSystemRoots,
    /// A bundle of `upstream.roots` could not be read.
    #[error("cannot read the certificates of {path:?}")]
    Bundle {
        /// The file.
        path: String,
        /// What went wrong.
        #[source]
        source: rustls::pki_types::pem::Error,
    },
    /// A file of `upstream.crl` can't be used.
    #[error("{path} of upstream.crl can't be used")]
    Revoked {
        /// The file.
        path: String,
        /// What is wrong with it.
        #[source]
        source: super::CrlError,
    },
    /// No usable anchor is left.
    #[error("no usable trust anchor in upstream.roots")]
    Verifier(#[source] rustls::client::VerifierBuilderError),
    /// The resolvers of `upstream.dns` could not be set up.
    #[error("cannot set up the resolvers of upstream.dns: {0}")]
    Resolver(String),
    /// The TLS library refused its own defaults.
    #[error("cannot set up TLS")]
    Tls(#[source] Error),
}

/// The client side of TLS for one policy generation, offering HTTP/1.1 alone.
pub(crate) fn client_config(policy: &Policy, own_ca: &CertificateDer<'_>) -> Result<ClientConfig, SetupError> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let verifier = Verifier::new(policy, own_ca, provider.clone())?;
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(SetupError::Tls)?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier))
        .with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(config)
}

/// All certificates that a policy generation trusts, the gateway's own CA taken out.
pub(crate) fn anchors(policy: &Policy, own_ca: &[u8]) -> Result<Vec<CertificateDer<'static>>, SetupError> {
    let mut all = Vec::new();
    for source in &policy.upstream.roots {
        match source {
            Roots::System => {
                let found = rustls_native_certs::load_native_certs().certs;
                if found.is_empty() {
                    return Err(SetupError::NoSystemRoots);
                }
                all.extend(found);
            }
            Roots::File(path) => {
                let bundle = CertificateDer::pem_file_iter(path)
                    .and_then(Iterator::collect::<Result<Vec<_>, _>>)
                    .map_err(|source| SetupError::Bundle { path: path.display().to_string(), source })?;
                all.extend(bundle);
            }
        }
    }
    all.retain(|c| c.as_ref() != own_ca);
    Ok(all)
}

/// webpki, and a name for the one fault it can't know: a certificate that this gateway made itself.
#[derive(Debug)]
struct Verifier {
    inner: Arc<WebPkiServerVerifier>,
    own_subject: Vec<u8>,
}

impl Verifier {
    fn new(policy: &Policy, own_ca: &CertificateDer<'_>, provider: Arc<CryptoProvider>) -> Result<Self, SetupError> {
        let mut store = RootCertStore::empty();
        store.add_parsable_certificates(anchors(policy, own_ca)?);
        let lists = super::crl::lists(policy).map_err(|(path, source)| SetupError::Revoked { path, source })?;
        let mut builder = WebPkiServerVerifier::builder_with_provider(Arc::new(store), provider);
        if !lists.is_empty() {
            // The whole chain is looked up, intermediates too. Whose CA gives no list is not known to be revoked, and
            // what an old list revokes stays revoked.
            builder = builder.with_crls(lists).allow_unknown_revocation_status();
        }
        let inner = builder.build().map_err(SetupError::Verifier)?;
        let own_subject = x509_parser::parse_x509_certificate(own_ca)
            .map(|(_, c)| c.tbs_certificate.subject.as_raw().to_vec())
            .unwrap_or_default();
        Ok(Self { inner, own_subject })
    }

    /// True if our own CA issued the certificate.
    fn is_own(&self, leaf: &CertificateDer<'_>) -> bool {
        x509_parser::parse_x509_certificate(leaf)
            .is_ok_and(|(_, c)| c.tbs_certificate.issuer.as_raw() == self.own_subject.as_slice())
    }
}

impl rustls::client::danger::ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<rustls::client::danger::ServerCertVerified, Error> {
        let verdict = self.inner.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now);
        match verdict {
            Err(Error::InvalidCertificate(CertificateError::UnknownIssuer)) if self.is_own(end_entity) => {
                Err(Error::InvalidCertificate(CertificateError::ApplicationVerificationFailure))
            }
            other => other,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<rustls::client::danger::HandshakeSignatureValid, Error> {
        self.inner.verify_tls12_signature(message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<rustls::client::danger::HandshakeSignatureValid, Error> {
        self.inner.verify_tls13_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.inner.supported_verify_schemes()
    }
}

/// The name of a certificate's fault (interface section 3), `None` if the error is not about a certificate.
pub(super) fn fault_of(error: &Error) -> Option<&'static str> {
    let Error::InvalidCertificate(cause) = error else {
        return match error {
            Error::NoCertificatesPresented => Some("malformed"),
            // A list that bears the name of the certificate's issuer, and not its signature: nobody knows who is revoked.
            Error::InvalidCertRevocationList(_) => Some("bad_signature"),
            _ => None,
        };
    };
    Some(match cause {
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => "expired",
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => "not_yet_valid",
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => "name_mismatch",
        CertificateError::UnknownIssuer => "unknown_issuer",
        CertificateError::Revoked
        | CertificateError::UnknownRevocationStatus
        | CertificateError::ExpiredRevocationList
        | CertificateError::ExpiredRevocationListContext { .. } => "revoked",
        CertificateError::BadSignature => "bad_signature",
        CertificateError::InvalidPurpose | CertificateError::InvalidPurposeContext { .. } => "bad_usage",
        CertificateError::UnsupportedSignatureAlgorithmContext { .. }
        | CertificateError::UnsupportedSignatureAlgorithmForPublicKeyContext { .. } => "weak",
        CertificateError::ApplicationVerificationFailure => "own_ca",
        _ => "malformed",
    })
}
