//! The log: takes records, gives each its place in the chain, and tells when it is written and when on disk.
//!
//! ```text
//! append ──▶ front (memory, one short lock) ──▶ back (segments, one writer at a time) ──▶ heads (the keeper, 1/s)
//! ```
//!
//! Lock order: `sync`, then `back`, then `front`. What the front holds is bounded by [`PENDING_BYTES_MAX`].

use std::fs::File;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant, SystemTime};

use crate::draft::{Draft, Gap};
use crate::error::AuditError;
use crate::folder::Folder;
use crate::frame::{RECORD_BYTES_MAX, hex};
use crate::head::Signer;
use crate::log::back::Back;
use crate::log::front::Front;
use crate::log::keeper::Keeper;
pub(crate) use crate::log::recover::read_small;

mod back;
mod front;
mod keeper;
mod recover;
#[cfg(test)]
mod tests;

/// Over this many bytes that are not written yet, `append` writes them itself.
const PENDING_BYTES_MAX: usize = 1 << 20;
/// What the log adds to a draft at most: frame, version, numbers, time, kind, id.
const ADDED_BYTES_MAX: usize = 320;

/// The place of a record in the log, from 1 and without gaps, also over restarts.
pub type Seq = u64;

/// How the log is kept (contract section 2, `[audit]`).
#[derive(Clone, Debug)]
pub struct Options {
    /// A segment closes before it grows over this many bytes; one record may be longer.
    pub segment_bytes: u64,
    /// A segment with records closes at this age.
    pub segment_age: Duration,
    /// Closed segments whose newest record is older are removed; `None` keeps all.
    pub retain: Option<Duration>,
    /// [`Log::written`] waits until the record is on disk.
    pub sync: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            segment_bytes: 64 << 20,
            segment_age: Duration::from_secs(3600),
            retain: Some(Duration::from_secs(90 * 86_400)),
            sync: false,
        }
    }
}

/// What the log is up to (interface section 5, `status.audit`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Status {
    /// The newest record.
    pub seq: Seq,
    /// The newest record that is on disk.
    pub durable_seq: Seq,
    /// Records that are not written yet.
    pub queued: u64,
    /// False from a failed write until one succeeds.
    pub writable: bool,
    /// Chain hash of the newest record, lower-case hex.
    pub head: String,
}

/// The log of one state folder; share it in an `Arc`. Dropping it writes, syncs and signs what is left.
#[derive(Debug)]
pub struct Log {
    shared: Arc<Shared>,
    keeper: Option<JoinHandle<()>>,
}

impl Log {
    /// Opens the log in `dir` (`STATE/audit`), or makes it.
    ///
    /// A torn end of the last segment is cut off, kept beside it as `.torn`, and recorded as a `gap`; then a new
    /// segment begins. `key` signs the heads. Cost: one pass over the last segment.
    ///
    /// # Errors
    /// [`AuditError::AlreadyOpen`] if another log has the folder, [`AuditError::Unsafe`] if others could have changed
    /// it, [`AuditError::Version`] and [`AuditError::Open`] as they say.
    pub fn open(dir: &Path, options: Options, key: &[u8; 32]) -> Result<Self, AuditError> {
        let folder = Folder::at(dir);
        folder.prepare()?;
        let lock = folder.lock()?;
        let signer = Signer::new(key);
        let found = recover::recover(&folder, &signer)?;
        let open = |source| AuditError::Open { path: folder.segments(), source };
        let back = Back::start(folder.clone(), found.seq, found.hash).map_err(open)?;
        let mut front = Front::new(found.seq, found.hash, options.segment_bytes);
        for gap in &found.gaps {
            front.push(gap, SystemTime::now(), &|_| {});
        }
        let shared = Arc::new(Shared {
            folder,
            options,
            signer,
            front: Mutex::new(front),
            back: Mutex::new(back),
            sync: Mutex::default(),
            written: AtomicU64::new(found.seq),
            durable: AtomicU64::new(found.seq),
            writable: AtomicBool::new(true),
            parked: AtomicBool::new(false),
            stop: Mutex::default(),
            wake: Condvar::new(),
            _lock: lock,
        });
        let mut keeper = Keeper::new(shared.clone())?;
        let thread = std::thread::Builder::new().name("ensage-audit".to_owned());
        let keeper = thread.spawn(move || keeper.run()).map_err(AuditError::Thread)?;
        Ok(Self { shared, keeper: Some(keeper) })
    }

    /// Gives the record its place. It is in memory only until [`Log::written`], or 50 ms later.
    ///
    /// # Errors
    /// [`AuditError::Unwritable`] while nothing can be written: then the record is not taken, except where this very
    /// call had to write and failed.
    pub fn append(&self, draft: &Draft<'_>) -> Result<Seq, AuditError> {
        self.place(draft, &|_| {})
    }

    /// The same, but a last look takes out what must not be written down; it overwrites, so the JSON stays JSON.
    ///
    /// # Errors
    /// As [`Log::append`].
    pub fn append_redacted(&self, mut draft: Draft<'_>, redact: impl Fn(&mut [u8])) -> Result<Seq, AuditError> {
        if draft.foreign {
            redact(&mut draft.rest);
        }
        self.place(&draft, &redact)
    }

    fn place(&self, draft: &Draft<'_>, redact: &dyn Fn(&mut [u8])) -> Result<Seq, AuditError> {
        let bytes = draft.bytes() + ADDED_BYTES_MAX;
        if bytes > RECORD_BYTES_MAX {
            return Err(AuditError::RecordTooLarge { bytes, max: RECORD_BYTES_MAX });
        }
        if !self.writable() {
            self.shared.flush()?;
        }
        let (seq, pending) = self.shared.front().push(draft, SystemTime::now(), redact);
        if pending > PENDING_BYTES_MAX {
            self.shared.flush()?;
        }
        if self.shared.parked.load(Ordering::Acquire) && self.shared.parked.swap(false, Ordering::AcqRel) {
            // Through the lock: the keeper is either before its look at the front or already waiting.
            drop(self.shared.stop.lock().unwrap_or_else(PoisonError::into_inner));
            self.shared.wake.notify_one();
        }
        Ok(seq)
    }

