//! A body that comes in the DATA frames of one stream.

use std::task::{Context, Poll, ready};

use bytes::Bytes;
use h2::RecvStream;
use http_body::Frame;

use crate::h1::{Broken, Feed};

/// The rest of a body. Of the fields behind it whoever passes them on drops what may not pass.
pub(super) struct Received {
    stream: RecvStream,
    /// Of its length, if that was told.
    left: Option<u64>,
    at: At,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum At {
    Data,
    Trailers,
    End,
}

impl Received {
    pub(super) fn new(stream: RecvStream, length: Option<u64>) -> Self {
        Self { stream, left: length, at: At::Data }
    }
}

impl Feed for Received {
    fn poll_body(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Broken>>> {
        loop {
            match self.at {
                At::Data => match ready!(self.stream.poll_data(cx)) {
                    Some(Ok(data)) => {
                        // What was handed out is not ours any more: the sender may send as much again.
                        let _ = self.stream.flow_control().release_capacity(data.len());
                        if data.is_empty() {
                            continue;
                        }
                        self.left = self.left.map(|left| left.saturating_sub(data.len() as u64));
                        return Poll::Ready(Some(Ok(Frame::data(data))));
                    }
                    Some(Err(_)) => return Poll::Ready(Some(Err(Broken))),
                    None => self.at = At::Trailers,
                },
                At::Trailers => {
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
        // A body whose length has come may still have trailers: it is over with its stream alone.
        if self.at == At::End || self.stream.is_end_stream() {
            return Some(0);
        }
        self.left.filter(|left| *left > 0)
    }
}
