//! A list of revoked certificates: a file, and where the configuration names it.

use std::path::PathBuf;
use std::sync::Arc;

/// One entry of `upstream.crl`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Crl {
    /// The file, PEM.
    pub path: PathBuf,
    /// `upstream.crl[N]`
    pub key: Arc<str>,
    /// Line in the configuration, from 1.
    pub line: u32,
    /// Column there, in characters from 1.
    pub column: u32,
}
