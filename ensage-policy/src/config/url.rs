//! The `url` of an MCP entry: scheme, host, port, path and query, exactly.

use crate::authority::{Authority, AuthorityError};
use crate::model::Scheme;

/// A URL in the form in which requests are compared with it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ServerUrl {
    pub(super) scheme: Scheme,
    pub(super) authority: Authority,
    /// As written, one trailing slash taken off.
    pub(super) path: String,
    pub(super) query: Option<String>,
}

/// Why a text is no such URL.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum UrlError {
    #[error("it must begin with https:// or http://")]
    Scheme,
    #[error("user information has no place in it")]
    User,
    #[error("a fragment has no place in it")]
    Fragment,
    #[error("its path has a dot segment")]
    DotSegment,
    #[error("its path or query has a character that must be percent-encoded")]
    Character,
    #[error("a percent sign is not followed by two hexadecimal digits")]
    Percent,
    #[error(transparent)]
    Authority(#[from] AuthorityError),
}

impl ServerUrl {
    /// Reads a URL of RFC 3986 with an authority.
    pub(super) fn parse(text: &str) -> Result<Self, UrlError> {
        let (scheme, rest) = text.split_once("://").ok_or(UrlError::Scheme)?;
        let scheme = [Scheme::Https, Scheme::Http]
            .into_iter()
            .find(|known| scheme.eq_ignore_ascii_case(known.code()))
            .ok_or(UrlError::Scheme)?;
        if rest.contains('#') {
            return Err(UrlError::Fragment);
        }
        let (authority, target) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
        if authority.contains('@') {
            return Err(UrlError::User);
        }
        let authority = Authority::parse(authority.as_bytes(), Some(scheme.default_port()))?;
        let (path, query) = target.split_once('?').map_or((target, None), |(path, query)| (path, Some(query)));
        checked(path)?;
        checked(query.unwrap_or_default())?;
        if path.split('/').any(|segment| matches!(decoded_dots(segment).as_str(), "." | "..")) {
            return Err(UrlError::DotSegment);
        }
        let path = path.strip_suffix('/').unwrap_or(path).to_owned();
        Ok(Self { scheme, authority, path, query: query.map(str::to_owned) })
    }
}

/// Only `pchar`, `/` and `?` of RFC 3986 section 3.3.
fn checked(text: &str) -> Result<(), UrlError> {
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        if byte == b'%' {
            let digits = [bytes.next(), bytes.next()];
            if !digits.iter().all(|digit| digit.is_some_and(|d| d.is_ascii_hexdigit())) {
                return Err(UrlError::Percent);
            }
        } else if !byte.is_ascii_alphanumeric() && !b"-._~!$&'()*+,;=:@/?".contains(&byte) {
            return Err(UrlError::Character);
        }
    }
    Ok(())
}

fn decoded_dots(segment: &str) -> String {
    segment.replace("%2e", ".").replace("%2E", ".")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::authority::Host;

    #[test]
    fn good_urls() {
        for (text, scheme, place, path, query) in [
            ("https://pdk.internal/mcp", Scheme::Https, "pdk.internal:443", "/mcp", None),
            ("https://pdk.internal/mcp/", Scheme::Https, "pdk.internal:443", "/mcp", None),
            ("https://pdk.internal/mcp//", Scheme::Https, "pdk.internal:443", "/mcp/", None),
            ("HTTPS://PDK.Internal.:8443", Scheme::Https, "pdk.internal:8443", "", None),
            ("https://a.test/", Scheme::Https, "a.test:443", "", None),
            ("https://a.test?x=1", Scheme::Https, "a.test:443", "", Some("x=1")),
            ("https://a.test/m?x=%41&y=..", Scheme::Https, "a.test:443", "/m", Some("x=%41&y=..")),
            ("https://a.test/%40s%2fn/:x", Scheme::Https, "a.test:443", "/%40s%2fn/:x", None),
            ("http://127.0.0.1:3000/mcp", Scheme::Http, "127.0.0.1:3000", "/mcp", None),
            ("http://[::1]/mcp", Scheme::Http, "[::1]:80", "/mcp", None),
        ] {
            let url = ServerUrl::parse(text).unwrap_or_else(|fault| panic!("{text}: {fault}"));
            assert_eq!((url.scheme, url.authority.to_string().as_str()), (scheme, place), "{text}");
            assert_eq!((url.path.as_str(), url.query.as_deref()), (path, query), "{text}");
        }
        let v6 = ServerUrl::parse("http://[::1]/").unwrap().authority.host;
        assert_eq!(v6, Host::V6(std::net::Ipv6Addr::LOCALHOST));
    }

    #[test]
    fn bad_urls() {
        for (text, fault) in [
            ("", UrlError::Scheme),
            ("a.test/mcp", UrlError::Scheme),
            ("ftp://a.test/", UrlError::Scheme),
            ("https:/a.test/", UrlError::Scheme),
            ("https://a.test/#x", UrlError::Fragment),
            ("https://u:p@a.test/", UrlError::User),
            ("https://a.test/../x", UrlError::DotSegment),
            ("https://a.test/x/.", UrlError::DotSegment),
            ("https://a.test/x/%2e%2E/y", UrlError::DotSegment),
            ("https://a.test/x y", UrlError::Character),
            ("https://a.test/x\\y", UrlError::Character),
            ("https://a.test/ü", UrlError::Character),
            ("https://a.test/x?\"", UrlError::Character),
            ("https://a.test/%zz", UrlError::Percent),
            ("https://a.test/%4", UrlError::Percent),
            ("https:///mcp", UrlError::Authority(AuthorityError::Empty)),
            ("https://a.test:0/mcp", UrlError::Authority(AuthorityError::Port)),
        ] {
            assert_eq!(ServerUrl::parse(text), Err(fault), "{text}");
        }
    }
}
