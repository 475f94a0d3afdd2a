//! Which bytes of a list go with the elements that go.

use std::ops::Range;

/// A list of which some elements are taken out, together with one comma each: the one before it, or, where nothing
/// before it stays, the one behind it.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct List {
    kept: bool,
    /// Where the last element ended.
    end: Option<u64>,
}

impl List {
    /// An element begins; what goes before it.
    pub(super) fn begins(&self, at: u64) -> Option<Range<u64>> {
        self.end.filter(|_| !self.kept).map(|end| end..at)
    }

    /// An element ends that stays.
    pub(super) fn keeps(&mut self, element: &Range<u64>) {
        self.kept = true;
        self.end = Some(element.end);
    }

    /// An element ends that goes, and what goes with it.
    pub(super) fn drops(&mut self, element: &Range<u64>) -> Range<u64> {
        let before = self.end.filter(|_| self.kept);
        self.end = Some(element.end);
        before.unwrap_or(element.start)..element.end
    }

    /// The end of the last element: what follows it may go with the next.
    pub(super) const fn end(&self) -> Option<u64> {
        self.end
    }
}
