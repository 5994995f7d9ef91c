//! Remembers what was invalidated lately, so that a fetch that began before is not stored after.
//!
//! The store dooms fills that are under way when their key is removed. This covers the time before:
//! from the request to the origin until the fill begins. What is invalidated by labels, the store
//! orders itself, given when the fetch began.

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

/// A moment between invalidations: the last of a key, and the last of everything, before it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Moment {
    key: u64,
    all: u64,
}

/// An invalidation of a key that was noted, and the last one before it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Noted {
    at: u64,
    before: u64,
}

/// When a fetch began: what was invalidated after that must not be stored.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Began {
    pub(crate) keys: Moment,
    pub(crate) labels: store::Moment,
}

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
        let count = self.count.load(Ordering::SeqCst);
        Moment { key: count, all: count }
    }

    /// Notes that a key is invalidated. Call this before the store forgets it.
    pub(crate) fn add(&self, key: &Key) -> Noted {
        let slot = self.slot(key);
        let mut before = slot.load(Ordering::SeqCst);
        loop {
            // Taken anew if another one came between: the number in a slot only rises.
            let at = self.next();
            match slot.compare_exchange(before, at, Ordering::SeqCst, Ordering::SeqCst) {
                Ok(before) => return Noted { at, before },
                Err(other) => before = other,
            }
        }
    }

    /// The moment after `noted`, if nothing else invalidated its key after `moment`.
    pub(crate) fn only(&self, noted: Noted, moment: Moment) -> Option<Moment> {
        let alone = noted.before <= moment.key && self.all.load(Ordering::SeqCst) <= moment.all;
        alone.then_some(Moment { key: noted.at, all: moment.all })
    }

    /// Notes that everything is.
    pub(crate) fn add_all(&self) {
        self.all.store(self.next(), Ordering::SeqCst);
    }

    /// Whether a key was invalidated after `moment`. Ask this after the fill has begun.
    pub(crate) fn since(&self, moment: Moment, key: &Key) -> bool {
        let last = |slot: &AtomicU64| slot.load(Ordering::SeqCst);
        last(self.slot(key)) > moment.key || last(&self.all) > moment.all
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
    #[test]
    fn an_invalidation_knows_whether_another_came_before_or_comes_after() {
        let invalidations = Invalidations::new();
        let key = Key::new(b"a");
        let began = invalidations.moment();
        let noted = invalidations.add(&key);
        let after = invalidations.only(noted, began).unwrap();
        assert!(!invalidations.since(after, &key));
        let other = invalidations.add(&key);
        assert!(invalidations.since(after, &key));
        assert!(invalidations.only(other, began).is_none());
        let began = invalidations.moment();
        invalidations.add_all();
        let noted = invalidations.add(&key);
        assert!(invalidations.only(noted, began).is_none());
    }
}
