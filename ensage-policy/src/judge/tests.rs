//! One policy, and tables of what it says.

mod body;
mod credential;
mod head;
mod tunnel;
mod who;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::{
    BodyPermit, BodyProof, CredentialFinding, Denial, HeadFacts, HeadPermit, Needs, Route, Trial, Upgrade, Url,
};
use crate::config::{Env, load};
use crate::model::{Enclave, Mode, Policy};

const POLICY: &str = r#"
[upstream]
private_addresses = ["127.0.0.1/32"]

[enclave.a]
agents = ["coder"]
closed = ["telemetry.test", "closed.open.test"]

[[enclave.a.http]]
host = "api.test"
methods = ["GET", "HEAD"]

[[enclave.a.http]]
host = "api.test"
methods = ["POST"]
paths = ["/repos/acme/**", "/@*"]

[[enclave.a.http]]
host = "*.open.test"
addresses = ["10.1.0.0/16"]
mcp = "allow"

[[enclave.a.http]]
host = "plain.test:80"
scheme = "http"

[[enclave.a.http]]
host = "ported.test:8443"

[[enclave.a.http]]
host = "10.9.9.9:8000"

[[enclave.a.http]]
host = "llm.test"
paths = ["/api/event_logging/**", "/v1/**"]

[[enclave.a.http]]
host = "both.test"

[[enclave.a.http]]
host = "injected.test"
credential = "injected"

[[enclave.a.http]]
host = "ws.test"
methods = ["GET"]
paths = ["/ws/**"]
websocket = true

[enclave.a.llm.anthropic]
api = "anthropic"
host = "llm.test"
models = ["claude-*"]
provider_tools = ["code_execution", "web_search"]
addresses = ["10.2.0.0/16"]

[enclave.a.llm.bare]
api = "anthropic"
host = "bare-llm.test"

[enclave.a.llm.openai]
api = "openai"
host = "openai.test"
models = ["gpt-*"]
provider_tools = ["web_search", "connector_gmail", "code_interpreter"]

[enclave.a.llm.two-a]
api = "anthropic"
host = "two.test"

[enclave.a.llm.two-o]
api = "openai"
host = "two.test"

[enclave.a.mcp.git]
url = "https://mcp.test/mcp/"
tools = ["get_*", "search", "odd name", "**"]
addresses = ["10.3.0.0/16"]
credential = "git"

[enclave.a.mcp.both]
url = "https://both.test/mcp?tenant=1"
tools = ["get_*", "search"]
revisions = ["2025-11-25", "2026-07-28"]

[enclave.a.mcp.local]
url = "http://127.0.0.2:9000"

[enclave.b]
agents = ["coder", "writer"]
folders = ["/home/ann/b"]

[[enclave.b.http]]
host = "b.test"

[credential.llm]
slot = "header:x-api-key"
hosts = ["llm.test"]
paths = ["/v1/messages", "/v1/models"]

[credential.git]
slot = ["bearer", "header:x-token"]
hosts = ["mcp.test", "api.test"]

[credential.injected]
slot = ["header:x-first", "bearer"]
hosts = ["injected.test"]
paths = ["/in/**"]
inject = true

[credential.other]
slot = "bearer"
hosts = ["b.test"]

[credential.plain]
slot = "bearer"
hosts = ["plain.test:80"]
"#;

fn policy() -> Policy {
    let env = Env {
        home: Some(PathBuf::from("/home/ann")),
        cwd: PathBuf::from("/work"),
        catalogue: vec!["coder".to_owned(), "writer".to_owned()],
        proxy: None,
    };
    let loaded = load(POLICY, Some(Path::new("ensage.toml")), &env);
    loaded.policy.unwrap_or_else(|| panic!("{:#?}", loaded.errors))
}

/// A trial of somebody whom nothing speaks against.
fn begun<'p>(policy: &'p Policy, enclave: &'p Arc<Enclave>, mode: Mode) -> Trial<'p> {
    Trial::begin(policy, enclave, mode).identity(None, "").unwrap()
}

/// The permit of a head whose body is proven as its entry needs it.
fn permitted(trial: &mut Trial<'_>, route: Route, finding: &CredentialFinding) -> Result<HeadPermit, Denial> {
    let judged = BodyPermit { rule: None };
    let proof = match trial.asked.as_ref().map(|asked| asked.body) {
        Some(Needs::Judged) => BodyProof::Judged(&judged),
        Some(Needs::Absent) => BodyProof::Absent,
        Some(Needs::Nothing) | None => BodyProof::Unread,
    };
    trial.permit(route, finding, proof)
}

fn enclave<'p>(policy: &'p Policy, name: &str) -> &'p Arc<Enclave> {
    policy.enclave(name).unwrap()
}

/// A head for `METHOD URL`, judged on its own.
fn head(trial: &mut Trial<'_>, asked: &str, finding: &CredentialFinding) -> Result<Route, Denial> {
    let (method, url) = asked.split_once(' ').unwrap();
    let url = Url::parse(url).unwrap_or_else(|e| panic!("{asked}: {e}"));
    trial.head(&HeadFacts {
        authority: &url.authority,
        scheme: url.scheme,
        method,
        path: &url.path,
        query: url.query.as_deref(),
        upgrade: Upgrade::Stay,
        finding,
    })
}

/// A whole request without a body that is read.
fn request(policy: &Policy, mode: Mode, asked: &str, finding: &CredentialFinding) -> Result<HeadPermit, Denial> {
    let mut trial = begun(policy, enclave(policy, "a"), mode);
    let route = head(&mut trial, asked, finding)?;
    permitted(&mut trial, route, finding)
}

/// `allow KIND RULE`, `would REASON RULE` or `deny REASON RULE`.
fn told(outcome: &Result<HeadPermit, Denial>) -> String {
    match outcome {
        Ok(permit) => match permit.would() {
            None => format!("allow {} {}", permit.route().kind().code(), path(permit.rule())),
            Some(would) => format!("would {} {}", would.reason, path(permit.rule())),
        },
        Err(denial) => format!("deny {} {}", denial.reason, path(denial.rule.as_ref())),
    }
}

fn path(rule: Option<&crate::model::Rule>) -> String {
    rule.map_or_else(|| "-".to_owned(), |rule| rule.path.to_string())
}
