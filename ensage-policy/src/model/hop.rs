//! The next hop: a proxy between this gateway and the upstreams.

use std::net::IpAddr;
use std::sync::Arc;

use ipnet::IpNet;

use super::Credential;
use crate::authority::{Authority, Fit, Host, HostPattern};

/// A proxy that is asked by CONNECT for every upstream but those of `direct`.
#[derive(Clone, Debug)]
pub struct NextHop {
    /// Where it is.
    pub at: Authority,
    /// Who named it.
    pub from: HopFrom,
    /// What it is sent as `proxy-authorization`.
    pub credential: Option<Arc<Credential>>,
    /// What is reached without it.
    pub direct: Vec<Direct>,
}

/// Who named the next hop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HopFrom {
    /// `upstream.proxy`
    Configuration,
    /// `HTTPS_PROXY` of the gateway's own environment.
    Environment,
}

/// An entry of `no_proxy`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Direct {
    /// These hosts.
    Hosts(HostPattern),
    /// These addresses, where they are asked for as such.
    Addresses(IpNet),
}

impl NextHop {
    /// Whether this upstream is reached through it. Loopback never is: there the next hop would reach itself.
    pub fn leads_to(&self, to: &Authority) -> bool {
        !is_loopback(&to.host) && !self.direct.iter().any(|direct| direct.fits(to))
    }
}

impl Direct {
    fn fits(&self, to: &Authority) -> bool {
        match self {
            Self::Hosts(pattern) => pattern.matches(to) == Fit::Full,
            Self::Addresses(net) => to.host.ip().is_some_and(|ip| net.contains(&ip)),
        }
    }
}

/// Loopback by address, or by the name that always means it (RFC 6761 section 6.3).
fn is_loopback(host: &Host) -> bool {
    match host {
        Host::Name(name) => **name == *"localhost" || name.ends_with(".localhost"),
        Host::V4(ip) => ip.is_loopback(),
        Host::V6(ip) => IpAddr::V6(*ip).to_canonical().is_loopback(),
    }
}
