//! A record before it has its place in the log.

use std::cell::Cell;
use std::mem;

use uuid::Uuid;

use crate::event::{AdminEvent, AgentEvent, Alarm, GatewayEvent, GrantEvent, PinEvent, PolicyEvent, SessionEvent};
use crate::json::{Members, push_id, push_text};
use crate::record::{Call, End};
use crate::shared::Shares;

/// What a call has besides what it shares with others, so that most need one allocation.
const CALL_BYTES: usize = 768;

/// What a shared member has besides its text: its name, and what sets it apart.
const SHARE_BYTES: usize = 16;

/// A record as JSON, but for what the log adds when it takes its place in the chain (`v`, `seq`, `time`) and what it
/// has in common with others.
///
/// Making one costs an allocation and the copying of its texts; no lock is held meanwhile.
#[derive(Clone, Debug)]
pub struct Draft<'a> {
    kind: &'static str,
    id: Uuid,
    exchange: Option<Uuid>,
    /// What stands behind the id, up to and with the line feed.
    pub(crate) rest: Vec<u8>,
    /// Where in `rest` the shared members belong.
    pub(crate) shares_at: usize,
    pub(crate) shares: Shares<'a>,
    /// Where the calls are among which another one may be like it.
    pub(crate) place: Option<u64>,
    /// It holds texts that others have made.
    pub(crate) foreign: bool,
}

impl<'a> Draft<'a> {
    /// A decision.
    pub fn call(call: &Call<'a>) -> Self {
        let mut draft = Self::of("call", call.id, call.severity, CALL_BYTES, |m| call.write(m));
        draft.shares = call.shares();
        draft.exchange = call.exchange;
        // Who asks for several things in turn has a place for each, as long as they are told in more or fewer words.
        draft.place = call.connection.map(|id| id.as_u64_pair().1.wrapping_add(draft.rest.len() as u64));
        draft
    }

    /// The close of the call `id`.
    pub fn end(id: Uuid, severity: &str, end: &End<'_>) -> Self {
        let mut draft = Self::of("end", id, severity, 320, |m| end.write(m));
        draft.foreign = end.is_foreign();
        draft
    }

    /// The life of a session.
    pub fn session(severity: &str, event: &SessionEvent<'_>) -> Self {
        Self::event("session", severity, |m| event.write(m))
    }

    /// An agent that was seen.
    pub fn agent(severity: &str, event: &AgentEvent<'_>) -> Self {
        Self::event("agent", severity, |m| event.write(m))
    }

    /// The life of a grant.
    pub fn grant(severity: &str, event: &GrantEvent<'_>) -> Self {
        Self::event("grant", severity, |m| event.write(m))
    }

    /// A configuration that was loaded or rejected.
    pub fn policy(severity: &str, event: &PolicyEvent<'_>) -> Self {
        Self::event("policy", severity, |m| event.write(m))
    }

    /// A pinned definition.
    pub fn pin(severity: &str, event: &PinEvent<'_>) -> Self {
        Self::event("pin", severity, |m| event.write(m))
    }

    /// Something that somebody must look at.
    pub fn alarm(severity: &str, alarm: &Alarm<'_>) -> Self {
        Self::event("alarm", severity, |m| alarm.write(m))
    }

    /// What an operator did.
    pub fn admin(severity: &str, event: &AdminEvent<'_>) -> Self {
        Self::event("admin", severity, |m| event.write(m))
    }

    /// The life of the gateway.
    pub fn gateway(severity: &str, event: &GatewayEvent<'_>) -> Self {
        Self::event("gateway", severity, |m| event.write(m))
    }

    /// Something the log itself lost or could not write. Only the log says so.
    pub(crate) fn gap(gap: &Gap<'_>) -> Self {
        Self::event("gap", "high", |m| {
            m.text("cause", Some(gap.cause));
            m.text("segment", gap.segment);
            m.number("bytes", gap.bytes);
            m.text("since", gap.since);
        })
    }

    /// What stands between the time and `rest`.
    pub(crate) fn write_lead(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(b"\",\"kind\":\"");
        out.extend_from_slice(self.kind.as_bytes());
        out.extend_from_slice(b"\",\"id\":\"");
        push_id(out, self.id);
    }

    /// Writes the exchange of a call. One that differs from its id in the last bit alone is not spelled.
    pub(crate) fn write_exchange(&self, out: &mut Vec<u8>) {
        let Some(exchange) = self.exchange else { return };
        out.extend_from_slice(b",\"exchange\":");
        if exchange.as_u128() ^ self.id.as_u128() == 1 {
            out.push(b'1');
        } else {
            out.push(b'"');
            push_id(out, exchange);
            out.push(b'"');
        }
    }

    /// How long it is, shared members in full, besides what the log adds.
    pub(crate) fn bytes(&self) -> usize {
        let shares = self.shares.iter().flatten().map(|text| SHARE_BYTES + text.bytes().len());
        self.rest.len() + shares.sum::<usize>()
    }

    fn event(kind: &'static str, severity: &str, write: impl FnOnce(&mut Members<'_>)) -> Self {
        Self::of(kind, Uuid::now_v7(), severity, 256, write)
    }

    fn of(kind: &'static str, id: Uuid, severity: &str, size: usize, write: impl FnOnce(&mut Members<'_>)) -> Self {
        let mut rest = SPARE.take();
        rest.clear();
        rest.reserve(size);
        rest.extend_from_slice(b"\",\"severity\":");
        push_text(&mut rest, severity, 16);
        let shares_at = rest.len();
        rest.push(b',');
        let mut members = Members::new(&mut rest);
        write(&mut members);
        members.close();
        rest.push(b'\n');
        Self { kind, id, exchange: None, rest, shares_at, shares: Shares::default(), place: None, foreign: true }
    }
}

thread_local! {
    /// The memory of the last draft, for the next one.
    static SPARE: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
}

/// More than this is not kept.
const SPARE_BYTES_MAX: usize = 4096;

impl Drop for Draft<'_> {
    fn drop(&mut self) {
        if self.rest.capacity() <= SPARE_BYTES_MAX {
            // A thread that ends has no next one.
            let _ = SPARE.try_with(|spare| spare.set(mem::take(&mut self.rest)));
        }
    }
}

/// What a `gap` record tells.
#[derive(Clone, Debug, Default)]
pub(crate) struct Gap<'a> {
    /// `torn_tail`, `truncated` or `write_failed`.
    pub(crate) cause: &'a str,
    /// The segment that was cut.
    pub(crate) segment: Option<&'a str>,
    /// How many bytes were cut off.
    pub(crate) bytes: Option<u64>,
    /// Since when nothing could be written.
    pub(crate) since: Option<&'a str>,
}
