//! `explain`: the decision the gateway would take, or why it took one.

use std::path::Path;

use ensage_audit::query;
use ensage_policy::Policy;
use ensage_policy::judge::{Explanation, Hint, Question, Taken, Url, Verdict, enclave_of, explain as judge};
use ensage_policy::model::Enclave;
use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::args::{Explain, Global};
use super::audit::log_failed;
use super::output::{Failure, Output};
use super::text::at;
use super::{place, taken};

pub(crate) fn explain(global: &Global, output: Output, args: &Explain) -> Result<u8, Failure> {
    let place = place::find(global)?;
    if let Some(id) = &args.id {
        return taken::taken(&place, output, id);
    }
    let policy = place::policy(&place, output.json)?;
    let name = args.enclave.as_deref().unwrap_or("");
    let enclave = place::enclave(&policy, name)?;
    if let Some(agent) = &args.agent
        && let Err(denial) = enclave_of(&policy, agent, Hint::Named(name))
    {
        let rule = denial.rule.clone().unwrap_or_else(|| enclave.rule.clone());
        let told = place::unlisted(&policy, agent, None, denial);
        let list = format!("{}.agents", rule.path);
        let mut body = json!({
            "decision": "deny", "reason": "agent_not_allowed", "message": told.message, "rule": list,
            "at": at_line(&policy, rule.line),
            "steps": [{ "step": "identity", "decision": "deny", "rule": list }],
        });
        if let (Some(map), Some(remedy)) = (body.as_object_mut(), told.remedy) {
            map.insert("remedy".to_owned(), remedy.into());
        }
        output.document("explain", body, text)?;
        return Ok(1);
    }
    let url = args.url.as_deref().map(Url::parse).transpose().map_err(|e| {
        Failure::new("usage", format!("--url: {e}")).remedy("give a whole URL, such as https://api.example.com/v1/x")
    })?;
    if let Some(server) = &args.mcp
        && (args.resource.is_some() || args.prompt.is_some())
    {
        return unread(&policy, output, enclave, server);
    }
    let question = question(args, url.as_ref())?;
    let answer = judge(&policy, enclave, enclave.mode, &question);
    output.document("explain", document(&policy, &answer), text)?;
    Ok(u8::from(answer.decision == Verdict::Deny))
}

fn question<'a>(args: &'a Explain, url: Option<&'a Url>) -> Result<Question<'a>, Failure> {
    match (url, &args.mcp, &args.tool, &args.llm, &args.model) {
        (Some(url), ..) => Ok(Question::Url { url, method: &args.method }),
        (None, Some(server), Some(tool), ..) => Ok(Question::Tool { server, tool }),
        (None, Some(_), None, ..) => Err(Failure::new("usage", "--mcp needs --tool, --resource or --prompt")),
        (None, None, _, Some(provider), Some(model)) => Ok(Question::Model { provider, model }),
        _ => Err(Failure::new("usage", "say what to explain: --url, --mcp or --llm")),
    }
}

/// Resources and prompts are not read in this version: what names them does not exist.
fn unread(policy: &Policy, output: Output, enclave: &Enclave, server: &str) -> Result<u8, Failure> {
    let rule = enclave
        .mcp
        .iter()
        .find(|m| *m.name == *server)
        .map(|m| m.rule.clone())
        .ok_or_else(|| Failure::new("not_found", format!("enclave {} has no MCP server {server}", enclave.name)))?;
    let body = json!({
        "decision": "deny",
        "reason": "mcp_method_not_allowed",
        "message": "resources and prompts are not passed on in this version",
        "rule": &*rule.path,
        "at": at_line(policy, rule.line),
        "steps": [{ "step": "classify", "decision": "deny", "rule": &*rule.path }],
    });
    output.document("explain", body, text)?;
    Ok(1)
}

fn at_line(policy: &Policy, line: u32) -> Value {
    match &policy.file {
        Some(file) => json!({ "file": file.display().to_string(), "line": line }),
        None => json!({ "file": "the embedded default", "line": line }),
    }
}

