//! Room for another connection: some file descriptors are kept back for what the connections that are there need.

use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd, RawFd};
use std::sync::atomic::Ordering;
use std::time::Duration;

use rustix::process::{Resource, getrlimit};

use super::Shared;

/// The first wait for room, and the longest.
const WAIT_FIRST: Duration = Duration::from_millis(10);
const WAIT_MOST: Duration = Duration::from_secs(1);
/// Of so many descriptors one is kept back, for looks at who a client is, upstream connections and the admin socket; at
/// least so many, and at most.
const KEPT_ONE_OF: u64 = 8;
const KEPT_LEAST: u64 = 8;
const KEPT_MOST: u64 = 256;

/// How one listener waits until there is room.
pub(super) struct Pause<'a> {
    shared: &'a Shared,
    /// How long it waits next.
    wait: Duration,
    waits: bool,
}

impl<'a> Pause<'a> {
    pub(super) fn new(shared: &'a Shared) -> Self {
        Self { shared, wait: WAIT_FIRST, waits: false }
    }

    /// Waits a while, each time longer; told once.
    pub(super) async fn once(&mut self, why: &(dyn std::fmt::Display + Sync)) {
        if !std::mem::replace(&mut self.waits, true) {
            self.shared.out_of_files.fetch_add(1, Ordering::Relaxed);
            self.shared.metrics.accept_paused();
            tracing::warn!(error = %why, "no connection can be accepted now");
        }
        tokio::time::sleep(self.wait).await;
        self.wait = (self.wait * 2).min(WAIT_MOST);
    }

    /// Waits until descriptors are left besides those that are kept back. `newest` is the one that was given last: the
    /// kernel gives the lowest that is free, so its number says how many are in use.
    pub(super) async fn until_room(&mut self, newest: RawFd) {
        let mut newest = Ok(newest);
        while !newest.as_ref().is_ok_and(|newest| has_room(*newest)) {
            self.once(&"the limit of open files is near").await;
            newest = File::open("/dev/null").map(|probe| probe.as_raw_fd());
        }
        self.over();
    }

    /// There is room.
    pub(super) fn over(&mut self) {
        if std::mem::replace(&mut self.waits, false) {
            self.shared.out_of_files.fetch_sub(1, Ordering::Relaxed);
            tracing::info!("connections are accepted again");
        }
        self.wait = WAIT_FIRST;
    }
}

impl Drop for Pause<'_> {
    fn drop(&mut self) {
        self.over();
    }
}

/// Whether descriptors are left besides those that are kept back, where this was given last.
pub(super) fn has_room(newest: RawFd) -> bool {
    // Asked each time: an operator may change it (prlimit(1)).
    let Some(limit) = getrlimit(Resource::Nofile).current else { return true };
    let kept = (limit / KEPT_ONE_OF).clamp(KEPT_LEAST, KEPT_MOST);
    u64::try_from(newest).is_ok_and(|newest| newest < limit.saturating_sub(kept))
}

/// Whether an error of accept(2) is about that one connection, which has gone: the next may come at once.
pub(super) fn is_of_the_client(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionReset, Interrupted};
    matches!(error.kind(), ConnectionAborted | ConnectionReset | Interrupted)
}

/// Whether a call failed because no descriptor is left, for this process or for all.
pub(crate) fn is_out_of_files(error: &io::Error) -> bool {
    use rustix::io::Errno;
    [Errno::MFILE, Errno::NFILE].iter().any(|out| error.raw_os_error() == Some(out.raw_os_error()))
}
