//! Field lines of heads and trailer sections (RFC 9112 section 5), and what framing needs to know of them.

use super::lex::{Fault, TOKEN, Token, is_ows, is_token, set_run, value_run};

/// Fields that do not pass in a trailer section: framing, routing, and whatever carries a credential (RFC 9110 section
/// 6.5.1). A recipient that merges them into the head would read another message than the one that was judged.
const NOT_IN_TRAILERS: &[&str] = &[
    "alt-svc",
    "alt-used",
    "api-key",
    "authorization",
    "connection",
    "content-encoding",
    "content-length",
    "content-range",
    "content-type",
    "cookie",
    "expect",
    "host",
    "http2-settings",
    "keep-alive",
    "max-forwards",
    "proxy-authenticate",
    "proxy-authorization",
    "proxy-connection",
    "set-cookie",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "www-authenticate",
    "x-api-key",
    "x-goog-api-key",
];

/// Fields that `Connection` may not nominate: without them the next hop reads another message.
const NOT_NOMINATED: &[&str] = &[
    "content-encoding",
    "content-length",
    "content-type",
    "host",
    "mcp-method",
    "mcp-name",
    "mcp-protocol-version",
    "mcp-session-id",
    "transfer-encoding",
];

/// Names that some servers read as the framing fields.
const FRAMING_TWINS: &[&str] = &["content_length", "transfer_encoding"];

/// True if this is a field name of HTTP/1: a token (RFC 9110 section 5.6.2).
pub(crate) fn is_field_name(name: &str) -> bool {
    !name.is_empty() && set_run(name.as_bytes(), TOKEN) == name.len()
}

/// True if some servers read a field of this name as one of framing.
pub(crate) fn is_framing_twin(name: &str) -> bool {
    FRAMING_TWINS.contains(&name)
}

/// True if a trailer field of this name may be passed on (contract section 4).
pub fn trailer_passes(name: &http::HeaderName) -> bool {
    !NOT_IN_TRAILERS.contains(&name.as_str()) && !is_framing_twin(name.as_str())
}

/// Which field lines are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Section {
    Head,
    /// Only form is judged; the exchange drops what may not pass ([`trailer_passes`]).
    Trailers,
}

/// What a head's fields say about its message.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Facts {
    /// `HTTP/1.0`; known before the fields are read.
    pub(super) old: bool,
    pub(super) host: bool,
    pub(super) length: Option<u64>,
    pub(super) chunked: bool,
    pub(super) close: bool,
    pub(super) keep_alive: bool,
    /// `Connection: upgrade`
    pub(super) upgrade_option: bool,
    /// An `Upgrade` field.
    pub(super) upgrade: bool,
}

/// Bytes taken, and whether the section ended with them.
#[derive(Clone, Copy, Debug)]
pub(super) enum Step {
    Took(usize),
    Ended(usize),
}

#[derive(Clone, Copy, Debug)]
enum At {
    /// At a line's first byte.
    Line,
    Name,
    Value,
    ValueLf,
    EndLf,
}

/// Reads field lines up to the empty line that ends them.
///
/// `Line -> Name -> Value -> ValueLf -> Line ...; Line -> EndLf -> ended`
#[derive(Clone, Debug)]
pub(super) struct Fields {
    section: Section,
    at: At,
    lines: u64,
    name: Token,
    value: Value,
    pub(super) facts: Facts,
}

impl Fields {
    pub(super) fn new(section: Section) -> Self {
        let facts = Facts::default();
        Self { section, at: At::Line, lines: 0, name: Token::default(), value: Value::Plain, facts }
    }

    pub(super) fn clear(&mut self) {
        self.at = At::Line;
        self.lines = 0;
        self.facts = Facts::default();
    }

