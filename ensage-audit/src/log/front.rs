//! The front of the log: gives records their place and holds them, framed, until the back takes them. It says where a
//! segment ends, since what records name must stand in the same one.

use std::mem;
use std::time::SystemTime;

use crate::clock::Stamps;
use crate::draft::Draft;
use crate::frame::{FRAME_BYTES, HEADER_BYTES, Hash, PAYLOAD_START, chain, write_head};
use crate::json::push_number;
use crate::log::ADDED_BYTES_MAX;
use crate::shared::{Dictionary, LIKE, Like, NAMES};

/// Records that have a place in the chain and are not in a file yet.
#[derive(Debug)]
pub(super) struct Front {
    seq: u64,
    hash: Hash,
    /// Whole frames, the last one being that of `seq`.
    pending: Vec<u8>,
    stamps: Stamps,
    /// What the segment will have when all that is pending is in it.
    segment_used: u64,
    segment_bytes: u64,
    shared: Dictionary,
}

/// Stands where a frame would: the next one begins a segment.
pub(super) const ROLL: [u8; 4] = [0; 4];

impl Front {
    pub(super) fn new(seq: u64, hash: Hash, segment_bytes: u64) -> Self {
        Self {
            seq,
            hash,
            pending: Vec::new(),
            stamps: Stamps::new(),
            segment_used: HEADER_BYTES,
            segment_bytes,
            shared: Dictionary::new(),
        }
    }

    /// Takes a record: its seq, and how many bytes are pending with it. A shared text that is written in full is
    /// redacted; `rest` was.
    pub(super) fn push(&mut self, draft: &Draft<'_>, now: SystemTime, redact: &dyn Fn(&mut [u8])) -> (u64, usize) {
        if self.segment_used + (draft.bytes() + ADDED_BYTES_MAX) as u64 > self.segment_bytes {
            self.roll();
        }
        self.seq += 1;
        let out = &mut self.pending;
        let start = out.len();
        out.extend_from_slice(&[0; FRAME_BYTES]);
        out.extend_from_slice(PAYLOAD_START);
        push_number(out, self.seq);
        out.extend_from_slice(b",\"time\":\"");
        self.stamps.push(out, now);
        draft.write_lead(out);
        let (severity, rest) = draft.rest.split_at_checked(draft.shares_at).unwrap_or((&draft.rest, &[]));
        out.extend_from_slice(severity);
        let like = match draft.place {
            Some(place) => self.shared.like(place, &draft.shares, rest),
            None => Like::None,
        };
        let named = match like {
            Like::None => None,
            Like::Itself => Some(self.seq),
            Like::Record(seq) => Some(seq),
        };
        if let Some(seq) = named {
            push_member(out, LIKE);
            push_number(out, seq);
        }
        draft.write_exchange(out);
        if let Like::Record(_) = like {
            out.extend_from_slice(b"}\n");
        } else {
            let mut told = rest.len() - 1;
            for (member, (text, name)) in draft.shares.iter().zip(NAMES).enumerate() {
                let Some(text) = text else { continue };
                let from = out.len();
                push_member(out, name);
                told += out.len() - from + text.bytes().len();
                match self.shared.find(member, text) {
                    Some(earlier) => push_number(out, earlier),
                    None => {
                        let from = out.len();
                        out.extend_from_slice(text.bytes());
                        redact(out.get_mut(from..).unwrap_or_default());
                        self.shared.define(member, text, self.seq);
                    }
                }
            }
            out.extend_from_slice(rest);
            if let (Like::Itself, Some(place)) = (like, draft.place) {
                self.shared.tell(place, self.seq, told);
            }
        }
        if let Some((head, payload)) =
            out.get_mut(start..).and_then(|frame| frame.split_first_chunk_mut::<FRAME_BYTES>())
        {
            let prev = self.hash;
            self.hash = chain(&prev, payload);
            write_head(head, payload.len(), &prev, &self.hash);
        }
        self.segment_used += (out.len() - start) as u64;
        (self.seq, out.len())
    }

    /// What comes next begins a segment, unless there is nothing in this one.
    pub(super) fn roll(&mut self) {
        if self.segment_used > HEADER_BYTES {
            self.pending.extend_from_slice(&ROLL);
            self.segment_used = HEADER_BYTES;
            self.shared.clear();
        }
    }

    /// The newest record.
    pub(super) fn last(&self) -> (u64, Hash) {
        (self.seq, self.hash)
    }

    /// Hands all frames over; `into` is empty and its memory is used next.
    pub(super) fn hand_over(&mut self, into: &mut Vec<u8>) {
        mem::swap(&mut self.pending, into);
    }
}

fn push_member(out: &mut Vec<u8>, name: &str) {
    out.extend_from_slice(b",\"");
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b"\":");
}
