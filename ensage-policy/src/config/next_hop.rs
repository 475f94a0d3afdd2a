//! `proxy`, `proxy_credential` and `no_proxy` of `[upstream]`: the next hop, or the one that the environment names.

use std::net::{IpAddr, Ipv4Addr};
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use ipnet::IpNet;

use super::Declared;
use super::report::Code;
use super::values::each;
use super::walk::{Item, Table, Walk};
use crate::authority::{Authority, Fit, Host, HostPattern, Hosts};
use crate::model::{Credential, Direct, HopFrom, Listen, NextHop, Rule, Slot, Source};

/// Name of the credential that stands in the environment's own URL.
const OF_ENVIRONMENT: &str = "upstream.proxy";

/// The proxy that the gateway's own environment names. User and password are not in here: they are read by whoever
/// keeps secrets.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EnvProxy {
    /// `HTTPS_PROXY` or `https_proxy`.
    pub variable: String,
    /// Its value without what stands before an `@`.
    pub url: String,
    /// Whether something stands there.
    pub has_user: bool,
    /// `NO_PROXY` or `no_proxy`.
    pub no_proxy: String,
}

/// What `[upstream]` says of the next hop, read before credentials are known.
#[derive(Debug)]
pub(super) struct Said<'d> {
    proxy: Proxy<'d>,
    credential: Option<(Item<'d>, Arc<str>)>,
    direct: Vec<Direct>,
    /// Where `[upstream]` stands.
    head: Range<usize>,
}

#[derive(Debug)]
enum Proxy<'d> {
    Absent,
    /// What stands there is no address of a proxy.
    Unread,
    At(Item<'d>, Authority),
}

impl<'d> Said<'d> {
    pub(super) fn read(table: &mut Table<'d>, walk: &mut Walk<'_>, declared: &Declared) -> Self {
        let proxy = match table.item("proxy") {
            None => Proxy::Absent,
            Some(item) => match at(&item, walk) {
                Some(authority) => Proxy::At(item, authority),
                None => Proxy::Unread,
            },
        };
        let credential = table.item("proxy_credential").and_then(|item| {
            let text = item.text(walk)?;
            let name = declared.credential(&item, walk, text)?;
            Some((item, name))
        });
        let no_proxy = table.item("no_proxy");
        let direct = each(no_proxy.as_ref(), walk, |element, walk| {
            element.host_pattern_of(walk, HostPattern::parse_any_port).map(Direct::Hosts)
        });
        Self { proxy, credential, direct, head: table.head.clone() }
    }

    /// Whether the next hop gets this credential.
    pub(super) fn takes(&self, name: &str) -> bool {
        self.credential.as_ref().is_some_and(|(_, taken)| **taken == *name)
    }

    /// The next hop, once the credentials are read.
    pub(super) fn settle(&self, walk: &mut Walk<'_>, declared: &Declared) -> Option<NextHop> {
        match &self.proxy {
            Proxy::Unread => None,
            Proxy::At(_, at) => {
                let credential = self.bound(walk, declared, at);
                let direct = self.direct.clone();
                Some(NextHop { at: at.clone(), from: HopFrom::Configuration, credential, direct })
            }
            Proxy::Absent => self.of_environment(walk, declared),
        }
    }

    /// The proxy of the gateway's own environment. One that can't be used is told, not taken for an error of the file.
    fn of_environment(&self, walk: &mut Walk<'_>, declared: &Declared) -> Option<NextHop> {
        let env = walk.env.proxy.clone()?;
        let authority = env.url.strip_prefix("http://").unwrap_or(&env.url);
        let authority = authority.strip_suffix('/').unwrap_or(authority);
        let Ok(at) = Authority::parse(authority.as_bytes(), Some(80)) else {
            let message =
                format!("{} names no proxy that can be used, so upstreams are reached directly", env.variable);
            let help = "it must be \"http://HOST:PORT\"; or say `proxy` in [upstream]".to_owned();
            walk.report.warning(Code::NoEffect, &self.head, "upstream.proxy", message, help);
            return None;
        };
        let credential = if env.has_user {
            Some(Arc::new(in_url(&at, env.variable)))
        } else {
            // What is not bound to the environment's proxy is not sent to it.
            let taken = self.credential.as_ref().and_then(|(_, name)| find(declared, name));
            taken.filter(|credential| binds(credential, &at)).cloned()
        };
        let direct = self.direct.iter().cloned().chain(direct(&env.no_proxy)).collect();
        Some(NextHop { at, from: HopFrom::Environment, credential, direct })
    }

    fn bound(&self, walk: &mut Walk<'_>, declared: &Declared, at: &Authority) -> Option<Arc<Credential>> {
        let (item, name) = self.credential.as_ref()?;
        let credential = find(declared, name)?;
        if !binds(credential, at) {
            let message = format!("the credential `{name}` is not bound to the proxy {at}");
            let help = format!("add \"{at}\" to `{}.hosts`, or name another credential", credential.rule.path);
            walk.error(Code::CredentialHost, item, message, help);
        }
        Some(Arc::clone(credential))
    }

