//! The two bodies of an exchange: what goes upstream, and what comes back to the client.

mod out;

use std::collections::VecDeque;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::Version;
use http_body::{Body, Frame, SizeHint};

use super::exchange::Exchange;
use super::identify::Conn;
use super::leaving::Busy;
use super::record::EndGuard;
use super::respond::Stages;
use super::websocket::Upgraded;
use crate::gate::Watch;
use crate::h1::{Driven, Incoming};
use crate::socket::Breaks;

pub(crate) use out::{OutBody, Passing, UpSeen};

/// Why a body is cut off before its end. The peer sees a reset, never a complete message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Cut {
    /// The client went away, or broke its own framing.
    #[error("the client's body ended early")]
    Client,
    /// A placeholder was found on its way out.
    #[error("a placeholder was found in a passing body")]
    Placeholder,
    /// The upstream broke off.
    #[error("the upstream's body ended early")]
    Upstream,
    /// The answer may not be passed on.
    #[error("the answer is refused")]
    Response,
    /// The answer tells of something that its provider did unasked.
    #[error("the provider did what it was not asked for")]
    Unasked,
    /// The record could not be written, so the answer must not become complete.
    #[error("the audit log is not writable")]
    Audit,
}

/// What the client gets.
pub(crate) enum ReplyBody {
    /// Known whole, its record already written.
    Whole {
        /// What is left to send.
        bytes: Option<Bytes>,
        /// Whether its length is told; else it goes out in chunks.
        exact: Exact,
    },
    /// Coming from upstream.
    Stream(Box<Stream>),
    /// None: behind this head come frames, and whoever serves the connection takes what they need.
    Upgraded(Option<(Box<Exchange>, Box<Upgraded>)>),
}

/// Whether the length of a whole answer is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exact {
    Told,
    Untold,
}

impl ReplyBody {
    /// A whole body.
    pub(crate) fn whole(bytes: Bytes, exact: Exact) -> Self {
        Self::Whole { bytes: (!bytes.is_empty()).then_some(bytes), exact }
    }

    /// Whether all of it was handed over.
    fn is_whole(&self) -> bool {
        match self {
            Self::Whole { bytes, .. } => bytes.is_none(),
            Self::Stream(s) => s.left == Some(0) || s.phase == Phase::Ended && s.ready.is_empty(),
            Self::Upgraded(_) => true,
        }
    }
}

