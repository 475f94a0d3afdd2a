//! Bytes on their way from a message to its copy, some of them cut out or written anew.

use std::ops::Range;

use super::FilterError;

/// The bytes of a message that are at hand.
#[derive(Clone, Copy)]
pub(super) struct View<'a> {
    pub(super) bytes: &'a [u8],
    /// Where in the message they begin.
    pub(super) base: u64,
}

impl<'a> View<'a> {
    /// Where in the message they end.
    pub(super) fn end(self) -> u64 {
        self.base.saturating_add(u64::try_from(self.bytes.len()).unwrap_or(u64::MAX))
    }

    /// Those in `span`; empty if they are not all here.
    pub(super) fn get(self, span: &Range<u64>) -> &'a [u8] {
        let at = |offset: u64| usize::try_from(offset.checked_sub(self.base)?).ok();
        let (Some(start), Some(end)) = (at(span.start), at(span.end)) else { return &[] };
        self.bytes.get(start..end).unwrap_or_default()
    }
}

/// How far a message is copied, and what of it has to wait.
#[derive(Debug)]
pub(super) struct Editor {
    /// All before it is copied or cut.
    sent: u64,
    /// From here on it is not yet known what stays.
    held_from: Option<u64>,
    /// Most bytes that may wait.
    limit: u64,
}

impl Editor {
    /// Nothing goes before the message has begun.
    pub(super) fn new(limit: usize) -> Self {
        Self { sent: 0, held_from: Some(0), limit: u64::try_from(limit).unwrap_or(u64::MAX) }
    }

    /// Where the copy ends: everything before it is out of the way.
    pub(super) const fn sent(&self) -> u64 {
        self.sent
    }

    /// Nothing from `at` on goes before [`Editor::release`], if that is so not yet from an earlier byte.
    pub(super) fn hold(&mut self, at: u64) {
        self.held_from.get_or_insert(at);
    }

    /// What comes before `at` is decided.
    ///
    /// # Errors
    /// As [`Editor::check`].
    pub(super) fn release(&mut self, at: u64) -> Result<(), FilterError> {
        self.check(at)?;
        self.held_from = None;
        Ok(())
    }

    /// # Errors
    /// [`FilterError::TooLong`] if what waits before `at` is more than may.
    pub(super) fn check(&self, at: u64) -> Result<(), FilterError> {
        match self.held_from {
            Some(from) if at.saturating_sub(from) > self.limit => {
                Err(FilterError::TooLong { limit: usize::try_from(self.limit).unwrap_or(usize::MAX) })
            }
            Some(_) | None => Ok(()),
        }
    }

    /// Copies all that is decided before `at`.
    pub(super) fn copy(&mut self, at: u64, view: View<'_>, out: &mut Vec<u8>) {
        let to = self.held_from.map_or(at, |from| from.min(at));
        self.copy_to(to, view, out);
    }

    /// Copies up to `at` and goes on behind `span`, with `other` in its place.
    pub(super) fn replace(&mut self, span: &Range<u64>, other: &[u8], view: View<'_>, out: &mut Vec<u8>) {
        self.copy_to(span.start, view, out);
        out.extend_from_slice(other);
        self.sent = self.sent.max(span.end);
    }

    fn copy_to(&mut self, at: u64, view: View<'_>, out: &mut Vec<u8>) {
        if at > self.sent {
            out.extend_from_slice(view.get(&(self.sent..at)));
            self.sent = at;
        }
    }
}
