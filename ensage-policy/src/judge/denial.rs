//! What a judgement says: the steps it took, and why it ended.

use std::borrow::Cow;
use std::fmt;

use crate::model::Rule;
use crate::reason::Reason;

/// The steps of a judgement, in their order (interface section 5). The first that refuses gives the reason.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Step {
    /// Who is it?
    Identity,
    /// Does the host exist for this enclave?
    Reach,
    /// Do all names of the host agree?
    Authority,
    /// TLS, HTTP, an Upgrade.
    Protocol,
    /// The HTTP method.
    Method,
    /// The path.
    Path,
    /// Which entry governs it, and whether that entry can judge it.
    Classify,
    /// The tool, and what a provider is to run or fetch.
    Tool,
    /// The tool's arguments.
    Arguments,
    /// The model.
    Model,
    /// Rates and budgets.
    Rate,
    /// A second gate.
    Chamber,
    /// What the request carries as credential.
    Credential,
}

impl Step {
    /// The stable name.
    pub const fn code(self) -> &'static str {
        match self {
            Self::Identity => "identity",
            Self::Reach => "reach",
            Self::Authority => "authority",
            Self::Protocol => "protocol",
            Self::Method => "method",
            Self::Path => "path",
            Self::Classify => "classify",
            Self::Tool => "tool",
            Self::Arguments => "arguments",
            Self::Model => "model",
            Self::Rate => "rate",
            Self::Chamber => "chamber",
            Self::Credential => "credential",
        }
    }
}

/// What one step said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Nothing against it.
    Allow,
    /// Refused; under observe it may have gone on all the same.
    Deny,
}

impl Verdict {
    /// The stable name.
    pub const fn code(self) -> &'static str {
        match self {
            Self::Allow => "allow",
            Self::Deny => "deny",
        }
    }
}

/// One step that was taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Taken<'p> {
    /// Which.
    pub step: Step,
    /// What it said.
    pub verdict: Verdict,
    /// The rule that said it, where a rule did.
    pub rule: Option<Cow<'p, Rule>>,
}

impl Taken<'_> {
    /// The same, for longer than its policy lives.
    pub(super) fn into_owned(self) -> Taken<'static> {
        Taken { rule: self.rule.map(|rule| Cow::Owned(rule.into_owned())), ..self }
    }
}

/// Why a call is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Denial {
    /// The true reason, for the record.
    pub reason: Reason,
    /// The rule that decided; for a default deny the list that lacks the entry.
    pub rule: Option<Rule>,
    /// One sentence that an agent can act on. It names nothing that the agent did not say itself.
    pub message: String,
    /// What a human would add, and where.
    pub remedy: Option<String>,
}

impl Denial {
    /// A refusal that no rule of the configuration decided.
    pub fn new(reason: Reason, message: impl Into<String>) -> Self {
        Self { reason, rule: None, message: message.into(), remedy: None }
    }

    /// The same, decided by that rule.
    #[must_use]
    pub fn by(mut self, rule: &Rule) -> Self {
        self.rule = Some(rule.clone());
        self
    }

    /// The same, with what a human would change.
    #[must_use]
    pub fn remedy(mut self, remedy: impl Into<String>) -> Self {
        self.remedy = Some(remedy.into());
        self
    }
}

impl fmt::Display for Denial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Denial {}
