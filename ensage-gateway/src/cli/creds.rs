//! `creds`: secrets from stdin or a prompt, never from arguments; values never come out again.

use std::collections::BTreeMap;
use std::io::{IsTerminal, Read};
use std::path::Path;
use std::time::SystemTime;

use ensage_creds::{AgentAsk, Secret, SecretError, Vault};
use ensage_policy::Policy;
use ensage_policy::judge::{Hint, enclave_of};
use ensage_policy::model::{Credential, Enclave, Slot, Source};
use serde_json::{Value, json};
use zeroize::Zeroizing;

use super::args::{Creds, Global};
use super::daemon::{folder_failed, not_from_session, vault_failed};
use super::output::{Failure, Output, table};
use super::place::{self, Place};
use super::text::at;
use crate::gateway::documents::instant;
use crate::state::{self, StateFolder};

pub(crate) fn creds(global: &Global, output: Output, command: Creds) -> Result<u8, Failure> {
    let place = place::find(global)?;
    not_from_session(&place.state)?;
    match command {
        Creds::Add { name } => add(&place, output, &name, Write::Add),
        Creds::Rotate { name } => add(&place, output, &name, Write::Rotate),
        Creds::Rm { name } => remove(&place.state, output, &name),
        Creds::List => list(&place::policy(&place, output.json)?, &place.state, output),
        Creds::Placeholder { name, agent, enclave } => {
            placeholder(&place::policy(&place, output.json)?, &place.state, output, &name, &agent, enclave.as_deref())
        }
    }
}

enum Write {
    Add,
    Rotate,
}

fn vault(folder: &Path, output: Output) -> Result<Vault, Failure> {
    let folder = StateFolder::open(folder).map_err(folder_failed)?;
    for warning in folder.warnings() {
        output.say(&format!("warning: {warning}"));
    }
    folder.vault().map_err(vault_failed)
}

fn add(place: &Place, output: Output, name: &str, how: Write) -> Result<u8, Failure> {
    let mut vault = vault(&place.state, output)?;
    let now = SystemTime::now();
    // Before the secret is asked for: nobody likes to type one for nothing.
    match (&how, vault.contains(name)) {
        (Write::Add, true) => {
            return Err(Failure::new("exists", format!("the vault has a credential {name} already"))
                .remedy(format!("`ensage creds rotate {name}` replaces it")));
        }
        (Write::Rotate, false) => {
            return Err(Failure::new("not_found", format!("the vault has no credential {name}"))
                .remedy(format!("`ensage creds add {name}`")));
        }
        (Write::Add, false) => warn_undeclared(place, output, name),
        (Write::Rotate, true) => {}
    }
    let secret = ask(name)?;
    let (done, word) = match how {
        Write::Add => (vault.add(name, &secret, now), "added"),
        Write::Rotate => (vault.rotate(name, &secret, now), "rotated"),
    };
    done.map_err(vault_failed)?;
    output.document("creds_changed", json!({ "name": name, "state": word }), |_| String::new())?;
    output.say(&format!("{name} {word}"));
    Ok(0)
}

/// A secret may be there before the configuration that names it, but a wrong name would be noticed late.
fn warn_undeclared(place: &Place, output: Output, name: &str) {
    // A configuration that cannot be read is no matter of the vault.
    let Some(policy) = place::read(place).ok().and_then(|reading| reading.policy) else { return };
    if policy.credentials.iter().any(|c| *c.name == *name) {
        return;
    }
    let file = place.config.as_ref().map_or_else(|| "a configuration".to_owned(), |file| format!("{file:?}"));
    output.say(&format!(
        "warning: no credential {name} is configured, so nothing uses this secret yet\n  \
         help: add [credential.{name}] with its `slot` and `hosts` to {file}"
    ));
}

/// All of stdin less one final newline, or a prompt without echo.
fn ask(name: &str) -> Result<Secret, Failure> {
    let stdin = std::io::stdin();
    let bytes = if stdin.is_terminal() {
        let typed = rpassword::prompt_password(format!("secret for {name}: ")).map_err(Failure::internal)?;
        Zeroizing::new(typed.into_bytes())
    } else {
        let mut bytes = Zeroizing::new(Vec::with_capacity(4096));
        let most = ensage_creds::SECRET_BYTES_MAX as u64 + 2;
        stdin.lock().take(most).read_to_end(&mut bytes).map_err(Failure::internal)?;
        bytes
    };
    Secret::from_stdin(bytes.to_vec()).map_err(|e: SecretError| {
        let remedy = e.remedy();
        Failure::new("usage", e.to_string()).exit(1).remedy(remedy)
    })
}

fn remove(folder: &Path, output: Output, name: &str) -> Result<u8, Failure> {
    vault(folder, output)?.remove(name).map_err(vault_failed)?;
    output.document("creds_changed", json!({ "name": name, "state": "removed" }), |_| String::new())?;
    output.say(&format!("{name} removed"));
    Ok(0)
}

