//! How often requests may be sent once more.

use std::sync::atomic::{AtomicU64, Ordering};

/// One request in so many may be repeated.
const COST: u64 = 10;
/// Repeats that are saved up at the most, and there from the start.
const SAVED: u64 = 100;

/// Saves up repeats while requests go well. An origin in trouble would otherwise get twice as many
/// requests as there are, just when it cannot serve them.
#[derive(Debug)]
pub(super) struct Budget {
    saved: AtomicU64,
    spent: AtomicU64,
}

impl Default for Budget {
    fn default() -> Self {
        Self { saved: AtomicU64::new(SAVED * COST), spent: AtomicU64::new(0) }
    }
}

impl Budget {
    /// A request is about to be sent for the first time.
    pub(super) fn save(&self) {
        let save = |saved| (saved < SAVED * COST).then_some(saved + 1);
        // Where as much is saved as may be, that is enough.
        let _ = self.saved.fetch_update(Ordering::Relaxed, Ordering::Relaxed, save);
    }

    /// Whether a request may be sent once more.
    pub(super) fn spend(&self) -> bool {
        let spend = |saved: u64| saved.checked_sub(COST);
        let may = self.saved.fetch_update(Ordering::Relaxed, Ordering::Relaxed, spend).is_ok();
        if may {
            self.spent.fetch_add(1, Ordering::Relaxed);
        }
        may
    }

    /// How many were.
    pub(super) fn spent(&self) -> u64 {
        self.spent.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hundred_may_be_repeated_at_once_and_then_one_in_ten() {
        let budget = Budget::default();
        let spent = || std::iter::from_fn(|| budget.spend().then_some(())).count();
        assert_eq!(spent(), 100);
        (0..9).for_each(|_| budget.save());
        assert_eq!(spent(), 0);
        budget.save();
        assert_eq!(spent(), 1);
        (0..100_000).for_each(|_| budget.save());
        assert_eq!(spent(), 100);
        assert_eq!(budget.spent(), 201);
    }
}
