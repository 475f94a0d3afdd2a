//! Questions about the past: which records match, with the close of each call merged into it.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::io;
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use uuid::Uuid;

use crate::clock::Stamp;
use crate::error::ReadError;
use crate::query::facts::Facts;
use crate::query::window::Window;
use crate::read::{CLOCK_SLACK, Found, Records};

mod facts;
mod merge;
mod window;

/// Most calls that a follower keeps to show their close; of further ones it shows the beginning only.
const SHOWN_MAX: usize = 65_536;

/// What `--decision` asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// Calls that were let through, would-be denials included.
    Allow,
    /// Calls that were refused, and those that enforce mode would have refused.
    Deny,
}

/// What is printed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Form {
    /// Each `end` merged into its `call`.
    #[default]
    Merged,
    /// What is stored. With a filter, an `end` is printed if its `call` was.
    Raw,
}

/// Which records are asked for. Everything that is set must hold.
#[derive(Clone, Copy, Default)]
pub struct Query<'q> {
    /// Not older than this.
    pub since: Option<SystemTime>,
    /// Older than this.
    pub until: Option<SystemTime>,
    /// The agent's name.
    pub agent: Option<&'q str>,
    /// The session's id.
    pub session: Option<&'q str>,
    /// The enclave's name.
    pub enclave: Option<&'q str>,
    /// Calls of a tool that it accepts.
    pub tool: Option<&'q dyn Fn(&str) -> bool>,
    /// Calls with this decision.
    pub decision: Option<Decision>,
    /// The newest so many of those that match, still printed oldest first.
    pub limit: Option<usize>,
    /// What is printed.
    pub form: Form,
}

impl std::fmt::Debug for Query<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Query").field("since", &self.since).field("until", &self.until).finish_non_exhaustive()
    }
}

/// How a query went.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    /// Lines that were printed.
    pub lines: u64,
    /// Places that hold no readable record; `verify` tells more.
    pub damaged: u64,
}

/// Why a query ended early.
#[derive(Debug, thiserror::Error)]
pub enum QueryError {
    /// The log can't be read.
    #[error("cannot read the audit log")]
    Read(#[source] ReadError),
    /// Whoever takes the lines takes no more.
    #[error("cannot print a record")]
    Print(#[source] io::Error),
}

/// Takes the lines, each one JSON object without a line feed.
pub type Printer<'p> = dyn FnMut(&str) -> io::Result<()> + 'p;

/// Prints every record of the log in `dir` (`STATE/audit`) that matches, oldest first.
///
/// Memory is bounded whatever the log holds: lines that wait for the close of an earlier call take 32 MiB at most
/// (with a limit, that many lines).
///
/// # Errors
/// [`QueryError`]
pub fn run(dir: &Path, query: &Query<'_>, print: &mut Printer<'_>) -> Result<Outcome, QueryError> {
    let mut follow = Follow::start(dir, *query)?;
    follow.advance(print)?;
    follow.window.leave_open();
    follow.print_ready(print)?;
    Ok(follow.outcome)
}

/// A query that goes on: what matches and is there now, then what comes.
pub struct Follow<'q> {
    records: Records,
    query: Query<'q>,
    since: Option<Stamp>,
    until: Option<Stamp>,
    window: Window,
    /// Calls that were printed while they ran.
    shown: HashMap<Uuid, String>,
    /// Raw form: calls that matched, until their `end`.
    matched: HashSet<Uuid>,
    outcome: Outcome,
}

impl std::fmt::Debug for Follow<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Follow").field("query", &self.query).finish_non_exhaustive()
    }
}

impl<'q> Follow<'q> {
    /// Begins at the oldest record that can match.
    ///
    /// # Errors
    /// [`QueryError::Read`]
    pub fn start(dir: &Path, query: Query<'q>) -> Result<Self, QueryError> {
        Ok(Self {
            records: Records::since(dir, query.since).map_err(|err| QueryError::Read(err.into()))?,
            query,
            since: query.since.map(Stamp::of),
            until: query.until.map(Stamp::of),
            window: Window::new(query.limit),
            shown: HashMap::new(),
            matched: HashSet::new(),
            outcome: Outcome::default(),
        })
    }

    /// Prints what is new and matches; call it again after a while. A limit holds for the first time only.
    ///
    /// A call that is not over is printed with `"open":true`, and once more when it is.
    ///
    /// # Errors
    /// [`QueryError`]
    pub fn poll(&mut self, print: &mut Printer<'_>) -> Result<Outcome, QueryError> {
        self.advance(print)?;
        for (id, line) in self.window.leave_open() {
            if self.shown.len() < SHOWN_MAX {
                self.shown.insert(id, line);
            }
        }
        self.print_ready(print)?;
        self.window.lift_limit();
        Ok(self.outcome)
    }

