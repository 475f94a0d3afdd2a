//! Which processes there are, without listing them anew each time.
//!
//! The kernel gives numbers of processes and threads in ascending order and tells the last one (the last field of
//! `/proc/loadavg`, proc(5)). While that is known and the numbers can't have been gone through once, whoever is new has
//! a number between the last one then and the last one now.

use std::{
    fs, io,
    mem::MaybeUninit,
    os::fd::OwnedFd,
    time::{Duration, Instant},
};

use rustix::{
    fs::{CWD, Mode, OFlags, openat},
    io::pread,
};

use crate::proc::{lives, ran};

/// No machine makes processes and threads faster than one in this time.
const BIRTH: Duration = Duration::from_micros(2);
/// All processes are listed this often at least.
const LIST_EVERY_MAX: Duration = Duration::from_secs(1);
/// So many numbers are tried one by one; to list all is cheaper then.
const TRIED_MAX: usize = 128;
/// So many numbers before the last may be of processes that are on their way into a list.
const ON_THE_WAY: u32 = 16;
/// From the number of a new process to its being there: a fork(2) that is interrupted may take some milliseconds.
const BIRTH_WAIT: Duration = Duration::from_millis(200);

/// What has come since the last time.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum News {
    /// These processes, and no others.
    Born(Vec<u32>),
    /// Not known: these are all there are, each with its life.
    All(Vec<(u32, u64)>),
}

#[derive(Debug)]
pub(super) struct Census {
    /// `/proc/loadavg`.
    told: Option<OwnedFd>,
    listed: Option<Listed>,
    /// Numbers that were given to somebody who is not there: not yet, not any more, or as a thread.
    unborn: Vec<(u32, Instant)>,
    list_every: Duration,
}

#[derive(Clone, Copy, Debug)]
struct Listed {
    /// Before it was listed.
    at: Instant,
    /// The last number that was given, as of the last time.
    last: u32,
}

impl Census {
    pub(super) fn new() -> Self {
        let told = openat(CWD, "/proc/loadavg", OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty()).ok();
        let numbers = fs::read_to_string("/proc/sys/kernel/pid_max").ok().and_then(|text| text.trim().parse().ok());
        let list_every = BIRTH.saturating_mul(numbers.unwrap_or(0)).min(LIST_EVERY_MAX);
        Self { told, listed: None, unborn: Vec::new(), list_every }
    }

    /// Who is new since the last time that this was asked.
    pub(super) fn news(&mut self) -> io::Result<News> {
        let now = Instant::now();
        // Asked before anybody is looked for: who comes later has a later number.
        let last = self.last();
        self.unborn.retain(|(_, at)| now.saturating_duration_since(*at) < BIRTH_WAIT);
        if let (Some(listed), Some(last)) = (self.listed, last)
            && now.saturating_duration_since(listed.at) < self.list_every
            && let Some(new) = last.checked_sub(listed.last).and_then(|new| usize::try_from(new).ok())
            && self.unborn.len().saturating_add(new) <= TRIED_MAX
        {
            self.listed = Some(Listed { last, ..listed });
            self.unborn.extend(numbers(listed.last, last).map(|number| (number, now)));
            return Ok(News::Born(self.born()));
        }
        self.listed = last.map(|last| Listed { at: now, last });
        let all = lives()?;
        let last = last.unwrap_or(0);
        self.unborn.clear();
        self.unborn.extend(numbers(last.saturating_sub(ON_THE_WAY), last).map(|number| (number, now)));
        self.unborn.retain(|(number, _)| all.iter().all(|(pid, _)| pid != number));
        Ok(News::All(all))
    }

    /// Who is there of those that were given a number and were not there.
    fn born(&mut self) -> Vec<u32> {
        let mut born = Vec::new();
        let asking = this_thread();
        self.unborn.retain(|(number, _)| {
            let there = Some(*number) != asking && ran(*number).is_some();
            if there {
                born.push(*number);
            }
            !there
        });
        born
    }

