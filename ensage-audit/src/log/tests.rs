use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::sync::atomic::{AtomicU64, Ordering};

/// Makes the file of a segment fail.
#[derive(Debug)]
pub(super) struct Faults {
    /// Bytes that can still be written; the write that meets the limit is a partial one, as on a full disk.
    pub(super) room: AtomicU64,
    /// Syncs that will still fail.
    pub(super) bad_syncs: AtomicU64,
    /// Half-written frames that will still not be cut off.
    pub(super) bad_cuts: AtomicU64,
}

impl Default for Faults {
    fn default() -> Self {
        Self { room: AtomicU64::new(u64::MAX), bad_syncs: AtomicU64::new(0), bad_cuts: AtomicU64::new(0) }
    }
}

impl Faults {
    pub(super) fn write(&self, file: &File, bytes: &[u8], offset: u64) -> io::Result<()> {
        let room = self.room.load(Ordering::SeqCst);
        if room == u64::MAX {
            return Ok(());
        }
        if (bytes.len() as u64) <= room {
            self.room.store(room - bytes.len() as u64, Ordering::SeqCst);
            return Ok(());
        }
        file.write_all_at(&bytes[..room as usize], offset)?;
        self.room.store(0, Ordering::SeqCst);
        Err(io::Error::from_raw_os_error(rustix::io::Errno::NOSPC.raw_os_error()))
    }

    pub(super) fn sync(&self) -> io::Result<()> {
        fails(&self.bad_syncs)
    }

    pub(super) fn cut(&self) -> io::Result<()> {
        fails(&self.bad_cuts)
    }
}

fn fails(left: &AtomicU64) -> io::Result<()> {
    match left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |n| n.checked_sub(1)) {
        Ok(_) => Err(io::Error::from_raw_os_error(rustix::io::Errno::IO.raw_os_error())),
        Err(_) => Ok(()),
    }
}

mod alike;
mod crash;
mod disk;
mod faults;
mod order;
mod share;
mod version;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::Value;

use super::*;
use crate::event::AdminEvent;
use crate::read::{Found, Records};

const KEY: [u8; 32] = [7; 32];

/// A log in a folder of its own.
struct Rig {
    temp: tempfile::TempDir,
}

impl Rig {
    fn new() -> Self {
        Self { temp: tempfile::tempdir().unwrap() }
    }

    fn dir(&self) -> PathBuf {
        self.temp.path().join("audit")
    }

    fn open(&self) -> Log {
        self.open_with(Options::default())
    }

    fn open_with(&self, options: Options) -> Log {
        Log::open(&self.dir(), options, &KEY).unwrap()
    }

    fn records(&self) -> Vec<Value> {
        records(&self.dir())
    }

    fn segments(&self) -> Vec<String> {
        Folder::at(&self.dir()).segment_names().unwrap()
    }
}

fn records(dir: &Path) -> Vec<Value> {
    let mut records = Records::open(dir).unwrap();
    let mut all = Vec::new();
    while let Some(found) = records.next().unwrap() {
        match found {
            Found::Record(record) => all.push(serde_json::from_str(record.line).unwrap()),
            Found::Damage { segment, offset } => panic!("damage in {segment} at {offset}"),
        }
    }
    all
}

fn note(text: &str) -> Draft<'static> {
    Draft::admin("info", &AdminEvent { event: "note", target: Some(text), ..AdminEvent::default() })
}

/// The targets of the notes, or the kind and cause of what is no note.
fn texts(records: &[Value]) -> Vec<String> {
    let text = |r: &Value| match r["target"].as_str() {
        Some(target) => target.to_owned(),
        None => format!("{}:{}", r["kind"].as_str().unwrap(), r["cause"].as_str().unwrap_or_default()),
    };
    records.iter().map(text).collect()
}

fn faults(log: &Log) -> Arc<Faults> {
    log.shared.back().sync_point().disk.faults.clone()
}

/// Waits for a condition, at most ten seconds.
fn wait_for(what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(10);
    while !condition() {
        assert!(Instant::now() < deadline, "no {what} in time");
        std::thread::park_timeout(Duration::from_millis(1));
    }
}

/// Every record must carry the hash of the one before, and the next number.
fn assert_chained(records: &[Value]) {
    for (i, record) in records.iter().enumerate() {
        assert_eq!(record["seq"], i as u64 + 1, "{record}");
        assert_eq!(record["v"], 1);
        assert_eq!(record["prev"].as_str().unwrap().len(), 64);
    }
}
