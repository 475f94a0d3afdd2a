//! The upstream's side of a connection: one request and its answer at a time.

use std::cell::RefCell;
use std::future::poll_fn;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use bytes::{BufMut, Bytes};
use http::{Method, Request, Response, StatusCode};
use http_body::{Body, Frame};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::Instant;

use super::body::{Broken, Feed, Incoming};
use super::head::{self, Persistence, write_request};
use super::line::{Content, Line};
use super::out::{Framing, Out};
use crate::timer::Timer;

/// How long a body waits for the upstream's word that was asked for (contract section 4).
pub(crate) const WORD_WAIT: Duration = Duration::from_secs(1);

/// Why there is no answer.
#[derive(Debug)]
pub(crate) enum SendError<E> {
    /// The request's own body failed.
    Body(E),
    /// What came is no head.
    Head,
    /// The connection broke off.
    Closed,
}

/// A connection to an upstream. Dropped while an answer is under way, it is closed with that answer's body.
pub(crate) struct Link<IO, B: Body> {
    origin: Rc<RefCell<Origin<IO, B>>>,
}

impl<IO, B> Link<IO, B>
where
    IO: AsyncRead + AsyncWrite + Unpin + 'static,
    B: Body<Data = Bytes> + Unpin + 'static,
{
    /// Over a stream whose reads pass a gate.
    pub(crate) fn new(io: IO) -> Self {
        let origin = Origin {
            line: Line::new(io),
            out: Out::default(),
            asked: Method::GET,
            upload: None,
            word: None,
            timer: Timer::default(),
            persistence: Persistence::KeepAlive,
            armed: None,
            deaf: false,
            failed: false,
        };
        Self { origin: Rc::new(RefCell::new(origin)) }
    }

    /// Takes a request; [`Self::answer`] sends it. Where it asks for a 100, its body waits for that or
    /// [`WORD_WAIT`] (RFC 9110 section 10.1.1).
    pub(crate) fn ask(&self, request: Request<B>) {
        let (head, body) = request.into_parts();
        let mut fields = head.headers;
        let framing = match body.is_end_stream() {
            true => Framing::None,
            false => Framing::told(&mut fields, body.size_hint().exact(), true),
        };
        let mut origin = self.origin.borrow_mut();
        let out = origin.out.buffer();
        write_request(out, &head.method, &head.uri, &fields);
        out.put_slice(b"\r\n");
        origin.upload = (framing != Framing::None).then_some(Upload { body, framing });
        origin.word = (origin.upload.is_some() && head::expects_continue(&fields)).then(|| Instant::now() + WORD_WAIT);
        origin.asked = head.method;
        // Until its answer says otherwise: who gives up waiting for that must not ask again.
        origin.persistence = Persistence::Close;
    }

    /// Sends what was [asked](Self::ask), and returns when the head of its answer is there; the request's body may still
    /// be under way, and goes on as the answer is read.
    ///
    /// # Errors
    /// [`SendError`]; the connection is of no use any more.
    pub(crate) async fn answer(&self) -> Result<Response<Incoming>, SendError<B::Error>> {
        loop {
            let bytes = poll_fn(|cx| self.origin.borrow_mut().poll_answer(cx)).await?;
            let mut origin = self.origin.borrow_mut();
            let answer = head::response(&bytes, &origin.asked).ok_or(SendError::Head)?;
            let status = answer.parts.status;
            // Interim answers end nothing; the gate bounds their number.
            if status.is_informational() && status != StatusCode::SWITCHING_PROTOCOLS {
                if status == StatusCode::CONTINUE {
                    origin.word = None;
                }
                continue;
            }
            if origin.upload.is_some() && origin.word.is_some() {
                // It was told before its body, which nobody wants: there is no other end of such a request.
                origin.upload = None;
                origin.deaf = true;
            }
            origin.line.content = answer.content;
            origin.persistence = answer.persistence;
            let body = match answer.content {
                Content::Done => Incoming::empty(),
                _ => Incoming::shared(self.origin.clone()),
            };
            return Ok(Response::from_parts(answer.parts, body));
        }
    }

    /// Goes on with a request whose answer came before its end; ready once none of it is left to send, or none of it
    /// can be sent.
    pub(crate) fn poll_rest(&self, cx: &mut Context<'_>) -> Poll<()> {
        self.origin.borrow_mut().poll_upload(cx).map(drop)
    }

    /// True where nothing of the request is left to be sent, or can be.
    pub(crate) fn is_out(&self) -> bool {
        let origin = self.origin.borrow();
        origin.deaf || (origin.upload.is_none() && origin.out.is_flushed())
    }

    /// True if another request may be sent, as far as is known without looking at the stream.
    pub(crate) fn is_idle(&self) -> bool {
        let origin = self.origin.borrow();
        let line = &origin.line;
        line.content == Content::Done
            && origin.persistence == Persistence::KeepAlive
            && origin.upload.is_none()
            && origin.out.is_flushed()
            && !origin.deaf
            && !line.has_ended()
            && !line.has_read()
    }

    /// True if another request may be sent, and the upstream has neither left nor said anything since the last one.
    pub(crate) fn is_usable(&self) -> bool {
        self.is_quiet(&mut Context::from_waker(Waker::noop()))
    }

    /// The same for a task that then asks at once: it is woken by what comes, and need not look for it before.
    pub(crate) fn arm(&self, cx: &mut Context<'_>) -> bool {
        let quiet = self.is_quiet(cx);
        self.origin.borrow_mut().armed = quiet.then(|| cx.waker().clone());
        quiet
    }

    /// The stream and what was read of it too early, where the last answer leads out of HTTP; `None` while the request
    /// is not out.
    pub(crate) fn into_parts(self) -> Option<(IO, Bytes)> {
        let origin = Rc::into_inner(self.origin)?.into_inner();
        let is_out = origin.upload.is_none() && origin.out.is_flushed();
        is_out.then(|| origin.line.into_parts())
    }

    fn is_quiet(&self, cx: &mut Context<'_>) -> bool {
        self.is_idle() && self.origin.borrow_mut().line.poll_end(cx).is_pending() && self.is_idle()
    }
}

