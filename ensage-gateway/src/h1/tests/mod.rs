//! Tests of the engine: a stream that does as it is told, and bodies that are fed.

mod early;
mod expect;
mod half;
mod head;
mod idle;
mod line;
mod link;
mod out;
mod serve;

use std::cell::RefCell;
use std::collections::VecDeque;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::Bytes;
use http::HeaderMap;
use http_body::{Body, Frame, SizeHint};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use super::Driven;
use crate::timer::tests::paused;

/// The clock stands still while anything can be done: what hangs is over at once.
fn local(test: impl Future<Output = ()>) {
    let runtime = paused();
    let limited = async { tokio::time::timeout(Duration::from_secs(3600), test).await.expect("the test hangs") };
    tokio::task::LocalSet::new().block_on(&runtime, limited);
}

/// Lets every other task run until it waits.
async fn settle() {
    for _ in 0..64 {
        tokio::task::yield_now().await;
    }
}

/// A stream: what it says is set by the test, what it is told is kept for it.
#[derive(Clone)]
struct Wire {
    state: Rc<RefCell<State>>,
}

struct State {
    says: VecDeque<Said>,
    reader: Option<Waker>,
    /// Every other read finds nothing at first.
    reads_stall: bool,
    writer: Option<Waker>,
    /// Every other write finds no room at first.
    writes_stall: bool,
    stalled: bool,
    vectored: bool,
    /// Most bytes of one write, and of all writes.
    takes: usize,
    room: usize,
    /// What is written comes out when it is flushed, as with TLS.
    holds: bool,
    held: Vec<u8>,
    deaf: bool,
    written: Vec<u8>,
}

enum Said {
    Bytes(Vec<u8>),
    End,
    Fault,
}

impl Wire {
    fn new() -> Self {
        let state = State {
            says: VecDeque::new(),
            reader: None,
            reads_stall: false,
            writer: None,
            writes_stall: false,
            stalled: false,
            vectored: true,
            takes: usize::MAX,
            room: usize::MAX,
            holds: false,
            held: Vec::new(),
            deaf: false,
            written: Vec::new(),
        };
        Self { state: Rc::new(RefCell::new(state)) }
    }

    /// A stream that says these bytes in pieces of the given lengths (repeated), and pauses before each.
    fn saying(bytes: &[u8], pieces: &[usize]) -> Self {
        let wire = Self::new();
        wire.set(|state| state.reads_stall = true);
        let mut rest = bytes;
        for piece in pieces.iter().cycle() {
            if rest.is_empty() {
                break;
            }
            let (said, later) = rest.split_at((*piece).min(rest.len()));
            wire.says(said);
            rest = later;
        }
        wire
    }

    fn set(&self, change: impl FnOnce(&mut State)) {
        let mut state = self.state.borrow_mut();
        change(&mut state);
        for waker in [state.reader.take(), state.writer.take()].into_iter().flatten() {
            waker.wake();
        }
    }

    fn says(&self, bytes: impl AsRef<[u8]>) {
        let bytes = bytes.as_ref().to_vec();
        self.set(|state| state.says.extend((!bytes.is_empty()).then_some(Said::Bytes(bytes))));
    }

    fn ends(&self) {
        self.set(|state| state.says.push_back(Said::End));
    }

    fn breaks(&self) {
        self.set(|state| state.says.push_back(Said::Fault));
    }

    /// What was written since the last time.
    fn heard(&self) -> String {
        String::from_utf8(std::mem::take(&mut self.state.borrow_mut().written)).unwrap()
    }

    /// True if all that was to be read was.
    fn is_read(&self) -> bool {
        self.state.borrow().says.is_empty()
    }
}

