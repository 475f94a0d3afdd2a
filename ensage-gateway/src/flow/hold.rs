//! Held bytes, counted against `limits.held_total` as long as they live.

use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

use super::identify::Conn;

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
    async fn grow_in_time(&mut self, more: usize) -> bool {
        let Some(missing) = self.count(more) else { return false };
        if missing > 0 {
            let units = timeout(HOLD_WAIT, self.budget.clone().acquire_many_owned(missing));
            let Ok(Ok(units)) = units.await else { return false };
            self.add(units);
        }
        true
    }
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