pub(super) fn document(policy: &Policy, e: &Explanation) -> Value {
    let mut body = Map::new();
    let mut put = |key: &str, value: Value| {
        body.insert(key.to_owned(), value);
    };
    put("decision", e.decision.code().into());
    if e.would_deny() {
        put("would", "deny".into());
    }
    if let Some(denial) = &e.denial {
        put("reason", denial.reason.code().into());
        put("message", denial.message.as_str().into());
        if let Some(remedy) = &denial.remedy {
            put("remedy", remedy.as_str().into());
        }
    }
    if let Some(rule) = &e.rule {
        put("rule", (*rule.path).into());
        put("at", at_line(policy, rule.line));
    }
    if let Some(credential) = &e.credential {
        put("credential", (**credential).into());
    }
    put("policy", json!({ "sha256": &*policy.sha256 }));
    put("steps", e.steps.iter().map(step).collect());
    body.into()
}

fn step(taken: &Taken<'_>) -> Value {
    let mut body = json!({ "step": taken.step.code(), "decision": taken.verdict.code() });
    if let (Some(map), Some(rule)) = (body.as_object_mut(), &taken.rule) {
        map.insert("rule".to_owned(), (*rule.path).into());
    }
    body
}

pub(super) fn text(b: &Value) -> String {
    let mut out = at(b, "/decision");
    for (key, words) in [("/would", "would"), ("/reason", "because"), ("/rule", "by")] {
        let value = at(b, key);
        if value != "-" {
            out.push_str(&format!(", {words} {value}"));
        }
    }
    out.push('\n');
    if let Some(call) = b.get("call") {
        out.push_str(&format!("  {}\n", asked(b, call)));
    }
    for (key, label) in [("/message", ""), ("/remedy", "help: ")] {
        let value = at(b, key);
        if value != "-" {
            out.push_str(&format!("  {label}{value}\n"));
        }
    }
    for s in b.pointer("/steps").and_then(Value::as_array).into_iter().flatten() {
        let rule = at(s, "/rule");
        out.push_str(&format!(
            "  {:<11} {:<6} {}\n",
            at(s, "/step"),
            at(s, "/decision"),
            if rule == "-" { "" } else { &rule }
        ));
    }
    out
}

/// Who asked what of whom, when.
fn asked(b: &Value, call: &Value) -> String {
    let known = |text: String, before: &str| if text == "-" { String::new() } else { format!("{before}{text}") };
    let path = known(at(call, "/url/path"), "");
    format!(
        "{}{} asked {} for{}{}{}{} on {}",
        at(b, "/agent"),
        known(at(b, "/enclave"), " in enclave "),
        at(b, "/host"),
        known(at(call, "/mcp/method/name"), " "),
        known(at(call, "/gen_ai/tool/name"), " "),
        known(at(call, "/gen_ai/request/model"), " "),
        known(format!("{} {path}", at(call, "/http/request/method")).trim_end().to_owned(), " "),
        at(call, "/time"),
    )
}

/// An id that no record has: most likely that of a session, the only other one that `run` tells.
pub(super) fn unknown(log: &Path, id: Uuid) -> Result<Failure, Failure> {
    let summary = query::summary(log, id).map_err(|e| log_failed(&e))?;
    Ok(match summary.allowed + summary.denied {
        0 => Failure::new("not_found", format!("no decision {id} is on record here")),
        1 => session(format!("{id} is a session with 1 call, no decision"), &id.to_string()),
        calls => session(format!("{id} is a session with {calls} calls, no decision"), &id.to_string()),
    })
}

/// A record that tells no decision, and what it tells.
pub(super) fn undecided(record: &Value, shown: &str) -> Failure {
    let shown = shown.split_whitespace().collect::<Vec<_>>().join(" ");
    let message = format!("{} is no decision but the record `{shown}`", at(record, "/id"));
    match record.pointer("/session/id").and_then(Value::as_str) {
        Some(id) => session(message, id),
        None => Failure::new("not_found", message).remedy("`ensage audit --json` shows the ids of decisions"),
    }
}

fn session(message: String, id: &str) -> Failure {
    Failure::new("not_found", message).remedy(format!("`ensage audit --session {id}` shows what it did"))
}
