//! `[enclave.NAME.mcp.SERVER]`: which tools of which server may be called.

use std::sync::Arc;

use ensage_mcp::Revision;
use toml::de::DeValue;

use super::Declared;
use super::binding::{Asked, bind};
use super::report::Code;
use super::values::{chain, each, header_name, list_rule, listed};
use super::walk::{Item, Table, Walk};
use crate::authority::{Host, HostPattern};
use crate::judge::Url;
use crate::model::{McpRule, Scheme};

const REVISIONS: &[(&str, Revision)] = &[
    (Revision::V2024_11_05.as_str(), Revision::V2024_11_05),
    (Revision::V2025_03_26.as_str(), Revision::V2025_03_26),
    (Revision::V2025_06_18.as_str(), Revision::V2025_06_18),
    (Revision::V2025_11_25.as_str(), Revision::V2025_11_25),
    (Revision::V2026_07_28.as_str(), Revision::V2026_07_28),
];
const SERVER_REQUESTS: &[(&str, &str)] =
    &[("sampling", "sampling"), ("elicitation", "elicitation"), ("roots", "roots")];

pub(super) fn servers(table: &Table<'_>, walk: &mut Walk<'_>, declared: &Declared) -> Vec<McpRule> {
    let mut rules: Vec<McpRule> = Vec::new();
    for (name, item) in table.named(walk) {
        let Some(rule) = server(&name, &item, walk, declared) else {
            continue;
        };
        if let Some(other) = rules.iter().find(|other| same_place(other, &rule)) {
            let message = format!("`{}` has the same url", other.rule.path);
            let help = "make one entry of the two: a call is judged by one of them".to_owned();
            walk.report.error(Code::Conflict, &item.span(), &item.path, message, help);
        }
        rules.push(rule);
    }
    rules
}

fn same_place(a: &McpRule, b: &McpRule) -> bool {
    (a.scheme, &a.host, a.port, &a.path, &a.query) == (b.scheme, &b.host, b.port, &b.path, &b.query)
}

fn server(name: &Arc<str>, item: &Item<'_>, walk: &mut Walk<'_>, declared: &Declared) -> Option<McpRule> {
    let mut table = item.table(walk)?;
    let rule = table.rule(walk);
    let url = url(&mut table, walk);
    let revisions = table.item("revisions");
    let revisions = match &revisions {
        Some(_) => each(revisions.as_ref(), walk, |element, walk| element.choice(walk, REVISIONS)),
        None => Revision::ALL.to_vec(),
    };
    let headers = table.item("headers");
    let headers = each(headers.as_ref(), walk, |element, walk| {
        let text = element.text(walk)?;
        header_name(walk, element, text)
    });
    oauth(&mut table, walk);
    let named = table.item("credential");
    let tools_item = table.item("tools");
    let tools = listed(tools_item.as_ref(), walk);
    let resources = table.item("resources");
    let resources = listed(resources.as_ref(), walk);
    let prompts = table.item("prompts");
    let prompts = listed(prompts.as_ref(), walk);
    let server_requests = table.item("server_requests");
    let server_requests =
        each(server_requests.as_ref(), walk, |element, walk| element.choice(walk, SERVER_REQUESTS).map(Arc::from));
    let ranges = table.item("addresses");
    let addresses = each(ranges.as_ref(), walk, Item::range);
    let pin = pin(&mut table, walk);
    for (_, tool) in table.table(walk, "tool").named(walk) {
        tool_limits(&tool, walk);
    }
    table.close(walk);
    let pattern = url.as_ref().map(|url| HostPattern::exact(url.authority.host.clone(), url.authority.port));
    let scheme = url.as_ref().map_or(Scheme::Https, |url| url.scheme);
    let credential = bind(walk, declared, &Asked { named, scheme, host: pattern.as_ref() });
    let url = url?;
    Some(McpRule {
        name: Arc::clone(name),
        scheme: url.scheme,
        host: url.authority.host,
        port: url.authority.port,
        path: without_slash(url.path.to_string()),
        endpoint: url.path,
        query: url.query,
        revisions,
        headers,
        credential,
        tools,
        tools_rule: list_rule(tools_item.as_ref(), walk, &rule),
        resources,
        prompts,
        server_requests,
        addresses,
        pin,
        rule,
    })
}

/// One trailing slash does not count.
fn without_slash(mut path: String) -> String {
    if path.ends_with('/') {
        path.pop();
    }
    path
}

