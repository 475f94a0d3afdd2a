//! `[gateway]`, `[upstream]` and `[audit]`: the gateway itself.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use super::Declared;
use super::next_hop;
use super::report::Code;
use super::values::{Bounds, each};
use super::walk::{Item, Origin, Table, Walk};
use crate::authority::{HostPattern, Hosts, Ports};
use crate::model::{Audit, Crl, Gateway, Listen, Mode, Resolve, Roots, Unattributed, Upstream};

const DAY: Duration = Duration::from_secs(24 * 60 * 60);
const MODES: &[(&str, Mode)] = &[("enforce", Mode::Enforce), ("observe", Mode::Observe)];
/// More threads than this are a slip of the keyboard.
const WORKERS_MOST: u64 = 1024;

pub(super) fn gateway(mut table: Table<'_>, walk: &mut Walk<'_>, declared: &Declared) -> Gateway {
    let said = table.item("listen");
    let listen_is_said = said.is_some() && walk.origin == Origin::File;
    let listen = match said {
        Some(item) => listeners(&item, walk),
        None => vec![Listen::Tcp(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)))],
    };
    let mode = mode(table.item("mode").as_ref(), walk).unwrap_or(Mode::Enforce);
    let unattributed = table.item("unattributed").and_then(|item| unattributed(&item, walk, declared));
    let bounds = Bounds { least: Duration::from_secs(1), most: 366 * DAY };
    let session_ttl = table.item("session_ttl").and_then(|item| item.duration(walk, bounds));
    let catalogue = table.item("catalogue").and_then(|item| item.flag(walk)).unwrap_or(true);
    let bounds = Bounds { least: 1, most: WORKERS_MOST };
    let workers = table.item("workers").and_then(|item| item.integer(walk, bounds)).unwrap_or(1);
    table.close(walk);
    Gateway {
        listen,
        listen_is_said,
        mode,
        unattributed: unattributed.unwrap_or(Unattributed::Deny),
        session_ttl: session_ttl.unwrap_or(DAY / 2),
        catalogue,
        workers: usize::try_from(workers).unwrap_or(1),
    }
}

pub(super) fn mode(item: Option<&Item<'_>>, walk: &mut Walk<'_>) -> Option<Mode> {
    item?.choice(walk, MODES)
}

/// The listeners of a `listen` key, noted so that none is asked for twice.
pub(super) fn listeners(item: &Item<'_>, walk: &mut Walk<'_>) -> Vec<Listen> {
    let mut listeners = Vec::new();
    for element in item.one_or_list(walk) {
        let Some(listen) = element.listen(walk) else {
            continue;
        };
        let any_port = matches!(&listen, Listen::Tcp(address) if address.port() == 0);
        if !any_port && !walk.listening.insert(listen.clone()) {
            let message = format!("{listen} is already listened on");
            walk.error(Code::Conflict, &element, message, "one listener belongs to one enclave or to the gateway");
        }
        listeners.push(listen);
    }
    listeners
}

fn unattributed(item: &Item<'_>, walk: &mut Walk<'_>, declared: &Declared) -> Option<Unattributed> {
    let text = item.text(walk)?;
    if text == "deny" {
        return Some(Unattributed::Deny);
    }
    declared.enclave(item, walk, text).map(Unattributed::Enclave)
}

pub(super) fn upstream<'d>(
    mut table: Table<'d>,
    walk: &mut Walk<'_>,
    declared: &Declared,
) -> (Upstream, next_hop::Said<'d>) {
    let roots = table.item("roots");
    let roots = match &roots {
        Some(_) => each(roots.as_ref(), walk, root),
        None => vec![Roots::System],
    };
    let resolve = table.table(walk, "resolve");
    let resolve = resolved(&resolve, walk);
    let dns = table.item("dns");
    let dns = each(dns.as_ref(), walk, resolver);
    let private_addresses = table.item("private_addresses");
    let private_addresses = each(private_addresses.as_ref(), walk, Item::range);
    let crl = table.item("crl");
    let crl = each(crl.as_ref(), walk, revoked);
    let said = next_hop::Said::read(&mut table, walk, declared);
    table.close(walk);
    (Upstream { roots, crl, resolve, dns, private_addresses, next_hop: None }, said)
}

