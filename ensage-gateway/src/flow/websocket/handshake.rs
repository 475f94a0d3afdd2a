//! The opening handshake (RFC 6455 section 4): what a client must ask, and what upstream must answer.

use aws_lc_rs::digest;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ensage_policy::judge::{Governed, Upgrade};
use http::header::{
    CONNECTION as CONNECTION_FIELD, CONTENT_LENGTH, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_EXTENSIONS, SEC_WEBSOCKET_KEY,
    SEC_WEBSOCKET_VERSION, TRANSFER_ENCODING, UPGRADE,
};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Version, request};

use crate::flow::reply::Stop;
use crate::flow::substitute::Search;
use crate::upstream::Fault;

/// `Connection`, towards both sides.
pub(super) const CONNECTION: HeaderValue = HeaderValue::from_static("Upgrade");
/// `Upgrade`, towards both sides.
pub(super) const WEBSOCKET: HeaderValue = HeaderValue::from_static("websocket");

/// What every key is hashed with.
const GUID: &[u8] = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
const KEY_BYTES: usize = 16;

/// A handshake that was asked for.
pub(crate) struct Handshake {
    /// What upstream makes of the client's key.
    accept: String,
    /// An extension was offered.
    offered: bool,
    /// For the frames of the client: of messages, and of control frames.
    pub(super) search: [Search; 2],
}

/// How frames look behind a handshake.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Frames {
    /// By RFC 6455 alone.
    Plain,
    /// An extension may have changed them.
    Extended,
}

/// What a head asks for with `Upgrade`.
pub(super) fn asked(head: &request::Parts) -> Upgrade {
    if !head.headers.contains_key(UPGRADE) {
        return Upgrade::Stay;
    }
    let websocket = only(&head.headers, &UPGRADE).is_some_and(|value| value.eq_ignore_ascii_case(b"websocket"));
    if !websocket {
        return Upgrade::Other;
    }
    match broken(head) {
        None => Upgrade::Websocket,
        Some(rule) => Upgrade::Malformed(rule),
    }
}

/// The rule of RFC 6455 section 4.1 that a head breaks.
fn broken(head: &request::Parts) -> Option<&'static str> {
    let fields = &head.headers;
    let empty = |length: &HeaderValue| length.as_bytes() == b"0";
    let key = only(fields, &SEC_WEBSOCKET_KEY).and_then(|key| STANDARD.decode(key).ok());
    if head.version != Version::HTTP_11 {
        Some("a WebSocket is asked for with HTTP/1.1")
    } else if head.method != Method::GET {
        Some("a WebSocket is asked for with GET")
    } else if fields.contains_key(TRANSFER_ENCODING) || !fields.get_all(CONTENT_LENGTH).iter().all(empty) {
        Some("what asks for a WebSocket has no body")
    } else if !upgrades(fields) {
        Some("connection does not name upgrade")
    } else if key.is_none_or(|key| key.len() != KEY_BYTES) {
        Some("sec-websocket-key is not 16 bytes in base64")
    } else if only(fields, &SEC_WEBSOCKET_VERSION) != Some(b"13") {
        Some("sec-websocket-version is not 13")
    } else {
        None
    }
}

impl Handshake {
    /// For a head that asks by the rules.
    pub(super) fn of(head: &request::Parts, search: [Search; 2]) -> Option<Self> {
        let key = only(&head.headers, &SEC_WEBSOCKET_KEY)?;
        Some(Self { accept: accept(key), offered: false, search })
    }

    /// Puts back what belongs to a connection and must go on with this request. On a governed host no extension is
    /// offered: what is packed up can be neither searched nor scrubbed.
    pub(crate) fn goes_on(&mut self, fields: &mut HeaderMap, governed: Governed) {
        if governed == Governed::Governed {
            fields.remove(SEC_WEBSOCKET_EXTENSIONS);
        }
        self.offered = fields.contains_key(SEC_WEBSOCKET_EXTENSIONS);
        fields.insert(CONNECTION_FIELD, CONNECTION);
        fields.insert(UPGRADE, WEBSOCKET);
    }

