//! Takes reflected secrets out of what comes back, whatever its chunks.
//!
//! ```text
//! the stream so far:  …passed on… | suffix that may begin a secret      (empty most of the time)
//!                                   shorter than 4 bytes: passed on too, and remembered
//!                                   else: held until the next bytes tell
//! ```
//! A secret whose first 1-3 bytes are out already is still recognised, and its rest replaced. In bodies the raw form is
//! replaced, in headers the percent-encoded one too.

use std::borrow::Cow;
use std::sync::Arc;

use http::header::{HeaderMap, HeaderName, HeaderValue};
use memchr::memmem::{self, Finder};
use memchr::{memchr, memchr_iter};
use zeroize::{Zeroize as _, Zeroizing};

use crate::find;
use crate::secret::Secret;

#[cfg(test)]
mod tests;

/// A suffix of fewer bytes is not held back (contract section 5): worth too little, and found too often.
const HELD_BYTES_MIN: usize = 4;

/// A secret that is cut off by the end of the body is replaced from this many bytes on (threat F6): the fewest that the
/// vault accepts as a secret. What it has in common with its placeholder (`sk-ant-api03-`) does not count.
const CUT_BYTES_MIN: usize = 8;

/// A secret, and what the client shall see instead.
struct Pattern {
    /// Searched for in place, by a borrowed [`Finder`]: an owned automaton would leave copies that nobody wipes.
    secret: Zeroizing<Vec<u8>>,
    placeholder: String,
    /// How many bytes both begin with.
    public: usize,
}

/// The secrets of one client, ready to be searched for: made once, shared by its streams.
pub struct Patterns {
    /// The longest first.
    all: Vec<Pattern>,
}

impl Patterns {
    /// Takes each secret with the placeholder that its client knows. Of two that start at one byte the longer wins.
    pub fn new(pairs: &[(&Secret, &str)]) -> Arc<Self> {
        let pattern = |(secret, placeholder): &(&Secret, &str)| {
            let secret = secret.expose(|bytes| Zeroizing::new(bytes.to_vec()));
            let public = secret.iter().zip(placeholder.as_bytes()).take_while(|(a, b)| a == b).count();
            Pattern { secret, placeholder: (*placeholder).to_owned(), public }
        };
        let mut all: Vec<_> = pairs.iter().map(pattern).collect();
        all.sort_by_key(|pattern| std::cmp::Reverse(pattern.secret.len()));
        Arc::new(Self { all })
    }

    /// Replaces secrets in every value, raw and percent-encoded (threat F4: `location`, `set-cookie`, any other), and
    /// says how many there were. A value that can't be written again is dropped, and so is a field whose name holds a
    /// secret, which is spelled in lower case.
    pub fn scrub_headers(&self, headers: &mut HeaderMap) -> usize {
        let mut count = 0;
        let mut broken: Vec<HeaderName> = headers.keys().filter(|name| self.names(name)).cloned().collect();
        count += broken.len();
        let shortest = self.all.iter().map(|pattern| pattern.secret.len()).min().unwrap_or(usize::MAX);
        for (name, value) in headers.iter_mut().filter(|(_, value)| value.len() >= shortest) {
            let Some((clean, found)) = self.scrub_value(value.as_bytes()) else { continue };
            count += found;
            match HeaderValue::from_bytes(&clean) {
                Ok(clean) => *value = clean,
                Err(_) => broken.push(name.clone()),
            }
        }
        for name in broken {
            headers.remove(name);
        }
        count
    }

    /// Whether a secret stands in a field's name.
    fn names(&self, name: &HeaderName) -> bool {
        let name = name.as_str().as_bytes();
        self.all.iter().any(|p| name.windows(p.secret.len()).any(|part| part.eq_ignore_ascii_case(&p.secret)))
    }