    /// Reads to the present end of the log.
    fn advance(&mut self, print: &mut Printer<'_>) -> Result<(), QueryError> {
        let last = self.query.until.and_then(|t| t.checked_add(CLOCK_SLACK)).map(Stamp::of);
        while let Some(found) = self.records.next().map_err(QueryError::Read)? {
            let line = match found {
                Found::Record(record) => record.line,
                Found::Damage { .. } => {
                    self.outcome.damaged += 1;
                    continue;
                }
            };
            let Ok(facts) = serde_json::from_str::<Facts<'_>>(line) else {
                self.outcome.damaged += 1;
                continue;
            };
            if last.is_some_and(|last| facts.time > last.as_str()) && !self.window.waits() {
                break;
            }
            let in_time = self.since.is_none_or(|since| facts.time >= since.as_str())
                && self.until.is_none_or(|until| facts.time < until.as_str());
            match self.query.form {
                Form::Raw => {
                    if in_time && facts.matches_raw(&self.query, &mut self.matched) {
                        self.window.push(line.to_owned(), None);
                    }
                }
                Form::Merged => {
                    facts.close(line, &mut self.window, &mut self.shown);
                    if in_time && facts.kind != "end" && facts.matches(&self.query) {
                        self.window.push(line.to_owned(), facts.waits());
                    }
                }
            }
            if self.window.is_full() {
                self.look_ahead()?;
            }
            self.print_ready(print)?;
        }
        Ok(())
    }

    /// Finds the close of every call that the window waits for, so that it need not grow over its bound.
    fn look_ahead(&mut self) -> Result<(), QueryError> {
        let mut ahead = self.records.fork().map_err(|err| QueryError::Read(err.into()))?;
        let mut none = HashMap::new();
        while self.window.waits() {
            match ahead.next().map_err(QueryError::Read)? {
                Some(Found::Record(record)) => {
                    if let Ok(facts) = serde_json::from_str::<Facts<'_>>(record.line) {
                        facts.close(record.line, &mut self.window, &mut none);
                    }
                }
                Some(Found::Damage { .. }) => {}
                None => break,
            }
        }
        self.window.leave_open();
        Ok(())
    }

    fn print_ready(&mut self, print: &mut Printer<'_>) -> Result<(), QueryError> {
        while let Some(line) = self.window.pop_ready() {
            print(&line).map_err(QueryError::Print)?;
            self.outcome.lines += 1;
        }
        Ok(())
    }
}

/// The record with this id, a call with its close; reads from the time that a UUIDv7 names.
///
/// # Errors
/// [`ReadError`]
pub fn find(dir: &Path, id: Uuid) -> Result<Option<String>, ReadError> {
    let mut records = Records::since(dir, born(id))?;
    let mut window = Window::new(None);
    let text = id.hyphenated().to_string();
    while let Some(found) = records.next()? {
        let Found::Record(record) = found else { continue };
        // Most lines end here: an id has no other spelling in a record.
        if !record.line.contains(&text) && !record.line.contains("\"kind\":\"gateway\"") {
            continue;
        }
        let Ok(facts) = serde_json::from_str::<Facts<'_>>(record.line) else { continue };
        facts.close(record.line, &mut window, &mut HashMap::new());
        if facts.id == text && facts.kind != "end" {
            window.push(record.line.to_owned(), facts.waits());
        }
        if let Some(line) = window.pop_ready() {
            return Ok(Some(line));
        }
    }
    window.leave_open();
    Ok(window.pop_ready())
}

/// What became of the calls of one session (the last line of `run`).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// Calls that were let through.
    pub allowed: u64,
    /// Calls that were refused.
    pub denied: u64,
    /// Calls that were let through and that enforce mode would have refused.
    pub would_deny: u64,
    /// Connections that were let through and whose client refused our certificate.
    pub certificate_refusals: u64,
    /// How many refused calls had which reason.
    pub reasons: BTreeMap<String, u64>,
}

/// Counts the calls of a session.
///
/// # Errors
/// [`ReadError`]
pub fn summary(dir: &Path, session: Uuid) -> Result<Summary, ReadError> {
    let mut records = Records::since(dir, born(session))?;
    let mut summary = Summary::default();
    let text = session.hyphenated().to_string();
    let query = Query { session: Some(&text), ..Query::default() };
    while let Some(found) = records.next()? {
        let Found::Record(record) = found else { continue };
        let Ok(facts) = serde_json::from_str::<Facts<'_>>(record.line) else { continue };
        if facts.kind != "call" || !facts.matches(&query) {
            continue;
        }
        if facts.decision == Some("deny") {
            summary.denied += 1;
            *summary.reasons.entry(facts.reason.unwrap_or_default().into_owned()).or_default() += 1;
        } else {
            summary.allowed += 1;
            summary.would_deny += u64::from(facts.would == Some("deny"));
            // A CONNECT that goes well has no record of its own.
            summary.certificate_refusals += u64::from(facts.call_type == Some("connect"));
        }
    }
    Ok(summary)
}

/// When a UUIDv7 was made.
fn born(id: Uuid) -> Option<SystemTime> {
    let (seconds, nanos) = id.get_timestamp()?.to_unix();
    UNIX_EPOCH.checked_add(Duration::new(seconds, nanos))
}

#[cfg(test)]
mod tests;
