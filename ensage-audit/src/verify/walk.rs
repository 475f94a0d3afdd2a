//! Walks over the records of all segments with what the next one must be, and names what it is instead.

use std::io::{self, Read, Seek};

use crate::folder::first_seq;
use crate::frame::{At, Frame, GENESIS, HEADER_BYTES, Hash, PAYLOAD_START, Place as Stated, SegmentReader, chain, hex};
use crate::head::Head;
use crate::verify::anchors::{Anchors, Word};
use crate::verify::{Kind, Newest, PROBLEMS_MAX, Report, Writer};

/// Whether a segment may still be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    Closed,
    Last,
}

/// Records that were skipped and may still turn up elsewhere.
#[derive(Clone, Debug)]
struct Absent {
    from: u64,
    to: u64,
    segment: String,
    offset: u64,
}

/// What is known of the record before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Before {
    /// Its hash is the one that was written.
    Sure,
    /// It was reported; its stored hash may be wrong too.
    Reported,
}

pub(super) struct Walk<'r> {
    report: &'r mut Report,
    anchors: Anchors,
    start: Option<Head>,
    /// Set by the first segment.
    begun: bool,
    expected: u64,
    prev: Hash,
    before: Before,
    absent: Vec<Absent>,
    /// A signed point has denied the chain: all further ones will.
    denied: bool,
    last_segment: String,
    last_end: u64,
}

impl<'r> Walk<'r> {
    pub(super) fn new(report: &'r mut Report, mut anchors: Anchors, start: Option<&Head>) -> Self {
        if let Some(start) = start {
            anchors.add(start, "start");
        }
        Self {
            report,
            anchors,
            start: start.cloned(),
            begun: false,
            expected: 1,
            prev: GENESIS,
            before: Before::Sure,
            absent: Vec::new(),
            denied: false,
            last_segment: String::new(),
            last_end: 0,
        }
    }

    pub(super) fn segment<R: Read + Seek>(
        &mut self,
        name: &str,
        source: R,
        place: Place,
        writer: Writer,
    ) -> io::Result<()> {
        let mut reader = SegmentReader::new(source);
        name.clone_into(&mut self.last_segment);
        self.last_end = 0;
        self.header(name, &mut reader, place, writer)?;
        self.report.segments += 1;
        let mut offset = HEADER_BYTES;
        loop {
            let frame = match reader.at(offset)? {
                At::End => break,
                At::Frame(frame) => frame,
                fault @ (At::Short | At::Broken) => match reader.resync(offset)? {
                    Some((frame, _)) => {
                        self.edited(name, offset);
                        frame
                    }
                    None if reader.rest_is_record(offset)? => {
                        self.edited(name, offset);
                        return Ok(());
                    }
                    None => {
                        self.broken_end(name, offset, fault, place, writer);
                        return Ok(());
                    }
                },
            };
            offset = self.frame(name, &mut reader, &frame)?;
            self.last_end = offset;
        }
        Ok(())
    }

    /// Tells what never turned up and what was signed and is not there.
    pub(super) fn finish(mut self) {
        if !self.begun {
            self.begin(1, GENESIS);
        }
        for absent in std::mem::take(&mut self.absent) {
            self.report.add(Kind::Missing, &absent.segment, Some(absent.from), Some(absent.offset));
        }
        let last = self.expected.saturating_sub(1);
        if self.anchors.beyond(last).is_some() {
            self.report.problems.retain(|p| p.kind != Kind::Torn || p.segment.as_deref() == Some("heads"));
            self.report.add(Kind::Truncated, &self.last_segment, Some(last + 1), Some(self.last_end));
        }
    }

    /// The chain starts at 1, or where `retain` has signed that it does.
    fn begin(&mut self, first: u64, prev: Hash) {
        self.begun = true;
        self.report.first_seq = first;
        self.expected = first;
        let removed = first.saturating_sub(1);
        if first == 1 {
            self.prev = GENESIS;
        } else if let Some(start) = self.start.as_ref().filter(|start| start.seq >= removed) {
            // Its own hash counts, so that a changed header shows. Older segments that a crash has left are
            // checked when the walk comes to the signed point.
            self.prev = if start.seq == removed { start.hash } else { prev };
        } else {
            self.prev = prev;
            let segment = self.last_segment.clone();
            self.report.add(Kind::Missing, &segment, Some(1), Some(0));
        }
        self.anchors.begin_behind(removed);
        self.reached(removed, self.prev, 0);
    }

