//! Hosts and ports in one spelling.

/// A host in one spelling.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Host;
/// Which hosts a rule means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostPattern;
