//! An LLM's answer, watched as it passes. What its provider did without being asked does not pass.

use std::collections::VecDeque;
use std::rc::Rc;
use std::sync::Arc;

use bytes::Bytes;
use ensage_mcp::llm::{Against, Dialect, Framing, Observer, Seen};
use http::StatusCode;
use uuid::Uuid;

use super::Expected;
use crate::flow::body::Cut;
use crate::flow::exchange::Exchange;
use crate::flow::given::Given;
use crate::flow::hold::Share;
use crate::flow::identify::Conn;
use crate::flow::reply;

/// Watches one answer.
pub(crate) struct Watch {
    observer: Observer,
    /// Where what the provider keeps is remembered, and under which name.
    given: Option<(Rc<Given>, Arc<str>)>,
    guard: Option<Guard>,
}

/// Holds back what was not read to its end.
struct Guard {
    framing: Framing,
    dialect: Dialect,
    /// The decision, which the last words name.
    call: Uuid,
    held: VecDeque<Bytes>,
    /// Bytes that went on.
    passed: u64,
    share: Share,
    cut: Option<Cut>,
}

impl Watch {
    /// Who watches this answer, if it is an LLM's. What only observe mode let through is not held to what was asked
    /// for, and an error tells of nothing that was done: both are watched alone.
    pub(super) fn of(conn: &Conn, x: &Exchange, status: StatusCode, framing: Option<Framing>) -> Option<Box<Self>> {
        let Expected::Llm(dialect, request) = &x.expected else { return None };
        let observed = x.facts.would.is_some();
        let asked = request.as_ref().filter(|_| status.is_success() && !observed).map(|request| request.asked());
        // An answer that does not say how it is framed is taken for what was asked for.
        let streams = request.as_ref().is_some_and(|request| request.stream);
        let guessed = if streams { Framing::Sse } else { Framing::Json };
        let (framing, is_told) = (framing.unwrap_or(guessed), framing.is_some());
        if asked.is_none() && !is_told {
            return None;
        }
        let hold = usize::try_from(x.policy().limits.body_hold).unwrap_or(usize::MAX);
        let given = x.given_room().filter(|_| !observed);
        let mut watch = Self { observer: Observer::with_limit(*dialect, framing, hold), given, guard: None };
        if let Some(asked) = asked {
            watch.observer = watch.observer.holding_to(asked);
            let (held, share) = (VecDeque::new(), Share::new(conn));
            watch.guard = Some(Guard { framing, dialect: *dialect, call: x.call, held, passed: 0, share, cut: None });
        }
        if !is_told {
            watch.observer = watch.observer.in_doubt();
        }
        Some(Box::new(watch))
    }

    /// True if nothing of it goes before its end.
    pub(super) fn holds_all(&self) -> bool {
        self.guard.as_ref().is_some_and(|guard| guard.framing == Framing::Json)
    }

    /// Bytes that did not go on yet.
    pub(super) fn held(&self) -> usize {
        self.guard.as_ref().map_or(0, |guard| guard.held.iter().map(Bytes::len).sum())
    }

    /// True if nothing may be added or left out.
    pub(super) fn keeps_length(&self) -> bool {
        self.guard.as_ref().is_none_or(|guard| guard.framing == Framing::Json)
    }

    /// Why it breaks off here, if it does.
    pub(super) fn failed(&self) -> Option<Cut> {
        self.guard.as_ref().and_then(|guard| guard.cut)
    }

    /// Puts `data` through; what may go on is appended to `out`.
    pub(super) fn feed(&mut self, data: Bytes, out: &mut Vec<Bytes>) {
        self.observer.feed(&data);
        self.learn();
        match &mut self.guard {
            None => out.push(data),
            Some(guard) => guard.feed(data, &self.observer, out),
        }
    }

    /// The answer is complete.
    pub(super) fn finish(&mut self, out: &mut Vec<Bytes>) -> Result<(), Cut> {
        self.observer.end();
        self.learn();
        let Some(guard) = &mut self.guard else { return Ok(()) };
        if let Some(against) = self.observer.against() {
            guard.held.clear();
            return Err(cut(against));
        }
        out.extend(guard.held.drain(..));
        Ok(())
    }

    /// What the answer said.
    pub(super) fn seen(self) -> Seen {
        self.observer.finish()
    }

    fn learn(&mut self) {
        // Taken in any case: what nobody remembers is not kept either.
        let told = self.observer.take_given();
        if let Some((given, provider)) = &self.given {
            given.learn(provider, told);
        }
    }
}

const fn cut(against: &Against) -> Cut {
    match against {
        Against::Unasked(_) => Cut::Unasked,
        Against::TooLong | Against::Unreadable => Cut::Response,
    }
}

impl Guard {
    fn feed(&mut self, data: Bytes, observer: &Observer, out: &mut Vec<Bytes>) {
        if self.cut.is_some() {
            return;
        }
        self.held.push_back(data);
        if self.framing == Framing::Sse {
            self.let_pass(observer.passed(), out);
        }
        if let Some(against) = observer.against() {
            self.fail(cut(against), out);
        } else if !self.is_counted() {
            self.fail(Cut::Response, out);
        }
    }

    /// Lets everything before `end` pass.
    fn let_pass(&mut self, end: u64, out: &mut Vec<Bytes>) {
        while let Some(front) = self.held.front_mut() {
            let free = end.saturating_sub(self.passed);
            let whole = front.len() as u64;
            if free == 0 && whole > 0 {
                return;
            }
            let piece = match usize::try_from(free) {
                Ok(free) if free < front.len() => front.split_to(free),
                _ => std::mem::take(front),
            };
            self.passed = self.passed.saturating_add(piece.len() as u64);
            if front.is_empty() {
                self.held.pop_front();
            }
            if !piece.is_empty() {
                out.push(piece);
            }
        }
    }

    /// Counts what is held; false if there is no room for it.
    fn is_counted(&mut self) -> bool {
        // A JSON answer is counted by who waits for its end.
        if self.framing == Framing::Json {
            return true;
        }
        if self.held.is_empty() {
            self.share.empty();
            return true;
        }
        self.share.reach(self.held.iter().map(Bytes::len).sum())
    }

    /// The provider's answer ends here. Its client is told why in its own words, lest it tries again.
    fn fail(&mut self, cut: Cut, out: &mut Vec<Bytes>) {
        self.held.clear();
        self.share.empty();
        self.cut = Some(cut);
        if self.framing == Framing::Sse {
            out.push(reply::last_words(self.dialect, self.call, cut).into());
        }
    }
}
