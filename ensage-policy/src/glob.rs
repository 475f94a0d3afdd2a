//! Globs of the configuration (contract section 2): `*`, `**`, `?`, and every other character is itself.

use std::fmt;
use std::sync::Arc;

/// Most bytes of one pattern: far longer than any tool or path, short enough that a match stays cheap.
const PATTERN_BYTES_MAX: usize = 1024;

/// Why a text is no glob.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum GlobError {
    /// Nothing at all: it would match the empty text alone.
    #[error("a glob can't be empty")]
    Empty,
    /// Longer than 1024 bytes.
    #[error("a glob has at most 1024 bytes, this one has {bytes}")]
    TooLong {
        /// Its length.
        bytes: usize,
    },
    /// A control character, which no name or path may have.
    #[error("a glob can't hold the control character U+{code:04X}")]
    Control {
        /// The code point.
        code: u32,
    },
}

/// A pattern that a whole text either matches or not; case-sensitive.
///
/// A match takes at most (length of the text) × (length of the pattern) steps, whatever both hold.
///
/// ```
/// let tools = ensage_policy::glob::Glob::parse("get_*")?;
/// assert!(tools.matches("get_issue"));
/// assert!(!tools.matches("forget_issue"));
/// # Ok::<(), ensage_policy::glob::GlobError>(())
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct Glob {
    text: Arc<str>,
    tokens: Arc<[Token]>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Token {
    Literal(char),
    One,
    Run,
    RunAcross,
}

/// One position of what is matched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Piece {
    /// A character that a `*` may take, a decoded slash inside a path segment included.
    Inside(char),
    /// A slash of a plain text.
    Slash,
    /// The raw slash between two segments of a path.
    Boundary,
}

impl Glob {
    /// Reads a pattern.
    ///
    /// # Errors
    /// An empty text, one over 1024 bytes, or one with a control character.
    pub fn parse(text: &str) -> Result<Self, GlobError> {
        if text.is_empty() {
            return Err(GlobError::Empty);
        }
        if text.len() > PATTERN_BYTES_MAX {
            return Err(GlobError::TooLong { bytes: text.len() });
        }
        if let Some(c) = text.chars().find(|c| c.is_control()) {
            return Err(GlobError::Control { code: u32::from(c) });
        }
        let mut tokens = Vec::with_capacity(text.len());
        for c in text.chars() {
            let token = match c {
                '*' => Token::Run,
                '?' => Token::One,
                other => Token::Literal(other),
            };
            match (tokens.last_mut(), token) {
                // `**` and any longer row of stars is one run across slashes.
                (Some(last @ (Token::Run | Token::RunAcross)), Token::Run) => *last = Token::RunAcross,
                _ => tokens.push(token),
            }
        }
        Ok(Self { text: text.into(), tokens: tokens.into() })
    }

    /// The pattern as written.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The one text that it matches, if it has no wildcard.
    pub fn literal(&self) -> Option<&str> {
        self.tokens.iter().all(|t| matches!(t, Token::Literal(_))).then_some(&self.text)
    }

    /// True if the whole of `text` matches.
    pub fn matches(&self, text: &str) -> bool {
        self.matches_pieces(text.chars().map(|c| if c == '/' { Piece::Slash } else { Piece::Inside(c) }))
    }

    /// The same over any row of pieces.
    pub(crate) fn matches_pieces(&self, pieces: impl Iterator<Item = Piece>) -> bool {
        // `alive` holds, for each position in the pattern, whether what was read so far can end there. All positions
        // advance together, so nothing is ever tried twice.
        let mut alive = vec![false; self.tokens.len() + 1];
        let mut next = alive.clone();
        if let Some(start) = alive.first_mut() {
            *start = true;
        }
        self.skip_empty_runs(&mut alive);
        for piece in pieces {
            next.fill(false);
            for ((at, token), from) in self.tokens.iter().enumerate().zip(&alive) {
                if !from {
                    continue;
                }
                let to = match step(*token, piece) {
                    Stepped::Stay => at,
                    Stepped::Advance => at + 1,
                    Stepped::Dead => continue,
                };
                if let Some(slot) = next.get_mut(to) {
                    *slot = true;
                }
            }
            self.skip_empty_runs(&mut next);
            if !next.contains(&true) {
                return false;
            }
            std::mem::swap(&mut alive, &mut next);
        }
        alive.last() == Some(&true)
    }

    /// A run may be empty: whoever stands before one stands behind it as well.
    fn skip_empty_runs(&self, alive: &mut [bool]) {
        let mut carried = false;
        for (token, here) in self.tokens.iter().map(Some).chain([None]).zip(alive) {
            *here |= carried;
            carried = *here && matches!(token, Some(Token::Run | Token::RunAcross));
        }
    }
}

enum Stepped {
    Stay,
    Advance,
    Dead,
}

