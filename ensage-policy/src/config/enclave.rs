//! `[enclave.NAME]` and its plain HTTP reach.

use std::sync::Arc;

use super::binding::{Asked, bind};
use super::gateway::{listeners, mode};
use super::report::Code;
use super::values::{each, is_token};
use super::walk::{Item, Table, Walk};
use super::{Declared, llm, mcp, tunnel};
use crate::authority::{Authority, HostPattern};
use crate::glob::Glob;
use crate::model::{Enclave, HttpRule, Mode, Rule, Scheme, Tier};

const TIERS: &[(&str, Tier)] = &[("contained", Tier::Contained), ("advisory", Tier::Advisory)];
const SCHEMES: &[(&str, Scheme)] = &[("https", Scheme::Https), ("http", Scheme::Http)];
/// Whether MCP to an undeclared server passes unread.
const UNDECLARED: &[(&str, bool)] = &[("deny", false), ("allow", true)];

pub(super) fn enclave(
    name: &Arc<str>,
    item: &Item<'_>,
    walk: &mut Walk<'_>,
    declared: &Declared,
    default_mode: Mode,
) -> Option<Enclave> {
    let mut table = item.table(walk)?;
    if **name == *"deny" {
        let help = "give it another name; `unattributed = \"deny\"` would mean two things".to_owned();
        walk.report.error(Code::BadName, &item.key, &item.path, "an enclave can't be called `deny`".to_owned(), help);
    }
    let rule = table.rule(walk);
    let agents = table.item("agents");
    let agents = each(agents.as_ref(), walk, |element, walk| {
        let text = element.text(walk)?;
        if text == "*" { Some(Arc::from("*")) } else { declared.agent(element, walk, text) }
    });
    let folders = table.item("folders");
    let folders = each(folders.as_ref(), walk, |element, walk| walk.file_path(element));
    let mode = mode(table.item("mode").as_ref(), walk).unwrap_or(default_mode);
    let require = table.item("require").and_then(|item| item.choice(walk, TIERS)).unwrap_or(Tier::Advisory);
    let listen = table.item("listen").map(|item| listeners(&item, walk)).unwrap_or_default();
    let closed = table.item("closed");
    let closed = each(closed.as_ref(), walk, closed_host);
    let tunnels = tunnel::hosts(&mut table, walk);
    later(&mut table, walk);
    let http = table.item("http").and_then(|item| item.list(walk)).unwrap_or_default();
    let http = http.iter().filter_map(|item| http_rule(item, walk, declared)).collect();
    let llm = llm::providers(&table.table(walk, "llm"), walk, declared);
    let mcp = mcp::servers(&table.table(walk, "mcp"), walk, declared);
    table.close(walk);
    let any_agent = agents.iter().any(|agent| **agent == *"*");
    let agents = agents.into_iter().filter(|agent| **agent != *"*").collect();
    let name = Arc::clone(name);
    let mut enclave = Enclave {
        name,
        rule,
        agents,
        any_agent,
        folders,
        mode,
        require,
        listen,
        closed,
        tunnel: Vec::new(),
        http,
        llm,
        mcp,
    };
    enclave.tunnel = tunnel::judged(tunnels, walk, declared, &enclave);
    Some(enclave)
}

fn closed_host(element: &Item<'_>, walk: &mut Walk<'_>) -> Option<(HostPattern, Rule)> {
    let host = element.host_pattern(walk, 443)?;
    Some((host, walk.rule(&element.path, &element.span())))
}

/// `tcp`, `mounts`: read, and refused unless empty.
fn later(table: &mut Table<'_>, walk: &mut Walk<'_>) {
    let tcp = table.item("tcp");
    let places = each(tcp.as_ref(), walk, tcp_place);
    if let Some(item) = tcp.filter(|_| !places.is_empty()) {
        walk.not_yet(&item, "`tcp`");
    }
    let mut mounts = table.table(walk, "mounts");
    for key in ["read", "write"] {
        let Some(item) = mounts.item(key) else {
            continue;
        };
        if !each(Some(&item), walk, |element, walk| walk.file_path(element)).is_empty() {
            walk.not_yet(&item, &format!("`mounts.{key}`"));
        }
    }
    mounts.close(walk);
}

fn tcp_place(element: &Item<'_>, walk: &mut Walk<'_>) -> Option<Authority> {
    let text = element.text(walk)?;
    let place = Authority::parse(text.as_bytes(), None);
    if let Err(fault) = &place {
        let help = "write \"HOST:PORT\", such as \"db.internal:5432\"";
        walk.error(Code::BadHost, element, format!("{text:?} is no host with a port: {fault}"), help);
    }
    place.ok()
}

fn http_rule(item: &Item<'_>, walk: &mut Walk<'_>, declared: &Declared) -> Option<HttpRule> {
    let mut table = item.table(walk)?;
    let rule = table.rule(walk);
    let scheme = table.item("scheme").and_then(|item| item.choice(walk, SCHEMES)).unwrap_or(Scheme::Https);
    let host = table.needed(walk, "host", "\"api.example.com\"");
    let host = host.and_then(|item| item.host_pattern(walk, scheme.default_port()));
    let methods = table.item("methods");
    let methods: Option<Vec<String>> = methods.as_ref().map(|item| each(Some(item), walk, method));
    let paths = table.item("paths");
    let paths: Option<Vec<Glob>> = paths.as_ref().map(|item| each(Some(item), walk, Item::path_glob));
    let ranges = table.item("addresses");
    let addresses = each(ranges.as_ref(), walk, Item::range);
    let websocket = table.item("websocket").and_then(|item| item.flag(walk)).unwrap_or(false);
    let undeclared_mcp = undeclared_mcp(&mut table, walk);
    let named = table.item("credential");
    if let Some(item) = table.item("rate")
        && item.rate(walk).is_some()
    {
        walk.not_enforced(&item);
    }
    table.close(walk);
    let credential = bind(walk, declared, &Asked { named, scheme, host: host.as_ref() });
    Some(HttpRule {
        rule,
        host: host?,
        schemes: vec![scheme],
        methods,
        paths,
        addresses,
        websocket,
        undeclared_mcp,
        credential,
    })
}

/// What is not declared is not looked for yet, so a deny is refused where it is said, and else told to have no effect:
/// once for a file.
fn undeclared_mcp(table: &mut Table<'_>, walk: &mut Walk<'_>) -> bool {
    if let Some(item) = table.item("mcp") {
        let allowed = item.choice(walk, UNDECLARED);
        if allowed == Some(false) {
            walk.not_yet(&item, "`mcp = \"deny\"`");
        }
        return allowed.unwrap_or(false);
    }
    if !std::mem::replace(&mut walk.told.undeclared_mcp, true) {
        let key = format!("{}.mcp", table.path);
        let message = "this version does not look for MCP spoken to a host that is not declared as a server".to_owned();
        let help =
            "declare the servers as `mcp` entries; `mcp = \"allow\"` says that others may pass unread".to_owned();
        walk.report.warning(Code::NotYet, &table.head, &key, message, help);
    }
    false
}

fn method(element: &Item<'_>, walk: &mut Walk<'_>) -> Option<String> {
    let text = element.text(walk)?;
    if !is_token(text) || text.bytes().any(|b| b.is_ascii_lowercase()) {
        let message = format!("{text:?} is no method");
        let upper = text.to_ascii_uppercase();
        let help =
            if is_token(&upper) { format!("write \"{upper}\": case counts") } else { "write \"GET\"".to_owned() };
        walk.error(Code::BadValue, element, message, help);
        return None;
    }
    Some(text.to_owned())
}
