//! `explain DECISION_ID`: why a decision was taken, told from its record and, while it is the same, from the policy.

use ensage_audit::query;
use ensage_policy::judge::{Explanation, Question, Step, Url, explain as judge};
use ensage_policy::{Mode, Policy};
use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::audit::{human, log_failed};
use super::explain::{document, text, undecided, unknown};
use super::output::{Failure, Output};
use super::place::{self, Place};

/// Shows why a recorded decision was taken.
pub(super) fn taken(place: &Place, output: Output, id: &str) -> Result<u8, Failure> {
    let uuid = Uuid::parse_str(id).map_err(|_| {
        Failure::new("usage", format!("{id:?} is no decision id"))
            .remedy("it stands in `ensage-decision` of the answer, and last in a line of `ensage audit`")
    })?;
    let log = place.state.join("audit");
    let Some(line) = query::find(&log, uuid).map_err(|e| log_failed(&e))? else {
        return Err(unknown(&log, uuid)?);
    };
    let record: Value = serde_json::from_str(&line).map_err(Failure::internal)?;
    if word(&record, "/kind") != Some("call") {
        return Err(undecided(&record, &human(&line)));
    }
    let denied = word(&record, "/decision") == Some("deny");
    // A configuration that cannot be read does not hide what was recorded.
    let policy = place::read(place).ok().and_then(|reading| reading.policy);
    let again = policy.as_ref().and_then(|policy| Some(document(policy, &again(policy, &record)?)));
    let mut body = match again {
        Some(Value::Object(body)) => body,
        _ => derived(&record),
    };
    for key in ["decision", "would", "reason", "message", "rule", "chamber", "policy"] {
        if let Some(value) = record.get(key) {
            body.insert(key.to_owned(), value.clone());
        }
    }
    for (key, pointer) in [
        ("credential", "/credential/name"),
        ("agent", "/session/agent"),
        ("enclave", "/session/enclave"),
        ("host", "/server/address"),
    ] {
        if let Some(value) = record.pointer(pointer) {
            body.insert(key.to_owned(), value.clone());
        }
    }
    body.insert("call".to_owned(), record);
    output.document("explain", body.into(), text)?;
    Ok(u8::from(denied))
}

fn word<'r>(record: &'r Value, pointer: &str) -> Option<&'r str> {
    record.pointer(pointer).and_then(Value::as_str)
}

/// The same judgement once more: by the policy of the record, and only if it comes to the same end.
fn again(policy: &Policy, record: &Value) -> Option<Explanation> {
    if word(record, "/policy/sha256") != Some(&*policy.sha256) {
        return None;
    }
    let enclave = policy.enclave(word(record, "/session/enclave")?)?;
    let mode = if word(record, "/session/mode") == Some("observe") { Mode::Observe } else { Mode::Enforce };
    let tool = word(record, "/mcp/server").zip(word(record, "/gen_ai/tool/name"));
    let model = word(record, "/gen_ai/provider/name").zip(word(record, "/gen_ai/request/model"));
    let said = match (tool, model) {
        (Some((server, tool)), _) => judge(policy, enclave, mode, &Question::Tool { server, tool }),
        (None, Some((provider, model))) => judge(policy, enclave, mode, &Question::Model { provider, model }),
        (None, None) => {
            let port = record.pointer("/server/port")?.as_u64()?;
            let address = word(record, "/server/address")?;
            let address = if address.contains(':') && !address.starts_with('[') {
                format!("[{address}]")
            } else {
                address.to_owned()
            };
            let path = word(record, "/url/path").unwrap_or("/");
            let url = Url::parse(&format!("{}://{address}:{port}{path}", word(record, "/url/scheme")?)).ok()?;
            let method = word(record, "/http/request/method")?;
            judge(policy, enclave, mode, &Question::Url { url: &url, method })
        }
    };
    let reason = said.denial.as_ref().map(|denial| denial.reason.code());
    let same = word(record, "/decision") == Some(said.decision.code()) && word(record, "/reason") == reason;
    same.then_some(said)
}

