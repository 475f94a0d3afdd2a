//! `ca path|show|install|uninstall|rotate`.

use std::path::Path;

use serde_json::{Map, Value, json};

use super::args::{Ca, Global};
use super::daemon::{folder_failed, start_failed, vault_failed};
use super::output::{Failure, Output, chain};
use super::place;
use super::text::at;
use super::variables::quoted;
use crate::ca::{Authority, CaError, Certificate, Facts, Store, StoreError};
use crate::gateway::{self, StartError};
use crate::state::StateFolder;

pub(crate) fn ca(global: &Global, output: Output, command: &Ca) -> Result<u8, Failure> {
    let state = place::find(global)?.state;
    match command {
        Ca::Path => {
            let path = current(&state)?.0.path.display().to_string();
            output.document("ca_path", json!({ "path": path }), |b| format!("{}\n", at(b, "/path")))?;
        }
        Ca::Show => {
            let (facts, pem) = current(&state)?;
            output.document("ca_show", shown(&facts, &installed(&facts, &pem)?), |b| text(b, &[]))?;
        }
        Ca::Install => install(output, &state)?,
        Ca::Uninstall => uninstall(output, &state)?,
        Ca::Rotate => rotate(output, &state)?,
    }
    Ok(0)
}

/// The CA of the state folder with its PEM; made if there is none.
fn current(state: &Path) -> Result<(Facts, Vec<u8>), Failure> {
    if let Some(found) = there(state)? {
        return Ok(found);
    }
    let folder = StateFolder::open(state).map_err(folder_failed)?;
    let vault = folder.vault().map_err(vault_failed)?;
    let authority = Authority::open_or_create(folder.path(), &vault).map_err(ca_failed)?;
    Ok((authority.facts().clone(), authority.pem().as_bytes().to_vec()))
}

fn there(state: &Path) -> Result<Option<(Facts, Vec<u8>)>, Failure> {
    if !state.is_dir() {
        return Ok(None);
    }
    Facts::read_pem(state).map_err(ca_failed)
}

/// Where it is installed. A machine without a store that is known has it nowhere.
fn installed(facts: &Facts, pem: &[u8]) -> Result<Vec<String>, Failure> {
    let store = match Store::of_this_machine() {
        Ok(store) => store,
        Err(StoreError::Unknown) => return Ok(Vec::new()),
        Err(error) => return Err(store_failed(error)),
    };
    let certificate = certificate(facts, pem);
    let holds = match store.holds(&certificate) {
        // What else stands in its place is not it.
        Err(StoreError::Foreign { .. }) => false,
        held => held.map_err(store_failed)?,
    };
    Ok(if holds { vec![store.place(&certificate).display().to_string()] } else { Vec::new() })
}

fn install(output: Output, state: &Path) -> Result<(), Failure> {
    let (facts, pem) = current(state)?;
    let store = Store::of_this_machine().map_err(store_failed)?;
    let certificate = certificate(&facts, &pem);
    let changed = !store.holds(&certificate).map_err(store_failed)?;
    if is_root() {
        store.put(&certificate).map_err(store_failed)?;
    } else if changed {
        return Err(not_root("install the CA", store.put_command(&certificate, quoted)));
    }
    let place = store.place(&certificate).display().to_string();
    let body = json!({ "sha256": facts.sha256, "installed": [place], "changed": changed });
    output.document("ca_install", body, |_| {
        if changed { format!("installed as {place}\n") } else { format!("installed already as {place}\n") }
    })
}

fn uninstall(output: Output, state: &Path) -> Result<(), Failure> {
    // Nothing is made for it: a CA that is not there is not installed.
    let Some((facts, pem)) = there(state)? else {
        return Err(
            Failure::new("not_found", "there is no CA in this state folder").remedy("name another with --state")
        );
    };
    let store = Store::of_this_machine().map_err(store_failed)?;
    let certificate = certificate(&facts, &pem);
    let place = store.place(&certificate).display().to_string();
    let changed = store.holds(&certificate).map_err(store_failed)?;
    if changed {
        if !is_root() {
            return Err(not_root("take the CA away", store.take_away_command(&certificate, quoted)));
        }
        store.take_away(&certificate).map_err(store_failed)?;
    }
    let removed: Vec<&str> = changed.then_some(place.as_str()).into_iter().collect();
    let body = json!({ "sha256": facts.sha256, "removed": removed, "changed": changed });
    output.document("ca_uninstall", body, |_| {
        if changed { format!("{place} is gone\n") } else { "it was not installed\n".to_owned() }
    })
}

