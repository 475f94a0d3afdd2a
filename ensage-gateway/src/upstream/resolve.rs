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
    ) -> Result<Vec<SocketAddr>, Fault> {
        let fixed = policy.upstream.resolve.iter().find(|r| r.from.matches(to) == Fit::Full);
        let found = match (fixed, &to.host) {
            (Some(rule), _) => vec![SocketAddr::new(rule.to, rule.port.unwrap_or(to.port))],
            (None, Host::V4(ip)) => vec![SocketAddr::new(IpAddr::V4(*ip), to.port)],
            (None, Host::V6(ip)) => vec![SocketAddr::new(IpAddr::V6(*ip), to.port)],
            (None, Host::Name(name)) => self.look_up(name, to.port).await?,
        };
        // A literal that an entry names is among `opened`; one that only a wildcard lets in opens nothing.
        for at in &found {
            may_dial(at.ip(), &[&policy.upstream.private_addresses, opened])
                .map_err(|refused| Fault::Address { address: refused.address, range: refused.range })?;
        }
        Ok(found)
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
