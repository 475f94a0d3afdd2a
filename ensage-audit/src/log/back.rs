//! The back of the log: writes frames into segments, and stays whole when a write or a sync fails.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileExt as _;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use crate::clock::Stamp;
use crate::folder::{Folder, private, segment_name};
use crate::frame::{At, FRAME_BYTES, HEADER_BYTES, Hash, Head, Header, SegmentReader, chain, write_head};
use crate::log::front::{Front, ROLL};

/// How long after a failed attempt the next one is made.
const RETRY: Duration = Duration::from_secs(1);

/// The file of a segment. Tests make it fail.
#[derive(Debug)]
pub(super) struct Disk {
    file: File,
    #[cfg(test)]
    pub(super) faults: Arc<super::tests::Faults>,
}

impl Disk {
    fn write(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        #[cfg(test)]
        self.faults.write(&self.file, bytes, offset)?;
        self.file.write_all_at(bytes, offset)
    }

    /// Takes away what is behind the first `bytes`.
    fn cut(&self, bytes: u64) -> io::Result<()> {
        #[cfg(test)]
        self.faults.cut()?;
        self.file.set_len(bytes)
    }

    pub(super) fn sync_data(&self) -> io::Result<()> {
        #[cfg(test)]
        self.faults.sync()?;
        self.file.sync_data()
    }
}

/// The segment that is being written. `HEADER_BYTES <= synced_bytes <= bytes`; whole frames lie before both.
#[derive(Debug)]
struct Active {
    name: String,
    disk: Arc<Disk>,
    bytes: u64,
    opened: Instant,
    synced_bytes: u64,
    synced_hash: Hash,
}

/// Where an fdatasync that is under way will have brought the log.
pub(super) struct SyncPoint {
    pub(super) disk: Arc<Disk>,
    seq: u64,
    bytes: u64,
    hash: Hash,
}

/// What is known about a log that can't be written.
#[derive(Debug)]
pub(super) struct Failure {
    code: Option<i32>,
    kind: io::ErrorKind,
    since: SystemTime,
    last_try: Instant,
    told: Told,
}

#[derive(Debug, PartialEq, Eq)]
enum Told {
    NotYet,
    Done,
}

impl Failure {
    /// True if it may be tried again; counts as that attempt.
    pub(super) fn is_due(&mut self, now: Instant) -> bool {
        let due = now.saturating_duration_since(self.last_try) >= RETRY;
        if due {
            self.last_try = now;
        }
        due
    }

    pub(super) fn error(&self) -> io::Error {
        self.code.map_or_else(|| self.kind.into(), io::Error::from_raw_os_error)
    }

    /// When it began, the first time that somebody asks.
    pub(super) fn tell_once(&mut self) -> Option<Stamp> {
        let first = self.told == Told::NotYet;
        self.told = Told::Done;
        first.then(|| Stamp::of(self.since))
    }
}

/// Writes the segments.
#[derive(Debug)]
pub(super) struct Back {
    folder: Folder,
    active: Active,
    /// Frames taken from the front; those before `queue_at` are in the file.
    queue: Vec<u8>,
    queue_at: usize,
    /// The newest record in a file.
    seq: u64,
    hash: Hash,
    synced_seq: u64,
    failure: Option<Failure>,
    /// What has to be put right in the active file before anything is written.
    ragged: Ragged,
}

#[derive(Debug, PartialEq, Eq)]
enum Ragged {
    Whole,
    /// Part of a frame may lie behind the last whole one.
    Tail,
    /// A sync failed: the kernel may have dropped what was written since the last one, and won't say so again.
    Unsynced,
}

impl Back {
    /// Begins a segment behind the record `seq`.
    pub(super) fn start(folder: Folder, seq: u64, hash: Hash) -> io::Result<Self> {
        let active = Active::create(
            &folder,
            seq,
            hash,
            #[cfg(test)]
            Arc::default(),
        )?;
        Ok(Self {
            folder,
            active,
            queue: Vec::new(),
            queue_at: 0,
            seq,
            hash,
            synced_seq: seq,
            failure: None,
            ragged: Ragged::Whole,
        })
    }

