//! Remembers what was invalidated lately, so that a fetch that began before is not stored after.
//!
//! The store dooms fills that are under way when their key is removed. This covers the time before:
//! from the request to the origin until the fill begins.

use std::sync::atomic::{AtomicU64, Ordering};

use store::Key;

/// Slots for keys; two that share one only cost a response that is not stored.
const SLOTS: usize = 4096;

/// A count of invalidations, and for each slot of keys the last of them.
pub(crate) struct Invalidations {
    count: AtomicU64,
    slots: Box<[AtomicU64]>,
    all: AtomicU64,
}

/// A moment between invalidations.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Moment(u64);

impl Invalidations {
    pub(crate) fn new() -> Self {
        Self {
            count: AtomicU64::new(0),
            slots: (0..SLOTS).map(|_| AtomicU64::new(0)).collect(),
            all: AtomicU64::new(0),
        }
    }

    /// Now.
    pub(crate) fn moment(&self) -> Moment {
        Moment(self.count.load(Ordering::SeqCst))
    }

    /// Notes that a key is invalidated. Call this before the store forgets it.
    pub(crate) fn add(&self, key: &Key) {
        self.slot(key).store(self.next(), Ordering::SeqCst);
    }

    /// Notes that everything is.
    pub(crate) fn add_all(&self) {
        self.all.store(self.next(), Ordering::SeqCst);
    }

    /// Whether a key was invalidated after `moment`. Ask this after the fill has begun.
    pub(crate) fn since(&self, moment: Moment, key: &Key) -> bool {
        self.last(key) > moment.0
    }

    /// The number of the last invalidation of a key.
    pub(crate) fn last(&self, key: &Key) -> u64 {
        let last = |slot: &AtomicU64| slot.load(Ordering::SeqCst);
        last(self.slot(key)).max(last(&self.all))
    }

    fn next(&self) -> u64 {
        self.count.fetch_add(1, Ordering::SeqCst) + 1
    }

    fn slot(&self, key: &Key) -> &AtomicU64 {
        &self.slots[key.hash() as usize % SLOTS]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_came_later_counts() {
        let invalidations = Invalidations::new();
        let key = Key::new(b"a");
        invalidations.add(&key);
        let moment = invalidations.moment();
        assert!(!invalidations.since(moment, &key));
        invalidations.add(&key);
        assert!(invalidations.since(moment, &key));
        let moment = invalidations.moment();
        invalidations.add_all();
        assert!(invalidations.since(moment, &key));
        assert!(invalidations.since(moment, &Key::new(b"other")));
    }
}