    /// The value without its secrets, and how many there were; `None` if there were none.
    fn scrub_value(&self, value: &[u8]) -> Option<(Vec<u8>, usize)> {
        let raw = || self.all.iter().any(|pattern| memmem::find(value, &pattern.secret).is_some());
        if memchr(b'%', value).is_none() && !raw() {
            return None;
        }
        let (mut out, mut count, mut done) = (Vec::new(), 0, 0);
        while let Some(&byte) = value.get(done) {
            match self.all.iter().find_map(|pattern| Some((pattern, pattern.spelled(value, done)?))) {
                Some((pattern, end)) => {
                    out.extend_from_slice(&pattern.rendered(end - done));
                    done = end;
                    count += 1;
                }
                None => {
                    out.push(byte);
                    done += 1;
                }
            }
        }
        (count > 0).then_some((out, count))
    }

    /// The longest suffix of `bytes`, from `from` on, that begins a secret without being one: where it starts, and of
    /// which secret.
    fn suffix(&self, bytes: &[u8], from: usize) -> Option<(usize, &Pattern)> {
        let starts = self.all.iter().filter_map(|pattern| Some((pattern.begun(bytes, from)?, pattern)));
        starts.min_by_key(|(start, _)| *start)
    }
}

impl Pattern {
    /// Where the longest suffix of `bytes` starts that is a proper prefix of this secret.
    fn begun(&self, bytes: &[u8], from: usize) -> Option<usize> {
        let first = *self.secret.first()?;
        let from = bytes.len().saturating_sub(self.secret.len().saturating_sub(1)).max(from);
        let tail = bytes.get(from..)?;
        let starts = |at: &usize| tail.get(*at..).is_some_and(|suffix| self.secret.starts_with(suffix));
        memchr_iter(first, tail).find(starts).map(|at| from + at)
    }

    /// Where the secret ends that is spelled at `start`, raw or percent-encoded.
    fn spelled(&self, value: &[u8], start: usize) -> Option<usize> {
        let rest = value.get(start..)?;
        if rest.starts_with(&self.secret) {
            return Some(start + self.secret.len());
        }
        self.secret.iter().try_fold(start, |at, &expected| match find::unit(value, at) {
            Some((byte, length)) if byte == expected => Some(at + length),
            Some(_) | None => None,
        })
    }

    /// The placeholder as it stands for a spelling of so many bytes: percent-encoded for one that is longer than raw.
    fn rendered(&self, spelled_bytes: usize) -> Cow<'_, [u8]> {
        if spelled_bytes == self.secret.len() {
            return Cow::Borrowed(self.placeholder.as_bytes());
        }
        let unreserved = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_' | b'~');
        let encode = |b: u8| if unreserved(b) { vec![b] } else { format!("%{b:02X}").into_bytes() };
        Cow::Owned(self.placeholder.bytes().flat_map(encode).collect())
    }
}

impl std::fmt::Debug for Patterns {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Patterns").field("len", &self.all.len()).finish_non_exhaustive()
    }
}

/// One stream that is scrubbed.
///
/// Whole-buffer replacement (leftmost, longest) and this give the same bytes, but that up to 3 bytes of a secret may
/// precede its placeholder where a chunk ended there.
///
/// ```
/// # use ensage_creds::{Scrubber, Secret};
/// let secret = Secret::from_stdin(b"sk-real-0123456789".to_vec())?;
/// let mut scrubber = Scrubber::new(&[(&secret, "sk-ens_1")]);
/// let mut out = Vec::new();
/// for chunk in [b"you sent sk-real-01".as_slice(), b"23456789.", b"bye"] {
///     if scrubber.clean(chunk) { out.extend_from_slice(chunk) } else { scrubber.feed(chunk, &mut out) }
/// }
/// scrubber.finish(&mut out);
/// assert_eq!(out, b"you sent sk-ens_1.bye");
/// assert_eq!(scrubber.count(), 1);
/// # Ok::<(), ensage_creds::SecretError>(())
/// ```
pub struct Scrubber {
    patterns: Arc<Patterns>,
    /// The suffix of the stream that may begin a secret. Invariant: shorter than the longest secret.
    pending: Pending,
    /// How many bytes of it are passed on. Invariant: `sent <= pending.len()` and `sent < HELD_BYTES_MIN`.
    sent: usize,
    count: usize,
}

