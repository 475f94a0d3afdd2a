//! The end of a program whose gateway has died.

use std::time::{Duration, Instant};

use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    process::Signal,
};

use super::{LaunchError, Running};
use crate::proc::{PidFd, ProcessKey, Table};

/// How often the living are counted while they end; an end itself wakes us at once.
const ROUND: Duration = Duration::from_millis(50);
/// A process may have forked while it was killed; so often that is followed up.
const KILLS_MAX: u32 = 40;

impl Running {
    /// Ends the program and everything that it started and that is still ours.
    pub(super) fn stop_all(&self) -> Result<(), LaunchError> {
        let deadline = Instant::now() + self.grace;
        for process in self.living()? {
            let _ = process.signal(Signal::TERM);
            // A stopped process acts on nothing but this.
            let _ = process.signal(Signal::CONT);
        }
        while Instant::now() < deadline {
            self.pause(ROUND)?;
            if self.living()?.is_empty() {
                return Ok(());
            }
        }
        for _ in 0..KILLS_MAX {
            let living = self.living()?;
            if living.is_empty() {
                break;
            }
            for process in living {
                let _ = process.signal(Signal::KILL);
            }
            self.pause(ROUND)?;
        }
        Ok(())
    }

    /// Handles on all descendants of this process but those that were there before the program.
    fn living(&self) -> Result<Vec<PidFd>, LaunchError> {
        let table = Table::read()?;
        let this = ProcessKey::of(std::process::id()).map_err(LaunchError::Lost)?;
        let others: Vec<ProcessKey> = self
            .earlier
            .iter()
            .flat_map(|earlier| std::iter::once(*earlier).chain(table.descendants(earlier)))
            .collect();
        let ours = table.descendants(&this).into_iter().filter(|key| !others.contains(key));
        // One that has ended since needs no signal.
        Ok(ours.filter_map(|key| PidFd::open(&key).ok()).collect())
    }

    /// Waits for a signal (the end of a child is one) or for a round, then reaps.
    fn pause(&self, round: Duration) -> Result<(), LaunchError> {
        let mut wanted = [PollFd::new(self.signals.arrivals(), PollFlags::IN)];
        let round = Timespec { tv_sec: 0, tv_nsec: round.subsec_nanos().into() };
        match poll(&mut wanted, Some(&round)) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(err) => return Err(LaunchError::System(err.into())),
        }
        self.signals.take();
        self.reap()?;
        Ok(())
    }
}
