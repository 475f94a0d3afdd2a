//! Starts a program in our place: terminal, signals and exit status pass through as if we were not there.
//!
//! Everything that this changes in the process (signal handlers, adopting orphans) is put back when the
//! [`Running`] is dropped; a library that does not start anything is never touched.

mod signals;
mod stop;

use std::{
    collections::HashSet,
    ffi::OsString,
    io,
    marker::PhantomData,
    os::{
        fd::BorrowedFd,
        unix::process::{CommandExt as _, ExitStatusExt as _},
    },
    path::PathBuf,
    process::Command,
    time::Duration,
};

use rustix::{
    event::{PollFd, PollFlags, poll},
    process::{
        Pid, Signal, WaitOptions, child_subreaper, getpid, getppid, set_child_subreaper,
        set_parent_process_death_signal, wait,
    },
};

use self::signals::{Origin, Signals};
use crate::proc::{PidFd, ProcError, ProcessKey, Table};

/// What a program has to end in when the gateway has died, before it is killed.
const GRACE: Duration = Duration::from_secs(5);

/// A program to start. It gets our standard input, output and error.
#[derive(Clone, Debug)]
pub struct Launch {
    /// A path, or a name that is looked for in `PATH` of `env`.
    pub program: OsString,
    /// Its arguments, without its name.
    pub args: Vec<OsString>,
    /// All of its environment; ours is not inherited.
    pub env: Vec<(OsString, OsString)>,
    /// Where it starts; our working folder if absent.
    pub cwd: Option<PathBuf>,
    /// How long it may take to end after the gateway died; 5 s.
    pub grace: Duration,
}

