//! What a connection holds of bodies that nobody has read yet, counted against the budget of all held bytes.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::sync::{AcquireError, OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;

use crate::timer::Timer;

/// The budget of held bytes that all connections share.
#[derive(Clone, Debug)]
pub(crate) struct Room {
    /// What is left of it.
    pub(crate) budget: Arc<Semaphore>,
    /// Bytes of one of its permits.
    pub(crate) unit: u64,
}

/// What one connection may hold besides: as much as one of HTTP/1 has in its buffer.
const FREE_BYTES: u64 = 64 * 1024;
/// Room is taken and given back in steps of this size.
const STEP_BYTES: u64 = 64 * 1024;
/// Longest wait for room (contract section 2, `held_total`).
const WAIT: Duration = Duration::from_secs(1);

/// One connection's account.
pub(super) struct Ledger {
    room: Room,
    held: u64,
    leased: Option<OwnedSemaphorePermit>,
    waiting: Option<Waiting>,
    timer: Timer,
}

struct Waiting {
    permits: Pin<Box<dyn Future<Output = Result<OwnedSemaphorePermit, AcquireError>>>>,
    due: Instant,
}

impl Ledger {
    pub(super) fn new(room: Room) -> Self {
        Self { room, held: 0, leased: None, waiting: None, timer: Timer::default() }
    }

    fn leased(&self) -> u64 {
        self.leased.as_ref().map_or(0, |permits| permits.num_permits() as u64).saturating_mul(self.room.unit)
    }

    /// Permits that `more` bytes need beyond those that are here. One piece alone needs none: it has been read.
    fn missing(&self, more: u64) -> u32 {
        let over = match self.held {
            0 => 0,
            held => held.saturating_add(more).saturating_sub(FREE_BYTES.saturating_add(self.leased())),
        };
        let bytes = over.div_ceil(STEP_BYTES).saturating_mul(STEP_BYTES);
        u32::try_from(bytes.div_ceil(self.room.unit.max(1))).unwrap_or(u32::MAX)
    }

    fn lease(&mut self, permits: OwnedSemaphorePermit) {
        match &mut self.leased {
            Some(leased) => leased.merge(permits),
            none => *none = Some(permits),
        }
    }

    /// Room for `more` bytes at once; false if there is none.
    pub(super) fn admit(&mut self, more: u64) -> bool {
        let missing = self.missing(more);
        if missing > 0 {
            let Ok(permits) = self.room.budget.clone().try_acquire_many_owned(missing) else { return false };
            self.lease(permits);
        }
        self.waiting = None;
        self.count(more);
        true
    }

    /// They are held, whether there is room for them or not.
    pub(super) fn count(&mut self, more: u64) {
        self.held = self.held.saturating_add(more);
    }

    /// Waits for room for `more` bytes; false if there was none in time.
    pub(super) fn poll_admit(&mut self, more: u64, cx: &mut Context<'_>) -> Poll<bool> {
        if self.admit(more) {
            return Poll::Ready(true);
        }
        let missing = self.missing(more);
        let waiting = self.waiting.get_or_insert_with(|| Waiting {
            permits: Box::pin(self.room.budget.clone().acquire_many_owned(missing)),
            due: Instant::now() + WAIT,
        });
        let come = waiting.permits.as_mut().poll(cx);
        let late = self.timer.poll(waiting.due, cx).is_ready();
        match come {
            Poll::Ready(Ok(permits)) => {
                self.waiting = None;
                self.lease(permits);
                self.count(more);
                Poll::Ready(true)
            }
            Poll::Pending if !late => Poll::Pending,
            Poll::Ready(Err(_)) | Poll::Pending => {
                self.waiting = None;
                Poll::Ready(false)
            }
        }
    }

    /// So many bytes are held no longer.
    pub(super) fn release(&mut self, bytes: u64) {
        self.held = self.held.saturating_sub(bytes);
        let needed = self.held.saturating_sub(FREE_BYTES);
        if needed == 0 {
            self.leased = None;
            return;
        }
        let spare = self.leased().saturating_sub(needed);
        if spare >= 2 * STEP_BYTES
            && let Some(leased) = &mut self.leased
        {
            let permits = usize::try_from((spare - STEP_BYTES) / self.room.unit.max(1)).unwrap_or(0);
            drop(leased.split(permits));
        }
    }
}
