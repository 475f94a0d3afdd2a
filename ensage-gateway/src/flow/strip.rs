//! Request fields that MCP servers do not get.

use ensage_policy::judge::HeadPermit;
use ensage_policy::model;
use http::{HeaderMap, HeaderName, header};

use super::respond::Expected;
use super::substitute::filled_slot;

/// Request fields that MCP servers get: the standard ones and MCP's own. Everything else says who the client claims to
/// be, which is no evidence (threat D15), and is dropped unless the entry lists it.
const MCP_HEADERS: [HeaderName; 14] = [
    header::ACCEPT,
    header::ACCEPT_ENCODING,
    header::ACCEPT_LANGUAGE,
    header::CACHE_CONTROL,
    header::CONTENT_LENGTH,
    header::CONTENT_TYPE,
    header::DATE,
    header::HOST,
    header::ORIGIN,
    header::PRAGMA,
    header::USER_AGENT,
    HeaderName::from_static("traceparent"),
    HeaderName::from_static("tracestate"),
    HeaderName::from_static("last-event-id"),
];

/// What the stateless era and streams give no meaning to is not sent: a server might.
pub(super) fn drop_stray_mcp(headers: &mut HeaderMap, expected: &Expected) {
    let stray: &[&str] = match expected {
        Expected::Mcp(message) if message.revision.is_modern() => &["mcp-session-id", "last-event-id"],
        Expected::McpStream => &["mcp-method", "mcp-name"],
        Expected::Mcp(_) | Expected::Opaque | Expected::Llm(..) | Expected::Websocket(_) => &[],
    };
    for name in stray {
        headers.remove(*name);
    }
    if matches!(expected, Expected::McpStream) {
        let params: Vec<HeaderName> =
            headers.keys().filter(|n| n.as_str().starts_with("mcp-param-")).cloned().collect();
        for name in params {
            headers.remove(name);
        }
    }
}

/// Drops what the entry does not list.
pub(super) fn drop_unlisted(headers: &mut HeaderMap, permit: &HeadPermit) {
    let Some(rule) = permit.route().mcp() else { return };
    let slots: Vec<&str> = filled_slot(permit.fill())
        .into_iter()
        .flat_map(|(c, _)| c.slots.iter())
        .map(|s| match s {
            model::Slot::Bearer => "authorization",
            model::Slot::Header(name) => name.as_str(),
            model::Slot::Basic(_) => "proxy-authorization",
        })
        .collect();
    let keep = |name: &HeaderName| {
        let text = name.as_str();
        MCP_HEADERS.contains(name)
            || text.starts_with("mcp-")
            || text.starts_with("sec-fetch-")
            || slots.contains(&text)
            || rule.headers.iter().any(|h| h == text)
    };
    let gone: Vec<HeaderName> = headers.keys().filter(|n| !keep(n)).cloned().collect();
    for name in gone {
        headers.remove(name);
    }
}
