//! One connection in memory, read through the gate by the engine.

use std::cell::{Cell, RefCell};
use std::future::Future;
use std::io;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use http::header::CONNECTION;
use http::{HeaderMap, Method, Request, Response, StatusCode, request};
use http_body::Frame;
use http_body_util::{BodyExt, Empty};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::gate::{Asked, Gate, Limits, Violation, Waits, Watch};
use crate::h1::{self, Driven, Incoming, Link, SendError};

/// What came of the bytes of one side.
#[derive(Debug, PartialEq)]
pub struct Reading {
    /// What the engine read.
    pub messages: Vec<Message>,
    /// How many heads the gate showed whole.
    pub heads: u64,
    /// What the gate showed.
    pub shown: Vec<u8>,
    /// Why the gate let no more through.
    pub violation: Option<Violation>,
}

/// A request or an answer.
#[derive(Debug, PartialEq)]
pub struct Message {
    /// Method, target and version, or status and version.
    pub start: String,
    /// Its fields.
    pub fields: HeaderMap,
    /// Its content, as much as came.
    pub content: Vec<u8>,
    /// How that ended: with these trailers, or before its time.
    pub end: Result<Option<HeaderMap>, ()>,
}

impl Message {
    /// False where the connection may end behind it.
    pub fn goes_on(&self) -> bool {
        self.end.is_ok() && !self.start.ends_with("HTTP/1.0") && !self.fields.contains_key(CONNECTION)
    }

    async fn read(start: String, fields: &HeaderMap, mut body: Incoming) -> Self {
        let mut message = Self { start, fields: fields.clone(), content: Vec::new(), end: Ok(None) };
        while let Some(frame) = body.frame().await {
            match frame.map(Frame::into_data) {
                Ok(Ok(data)) => message.content.extend_from_slice(&data),
                Ok(Err(frame)) => message.end = Ok(frame.into_trailers().ok()),
                Err(_) => message.end = Err(()),
            }
        }
        message
    }
}

/// Reads what a client sends, in reads of at most `most` bytes. A zero byte is none: what follows it comes when
/// everything before it has been dealt with. Every CONNECT is refused.
pub fn requests(stream: &[u8], limits: Limits, most: usize) -> Reading {
    let (wire, come) = Wire::new(stream, most);
    let (gate, watch) = Gate::requests(wire, limits, Waits::NONE);
    let (io, shown) = Shown::new(gate);
    let messages = RefCell::new(Vec::new());
    let service = async |head: &mut request::Parts, body: Incoming| {
        let start = format!("{} {} {:?}", head.method, head.uri, head.version);
        let message = Message::read(start, &head.headers, body).await;
        let status = match message.end {
            Err(()) => StatusCode::BAD_REQUEST,
            Ok(_) if head.method == Method::CONNECT => StatusCode::BAD_GATEWAY,
            Ok(_) => StatusCode::OK,
        };
        messages.borrow_mut().push(message);
        watch.answered();
        Response::builder().status(status).body(Empty::<Bytes>::new())
    };
    let served =
        come.until(h1::serve(io, || h1::Presence::Unknown, service)).expect("nobody holds the stream any more");
    assert!(!served.unread, "the gate has shown a head of which no request can be made");
    reading(messages.into_inner(), &watch, shown)
}

/// Reads what an upstream answers when it is asked with these methods, one after the other.
pub fn answers(stream: &[u8], asked: &[Method], limits: Limits, most: usize) -> Reading {
    let (wire, come) = Wire::new(stream, most);
    let (gate, watch) = Gate::responses(wire, limits);
    let (io, shown) = Shown::new(gate);
    let link = Link::new(io);
    let mut messages = Vec::new();
    for method in asked {
        watch.expect(Asked::from(method));
        link.ask(Request::builder().method(method).body(Empty::<Bytes>::new()).expect("a request"));
        let answer = match come.until(link.answer()) {
            Ok(answer) => answer,
            Err(SendError::Closed) => break,
            Err(SendError::Head) => panic!("the gate has shown a head of which no answer can be made"),
            Err(SendError::Body(never)) => match never {},
        };
        let (head, body) = answer.into_parts();
        let start = format!("{} {:?}", head.status.as_u16(), head.version);
        messages.push(come.until(Message::read(start, &head.headers, body)));
        if !link.is_usable() {
            break;
        }
    }
    reading(messages, &watch, shown)
}

fn reading(messages: Vec<Message>, watch: &Watch, shown: Rc<RefCell<Vec<u8>>>) -> Reading {
    Reading { messages, heads: watch.heads(), shown: shown.take(), violation: watch.violation() }
}

/// A gate, and what passes it.
struct Shown {
    gate: Gate<Wire>,
    shown: Rc<RefCell<Vec<u8>>>,
}

impl Shown {
    fn new(gate: Gate<Wire>) -> (Self, Rc<RefCell<Vec<u8>>>) {
        let shown = Rc::new(RefCell::new(Vec::new()));
        (Self { gate, shown: shown.clone() }, shown)
    }
}

impl AsyncRead for Shown {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let read = Pin::new(&mut self.gate).poll_read(cx, buf);
        self.shown.borrow_mut().extend_from_slice(&buf.filled()[before..]);
        read
    }
}

impl AsyncWrite for Shown {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.gate).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.gate).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.gate).poll_shutdown(cx)
    }
}

/// A stream whose peer sends parts.
struct Wire {
    rest: Vec<u8>,
    most: usize,
    come: Come,
}

/// How many of the parts have come. The end is the last one.
#[derive(Clone)]
struct Come(Rc<Cell<usize>>);

impl Wire {
    fn new(stream: &[u8], most: usize) -> (Self, Come) {
        let come = Come(Rc::new(Cell::new(1)));
        (Self { rest: stream.to_vec(), most, come: come.clone() }, come)
    }
}

impl Come {
    /// Runs to the end; whenever nothing goes on, the next part comes.
    fn until<T>(&self, work: impl Future<Output = T>) -> T {
        let clock = tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime");
        let _clock = clock.enter();
        let mut work = pin!(work);
        let mut cx = Context::from_waker(Waker::noop());
        // More often than there are parts: nothing but a part that comes may be waited for.
        for _ in 0..1 << 16 {
            if let Poll::Ready(done) = work.as_mut().poll(&mut cx) {
                return done;
            }
            self.0.set(self.0.get() + 1);
        }
        panic!("it goes on although everything has come");
    }
}

impl AsyncRead for Wire {
    fn poll_read(mut self: Pin<&mut Self>, _: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        while self.come.0.get() > 0 && self.rest.first() == Some(&0) {
            self.rest.remove(0);
            self.come.0.set(self.come.0.get() - 1);
        }
        if self.come.0.get() == 0 {
            return Poll::Pending;
        }
        let part = self.rest.iter().position(|byte| *byte == 0).unwrap_or(self.rest.len());
        if part == 0 && self.come.0.get() == 1 {
            // Nothing is left but the end, which has not come.
            return Poll::Pending;
        }
        let bytes = part.min(self.most.max(1)).min(buf.remaining());
        buf.put_slice(&self.rest[..bytes]);
        self.rest.drain(..bytes);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Wire {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

impl Driven for Empty<Bytes> {
    fn poll_drive(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<()> {
        Poll::Ready(())
    }
}
