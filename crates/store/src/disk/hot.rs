//! Which keys were hit lately: one bit each, shared by keys that happen to agree in some bits.
//!
//! There are at least four bits for each entry of the index, so that marks do not run into each
//! other when there are millions. More bits go into a new level; the old one stays, for a reader may
//! still look at it.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use super::segment::short;

/// Words of the first level, 2^16 bits.
const FIRST: usize = 1 << 10;
/// Each level has twice as many words: 2^32 bits in the last, as many as there are numbers.
const LEVELS: usize = 17;
/// Bits for each entry.
const BITS: u64 = 4;

/// Marks of keys that were hit since the last time room was made.
pub(crate) struct Hot {
    levels: [OnceLock<Box<[AtomicU64]>>; LEVELS],
    level: AtomicUsize,
}

impl Hot {
    pub(crate) fn new() -> Self {
        let hot = Self { levels: [const { OnceLock::new() }; LEVELS], level: AtomicUsize::new(0) };
        hot.levels[0].get_or_init(|| words(FIRST));
        hot
    }

    /// Makes enough bits for so many entries; the marks stay.
    pub(crate) fn fit(&self, entries: u64) {
        let level = self.level.load(Ordering::Acquire);
        let now = self.now();
        if entries * BITS <= now.len() as u64 * 64 || level + 1 == LEVELS {
            return;
        }
        self.levels[level + 1].get_or_init(|| {
            let next = words(2 * now.len());
            for (word, old) in next.iter().zip(now.iter().chain(now)) {
                word.store(old.load(Ordering::Relaxed), Ordering::Relaxed);
            }
            next
        });
        self.level.store(level + 1, Ordering::Release);
    }

    /// Bytes of all levels.
    pub(crate) fn bytes(&self) -> u64 {
        self.levels.iter().filter_map(OnceLock::get).map(|words| 8 * words.len() as u64).sum()
    }

    /// Marks a key. Writes only if the mark is new: cores that hit the same key do not disturb
    /// each other.
    pub(crate) fn mark(&self, number: u32) {
        let (word, bit) = self.place(number);
        if word.load(Ordering::Relaxed) & bit == 0 {
            word.fetch_or(bit, Ordering::Relaxed);
        }
    }

    /// Takes the mark of a key with these first bytes away and says whether it was there.
    pub(crate) fn take(&self, key: u64) -> bool {
        let (word, bit) = self.place(key as u32);
        word.fetch_and(!bit, Ordering::Relaxed) & bit != 0
    }

    /// The number by which a key is marked.
    pub(crate) fn mark_of(id: &[u8; 32]) -> u32 {
        short(id) as u32
    }

    fn now(&self) -> &[AtomicU64] {
        self.levels[self.level.load(Ordering::Acquire)].get().map_or(&[], |words| words)
    }

    fn place(&self, number: u32) -> (&AtomicU64, u64) {
        let words = self.now();
        (&words[(number >> 6) as usize % words.len()], 1 << (number & 63))
    }
}

fn words(count: usize) -> Box<[AtomicU64]> {
    (0..count).map(|_| AtomicU64::new(0)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_is_there_once() {
        let hot = Hot::new();
        let id = [7; 32];
        assert!(!hot.take(short(&id)));
        hot.mark(Hot::mark_of(&id));
        assert!(hot.take(short(&id)));
        assert!(!hot.take(short(&id)));
    }

    #[test]
    fn marks_do_not_run_into_each_other_however_many_there_are() {
        let hot = Hot::new();
        let id = |n: u64| {
            let mut id = [0; 32];
            id[..8].copy_from_slice(&n.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_le_bytes());
            id
        };
        hot.mark(Hot::mark_of(&id(0)));
        for entries in 1..=200_000 {
            hot.fit(entries);
        }
        assert!(hot.take(short(&id(0))), "a mark outlives the growth");
        (0..100_000).for_each(|n| hot.mark(Hot::mark_of(&id(n))));
        let others = (100_000..200_000).filter(|n| hot.take(short(&id(*n)))).count();
        assert!(others < 15_000, "{others} of 100,000 were taken for hit");
        assert!(hot.bytes() <= 400_000, "{}", hot.bytes());
    }
}