    /// Reads on to the end of `bytes` or of the section.
    pub(super) fn read(&mut self, bytes: &[u8], lines_max: u64) -> Result<Step, Fault> {
        let mut taken = 0_usize;
        while let Some((&first, _)) = bytes.get(taken..).and_then(<[u8]>::split_first) {
            let rest = bytes.get(taken..).unwrap_or_default();
            let more = match self.at {
                At::Line => self.line(first, lines_max),
                At::Name => self.name(rest, first),
                At::Value => self.value(rest, first),
                At::ValueLf if first == b'\n' => {
                    self.at = At::Line;
                    Ok(1)
                }
                At::EndLf if first == b'\n' => return Ok(Step::Ended(taken.saturating_add(1))),
                At::ValueLf | At::EndLf => Err(Fault::here("a carriage return without a line feed")),
            };
            taken = taken.saturating_add(more.map_err(|fault| fault.after(taken))?);
        }
        Ok(Step::Took(taken))
    }

    fn line(&mut self, first: u8, lines_max: u64) -> Result<usize, Fault> {
        match first {
            b'\r' => {
                self.at = At::EndLf;
                Ok(1)
            }
            b'\n' => Err(Fault::here("a line feed without a carriage return")),
            b' ' | b'\t' => Err(Fault::here("a line that begins with white space")),
            _ if is_token(first) => {
                if self.lines == lines_max {
                    return Err(Fault::here("too many field lines").of(super::Kind::HeaderTooLarge));
                }
                self.lines = self.lines.saturating_add(1);
                self.name.clear();
                self.at = At::Name;
                Ok(0)
            }
            _ => Err(Fault::here("a byte that may not stand in a field name")),
        }
    }

    fn name(&mut self, rest: &[u8], first: u8) -> Result<usize, Fault> {
        let taken = set_run(rest, TOKEN);
        if taken > 0 {
            self.name.push(rest.get(..taken).unwrap_or_default());
            return Ok(taken);
        }
        if first != b':' {
            return Err(Fault::here(match first {
                b' ' | b'\t' => "white space before the colon of a field",
                b'\r' | b'\n' => "a field line without a colon",
                _ => "a byte that may not stand in a field name",
            }));
        }
        self.value = match self.section {
            Section::Head => self.named()?,
            Section::Trailers => Value::Plain,
        };
        self.at = At::Value;
        Ok(1)
    }

    /// Which value the name announces; framing said twice, or in two ways, is refused here.
    fn named(&mut self) -> Result<Value, Fault> {
        // No name of another length is known below.
        if !matches!(self.name.len(), 4 | 7 | 10 | 14 | 17) {
            return Ok(Value::Plain);
        }
        let facts = &mut self.facts;
        if self.name.is("host") {
            if facts.host {
                return Err(Fault::here("more than one host field"));
            }
            facts.host = true;
        } else if self.name.is("content-length") {
            if facts.length.is_some() {
                return Err(Fault::here("more than one content-length field"));
            }
            if facts.chunked {
                return Err(Fault::here("content-length beside transfer-encoding"));
            }
            facts.length = Some(0);
            return Ok(Value::Length { part: Part::Before, length: 0 });
        } else if self.name.is("transfer-encoding") {
            if facts.chunked {
                return Err(Fault::here("more than one transfer-encoding field"));
            }
            if facts.length.is_some() {
                return Err(Fault::here("transfer-encoding beside content-length"));
            }
            if facts.old {
                return Err(Fault::here("transfer-encoding in an HTTP/1.0 message"));
            }
            facts.chunked = true;
            return Ok(Value::Coding { part: Part::Before, matched: 0 });
        } else if self.name.is("connection") {
            return Ok(Value::Options { option: Token::default(), part: Part::Before });
        } else if self.name.is("upgrade") {
            facts.upgrade = true;
        } else if self.name.is_any(FRAMING_TWINS) {
            return Err(Fault::here("an underscore in the name of a framing field"));
        }
        Ok(Value::Plain)
    }