    fn header<R: Read + Seek>(
        &mut self,
        name: &str,
        reader: &mut SegmentReader<R>,
        place: Place,
        writer: Writer,
    ) -> io::Result<()> {
        let named = first_seq(name).unwrap_or(1);
        let header = reader.header()?;
        if !self.begun {
            self.begin(named, header.map_or(GENESIS, |header| header.prev));
        }
        let Ok(header) = header else {
            let empty = matches!(reader.at(HEADER_BYTES)?, At::End);
            match (place, writer) {
                (Place::Last, Writer::Running) if empty => {}
                (Place::Last, Writer::Gone) if empty => self.report.add(Kind::Torn, name, Some(self.expected), Some(0)),
                (Place::Last | Place::Closed, _) => self.report.add(Kind::Edited, name, Some(named), Some(0)),
            }
            return Ok(());
        };
        if header.first_seq != named {
            let stated = match reader.at(HEADER_BYTES)? {
                At::Frame(frame) => reader.own_place(&frame)?.map(|stated| stated.seq),
                At::End | At::Short | At::Broken => None,
            };
            let kind = if stated == Some(header.first_seq) { Kind::Reordered } else { Kind::Edited };
            self.report.add(kind, name, Some(named), Some(0));
        } else if named > self.expected {
            self.skip_to(named, name, 0);
            self.prev = header.prev;
        } else if header.prev != self.prev && named == self.expected && self.before == Before::Sure {
            self.report.add(Kind::Edited, name, Some(named), Some(0));
        }
        Ok(())
    }

    /// Judges one frame; returns where the next one begins.
    fn frame<R: Read + Seek>(&mut self, name: &str, reader: &mut SegmentReader<R>, frame: &Frame) -> io::Result<u64> {
        self.report.records += 1;
        let (expected, prev) = (self.expected, self.prev);
        let payload = reader.payload(frame)?;
        let stated = Stated::of(payload);
        let follows = chain(&prev, payload) == frame.head.hash;
        if let Some(stated) = &stated
            && follows
            && stated.seq == expected
            && frame.head.prev == prev
        {
            self.accept(stated, frame);
            return Ok(frame.end);
        }
        let own = stated.filter(|_| chain(&frame.head.prev, payload) == frame.head.hash);
        match own {
            Some(stated) if stated.seq < expected => {
                self.reordered(&stated, name, frame.offset);
                return Ok(frame.end);
            }
            Some(stated) if !follows => {
                if stated.seq > expected {
                    self.skip_to(stated.seq, name, frame.offset);
                } else if self.before == Before::Sure {
                    // It names another record before it than the one that is there.
                    self.report.add(Kind::Edited, name, Some(expected.saturating_sub(1)), Some(frame.offset));
                }
                self.accept(&stated, frame);
                return Ok(frame.end);
            }
            Some(_) | None => {}
        }
        self.edited(name, frame.offset);
        self.prev = frame.head.hash;
        // A changed length leads nowhere: then the next record is looked for.
        let next = match reader.at(frame.end)? {
            At::End => return Ok(frame.end),
            At::Frame(next) => reader.payload(&next)?.starts_with(PAYLOAD_START).then_some(frame.end),
            At::Short | At::Broken => None,
        };
        match next {
            Some(next) => Ok(next),
            None => Ok(reader.resync(frame.offset)?.map_or(frame.end, |(found, _)| found.offset)),
        }
    }

    fn accept(&mut self, stated: &Stated, frame: &Frame) {
        self.before = Before::Sure;
        self.prev = frame.head.hash;
        self.expected = stated.seq.saturating_add(1);
        self.reached(stated.seq, frame.head.hash, frame.offset);
        self.report.head = Some(Newest { seq: stated.seq, hash: hex(&frame.head.hash), time: stated.time.clone() });
    }

    /// Compares with what was signed; the first difference tells it all.
    fn reached(&mut self, seq: u64, hash: Hash, offset: u64) {
        if self.anchors.reach(seq, &hash) == Word::Denied && !self.denied {
            self.denied = true;
            let segment = self.last_segment.clone();
            self.report.add(Kind::Edited, &segment, Some(seq), Some(offset));
        }
    }

    fn edited(&mut self, name: &str, offset: u64) {
        self.report.add(Kind::Edited, name, Some(self.expected), Some(offset));
        self.expected = self.expected.saturating_add(1);
        self.before = Before::Reported;
    }

    fn skip_to(&mut self, seq: u64, name: &str, offset: u64) {
        if self.absent.len() < PROBLEMS_MAX {
            self.absent.push(Absent { from: self.expected, to: seq - 1, segment: name.to_owned(), offset });
        }
        self.expected = seq;
    }

    /// A record that should have come before: it is not missing after all, or it is there twice.
    fn reordered(&mut self, stated: &Stated, name: &str, offset: u64) {
        let seq = stated.seq;
        self.report.add(Kind::Reordered, name, Some(seq), Some(offset));
        let Some(at) = self.absent.iter().position(|a| (a.from..=a.to).contains(&seq)) else { return };
        let whole = self.absent.swap_remove(at);
        let parts = [Absent { to: seq.saturating_sub(1), ..whole.clone() }, Absent { from: seq + 1, ..whole }];
        self.absent.extend(parts.into_iter().filter(|part| part.from <= part.to));
    }

    fn broken_end(&mut self, name: &str, offset: u64, fault: At, place: Place, writer: Writer) {
        self.last_end = offset;
        match (place, fault) {
            (Place::Last, _) if writer == Writer::Running => {}
            (Place::Last, _) => self.report.add(Kind::Torn, name, Some(self.expected), Some(offset)),
            (Place::Closed, At::Short) => {
                self.report.add(Kind::Truncated, name, Some(self.expected), Some(offset));
            }
            (Place::Closed, At::Broken | At::End | At::Frame(_)) => self.edited(name, offset),
        }
    }
}
