//! How old the oldest entry is that somebody still holds, told in stretches of numbers.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use crate::disk::lock;
use crate::labels::Moment;
use crate::memory::{ARC, allocated};

/// Numbers that make an epoch.
pub(super) const LENGTH: u64 = 256;
/// New epochs after which those without entries are dropped.
const TIDY: usize = 1024;

/// Counts the entries of one epoch: each holds it as long as it lives.
#[derive(Debug)]
pub(crate) enum Epoch {
    Shared,
    /// A share of one entry alone, whose metadata does not say when it began, or cannot be right.
    Own {
        began: Moment,
        _shared: Arc<Self>,
    },
}

impl Epoch {
    pub(super) fn own(began: Moment, shared: Arc<Self>) -> Arc<Self> {
        Arc::new(Self::Own { began, _shared: shared })
    }

    /// When an entry in it began whose metadata gives this moment.
    pub(crate) fn began(&self, given: Moment) -> Moment {
        match self {
            Self::Shared => given,
            Self::Own { began, .. } => *began,
        }
    }

    /// Bytes that the entry does not share.
    pub(crate) fn own_weight(&self) -> usize {
        match self {
            Self::Shared => 0,
            Self::Own { .. } => allocated(ARC + size_of::<Self>()),
        }
    }
}

/// The epochs that have entries, by their first numbers.
#[derive(Default)]
pub(crate) struct Epochs(Mutex<Inner>);

#[derive(Default)]
struct Inner {
    living: BTreeMap<u64, Arc<Epoch>>,
    untidy: usize,
}

impl Epochs {
    /// The epoch of an entry that began at this number.
    pub(crate) fn of(&self, began: u64) -> Arc<Epoch> {
        let mut inner = lock(&self.0);
        let first = began - began % LENGTH;
        if let Some(epoch) = inner.living.get(&first) {
            return Arc::clone(epoch);
        }
        inner.untidy += 1;
        if inner.untidy > TIDY {
            inner.tidy();
        }
        let epoch = Arc::new(Epoch::Shared);
        inner.living.insert(first, Arc::clone(&epoch));
        epoch
    }

    /// No entry that lives began before this.
    pub(crate) fn oldest(&self) -> Option<u64> {
        let mut inner = lock(&self.0);
        inner.tidy();
        inner.living.keys().next().copied()
    }
}

impl Inner {
    fn tidy(&mut self) {
        self.untidy = 0;
        // Nobody can take one up again meanwhile: that needs the lock.
        self.living.retain(|_, epoch| Arc::strong_count(epoch) > 1);
    }
}

/// The same for numbers that are added and removed by one owner.
#[derive(Default)]
pub(crate) struct Ages(BTreeMap<u64, u64>);

impl Ages {
    pub(crate) fn add(&mut self, number: u64) {
        *self.0.entry(number / LENGTH).or_default() += 1;
    }

    pub(crate) fn remove(&mut self, number: u64) {
        let epoch = number / LENGTH;
        if let Some(count) = self.0.get_mut(&epoch) {
            *count -= 1;
            if *count == 0 {
                self.0.remove(&epoch);
            }
        }
    }

    /// About how much memory it takes.
    pub(crate) fn bytes(&self) -> u64 {
        // Key and value, in nodes that are two thirds full.
        self.0.len() as u64 * 24
    }

    /// No number is below this.
    pub(crate) fn oldest(&self) -> Option<u64> {
        self.0.keys().next().map(|epoch| epoch * LENGTH)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_epoch_is_that_of_the_oldest_entry_that_lives() {
        let epochs = Epochs::default();
        assert_eq!(epochs.oldest(), None);
        let (old, other) = (epochs.of(300), epochs.of(400));
        let young = epochs.of(1000);
        assert_eq!(epochs.oldest(), Some(256));
        drop(old);
        assert_eq!(epochs.oldest(), Some(256));
        drop(other);
        assert_eq!(epochs.oldest(), Some(768));
        let late = epochs.of(10);
        assert_eq!(epochs.oldest(), Some(0));
        drop((young, late));
        assert_eq!(epochs.oldest(), None);
        for began in 0..5000 {
            epochs.of(began * LENGTH);
        }
        assert!(lock(&epochs.0).living.len() <= TIDY + 1, "those without entries go");
    }

    #[test]
    fn numbers_that_are_removed_do_not_count() {
        let mut ages = Ages::default();
        for number in [300, 400, 1000] {
            ages.add(number);
        }
        assert_eq!(ages.oldest(), Some(256));
        ages.remove(300);
        assert_eq!(ages.oldest(), Some(256));
        ages.remove(400);
        assert_eq!(ages.oldest(), Some(768));
        ages.remove(1000);
        assert_eq!(ages.oldest(), None);
    }
}
