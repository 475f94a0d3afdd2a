//! The client's side of a connection: many requests at once, each in a future of its own.

use std::cell::Cell;
use std::future::poll_fn;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use h2::Reason;
use h2::server::{self, SendResponse};
use http::{Method, Response, StatusCode};
use http_body::Frame;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::{Instant, timeout};

use super::cork::{Cork, opened};
use super::gate::{Come, Gate, Room, Sign, Uploading};
use super::gathering::{Read, told};
use super::head;
use super::received::Received;
use super::sending::{Sending, Stuck};
use super::{FRAME_MAX, FRAMES_BUDGET, SEND_BUFFER, STREAM_WINDOW, connection_window};
use crate::bell::Bell;
use crate::gate;
use crate::h1::{Broken, DRIVE_WAIT, Driven, Feed, Incoming, expects_continue};
use crate::timer::Timer;

/// Bounds of one connection.
#[derive(Clone, Debug)]
pub(crate) struct Bounds {
    /// Most requests at once.
    pub(crate) streams: u32,
    /// Of each head.
    pub(crate) head: gate::Limits,
    /// Longest wait for the client's first bytes, and silence without any request.
    pub(crate) waits: gate::Waits,
    /// What may be held of bodies that nobody has read yet.
    pub(crate) room: Room,
}

/// A client that takes back more requests than this, and more than it lets be answered, is no client.
const TAKEN_BACK_MAX: u64 = 200;

/// A request, and the way to its answer.
pub(crate) struct Asked {
    /// Its head.
    pub(crate) read: Read,
    /// Its body.
    pub(crate) body: Incoming,
    /// Tells whether that was refused while nobody reads it.
    pub(crate) sign: Option<Sign>,
    /// Where its answer goes.
    pub(crate) answering: Answering,
}

/// Why a request that came gets no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Lost {
    /// Its head ended the connection, for its own fault.
    Broken,
    /// The connection ended on what came with it.
    Violated,
    /// It was one too many at once; its stream was refused.
    TooMany,
}

/// How a connection ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// The client closed it, or said nothing, before it began.
    Unopened,
    /// Either side was done with it.
    Over,
    /// The client broke a rule of HTTP/2 that ends the connection, and no request is lost by it.
    Violated,
}

/// What a stream's future came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Done {
    /// The whole answer is out, or on its way.
    Answered,
    /// The client took the request back.
    TakenBack,
    /// It was cut off.
    Cut,
}

/// Serves requests until either side is done. `start` makes the future that answers one; all of them are dropped with
/// this one. `lost` is told of each that gets none. `beside` is polled when it was woken: once it is ready no more requests are taken, and those that are under
/// way go on.
pub(crate) async fn serve<IO, F>(
    io: IO,
    bounds: &Bounds,
    beside: impl Future<Output = ()>,
    mut start: impl FnMut(Asked) -> F,
    mut lost: impl FnMut(Read, Lost),
) -> End
where
    IO: AsyncRead + AsyncWrite + Unpin,
    F: Future<Output = Done>,
{
    let mut builder = server::Builder::new();
    builder
        .initial_window_size(STREAM_WINDOW)
        .initial_connection_window_size(connection_window(bounds.streams))
        .max_frame_size(FRAME_MAX)
        .max_concurrent_streams(bounds.streams)
        // Twice what a head may have, so that one which is too large is seen, recorded and told.
        .max_header_list_size(told(&bounds.head))
        .max_send_buffer_size(SEND_BUFFER)
        .data_frame_budget(FRAMES_BUDGET);
    let (gate, watch) = Gate::new(io, bounds.head, bounds.waits.head_timeout, bounds.room.clone());
    let cork = Cork::new(gate);
    let opening = opened(builder.handshake::<_, Bytes>(cork.clone()), &cork);
    let first = bounds.waits.head_timeout.unwrap_or(Duration::MAX);
    let mut conn = match timeout(first, Box::pin(opening)).await {
        Ok(Ok(conn)) => conn,
        Ok(Err(error)) if error.is_library() => return End::Violated,
        Ok(Err(_)) | Err(_) => return End::Unopened,
    };
    let mut streams = FuturesUnordered::new();
    let moved: Rc<Cell<bool>> = Rc::default();
    let (mut bell, mut beside) = (Bell::new(), pin!(beside));
    let (mut leaving, mut answered, mut taken_back) = (false, 0_u64, 0_u64);
    let (mut timer, mut quiet) = (Timer::default(), None);
    poll_fn(|cx| {
        if !leaving && bell.poll(cx, |cx| beside.as_mut().poll(cx)).is_ready() {
            leaving = true;
            conn.graceful_shutdown();
        }
        loop {
            // What streams have to say goes out here, and what came in is handed to them.
            let mut news = false;
            loop {
                match conn.poll_accept(cx) {
                    Poll::Ready(Some(Ok((request, mut respond)))) => {
                        news = true;
                        match watch.take(respond.stream_id().as_u32(), |come| refused(come, leaving, &mut lost)) {
                            Some(come) => {
                                let work = Box::pin(start(asked(come, request.into_body(), respond)));
                                streams.push(Guarded { work, moved: moved.clone() });
                            }
                            None => respond.send_reset(Reason::INTERNAL_ERROR),
                        }
                    }
                    Poll::Ready(Some(Err(error))) if error.is_library() => {
                        let rest = watch.rest();
                        let end = if rest.is_empty() { End::Violated } else { End::Over };
                        rest.into_iter().for_each(|come| lost(come.read, Lost::Violated));
                        return Poll::Ready(end);
                    }
                    Poll::Ready(Some(Err(_)) | None) => return Poll::Ready(End::Over),
                    Poll::Pending => break,
                }
            }
            if let Some(why) = watch.broken() {
                watch.rest().into_iter().for_each(|come| lost(come.read, Lost::Broken));
                conn.abrupt_shutdown(why);
                news = true;
            }
            while let Some(come) = watch.refused() {
                news = true;
                refused(come, leaving, &mut lost);
            }
            while let Poll::Ready(Some(done)) = streams.poll_next_unpin(cx) {
                match done {
                    Done::Answered => answered += 1,
                    Done::TakenBack => taken_back += 1,
                    Done::Cut => {}
                }
            }
            if taken_back > TAKEN_BACK_MAX.max(answered) {
                conn.abrupt_shutdown(Reason::ENHANCE_YOUR_CALM);
                taken_back = 0;
                news = true;
            }
            if !moved.take() && !news {
                break;
            }
            quiet = None;
        }
        if let Poll::Ready(Err(_)) = cork.poll_let_go(cx) {
            return Poll::Ready(End::Over);
        }
        if streams.is_empty()
            && let Some(idle) = bounds.waits.idle_timeout
        {
            let due = *quiet.get_or_insert_with(|| Instant::now() + idle);
            if timer.poll(due, cx).is_ready() {
                if leaving {
                    // What it was answered waits for a window that it does not open.
                    return Poll::Ready(End::Over);
                }
                (leaving, quiet) = (true, None);
                conn.graceful_shutdown();
                cx.waker().wake_by_ref();
            }
        }
        Poll::Pending
    })
    .await
}

