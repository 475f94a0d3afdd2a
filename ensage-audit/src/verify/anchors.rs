//! Points of the chain that somebody signed.

use std::collections::BTreeMap;

use crate::frame::Hash;
use crate::head::{Head, Keys, Purpose};
use crate::verify::{Kind, Report, Writer};

/// Most bad lines of one file that are told.
const BAD_LINES_MAX: usize = 100;

/// Signed points by their seq; `next` are those that the walk has not reached.
#[derive(Debug, Default)]
pub(super) struct Anchors {
    next: BTreeMap<u64, Vec<(Hash, String)>>,
}

/// What the signed points say about a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Word {
    /// Nobody signed it.
    Silent,
    /// It is the one that was signed.
    Confirmed,
    /// Another one was signed.
    Denied,
}

impl Anchors {
    /// Reads heads, one a line.
    pub(super) fn read(&mut self, text: &str, name: &str, keys: &Keys, writer: Writer, report: &mut Report) {
        let mut offset = 0u64;
        let mut bad = 0;
        let mut before = 0;
        for line in text.split_inclusive('\n') {
            match (keys.check(Purpose::Head, line.trim_end_matches('\n')), line.ends_with('\n')) {
                (Ok(head), _) => {
                    if head.seq < before {
                        report.add(Kind::Reordered, name, Some(head.seq), Some(offset));
                    }
                    before = head.seq;
                    self.add(&head, name);
                }
                (Err(_), false) => match writer {
                    Writer::Running => {}
                    Writer::Gone => report.add(Kind::Torn, name, None, Some(offset)),
                },
                (Err(_), true) => {
                    bad += 1;
                    if bad <= BAD_LINES_MAX {
                        report.add(Kind::BadSignature, name, None, Some(offset));
                    }
                }
            }
            offset += line.len() as u64;
        }
    }

    pub(super) fn add(&mut self, head: &Head, name: &str) {
        let here = self.next.entry(head.seq).or_default();
        if !here.iter().any(|(hash, _)| *hash == head.hash) {
            here.push((head.hash, name.to_owned()));
        }
    }

    /// The walk begins behind this record: what is signed about older ones can't be checked any more.
    pub(super) fn begin_behind(&mut self, seq: u64) {
        self.next = self.next.split_off(&seq);
    }

    /// The walk has reached a record.
    pub(super) fn reach(&mut self, seq: u64, hash: &Hash) -> Word {
        match self.next.remove(&seq) {
            None => Word::Silent,
            Some(signed) if signed.iter().all(|(signed, _)| signed == hash) => Word::Confirmed,
            Some(_) => Word::Denied,
        }
    }

    /// The newest signed point that is newer than the last record.
    pub(super) fn beyond(&self, seq: u64) -> Option<u64> {
        self.next.keys().next_back().copied().filter(|signed| *signed > seq)
    }
}
