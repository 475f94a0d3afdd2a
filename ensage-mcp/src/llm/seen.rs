//! What an answer says.

use super::{Asked, StoredId};

/// Entries of each list.
const NAMES_MAX: usize = 256;
/// Bytes of each name.
const NAME_BYTES_MAX: usize = 256;
/// Bytes of an id that is remembered; those of real providers have under 100.
const ID_BYTES_MAX: usize = 512;
/// Most ids that are kept between two questions for them; whoever keeps them keeps no more either.
const GIVEN_MAX: usize = 4096;

/// What an answer said so far.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Seen {
    /// The model that answers, by its own word.
    pub model: Option<String>,
    /// Tokens, the last word of each counts.
    pub usage: Usage,
    /// Names of the tools that the agent is to run, in their order; at most 256 of at most 256 bytes.
    pub tools_requested: Vec<String>,
    /// What the provider did by itself, in its order; at most 256.
    pub provider_activity: Vec<Activity>,
    /// Why the model stopped.
    pub stop_reason: Option<String>,
    /// The `type` or `code` of the error that the answer is, or that ended its stream.
    pub error: Option<String>,
    /// Events that were too long or no JSON, or 1 for such a whole answer, and names over a limit.
    pub skipped: u64,
}

/// Tokens as the provider counts them; `None` where it said nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Input: without the two below where the API tells them apart (Anthropic).
    pub input_tokens: Option<u64>,
    /// Input found in the cache, where it is not part of the above.
    pub cache_read_input_tokens: Option<u64>,
    /// Input written to the cache, where it is not part of the above.
    pub cache_creation_input_tokens: Option<u64>,
    /// Output, thinking included.
    pub output_tokens: Option<u64>,
    /// Input of other models on the way, which the four above leave out; all kinds together.
    pub aside_input_tokens: u64,
    /// Output of other models on the way.
    pub aside_output_tokens: u64,
}

impl Usage {
    /// All input, cached or not; `None` if none was told.
    pub fn input_total(&self) -> Option<u64> {
        let told = [self.input_tokens, self.cache_read_input_tokens, self.cache_creation_input_tokens];
        let sum = told.into_iter().flatten().fold(self.aside_input_tokens, u64::saturating_add);
        told.iter().any(Option::is_some).then_some(sum)
    }

    /// All output; `None` if none was told.
    pub fn output_total(&self) -> Option<u64> {
        self.output_tokens.map(|tokens| tokens.saturating_add(self.aside_output_tokens))
    }
}

/// Something that the provider did by itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Activity {
    /// What the answer calls it: `server_tool_use`, `mcp_call`, `web_search_tool_result`, ...
    pub kind: String,
    /// The tool that a call names, or the model that a `fallback` goes to.
    pub name: Option<String>,
    /// What must have been asked for.
    pub needs: Needs,
}

/// What a request must have asked for, so that the provider may do something by itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Needs {
    /// One of these tools of the provider.
    Tool(&'static [&'static str]),
    /// The connector of this name, or any.
    Connector(Option<String>),
    /// More models than one.
    OtherModel,
    /// Nobody here knows.
    Unknown,
}

impl Seen {
    /// The agent is to run a tool.
    pub(super) fn request_tool(&mut self, name: &str) {
        if self.tools_requested.len() < NAMES_MAX {
            self.tools_requested.push(cut(name));
        } else {
            self.skip();
        }
    }

    pub(super) const fn skip(&mut self) {
        self.skipped = self.skipped.saturating_add(1);
    }
}

/// What a watcher fills: what was seen, and what must be acted on as it comes.
#[derive(Debug, Default)]
pub(super) struct Notes {
    pub(super) seen: Seen,
    /// Names that the provider gave to things it keeps, not yet taken.
    pub(super) given: Vec<StoredId>,
    /// What the answer is held against.
    pub(super) asked: Option<Asked>,
    /// The first thing that was not asked for.
    pub(super) unasked: Option<Activity>,
}

impl Notes {
    pub(super) fn activity(&mut self, kind: &str, name: Option<&str>, needs: Needs) {
        let activity = Activity { kind: cut(kind), name: name.map(cut), needs };
        self.hold(&activity);
        if self.seen.provider_activity.len() < NAMES_MAX {
            self.seen.provider_activity.push(activity);
        } else {
            self.seen.skip();
        }
    }

    /// Holds what is told once more against what was asked for: a later telling may say more, or something else.
    pub(super) fn hold(&mut self, activity: &Activity) {
        if self.unasked.is_none() && self.asked.as_ref().is_some_and(|asked| !asked.covers(activity)) {
            self.unasked = Some(activity.clone());
        }
    }

    pub(super) fn give(&mut self, kind: super::StoredKind, id: Option<&str>) {
        if self.given.len() < GIVEN_MAX
            && let Some(id) = id.filter(|id| !id.is_empty() && id.len() <= ID_BYTES_MAX)
        {
            self.given.push(StoredId { kind, id: id.to_owned() });
        }
    }
}

pub(super) fn cut(text: &str) -> String {
    text.get(..text.floor_char_boundary(NAME_BYTES_MAX)).unwrap_or(text).to_owned()
}