/// What the record alone tells: the first refusing step gives the reason, so those before it let it pass.
fn derived(record: &Value) -> Map<String, Value> {
    let (reason, rule) = (word(record, "/reason"), word(record, "/rule"));
    let deciding = reason.and_then(step_of);
    let whole =
        [Step::Identity, Step::Reach, Step::Authority, Step::Protocol, Step::Method, Step::Path, Step::Classify];
    let whole = if word(record, "/type") == Some("connect") { whole.get(..2).unwrap_or(&whole) } else { &whole };
    // A placeholder or a key where none belongs wins over the protocol and later.
    let last = match (deciding, word(record, "/severity")) {
        (Some(Step::Credential), Some("high")) => Some(Step::Protocol),
        (deciding, _) => deciding,
    };
    let mut steps: Vec<Value> = whole
        .iter()
        .filter(|step| last.is_none_or(|last| **step < last))
        .map(|step| json!({ "step": step.code(), "decision": "allow" }))
        .collect();
    if let Some(step) = deciding {
        steps.push(json!({ "step": step.code(), "decision": "deny" }));
    }
    if let (Some(rule), Some(step)) = (rule, steps.last_mut().and_then(Value::as_object_mut)) {
        step.insert("rule".to_owned(), rule.into());
    }
    let mut body = Map::new();
    body.insert("steps".to_owned(), steps.into());
    if let Some(remedy) = reason.map(|_| remedy(deciding, rule)) {
        body.insert("remedy".to_owned(), remedy.into());
    }
    body
}

fn remedy(deciding: Option<Step>, rule: Option<&str>) -> String {
    match (deciding, rule) {
        (Some(Step::Identity), _) => {
            "list the agent, [enclave.NAME] agents = [\"AGENT\"]; `ensage agents` shows who runs".to_owned()
        }
        (Some(Step::Credential), _) => "let the agent use the placeholder of this host's credential, in its slot: \
             `ensage creds placeholder NAME --agent AGENT`"
            .to_owned(),
        (Some(Step::Authority | Step::Protocol), None) => {
            "the request itself is at fault; no rule would let it through".to_owned()
        }
        (Some(_), Some(rule)) => format!("{rule} is where it would be allowed"),
        (Some(_), None) => "`ensage explain --enclave E --url U` asks the policy of now".to_owned(),
        (None, _) => "no rule refused it: see whether the upstream can be reached from here".to_owned(),
    }
}

/// The step that gives a reason; `None` for what is no step's, such as faults of the upstream.
fn step_of(reason: &str) -> Option<Step> {
    Some(match reason {
        "unattributed"
        | "ambiguous_agent"
        | "ambiguous_enclave"
        | "agent_not_allowed"
        | "tier_too_low"
        | "session_ended"
        | "session_quarantined" => Step::Identity,
        "host_not_allowed" | "port_not_allowed" | "scheme_not_allowed" | "address_literal" | "host_closed" => {
            Step::Reach
        }
        "malformed_request"
        | "malformed_authority"
        | "authority_mismatch"
        | "target_too_long"
        | "header_too_large"
        | "client_timeout" => Step::Authority,
        "protocol_not_allowed" | "websocket_not_allowed" => Step::Protocol,
        "method_not_allowed" => Step::Method,
        "path_not_allowed" | "ambiguous_path" | "llm_path_not_allowed" => Step::Path,
        "undeclared_mcp"
        | "origin_not_allowed"
        | "malformed_json"
        | "malformed_mcp"
        | "malformed_llm"
        | "header_mismatch"
        | "revision_not_allowed"
        | "mcp_method_not_allowed"
        | "server_request_not_allowed"
        | "mcp_session_unknown"
        | "body_undecided"
        | "body_too_large"
        | "encoding_refused"
        | "content_type_refused" => Step::Classify,
        "tool_not_allowed"
        | "tool_withheld"
        | "prompt_not_allowed"
        | "resource_not_allowed"
        | "provider_tool_not_allowed"
        | "connector_not_allowed"
        | "url_source_not_allowed"
        | "stored_id_not_allowed" => Step::Tool,
        "arguments_invalid" => Step::Arguments,
        "model_not_allowed" => Step::Model,
        "rate_limited" | "budget_spent" => Step::Rate,
        "chamber_closed" | "grant_required" | "grant_expired" | "grant_revoked" => Step::Chamber,
        "foreign_credential" | "ambiguous_credential" | "plaintext_upstream" | "credential_unavailable" => {
            Step::Credential
        }
        placeholder if placeholder.starts_with("placeholder_") => Step::Credential,
        _ => return None,
    })
}
