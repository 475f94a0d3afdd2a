//! Request paths as rules see them: split at raw slashes, percent-decoded once (contract section 4).

use std::fmt;
use std::sync::Arc;

use crate::glob::{Glob, Piece};

#[cfg(test)]
mod tests;

/// Why a path can be read in more than one way; all of them are `ambiguous_path`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PathError {
    /// Not in origin form.
    #[error("the path does not begin with a slash")]
    NotAbsolute,
    /// `.` or `..`, raw, encoded, or appearing when a segment is decoded (`..%2f`); also with parameters (`..;x`).
    #[error("the path has a dot segment")]
    DotSegment,
    /// NUL or another control character, raw or encoded.
    #[error("the path has a control character")]
    Control,
    /// A backslash, raw or encoded: some servers take it for a slash.
    #[error("the path has a backslash")]
    Backslash,
    /// A raw character that no request target has: a space, `?`, `#`, or one outside ASCII (RFC 9112 section 3.2).
    #[error("the path has a character that must be encoded")]
    Raw,
}

/// What makes a path unfit for a rule that names paths, though it may pass where none does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Doubt {
    /// `//`: many servers merge it.
    #[error("the path has an empty segment")]
    EmptySegment,
    /// A percent sign that begins no encoded byte.
    #[error("the path has a percent sign that encodes nothing")]
    Percent,
    /// Encoded bytes that are no UTF-8.
    #[error("the path has encoded bytes that are not UTF-8")]
    Encoding,
}

/// A path that can be read in one way only, but for its [`doubt`](Self::doubt).
///
/// It goes on as received; only comparisons see the decoded form.
///
/// ```
/// use ensage_policy::{glob::Glob, path::RequestPath};
/// let package = RequestPath::parse("/@scope%2fname")?;
/// assert!(package.matches(&Glob::parse("/*").unwrap()));
/// assert!(RequestPath::parse("/a/%2e%2e/b").is_err());
/// # Ok::<(), ensage_policy::path::PathError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestPath {
    raw: Arc<str>,
    /// The segments decoded once, the empty ones included; none where nothing is encoded, as in most paths.
    decoded: Vec<String>,
    doubt: Option<Doubt>,
}

impl RequestPath {
    /// Reads the path of a request target, without its query.
    ///
    /// # Errors
    /// See [`PathError`].
    pub fn parse(raw: &str) -> Result<Self, PathError> {
        let Some(rest) = raw.strip_prefix('/') else { return Err(PathError::NotAbsolute) };
        if is_plain(rest) {
            return Ok(Self { raw: raw.into(), decoded: Vec::new(), doubt: None });
        }
        if let Some(bad) = raw.chars().find(|c| !c.is_ascii() || matches!(c, ' ' | '?' | '#') || c.is_ascii_control()) {
            return Err(if bad.is_control() { PathError::Control } else { PathError::Raw });
        }
        let mut doubt = None;
        let mut decoded = Vec::new();
        let encoded = rest.contains('%');
        let mut parts = rest.split('/').peekable();
        while let Some(segment) = parts.next() {
            // An empty last segment is a trailing slash, any other one is `//`.
            if segment.is_empty() && parts.peek().is_some() {
                doubt = doubt.or(Some(Doubt::EmptySegment));
            }
            if encoded {
                let (text, lossy) = decode(segment);
                doubt = doubt.or(lossy);
                check(&text)?;
                decoded.push(text);
            } else {
                check(segment)?;
            }
        }
        Ok(Self { raw: raw.into(), decoded, doubt })
    }

    /// As received.
    pub fn as_str(&self) -> &str {
        &self.raw
    }

    /// The same, to be kept.
    pub fn shared(&self) -> Arc<str> {
        self.raw.clone()
    }

    /// Why no rule that names paths can take it: `ambiguous_path` there, nothing elsewhere.
    pub const fn doubt(&self) -> Option<Doubt> {
        self.doubt
    }

    /// True if the glob matches segment by segment; a decoded slash is no separator. Never with a doubt.
    pub fn matches(&self, glob: &Glob) -> bool {
        let pieces = self
            .segments()
            .flat_map(|segment| std::iter::once(Piece::Boundary).chain(segment.chars().map(Piece::Inside)));
        self.doubt.is_none() && glob.matches_pieces(pieces)
    }

    /// The decoded path, if it is free of doubt and of slashes inside segments.
    pub fn decoded(&self) -> Option<String> {
        let plain = self.doubt.is_none() && !self.segments().any(|segment| segment.contains('/'));
        plain.then(|| self.segments().fold(String::new(), |path, segment| path + "/" + segment))
    }

