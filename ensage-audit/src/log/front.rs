//! The front of the log: gives records their place and holds them, framed, until the back takes them.

use std::mem;
use std::time::SystemTime;

use crate::clock::Stamps;
use crate::draft::Draft;
use crate::frame::{FRAME_BYTES, Hash, PAYLOAD_START, chain, push_hex, write_head};
use crate::json::push_number;

/// Records that have a place in the chain and are not in a file yet.
#[derive(Debug)]
pub(super) struct Front {
    seq: u64,
    hash: Hash,
    /// Whole frames, the last one being that of `seq`.
    pending: Vec<u8>,
    stamps: Stamps,
}

impl Front {
    pub(super) fn new(seq: u64, hash: Hash) -> Self {
        Self { seq, hash, pending: Vec::new(), stamps: Stamps::new() }
    }

    /// Takes a record: its seq, and how many bytes are pending with it.
    pub(super) fn push(&mut self, draft: &Draft, now: SystemTime) -> (u64, usize) {
        self.seq += 1;
        let out = &mut self.pending;
        let start = out.len();
        out.extend_from_slice(&[0; FRAME_BYTES]);
        out.extend_from_slice(PAYLOAD_START);
        push_number(out, self.seq);
        out.extend_from_slice(b",\"time\":\"");
        self.stamps.push(out, now);
        draft.write_lead(out);
        push_hex(out, &self.hash);
        out.extend_from_slice(&draft.rest);
        if let Some((head, payload)) =
            out.get_mut(start..).and_then(|frame| frame.split_first_chunk_mut::<FRAME_BYTES>())
        {
            self.hash = chain(&self.hash, payload);
            write_head(head, payload.len(), &self.hash);
        }
        (self.seq, out.len())
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
