//! One request to an upstream: a stream of a connection that others of the session use too.

use std::cell::{Cell, RefCell};
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use h2::client::{self, ResponseFuture, SendRequest};
use h2::{Reason, RecvStream};
use http::{Method, Request, Response, StatusCode};
use http_body::{Body, Frame};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::Instant;

use super::cork::{Cork, opened};
use super::received::Received;
use super::sending::{Sending, Stuck};
use super::{FRAME_MAX, FRAMES_BUDGET, SEND_BUFFER, STREAM_WINDOW, connection_window, head};
use crate::gate;
use crate::h1::{Broken, Feed, Incoming, WORD_WAIT, expects_continue, is_bodyless};
use crate::timer::Timer;

/// Most streams that are counted on when a connection's window is told; an upstream rarely lets more be opened.
const STREAMS: u32 = 256;

/// A body that can be sent again if nothing of it was kept.
pub(crate) trait Rewind {
    /// Goes back to its start; false where that cannot be.
    fn rewind(&mut self) -> bool;
}

/// A connection to an upstream, as its requests see it.
pub(crate) struct Handle {
    send: RefCell<SendRequest<Bytes>>,
    limits: gate::Limits,
    /// Requests that are under way.
    active: Rc<Cell<usize>>,
    /// It takes no more requests.
    closed: Cell<bool>,
}

/// Opens HTTP/2 over a stream on which nothing was sent. The second is the connection itself, which must be polled until
/// it ends.
///
/// # Errors
/// The stream broke.
pub(crate) async fn connect<IO>(
    io: IO,
    limits: gate::Limits,
) -> Result<(Handle, impl Future<Output = Result<(), h2::Error>>), h2::Error>
where
    IO: AsyncRead + AsyncWrite + Unpin,
{
    let cork = Cork::new(io);
    let opening = client::Builder::new()
        .enable_push(false)
        .initial_window_size(STREAM_WINDOW)
        .initial_connection_window_size(connection_window(STREAMS))
        .max_frame_size(FRAME_MAX)
        // Twice what a head may have, so that one which is too large is told as such.
        .max_header_list_size(u32::try_from(limits.head_bytes_max.saturating_mul(2)).unwrap_or(u32::MAX))
        .max_send_buffer_size(SEND_BUFFER)
        .data_frame_budget(FRAMES_BUDGET)
        // Clients that leave reset streams, and what their upstream still sends of those breaks no rule.
        .max_local_error_reset_streams(None)
        .handshake::<_, Bytes>(cork.clone());
    let (send, mut conn) = opened(opening, &cork).await?;
    let conn = poll_fn(move |cx| {
        let ended = Pin::new(&mut conn).poll(cx);
        match cork.poll_let_go(cx) {
            Poll::Ready(Err(_)) if ended.is_pending() => Poll::Ready(Ok(())),
            _ => ended,
        }
    });
    let handle = Handle { send: RefCell::new(send), limits, active: Rc::default(), closed: Cell::new(false) };
    Ok((handle, conn))
}

impl Handle {
    /// True while one more request may be sent at once.
    pub(crate) fn has_room(&self) -> bool {
        let most = self.send.borrow().current_max_send_streams().min(STREAMS as usize);
        !self.is_closed() && self.active.get() < most
    }

    /// Takes no more requests: those that are under way go on.
    pub(crate) fn close(&self) {
        self.closed.set(true);
    }

    /// True once it takes no more requests.
    pub(crate) fn is_closed(&self) -> bool {
        if !self.closed.get() {
            let ready = self.send.borrow_mut().poll_ready(&mut Context::from_waker(Waker::noop()));
            self.closed.set(matches!(ready, Poll::Ready(Err(_))));
        }
        self.closed.get()
    }

    /// True if no request is under way.
    pub(crate) fn is_idle(&self) -> bool {
        self.active.get() == 0
    }
}