/// The protocol has refused a stream.
fn refused(come: Come, leaving: bool, lost: &mut impl FnMut(Read, Lost)) {
    // What comes behind a GOAWAY was not asked of this connection (RFC 9113 section 6.8).
    if !leaving {
        lost(come.read, Lost::TooMany);
    }
}

/// A stream's future: a panic in it ends this one alone. It notes that it went on.
struct Guarded<F> {
    work: Pin<Box<F>>,
    moved: Rc<Cell<bool>>,
}

impl<F: Future<Output = Done>> Future for Guarded<F> {
    type Output = Done;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Done> {
        self.moved.set(true);
        catch_unwind(AssertUnwindSafe(|| self.work.as_mut().poll(cx))).unwrap_or(Poll::Ready(Done::Cut))
    }
}

fn asked(come: Come, stream: h2::RecvStream, respond: SendResponse<Bytes>) -> Asked {
    let Come { read, body, .. } = come;
    let wanted = (body.is_some() && expects_continue(&read.head.headers)).then(Rc::<Cell<bool>>::default);
    let sign = body.as_ref().map(Uploading::sign);
    let body = match body {
        None => Incoming::empty(),
        Some(gate) => {
            let received = Received::request(stream, read.length, gate);
            Incoming::of(Awaited { received, wanted: wanted.clone() })
        }
    };
    Asked { read, body, sign, answering: Answering { respond, wanted } }
}

/// A body whose client may wait to be told to send it.
struct Awaited {
    received: Received,
    /// Set once somebody wants it.
    wanted: Option<Rc<Cell<bool>>>,
}

impl Feed for Awaited {
    fn poll_body(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Broken>>> {
        if let Some(wanted) = self.wanted.take() {
            wanted.set(true);
        }
        self.received.poll_body(cx)
    }

    fn left(&self) -> Option<u64> {
        self.received.left()
    }
}

/// Where one answer goes. Dropped without one, the stream is reset.
pub(crate) struct Answering {
    respond: SendResponse<Bytes>,
    /// Whether the body was asked for that the client holds back (RFC 9110 section 10.1.1).
    wanted: Option<Rc<Cell<bool>>>,
}

impl Answering {
    /// What `work` comes to; `None` once the client has taken its request back.
    pub(crate) async fn unless_taken_back<T>(&mut self, mut work: Pin<&mut impl Future<Output = T>>) -> Option<T> {
        poll_fn(|cx| {
            let polled = work.as_mut().poll(cx);
            if self.wanted.take_if(|wanted| wanted.get()).is_some() && polled.is_pending() {
                let mut go_on = Response::new(());
                *go_on.status_mut() = StatusCode::CONTINUE;
                let _ = self.respond.send_informational(go_on);
            }
            match polled {
                Poll::Ready(done) => Poll::Ready(Some(done)),
                Poll::Pending => self.respond.poll_reset(cx).map(|_| None),
            }
        })
        .await
    }

    /// Sends an answer, and goes on with a request that is still under way behind it.
    pub(crate) async fn send<B>(mut self, answer: Response<B>, asked: &Method) -> Done
    where
        B: Driven + Unpin,
    {
        let (mut parts, mut body) = answer.into_parts();
        head::answered(&mut parts);
        let ends = body.is_end_stream() || *asked == Method::HEAD;
        let Ok(stream) = self.respond.send_response(Response::from_parts(parts, ()), ends) else {
            return Done::TakenBack;
        };
        if !ends {
            let mut sending = Sending::new(stream, body);
            let sent = poll_fn(|cx| {
                let polled = sending.poll(cx);
                if polled.is_pending() {
                    let _ = Pin::new(sending.body()).poll_drive(cx);
                }
                polled
            });
            match sent.await {
                Ok(()) => {}
                Err(Stuck::Body(_)) => return Done::Cut,
                Err(Stuck::Stream) => return Done::TakenBack,
            }
            body = sending.into_body();
        }
        if poll_fn(|cx| Poll::Ready(Pin::new(&mut body).poll_drive(cx))).await.is_pending() {
            let rest = poll_fn(|cx| Pin::new(&mut body).poll_drive(cx));
            let _ = Box::pin(timeout(DRIVE_WAIT, rest)).await;
        }
        Done::Answered
    }
}
