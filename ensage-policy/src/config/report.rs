//! What is wrong with a configuration, and where.

use std::collections::HashSet;
use std::fmt;
use std::ops::Range;

use serde::Serialize;

/// One thing that is wrong with a configuration, or that its author should know.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Diagnostic {
    /// Whether the file can be used all the same.
    #[serde(skip)]
    pub kind: Kind,
    /// The stable name of what is wrong.
    pub code: &'static str,
    /// The file, as it was named.
    pub file: String,
    /// Line, from 1.
    pub line: u32,
    /// Column in characters, from 1.
    pub column: u32,
    /// Path of the key, such as `gateway.listen[1]`; empty where a line could not be read.
    pub key: String,
    /// What is wrong, in one line.
    pub message: String,
    /// What to do about it, in one line.
    pub help: String,
}

/// Whether a finding keeps the file from being used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// The file is not used.
    Error,
    /// The file is used.
    Warning,
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match self.kind {
            Kind::Error => "error",
            Kind::Warning => "warning",
        };
        writeln!(f, "{}:{}:{}: {kind}: {}", self.file, self.line, self.column, self.message)?;
        write!(f, "  help: {}", self.help)
    }
}

macro_rules! codes {
    ($($variant:ident $code:literal),* $(,)?) => {
        /// The closed set of things that a configuration can have wrong.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(super) enum Code { $($variant,)* }

        impl Code {
            pub(super) const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $code,)* }
            }
        }
    };
}

codes! {
    Encoding "encoding",
    TooLarge "too_large",
    Syntax "syntax",
    Duplicate "duplicate",
    UnknownKey "unknown_key",
    MissingKey "missing_key",
    WrongType "wrong_type",
    BadName "bad_name",
    BadValue "bad_value",
    BadUnit "bad_unit",
    BadGlob "bad_glob",
    BadHost "bad_host",
    OutOfRange "out_of_range",
    DotSegment "dot_segment",
    DanglingReference "dangling_reference",
    CredentialHost "credential_host",
    CredentialPlaintext "credential_plaintext",
    CredentialEnv "credential_env",
    UrlOrCommand "url_or_command",
    Conflict "conflict",
    ChamberWider "chamber_wider",
    NoApprovers "no_approvers",
    NoEffect "no_effect",
    NotYet "not_yet",
}

/// Collects findings and knows the line and column of every byte.
#[derive(Debug)]
pub(super) struct Report<'t> {
    file: String,
    text: &'t str,
    /// Offset of the first byte of each line; never empty.
    lines: Vec<usize>,
    found: Vec<(Range<usize>, Diagnostic)>,
}

impl<'t> Report<'t> {
    pub(super) fn new(file: String, text: &'t str) -> Self {
        let breaks = text.bytes().enumerate().filter(|&(_, b)| b == b'\n').map(|(at, _)| at.saturating_add(1));
        let lines = std::iter::once(0).chain(breaks).collect();
        Self { file: printable(&file), text, lines, found: Vec::new() }
    }

    /// Line and column of a byte, both from 1.
    pub(super) fn position(&self, offset: usize) -> (u32, u32) {
        let offset = self.text.floor_char_boundary(offset.min(self.text.len()));
        let line = self.lines.partition_point(|&start| start <= offset);
        let start = self.lines.get(line.saturating_sub(1)).copied().unwrap_or(0);
        let before = self.text.get(start..offset).map_or(0, |t| t.chars().count());
        (count(line), count(before.saturating_add(1)))
    }

    pub(super) fn error(&mut self, code: Code, at: &Range<usize>, key: &str, message: String, help: String) {
        self.push(Kind::Error, code, at, key, message, help);
    }

    pub(super) fn warning(&mut self, code: Code, at: &Range<usize>, key: &str, message: String, help: String) {
        self.push(Kind::Warning, code, at, key, message, help);
    }

    /// True if something at this path or below it can't be used.
    pub(super) fn has_error_below(&self, path: &str) -> bool {
        let below =
            |key: &str| key.strip_prefix(path).is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']));
        self.found.iter().any(|(_, d)| d.kind == Kind::Error && d.code != Code::NotYet.as_str() && below(&d.key))
    }

    /// Errors and warnings, each in the order of the file.
    pub(super) fn finish(mut self) -> (Vec<Diagnostic>, Vec<Diagnostic>) {
        self.leave_out_echoes();
        self.found.sort_by_key(|(at, _)| at.start);
        self.found.into_iter().map(|(_, d)| d).partition(|d| d.kind == Kind::Error)
    }

    /// Takes out what is only the echo of a line that could not be read: other findings on that line, and keys
    /// and names that may be missing because of it.
    fn leave_out_echoes(&mut self) {
        let syntax = Code::Syntax.as_str();
        let broken: HashSet<u32> = self.found.iter().filter(|(_, d)| d.code == syntax).map(|(_, d)| d.line).collect();
        if broken.is_empty() {
            return;
        }
        let absent = [Code::MissingKey.as_str(), Code::DanglingReference.as_str()];
        let mut seen = HashSet::new();
        self.found.retain(|(at, d)| {
            if d.code == syntax {
                // One broken line often breaks in several places; the first of them is the cause.
                return seen.insert(d.line);
            }
            // A value that was made up for one that could not be read stands nowhere.
            let echo = at.is_empty() || absent.contains(&d.code) || broken.contains(&d.line);
            d.code == Code::Duplicate.as_str() || !echo
        });
    }

    fn push(&mut self, kind: Kind, code: Code, at: &Range<usize>, key: &str, message: String, help: String) {
        let (line, column) = self.position(at.start);
        let (code, file, key) = (code.as_str(), self.file.clone(), printable(key));
        let (message, help) = (printable(&message), printable(&help));
        self.found.push((at.clone(), Diagnostic { kind, code, file, line, column, key, message, help }));
    }
}

/// One line without a character that a terminal would obey instead of showing it.
fn printable(text: &str) -> String {
    let shown = |c: char| if c == '"' || c == '\'' || c == '\\' { c.into() } else { c.escape_debug().to_string() };
    text.chars().map(shown).collect()
}

fn count(n: usize) -> u32 {
    u32::try_from(n).unwrap_or(u32::MAX)
}