/// Why there is no answer.
#[derive(Debug)]
pub(crate) enum CallError<E> {
    /// The request's own body failed.
    Body(E),
    /// The upstream says, or the protocol does, that it has not looked at the request.
    Unprocessed,
    /// The answer is not what HTTP/2 allows.
    Protocol(&'static str),
    /// The stream or the connection broke off.
    Closed,
}

/// One request and its answer. Dropped on its way, its stream is reset.
pub(crate) struct Call<B> {
    origin: Rc<RefCell<Origin<B>>>,
}

struct Origin<B> {
    answer: ResponseFuture,
    asked: Method,
    upload: Option<Sending<B>>,
    /// The body of a request that has none.
    none: Option<B>,
    received: Option<Received>,
    /// Until when the body waits for a word (contract section 4).
    word: Option<Instant>,
    timer: Timer,
    /// The upstream reads no more of the request.
    deaf: bool,
    /// The request's own body failed: nothing of this exchange may become complete.
    failed: bool,
    _counted: Counted,
}

/// Counts a request as under way.
struct Counted(Rc<Cell<usize>>);

impl Counted {
    fn new(active: &Rc<Cell<usize>>) -> Self {
        active.set(active.get().saturating_add(1));
        Self(active.clone())
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.set(self.0.get().saturating_sub(1));
    }
}

impl<B> Call<B>
where
    B: Body<Data = Bytes> + Rewind + Unpin + 'static,
{
    /// Sends the head of a request in origin-form, and what is there of its body. `te` where its client takes trailers.
    ///
    /// # Errors
    /// The connection takes no more requests: the body comes back as it was.
    pub(crate) fn ask(handle: &Handle, head: http::request::Parts, body: B, te: bool) -> Result<Self, B> {
        let mut head = head;
        let method = head.method.clone();
        let waits = !body.is_end_stream() && expects_continue(&head.headers);
        if head::outgoing(&mut head, te).is_none() {
            return Err(body);
        }
        let ends = body.is_end_stream();
        let sent = handle.send.borrow_mut().send_request(Request::from_parts(head, ()), ends);
        let Ok((answer, stream)) = sent else {
            handle.closed.set(true);
            return Err(body);
        };
        let (upload, none) = match ends {
            true => (None, Some(body)),
            false => (Some(Sending::new(stream, body)), None),
        };
        let origin = Origin {
            answer,
            asked: method,
            upload,
            none,
            received: None,
            word: waits.then(|| Instant::now() + WORD_WAIT),
            timer: Timer::default(),
            deaf: false,
            failed: false,
            _counted: Counted::new(&handle.active),
        };
        Ok(Self { origin: Rc::new(RefCell::new(origin)) })
    }

    /// Returns when the head of the answer is there; the request's body may still be under way, and goes on as the answer
    /// is read.
    ///
    /// # Errors
    /// [`CallError`]; the stream is over.
    pub(crate) async fn answer(&self, handle: &Handle) -> Result<Response<Incoming>, CallError<B::Error>> {
        let response = poll_fn(|cx| self.origin.borrow_mut().poll_answer(cx)).await?;
        let (parts, stream) = response.into_parts();
        head::response(&parts, &handle.limits).map_err(CallError::Protocol)?;
        let mut origin = self.origin.borrow_mut();
        // Kept until now: an upstream that has not looked at the request gets it once more, elsewhere.
        origin.upload.take_if(|upload| upload.is_over());
        if parts.status == StatusCode::SWITCHING_PROTOCOLS {
            return Err(CallError::Protocol("101 in HTTP/2"));
        }
        if origin.word.take().is_some() {
            // It was told before its body, which nobody wants.
            origin.upload = None;
            origin.deaf = true;
        }
        let body = if stream.is_end_stream() || is_bodyless(parts.status, &origin.asked) {
            Incoming::empty()
        } else {
            origin.received = Some(Received::answer(stream, head::told(&parts.headers)));
            Incoming::shared(self.origin.clone())
        };
        Ok(Response::from_parts(parts, body))
    }

    /// The body, if the request may be sent once more.
    pub(crate) fn into_body(self) -> Option<B> {
        let origin = Rc::into_inner(self.origin)?.into_inner();
        let mut body = origin.none.or_else(|| origin.upload.map(Sending::into_body))?;
        body.rewind().then_some(body)
    }

    /// Goes on with a request whose answer came before its end; ready once none of it is left to send, or can be sent.
    pub(crate) fn poll_rest(&self, cx: &mut Context<'_>) -> Poll<()> {
        self.origin.borrow_mut().poll_upload(cx).map(drop)
    }

    /// True where nothing of the request is left to be sent, or can be.
    pub(crate) fn is_out(&self) -> bool {
        let origin = self.origin.borrow();
        origin.deaf || origin.upload.as_ref().is_none_or(Sending::is_over)
    }
}

impl<B> Origin<B>
where
    B: Body<Data = Bytes> + Unpin,
{
    fn poll_answer(&mut self, cx: &mut Context<'_>) -> Poll<Result<Response<RecvStream>, CallError<B::Error>>> {
        if self.word.is_some()
            && let Poll::Ready(Some(Ok(interim))) = self.answer.poll_informational(cx)
            && interim.status() == StatusCode::CONTINUE
        {
            self.word = None;
        }
        if let Poll::Ready(Err(Stuck::Body(error))) = self.poll_upload(cx) {
            return Poll::Ready(Err(CallError::Body(error)));
        }
        Pin::new(&mut self.answer).poll(cx).map_err(|error| named(&error))
    }

    fn poll_upload(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Stuck<B::Error>>> {
        if self.deaf {
            return Poll::Ready(Err(Stuck::Stream));
        }
        let Some(upload) = &mut self.upload else { return Poll::Ready(Ok(())) };
        if let Some(due) = self.word {
            if self.timer.poll(due, cx).is_pending() {
                return Poll::Pending;
            }
            self.word = None;
        }
        let polled = upload.poll(cx);
        if let Poll::Ready(Err(stuck)) = &polled {
            self.deaf = true;
            self.failed = matches!(stuck, Stuck::Body(_));
        }
        polled
    }
}

fn named<E>(error: &h2::Error) -> CallError<E> {
    let refused = error.is_reset() && error.reason() == Some(Reason::REFUSED_STREAM);
    // A stream that its GOAWAY does not count was never looked at (RFC 9113 section 6.8); others break with the stream.
    if error.is_remote() && (refused || error.is_go_away()) {
        return CallError::Unprocessed;
    }
    if error.is_library() {
        return CallError::Protocol("it breaks a rule of HTTP/2");
    }
    CallError::Closed
}

impl<B> Feed for Origin<B>
where
    B: Body<Data = Bytes> + Unpin,
{
    fn poll_body(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Broken>>> {
        let _ = self.poll_upload(cx);
        if self.failed {
            return Poll::Ready(Some(Err(Broken)));
        }
        match &mut self.received {
            Some(received) => received.poll_body(cx),
            None => Poll::Ready(None),
        }
    }

    fn left(&self) -> Option<u64> {
        self.received.as_ref().map_or(Some(0), Feed::left)
    }
}
