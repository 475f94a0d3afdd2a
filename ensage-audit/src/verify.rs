//! Is the log what was written? The chain, the signed heads, and a copy of the heads from elsewhere.
//!
//! The chain shows a record that was changed, taken out, or put elsewhere. The signed heads show a chain that was
//! cut off or computed anew by somebody without the key. Against somebody with the key only a copy of `heads` that
//! was kept elsewhere helps: give it as `head_file`.

use std::fs::File;
use std::io;
use std::path::Path;

use serde::Serialize;

use crate::error::{OtherVersion, ReadError};
use crate::folder::Folder;
use crate::frame::SegmentReader;
use crate::head::{Keys, Purpose};
use crate::log::read_small;
use crate::verify::anchors::Anchors;
use crate::verify::walk::Walk;

mod anchors;
mod walk;

/// Most problems that a report lists.
const PROBLEMS_MAX: usize = 1000;
/// How often it begins again when `retain` removes a segment under it.
const ATTEMPTS_MAX: u32 = 5;

/// Whether somebody still writes what is read: then its end is on its way, not torn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Writer {
    Running,
    Gone,
}

/// What `audit verify` tells (interface section 5).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Report {
    /// True if nothing is wrong.
    pub ok: bool,
    /// Records that were read.
    pub records: u64,
    /// Segments that were read.
    pub segments: u64,
    /// Where the chain starts: 1, or later if `retain` has removed what was before.
    pub first_seq: u64,
    /// The newest record.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub head: Option<Newest>,
    /// What is wrong, at most 1000 of it.
    pub problems: Vec<Problem>,
}

/// The newest record of a log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Newest {
    /// Its number.
    pub seq: u64,
    /// Its chain hash, lower-case hex.
    pub hash: String,
    /// Its time.
    pub time: String,
}

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Problem {
    /// What.
    pub kind: Kind,
    /// The file: a segment's name, `heads`, `start`, or the name of the given copy.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub segment: Option<String>,
    /// The first record that it is about.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub record: Option<u64>,
    /// Where in the file.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub offset: Option<u64>,
}

/// What can be wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// A record, or the head of a segment, is not what was written.
    Edited,
    /// Records, segments or heads are not there.
    Missing,
    /// A record or segment is not in its place.
    Reordered,
    /// The end is not there: a signed head is newer than the last record.
    Truncated,
    /// The last write was not finished; the next start of the gateway cuts it off and records that.
    Torn,
    /// A head that none of the keys in `key.pub` has signed.
    BadSignature,
}

impl Report {
    fn add(&mut self, kind: Kind, segment: &str, record: Option<u64>, offset: Option<u64>) {
        if self.problems.len() < PROBLEMS_MAX {
            self.problems.push(Problem { kind, segment: Some(segment.to_owned()), record, offset });
        }
    }
}

/// Checks the log in `dir` (`STATE/audit`), live or copied; `head_file` is a copy of `heads` kept elsewhere.
///
/// What a live log has not written to the end is no problem. Where a folder is copied while the gateway runs, `heads`
/// is to be copied before `segments`. Memory: the heads and one record.
///
/// # Errors
/// What the file system says, and a segment of another version; a log that is not there is an empty one.
pub fn verify(dir: &Path, head_file: Option<&Path>) -> Result<Report, ReadError> {
    let folder = Folder::at(dir);
    let mut attempt = 1;
    loop {
        match attempt_at(&folder, head_file) {
            Err(ReadError::Io(err)) if err.kind() == io::ErrorKind::NotFound && attempt < ATTEMPTS_MAX => attempt += 1,
            other => return other,
        }
    }
}

fn attempt_at(folder: &Folder, head_file: Option<&Path>) -> Result<Report, ReadError> {
    let writer = if folder.is_live() { Writer::Running } else { Writer::Gone };
    let mut report = Report::default();
    let keys = Keys::read(&read_small(&folder.keys())?);
    // The heads before the segments, so that a live log does not outrun its records here; the start after them, so
    // that `retain` does not outrun its anchor.
    let mut anchors = Anchors::default();
    let heads = read_small(&folder.heads())?;
    anchors.read(&heads, "heads", &keys, writer, &mut report);
    if let Some(path) = head_file {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        // A copy that is not there is a mistake of the caller, not an empty one.
        File::open(path)?;
        // It may have been made in the middle of a write.
        anchors.read(&read_small(path)?, &name, &keys, Writer::Running, &mut report);
    }
    let names = match folder.segment_names() {
        Err(err) if err.kind() == io::ErrorKind::NotFound => Vec::new(),
        other => other?,
    };
    if heads.is_empty() && !names.is_empty() {
        report.add(Kind::Missing, "heads", None, None);
    }
    let start = read_small(&folder.start())?;
    let start = match keys.check(Purpose::Start, start.trim_end_matches('\n')) {
        Ok(head) => Some(head),
        Err(_) if start.is_empty() => None,
        Err(_) => {
            report.add(Kind::BadSignature, "start", None, Some(0));
            None
        }
    };
    let mut walk = Walk::new(&mut report, anchors, start.as_ref());
    for (i, name) in names.iter().enumerate() {
        let path = folder.segment(name);
        let file = File::open(&path)?;
        if let Some(version) = SegmentReader::new(&file).other_version()? {
            return Err(OtherVersion { path, version }.into());
        }
        let last = i + 1 == names.len();
        walk.segment(name, file, if last { walk::Place::Last } else { walk::Place::Closed }, writer)?;
    }
    walk.finish();
    report.problems.sort_by_key(|problem| (problem.record.is_none(), problem.record));
    report.ok = report.problems.is_empty();
    Ok(report)
}

#[cfg(test)]
mod tests;
