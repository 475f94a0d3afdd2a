//! Whether a host exists for an enclave: decided on its name, before anything is looked up or dialled.

use std::borrow::Cow;

use super::denial::Denial;
use super::http;
use crate::authority::{Authority, Fit, HostPattern};
use crate::model::{Enclave, Rule, Scheme};
use crate::reason::Reason;

/// How far the best entry goes along.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Nearest {
    None,
    Host,
    HostAndPort,
}

/// The rule that makes a host exist, or why it does not; `None` asks for any scheme, as a CONNECT does.
pub(super) fn reach<'e>(enclave: &'e Enclave, to: &Authority, scheme: Option<Scheme>) -> Result<Cow<'e, Rule>, Denial> {
    if let Some((_, rule)) = closed(enclave, to) {
        return Ok(Cow::Borrowed(rule));
    }
    let mut nearest = Nearest::None;
    for (fit, schemes, rule) in entries(enclave, to) {
        nearest = nearest.max(match fit {
            Fit::None => Nearest::None,
            Fit::OtherPort => Nearest::Host,
            Fit::Full if scheme.is_none_or(|scheme| schemes.contains(&scheme)) => return Ok(Cow::Borrowed(rule)),
            Fit::Full => Nearest::HostAndPort,
        });
    }
    Err(refusal(enclave, to, scheme, nearest))
}

/// The entry that closes a host: it is answered 403 without any contact.
pub(super) fn closed<'e>(enclave: &'e Enclave, to: &Authority) -> Option<&'e (HostPattern, Rule)> {
    enclave.closed.iter().find(|(host, _)| host.matches(to) == Fit::Full)
}

fn entries<'e>(enclave: &'e Enclave, to: &Authority) -> impl Iterator<Item = (Fit, &'e [Scheme], &'e Rule)> {
    use std::slice::from_ref;
    let mcp = enclave
        .mcp
        .iter()
        .map(|rule| (HostPattern::exact(rule.host.clone(), rule.port).matches(to), from_ref(&rule.scheme), &rule.rule));
    let llm = enclave.llm.iter().map(|rule| (rule.host.matches(to), from_ref(&Scheme::Https), &rule.rule));
    let http = enclave.http.iter().map(|rule| (rule.host.matches(to), rule.schemes.as_slice(), &rule.rule));
    // Reached by CONNECT alone, whose scheme is not known: nobody asks the gateway itself for what it must not see.
    let tunnel = enclave.tunnel.iter().map(|(host, rule)| (host.matches(to), &[][..], rule));
    mcp.chain(llm).chain(http).chain(tunnel)
}

/// The entry that passes a host's TLS through unseen.
pub(super) fn tunnel<'e>(enclave: &'e Enclave, to: &Authority) -> Option<&'e (HostPattern, Rule)> {
    let listed = enclave.tunnel.iter().find(|(host, _)| host.matches(to) == Fit::Full);
    listed.filter(|_| closed(enclave, to).is_none())
}

fn refusal(enclave: &Enclave, to: &Authority, scheme: Option<Scheme>, nearest: Nearest) -> Denial {
    let name = &enclave.name;
    let list = http::list(enclave);
    // Plain HTTP must be said: without it the new entry would be refused for its scheme.
    let plain = if scheme == Some(Scheme::Http) { " and scheme = \"http\"" } else { "" };
    let remedy = format!("add an entry with host = \"{to}\"{plain} to {}", list.path);
    let (reason, message) = match (nearest, to.host.ip()) {
        (Nearest::None, None) => (Reason::HostNotAllowed, format!("{} is not in enclave {name}", to.host)),
        (Nearest::None, Some(_)) => (Reason::AddressLiteral, format!("address {} is not in enclave {name}", to.host)),
        (Nearest::Host, _) => {
            (Reason::PortNotAllowed, format!("port {} of {} is not in enclave {name}", to.port, to.host))
        }
        (Nearest::HostAndPort, _) => {
            (Reason::SchemeNotAllowed, format!("{to} is not in enclave {name} with this scheme"))
        }
    };
    Denial::new(reason, message).by(&list).remedy(remedy)
}
