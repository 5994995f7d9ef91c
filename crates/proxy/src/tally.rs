//! Counters that one thread writes and any may read: nobody waits for anybody.

use std::sync::atomic::{AtomicU64, Ordering};

/// Adds to a counter of the worker whose thread this is: only that one writes, so no lock is taken.
pub(crate) fn add(counter: &AtomicU64, count: u64) {
    counter.store(counter.load(Ordering::Relaxed) + count, Ordering::Relaxed);
}

/// Such counters in a row, as of all reasons of one kind.
#[derive(Debug)]
pub(crate) struct Tally<const N: usize>([AtomicU64; N]);

impl<const N: usize> Default for Tally<N> {
    fn default() -> Self {
        Self([const { AtomicU64::new(0) }; N])
    }
}

impl<const N: usize> Tally<N> {
    /// Counts one more; only the thread whose counters these are may do so.
    pub(crate) fn add(&self, index: usize) {
        if let Some(counter) = self.0.get(index) {
            add(counter, 1);
        }
    }

    /// Adds what they say to these.
    pub(crate) fn add_to(&self, sums: &mut [u64; N]) {
        for (sum, counter) in sums.iter_mut().zip(&self.0) {
            *sum += counter.load(Ordering::Relaxed);
        }
    }
}
