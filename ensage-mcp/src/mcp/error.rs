//! Why a message is refused, and how that is said in JSON-RPC.

use serde_json::json;

use super::Id;
use crate::Revision;
use crate::json::JsonError;

/// Why a body is not one message that all servers would read alike.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReadError {
    /// Not one JSON value that can be read in one way only.
    #[error("body is not strict JSON")]
    Json(#[from] JsonError),
    /// JSON, but no message of any handled revision.
    #[error("body is not an MCP message: {fault}")]
    Malformed {
        /// The id, if it could be read; an answer says `null` all the same.
        id: Option<Id>,
        /// What is wrong.
        fault: Fault,
    },
    /// A header and the body disagree, or a header that has to agree is missing or there twice.
    #[error("{header} disagrees with the body")]
    HeaderMismatch {
        /// The message's id.
        id: Option<Id>,
        /// Which header.
        header: Header,
    },
    /// A revision that is not known, or not handled.
    #[error("protocol revision is not handled")]
    Revision {
        /// As the client named it; `2025-03-26` if it named none, as that revision says.
        requested: String,
        /// The message's id.
        id: Option<Id>,
    },
    /// More bytes than may be held.
    #[error("body longer than {limit} bytes")]
    TooLong {
        /// The limit.
        limit: u64,
    },
}

impl ReadError {
    /// The JSON-RPC code of the answer; none if there is no such answer.
    pub const fn code(&self) -> Option<i64> {
        match self {
            Self::Json(_) => Some(code::PARSE_ERROR),
            Self::Malformed { .. } => Some(code::INVALID_REQUEST),
            Self::HeaderMismatch { .. } => Some(code::HEADER_MISMATCH),
            Self::Revision { .. } => Some(code::UNSUPPORTED_VERSION),
            Self::TooLong { .. } => None,
        }
    }

    /// The id that the answer bears: `null` wherever the body could not be read as one message.
    pub const fn id(&self) -> Option<&Id> {
        match self {
            Self::HeaderMismatch { id, .. } | Self::Revision { id, .. } => id.as_ref(),
            Self::Json(_) | Self::Malformed { .. } | Self::TooLong { .. } => None,
        }
    }
}

/// What is wrong with a value that should be a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// An array of messages: only 2025-03-26 has them.
    #[error("batch")]
    Batch,
    /// Neither an object nor an array.
    #[error("not an object")]
    NotAnObject,
    /// `jsonrpc` is not `"2.0"`.
    #[error("jsonrpc is not 2.0")]
    JsonRpc,
    /// Missing where the method is a request's, there where it is a notification's, or no bounded string or
    /// whole number.
    #[error("id")]
    Id,
    /// Not exactly one of `method`, `result` and `error`, or a method that is no string.
    #[error("not one of method, result and error")]
    Shape,
    /// A response where clients send none.
    #[error("response in a revision without requests of servers")]
    Response,
    /// This member is missing, or has a wrong type.
    #[error("member {0}")]
    Member(&'static str),
}

/// A header that has to agree with the body.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Header {
    /// `MCP-Protocol-Version`
    #[error("MCP-Protocol-Version")]
    ProtocolVersion,
    /// `Mcp-Method`
    #[error("Mcp-Method")]
    Method,
    /// `Mcp-Name`
    #[error("Mcp-Name")]
    Name,
    /// One of `Mcp-Param-…`
    #[error("Mcp-Param")]
    Param,
    /// `Mcp-Session-Id`
    #[error("Mcp-Session-Id")]
    SessionId,
}

/// JSON-RPC error codes.
pub mod code {
    use super::Revision;

    /// Not JSON.
    pub const PARSE_ERROR: i64 = -32700;
    /// Not a message.
    pub const INVALID_REQUEST: i64 = -32600;
    /// No such method.
    pub const METHOD_NOT_FOUND: i64 = -32601;
    /// Wrong parameters; also an unknown tool or prompt.
    pub const INVALID_PARAMS: i64 = -32602;
    /// Our or the server's trouble.
    pub const INTERNAL_ERROR: i64 = -32603;
    /// Headers and body disagree (2026-07-28).
    pub const HEADER_MISMATCH: i64 = -32020;
    /// Unsupported protocol version (2026-07-28).
    pub const UNSUPPORTED_VERSION: i64 = -32022;
    /// ensage's own refusals: outside of the range that JSON-RPC and MCP keep for themselves.
    pub const REFUSED: i64 = -31001;

    /// What a revision answers for a resource that is not there: 2026-07-28 must not use -32002.
    pub const fn resource_not_found(revision: Revision) -> i64 {
        if revision.is_modern() { INVALID_PARAMS } else { -32002 }
    }
}

/// A JSON-RPC error for that request; `None` writes `"id":null`.
///
/// ```
/// use ensage_mcp::mcp::{code, error_reply};
/// let reply = error_reply(None, code::PARSE_ERROR, "not JSON", None);
/// assert_eq!(reply, br#"{"jsonrpc":"2.0","id":null,"error":{"code":-32700,"message":"not JSON"}}"#);
/// ```
pub fn error_reply(id: Option<&Id>, code: i64, message: &str, data: Option<serde_json::Value>) -> Vec<u8> {
    let id = id.map_or("null", Id::text);
    let message = json!(message);
    let data = data.map(|data| format!(",\"data\":{data}")).unwrap_or_default();
    format!("{{\"jsonrpc\":\"2.0\",\"id\":{id},\"error\":{{\"code\":{code},\"message\":{message}{data}}}}}")
        .into_bytes()
}
