//! Reads the stored records in order, of a live log, a closed one or a copy, without any lock.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, Read, Seek};
use std::path::Path;
use std::time::{Duration, SystemTime};

use serde_json::value::RawValue;

use crate::clock::Stamp;
use crate::error::{OtherVersion, ReadError};
use crate::folder::Folder;
use crate::frame::{At, Frame, HEADER_BYTES, Hash, Lead, PAYLOAD_START, Place, SegmentReader, hex};
use crate::shared::{Defined, LIKE, NAMES, WHOLE};

/// How far the clock may have been set back between two records for a query by time still to find all of them.
pub(crate) const CLOCK_SLACK: Duration = Duration::from_secs(3600);

/// What comes next in a log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Found<'a> {
    /// A record.
    Record(Record<'a>),
    /// Bytes that are no record; reading goes on behind them. `verify` tells more.
    Damage {
        /// The segment's file name.
        segment: &'a str,
        /// Where in it.
        offset: u64,
    },
}

/// A stored record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Record<'a> {
    /// The segment's file name.
    pub segment: &'a str,
    /// Where in it.
    pub offset: u64,
    /// The JSON object in full, without its line feed.
    pub line: &'a str,
}

/// The records of a log. At the end [`Records::next`] returns `None`, and more once there are more.
///
/// Memory: one buffer and the record that is lent, each at most the longest record, and 512 KiB of texts that records
/// have in common. Payloads are not checked against the chain; that is `verify`.
#[derive(Debug)]
pub struct Records {
    folder: Folder,
    /// Segments that come next.
    names: VecDeque<String>,
    open: Option<Open>,
}

#[derive(Debug)]
struct Open {
    name: String,
    reader: SegmentReader<File>,
    offset: u64,
    defined: Defined,
    /// The record that was lent last.
    text: String,
    /// A newer segment is known and this one was at its end before that was looked for.
    closed: Closed,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Closed {
    Unknown,
    Sure,
}

/// What lies at a place, without borrowing it.
enum Step {
    Record(Frame),
    Damage(u64),
    End,
}

impl Records {
    /// All records of the log in `dir` (`STATE/audit`); none if there is no log.
    ///
    /// # Errors
    /// What the file system says.
    pub fn open(dir: &Path) -> io::Result<Self> {
        Self::since(dir, None)
    }

    /// Leaves out whole segments that are older than `since`; records of the first one that is read may be older.
    ///
    /// # Errors
    /// What the file system says.
    pub fn since(dir: &Path, since: Option<SystemTime>) -> io::Result<Self> {
        let folder = Folder::at(dir);
        let mut names = VecDeque::from(names(&folder)?);
        if let Some(oldest) = since.and_then(|t| t.checked_sub(CLOCK_SLACK)).map(Stamp::of) {
            // From the newest backwards, so that a long history costs nothing.
            let mut keep = names.len();
            while keep > 0 {
                keep -= 1;
                let Some(name) = names.get(keep) else { break };
                if first_time(&folder, name)?.is_some_and(|first| first.as_str() < oldest.as_str()) {
                    break;
                }
            }
            names.drain(..keep);
        }
        Ok(Self { folder, names, open: None })
    }

    /// A second reader that begins where this one is.
    ///
    /// # Errors
    /// What the file system says.
    pub fn fork(&self) -> io::Result<Self> {
        let open = match &self.open {
            Some(Open { name, offset, defined, .. }) => {
                Some(Open { defined: defined.clone(), ..Open::new(&self.folder, name, *offset)? })
            }
            None => None,
        };
        Ok(Self { folder: self.folder.clone(), names: self.names.clone(), open })
    }

