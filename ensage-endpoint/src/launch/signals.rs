//! Signals as bytes in a pipe, so that one poll(2) waits for all there is.
//!
//! Handlers and not a signalfd: a handler serves every thread of the process, a signalfd only those that block the
//! signals.

use std::{
    io,
    mem::MaybeUninit,
    os::fd::{AsRawFd as _, OwnedFd},
    ptr,
    sync::atomic::{AtomicI32, Ordering},
};

use rustix::{
    pipe::{PipeFlags, pipe_with},
    process::{Signal, getpgrp},
};

/// What is caught. SIGTTIN and SIGTTOU are not: they are for whoever reads the terminal, and that is the program.
const CAUGHT: [Signal; 10] = [
    Signal::CHILD,
    Signal::HUP,
    Signal::INT,
    Signal::QUIT,
    Signal::TERM,
    Signal::USR1,
    Signal::USR2,
    Signal::WINCH,
    Signal::TSTP,
    Signal::CONT,
];

/// Where the handler writes; -1 while nothing is caught.
static PIPE: AtomicI32 = AtomicI32::new(-1);
/// Whose handler it is: a child has it too until its exec.
static OWNER: AtomicI32 = AtomicI32::new(0);

/// Who sent a signal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Origin {
    /// The terminal's driver, to the whole foreground group.
    Terminal,
    /// A process, to us.
    Process,
}

/// The caught signals; their former handlers come back on drop.
pub(super) struct Signals {
    read: OwnedFd,
    /// Held open for the handler.
    _write: OwnedFd,
    before: Vec<(Signal, libc::sigaction)>,
}

impl Signals {
    /// Begins to catch; `None` if somebody does already.
    pub(super) fn catch() -> io::Result<Option<Self>> {
        let (read, write) = pipe_with(PipeFlags::CLOEXEC | PipeFlags::NONBLOCK)?;
        if PIPE.compare_exchange(-1, write.as_raw_fd(), Ordering::SeqCst, Ordering::SeqCst).is_err() {
            return Ok(None);
        }
        OWNER.store(rustix::process::getpid().as_raw_nonzero().get(), Ordering::SeqCst);
        let mut signals = Self { read, _write: write, before: Vec::with_capacity(CAUGHT.len()) };
        for signal in CAUGHT {
            let before = action(signal, None)?;
            // Who started us had its reason to ignore it (nohup, a background job), and the program is to have the
            // same; only of its children must we hear.
            if before.sa_sigaction == libc::SIG_IGN && signal != Signal::CHILD {
                continue;
            }
            signals.before.push((signal, before));
            action(signal, Some(&catching()))?;
        }
        Ok(Some(signals))
    }

    /// Readable when there is something to take.
    pub(super) fn arrivals(&self) -> &OwnedFd {
        &self.read
    }

    /// What arrived, oldest first.
    pub(super) fn take(&self) -> Vec<(Signal, Origin)> {
        let mut bytes = [0_u8; 512];
        let mut arrived = Vec::new();
        // The handler writes pairs, and a pipe keeps so short a write whole (pipe(7)).
        while let Ok(read @ 1..) = rustix::io::read(&self.read, &mut bytes) {
            for pair in bytes.get(..read).unwrap_or_default().chunks_exact(2) {
                let &[number, from] = pair else { continue };
                let origin = if from == 0 { Origin::Process } else { Origin::Terminal };
                arrived.extend(Signal::from_named_raw(i32::from(number)).map(|signal| (signal, origin)));
            }
        }
        arrived
    }