/// The rest of a request's body.
struct Upload<B> {
    body: B,
    framing: Framing,
}

struct Origin<IO, B: Body> {
    line: Line<IO>,
    out: Out,
    /// The method of the request that is being answered.
    asked: Method,
    upload: Option<Upload<B>>,
    /// Until when the body waits for a word.
    word: Option<Instant>,
    timer: Timer,
    persistence: Persistence,
    /// Who is woken when something comes, where nothing had come.
    armed: Option<Waker>,
    /// It reads no more. What it has said may still be read.
    deaf: bool,
    /// The request's own body failed: nothing of this exchange may become complete.
    failed: bool,
}

/// The request can't be sent to its end.
enum Stuck<E> {
    Body(E),
    Stream,
}

impl<IO, B> Origin<IO, B>
where
    IO: AsyncRead + AsyncWrite + Unpin,
    B: Body<Data = Bytes> + Unpin,
{
    /// Sends the request, and reads a head meanwhile: an upstream may answer before it has all of it, and may have
    /// answered where it reads no more.
    fn poll_answer(&mut self, cx: &mut Context<'_>) -> Poll<Result<Bytes, SendError<B::Error>>> {
        let armed = self.armed.take().is_some_and(|armed| armed.will_wake(cx.waker()));
        match self.poll_upload(cx) {
            Poll::Ready(Err(Stuck::Body(error))) => return Poll::Ready(Err(SendError::Body(error))),
            Poll::Ready(Ok(())) if armed => return Poll::Pending,
            Poll::Ready(_) | Poll::Pending => {}
        }
        match ready!(self.line.poll_head(cx)) {
            Ok(Some(head)) => Poll::Ready(Ok(head)),
            Ok(None) | Err(_) => Poll::Ready(Err(SendError::Closed)),
        }
    }

    fn poll_upload(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Stuck<B::Error>>> {
        if self.deaf {
            return Poll::Ready(Err(Stuck::Stream));
        }
        if self.upload.is_none() && self.out.is_flushed() {
            return Poll::Ready(Ok(()));
        }
        if let Some(due) = self.word
            && self.upload.is_some()
            && self.timer.poll(due, cx).is_ready()
        {
            self.word = None;
        }
        loop {
            let mut dry = self.word.is_some();
            while let Some(Upload { body, framing }) = &mut self.upload
                && self.out.has_room()
                && !dry
            {
                let frame = if body.is_end_stream() { Poll::Ready(None) } else { Pin::new(body).poll_frame(cx) };
                let pushed = match frame {
                    Poll::Ready(Some(Ok(frame))) => self.out.push(frame, framing),
                    Poll::Ready(Some(Err(error))) => {
                        (self.deaf, self.failed) = (true, true);
                        self.upload = None;
                        return Poll::Ready(Err(Stuck::Body(error)));
                    }
                    Poll::Ready(None) => {
                        let ended = self.out.end(*framing);
                        if ended.is_ok() {
                            self.upload = None;
                        }
                        ended
                    }
                    Poll::Pending => {
                        dry = true;
                        break;
                    }
                };
                if pushed.is_err() {
                    self.deaf = true;
                    return Poll::Ready(Err(Stuck::Stream));
                }
            }
            if ready!(self.out.poll_flush(Pin::new(&mut self.line.io), cx)).is_err() {
                self.deaf = true;
                return Poll::Ready(Err(Stuck::Stream));
            }
            match (&self.upload, dry) {
                (None, _) => return Poll::Ready(Ok(())),
                (Some(_), true) => return Poll::Pending,
                (Some(_), false) => {}
            }
        }
    }
}

impl<IO, B> Feed for Origin<IO, B>
where
    IO: AsyncRead + AsyncWrite + Unpin,
    B: Body<Data = Bytes> + Unpin,
{
    fn poll_body(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Broken>>> {
        let _ = self.poll_upload(cx);
        if self.failed {
            return Poll::Ready(Some(Err(Broken)));
        }
        self.line.poll_content(cx)
    }

    fn left(&self) -> Option<u64> {
        self.line.content.left()
    }
}