    pub(super) fn seq(&self) -> u64 {
        self.seq
    }

    pub(super) fn hash(&self) -> Hash {
        self.hash
    }

    pub(super) fn synced_seq(&self) -> u64 {
        self.synced_seq
    }

    pub(super) fn active_name(&self) -> &str {
        &self.active.name
    }

    pub(super) fn failure_mut(&mut self) -> Option<&mut Failure> {
        self.failure.as_mut()
    }

    pub(super) fn is_older_than(&self, age: Duration) -> bool {
        self.active.bytes > HEADER_BYTES && self.active.opened.elapsed() >= age
    }

    /// Writes what is left of the last attempt, then what the front holds.
    pub(super) fn drain(&mut self, front: &Mutex<Front>) -> io::Result<()> {
        self.heal()?;
        self.write_queue()?;
        front.lock().unwrap_or_else(PoisonError::into_inner).hand_over(&mut self.queue);
        self.write_queue()
    }

    /// Closes the segment and begins the next one.
    fn roll(&mut self) -> io::Result<()> {
        let next = Active::create(
            &self.folder,
            self.seq,
            self.hash,
            #[cfg(test)]
            self.active.disk.faults.clone(),
        )?;
        if let Err(err) = self.active.disk.sync_data() {
            self.ragged = Ragged::Unsynced;
            return Err(err);
        }
        self.synced_seq = self.seq;
        self.active = next;
        Ok(())
    }

    pub(super) fn sync_point(&self) -> SyncPoint {
        let Active { disk, bytes, .. } = &self.active;
        SyncPoint { disk: disk.clone(), seq: self.seq, bytes: *bytes, hash: self.hash }
    }

    /// Takes the outcome of a sync over. One of a segment that was closed meanwhile was synced when it closed.
    pub(super) fn note_sync(&mut self, point: &SyncPoint, done: io::Result<()>) -> io::Result<()> {
        let current = Arc::ptr_eq(&point.disk, &self.active.disk);
        match done {
            Ok(()) => {
                self.synced_seq = self.synced_seq.max(point.seq);
                if current {
                    self.active.synced_bytes = point.bytes;
                    self.active.synced_hash = point.hash;
                }
                // Another caller's write may have failed meanwhile, and then the log stays stopped.
                self.failure.as_ref().map_or(Ok(()), |failure| Err(failure.error()))
            }
            Err(err) => {
                if current {
                    self.ragged = Ragged::Unsynced;
                }
                Err(err)
            }
        }
    }

    pub(super) fn recovered(&mut self) {
        self.failure = None;
    }

    pub(super) fn failed(&mut self, err: &io::Error) {
        let now = Instant::now();
        let (code, kind) = (err.raw_os_error(), err.kind());
        match &mut self.failure {
            Some(failure) => (failure.code, failure.kind) = (code, kind),
            None => {
                let since = SystemTime::now();
                self.failure = Some(Failure { code, kind, since, last_try: now, told: Told::NotYet });
            }
        }
    }

    fn write_queue(&mut self) -> io::Result<()> {
        while let Some(rest) = self.queue.get(self.queue_at..).filter(|rest| !rest.is_empty()) {
            if rest.starts_with(&ROLL) {
                self.roll()?;
                self.queue_at += ROLL.len();
                continue;
            }
            let cut = Cut::of(rest);
            let Some(chunk) = rest.get(..cut.bytes).filter(|_| cut.records > 0) else {
                return Err(io::ErrorKind::InvalidData.into());
            };
            if let Err(err) = self.active.disk.write(chunk, self.active.bytes) {
                self.ragged = Ragged::Tail;
                // At once, so that readers and a crash find whole frames; `heal` does it if this fails too.
                if self.active.disk.cut(self.active.bytes).is_ok() {
                    self.ragged = Ragged::Whole;
                }
                return Err(err);
            }
            self.active.bytes += cut.bytes as u64;
            self.queue_at += cut.bytes;
            self.seq += cut.records;
            self.hash = cut.hash;
        }
        self.queue.clear();
        self.queue_at = 0;
        Ok(())
    }

