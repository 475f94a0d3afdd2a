//! `tunnel`: the TLS hosts that pass unseen. What passes unseen cannot be governed, so no two entries may claim a host.

use super::Declared;
use super::report::Code;
use super::values::each;
use super::walk::{Item, Table, Walk};
use crate::authority::HostPattern;
use crate::model::{Enclave, Rule, Scheme};

/// The hosts as they stand there.
pub(super) fn hosts<'d>(table: &mut Table<'d>, walk: &mut Walk<'_>) -> Vec<(HostPattern, Item<'d>)> {
    let item = table.item("tunnel");
    each(item.as_ref(), walk, |element, walk| Some((element.host_pattern(walk, 443)?, element.clone())))
}

/// The hosts with their rules, held against the rest of the enclave and against the credentials.
pub(super) fn judged(
    hosts: Vec<(HostPattern, Item<'_>)>,
    walk: &mut Walk<'_>,
    declared: &Declared,
    enclave: &Enclave,
) -> Vec<(HostPattern, Rule)> {
    let mut judged = Vec::with_capacity(hosts.len());
    for (host, item) in hosts {
        if let Some(other) = governed(enclave, &host) {
            let message = format!("{host} can't pass unseen: {} is to read it", other.path);
            walk.error(Code::Conflict, &item, message, format!("take one of the two out, or narrow {}", item.path));
        }
        if let Some(bound) = declared.bound.iter().find(|b| b.credential.hosts.iter().any(|p| p.overlaps(&host))) {
            let name = &bound.credential.name;
            let message = format!("{host} is bound by the credential `{name}`, which never goes through a tunnel");
            let help = format!("take the host out of `{}.hosts`, or out of {}", bound.credential.rule.path, item.path);
            walk.error(Code::Conflict, &item, message, help);
        }
        if enclave.closed.iter().any(|(closed, _)| closed.covers(&host)) {
            let message = format!("{host} is closed in this enclave, and what is closed is not passed through");
            walk.warning(Code::NoEffect, &item, message, "take it out of `closed`, or out of `tunnel`");
        }
        judged.push((host, walk.rule(&item.path, &item.span())));
    }
    judged
}

/// The entry that governs some of these hosts. An `http` rule that is wider than the tunnel gives way to it, as the
/// less specific of the two.
fn governed<'e>(enclave: &'e Enclave, host: &HostPattern) -> Option<&'e Rule> {
    let mcp = enclave.mcp.iter().filter(|rule| rule.scheme == Scheme::Https);
    let mcp = mcp.map(|rule| (HostPattern::exact(rule.host.clone(), rule.port), &rule.rule));
    let llm = enclave.llm.iter().map(|rule| (rule.host.clone(), &rule.rule));
    let read = mcp.chain(llm).find(|(read, _)| read.overlaps(host)).map(|(_, rule)| rule);
    let wider = |rule: &HostPattern| rule.covers(host) && !host.covers(rule);
    let passed = || enclave.http.iter().filter(|rule| rule.schemes.contains(&Scheme::Https));
    read.or_else(|| passed().find(|rule| rule.host.overlaps(host) && !wider(&rule.host)).map(|rule| &rule.rule))
}
