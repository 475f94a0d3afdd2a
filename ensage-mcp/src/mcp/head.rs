//! The headers that speak of the body, and whether they say the same (2026-07-28, Streamable HTTP, Request Metadata).

use std::borrow::Cow;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::error::Header;
use super::{Kind, Method};
use crate::Revision;

/// One header field of a request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Field<'a> {
    /// Not there.
    #[default]
    Absent,
    /// There once, with this value.
    One(&'a str),
    /// There more than once, whatever the values are; or a value that is no text: nothing that a body could say.
    Repeated,
}

impl<'a> Field<'a> {
    /// From all the values that a request has of it.
    ///
    /// ```
    /// use ensage_mcp::mcp::Field;
    /// assert_eq!(Field::from_values([&b"a"[..]]), Field::One("a"));
    /// assert_eq!(Field::from_values([&b"a"[..], b"a"]), Field::Repeated);
    /// ```
    pub fn from_values(values: impl IntoIterator<Item = &'a [u8]>) -> Self {
        let mut values = values.into_iter();
        match (values.next(), values.next()) {
            (None, _) => Self::Absent,
            (Some(value), None) => std::str::from_utf8(value).map_or(Self::Repeated, Self::One),
            (Some(_), Some(_)) => Self::Repeated,
        }
    }

    /// The only value, or none.
    pub(super) fn at_most_one(self, header: Header) -> Result<Option<&'a str>, Header> {
        match self {
            Self::Absent => Ok(None),
            Self::One(value) => Ok(Some(value)),
            Self::Repeated => Err(header),
        }
    }
}

/// What the HTTP head of a POST says of its body.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Head<'a> {
    /// `MCP-Protocol-Version`
    pub protocol_version: Field<'a>,
    /// `Mcp-Method`
    pub method: Field<'a>,
    /// `Mcp-Name`
    pub name: Field<'a>,
    /// `Mcp-Session-Id`
    pub session_id: Field<'a>,
    /// Each `Mcp-Param-…` header: the name as sent without this prefix, and the value.
    pub params: Vec<(&'a str, &'a str)>,
    /// What the session was answered to its `initialize`: some clients send no version header after it.
    pub negotiated: Option<Revision>,
}

impl Head<'_> {
    /// What holds in every era.
    pub(super) fn check_session(&self) -> Result<(), Header> {
        match self.session_id.at_most_one(Header::SessionId)? {
            Some(id) if id.is_empty() || !id.bytes().all(|byte| byte.is_ascii_graphic()) => Err(Header::SessionId),
            Some(_) | None => Ok(()),
        }
    }

    /// A server of that era does not read them, an intermediary may.
    pub(super) fn check_legacy(&self) -> Result<(), Header> {
        match (self.method, self.name, self.params.is_empty()) {
            (Field::Absent, Field::Absent, true) => Ok(()),
            (Field::Absent, Field::Absent, false) => Err(Header::Param),
            (Field::Absent, _, _) => Err(Header::Name),
            (_, _, _) => Err(Header::Method),
        }
    }

    /// `subject` is what `Mcp-Name` has to say by the body.
    pub(super) fn check_modern(&self, kind: Kind, method: &Method, subject: Option<&str>) -> Result<(), Header> {
        match (self.method.at_most_one(Header::Method)?, kind) {
            (Some(value), _) if value == method.name() => {}
            (None, Kind::Notification) => {}
            (Some(_), _) | (None, Kind::Request | Kind::Response) => return Err(Header::Method),
        }
        match (self.name.at_most_one(Header::Name)?, subject) {
            (None, None) => {}
            (None, Some(_)) => {
                if needs_name(method) {
                    return Err(Header::Name);
                }
            }
            (Some(value), subject) => {
                let value = decode(value).ok_or(Header::Name)?;
                // What an extension's own method says with it is not known here.
                if !matches!(method, Method::Unknown(_)) && subject != Some(&*value) {
                    return Err(Header::Name);
                }
            }
        }
        self.check_params()
    }

    /// Whether they say what the arguments say takes the tool's schema; here they must be readable in one way.
    fn check_params(&self) -> Result<(), Header> {
        for (index, (name, value)) in self.params.iter().enumerate() {
            let earlier = self.params.iter().take(index);
            if decode(value).is_none() || earlier.into_iter().any(|(other, _)| other.eq_ignore_ascii_case(name)) {
                return Err(Header::Param);
            }
        }
        Ok(())
    }
}

/// The methods that must have `Mcp-Name` (the tasks extension included).
fn needs_name(method: &Method) -> bool {
    matches!(
        method,
        Method::ToolsCall
            | Method::PromptsGet
            | Method::ResourcesRead
            | Method::TasksGet
            | Method::TasksUpdate
            | Method::TasksCancel
    )
}

/// A value by the sentinel rule: `=?base64?…?=`, whose base64 must be the only one for its bytes, or plain text.
fn decode(value: &str) -> Option<Cow<'_, str>> {
    if !value.bytes().all(|byte| matches!(byte, b' '..=b'~' | b'\t')) {
        return None;
    }
    let Some(rest) = value.strip_prefix("=?base64?") else { return Some(Cow::Borrowed(value)) };
    let encoded = rest.strip_suffix("?=")?;
    // This engine refuses stray bits at the end and missing padding: what it takes re-encodes to itself.
    let bytes = STANDARD.decode(encoded).ok()?;
    String::from_utf8(bytes).ok().map(Cow::Owned)
}
