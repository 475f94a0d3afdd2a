//! Globs of the configuration.

/// A pattern.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Glob;
