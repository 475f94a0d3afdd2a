//! One host: a name in A-label form, or an IP address.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use idna::uts46::{AsciiDenyList, DnsLength, Hyphens, Uts46};

use super::INPUT_BYTES_MAX;

/// Most bytes of a name without its trailing dot (RFC 1035 section 2.3.4).
const NAME_BYTES_MAX: usize = 253;
/// Most bytes of one label (RFC 1035 section 2.3.4).
const LABEL_BYTES_MAX: usize = 63;

/// Why a text is no host.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidHost {
    /// Nothing there.
    #[error("the host is empty")]
    Empty,
    /// The name is over 253 bytes, or its input over 1024.
    #[error("the host is longer than 253 bytes")]
    TooLong,
    /// Something that is no letter, digit, hyphen, underscore or dot once it is ASCII: user information, a
    /// percent sign, a backslash, a zone id, a control character and all others.
    #[error("the host holds a character that no host name has")]
    Character,
    /// An empty label, one over 63 bytes, or a hyphen at its begin or end.
    #[error("the host has a bad label")]
    Label,
    /// UTS-46 refuses it: an unassigned or disallowed character, or an `xn--` label that is not what it decodes to.
    #[error("the host is no valid internationalised name")]
    Name,
    /// Brackets around something other than an IPv6 address, or an IPv6 address without them.
    #[error("brackets belong around an IPv6 address and nothing else")]
    Brackets,
    /// Ends in a number but is no plain dotted quad: `127.1`, `0x7f000001`, `2130706433`, `0177.0.0.1`.
    #[error("an IPv4 address has four decimal numbers without leading zeros")]
    AddressSpelling,
}

/// A host in its one spelling.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Host {
    /// A name: lower-case A-labels, no trailing dot, never one that ends in a number.
    Name(Arc<str>),
    /// An IPv4 address that was asked for as such.
    V4(Ipv4Addr),
    /// An IPv6 address that was asked for as such.
    V6(Ipv6Addr),
}

impl Host {
    /// Reads a name or an address (IPv6 in brackets), in any of their spellings, into the one that counts.
    ///
    /// Names pass UTS-46 ToASCII (non-transitional; bidi and joiner rules on), lose one trailing dot, and consist of
    /// letters, digits, hyphens and underscores. RFC 952 has no underscores, but hosts with them exist and resolve.
    ///
    /// # Errors
    /// See [`InvalidHost`]. Numeric spellings of an IPv4 address other than the dotted quad are refused, because
    /// parsers read `0177.0.0.1` in two ways.
    pub fn parse(text: &str) -> Result<Self, InvalidHost> {
        if text.is_empty() {
            return Err(InvalidHost::Empty);
        }
        if text.len() > INPUT_BYTES_MAX {
            return Err(InvalidHost::TooLong);
        }
        if let Some(inner) = text.strip_prefix('[') {
            let inner = inner.strip_suffix(']').ok_or(InvalidHost::Brackets)?;
            return inner.parse().map(Self::V6).map_err(|_| InvalidHost::Brackets);
        }
        // Before UTS-46, which maps some characters to others and drops a few.
        if text.bytes().any(|b| b.is_ascii() && !is_name_byte(b.to_ascii_lowercase()) && b != b'.') {
            return Err(InvalidHost::Character);
        }
        let ascii = Uts46::new()
            .to_ascii(text.as_bytes(), AsciiDenyList::URL, Hyphens::Allow, DnsLength::Ignore)
            .map_err(|_| InvalidHost::Name)?;
        let name = ascii.strip_suffix('.').unwrap_or(&ascii);
        check_name(name)?;
        if ends_in_number(name) {
            return name.parse().map(Self::V4).map_err(|_| InvalidHost::AddressSpelling);
        }
        Ok(Self::Name(name.into()))
    }

    /// The address, if this is one.
    pub fn ip(&self) -> Option<IpAddr> {
        match self {
            Self::Name(_) => None,
            Self::V4(ip) => Some(IpAddr::V4(*ip)),
            Self::V6(ip) => Some(IpAddr::V6(*ip)),
        }
    }

    /// The name, if this is one.
    pub fn name(&self) -> Option<&str> {
        match self {
            Self::Name(name) => Some(name),
            Self::V4(_) | Self::V6(_) => None,
        }
    }
}

/// As it stands in an authority: IPv6 in brackets.
impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(name) => f.write_str(name),
            Self::V4(ip) => ip.fmt(f),
            Self::V6(ip) => write!(f, "[{ip}]"),
        }
    }
}

const fn is_name_byte(b: u8) -> bool {
    matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_')
}

fn check_name(name: &str) -> Result<(), InvalidHost> {
    if name.is_empty() {
        return Err(InvalidHost::Empty);
    }
    if name.len() > NAME_BYTES_MAX {
        return Err(InvalidHost::TooLong);
    }
    for label in name.split('.') {
        if label.is_empty() || label.len() > LABEL_BYTES_MAX || label.starts_with('-') || label.ends_with('-') {
            return Err(InvalidHost::Label);
        }
        if !label.bytes().all(is_name_byte) {
            return Err(InvalidHost::Character);
        }
    }
    Ok(())
}

/// The URL standard's "ends in a number": such a host is an IPv4 address to one resolver or another.
fn ends_in_number(name: &str) -> bool {
    let last = name.rsplit('.').next().unwrap_or(name);
    match last.strip_prefix("0x") {
        Some(hex) => hex.bytes().all(|b| b.is_ascii_hexdigit()),
        None => last.bytes().all(|b| b.is_ascii_digit()),
    }
}