fn list(policy: &Policy, folder: &Path, output: Output) -> Result<u8, Failure> {
    let found = if folder.is_dir() { Vault::find(folder, &state::keys()) } else { Ok(None) };
    let (vault, trouble) = match found {
        Ok(vault) => (vault, None),
        Err(e) => (None, Some(if super::daemon::vault_code(&e) == "vault_locked" { "locked" } else { "error" })),
    };
    let mut all: BTreeMap<String, Value> = BTreeMap::new();
    for c in &policy.credentials {
        all.insert(c.name.to_string(), described(c, vault.as_ref(), trouble));
    }
    // What lies in the vault and no configuration names is shown too: it is a secret that can be taken away.
    for name in vault.iter().flat_map(Vault::names) {
        let meta = vault.as_ref().and_then(|v| v.meta(name));
        all.entry(name.to_owned()).or_insert_with(|| {
            let mut v =
                json!({ "name": name, "source": "vault", "slots": [], "hosts": [], "env": [], "state": "present" });
            put_rotated(&mut v, meta);
            v
        });
    }
    let all: Vec<Value> = all.into_values().collect();
    output.document("creds_list", json!({ "credentials": all }), |b| {
        let rows: Vec<Vec<String>> = b
            .pointer("/credentials")
            .and_then(Value::as_array)
            .into_iter()
            .flatten()
            .map(|c| ["/name", "/source", "/state", "/slots", "/hosts", "/env"].iter().map(|p| at(c, p)).collect())
            .collect();
        table(&["name", "source", "state", "slots", "hosts", "env"], &rows)
    })?;
    Ok(0)
}

fn described(c: &Credential, vault: Option<&Vault>, trouble: Option<&str>) -> Value {
    let state = match &c.source {
        Source::Vault => match vault {
            Some(v) if v.contains(&c.name) => "present",
            Some(_) => "missing",
            None => trouble.unwrap_or("missing"),
        },
        Source::Env(name) => {
            if std::env::var_os(name).is_some_and(|v| !v.is_empty()) {
                "present"
            } else {
                "missing"
            }
        }
    };
    let source = match &c.source {
        Source::Vault => "vault".to_owned(),
        Source::Env(name) => format!("env:{name}"),
    };
    let slots: Vec<String> = c.slots.iter().map(slot).collect();
    let hosts: Vec<String> = c.hosts.iter().map(ToString::to_string).collect();
    let mut v =
        json!({ "name": &*c.name, "source": source, "slots": slots, "hosts": hosts, "env": c.env, "state": state });
    put_rotated(&mut v, vault.and_then(|vault| vault.meta(&c.name)));
    v
}

fn put_rotated(value: &mut Value, meta: Option<ensage_creds::Meta>) {
    if let (Some(map), Some(at)) = (value.as_object_mut(), meta.and_then(|m| m.rotated)) {
        map.insert("rotated".to_owned(), Value::from(instant(at)));
    }
}

/// A slot as the configuration spells it.
pub(crate) fn slot(slot: &Slot) -> String {
    match slot {
        Slot::Bearer => "bearer".to_owned(),
        Slot::Header(name) => format!("header:{name}"),
        Slot::Basic(None) => "basic".to_owned(),
        Slot::Basic(Some(user)) => format!("basic:{user}"),
    }
}

fn placeholder(
    policy: &Policy,
    folder: &Path,
    output: Output,
    name: &str,
    agent: &str,
    enclave: Option<&str>,
) -> Result<u8, Failure> {
    let credential = policy.credentials.iter().find(|c| *c.name == *name).ok_or_else(|| {
        Failure::new("not_found", format!("the configuration has no credential {name}"))
            .remedy(format!("add [credential.{name}]"))
    })?;
    if credential.of_next_hop {
        return Err(Failure::new("usage", format!("{name} is the gateway's own, for the next hop; no agent gets it"))
            .exit(1)
            .remedy("name a credential that is not upstream.proxy_credential"));
    }
    let enclave = choose(policy, agent, enclave)?;
    let mut vault = vault(folder, output)?;
    let now = SystemTime::now();
    let ask = AgentAsk {
        prefix: &credential.placeholder,
        credential: name,
        enclave: &enclave.name,
        agent,
        expires: now + credential.ttl,
    };
    let made = vault.add_placeholder(&ask, now).map_err(vault_failed)?;
    let body = json!({
        "name": name, "placeholder": made.placeholder, "env": credential.env,
        "enclave": &*enclave.name, "agent": agent, "expires": instant(made.expires()),
    });
    output.document("creds_placeholder", body, |_| format!("{}\n", made.placeholder))?;
    Ok(0)
}

/// The named enclave, or the only one that lists the agent.
fn choose<'p>(policy: &'p Policy, agent: &str, named: Option<&str>) -> Result<&'p Enclave, Failure> {
    let lists = |e: &Enclave| e.any_agent || e.agents.iter().any(|a| **a == *agent);
    let fits: Vec<&Enclave> =
        policy.enclaves.iter().map(AsRef::as_ref).filter(|e| named.is_none_or(|n| *e.name == *n) && lists(e)).collect();
    match fits.as_slice() {
        [one] => Ok(one),
        [] => match enclave_of(policy, agent, named.map_or(Hint::None, Hint::Named)) {
            Ok(enclave) => Ok(enclave),
            Err(denial) => Err(place::unlisted(policy, agent, None, denial)),
        },
        several => {
            let names: Vec<&str> = several.iter().map(|e| &*e.name).collect();
            Err(Failure::new("usage", format!("{agent} is listed in several enclaves: {}", names.join(", ")))
                .exit(1)
                .remedy("say which with --enclave"))
        }
    }
}
