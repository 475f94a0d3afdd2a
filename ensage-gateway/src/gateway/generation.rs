//! One accepted policy, and what is made of it once instead of for each request.

use std::collections::HashMap;
use std::sync::Arc;

use ensage_audit::{Fragment, PolicyFacts};
use ensage_creds::Slot;
use ensage_endpoint::catalogue::{Catalogue, Matcher};
use ensage_policy::Policy;
use ensage_policy::authority::{Authority, Fit, HostPattern};
use ensage_policy::model::{self, Credential, Enclave, Rule};
use rustls::ClientConfig;
use rustls::pki_types::CertificateDer;

use crate::upstream::{self, SetupError};

/// One policy and what is made of it once, not for each request.
pub(crate) struct Generation {
    /// The policy.
    pub(crate) policy: Arc<Policy>,
    /// The client side of TLS.
    pub(crate) tls: Arc<ClientConfig>,
    /// The same, offering HTTP/2 too.
    pub(crate) tls_h2: Arc<ClientConfig>,
    /// Definitions of agents in force.
    pub(crate) matchers: Vec<Matcher>,
    /// Its member `policy` of records.
    pub(crate) fragment: Fragment,
    slots: HashMap<Arc<str>, Vec<Slot>>,
}

impl Generation {
    pub(super) fn new(mut policy: Policy, own_ca: &CertificateDer<'_>) -> Result<Self, SetupError> {
        close_known(&mut policy);
        let policy = Arc::new(policy);
        let slots = |c: &Arc<Credential>| {
            (c.name.clone(), c.slots.iter().filter_map(crate::flow::creds_slot).collect::<Vec<_>>())
        };
        let tls = upstream::client_config(&policy, own_ca)?;
        let mut tls_h2 = tls.clone();
        tls_h2.alpn_protocols.insert(0, b"h2".to_vec());
        Ok(Self {
            tls: Arc::new(tls),
            tls_h2: Arc::new(tls_h2),
            matchers: matchers(&policy),
            fragment: PolicyFacts { generation: policy.generation, sha256: Some(&policy.sha256) }.fragment(),
            slots: policy.credentials.iter().map(slots).collect(),
            policy,
        })
    }

    /// The slots of a credential, as ensage-creds writes them.
    pub(crate) fn slots(&self, credential: &str) -> &[Slot] {
        self.slots.get(credential).map_or(&[], Vec::as_slice)
    }
}

/// The configuration's definitions, and the catalogue's that it does not override.
pub(crate) fn matchers(policy: &Policy) -> Vec<Matcher> {
    let own = |name: &str| policy.agents.iter().any(|a| *a.name == *name);
    let mut all = if policy.gateway.catalogue { Catalogue::builtin().matchers(&own) } else { Vec::new() };
    for a in &policy.agents {
        let mut m = Matcher::new(a.name.clone());
        if let Some(glob) = a.exe.clone() {
            m = m.exe(move |path| glob.matches(path));
        }
        if let Some(glob) = a.script.clone() {
            m = m.script(move |path| glob.matches(path));
        }
        if !a.sha256.is_empty() {
            m = m.sha256(a.sha256.clone());
        }
        all.push(m);
    }
    all
}

/// Adds the hosts that each enclave's agents are known to ask for besides inference: told "closed" inside TLS they go
/// on at once, while a name that does not exist keeps some of them waiting. What a rule opens stays open.
fn close_known(policy: &mut Policy) {
    if !policy.gateway.catalogue {
        return;
    }
    let catalogue = Catalogue::builtin();
    for enclave in &mut policy.enclaves {
        let mut closed = Vec::new();
        for known in catalogue.agents().iter().filter(|k| enclave.agents.iter().any(|a| **a == *k.name)) {
            for host in &known.closed {
                let Ok(pattern) = HostPattern::parse(host, 443) else { continue };
                if !is_open(enclave, host) && !enclave.closed.iter().any(|(p, _)| *p == pattern) {
                    let path = format!("catalogue.{}.closed", known.name);
                    closed.push((pattern, Rule { path: path.into(), line: 0 }));
                }
            }
        }
        if !closed.is_empty() {
            Arc::make_mut(enclave).closed.extend(closed);
        }
    }
}

/// Whether any rule of the enclave reaches this host over TLS.
fn is_open(enclave: &Enclave, host: &str) -> bool {
    let Ok(at) = Authority::parse(host.as_bytes(), Some(443)) else { return true };
    enclave.http.iter().any(|r| r.host.matches(&at) == Fit::Full)
        || enclave.llm.iter().any(|r| r.host.matches(&at) == Fit::Full)
        || enclave.mcp.iter().any(|r| r.host == at.host && r.port == at.port)
        || enclave.tunnel.iter().any(|(host, _)| host.matches(&at) == Fit::Full)
}

/// The variables that credentials name, read once.
pub(super) fn environment(policy: &Policy) -> Vec<(String, std::ffi::OsString)> {
    let value = |c: &Arc<Credential>| match &c.source {
        model::Source::Env(name) if c.of_next_hop && !policy.credentials.iter().any(|known| known.name == c.name) => {
            crate::state::user_of_proxy(name).map(|user| (name.clone(), user))
        }
        model::Source::Env(name) => std::env::var_os(name).map(|v| (name.clone(), v)),
        model::Source::Vault => None,
    };
    policy.all_credentials().filter_map(value).collect()
}