impl AsyncRead for Wire {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let mut state = self.state.borrow_mut();
        if state.reads_stall {
            state.stalled = !state.stalled;
            if state.stalled {
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
        }
        match state.says.front_mut() {
            Some(Said::Bytes(bytes)) => {
                let some = bytes.len().min(buf.remaining());
                buf.put_slice(&bytes[..some]);
                bytes.drain(..some);
                if bytes.is_empty() {
                    state.says.pop_front();
                }
                Poll::Ready(Ok(()))
            }
            Some(Said::End) => Poll::Ready(Ok(())),
            Some(Said::Fault) => Poll::Ready(Err(io::ErrorKind::ConnectionReset.into())),
            None => {
                state.reader = Some(cx.waker().clone());
                Poll::Pending
            }
        }
    }
}

impl AsyncWrite for Wire {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let mut state = self.state.borrow_mut();
        assert!(!bytes.is_empty(), "nothing was to be written");
        if state.deaf {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        if state.writes_stall {
            state.stalled = !state.stalled;
            if state.stalled {
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
        }
        let mut some = bytes.len().min(state.takes);
        if state.holds {
            state.held.extend_from_slice(&bytes[..some]);
            return Poll::Ready(Ok(some));
        }
        some = some.min(state.room);
        if some == 0 {
            state.writer = Some(cx.waker().clone());
            return Poll::Pending;
        }
        state.room -= some;
        state.written.extend_from_slice(&bytes[..some]);
        Poll::Ready(Ok(some))
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let (most, state) = (if self.is_write_vectored() { usize::MAX } else { 1 }, self.state.borrow());
        let mut bytes = Vec::new();
        for slice in slices.iter().filter(|slice| !slice.is_empty()).take(most) {
            let some = slice.len().min(state.takes.saturating_sub(bytes.len()));
            bytes.extend_from_slice(&slice[..some]);
        }
        drop(state);
        self.as_mut().poll_write(cx, &bytes)
    }

    fn is_write_vectored(&self) -> bool {
        self.state.borrow().vectored
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut state = self.state.borrow_mut();
        let some = state.held.len().min(state.room);
        state.room -= some;
        let flushed: Vec<u8> = state.held.drain(..some).collect();
        state.written.extend(flushed);
        if state.held.is_empty() {
            return Poll::Ready(Ok(()));
        }
        state.writer = Some(cx.waker().clone());
        Poll::Pending
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

/// Why a body that is fed fails.
#[derive(Debug, PartialEq, Eq)]
struct Failed;

/// A body whose frames come from the test.
struct Fed {
    frames: UnboundedReceiver<Result<Frame<Bytes>, Failed>>,
    length: Option<u64>,
}

/// Feeds a body; dropped, it has ended that body.
struct Feeder {
    frames: UnboundedSender<Result<Frame<Bytes>, Failed>>,
}

/// A body, its length told or not.
fn fed(length: Option<u64>) -> (Feeder, Fed) {
    let (feeder, frames) = unbounded_channel();
    (Feeder { frames: feeder }, Fed { frames, length })
}

/// A body that is all there, its length told.
fn whole(data: impl AsRef<[u8]>) -> Fed {
    let (feeder, body) = fed(Some(data.as_ref().len() as u64));
    if !data.as_ref().is_empty() {
        feeder.data(data);
    }
    body
}

impl Feeder {
    fn data(&self, data: impl AsRef<[u8]>) {
        let _ = self.frames.send(Ok(Frame::data(Bytes::copy_from_slice(data.as_ref()))));
    }

    fn trailers(&self, fields: HeaderMap) {
        let _ = self.frames.send(Ok(Frame::trailers(fields)));
    }

    fn fails(&self) {
        let _ = self.frames.send(Err(Failed));
    }

    /// True if nobody wants the body any more.
    fn is_dropped(&self) -> bool {
        self.frames.is_closed()
    }
}

impl Body for Fed {
    type Data = Bytes;
    type Error = Failed;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Failed>>> {
        self.frames.poll_recv(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.frames.is_closed() && self.frames.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        self.length.map_or_else(SizeHint::default, SizeHint::with_exact)
    }
}

impl Driven for Fed {
    fn poll_drive(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<()> {
        Poll::Ready(())
    }
}
