//! Waiting without paying for it: most waits end at once, and what they wait beside hardly ever happens.

use std::cell::RefCell;
use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::task::Poll;

use tokio::time::Instant;

use crate::bell::Bell;
use crate::timer::Timer;

/// The timer of the running exchange.
#[derive(Default)]
pub(crate) struct Patience(RefCell<Timer>);

impl Patience {
    /// What `work` comes to; `None` if it has not by `due`.
    pub(crate) async fn until<T>(&self, due: Instant, mut work: Pin<&mut impl Future<Output = T>>) -> Option<T> {
        poll_fn(|cx| match work.as_mut().poll(cx) {
            Poll::Ready(done) => Poll::Ready(Some(done)),
            Poll::Pending => self.0.borrow_mut().poll(due, cx).map(|()| None),
        })
        .await
    }
}

/// What `work` comes to; `None` once `end` is there. `end` is polled when something woke it, and not each time that
/// `work` goes on.
pub(super) async fn unless<T>(end: impl Future<Output = ()>, work: impl Future<Output = T>) -> Option<T> {
    let (mut work, mut end) = (pin!(work), pin!(end));
    let mut bell = Bell::new();
    poll_fn(move |cx| match work.as_mut().poll(cx) {
        Poll::Ready(done) => Poll::Ready(Some(done)),
        Poll::Pending => bell.poll(cx, |cx| end.as_mut().poll(cx)).map(|()| None),
    })
    .await
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::sync::Notify;
    use tokio::task::yield_now;
    use tokio::time::sleep;

    use super::*;
    use crate::timer::tests::paused;

    #[test]
    fn a_wait_ends_with_its_work_or_at_its_own_moment() {
        paused().block_on(async {
            let patience = Patience::default();
            for (due, takes) in [(10, 4), (5, 9), (20, 30)] {
                let begun = Instant::now();
                let work = pin!(sleep(Duration::from_secs(takes)));
                let done = patience.until(begun + Duration::from_secs(due), work).await;
                assert_eq!(done.is_some(), takes < due, "{takes} of {due}");
                assert_eq!(begun.elapsed(), Duration::from_secs(takes.min(due)));
            }
        });
    }

    #[test]
    fn work_that_goes_on_does_not_poll_its_end_and_the_end_stops_it() {
        paused().block_on(async {
            let polls = std::cell::Cell::new(0);
            let notify = Notify::new();
            let mut notified = pin!(notify.notified());
            let end = poll_fn(|cx| {
                polls.set(polls.get() + 1);
                notified.as_mut().poll(cx)
            });
            let mut left = 100;
            let work = async {
                loop {
                    yield_now().await;
                    left -= 1;
                    if left == 50 {
                        assert_eq!(polls.get(), 1);
                        notify.notify_waiters();
                    }
                }
            };
            assert_eq!(unless(end, work).await, None::<()>);
            assert_eq!(polls.get(), 2);
            assert!(left >= 49);
        });
    }

    #[test]
    fn work_that_is_done_wins() {
        paused().block_on(async {
            assert_eq!(unless(async {}, async { 7 }).await, Some(7));
            let slow = async {
                sleep(Duration::from_secs(3)).await;
                8
            };
            assert_eq!(unless(std::future::pending(), slow).await, Some(8));
        });
    }
}
