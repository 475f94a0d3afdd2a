//! The decision that would be taken, and the steps to it.

use std::borrow::Cow;
use std::sync::Arc;

use super::credential::CredentialFinding;
use super::denial::{Denial, Step, Taken, Verdict};
use super::tunnel::Unseen;
use super::url::Url;
use super::{HeadFacts, Trial, Upgrade};
use crate::authority::Authority;
use crate::model::{Enclave, Mode, Policy, Rule, Scheme};
use crate::path::RequestPath;
use crate::reason::Reason;

/// What is asked about.
#[derive(Clone, Debug)]
pub enum Question<'a> {
    /// `--url U --method M`
    Url {
        /// The URL.
        url: &'a Url,
        /// The HTTP method.
        method: &'a str,
    },
    /// `--mcp S --tool T`
    Tool {
        /// Name of the entry.
        server: &'a str,
        /// Name of the tool.
        tool: &'a str,
    },
    /// `--llm P --model M`
    Model {
        /// Name of the entry.
        provider: &'a str,
        /// Name of the model.
        model: &'a str,
    },
}

/// The decision that would be taken.
#[derive(Clone, Debug)]
pub struct Explanation {
    /// Whether it goes through, under observe too.
    pub decision: Verdict,
    /// What refuses it, or under observe would.
    pub denial: Option<Denial>,
    /// The rule that decides.
    pub rule: Option<Rule>,
    /// The credential that goes with it: the one of the entry.
    pub credential: Option<Arc<str>>,
    /// The steps that were taken, in their order.
    pub steps: Vec<Taken<'static>>,
}

impl Explanation {
    /// True where only observe mode lets it through.
    pub fn would_deny(&self) -> bool {
        self.decision == Verdict::Allow && self.denial.is_some()
    }
}

/// Takes the steps that the gateway would take for a request with nothing else against it.
pub fn explain(policy: &Policy, enclave: &Arc<Enclave>, mode: Mode, question: &Question<'_>) -> Explanation {
    // Who asks is somebody that the enclave lists: of another `explain` tells before it comes here.
    let mut trial = match Trial::begin(policy, enclave, mode).identity(None, "") {
        Ok(trial) => trial,
        Err(denial) => {
            let (rule, steps) = (denial.rule.clone(), Vec::new());
            return Explanation { decision: Verdict::Deny, denial: Some(denial), rule, credential: None, steps };
        }
    };
    let mut credential = None;
    let answer = match question {
        Question::Url { url, method } => head(&mut trial, url, method, &mut credential),
        Question::Tool { server, tool } => tool_rule(&mut trial, server, tool, &mut credential),
        Question::Model { provider, model } => model_rule(&mut trial, provider, model, &mut credential),
    };
    let Trial { steps, would, .. } = trial;
    let steps = steps.into_iter().map(Taken::into_owned).collect();
    match (answer, would) {
        (Ok(rule), None) => Explanation { decision: Verdict::Allow, denial: None, rule, credential, steps },
        (Ok(_), Some(would)) => {
            let rule = would.rule.clone();
            // No secret goes with what would be refused.
            Explanation { decision: Verdict::Allow, denial: Some(would), rule, credential: None, steps }
        }
        (Err(denial), _) => {
            let rule = denial.rule.clone();
            Explanation { decision: Verdict::Deny, denial: Some(denial), rule, credential: None, steps }
        }
    }
}

type Answer = Result<Option<Rule>, Denial>;

fn head(trial: &mut Trial<'_>, url: &Url, method: &str, credential: &mut Option<Arc<str>>) -> Answer {
    // Whatever is asked for: it is not seen.
    if url.scheme == Scheme::Https
        && let Some(permit) = trial.tunnel(&url.authority, Unseen::Listed)?
    {
        return Ok(permit.rule().cloned());
    }
    let route = trial.head(&HeadFacts {
        authority: &url.authority,
        scheme: url.scheme,
        method,
        path: &url.path,
        query: url.query.as_deref(),
        upgrade: Upgrade::Stay,
        finding: &CredentialFinding::Bare,
    })?;
    *credential = route.credential().cloned();
    Ok(route.rule().cloned())
}

fn tool_rule(trial: &mut Trial<'_>, server: &str, tool: &str, credential: &mut Option<Arc<str>>) -> Answer {
    let enclave = trial.enclave.clone();
    let Some(rule) = enclave.mcp.iter().find(|rule| *rule.name == *server) else {
        return Err(trial.refuse(Step::Reach, no_entry(&enclave, "mcp", server)));
    };
    let path = if rule.path.is_empty() { "/" } else { &rule.path };
    let url = url(&rule.host, rule.port, rule.scheme, path, rule.query.clone())?;
    head(trial, &url, "POST", credential)?;
    trial.tool(rule, tool)?;
    Ok(trial.deciding().cloned())
}

fn model_rule(trial: &mut Trial<'_>, provider: &str, model: &str, credential: &mut Option<Arc<str>>) -> Answer {
    let enclave = trial.enclave.clone();
    let Some(rule) = enclave.llm.iter().find(|rule| *rule.name == *provider) else {
        return Err(trial.refuse(Step::Reach, no_entry(&enclave, "llm", provider)));
    };
    // The entry's own host is reached by definition; which one of its pattern does not matter for the model.
    trial.settle(Step::Reach, Ok(Some(Cow::Owned(rule.rule.clone()))))?;
    trial.settle(Step::Classify, Ok(Some(Cow::Owned(rule.rule.clone()))))?;
    credential.clone_from(&rule.credential);
    trial.model(rule, model)?;
    Ok(trial.deciding().cloned())
}

fn url(
    host: &crate::authority::Host,
    port: u16,
    scheme: Scheme,
    path: &str,
    query: Option<String>,
) -> Result<Url, Denial> {
    let path = RequestPath::parse(path).map_err(|e| Denial::new(Reason::AmbiguousPath, e.to_string()))?;
    Ok(Url { scheme, authority: Authority { host: host.clone(), port }, path, query })
}

fn no_entry(enclave: &Enclave, table: &str, name: &str) -> Denial {
    let path = format!("{}.{table}", enclave.rule.path);
    let list = Rule { path: path.as_str().into(), line: enclave.rule.line };
    let message = format!("enclave {} has no {table} entry {name}", enclave.name);
    Denial::new(Reason::HostNotAllowed, message).by(&list).remedy(format!("add [{path}.{name}]"))
}