fn root(element: &Item<'_>, walk: &mut Walk<'_>) -> Option<Roots> {
    match element.text(walk)? {
        "system" => Some(Roots::System),
        _ => walk.file_path(element).map(Roots::File),
    }
}

fn revoked(element: &Item<'_>, walk: &mut Walk<'_>) -> Option<Crl> {
    let path = walk.file_path(element)?;
    let (line, column) = walk.report.position(element.span().start);
    Some(Crl { path, key: Arc::from(element.path.as_str()), line, column })
}

fn resolver(element: &Item<'_>, walk: &mut Walk<'_>) -> Option<SocketAddr> {
    let address = element.socket_address(walk)?;
    if address.port() == 0 {
        walk.error(Code::BadValue, element, format!("{address} has port 0"), "write the resolver's port, usually 53");
        return None;
    }
    Some(address)
}

/// `resolve`: the more exact name first, so that the first that fits is the one that counts.
fn resolved(table: &Table<'_>, walk: &mut Walk<'_>) -> Vec<Resolve> {
    let mut entries: Vec<Resolve> = Vec::new();
    for (name, item) in table.named(walk) {
        let Some(from) = resolved_name(&name, &item, walk) else {
            continue;
        };
        if entries.iter().any(|other| other.from == from) {
            let message = format!("{from} is resolved twice");
            walk.report.error(Code::Conflict, &item.key, &item.path, message, "keep one of the two".to_owned());
        }
        if let Some((to, port)) = target(&item, walk) {
            entries.push(Resolve { from, to, port });
        }
    }
    entries.sort_by_key(|entry| {
        let (width, depth) = match &entry.from.hosts {
            Hosts::Exact(_) => (0, 0),
            Hosts::Below(apex) => (1, apex.len()),
            Hosts::Any => (2, 0),
        };
        (width, std::cmp::Reverse(depth), entry.from.ports == Ports::Any)
    });
    entries
}

fn resolved_name(name: &str, item: &Item<'_>, walk: &mut Walk<'_>) -> Option<HostPattern> {
    match HostPattern::parse(name, 443) {
        Ok(pattern) => Some(pattern),
        Err(fault) if !name.is_empty() => {
            let help = "write \"HOST:PORT\", such as \"api.example.com:443\" or \"*.example.com:443\"".to_owned();
            let message = format!("{name:?} names no host: {fault}");
            walk.report.error(Code::BadHost, &item.key, &item.path, message, help);
            None
        }
        // Reported as a name already.
        Err(_) => None,
    }
}

fn target(item: &Item<'_>, walk: &mut Walk<'_>) -> Option<(IpAddr, Option<u16>)> {
    let text = item.text(walk)?;
    if let Ok(address) = text.parse::<IpAddr>() {
        return Some((address, None));
    }
    match text.parse::<SocketAddr>() {
        Ok(address) if address.port() != 0 => Some((address.ip(), Some(address.port()))),
        Ok(_) | Err(_) => {
            let help = "write \"IP\" or \"IP:PORT\"; the target is never looked up";
            walk.error(Code::BadValue, item, format!("{text:?} is no address"), help);
            None
        }
    }
}

pub(super) fn audit(mut table: Table<'_>, walk: &mut Walk<'_>) -> Audit {
    let sync = table.item("sync").and_then(|item| item.flag(walk)).unwrap_or(false);
    let bounds = Bounds { least: Duration::from_millis(1), most: 36_500 * DAY };
    let retain = table.item("retain").and_then(|item| item.duration(walk, bounds)).unwrap_or(90 * DAY);
    let bounds = Bounds { least: 1, most: 64 << 30 };
    let segment = table.item("segment").and_then(|item| item.size(walk, bounds)).unwrap_or(64 << 20);
    if let Some(item) = table.item("otlp")
        && let Some(text) = item.text(walk)
    {
        if text.starts_with("http://") || text.starts_with("https://") {
            walk.not_yet(&item, "`audit.otlp`");
        } else {
            walk.error(Code::BadValue, &item, format!("{text:?} is no URL"), "write \"http://HOST:PORT\"");
        }
    }
    table.close(walk);
    Audit { sync, retain, segment }
}
