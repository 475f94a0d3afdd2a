//! The gate of HTTP/2: every head of a request is read here, as it was sent, and by nobody else.
//!
//! The `h2` crate resets what it takes for malformed before anybody has seen it, and cleans the rest: `/a#b` to `/a`,
//! `HTTPS` to `https`. So a [`Gate`] lies between TLS and that crate. It reads frames, and the blocks of HEADERS and
//! CONTINUATION itself; in their place the crate is shown a request for `/` that it cannot object to, and whoever takes
//! that from it [takes](Watch::take) the head that belongs to it. So one that is malformed is answered like any other,
//! and what the crate thinks of a head is nothing to anybody. All other frames pass as they are, those of content
//! without a copy; the gate counts what of them nobody has read yet.
//!
//! ```text
//! HEADERS, CONTINUATION of a new stream   a head ─▶ HEADERS `GET /`
//! the same behind a body                  its trailers ─▶ DATA, empty, the last
//! DATA                                    counted; waits for room where too much is held
//! anything else                           as it is
//! ```

mod block;
mod frame;
mod io;
mod ledger;
mod sift;
mod upload;

#[cfg(test)]
mod tests;

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::rc::Rc;

use h2::Reason;

use super::gathering::Read;
use ledger::Ledger;
pub(crate) use ledger::Room;
use upload::Upload;
pub(crate) use upload::{Sign, Uploading};

pub(super) use self::io::Gate;

/// A head that came, on its way to whoever answers it.
pub(super) struct Come {
    pub(super) stream: u32,
    pub(super) read: Read,
    /// Its body, unless it ends with the head.
    pub(super) body: Option<Uploading>,
}

/// The view of the gate that whoever serves the connection has; of the same thread.
#[derive(Clone)]
pub(super) struct Watch(Rc<Shared>);

struct Shared {
    /// Heads that the protocol was shown, in order.
    heads: RefCell<VecDeque<Come>>,
    /// The protocol has read on since: what it has not handed on of them, it never will.
    passed: Cell<bool>,
    /// Why nothing more is read.
    broken: Cell<Option<Reason>>,
    ledger: RefCell<Ledger>,
    /// Bodies that are under way, by their streams.
    uploads: RefCell<Vec<Rc<Upload>>>,
}

impl Shared {
    /// The body that a stream is sending.
    fn upload(&self, stream: u32) -> Option<Rc<Upload>> {
        let uploads = self.uploads.borrow();
        uploads.iter().rev().find(|upload| upload.stream == stream && !upload.is_gone()).cloned()
    }

    /// The body of which most is held, and which may still be read; of two alike, that of `stream`.
    fn largest(&self, stream: u32) -> Option<Rc<Upload>> {
        let uploads = self.uploads.borrow();
        let running = uploads.iter().filter(|upload| upload.is_running());
        running.max_by_key(|upload| (upload.held(), upload.stream == stream)).cloned()
    }
}

impl Watch {
    /// The head of a stream that the protocol hands on. Those before it were refused: `refused` gets them.
    pub(super) fn take(&self, stream: u32, mut refused: impl FnMut(Come)) -> Option<Come> {
        loop {
            let come = {
                let mut heads = self.0.heads.borrow_mut();
                if heads.front()?.stream > stream {
                    return None;
                }
                heads.pop_front()?
            };
            if come.stream == stream {
                return Some(come);
            }
            refused(come);
        }
    }

    /// The next head that the protocol has refused: to be asked for when it hands on no more.
    pub(super) fn refused(&self) -> Option<Come> {
        if !self.0.passed.get() {
            return None;
        }
        let come = self.0.heads.borrow_mut().pop_front();
        if come.is_none() {
            self.0.passed.set(false);
        }
        come
    }

    /// Every head that nobody took; for the end of the connection.
    pub(super) fn rest(&self) -> VecDeque<Come> {
        self.0.heads.take()
    }

    /// Why nothing more is read, once: the connection is to be ended by it.
    pub(super) fn broken(&self) -> Option<Reason> {
        self.0.broken.take()
    }
}
