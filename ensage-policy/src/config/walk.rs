//! Reading the tables of a configuration key by key, noting what is wrong and going on.

use std::collections::HashSet;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::Env;
use super::report::{Code, Report};
use super::spelling::did_you_mean;
use crate::model::{Listen, Rule};

/// Longest name, in characters.
const NAME_CHARS_MAX: usize = 128;

/// Where the text came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Origin {
    /// A file, whose lines can be pointed at.
    File,
    /// The program itself.
    Embedded,
}

/// What every reader of a table needs.
#[derive(Debug)]
pub(super) struct Walk<'t> {
    pub(super) report: Report<'t>,
    pub(super) env: &'t Env,
    /// Relative paths start here.
    pub(super) folder: PathBuf,
    pub(super) origin: Origin,
    /// Where something listens, port 0 not among it.
    pub(super) listening: HashSet<Listen>,
    pub(super) told: Told,
}

/// What is told once for a file, not once for a rule.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Told {
    /// MCP to undeclared servers is not looked for.
    pub(super) undeclared_mcp: bool,
    /// Definitions are not pinned.
    pub(super) pin: bool,
}

impl Walk<'_> {
    pub(super) fn error(&mut self, code: Code, at: &Item<'_>, message: String, help: impl Into<String>) {
        self.report.error(code, &at.span(), &at.path, message, help.into());
    }

    pub(super) fn warning(&mut self, code: Code, at: &Item<'_>, message: String, help: impl Into<String>) {
        self.report.warning(code, &at.span(), &at.path, message, help.into());
    }

    /// The rule that stands at a place.
    pub(super) fn rule(&self, path: &str, at: &Range<usize>) -> Rule {
        let line = match self.origin {
            Origin::File => self.report.position(at.start).0,
            Origin::Embedded => 0,
        };
        Rule { path: Arc::from(path), line }
    }

    /// An error for a limit whose effect is not there yet.
    pub(super) fn not_enforced(&mut self, at: &Item<'_>) {
        self.error(
            Code::NotYet,
            at,
            format!("`{}` is understood but not enforced by this version", at.path),
            "remove it; a limit that is not enforced must not look as if it were",
        );
    }

    /// An error for anything else whose effect is not there yet.
    pub(super) fn not_yet(&mut self, at: &Item<'_>, what: &str) {
        self.error(
            Code::NotYet,
            at,
            format!("{what} is understood but has no effect in this version"),
            "remove it; what has no effect must not look as if it had",
        );
    }

    /// A path of the file system: `~` is the home folder, a relative one starts at the file's own folder.
    pub(super) fn file_path(&mut self, item: &Item<'_>) -> Option<PathBuf> {
        let text = item.text(self)?;
        self.path_of(item, text)
    }

    /// The same for a path that is a part of a value.
    pub(super) fn path_of(&mut self, item: &Item<'_>, text: &str) -> Option<PathBuf> {
        if text.contains('\0') {
            self.error(Code::BadValue, item, format!("{text:?} is not a path"), "take the NUL character out");
            return None;
        }
        if !text.starts_with('~') {
            return Some(self.folder.join(Path::new(text).components().as_path()));
        }
        let rest = match text.strip_prefix("~/") {
            Some(rest) => rest,
            None if text == "~" => "",
            None => {
                let help = "write the path out; only `~/` for one's own home folder is understood";
                self.error(Code::BadValue, item, format!("the home folder in {text:?} is not known"), help);
                return None;
            }
        };
        let Some(home) = &self.env.home else {
            let help = "write the path out, or set HOME";
            self.error(Code::BadValue, item, format!("the home folder in {text:?} is not known"), help);
            return None;
        };
        Some(home.join(rest.trim_start_matches('/')).components().collect())
    }
}

/// A value and the path under which it stands.
#[derive(Clone, Debug)]
pub(super) struct Item<'d> {
    /// The configuration path, such as `gateway.listen[1]`.
    pub(super) path: String,
    /// Where its key stands; in a list, where it stands itself.
    pub(super) key: Range<usize>,
    value: &'d Spanned<DeValue<'d>>,
}

impl<'d> Item<'d> {
    pub(super) fn span(&self) -> Range<usize> {
        self.value.span()
    }

    pub(super) fn value(&self) -> &'d DeValue<'d> {
        self.value.get_ref()
    }

