//! Knows whether what was waited for has woken the task, or something else.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};

use futures_util::task::AtomicWaker;

/// The waker of one thing that a task waits for beside others: that is polled when it rang, and not each time that the
/// task goes on.
pub(crate) struct Bell {
    ring: Arc<Ring>,
    waker: Waker,
    /// Whom it wakes.
    told: Option<Waker>,
}

struct Ring {
    rung: AtomicBool,
    task: AtomicWaker,
}

impl Bell {
    /// One that has rung: what it is for is polled once.
    pub(crate) fn new() -> Self {
        let ring = Arc::new(Ring { rung: AtomicBool::new(true), task: AtomicWaker::new() });
        Self { waker: Waker::from(ring.clone()), ring, told: None }
    }

    /// What it is for must be polled again, whether it rings or not.
    pub(crate) fn again(&self) {
        self.ring.rung.store(true, Ordering::Relaxed);
    }

    /// Polls, if it has rung since the last time or the task is another one.
    pub(crate) fn poll<T>(&mut self, cx: &Context<'_>, poll: impl FnOnce(&mut Context<'_>) -> Poll<T>) -> Poll<T> {
        let rung = self.ring.rung.load(Ordering::Acquire) && self.ring.rung.swap(false, Ordering::AcqRel);
        let knows = self.told.as_ref().is_some_and(|told| told.will_wake(cx.waker()));
        if knows && !rung {
            return Poll::Pending;
        }
        // One that rings forgets whom to wake.
        self.ring.task.register(cx.waker());
        if !knows {
            self.told = Some(cx.waker().clone());
        }
        poll(&mut Context::from_waker(&self.waker))
    }
}

impl Wake for Ring {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.rung.store(true, Ordering::Release);
        self.task.wake();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicUsize;

    use super::*;

    #[derive(Default)]
    struct Count(AtomicUsize);

    impl Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }

    #[test]
    fn it_polls_once_for_each_ring_and_for_each_task_and_wakes_the_last_one() {
        let (one, other) = (Arc::new(Count::default()), Arc::new(Count::default()));
        let mut bell = Bell::new();
        let (mut polls, mut inner) = (0, None);
        let mut go = |bell: &mut Bell, task: &Arc<Count>| {
            let waker = Waker::from(task.clone());
            let _ = bell.poll(&Context::from_waker(&waker), |cx| {
                polls += 1;
                inner = Some(cx.waker().clone());
                Poll::<()>::Pending
            });
            (polls, inner.clone().unwrap())
        };
        assert_eq!(go(&mut bell, &one).0, 1);
        assert_eq!(go(&mut bell, &one).0, 1);
        let (polls, ring) = go(&mut bell, &other);
        assert_eq!(polls, 2);
        for n in 1..4 {
            ring.wake_by_ref();
            assert_eq!((one.0.load(Ordering::SeqCst), other.0.load(Ordering::SeqCst)), (0, n));
            assert_eq!(go(&mut bell, &other).0, 2 + n);
            assert_eq!(go(&mut bell, &other).0, 2 + n);
        }
        bell.again();
        assert_eq!(go(&mut bell, &other).0, 6);
    }
}