    /// The program was stopped: stop as well, so that the shell sees its job stopped. Returns when we go on.
    pub(super) fn stop_too(&self, signal: i32) {
        match signal {
            // In a group without a shell the kernel drops these, and the program's too.
            libc::SIGTSTP | libc::SIGTTIN | libc::SIGTTOU => {
                let Some(named) = Signal::from_named_raw(signal) else { return };
                let Ok(ours) = action(named, Some(&default())) else { return };
                // SAFETY: raise has no preconditions; the signal's action is the default, which stops us.
                unsafe { libc::raise(signal) };
                let _ = action(named, Some(&ours));
            }
            // Somebody may have stopped the program alone to look at it. A program that stops itself on ^Z does so
            // in the foreground.
            libc::SIGSTOP if in_foreground() => {
                // SAFETY: raise has no preconditions.
                unsafe { libc::raise(libc::SIGSTOP) };
            }
            _ => {}
        }
    }
}

impl Drop for Signals {
    fn drop(&mut self) {
        for (signal, before) in &self.before {
            // It was in force before, so the kernel takes it back.
            let _ = action(*signal, Some(before));
        }
        PIPE.store(-1, Ordering::SeqCst);
    }
}

impl std::fmt::Debug for Signals {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Signals").finish_non_exhaustive()
    }
}

/// Sets (or only reads) what a signal does, and returns what it did.
fn action(signal: Signal, new: Option<&libc::sigaction>) -> io::Result<libc::sigaction> {
    let mut old = MaybeUninit::<libc::sigaction>::zeroed();
    let new = new.map_or(ptr::null(), ptr::from_ref);
    // SAFETY: `new` is null or a valid action whose handler, if it has one of ours, only does what signal-safety(7)
    // allows; `old` lives across the call.
    let code = unsafe { libc::sigaction(signal.as_raw(), new, old.as_mut_ptr()) };
    if code == 0 {
        // SAFETY: all zeroes is a value of the struct, and on success the kernel's is.
        Ok(unsafe { old.assume_init() })
    } else {
        Err(io::Error::last_os_error())
    }
}

fn default() -> libc::sigaction {
    // SAFETY: all zeroes is a value of the struct: SIG_DFL, no flags, an empty mask.
    unsafe { std::mem::zeroed() }
}

fn catching() -> libc::sigaction {
    let mut action = default();
    action.sa_sigaction = on_signal as *const () as libc::sighandler_t;
    action.sa_flags = libc::SA_SIGINFO | libc::SA_RESTART;
    action
}

/// Only atomics and the system calls of signal-safety(7); errno is as it was.
extern "C" fn on_signal(signal: libc::c_int, info: *mut libc::siginfo_t, _context: *mut libc::c_void) {
    // SAFETY: errno's address is valid for as long as the thread is.
    let errno = unsafe { libc::__errno_location() };
    // SAFETY: see above.
    let saved = unsafe { *errno };
    // SAFETY: getpid has no preconditions.
    if unsafe { libc::getpid() } == OWNER.load(Ordering::SeqCst) {
        // SAFETY: with SA_SIGINFO the kernel passes a valid siginfo.
        let from_kernel = !info.is_null() && unsafe { (*info).si_code } == libc::SI_KERNEL;
        // Signals that are caught have numbers below 32.
        let pair = [u8::try_from(signal).unwrap_or(0), u8::from(from_kernel)];
        // SAFETY: `pair` lives across the call. A full pipe drops it: its reader is then woken anyway, and it looks
        // for ended children whatever the signal was.
        unsafe { libc::write(PIPE.load(Ordering::SeqCst), pair.as_ptr().cast(), pair.len()) };
    } else {
        // A child between fork and exec: the signal does what it would to the program itself.
        // SAFETY: signal and raise are safe in a handler; raised, it is delivered when this handler returns.
        unsafe {
            libc::signal(signal, libc::SIG_DFL);
            libc::raise(signal);
        }
    }
    // SAFETY: see above.
    unsafe { *errno = saved };
}

fn in_foreground() -> bool {
    let tty = std::fs::File::open("/dev/tty");
    tty.is_ok_and(|tty| rustix::termios::tcgetpgrp(&tty).is_ok_and(|group| group == getpgrp()))
}