    fn heal(&mut self) -> io::Result<()> {
        match self.ragged {
            Ragged::Whole => return Ok(()),
            Ragged::Tail => self.active.disk.cut(self.active.bytes)?,
            Ragged::Unsynced => {
                // What a write left half done is behind it, if that could not be cut off either.
                self.active.disk.cut(self.active.bytes)?;
                self.active.rewrite_unsynced(&self.hash)?;
                self.synced_seq = self.seq;
            }
        }
        self.ragged = Ragged::Whole;
        Ok(())
    }
}

impl Active {
    fn create(
        folder: &Folder,
        seq: u64,
        hash: Hash,
        #[cfg(test)] faults: Arc<super::tests::Faults>,
    ) -> io::Result<Self> {
        let name = segment_name(seq + 1);
        let path = folder.segment(&name);
        // A left-over of an attempt that failed has no record. Anything else was put there by somebody.
        match fs::symlink_metadata(&path) {
            Ok(meta) if meta.len() <= HEADER_BYTES => fs::remove_file(&path)?,
            Ok(_) => fs::rename(&path, path.with_extension("torn"))?,
            Err(err) if err.kind() == io::ErrorKind::NotFound => {}
            Err(err) => return Err(err),
        }
        let file = private().create_new(true).read(true).write(true).open(&path)?;
        let disk = Arc::new(Disk {
            file,
            #[cfg(test)]
            faults,
        });
        disk.write(&Header { first_seq: seq + 1, prev: hash }.encode(), 0)?;
        Folder::sync_names(&folder.segments())?;
        Ok(Self {
            name,
            disk,
            bytes: HEADER_BYTES,
            opened: Instant::now(),
            synced_bytes: HEADER_BYTES,
            synced_hash: hash,
        })
    }

    /// Writes again what a failed sync may have lost, if it can still be read as it was written.
    fn rewrite_unsynced(&mut self, last: &Hash) -> io::Result<()> {
        let mut reader = SegmentReader::new(self.disk.file.try_clone()?);
        let (mut offset, mut hash) = (self.synced_bytes, self.synced_hash);
        while offset < self.bytes {
            let At::Frame(frame) = reader.at(offset)? else { return Err(io::ErrorKind::InvalidData.into()) };
            let payload = reader.payload(&frame)?;
            if chain(&hash, payload) != frame.head.hash {
                return Err(io::ErrorKind::InvalidData.into());
            }
            let mut head = [0; FRAME_BYTES];
            write_head(&mut head, payload.len(), &hash, &frame.head.hash);
            self.disk.write(&[&head, payload].concat(), offset)?;
            (offset, hash) = (frame.end, frame.head.hash);
        }
        if hash != *last {
            return Err(io::ErrorKind::InvalidData.into());
        }
        self.disk.sync_data()?;
        (self.synced_bytes, self.synced_hash) = (self.bytes, hash);
        Ok(())
    }
}

/// A run of whole frames, up to where a segment ends.
struct Cut {
    bytes: usize,
    records: u64,
    hash: Hash,
}

impl Cut {
    fn of(queue: &[u8]) -> Self {
        let mut cut = Self { bytes: 0, records: 0, hash: [0; 32] };
        while let Some(head) = queue.get(cut.bytes..).and_then(<[u8]>::first_chunk).and_then(Head::of)
            && head.payload_bytes > 0
        {
            cut =
                Self { bytes: cut.bytes + FRAME_BYTES + head.payload_bytes, records: cut.records + 1, hash: head.hash };
        }
        cut
    }
}
