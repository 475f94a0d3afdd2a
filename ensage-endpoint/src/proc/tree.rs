//! Whose child a process is.

use std::{
    collections::{HashMap, HashSet},
    os::unix::fs::MetadataExt as _,
};

use rustix::fs::{CWD, Mode, OFlags, RawDir, openat};

use super::{ProcError, Process, ProcessKey, READS_MAX, Stat};

/// Deepest ancestry that is looked at (and the bound of a loop over what the kernel says).
pub const ANCESTORS_MAX: usize = 64;

/// A process and its ancestors, nearest first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chain {
    /// The process itself.
    pub process: Process,
    /// Parent, grandparent and so on, up to pid 1 or the edge of our pid namespace.
    pub ancestors: Vec<Process>,
}

impl Chain {
    /// Reads the ancestors of `process`. Each link is proven: the child still has this parent after the parent was
    /// read, so neither an orphan's old parent nor a reused pid gets in.
    ///
    /// # Errors
    /// A [`ProcError`] of the process or of an ancestor.
    pub fn of(process: Process) -> Result<Self, ProcError> {
        let mut ancestors: Vec<Process> = Vec::new();
        while ancestors.len() < ANCESTORS_MAX {
            let child = ancestors.last().unwrap_or(&process);
            match parent(child)? {
                Some(parent) => ancestors.push(parent),
                None => break,
            }
        }
        Ok(Self { process, ancestors })
    }

    /// The process, then its ancestors.
    pub fn iter(&self) -> impl Iterator<Item = &Process> {
        std::iter::once(&self.process).chain(&self.ancestors)
    }
}

/// The parent of a process, and that it is.
pub(super) fn parent(child: &Process) -> Result<Option<Process>, ProcError> {
    let mut ppid = child.ppid;
    for _ in 0..READS_MAX {
        if ppid == 0 || ppid == child.pid {
            return Ok(None);
        }
        let read = Process::read(ppid);
        let now = Stat::read(child.pid)?;
        if now.start_time != child.start_time {
            return Err(ProcError::Gone { pid: child.pid });
        }
        if now.ppid == ppid {
            match read {
                // A parent is never younger than its child, but it may be for an adopter (a subreaper).
                Ok(parent) => return Ok(Some(parent)),
                Err(ProcError::Gone { .. }) => {}
                Err(err) => return Err(err),
            }
        }
        // The parent has exited meanwhile and somebody adopted the child.
        ppid = now.ppid;
    }
    Err(ProcError::Changing { pid: child.pid })
}

/// Who is whose child, all of the machine in one pass (about 10 µs for each process).
#[derive(Debug, Default)]
pub struct Table {
    parents: HashMap<u32, (ProcessKey, u32)>,
    children: HashMap<u32, Vec<ProcessKey>>,
}

impl Table {
    /// Reads `/proc`. Processes that exit during the pass are left out; so are kernel threads and zombies.
    ///
    /// # Errors
    /// `/proc` can't be listed.
    pub fn read() -> std::io::Result<Self> {
        let mut table = Self::default();
        for (pid, _) in lives()? {
            let Ok(stat) = Stat::read(pid) else { continue };
            if stat.is_kernel_thread() || !stat.is_alive() {
                continue;
            }
            let key = ProcessKey { pid, start_time: stat.start_time };
            table.parents.insert(pid, (key, stat.ppid));
            table.children.entry(stat.ppid).or_default().push(key);
        }
        Ok(table)
    }

    /// All that were there.
    pub fn processes(&self) -> impl Iterator<Item = ProcessKey> {
        self.parents.values().map(|(key, _)| *key)
    }

    /// The parent of a process, if both were there.
    pub fn parent(&self, of: &ProcessKey) -> Option<ProcessKey> {
        let (key, ppid) = self.parents.get(&of.pid)?;
        if key != of {
            return None;
        }
        self.parents.get(ppid).map(|(key, _)| *key)
    }

    /// The children of a process.
    pub fn children(&self, of: &ProcessKey) -> &[ProcessKey] {
        match self.parents.get(&of.pid) {
            Some((key, _)) if key == of => self.children.get(&of.pid).map_or(&[], Vec::as_slice),
            _ => &[],
        }
    }

    /// Children, their children and so on, parents before children, without the process itself.
    pub fn descendants(&self, of: &ProcessKey) -> Vec<ProcessKey> {
        let mut found = self.children(of).to_vec();
        let mut seen: HashSet<ProcessKey> = found.iter().copied().collect();
        let mut next = 0;
        // Each round takes one process that was not taken before, so the table's size bounds it.
        while let Some(key) = found.get(next).copied() {
            found.extend(self.children(&key).iter().filter(|child| seen.insert(**child)));
            next += 1;
        }
        found
    }
}

/// The processes that there are now, each with its [`life`].
pub(crate) fn lives() -> std::io::Result<Vec<(u32, u64)>> {
    let proc = openat(CWD, "/proc", OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
    let mut buffer = Vec::with_capacity(32 * 1024);
    let mut names = RawDir::new(&proc, buffer.spare_capacity_mut());
    let mut lives = Vec::with_capacity(512);
    while let Some(entry) = names.next() {
        let entry = entry?;
        if let Some(pid) = entry.file_name().to_str().ok().and_then(|name| name.parse().ok()) {
            lives.push((pid, entry.ino()));
        }
    }
    Ok(lives)
}

/// The inode of `/proc/PID`: as long as that is the same, so is the process, whatever becomes of pids. The kernel makes
/// one when it is looked for first, at the latest for this answer, and never gives the number of one that is there.
pub(crate) fn life(pid: u32) -> Option<u64> {
    std::fs::metadata(format!("/proc/{pid}")).ok().map(|meta| meta.ino())
}
