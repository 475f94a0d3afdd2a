//! A secret: bytes that are wiped when dropped and read only inside this crate.

use std::hint::black_box;

use zeroize::Zeroizing;

/// Fewest bytes of a secret: a shorter one would be found by chance in every answer that is scrubbed.
pub const SECRET_BYTES_MIN: usize = 8;

/// Most bytes of a secret: what fits one header of the default limit, twice over.
pub const SECRET_BYTES_MAX: usize = 128 * 1024;

/// A real credential.
///
/// It has no `Debug`, `Display`, `Clone` or `Serialize`, and is zeroed on drop.
///
/// ```compile_fail
/// fn shown<T: std::fmt::Debug>(_: T) {}
/// shown(ensage_creds::Secret::from_stdin(b"hunter2hunter2".to_vec()).unwrap());
/// ```
///
/// Invariant: at least [`SECRET_BYTES_MIN`] bytes, all of which a header field may carry (RFC 9110 section 5.5), no
/// white space at either end.
pub struct Secret(Zeroizing<Vec<u8>>);

/// Why bytes are no secret. None of the variants holds any of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SecretError {
    /// Nothing came.
    #[error("the secret is empty")]
    Empty,
    /// Fewer than [`SECRET_BYTES_MIN`] bytes.
    #[error("the secret has {bytes} bytes, fewer than {SECRET_BYTES_MIN}")]
    Short {
        /// How many there are.
        bytes: usize,
    },
    /// More than [`SECRET_BYTES_MAX`] bytes.
    #[error("the secret has {bytes} bytes, more than {SECRET_BYTES_MAX}")]
    Long {
        /// How many there are.
        bytes: usize,
    },
    /// A line break, NUL or another control character.
    #[error("the secret has {what} at byte {offset}")]
    Control {
        /// Its name.
        what: &'static str,
        /// Where it stands, from 0.
        offset: usize,
    },
    /// A header would lose it.
    #[error("the secret begins or ends with white space")]
    Edge,
}

impl SecretError {
    /// What to do about it.
    pub const fn remedy(&self) -> &'static str {
        match self {
            Self::Empty => "pipe the secret in, for example: ensage creds add NAME < key.txt",
            Self::Short { .. } => "use a longer secret: one this short can't be kept out of answers",
            Self::Long { .. } => "pipe in the secret alone, not a file that holds it",
            Self::Control { .. } => "pipe in one line without CR, LF or NUL; one final newline is taken off",
            Self::Edge => "pipe in the secret without white space around it",
        }
    }
}

impl Secret {
    /// Takes what came from stdin or a prompt, less one final newline.
    ///
    /// # Errors
    /// Empty, shorter than 8 bytes, or with a CR, LF, NUL or another byte that no header may carry. The bytes are
    /// wiped then too.
    pub fn from_stdin(bytes: Vec<u8>) -> Result<Self, SecretError> {
        let mut bytes = Zeroizing::new(bytes);
        if bytes.last() == Some(&b'\n') {
            bytes.pop();
        }
        Self::checked(bytes)
    }

    /// Says whether `other` is this secret; the time depends on the lengths alone.
    pub fn matches(&self, other: &[u8]) -> bool {
        if self.0.len() != other.len() {
            return false;
        }
        let difference = self.0.iter().zip(other).fold(0, |sum, (a, b)| black_box(sum | (a ^ b)));
        difference == 0
    }

    /// Says whether `other` is this secret or has it somewhere inside, as `postgres://user:SECRET@host` has.
    pub fn is_inside(&self, other: &[u8]) -> bool {
        other.windows(self.0.len()).any(|part| self.matches(part))
    }

    /// Lends the bytes: the only way to them.
    pub(crate) fn expose<R>(&self, reader: impl FnOnce(&[u8]) -> R) -> R {
        reader(&self.0)
    }

    /// A second one, for the vault and the sources, which keep theirs.
    pub(crate) fn another(&self) -> Self {
        Self(self.0.clone())
    }

    pub(crate) fn checked(bytes: Zeroizing<Vec<u8>>) -> Result<Self, SecretError> {
        if bytes.is_empty() {
            return Err(SecretError::Empty);
        }
        let bad = bytes.iter().position(|&b| (b < 0x20 && b != b'\t') || b == 0x7f);
        if let Some((offset, byte)) = bad.and_then(|at| bytes.get(at).map(|&b| (at, b))) {
            let what = match byte {
                b'\r' => "a CR",
                b'\n' => "an LF",
                0 => "a NUL",
                _ => "a control character",
            };
            return Err(SecretError::Control { what, offset });
        }
        if bytes.len() < SECRET_BYTES_MIN {
            return Err(SecretError::Short { bytes: bytes.len() });
        }
        if bytes.len() > SECRET_BYTES_MAX {
            return Err(SecretError::Long { bytes: bytes.len() });
        }
        let blank = |b: Option<&u8>| matches!(b, Some(b' ' | b'\t'));
        if blank(bytes.first()) || blank(bytes.last()) {
            return Err(SecretError::Edge);
        }
        Ok(Self(bytes))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(input: &[u8], expected: Result<&[u8], SecretError>) {
        let secret = Secret::from_stdin(input.to_vec());
        let shown = secret.as_ref().map(|s| s.expose(<[u8]>::to_vec)).map_err(|e| *e);
        assert_eq!(shown, expected.map(<[u8]>::to_vec), "{:?}", String::from_utf8_lossy(input));
    }

    #[test]
    fn f10_only_one_line_of_enough_bytes_is_a_secret() {
        check(b"12345678", Ok(b"12345678"));
        check(b"12345678\n", Ok(b"12345678"));
        check("pässwörd with spaces\n".as_bytes(), Ok("pässwörd with spaces".as_bytes()));
        check(b"", Err(SecretError::Empty));
        check(b"\n", Err(SecretError::Empty));
        check(b"1234567", Err(SecretError::Short { bytes: 7 }));
        check(b"1234567\n", Err(SecretError::Short { bytes: 7 }));
        check(b"12345678\n\n", Err(SecretError::Control { what: "an LF", offset: 8 }));
        check(b"12345678\r\n", Err(SecretError::Control { what: "a CR", offset: 8 }));
        check(b"1234\r5678", Err(SecretError::Control { what: "a CR", offset: 4 }));
        check(b"1234\n5678", Err(SecretError::Control { what: "an LF", offset: 4 }));
        check(b"1234\x005678", Err(SecretError::Control { what: "a NUL", offset: 4 }));
        check(b"1234\x7f5678", Err(SecretError::Control { what: "a control character", offset: 4 }));
        check(b"12345678 ", Err(SecretError::Edge));
        check(b"\t12345678", Err(SecretError::Edge));
        check(&vec![b'a'; SECRET_BYTES_MAX + 1], Err(SecretError::Long { bytes: SECRET_BYTES_MAX + 1 }));
    }

    #[test]
    fn a_secret_matches_itself_only() {
        let secret = Secret::from_stdin(b"correct horse".to_vec()).unwrap();
        assert!(secret.matches(b"correct horse"));
        assert!(!secret.matches(b"correct horsf"));
        assert!(!secret.matches(b"correct hors"));
        assert!(secret.is_inside(b"correct horse") && secret.is_inside(b"https://u:correct horse@h/"));
        assert!(!secret.is_inside(b"correct") && !secret.is_inside(b"correct_horse battery"));
        assert!(secret.another().matches(b"correct horse"));
    }
}
