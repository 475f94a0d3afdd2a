//! The gateway under test: the real binary in the foreground.

use std::io::{BufRead, BufReader, Read};
use std::net::SocketAddr;
use std::process::{Child, ChildStderr, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::thread;

use rustix::process::{Pid, Signal, kill_process};

use crate::spawn::spawn;
use crate::wait::{DEADLINE, until};

/// A running gateway; killed when dropped.
pub struct Gateway {
    child: Child,
    address: SocketAddr,
    stderr: Arc<Mutex<String>>,
}

impl Gateway {
    /// Starts `command` and waits until it listens.
    ///
    /// # Panics
    /// If it ends before that, with what it said.
    #[must_use]
    pub(crate) fn start(command: &mut Command) -> Self {
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = spawn(command).unwrap();
        let stderr = captured(child.stderr.take().unwrap());
        let (lines, line) = mpsc::channel();
        let stdout = child.stdout.take().unwrap();
        thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                if lines.send(line).is_err() {
                    return;
                }
            }
        });
        let said = || stderr.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let Ok(line) = line.recv_timeout(DEADLINE) else {
            let _ = child.kill();
            let _ = child.wait();
            panic!("the gateway does not listen:\n{}", said());
        };
        let address = line.strip_prefix("listening on ").and_then(|at| at.parse().ok());
        let address = address.unwrap_or_else(|| panic!("{line:?} on stdout"));
        Self { child, address, stderr }
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// What it has said on stderr.
    #[must_use]
    pub fn stderr(&self) -> String {
        self.stderr.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Its process.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    fn signal(&self, signal: Signal) {
        let pid = Pid::from_raw(i32::try_from(self.child.id()).unwrap()).unwrap();
        kill_process(pid, signal).unwrap();
    }

    /// Asks it to read its configuration again.
    pub fn hang_up(&self) {
        self.signal(Signal::HUP);
    }

    /// Ends it as a power failure would.
    ///
    /// # Panics
    /// If it can't be waited for.
    pub fn kill(&mut self) {
        let _ = self.child.kill();
        self.child.wait().unwrap();
    }

    /// Drains it and waits for its end.
    ///
    /// # Panics
    /// If it does not end.
    pub fn stop(&mut self) -> ExitStatus {
        self.signal(Signal::TERM);
        until("the end of the gateway", || self.child.try_wait().unwrap())
    }

    /// Most memory that it has had, in KiB.
    ///
    /// # Panics
    /// If it has ended.
    #[must_use]
    pub fn peak_kib(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.pid())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
        line.trim().trim_end_matches(" kB").parse().unwrap()
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if thread::panicking() {
            // Shown by the test runner with the failure.
            #[expect(clippy::print_stderr, reason = "the failure of a test is explained by what the gateway said")]
            {
                eprintln!("--- the gateway said:\n{}", self.stderr());
            }
        }
    }
}

fn captured(mut pipe: ChildStderr) -> Arc<Mutex<String>> {
    let text: Arc<Mutex<String>> = Arc::default();
    let shared = text.clone();
    thread::spawn(move || {
        let mut buffer = [0; 4096];
        while let Ok(n @ 1..) = pipe.read(&mut buffer) {
            shared.lock().unwrap_or_else(PoisonError::into_inner).push_str(&String::from_utf8_lossy(&buffer[..n]));
        }
    });
    text
}
