//! How long nothing may happen between the proxy and the origin.

use std::future::poll_fn;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::time::timeout;

use crate::clock::{since, ticks};

/// Runs out when nothing has moved for as long as it lasts.
pub(super) struct Patience {
    limit: Duration,
    /// When something moved last.
    since: u64,
}

impl Patience {
    /// Lasts so long from now on.
    pub(super) fn new(limit: Duration) -> Self {
        Self { limit, since: ticks() }
    }

    /// Something has moved.
    pub(super) fn renew(&mut self) {
        self.since = ticks();
    }

    /// Polls until there is an outcome; `None` once nothing has moved for as long as this lasts. `poll`
    /// renews it whenever something moves.
    pub(super) async fn wait<T>(
        &mut self,
        mut poll: impl FnMut(&mut Context<'_>, &mut Self) -> Poll<T>,
    ) -> Option<T> {
        loop {
            let left = self.left();
            match timeout(left, poll_fn(|cx| poll(cx, self))).await {
                Ok(outcome) => return Some(outcome),
                Err(_) if self.left().is_zero() => return None,
                Err(_) => {}
            }
        }
    }

    /// What is left of it.
    fn left(&self) -> Duration {
        self.limit.saturating_sub(since(self.since))
    }
}
