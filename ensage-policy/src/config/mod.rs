//! From the text of a configuration to a policy: every error at once, each with its place and what to do.

mod agent;
mod binding;
mod chamber;
mod credential;
mod embedded;
mod enclave;
mod gateway;
mod limits;
mod llm;
mod mcp;
mod next_hop;
mod report;
mod spelling;
mod tunnel;
mod units;
mod values;
mod walk;

#[cfg(test)]
mod tests;

use std::collections::{BTreeSet, HashSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use sha2::{Digest, Sha256};
use toml::de::DeTable;

pub use embedded::{EMBEDDED, embedded};
pub use next_hop::EnvProxy;
pub use report::{Diagnostic, Kind};

use crate::model::Policy;
use credential::Bound;
use report::{Code, Report};
use spelling::nearest;
use walk::{Item, Origin, Table, Walk};

/// Most bytes of a configuration: a thousand enclaves fit, and what is compared with each other stays quick.
pub const TEXT_BYTES_MAX: usize = 1 << 20;

/// What a configuration may depend on besides its own text.
#[derive(Clone, Debug, Default)]
pub struct Env {
    /// What `~` stands for.
    pub home: Option<PathBuf>,
    /// The working folder, absolute: where a relative file is.
    pub cwd: PathBuf,
    /// Names of the agents of the built-in catalogue.
    pub catalogue: Vec<String>,
    /// The proxy that the gateway's own environment names.
    pub proxy: Option<EnvProxy>,
}

/// What became of a configuration.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// The policy; present if and only if there are no errors.
    pub policy: Option<Policy>,
    /// What is wrong, in the order of the file.
    pub errors: Vec<Diagnostic>,
    /// What its author should know, in the order of the file.
    pub warnings: Vec<Diagnostic>,
}

/// Reads a configuration whose bytes may not even be text.
pub fn load_bytes(bytes: &[u8], file: Option<&Path>, env: &Env) -> Loaded {
    match std::str::from_utf8(bytes) {
        Ok(text) => load(text, file, env),
        Err(fault) => {
            let before = bytes.get(..fault.valid_up_to()).and_then(|before| std::str::from_utf8(before).ok());
            let before = before.unwrap_or_default();
            let end = before.len()..before.len();
            let help = "save the file as UTF-8".to_owned();
            unread(before, file, Code::Encoding, end, "the file is not UTF-8 from here on".to_owned(), help)
        }
    }
}

/// Reads a configuration. `file` is named in the diagnostics, and relative paths start at its folder.
pub fn load(text: &str, file: Option<&Path>, env: &Env) -> Loaded {
    if text.len() > TEXT_BYTES_MAX {
        let message = format!("the file has {} bytes", text.len());
        let help = format!("{TEXT_BYTES_MAX} bytes are the most");
        return unread("", file, Code::TooLarge, 0..0, message, help);
    }
    read(text, file, env, Origin::File)
}

fn read(text: &str, file: Option<&Path>, env: &Env, origin: Origin) -> Loaded {
    let absolute = file.map(|file| env.cwd.join(file));
    let folder = absolute.as_deref().and_then(Path::parent).unwrap_or(&env.cwd).to_owned();
    let report = Report::new(shown(file), text);
    let mut walk = Walk { report, env, folder, origin, listening: HashSet::new(), told: walk::Told::default() };
    let (document, faults) = DeTable::parse_recoverable(text);
    for fault in &faults {
        syntax(&mut walk.report, fault, text);
    }
    let mut policy = root(Table::new(String::new(), 0..0, document.get_ref()), &mut walk);
    policy.sha256 = Arc::from(hex(&Sha256::digest(text.as_bytes())));
    policy.file = absolute;
    let (errors, warnings) = walk.report.finish();
    Loaded { policy: errors.is_empty().then_some(policy), errors, warnings }
}