fn rotate(output: Output, state: &Path) -> Result<(), Failure> {
    let folder = StateFolder::open(state).map_err(folder_failed)?;
    // Held to the end: no gateway starts with the one CA while the other one is made.
    let _lock = gateway::lock(&folder).map_err(|error| match error {
        StartError::AlreadyRunning => {
            Failure::new("already_running", "a gateway runs on this state folder, and mints with the CA that it has")
                .remedy("end it (`ensage status` shows its pid; the one that `run` starts ends with its last session)")
        }
        other => start_failed(other),
    })?;
    let vault = folder.vault().map_err(vault_failed)?;
    let old = match Facts::read_pem(folder.path()) {
        Ok(old) => old,
        // A damaged CA is what rotating mends.
        Err(CaError::Damaged { .. }) => None,
        Err(error) => return Err(ca_failed(error)),
    };
    let store = old.as_ref().and_then(|(facts, pem)| {
        let store = Store::of_this_machine().ok()?;
        store.holds(&certificate(facts, pem)).is_ok_and(|held| held).then_some(store)
    });
    if let (Some(store), Some((facts, pem))) = (&store, &old)
        && !is_root()
    {
        let command = store.take_away_command(&certificate(facts, pem), quoted);
        let failure = not_root("replace the CA that is installed", format!("{command} && ensage ca rotate"));
        return Err(failure);
    }
    let new = Authority::rotate(folder.path(), &vault).map_err(ca_failed)?;
    let (facts, pem) = (new.facts(), new.pem().as_bytes());
    if let (Some(store), Some((old, old_pem))) = (&store, &old) {
        let moved = store.put(&certificate(facts, pem)).and_then(|()| store.take_away(&certificate(old, old_pem)));
        moved
            .map_err(|error| store_failed(error).remedy("the new CA is there: `ensage ca install` puts it in force"))?;
    }
    let mut body = shown(facts, &installed(facts, pem)?);
    if let (Some(map), Some((old, _))) = (body.as_object_mut(), &old) {
        map.insert("was".to_owned(), Value::from(old.sha256.as_str()));
    }
    output.document("ca_rotate", body, |b| text(b, &["was"]))
}

fn shown(facts: &Facts, installed: &[String]) -> Value {
    let time = |t: time::OffsetDateTime| crate::gateway::documents::instant(t.into());
    json!({
        "path": facts.path.display().to_string(),
        "subject": facts.subject,
        "sha256": facts.sha256,
        "not_before": time(facts.not_before),
        "not_after": time(facts.not_after),
        "installed": installed,
    })
}

fn text(body: &Value, more: &[&str]) -> String {
    let none = Map::new();
    let has = |key: &&str| body.as_object().unwrap_or(&none).contains_key(*key);
    let keys = ["path", "subject", "sha256", "not_before", "not_after"].into_iter().chain(more.iter().copied());
    let lines = keys.filter(|key| has(key)).map(|key| format!("{key:<11} {}\n", at(body, &format!("/{key}"))));
    let installed = body.pointer("/installed").and_then(Value::as_array).into_iter().flatten();
    lines.chain(installed.map(|place| format!("{:<11} {}\n", "installed", at(place, "")))).collect()
}

fn certificate<'a>(facts: &'a Facts, pem: &'a [u8]) -> Certificate<'a> {
    Certificate { sha256: &facts.sha256, path: &facts.path, pem }
}

fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// What only root may do, with the words that root would type: the state folder is the user's, and stays so.
fn not_root(what: &str, command: String) -> Failure {
    Failure::new("internal", format!("only root may {what}")).remedy(command)
}

fn ca_failed(error: CaError) -> Failure {
    let remedy = error.remedy();
    Failure::new("internal", chain(&error)).remedy(remedy)
}

fn store_failed(error: StoreError) -> Failure {
    let text = chain(&error);
    match error {
        StoreError::Unknown => Failure::new("not_found", text)
            .remedy("install ca-certificates, or give programs the file that `ensage ca path` prints"),
        StoreError::Foreign { .. } => {
            Failure::new("exists", text).remedy("find out who put it there, and move it away")
        }
        StoreError::Io { .. } => Failure::new("internal", text),
        StoreError::Tool { tool, .. } => {
            Failure::new("internal", text).remedy(format!("run {} and see what it says", tool.display()))
        }
    }
}
