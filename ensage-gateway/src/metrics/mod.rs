//! Counters: what each worker has seen, in cells that it alone writes. Whoever asks adds them up.
//!
//! A cell is a load and a store, never a locked instruction, and found by an index that a connection keeps: counting
//! costs a request no look-up and no memory. Labels are closed sets and names of the configuration.

mod labels;
mod page;
mod text;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use ensage_policy::Reason;
use rustls::HandshakeKind;

pub(crate) use labels::{CallType, Decision, Leg};
pub(crate) use page::page;

use crate::session::Attribution;

/// A number that one thread writes and any may read.
#[derive(Debug, Default)]
pub(crate) struct Cell(AtomicU64);

impl Cell {
    /// By the one thread whose cell it is.
    pub(crate) fn add(&self, more: u64) {
        self.0.store(self.read().wrapping_add(more), Ordering::Relaxed);
    }

    fn take_off(&self, less: u64) {
        self.0.store(self.read().wrapping_sub(less), Ordering::Relaxed);
    }

    fn read(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// Upper bounds of `call_duration_seconds`: from a cached answer to an inference that thinks for minutes.
const DURATIONS_US: [u64; BUCKETS] = [
    1_000,
    5_000,
    10_000,
    25_000,
    50_000,
    100_000,
    250_000,
    1_000_000,
    5_000_000,
    10_000_000,
    30_000_000,
    60_000_000,
    300_000_000,
];
/// Upper bounds of `overhead_seconds`.
const OVERHEADS_US: [u64; BUCKETS] =
    [25, 50, 100, 200, 400, 800, 1_500, 3_000, 6_000, 12_000, 25_000, 100_000, 1_000_000];
const BUCKETS: usize = 13;

/// Durations by their size: each bucket counts its own, the last those over every bound.
#[derive(Debug, Default)]
struct Histogram {
    buckets: [Cell; BUCKETS + 1],
    sum_ns: Cell,
}

impl Histogram {
    fn observe(&self, bounds_us: &[u64; BUCKETS], took: Duration) {
        let ns = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX);
        let place = bounds_us.iter().position(|bound| ns <= bound * 1_000).unwrap_or(BUCKETS);
        if let Some(bucket) = self.buckets.get(place) {
            bucket.add(1);
        }
        self.sum_ns.add(ns);
    }
}

/// What one worker has seen of one leg.
#[derive(Debug, Default)]
struct LegCells {
    up: Cell,
    down: Cell,
    open: Cell,
    full: Cell,
    resumed: Cell,
    failed: Cell,
}

/// What one worker has seen. Apart from the tables' locks, which a session takes when it begins, nothing waits.
#[derive(Debug, Default)]
#[repr(align(128))]
pub(crate) struct Tally {
    durations: [Histogram; CallType::ALL.len()],
    overheads: [Histogram; CallType::ALL.len()],
    legs: [LegCells; 2],
    enclaves: Mutex<BTreeMap<Arc<str>, Arc<EnclaveTally>>>,
    credentials: Mutex<BTreeMap<Arc<str>, Arc<CredentialTally>>>,
    answering: Cell,
    given: AtomicBool,
}

impl Tally {
    /// A call is over.
    pub(crate) fn call_took(&self, kind: CallType, took: Duration) {
        if let Some(histogram) = self.durations.get(kind as usize) {
            histogram.observe(&DURATIONS_US, took);
        }
    }

    /// A call that was let through has taken so much of the gateway's own time.
    pub(crate) fn overhead(&self, kind: CallType, took: Duration) {
        if let Some(histogram) = self.overheads.get(kind as usize) {
            histogram.observe(&OVERHEADS_US, took);
        }
    }

    /// An answer begins to be made.
    pub(crate) fn answers_begin(&self) {
        self.answering.add(1);
    }

    /// It is out, or never will be.
    pub(crate) fn answers_end(&self) {
        self.answering.take_off(1);
    }

    /// A TLS handshake has come to this; `None` is one that came to nothing.
    pub(crate) fn handshake(&self, leg: Leg, kind: Option<HandshakeKind>) {
        let cells = self.leg(leg);
        match kind {
            Some(HandshakeKind::Full | HandshakeKind::FullWithHelloRetryRequest) => cells.full.add(1),
            Some(HandshakeKind::Resumed) => cells.resumed.add(1),
            _ => cells.failed.add(1),
        }
    }

