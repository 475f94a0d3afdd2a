//! What commands print: data to stdout, talk to stderr, and the failures of interface section 1.

use std::io::{self, Write};

use serde_json::{Value, json};

pub(crate) use crate::telemetry::chain;

/// A failure of a command, with the code that scripts test for.
#[derive(Debug)]
pub(crate) struct Failure {
    /// Exit code: 1 refused or failed, 2 usage, 125 under `run`.
    pub(crate) exit: u8,
    /// A code of interface section 1.
    pub(crate) code: &'static str,
    /// What went wrong.
    pub(crate) message: String,
    /// What to do about it.
    pub(crate) remedy: Option<String>,
    /// Already printed, in a form of its own.
    pub(crate) told: bool,
}

impl Failure {
    pub(crate) fn new(code: &'static str, message: impl Into<String>) -> Self {
        let exit = if matches!(code, "usage" | "untrusted_config") { 2 } else { 1 };
        Self { exit, code, message: message.into(), remedy: None, told: false }
    }

    pub(crate) fn remedy(mut self, remedy: impl Into<String>) -> Self {
        self.remedy = Some(remedy.into());
        self
    }

    pub(crate) fn exit(mut self, exit: u8) -> Self {
        self.exit = exit;
        self
    }

    pub(crate) fn internal(error: impl std::error::Error) -> Self {
        Self::new("internal", chain(&error))
    }
}

/// Where a command prints.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Output {
    /// `--json`
    pub(crate) json: bool,
    /// `-q`
    pub(crate) quiet: bool,
}

impl Output {
    /// One document, or what a person reads.
    pub(crate) fn document(
        self,
        name: &str,
        mut body: Value,
        text: impl FnOnce(&Value) -> String,
    ) -> Result<(), Failure> {
        if !self.json {
            return self.line(&text(&body));
        }
        if let Some(map) = body.as_object_mut() {
            map.insert("schema".to_owned(), Value::from(format!("ensage.{name}.v1")));
        }
        self.line(&format!("{body}\n"))
    }

    /// Bytes to stdout. A reader that has gone is no failure of ours, but nothing more needs to be said.
    pub(crate) fn line(self, text: &str) -> Result<(), Failure> {
        let mut out = io::stdout().lock();
        match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
            Ok(()) => Ok(()),
            Err(e) if e.kind() == io::ErrorKind::BrokenPipe => Ok(()),
            Err(e) => Err(Failure::internal(e)),
        }
    }

    /// Talk, on stderr.
    pub(crate) fn say(self, text: &str) {
        if !self.quiet {
            let _ = writeln!(io::stderr().lock(), "ensage: {text}");
        }
    }

    /// A failure, on stderr, and as a document where `--json` asked for one.
    pub(crate) fn failed(self, failure: &Failure) {
        if self.json && !failure.told {
            let mut body = json!({ "schema": "ensage.error.v1", "error": failure.code, "message": failure.message });
            if let (Some(map), Some(remedy)) = (body.as_object_mut(), &failure.remedy) {
                map.insert("remedy".to_owned(), Value::from(remedy.as_str()));
            }
            let _ = self.line(&format!("{body}\n"));
            return;
        }
        if failure.told {
            return;
        }
        let mut err = io::stderr().lock();
        let _ = writeln!(err, "ensage: error: {}", failure.message);
        if let Some(remedy) = &failure.remedy {
            let _ = writeln!(err, "  help: {remedy}");
        }
    }
}

/// Rows under heads, padded to columns.
pub(crate) fn table(heads: &[&str], rows: &[Vec<String>]) -> String {
    let mut widths: Vec<usize> = heads.iter().map(|h| h.chars().count()).collect();
    for row in rows {
        for (w, cell) in widths.iter_mut().zip(row) {
            *w = (*w).max(cell.chars().count());
        }
    }
    let mut out = String::new();
    let heads: Vec<String> = heads.iter().map(|h| h.to_uppercase()).collect();
    for row in std::iter::once(&heads).chain(rows) {
        let mut line = String::new();
        for (w, cell) in widths.iter().zip(row) {
            line.push_str(cell);
            line.extend(std::iter::repeat_n(' ', w.saturating_sub(cell.chars().count()) + 2));
        }
        out.push_str(line.trim_end());
        out.push('\n');
    }
    out
}
