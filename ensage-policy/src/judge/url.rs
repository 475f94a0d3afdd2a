//! URLs that a call names: what a provider would fetch, and what `explain` is asked about.

use crate::authority::{Authority, AuthorityError};
use crate::model::Scheme;
use crate::path::{PathError, RequestPath};

/// Why a text is no http(s) URL that can be read in one way only.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UrlError {
    /// Neither `http://` nor `https://`.
    #[error("the URL is neither http nor https")]
    Scheme,
    /// Its host or port.
    #[error("the URL has a bad authority")]
    Authority(#[from] AuthorityError),
    /// Its path.
    #[error("the URL has a bad path")]
    Path(#[from] PathError),
    /// A query with a space, a control character, a backslash or something outside ASCII.
    #[error("the URL has a character that must be encoded")]
    Raw,
}

/// An absolute http(s) URL in parts; its fragment, which never travels, is gone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Url {
    /// Its scheme.
    pub scheme: Scheme,
    /// Its host and port.
    pub authority: Authority,
    /// Its path, `/` if it has none.
    pub path: RequestPath,
    /// Its query without the question mark.
    pub query: Option<String>,
}

impl Url {
    /// Reads a URL. Stricter than browsers: no user information, no backslash, no tab or newline to be dropped.
    ///
    /// # Errors
    /// See [`UrlError`].
    pub fn parse(text: &str) -> Result<Self, UrlError> {
        let (scheme, rest) = text.split_once("://").ok_or(UrlError::Scheme)?;
        let scheme = match scheme.to_ascii_lowercase().as_str() {
            "http" => Scheme::Http,
            "https" => Scheme::Https,
            _ => return Err(UrlError::Scheme),
        };
        let rest = rest.split('#').next().unwrap_or(rest);
        let (rest, query) = match rest.split_once('?') {
            Some((rest, query)) => (rest, Some(query)),
            None => (rest, None),
        };
        let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        if query.is_some_and(|q| !q.bytes().all(|b| b.is_ascii_graphic() && b != b'\\')) {
            return Err(UrlError::Raw);
        }
        Ok(Self {
            scheme,
            authority: Authority::parse(authority.as_bytes(), Some(scheme.default_port()))?,
            path: RequestPath::parse(if path.is_empty() { "/" } else { path })?,
            query: query.map(str::to_owned),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::{Url, UrlError};
    use crate::authority::{AuthorityError, InvalidHost};
    use crate::path::PathError;

    #[test]
    fn urls_are_read_in_one_way_only() {
        let check = |text: &str, want: &str| {
            let url = Url::parse(text).unwrap();
            let query = url.query.map(|q| format!("?{q}")).unwrap_or_default();
            assert_eq!(format!("{}://{}{}{query}", url.scheme.code(), url.authority, url.path), want, "{text}");
        };
        check("https://ok.test", "https://ok.test:443/");
        check("HTTPS://OK.test./a/b?c#d", "https://ok.test:443/a/b?c");
        check("http://ok.test:8080/?", "http://ok.test:8080/?");
        check("http://[::1]/#@evil.test/", "http://[::1]:80/");
        for (text, want) in [
            ("ok.test", UrlError::Scheme),
            ("ftp://ok.test/", UrlError::Scheme),
            (" https://ok.test/", UrlError::Scheme),
            ("data:text/plain,x", UrlError::Scheme),
            ("https:///ok.test", AuthorityError::Empty.into()),
            ("https://user@ok.test/", AuthorityError::Host(InvalidHost::Character).into()),
            ("https://user:pass@ok.test/", AuthorityError::Port.into()),
            ("https://evil.test\\@ok.test/", AuthorityError::Host(InvalidHost::Character).into()),
            ("https://ok.te\tst/", AuthorityError::Host(InvalidHost::Character).into()),
            ("https://ok.test/a/../b", PathError::DotSegment.into()),
            ("https://ok.test/a\nb", PathError::Control.into()),
            ("https://ok.test/?a b", UrlError::Raw),
            ("https://ok.test/?a\\b", UrlError::Raw),
        ] {
            assert_eq!(Url::parse(text), Err(want), "{text:?}");
        }
    }
}
