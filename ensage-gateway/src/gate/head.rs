//! Start lines (RFC 9112 sections 3 and 4) and the fields behind them.

use super::fields::{Facts, Fields, Section, Step};
use super::lex::{Fault, TOKEN, Token, set_run, value_run};
use super::target::Target;
use super::{Kind, Limits};

/// Whose heads are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Side {
    Requests,
    Responses,
}

#[derive(Clone, Copy, Debug)]
enum At {
    Method,
    Target,
    /// This many bytes of `HTTP/1.` have come.
    Version(usize),
    Minor,
    /// Behind the version of a request.
    RequestCr,
    /// Behind the version of a response.
    StatusSpace,
    /// This many digits of the status have come.
    Status(u8),
    /// Behind the status: a space and a reason, or the end.
    ReasonSpace,
    Reason,
    StartLf,
    Fields,
}

/// Reads one head; [`clear`](Self::clear) makes it ready for the next.
///
/// ```text
/// requests:  Method -> Target -> Version -> Minor -> RequestCr -> StartLf -> Fields
/// responses: Version -> Minor -> StatusSpace -> Status -> ReasonSpace -> Reason -> StartLf -> Fields
/// ```
#[derive(Clone, Debug)]
pub(super) struct Head {
    side: Side,
    at: At,
    method: Token,
    target: Target,
    status: u16,
    fields: Fields,
    old: bool,
}

impl Head {
    pub(super) fn new(side: Side) -> Self {
        let mut head = Self {
            side,
            at: At::Method,
            method: Token::default(),
            target: Target::new(),
            status: 0,
            fields: Fields::new(Section::Head),
            old: false,
        };
        head.clear();
        head
    }

    pub(super) fn clear(&mut self) {
        self.at = match self.side {
            Side::Requests => At::Method,
            Side::Responses => At::Version(0),
        };
        self.method.clear();
        self.target.clear();
        self.status = 0;
        self.fields.clear();
        self.old = false;
    }

    /// True if the request's method is CONNECT (methods are case-sensitive).
    pub(super) fn is_connect(&self) -> bool {
        self.method.known() == Some(b"CONNECT")
    }

    pub(super) const fn status(&self) -> u16 {
        self.status
    }

    pub(super) const fn facts(&self) -> &Facts {
        &self.fields.facts
    }

    /// Reads on to the end of `bytes` or of the head.
    pub(super) fn read(&mut self, bytes: &[u8], limits: &Limits) -> Result<Step, Fault> {
        let mut taken = 0_usize;
        while let Some(rest) = bytes.get(taken..).filter(|r| !r.is_empty()) {
            match self.step(rest, limits).map_err(|fault| fault.after(taken))? {
                Step::Took(more) => taken = taken.saturating_add(more),
                Step::Ended(more) => return Ok(Step::Ended(taken.saturating_add(more))),
            }
        }
        Ok(Step::Took(taken))
    }

    fn step(&mut self, rest: &[u8], limits: &Limits) -> Result<Step, Fault> {
        let Some(&first) = rest.first() else { return Ok(Step::Took(0)) };
        match self.at {
            At::Method => self.method(rest, first),
            At::Target => self.target(rest, first, limits.target_bytes_max),
            At::Version(come) => self.version(rest, first, come),
            At::Minor => {
                self.old = match first {
                    b'1' => false,
                    b'0' => true,
                    _ => return Err(Fault::here("neither HTTP/1.1 nor HTTP/1.0")),
                };
                self.fields.facts.old = self.old;
                self.on(match self.side {
                    Side::Requests => At::RequestCr,
                    Side::Responses => At::StatusSpace,
                })
            }
            At::RequestCr => match first {
                b'\r' => self.on(At::StartLf),
                b'\n' => Err(Fault::here("a line feed without a carriage return")),
                _ => Err(Fault::here("a byte behind the version")),
            },
            At::StatusSpace => match first {
                b' ' => self.on(At::Status(0)),
                _ => Err(Fault::here("no space between version and status")),
            },
            At::Status(come) => self.status_digit(first, come),
            At::ReasonSpace => match first {
                b' ' => self.on(At::Reason),
                // RFC 9112 section 4 wants the space even without a reason; many servers leave it out, and
                // nothing can be read in two ways.
                b'\r' => self.on(At::StartLf),
                _ => Err(Fault::here("a byte behind the status")),
            },
            At::Reason => self.reason(rest, first),
            At::StartLf => match first {
                b'\n' => self.on(At::Fields),
                _ => Err(Fault::here("a carriage return without a line feed")),
            },
            At::Fields => self.field(rest, limits),
        }
    }

