//! Which credential a rule has: the one it names, or the only one that binds its host.

use std::ops::Range;
use std::sync::Arc;

use super::Declared;
use super::credential::Bound;
use super::report::Code;
use super::walk::{Item, Walk};
use crate::authority::HostPattern;
use crate::model::{Credential, Policy, Scheme};

/// What a rule says about its credential.
#[derive(Debug)]
pub(super) struct Asked<'a, 'd> {
    /// The value of its `credential`.
    pub(super) named: Option<Item<'d>>,
    pub(super) scheme: Scheme,
    /// Absent if it could not be read.
    pub(super) host: Option<&'a HostPattern>,
}

/// The credential of a rule, named or implied.
pub(super) fn bind(walk: &mut Walk<'_>, declared: &Declared, asked: &Asked<'_, '_>) -> Option<Arc<str>> {
    match &asked.named {
        Some(item) => named(walk, declared, asked, item),
        None => implied(declared, asked),
    }
}

fn named(walk: &mut Walk<'_>, declared: &Declared, asked: &Asked<'_, '_>, item: &Item<'_>) -> Option<Arc<str>> {
    let text = item.text(walk)?;
    let name = declared.credential(item, walk, text)?;
    let of_next_hop = declared.bound.iter().any(|b| b.credential.name == name && b.credential.of_next_hop);
    if of_next_hop {
        let help = "remove `credential`, or name another one: what the next hop gets is the gateway's own";
        walk.error(Code::Conflict, item, format!("the credential `{text}` is `upstream.proxy_credential`"), help);
        return Some(name);
    }
    if asked.scheme == Scheme::Http {
        let help = "remove `credential`, or use https: a secret never goes out in plain text";
        walk.error(Code::CredentialPlaintext, item, format!("plain http can't carry the credential `{text}`"), help);
    }
    let (Some(bound), Some(host)) = (declared.bound.iter().find(|b| b.credential.name == name), asked.host) else {
        return Some(name);
    };
    if !bound.credential.hosts.iter().any(|pattern| pattern.covers(host)) {
        let message = format!("the credential `{text}` is not bound to {host}");
        let help = format!("add \"{host}\" to `{}.hosts`, or name another credential", bound.credential.rule.path);
        walk.error(Code::CredentialHost, item, message, help);
    }
    Some(name)
}

/// Only one may bind any part of the host, and it must bind the whole of it: else which secret goes where would be
/// a guess.
fn implied(declared: &Declared, asked: &Asked<'_, '_>) -> Option<Arc<str>> {
    let host = asked.host.filter(|_| asked.scheme == Scheme::Https)?;
    let of_agents = declared.bound.iter().filter(|b| !b.credential.of_next_hop);
    let mut binding = of_agents.filter(|b| b.credential.hosts.iter().any(|p| p.overlaps(host)));
    let only = binding.next().filter(|_| binding.next().is_none())?;
    let whole = only.credential.hosts.iter().any(|pattern| pattern.covers(host));
    whole.then(|| Arc::clone(&only.credential.name))
}

/// Reports two credentials of one enclave that would fill the same variable.
pub(super) fn shared_variables(walk: &mut Walk<'_>, bound: &[Bound], policy: &Policy) {
    for enclave in &policy.enclaves {
        let mut taken: Vec<(&str, &Arc<str>)> = Vec::new();
        for own in policy.credentials_of(enclave) {
            let places = bound.iter().find(|b| b.credential.name == own.name).map_or(&[][..], |b| &b.env_at);
            for (variable, at) in own.env.iter().zip(places) {
                match taken.iter().find(|(taken, _)| taken == variable) {
                    Some((_, other)) if **other != own.name => shared(walk, variable, at, own, (other, &enclave.name)),
                    Some(_) => {}
                    None => taken.push((variable, &own.name)),
                }
            }
        }
    }
}

fn shared(walk: &mut Walk<'_>, variable: &str, at: &Range<usize>, own: &Credential, (other, enclave): (&str, &str)) {
    let message = format!("`{variable}` is also filled by the credential `{other}` in the enclave `{enclave}`");
    let help = "give one of them another variable, or use them in two enclaves".to_owned();
    walk.report.error(Code::CredentialEnv, at, &format!("{}.env", own.rule.path), message, help);
}
