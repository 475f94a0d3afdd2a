//! The client's side of a connection: one request after the other, each answered before the next is shown.

use std::cell::RefCell;
use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{BufMut, Bytes};
use http::header::{CONNECTION, HeaderValue};
use http::{HeaderMap, Method, Response, StatusCode, Version, request, response};
use http_body::{Body, Frame};
use http_body_util::BodyExt;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::timeout;

use super::body::{Broken, Feed, Incoming};
use super::head::{self, Persistence, RequestHead, is_bodyless, write_response};
use super::line::{Content, Line};
use super::lookout::{Lookout, Presence};
use super::out::{Framing, Out};
use crate::bell::Bell;

/// RFC 9110 section 15.2.1.
const CONTINUE: &[u8] = b"HTTP/1.1 100 Continue\r\n\r\n";

/// Most bytes of a request, and the longest time, that are read after an early answer (design section 5).
pub(crate) const DRAIN_BYTES_MAX: usize = 1024 * 1024;
pub(crate) const DRAIN_WAIT: Duration = Duration::from_secs(2);

/// An answer that may come before its request has gone out: then there is work left which nobody asks for.
pub(crate) trait Driven: Body<Data = Bytes> {
    /// Goes on with that work, and says when none is left.
    fn poll_drive(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()>;
}

/// The longest time that a request goes on whose answer is out.
pub(crate) const DRIVE_WAIT: Duration = Duration::from_secs(60);

/// A stream over which no more requests are served.
pub(crate) struct Served<IO> {
    /// The stream.
    pub(crate) io: IO,
    /// What was read of it and belongs to no request.
    pub(crate) read: Bytes,
    /// The last thing that came was a head which no request can be made of, and it was not answered.
    pub(crate) unread: bool,
}

/// Serves requests until either side is done, the stream breaks, a CONNECT or an upgrade is granted, or `service` or an answer's body
/// fails: then nothing completes what was begun. `service` may take what it needs out of a request's head. A client that
/// says no more may still listen: `presence` tells.
pub(crate) async fn serve<IO, S, B, E>(
    io: IO,
    presence: impl Fn() -> Presence + 'static,
    mut service: S,
) -> Option<Box<Served<IO>>>
where
    IO: AsyncRead + AsyncWrite + Unpin + 'static,
    S: AsyncFnMut(&mut request::Parts, Incoming) -> Result<Response<B>, E>,
    B: Driven,
{
    let client = Rc::new(RefCell::new(Client::new(io, Lookout::new(presence))));
    let mut gone = Bell::new();
    let end = loop {
        let mut request = match poll_fn(|cx| client.borrow_mut().poll_request(cx)).await {
            Ok(request) => request,
            Err(end) => break end,
        };
        let asked = Asked::of(&request);
        let body = match request.content {
            Content::Done => Incoming::empty(),
            _ => Incoming::shared(client.clone()),
        };
        let answer = {
            let mut work = pin!(service(&mut request.parts, body));
            let mut watched = false;
            poll_fn(|cx| match work.as_mut().poll(cx) {
                Poll::Ready(answer) => Poll::Ready(answer.ok()),
                // Whoever reads the body sees the client leave, if somebody does.
                Poll::Pending if client.borrow().line.content != Content::Done => {
                    client.borrow_mut().poll_gone(cx).map(|()| None)
                }
                Poll::Pending => {
                    if !std::mem::replace(&mut watched, true) {
                        gone.again();
                    }
                    gone.poll(cx, |cx| client.borrow_mut().poll_gone(cx)).map(|()| None)
                }
            })
            .await
        };
        let Some(answer) = answer else { break End::Over };
        let after = {
            let (mut head, body) = answer.into_parts();
            let mut body = pin!(body);
            // Asked before the client is borrowed: the body may be the request's.
            let exact = if body.is_end_stream() { Some(0) } else { body.size_hint().exact() };
            let (mut rest, after) = client.borrow_mut().begin(&asked, &mut head, exact);
            if poll_fn(|cx| poll_answer(&client, &mut rest, body.as_mut(), cx)).await.is_err() {
                break End::Over;
            }
            if poll_fn(|cx| Poll::Ready(body.as_mut().poll_drive(cx))).await.is_pending() {
                // An upstream that reads no more holds nobody for ever.
                let rest = poll_fn(|cx| body.as_mut().poll_drive(cx));
                if Box::pin(timeout(DRIVE_WAIT, rest)).await.is_err() {
                    break End::Over;
                }
            }
            after
        };
        let read = client.borrow().is_read() || drained(&client).await;
        if after != After::Next || !read {
            break End::Over;
        }
    };
    // Whoever still had a part of a body would have the stream; all of them are gone with their exchange.
    let (io, read) = Rc::into_inner(client)?.into_inner().line.into_parts();
    // Boxed: it is made once in a connection's life, and would be carried out of every poll.
    Some(Box::new(Served { io, read, unread: end == End::Unread }))
}

/// What an answer must know of its request.
struct Asked {
    method: Method,
    version: Version,
    persistence: Persistence,
}

impl Asked {
    fn of(request: &RequestHead) -> Self {
        let RequestHead { parts, persistence, .. } = request;
        Self { method: parts.method.clone(), version: parts.version, persistence: *persistence }
    }
}

/// What follows an answer.
#[derive(Clone, Copy, PartialEq, Eq)]
enum After {
    Next,
    Close,
    Tunnel,
}

/// The answer can't be completed.
struct Torn;

/// Writes a body and all that is before it. Where nothing comes, what there is goes out. The client is not borrowed
/// while the body is asked: it may read the rest of the request meanwhile.
fn poll_answer<IO, B>(
    client: &RefCell<Client<IO>>,
    rest: &mut Option<Framing>,
    mut body: Pin<&mut B>,
    cx: &mut Context<'_>,
) -> Poll<Result<(), Torn>>
where
    IO: AsyncRead + AsyncWrite + Unpin,
    B: Driven,
{
    loop {
        let mut dry = false;
        while let Some(framing) = rest {
            if !client.borrow().out.has_room() {
                break;
            }
            let frame = if body.is_end_stream() { Poll::Ready(None) } else { body.as_mut().poll_frame(cx) };
            let out = &mut client.borrow_mut().out;
            match frame {
                Poll::Ready(Some(Ok(frame))) => out.push(frame, framing).map_err(|_| Torn)?,
                Poll::Ready(Some(Err(_))) => return Poll::Ready(Err(Torn)),
                Poll::Ready(None) => {
                    out.end(*framing).map_err(|_| Torn)?;
                    *rest = None;
                }
                Poll::Pending => {
                    dry = true;
                    break;
                }
            }
        }
        let flushed = client.borrow_mut().poll_flush(cx);
        match flushed {
            Poll::Ready(Err(_)) => return Poll::Ready(Err(Torn)),
            Poll::Ready(Ok(())) if rest.is_none() => return Poll::Ready(Ok(())),
            Poll::Ready(Ok(())) if dry => return client.borrow_mut().poll_gone(cx).map(|()| Err(Torn)),
            Poll::Ready(Ok(())) => {}
            Poll::Pending => {
                let _ = body.poll_drive(cx);
                return Poll::Pending;
            }
        }
    }
}

fn says_close(fields: &HeaderMap) -> bool {
    fields.get_all(CONNECTION).iter().any(|value| head::lists(value.as_bytes(), b"close"))
}

/// Reads what the client is still sending of a request that has its answer: were the connection closed on it, the
/// client would see a reset and never the answer. False where it does not end soon.
async fn drained<IO>(client: &Rc<RefCell<Client<IO>>>) -> bool
where
    IO: AsyncRead + AsyncWrite + Unpin + 'static,
{
    if Rc::strong_count(client) > 1 {
        return false;
    }
    let mut body = Incoming::shared(client.clone());
    let read = async {
        let mut left = DRAIN_BYTES_MAX;
        while let Some(frame) = body.frame().await {
            let taken = frame.ok()?.data_ref().map_or(0, Bytes::len);
            left = left.checked_sub(taken)?;
        }
        Some(())
    };
    // Boxed: most requests were read when they are answered.
    matches!(Box::pin(timeout(DRAIN_WAIT, read)).await, Ok(Some(())))
}

struct Client<IO> {
    line: Line<IO>,
    out: Out,
    /// The client waits to be told to go on with its body, and was not.
    expects: bool,
    /// The head of the answer is written.
    answering: bool,
    lookout: Lookout,
}

/// Why no more requests are served.
#[derive(Clone, Copy, PartialEq, Eq)]
enum End {
    Over,
    /// No request can be made of the head that came.
    Unread,
}

impl<IO: AsyncRead + AsyncWrite + Unpin> Client<IO> {
    fn new(io: IO, lookout: Lookout) -> Self {
        Self { line: Line::new(io), out: Out::default(), expects: false, answering: false, lookout }
    }

