//! Which keys were hit lately: one bit each, shared by keys that happen to agree in 20 bits.

use std::sync::atomic::{AtomicU64, Ordering};

/// 2^20 bits: small enough to stay in a core's cache.
const WORDS: usize = 1 << 14;

/// Marks of keys that were hit since the last time room was made.
pub(crate) struct Hot(Box<[AtomicU64]>);

impl Hot {
    pub(crate) fn new() -> Self {
        Self((0..WORDS).map(|_| AtomicU64::new(0)).collect())
    }

    /// Marks a key. Writes only if the mark is new: cores that hit the same key do not disturb
    /// each other.
    pub(crate) fn mark(&self, number: u32) {
        let (word, bit) = self.place(number);
        if word.load(Ordering::Relaxed) & bit == 0 {
            word.fetch_or(bit, Ordering::Relaxed);
        }
    }

    /// Takes the mark away and says whether it was there.
    pub(crate) fn take(&self, id: &[u8; 32]) -> bool {
        let (word, bit) = self.place(Self::mark_of(id));
        word.fetch_and(!bit, Ordering::Relaxed) & bit != 0
    }

    /// The number by which a key is marked.
    pub(crate) fn mark_of(id: &[u8; 32]) -> u32 {
        u32::from_le_bytes([id[0], id[1], id[2], id[3]])
    }

    fn place(&self, number: u32) -> (&AtomicU64, u64) {
        let number = number as usize;
        (&self.0[(number >> 6) % WORDS], 1 << (number & 63))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_is_there_once() {
        let hot = Hot::new();
        let id = [7; 32];
        assert!(!hot.take(&id));
        hot.mark(Hot::mark_of(&id));
        assert!(hot.take(&id));
        assert!(!hot.take(&id));
    }
}
