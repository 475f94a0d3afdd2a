//! From a canonical authority to addresses that may be dialled. Called only after the host was allowed.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use ensage_policy::Policy;
use ensage_policy::authority::{Authority, Fit, Host, may_dial};
use hickory_resolver::TokioResolver;
use hickory_resolver::config::{ConnectionConfig, NameServerConfig, ResolverConfig};
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use ipnet::IpNet;

use super::{Fault, SetupError};

/// Most addresses of one name that are looked at.
const ADDRESSES_MAX: usize = 32;
/// Longest wait for the answers of all resolvers together.
const LOOKUP_WAIT: Duration = Duration::from_secs(5);

/// Turns names into addresses and refuses the special-purpose ones.
pub(super) struct Names {
    /// Present if `upstream.dns` names resolvers; else the system's are asked.
    resolver: Option<TokioResolver>,
}

impl Names {
    /// Must be called inside the runtime that will do the lookups.
    pub(super) fn new(dns: &[SocketAddr]) -> Result<Self, SetupError> {
        if dns.is_empty() {
            return Ok(Self { resolver: None });
        }
        let servers = dns
            .iter()
            .map(|at| {
                let mut connections = [ConnectionConfig::udp(), ConnectionConfig::tcp()];
                for c in &mut connections {
                    c.port = at.port();
                }
                NameServerConfig::new(at.ip(), true, connections.into())
            })
            .collect();
        let config = ResolverConfig::from_parts(None, Vec::new(), servers);
        let mut builder = TokioResolver::builder_with_config(config, TokioRuntimeProvider::default());
        let options = builder.options_mut();
        options.timeout = Duration::from_secs(2);
        options.attempts = 2;
        options.use_hosts_file = hickory_resolver::config::ResolveHosts::Never;
        Ok(Self { resolver: Some(builder.build().map_err(|e| SetupError::Resolver(e.to_string()))?) })
    }

    /// The addresses to dial for `to`, in order. Every one of them was checked, and one bad address refuses the
    /// whole name: a mixed answer is how a rebinding attack begins (threat A12).
    pub(super) async fn addresses(
        &self,
        policy: &Policy,
        to: &Authority,
        opened: &[IpNet],
        own: &[SocketAddr],
    ) -> Result<Vec<SocketAddr>, Fault> {
        let found = self.found(policy, to).await?;
        for at in &found {
            check(at, policy, opened, own)?;
        }
        Ok(found)
    }

    /// The addresses of the next hop. Whoever named it opened them; the gateway itself is none.
    pub(super) async fn of_hop(
        &self,
        policy: &Policy,
        hop: &Authority,
        own: &[SocketAddr],
    ) -> Result<Vec<SocketAddr>, Fault> {
        let mut found =
            self.found(policy, hop).await.map_err(|_| Fault::Hop { detail: "its name does not resolve" })?;
        found.retain(|at| !is_own(at, own));
        if found.is_empty() {
            return Err(Fault::Hop { detail: "it is this gateway's own listener" });
        }
        Ok(found)
    }

    async fn found(&self, policy: &Policy, to: &Authority) -> Result<Vec<SocketAddr>, Fault> {
        match (known(policy, to), &to.host) {
            (Some(at), _) => Ok(vec![at]),
            (None, Host::Name(name)) => self.look_up(name, to.port).await,
            // Addresses are known.
            (None, Host::V4(_) | Host::V6(_)) => Err(Fault::Dns),
        }
    }

    async fn look_up(&self, name: &str, port: u16) -> Result<Vec<SocketAddr>, Fault> {
        let found: Vec<SocketAddr> = tokio::time::timeout(LOOKUP_WAIT, async {
            match &self.resolver {
                Some(resolver) => {
                    // A final dot keeps the resolver from trying a search list: only the asked name is looked up.
                    let answer = resolver.lookup_ip(format!("{name}.")).await.map_err(|_| Fault::Dns)?;
                    Ok::<_, Fault>(answer.iter().map(|ip| SocketAddr::new(ip, port)).take(ADDRESSES_MAX).collect())
                }
                None => {
                    // Without a final dot: the hosts file, which the system's own rules put first, has none either.
                    let answer = tokio::net::lookup_host((name, port)).await.map_err(|_| Fault::Dns)?;
                    Ok(answer.take(ADDRESSES_MAX).collect())
                }
            }
        })
        .await
        .map_err(|_| Fault::Dns)??;
        if found.is_empty() {
            return Err(Fault::Dns);
        }
        Ok(found)
    }
}

/// The address that a name is fixed to, or that it is.
fn known(policy: &Policy, to: &Authority) -> Option<SocketAddr> {
    let fixed = policy.upstream.resolve.iter().find(|r| r.from.matches(to) == Fit::Full);
    match fixed {
        Some(rule) => Some(SocketAddr::new(rule.to, rule.port.unwrap_or(to.port))),
        None => to.host.ip().map(|ip| SocketAddr::new(ip, to.port)),
    }
}

/// What the next hop is asked for. It looks names up itself; an address is checked before it leaves, and a name that is
/// fixed to one is never looked up, by nobody.
pub(super) fn asked_of_hop(
    policy: &Policy,
    to: &Authority,
    opened: &[IpNet],
    own: &[SocketAddr],
) -> Result<Authority, Fault> {
    let Some(at) = known(policy, to) else { return Ok(to.clone()) };
    check(&at, policy, opened, own)?;
    let host = match at.ip() {
        IpAddr::V4(ip) => Host::V4(ip),
        IpAddr::V6(ip) => Host::V6(ip),
    };
    Ok(Authority { host, port: at.port() })
}

/// Whether an address may be dialled. A literal that an entry names is among `opened`; one that only a wildcard lets in
/// opens nothing.
fn check(at: &SocketAddr, policy: &Policy, opened: &[IpNet], own: &[SocketAddr]) -> Result<(), Fault> {
    if is_own(at, own) {
        return Err(Fault::Address { address: at.ip(), range: "this gateway's own listener" });
    }
    may_dial(at.ip(), &[&policy.upstream.private_addresses, opened])
        .map_err(|refused| Fault::Address { address: refused.address, range: refused.range })
}

/// Whether this is one of the gateway's own listeners, by whatever address of this machine: a request to itself would
/// go round in circles, and arrive as the gateway's own (threat A14).
pub(super) fn is_own(at: &SocketAddr, own: &[SocketAddr]) -> bool {
    let here = |ip: IpAddr| ip.is_loopback() || ip.is_unspecified();
    own.iter().any(|o| {
        o.port() == at.port()
            && (o.ip() == at.ip() || o.ip().is_unspecified() || (here(o.ip()) && here(at.ip().to_canonical())))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a14_every_spelling_of_an_own_listener_is_closed() {
        let own: Vec<SocketAddr> = vec!["127.0.0.1:8899".parse().unwrap()];
        for (at, expected) in [
            ("127.0.0.1:8899", true),
            ("127.0.0.2:8899", true),
            ("[::1]:8899", true),
            ("[::ffff:127.0.0.1]:8899", true),
            ("0.0.0.0:8899", true),
            ("127.0.0.1:8898", false),
            ("192.0.2.1:8899", false),
        ] {
            assert_eq!(is_own(&at.parse().unwrap(), &own), expected, "{at}");
        }
        assert!(is_own(&"192.0.2.1:1".parse().unwrap(), &["0.0.0.0:1".parse().unwrap()]));
    }
}
