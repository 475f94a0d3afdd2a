//! A body that is read off its connection as it is asked for.

use std::cell::RefCell;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};

/// The stream ended, or broke off, before the body did.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the body ended early")]
pub(crate) struct Broken;

/// A connection that a body is read from.
pub(crate) trait Feed {
    /// The next piece of the body.
    fn poll_body(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Broken>>>;

    /// How many bytes of the body are left, where that is known; 0 once nothing of it is.
    fn left(&self) -> Option<u64>;
}

/// The body of a request that a client sends, or of an answer that an upstream gives. Dropped early, its connection
/// serves no other message.
pub(crate) struct Incoming {
    from: Option<Rc<RefCell<dyn Feed>>>,
}

impl Incoming {
    /// No body at all.
    pub(crate) const fn empty() -> Self {
        Self { from: None }
    }

    /// One that is read with others of its connection.
    pub(crate) fn shared(from: Rc<RefCell<dyn Feed>>) -> Self {
        Self { from: Some(from) }
    }

    /// One that is read alone.
    pub(crate) fn of(from: impl Feed + 'static) -> Self {
        Self { from: Some(Rc::new(RefCell::new(from))) }
    }
}

impl Body for Incoming {
    type Data = Bytes;
    type Error = Broken;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Broken>>> {
        let Some(from) = &self.from else { return Poll::Ready(None) };
        let mut feed = from.borrow_mut();
        let polled = feed.poll_body(cx);
        let over = feed.left() == Some(0) || matches!(polled, Poll::Ready(Some(Err(_))));
        drop(feed);
        if over {
            self.from = None;
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.from.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        match self.from.as_ref().map_or(Some(0), |from| from.borrow().left()) {
            Some(left) => SizeHint::with_exact(left),
            None => SizeHint::default(),
        }
    }
}
