//! The lines that wait, in their order, for the close of a call before or among them.

use std::collections::{HashMap, VecDeque};

use uuid::Uuid;

use crate::query::merge;

/// Over this many bytes of lines the window is full, and the closes are looked for.
const WINDOW_BYTES_MAX: usize = 32 << 20;

/// Lines in their order. `waiting` maps each id to its place, counted from the first line ever.
#[derive(Debug)]
pub(super) struct Window {
    entries: VecDeque<Entry>,
    /// The place of the first entry.
    base: usize,
    waiting: HashMap<Uuid, usize>,
    bytes: usize,
    /// Keep the newest so many, and give none out before the end.
    limit: Option<usize>,
    bytes_max: usize,
    released: bool,
}

#[derive(Debug)]
struct Entry {
    line: String,
    waits: Option<Uuid>,
}

impl Window {
    pub(super) fn new(limit: Option<usize>) -> Self {
        Self {
            entries: VecDeque::new(),
            base: 0,
            waiting: HashMap::new(),
            bytes: 0,
            limit,
            bytes_max: WINDOW_BYTES_MAX,
            released: limit.is_none(),
        }
    }

    /// For tests: a window that is full early.
    #[cfg(test)]
    pub(super) fn shrink(&mut self, bytes_max: usize) {
        self.bytes_max = bytes_max;
    }

    /// Adds a line; `waits` is the id under which its close will come.
    pub(super) fn push(&mut self, line: String, waits: Option<Uuid>) {
        if let Some(id) = waits {
            self.waiting.insert(id, self.base + self.entries.len());
        }
        self.bytes += line.len();
        self.entries.push_back(Entry { line, waits });
        if !self.released && self.limit.is_some_and(|limit| self.entries.len() > limit) {
            self.drop_first();
        }
    }

    /// Merges a close into its call, if that one is here.
    pub(super) fn close(&mut self, id: Uuid, end: &str) {
        let Some(place) = self.waiting.remove(&id) else { return };
        self.settle(place, |line| merge::end_into_call(line, end));
    }

    /// Every call that waits has lost its gateway.
    pub(super) fn stop_all(&mut self) {
        for (_, place) in std::mem::take(&mut self.waiting) {
            self.settle(place, merge::stopped);
        }
    }

    /// Every call that waits is still running; gives out what waited. From here on all lines may go.
    pub(super) fn leave_open(&mut self) -> Vec<(Uuid, String)> {
        let mut open = Vec::with_capacity(self.waiting.len());
        for (id, place) in std::mem::take(&mut self.waiting) {
            if let Some(entry) = place.checked_sub(self.base).and_then(|at| self.entries.get(at)) {
                open.push((id, entry.line.clone()));
            }
            self.settle(place, merge::open);
        }
        self.released = true;
        open
    }

    /// Lines that come later are not counted.
    pub(super) fn lift_limit(&mut self) {
        self.limit = None;
    }

    pub(super) fn waits(&self) -> bool {
        !self.waiting.is_empty()
    }

    /// True if lines must go before more come. With a limit the lines themselves are the bound.
    pub(super) fn is_full(&self) -> bool {
        self.released && self.bytes > self.bytes_max && self.waits()
    }

    /// The first line, if it waits for nothing.
    pub(super) fn pop_ready(&mut self) -> Option<String> {
        if !self.released || self.entries.front()?.waits.is_some() {
            return None;
        }
        let entry = self.entries.pop_front()?;
        self.base += 1;
        self.bytes -= entry.line.len();
        Some(entry.line)
    }

    fn drop_first(&mut self) {
        if let Some(entry) = self.entries.pop_front() {
            self.base += 1;
            self.bytes -= entry.line.len();
            if let Some(id) = entry.waits {
                self.waiting.remove(&id);
            }
        }
    }

    fn settle(&mut self, place: usize, change: impl FnOnce(&str) -> String) {
        if let Some(entry) = place.checked_sub(self.base).and_then(|at| self.entries.get_mut(at)) {
            self.bytes -= entry.line.len();
            entry.line = change(&entry.line);
            entry.waits = None;
            self.bytes += entry.line.len();
        }
    }
}
