//! How long nothing may happen between the proxy and the origin.

use std::time::Duration;

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

    /// What is left of it.
    pub(super) fn left(&self) -> Duration {
        self.limit.saturating_sub(since(self.since))
    }
}
