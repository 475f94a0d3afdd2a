//! By what a client is known.

/// Which layer found out who the client is (interface section 1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Attribution {
    /// The listener belongs to the session.
    Listener,
    /// The owners of the socket, through `/proc`.
    Procfs,
    /// The process that connected the Unix socket, by the kernel's own handle on it.
    PeerPidFd,
    /// The embedding program said so.
    Api,
    /// Nobody knows.
    None,
}

impl Attribution {
    /// Every one, in the order of the variants.
    pub const ALL: [Self; 5] = [Self::Listener, Self::Procfs, Self::PeerPidFd, Self::Api, Self::None];

    /// The stable name.
    pub const fn code(self) -> &'static str {
        match self {
            Self::Listener => "listener",
            Self::Procfs => "procfs",
            Self::PeerPidFd => "peerpidfd",
            Self::Api => "api",
            Self::None => "none",
        }
    }
}
