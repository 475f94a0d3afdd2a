//! The state machine of one direction of one connection: bytes in, how many of them may be shown out.

use super::chunk::{Chunks, count_down};
use super::fields::Step;
use super::head::{Head, Side};
use super::lex::Fault;
use super::{Kind, Limits, Violation};

/// What a response is the answer to; it decides where the response ends (RFC 9112 section 6.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asked {
    /// Any method but the next two.
    Other,
    /// HEAD: the answer has no content.
    Head,
    /// CONNECT: what follows a 2xx is no HTTP.
    Connect,
    /// A request with `Upgrade`: what follows a 101 is no HTTP.
    Upgrade,
}

impl From<&http::Method> for Asked {
    fn from(method: &http::Method) -> Self {
        match *method {
            http::Method::HEAD => Self::Head,
            http::Method::CONNECT => Self::Connect,
            _ => Self::Other,
        }
    }
}

/// How many of the fed bytes may be shown, and why not all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seen {
    /// The bytes from the first on that may be shown. Of a refused head none that came with its fault.
    pub shown: usize,
    /// Why the rest was not read; `None` if there is no rest.
    pub stop: Option<Stop>,
}

/// Why an inspector stopped reading.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stop {
    /// A CONNECT or an upgrade lies before: what follows is HTTP after [`Inspector::resume`] and none after
    /// [`Inspector::open`]. The bytes that were not shown are to be fed again.
    Held,
    /// A rule was broken: final.
    Refused(Violation),
}

/// Where in the stream the next byte stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Between messages.
    Idle,
    /// Behind an empty line's carriage return, before a request.
    BlankCr,
    /// In a head that began at this byte.
    Head(u64),
    /// This many bytes of content left.
    Length(u64),
    Chunked,
    UntilClose,
    Held,
    /// Behind a message that said it is the last one.
    Closed,
    /// No HTTP any more.
    Open,
    Refused(Violation),
}

/// Reads along with one direction of a connection; pure, and the same verdict whatever the chunking.
///
/// ```text
/// requests:  Idle -> [BlankCr -> Idle] -> Head -> Length | Chunked -> Idle | Held | Closed
///            Held -> Idle | Closed (resume), Open (open)
/// responses: Idle -> Head -> (1xx) Idle | Length | Chunked | UntilClose | Open -> Idle
/// any -> Refused
/// ```
#[derive(Clone, Debug)]
pub struct Inspector {
    side: Side,
    limits: Limits,
    state: State,
    head: Head,
    chunks: Chunks,
    offset: u64,
    heads: u64,
    blank_lines: u8,
    interim: u8,
    asked: Option<Asked>,
    /// A refusal came amid content.
    cut: bool,
}

impl Inspector {
    /// More 1xx answers than this before a final one are refused.
    pub const INTERIM_MAX: u8 = 16;

    /// For what a client sends.
    pub fn requests(limits: Limits) -> Self {
        Self::new(Side::Requests, limits)
    }

    /// For what an upstream sends.
    pub fn responses(limits: Limits) -> Self {
        Self::new(Side::Responses, limits)
    }

    fn new(side: Side, limits: Limits) -> Self {
        Self {
            side,
            limits,
            state: State::Idle,
            head: Head::new(side),
            chunks: Chunks::new(),
            offset: 0,
            heads: 0,
            blank_lines: 0,
            interim: 0,
            asked: None,
            cut: false,
        }
    }

    /// Says to what the next response is the answer; without it any byte of an upstream is refused.
    pub fn expect(&mut self, asked: Asked) {
        self.asked = Some(asked);
        self.interim = 0;
    }

    /// The CONNECT or upgrade was not granted: what follows is HTTP again.
    pub fn resume(&mut self) {
        if self.state == State::Held {
            self.state = self.rest();
        }
    }

    /// The CONNECT or upgrade was granted: what follows is not ours to judge.
    pub fn open(&mut self) {
        if self.state == State::Held {
            self.state = State::Open;
        }
    }

    /// How many final heads have been shown whole: requests, or responses but for 1xx.
    pub const fn heads(&self) -> u64 {
        self.heads
    }

