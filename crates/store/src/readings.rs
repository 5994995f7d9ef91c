//! How often something was read lately: roughly, and in a memory of fixed size.
//!
//! Each thing counts in two places, which it may share with others; the lower of the two is its
//! count. After a while all counts are halved, so that what was wanted yesterday does not stand in the
//! way of what is wanted today.

/// The highest count: beyond it what is read still more often is not told apart.
const MOST: u8 = 15;
/// Places for each reading between two halvings: with fewer, strangers would often be taken for known.
const PLACES: usize = 8;

/// Counts of what was read lately.
pub(crate) struct Readings {
    /// A power of two of them.
    counts: Box<[u8]>,
    /// Readings since all counts were halved.
    taken: usize,
}

impl Readings {
    /// Remembers the last readings, at least as many as `readings`.
    pub(crate) fn new(readings: u64) -> Self {
        let readings = readings.clamp(1 << 10, 1 << 20) as usize;
        let counts = vec![0; (readings * PLACES).next_power_of_two()];
        Self { counts: counts.into(), taken: 0 }
    }

    /// Counts a reading of what has this hash, and says how many there were.
    pub(crate) fn note(&mut self, hash: u64) -> u8 {
        if self.taken * PLACES >= self.counts.len() {
            self.counts.iter_mut().for_each(|count| *count /= 2);
            self.taken = 0;
        }
        self.taken += 1;
        let count = (self.count(hash) + 1).min(MOST);
        for place in self.places(hash) {
            self.counts[place] = self.counts[place].max(count);
        }
        count
    }

    pub(crate) fn count(&self, hash: u64) -> u8 {
        let [one, other] = self.places(hash);
        self.counts[one].min(self.counts[other])
    }

    fn places(&self, hash: u64) -> [usize; 2] {
        [hash, hash.rotate_left(32)].map(|bits| bits as usize & (self.counts.len() - 1))
    }
}

#[cfg(test)]
mod tests {
    use xxhash_rust::xxh3::xxh3_64;

    use super::*;

    fn hash(number: u64) -> u64 {
        xxh3_64(&number.to_le_bytes())
    }

    #[test]
    fn each_reading_counts_until_many_others_came() {
        let mut readings = Readings::new(1024);
        for count in [1, 2, 3] {
            assert_eq!(readings.note(hash(0)), count);
        }
        (0..100).for_each(|_| _ = readings.note(hash(1)));
        assert_eq!((readings.count(hash(0)), readings.count(hash(1))), (3, MOST));
        let known = (1000..1900).filter(|number| readings.note(hash(*number)) > 1).count();
        assert!(known < 60, "{known} strangers are taken for known");
        (2000..5000).for_each(|number| _ = readings.note(hash(number)));
        assert!(readings.count(hash(0)) <= 1 && readings.count(hash(1)) < MOST / 2);
    }
}
