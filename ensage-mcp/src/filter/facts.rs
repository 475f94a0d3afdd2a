//! What a message of a server says of itself.

use super::{FilterError, Summary, want};
use crate::json::{self, Kind, Limits, Tag, What};
use crate::mcp::{Id, Method};

/// What was found so far, and counts only if the whole message can be read.
#[derive(Debug, Default)]
pub(super) struct Facts {
    pub(super) failed: Option<FilterError>,
    jsonrpc: bool,
    /// `Some(None)` for `null`.
    id: Option<Option<Id>>,
    method: Option<Method>,
    result: bool,
    error: bool,
    /// The first request inside a result, or in the form of an error, that the agent may not get.
    pub(super) refused: Option<Method>,
    /// `resultType` is there; true if it is `input_required`.
    pub(super) result_type: Option<bool>,
    /// `capabilities` are there.
    pub(super) greets: bool,
    /// Which lists were seen, and which members, by their tags.
    pub(super) lists: u64,
    pub(super) members: u64,
    pub(super) protocol_version: Option<String>,
    kept: usize,
    hidden: usize,
    flagged: Vec<String>,
    flagged_count: usize,
    stripped: usize,
}

/// Bytes of a tool's name that are told of a flagged one.
const NAME_BYTES_MAX: usize = 128;

/// What a message is.
#[derive(Debug)]
pub(super) enum Received {
    Request { id: Id, method: Method },
    Notification(Method),
    Result { id: Option<Id> },
    Error { id: Option<Id> },
}

impl Facts {
    /// Something outside of lists and rewritten values.
    pub(super) fn take(&mut self, tag: Tag, what: What<'_>) -> Result<(), FilterError> {
        match (tag, what) {
            (want::JSONRPC, what) => self.jsonrpc = matches!(what, What::Text { text: "2.0", .. }),
            (want::ID, what) => self.id = Some(id(what)?),
            (want::METHOD, What::Text { text, .. }) => self.method = Some(Method::parse(text)),
            (want::RESULT, What::Begin(Kind::Object)) => self.result = true,
            (want::ERROR, What::Begin(Kind::Object)) => self.error = true,
            (want::RESULT_TYPE, what) => {
                self.result_type = Some(matches!(what, What::Text { text: "input_required", .. }));
            }
            (want::PROTOCOL_VERSION, What::Text { text, .. }) => self.protocol_version = Some(text.to_owned()),
            (want::ROOT, What::Begin(Kind::Object)) => {}
            (want::ROOT | want::METHOD | want::RESULT | want::ERROR, _) => return Err(FilterError::NotAMessage),
            (_, _) => {}
        }
        Ok(())
    }

    pub(super) const fn has_list(&self, list: Tag) -> bool {
        self.lists & 1 << (list & 63) != 0
    }

    pub(super) const fn count(&mut self, shown: bool) {
        if shown {
            self.kept += 1;
        } else {
            self.hidden += 1;
        }
    }

    pub(super) fn flag(&mut self, name: &str, stripped: bool) {
        self.flagged_count += 1;
        self.stripped += usize::from(stripped);
        if self.flagged.len() < Summary::FLAGGED_MAX {
            let end = name.floor_char_boundary(NAME_BYTES_MAX);
            self.flagged.push(name.get(..end).unwrap_or_default().to_owned());
        }
    }

    /// True if all that is known so far makes it the result for this id.
    pub(super) fn is_result_of(&self, id: Option<&Id>) -> bool {
        let known = self.jsonrpc && self.result && self.failed.is_none() && self.refused.is_none();
        known && id.is_some() && self.id.as_ref().and_then(Option::as_ref) == id
    }

    /// What it is, once it was read to its end.
    pub(super) fn received(&self) -> Result<Received, FilterError> {
        if let Some(error) = self.failed {
            return Err(error);
        }
        if !self.jsonrpc {
            return Err(FilterError::NotAMessage);
        }
        let id = self.id.clone().flatten();
        match (&self.method, self.result, self.error) {
            (Some(method), false, false) => match (id, &self.id) {
                (Some(id), _) => Ok(Received::Request { id, method: method.clone() }),
                (None, None) => Ok(Received::Notification(method.clone())),
                (None, Some(_)) => Err(FilterError::NotAMessage),
            },
            (None, true, false) => Ok(Received::Result { id }),
            (None, false, true) => Ok(Received::Error { id }),
            (_, _, _) => Err(FilterError::NotAMessage),
        }
    }

    /// Adds what counts to what was seen.
    pub(super) fn tell(&mut self, seen: &mut Summary) {
        seen.kept += self.kept;
        seen.hidden += self.hidden;
        seen.stripped += self.stripped;
        seen.flagged_count += self.flagged_count;
        let room = Summary::FLAGGED_MAX.saturating_sub(seen.flagged.len());
        seen.flagged.extend(self.flagged.drain(..).take(room));
        if self.protocol_version.is_some() {
            seen.protocol_version = self.protocol_version.take();
        }
    }
}

fn id(what: What<'_>) -> Result<Option<Id>, FilterError> {
    let spelled = match what {
        What::Null => return Ok(None),
        What::Number(text) => text.to_owned(),
        What::Text { raw, .. } => format!("\"{raw}\""),
        _ => return Err(FilterError::NotAMessage),
    };
    let node = json::parse(spelled.as_bytes(), &Limits::default())?;
    Id::read(&node, spelled.as_bytes()).map(Some).ok_or(FilterError::NotAMessage)
}
