//! What `host` means in a rule: which hosts, and which of their ports.

use std::fmt;
use std::sync::Arc;

use super::{Authority, AuthorityError, Host, InvalidHost, parse_port, split};

/// Which hosts a pattern names.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Hosts {
    /// `*`: every name and every address.
    Any,
    /// `*.example.com`: all names below, not `example.com` itself.
    Below(Arc<str>),
    /// One host.
    Exact(Host),
}

/// Which ports a pattern names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Ports {
    /// `:*`
    Any,
    /// One port.
    One(u16),
}

/// The `host` of a rule: exact, `*.example.com` or `*`; with `:8443`, `:*`, or the default port.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct HostPattern {
    /// Which hosts.
    pub hosts: Hosts,
    /// Which of their ports.
    pub ports: Ports,
}

/// How far an authority fits a pattern.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fit {
    /// Another host.
    None,
    /// The host, on another port.
    OtherPort,
    /// Host and port.
    Full,
}

impl HostPattern {
    /// Reads a pattern; `default_port` counts where the text names none.
    ///
    /// # Errors
    /// A star anywhere but alone or before the first dot, a host that is none, a port that is none.
    ///
    /// ```
    /// use ensage_policy::authority::{Authority, Fit, HostPattern};
    /// let pattern = HostPattern::parse("*.example.com", 443)?;
    /// let asked = |text: &str| Authority::parse(text.as_bytes(), Some(443));
    /// assert_eq!(pattern.matches(&asked("api.example.com")?), Fit::Full);
    /// assert_eq!(pattern.matches(&asked("api.example.com:8443")?), Fit::OtherPort);
    /// assert_eq!(pattern.matches(&asked("example.com")?), Fit::None);
    /// # Ok::<(), ensage_policy::authority::AuthorityError>(())
    /// ```
    pub fn parse(text: &str, default_port: u16) -> Result<Self, AuthorityError> {
        Self::read(text, Ports::One(default_port))
    }

    /// Reads a pattern that means every port where the text names none.
    ///
    /// # Errors
    /// As [`parse`](Self::parse).
    pub fn parse_any_port(text: &str) -> Result<Self, AuthorityError> {
        Self::read(text, Ports::Any)
    }

    fn read(text: &str, unsaid: Ports) -> Result<Self, AuthorityError> {
        if text.is_empty() {
            return Err(AuthorityError::Empty);
        }
        let (host, port) = split(text)?;
        let ports = match port {
            Some("*") => Ports::Any,
            Some(digits) => Ports::One(parse_port(digits)?),
            None => unsaid,
        };
        let hosts = match (host, host.strip_prefix("*.")) {
            ("*", _) => Hosts::Any,
            (_, Some(apex)) => match Host::parse(apex)? {
                Host::Name(apex) => Hosts::Below(apex),
                Host::V4(_) | Host::V6(_) => return Err(InvalidHost::AddressSpelling.into()),
            },
            _ => Hosts::Exact(Host::parse(host)?),
        };
        Ok(Self { hosts, ports })
    }

    /// The pattern of exactly one host and port.
    pub const fn exact(host: Host, port: u16) -> Self {
        Self { hosts: Hosts::Exact(host), ports: Ports::One(port) }
    }

    /// How far an authority fits; labels are compared whole.
    pub fn matches(&self, asked: &Authority) -> Fit {
        let named = match (&self.hosts, &asked.host) {
            (Hosts::Any, _) => true,
            (Hosts::Exact(host), asked) => host == asked,
            (Hosts::Below(apex), Host::Name(name)) => is_below(name, apex),
            (Hosts::Below(_), Host::V4(_) | Host::V6(_)) => false,
        };
        match (named, self.ports) {
            (false, _) => Fit::None,
            (true, Ports::Any) => Fit::Full,
            (true, Ports::One(port)) if port == asked.port => Fit::Full,
            (true, Ports::One(_)) => Fit::OtherPort,
        }
    }

    /// True if whatever fits `other` fits this one too.
    pub fn covers(&self, other: &Self) -> bool {
        let hosts = match (&self.hosts, &other.hosts) {
            (Hosts::Any, _) => true,
            (Hosts::Below(apex), Hosts::Exact(Host::Name(name))) => is_below(name, apex),
            (Hosts::Below(apex), Hosts::Below(inner)) => inner == apex || is_below(inner, apex),
            (Hosts::Exact(a), Hosts::Exact(b)) => a == b,
            (Hosts::Below(_), Hosts::Any | Hosts::Exact(Host::V4(_) | Host::V6(_)))
            | (Hosts::Exact(_), Hosts::Any | Hosts::Below(_)) => false,
        };
        let ports = match (self.ports, other.ports) {
            (Ports::Any, _) => true,
            (Ports::One(a), Ports::One(b)) => a == b,
            (Ports::One(_), Ports::Any) => false,
        };
        hosts && ports
    }

    /// True if some authority fits both.
    pub fn overlaps(&self, other: &Self) -> bool {
        let hosts = match (&self.hosts, &other.hosts) {
            (Hosts::Any, _) | (_, Hosts::Any) => true,
            (Hosts::Exact(a), Hosts::Exact(b)) => a == b,
            (Hosts::Below(apex), Hosts::Exact(host)) | (Hosts::Exact(host), Hosts::Below(apex)) => {
                host.name().is_some_and(|name| is_below(name, apex))
            }
            (Hosts::Below(a), Hosts::Below(b)) => a == b || is_below(a, b) || is_below(b, a),
        };
        let ports = match (self.ports, other.ports) {
            (Ports::Any, _) | (_, Ports::Any) => true,
            (Ports::One(a), Ports::One(b)) => a == b,
        };
        hosts && ports
    }

    /// The one host, if there is just one.
    pub const fn host(&self) -> Option<&Host> {
        match &self.hosts {
            Hosts::Exact(host) => Some(host),
            Hosts::Any | Hosts::Below(_) => None,
        }
    }
}

fn is_below(name: &str, apex: &str) -> bool {
    name.strip_suffix(apex).is_some_and(|labels| labels.ends_with('.'))
}

/// In full, with the port.
impl fmt::Display for HostPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.hosts {
            Hosts::Any => f.write_str("*")?,
            Hosts::Below(apex) => write!(f, "*.{apex}")?,
            Hosts::Exact(host) => host.fmt(f)?,
        }
        match self.ports {
            Ports::Any => f.write_str(":*"),
            Ports::One(port) => write!(f, ":{port}"),
        }
    }
}

#[cfg(test)]
mod tests;
