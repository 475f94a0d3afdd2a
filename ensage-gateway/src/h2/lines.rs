//! Field lines as they were sent: what each of them may say is judged once, when it is spelled; a line that a table names
//! again is known.

use bytes::Bytes;
use http::Method;
use http::header::{CONTENT_LENGTH, COOKIE, HOST, HeaderName, HeaderValue, TE};
use http::uri::Authority;

use super::head::{Fault, HOPS};
use crate::gate::{Kind, is_field_name, is_framing_twin, origin_form};

/// The name of a line.
#[derive(Clone, Debug)]
pub(super) enum Name {
    /// `:method`
    Method,
    /// `:scheme`
    Scheme,
    /// `:authority`
    Authority,
    /// `:path`
    Path,
    /// A field.
    Field(HeaderName, Class),
    /// One that may not be: how many bytes it had, and the rule.
    Bad(usize, &'static str),
}

/// Which fields are looked at on their way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Class {
    /// `content-length`
    Length,
    /// `cookie`
    Cookie,
    /// `host`
    Host,
    /// `te`
    Te,
    /// One that some servers read as a field of framing.
    Twin,
    /// Any other.
    Plain,
}

/// A line of a request's head.
#[derive(Clone, Debug)]
pub(super) enum Line {
    /// What is asked for.
    Method(Method),
    /// True for `https`.
    Scheme(bool),
    /// Of whom.
    Authority(HeaderValue),
    /// What of it, and why that cannot be.
    Path(Bytes, Option<Fault>),
    /// A field.
    Field(HeaderName, HeaderValue, Class),
    /// One that may not be.
    Bad(Fault),
}

const fn malformed(detail: &'static str) -> Fault {
    Fault { kind: Kind::Malformed, detail }
}

impl Name {
    /// Reads a name.
    pub(super) fn of(name: &[u8]) -> Self {
        let bad = |detail| Self::Bad(name.len(), detail);
        match name {
            b":method" => return Self::Method,
            b":scheme" => return Self::Scheme,
            b":authority" => return Self::Authority,
            b":path" => return Self::Path,
            b":protocol" => return bad("extended CONNECT is not offered"),
            [b':', ..] => return bad("a pseudo-field that no request has"),
            _ => {}
        }
        if name.iter().any(u8::is_ascii_uppercase) {
            return bad("a field name in upper case");
        }
        // The `http` crate takes more for a name than HTTP/1 does.
        let token = std::str::from_utf8(name).is_ok_and(is_field_name);
        let Some(field) = HeaderName::from_lowercase(name).ok().filter(|_| token) else {
            return bad("a field name that is no token");
        };
        if HOPS.contains(&field) {
            return bad("a field of one connection");
        }
        let class = match &field {
            name if name == CONTENT_LENGTH => Class::Length,
            name if name == COOKIE => Class::Cookie,
            name if name == HOST => Class::Host,
            name if name == TE => Class::Te,
            name if is_framing_twin(name.as_str()) => Class::Twin,
            _ => Class::Plain,
        };
        Self::Field(field, class)
    }

    /// Bytes of it as it was sent.
    pub(super) fn bytes(&self) -> usize {
        match self {
            Self::Method | Self::Scheme => 7,
            Self::Authority => 10,
            Self::Path => 5,
            Self::Field(name, _) => name.as_str().len(),
            Self::Bad(bytes, _) => *bytes,
        }
    }
}

impl Line {
    /// Judges a value by its name.
    pub(super) fn of(name: &Name, value: Bytes) -> Self {
        let bad = |detail| Self::Bad(malformed(detail));
        match name {
            Name::Method => Method::from_bytes(&value).map_or_else(|_| bad("a method that is no token"), Self::Method),
            Name::Scheme => Self::Scheme(&*value == b"https"),
            Name::Authority => match Authority::try_from(&*value) {
                Ok(_) => HeaderValue::from_maybe_shared(value)
                    .map_or_else(|_| bad("an authority that is none"), Self::Authority),
                Err(_) => Self::Bad(Fault { kind: Kind::Authority, detail: "the authority is malformed" }),
            },
            Name::Path => {
                // Its length is held against the limit of the moment.
                let form = origin_form(&value, u64::MAX);
                Self::Path(value, form.err().map(|(kind, detail)| Fault { kind, detail }))
            }
            Name::Field(name, class) => {
                let edge = |byte: Option<&u8>| matches!(byte, Some(b' ' | b'\t'));
                if edge(value.first()) || edge(value.last()) {
                    return bad("a field value with white space around it");
                }
                if *class == Class::Te && &*value != b"trailers" {
                    // RFC 9113 section 8.2.2.
                    return bad("a TE field of another coding than trailers");
                }
                HeaderValue::from_maybe_shared(value)
                    .map_or_else(|_| bad("a control byte in a field value"), |v| Self::Field(name.clone(), v, *class))
            }
            Name::Bad(_, detail) => bad(detail),
        }
    }

    /// Whoever sends it on spells it out each time.
    pub(super) fn never_index(&mut self) {
        if let Self::Field(_, value, _) = self {
            value.set_sensitive(true);
        }
    }
}
