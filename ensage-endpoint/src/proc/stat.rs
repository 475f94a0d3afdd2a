//! `/proc/PID/stat`, as proc(5) describes it.

use std::mem::MaybeUninit;

use rustix::{
    fs::{CWD, Mode, OFlags, openat},
    io::read,
    time::{ClockId, clock_gettime},
};

use super::{ProcError, failed};

/// The fields of `/proc/PID/stat` that say who and whose.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stat {
    pub(crate) state: u8,
    pub(crate) ppid: u32,
    pub(crate) flags: u32,
    pub(crate) start_time: u64,
    /// Where code, stack and arguments lie. Every exec draws new places, so this tells one program from the next
    /// even if both are the same file; zeroes where the kernel hides it.
    pub(crate) image: [u64; 3],
}

/// `PF_KTHREAD` of the kernel's `include/linux/sched.h`.
const KERNEL_THREAD: u32 = 0x0020_0000;

/// 52 numbers of up to 20 digits, and a name of up to 64 bytes.
const LINE_BYTES: usize = 2048;

impl Stat {
    pub(crate) fn read(pid: u32) -> Result<Self, ProcError> {
        let failed = |err: rustix::io::Errno| failed(pid, "stat", err.into());
        let file = openat(CWD, format!("/proc/{pid}/stat"), OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty());
        // The kernel gives it whole where there is room.
        let mut text = [MaybeUninit::<u8>::uninit(); LINE_BYTES];
        let (text, _) = read(file.map_err(failed)?, &mut text).map_err(failed)?;
        Self::parse(text).ok_or(ProcError::Malformed { pid, file: "stat" })
    }

    /// Reads one line. The name in field 2 is the process's own text and may hold blanks, newlines and `)`, so the
    /// fields are counted from the last `)`.
    pub(crate) fn parse(text: &[u8]) -> Option<Self> {
        let name_end = text.iter().rposition(|byte| *byte == b')')?;
        let rest = std::str::from_utf8(text.get(name_end.checked_add(1)?..)?).ok()?;
        let mut fields = rest.split_ascii_whitespace();
        let state = *fields.next()?.as_bytes().first()?;
        let ppid = fields.next()?.parse().ok()?;
        // Fields 5 to 8 are pgrp, session, tty_nr, tpgid; 10 to 21 counters and priorities.
        let flags = fields.nth(4)?.parse().ok()?;
        let start_time = fields.nth(12)?.parse().ok()?;
        // Fields 26 (startcode), 28 (startstack) and 48 (arg_start).
        let mut place = |skip| fields.nth(skip).and_then(|field| field.parse().ok()).unwrap_or(0);
        let image = [place(3), place(1), place(19)];
        Some(Self { state, ppid, flags, start_time, image })
    }

    pub(crate) fn is_kernel_thread(&self) -> bool {
        self.flags & KERNEL_THREAD != 0
    }

    /// Whether it is one for good: a program that the kernel itself starts begins as such a thread (until Linux 5.19).
    pub(crate) fn stays_kernel_thread(&self) -> bool {
        let up = u64::try_from(clock_gettime(ClockId::Boottime).tv_sec).unwrap_or(0);
        // USER_HZ, see `wall_clock`.
        self.is_kernel_thread() && self.start_time / 100 + 2 < up
    }

    /// Whether it still runs: a zombie holds nothing.
    pub(crate) fn is_alive(&self) -> bool {
        !matches!(self.state, b'Z' | b'X' | b'x')
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const TAIL: &str = "S 41 7 7 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 9876 23 24 25 26 27 28 29 30 31 32 33 34 35 36 \
                        37 38 39 40 41 42 43 44 45 46 47 48 49 50 51 0";

    #[test]
    fn the_name_never_shifts_the_fields() {
        for name in ["sh", "a b", ") S 1 1", "x) R 1 (y", "new\nline", ""] {
            let line = format!("42 ({name}) {TAIL}");
            let want = Stat { state: b'S', ppid: 41, flags: 4_194_560, start_time: 9876, image: [26, 28, 48] };
            assert_eq!(Stat::parse(line.as_bytes()), Some(want), "{line:?}");
        }
    }

    #[test]
    fn a_short_or_broken_line_is_refused() {
        for line in ["", "42", "42 (sh)", "42 (sh) S", "42 (sh) S x 1", "42 (sh) S 41 7 7 0 -1 1 2 3"] {
            assert_eq!(Stat::parse(line.as_bytes()), None, "{line:?}");
        }
    }

    proptest! {
        #[test]
        fn never_panics(text: Vec<u8>) {
            let _ = Stat::parse(&text);
        }
    }
}
