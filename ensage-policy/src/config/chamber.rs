//! `[chamber.NAME]`: read and checked in full, and refused as long as nothing keeps a chamber shut.

use std::sync::Arc;
use std::time::Duration;

use super::Declared;
use super::report::Code;
use super::values::{Bounds, each, listed};
use super::walk::{Item, Table, Walk};
use crate::glob::Glob;
use crate::model::{Enclave, Listed, McpRule};

/// A grant that lives longer is a permission.
const GRANT_MOST: Duration = Duration::from_secs(366 * 24 * 60 * 60);

pub(super) fn chamber(item: &Item<'_>, walk: &mut Walk<'_>, declared: &Declared, enclaves: &[Arc<Enclave>]) {
    let Some(mut table) = item.table(walk) else {
        return;
    };
    let enclave = table.needed(walk, "enclave", "\"NAME\"").and_then(|item| {
        let text = item.text(walk)?;
        declared.enclave(&item, walk, text)
    });
    // What could not be read of the enclave must not look like a chamber that is too wide.
    let enclave = enclave
        .and_then(|name| enclaves.iter().find(|enclave| enclave.name == name))
        .filter(|enclave| !walk.report.has_error_below(&enclave.rule.path));
    servers(&table.table(walk, "mcp"), walk, enclave);
    for rule in table.item("http").and_then(|item| item.list(walk)).unwrap_or_default() {
        http(&rule, walk, enclave);
    }
    grants(&mut table, walk);
    let head = table.head.clone();
    let path = table.path.clone();
    table.close(walk);
    let message = format!("`{path}` is understood but not enforced by this version");
    let help = "remove it; a gate that nothing keeps shut must not look as if it were".to_owned();
    walk.report.error(Code::NotYet, &head, &path, message, help);
}

fn servers(table: &Table<'_>, walk: &mut Walk<'_>, enclave: Option<&Arc<Enclave>>) {
    for (name, item) in table.named(walk) {
        let Some(mut server) = item.table(walk) else {
            continue;
        };
        let tools = server.item("tools");
        let tools = listed(tools.as_ref(), walk);
        let resources = server.item("resources");
        let resources = listed(resources.as_ref(), walk);
        let prompts = server.item("prompts");
        let prompts = listed(prompts.as_ref(), walk);
        server.close(walk);
        let Some(enclave) = enclave else {
            continue;
        };
        let Some(rule) = enclave.mcp.iter().find(|rule| rule.name == name) else {
            wider(walk, &item, &format!("the MCP server `{name}`"), enclave);
            continue;
        };
        for (kind, named, allowed) in named_by(rule, &tools, &resources, &prompts) {
            for entry in named.iter().filter(|entry| !allows(allowed, &entry.glob)) {
                wider(walk, &item, &format!("the {kind} {:?}", entry.glob.as_str()), enclave);
            }
        }
    }
}

fn named_by<'a>(
    rule: &'a McpRule,
    tools: &'a [Listed],
    resources: &'a [Listed],
    prompts: &'a [Listed],
) -> [(&'static str, &'a [Listed], &'a [Listed]); 3] {
    [("tool", tools, &rule.tools), ("resource", resources, &rule.resources), ("prompt", prompts, &rule.prompts)]
}

/// A pattern is allowed where another one takes its stars for what they may stand for.
fn allows(allowed: &[Listed], named: &Glob) -> bool {
    allowed.iter().any(|listed| listed.glob.matches(named.as_str()))
}

fn http(item: &Item<'_>, walk: &mut Walk<'_>, enclave: Option<&Arc<Enclave>>) {
    let Some(mut table) = item.table(walk) else {
        return;
    };
    let host = table.needed(walk, "host", "\"db.internal\"").and_then(|item| item.host_pattern(walk, 443));
    let paths = table.item("paths");
    let paths = each(paths.as_ref(), walk, Item::path_glob);
    table.close(walk);
    let (Some(enclave), Some(host)) = (enclave, host) else {
        return;
    };
    let rules: Vec<_> = enclave.http.iter().filter(|rule| rule.host.covers(&host)).collect();
    if rules.is_empty() {
        wider(walk, item, &format!("the host {host}"), enclave);
    }
    for path in &paths {
        let allowed = rules.iter().any(|rule| match &rule.paths {
            None => true,
            Some(globs) => globs.iter().any(|glob| glob.matches(path.as_str())),
        });
        if !rules.is_empty() && !allowed {
            wider(walk, item, &format!("the path {:?}", path.as_str()), enclave);
        }
    }
}

fn grants(table: &mut Table<'_>, walk: &mut Walk<'_>) {
    let Some(item) = table.needed(walk, "grants", "{ max = \"1h\", approvers = [\"USER\"] }") else {
        return;
    };
    let Some(mut grants) = item.table(walk) else {
        return;
    };
    if let Some(max) = grants.needed(walk, "max", "\"1h\"") {
        max.duration(walk, Bounds { least: Duration::from_secs(1), most: GRANT_MOST });
    }
    let approvers = grants.item("approvers");
    let none = match &approvers {
        None => true,
        Some(list) => list.value().as_array().is_some_and(|list| list.is_empty()),
    };
    each(approvers.as_ref(), walk, Item::text);
    if none {
        let at = approvers.map_or_else(|| grants.head.clone(), |item| item.span());
        let key = format!("{}.approvers", grants.path);
        let help = "add `approvers = [\"USER\"]`: users of this machine who may grant".to_owned();
        walk.report.error(Code::NoApprovers, &at, &key, "nobody may grant this chamber".to_owned(), help);
    }
    grants.close(walk);
}

fn wider(walk: &mut Walk<'_>, item: &Item<'_>, what: &str, enclave: &Enclave) {
    let message = format!("{what} is not allowed by the enclave `{}`", enclave.name);
    let help = "a chamber is a second gate; allow it in the enclave as well, or take it out here";
    walk.error(Code::ChamberWider, item, message, help);
}