    fn value(&mut self, rest: &[u8], first: u8) -> Result<usize, Fault> {
        let taken = value_run(rest);
        if taken > 0 {
            self.value.read(rest.get(..taken).unwrap_or_default(), &mut self.facts)?;
            if matches!(self.value, Value::Plain) && rest.get(taken..).is_some_and(|r| r.starts_with(b"\r\n")) {
                self.at = At::Line;
                return Ok(taken.saturating_add(2));
            }
            return Ok(taken);
        }
        match first {
            b'\r' => {
                self.value.finish(&mut self.facts)?;
                self.at = At::ValueLf;
                Ok(1)
            }
            b'\n' => Err(Fault::here("a line feed without a carriage return")),
            _ => Err(Fault::here("a control byte in a field value")),
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    Before,
    Inside,
    After,
}

/// The value of a field line, as far as framing needs it.
#[derive(Clone, Copy, Debug)]
enum Value {
    Plain,
    /// `1*DIGIT`
    Length {
        part: Part,
        length: u64,
    },
    /// `chunked`
    Coding {
        part: Part,
        matched: usize,
    },
    /// `#token`
    Options {
        option: Token,
        part: Part,
    },
}

impl Value {
    /// Larger lengths overflow the signed numbers of other parsers.
    const LENGTH_MAX: u64 = i64::MAX as u64;
    const CODING: &[u8] = b"chunked";
    const LENGTH: &str = "content-length is not one plain number";
    const ENCODING: &str = "transfer-encoding is not chunked alone";

    fn read(&mut self, piece: &[u8], facts: &mut Facts) -> Result<(), Fault> {
        match self {
            Self::Plain => Ok(()),
            Self::Length { part, length } => each(piece, |byte| match byte {
                b'0'..=b'9' if *part != Part::After => {
                    *part = Part::Inside;
                    let digit = u64::from(byte.wrapping_sub(b'0'));
                    let longer = length.checked_mul(10).and_then(|l| l.checked_add(digit));
                    *length = longer.filter(|l| *l <= Self::LENGTH_MAX).ok_or("content-length is too large")?;
                    Ok(())
                }
                _ => blank(byte, part, Self::LENGTH),
            }),
            Self::Coding { part, matched } => each(piece, |byte| match Self::CODING.get(*matched) {
                Some(letter) if *part != Part::After && byte.eq_ignore_ascii_case(letter) => {
                    *part = Part::Inside;
                    *matched = matched.saturating_add(1);
                    Ok(())
                }
                _ => blank(byte, part, Self::ENCODING),
            }),
            Self::Options { option, part } => each(piece, |byte| match byte {
                b',' => {
                    *part = Part::Before;
                    settle_option(option, facts)
                }
                _ if is_token(byte) && *part != Part::After => {
                    *part = Part::Inside;
                    option.push(&[byte]);
                    Ok(())
                }
                _ => blank(byte, part, "connection is not a list of names"),
            }),
        }
    }

    fn finish(&mut self, facts: &mut Facts) -> Result<(), Fault> {
        match self {
            Self::Plain => Ok(()),
            Self::Length { part: Part::Before, .. } => Err(Fault::here(Self::LENGTH)),
            Self::Length { length, .. } => {
                facts.length = Some(*length);
                Ok(())
            }
            Self::Coding { matched, .. } if *matched < Self::CODING.len() => Err(Fault::here(Self::ENCODING)),
            Self::Coding { .. } => Ok(()),
            Self::Options { option, .. } => settle_option(option, facts).map_err(Fault::here),
        }
    }
}

fn each(piece: &[u8], mut take: impl FnMut(u8) -> Result<(), &'static str>) -> Result<(), Fault> {
    for (ahead, &byte) in piece.iter().enumerate() {
        take(byte).map_err(|detail| Fault::ahead(ahead, detail))?;
    }
    Ok(())
}

/// White space round a word ends it; anything else is refused.
fn blank(byte: u8, part: &mut Part, detail: &'static str) -> Result<(), &'static str> {
    if !is_ows(byte) {
        return Err(detail);
    }
    if *part == Part::Inside {
        *part = Part::After;
    }
    Ok(())
}

fn settle_option(option: &mut Token, facts: &mut Facts) -> Result<(), &'static str> {
    if option.is_any(NOT_NOMINATED) {
        return Err("connection nominates a field that the message needs");
    }
    facts.close |= option.is("close");
    facts.keep_alive |= option.is("keep-alive");
    facts.upgrade_option |= option.is("upgrade");
    option.clear();
    Ok(())
}
