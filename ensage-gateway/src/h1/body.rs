//! A body that is read off its connection as it is asked for.

use std::cell::RefCell;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};

use super::line::Content;

/// The stream ended, or broke off, before the body did.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the body ended early")]
pub(crate) struct Broken;

/// A connection that a body is read from.
pub(super) trait Feed {
    /// The next piece of the body.
    fn poll_body(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Broken>>>;

    /// What is left of the body.
    fn content(&self) -> Content;
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

    pub(super) fn new(from: Rc<RefCell<dyn Feed>>) -> Self {
        Self { from: Some(from) }
    }
}

impl Body for Incoming {
    type Data = Bytes;
    type Error = Broken;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Broken>>> {
        let Some(from) = &self.from else { return Poll::Ready(None) };
        let mut feed = from.borrow_mut();
        let polled = feed.poll_body(cx);
        let over = feed.content() == Content::Done || matches!(polled, Poll::Ready(Some(Err(_))));
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
        match self.from.as_ref().map(|from| from.borrow().content()) {
            None | Some(Content::Done) => SizeHint::with_exact(0),
            Some(Content::Length(left)) => SizeHint::with_exact(left),
            Some(Content::Chunked(_) | Content::UntilClose) => SizeHint::default(),
        }
    }
}
