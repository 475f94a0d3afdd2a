//! Listening sockets that a supervisor passes (sd_listen_fds(3)): they outlive the program, and so does their queue.

use std::{
    env, io,
    net::{SocketAddr, TcpListener},
    os::{
        fd::{BorrowedFd, FromRawFd as _, OwnedFd, RawFd},
        unix::net::UnixListener,
    },
    path::PathBuf,
    sync::atomic::{AtomicBool, Ordering},
};

use rustix::{
    io::{FdFlags, fcntl_setfd},
    net::{
        AddressFamily, SocketType,
        sockopt::{socket_acceptconn, socket_domain, socket_type},
    },
};

/// The first one; the others follow.
const FIRST: RawFd = 3;
/// More than so many are a slip of the keyboard.
const MOST: i32 = 256;
/// What the supervisor says about them; not meant for anybody whom this program starts.
const VARIABLES: [&str; 4] = ["LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES", "LISTEN_PIDFDID"];

/// Where a passed socket listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum At {
    /// A TCP address.
    Tcp(SocketAddr),
    /// A Unix socket.
    Unix(PathBuf),
}

/// A listening stream socket that was passed.
#[derive(Debug)]
pub struct Passed {
    /// It.
    pub socket: OwnedFd,
    /// Where it listens.
    pub at: At,
}

/// Why what was passed can't be used.
#[derive(Debug, thiserror::Error)]
pub enum ActivationError {
    /// `LISTEN_FDS` is no number that can be.
    #[error("LISTEN_FDS names no number of sockets from 0 to {MOST}")]
    Count,
    /// It was asked for too late, or twice.
    #[error("passed sockets can be taken once, before there is a second thread")]
    Late,
    /// Something else than a listening stream socket was passed.
    #[error("file descriptor {fd} that was passed is no listening TCP or Unix socket")]
    Kind {
        /// Which.
        fd: RawFd,
    },
    /// The kernel refuses.
    #[error("file descriptor {fd} that was passed can't be used")]
    Io {
        /// Which.
        fd: RawFd,
        /// Why.
        source: io::Error,
    },
}

/// Takes the sockets that were passed to this very process, and the variables about them out of its environment. To be
/// called first of all: before a second thread, and before anything listens.
///
/// # Errors
/// An [`ActivationError`]; what was passed is then not used at all.
pub fn take() -> Result<Vec<Passed>, ActivationError> {
    static TAKEN: AtomicBool = AtomicBool::new(false);
    let said = |name: &str| env::var(name).ok().filter(|value| !value.is_empty());
    let (pid, count) = (said("LISTEN_PID"), said("LISTEN_FDS"));
    if VARIABLES.iter().all(|name| env::var_os(name).is_none()) {
        return Ok(Vec::new());
    }
    let threads = std::fs::read_dir("/proc/self/task").map_or(0, Iterator::count);
    if threads != 1 || TAKEN.swap(true, Ordering::AcqRel) {
        return Err(ActivationError::Late);
    }
    for name in VARIABLES {
        // SAFETY: there is no other thread that could read the environment meanwhile.
        unsafe { env::remove_var(name) };
    }
    // Meant for another process, whose variables were inherited.
    if pid.and_then(|pid| pid.parse().ok()) != Some(std::process::id()) {
        return Ok(Vec::new());
    }
    let count = count.and_then(|count| count.parse::<i32>().ok()).filter(|count| (0..=MOST).contains(count));
    let count = count.ok_or(ActivationError::Count)?;
    (FIRST..FIRST.saturating_add(count)).map(passed).collect()
}

fn passed(fd: RawFd) -> Result<Passed, ActivationError> {
    let failed = |source: rustix::io::Errno| ActivationError::Io { fd, source: source.into() };
    // SAFETY: it is only asked about, and an error if it is not open.
    let borrowed = unsafe { BorrowedFd::borrow_raw(fd) };
    let kind = |errno| match errno {
        rustix::io::Errno::NOTSOCK => ActivationError::Kind { fd },
        errno => failed(errno),
    };
    let listens = socket_acceptconn(borrowed).map_err(kind)?;
    let streams = socket_type(borrowed).map_err(kind)? == SocketType::STREAM;
    if !listens || !streams {
        return Err(ActivationError::Kind { fd });
    }
    // By default it would go on to whatever is started.
    fcntl_setfd(borrowed, FdFlags::CLOEXEC).map_err(failed)?;
    let family = socket_domain(borrowed).map_err(failed)?;
    // SAFETY: the supervisor passed it to this process, which has opened no listening socket of its own yet, and `take`
    // gives it out once: nobody else owns it.
    let socket = unsafe { OwnedFd::from_raw_fd(fd) };
    let (socket, at) = if family == AddressFamily::UNIX {
        let listener = UnixListener::from(socket);
        let path = listener.local_addr().ok().and_then(|at| at.as_pathname().map(PathBuf::from));
        (OwnedFd::from(listener), At::Unix(path.ok_or(ActivationError::Kind { fd })?))
    } else if family == AddressFamily::INET || family == AddressFamily::INET6 {
        let listener = TcpListener::from(socket);
        let at = listener.local_addr().map_err(|source| ActivationError::Io { fd, source })?;
        (OwnedFd::from(listener), At::Tcp(at))
    } else {
        return Err(ActivationError::Kind { fd });
    };
    Ok(Passed { socket, at })
}
