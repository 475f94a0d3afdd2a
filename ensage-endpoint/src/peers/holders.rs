//! Which processes have a socket among their open files.

use std::{collections::HashMap, ffi::CStr, io, mem::MaybeUninit, os::fd::OwnedFd, time::Instant};

use rustix::{
    fs::{CWD, Mode, OFlags, RawDir, openat, readlinkat_raw},
    io::Errno,
};

/// Why the search did not end.
#[derive(Debug)]
pub(super) enum Failed {
    Late,
    Proc(io::Error),
}

impl Failed {
    /// The same for somebody else.
    pub(super) fn again(&self) -> Self {
        match self {
            Self::Late => Self::Late,
            Self::Proc(err) => {
                Self::Proc(err.raw_os_error().map_or_else(|| err.kind().into(), io::Error::from_raw_os_error))
            }
        }
    }
}

/// How many open files are looked at between two looks at the clock.
const FILES_BETWEEN: u32 = 512;
/// `socket:[4294967295]` is the longest link that can match; a longer one is cut and does not.
const LINK_BYTES: usize = 32;

/// A process that was seen to hold a socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Holder {
    pub(super) pid: u32,
    /// By which of its files, if that was told.
    pub(super) file: Option<u32>,
}

/// Where a look through all processes need not go.
#[derive(Clone, Debug, Default)]
pub(super) struct Hints {
    /// Who was found last, the latest first: whoever has made one connection makes the next, by a file close by.
    pub(super) seen: Vec<Holder>,
    /// A process that holds none of the sockets that are looked for.
    pub(super) never: Option<u32>,
}

/// So many holders are remembered.
const SEEN_MAX: usize = 4;
/// A new file has the lowest number that is free: one that was closed since, or one behind the last.
const BEFORE: u32 = 8;
const BEHIND: u32 = 16;

impl Hints {
    /// Takes note of who was found.
    pub(super) fn note(&mut self, found: &HashMap<u32, Vec<Holder>>) {
        for holder in found.values().flatten().filter(|holder| holder.file.is_some()) {
            self.seen.retain(|seen| seen.pid != holder.pid);
            self.seen.insert(0, *holder);
        }
        self.seen.truncate(SEEN_MAX);
    }
}

/// Who holds each socket of `inodes`: one look through all processes. A process that is known to hold all of them is
/// not searched for more.
pub(super) fn of(inodes: &[u32], hints: &Hints, deadline: Instant) -> Result<HashMap<u32, Vec<Holder>>, Failed> {
    let mut found: HashMap<u32, Vec<Holder>> = inodes.iter().map(|inode| (*inode, Vec::new())).collect();
    let mut settled: Vec<u32> = hints.never.into_iter().collect();
    for seen in hints.seen.iter().filter(|seen| Some(seen.pid) != hints.never) {
        if close_by(*seen, &mut found) == found.len() {
            settled.push(seen.pid);
        }
    }
    let proc = folder("/proc").map_err(|err| Failed::Proc(err.into()))?;
    let mut buffer = Vec::with_capacity(32 * 1024);
    let mut names = RawDir::new(&proc, buffer.spare_capacity_mut());
    while let Some(entry) = names.next() {
        let entry = entry.map_err(|err| Failed::Proc(err.into()))?;
        let Some(pid) = number(entry.file_name()).filter(|pid| !settled.contains(pid)) else { continue };
        each_link(pid, Some(deadline), |file, link| {
            if let Some(holders) = inode_of(link).and_then(|inode| found.get_mut(&inode)) {
                note(holders, Holder { pid, file: number(file) });
                // Nothing else is looked for.
                if inodes.len() == 1 {
                    return Search::Found;
                }
            }
            Search::On
        })?;
    }
    Ok(found)
}

/// Notes a holder, and says whether its process is a new one.
fn note(holders: &mut Vec<Holder>, new: Holder) -> bool {
    let is_new = holders.iter().all(|known| known.pid != new.pid);
    if is_new {
        holders.push(new);
    }
    is_new
}

/// Looks at the files of a process close by one that was seen, and says how many of the sockets it holds.
pub(super) fn close_by(seen: Holder, found: &mut HashMap<u32, Vec<Holder>>) -> usize {
    let (Some(mut last), Ok(files)) = (seen.file, folder(&format!("/proc/{}/fd", seen.pid))) else { return 0 };
    let (mut held, mut file) = (0, last.saturating_sub(BEFORE));
    while held < found.len() && file <= last.saturating_add(BEHIND) {
        let mut link = [MaybeUninit::<u8>::uninit(); LINK_BYTES];
        if let Ok((link, _)) = readlinkat_raw(&files, file.to_string(), &mut link)
            && let Some(holders) = inode_of(link).and_then(|inode| found.get_mut(&inode))
        {
            held += usize::from(note(holders, Holder { pid: seen.pid, file: Some(file) }));
            last = last.max(file);
        }
        file = file.saturating_add(1);
    }
    held
}

/// Whether one process holds it now.
pub(super) fn holds(holder: Holder, inode: u32) -> bool {
    file_of(holder, inode).is_some()
}

/// By which of its files it does.
pub(super) fn file_of(holder: Holder, inode: u32) -> Option<u32> {
    let Holder { pid, file } = holder;
    let there = |file: u32| {
        let mut link = [MaybeUninit::<u8>::uninit(); LINK_BYTES];
        let link = readlinkat_raw(CWD, format!("/proc/{pid}/fd/{file}"), &mut link);
        link.is_ok_and(|(link, _)| inode_of(link) == Some(inode))
    };
    // Most often by the same file still.
    if let Some(file) = file.filter(|file| there(*file)) {
        return Some(file);
    }
    let mut found = None;
    let see = |file: &CStr, link: &[u8]| {
        if inode_of(link) != Some(inode) {
            return Search::On;
        }
        found = number(file);
        Search::Found
    };
    let _ = each_link(pid, None, see);
    found
}

/// The inodes of all sockets that a process holds; none where the kernel hides them.
pub(crate) fn sockets(pid: u32) -> Vec<u32> {
    let mut inodes = Vec::new();
    // Without a deadline it can't be late, and a process that has gone holds nothing.
    let _ = each_link(pid, None, |_, link| {
        inodes.extend(inode_of(link));
        Search::On
    });
    inodes
}

enum Search {
    On,
    Found,
}

/// The inode of the socket that a link leads to, if it is one.
fn inode_of(link: &[u8]) -> Option<u32> {
    let number = link.strip_prefix(b"socket:[")?.strip_suffix(b"]")?;
    std::str::from_utf8(number).ok()?.parse().ok()
}

fn each_link(
    pid: u32,
    deadline: Option<Instant>,
    mut see: impl FnMut(&CStr, &[u8]) -> Search,
) -> Result<Search, Failed> {
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
        if let Search::Found = see(entry.file_name(), link) {
            return Ok(Search::Found);
        }
    }
    Ok(Search::On)
}

fn folder(path: &str) -> Result<OwnedFd, Errno> {
    openat(CWD, path, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())
}

fn number(name: &CStr) -> Option<u32> {
    name.to_str().ok()?.parse().ok()
}
