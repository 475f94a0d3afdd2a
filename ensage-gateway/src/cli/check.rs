//! `check` and `trust`.

use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use ensage_policy::config::{self, Diagnostic, Kind};
use ensage_policy::model::Enclave;
use ensage_policy::{Mode, Policy, Tier};
use serde_json::{Value, json};

use super::args::{Global, Trust};
use super::output::{Failure, Output};
use super::place;
use crate::state;

/// Prints every error of the configuration at once.
pub(crate) fn check(global: &Global, output: Output) -> Result<u8, Failure> {
    let place = place::find(global)?;
    let mut reading = place::read(&place)?;
    if let Some(policy) = &reading.policy {
        reading.warnings.extend(containment(policy));
        reading.warnings.sort_by_key(|w| (w.line, w.column));
    }
    let ok = reading.errors.is_empty() && reading.policy.is_some();
    if output.json {
        let body = json!({
            "ok": ok,
            "errors": reading.errors.iter().map(document).collect::<Vec<_>>(),
            "warnings": reading.warnings.iter().map(document).collect::<Vec<_>>(),
        });
        output.document("check", body, |_| String::new())?;
        return Ok(u8::from(!ok));
    }
    use std::io::Write;
    let mut err = std::io::stderr().lock();
    for diagnostic in reading.errors.iter().chain(reading.warnings.iter()) {
        let _ = writeln!(err, "{diagnostic}");
    }
    drop(err);
    if ok {
        let name = place.config.as_deref().map_or_else(|| "the embedded default".to_owned(), |p| format!("{p:?}"));
        output.line(&format!("{name}: ok\n"))?;
    }
    Ok(u8::from(!ok))
}

/// What of the configuration waits for contained sessions: each enclave that demands them, and, once for a file, that
/// an agent in enforce mode does without only if `run` is told so.
fn containment(policy: &Policy) -> Vec<Diagnostic> {
    let warning = |enclave: &Enclave, key: &str, so: &str, help: &str| Diagnostic {
        kind: Kind::Warning,
        code: "not_yet",
        file: policy.file.as_deref().unwrap_or(Path::new("")).display().to_string(),
        line: enclave.rule.line,
        column: 1,
        key: format!("enclave.{}.{key}", enclave.name),
        message: format!("contained sessions are not there yet in this version, so {so}"),
        help: help.to_owned(),
    };
    let (demanding, others): (Vec<_>, Vec<_>) =
        policy.enclaves.iter().partition(|enclave| enclave.require == Tier::Contained);
    let refused = demanding.into_iter().map(|enclave| {
        let help = "write `require = \"advisory\"` where protection against accident is enough";
        warning(enclave, "require", "no agent has what this enclave demands", help)
    });
    let enforced = others.into_iter().find(|enclave| enclave.mode == Mode::Enforce).map(|enclave| {
        let help = "`ensage run --advisory -- CMD` protects against accident, not against attack";
        warning(enclave, "mode", "in enforce mode `ensage run` refuses without --advisory", help)
    });
    refused.chain(enforced).collect()
}

fn document(d: &Diagnostic) -> Value {
    let mut body = json!({ "code": d.code, "line": d.line, "column": d.column, "message": d.message });
    if let Some(map) = body.as_object_mut() {
        // What has no value is absent (interface section 1).
        let known = [("file", &d.file), ("key", &d.key), ("help", &d.help)].into_iter().filter(|(_, v)| !v.is_empty());
        map.extend(known.map(|(name, value)| (name.to_owned(), Value::from(value.as_str()))));
    }
    body
}

/// Accepts a configuration by its digest.
pub(crate) fn trust(global: &Global, output: Output, trust: Trust) -> Result<u8, Failure> {
    let folder = place::state(global)?;
    super::daemon::not_from_session(&folder)?;
    let path = trust.file.unwrap_or_else(|| PathBuf::from("ensage.toml"));
    let path = std::path::absolute(&path).map_err(Failure::internal)?;
    if !path.is_file() {
        return Err(Failure::new("not_found", format!("{path:?} is not there")));
    }
    let text = place::text(&path)?;
    let loaded = config::load(&text, Some(&path), &state::surroundings());
    if loaded.policy.is_none() || !loaded.errors.is_empty() {
        return Err(place::bad(&loaded.errors, output.json));
    }
    let folder = state::StateFolder::open(&folder).map_err(super::daemon::folder_failed)?;
    let digest = place::digest(&text);
    remember(&folder.path().join("trusted"), &digest).map_err(Failure::internal)?;
    let body = json!({ "file": path.display().to_string(), "sha256": digest });
    output.document("trust", body, |_| format!("trusted {path:?}\n"))?;
    Ok(0)
}

fn remember(folder: &Path, digest: &str) -> std::io::Result<()> {
    use std::os::unix::fs::DirBuilderExt;
    std::fs::DirBuilder::new().mode(0o700).recursive(true).create(folder)?;
    std::fs::OpenOptions::new().create(true).append(true).mode(0o600).open(folder.join(digest)).map(drop)
}