    /// The next record, or `None` for as long as there is none.
    ///
    /// # Errors
    /// What the file system says; a segment of another version, behind which reading goes on.
    #[expect(clippy::should_implement_trait, reason = "it lends its buffer, which an iterator can't")]
    pub fn next(&mut self) -> Result<Option<Found<'_>>, ReadError> {
        let step = loop {
            if self.open.is_none() && !self.open_next()? {
                return Ok(None);
            }
            let Some(open) = &mut self.open else { return Ok(None) };
            match open.step()? {
                Step::End => {}
                step => break step,
            }
            if open.closed == Closed::Sure {
                self.open = None;
            } else if self.has_newer()? {
                // What was written between the look at the end and the look for a newer segment is read first.
                if let Some(open) = &mut self.open {
                    open.closed = Closed::Sure;
                }
            } else {
                return Ok(None);
            }
        };
        let Some(open) = &mut self.open else { return Ok(None) };
        let segment = open.name.as_str();
        Ok(match step {
            Step::Record(frame) => open.reader.buffered(&frame).and_then(line).map(|stored| {
                let line = in_full(stored, &frame.head.prev, &mut open.defined, &mut open.text);
                Found::Record(Record { segment, offset: frame.offset, line })
            }),
            Step::Damage(offset) => Some(Found::Damage { segment, offset }),
            Step::End => None,
        })
    }

    fn open_next(&mut self) -> Result<bool, ReadError> {
        if self.names.is_empty() {
            return Ok(false);
        }
        while let Some(name) = self.names.pop_front() {
            match Open::new(&self.folder, &name, HEADER_BYTES) {
                Ok(mut open) => {
                    if let Some(version) = open.reader.other_version()? {
                        return Err(OtherVersion { path: self.folder.segment(&name), version }.into());
                    }
                    self.open = Some(open);
                    return Ok(true);
                }
                // Removed by `retain` since it was listed.
                Err(err) if err.kind() == io::ErrorKind::NotFound => {}
                Err(err) => return Err(err.into()),
            }
        }
        Ok(false)
    }

    fn has_newer(&mut self) -> io::Result<bool> {
        if self.names.is_empty()
            && let Some(open) = &self.open
        {
            let newer = names(&self.folder)?.into_iter().filter(|name| *name > open.name);
            self.names = newer.collect();
        }
        Ok(!self.names.is_empty())
    }
}

impl Open {
    fn new(folder: &Folder, name: &str, offset: u64) -> io::Result<Self> {
        let reader = SegmentReader::new(File::open(folder.segment(name))?);
        let (defined, text) = (Defined::default(), String::new());
        Ok(Self { name: name.to_owned(), reader, offset, defined, text, closed: Closed::Unknown })
    }

    fn step(&mut self) -> io::Result<Step> {
        let step = step(&mut self.reader, self.offset)?;
        match step {
            (Step::End, _) if self.closed == Closed::Sure => {
                // A closed segment that ends within a record.
                if let At::Short | At::Broken = self.reader.at(self.offset)? {
                    let offset = self.offset;
                    self.offset = u64::MAX;
                    return Ok(Step::Damage(offset));
                }
                Ok(Step::End)
            }
            (step, next) => {
                self.offset = next;
                Ok(step)
            }
        }
    }
}

/// What lies at `offset`, and where to go on. A torn end is an end: in a live log it is a record on its way.
fn step<R: Read + Seek>(reader: &mut SegmentReader<R>, offset: u64) -> io::Result<(Step, u64)> {
    match reader.at(offset)? {
        At::Frame(frame) => {
            if line(reader.payload(&frame)?).is_some() {
                return Ok((Step::Record(frame), frame.end));
            }
        }
        At::End => return Ok((Step::End, offset)),
        At::Short | At::Broken => {}
    }
    Ok(match reader.resync(offset)? {
        Some((frame, _)) => (Step::Damage(offset), frame.offset),
        None => (Step::End, offset),
    })
}

/// The line of a payload, if it is one.
fn line(payload: &[u8]) -> Option<&str> {
    let text = std::str::from_utf8(payload.strip_suffix(b"\n")?).ok()?;
    (payload.starts_with(PAYLOAD_START) && !text.contains('\n')).then_some(text)
}

