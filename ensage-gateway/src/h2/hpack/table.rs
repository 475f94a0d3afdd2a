//! The tables that lines are named by (RFC 7541 section 2.3).

use std::collections::VecDeque;
use std::sync::LazyLock;

use bytes::Bytes;

use crate::h2::lines::{Line, Name};

/// One line that can be named, or the name of one.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub(super) name: Name,
    pub(super) line: Line,
    /// Bytes of the name as it was sent.
    pub(super) named: usize,
    /// Bytes of name and value.
    pub(super) bytes: usize,
}

impl Entry {
    /// What it counts in a table (section 4.1).
    const fn size(&self) -> usize {
        self.bytes.saturating_add(OVERHEAD)
    }
}

const OVERHEAD: usize = 32;
/// What a table may hold that nobody has agreed on another size of.
const SIZE_MAX: usize = 4096;

/// What the lines of one connection have put in, the latest first.
#[derive(Debug)]
pub(super) struct Table {
    entries: VecDeque<Entry>,
    size: usize,
    size_max: usize,
}

impl Default for Table {
    fn default() -> Self {
        Self { entries: VecDeque::new(), size: 0, size_max: SIZE_MAX }
    }
}

impl Table {
    /// By its number, from 1; the static ones come first.
    pub(super) fn entry(&self, index: usize) -> Option<&Entry> {
        let index = index.checked_sub(1)?;
        match index.checked_sub(STATIC.len()) {
            None => STATIC.get(index),
            Some(index) => self.entries.get(index),
        }
    }

    pub(super) fn insert(&mut self, name: Name, line: Line, bytes: usize) {
        // Of a name that cannot be, only its length is known; of another, its own.
        let named = name.bytes();
        let entry = Entry { name, line, named, bytes };
        let size = entry.size();
        self.shrink(self.size_max.saturating_sub(size));
        // One that is larger than the table empties it, and that is all (section 4.4).
        if size <= self.size_max {
            self.size = self.size.saturating_add(size);
            self.entries.push_front(entry);
        }
    }

    /// A new size; false where it is more than was agreed on.
    pub(super) fn resize(&mut self, size: usize) -> bool {
        if size > SIZE_MAX {
            return false;
        }
        self.size_max = size;
        self.shrink(size);
        true
    }

    fn shrink(&mut self, most: usize) {
        while self.size > most
            && let Some(oldest) = self.entries.pop_back()
        {
            self.size = self.size.saturating_sub(oldest.size());
        }
    }
}

/// RFC 7541 appendix A.
static STATIC: LazyLock<Vec<Entry>> = LazyLock::new(|| {
    let lines = [
        (":authority", ""),
        (":method", "GET"),
        (":method", "POST"),
        (":path", "/"),
        (":path", "/index.html"),
        (":scheme", "http"),
        (":scheme", "https"),
        (":status", "200"),
        (":status", "204"),
        (":status", "206"),
        (":status", "304"),
        (":status", "400"),
        (":status", "404"),
        (":status", "500"),
        ("accept-charset", ""),
        ("accept-encoding", "gzip, deflate"),
    ];
    let names = "accept-language accept-ranges accept access-control-allow-origin age allow authorization \
        cache-control content-disposition content-encoding content-language content-length content-location \
        content-range content-type cookie date etag expect expires from host if-match if-modified-since if-none-match \
        if-range if-unmodified-since last-modified link location max-forwards proxy-authenticate proxy-authorization \
        range referer refresh retry-after server set-cookie strict-transport-security transfer-encoding user-agent \
        vary via www-authenticate";
    let empty = names.split_ascii_whitespace().map(|name| (name, ""));
    let entry = |(name, value): (&str, &'static str)| {
        let (bytes, named) = (name.len().saturating_add(value.len()), name.len());
        let name = Name::of(name.as_bytes());
        Entry { line: Line::of(&name, Bytes::from_static(value.as_bytes())), name, named, bytes }
    };
    lines.into_iter().chain(empty).map(entry).collect()
});
