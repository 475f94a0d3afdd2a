//! A body that goes out in DATA frames, as far as its reader lets it.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use h2::{Reason, SendStream};
use http_body::Body;

/// Why a body did not go out to its end.
#[derive(Debug)]
pub(super) enum Stuck<E> {
    /// The body itself failed. Its stream was reset: the peer never sees a whole message.
    Body(E),
    /// The peer takes no more.
    Stream,
}

/// The rest of a message's body.
pub(super) struct Sending<B> {
    body: B,
    stream: SendStream<Bytes>,
    /// Taken from the body, and waiting for room.
    piece: Bytes,
    over: bool,
}

/// What needs no room of its own: it is less than what any peer grants, and would cost a wait for each.
const SHORT_BYTES: usize = 16 * 1024;

impl<B> Sending<B>
where
    B: Body<Data = Bytes> + Unpin,
{
    pub(super) fn new(stream: SendStream<Bytes>, body: B) -> Self {
        Self { body, stream, piece: Bytes::new(), over: false }
    }

    /// The body, to send it again or to go on with what is behind it.
    pub(super) fn body(&mut self) -> &mut B {
        &mut self.body
    }

    /// True once all of it was taken.
    pub(super) const fn is_over(&self) -> bool {
        self.over
    }

    pub(super) fn into_body(self) -> B {
        self.body
    }

    /// Sends what can be sent; ready at the end of the body.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Stuck<B::Error>>> {
        while !self.over {
            if !self.piece.is_empty() {
                ready!(self.poll_piece(cx))?;
                continue;
            }
            if self.body.is_end_stream() {
                self.end(None)?;
                continue;
            }
            match Pin::new(&mut self.body).poll_frame(cx) {
                Poll::Ready(Some(Ok(frame))) => match frame.into_data() {
                    Ok(data) => self.take(data)?,
                    Err(frame) => self.end(frame.into_trailers().ok())?,
                },
                Poll::Ready(Some(Err(error))) => {
                    self.stream.send_reset(Reason::INTERNAL_ERROR);
                    self.over = true;
                    return Poll::Ready(Err(Stuck::Body(error)));
                }
                Poll::Ready(None) => self.end(None)?,
                Poll::Pending => {
                    return match self.stream.poll_reset(cx) {
                        Poll::Ready(_) => Poll::Ready(Err(Stuck::Stream)),
                        Poll::Pending => Poll::Pending,
                    };
                }
            }
        }
        Poll::Ready(Ok(()))
    }

    fn take(&mut self, data: Bytes) -> Result<(), Stuck<B::Error>> {
        if data.len() <= SHORT_BYTES && self.body.is_end_stream() {
            // The last of it, and short: it goes out with the end of the stream, however small the window is now.
            self.over = true;
            return self.stream.send_data(data, true).map_err(|_| Stuck::Stream);
        }
        self.stream.reserve_capacity(data.len());
        self.piece = data;
        Ok(())
    }

    fn poll_piece(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Stuck<B::Error>>> {
        while self.stream.capacity() == 0 {
            match ready!(self.stream.poll_capacity(cx)) {
                Some(Ok(_)) => {}
                Some(Err(_)) | None => return Poll::Ready(Err(Stuck::Stream)),
            }
        }
        let some = self.piece.split_to(self.stream.capacity().min(self.piece.len()));
        let last = self.piece.is_empty() && self.body.is_end_stream();
        self.over = last;
        Poll::Ready(self.stream.send_data(some, last).map_err(|_| Stuck::Stream))
    }

    fn end(&mut self, trailers: Option<http::HeaderMap>) -> Result<(), Stuck<B::Error>> {
        self.over = true;
        match trailers {
            Some(trailers) => self.stream.send_trailers(trailers),
            None => self.stream.send_data(Bytes::new(), true),
        }
        .map_err(|_| Stuck::Stream)
    }
}
