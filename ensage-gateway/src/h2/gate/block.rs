//! A block of field lines that comes in several frames, or in pieces of one.

use super::frame::{END_HEADERS, END_STREAM, Head, PADDED, PRIORITY, fragment};

/// Frames of one block. The largest head that is told of needs 9 of the size that all peers may send.
const FRAMES_MAX: u32 = 16;

/// What came of a block so far.
pub(super) struct Block {
    pub(super) stream: u32,
    /// Its stream ends with it.
    pub(super) ends: bool,
    pub(super) bytes: Vec<u8>,
    frames: u32,
    /// The frame that is being read.
    frame: Head,
    /// Where in `bytes` that begins.
    from: usize,
}

impl Block {
    /// Begun by this frame.
    pub(super) const fn new(head: Head) -> Self {
        let ends = head.has(END_STREAM);
        Self { stream: head.stream, ends, bytes: Vec::new(), frames: 0, frame: head, from: 0 }
    }

    /// The next frame; false where the block has too many of them, or more than `most` bytes.
    pub(super) fn goes_on(&mut self, head: Head, most: usize) -> bool {
        self.frame = head;
        self.from = self.bytes.len();
        self.frames = self.frames.saturating_add(1);
        self.frames <= FRAMES_MAX && self.from.saturating_add(head.length) <= most
    }

    /// The frame is here: leaves of it what belongs to the block. `None` where its padding is longer than it.
    pub(super) fn strip(&mut self) -> Option<()> {
        let frame = self.bytes.get(self.from..).unwrap_or_default();
        let part = fragment(self.frame, frame)?;
        if part.len() < frame.len() {
            let part = part.to_vec();
            self.bytes.truncate(self.from);
            self.bytes.extend_from_slice(&part);
        }
        Some(())
    }

    /// Whether its last frame is here.
    pub(super) const fn is_whole(&self) -> bool {
        self.frame.has(END_HEADERS)
    }

    /// The frame does not come whole: what of it cannot be told from padding is let go.
    pub(super) fn cut(&mut self) {
        if self.frame.has(PADDED) || self.frame.has(PRIORITY) {
            self.bytes.truncate(self.from);
        }
    }
}
