//! One look through all processes for all who ask at that moment.
//!
//! Such a look takes some milliseconds, or a hundred on a machine with many open files, and clients come in bursts. What
//! is asked while a pass runs waits for the next one: only a pass that began after the question knows who holds the
//! socket then.

use std::{
    collections::HashMap,
    sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError},
};

use super::holders::{Failed, Holder};

type Found = Result<HashMap<u32, Vec<Holder>>, Failed>;

/// Passes, one at a time.
#[derive(Debug, Default)]
pub(super) struct Passes {
    state: Mutex<State>,
    over: Condvar,
}

#[derive(Debug, Default)]
struct State {
    /// The pass that has not begun, if somebody waits for one.
    next: Option<Arc<Pass>>,
    runs: bool,
}

#[derive(Debug, Default)]
struct Pass {
    inodes: Mutex<Vec<u32>>,
    found: OnceLock<Found>,
}

impl Passes {
    /// Who holds the sockets, by a pass of `look` that begins from now on. Blocks for two passes at most.
    pub(super) fn holders(&self, inodes: &[u32], look: impl Fn(&[u32]) -> Found) -> Found {
        let mut state = self.state();
        let pass = state.next.get_or_insert_default().clone();
        pass.inodes().extend(inodes);
        let found = loop {
            if let Some(found) = pass.found.get() {
                break found;
            }
            if !state.runs {
                // Nobody runs, so it has not begun: it is the next one.
                state.next = None;
                state.runs = true;
                drop(state);
                let running = Running { passes: self, pass: &pass };
                let inodes = std::mem::take(&mut *pass.inodes());
                let _ = pass.found.set(look(&inodes));
                drop(running);
                state = self.state();
                continue;
            }
            state = self.over.wait(state).unwrap_or_else(PoisonError::into_inner);
        };
        match found {
            Ok(found) => {
                Ok(inodes.iter().map(|inode| (*inode, found.get(inode).cloned().unwrap_or_default())).collect())
            }
            Err(failed) => Err(failed.again()),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Pass {
    fn inodes(&self) -> MutexGuard<'_, Vec<u32>> {
        self.inodes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A pass that is under way. However it ends, nobody waits for it after that.
struct Running<'a> {
    passes: &'a Passes,
    pass: &'a Pass,
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        self.pass.found.get_or_init(|| Err(Failed::Proc(std::io::ErrorKind::Interrupted.into())));
        self.passes.state().runs = false;
        self.passes.over.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use std::{
        sync::mpsc,
        thread,
        time::{Duration, Instant},
    };

    use super::*;

    fn holder(inode: u32) -> Holder {
        Holder { pid: inode + 1000, file: None }
    }

    fn all(inodes: &[u32]) -> Found {
        Ok(inodes.iter().map(|inode| (*inode, vec![holder(*inode)])).collect())
    }

    fn one(passes: &Passes, inode: u32, look: impl Fn(&[u32]) -> Found) -> Result<Vec<Holder>, Failed> {
        Ok(passes.holders(&[inode], look)?.remove(&inode).unwrap())
    }

    fn wait_for(what: impl Fn() -> bool) {
        let end = Instant::now() + Duration::from_secs(20);
        while !what() {
            assert!(Instant::now() < end);
            thread::sleep(Duration::from_millis(1));
        }
    }

    fn waiting(passes: &Passes) -> usize {
        passes.state().next.as_ref().map_or(0, |next| next.inodes().len())
    }

    #[test]
    fn what_is_asked_during_a_pass_is_answered_by_one_that_begins_after_it() {
        let (passes, seen) = (Passes::default(), Mutex::new(Vec::new()));
        let (go, gate) = mpsc::channel::<()>();
        let gate = Mutex::new(gate);
        let look = |inodes: &[u32]| {
            seen.lock().unwrap().push(inodes.to_vec());
            gate.lock().unwrap().recv().unwrap();
            all(inodes)
        };
        thread::scope(|scope| {
            let first = scope.spawn(|| one(&passes, 1, look));
            wait_for(|| seen.lock().unwrap().len() == 1);
            let others: Vec<_> = (2..10)
                .map(|inode| {
                    scope.spawn({
                        let passes = &passes;
                        move || one(passes, inode, look)
                    })
                })
                .collect();
            wait_for(|| waiting(&passes) == 8);
            go.send(()).unwrap();
            assert_eq!(first.join().unwrap().unwrap(), [holder(1)]);
            go.send(()).unwrap();
            for (inode, other) in (2..).zip(others) {
                assert_eq!(other.join().unwrap().unwrap(), [holder(inode)]);
            }
        });
        let mut seen = seen.into_inner().unwrap();
        seen.iter_mut().for_each(|inodes| inodes.sort_unstable());
        assert_eq!(seen, [vec![1], (2..10).collect()]);
    }

    #[test]
    fn a_pass_that_fails_is_told_to_all_who_waited_and_to_nobody_else() {
        let passes = Passes::default();
        let late = |_: &[u32]| Err(Failed::Late);
        assert!(matches!(one(&passes, 1, late), Err(Failed::Late)));
        let denied = |_: &[u32]| Err(Failed::Proc(std::io::ErrorKind::PermissionDenied.into()));
        assert!(
            matches!(one(&passes, 1, denied), Err(Failed::Proc(err)) if err.kind() == std::io::ErrorKind::PermissionDenied)
        );
        assert_eq!(one(&passes, 1, |_| Ok(HashMap::new())).unwrap(), []);
        assert_eq!(one(&passes, 1, all).unwrap(), [holder(1)]);
    }

    #[test]
    fn nobody_waits_for_a_pass_that_broke() {
        let passes = Passes::default();
        let (go, gate) = mpsc::channel::<()>();
        let gate = Mutex::new(gate);
        thread::scope(|scope| {
            let broken = scope.spawn(|| {
                one(&passes, 1, |_| {
                    gate.lock().unwrap().recv().unwrap();
                    panic!("as asked")
                })
            });
            wait_for(|| passes.state().runs);
            let next = scope.spawn(|| one(&passes, 2, all));
            wait_for(|| waiting(&passes) == 1);
            go.send(()).unwrap();
            assert!(broken.join().is_err());
            assert_eq!(next.join().unwrap().unwrap(), [holder(2)]);
        });
    }
}
