//! What an exchange and its gate tell each other.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::task::Waker;

use tokio::time::Instant;

use super::Violation;
use super::inspect::Asked;

/// Where the inspected direction of a connection stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Between messages.
    Idle,
    /// In a message's head.
    InHead,
    /// In a message's content.
    InBody,
    /// Behind a CONNECT or upgrade request that is not decided.
    Held,
    /// What passes is no HTTP any more.
    Open,
    /// A rule was broken; nothing passes any more.
    Refused,
}

/// The exchange's view of its gate; cheap, and of the same thread.
#[derive(Clone, Debug)]
pub struct Watch {
    pub(super) shared: Rc<Shared>,
}

#[derive(Debug)]
pub(super) struct Shared {
    pub(super) phase: Cell<Phase>,
    pub(super) violation: Cell<Option<Violation>>,
    pub(super) heads: Cell<u64>,
    pub(super) answered: Cell<u64>,
    pub(super) answered_at: Cell<Option<Instant>>,
    /// Answers that have begun.
    pub(super) begun: Cell<u64>,
    /// One of them ended before its time.
    pub(super) torn: Cell<bool>,
    /// The refusal came amid the content of a request whose head was shown.
    pub(super) cut: Cell<bool>,
    pub(super) asked: Cell<Option<Asked>>,
    pub(super) granted: Cell<bool>,
    /// Nothing more is to be asked once what was asked is answered.
    pub(super) leaving: Cell<bool>,
    /// The reader, where it waits for something that only a `Watch` can tell.
    pub(super) reader: RefCell<Option<Waker>>,
    /// The reader, where it rests: woken to leave, and by nothing else.
    pub(super) resting: RefCell<Option<Waker>>,
}

impl Shared {
    pub(super) const fn new() -> Self {
        Self {
            phase: Cell::new(Phase::Idle),
            violation: Cell::new(None),
            heads: Cell::new(0),
            answered: Cell::new(0),
            answered_at: Cell::new(None),
            begun: Cell::new(0),
            torn: Cell::new(false),
            cut: Cell::new(false),
            asked: Cell::new(None),
            granted: Cell::new(false),
            leaving: Cell::new(false),
            reader: RefCell::new(None),
            resting: RefCell::new(None),
        }
    }
}

impl Watch {
    /// A watch over nothing, for an exchange that no gate has read.
    pub fn detached() -> Self {
        Self { shared: Rc::new(Shared::new()) }
    }

    /// Where the inspected direction stands.
    pub fn phase(&self) -> Phase {
        self.shared.phase.get()
    }

    /// The broken rule, if one was.
    pub fn violation(&self) -> Option<Violation> {
        self.shared.violation.get()
    }

    /// True if nothing at all has come.
    pub fn is_unused(&self) -> bool {
        self.heads() == 0 && self.phase() == Phase::Idle
    }

    /// How many final heads were shown whole.
    pub fn heads(&self) -> u64 {
        self.shared.heads.get()
    }

    /// Says that one more request has its whole answer (or never gets one: then nothing more is served). Each shown
    /// request needs it once, which dropping the answer's body does:
    /// until then a refusal behind it, and what follows a CONNECT or upgrade, is held back. Then whoever reads the
    /// gate must read on: the time that it may be idle runs from there.
    pub fn answered(&self) {
        self.shared.answered.set(self.shared.answered.get().saturating_add(1));
        self.shared.answered_at.set(Some(Instant::now()));
        self.wake();
    }

    /// Says that one more request is being answered.
    pub fn begun(&self) {
        self.shared.begun.set(self.shared.begun.get().saturating_add(1));
    }

    /// Says that an answer ends here although it is not whole.
    pub fn torn(&self) {
        self.shared.torn.set(true);
    }

    /// Whether a refusal may be told on the connection: not inside an answer, and not as a second answer to a request
    /// that has one.
    pub fn may_tell(&self) -> bool {
        let shared = &self.shared;
        let has_answer = shared.cut.get() && shared.begun.get() >= shared.heads.get();
        !has_answer && !shared.torn.get()
    }

    /// Ends the stream as soon as it rests between two requests. Who has not asked for anything yet may do so once: it
    /// would take the end for a fault.
    pub fn leave(&self) {
        self.shared.leaving.set(true);
        let resting = self.shared.resting.take();
        if let Some(reader) = resting {
            reader.wake();
        }
    }

    /// Says that the CONNECT or upgrade shown last was granted: nothing behind it is inspected.
    pub fn open(&self) {
        self.shared.granted.set(true);
        self.wake();
    }

    /// Says to what the next response is the answer; to be called before its request is sent.
    pub fn expect(&self, asked: Asked) {
        self.shared.asked.set(Some(asked));
    }

    pub(super) fn wake(&self) {
        let reader = self.shared.reader.take();
        if let Some(reader) = reader {
            reader.wake();
        }
    }
}
