//! Starting processes without disturbing who owns a socket.
//!
//! From fork to exec a child holds every socket of this process. The gateway looks again when it meets that, but a
//! child that is not scheduled for long would still make a client ambiguous: so no process is started while a raw
//! client of this process is being attributed.

use std::io;
use std::process::{Child, Command, Output};
use std::sync::{Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

static CONNECTING: Mutex<usize> = Mutex::new(0);
static CHANGED: Condvar = Condvar::new();

/// A test may start a process while its own client waits: then this is best effort.
const PATIENCE: Duration = Duration::from_secs(2);

/// As long as one lives, [`spawn`] waits.
#[derive(Debug)]
pub struct Quiet(());

impl Quiet {
    /// From before connect to the first byte of an answer: then the gateway knows who connected.
    #[must_use]
    pub fn new() -> Self {
        *CONNECTING.lock().unwrap_or_else(PoisonError::into_inner) += 1;
        Self(())
    }
}

impl Default for Quiet {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for Quiet {
    fn drop(&mut self) {
        *CONNECTING.lock().unwrap_or_else(PoisonError::into_inner) -= 1;
        CHANGED.notify_all();
    }
}

/// Starts a process when no client of this process is being attributed.
///
/// # Errors
/// As [`Command::spawn`].
pub fn spawn(command: &mut Command) -> io::Result<Child> {
    let end = Instant::now() + PATIENCE;
    let mut connecting = CONNECTING.lock().unwrap_or_else(PoisonError::into_inner);
    while *connecting > 0 {
        let left = end.saturating_duration_since(Instant::now());
        if left.is_zero() {
            break;
        }
        connecting = CHANGED.wait_timeout(connecting, left).unwrap_or_else(PoisonError::into_inner).0;
    }
    // The lock is held over the spawn: nobody begins to connect before the exec.
    let child = command.spawn();
    drop(connecting);
    child
}

/// Runs a process to its end, its output captured.
///
/// # Errors
/// As [`Command::output`].
pub fn output(command: &mut Command) -> io::Result<Output> {
    use std::process::Stdio;
    spawn(command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()))?.wait_with_output()
}