fn step(token: Token, piece: Piece) -> Stepped {
    match (token, piece) {
        (Token::Literal(want), Piece::Inside(c)) if want == c && c != '/' => Stepped::Advance,
        (Token::Literal('/'), Piece::Slash | Piece::Boundary) => Stepped::Advance,
        (Token::One, Piece::Inside(_) | Piece::Slash) => Stepped::Advance,
        (Token::Run, Piece::Inside(_)) | (Token::RunAcross, _) => Stepped::Stay,
        (Token::Literal(_), _) | (Token::One, Piece::Boundary) | (Token::Run, Piece::Slash | Piece::Boundary) => {
            Stepped::Dead
        }
    }
}

impl fmt::Debug for Glob {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Glob({:?})", self.text)
    }
}

impl fmt::Display for Glob {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{Glob, GlobError};

    #[track_caller]
    fn check(pattern: &str, good: &[&str], bad: &[&str]) {
        let glob = Glob::parse(pattern).unwrap();
        for text in good {
            assert!(glob.matches(text), "{pattern} must match {text:?}");
        }
        for text in bad {
            assert!(!glob.matches(text), "{pattern} must not match {text:?}");
        }
    }

    #[test]
    fn a_glob_matches_the_whole_text() {
        check("ping", &["ping"], &["", "pin", "pings", "xping", "Ping", "PING"]);
        check("get_*", &["get_", "get_a", "get_a_b"], &["get", "get_a/b", "xget_a", "get_/"]);
        check("*", &["", "a", "abc"], &["/", "a/b"]);
        check("**", &["", "a", "a/b", "/", "//"], &[]);
        check("***", &["", "a/b"], &[]);
        check("/a/**", &["/a/", "/a/b", "/a/b/c"], &["/a", "/b/a/", "a/b"]);
        check("/a/**/z", &["/a//z", "/a/b/z", "/a/b/c/z"], &["/a/z", "/a/b/zz"]);
        check("**/node", &["/usr/bin/node", "x/node"], &["node", "/usr/bin/nodes"]);
        check("a?c", &["abc", "a/c", "aüc"], &["ac", "abbc", "a"]);
        check("*.js", &["a.js", ".js"], &["a.jsx", "a/b.js", "ajs"]);
        check("a*b*c", &["abc", "axbxc", "abbcc", "abcbc"], &["acb", "ab", "abcd", "a/bc"]);
        check("repo://acme/**", &["repo://acme/", "repo://acme/a/b"], &["repo://acme", "repo://evil/acme/x"]);
        check("a.c[1]{x}", &["a.c[1]{x}"], &["abc[1]{x}", "a.c1x"]);
        check("%2f", &["%2f"], &["/", "%2F"]);
    }

    #[test]
    fn what_is_no_glob_is_refused() {
        assert_eq!(Glob::parse(""), Err(GlobError::Empty));
        assert_eq!(Glob::parse("a\0"), Err(GlobError::Control { code: 0 }));
        assert_eq!(Glob::parse("a\u{85}"), Err(GlobError::Control { code: 0x85 }));
        assert_eq!(Glob::parse(&"a".repeat(1025)), Err(GlobError::TooLong { bytes: 1025 }));
        assert!(Glob::parse(&"a".repeat(1024)).is_ok());
    }

    #[test]
    fn a_literal_is_told_apart() {
        assert_eq!(Glob::parse("a/b").unwrap().literal(), Some("a/b"));
        assert_eq!(Glob::parse("a?").unwrap().literal(), None);
        assert_eq!(Glob::parse("a*").unwrap().literal(), None);
    }

    /// The classic blow-up of a backtracking matcher: it would not end in a lifetime.
    #[test]
    fn many_stars_stay_cheap() {
        let glob = Glob::parse(&"a**".repeat(300)).unwrap();
        assert!(!glob.matches(&format!("{}b", "a".repeat(299))));
        assert!(glob.matches(&"a".repeat(3000)));
    }

    fn naive(pattern: &[char], text: &[char]) -> bool {
        match pattern {
            [] => text.is_empty(),
            ['*', '*', rest @ ..] => (0..=text.len()).any(|n| naive(rest, &text[n..])),
            ['*', rest @ ..] => {
                (0..=text.len()).take_while(|n| !text[..*n].contains(&'/')).any(|n| naive(rest, &text[n..]))
            }
            ['?', rest @ ..] => text.split_first().is_some_and(|(_, tail)| naive(rest, tail)),
            [c, rest @ ..] => text.split_first().is_some_and(|(t, tail)| t == c && naive(rest, tail)),
        }
    }

    proptest! {
        #[test]
        fn it_agrees_with_the_definition(pattern in "[ab/*?]{1,8}", text in "[ab/]{0,9}") {
            let letters: Vec<char> = pattern.chars().collect();
            let chars: Vec<char> = text.chars().collect();
            prop_assert_eq!(Glob::parse(&pattern).unwrap().matches(&text), naive(&letters, &chars));
        }

        #[test]
        fn it_never_panics(pattern in ".{0,40}", text in ".{0,40}") {
            if let Ok(glob) = Glob::parse(&pattern) {
                glob.matches(&text);
            }
        }
    }
}
