//! `[credential.NAME]`: where a secret is, and the only places it may go to.

use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use super::report::Code;
use super::spelling::nearest;
use super::values::{Bounds, each, header_name, is_variable};
use super::walk::{Item, Table, Walk};
use crate::glob::Glob;
use crate::model::{Credential, Slot, Source};

const SOURCES: &[&str] = &["vault", "env:NAME", "exec:CMD", "file:PATH", "hashicorp:MOUNT/PATH#FIELD", "keyring:NAME"];
const SLOTS: &[&str] =
    &["bearer", "header:NAME", "basic", "basic:USER", "query:NAME", "cookie:NAME", "sigv4", "oauth2"];
const PLACEHOLDER_BYTES_MAX: usize = 64;
const TTL: Duration = Duration::from_secs(12 * 60 * 60);
const TTL_MOST: Duration = Duration::from_secs(366 * 24 * 60 * 60);

/// A credential, and where each of its variables stands.
#[derive(Clone, Debug)]
pub(super) struct Bound {
    pub(super) credential: Arc<Credential>,
    /// As many as `credential.env`.
    pub(super) env_at: Vec<Range<usize>>,
}

pub(super) fn credential(name: &Arc<str>, item: &Item<'_>, walk: &mut Walk<'_>, of_next_hop: bool) -> Option<Bound> {
    let mut table = item.table(walk)?;
    let rule = table.rule(walk);
    let source = table.item("source").map_or(Some(Source::Vault), |item| source(&item, walk));
    let slots = if of_next_hop { hop_slot(&mut table, walk) } else { slots(&mut table, walk) };
    let hosts = table.needed(walk, "hosts", "[\"api.example.com\"]");
    let hosts = each(hosts.as_ref(), walk, |element, walk| element.host_pattern(walk, 443));
    let paths = table.item("paths");
    let paths: Option<Vec<Glob>> = paths.as_ref().map(|item| each(Some(item), walk, Item::path_glob));
    let placeholder = table.item("placeholder").and_then(|item| prefix(&item, walk));
    let (env, env_at) = variables(&mut table, walk);
    let inject = table.item("inject").and_then(|item| item.flag(walk)).unwrap_or(false);
    let bounds = Bounds { least: Duration::from_secs(1), most: TTL_MOST };
    let ttl = table.item("ttl").and_then(|item| item.duration(walk, bounds)).unwrap_or(TTL);
    later(&mut table, walk);
    table.close(walk);
    let credential = Credential {
        name: Arc::clone(name),
        rule,
        source: source?,
        slots,
        hosts,
        paths,
        placeholder: placeholder.unwrap_or_default().to_owned(),
        env,
        inject,
        ttl,
        of_next_hop,
    };
    Some(Bound { credential: Arc::new(credential), env_at })
}

fn source(item: &Item<'_>, walk: &mut Walk<'_>) -> Option<Source> {
    let text = item.text(walk)?;
    let (kind, rest) = text.split_once(':').unwrap_or((text, ""));
    let formed = match kind {
        "vault" if text == "vault" => return Some(Source::Vault),
        "env" if is_variable(rest) => return Some(Source::Env(rest.to_owned())),
        "env" => false,
        "exec" | "file" | "keyring" => !rest.trim().is_empty(),
        "hashicorp" => rest.split_once('#').is_some_and(|(path, field)| path.contains('/') && !field.is_empty()),
        _ => {
            item.no_choice(walk, text, SOURCES);
            return None;
        }
    };
    if formed {
        walk.not_yet(item, &format!("the source `{kind}`"));
    } else {
        let form = SOURCES.iter().find(|form| form.starts_with(kind)).copied().unwrap_or_default();
        let message = format!("{text:?} is no source of a secret");
        walk.error(Code::BadValue, item, message, format!("write \"{form}\" with what it stands for"));
    }
    None
}

fn slots(table: &mut Table<'_>, walk: &mut Walk<'_>) -> Vec<Slot> {
    let Some(item) = table.needed(walk, "slot", "\"bearer\"") else {
        return Vec::new();
    };
    let elements = item.one_or_list(walk);
    if elements.is_empty() && item.value().is_array() {
        let message = format!("`{}` is empty, so the secret goes nowhere", item.path);
        walk.error(Code::BadValue, &item, message, "name a slot, or remove the credential");
    }
    elements.iter().filter_map(|element| slot(element, walk)).collect()
}