    /// The table that stands here; anything else is an error.
    pub(super) fn table(&self, walk: &mut Walk<'_>) -> Option<Table<'d>> {
        let DeValue::Table(entries) = self.value() else {
            self.wrong_type(walk, "a table");
            return None;
        };
        Some(Table::new(self.path.clone(), self.span(), entries))
    }

    /// The values of the list that stands here; anything else is an error.
    pub(super) fn list(&self, walk: &mut Walk<'_>) -> Option<Vec<Item<'d>>> {
        let DeValue::Array(array) = self.value() else {
            self.wrong_type(walk, "a list");
            return None;
        };
        let element = |(n, value): (usize, &'d Spanned<DeValue<'d>>)| Item {
            path: format!("{}[{n}]", self.path),
            key: value.span(),
            value,
        };
        Some(array.iter().enumerate().map(element).collect())
    }

    /// One value, or a list of such values.
    pub(super) fn one_or_list(&self, walk: &mut Walk<'_>) -> Vec<Item<'d>> {
        match self.value() {
            DeValue::Array(_) => self.list(walk).unwrap_or_default(),
            _ => vec![self.clone()],
        }
    }

    pub(super) fn wrong_type(&self, walk: &mut Walk<'_>, expected: &str) {
        let found = article(self.value().type_str());
        let message = format!("`{}` must be {expected}, not {found}", self.path);
        let last = last_segment(&self.path);
        let help = match expected {
            "a list" => format!("write `{last} = [...]`"),
            "a string" => format!("write `{last} = \"...\"`"),
            "true or false" => format!("write `{last} = true` or `{last} = false`, without quotes"),
            _ => format!("write {expected} here"),
        };
        walk.error(Code::WrongType, self, message, help);
    }
}

/// A table that is being read. Every key that is asked for counts as known.
#[derive(Debug)]
pub(super) struct Table<'d> {
    pub(super) path: String,
    /// Its head: the `[...]` line, or the inline table.
    pub(super) head: Range<usize>,
    /// Absent for a table that is not in the file and reads like an empty one.
    entries: Option<&'d DeTable<'d>>,
    known: Vec<&'static str>,
}

impl<'d> Table<'d> {
    pub(super) fn new(path: String, head: Range<usize>, entries: &'d DeTable<'d>) -> Self {
        Self { path, head, entries: Some(entries), known: Vec::new() }
    }

    /// The rule that the table as a whole is.
    pub(super) fn rule(&self, walk: &Walk<'_>) -> Rule {
        walk.rule(&self.path, &self.head)
    }

    /// The value of a key that may be left out.
    pub(super) fn item(&mut self, key: &'static str) -> Option<Item<'d>> {
        self.known.push(key);
        let (name, value) = self.entries?.get_key_value(key)?;
        Some(Item { path: joined(&self.path, key), key: name.span(), value })
    }

    /// The value of a key that must be there.
    pub(super) fn needed(&mut self, walk: &mut Walk<'_>, key: &'static str, example: &str) -> Option<Item<'d>> {
        let item = self.item(key);
        if item.is_none() {
            let message = format!("`{}` is missing", joined(&self.path, key));
            let help = format!("add `{key} = {example}`");
            walk.report.error(Code::MissingKey, &self.head, &joined(&self.path, key), message, help);
        }
        item
    }

    /// The table under a key; an absent one reads like an empty one.
    pub(super) fn table(&mut self, walk: &mut Walk<'_>, key: &'static str) -> Table<'d> {
        let there = self.item(key).and_then(|item| item.table(walk));
        there.unwrap_or_else(|| Table {
            path: joined(&self.path, key),
            head: self.head.clone(),
            entries: None,
            known: Vec::new(),
        })
    }

    /// The entries of a table whose keys are names, in the order of the file.
    pub(super) fn named(&self, walk: &mut Walk<'_>) -> Vec<(Arc<str>, Item<'d>)> {
        let mut entries: Vec<_> = self.entries.iter().flat_map(|entries| entries.iter()).collect();
        entries.sort_by_key(|(name, _)| name.span().start);
        let mut named = Vec::with_capacity(entries.len());
        for (name, value) in entries {
            let path = joined(&self.path, name.get_ref());
            if let Some(why) = bad_name(name.get_ref()) {
                let help = format!("a name has 1 to {NAME_CHARS_MAX} characters, none of them a control character");
                walk.report.error(Code::BadName, &name.span(), &path, why.to_owned(), help);
            }
            named.push((Arc::from(name.get_ref().as_ref()), Item { path, key: name.span(), value }));
        }
        named
    }

    /// Reports every key that was not asked for.
    pub(super) fn close(self, walk: &mut Walk<'_>) {
        for (name, _) in self.entries.iter().flat_map(|entries| entries.iter()) {
            if self.known.contains(&name.get_ref().as_ref()) {
                continue;
            }
            let path = joined(&self.path, name.get_ref());
            let message = format!("unknown key `{path}`");
            walk.report.error(
                Code::UnknownKey,
                &name.span(),
                &path,
                message,
                did_you_mean(name.get_ref(), &self.known),
            );
        }
    }
}

/// A path with one more segment, quoted where TOML needs quotes.
pub(super) fn joined(path: &str, key: &str) -> String {
    let bare = !key.is_empty() && key.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-');
    // Debug quotes and escapes; control characters never reach a terminal.
    let key = if bare { key.to_owned() } else { format!("{key:?}") };
    if path.is_empty() { key } else { format!("{path}.{key}") }
}

/// Why a name can't be one.
pub(super) fn bad_name(name: &str) -> Option<&'static str> {
    if name.is_empty() {
        return Some("a name is empty");
    }
    if name.chars().any(char::is_control) {
        return Some("a name has a control character");
    }
    (name.chars().count() > NAME_CHARS_MAX).then_some("a name is too long")
}

fn article(kind: &str) -> String {
    match kind {
        "integer" => "an integer".to_owned(),
        "array" => "a list".to_owned(),
        other => format!("a {other}"),
    }
}

fn last_segment(path: &str) -> &str {
    let end = path.rfind(['.', '"']).map_or(0, |dot| dot.saturating_add(1));
    path.get(end..).and_then(|last| last.split('[').next()).filter(|last| !last.is_empty()).unwrap_or("key")
}
