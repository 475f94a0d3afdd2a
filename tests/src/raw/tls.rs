//! TLS of a raw client.

use std::io::{self, BufReader};
use std::path::Path;
use std::sync::Arc;

use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, HandshakeKind, RootCertStore, StreamOwned};

use super::{Io, Raw};

/// Why there is no TLS.
pub type TlsError = io::Error;

pub(crate) fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::aws_lc_rs::default_provider())
}

/// The trust in one PEM file.
///
/// # Panics
/// If it holds no certificate.
#[must_use]
pub fn roots_of(pem: &Path) -> RootCertStore {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_file_iter(pem).unwrap() {
        roots.add(certificate.unwrap()).unwrap();
    }
    roots
}

/// A client of TLS with this trust.
///
/// # Panics
/// If TLS itself has no defaults.
#[must_use]
pub fn client(roots: &RootCertStore) -> ClientConfig {
    let mut config = ClientConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots.clone())
        .with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    config
}

impl Raw {
    /// Begins TLS with this name as SNI.
    ///
    /// # Errors
    /// If the handshake fails.
    pub fn tls(self, roots: &RootCertStore, name: &str) -> Result<Self, TlsError> {
        self.handshake(roots, name, true, b"http/1.1")
    }

    /// Begins TLS without SNI.
    ///
    /// # Errors
    /// If the handshake fails.
    pub fn tls_without_sni(self, roots: &RootCertStore, name: &str) -> Result<Self, TlsError> {
        self.handshake(roots, name, false, b"http/1.1")
    }

    /// Begins TLS for HTTP/2, and speaks none of it.
    ///
    /// # Errors
    /// If the handshake fails.
    pub fn tls_h2(self, roots: &RootCertStore, name: &str) -> Result<Self, TlsError> {
        self.handshake(roots, name, true, b"h2")
    }

    fn handshake(self, roots: &RootCertStore, name: &str, sni: bool, alpn: &[u8]) -> Result<Self, TlsError> {
        let mut config = client(roots);
        config.enable_sni = sni;
        config.alpn_protocols = vec![alpn.to_vec()];
        self.tls_by(&Arc::new(config), name)
    }

    /// Begins TLS as a client that remembers what it was told before.
    ///
    /// # Errors
    /// If the handshake fails.
    pub fn tls_by(self, client: &Arc<ClientConfig>, name: &str) -> Result<Self, TlsError> {
        assert!(self.io.buffer().is_empty(), "bytes before the handshake");
        let Self { io, quiet } = self;
        let Io::Tcp(mut stream) = io.into_inner() else { panic!("TLS inside TLS") };
        let name = ServerName::try_from(name.to_owned()).unwrap();
        let mut session = ClientConnection::new(client.clone(), name).map_err(io::Error::other)?;
        let shaken = (|| {
            while session.is_handshaking() {
                session.complete_io(&mut stream)?;
            }
            session.complete_io(&mut stream)
        })();
        if let Err(error) = shaken {
            // The alert that says why, behind whatever else was still to be sent.
            while session.wants_write() && session.write_tls(&mut stream).is_ok() {}
            return Err(error);
        }
        Ok(Self { io: BufReader::new(Io::Tls(Box::new(StreamOwned::new(session, stream)))), quiet })
    }

    /// The certificate that the gateway showed, in DER.
    #[must_use]
    pub fn leaf(&self) -> Option<Vec<u8>> {
        match self.io.get_ref() {
            Io::Tcp(_) => None,
            Io::Tls(s) => Some(s.conn.peer_certificates()?.first()?.to_vec()),
        }
    }

    /// Whether the handshake took up an earlier one.
    #[must_use]
    pub fn is_resumed(&self) -> bool {
        match self.io.get_ref() {
            Io::Tcp(_) => false,
            Io::Tls(s) => s.conn.handshake_kind() == Some(HandshakeKind::Resumed),
        }
    }
}
