//! Finds the end of the log after a restart, and cuts off what a crash has torn.

use std::fs::{self, File};
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::path::Path;

use crate::draft::{Draft, Gap};
use crate::error::{AuditError, OtherVersion};
use crate::folder::{Folder, first_seq, private};
use crate::frame::{At, GENESIS, HEADER_BYTES, Hash, HeaderFault, SegmentReader, chain};
use crate::head::{Keys, Purpose, Signer};

/// Longest file of heads or keys that is read.
const SMALL_FILE_BYTES_MAX: u64 = 16 << 20;

/// Where the log goes on.
pub(super) struct Found {
    pub(super) seq: u64,
    pub(super) hash: Hash,
    pub(super) gaps: Vec<Draft<'static>>,
}

/// Puts the folder in order and tells where the log goes on.
pub(super) fn recover(folder: &Folder, signer: &Signer) -> Result<Found, AuditError> {
    let keys = publish_key(folder, signer).map_err(|source| AuditError::Open { path: folder.keys(), source })?;
    let heads = folder.heads();
    let head = newest_head(&heads, &keys).map_err(|source| AuditError::Open { path: heads, source })?;
    let mut gaps = Vec::new();
    let (seq, hash) = last_record(folder, &keys, &mut gaps)?;
    if head.is_some_and(|signed| signed > seq) {
        gaps.push(Draft::gap(&Gap { cause: "truncated", ..Gap::default() }));
    }
    Ok(Found { seq, hash, gaps })
}

/// Adds our key to `key.pub`, unless it is there: heads of an earlier key stay verifiable.
fn publish_key(folder: &Folder, signer: &Signer) -> io::Result<Keys> {
    let line = signer.public_line();
    let mut text = read_small(&folder.keys())?;
    if !text.lines().any(|known| known == line.trim_end()) {
        text.push_str(&line);
        Folder::replace(&folder.keys(), text.as_bytes())?;
    }
    Ok(Keys::read(&text))
}

/// Cuts a torn line off and returns the seq of the last good head.
fn newest_head(path: &Path, keys: &Keys) -> io::Result<Option<u64>> {
    let text = read_small(path)?;
    let whole = text.rfind('\n').map_or(0, |at| at + 1);
    if whole < text.len() {
        private().write(true).open(path)?.set_len(whole as u64)?;
    }
    let lines = text.get(..whole).unwrap_or_default().lines().rev();
    Ok(lines.filter_map(|line| keys.check(Purpose::Head, line).ok()).map(|head| head.seq).next())
}

fn last_record(folder: &Folder, keys: &Keys, gaps: &mut Vec<Draft<'static>>) -> Result<(u64, Hash), AuditError> {
    let names = folder.segment_names().map_err(|source| AuditError::Open { path: folder.segments(), source })?;
    for name in names.iter().rev() {
        let path = folder.segment(name);
        let open = |source| AuditError::Open { path: path.clone(), source };
        let file = private().read(true).write(true).open(&path).map_err(open)?;
        let tail = Tail::of(&file, name).map_err(open)?;
        if let Some(version) = tail.other_version {
            return Err(OtherVersion { path, version }.into());
        }
        let length = file.metadata().map_err(open)?.len();
        if tail.end < length {
            let torn = length - tail.end;
            set_aside(&file, tail.end, &path).map_err(open)?;
            file.set_len(tail.end).and_then(|()| file.sync_all()).map_err(open)?;
            gaps.push(Draft::gap(&Gap {
                cause: "torn_tail",
                segment: Some(name),
                bytes: Some(torn),
                ..Gap::default()
            }));
        }
        if let Some(last) = tail.last {
            return Ok(last);
        }
        fs::remove_file(&path).map_err(open)?;
    }
    let start = read_small(&folder.start()).map_err(|source| AuditError::Open { path: folder.start(), source })?;
    let start = keys.check(Purpose::Start, start.trim_end_matches('\n')).ok();
    Ok(start.map_or((0, GENESIS), |start| (start.seq, start.hash)))
}

/// The end of one segment.
struct Tail {
    /// The last record that is intact.
    last: Option<(u64, Hash)>,
    /// Where it ends.
    end: u64,
    /// Not the one that is read here.
    other_version: Option<u32>,
}

impl Tail {
    /// Goes through the whole segment: a record that was changed is no torn tail, so what follows it is kept.
    fn of(file: &File, name: &str) -> io::Result<Self> {
        let mut reader = SegmentReader::new(file.try_clone()?);
        let mut tail = Self { last: None, end: 0, other_version: None };
        let mut prev = match reader.header()? {
            Ok(header) => {
                tail.end = HEADER_BYTES;
                header.prev
            }
            Err(HeaderFault::Version(version)) => {
                tail.other_version = Some(version);
                return Ok(tail);
            }
            Err(HeaderFault::Magic | HeaderFault::Short) => GENESIS,
        };
        let mut seq = first_seq(name).unwrap_or(1).saturating_sub(1);
        let mut offset = HEADER_BYTES;
        loop {
            let frame = match reader.at(offset)? {
                At::Frame(frame) => frame,
                At::End => return Ok(tail),
                At::Short | At::Broken => match reader.resync(offset)? {
                    Some((frame, place)) => {
                        (prev, seq) = (frame.head.prev, place.seq.saturating_sub(1));
                        frame
                    }
                    None => return Ok(tail),
                },
            };
            seq += 1;
            if chain(&prev, reader.payload(&frame)?) == frame.head.hash {
                tail = Self { last: Some((seq, frame.head.hash)), end: frame.end, other_version: None };
            } else if let Some(place) = reader.own_place(&frame)? {
                seq = place.seq;
                tail = Self { last: Some((seq, frame.head.hash)), end: frame.end, other_version: None };
            }
            (prev, offset) = (frame.head.hash, frame.end);
        }
    }
}

/// Keeps what is cut off beside the segment: it may be evidence.
fn set_aside(file: &File, from: u64, path: &Path) -> io::Result<()> {
    let mut source = file.try_clone()?;
    source.seek(SeekFrom::Start(from))?;
    let mut aside = private().create(true).append(true).open(path.with_extension("torn"))?;
    io::copy(&mut source, &mut aside)?;
    aside.flush()?;
    aside.sync_all()
}

/// Reads a file that may not be there; what is over the limit is left out.
pub(crate) fn read_small(path: &Path) -> io::Result<String> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(err) if err.kind() == io::ErrorKind::NotFound => return Ok(String::new()),
        Err(err) => return Err(err),
    };
    let mut bytes = Vec::new();
    file.take(SMALL_FILE_BYTES_MAX).read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}
