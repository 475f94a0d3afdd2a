//! Hosts and ports in one spelling: the only place where spellings are made equal (design P3).

mod address;
mod host;
mod pattern;

#[cfg(test)]
mod tests;

pub use address::{AddressRefused, may_dial, special_purpose};
pub use host::{Host, InvalidHost};
pub use pattern::{Fit, HostPattern, Hosts, Ports};

use std::fmt;

use crate::reason::Reason;

/// Longest input that is looked at: a name has at most 253 bytes once it is ASCII, and no spelling of one needs more.
const INPUT_BYTES_MAX: usize = 1024;

/// Why bytes are no host and port.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AuthorityError {
    /// Neither host nor port.
    #[error("the authority is empty")]
    Empty,
    /// Over 1024 bytes.
    #[error("the authority is longer than 1024 bytes")]
    TooLong,
    /// Not UTF-8.
    #[error("the authority is not UTF-8")]
    Encoding,
    /// The part before the port.
    #[error("bad host")]
    Host(#[from] InvalidHost),
    /// No port where one is required.
    #[error("the port is missing")]
    PortMissing,
    /// Not 1 to 65535 in plain digits.
    #[error("the port is not a number from 1 to 65535")]
    Port,
}

impl AuthorityError {
    /// How a request with such an authority is refused.
    ///
    /// An odd spelling of an IP address is one that the enclave does not have, and looks like it; the rest is
    /// malformed.
    pub const fn reason(self) -> Reason {
        match self {
            Self::Host(InvalidHost::AddressSpelling) => Reason::AddressLiteral,
            Self::Host(_) | Self::Empty | Self::TooLong | Self::Encoding | Self::PortMissing | Self::Port => {
                Reason::MalformedAuthority
            }
        }
    }
}

/// A canonical host with its port: equal if and only if they mean the same place.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Authority {
    /// The host.
    pub host: Host,
    /// The port, never 0.
    pub port: u16,
}

impl Authority {
    /// Reads `host`, `host:port` or `[v6]:port`, as in a CONNECT target, a Host header or `:authority`.
    ///
    /// Without a port the default counts; where there is none (CONNECT, RFC 9110 section 9.3.6) it is an error.
    ///
    /// # Errors
    /// Whatever two parsers could read in two ways, user information, an empty port or one with a leading zero.
    ///
    /// ```
    /// use ensage_policy::authority::Authority;
    /// let said = Authority::parse(b"Example.COM.:443", None)?;
    /// assert_eq!(said.to_string(), "example.com:443");
    /// assert_eq!(said, Authority::parse("example。com".as_bytes(), Some(443))?);
    /// # Ok::<(), ensage_policy::authority::AuthorityError>(())
    /// ```
    pub fn parse(bytes: &[u8], default_port: Option<u16>) -> Result<Self, AuthorityError> {
        if bytes.is_empty() {
            return Err(AuthorityError::Empty);
        }
        if bytes.len() > INPUT_BYTES_MAX {
            return Err(AuthorityError::TooLong);
        }
        let text = std::str::from_utf8(bytes).map_err(|_| AuthorityError::Encoding)?;
        let (host, port) = split(text)?;
        let host = Host::parse(host)?;
        let port = match port {
            Some(digits) => parse_port(digits)?,
            None => default_port.filter(|port| *port != 0).ok_or(AuthorityError::PortMissing)?,
        };
        Ok(Self { host, port })
    }

    /// The Host field that names it: the canonical host, and the port where it is not the scheme's own (RFC 9110
    /// section 7.2).
    pub fn written(&self, default_port: u16) -> String {
        if self.port == default_port { self.host.to_string() } else { self.to_string() }
    }

    /// True if these bytes are a name [`written`](Self::written) so. False for addresses, which are seldom asked for.
    pub fn is_written(&self, bytes: &[u8], default_port: u16) -> bool {
        let own = self.port == default_port;
        self.is_spelled(bytes, default_port) && bytes.contains(&b':') != own
    }

    /// True if these bytes are the one spelling of this authority, so that reading them would give it again: the host
    /// as it is displayed, its port or, where that is the default, none. False says nothing.
    pub fn is_spelled(&self, bytes: &[u8], default_port: u16) -> bool {
        let Some(rest) = self.host.name().and_then(|name| bytes.strip_prefix(name.as_bytes())) else { return false };
        match rest {
            [] => self.port == default_port,
            [b':', digits @ ..] => std::str::from_utf8(digits).is_ok_and(|digits| parse_port(digits) == Ok(self.port)),
            _ => false,
        }
    }
}

impl fmt::Display for Authority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.host, self.port)
    }
}

/// Splits off the port; the brackets stay at the host.
fn split(text: &str) -> Result<(&str, Option<&str>), AuthorityError> {
    if text.starts_with('[') {
        let end = text.find(']').ok_or(InvalidHost::Brackets)?;
        let (host, rest) = text.split_at(end + 1);
        return match rest.strip_prefix(':') {
            Some(port) => Ok((host, Some(port))),
            None if rest.is_empty() => Ok((host, None)),
            None => Err(InvalidHost::Brackets.into()),
        };
    }
    match text.split_once(':') {
        // An IPv6 address without brackets: where its port begins is a guess.
        Some((_, port)) if port.contains(':') => Err(InvalidHost::Brackets.into()),
        Some((host, port)) => Ok((host, Some(port))),
        None => Ok((text, None)),
    }
}

/// Reads 1 to 65535: plain digits, no sign, no space, no leading zero.
fn parse_port(digits: &str) -> Result<u16, AuthorityError> {
    if digits.is_empty() || digits.starts_with('0') || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return Err(AuthorityError::Port);
    }
    digits.parse().map_err(|_| AuthorityError::Port)
}
