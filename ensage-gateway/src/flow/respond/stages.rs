//! What an answer's body goes through.

use std::rc::Rc;
use std::sync::Arc;

use bytes::Bytes;
use ensage_creds::Scrubber;
use ensage_mcp::Revision;
use ensage_mcp::filter::{Item, ResponseFilter};
use ensage_mcp::llm::Seen;
use http::HeaderMap;

use super::watch::Watch;
use crate::flow::body::Cut;
use crate::flow::hold::Share;
use crate::flow::scan::McpSessions;
use crate::gate::trailer_passes;

/// Tells what of a server's lists is shown.
pub(crate) type Allow = Box<dyn FnMut(&Item<'_>) -> bool>;
pub(super) type Filter = ResponseFilter<Allow>;

/// What an answer's body goes through, in this order: filter, scrub, watch. What is watched is what the agent gets: a
/// reflected secret must not get into a record either.
#[derive(Default)]
pub(crate) struct Stages {
    pub(super) filter: Option<Box<Filter>>,
    /// What is held of an answer, counted: never less than it was.
    pub(super) held: Option<Share>,
    pub(super) scrub: Option<Box<Scrubber>>,
    pub(super) watch: Option<Box<Watch>>,
    /// Where the revision that a server agrees on is remembered.
    pub(super) mcp: Option<(Rc<McpSessions>, Arc<str>)>,
    pub(super) buffer: Vec<u8>,
    /// Listed tools whose definition has characters that people don't see.
    pub(super) flagged: Vec<String>,
}

/// What was seen of an answer on its way.
pub(crate) struct Watched {
    /// Reflections that were replaced.
    pub(crate) scrubbed: u64,
    /// What an LLM said.
    pub(crate) seen: Option<Seen>,
    /// Tools with hidden characters.
    pub(crate) flagged: Vec<String>,
}

impl Stages {
    /// True while nothing goes on: until something does, the answer may still be another one.
    pub(super) fn is_undecided(&self) -> bool {
        self.filter.as_ref().is_some_and(|filter| filter.is_undecided())
            || self.watch.as_ref().is_some_and(|watch| watch.holds_all())
    }

    /// Where room must be found, and how much, before `more` bytes are fed: only while they can wait for it.
    pub(super) fn room_for(&mut self, more: usize) -> Option<(&mut Share, usize)> {
        if !self.is_undecided() {
            return None;
        }
        let filtered = self.filter.as_ref().map_or(0, |filter| filter.held());
        let watched = self.watch.as_ref().map_or(0, |watch| watch.held());
        let held = self.held.as_mut()?;
        let beyond = held.beyond(filtered + watched + more);
        (beyond > 0).then_some((held, beyond))
    }

    /// Nothing may change a byte, so the length is what upstream said.
    pub(super) fn keep_length(&self) -> bool {
        self.filter.is_none() && self.scrub.is_none() && self.watch.as_ref().is_none_or(|watch| watch.keeps_length())
    }

    /// Why the answer breaks off behind what was let through, if it does.
    pub(crate) fn failed(&self) -> Option<Cut> {
        self.watch.as_ref().and_then(|watch| watch.failed())
    }

    /// Puts `data` through; what may go on is appended to `out`. A chunk that nothing touches is moved, not copied.
    pub(crate) fn feed(&mut self, data: Bytes, out: &mut Vec<Bytes>) -> Result<(), Cut> {
        let data = match &mut self.filter {
            None => data,
            Some(filter) => {
                // While nothing goes on, room was found before; then hardly any more is needed.
                if let Some(held) = &mut self.held {
                    let more = held.beyond(filter.held() + data.len());
                    if more > 0 && !held.grow(more) {
                        return Err(Cut::Response);
                    }
                }
                self.buffer.clear();
                let fed = filter.feed(&data, &mut self.buffer);
                learn(&self.mcp, filter.seen().protocol_version.as_deref());
                // What the filter left for the agent goes out even where the rest does not: in a stream that is the
                // error of its request. The failure itself is met again with the next bytes.
                if fed.is_err() && self.buffer.is_empty() {
                    return Err(Cut::Response);
                }
                Bytes::copy_from_slice(&self.buffer)
            }
        };
        self.scrub(data, out);
        Ok(())
    }

    /// Out of the last stage.
    fn pass(&mut self, data: Bytes, out: &mut Vec<Bytes>) {
        match &mut self.watch {
            Some(watch) => watch.feed(data, out),
            None => out.push(data),
        }
    }

    fn scrub(&mut self, data: Bytes, out: &mut Vec<Bytes>) {
        if data.is_empty() {
            return;
        }
        let Some(scrub) = &mut self.scrub else { return self.pass(data, out) };
        if scrub.clean(&data) {
            return self.pass(data, out);
        }
        self.buffer.clear();
        scrub.feed(&data, &mut self.buffer);
        if !self.buffer.is_empty() {
            let data = Bytes::copy_from_slice(&self.buffer);
            self.pass(data, out);
        }
    }

    /// The upstream's body is complete: what was held back goes out.
    pub(crate) fn finish(&mut self, out: &mut Vec<Bytes>) -> Result<(), Cut> {
        if let Some(filter) = self.filter.take() {
            let mut rest = Vec::new();
            let summary = filter.finish(&mut rest).map_err(|_| Cut::Response)?;
            learn(&self.mcp, summary.protocol_version.as_deref());
            self.flagged = summary.flagged;
            self.scrub(rest.into(), out);
        }
        if let Some(scrub) = &mut self.scrub {
            let mut rest = Vec::new();
            scrub.finish(&mut rest);
            if !rest.is_empty() {
                self.pass(rest.into(), out);
            }
        }
        match &mut self.watch {
            Some(watch) => watch.finish(out),
            None => Ok(()),
        }
    }

    /// Trailers pass, except fields of framing, routing and credentials.
    pub(crate) fn trailers(&mut self, trailers: HeaderMap) -> HeaderMap {
        let mut kept = HeaderMap::new();
        for (name, value) in &trailers {
            if trailer_passes(name) {
                kept.append(name.clone(), value.clone());
            }
        }
        if let Some(scrub) = &mut self.scrub {
            scrub.scrub_headers(&mut kept);
        }
        kept
    }

    /// What the record tells of the answer.
    pub(crate) fn summary(&mut self) -> Watched {
        Watched {
            scrubbed: self.scrub.as_ref().map_or(0, |s| s.count() as u64),
            seen: self.watch.take().map(|watch| watch.seen()),
            flagged: std::mem::take(&mut self.flagged),
        }
    }
}

fn learn(room: &Option<(Rc<McpSessions>, Arc<str>)>, version: Option<&str>) {
    if let (Some((sessions, server)), Some(revision)) = (room, version.and_then(Revision::parse)) {
        sessions.learn(server, None, Some(revision));
    }
}