    fn leg(&self, leg: Leg) -> &LegCells {
        let [client, upstream] = &self.legs;
        match leg {
            Leg::Client => client,
            Leg::Upstream => upstream,
        }
    }

    /// The cells of an enclave, kept by whoever counts there. The name is one of the configuration, or empty for
    /// clients that belong to none.
    pub(crate) fn enclave(&self, name: &Arc<str>) -> Arc<EnclaveTally> {
        let mut all = self.enclaves.lock().unwrap_or_else(PoisonError::into_inner);
        all.entry(name.clone()).or_default().clone()
    }

    /// The cells of a credential of the configuration.
    pub(crate) fn credential(&self, name: &Arc<str>) -> Arc<CredentialTally> {
        let mut all = self.credentials.lock().unwrap_or_else(PoisonError::into_inner);
        all.entry(name.clone()).or_default().clone()
    }
}

/// Reasons, and none.
const REASONS: usize = Reason::ALL.len() + 1;
const CALLS: usize = CallType::ALL.len() * Decision::ALL.len() * REASONS;

/// What one worker has seen of one enclave's calls.
#[derive(Debug)]
pub(crate) struct EnclaveTally {
    /// By type, decision and reason; see [`EnclaveTally::place`].
    calls: Box<[Cell; CALLS]>,
    tokens_up: Cell,
    tokens_down: Cell,
}

impl Default for EnclaveTally {
    fn default() -> Self {
        let calls = Box::new(std::array::from_fn(|_| Cell::default()));
        Self { calls, tokens_up: Cell::default(), tokens_down: Cell::default() }
    }
}

impl EnclaveTally {
    /// A call was decided. An allow has a reason where enforce mode would have denied it.
    pub(crate) fn call(&self, kind: CallType, decision: Decision, reason: Option<Reason>) {
        if let Some(cell) = self.calls.get(Self::place(kind, decision, reason)) {
            cell.add(1);
        }
    }

    /// What a provider says that an answer took.
    pub(crate) fn tokens(&self, up: u64, down: u64) {
        self.tokens_up.add(up);
        self.tokens_down.add(down);
    }

    const fn place(kind: CallType, decision: Decision, reason: Option<Reason>) -> usize {
        let reason = match reason {
            None => 0,
            Some(reason) => reason as usize + 1,
        };
        (kind as usize * Decision::ALL.len() + decision as usize) * REASONS + reason
    }

    fn calls(&self, kind: CallType, decision: Decision, reason: Option<Reason>) -> u64 {
        self.calls.get(Self::place(kind, decision, reason)).map_or(0, Cell::read)
    }
}

/// What one worker has done with one credential.
#[derive(Debug, Default)]
pub(crate) struct CredentialTally {
    /// Requests that its secret was put into.
    pub(crate) substitutions: Cell,
    /// Reflections of secrets of its hosts that were replaced.
    pub(crate) scrubs: Cell,
}

/// Counts the bytes of one connection, and that it is open.
#[derive(Debug)]
pub(crate) struct Meter {
    tally: Arc<Tally>,
    leg: Leg,
}

impl Meter {
    /// For a connection that lives on the worker of `tally`.
    pub(crate) fn new(tally: &Arc<Tally>, leg: Leg) -> Self {
        tally.leg(leg).open.add(1);
        Self { tally: tally.clone(), leg }
    }

    /// Bytes came in.
    pub(crate) fn read(&self, bytes: usize) {
        let cells = self.tally.leg(self.leg);
        match self.leg {
            Leg::Client => cells.up.add(bytes as u64),
            Leg::Upstream => cells.down.add(bytes as u64),
        }
    }

