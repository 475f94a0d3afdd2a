//! The open files of all processes, each read again only where its process has run since.
//!
//! What a process holds changes by what itself does, or is there from its beginning (fork(2)): a socket that is passed
//! on (SCM_RIGHTS, pidfd_getfd(2)) is taken by a system call of whoever gets it. So of a process that has not run since
//! its files were read nothing need be read; its clock tells (`proc/clock.rs`). The one exception is a process that
//! shares its table of files with another that is no thread of it (`CLONE_FILES`): it is found once it has run.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    time::{Duration, Instant},
};

use super::{
    census::{Census, News},
    holders::{Failed, Files, Hints, Holder, Search, close_by, each_socket, note},
};
use crate::proc::{Stat, exact_clocks, life, ran};

/// So many sockets are remembered, of all processes together; what goes beyond is looked at each time. 8 bytes each.
const SOCKETS_MAX: usize = 256 * 1024;
/// A process that holds what is looked for is read to the end if it has so few sockets before that.
const READ_ON_MAX: usize = 64;
/// Of so many sockets each is looked for where the last ones were.
const HINTED_MAX: usize = 8;
/// Longest look that nobody need wait for, and for how long none is tried after one that took longer.
const AT_ONCE: Duration = Duration::from_millis(4);
const SLOW_FOR: Duration = Duration::from_millis(100);
/// So many processes are passed between two looks at the clock.
const BETWEEN: usize = 64;

/// What is known of the files of all processes.
#[derive(Debug)]
pub(super) struct Tables {
    census: Census,
    /// By pid; nothing of a process that must be looked at.
    processes: BTreeMap<u32, Option<Table>>,
    /// Those of the kernel: they have no files, and their clocks need not be asked.
    kernel: HashSet<u32>,
    sockets: usize,
    exact: bool,
    slow_until: Option<Instant>,
}

/// The sockets that a process held when it had run for `clock` nanoseconds.
#[derive(Debug)]
struct Table {
    clock: u64,
    /// Inode and file.
    sockets: Box<[(u32, u32)]>,
    /// The process itself: a pid is another's in time.
    life: u64,
}

impl Default for Tables {
    fn default() -> Self {
        Self {
            census: Census::new(),
            processes: BTreeMap::new(),
            kernel: HashSet::new(),
            sockets: 0,
            exact: exact_clocks(),
            slow_until: None,
        }
    }
}

impl Table {
    /// Whether its process has run since.
    fn is_old(&self, pid: u32) -> bool {
        ran(pid) != Some(self.clock)
    }
}

impl Tables {
    /// Who holds each socket of `inodes` from now on. A process that is known to hold all of them is not searched for
    /// more.
    pub(super) fn holders(
        &mut self,
        inodes: &[u32],
        hints: &Hints,
        deadline: Instant,
    ) -> Result<HashMap<u32, Vec<Holder>>, Failed> {
        let mut found: HashMap<u32, Vec<Holder>> = inodes.iter().map(|inode| (*inode, Vec::new())).collect();
        self.renew()?;
        let mut settled: Vec<u32> = hints.never.into_iter().collect();
        let seen = if found.len() <= HINTED_MAX { hints.seen.as_slice() } else { &[] };
        for seen in seen.iter().filter(|seen| Some(seen.pid) != hints.never) {
            if found.values().all(|holders| !holders.is_empty()) {
                break;
            }
            // Who has not run is known anyway.
            if self
                .processes
                .get(&seen.pid)
                .is_some_and(|table| table.as_ref().is_none_or(|table| table.is_old(seen.pid)))
                && close_by(*seen, &mut found) == found.len()
            {
                settled.push(seen.pid);
            }
        }
        let asked = |pid: &u32| !settled.contains(pid) && !self.kernel.contains(pid);
        let pids: Vec<u32> = self.processes.keys().copied().filter(asked).collect();
        for (n, pid) in pids.into_iter().enumerate() {
            if n.is_multiple_of(BETWEEN) && Instant::now() >= deadline {
                return Err(Failed::Late);
            }
            let clock = self.exact.then(|| ran(pid)).flatten();
            match self.processes.get(&pid) {
                Some(Some(table)) if Some(table.clock) == clock => {
                    for (inode, file) in &table.sockets {
                        if let Some(holders) = found.get_mut(inode) {
                            note(holders, Holder { pid, file: Some(*file) });
                        }
                    }
                }
                Some(_) | None => self.look(pid, clock, &mut found, deadline)?,
            }
        }
        Ok(found)
    }

    /// The same, if it does not take long.
    pub(super) fn holders_at_once(&mut self, inodes: &[u32], hints: &Hints) -> Option<HashMap<u32, Vec<Holder>>> {
        let now = Instant::now();
        if self.slow_until.is_some_and(|until| now < until) {
            return None;
        }
        let found = self.holders(inodes, hints, now + AT_ONCE);
        self.slow_until = matches!(found, Err(Failed::Late)).then(|| now + SLOW_FOR);
        found.ok()
    }

    /// Looks at all files of one process, and remembers them as of `before`.
    fn look(
        &mut self,
        pid: u32,
        before: Option<u64>,
        found: &mut HashMap<u32, Vec<Holder>>,
        deadline: Instant,
    ) -> Result<(), Failed> {
        let life = life(pid);
        self.forget(pid);
        let mut sockets = Vec::new();
        let alone = found.len() == 1;
        let files = each_socket(pid, Some(deadline), |inode, file| {
            sockets.push((inode, file));
            let Some(holders) = found.get_mut(&inode) else { return Search::On };
            note(holders, Holder { pid, file: Some(file) });
            // Nothing else is looked for, and to read on for the next time is not worth it.
            if alone && (before.is_none() || sockets.len() > READ_ON_MAX) { Search::Found } else { Search::On }
        })?;
        match (files, before) {
            (Files::Gone, _) => {
                self.processes.remove(&pid);
            }
            (Files::All, Some(clock)) if self.sockets.saturating_add(sockets.len()) <= SOCKETS_MAX => {
                let is_kernel = sockets.is_empty() && Stat::read(pid).is_ok_and(|stat| stat.stays_kernel_thread());
                // By its clock from before: if it has run meanwhile, it is looked at again.
                if let Some(life) = life {
                    self.sockets = self.sockets.saturating_add(sockets.len());
                    self.processes.insert(pid, Some(Table { clock, sockets: sockets.into(), life }));
                    if is_kernel {
                        self.kernel.insert(pid);
                    }
                }
            }
            (Files::All | Files::Some, _) => {}
        }
        Ok(())
    }

    /// Forgets the files of a process, not that there is one.
    fn forget(&mut self, pid: u32) {
        self.kernel.remove(&pid);
        let Some(table) = self.processes.insert(pid, None).flatten() else { return };
        self.sockets = self.sockets.saturating_sub(table.sockets.len());
    }

    /// Learns which processes there are, and forgets those whose pid may be another's by now.
    fn renew(&mut self) -> Result<(), Failed> {
        match self.census.news().map_err(Failed::Proc)? {
            News::Born(born) => born.into_iter().for_each(|pid| self.forget(pid)),
            News::All(all) => {
                let mut known = std::mem::take(&mut self.processes);
                let mut same = |pid, life| known.remove(&pid).flatten().filter(|table| table.life == life);
                self.processes = all.into_iter().map(|(pid, life)| (pid, same(pid, life))).collect();
                self.kernel.retain(|pid| self.processes.get(pid).is_some_and(Option::is_some));
                self.sockets = self.processes.values().flatten().map(|table| table.sockets.len()).sum();
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