    /// Where only an encoded slash keeps the glob from matching: the narrowest pattern that takes this path. In a segment
    /// `?` and `*` stand for a decoded slash, and `/` does not.
    pub(crate) fn missed_by_slash(&self, glob: &Glob) -> Option<String> {
        let pattern = self.segments().fold(String::new(), |path, segment| path + "/" + &segment.replace('/', "?"));
        let slashes = self.raw.replace("%2f", "/").replace("%2F", "/");
        let would = slashes != *self.raw && Self::parse(&slashes).is_ok_and(|path| path.matches(glob));
        // What the path itself has of them is no pattern.
        let literal = !self.segments().any(|segment| segment.contains(['*', '?']));
        let short = pattern.len() <= PATTERN_TOLD_MAX;
        (self.doubt.is_none() && would && literal && short).then_some(pattern)
    }

    /// Decoded once, the empty ones included. At least one.
    fn segments(&self) -> impl Iterator<Item = &str> {
        let raw = if self.decoded.is_empty() { self.raw.strip_prefix('/') } else { None };
        raw.into_iter().flat_map(|raw| raw.split('/')).chain(self.decoded.iter().map(String::as_str))
    }

    /// How this path stands to the path of a governed endpoint. One trailing slash does not count on either side.
    pub fn likeness(&self, endpoint: &Self) -> Likeness {
        if !self.is_loosely(endpoint) {
            return Likeness::Other;
        }
        match (self.decoded(), endpoint.decoded()) {
            (Some(mine), Some(its)) if trim(&mine) == trim(&its) => Likeness::Same,
            _ => Likeness::Near,
        }
    }

    /// The path as the most forgiving server reads it: no parameters, no empty segments, no case.
    pub(crate) fn loose(&self) -> Vec<String> {
        self.pieces().map(str::to_lowercase).collect()
    }

    /// Whether both are one [`loose`](Self::loose) path.
    fn is_loosely(&self, other: &Self) -> bool {
        let (mut mine, mut its) = (self.pieces(), other.pieces());
        loop {
            match (mine.next(), its.next()) {
                (None, None) => return true,
                (Some(a), Some(b)) if is_same_word(a, b) => {}
                _ => return false,
            }
        }
    }

    fn pieces(&self) -> impl Iterator<Item = &str> {
        self.segments()
            .flat_map(|segment| segment.split('/'))
            .map(|piece| piece.split(';').next().unwrap_or(piece).trim())
            .filter(|piece| !piece.is_empty())
    }
}

/// Longest pattern that is told.
const PATTERN_TOLD_MAX: usize = 256;

/// Whether nothing of a path, without its first slash, can be read in two ways: most paths are of these characters.
fn is_plain(rest: &str) -> bool {
    let mut last = b'/';
    rest.bytes().all(|byte| {
        let fits = match byte {
            b'/' => last != b'/',
            _ => byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'~' | b'@' | b':' | b'+' | b'=' | b','),
        };
        last = byte;
        fits
    })
}

/// Without case. Some characters outside ASCII have an ASCII letter as their small one.
fn is_same_word(a: &str, b: &str) -> bool {
    match a.is_ascii() && b.is_ascii() {
        true => a.eq_ignore_ascii_case(b),
        false => a.to_lowercase() == b.to_lowercase(),
    }
}

/// How a path stands to the path of a governed endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Likeness {
    /// Another path.
    Other,
    /// Another path, which a forgiving server takes for the same: never to be opened by another rule.
    Near,
    /// The same path, however encoded.
    Same,
}

impl fmt::Display for RequestPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.raw)
    }
}

fn trim(path: &str) -> &str {
    path.strip_suffix('/').unwrap_or(path)
}

/// Decodes one segment once. What can't be decoded stays as text and is told.
fn decode(segment: &str) -> (String, Option<Doubt>) {
    let bytes = percent_encoding::percent_decode_str(segment).collect::<Vec<u8>>();
    // Each encoded byte shortens the text by two.
    let encoded = segment.len().saturating_sub(bytes.len()) / 2;
    let percent = segment.matches('%').count() > encoded;
    match String::from_utf8(bytes) {
        Ok(text) => (text, percent.then_some(Doubt::Percent)),
        Err(error) => (String::from_utf8_lossy(error.as_bytes()).into_owned(), Some(Doubt::Encoding)),
    }
}

fn check(decoded: &str) -> Result<(), PathError> {
    if decoded.chars().any(char::is_control) {
        return Err(PathError::Control);
    }
    if decoded.contains('\\') {
        return Err(PathError::Backslash);
    }
    // Servlet containers cut `;parameters` before they resolve dots.
    let dots = |piece: &str| matches!(piece.split(';').next(), Some("." | ".."));
    if decoded.split('/').any(dots) {
        return Err(PathError::DotSegment);
    }
    Ok(())
}