    /// Returns when the record outlives a `kill -9` of this process; with [`Options::sync`], when it is on disk.
    ///
    /// Callers that come while another one writes share the next write. Blocks for as long as the disk does.
    ///
    /// # Errors
    /// [`AuditError::Unwritable`]: it is not, and the call that it tells of must not be acknowledged.
    pub fn written(&self, seq: Seq) -> Result<(), AuditError> {
        if self.shared.options.sync {
            return self.durable(seq);
        }
        if self.shared.written.load(Ordering::Acquire) >= seq { Ok(()) } else { self.shared.flush() }
    }

    /// Returns when the record is on disk (fdatasync). Callers that come meanwhile share the next one.
    ///
    /// # Errors
    /// [`AuditError::Unwritable`]
    pub fn durable(&self, seq: Seq) -> Result<(), AuditError> {
        self.shared.durable(seq)
    }

    /// False from a failed write on, until one succeeds; then true again within a second.
    pub fn writable(&self) -> bool {
        self.shared.writable.load(Ordering::Acquire)
    }

    /// Where the log is. Cost: one short lock.
    pub fn status(&self) -> Status {
        let (seq, hash) = self.shared.front().last();
        let written = self.shared.written.load(Ordering::Acquire);
        Status {
            seq,
            durable_seq: self.shared.durable.load(Ordering::Acquire),
            queued: seq.saturating_sub(written),
            writable: self.writable(),
            head: hex(&hash),
        }
    }
}

impl Drop for Log {
    fn drop(&mut self) {
        *self.shared.stop.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.shared.wake.notify_one();
        if let Some(keeper) = self.keeper.take() {
            let _ = keeper.join();
        }
    }
}

/// What callers and the keeper share.
struct Shared {
    folder: Folder,
    options: Options,
    signer: Signer,
    front: Mutex<Front>,
    back: Mutex<Back>,
    /// Held by whoever syncs; the others wait and find their records durable.
    sync: Mutex<()>,
    written: AtomicU64,
    durable: AtomicU64,
    writable: AtomicBool,
    /// The keeper sleeps long; the next record wakes it.
    parked: AtomicBool,
    stop: Mutex<bool>,
    wake: Condvar,
    _lock: File,
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shared").field("folder", &self.folder).finish_non_exhaustive()
    }
}

impl Shared {
    fn front(&self) -> MutexGuard<'_, Front> {
        self.front.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn back(&self) -> MutexGuard<'_, Back> {
        self.back.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes all that is pending. After a failure, at most one attempt each second is made, here too.
    fn flush(&self) -> Result<(), AuditError> {
        let mut back = self.back();
        if let Some(failure) = back.failure_mut() {
            if !failure.is_due(Instant::now()) {
                return Err(AuditError::Unwritable(failure.error()));
            }
            // One gap for each outage, behind what could not be written and before what comes after.
            if let Some(since) = failure.tell_once() {
                let gap = Gap { cause: "write_failed", since: Some(since.as_str()), ..Gap::default() };
                self.front().push(&Draft::gap(&gap), SystemTime::now(), &|_| {});
            }
        }
        let done = back.drain(&self.front);
        self.settle(&mut back, done)
    }

    /// Closes the segment if it has records and is old enough.
    fn roll_if_old(&self) -> Result<(), AuditError> {
        let mut back = self.back();
        if back.failure_mut().is_some() || !back.is_older_than(self.options.segment_age) {
            return Ok(());
        }
        // It may have ended by its size already, and then the one that follows is new.
        let done = back.drain(&self.front);
        self.settle(&mut back, done)?;
        if !back.is_older_than(self.options.segment_age) {
            return Ok(());
        }
        self.front().roll();
        let done = back.drain(&self.front);
        self.settle(&mut back, done)
    }

    fn durable(&self, seq: Seq) -> Result<(), AuditError> {
        if self.durable.load(Ordering::Acquire) >= seq {
            return Ok(());
        }
        let _turn = self.sync.lock().unwrap_or_else(PoisonError::into_inner);
        if self.durable.load(Ordering::Acquire) >= seq {
            return Ok(());
        }
        self.flush()?;
        // Outside the lock of the back: others go on writing while the disk works.
        let point = self.back().sync_point();
        let done = point.disk.sync_data();
        let mut back = self.back();
        let done = back.note_sync(&point, done);
        self.settle(&mut back, done)
    }

    /// Publishes what became of an attempt to write.
    fn settle(&self, back: &mut Back, done: std::io::Result<()>) -> Result<(), AuditError> {
        self.written.store(back.seq(), Ordering::Release);
        self.durable.fetch_max(back.synced_seq(), Ordering::AcqRel);
        match done {
            Ok(()) => {
                back.recovered();
                self.writable.store(true, Ordering::Release);
                Ok(())
            }
            Err(source) => {
                self.writable.store(false, Ordering::Release);
                back.failed(&source);
                Err(AuditError::Unwritable(source))
            }
        }
    }

    /// A failure outside the segments (the heads) stops the log like one inside.
    fn fail(&self, source: std::io::Error) -> AuditError {
        let mut back = self.back();
        self.settle(&mut back, Err(source)).err().unwrap_or_else(|| AuditError::Unwritable(std::io::Error::other("")))
    }
}
