//! Which processes have a socket among their open files.

use std::{collections::HashMap, ffi::CStr, io, mem::MaybeUninit, os::fd::OwnedFd, time::Instant};

use rustix::{
    fs::{CWD, Mode, OFlags, RawDir, openat, readlinkat_raw},
    io::Errno,
    path::DecInt,
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
/// So far it is looked around a file that held one.
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

/// Notes a holder, and says whether its process is a new one.
pub(super) fn note(holders: &mut Vec<Holder>, new: Holder) -> bool {
    let is_new = holders.iter().all(|known| known.pid != new.pid);
    if is_new {
        holders.push(new);
    }
    is_new
}

/// Looks at the files of a process close by one that was seen, and says how many of the sockets it holds.
pub(super) fn close_by(seen: Holder, found: &mut HashMap<u32, Vec<Holder>>) -> usize {
    let (Some(file), Ok(files)) = (seen.file, folder(&format!("/proc/{}/fd", seen.pid))) else { return 0 };
    let (wanted, mut held) = (found.len(), 0_usize);
    let mut is_wanted = |file: u32| {
        let mut link = [MaybeUninit::<u8>::uninit(); LINK_BYTES];
        let link = readlinkat_raw(&files, DecInt::new(file), &mut link);
        let holders = link.ok().and_then(|(link, _)| inode_of(link)).and_then(|inode| found.get_mut(&inode))?;
        Some(usize::from(note(holders, Holder { pid: seen.pid, file: Some(file) })))
    };
    // A new file has the lowest number that is free: mostly the same again, or one close by.
    let around = (0..=BEHIND).flat_map(|step| {
        let before = file.checked_sub(step).filter(|_| (1..=BEFORE).contains(&step));
        [file.checked_add(step), before].into_iter().flatten()
    });
    let mut last = file;
    for near in around {
        if held < wanted
            && let Some(new) = is_wanted(near)
        {
            held = held.saturating_add(new);
            last = last.max(near);
        }
    }
    let mut next = file.saturating_add(BEHIND);
    while held < wanted && next < last.saturating_add(BEHIND) {
        next = next.saturating_add(1);
        if let Some(new) = is_wanted(next) {
            held = held.saturating_add(new);
            last = next;
        }
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
    let see = |at: u32, file: u32| {
        found = (at == inode).then_some(file);
        if found.is_some() { Search::Found } else { Search::On }
    };
    let _ = each_socket(pid, None, see);
    found
}

/// The inodes of all sockets that a process holds; none where the kernel hides them.
pub(crate) fn sockets(pid: u32) -> Vec<u32> {
    let mut inodes = Vec::new();
    // Without a deadline it can't be late, and a process that has gone holds nothing.
    let _ = each_socket(pid, None, |inode, _| {
        inodes.push(inode);
        Search::On
    });
    inodes
}

/// What whoever looks says of each socket.
pub(super) enum Search {
    On,
    Found,
}

/// How much was seen of the files of a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Files {
    /// All that the kernel shows us.
    All,
    /// Not all.
    Some,
    /// There is no such process.
    Gone,
}

/// The inode of the socket that a link leads to, if it is one.
fn inode_of(link: &[u8]) -> Option<u32> {
    let number = link.strip_prefix(b"socket:[")?.strip_suffix(b"]")?;
    std::str::from_utf8(number).ok()?.parse().ok()
}

/// Each socket that a process holds, by inode and file.
pub(super) fn each_socket(
    pid: u32,
    deadline: Option<Instant>,
    mut see: impl FnMut(u32, u32) -> Search,
) -> Result<Files, Failed> {
    let late = || deadline.is_some_and(|deadline| Instant::now() >= deadline);
    if late() {
        return Err(Failed::Late);
    }
    let files = match folder(&format!("/proc/{pid}/fd")) {
        Ok(files) => files,
        Err(Errno::NOENT | Errno::SRCH) => return Ok(Files::Gone),
        // Hidden from us: see the module's words on what this can't see.
        Err(Errno::ACCESS | Errno::PERM) => return Ok(Files::All),
        Err(err) => return Err(Failed::Proc(err.into())),
    };
    let mut buffer = [MaybeUninit::<u8>::uninit(); 8 * 1024];
    let mut names = RawDir::new(&files, &mut buffer);
    let (mut seen, mut whole) = (0_u32, Files::All);
    while let Some(entry) = names.next() {
        // The process left during the look.
        let Ok(entry) = entry else { return Ok(Files::Some) };
        seen = seen.wrapping_add(1);
        if seen.is_multiple_of(FILES_BETWEEN) && late() {
            return Err(Failed::Late);
        }
        // Not `.` and `..`.
        let Some(file) = number(entry.file_name()) else { continue };
        let mut link = [MaybeUninit::<u8>::uninit(); LINK_BYTES];
        let inode = match readlinkat_raw(&files, entry.file_name(), &mut link) {
            Ok((link, _)) => inode_of(link),
            Err(Errno::ACCESS | Errno::PERM) => None,
            // Closed by now, for one.
            Err(_) => {
                whole = Files::Some;
                None
            }
        };
        if let Some(inode) = inode
            && let Search::Found = see(inode, file)
        {
            return Ok(Files::Some);
        }
    }
    Ok(whole)
}

fn folder(path: &str) -> Result<OwnedFd, Errno> {
    openat(CWD, path, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())
}

fn number(name: &CStr) -> Option<u32> {
    name.to_str().ok()?.parse().ok()
}
