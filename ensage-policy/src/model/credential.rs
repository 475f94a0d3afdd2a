//! Credentials: where a secret is, where it may go, and which enclave has it.

use std::sync::Arc;
use std::time::Duration;

use super::{Enclave, Policy, Rule};
use crate::authority::HostPattern;
use crate::glob::Glob;

/// Where a secret comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// The vault file.
    Vault,
    /// An environment variable of the gateway, read once.
    Env(String),
}

/// The one place in a request where a credential belongs.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Slot {
    /// `authorization: Bearer SECRET`
    Bearer,
    /// A header whose whole value is the secret; lower-case name.
    Header(String),
    /// `proxy-authorization: Basic` towards the next hop. With a user the secret is the password, else both.
    Basic(Option<String>),
}

/// `[credential.NAME]`
#[derive(Clone, Debug)]
pub struct Credential {
    /// The name.
    pub name: Arc<str>,
    /// `credential.NAME`
    pub rule: Rule,
    /// Where the secret is.
    pub source: Source,
    /// Where it goes; never empty.
    pub slots: Vec<Slot>,
    /// Which hosts; an empty list is none.
    pub hosts: Vec<HostPattern>,
    /// Which paths; `None` = all.
    pub paths: Option<Vec<Glob>>,
    /// Prefix of its placeholders; may be empty.
    pub placeholder: String,
    /// Variables in which `run` hands a placeholder over.
    pub env: Vec<String>,
    /// A request without any credential gets it too.
    pub inject: bool,
    /// Life of a placeholder.
    pub ttl: Duration,
    /// True of the one that the next hop gets: it belongs to the gateway, and no agent has it.
    pub of_next_hop: bool,
}

impl Policy {
    /// All credentials: those of the file, and the one that the environment has for the next hop.
    pub fn all_credentials(&self) -> impl Iterator<Item = &Arc<Credential>> {
        let declared = |credential: &Credential| self.credentials.iter().any(|known| known.name == credential.name);
        let of_hop = self.upstream.next_hop.iter().filter_map(|hop| hop.credential.as_ref());
        self.credentials.iter().chain(of_hop.filter(move |credential| !declared(credential)))
    }

    /// The credentials of an enclave: those that its rules name, and those with a host that its rules open.
    pub fn credentials_of<'p>(&'p self, enclave: &'p Enclave) -> impl Iterator<Item = &'p Arc<Credential>> {
        self.credentials.iter().filter(|credential| !credential.of_next_hop).filter(move |credential| {
            let named = |name: &Option<Arc<str>>| name.as_ref() == Some(&credential.name);
            let binds = |host: &HostPattern| credential.hosts.iter().any(|bound| bound.overlaps(host));
            enclave.http.iter().any(|rule| named(&rule.credential) || binds(&rule.host))
                || enclave.llm.iter().any(|rule| named(&rule.credential) || binds(&rule.host))
                || enclave
                    .mcp
                    .iter()
                    .any(|rule| named(&rule.credential) || binds(&HostPattern::exact(rule.host.clone(), rule.port)))
        })
    }
}