    fn on(&mut self, at: At) -> Result<Step, Fault> {
        self.at = at;
        Ok(Step::Took(1))
    }

    fn method(&mut self, rest: &[u8], first: u8) -> Result<Step, Fault> {
        let taken = set_run(rest, TOKEN);
        if taken > 0 {
            self.method.push(rest.get(..taken).unwrap_or_default());
            return Ok(Step::Took(taken));
        }
        match first {
            b' ' if !self.method.is_empty() => self.on(At::Target),
            _ => Err(Fault::here("a byte that may not stand in a method")),
        }
    }

    fn target(&mut self, rest: &[u8], first: u8, bytes_max: u64) -> Result<Step, Fault> {
        let connect = self.is_connect();
        if first == b' ' {
            self.target.finish(connect)?;
            return self.on(At::Version(0));
        }
        self.target.read(rest, connect, bytes_max).map(Step::Took)
    }

    fn version(&mut self, rest: &[u8], first: u8, come: usize) -> Result<Step, Fault> {
        const NAME: &[u8] = b"HTTP/1.";
        if come == 0 && rest.starts_with(NAME) {
            self.at = At::Minor;
            return Ok(Step::Took(NAME.len()));
        }
        let next = come.saturating_add(1);
        match NAME.get(come) {
            Some(letter) if *letter == first => self.on(if next == NAME.len() { At::Minor } else { At::Version(next) }),
            _ => Err(Fault::here("neither HTTP/1.1 nor HTTP/1.0")),
        }
    }

    fn status_digit(&mut self, first: u8, come: u8) -> Result<Step, Fault> {
        let digit = match (first, come) {
            (b'1'..=b'9', 0) | (b'0'..=b'9', 1 | 2) => u16::from(first.wrapping_sub(b'0')),
            _ => return Err(Fault::here("the status is not a number from 100 to 999")),
        };
        self.status = self.status.saturating_mul(10).saturating_add(digit);
        self.on(if come == 2 { At::ReasonSpace } else { At::Status(come.saturating_add(1)) })
    }

    fn reason(&mut self, rest: &[u8], first: u8) -> Result<Step, Fault> {
        let taken = value_run(rest);
        match first {
            _ if taken > 0 => Ok(Step::Took(taken)),
            b'\r' => self.on(At::StartLf),
            b'\n' => Err(Fault::here("a line feed without a carriage return")),
            _ => Err(Fault::here("a control byte in the reason phrase")),
        }
    }

    fn field(&mut self, rest: &[u8], limits: &Limits) -> Result<Step, Fault> {
        let step = self.fields.read(rest, limits.head_lines_max)?;
        if let Step::Ended(taken) = step {
            self.end().map_err(|fault| fault.after(taken.saturating_sub(1)))?;
        }
        Ok(step)
    }

    /// The rules that need the whole head.
    fn end(&self) -> Result<(), Fault> {
        let facts = self.facts();
        match self.side {
            Side::Requests if !facts.host && !facts.old => Err(Fault::here("no host field")),
            Side::Requests if self.is_connect() && (facts.chunked || facts.length.is_some_and(|l| l > 0)) => {
                Err(Fault::here("a CONNECT request with content"))
            }
            Side::Responses if matches!(self.status, 100..=199 | 204) => {
                if facts.chunked || facts.length.is_some_and(|l| l > 0) {
                    return Err(Fault::here("content announced by a status that has none"));
                }
                Ok(())
            }
            Side::Requests | Side::Responses => Ok(()),
        }
    }
}

impl Side {
    /// A fault of one side as the kind that its reader reports.
    pub(super) const fn kind(self, kind: Kind) -> Kind {
        match self {
            Self::Requests => kind,
            Self::Responses => Kind::Upstream,
        }
    }
}
