//! The lines of one block, brought together: a request's head in origin-form, or the fields behind a body.

use std::ops::ControlFlow;

use bytes::{BufMut, Bytes, BytesMut};
use http::header::{COOKIE, HOST};
use http::uri::PathAndQuery;
use http::{HeaderMap, HeaderValue, Method, Request, Uri, Version, request};

use super::head::{Fault, number};
use super::lines::{Class, Line};
use crate::gate::{Kind, Limits};

/// What is told of a head's bounds is this many times what a head may have: so one that is too large is read, answered
/// and recorded.
const TOLD: u64 = 2;
/// What is this many times larger than was told ends its connection.
const ENOUGH: u64 = 4;
/// What each line counts besides its bytes, there (RFC 9113 section 6.5.2).
const OVERHEAD: u64 = 32;

/// The largest list of lines that is told of.
pub(super) fn told(limits: &Limits) -> u32 {
    u32::try_from(limits.head_bytes_max.saturating_mul(TOLD)).unwrap_or(u32::MAX)
}

/// A request's head, as far as it could be read.
#[derive(Debug)]
pub(crate) struct Read {
    /// In origin-form: what `:authority` says stands in `host`, beside another `host` if there is one, so that whoever
    /// compares authorities sees both. GET and no target where those could not be read.
    pub(crate) head: request::Parts,
    /// Why it is no request.
    pub(crate) fault: Option<Fault>,
    /// Its method, where it named one.
    pub(crate) method: Option<Method>,
    /// Its path as it was sent, if there was one.
    pub(crate) path: Option<Bytes>,
    /// How long its body is, where that is told.
    pub(crate) length: Option<u64>,
}

/// Which lines are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Section {
    Head,
    Trailers,
}

/// The lines of one block so far.
pub(super) struct Gathering {
    section: Section,
    limits: Limits,
    /// As the peer counts them.
    list: u64,
    /// As lines of HTTP/1.
    bytes: u64,
    lines: u64,
    method: Option<Method>,
    secure: Option<bool>,
    authority: Option<HeaderValue>,
    path: Option<Bytes>,
    fields: HeaderMap,
    length: Option<u64>,
    hosts: u32,
    cookies: u32,
    /// The first that it breaks.
    fault: Option<Fault>,
    /// Of the path alone.
    path_fault: Option<Fault>,
    too_large: bool,
    /// A field came.
    begun: bool,
}

const fn malformed(detail: &'static str) -> Fault {
    Fault { kind: Kind::Malformed, detail }
}

impl Gathering {
    pub(super) fn new(section: Section, limits: &Limits) -> Self {
        Self {
            section,
            limits: *limits,
            list: 0,
            bytes: 0,
            lines: 0,
            method: None,
            secure: None,
            authority: None,
            path: None,
            fields: HeaderMap::new(),
            length: None,
            hosts: 0,
            cookies: 0,
            fault: None,
            path_fault: None,
            too_large: false,
            begun: false,
        }
    }

    /// Takes the next line, whose name and value have `bytes`. What is too large is counted only.
    pub(super) fn take(&mut self, line: Line, bytes: usize) -> ControlFlow<()> {
        let bytes = bytes as u64;
        self.list = self.list.saturating_add(bytes).saturating_add(OVERHEAD);
        if self.list > u64::from(told(&self.limits)).saturating_mul(ENOUGH) {
            self.too_large = true;
            return ControlFlow::Break(());
        }
        let fault = match line {
            Line::Field(name, value, class) => {
                self.begun = true;
                self.lines = self.lines.saturating_add(1);
                // `name: value` and a line end.
                self.bytes = self.bytes.saturating_add(bytes).saturating_add(4);
                self.too_large |= self.lines > self.limits.head_lines_max || self.bytes > self.limits.head_bytes_max;
                if self.too_large {
                    return ControlFlow::Continue(());
                }
                let fault = self.look(&value, class);
                self.too_large |= self.fields.try_append(name, value).is_err();
                fault
            }
            Line::Bad(fault) => {
                self.bytes = self.bytes.saturating_add(bytes).saturating_add(4);
                Some(fault)
            }
            Line::Method(_) | Line::Scheme(_) | Line::Authority(_) | Line::Path(..) => self.pseudo(line),
        };
        if let Some(fault) = fault {
            self.fault.get_or_insert(fault);
        }
        ControlFlow::Continue(())
    }

    fn pseudo(&mut self, line: Line) -> Option<Fault> {
        let twice = match line {
            Line::Method(method) => {
                self.bytes = self.bytes.saturating_add(method.as_str().len() as u64);
                self.method.replace(method).is_some()
            }
            Line::Scheme(secure) => self.secure.replace(secure).is_some(),
            Line::Authority(authority) => {
                self.bytes = self.bytes.saturating_add(authority.len() as u64);
                self.authority.replace(authority).is_some()
            }
            Line::Path(path, fault) => {
                self.bytes = self.bytes.saturating_add(path.len() as u64);
                self.path_fault = self.path_fault.or(fault);
                self.path.replace(path).is_some()
            }
            Line::Field(..) | Line::Bad(_) => false,
        };
        match (self.section, twice, self.begun) {
            (Section::Trailers, ..) => Some(malformed("a pseudo-field behind a body")),
            (Section::Head, true, _) => Some(malformed("a pseudo-field that comes twice")),
            (Section::Head, false, true) => Some(malformed("a pseudo-field behind another field")),
            (Section::Head, false, false) => None,
        }
    }