    fn poll_request(&mut self, cx: &mut Context<'_>) -> Poll<Result<RequestHead, End>> {
        let head = ready!(self.line.poll_head(cx)).ok().flatten().ok_or(End::Over)?;
        let request = head::request(&head).ok_or(End::Unread)?;
        self.line.content = request.content;
        self.expects = request.expects;
        self.answering = false;
        self.lookout.rest();
        Poll::Ready(Ok(request))
    }

    /// The client leaves while its request is under way. Of one that is not whole the stream's end is not seen: what
    /// comes before it may be for nobody to read.
    fn poll_gone(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if self.line.content == Content::Done {
            ready!(self.line.poll_end(cx));
            self.lookout.ended();
        }
        self.lookout.poll(cx)
    }

    /// True once nothing of the request is left to be read, or its client was never told to send it.
    fn is_read(&self) -> bool {
        self.line.content == Content::Done || self.expects
    }

    /// Writes the head of an answer. How its body is framed, if there is one, and what follows it.
    fn begin(&mut self, asked: &Asked, head: &mut response::Parts, exact: Option<u64>) -> (Option<Framing>, After) {
        let granted = asked.method == Method::CONNECT && head.status.is_success();
        let tunnel = granted || head.status == StatusCode::SWITCHING_PROTOCOLS;
        let framing = if tunnel || is_bodyless(head.status, &asked.method) {
            None
        } else {
            Some(Framing::told(&mut head.headers, exact, asked.version != Version::HTTP_10))
        };
        let closes = says_close(&head.headers);
        let after = if tunnel {
            After::Tunnel
        } else if closes
            || asked.persistence == Persistence::Close
            || framing == Some(Framing::UntilClose)
            // It was never told to send its body, and whether it will is not to be known.
            || self.expects
        {
            After::Close
        } else {
            After::Next
        };
        match (after, asked.version) {
            (After::Close, _) if !closes => {
                head.headers.insert(CONNECTION, HeaderValue::from_static("close"));
            }
            (After::Next, Version::HTTP_10) => {
                head.headers.insert(CONNECTION, HeaderValue::from_static("keep-alive"));
            }
            _ => {}
        }
        self.answering = true;
        let out = self.out.buffer();
        write_response(out, asked.version, head.status, &head.headers);
        out.put_slice(b"\r\n");
        (framing, after)
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        self.out.poll_flush(Pin::new(&mut self.line.io), cx)
    }
}

impl<IO: AsyncRead + AsyncWrite + Unpin> Feed for Client<IO> {
    fn poll_body(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Broken>>> {
        // Behind the head of the answer there is no place for an interim one.
        if self.expects && !self.answering {
            self.expects = false;
            self.out.buffer().put_slice(CONTINUE);
        }
        if !self.answering
            && let Poll::Ready(Err(_)) = self.poll_flush(cx)
        {
            return Poll::Ready(Some(Err(Broken)));
        }
        self.line.poll_content(cx)
    }

    fn left(&self) -> Option<u64> {
        self.line.content.left()
    }
}
