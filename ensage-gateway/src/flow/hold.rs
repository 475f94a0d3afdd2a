//! Held bytes, counted against `limits.held_total` as long as they live.

use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use ensage_policy::Reason;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

use super::identify::Conn;
use super::reply::Stop;

/// Longest wait for room among all held bytes (contract section 2, `held_total`).
const HOLD_WAIT: Duration = Duration::from_secs(1);
/// What the budget of held bytes is counted in.
pub(crate) const HOLD_UNIT: u64 = 1024;

/// What one holder has of the budget of all held bytes; given back when dropped.
pub(crate) struct Share {
    budget: Arc<Semaphore>,
    bytes: u64,
    units: Option<OwnedSemaphorePermit>,
}

impl Share {
    /// A share of nothing yet.
    pub(crate) fn new(conn: &Conn) -> Self {
        Self::of(conn.shared.held.clone())
    }

    /// The same of this budget.
    pub(crate) const fn of(budget: Arc<Semaphore>) -> Self {
        Self { budget, bytes: 0, units: None }
    }

    /// Counts `more` bytes: the units that they need beyond those that are here, or `None` for more than can be.
    fn count(&mut self, more: usize) -> Option<u32> {
        self.bytes = self.bytes.saturating_add(more as u64);
        let here = self.units.as_ref().map_or(0, OwnedSemaphorePermit::num_permits);
        u32::try_from(self.bytes.div_ceil(HOLD_UNIT).saturating_sub(here as u64)).ok()
    }

    fn add(&mut self, units: OwnedSemaphorePermit) {
        match &mut self.units {
            Some(here) => here.merge(units),
            none => *none = Some(units),
        }
    }

    /// How many of `all` bytes there is no room for yet.
    pub(crate) fn beyond(&self, all: usize) -> usize {
        usize::try_from((all as u64).saturating_sub(self.bytes)).unwrap_or(usize::MAX)
    }

    /// Room for `bytes` in all, at once; false if there is none. What is there already stays.
    pub(crate) fn reach(&mut self, bytes: usize) -> bool {
        let more = (bytes as u64).saturating_sub(self.bytes);
        usize::try_from(more).is_ok_and(|more| self.grow(more))
    }

    /// Nothing is held any more.
    pub(crate) fn empty(&mut self) {
        (self.bytes, self.units) = (0, None);
    }

    /// Room for `more` bytes at once; false if there is none.
    pub(crate) fn grow(&mut self, more: usize) -> bool {
        let Some(missing) = self.count(more) else { return false };
        if missing > 0 {
            let Ok(units) = self.budget.clone().try_acquire_many_owned(missing) else { return false };
            self.add(units);
        }
        true
    }

    /// The same, but room is waited for.
    pub(crate) async fn grow_in_time(&mut self, more: usize) -> bool {
        let Some(missing) = self.count(more) else { return false };
        if missing > 0 {
            let units = timeout(HOLD_WAIT, self.budget.clone().acquire_many_owned(missing));
            let Ok(Ok(units)) = units.await else { return false };
            self.add(units);
        }
        true
    }
}

/// What is told where no room was free in time.
pub(crate) fn no_room() -> Stop {
    Stop::refused(Reason::Overloaded, "too many bytes are held at this moment; try again")
}

/// A request's body while it is judged.
pub(crate) struct Held {
    first: Bytes,
    rest: BytesMut,
    share: Share,
}

impl Held {
    pub(crate) fn new(conn: &Conn) -> Self {
        Self { first: Bytes::new(), rest: BytesMut::new(), share: Share::new(conn) }
    }

    pub(crate) fn len(&self) -> usize {
        self.first.len() + self.rest.len()
    }

    /// Takes `data`; false if there is no room for it. One frame is kept as it came; only the second makes a copy.
    pub(crate) async fn push(&mut self, data: Bytes) -> bool {
        if !self.share.grow_in_time(data.len()).await {
            return false;
        }
        if self.len() == 0 {
            self.first = data;
            return true;
        }
        if self.rest.is_empty() {
            self.rest.extend_from_slice(&self.first);
            self.first = Bytes::new();
        }
        self.rest.extend_from_slice(&data);
        true
    }

    /// The bytes; they count as held until the request has been sent, which is the exchange's business.
    pub(crate) fn bytes(&mut self) -> Bytes {
        if self.rest.is_empty() { std::mem::take(&mut self.first) } else { self.rest.split().freeze() }
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::Instant;

    use super::*;
    use crate::timer::tests::paused;

    #[test]
    fn room_is_waited_for_and_not_for_ever() {
        paused().block_on(async {
            let budget = Arc::new(Semaphore::new(4));
            let (mut first, mut second) = (Share::of(budget.clone()), Share::of(budget.clone()));
            assert!(first.grow_in_time(3 << 10).await);
            let begun = Instant::now();
            let gone = async {
                tokio::time::sleep(HOLD_WAIT / 2).await;
                drop(first);
            };
            let (found, ()) = tokio::join!(second.grow_in_time(2 << 10), gone);
            assert_eq!((found, begun.elapsed()), (true, HOLD_WAIT / 2));
            let begun = Instant::now();
            assert!(!Share::of(budget).grow_in_time(3 << 10).await);
            assert_eq!(begun.elapsed(), HOLD_WAIT);
        });
    }
}