/// An answer on its way to the client.
pub(crate) struct Stream {
    upstream: Incoming,
    stages: Stages,
    end: EndGuard,
    ready: VecDeque<Frame<Bytes>>,
    /// Bytes still to come where the length is known and can't change.
    left: Option<u64>,
    /// Trailers that were read already, behind `ready`.
    trailers: Option<http::HeaderMap>,
    phase: Phase,
    /// It has failed, and has waited a turn since.
    lingered: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Phase {
    Open,
    Ended,
}

/// What was taken of an answer together with its head; the data has passed the stages.
#[derive(Default)]
pub(crate) struct First {
    pub(crate) data: Vec<Bytes>,
    /// They end it.
    pub(crate) trailers: Option<http::HeaderMap>,
}

impl Stream {
    /// `first` has passed the stages already; `length` is the exact length if no stage can change it.
    pub(crate) fn new(upstream: Incoming, stages: Stages, end: EndGuard, first: First, length: Option<u64>) -> Self {
        let First { data, trailers } = first;
        let ready = data.into_iter().map(Frame::data).collect();
        Self { upstream, stages, end, ready, left: length, trailers, phase: Phase::Open, lingered: false }
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Cut>>> {
        loop {
            if let Some(frame) = self.ready.pop_front() {
                return Poll::Ready(Some(self.release(frame)));
            }
            if let Some(cut) = self.stages.failed() {
                // What was let through before it, the last words among it, is written before the stream breaks off.
                if !std::mem::replace(&mut self.lingered, true) {
                    cx.waker().wake_by_ref();
                    return Poll::Pending;
                }
                return Poll::Ready(Some(Err(self.broken(cut))));
            }
            if self.phase == Phase::Ended {
                return Poll::Ready(None);
            }
            if let Some(trailers) = self.trailers.take() {
                self.close(Some(trailers))?;
                continue;
            }
            match ready!(Pin::new(&mut self.upstream).poll_frame(cx)) {
                Some(Ok(frame)) => self.take(frame)?,
                Some(Err(_)) => return Poll::Ready(Some(Err(self.broken(Cut::Upstream)))),
                None => self.close(None)?,
            }
        }
    }

    fn take(&mut self, frame: Frame<Bytes>) -> Result<(), Cut> {
        match frame.into_data() {
            Ok(data) => {
                let mut out = Vec::new();
                self.stages.feed(data, &mut out).map_err(|cut| self.broken(cut))?;
                self.ready.extend(out.into_iter().map(Frame::data));
                Ok(())
            }
            Err(frame) => self.close(frame.into_trailers().ok()),
        }
    }

    fn close(&mut self, trailers: Option<http::HeaderMap>) -> Result<(), Cut> {
        let mut out = Vec::new();
        self.stages.finish(&mut out).map_err(|cut| self.broken(cut))?;
        self.ready.extend(out.into_iter().map(Frame::data));
        if let Some(trailers) = trailers {
            self.ready.push_back(Frame::trailers(self.stages.trailers(trailers)));
        }
        self.phase = Phase::Ended;
        if self.ready.is_empty() {
            self.end.complete(&mut self.stages)?;
        }
        Ok(())
    }

    /// It breaks off here; what it said so far is recorded.
    fn broken(&mut self, cut: Cut) -> Cut {
        self.end.saw(&mut self.stages);
        self.end.broken(cut)
    }

    /// Lets one frame go. Before the last one the record is written (contract section 8).
    fn release(&mut self, frame: Frame<Bytes>) -> Result<Frame<Bytes>, Cut> {
        let len = frame.data_ref().map_or(0, |d| d.len() as u64);
        self.end.down(len);
        self.left = self.left.map(|left| left.saturating_sub(len));
        let last = (self.phase == Phase::Ended && self.ready.is_empty()) || self.left == Some(0);
        if last {
            self.end.complete(&mut self.stages)?;
        }
        Ok(frame)
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        self.end.saw(&mut self.stages);
    }
}

/// An answer as it is written: when it is dropped, the gate learns that its request is answered.
pub(crate) struct Reply {
    body: ReplyBody,
    gate: Watch,
    /// Set where only the end of the stream says that it is whole.
    breaks: Option<Breaks>,
    _busy: Busy,
}

impl Drop for Reply {
    fn drop(&mut self) {
        if !self.body.is_whole() {
            self.gate.torn();
            if let Some(breaks) = &self.breaks {
                breaks.set(true);
            }
        }
        self.gate.answered();
    }
}

impl Reply {
    /// For a client of this version.
    pub(crate) fn new(body: ReplyBody, conn: &Conn, version: Version, busy: Busy) -> Self {
        conn.gate.begun();
        let breaks = (version == Version::HTTP_10).then(|| conn.breaks.clone());
        Self { body, gate: conn.gate.clone(), breaks, _busy: busy }
    }

    /// What is needed for that which follows this answer, where that is no HTTP.
    pub(crate) fn upgraded(&mut self) -> Option<(Box<Exchange>, Box<Upgraded>)> {
        match &mut self.body {
            ReplyBody::Upgraded(upgraded) => upgraded.take(),
            ReplyBody::Whole { .. } | ReplyBody::Stream(_) => None,
        }
    }
}

impl Body for Reply {
    type Data = Bytes;
    type Error = Cut;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Cut>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Driven for Reply {
    fn poll_drive(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        match &mut self.body {
            ReplyBody::Stream(stream) => stream.end.poll_upload(cx),
            ReplyBody::Whole { .. } | ReplyBody::Upgraded(_) => Poll::Ready(()),
        }
    }
}

impl Body for ReplyBody {
    type Data = Bytes;
    type Error = Cut;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Cut>>> {
        match self.get_mut() {
            Self::Whole { bytes, .. } => Poll::Ready(bytes.take().map(|b| Ok(Frame::data(b)))),
            Self::Stream(s) => s.poll(cx),
            Self::Upgraded(_) => Poll::Ready(None),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Whole { bytes, .. } => bytes.is_none(),
            Self::Stream(s) => s.phase == Phase::Ended && s.ready.is_empty(),
            Self::Upgraded(_) => true,
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Whole { bytes, exact: Exact::Told } => {
                SizeHint::with_exact(bytes.as_ref().map_or(0, |b| b.len() as u64))
            }
            Self::Whole { exact: Exact::Untold, .. } => SizeHint::default(),
            Self::Stream(s) => s.left.map_or_else(SizeHint::default, SizeHint::with_exact),
            Self::Upgraded(_) => SizeHint::with_exact(0),
        }
    }
}
