//! `[agent.NAME]`: what makes a process an agent.

use std::sync::Arc;

use super::report::Code;
use super::values::each;
use super::walk::{Item, Walk};
use crate::glob::Glob;
use crate::model::AgentDefinition;

pub(super) fn agent(name: &Arc<str>, item: &Item<'_>, walk: &mut Walk<'_>) -> Option<AgentDefinition> {
    let mut table = item.table(walk)?;
    if **name == *"*" {
        let help = "give it a name of its own; in `agents` the star means any process".to_owned();
        walk.report.error(Code::BadName, &item.key, &item.path, "an agent can't be called `*`".to_owned(), help);
    }
    let exe = table.item("exe");
    let script = table.item("script");
    let sha256 = table.item("sha256");
    let state = table.item("state");
    if exe.is_none() && script.is_none() && sha256.is_none() {
        let message = format!("`{}` matches by nothing", table.path);
        let help = "add at least one of `exe`, `script`, `sha256`".to_owned();
        walk.report.error(Code::MissingKey, &table.head, &table.path, message, help);
    }
    let definition = AgentDefinition {
        name: Arc::clone(name),
        rule: table.rule(walk),
        exe: exe.and_then(|item| file_glob(&item, walk)),
        script: script.and_then(|item| file_glob(&item, walk)),
        sha256: each(sha256.as_ref(), walk, digest),
        state: each(state.as_ref(), walk, |element, walk| walk.file_path(element)),
    };
    if let Some(item) = state.filter(|_| !definition.state.is_empty()) {
        walk.not_yet(&item, "`state`");
    }
    // With nothing left to compare, the other keys alone would decide: wider than what was written.
    if let Some(item) = sha256.filter(|item| item.value().as_array().is_some_and(|list| list.is_empty())) {
        let message = format!("`{}` is empty, so no process matches", item.path);
        walk.error(Code::BadValue, &item, message, "add a digest, or remove the key");
    }
    table.close(walk);
    Some(definition)
}

/// A glob on absolute paths of the file system.
fn file_glob(item: &Item<'_>, walk: &mut Walk<'_>) -> Option<Glob> {
    let glob = item.glob(walk)?;
    if !glob.as_str().starts_with(['/', '*', '?']) {
        let message = format!("{:?} matches nothing: what it is compared with begins with `/`", glob.as_str());
        let name = glob.as_str().trim_start_matches("~/");
        walk.warning(Code::NoEffect, item, message, format!("write \"**/{name}\""));
    }
    Some(glob)
}

fn digest(element: &Item<'_>, walk: &mut Walk<'_>) -> Option<String> {
    let text = element.text(walk)?;
    if text.len() != 64 || !text.bytes().all(|b| b.is_ascii_hexdigit()) {
        let help = "write 64 hexadecimal digits, as `sha256sum` prints them";
        walk.error(Code::BadValue, element, format!("{text:?} is no SHA-256"), help);
        return None;
    }
    Some(text.to_ascii_lowercase())
}
