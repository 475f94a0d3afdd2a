//! Request targets (RFC 9112 section 3.2): the four forms, and no byte that the type `http::Uri` would refuse or cut.

use super::Kind;
use super::lex::{Fault, PATH, QUERY, TARGET, run, set_run};

/// Where in a target the next byte stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    Start,
    /// `*` alone.
    Asterisk,
    Path,
    Query,
    /// Absolute or authority form: kept, and read when whole.
    Kept,
}

/// A request target that may come in pieces.
#[derive(Clone, Debug)]
pub(super) struct Target {
    part: Part,
    len: u64,
    /// The target if it is in absolute or authority form, at most the limit; else empty.
    kept: Vec<u8>,
}

impl Target {
    /// `http::Uri` holds no longer one.
    const BYTES_MAX: u64 = u16::MAX as u64 - 1;

    pub(super) const fn new() -> Self {
        Self { part: Part::Start, len: 0, kept: Vec::new() }
    }

    pub(super) fn clear(&mut self) {
        self.part = Part::Start;
        self.len = 0;
        self.kept.clear();
    }

    /// Reads the bytes of the target that `rest` begins with and says how many; 0 at its end.
    pub(super) fn read(&mut self, rest: &[u8], connect: bool, bytes_max: u64) -> Result<usize, Fault> {
        let Some(&first) = rest.first() else { return Ok(0) };
        if self.part == Part::Start {
            self.part = match first {
                _ if connect => Part::Kept,
                b'/' => Part::Path,
                b'*' => Part::Asterisk,
                _ => Part::Kept,
            };
        }
        let part = self.part;
        let mut taken = match part {
            Part::Path => set_run(rest, PATH),
            Part::Query => set_run(rest, QUERY),
            Part::Asterisk => run(rest, |b| b == b'*'),
            Part::Start | Part::Kept => set_run(rest, TARGET),
        };
        if part == Part::Path && rest.get(taken) == Some(&b'?') {
            taken = taken.saturating_add(1);
            self.part = Part::Query;
        }
        let room = bytes_max.min(Self::BYTES_MAX).saturating_sub(self.len);
        let taken_len = u64::try_from(taken).unwrap_or(u64::MAX);
        if taken_len > room {
            let ahead = usize::try_from(room).unwrap_or(usize::MAX);
            return Err(Fault::ahead(ahead, "the request target is too long").of(Kind::TargetTooLong));
        }
        self.len = self.len.saturating_add(taken_len);
        if part == Part::Kept {
            self.kept.extend(rest.iter().take(taken));
        }
        match rest.get(taken) {
            // A query's own run is the next call's.
            _ if part != self.part && taken > 0 => Ok(taken),
            Some(b' ') | None => Ok(taken),
            Some(b'#') => Err(Fault::ahead(taken, "a fragment in the request target")),
            Some(_) => Err(Fault::ahead(taken, "a byte that may not stand in a request target")),
        }
    }

    /// Judges the whole target; the next byte is the space behind it.
    pub(super) fn finish(&self, connect: bool) -> Result<(), Fault> {
        match self.part {
            Part::Start => Err(Fault::here("no request target")),
            Part::Path | Part::Query => Ok(()),
            Part::Asterisk if self.len == 1 => Ok(()),
            Part::Asterisk => Err(Fault::here("a request target in no known form")),
            Part::Kept if connect => authority(&self.kept),
            Part::Kept => absolute(&self.kept),
        }
    }
}

/// Judges a target in origin-form that is here whole.
///
/// # Errors
/// What kind of fault, and the rule that it breaks.
pub(crate) fn origin_form(text: &[u8], bytes_max: u64) -> Result<(), (Kind, &'static str)> {
    let mut target = Target::new();
    let mut rest = text;
    while !rest.is_empty() {
        let taken = target.read(rest, false, bytes_max).map_err(|fault| (fault.kind, fault.detail))?;
        if taken == 0 {
            break;
        }
        rest = rest.get(taken..).unwrap_or_default();
    }
    match (target.part, rest) {
        (Part::Path | Part::Query, []) => Ok(()),
        _ => Err((Kind::Malformed, "a path in no known form")),
    }
}

fn authority(text: &[u8]) -> Result<(), Fault> {
    match http::uri::Authority::try_from(text) {
        // Alone it would be read as the asterisk form.
        Ok(_) if text != b"*" => Ok(()),
        Ok(_) | Err(_) => Err(Fault::here("the target's authority is malformed").of(Kind::Authority)),
    }
}

fn absolute(text: &[u8]) -> Result<(), Fault> {
    const FORM: Fault = Fault::here("a request target in no known form");
    let scheme = run(text, |b| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'-' | b'.'));
    if !text.first().is_some_and(u8::is_ascii_alphabetic) {
        return Err(FORM);
    }
    let rest = text.get(scheme..).and_then(|t| t.strip_prefix(b"://")).ok_or(FORM)?;
    let end = run(rest, |b| !matches!(b, b'/' | b'?'));
    authority(rest.get(..end).unwrap_or_default())?;
    // The scheme and the path are left; the whole is what the exchange will read.
    http::Uri::try_from(text).map(|_| ()).map_err(|_| FORM)
}
