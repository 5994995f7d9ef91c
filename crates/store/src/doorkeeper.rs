//! Which keys were lately read from disk: who comes for the second time goes to memory.
//!
//! A scan reads everything once, and nothing of it is worth a place in memory. Two generations of a
//! Bloom filter remember who was there; when the newer one has enough, the older is forgotten.

use std::sync::Mutex;

use crate::disk::lock;

/// Bits of a generation for each key that it takes: one in a hundred strangers is taken for known.
const BITS: usize = 16;
/// Bits that a key sets.
const SET: u32 = 2;

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
        let empty = vec![0; keys * BITS / 64].into_boxed_slice();
        Self(Mutex::new(Generations { newer: empty.clone(), older: empty, taken: 0 }))
    }

    /// Notes a key, by its hash, and says whether it was there before.
    pub(crate) fn knows(&self, hash: u64) -> bool {
        lock(&self.0).knows(hash)
    }
}

impl Generations {
    fn knows(&mut self, hash: u64) -> bool {
        let is_in =
            |bits: &[u64]| places(hash, bits.len()).all(|(word, bit)| bits[word] & bit != 0);
        if is_in(&self.newer) {
            return true;
        }
        let known = is_in(&self.older);
        if self.taken * BITS >= self.newer.len() * 64 {
            std::mem::swap(&mut self.newer, &mut self.older);
            self.newer.fill(0);
            self.taken = 0;
        }
        for (word, bit) in places(hash, self.newer.len()) {
            self.newer[word] |= bit;
        }
        self.taken += 1;
        known
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
        assert!(!keeper.knows(hash(0)) && keeper.knows(hash(0)));
        let strangers = (1..1000).filter(|number| keeper.knows(hash(*number))).count();
        assert!(strangers < 50, "{strangers}");
        assert!(keeper.knows(hash(0)));
        let strangers = (10_000..20_000).filter(|number| keeper.knows(hash(*number))).count();
        assert!(strangers < 500, "{strangers}");
        // Which keys look alike differs from process to process.
        let known = (0..100).filter(|number| keeper.knows(hash(*number))).count();
        assert!(known < 20, "{known}");
    }
}