/// The whole document; credentials and agents first, because the rest names them.
fn root(mut table: Table<'_>, walk: &mut Walk<'_>) -> Policy {
    let agents_named = table.table(walk, "agent").named(walk);
    let credentials_named = table.table(walk, "credential").named(walk);
    let enclaves_named = table.table(walk, "enclave").named(walk);
    let chambers_named = table.table(walk, "chamber").named(walk);
    let names =
        |named: &[(Arc<str>, Item<'_>)]| named.iter().map(|(name, _)| Arc::clone(name)).collect::<BTreeSet<_>>();
    let mut declared = Declared {
        agents: names(&agents_named),
        credentials: names(&credentials_named),
        enclaves: names(&enclaves_named),
        bound: Vec::new(),
    };
    let gateway = gateway::gateway(table.table(walk, "gateway"), walk, &declared);
    if gateway.catalogue {
        declared.agents.extend(walk.env.catalogue.iter().map(|name| Arc::from(name.as_str())));
    }
    let (mut upstream, said) = gateway::upstream(table.table(walk, "upstream"), walk, &declared);
    let limits = limits::read(table.table(walk, "limits"), walk);
    let audit = gateway::audit(table.table(walk, "audit"), walk);
    let agents = agents_named.iter().filter_map(|(name, item)| agent::agent(name, item, walk)).collect();
    declared.bound = credentials_named
        .iter()
        .filter_map(|(name, item)| credential::credential(name, item, walk, said.takes(name)))
        .collect();
    upstream.next_hop = said.settle(walk, &declared);
    let mut enclaves = Vec::new();
    for (name, item) in &enclaves_named {
        if let Some(enclave) = enclave::enclave(name, item, walk, &declared, gateway.mode) {
            enclaves.push(Arc::new(enclave));
        }
    }
    for (_, item) in &chambers_named {
        chamber::chamber(item, walk, &declared, &enclaves);
    }
    said.not_own(walk, upstream.next_hop.as_ref());
    table.close(walk);
    let credentials = declared.bound.iter().map(|bound| Arc::clone(&bound.credential)).collect();
    let sha256 = Arc::from("");
    let policy = Policy {
        generation: 1,
        sha256,
        file: None,
        embedded: walk.origin == Origin::Embedded,
        gateway,
        upstream,
        limits,
        audit,
        agents,
        enclaves,
        credentials,
    };
    binding::shared_variables(walk, &declared.bound, &policy);
    policy
}

/// The names that the file declares: what may be referred to.
#[derive(Debug)]
struct Declared {
    agents: BTreeSet<Arc<str>>,
    credentials: BTreeSet<Arc<str>>,
    enclaves: BTreeSet<Arc<str>>,
    /// The credentials that could be read.
    bound: Vec<Bound>,
}

impl Declared {
    fn agent(&self, at: &Item<'_>, walk: &mut Walk<'_>, name: &str) -> Option<Arc<str>> {
        referred(&self.agents, "agent", at, walk, name)
    }

    fn credential(&self, at: &Item<'_>, walk: &mut Walk<'_>, name: &str) -> Option<Arc<str>> {
        referred(&self.credentials, "credential", at, walk, name)
    }

    fn enclave(&self, at: &Item<'_>, walk: &mut Walk<'_>, name: &str) -> Option<Arc<str>> {
        referred(&self.enclaves, "enclave", at, walk, name)
    }
}

fn referred(
    known: &BTreeSet<Arc<str>>,
    kind: &str,
    at: &Item<'_>,
    walk: &mut Walk<'_>,
    name: &str,
) -> Option<Arc<str>> {
    let found = known.get(name).cloned();
    if found.is_none() {
        let near = nearest(name, known.iter().map(|known| &**known));
        let help = match near {
            Some(near) => format!("did you mean \"{near}\"? if not, add `[{}]`", walk::joined(kind, name)),
            None => format!("add `[{}]`", walk::joined(kind, name)),
        };
        walk.error(Code::DanglingReference, at, format!("there is no {kind} {name:?}"), help);
    }
    found
}

/// A fault of TOML itself.
fn syntax(report: &mut Report<'_>, fault: &toml::de::Error, text: &str) {
    let at = fault.span().unwrap_or(text.len()..text.len());
    let message = fault.message().trim_end_matches(", expected nothing").replace('\n', " ");
    if message == "duplicate key" {
        let key = text.get(at.clone()).unwrap_or_default();
        let message = format!("`{key}` stands here a second time");
        report.error(Code::Duplicate, &at, key, message, "keep one of the two".to_owned());
        return;
    }
    let help = "a line is `[table]` or `key = value`, and strings need quotes".to_owned();
    report.error(Code::Syntax, &at, "", message, help);
}

fn unread(
    text: &str,
    file: Option<&Path>,
    code: Code,
    at: std::ops::Range<usize>,
    message: String,
    help: String,
) -> Loaded {
    let mut report = Report::new(shown(file), text);
    report.error(code, &at, "", message, help);
    let (errors, warnings) = report.finish();
    Loaded { policy: None, errors, warnings }
}

fn shown(file: Option<&Path>) -> String {
    file.map_or_else(|| "(embedded)".to_owned(), |file| file.display().to_string())
}

fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::new(), |mut text, byte| {
        // Writing to a String can't fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}
