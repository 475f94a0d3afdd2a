//! What a query needs to know of a record, and what it decides by it.

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};

use serde::Deserialize;
use uuid::Uuid;

use crate::query::window::Window;
use crate::query::{Decision, Query, merge};

/// What a filter needs to know of a record.
#[derive(Deserialize)]
pub(super) struct Facts<'a> {
    pub(super) time: &'a str,
    pub(super) kind: &'a str,
    pub(super) id: &'a str,
    pub(super) decision: Option<&'a str>,
    pub(super) would: Option<&'a str>,
    #[serde(rename = "type")]
    pub(super) call_type: Option<&'a str>,
    event: Option<Cow<'a, str>>,
    outcome: Option<Cow<'a, str>>,
    pub(super) reason: Option<Cow<'a, str>>,
    agent: Option<Cow<'a, str>>,
    enclave: Option<Cow<'a, str>>,
    session: Option<SessionOf<'a>>,
    gen_ai: Option<GenAiOf<'a>>,
}

#[derive(Deserialize)]
struct SessionOf<'a> {
    id: Option<Cow<'a, str>>,
    agent: Option<Cow<'a, str>>,
    enclave: Option<Cow<'a, str>>,
}

#[derive(Deserialize)]
struct GenAiOf<'a> {
    #[serde(borrow)]
    tool: Option<Name<'a>>,
}

#[derive(Deserialize)]
struct Name<'a> {
    name: Option<Cow<'a, str>>,
}

impl Facts<'_> {
    pub(super) fn matches(&self, query: &Query<'_>) -> bool {
        let session = self.session.as_ref();
        let has = |want: Option<&str>, inner: Option<&Cow<'_, str>>, outer: Option<&Cow<'_, str>>| {
            want.is_none_or(|want| inner.or(outer).is_some_and(|found| found == want))
        };
        let tool = self.gen_ai.as_ref().and_then(|g| g.tool.as_ref()).and_then(|t| t.name.as_deref());
        has(query.session, session.and_then(|s| s.id.as_ref()), None)
            && has(query.agent, session.and_then(|s| s.agent.as_ref()), self.agent.as_ref())
            && has(query.enclave, session.and_then(|s| s.enclave.as_ref()), self.enclave.as_ref())
            && query.tool.is_none_or(|accepts| self.kind == "call" && tool.is_some_and(accepts))
            && query.decision.is_none_or(|want| self.decided(want))
    }

    fn decided(&self, want: Decision) -> bool {
        match want {
            Decision::Allow => self.decision == Some("allow"),
            Decision::Deny => self.decision == Some("deny") || self.would == Some("deny"),
        }
    }

    pub(super) fn matches_raw(&self, query: &Query<'_>, matched: &mut HashSet<Uuid>) -> bool {
        let filters = query.session.is_some()
            || query.agent.is_some()
            || query.enclave.is_some()
            || query.tool.is_some()
            || query.decision.is_some();
        if self.kind == "end" && filters {
            return Uuid::parse_str(self.id).is_ok_and(|id| matched.remove(&id));
        }
        let matches = self.matches(query);
        if filters
            && matches
            && let Some(id) = self.waits()
        {
            matched.insert(id);
        }
        matches
    }

    /// The id under which the close of this record will come.
    pub(super) fn waits(&self) -> Option<Uuid> {
        (self.kind == "call" && self.outcome.is_none()).then(|| Uuid::parse_str(self.id).ok())?
    }

    /// Closes what this record closes: an `end` its call, the start of a gateway all calls of the one before.
    pub(super) fn close(&self, line: &str, window: &mut Window, shown: &mut HashMap<Uuid, String>) {
        if self.kind == "end"
            && let Ok(id) = Uuid::parse_str(self.id)
        {
            match shown.remove(&id) {
                Some(call) => window.push(merge::end_into_call(&call, line), None),
                None => window.close(id, line),
            }
        } else if self.kind == "gateway" && self.event.as_deref() == Some("started") {
            window.stop_all();
            shown.clear();
        }
    }
}
