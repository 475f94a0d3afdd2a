//! Which processes have a socket among their open files.

use std::{ffi::CStr, io, mem::MaybeUninit, os::fd::OwnedFd, time::Instant};

use rustix::{
    fs::{CWD, Mode, OFlags, RawDir, openat, readlinkat_raw},
    io::Errno,
};

/// Why the search did not end.
pub(super) enum Failed {
    Late,
    Proc(io::Error),
}

/// How many open files are looked at between two looks at the clock.
const FILES_BETWEEN: u32 = 512;
/// `socket:[4294967295]` is the longest link that can match; a longer one is cut and does not.
const LINK_BYTES: usize = 32;

/// The pids that hold the socket with this inode.
pub(super) fn of(inode: u32, deadline: Instant) -> Result<Vec<u32>, Failed> {
    let proc = folder("/proc").map_err(|err| Failed::Proc(err.into()))?;
    let wanted = Wanted::new(inode);
    let mut buffer = Vec::with_capacity(32 * 1024);
    let mut names = RawDir::new(&proc, buffer.spare_capacity_mut());
    let mut found = Vec::new();
    while let Some(entry) = names.next() {
        let entry = entry.map_err(|err| Failed::Proc(err.into()))?;
        let Some(pid) = pid_of(entry.file_name()) else { continue };
        if wanted.is_held_by(pid, Some(deadline))? {
            found.push(pid);
        }
    }
    Ok(found)
}

/// Those of `pids` that hold the socket with this inode.
pub(super) fn among(pids: &[u32], inode: u32, deadline: Instant) -> Result<Vec<u32>, Failed> {
    let wanted = Wanted::new(inode);
    let mut found = Vec::new();
    for pid in pids {
        if wanted.is_held_by(*pid, Some(deadline))? {
            found.push(*pid);
        }
    }
    Ok(found)
}

/// Whether one process holds it now.
pub(super) fn holds(pid: u32, inode: u32) -> bool {
    Wanted::new(inode).is_held_by(pid, None).unwrap_or(false)
}

/// The inodes of all sockets that a process holds; none where the kernel hides them.
pub(crate) fn sockets(pid: u32) -> Vec<u32> {
    let mut inodes = Vec::new();
    // Without a deadline it can't be late, and a process that has gone holds nothing.
    let _ = each_link(pid, None, |link| {
        let number = link.strip_prefix(b"socket:[").and_then(|rest| rest.strip_suffix(b"]"));
        inodes.extend(number.and_then(|text| std::str::from_utf8(text).ok()?.parse::<u32>().ok()));
        Search::On
    });
    inodes
}

struct Wanted {
    link: Vec<u8>,
}

enum Search {
    On,
    Found,
}

impl Wanted {
    fn new(inode: u32) -> Self {
        Self { link: format!("socket:[{inode}]").into_bytes() }
    }

    fn is_held_by(&self, pid: u32, deadline: Option<Instant>) -> Result<bool, Failed> {
        let found = each_link(pid, deadline, |link| if link == self.link { Search::Found } else { Search::On })?;
        Ok(matches!(found, Search::Found))
    }
}

fn each_link(pid: u32, deadline: Option<Instant>, mut see: impl FnMut(&[u8]) -> Search) -> Result<Search, Failed> {
    let late = || deadline.is_some_and(|deadline| Instant::now() >= deadline);
    if late() {
        return Err(Failed::Late);
    }
    let files = match folder(&format!("/proc/{pid}/fd")) {
        Ok(files) => files,
        // Exited, or hidden from us: see the module's words on what this can't see.
        Err(Errno::NOENT | Errno::SRCH | Errno::ACCESS | Errno::PERM) => return Ok(Search::On),
        Err(err) => return Err(Failed::Proc(err.into())),
    };
    let mut buffer = [MaybeUninit::<u8>::uninit(); 8 * 1024];
    let mut names = RawDir::new(&files, &mut buffer);
    let mut seen = 0_u32;
    while let Some(entry) = names.next() {
        // The process left during the look.
        let Ok(entry) = entry else { break };
        seen = seen.wrapping_add(1);
        if seen.is_multiple_of(FILES_BETWEEN) && late() {
            return Err(Failed::Late);
        }
        let mut link = [MaybeUninit::<u8>::uninit(); LINK_BYTES];
        // `.` and `..` are no links, and a file may be closed by now.
        let Ok((link, _)) = readlinkat_raw(&files, entry.file_name(), &mut link) else { continue };
        if let Search::Found = see(link) {
            return Ok(Search::Found);
        }
    }
    Ok(Search::On)
}

fn folder(path: &str) -> Result<OwnedFd, Errno> {
    openat(CWD, path, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())
}

fn pid_of(name: &CStr) -> Option<u32> {
    name.to_str().ok()?.parse().ok()
}
