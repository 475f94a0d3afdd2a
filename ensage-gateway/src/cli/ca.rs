//! `ca path|show`.

use serde_json::json;

use super::args::{Ca, Global};
use super::daemon::{folder_failed, vault_failed};
use super::output::{Failure, Output, chain};
use super::place;
use super::text::at;
use crate::ca::{Authority, CaError, Facts};
use crate::state::StateFolder;

pub(crate) fn ca(global: &Global, output: Output, command: &Ca) -> Result<u8, Failure> {
    let state = place::find(global)?.state;
    let facts = facts(&state)?;
    match command {
        Ca::Path => {
            let path = facts.path.display().to_string();
            output.document("ca_path", json!({ "path": path }), |b| format!("{}\n", at(b, "/path")))?;
        }
        Ca::Show => {
            let time = |t: time::OffsetDateTime| crate::gateway::documents::instant(t.into());
            let body = json!({
                "path": facts.path.display().to_string(),
                "subject": facts.subject,
                "sha256": facts.sha256,
                "not_before": time(facts.not_before),
                "not_after": time(facts.not_after),
                "installed": [],
            });
            output.document("ca_show", body, |b| {
                ["path", "subject", "sha256", "not_before", "not_after"]
                    .iter()
                    .map(|k| format!("{k:<11} {}\n", at(b, &format!("/{k}"))))
                    .collect()
            })?;
        }
    }
    Ok(0)
}

/// The CA of the state folder; made if there is none.
fn facts(state: &std::path::Path) -> Result<Facts, Failure> {
    if state.is_dir()
        && let Some(facts) = Facts::read(state).map_err(ca_failed)?
    {
        return Ok(facts);
    }
    let folder = StateFolder::open(state).map_err(folder_failed)?;
    let vault = folder.vault().map_err(vault_failed)?;
    Ok(Authority::open_or_create(folder.path(), &vault).map_err(ca_failed)?.facts().clone())
}

fn ca_failed(error: CaError) -> Failure {
    let remedy = error.remedy();
    Failure::new("internal", chain(&error)).remedy(remedy)
}
