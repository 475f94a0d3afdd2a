//! A body that comes in the DATA frames of one stream.

use std::task::{Context, Poll, ready};

use bytes::Bytes;
use ensage_policy::Reason;
use h2::RecvStream;
use http_body::Frame;

use super::gate::Uploading;
use crate::h1::{Broken, Feed};

/// The rest of a body.
pub(super) struct Received {
    stream: RecvStream,
    /// Of its length, if that was told.
    left: Option<u64>,
    at: At,
    /// What the gate knows of it, where there is one: its fields come from there, and whether it keeps to the rules.
    gate: Option<Uploading>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum At {
    Data,
    Trailers,
    End,
}

impl Received {
    /// The body of an answer. Whoever passes on the fields behind it drops what may not pass.
    pub(super) fn answer(stream: RecvStream, length: Option<u64>) -> Self {
        Self { stream, left: length, at: At::Data, gate: None }
    }

    /// The body of a request.
    pub(super) fn request(stream: RecvStream, length: Option<u64>, gate: Uploading) -> Self {
        Self { stream, left: length, at: At::Data, gate: Some(gate) }
    }

    /// What came is what was told; the protocol sees to it where it has read the head.
    fn measure(&mut self, come: u64) -> Result<(), Broken> {
        let told = self.left.zip(self.gate.as_ref());
        if let Some((_, gate)) = told.filter(|(left, _)| *left < come) {
            gate.refuse((Reason::MalformedRequest, "more content than its Content-Length says"));
            return Err(Broken);
        }
        self.left = self.left.map(|left| left.saturating_sub(come));
        Ok(())
    }

    /// The same of its end.
    fn ended(&mut self) -> Result<(), Broken> {
        if let (Some(left), Some(gate)) = (self.left, &self.gate)
            && left > 0
        {
            gate.refuse((Reason::MalformedRequest, "less content than its Content-Length says"));
            return Err(Broken);
        }
        Ok(())
    }
}

impl Feed for Received {
    fn poll_body(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Broken>>> {
        loop {
            if self.gate.as_ref().is_some_and(|gate| gate.refusal().is_some()) {
                return Poll::Ready(Some(Err(Broken)));
            }
            match self.at {
                At::Data => match ready!(self.stream.poll_data(cx)) {
                    Some(Ok(data)) => {
                        // What was handed out is not ours any more: the sender may send as much again.
                        let _ = self.stream.flow_control().release_capacity(data.len());
                        if let Some(gate) = &self.gate {
                            gate.read(data.len());
                        }
                        if data.is_empty() {
                            continue;
                        }
                        self.measure(data.len() as u64)?;
                        return Poll::Ready(Some(Ok(Frame::data(data))));
                    }
                    Some(Err(_)) => return Poll::Ready(Some(Err(Broken))),
                    None => {
                        self.ended()?;
                        self.at = At::Trailers;
                    }
                },
                At::Trailers => {
                    if let Some(fields) = self.gate.as_ref().and_then(Uploading::trailers) {
                        self.at = At::End;
                        return Poll::Ready(Some(Ok(Frame::trailers(fields))));
                    }
                    let trailers = ready!(self.stream.poll_trailers(cx));
                    self.at = At::End;
                    return Poll::Ready(match trailers {
                        Ok(Some(fields)) => Some(Ok(Frame::trailers(fields))),
                        Ok(None) => None,
                        Err(_) => Some(Err(Broken)),
                    });
                }
                At::End => return Poll::Ready(None),
            }
        }
    }

    fn left(&self) -> Option<u64> {
        // A body whose length has come may still have trailers: it is over with its stream alone, where it is as long as
        // was told.
        let is_whole =
            self.gate.as_ref().is_none_or(|gate| self.left.is_none_or(|left| left == 0) && !gate.has_trailers());
        if self.at == At::End || self.stream.is_end_stream() && is_whole {
            return Some(0);
        }
        self.left.filter(|left| *left > 0)
    }
}
