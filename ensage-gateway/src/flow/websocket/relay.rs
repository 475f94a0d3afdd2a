//! Both directions of one WebSocket, and how it ends.

use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use ensage_policy::Reason;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use tokio::time::{Instant, timeout};

use super::lane::Lane;
use crate::flow::exchange::Exchange;
use crate::flow::tunnel::drain;
use crate::h1::{Lookout, Presence};
use crate::timer::Timer;
use crate::upstream::OriginIo;
use crate::ws::{self, Stop};

/// Status codes of close frames (RFC 6455 section 7.4.1).
const PROTOCOL_ERROR: u16 = 1002;
const POLICY_VIOLATION: u16 = 1008;

/// How long it may take until both streams end once both sides have said the last word.
const LINGER: Duration = Duration::from_secs(10);
/// How long a last word of ours may take.
const LAST_WORD_WAIT: Duration = Duration::from_secs(2);

/// One of the two ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Side {
    Client,
    Upstream,
}

/// Why nothing more is carried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Finish {
    /// Both streams have ended, or were given the time to.
    Over,
    /// That side has left, or broken off.
    Gone(Side),
    /// Its frames are not as they must be.
    Broken(Side, &'static str),
    /// The client sent a placeholder.
    Stray(Reason),
    /// The session is over, or the call may no longer run.
    Stopped,
}

/// Carries frames between a client and its upstream.
pub(super) struct Relay<IO> {
    x: Box<Exchange>,
    client: IO,
    origin: OriginIo,
    up: Lane,
    down: Lane,
    lookout: Lookout,
    /// Which direction has its turn first.
    up_first: bool,
    /// The end of the client's stream was passed on, and that of upstream's.
    up_over: bool,
    down_over: bool,
    /// Until when what is left may take.
    due: Option<Instant>,
    timer: Timer,
}

impl<IO: AsyncRead + AsyncWrite + Unpin> Relay<IO> {
    pub(super) fn new(
        x: Box<Exchange>,
        client: IO,
        origin: OriginIo,
        up: Lane,
        down: Lane,
        presence: impl Fn() -> Presence + 'static,
    ) -> Self {
        Self {
            x,
            client,
            origin,
            up,
            down,
            lookout: Lookout::new(presence),
            up_first: false,
            up_over: false,
            down_over: false,
            due: None,
            timer: Timer::default(),
        }
    }