/// Bytes that may be those of a secret. Most streams never have any, and then nothing is wiped: on some processors that
/// takes longer than the search.
#[derive(Default)]
struct Pending(Vec<u8>);

impl Drop for Pending {
    fn drop(&mut self) {
        if self.0.capacity() > 0 {
            self.0.zeroize();
        }
    }
}

/// How a walk over the bytes at hand ends.
#[derive(Clone, Copy, PartialEq, Eq)]
enum End {
    /// More may come: what may begin a secret waits.
    More,
    /// An event ended: nothing waits.
    Event,
    /// The body ended: nothing waits, and a cut-off secret is replaced.
    Body,
}

impl Scrubber {
    /// A stream with patterns of its own.
    pub fn new(pairs: &[(&Secret, &str)]) -> Self {
        Self::over(Patterns::new(pairs))
    }

    /// A stream with shared patterns.
    pub fn over(patterns: Arc<Patterns>) -> Self {
        Self { patterns, pending: Pending::default(), sent: 0, count: 0 }
    }

    /// Says whether the chunk may be passed on as it is, and takes note of it if so. If not, it must be [fed](Self::feed).
    pub fn clean(&mut self, chunk: &[u8]) -> bool {
        if self.patterns.all.is_empty() || chunk.is_empty() {
            return true;
        }
        if self.pending.0.len() > self.sent || self.goes_on(chunk) {
            return false;
        }
        let found = |pattern: &Pattern| Finder::new(pattern.secret.as_slice()).find(chunk).is_some();
        if self.patterns.all.iter().any(found) {
            return false;
        }
        let start = self.patterns.suffix(chunk, 0).map_or(chunk.len(), |(start, _)| start);
        let suffix = chunk.get(start..).unwrap_or_default();
        if suffix.len() >= HELD_BYTES_MIN {
            return false;
        }
        self.pending.0.clear();
        self.pending.0.extend_from_slice(suffix);
        self.sent = suffix.len();
        true
    }

    /// Appends what may be passed on of the stream up to and with this chunk.
    pub fn feed(&mut self, chunk: &[u8], out: &mut Vec<u8>) {
        if self.pending.0.is_empty() {
            self.walk(chunk, End::More, out);
        } else {
            let mut bytes = std::mem::take(&mut self.pending);
            bytes.0.extend_from_slice(chunk);
            self.walk(&bytes.0, End::More, out);
        }
    }

    /// Appends what was held back: at the end of a server-sent event or a WebSocket message.
    pub fn event_end(&mut self, out: &mut Vec<u8>) {
        // A short suffix is out already, and its match goes on.
        if self.pending.0.len() > self.sent {
            let bytes = std::mem::take(&mut self.pending);
            self.walk(&bytes.0, End::Event, out);
        }
    }

    /// Appends what was held back, at the end of the body; a secret that is cut off there is replaced too.
    pub fn finish(&mut self, out: &mut Vec<u8>) {
        if self.pending.0.is_empty() {
            return;
        }
        let bytes = std::mem::take(&mut self.pending);
        self.walk(&bytes.0, End::Body, out);
    }

    /// How many secrets were replaced.
    pub const fn count(&self) -> usize {
        self.count
    }

    /// Scrubs a response's head or trailers, and counts what was replaced.
    pub fn scrub_headers(&mut self, headers: &mut HeaderMap) -> usize {
        let found = self.patterns.scrub_headers(headers);
        self.count += found;
        found
    }

    /// Says whether a secret that may have begun before goes on in this chunk.
    fn goes_on(&self, chunk: &[u8]) -> bool {
        let goes_on = |pattern: &Pattern, begun: &[u8]| {
            pattern.secret.strip_prefix(begun).is_some_and(|rest| {
                let common = rest.len().min(chunk.len());
                rest.get(..common) == chunk.get(..common)
            })
        };
        let suffixes = (0..self.pending.0.len()).filter_map(|start| self.pending.0.get(start..));
        suffixes.into_iter().any(|begun| self.patterns.all.iter().any(|pattern| goes_on(pattern, begun)))
    }

