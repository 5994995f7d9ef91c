//! What selected many stored responses is in memory once.
//!
//! Most clients send one of a few values in `Accept-Encoding`, and a cache may hold a million
//! responses that were selected by them. So what comes for the second time is remembered, in a
//! table of fixed size, and all who have it share it. What is in use there is never replaced: all that
//! is shared takes [`MOST`] bytes and not more, whatever clients send.

use std::hash::{BuildHasher, RandomState};
use std::sync::{Arc, LazyLock, Mutex, PoisonError};

use super::Selecting;

/// Sets in the table, each with a lock of its own, and places in a set.
const SETS: usize = 64;
const PLACES: usize = 16;
/// Bytes of the longest that are shared.
const LONGEST: usize = 256;
/// Traces in a set of what came once.
const TRACES: usize = 64;

/// About what all that is shared can take.
#[cfg(test)]
const MOST: usize = SETS * PLACES * (LONGEST + 80);

struct Set {
    shared: [Option<(u64, Arc<Selecting>)>; PLACES],
    /// Bits of the hashes of what came once.
    seen: [u32; TRACES],
}

static TABLE: [Mutex<Set>; SETS] = [const { Mutex::new(Set::NEW) }; SETS];
/// Which values get into each other's way, nobody can know.
static HASHER: LazyLock<RandomState> = LazyLock::new(RandomState::new);

/// The one that all share, if it came before and there is room for it.
pub(super) fn of(bytes: &[u8], sent: usize) -> Option<Arc<Selecting>> {
    if bytes.len() > LONGEST {
        return None;
    }
    let hash = HASHER.hash_one((bytes, sent));
    let one = &TABLE[hash as usize % SETS];
    one.lock().unwrap_or_else(PoisonError::into_inner).of(hash, bytes, sent)
}

impl Set {
    const NEW: Self = Self { shared: [const { None }; PLACES], seen: [0; TRACES] };

    fn of(&mut self, hash: u64, bytes: &[u8], sent: usize) -> Option<Arc<Selecting>> {
        let is_it = |other: &(u64, Arc<Selecting>)| other.0 == hash && other.1.is(bytes, sent);
        if let Some((_, found)) = self.shared.iter().flatten().find(|other| is_it(other)) {
            return Some(Arc::clone(found));
        }
        let (trace, number) = ((hash >> 32) as u32 | 1, (hash >> 8) as usize % TRACES);
        if std::mem::replace(&mut self.seen[number], trace) != trace {
            return None;
        }
        let is_free = |place: &&mut Option<(u64, Arc<Selecting>)>| {
            place.as_ref().is_none_or(|(_, other)| Arc::strong_count(other) == 1)
        };
        let place = self.shared.iter_mut().find(is_free)?;
        let new = Arc::new(Selecting::new(bytes, sent, true));
        *place = Some((hash, Arc::clone(&new)));
        Some(new)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_comes_again_is_shared_and_what_differs_is_not() {
        let mut one = Set::NEW;
        assert!(one.of(1, b"a", 1).is_none(), "once is not enough");
        let first = one.of(1, b"a", 1).unwrap();
        assert!(Arc::ptr_eq(&first, &one.of(1, b"a", 1).unwrap()));
        // Their hashes happen to agree.
        for (bytes, sent) in [(&b"b"[..], 1), (b"a", 0)] {
            let other = one.of(1, bytes, sent).unwrap();
            assert!(other.is(bytes, sent) && !Arc::ptr_eq(&first, &other));
        }
        assert!(of(&[b'x'; LONGEST + 1], 0).is_none() && of(&[b'x'; LONGEST + 1], 0).is_none());
    }

    #[test]
    fn what_is_in_use_stays_and_what_is_not_makes_way() {
        let mut one = Set::NEW;
        let mut twice = |hash: u64| {
            let bytes = hash.to_le_bytes();
            one.of(hash, &bytes, 8).or_else(|| one.of(hash, &bytes, 8))
        };
        let hash = |number: u64| number << 40 | number << 8;
        let mut held: Vec<_> = (0..PLACES as u64).map(|n| twice(hash(n)).unwrap()).collect();
        assert!(twice(hash(20)).is_none(), "all places are in use");
        let kept = Arc::downgrade(&held[1]);
        held.truncate(2);
        (20..50).for_each(|n| assert!(twice(hash(n)).is_some(), "{n}"));
        let bytes = hash(1).to_le_bytes();
        assert!(Arc::ptr_eq(&kept.upgrade().unwrap(), &one.of(hash(1), &bytes, 8).unwrap()));
    }

    #[test]
    fn all_that_can_be_shared_is_little() {
        let each = size_of::<Selecting>() + LONGEST + 48;
        assert!(SETS * PLACES * each <= MOST && MOST <= 350_000, "{each}, {MOST}");
    }
}