    /// Carries until there is a reason not to.
    pub(super) async fn run(&mut self) -> Finish {
        poll_fn(|cx| self.poll(cx)).await
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Finish> {
        // By turns: one that never stands still must not keep the other from going on.
        self.up_first = !self.up_first;
        let passed = match self.up_first {
            true => [self.poll_up(cx), self.poll_down(cx)],
            false => [self.poll_down(cx), self.poll_up(cx)],
        };
        for passed in passed {
            if let Poll::Ready(Err(finish)) = passed {
                return Poll::Ready(finish);
            }
        }
        if self.up_over && self.down_over {
            return Poll::Ready(Finish::Over);
        }
        if let Some(due) = self.due
            && self.timer.poll(due, cx).is_ready()
        {
            return Poll::Ready(Finish::Over);
        }
        if self.up.has_ended() || self.up.is_blocked() {
            // The end of its stream has come, or can't be seen.
            return self.lookout.poll(cx).map(|()| Finish::Gone(Side::Client));
        }
        Poll::Pending
    }

    fn poll_up(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Finish>> {
        while !self.up_over {
            if ready!(self.up.poll_send(Pin::new(&mut self.origin), cx)).is_err() {
                // It hears no more. What it has said still comes.
                self.up_over = true;
                self.due.get_or_insert_with(|| Instant::now() + LINGER);
                break;
            }
            if self.up.has_ended() {
                let _ = ready!(Pin::new(&mut self.origin).poll_shutdown(cx));
                self.up_over = true;
                self.lookout.ended();
                break;
            }
            if ready!(self.up.poll_fill(&mut self.client, cx)).is_err() {
                // Whether it has left, or says no more, is not told by how its stream ends.
                self.up.end();
            }
            self.up.take().map_err(|stop| match stop {
                Stop::Broken(broken) => Finish::Broken(Side::Client, broken.0),
                Stop::Refused(reason) => Finish::Stray(reason),
            })?;
            self.passed()?;
        }
        Poll::Ready(Ok(()))
    }

    fn poll_down(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Finish>> {
        while !self.down_over {
            if ready!(self.down.poll_send(Pin::new(&mut self.client), cx)).is_err() {
                return Poll::Ready(Err(Finish::Gone(Side::Client)));
            }
            if self.down.has_ended() {
                self.ended()?;
                let _ = ready!(Pin::new(&mut self.client).poll_shutdown(cx));
                self.down_over = true;
                self.due = Some(Instant::now() + LINGER);
                break;
            }
            if ready!(self.down.poll_fill(&mut self.origin, cx)).is_err() {
                return Poll::Ready(Err(Finish::Gone(Side::Upstream)));
            }
            self.down.take().map_err(|stop| match stop {
                Stop::Broken(broken) => Finish::Broken(Side::Upstream, broken.0),
                Stop::Refused(reason) => Finish::Stray(reason),
            })?;
            self.passed()?;
        }
        Poll::Ready(Ok(()))
    }

    /// Notes what passes, and that it is over before the last word of both sides goes.
    fn passed(&mut self) -> Result<(), Finish> {
        self.x.carried(self.up.passed(), self.down.passed());
        self.x.scrubbed(self.down.scrubbed());
        if self.due.is_none() && self.up.has_closed() && self.down.has_closed() {
            self.due = Some(Instant::now() + LINGER);
            return self.ended();
        }
        Ok(())
    }

    /// Writes that it is over, once.
    fn ended(&mut self) -> Result<(), Finish> {
        let (outcome, reason) = match (self.up.has_closed() || self.down.has_closed(), self.up.has_ended()) {
            (true, _) => ("complete", None),
            (false, true) => ("client_gone", None),
            (false, false) => ("upstream_failed", Some(Reason::UpstreamClosed)),
        };
        // Without its record it does not end in order.
        self.x.close(outcome, reason).map_err(|_| Finish::Gone(Side::Upstream))
    }

    /// Writes how it ended, and tells who may be told.
    pub(super) async fn end(mut self, finish: Finish) {
        let closed = match finish {
            Finish::Over => self.ended().is_ok(),
            Finish::Gone(Side::Client) if !self.has_closed() => self.x.close("client_gone", None).is_ok(),
            Finish::Gone(Side::Upstream) if !self.has_closed() => {
                self.x.close("upstream_failed", Some(Reason::UpstreamClosed)).is_ok()
            }
            Finish::Gone(_) => self.ended().is_ok(),
            Finish::Broken(Side::Client, _) => self.x.close("refused", Some(Reason::MalformedRequest)).is_ok(),
            Finish::Broken(Side::Upstream, _) => {
                self.x.close("upstream_failed", Some(Reason::UpstreamProtocol)).is_ok()
            }
            Finish::Stray(reason) => self.x.close("refused", Some(reason)).is_ok(),
            Finish::Stopped => {
                let outcome = self.x.why_cut();
                self.x.close(outcome, None).is_ok()
            }
        };
        if !closed {
            return;
        }
        let word = match finish {
            Finish::Over => None,
            Finish::Gone(Side::Upstream) if self.has_closed() => None,
            Finish::Gone(_) => return,
            Finish::Broken(_, rule) => Some((PROTOCOL_ERROR, rule)),
            Finish::Stray(reason) => Some((POLICY_VIOLATION, reason.code())),
            Finish::Stopped => Some((POLICY_VIOLATION, self.x.why_cut())),
        };
        self.tell(finish, word).await;
    }

    fn has_closed(&self) -> bool {
        self.up.has_closed() || self.down.has_closed()
    }

    /// The last word, to whom it may be said: nothing can stand within a frame, nor behind a close frame.
    async fn tell(self, finish: Finish, word: Option<(u16, &str)>) {
        let Self { x, mut client, mut origin, mut up, mut down, up_over, down_over, .. } = self;
        drop(x);
        if let (Finish::Broken(..), Some((status, rule))) = (finish, word)
            && up.is_between()
            && !up.has_closed()
            && !up_over
        {
            let mut frame = Vec::new();
            let mut key = [0; 4];
            if aws_lc_rs::rand::fill(&mut key).is_ok() {
                ws::close(&mut frame, Some(key), status, rule);
                up.say(&frame);
                let said = async {
                    poll_fn(|cx| up.poll_send(Pin::new(&mut origin), cx)).await?;
                    origin.shutdown().await
                };
                let _ = timeout(LAST_WORD_WAIT, said).await;
            }
        }
        drop(origin);
        if let Some((status, reason)) = word {
            if !down.is_between() || down_over {
                return;
            }
            let mut frame = Vec::new();
            if !down.has_closed() {
                ws::close(&mut frame, None, status, reason);
            }
            down.say(&frame);
        }
        let said = async {
            poll_fn(|cx| down.poll_send(Pin::new(&mut client), cx)).await?;
            client.shutdown().await
        };
        if matches!(timeout(LAST_WORD_WAIT, said).await, Ok(Ok(()))) {
            // Unread words of the client would take ours away from it.
            drain(&mut client).await;
        }
    }
}