    /// Goes over what was pending and what follows it; `self.pending` is empty meanwhile.
    fn walk(&mut self, bytes: &[u8], end: End, out: &mut Vec<u8>) {
        let patterns = Arc::clone(&self.patterns);
        let mut occurrences = Occurrences::new(&patterns, bytes);
        let mut done = 0;
        let waits = loop {
            let suffix = patterns.suffix(bytes, done);
            let waits = suffix.filter(|_| end == End::More).map_or(bytes.len(), |(start, _)| start);
            match occurrences.next(done) {
                // What starts later than the suffix may be a part of the longer secret that the suffix begins.
                Some((start, pattern)) if start < waits => {
                    self.pass(bytes, done, start, out);
                    self.replace(bytes, start, pattern, out);
                    done = start + pattern.secret.len();
                }
                Some(_) | None => match suffix {
                    Some((start, pattern)) if end == End::Body && pattern.is_cut(bytes.len() - start) => {
                        self.pass(bytes, done, start, out);
                        self.replace(bytes, start, pattern, out);
                        done = bytes.len();
                        break done;
                    }
                    Some(_) | None => break waits,
                },
            }
        };
        self.pass(bytes, done, waits, out);
        let rest = bytes.get(waits..).unwrap_or_default();
        let mut sent = self.sent.saturating_sub(waits);
        if rest.len() < HELD_BYTES_MIN {
            self.pass(bytes, waits, bytes.len(), out);
            sent = rest.len();
        }
        self.sent = sent;
        self.pending.0.extend_from_slice(rest);
    }

    /// Passes a range on, less what is out already.
    fn pass(&self, bytes: &[u8], from: usize, to: usize, out: &mut Vec<u8>) {
        out.extend_from_slice(bytes.get(from.max(self.sent)..to).unwrap_or_default());
    }

    fn replace(&mut self, bytes: &[u8], start: usize, pattern: &Pattern, out: &mut Vec<u8>) {
        let placeholder = pattern.placeholder.as_bytes();
        let seen = bytes.get(start..self.sent).unwrap_or_default();
        // The first bytes that are out already are often those of the placeholder: then it appears unbroken.
        out.extend_from_slice(placeholder.strip_prefix(seen).unwrap_or(placeholder));
        self.count += 1;
    }
}

impl Pattern {
    /// Says whether so many first bytes of the secret are too many to be shown.
    fn is_cut(&self, bytes: usize) -> bool {
        bytes.saturating_sub(self.public) >= CUT_BYTES_MIN
    }
}

impl std::fmt::Debug for Scrubber {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Scrubber").field("count", &self.count).finish_non_exhaustive()
    }
}

/// The secrets in some bytes, from left to right; each byte is searched once for each pattern.
struct Occurrences<'a> {
    bytes: &'a [u8],
    next: Vec<(Finder<'a>, &'a Pattern, Option<usize>)>,
}

impl<'a> Occurrences<'a> {
    fn new(patterns: &'a Patterns, bytes: &'a [u8]) -> Self {
        let first = |pattern: &'a Pattern| {
            let finder = Finder::new(pattern.secret.as_slice());
            let at = finder.find(bytes);
            (finder, pattern, at)
        };
        Self { bytes, next: patterns.all.iter().map(first).collect() }
    }

    /// The first one at or after `from`; the longest, if two start there.
    fn next(&mut self, from: usize) -> Option<(usize, &'a Pattern)> {
        for (finder, _, next) in &mut self.next {
            if next.is_some_and(|at| at < from) {
                *next = self.bytes.get(from..).and_then(|rest| finder.find(rest)).map(|at| from + at);
            }
        }
        // The patterns are in order of length, and `min_by_key` takes the first of equals.
        let found = self.next.iter().filter_map(|(_, pattern, next)| Some(((*next)?, *pattern)));
        found.min_by_key(|(at, _)| *at)
    }
}