    /// True between messages.
    pub const fn is_idle(&self) -> bool {
        matches!(self.state, State::Idle | State::Closed | State::Held)
    }

    /// True if a head, or an empty line before it, has begun and not ended.
    pub const fn is_in_head(&self) -> bool {
        matches!(self.state, State::Head(_) | State::BlankCr)
    }

    /// True from the end of a CONNECT or upgrade request on until it is decided.
    pub const fn is_held(&self) -> bool {
        matches!(self.state, State::Held)
    }

    /// True once what comes is no HTTP any more.
    pub const fn is_open(&self) -> bool {
        matches!(self.state, State::Open)
    }

    /// True while content is read.
    pub const fn is_in_body(&self) -> bool {
        matches!(self.state, State::Length(_) | State::Chunked | State::UntilClose)
    }

    /// How many messages the other side of the connection still owes an answer before a refusal may be told: of a
    /// request refused amid its content the head has been shown, and its reader must learn that no more comes.
    pub(super) const fn owed(&self) -> u64 {
        match (self.side, self.cut) {
            (Side::Responses, _) => 0,
            (Side::Requests, true) => self.heads.saturating_sub(1),
            (Side::Requests, false) => self.heads,
        }
    }

    /// True if the refusal came amid the content of a message whose head has been shown.
    pub(super) const fn is_cut(&self) -> bool {
        self.cut
    }

    /// The broken rule, if one was.
    pub const fn violation(&self) -> Option<Violation> {
        match self.state {
            State::Refused(violation) => Some(violation),
            _ => None,
        }
    }

    /// Ends the stream for a reason that lies outside its bytes.
    pub fn refuse(&mut self, kind: Kind, detail: &'static str) -> Violation {
        let violation = Violation { kind, detail, offset: self.offset };
        self.state = State::Refused(violation);
        violation
    }

    /// Reads the bytes that follow all bytes shown so far.
    pub fn feed(&mut self, bytes: &[u8]) -> Seen {
        let mut rest = bytes;
        let mut shown = 0_usize;
        while !rest.is_empty() {
            if self.state == State::Held {
                return Seen { shown, stop: Some(Stop::Held) };
            }
            let taken = match self.step(rest) {
                Ok(taken) => taken,
                Err(fault) => return Seen { shown, stop: Some(Stop::Refused(self.fail(fault))) },
            };
            rest = rest.get(taken..).unwrap_or_default();
            self.offset = self.offset.saturating_add(u64::try_from(taken).unwrap_or(u64::MAX));
            // A head is shown when it is whole, or when the bytes at hand end before it.
            if rest.is_empty() || !matches!(self.state, State::Head(_)) {
                shown = bytes.len().saturating_sub(rest.len());
            }
        }
        Seen { shown, stop: None }
    }

    /// Reads on in `rest`, which is not empty, and says how many bytes were taken.
    fn step(&mut self, rest: &[u8]) -> Result<usize, Fault> {
        match self.state {
            State::Idle => self.begin(rest),
            State::BlankCr if rest.first() == Some(&b'\n') => {
                self.state = State::Idle;
                Ok(1)
            }
            State::BlankCr => Err(Fault::here("a carriage return without a line feed")),
            State::Head(start) => self.head(rest, start),
            State::Length(left) => {
                let (taken, left) = count_down(left, rest.len());
                self.state = if left == 0 { self.rest() } else { State::Length(left) };
                Ok(taken)
            }
            State::Chunked => match self.chunks.read(rest, &self.limits)? {
                Step::Took(taken) => Ok(taken),
                Step::Ended(taken) => {
                    self.state = self.rest();
                    Ok(taken)
                }
            },
            State::Closed => match rest.first() {
                // Some old clients end their content with an empty line; nothing is made of it.
                Some(b'\r' | b'\n') => Ok(1),
                _ => Err(Fault::here("bytes behind a message that closes the connection")),
            },
            State::UntilClose | State::Open => Ok(rest.len()),
            // `feed` does not come here while held.
            State::Held => Ok(0),
            State::Refused(Violation { kind, detail, .. }) => Err(Fault::here(detail).of(kind)),
        }
    }

