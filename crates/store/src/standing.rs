//! How an entry stands with the events, as far as look-ups have seen.

use std::sync::atomic::{AtomicU64, Ordering};

const BITS: u32 = 32;
/// What the lower half says of an entry that no event has made stale.
const GOOD: u32 = 0;
/// And of one that is stale for longer than can be told.
const LONG: u32 = 1;

/// The changes that were looked at, and below them since when the entry is stale: one word, so that
/// whoever sees that a change was looked at sees what it did.
#[derive(Default)]
pub(crate) struct Standing(AtomicU64);

impl Standing {
    /// True if these are the changes that were looked at, or fewer.
    pub(crate) fn has_seen(&self, changes: u64) -> bool {
        self.0.load(Ordering::Relaxed) >> BITS >= changes
    }

    /// Notes what a look at the events has shown, which knew at least these changes. With more than
    /// can be counted, each look-up looks.
    pub(crate) fn note(&self, changes: u64, stale_since: Option<i64>) {
        let changes = u32::try_from(changes).unwrap_or(u32::MAX);
        let word = u64::from(changes) << BITS | u64::from(code(stale_since));
        // A look that took longer than a later one does not undo it.
        self.0.fetch_max(word, Ordering::Relaxed);
    }

    /// Since when an event has made it stale, if one has. In whole seconds, rather too early.
    pub(crate) fn stale_since(&self) -> Option<i64> {
        match self.0.load(Ordering::Relaxed) as u32 {
            GOOD => None,
            LONG => Some(i64::MIN),
            seconds => Some(i64::from(seconds - LONG - 1) * 1000),
        }
    }
}

fn code(stale_since: Option<i64>) -> u32 {
    let Some(millis) = stale_since else { return GOOD };
    match u64::try_from(millis) {
        Ok(millis) => u32::try_from(millis / 1000).unwrap_or(u32::MAX).saturating_add(LONG + 1),
        Err(_) => LONG,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_entry_is_stale_for_less_than_it_is() {
        let rows = [
            (i64::MIN, i64::MIN),
            (-1, i64::MIN),
            (0, 0),
            (999, 0),
            (1_795_392_000_999, 1_795_392_000_000),
            (4_294_967_293_000, 4_294_967_293_000),
            (4_294_967_294_000, 4_294_967_293_000),
            (i64::MAX, 4_294_967_293_000),
        ];
        for (since, expected) in rows {
            let standing = Standing::default();
            standing.note(1, Some(since));
            assert_eq!(standing.stale_since(), Some(expected), "{since}");
            assert!(expected <= since);
        }
        assert_eq!(Standing::default().stale_since(), None);
    }

    #[test]
    fn a_change_is_seen_once_it_was_looked_at() {
        let standing = Standing::default();
        assert!(standing.has_seen(0) && !standing.has_seen(1));
        standing.note(1, None);
        assert!(standing.has_seen(1) && !standing.has_seen(2));
        standing.note(3, Some(5_000));
        // Of a look that began before.
        standing.note(2, None);
        assert!(standing.has_seen(3) && !standing.has_seen(4));
        assert_eq!(standing.stale_since(), Some(5_000));
    }

    #[test]
    fn changes_beyond_counting_are_never_seen() {
        let standing = Standing::default();
        let most = u64::from(u32::MAX);
        standing.note(most + 1, None);
        assert!(standing.has_seen(most) && !standing.has_seen(most + 1));
        standing.note(most + 2, Some(5_000));
        assert!(!standing.has_seen(most + 1));
        assert_eq!(standing.stale_since(), Some(5_000));
    }
}