    fn look(&mut self, value: &HeaderValue, class: Class) -> Option<Fault> {
        if self.section == Section::Trailers {
            // Whoever passes them on drops what may not pass.
            return None;
        }
        match class {
            Class::Length if self.length.is_some() => Some(malformed("several Content-Length fields")),
            Class::Length => {
                self.length = number(value.as_bytes());
                let fault = self.length.is_none().then_some(malformed("a Content-Length that is no number"));
                self.length.get_or_insert(0);
                fault
            }
            Class::Host => {
                self.hosts = self.hosts.saturating_add(1);
                (self.hosts > 1).then_some(malformed("several Host fields"))
            }
            Class::Cookie => {
                self.cookies = self.cookies.saturating_add(1);
                None
            }
            Class::Twin => Some(malformed("a field that some servers read as a framing field")),
            Class::Te | Class::Plain => None,
        }
    }

    /// Why it is too large, if it is.
    fn size(&self) -> Option<Fault> {
        let target = self.path.as_ref().map_or(0, Bytes::len) as u64;
        if target > self.limits.target_bytes_max {
            return Some(Fault { kind: Kind::TargetTooLong, detail: "the request target is too long" });
        }
        let large = self.too_large || self.bytes > self.limits.head_bytes_max;
        large.then_some(Fault { kind: Kind::HeaderTooLarge, detail: "the head has too many bytes or fields" })
    }

    /// The fields behind a body, and their bytes.
    ///
    /// # Errors
    /// The first rule that they break.
    pub(super) fn trailers(self) -> Result<(HeaderMap, u64), Fault> {
        match self.size().or(self.fault) {
            Some(fault) => Err(fault),
            None => Ok((self.fields, self.bytes)),
        }
    }

    /// The head of a request. `ends` where no body follows.
    pub(super) fn head(mut self, ends: bool) -> Read {
        let mut head = Request::new(()).into_parts().0;
        head.version = Version::HTTP_2;
        let fault = self.size().or(self.fault).or_else(|| self.whole(&mut head, ends).err());
        if let Some(method) = &self.method {
            head.method = method.clone();
        }
        head.headers = self.fields;
        Read { head, fault, method: self.method, path: self.path, length: self.length }
    }

    /// The rules that need all of it.
    fn whole(&mut self, head: &mut request::Parts, ends: bool) -> Result<(), Fault> {
        if self.method.as_ref().ok_or(malformed("no method"))? == Method::CONNECT {
            return Err(malformed("a CONNECT inside a tunnel"));
        }
        if !self.secure.ok_or(malformed("no scheme"))? {
            return Err(malformed("another scheme than that of the connection"));
        }
        let raw = self.path.clone().ok_or(malformed("no path"))?;
        if let Some(fault) = self.path_fault {
            return Err(fault);
        }
        // What the type made another of cannot be what was judged.
        let path = PathAndQuery::from_maybe_shared(raw.clone()).ok().filter(|path| path.as_str().as_bytes() == raw);
        head.uri = Uri::from(path.ok_or(malformed("a path in no known form"))?);
        if ends && self.length.is_some_and(|length| length > 0) {
            return Err(malformed("a Content-Length without a body"));
        }
        match (self.authority.take(), self.fields.get(HOST)) {
            (None, None) => return Err(malformed("no authority")),
            (Some(authority), None) => {
                self.fields.append(HOST, authority);
            }
            (Some(authority), Some(said)) => {
                if said != authority {
                    self.fields.append(HOST, authority);
                }
            }
            (None, Some(_)) => {}
        }
        if self.cookies > 1 {
            join_cookies(&mut self.fields);
        }
        Ok(())
    }
}

/// Cookies may come in pieces, which nobody but HTTP/2 knows (RFC 9113 section 8.2.3).
fn join_cookies(headers: &mut HeaderMap) {
    let mut all = headers.get_all(COOKIE).iter();
    let (Some(first), Some(second)) = (all.next(), all.next()) else { return };
    let mut joined = BytesMut::from(first.as_bytes());
    for next in std::iter::once(second).chain(all) {
        joined.put_slice(b"; ");
        joined.put_slice(next.as_bytes());
    }
    if let Ok(mut value) = HeaderValue::from_maybe_shared(joined.freeze()) {
        value.set_sensitive(headers.get_all(COOKIE).iter().any(HeaderValue::is_sensitive));
        headers.insert(COOKIE, value);
    }
}
