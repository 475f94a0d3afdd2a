//! A timer for waits that nearly always end in time.

use std::pin::{Pin, pin};
use std::task::{Context, Poll, Waker};

use tokio::task::coop::unconstrained;
use tokio::time::{Instant, Sleep, sleep_until};

/// Made on first use and then kept: it is set anew only when it rings, or for an earlier moment, so that a wait which
/// ends in time costs no more than a look at it. One wait at a time.
#[derive(Debug, Default)]
pub(crate) struct Timer {
    sleep: Option<Pin<Box<Sleep>>>,
    /// Whom it wakes.
    waker: Option<Waker>,
}

impl Timer {
    /// Ready from `due` on.
    pub(crate) fn poll(&mut self, due: Instant, cx: &mut Context<'_>) -> Poll<()> {
        let sleep = self.sleep.get_or_insert_with(|| Box::pin(sleep_until(due)));
        loop {
            if sleep.is_elapsed() || sleep.deadline() > due {
                sleep.as_mut().reset(due);
            } else if self.waker.as_ref().is_some_and(|waker| waker.will_wake(cx.waker())) {
                return Poll::Pending;
            }
            // Past tokio's budget: a sleep that is polled without budget says that it waits, and wakes nobody.
            if pin!(unconstrained(sleep.as_mut())).poll(cx).is_pending() {
                self.waker = Some(cx.waker().clone());
                return Poll::Pending;
            }
            // It rang for an earlier wait, whose end has come since.
            if sleep.deadline() >= due {
                return Poll::Ready(());
            }
        }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use std::future::poll_fn;
    use std::time::Duration;

    use tokio::time::{sleep, timeout};

    use super::*;

    /// A runtime whose clock stands still while anything can be done.
    pub(crate) fn paused() -> tokio::runtime::Runtime {
        tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap()
    }

    #[test]
    fn it_rings_at_each_moment_whatever_it_was_set_to_before() {
        paused().block_on(async {
            let mut timer = Timer::default();
            for (due, given_up) in [(10, 4), (30, 60), (5, 9), (20, 1), (20, 30), (0, 1)] {
                let begun = Instant::now();
                let due = begun + Duration::from_secs(due);
                let rang = timeout(Duration::from_secs(given_up), poll_fn(|cx| timer.poll(due, cx))).await.is_ok();
                assert_eq!(rang, due <= begun + Duration::from_secs(given_up));
                assert_eq!(begun.elapsed(), (due - begun).min(Duration::from_secs(given_up)));
            }
        });
    }

    #[test]
    fn it_rings_for_a_task_that_has_used_up_its_budget() {
        paused().block_on(async {
            for rung_before in [false, true] {
                let mut timer = Timer::default();
                if rung_before {
                    let due = Instant::now() + Duration::from_secs(1);
                    poll_fn(|cx| timer.poll(due, cx)).await;
                }
                let due = Instant::now() + Duration::from_secs(5);
                // In a task of its own: what `block_on` runs has a new budget each time.
                let rang = tokio::task::LocalSet::new()
                    .run_until(async move {
                        let ring = tokio::task::spawn_local(async move {
                            let mut first = true;
                            poll_fn(|cx| {
                                if std::mem::take(&mut first) {
                                    while tokio::task::coop::has_budget_remaining() {
                                        let _ = pin!(tokio::task::coop::consume_budget()).poll(cx);
                                    }
                                }
                                timer.poll(due, cx)
                            })
                            .await;
                        });
                        timeout(Duration::from_secs(60), ring).await.is_ok()
                    })
                    .await;
                assert!(rang && Instant::now() == due, "rung before: {rung_before}");
            }
        });
    }

    #[test]
    fn it_wakes_the_task_that_asked_last() {
        paused().block_on(async {
            let mut timer = Timer::default();
            let due = Instant::now() + Duration::from_secs(5);
            assert!(timer.poll(due, &mut Context::from_waker(Waker::noop())).is_pending());
            let mut rest = pin!(sleep(Duration::from_secs(60)));
            let rang = poll_fn(|cx| match timer.poll(due, cx) {
                Poll::Ready(()) => Poll::Ready(true),
                Poll::Pending => rest.as_mut().poll(cx).map(|()| false),
            });
            assert!(rang.await);
            assert_eq!(Instant::now(), due);
        });
    }
}
