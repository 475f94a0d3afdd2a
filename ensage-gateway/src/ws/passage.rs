//! Frames that go on as they came, their payload shown.

use super::frame::mask;
use super::reader::{Broken, Reader, Rules, Step};

/// A part of a payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shown {
    /// Of a message; the next part of that, or of the next message, goes on with it.
    Data,
    /// Of a control frame.
    Control,
}

/// Why no more may go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stop<R> {
    /// The frames are not as they must be.
    Broken(Broken),
    /// Whoever was shown a part refused it.
    Refused(R),
}

/// Whether a frame is held back until all of it was shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Hold {
    Frames,
    Nothing,
}

/// One direction whose bytes are not changed.
#[derive(Clone, Debug)]
pub struct Passage {
    reader: Reader,
    hold: Hold,
    /// So many of the first bytes at hand were read already, and wait for the end of their frame.
    read: usize,
}

/// What is unmasked at once.
const PIECE_BYTES: usize = 4096;

impl Passage {
    /// No frame goes before all of it was shown.
    pub const fn holding(rules: Rules) -> Self {
        Self { reader: Reader::new(rules), hold: Hold::Frames, read: 0 }
    }

    /// What has come goes.
    pub const fn open() -> Self {
        Self { reader: Reader::new(Rules::Lenient), hold: Hold::Nothing, read: 0 }
    }

    /// Where it stands.
    pub const fn reader(&self) -> &Reader {
        &self.reader
    }

    /// Reads on in `bytes`, which begin with the first one that may not go yet; says how many may. Each part of a payload
    /// is shown once, unmasked; where nothing is held, nothing is shown.
    ///
    /// # Errors
    /// [`Stop`]: nothing from here on may go.
    pub fn read<R>(
        &mut self,
        bytes: &[u8],
        mut show: impl FnMut(Shown, &[u8]) -> Result<(), R>,
    ) -> Result<usize, Stop<R>> {
        let mut free = 0;
        loop {
            let rest = bytes.get(self.read..).unwrap_or_default();
            match self.reader.step(rest).map_err(Stop::Broken)? {
                Step::More => break,
                Step::Head(_, taken) => self.read = self.read.saturating_add(taken),
                Step::Payload(_, taken, _) if self.hold == Hold::Nothing => {
                    self.read = self.read.saturating_add(taken);
                }
                Step::Payload(header, taken, at) => {
                    let what = if header.opcode.is_control() { Shown::Control } else { Shown::Data };
                    let part = rest.get(..taken).unwrap_or_default();
                    shown(part, header.mask, at, |piece| show(what, piece)).map_err(Stop::Refused)?;
                    self.read = self.read.saturating_add(taken);
                }
            }
            if self.hold == Hold::Nothing || self.reader.is_between() {
                free = self.read;
            }
        }
        self.read = self.read.saturating_sub(free);
        Ok(free)
    }

    /// Lets a frame go in parts: so many bytes were shown of one that is too long to be held.
    pub fn let_go(&mut self) -> usize {
        std::mem::take(&mut self.read)
    }
}

/// Shows a part in the clear, and keeps it as it is.
fn shown<R>(part: &[u8], key: Option<[u8; 4]>, at: u64, mut show: impl FnMut(&[u8]) -> Result<(), R>) -> Result<(), R> {
    let Some(key) = key else { return show(part) };
    let mut clear = [0; PIECE_BYTES];
    let mut at = at;
    for piece in part.chunks(PIECE_BYTES) {
        let clear = clear.get_mut(..piece.len()).unwrap_or_default();
        clear.copy_from_slice(piece);
        mask(clear, key, at);
        show(clear)?;
        at = at.saturating_add(piece.len() as u64);
    }
    Ok(())
}
