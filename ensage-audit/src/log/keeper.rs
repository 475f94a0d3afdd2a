//! The log's own thread: writes what nobody waits for, signs heads, closes old segments, removes very old ones.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use crate::clock::Stamp;
use crate::error::AuditError;
use crate::folder::{Folder, private};
use crate::frame::{At, HEADER_BYTES, Hash, Header, Place, SegmentReader};
use crate::head::Purpose;
use crate::log::Shared;

/// How long a record that nobody waits for stays in memory at most.
const TICK: Duration = Duration::from_millis(50);
/// How often a head is signed, and how long the thread sleeps when nothing is written.
const SECOND: Duration = Duration::from_secs(1);
/// How often old segments are looked for.
const RETAIN_EVERY: Duration = Duration::from_secs(30);
/// Over this size the file of heads is cut to its last lines. Each head stands for all before it.
const HEADS_BYTES_MAX: u64 = 1 << 20;
const HEADS_KEPT: usize = 512;

pub(super) struct Keeper {
    shared: Arc<Shared>,
    heads: File,
    heads_bytes: u64,
    /// The newest record that a head stands for.
    signed: u64,
    signed_at: Instant,
    retained_at: Instant,
}

impl Keeper {
    /// Writes what recovery found and signs the first head.
    pub(super) fn new(shared: Arc<Shared>) -> Result<Self, AuditError> {
        let path = shared.folder.heads();
        let open = |source| AuditError::Open { path: path.clone(), source };
        let heads = private().create(true).append(true).open(&path).map_err(open)?;
        let heads_bytes = heads.metadata().map_err(open)?.len();
        let now = Instant::now();
        let mut keeper = Self { shared, heads, heads_bytes, signed: 0, signed_at: now, retained_at: now };
        keeper.shared.flush()?;
        keeper.sign()?;
        keeper.retain()?;
        Ok(keeper)
    }

    /// Until the log is dropped; then a last time.
    pub(super) fn run(&mut self) {
        loop {
            let idle = self.shared.written.load(Ordering::Acquire) == self.signed;
            if self.sleep(if idle { SECOND } else { TICK }) {
                break;
            }
            // A failure is kept by the log, which tells every caller; the next tick tries again.
            let _ = self.tick();
        }
        let _ = self.shared.flush().and_then(|()| self.sign());
    }

    /// Returns true if the log is being dropped.
    fn sleep(&self, span: Duration) -> bool {
        let stop = self.shared.stop.lock().unwrap_or_else(PoisonError::into_inner);
        if *stop {
            return true;
        }
        // Set under the lock that the waking takes: a record that comes in between only costs a tick.
        self.shared.parked.store(span > TICK, Ordering::Release);
        let queued = self.shared.front().last().0 > self.shared.written.load(Ordering::Acquire);
        let span = if queued { TICK } else { span };
        let (stop, _) = self.shared.wake.wait_timeout(stop, span).unwrap_or_else(PoisonError::into_inner);
        *stop
    }

    fn tick(&mut self) -> Result<(), AuditError> {
        // Also while nothing can be written: it makes room.
        if self.retained_at.elapsed() >= RETAIN_EVERY {
            self.retain()?;
        }
        self.shared.flush()?;
        if self.signed_at.elapsed() >= SECOND && self.shared.written.load(Ordering::Acquire) > self.signed {
            self.sign()?;
        }
        self.shared.roll_if_old()
    }

    /// Signs the newest record that is on disk: a head never promises what a crash can take.
    fn sign(&mut self) -> Result<(), AuditError> {
        let (seq, hash) = {
            let back = self.shared.back();
            (back.seq(), back.hash())
        };
        self.shared.durable(seq)?;
        self.write_head(seq, &hash).map_err(|err| self.shared.fail(err))?;
        self.signed = seq;
        self.signed_at = Instant::now();
        Ok(())
    }

    fn write_head(&mut self, seq: u64, hash: &Hash) -> io::Result<()> {
        let line = self.shared.signer.line(Purpose::Head, seq, hash, SystemTime::now());
        if let Err(err) = self.heads.write_all(line.as_bytes()) {
            self.heads.set_len(self.heads_bytes)?;
            return Err(err);
        }
        self.heads_bytes += line.len() as u64;
        if self.heads_bytes <= HEADS_BYTES_MAX {
            return Ok(());
        }
        let path = self.shared.folder.heads();
        let text = super::recover::read_small(&path)?;
        let lines: Vec<&str> = text.split_inclusive('\n').collect();
        let kept = lines.get(lines.len().saturating_sub(HEADS_KEPT)..).unwrap_or_default().concat();
        Folder::replace(&path, kept.as_bytes())?;
        self.heads = private().append(true).open(&path)?;
        self.heads_bytes = kept.len() as u64;
        Ok(())
    }

    /// Removes closed segments whose newest record is too old, once it is signed where the chain then starts.
    fn retain(&mut self) -> Result<(), AuditError> {
        self.retained_at = Instant::now();
        let Some(oldest) = self.shared.options.retain.and_then(|span| SystemTime::now().checked_sub(span)) else {
            return Ok(());
        };
        self.remove_before(&Stamp::of(oldest)).map_err(|err| self.shared.fail(err))
    }

    fn remove_before(&self, oldest: &Stamp) -> io::Result<()> {
        let folder = &self.shared.folder;
        let active = self.shared.back().active_name().to_owned();
        let names = folder.segment_names()?;
        let mut old = Vec::new();
        let mut start = None;
        for pair in names.windows(2) {
            let [name, next] = pair else { break };
            let (header, first) = first_of(folder, next)?;
            // The next segment's first record is not older than this one's last; without one, the file's time is.
            let newest = match first {
                Some(time) => time,
                None => Stamp::of(fs::metadata(folder.segment(name))?.modified()?).to_string(),
            };
            if *name >= active || newest.as_str() >= oldest.as_str() {
                break;
            }
            start = header;
            old.push(name);
        }
        let Some(header) = start else { return Ok(()) };
        let seq = header.first_seq.saturating_sub(1);
        let line = self.shared.signer.line(Purpose::Start, seq, &header.prev, SystemTime::now());
        Folder::replace(&folder.start(), line.as_bytes())?;
        for name in old {
            fs::remove_file(folder.segment(name))?;
        }
        Folder::sync_names(&folder.segments())
    }
}

/// Header of a segment and time of its first record.
fn first_of(folder: &Folder, name: &str) -> io::Result<(Option<Header>, Option<String>)> {
    let mut reader = SegmentReader::new(File::open(folder.segment(name))?);
    let header = reader.header()?.ok();
    let first = match reader.at(HEADER_BYTES)? {
        At::Frame(frame) => Place::of(reader.payload(&frame)?).map(|place| place.time),
        At::End | At::Short | At::Broken => None,
    };
    Ok((header, first))
}
