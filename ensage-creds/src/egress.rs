//! The one place where a secret is written into a request.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::header::{AUTHORIZATION, HeaderMap, HeaderName, HeaderValue, PROXY_AUTHORIZATION};
use zeroize::Zeroizing;

use crate::secret::Secret;

/// Headers in which clients send credentials whatever the policy says of slots (contract section 5).
pub(crate) static CREDENTIAL_HEADERS: [HeaderName; 5] = [
    AUTHORIZATION,
    PROXY_AUTHORIZATION,
    HeaderName::from_static("x-api-key"),
    HeaderName::from_static("api-key"),
    HeaderName::from_static("x-goog-api-key"),
];

/// The one place in a request where a credential belongs.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Slot {
    /// `authorization: Bearer SECRET`
    Bearer,
    /// A header whose whole value is the secret.
    Header(HeaderName),
}

impl Slot {
    /// The header that holds it.
    pub fn header(&self) -> &HeaderName {
        match self {
            Self::Bearer => &AUTHORIZATION,
            Self::Header(name) => name,
        }
    }
}

/// Why a secret can't be written: our fault, and nothing may be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EgressError {
    /// The value is no header value.
    #[error("the secret can't be a header value")]
    Unwritable,
    /// The head has no room for one more field.
    #[error("the request has too many header fields")]
    Crowded,
}

/// Writes the secret into its slot, after [`clear`].
///
/// With [`basic`] the only function that lets a secret out of this crate. The value is marked sensitive.
///
/// # Errors
/// The headers then carry no credential at all, and the request must not be sent.
pub fn fill(headers: &mut HeaderMap, slot: &Slot, secret: &Secret) -> Result<(), EgressError> {
    let value = secret
        .expose(|bytes| match slot {
            Slot::Bearer => {
                let mut text = Zeroizing::new(Vec::with_capacity(bytes.len().saturating_add(7)));
                text.extend_from_slice(b"Bearer ");
                text.extend_from_slice(bytes);
                HeaderValue::from_bytes(&text)
            }
            Slot::Header(_) => HeaderValue::from_bytes(bytes),
        })
        .map_err(|_| EgressError::Unwritable);
    clear(headers, slot);
    let mut value = value?;
    value.set_sensitive(true);
    headers.try_insert(slot.header().clone(), value).map_err(|_| EgressError::Crowded)?;
    Ok(())
}

/// The value of `proxy-authorization` that the next hop gets: `Basic` and what RFC 7617 makes of user and password. The
/// secret is the password of `user`, or both of them.
///
/// # Errors
/// The secret should be both and has no colon.
pub fn basic(user: Option<&str>, secret: &Secret) -> Result<Zeroizing<Vec<u8>>, EgressError> {
    secret.expose(|bytes| {
        let mut pair = Zeroizing::new(Vec::with_capacity(bytes.len().saturating_add(user.map_or(0, str::len) + 1)));
        match user {
            Some(user) => {
                pair.extend_from_slice(user.as_bytes());
                pair.push(b':');
            }
            None if !bytes.contains(&b':') => return Err(EgressError::Unwritable),
            None => {}
        }
        pair.extend_from_slice(bytes);
        let coded = Zeroizing::new(STANDARD.encode(&*pair));
        let mut value = Zeroizing::new(Vec::with_capacity(coded.len().saturating_add(6)));
        value.extend_from_slice(b"Basic ");
        value.extend_from_slice(coded.as_bytes());
        Ok(value)
    })
}

/// Takes out the slot's header, and every header in which clients send credentials: what stands there was judged to be
/// the same placeholder, and a placeholder goes nowhere.
pub fn clear(headers: &mut HeaderMap, slot: &Slot) {
    for name in CREDENTIAL_HEADERS.iter().chain([slot.header()]) {
        // A head has few fields, and most have one of these: looking is cheaper than hashing.
        if headers.keys().any(|known| known == name) {
            headers.remove(name);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(fields: &[(&'static str, &str)]) -> HeaderMap {
        fields.iter().map(|(n, v)| (HeaderName::from_static(n), v.parse().unwrap())).collect()
    }

    fn check(slot: &Slot, before: &[(&'static str, &str)], after: &[(&'static str, &str)]) {
        let secret = Secret::from_stdin(b"sk-real-0123456789\n".to_vec()).unwrap();
        let mut map = headers(before);
        fill(&mut map, slot, &secret).unwrap();
        assert_eq!(map, headers(after), "{slot:?} {before:?}");
        assert!(map[slot.header()].is_sensitive());
        assert!(!format!("{map:?}").contains("sk-real"), "a sensitive value is not shown");
    }

    #[test]
    fn the_slot_alone_holds_the_secret() {
        let key = Slot::Header(HeaderName::from_static("x-api-key"));
        let own = Slot::Header(HeaderName::from_static("x-token"));
        let bearer = ("authorization", "Bearer sk-real-0123456789");
        check(&Slot::Bearer, &[("accept", "*/*")], &[("accept", "*/*"), bearer]);
        check(&Slot::Bearer, &[("authorization", "bearer ens_x")], &[bearer]);
        check(&Slot::Bearer, &[("authorization", "a"), ("authorization", "b"), ("x-api-key", "c")], &[bearer]);
        check(&key, &[("authorization", "a"), ("x-api-key", "b")], &[("x-api-key", "sk-real-0123456789")]);
        check(&own, &[("proxy-authorization", "a"), ("x-token", "b")], &[("x-token", "sk-real-0123456789")]);
    }

    #[test]
    fn basic_is_user_and_password() {
        let secret = |text: &str| Secret::from_stdin(text.as_bytes().to_vec()).unwrap();
        // RFC 7617 section 2.
        let whole = basic(None, &secret("Aladdin:open sesame")).unwrap();
        assert_eq!(&**whole, b"Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==");
        assert_eq!(basic(Some("Aladdin"), &secret("open sesame")).unwrap(), whole);
        assert_eq!(basic(None, &secret("open sesame")), Err(EgressError::Unwritable));
        assert!(basic(Some("u"), &secret("pass:word")).is_ok());
    }

    #[test]
    fn what_is_cleared_goes_nowhere() {
        let own = Slot::Header(HeaderName::from_static("x-token"));
        let mut map = headers(&[("x-token", "a"), ("authorization", "b"), ("x-goog-api-key", "c"), ("accept", "d")]);
        clear(&mut map, &own);
        assert_eq!(map, headers(&[("accept", "d")]));
    }
}