/// The record of a stored line, put together in `text`: with its `prev`, and with what it has in common with others in
/// full. What no record before it defines is left out: that record was damaged.
fn in_full<'t>(stored: &'t str, prev: &Hash, defined: &mut Defined, text: &'t mut String) -> &'t str {
    let Some(lead) = Lead::of(stored) else { return stored };
    text.clear();
    for part in [lead.text, ",\"prev\":\"", &hex(prev), "\"", lead.severity] {
        text.push_str(part);
    }
    let mut rest = lead.rest;
    if lead.kind != "call" {
        text.push_str(rest);
        return text;
    }
    let like = member(&mut rest, LIKE, 0).and_then(|(seq, _)| seq);
    if let Some((derived, shown)) = member(&mut rest, "exchange", b'"') {
        text.push_str(",\"exchange\":");
        match derived {
            None => text.push_str(shown),
            Some(_) => push_exchange(text, lead.id),
        }
    }
    if let Some(known) = like.filter(|seq| *seq != lead.seq) {
        text.push_str(defined.get(WHOLE, known).unwrap_or("}"));
        return text;
    }
    let told = text.len();
    for (index, name) in NAMES.iter().enumerate() {
        let Some((seq, shown)) = member(&mut rest, name, b'{') else { continue };
        let shown = match seq {
            None => {
                defined.define(index, shown, lead.seq);
                Some(shown)
            }
            Some(seq) => defined.get(index, seq),
        };
        if let Some(shown) = shown {
            for part in [",\"", name, "\":", shown] {
                text.push_str(part);
            }
        }
    }
    text.push_str(rest);
    if like.is_some() {
        defined.define(WHOLE, text.get(told..).unwrap_or_default(), lead.seq);
    }
    text
}

/// The exchange of a call that does not spell it: its id but for the last bit.
fn push_exchange(text: &mut String, id: &str) {
    let (most, last) = id.split_at_checked(id.len().saturating_sub(1)).unwrap_or((id, ""));
    let last = u32::from_str_radix(last, 16).ok().and_then(|digit| char::from_digit(digit ^ 1, 16));
    text.push('"');
    text.push_str(most);
    text.extend(last);
    text.push('"');
}

/// Takes the member `name` off what a text begins with: its value, which begins with the byte `full`, or the number that
/// stands for one.
fn member<'a>(rest: &mut &'a str, name: &str, full: u8) -> Option<(Option<u64>, &'a str)> {
    let value = rest.strip_prefix(",\"")?.strip_prefix(name)?.strip_prefix("\":")?;
    let mut values = serde_json::Deserializer::from_str(value).into_iter::<&RawValue>();
    let shown = values.next()?.ok()?.get();
    let seq = if shown.as_bytes().first() == Some(&full) { None } else { Some(shown.parse().ok()?) };
    *rest = value.get(shown.len()..)?;
    Some((seq, shown))
}

fn names(folder: &Folder) -> io::Result<Vec<String>> {
    match folder.segment_names() {
        Err(err) if err.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        other => other,
    }
}

fn first_time(folder: &Folder, name: &str) -> io::Result<Option<String>> {
    let file = match File::open(folder.segment(name)) {
        Ok(file) => file,
        Err(err) if err.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(err) => return Err(err),
    };
    let mut reader = SegmentReader::new(file);
    Ok(match reader.at(HEADER_BYTES)? {
        At::Frame(frame) => Place::of(reader.payload(&frame)?).map(|place| place.time),
        At::End | At::Short | At::Broken => None,
    })
}

/// Goes through the bytes of one segment, puts each record together, and counts records and damages: what a fuzzer
/// drives.
///
/// # Errors
/// What the source says.
pub fn scan<R: Read + Seek>(source: R) -> io::Result<(u64, u64)> {
    let mut reader = SegmentReader::new(source);
    let (mut defined, mut text) = (Defined::default(), String::new());
    let (mut records, mut damages, mut offset) = (0, 0, HEADER_BYTES);
    loop {
        let (found, next) = step(&mut reader, offset)?;
        match found {
            Step::Record(frame) => {
                if let Some(stored) = reader.buffered(&frame).and_then(line) {
                    let shown = in_full(stored, &frame.head.prev, &mut defined, &mut text);
                    debug_assert!(!shown.contains('\n'), "a record is one line");
                }
                records += 1;
            }
            Step::Damage(_) => damages += 1,
            Step::End => return Ok((records, damages)),
        }
        debug_assert!(next > offset, "reading must go on");
        offset = next;
    }
}

#[cfg(test)]
mod tests;
