//! Patience with a client: every wait has a limit, at the cost of one lazy timer a connection.

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::time::{Instant, Sleep, sleep};

use crate::clock::ticks;

/// Waiting took longer than allowed.
#[derive(Debug)]
pub(crate) struct TooLong;

/// The one timer of a connection.
///
/// Re-arming a timer for every read would cost more than the read. So the deadline is a number, and
/// the timer is touched only when it would fire too late; when it fires too early, it is set anew.
pub(crate) struct Waits {
    timer: Pin<Box<Sleep>>,
    /// When the timer fires, in ticks; it is registered with the runtime.
    fires: u64,
}

impl Waits {
    pub(crate) fn new() -> Self {
        Self { timer: Box::pin(sleep(Duration::ZERO)), fires: u64::MAX }
    }

    /// Polls until it is ready, at most for `limit`.
    pub(crate) async fn within<T>(
        &mut self,
        limit: Duration,
        mut poll: impl FnMut(&mut Context<'_>) -> Poll<T>,
    ) -> Result<T, TooLong> {
        let mut deadline = None;
        poll_fn(|cx| {
            if let Poll::Ready(value) = poll(cx) {
                return Poll::Ready(Ok(value));
            }
            let now = ticks();
            let deadline = *deadline.get_or_insert_with(|| now.saturating_add(millis(limit)));
            if now >= deadline {
                self.fires = u64::MAX;
                return Poll::Ready(Err(TooLong));
            }
            self.wake_by(deadline, now, cx);
            Poll::Pending
        })
        .await
    }

    /// Makes sure that the task is woken at `deadline` or before.
    fn wake_by(&mut self, deadline: u64, now: u64, cx: &mut Context<'_>) {
        // The task's waker does not change, so a registered timer need not be polled again. Whether
        // it still is registered only the timer knows: its clock runs ahead of the coarse one.
        if self.fires <= deadline && !self.timer.is_elapsed() {
            return;
        }
        // One tick of slack: the coarse clock may lag behind the timer's.
        let wait = Duration::from_millis(deadline.saturating_sub(now) + 1);
        self.timer.as_mut().reset(Instant::now() + wait);
        self.fires = now + millis(wait);
        if self.timer.as_mut().poll(cx).is_ready() {
            cx.waker().wake_by_ref();
        }
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX / 2)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn runtime() -> tokio::runtime::Runtime {
        tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
    }

    #[test]
    fn what_is_ready_is_not_kept_waiting() {
        let ready = runtime()
            .block_on(async { Waits::new().within(Duration::ZERO, |_| Poll::Ready(7)).await });
        assert_eq!(ready.unwrap(), 7);
    }

    #[test]
    fn a_long_wait_does_not_delay_a_shorter_one_after_it() {
        runtime().block_on(async {
            let mut waits = Waits::new();
            // Arms the timer far ahead, then is interrupted by becoming ready.
            let mut polls = 0;
            let woken = waits.within(Duration::from_mins(1), |cx| {
                polls += 1;
                cx.waker().wake_by_ref();
                if polls > 1 { Poll::Ready(()) } else { Poll::Pending }
            });
            woken.await.unwrap();
            let before = ticks();
            let late = waits.within(Duration::from_millis(40), |_| Poll::<()>::Pending).await;
            assert!(late.is_err());
            assert!((30..2_000).contains(&(ticks() - before)));
        });
    }

    #[test]
    fn no_wait_is_lost_whatever_came_before() {
        runtime().block_on(async {
            // Waits of all lengths around the grain of the coarse clock, one after the other, some
            // of them ended early: each must end by itself.
            let mut waits = Waits::new();
            for round in 0..60_u64 {
                let limit = Duration::from_millis(1 + round % 7);
                let waited = tokio::time::timeout(
                    Duration::from_secs(5),
                    waits.within(limit, |_| Poll::<()>::Pending),
                );
                assert!(waited.await.expect("a wait was lost").is_err());
                let early = waits.within(Duration::from_millis(20), |cx| {
                    cx.waker().wake_by_ref();
                    if ticks().is_multiple_of(2) { Poll::Ready(()) } else { Poll::Pending }
                });
                let _ = tokio::time::timeout(Duration::from_secs(5), early).await.unwrap();
            }
        });
    }

    #[test]
    fn a_short_wait_before_does_not_cut_a_longer_one() {
        runtime().block_on(async {
            let mut waits = Waits::new();
            let short = waits.within(Duration::from_millis(10), |_| Poll::<()>::Pending).await;
            assert!(short.is_err());
            let before = ticks();
            let long = waits.within(Duration::from_millis(80), |_| Poll::<()>::Pending).await;
            assert!(long.is_err());
            assert!(ticks() - before >= 70);
        });
    }
}