/// `url` or `command`: one of them.
fn url(table: &mut Table<'_>, walk: &mut Walk<'_>) -> Option<Url> {
    let url = table.item("url");
    let command = table.item("command");
    match (url, command) {
        (Some(url), None) => server_url(&url, walk),
        (Some(_), Some(command)) => {
            let message = format!("`{}` has both `url` and `command`", table.path);
            walk.error(Code::UrlOrCommand, &command, message, "a server is reached by one of them; remove the other");
            None
        }
        (None, Some(command)) => {
            let words = each(Some(&command), walk, Item::text);
            if words.is_empty() && command.value().as_array().is_some_and(|list| list.is_empty()) {
                walk.error(
                    Code::BadValue,
                    &command,
                    "the command is empty".to_owned(),
                    "write `[\"PROGRAM\", \"ARG\"]`",
                );
            } else if !words.is_empty() {
                walk.not_yet(&command, "`command`");
            }
            None
        }
        (None, None) => {
            let message = format!("`{}` has neither `url` nor `command`", table.path);
            let help = "add `url = \"https://HOST/PATH\"`".to_owned();
            walk.report.error(Code::UrlOrCommand, &table.head, &table.path, message, help);
            None
        }
    }
}

fn server_url(item: &Item<'_>, walk: &mut Walk<'_>) -> Option<Url> {
    let url = read_url(item, walk, "server", "https://HOST/PATH")?;
    if url.scheme == Scheme::Http && !is_loopback(&url.authority.host) {
        let help = "use https; plain http is for servers on this machine, such as \"http://127.0.0.1:3000/mcp\"";
        walk.error(Code::BadValue, item, format!("plain http to {} can be read on its way", url.authority), help);
        return None;
    }
    Some(url)
}

/// A URL whose path a request can be compared with, and without a fragment: none is ever sent.
fn read_url(item: &Item<'_>, walk: &mut Walk<'_>, kind: &str, form: &str) -> Option<Url> {
    let text = item.text(walk)?;
    let fault = match Url::parse(text) {
        Ok(_) if text.contains('#') => "a fragment is never sent".to_owned(),
        Ok(url) if url.path.decoded().is_some() => return Some(url),
        Ok(_) => "its path can be read in more than one way".to_owned(),
        Err(fault) => chain(&fault),
    };
    walk.error(Code::BadValue, item, format!("{text:?} is no url of a {kind}: {fault}"), format!("write \"{form}\""));
    None
}

/// A loopback address, or the name that RFC 6761 section 6.3 keeps for it.
fn is_loopback(host: &Host) -> bool {
    match host {
        Host::V4(v4) => v4.is_loopback(),
        Host::V6(v6) => v6.is_loopback(),
        Host::Name(name) => **name == *"localhost",
    }
}

fn oauth(table: &mut Table<'_>, walk: &mut Walk<'_>) {
    let item = table.item("oauth");
    let servers = each(item.as_ref(), walk, |element, walk| {
        let url = read_url(element, walk, "authorization server", "https://HOST")?;
        if url.scheme == Scheme::Http {
            let help = format!("write \"https://{}\"", url.authority);
            walk.error(Code::BadValue, element, "tokens never come over plain http".to_owned(), help);
            return None;
        }
        Some(url)
    });
    if let Some(item) = item.filter(|_| !servers.is_empty()) {
        walk.not_yet(&item, "`oauth`");
    }
}

/// Nothing is pinned yet: that is refused where it is asked for, and told where it is the default, once for a file.
fn pin(table: &mut Table<'_>, walk: &mut Walk<'_>) -> bool {
    if let Some(item) = table.item("pin") {
        let pin = item.flag(walk);
        if pin == Some(true) {
            walk.not_yet(&item, "`pin = true`");
        }
        return pin.unwrap_or(true);
    }
    if !std::mem::replace(&mut walk.told.pin, true) {
        let key = format!("{}.pin", table.path);
        let message = "this version does not pin the definitions of tools".to_owned();
        let help = "write `pin = false` where that is accepted; a changed definition passes unnoticed".to_owned();
        walk.report.warning(Code::NotYet, &table.head, &key, message, help);
    }
    true
}

/// `[enclave.NAME.mcp.SERVER.tool.TOOL]`
fn tool_limits(item: &Item<'_>, walk: &mut Walk<'_>) {
    let Some(mut table) = item.table(walk) else {
        return;
    };
    if let Some(item) = table.item("arguments") {
        let read = match item.value() {
            DeValue::Table(_) => true,
            DeValue::String(_) => walk.file_path(&item).is_some(),
            _ => {
                item.wrong_type(walk, "a JSON Schema (a table), or a path to one (a string)");
                false
            }
        };
        if read {
            walk.not_enforced(&item);
        }
    }
    if let Some(item) = table.item("rate")
        && item.rate(walk).is_some()
    {
        walk.not_enforced(&item);
    }
    table.close(walk);
}
