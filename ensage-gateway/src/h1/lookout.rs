//! Looks for a client that says no more: it may have left, or listen still.

use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::time::Instant;

use crate::timer::Timer;

/// Whether somebody still holds the other end of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Presence {
    Here,
    Gone,
    /// It can't be told: who says no more has left then, and nobody else.
    Unknown,
}

/// Looks for one client, again and again.
pub(crate) struct Lookout {
    presence: Box<dyn Fn() -> Presence>,
    /// When a client that says no more, or whose words wait, is looked for again, and how long after the time before.
    look: Option<(Instant, Duration)>,
    /// It said that it will say no more.
    ended: bool,
    timer: Timer,
}

/// So soon it is looked for again: the end of a stream may come before its sender has let go of it. Then ever later.
const LOOK_FIRST: Duration = Duration::from_millis(10);
const LOOK_EVERY: Duration = Duration::from_secs(1);

impl Lookout {
    /// For the client that `presence` tells of.
    pub(crate) fn new(presence: impl Fn() -> Presence + 'static) -> Self {
        Self { presence: Box::new(presence), look: None, ended: false, timer: Timer::default() }
    }

    /// It said that it will say no more.
    pub(crate) fn ended(&mut self) {
        if !std::mem::replace(&mut self.ended, true) {
            self.look = None;
        }
    }

    /// It has just said something whole.
    pub(super) fn rest(&mut self) {
        self.look = None;
    }

    /// Ready once it is gone.
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            let next = match self.look {
                None if self.ended => LOOK_FIRST,
                None => {
                    self.look = Some((Instant::now() + LOOK_EVERY, LOOK_EVERY));
                    continue;
                }
                Some((due, waited)) => {
                    ready!(self.timer.poll(due, cx));
                    (waited * 2).min(LOOK_EVERY)
                }
            };
            match (self.presence)() {
                Presence::Gone => return Poll::Ready(()),
                Presence::Unknown if self.ended => return Poll::Ready(()),
                Presence::Unknown | Presence::Here => {}
            }
            self.look = Some((Instant::now() + next, next));
        }
    }
}