/// The slot of the next hop's credential, which is sent as Basic (RFC 7617) or not at all.
fn hop_slot(table: &mut Table<'_>, walk: &mut Walk<'_>) -> Vec<Slot> {
    let Some(item) = table.needed(walk, "slot", "\"basic\"") else {
        return Vec::new();
    };
    let elements = item.one_or_list(walk);
    let [only] = elements.as_slice() else {
        if item.value().is_array() {
            let message = format!("`{}` must name one slot: the next hop gets this credential", item.path);
            walk.error(Code::BadValue, &item, message, "write \"basic\" or \"basic:USER\"");
        }
        return Vec::new();
    };
    let Some(text) = only.text(walk) else {
        return Vec::new();
    };
    let user = text
        .strip_prefix("basic:")
        .filter(|user| !user.is_empty() && !user.contains(|c: char| c == ':' || c.is_control()));
    match (text, user) {
        ("basic", _) => vec![Slot::Basic(None)],
        (_, Some(user)) => vec![Slot::Basic(Some(user.to_owned()))],
        (_, None) => {
            let message = format!("{text:?} is no slot of the next hop, which gets this credential");
            walk.error(Code::BadValue, only, message, "write \"basic\" or \"basic:USER\"");
            Vec::new()
        }
    }
}

fn slot(item: &Item<'_>, walk: &mut Walk<'_>) -> Option<Slot> {
    let text = item.text(walk)?;
    let (kind, rest) = text.split_once(':').map_or((text, None), |(kind, rest)| (kind, Some(rest)));
    match (kind, rest) {
        ("bearer", None) => return Some(Slot::Bearer),
        ("header", Some(name)) => return header_name(walk, item, name).map(Slot::Header),
        ("basic" | "sigv4" | "oauth2", None) => walk.not_yet(item, &format!("the slot `{kind}`")),
        ("basic" | "query" | "cookie", Some(name)) if !name.is_empty() => {
            walk.not_yet(item, &format!("the slot `{kind}`"));
        }
        _ => {
            let near =
                nearest(text, SLOTS.iter().copied()).map_or_else(String::new, |n| format!("did you mean \"{n}\"? "));
            let message = format!("{text:?} is no place for a secret");
            walk.error(Code::BadValue, item, message, format!("{near}write one of {}", SLOTS.join(", ")));
        }
    }
    None
}

fn prefix<'d>(item: &Item<'d>, walk: &mut Walk<'_>) -> Option<&'d str> {
    let text = item.text(walk)?;
    // Only characters that look the same plain, in a URL and in JSON: the placeholder then has one spelling.
    let plain = text.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._~".contains(&b));
    if plain && text.len() <= PLACEHOLDER_BYTES_MAX {
        return Some(text);
    }
    let help = format!("1 to {PLACEHOLDER_BYTES_MAX} letters, digits and `-._~`");
    walk.error(Code::BadValue, item, format!("{text:?} can't begin a placeholder"), help);
    None
}

fn variables(table: &mut Table<'_>, walk: &mut Walk<'_>) -> (Vec<String>, Vec<Range<usize>>) {
    let elements = table.item("env").map(|item| item.one_or_list(walk)).unwrap_or_default();
    elements.iter().filter_map(|element| Some((variable(element, walk)?, element.span()))).unzip()
}

fn variable(item: &Item<'_>, walk: &mut Walk<'_>) -> Option<String> {
    let text = item.text(walk)?;
    if !is_variable(text) {
        let help = "letters, digits and underscores, no digit first";
        walk.error(Code::BadValue, item, format!("{text:?} is no name of a variable"), help);
        return None;
    }
    Some(text.to_owned())
}

/// `capture`, `aws`, `env_secret`: of slots that are not there yet.
fn later(table: &mut Table<'_>, walk: &mut Walk<'_>) {
    if let Some(item) = table.item("capture")
        && item.flag(walk) == Some(true)
    {
        walk.not_yet(&item, "`capture`");
    }
    if let Some(item) = table.item("aws")
        && let Some(mut aws) = item.table(walk)
    {
        for key in ["services", "regions"] {
            let names = aws.item(key);
            each(names.as_ref(), walk, Item::text);
        }
        aws.close(walk);
        walk.not_yet(&item, "`aws`");
    }
    if let Some(item) = table.item("env_secret")
        && !item.one_or_list(walk).iter().filter_map(|element| variable(element, walk)).collect::<Vec<_>>().is_empty()
    {
        walk.not_yet(&item, "`env_secret`");
    }
}