    /// Bytes went out.
    pub(crate) fn written(&self, bytes: usize) {
        let cells = self.tally.leg(self.leg);
        match self.leg {
            Leg::Client => cells.down.add(bytes as u64),
            Leg::Upstream => cells.up.add(bytes as u64),
        }
    }
}

impl Drop for Meter {
    fn drop(&mut self) {
        self.tally.leg(self.leg).open.take_off(1);
    }
}

/// Everything that a gateway counts: its workers' cells, and what is too rare to need any.
#[derive(Debug)]
pub(crate) struct Metrics {
    workers: Vec<Arc<Tally>>,
    alarms: [AtomicU64; Reason::ALL.len()],
    attributions: [AtomicU64; Attribution::ALL.len()],
    reloads_loaded: AtomicU64,
    reloads_rejected: AtomicU64,
    accept_pauses: AtomicU64,
}

impl Metrics {
    /// For a gateway with `workers` workers.
    pub(crate) fn new(workers: usize) -> Self {
        Self {
            workers: (0..workers.max(1)).map(|_| Arc::default()).collect(),
            alarms: std::array::from_fn(|_| AtomicU64::new(0)),
            attributions: std::array::from_fn(|_| AtomicU64::new(0)),
            reloads_loaded: AtomicU64::new(0),
            reloads_rejected: AtomicU64::new(0),
            accept_pauses: AtomicU64::new(0),
        }
    }

    /// The cells of one worker, for its thread alone: two writers would lose what the other counts.
    pub(crate) fn worker(&self, number: usize) -> Arc<Tally> {
        let tally = self.workers.get(number).cloned().unwrap_or_default();
        let given = tally.given.swap(true, Ordering::Relaxed);
        debug_assert!(!given, "the cells of worker {number} have a writer");
        tally
    }

    /// An alarm was raised.
    pub(crate) fn alarm(&self, reason: Reason) {
        count(self.alarms.get(reason as usize));
    }

    /// A client connection was told whose it is by this layer.
    pub(crate) fn attributed(&self, by: Attribution) {
        count(self.attributions.get(by as usize));
    }

    /// How many answers are under way.
    pub(crate) fn answering(&self) -> u64 {
        self.workers.iter().map(|worker| worker.answering.read()).sum()
    }

    /// A reload has put a policy in force.
    pub(crate) fn reloaded(&self) {
        count(Some(&self.reloads_loaded));
    }

    /// A reload was refused.
    pub(crate) fn reload_rejected(&self) {
        count(Some(&self.reloads_rejected));
    }

    /// No connection was accepted for a while.
    pub(crate) fn accept_paused(&self) {
        count(Some(&self.accept_pauses));
    }

    /// Calls let through and refused.
    pub(crate) fn decisions(&self) -> (u64, u64) {
        let enclaves = self.enclaves();
        let all = |decision: Decision| {
            let kinds = enclaves.values().flatten().flat_map(|e| CallType::ALL.map(|kind| (e, kind)));
            kinds.map(|(e, kind)| reasons().map(|reason| e.calls(kind, decision, reason)).sum::<u64>()).sum()
        };
        (all(Decision::Allow), all(Decision::Deny))
    }

    /// Every worker's cells of each enclave.
    fn enclaves(&self) -> BTreeMap<Arc<str>, Vec<Arc<EnclaveTally>>> {
        let mut all: BTreeMap<Arc<str>, Vec<_>> = BTreeMap::new();
        for worker in &self.workers {
            for (name, cells) in &*worker.enclaves.lock().unwrap_or_else(PoisonError::into_inner) {
                all.entry(name.clone()).or_default().push(cells.clone());
            }
        }
        all
    }

    /// The same of each credential.
    fn credentials(&self) -> BTreeMap<Arc<str>, Vec<Arc<CredentialTally>>> {
        let mut all: BTreeMap<Arc<str>, Vec<_>> = BTreeMap::new();
        for worker in &self.workers {
            for (name, cells) in &*worker.credentials.lock().unwrap_or_else(PoisonError::into_inner) {
                all.entry(name.clone()).or_default().push(cells.clone());
            }
        }
        all
    }
}

fn count(cell: Option<&AtomicU64>) {
    if let Some(cell) = cell {
        cell.fetch_add(1, Ordering::Relaxed);
    }
}

/// No reason, and every one.
fn reasons() -> impl Iterator<Item = Option<Reason>> {
    std::iter::once(None).chain(Reason::ALL.iter().copied().map(Some))
}

#[cfg(test)]
mod tests;
