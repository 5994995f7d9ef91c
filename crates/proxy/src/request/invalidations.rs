//! Remembers what was invalidated lately, so that a fetch that began before is not stored after.
//!
//! The store dooms fills that are under way when their key is removed. This covers the time before:
//! from the request to the origin until the fill begins. What is invalidated by labels, the store
//! orders itself, given when the fetch began.

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use store::Key;

/// How many invalidations are remembered. A fetch during which there are more is not stored.
const REMEMBERED: usize = 16 * 1024;

/// The last invalidations, in order.
#[derive(Default)]
pub(crate) struct Invalidations {
    /// How many there were. It rises before anything else is noted.
    count: AtomicU64,
    recent: Mutex<Recent>,
}

/// A moment between invalidations: how many of a key, and how many of everything, came before it.
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

#[derive(Default)]
struct Recent {
    /// Of each key, by its hash, the number of its last.
    last: HashMap<u64, u64>,
    /// The numbers and keys of those that are remembered.
    order: VecDeque<(u64, u64)>,
    /// Up to this number any key may have been invalidated.
    all: u64,
}

impl Invalidations {
    pub(crate) fn new() -> Self {
        Self::default()
    }

    /// Now.
    pub(crate) fn moment(&self) -> Moment {
        let count = self.count.load(Ordering::SeqCst);
        Moment { key: count, all: count }
    }

    /// Notes that a key is invalidated. Call this before the store forgets it.
    pub(crate) fn add(&self, key: &Key) -> Noted {
        let mut recent = self.recent();
        let at = self.next();
        let before = recent.add(key.hash(), at);
        if recent.order.len() > REMEMBERED {
            recent.forget_oldest();
        }
        Noted { at, before }
    }

    /// The moment after `noted`, if nothing else invalidated its key after `moment`.
    pub(crate) fn only(&self, noted: Noted, moment: Moment) -> Option<Moment> {
        let alone = noted.before <= moment.key && self.recent().all <= moment.all;
        alone.then_some(Moment { key: noted.at, all: moment.all })
    }

    /// Notes that everything is.
    pub(crate) fn add_all(&self) {
        let mut recent = self.recent();
        *recent = Recent { all: self.next(), ..Recent::default() };
    }

    /// Whether a key was invalidated after `moment`. Ask this after the fill has begun.
    pub(crate) fn since(&self, moment: Moment, key: &Key) -> bool {
        if self.count.load(Ordering::SeqCst) <= moment.key.min(moment.all) {
            return false;
        }
        let recent = self.recent();
        recent.last_of(key.hash()) > moment.key || recent.all > moment.all
    }

    /// The number of the last invalidation that the key may have had.
    pub(crate) fn last(&self, key: &Key) -> u64 {
        let recent = self.recent();
        recent.last_of(key.hash()).max(recent.all)
    }

    fn next(&self) -> u64 {
        self.count.fetch_add(1, Ordering::SeqCst) + 1
    }

    fn recent(&self) -> MutexGuard<'_, Recent> {
        // No step below leaves anything half done that a panic could expose.
        self.recent.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Recent {
    /// Returns the number of the last one before it.
    fn add(&mut self, key: u64, number: u64) -> u64 {
        let before = self.last_of(key);
        self.last.insert(key, number);
        self.order.push_back((number, key));
        before
    }

    fn last_of(&self, key: u64) -> u64 {
        self.last.get(&key).copied().unwrap_or(0)
    }

    fn forget_oldest(&mut self) {
        let Some((number, key)) = self.order.pop_front() else { return };
        self.all = number;
        if self.last.get(&key) == Some(&number) {
            self.last.remove(&key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn numbered(number: usize) -> Key {
        Key::new(&number.to_le_bytes())
    }

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
        assert!(!invalidations.since(invalidations.moment(), &key));
    }

    #[test]
    fn other_keys_do_not_count() {
        let invalidations = Invalidations::new();
        let moment = invalidations.moment();
        for number in 0..REMEMBERED {
            invalidations.add(&numbered(number));
        }
        assert!(!invalidations.since(moment, &numbered(REMEMBERED)));
        assert!((0..REMEMBERED).all(|number| invalidations.since(moment, &numbered(number))));
    }

    #[test]
    fn what_is_forgotten_counts_for_every_key() {
        let invalidations = Invalidations::new();
        let before = invalidations.moment();
        invalidations.add(&numbered(0));
        let after = invalidations.moment();
        for _ in 0..REMEMBERED {
            invalidations.add(&numbered(1));
        }
        let other = numbered(2);
        assert!(invalidations.since(before, &numbered(0)) && invalidations.since(before, &other));
        assert!(!invalidations.since(after, &numbered(0)) && !invalidations.since(after, &other));
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
