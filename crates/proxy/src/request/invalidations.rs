//! Remembers what was invalidated lately, so that a fetch that began before is not stored after.
//!
//! The store dooms fills that are under way when their key is removed. This covers the time before:
//! from the request to the origin until the fill begins.

use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};

use store::Key;

/// How many invalidations are remembered. A fetch during which there are more is not stored.
const REMEMBERED: usize = 16 * 1024;

/// The last invalidations, in order.
#[derive(Default)]
pub(crate) struct Invalidations {
    recent: Mutex<Recent>,
}

/// A moment between invalidations.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Moment(u64);

#[derive(Default)]
struct Recent {
    /// How many there were.
    count: u64,
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
        Moment(self.recent().count)
    }

    /// Notes that a key is invalidated. Call this before the store forgets it.
    pub(crate) fn add(&self, key: &Key) {
        let mut recent = self.recent();
        recent.add(key.hash());
        if recent.order.len() > REMEMBERED {
            recent.forget_oldest();
        }
    }

    /// Notes that everything is.
    pub(crate) fn add_all(&self) {
        let mut recent = self.recent();
        let count = recent.count + 1;
        *recent = Recent { count, all: count, ..Recent::default() };
    }

    /// Whether a key was invalidated after `moment`. Ask this after the fill has begun.
    pub(crate) fn since(&self, moment: Moment, key: &Key) -> bool {
        let recent = self.recent();
        let last = recent.last.get(&key.hash()).copied().unwrap_or(0);
        last.max(recent.all) > moment.0
    }

    fn recent(&self) -> MutexGuard<'_, Recent> {
        // No step below leaves anything half done that a panic could expose.
        self.recent.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Recent {
    fn add(&mut self, key: u64) {
        self.count += 1;
        self.last.insert(key, self.count);
        self.order.push_back((self.count, key));
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
        (0..REMEMBERED).for_each(|number| invalidations.add(&numbered(number)));
        assert!(!invalidations.since(moment, &numbered(REMEMBERED)));
        assert!((0..REMEMBERED).all(|number| invalidations.since(moment, &numbered(number))));
    }

    #[test]
    fn what_is_forgotten_counts_for_every_key() {
        let invalidations = Invalidations::new();
        let before = invalidations.moment();
        invalidations.add(&numbered(0));
        let after = invalidations.moment();
        (0..REMEMBERED).for_each(|_| invalidations.add(&numbered(1)));
        let other = numbered(2);
        assert!(invalidations.since(before, &numbered(0)) && invalidations.since(before, &other));
        assert!(!invalidations.since(after, &numbered(0)) && !invalidations.since(after, &other));
    }
}
