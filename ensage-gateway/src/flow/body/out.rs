//! What goes upstream behind a head.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use ensage_policy::Reason;
use ensage_policy::judge::{BodyPermit, BodyProof};
use http_body::{Body, Frame, SizeHint};

use super::Cut;
use crate::flow::reply::Stop;
use crate::flow::revoke::Content;
use crate::flow::substitute::Search;
use crate::h1::Incoming;
use crate::h2::Rewind;

/// What goes upstream. A governed body is only ever `Judged`, and that takes the proof.
pub(crate) enum OutBody {
    /// No body.
    Empty,
    /// One whole value that was judged.
    Judged(Judged),
    /// A body that no rule reads, searched for placeholders on its way.
    Passing(Box<Passing>),
}

impl OutBody {
    /// A governed value may be sent and ended because it was judged whole.
    pub(crate) fn judged(bytes: Bytes, proof: BodyPermit) -> Self {
        Self::Judged(Judged { sent: bytes.is_empty(), bytes, proof })
    }

    /// What it has said where nothing of it was read.
    pub(crate) const fn unread(&self) -> Content {
        match self {
            Self::Empty => Content::Absent,
            Self::Judged(_) | Self::Passing(_) => Content::Unread,
        }
    }

    /// What is proven of it.
    pub(crate) const fn proof(&self) -> BodyProof<'_> {
        match self {
            Self::Empty => BodyProof::Absent,
            Self::Judged(judged) => BodyProof::Judged(&judged.proof),
            Self::Passing(_) => BodyProof::Unread,
        }
    }
}

impl Rewind for OutBody {
    fn rewind(&mut self) -> bool {
        match self {
            Self::Empty => true,
            Self::Judged(judged) => {
                judged.sent = false;
                true
            }
            Self::Passing(passing) => !passing.begun,
        }
    }
}

/// A governed value and the proof that it was judged whole: there is no other way to one.
pub(crate) struct Judged {
    bytes: Bytes,
    sent: bool,
    proof: BodyPermit,
}

impl Judged {
    /// Bytes still to be sent.
    pub(crate) fn len(&self) -> usize {
        if self.sent { 0 } else { self.bytes.len() }
    }
}

/// A body on its way upstream.
pub(crate) struct Passing {
    body: Incoming,
    /// Something of it was asked for.
    begun: bool,
    search: Search,
    /// Shared with the exchange: bytes so far, and whether a placeholder was found.
    seen: std::rc::Rc<UpSeen>,
}

/// What a passing body has shown so far.
#[derive(Default)]
pub(crate) struct UpSeen {
    /// Bytes handed on.
    pub(crate) bytes: std::cell::Cell<u64>,
    /// Why the placeholder that was found is refused.
    pub(crate) stray: std::cell::Cell<Option<Reason>>,
    /// Bytes that came back unseen.
    pub(crate) unseen: std::cell::Cell<u64>,
    /// Why the body itself cannot be read.
    pub(crate) refused: std::cell::Cell<Option<(Reason, &'static str)>>,
}

impl UpSeen {
    /// Why nothing more of the body goes upstream, where that is not the client's doing.
    pub(crate) fn refusal(&self) -> Option<Stop> {
        let stray = "the body carries a placeholder, which belongs into its slot only";
        let (reason, text) = self.refused.get().or_else(|| Some((self.stray.get()?, stray)))?;
        Some(Stop::refused(reason, text))
    }
}

impl Passing {
    pub(crate) fn new(body: Incoming, search: Search, seen: std::rc::Rc<UpSeen>) -> Self {
        Self { body, begun: false, search, seen }
    }
}

impl Passing {
    fn found(&self, stray: Reason) {
        self.seen.stray.replace(Some(stray));
        self.search.alarm(stray);
    }
}

impl Body for OutBody {
    type Data = Bytes;
    type Error = Cut;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Cut>>> {
        match self.get_mut() {
            Self::Empty => Poll::Ready(None),
            // A copy of the reference: the value may have to be sent once more.
            Self::Judged(judged) if judged.len() == 0 => Poll::Ready(None),
            Self::Judged(judged) => {
                judged.sent = true;
                Poll::Ready(Some(Ok(Frame::data(judged.bytes.clone()))))
            }
            Self::Passing(p) => {
                let polled = Pin::new(&mut p.body).poll_frame(cx);
                p.begun |= polled.is_ready();
                let Some(frame) = ready!(polled) else {
                    return Poll::Ready(None);
                };
                let Ok(frame) = frame else { return Poll::Ready(Some(Err(Cut::Client))) };
                if let Some(data) = frame.data_ref() {
                    if let Some(found) = p.search.feed(data) {
                        p.found(found);
                        return Poll::Ready(Some(Err(Cut::Placeholder)));
                    }
                    p.seen.bytes.set(p.seen.bytes.get().saturating_add(data.len() as u64));
                }
                let trailers = match frame.into_trailers() {
                    Ok(trailers) => trailers,
                    Err(data) => return Poll::Ready(Some(Ok(data))),
                };
                match p.search.trailers(trailers) {
                    Ok(kept) => Poll::Ready((!kept.is_empty()).then(|| Ok(Frame::trailers(kept)))),
                    Err(found) => {
                        p.found(found);
                        Poll::Ready(Some(Err(Cut::Placeholder)))
                    }
                }
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Empty => true,
            Self::Judged(judged) => judged.sent,
            Self::Passing(p) => p.body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Empty => SizeHint::with_exact(0),
            Self::Judged(judged) => SizeHint::with_exact(judged.len() as u64),
            Self::Passing(p) => p.body.size_hint(),
        }
    }
}