    /// The last number that was given.
    fn last(&self) -> Option<u32> {
        let mut text = [MaybeUninit::<u8>::uninit(); 128];
        let (text, _) = pread(self.told.as_ref()?, &mut text, 0).ok()?;
        std::str::from_utf8(text).ok()?.split_ascii_whitespace().nth(4)?.parse().ok()
    }
}

/// The numbers after `before` up to `last`.
fn numbers(before: u32, last: u32) -> impl Iterator<Item = u32> {
    (before..last).map(|number| number.saturating_add(1))
}

/// The number of the calling thread, if it is not that of the process: its clock is told by that too.
fn this_thread() -> Option<u32> {
    // SAFETY: gettid(2) takes nothing and can't fail.
    let thread = u32::try_from(unsafe { libc::gettid() }).ok()?;
    (thread != std::process::id()).then_some(thread)
}

#[cfg(test)]
impl Census {
    /// As if a number had been given since the last time.
    pub(super) fn give(&mut self, number: u32) {
        self.listed = Some(Listed { at: Instant::now(), last: self.last().unwrap() });
        self.unborn.push((number, Instant::now()));
    }
}

#[cfg(test)]
mod tests {
    use std::process::{Child, Command, Stdio};

    use super::*;

    fn child() -> Child {
        Command::new("/bin/cat").stdin(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap()
    }

    fn end(mut child: Child) {
        child.kill().unwrap();
        child.wait().unwrap();
    }

    fn listed(all: &[(u32, u64)], pid: u32) -> bool {
        all.iter().any(|(there, _)| *there == pid)
    }

    /// Others start processes too, so a list may be the answer at any time.
    fn has(news: &News, pid: u32) -> bool {
        match news {
            News::Born(pids) => pids.contains(&pid),
            News::All(all) => listed(all, pid),
        }
    }

    #[test]
    fn who_is_new_is_told_once_and_a_thread_never() {
        let mut census = Census::new();
        census.list_every = Duration::from_secs(60);
        let before = child();
        assert!(matches!(census.news().unwrap(), News::All(all) if listed(&all, before.id())));
        let new = child();
        std::thread::spawn(move || {
            let own = this_thread().unwrap();
            let news = census.news().unwrap();
            assert!(has(&news, new.id()) && !has(&news, own), "{news:?}");
            if let News::Born(born) = census.news().unwrap() {
                assert!(!born.contains(&new.id()) && !born.contains(&before.id()));
            }
            end(new);
            end(before);
        })
        .join()
        .unwrap();
    }

    #[test]
    fn who_is_not_there_yet_is_told_when_it_is() {
        let mut census = Census::new();
        census.list_every = Duration::from_secs(60);
        census.news().unwrap();
        let late = child();
        // Its number was given before; nobody was there.
        let last = census.last().unwrap();
        census.listed = Some(Listed { at: Instant::now(), last });
        census.unborn = vec![(late.id(), Instant::now()), (u32::MAX, Instant::now())];
        assert!(has(&census.news().unwrap(), late.id()));
        assert!(census.unborn.iter().any(|(number, _)| *number == u32::MAX));
        // It is not waited for any longer.
        for (_, at) in &mut census.unborn {
            *at = at.checked_sub(BIRTH_WAIT).unwrap();
        }
        census.news().unwrap();
        assert!(census.unborn.iter().all(|(number, _)| *number != u32::MAX));
        end(late);
    }

    #[test]
    fn all_are_listed_where_numbers_tell_nothing() {
        let old = child();
        let lists = |census: &mut Census| matches!(census.news().unwrap(), News::All(all) if listed(&all, old.id()));
        let mut census = Census::new();
        assert!(lists(&mut census));
        // The numbers began anew.
        census.listed = Some(Listed { at: Instant::now(), last: u32::MAX });
        assert!(lists(&mut census));
        // Too many of them were given.
        let last = census.last().unwrap();
        census.listed = Some(Listed { at: Instant::now(), last: last.saturating_sub(1000) });
        assert!(lists(&mut census));
        // Too long ago.
        census.listed = Some(Listed { at: Instant::now().checked_sub(census.list_every).unwrap(), last });
        assert!(lists(&mut census));
        // The kernel does not tell.
        census.told = None;
        assert!(lists(&mut census) && lists(&mut census));
        end(old);
    }
}
