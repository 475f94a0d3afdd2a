//! `agents`: what runs now, with and without a session.

use std::path::Path;

use ensage_endpoint::catalogue::Catalogue;
use ensage_endpoint::identify::Rules;
use ensage_endpoint::proc::{Digests, Process, ProcessKey};
use ensage_endpoint::scan::{Running, scan};
use ensage_policy::Policy;
use ensage_policy::judge::{Hint, enclave_of};
use serde_json::{Map, Value, json};

use super::args::Global;
use super::output::{Failure, Output, table};
use super::place;
use super::text::at;
use crate::admin::client;
use crate::gateway::documents::instant;
use crate::gateway::matchers;

pub(crate) fn agents(global: &Global, output: Output) -> Result<u8, Failure> {
    let place = place::find(global)?;
    let policy = place::policy(&place, output.json)?;
    let sessions = sessions(&place.state);
    let proxies = proxies(&place.state);
    // The catalogue always looks: an agent that the configuration does not know is what this command is for.
    let mut all = matchers(&policy);
    if !policy.gateway.catalogue {
        let own = |name: &str| policy.agents.iter().any(|a| *a.name == *name);
        all.extend(Catalogue::builtin().matchers(&own));
    }
    let digests = Digests::new();
    let registered = |key: &ProcessKey| session_of(&sessions, key).is_some();
    let digest = |p: &Process| digests.of(&p.key()).ok();
    let rules = Rules { matchers: &all, registered: &registered, digest: &digest };
    let found = scan(&rules).map_err(Failure::internal)?;
    // What `run` started stands for its session; the `run` itself is shown only while nothing of it is an agent by name.
    let stands_in = |r: &Running| found.iter().any(|other| other.parent.as_ref() == Some(&r.process.key()));
    let agents: Vec<Value> = found
        .iter()
        .filter(|r| !(session_of(&sessions, &r.process.key()).is_some_and(is_run) && stands_in(r)))
        .map(|r| {
            let above = r.parent.as_ref().and_then(|key| session_of(&sessions, key)).filter(|s| is_run(s));
            document(&policy, session_of(&sessions, &r.process.key()).or(above), &proxies, r)
        })
        .collect();
    output.document("agents", json!({ "agents": agents }), listed)?;
    Ok(0)
}

/// Sessions of the daemon, if one runs; else the scan alone is shown.
fn sessions(state: &Path) -> Vec<Value> {
    let answer = client::ask(state, "GET", "/v1/agents", None).unwrap_or_default();
    answer.get("sessions").and_then(Value::as_array).cloned().unwrap_or_default()
}

fn proxies(state: &Path) -> Vec<String> {
    let status = client::ask(state, "GET", "/v1/status", None).unwrap_or_default();
    let all = status.get("listeners").and_then(Value::as_array).cloned().unwrap_or_default();
    all.iter().filter_map(|l| l.as_str().map(str::to_owned)).collect()
}

fn session_of<'s>(sessions: &'s [Value], key: &ProcessKey) -> Option<&'s Value> {
    sessions.iter().find(|s| {
        let number = |p: &str| s.pointer(p).and_then(Value::as_u64);
        s.get("state").and_then(Value::as_str) != Some("ended")
            && number("/process/pid") == Some(key.pid.into())
            && number("/process/start_time") == Some(key.start_time)
    })
}

/// Whether a session's root is `ensage run`. The gateway says so: what a process is called, or shows, is its own doing.
fn is_run(session: &Value) -> bool {
    session.get("run").and_then(Value::as_bool) == Some(true)
}

fn document(policy: &Policy, session: Option<&Value>, proxies: &[String], r: &Running) -> Value {
    let named = r.names.first().map(|n| n.to_string());
    let agent = session
        .and_then(|s| s.get("agent").and_then(Value::as_str).map(str::to_owned))
        .or(named)
        .unwrap_or_else(|| r.process.base_name().unwrap_or("unknown").to_owned());
    let sanctioned = session.is_some() || enclave_of(policy, &agent, Hint::None).is_ok();
    let mut body = Map::new();
    let mut put = |key: &str, value: Value| {
        body.insert(key.to_owned(), value);
    };
    put("sanctioned", sanctioned.into());
    put("rogue", (!sanctioned).into());
    put("agent", agent.into());
    for (key, from) in [("session", "id"), ("enclave", "enclave"), ("mode", "mode"), ("tier", "tier")] {
        if let Some(value) = session.and_then(|s| s.get(from)) {
            put(key, value.clone());
        }
    }
    if session.is_none() {
        put("tier", "outside".into());
    }
    // Of `ensage run` the session knows which program it stands for.
    let own = |s: &&Value| s.pointer("/process/pid").and_then(Value::as_u64) == Some(r.process.pid.into());
    let known = session.filter(|s| is_run(s)).filter(own).and_then(|s| s.get("process"));
    put("process", known.cloned().unwrap_or_else(|| process(&r.process)));
    put("since", instant(r.process.started).into());
    let connections: Vec<Value> = r
        .connections
        .iter()
        .map(|c| {
            let via = if proxies.contains(&c.server.to_string()) { "gateway" } else { "direct" };
            json!({ "server": { "address": c.server.ip().to_string(), "port": c.server.port() }, "via": via })
        })
        .collect();
    put("connections", connections.into());
    let listening: Vec<Value> =
        r.listening.iter().map(|l| json!({ "address": l.ip().to_string(), "port": l.port() })).collect();
    put("listening", listening.into());
    body.into()
}

fn process(p: &Process) -> Value {
    let mut body = json!({ "pid": p.pid, "start_time": p.start_time });
    if let Some(map) = body.as_object_mut() {
        if let Some(path) = p.exe_path() {
            map.insert("executable".to_owned(), json!({ "path": path }));
        }
        if let Some(script) = p.script_path() {
            map.insert("script".to_owned(), script.into());
        }
        if let Some(owner) = p.owner() {
            map.insert("owner".to_owned(), (*owner).into());
        }
    }
    body
}

fn listed(body: &Value) -> String {
    let rows: Vec<Vec<String>> = body
        .pointer("/agents")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .map(|a| {
            let state = if a.get("rogue").and_then(Value::as_bool) == Some(true) { "rogue" } else { "sanctioned" };
            let open = a.get("connections").and_then(Value::as_array).map_or(0, Vec::len);
            vec![
                at(a, "/agent"),
                state.to_owned(),
                at(a, "/process/pid"),
                at(a, "/tier"),
                at(a, "/enclave"),
                at(a, "/session"),
                open.to_string(),
            ]
        })
        .collect();
    table(&["agent", "state", "pid", "tier", "enclave", "session", "open"], &rows)
}