    /// Reports a next hop that is a listener of this very file.
    pub(super) fn not_own(&self, walk: &mut Walk<'_>, hop: Option<&NextHop>) {
        let (Proxy::At(item, at), Some(_)) = (&self.proxy, hop) else { return };
        let ip = match &at.host {
            Host::Name(name) if **name == *"localhost" => IpAddr::V4(Ipv4Addr::LOCALHOST),
            Host::Name(_) => return,
            Host::V4(ip) => IpAddr::V4(*ip),
            Host::V6(ip) => IpAddr::V6(*ip),
        };
        let own = |listen: &Listen| {
            let Listen::Tcp(listen) = listen else { return false };
            listen.port() == at.port
                && (listen.ip() == ip
                    || (ip.is_loopback() && (listen.ip().is_unspecified() || listen.ip().is_loopback())))
        };
        if walk.listening.iter().any(own) {
            let message = format!("the gateway itself listens on {at}");
            walk.error(Code::Conflict, item, message, "name another proxy: requests would go round in circles");
        }
    }
}

fn find<'a>(declared: &'a Declared, name: &str) -> Option<&'a Arc<Credential>> {
    declared.bound.iter().map(|bound| &bound.credential).find(|credential| *credential.name == *name)
}

fn binds(credential: &Credential, at: &Authority) -> bool {
    credential.hosts.iter().any(|host| host.matches(at) == Fit::Full)
}

fn at(item: &Item<'_>, walk: &mut Walk<'_>) -> Option<Authority> {
    let text = item.text(walk)?;
    let authority = text.strip_prefix("http://").map(|rest| rest.strip_suffix('/').unwrap_or(rest));
    let at = authority.and_then(|authority| Authority::parse(authority.as_bytes(), Some(80)).ok());
    if at.is_none() {
        let message = format!("{text:?} is no address of a proxy");
        walk.error(Code::BadValue, item, message, "write \"http://HOST:PORT\"; a password belongs into the vault");
    }
    at
}

/// User and password of the environment's own URL.
fn in_url(at: &Authority, variable: String) -> Credential {
    Credential {
        name: Arc::from(OF_ENVIRONMENT),
        rule: Rule { path: Arc::from(OF_ENVIRONMENT), line: 0 },
        source: Source::Env(variable),
        slots: vec![Slot::Basic(None)],
        hosts: vec![HostPattern::exact(at.host.clone(), at.port)],
        paths: None,
        placeholder: String::new(),
        env: Vec::new(),
        inject: false,
        ttl: Duration::from_secs(1),
        of_next_hop: true,
    }
}

/// The entries of `NO_PROXY`, as most programs read it: a name also means what is below it, with or without a dot
/// before it. What is none of the known forms means nothing.
fn direct(text: &str) -> Vec<Direct> {
    let mut all = Vec::new();
    for entry in text.split([',', ' ', '\t']).filter(|entry| !entry.is_empty()) {
        if let Ok(address) = entry.parse::<IpAddr>() {
            all.push(Direct::Addresses(IpNet::from(address)));
        } else if let Ok(net) = entry.parse::<IpNet>() {
            all.push(Direct::Addresses(net.trunc()));
        } else {
            let name = entry.strip_prefix("*.").or_else(|| entry.strip_prefix('.')).unwrap_or(entry);
            let Ok(pattern) = HostPattern::parse_any_port(name) else { continue };
            if let Hosts::Exact(Host::Name(apex)) = &pattern.hosts {
                let below = HostPattern { hosts: Hosts::Below(Arc::clone(apex)), ports: pattern.ports };
                all.push(Direct::Hosts(below));
            }
            all.push(Direct::Hosts(pattern));
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_proxy_is_read_as_most_programs_read_it() {
        let hop = |no_proxy: &str| NextHop {
            at: Authority::parse(b"p.test:3128", None).unwrap(),
            from: HopFrom::Environment,
            credential: None,
            direct: direct(no_proxy),
        };
        for (no_proxy, to, through) in [
            ("", "a.test:443", true),
            ("", "localhost:80", false),
            ("", "x.localhost:80", false),
            ("", "127.3.2.1:80", false),
            ("", "[::1]:80", false),
            ("", "[::ffff:127.0.0.1]:80", false),
            ("", "10.0.0.1:80", true),
            ("*", "a.test:443", false),
            ("a.test", "a.test:443", false),
            ("a.test", "x.a.test:8443", false),
            ("a.test", "xa.test:443", true),
            (".a.test", "x.a.test:443", false),
            (".a.test", "a.test:443", false),
            ("*.a.test", "x.a.test:443", false),
            ("a.test:8443", "a.test:8443", false),
            ("a.test:8443", "a.test:443", true),
            ("b.test, a.test", "a.test:443", false),
            ("10.0.0.0/8", "10.1.2.3:443", false),
            ("10.0.0.0/8", "11.1.2.3:443", true),
            ("10.1.2.3", "10.1.2.3:443", false),
            ("fd00::/8", "[fd00::1]:443", false),
            ("10.1.2.3", "a.test:443", true),
            ("a b/c,%,::/x", "c.test:443", true),
        ] {
            let to = Authority::parse(to.as_bytes(), None).unwrap();
            assert_eq!(hop(no_proxy).leads_to(&to), through, "{no_proxy:?} {to}");
        }
    }
}
