//! One message, in pieces: read, changed where it must be, every other byte as it was sent.

use super::edit::View;
use super::facts::Received;
use super::plan::{Plan, Turn};
use super::{Ask, FilterError, Item, Policy, want};
use crate::json::{ScanLimits, Scanner};

#[derive(Debug)]
pub(super) struct Rewriter {
    scanner: Scanner,
    pub(super) plan: Plan,
    /// Bytes from `base` on: those that may still change.
    held: Vec<u8>,
    base: u64,
}

/// What is taken in one go, so that no more than this is held beside what must be.
const PIECE_BYTES: usize = 16 << 10;

impl Rewriter {
    /// For one message that may come after this request; at most `limit` bytes of it wait at a time.
    pub(super) fn new(ask: &Ask, limit: usize) -> Self {
        Self {
            scanner: Scanner::new(want::root(&ask.method), ScanLimits::default()),
            plan: Plan::new(ask, limit),
            held: Vec::new(),
            base: 0,
        }
    }

    /// How many bytes are held.
    pub(super) fn held(&self) -> usize {
        self.held.len()
    }

    /// How long the message is so far.
    pub(super) const fn offset(&self) -> u64 {
        self.scanner.offset()
    }

    /// Takes the next bytes and appends those that can go on.
    pub(super) fn feed<F: FnMut(&Item<'_>) -> bool>(
        &mut self,
        bytes: &[u8],
        policy: &mut Policy<F>,
        out: &mut Vec<u8>,
    ) -> Result<(), FilterError> {
        for piece in bytes.chunks(PIECE_BYTES) {
            self.held.extend_from_slice(piece);
            let Self { scanner, plan, held, base } = self;
            let mut turn = Turn { view: View { bytes: held, base: *base }, policy, out };
            scan(scanner, plan, piece, &mut turn)?;
            let at = scanner.offset();
            plan.editor.check(at)?;
            plan.editor.copy(at, turn.view, turn.out);
            let gone = plan.editor.sent().saturating_sub(*base);
            held.drain(..usize::try_from(gone).unwrap_or(usize::MAX).min(held.len()));
            *base += gone;
        }
        Ok(())
    }

    /// The message is over: tells what it is, and appends the rest of it.
    pub(super) fn finish<F: FnMut(&Item<'_>) -> bool>(
        &mut self,
        policy: &mut Policy<F>,
        out: &mut Vec<u8>,
    ) -> Result<Received, FilterError> {
        let Self { scanner, plan, held, base } = self;
        finish(scanner, plan, Turn { view: View { bytes: held, base: *base }, policy, out })
    }

    /// The same for a message that is here whole, and without holding it.
    pub(super) fn whole<F: FnMut(&Item<'_>) -> bool>(
        &mut self,
        bytes: &[u8],
        policy: &mut Policy<F>,
        out: &mut Vec<u8>,
    ) -> Result<Received, FilterError> {
        let Self { scanner, plan, .. } = self;
        let mut turn = Turn { view: View { bytes, base: 0 }, policy, out };
        scan(scanner, plan, bytes, &mut turn)?;
        finish(scanner, plan, turn)
    }
}

fn scan<F: FnMut(&Item<'_>) -> bool>(
    scanner: &mut Scanner,
    plan: &mut Plan,
    piece: &[u8],
    turn: &mut Turn<'_, F>,
) -> Result<(), FilterError> {
    let scanned = scanner.feed(piece, |found| plan.take(found, turn));
    // What is found first is told, whatever the pieces.
    match (plan.facts.failed, scanned) {
        (Some(error), _) => Err(error),
        (None, Err(error)) => Err(error.into()),
        (None, Ok(_)) => Ok(()),
    }
}

fn finish<F: FnMut(&Item<'_>) -> bool>(
    scanner: &mut Scanner,
    plan: &mut Plan,
    mut turn: Turn<'_, F>,
) -> Result<Received, FilterError> {
    let end = scanner.offset();
    let finished = scanner.finish(|found| plan.take(found, &mut turn));
    let received = match (plan.facts.failed, finished) {
        (Some(error), _) => return Err(error),
        (None, Err(error)) => return Err(error.into()),
        (None, Ok(())) => plan.facts.received()?,
    };
    plan.editor.release(end)?;
    plan.editor.copy(end, turn.view, turn.out);
    Ok(received)
}