    /// Verifies the fields of a 101 (RFC 6455 section 4.1, what the client must validate).
    pub(super) fn accepts(&self, fields: &HeaderMap) -> Result<Frames, Stop> {
        let protocol = |detail| Err(Stop::from(Fault::Protocol { detail }));
        if !only(fields, &UPGRADE).is_some_and(|value| value.eq_ignore_ascii_case(b"websocket")) || !upgrades(fields) {
            return protocol("101 that does not change to WebSocket");
        }
        if only(fields, &SEC_WEBSOCKET_ACCEPT) != Some(self.accept.as_bytes()) {
            return protocol("101 whose sec-websocket-accept is not that of the key");
        }
        match (fields.contains_key(SEC_WEBSOCKET_EXTENSIONS), self.offered) {
            (false, _) => Ok(Frames::Plain),
            (true, true) => Ok(Frames::Extended),
            (true, false) => Err(Fault::Response { detail: "it has an extension that was not offered" }.into()),
        }
    }
}

fn accept(key: &[u8]) -> String {
    let mut hash = digest::Context::new(&digest::SHA1_FOR_LEGACY_USE_ONLY);
    hash.update(key);
    hash.update(GUID);
    STANDARD.encode(hash.finish())
}

fn upgrades(fields: &HeaderMap) -> bool {
    let options = fields.get_all(CONNECTION_FIELD);
    options.iter().any(|value| {
        value.as_bytes().split(|byte| *byte == b',').any(|o| o.trim_ascii().eq_ignore_ascii_case(b"upgrade"))
    })
}

/// The value of a field that is there once.
fn only<'a>(fields: &'a HeaderMap, name: &HeaderName) -> Option<&'a [u8]> {
    let mut all = fields.get_all(name).iter();
    match (all.next(), all.next()) {
        (Some(value), None) => Some(value.as_bytes()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 6455 section 1.3.
    const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";

    fn head(fields: &str) -> request::Parts {
        let mut request = http::Request::builder();
        for line in fields.lines() {
            let (name, value) = line.split_once(": ").unwrap();
            request = request.header(name, value);
        }
        request.body(()).unwrap().into_parts().0
    }

    #[test]
    fn the_key_of_the_rfc_has_the_answer_of_the_rfc() {
        assert_eq!(accept(KEY.as_bytes()), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
    }

    #[test]
    fn what_asks_for_a_websocket_asks_by_the_rules() {
        let good = format!(
            "connection: keep-alive, Upgrade\nupgrade: WebSocket\nsec-websocket-key: {KEY}\nsec-websocket-version: 13"
        );
        assert_eq!(asked(&head(&good)), Upgrade::Websocket);
        assert_eq!(asked(&head(&format!("{good}\ncontent-length: 0"))), Upgrade::Websocket);
        assert_eq!(asked(&head("connection: upgrade")), Upgrade::Stay);
        for other in ["h2c", "websocket, h2c", "TLS/1.0", ""] {
            assert_eq!(asked(&head(&good.replace("WebSocket", other))), Upgrade::Other, "{other:?}");
        }
        assert_eq!(asked(&head(&format!("{good}\nupgrade: websocket"))), Upgrade::Other);
        let malformed = |head: request::Parts| matches!(asked(&head), Upgrade::Malformed(_));
        for (from, to) in [
            ("keep-alive, Upgrade", "keep-alive"),
            ("connection: keep-alive, Upgrade\n", ""),
            ("sec-websocket-version: 13", "sec-websocket-version: 8"),
            ("sec-websocket-version: 13", "sec-websocket-version: 13\nsec-websocket-version: 13"),
            ("sec-websocket-version: 13", "x: y"),
            (KEY, "dGhlIHNhbXBsZSBub25jZ=="),
            (KEY, "dGhlIHNhbXBsZSBub25jZTE="),
            (KEY, "!"),
            ("connection", "transfer-encoding: chunked\nconnection"),
            ("connection", "content-length: 1\nconnection"),
        ] {
            let fields = good.replace(from, to);
            assert!(malformed(head(&fields)), "{fields}");
        }
        assert!(malformed(head(&format!("{good}\nsec-websocket-key: {KEY}"))));
        let mut other = head(&good);
        other.method = Method::POST;
        assert!(malformed(other));
        let mut old = head(&good);
        old.version = Version::HTTP_10;
        assert!(malformed(old));
    }
}
