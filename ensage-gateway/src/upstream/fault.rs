//! What can go wrong on the upstream leg, each with the reason that the client is told.

use std::io;
use std::net::IpAddr;

use ensage_policy::Reason;

/// A fault of the upstream, or of the way to it.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Fault {
    /// The name has no address.
    #[error("the name of the upstream does not resolve")]
    Dns,
    /// An address is special-purpose and not opened by the configuration.
    #[error("the upstream's address {address} is special-purpose ({range}) and not allowed")]
    Address {
        /// The address that was refused.
        address: IpAddr,
        /// The registry's name of the range.
        range: &'static str,
    },
    /// Nobody accepts connections there.
    #[error("the upstream does not accept the connection")]
    Connect(#[source] io::Error),
    /// The TCP connection or the handshake took too long.
    #[error("the upstream did not answer in time")]
    Timeout,
    /// No file descriptor is left for a connection.
    #[error("the gateway can open no more connections now")]
    Exhausted,
    /// The next hop does not lead to the upstream.
    #[error("the next hop did not open a way to the upstream")]
    Hop {
        /// What was wrong with it.
        detail: &'static str,
    },
    /// What the next hop wants to see is not available.
    #[error("the credential for the next hop is not available now")]
    HopCredential,
    /// The certificate was refused.
    #[error("the upstream's certificate is refused: {fault}")]
    Certificate {
        /// A name of interface section 3.
        fault: &'static str,
    },
    /// TLS failed for another cause than the certificate.
    #[error("TLS with the upstream failed")]
    Tls(#[source] io::Error),
    /// The answer is not HTTP/1.1 that can be read in one way only.
    #[error("the upstream's answer is not strict HTTP/1.1: {detail}")]
    Protocol {
        /// What was wrong with it.
        detail: &'static str,
    },
    /// The connection was closed before the answer was complete.
    #[error("the upstream closed the connection before it had answered")]
    Closed,
    /// The answer is one that must not be passed on.
    #[error("the upstream's answer is refused: {detail}")]
    Response {
        /// What was wrong with it.
        detail: &'static str,
    },
}

impl Fault {
    /// The reason of interface section 3.
    pub(crate) const fn reason(&self) -> Reason {
        match self {
            Self::Dns => Reason::UpstreamDns,
            Self::Address { .. } => Reason::UpstreamAddress,
            Self::Connect(_) => Reason::UpstreamRefused,
            Self::Timeout => Reason::UpstreamTimeout,
            Self::Exhausted => Reason::Overloaded,
            Self::Hop { .. } => Reason::UpstreamProxy,
            Self::HopCredential => Reason::CredentialUnavailable,
            Self::Certificate { .. } => Reason::UpstreamCertificate,
            Self::Tls(_) => Reason::UpstreamTls,
            Self::Protocol { .. } => Reason::UpstreamProtocol,
            Self::Closed => Reason::UpstreamClosed,
            Self::Response { .. } => Reason::ResponseRefused,
        }
    }

    /// The name of a certificate's fault, for `fault` of the answer's body and of the record.
    pub(crate) const fn certificate_fault(&self) -> Option<&'static str> {
        match self {
            Self::Certificate { fault } => Some(fault),
            Self::Dns
            | Self::Address { .. }
            | Self::Connect(_)
            | Self::Timeout
            | Self::Exhausted
            | Self::Hop { .. }
            | Self::HopCredential
            | Self::Tls(_)
            | Self::Protocol { .. }
            | Self::Closed
            | Self::Response { .. } => None,
        }
    }
}
