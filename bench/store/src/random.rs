//! Numbers that look like chance and are the same in every run.

/// `SplitMix64`.
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below this one.
    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        ((u128::from(self.next()) * u128::from(bound)) >> 64) as u64
    }

    /// From 0 to below 1.
    pub(crate) fn fraction(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1_u64 << 53) as f64
    }
}

/// Objects whose popularity falls with their rank to the power of `skew`.
pub(crate) struct Zipf {
    /// Up to each rank, the sum of the weights.
    sums: Vec<f64>,
}

impl Zipf {
    pub(crate) fn new(objects: u32, skew: f64) -> Self {
        let mut sum = 0.0;
        let weights = (1..=objects).map(|rank| f64::from(rank).powf(-skew));
        Self {
            sums: weights
                .map(|weight| {
                    sum += weight;
                    sum
                })
                .collect(),
        }
    }

    /// The rank of an object, from 0.
    pub(crate) fn next(&self, random: &mut Random) -> u32 {
        let at = random.fraction() * self.sums.last().copied().unwrap_or(0.0);
        self.sums.partition_point(|sum| *sum <= at).min(self.sums.len().saturating_sub(1)) as u32
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_most_popular_object_has_its_share() {
        let (zipf, mut random) = (Zipf::new(3, 1.0), Random::new(1));
        let mut counts = [0_u32; 3];
        (0..11_000).for_each(|_| counts[zipf.next(&mut random) as usize] += 1);
        // 1 : 1/2 : 1/3 of 11/6.
        for (count, expected) in counts.into_iter().zip([6_000_u32, 3_000, 2_000]) {
            assert!(count.abs_diff(expected) < expected / 10, "{counts:?}");
        }
    }
}
