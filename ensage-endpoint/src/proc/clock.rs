//! How long a process has run: the CPU clocks of other processes (clock_getcpuclockid(3)).
//!
//! Anybody may read them. The clock of a process is the sum over its threads, those that have ended too, of the time
//! that each has spent on a CPU (`sum_exec_runtime` of the kernel), in nanoseconds. So a process whose clock says the
//! same twice has not run in between, and what only itself can change is as it was. One thing is not told: what a
//! thread that is on a CPU at this moment did since the kernel last accounted for it, one timer tick at most (10 ms and
//! mostly less; one second on a CPU that was set up to run without ticks).

use std::sync::OnceLock;

/// `CPUCLOCK_SCHED` of the kernel's `include/linux/posix-timers_types.h`; without `CPUCLOCK_PERTHREAD_MASK`.
const SCHED: libc::clockid_t = 2;
/// So often a clock must have moved before all of them are believed.
const TRIES: u32 = 8;

/// Nanoseconds that a process has run; absent if there is none of that pid.
pub(crate) fn ran(pid: u32) -> Option<u64> {
    let pid = libc::pid_t::try_from(pid).ok().filter(|pid| *pid > 0)?;
    let clock = (!pid).wrapping_shl(3) | SCHED;
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `time` lives across the call, which writes one timespec or nothing.
    if unsafe { libc::clock_gettime(clock, &raw mut time) } != 0 {
        return None;
    }
    let seconds = u64::try_from(time.tv_sec).ok()?;
    seconds.checked_mul(1_000_000_000)?.checked_add(u64::try_from(time.tv_nsec).ok()?)
}

/// Whether the clocks tell the shortest time on a CPU. Kernels that only count ticks do not (gVisor).
pub(crate) fn is_exact() -> bool {
    static EXACT: OnceLock<bool> = OnceLock::new();
    *EXACT.get_or_init(|| {
        let own = std::process::id();
        (0..TRIES).all(|_| match (ran(own), ran(own)) {
            (Some(before), Some(after)) => after > before,
            _ => false,
        })
    })
}

#[cfg(test)]
mod tests {
    use std::{
        io::{BufRead as _, BufReader, Write as _},
        process::{Command, Stdio},
    };

    use super::*;

    #[test]
    fn a_clock_stands_while_its_process_sleeps_and_moves_when_it_has_run() {
        assert!(is_exact());
        let mut child = Command::new("/bin/cat").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let (mut to, mut from) = (child.stdin.take().unwrap(), BufReader::new(child.stdout.take().unwrap()));
        let mut echo = || {
            to.write_all(b"x\n").unwrap();
            from.read_line(&mut String::new()).unwrap();
            // It sleeps again once two looks find the same; then it stays so.
            loop {
                let before = ran(child.id()).unwrap();
                std::thread::yield_now();
                std::thread::sleep(std::time::Duration::from_millis(20));
                if ran(child.id()) == Some(before) {
                    return before;
                }
            }
        };
        let mut last = 0;
        for _ in 0..10 {
            let now = echo();
            assert!(now > last);
            last = now;
        }
        child.kill().unwrap();
        child.wait().unwrap();
        assert_eq!(ran(child.id()), None);
    }

    #[test]
    fn nobody_has_no_clock() {
        assert_eq!(ran(0), None);
        assert_eq!(ran(u32::MAX), None);
    }
}
