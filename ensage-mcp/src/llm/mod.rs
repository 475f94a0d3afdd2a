//! Calls to LLM providers and what they answer.
//!
//! One room for each API. All of them read a request into the one [`Request`], so that the judge asks the same
//! questions whatever the API: which models, what the provider would run, reach or look up by itself.

pub mod anthropic;

pub use crate::mcp::Step;

use crate::json::JsonError;

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
    /// MCP servers that the provider would call.
    pub connectors: Vec<Connector>,
    /// URLs that the provider would fetch to read the call.
    pub url_sources: Vec<String>,
    /// State at the provider that the call takes up.
    pub stored_ids: Vec<StoredId>,
    /// What no reader here knows, as `tool web_scrape_20270101` or `content block hologram`; at most 16.
    pub unknown: Vec<String>,
    /// Members that no reader here knows and that look harmless (a setting), as `tools[].colour`; at most 32.
    pub unknown_members: Vec<String>,
}

/// An MCP server that the provider would call for the agent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Connector {
    /// What the call names it.
    pub name: String,
    /// Where it is, as sent.
    pub url: String,
    /// True if a token for it travels in the body.
    pub authorized: bool,
}

/// A reference to something that the provider keeps.
#[derive(Clone, Debug, PartialEq, Eq)]
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
        }
    }
}

/// Why a body could not be read as an inference call. The client's fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LlmError {
    /// Not one JSON value that can be read in one way only (`malformed_json`).
    #[error("the body is not JSON that can be read in one way only")]
    Json(#[from] JsonError),
    /// A member that every call has is missing (`malformed_llm`).
    #[error("{member} is missing")]
    Missing {
        /// Which, as `messages[].role`.
        member: &'static str,
    },
    /// A member is not of the JSON type that it must have (`malformed_llm`).
    #[error("{member} at byte {offset} is of the wrong type")]
    WrongType {
        /// Which, as `messages[].role`.
        member: &'static str,
        /// Where its value begins.
        offset: u64,
    },
    /// Longer than the reader may hold (`body_undecided`).
    #[error("the body is longer than {limit} bytes")]
    TooLong {
        /// In bytes.
        limit: u64,
    },
}
