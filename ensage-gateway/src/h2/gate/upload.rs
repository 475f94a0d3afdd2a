//! The body of one request, between the gate that sees it come and whoever reads it.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use ensage_policy::Reason;
use http::HeaderMap;

use super::Shared;

/// Why a body is not read to its end: the reason, and the rule in words.
pub(crate) type Refusal = (Reason, &'static str);

/// What is known of a body.
pub(super) struct Upload {
    pub(super) stream: u32,
    /// Bytes that came and were not read.
    held: Cell<u64>,
    refusal: Cell<Option<Refusal>>,
    trailers: RefCell<Option<HeaderMap>>,
    /// Nobody reads it any more.
    gone: Cell<bool>,
    /// Who is to know of a refusal.
    waker: RefCell<Option<Waker>>,
}

impl Upload {
    pub(super) fn new(stream: u32) -> Self {
        Self {
            stream,
            held: Cell::new(0),
            refusal: Cell::new(None),
            trailers: RefCell::new(None),
            gone: Cell::new(false),
            waker: RefCell::new(None),
        }
    }

    pub(super) fn is_gone(&self) -> bool {
        self.gone.get()
    }

    /// Whether somebody reads it to its end.
    pub(super) fn is_running(&self) -> bool {
        !self.is_gone() && self.refusal.get().is_none()
    }

    /// Bytes that came and were not read.
    pub(super) fn held(&self) -> u64 {
        self.held.get()
    }

    pub(super) fn came(&self, bytes: u64) {
        self.held.set(self.held.get().saturating_add(bytes));
    }

    pub(super) fn end_with(&self, trailers: HeaderMap) {
        self.trailers.replace(Some(trailers));
    }

    /// The first refusal stays.
    pub(super) fn refuse(&self, refusal: Refusal) {
        if self.refusal.get().is_none() {
            self.refusal.set(Some(refusal));
        }
        let waker = self.waker.take();
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

/// A body as its reader has it; dropped, what is held of it is let go.
pub(crate) struct Uploading {
    pub(super) upload: Rc<Upload>,
    pub(super) shared: Rc<Shared>,
}

impl Drop for Uploading {
    fn drop(&mut self) {
        self.upload.gone.set(true);
        self.upload.trailers.take();
        self.shared.ledger.borrow_mut().release(self.upload.held.take());
    }
}

impl Uploading {
    /// So many bytes were read.
    pub(crate) fn read(&self, bytes: usize) {
        let held = self.upload.held.get();
        let bytes = held.min(bytes as u64);
        self.upload.held.set(held.saturating_sub(bytes));
        self.shared.ledger.borrow_mut().release(bytes);
    }

    /// The fields behind it, once it has come to its end.
    pub(crate) fn trailers(&self) -> Option<HeaderMap> {
        self.upload.trailers.take()
    }

    /// Whether there are fields behind it that nobody has taken.
    pub(crate) fn has_trailers(&self) -> bool {
        self.upload.trailers.borrow().is_some()
    }

    /// It breaks a rule.
    pub(crate) fn refuse(&self, refusal: Refusal) {
        self.upload.refuse(refusal);
    }

    /// Why it is not read to its end.
    pub(crate) fn refusal(&self) -> Option<Refusal> {
        self.upload.refusal.get()
    }

    /// A sign of it for whoever does not read it.
    pub(crate) fn sign(&self) -> Sign {
        Sign(self.upload.clone())
    }
}

/// Tells whether a body was refused while nobody reads it.
pub(crate) struct Sign(Rc<Upload>);

impl Sign {
    /// Why it was refused.
    pub(crate) fn refusal(&self) -> Option<Refusal> {
        self.0.refusal.get()
    }

    /// Ready once it is refused.
    pub(crate) fn poll(&self, cx: &Context<'_>) -> Poll<Refusal> {
        if let Some(refusal) = self.0.refusal.get() {
            return Poll::Ready(refusal);
        }
        let mut waker = self.0.waker.borrow_mut();
        if !waker.as_ref().is_some_and(|waker| waker.will_wake(cx.waker())) {
            *waker = Some(cx.waker().clone());
        }
        Poll::Pending
    }
}