/// Why a program did not start, or can't be waited for.
#[derive(Debug, thiserror::Error)]
pub enum LaunchError {
    /// There is no such program.
    #[error("{program:?} is not found")]
    NotFound {
        /// As it was asked for.
        program: OsString,
        /// What the kernel said.
        source: io::Error,
    },
    /// It is there but can't be executed.
    #[error("{program:?} can't be executed")]
    NotExecutable {
        /// As it was asked for.
        program: OsString,
        /// What the kernel said.
        source: io::Error,
    },
    /// The working folder is none.
    #[error("the working folder {path:?} can't be entered")]
    Folder {
        /// As it was asked for.
        path: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
    /// This process has a program running already, and one set of signal handlers.
    #[error("a program is running already")]
    Busy,
    /// The program ended before anything could be known about it, or the kernel gave no handle on it.
    #[error("the started program can't be watched")]
    Lost(#[source] ProcError),
    /// The kernel refused something else.
    #[error("the program can't be started or waited for")]
    System(#[from] io::Error),
}

/// How it ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// By itself, with this code.
    Exited(i32),
    /// By this signal.
    Signaled(i32),
    /// The gateway died first; the program and all that it started have been ended.
    GatewayDied,
}

/// A program that runs. It must be waited for on the thread that started it: the kernel ends it when that thread
/// ends (PR_SET_PDEATHSIG), so it does not outlive us even if we are killed.
#[derive(Debug)]
pub struct Running {
    child: PidFd,
    grace: Duration,
    /// Children of this process before the start, which are none of the program's.
    earlier: HashSet<ProcessKey>,
    signals: Signals,
    _adopts: Adopts,
    _this_thread: PhantomData<*const ()>,
}

impl Launch {
    /// A program without arguments and without environment.
    pub fn new(program: impl Into<OsString>) -> Self {
        Self { program: program.into(), args: Vec::new(), env: Vec::new(), cwd: None, grace: GRACE }
    }

    /// Starts it. From here on its orphans are our children, and signals to us are its own.
    ///
    /// Start a gateway before, not after: it would count as the program's.
    ///
    /// # Errors
    /// A [`LaunchError`]; nothing runs then.
    pub fn start(&self) -> Result<Running, LaunchError> {
        if let Some(path) = &self.cwd {
            let failed = |source| LaunchError::Folder { path: path.clone(), source };
            if !std::fs::metadata(path).map_err(failed)?.is_dir() {
                return Err(failed(io::ErrorKind::NotADirectory.into()));
            }
        }
        let this = ProcessKey::of(std::process::id()).map_err(LaunchError::Lost)?;
        let earlier = Table::read()?.children(&this).iter().copied().collect();
        let signals = Signals::catch()?.ok_or(LaunchError::Busy)?;
        let adopts = Adopts::orphans()?;
        let pid = self.command().spawn().map_err(|source| self.failed(source))?.id();
        // Our child keeps its pid until we reap it, so this is it.
        let key = ProcessKey::of(pid).map_err(LaunchError::Lost)?;
        let child = PidFd::of_own_child(key).map_err(LaunchError::Lost)?;
        Ok(Running { child, grace: self.grace, earlier, signals, _adopts: adopts, _this_thread: PhantomData })
    }

    /// Blocked and ignored signals are inherited (std leaves both alone), caught ones go back to their default on exec.
    fn command(&self) -> Command {
        let mut command = Command::new(&self.program);
        command.args(&self.args).env_clear().envs(self.env.iter().map(|(name, value)| (name, value)));
        if let Some(cwd) = &self.cwd {
            command.current_dir(cwd);
        }
        let us = getpid();
        // SAFETY: between fork and exec the closure makes two plain system calls and allocates nothing.
        unsafe {
            command.pre_exec(move || {
                set_parent_process_death_signal(Some(Signal::TERM))?;
                // If we died before that call, nobody will send it.
                if getppid() != Some(us) {
                    return Err(io::Error::from_raw_os_error(libc::ESRCH));
                }
                Ok(())
            });
        }
        command
    }

    /// As shells tell the two apart (POSIX shell command language, 2.8.2).
    fn failed(&self, source: io::Error) -> LaunchError {
        let program = self.program.clone();
        match source.raw_os_error() {
            Some(libc::ENOENT | libc::ENOTDIR) => LaunchError::NotFound { program, source },
            Some(
                libc::EACCES
                | libc::EPERM
                | libc::ENOEXEC
                | libc::EISDIR
                | libc::ELOOP
                | libc::ETXTBSY
                | libc::E2BIG
                | libc::ELIBBAD
                | libc::EINVAL
                | libc::ENAMETOOLONG,
            ) => LaunchError::NotExecutable { program, source },
            _ => LaunchError::System(source),
        }
    }
}

impl LaunchError {
    /// The exit code that `run` passes on.
    pub fn code(&self) -> u8 {
        match self {
            Self::NotFound { .. } => 127,
            Self::NotExecutable { .. } => 126,
            Self::Folder { .. } | Self::Busy | Self::Lost(_) | Self::System(_) => 125,
        }
    }
}

impl Ended {
    /// The exit code that `run` passes on: the program's, 128+N by signal N, 125 where we ended it.
    pub fn code(&self) -> u8 {
        match self {
            // A wait status has eight bits of code and seven of signal (wait(2)).
            Self::Exited(code) => u8::try_from(*code & 0xff).unwrap_or(u8::MAX),
            Self::Signaled(signal) => u8::try_from(signal.saturating_add(128)).unwrap_or(u8::MAX),
            Self::GatewayDied => 125,
        }
    }
}

impl Running {
    /// The program's process.
    pub fn key(&self) -> &ProcessKey {
        self.child.key()
    }

    /// Waits until the program has ended, meanwhile passes signals on, stops and goes on with it, and reaps orphans.
    ///
    /// `gateway` becomes readable, or hangs up, when the gateway has died: then the program and all its descendants
    /// get SIGTERM and, after the grace, SIGKILL. What the program left running otherwise is left alone.
    ///
    /// # Errors
    /// [`LaunchError::System`], if the kernel does not let us wait.
    pub fn wait(self, gateway: Option<BorrowedFd<'_>>) -> Result<Ended, LaunchError> {
        // What ended before the handlers were there sent its signal to nobody.
        if let Some(ended) = self.reap()? {
            return Ok(ended);
        }
        loop {
            let mut wanted = vec![PollFd::new(self.signals.arrivals(), PollFlags::IN)];
            wanted.extend(gateway.map(|gateway| PollFd::from_borrowed_fd(gateway, PollFlags::IN)));
            match poll(&mut wanted, None) {
                Ok(_) | Err(rustix::io::Errno::INTR) => {}
                Err(err) => return Err(LaunchError::System(err.into())),
            }
            let died = wanted.get(1).is_some_and(|gateway| !gateway.revents().is_empty());
            for (signal, origin) in self.signals.take() {
                self.pass(signal, origin);
            }
            if let Some(ended) = self.reap()? {
                return Ok(ended);
            }
            if died {
                self.stop_all()?;
                return Ok(Ended::GatewayDied);
            }
        }
    }

    /// What the terminal sends, it sends to the whole foreground group: the program has it already.
    fn pass(&self, signal: Signal, origin: Origin) {
        let passes = match signal {
            Signal::CHILD => false,
            Signal::INT | Signal::QUIT | Signal::TSTP | Signal::WINCH => origin == Origin::Process,
            // A terminal that hangs up tells its session's leader first of all, which may be us alone.
            _ => true,
        };
        if passes {
            // It may have ended by now; then its status is on its way.
            let _ = self.child.signal(signal);
        }
    }

    /// Reaps all that has ended, and says how the program did if that is among it.
    fn reap(&self) -> Result<Option<Ended>, LaunchError> {
        let mut ended = None;
        loop {
            match wait(WaitOptions::NOHANG | WaitOptions::UNTRACED) {
                Ok(Some((pid, status))) if is(pid, self.key()) => {
                    let status = std::process::ExitStatus::from_raw(status.as_raw());
                    if let Some(signal) = status.stopped_signal() {
                        self.signals.stop_too(signal);
                    } else if let Some(signal) = status.signal() {
                        ended = Some(Ended::Signaled(signal));
                    } else if let Some(code) = status.code() {
                        ended = Some(Ended::Exited(code));
                    }
                }
                // An orphan of the program, or another child of ours.
                Ok(Some(_)) => {}
                Ok(None) | Err(rustix::io::Errno::CHILD) => return Ok(ended),
                Err(rustix::io::Errno::INTR) => {}
                Err(err) => return Err(LaunchError::System(err.into())),
            }
        }
    }
}

fn is(pid: Pid, key: &ProcessKey) -> bool {
    u32::try_from(pid.as_raw_nonzero().get()) == Ok(key.pid)
}

/// While it lives, processes whose parents end become our children instead of pid 1's, so that they keep an
/// ancestor by which they can be told.
#[derive(Debug)]
struct Adopts {
    before: Option<Pid>,
}

impl Adopts {
    fn orphans() -> io::Result<Self> {
        let before = child_subreaper()?;
        set_child_subreaper(Some(getpid()))?;
        Ok(Self { before })
    }
}

impl Drop for Adopts {
    fn drop(&mut self) {
        // It can't fail where it succeeded before, and there is nothing to do if it does.
        let _ = set_child_subreaper(self.before);
    }
}