    fn begin(&mut self, rest: &[u8]) -> Result<usize, Fault> {
        match (self.side, rest.first()) {
            (Side::Responses, _) if self.asked.is_none() => Err(Fault::here("an answer that nobody asked for")),
            // RFC 9112 section 2.2: at least one empty line before a request is to be ignored.
            (Side::Requests, Some(b'\r')) if self.blank_lines == 0 => {
                self.blank_lines = 1;
                self.state = State::BlankCr;
                Ok(1)
            }
            (Side::Requests, Some(b'\r' | b'\n')) => Err(Fault::here("empty lines before a request")),
            _ => {
                self.head.clear();
                self.state = State::Head(self.offset);
                Ok(0)
            }
        }
    }

    fn head(&mut self, rest: &[u8], start: u64) -> Result<usize, Fault> {
        let come = self.offset.saturating_sub(start);
        let room = self.limits.head_bytes_max.saturating_sub(come);
        let window = rest.get(..usize::try_from(room).unwrap_or(usize::MAX)).unwrap_or(rest);
        if window.is_empty() {
            return Err(Fault::here("the head is too long").of(Kind::HeaderTooLarge));
        }
        match self.head.read(window, &self.limits)? {
            Step::Took(taken) => Ok(taken),
            Step::Ended(taken) => {
                // What speaks against a whole head is told of its last byte, however the head was cut.
                self.state = self.body().map_err(|fault| Fault { ahead: taken.saturating_sub(1), ..fault })?;
                Ok(taken)
            }
        }
    }

    /// What follows the head that has just ended (RFC 9112 section 6.3).
    fn body(&mut self) -> Result<State, Fault> {
        let facts = *self.head.facts();
        if self.side == Side::Responses {
            if let Some(state) = self.bodiless()? {
                return Ok(state);
            }
            self.asked = None;
        }
        self.heads = self.heads.saturating_add(1);
        Ok(match (self.side, facts.length) {
            _ if facts.chunked => {
                self.chunks.clear();
                State::Chunked
            }
            (_, Some(length)) if length > 0 => State::Length(length),
            (Side::Responses, None) => State::UntilClose,
            _ => self.rest(),
        })
    }

    /// A response that has no content whatever its fields say.
    fn bodiless(&mut self) -> Result<Option<State>, Fault> {
        let status = self.head.status();
        let asked = self.asked;
        let state = match (status, asked) {
            (101, Some(Asked::Upgrade)) | (200..=299, Some(Asked::Connect)) => State::Open,
            (101, _) => return Err(Fault::here("a change of protocol that nobody asked for")),
            (100..=199, _) if self.interim == Self::INTERIM_MAX => {
                return Err(Fault::here("too many interim answers"));
            }
            (100..=199, _) => {
                self.interim = self.interim.saturating_add(1);
                return Ok(Some(State::Idle));
            }
            (204 | 304, _) | (_, Some(Asked::Head)) => self.rest(),
            _ => return Ok(None),
        };
        self.asked = None;
        self.heads = self.heads.saturating_add(1);
        Ok(Some(state))
    }

    /// Where the stream rests when a message has ended.
    fn rest(&mut self) -> State {
        self.blank_lines = 0;
        let facts = self.head.facts();
        let closes = facts.close || (facts.old && !facts.keep_alive);
        let holds = self.head.is_connect() || (facts.upgrade && facts.upgrade_option && !facts.old);
        match self.side {
            Side::Requests if holds && self.state != State::Held => State::Held,
            _ if closes => State::Closed,
            Side::Requests | Side::Responses => State::Idle,
        }
    }

    fn fail(&mut self, fault: Fault) -> Violation {
        if let State::Refused(violation) = self.state {
            return violation;
        }
        self.cut = self.is_in_body();
        let ahead = u64::try_from(fault.ahead).unwrap_or(u64::MAX);
        let offset = self.offset.saturating_add(ahead);
        let violation = Violation { kind: self.side.kind(fault.kind), detail: fault.detail, offset };
        self.state = State::Refused(violation);
        violation
    }
}
