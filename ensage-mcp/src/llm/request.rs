//! What a call asks of its provider.

use super::seen::{Activity, Needs};

/// What one inference call asks of its provider, as far as a policy can care.
///
/// Lists keep the order of the body. `unknown` is not empty if the body says something that this reader can't
/// vouch for: such a call is to be refused.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Request {
    /// Each model that may answer, the one asked for first; `default` where the provider is left to choose.
    pub models: Vec<String>,
    /// The answer is asked for as a stream of events.
    pub stream: bool,
    /// Names of the tools that the agent itself would run, as declared.
    pub client_tools: Vec<String>,
    /// What the provider would run by itself: the type without its date suffix, each once.
    pub provider_tools: Vec<String>,
    /// MCP servers and the like that the provider would call.
    pub connectors: Vec<Connector>,
    /// URLs that the provider would fetch to read the call.
    pub url_sources: Vec<String>,
    /// State at the provider that the call takes up.
    pub stored_ids: Vec<StoredId>,
    /// Where secrets for third parties travel in the body, those of connectors apart; each once.
    pub secrets: Vec<&'static str>,
    /// What no reader here knows, as `tool web_scrape_20270101` or `content block hologram`; at most 16.
    pub unknown: Vec<String>,
    /// Members that no reader here knows and that look harmless (a setting), as `tools[].colour`; at most 32.
    pub unknown_members: Vec<String>,
}

/// Something that the provider would call for the agent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Connector {
    /// What the call names it.
    pub name: String,
    /// Where it is.
    pub place: Place,
    /// True if a token for it travels in the body.
    pub authorized: bool,
}

/// Where a connector is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// An MCP server at this URL, as sent.
    Url(String),
    /// One that the provider knows by this name: a `connector_id` or a `tunnel_id`.
    Named(String),
}

/// A reference to something that the provider keeps.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct StoredId {
    /// What it is.
    pub kind: StoredKind,
    /// Its name at the provider.
    pub id: String,
}

/// The kinds of state at a provider.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum StoredKind {
    /// A sandbox that outlives a call.
    Container,
    /// A conversation, named by its last message.
    Thread,
    /// An uploaded or produced file.
    File,
    /// A bundle of instructions and code.
    Skill,
    /// A token that an earlier refusal gave.
    FallbackCredit,
    /// An earlier answer.
    Response,
    /// A conversation with a name of its own.
    Conversation,
    /// Instructions and tools under a name.
    Prompt,
    /// A part of an earlier answer or question.
    Item,
    /// Documents that are searched.
    VectorStore,
    /// Speech of an earlier answer.
    Audio,
    /// A voice.
    Voice,
    /// Work that goes on behind an answer.
    Continuation,
}

impl StoredKind {
    /// The word for it in messages.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Container => "container",
            Self::Thread => "thread",
            Self::File => "file",
            Self::Skill => "skill",
            Self::FallbackCredit => "fallback_credit_token",
            Self::Response => "response",
            Self::Conversation => "conversation",
            Self::Prompt => "prompt",
            Self::Item => "item",
            Self::VectorStore => "vector store",
            Self::Audio => "audio",
            Self::Voice => "voice",
            Self::Continuation => "continuation",
        }
    }
}

/// What a call asked its provider to do by itself; an answer is held against it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Asked {
    tools: Vec<String>,
    connectors: Vec<String>,
    other_models: bool,
}

impl Asked {
    /// True if the provider was asked for this, by a tool, a connector or a choice of models.
    pub fn covers(&self, activity: &Activity) -> bool {
        match &activity.needs {
            Needs::Tool(names) => names.iter().any(|name| self.tools.iter().any(|asked| asked == name)),
            Needs::Connector(None) => !self.connectors.is_empty(),
            Needs::Connector(Some(name)) => self.connectors.contains(name),
            Needs::OtherModel => self.other_models,
            Needs::Unknown => false,
        }
    }
}

impl Request {
    /// What its answer may tell of.
    pub fn asked(&self) -> Asked {
        Asked {
            tools: self.provider_tools.clone(),
            connectors: self.connectors.iter().map(|connector| connector.name.clone()).collect(),
            other_models: self.models.len() > 1,
        }
    }

    pub(super) fn provider_tool(&mut self, name: &str) {
        if !self.provider_tools.iter().any(|known| known == name) {
            self.provider_tools.push(name.to_owned());
        }
    }

    pub(super) fn stored(&mut self, kind: StoredKind, id: &str) {
        self.stored_ids.push(StoredId { kind, id: id.to_owned() });
    }

    pub(super) fn secret(&mut self, place: &'static str) {
        if !self.secrets.contains(&place) {
            self.secrets.push(place);
        }
    }
}
