//! Whether no more requests are wanted, and for how long clients may still ask once more.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use crate::clock::{in_ticks, ticks};

/// Read for each request: two numbers and no lock.
#[derive(Default)]
pub(crate) struct Draining {
    /// Connections end after the response they are at.
    begun: AtomicBool,
    /// In ticks: until then connections without a request are kept.
    until: AtomicU64,
}

impl Draining {
    pub(crate) fn begin(&self, once_more: Duration) {
        let until = ticks().saturating_add(in_ticks(once_more));
        self.until.store(until, Ordering::Release);
        self.begun.store(true, Ordering::Release);
    }

    pub(crate) fn has_begun(&self) -> bool {
        self.begun.load(Ordering::Acquire)
    }

    /// How long a connection without a request is kept, if draining has begun.
    pub(crate) fn patience(&self) -> Option<Duration> {
        let left = || self.until.load(Ordering::Acquire).saturating_sub(ticks());
        self.has_begun().then(|| Duration::from_millis(left()))
    }
}
