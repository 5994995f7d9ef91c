//! Which keys were lately read from disk, or given up by memory: who comes for the second time goes to
//! memory, who comes back stays there.
//!
//! A scan reads everything once, and nothing of it is worth a place in memory. Two generations of a
//! Bloom filter remember who was there; when the newer one has enough, the older is forgotten.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::disk::lock;

/// Bits of a generation for each key that it takes: one in a hundred strangers is taken for known.
const BITS: usize = 16;
/// Bits that a key sets.
const SET: u32 = 2;
/// Of the keys in memory, one in so many is remembered by a generation when it is given up.
const SHARE: u64 = 3;

/// Keys read from disk lately.
pub(crate) struct Doorkeeper(Mutex<Generations>);

struct Generations {
    newer: Box<[u64]>,
    older: Box<[u64]>,
    /// Keys that the newer one has taken.
    taken: usize,
}

impl Doorkeeper {
    /// Remembers at least as many keys as `keys`, rounded up to a power of two, and at most twice as
    /// many.
    pub(crate) fn new(keys: u64) -> Self {
        let keys = keys.clamp(1024, 1 << 18).next_power_of_two() as usize;
        Self(Mutex::new(Generations::new(keys)))
    }

    /// True if a key, by its hash, was there lately.
    pub(crate) fn knows(&self, hash: u64) -> bool {
        let generations = lock(&self.0);
        generations.newer_has(hash) || generations.older_has(hash)
    }

    /// A key was there.
    pub(crate) fn note(&self, hash: u64) {
        let mut generations = lock(&self.0);
        if !generations.newer_has(hash) {
            generations.note(hash, usize::MAX);
        }
    }
}

/// Keys that memory gave up lately, if the cache itself does not remember enough of them: it expects
/// so many keys, and where objects are smaller there are more.
pub(crate) struct GivenUp {
    generations: Mutex<Generations>,
    /// Keys in memory, as of late.
    keys: AtomicU64,
    /// With fewer keys the cache remembers enough by itself.
    enough: AtomicU64,
    bytes: u64,
}

impl GivenUp {
    /// For a cache that remembers so many, and can hold at most so many keys.
    pub(crate) fn new(remembered: u64, most: u64) -> Self {
        let each = (most / SHARE).clamp(1024, 1 << 24).next_power_of_two() as usize;
        let generations = Mutex::new(Generations::new(each));
        let bytes = (2 * each * BITS / 8) as u64;
        let (keys, enough) = (AtomicU64::new(0), AtomicU64::new(SHARE * remembered));
        Self { generations, keys, enough, bytes }
    }

    /// The cache remembers so many less than before.
    pub(crate) fn forgotten(&self, keys: u64) {
        let less = |enough: u64| Some(enough.saturating_sub(SHARE * keys));
        let _ = self.enough.fetch_update(Ordering::Relaxed, Ordering::Relaxed, less);
    }

    /// Says how many keys are in memory now.
    pub(crate) fn set_keys(&self, keys: u64) {
        self.keys.store(keys, Ordering::Relaxed);
    }

    /// Bytes that it takes once it is in use.
    pub(crate) fn bytes(&self) -> u64 {
        if self.limit().is_some() { self.bytes } else { 0 }
    }

    pub(crate) fn note(&self, hash: u64) {
        if let Some(limit) = self.limit() {
            lock(&self.generations).note(hash, limit);
        }
    }

    pub(crate) fn has(&self, hash: u64) -> bool {
        self.limit().is_some() && {
            let generations = lock(&self.generations);
            generations.newer_has(hash) || generations.older_has(hash)
        }
    }

    /// Keys of a generation: both together have a third to two thirds of the keys in memory.
    fn limit(&self) -> Option<usize> {
        let keys = self.keys.load(Ordering::Relaxed);
        (keys > self.enough.load(Ordering::Relaxed)).then_some((keys / SHARE) as usize)
    }
}

impl Generations {
    fn new(keys: usize) -> Self {
        let words = keys * BITS / 64;
        Self { newer: vec![0; words].into(), older: vec![0; words].into(), taken: 0 }
    }

    fn newer_has(&self, hash: u64) -> bool {
        places(hash, self.newer.len()).all(|(word, bit)| self.newer[word] & bit != 0)
    }

    fn older_has(&self, hash: u64) -> bool {
        places(hash, self.older.len()).all(|(word, bit)| self.older[word] & bit != 0)
    }

    /// Notes a key; one generation takes no more than `most`.
    fn note(&mut self, hash: u64, most: usize) {
        if self.taken >= most || self.taken * BITS >= self.newer.len() * 64 {
            std::mem::swap(&mut self.newer, &mut self.older);
            self.newer.fill(0);
            self.taken = 0;
        }
        for (word, bit) in places(hash, self.newer.len()) {
            self.newer[word] |= bit;
        }
        self.taken += 1;
    }
}

/// Words and bits of a hash, in so many words: a power of two.
fn places(hash: u64, words: usize) -> impl Iterator<Item = (usize, u64)> {
    (0..SET).map(move |number| {
        let bits = hash.rotate_left(32 * number);
        ((bits >> 6) as usize & (words - 1), 1 << (bits & 63))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Key;

    fn hash(number: u64) -> u64 {
        Key::new(&number.to_le_bytes()).hash()
    }

    #[test]
    fn a_key_is_known_the_second_time_until_many_others_came() {
        let keeper = Doorkeeper::new(1024);
        let comes = |number: u64| {
            let known = keeper.knows(hash(number));
            keeper.note(hash(number));
            known
        };
        assert!(!keeper.knows(hash(0)) && !comes(0) && comes(0));
        let strangers = (1..1000).filter(|number| comes(*number)).count();
        assert!(strangers < 50, "{strangers}");
        assert!(comes(0));
        let strangers = (10_000..20_000).filter(|number| comes(*number)).count();
        assert!(strangers < 500, "{strangers}");
        // Which keys look alike differs from process to process.
        let known = (0..100).filter(|number| comes(*number)).count();
        assert!(known < 20, "{known}");
    }

    #[test]
    fn what_was_given_up_is_remembered_where_there_are_many_keys() {
        let given_up = GivenUp::new(100, 100_000);
        given_up.set_keys(300);
        given_up.note(hash(0));
        assert!(!given_up.has(hash(0)) && given_up.bytes() == 0, "the cache remembers enough");
        given_up.set_keys(3_000);
        for number in 0..999 {
            given_up.note(hash(number));
        }
        assert!(given_up.has(hash(0)));
        (1_000..3_100).for_each(|number| given_up.note(hash(number)));
        let known = (0..999).filter(|number| given_up.has(hash(*number))).count();
        assert!(known < 60, "{known}");
        assert!((2_100..3_100).all(|number| given_up.has(hash(number))));
    }

    #[test]
    fn what_the_cache_forgets_is_remembered_here() {
        let given_up = GivenUp::new(100, 100_000);
        given_up.set_keys(200);
        given_up.forgotten(30);
        given_up.note(hash(0));
        assert!(!given_up.has(hash(0)), "it still remembers 70, for 210 keys");
        given_up.forgotten(10);
        given_up.note(hash(0));
        assert!(given_up.has(hash(0)));
        given_up.forgotten(1_000);
        assert!(given_up.has(hash(0)));
    }
}
