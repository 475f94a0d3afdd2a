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
    first: String,
    lines: Mutex<mpsc::Receiver<String>>,
    stderr: Arc<Mutex<String>>,
}

impl Gateway {
    /// Starts `command` and waits until it listens.
    ///
    /// # Panics
    /// If it ends before that, with what it said.
    #[must_use]
    pub(crate) fn start(command: &mut Command) -> Self {
        Self::start_on(command, Stdio::null())
    }

    /// The same with this as its stdin.
    pub(crate) fn start_on(command: &mut Command, stdin: Stdio) -> Self {
        command.stdin(stdin).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = spawn(command).unwrap();
        let stderr = captured(child.stderr.take().unwrap());
        let (lines, line_by_line) = mpsc::channel();
        let stdout = child.stdout.take().unwrap();
        thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                if lines.send(line).is_err() {
                    return;
                }
            }
        });
        let said = || stderr.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let Ok(line) = line_by_line.recv_timeout(DEADLINE) else {
            let _ = child.kill();
            let _ = child.wait();
            panic!("the gateway does not listen:\n{}", said());
        };
        Self { child, first: line, lines: Mutex::new(line_by_line), stderr }
    }

    /// Where it listens first.
    ///
    /// # Panics
    /// If that is no TCP address.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        let address = self.first.strip_prefix("listening on ").and_then(|at| at.parse().ok());
        address.unwrap_or_else(|| panic!("{:?} on stdout", self.first))
    }

    /// The first line that it has said on stdout, and so many more.
    ///
    /// # Panics
    /// If they don't come.
    #[must_use]
    pub fn lines(&self, more: usize) -> Vec<String> {
        let lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        let rest = (0..more).map(|_| lines.recv_timeout(DEADLINE).unwrap());
        std::iter::once(self.first.clone()).chain(rest).collect()
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

    /// Lets it have so many open files and no more.
    ///
    /// # Panics
    /// If that can't be.
    pub fn limit_files(&self, most: u64) {
        use rustix::process::{Resource, Rlimit, prlimit};
        let pid = Pid::from_raw(i32::try_from(self.child.id()).unwrap());
        prlimit(pid, Resource::Nofile, Rlimit { current: Some(most), maximum: Some(most) }).unwrap();
    }

    /// Asks it to drain.
    pub fn terminate(&self) {
        self.signal(Signal::TERM);
    }

    /// Waits for its end.
    ///
    /// # Panics
    /// If it does not end.
    pub fn ended(&mut self) -> ExitStatus {
        until("the end of the gateway", || self.child.try_wait().unwrap())
    }

    /// Drains it and waits for its end.
    ///
    /// # Panics
    /// If it does not end.
    pub fn stop(&mut self) -> ExitStatus {
        self.terminate();
        self.ended()
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
