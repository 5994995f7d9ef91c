//! How long a connection goes on. Without an end, clients would stay for ever with whom they have met
//! first, also when there are others meanwhile.

use std::time::Duration;

use crate::clock::{in_ticks, ticks};

/// So many requests and so much time. Each is up to a tenth more or less than the limit, so that
/// connections that began together do not end together.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Lifetime {
    requests: u64,
    until: u64,
}

impl Lifetime {
    /// `chance` makes the difference.
    pub(crate) fn new(requests: u64, age: Duration, chance: u64) -> Self {
        let until = ticks().saturating_add(about(in_ticks(age), chance));
        Self { requests: about(requests, chance), until }
    }

    /// Whether the response to this request is to be the last one.
    pub(crate) fn is_over(&self, requests: u64) -> bool {
        requests >= self.requests || ticks() >= self.until
    }
}

/// From nine tenths of it to eleven.
fn about(limit: u64, chance: u64) -> u64 {
    let tenth = limit / 10;
    (limit - tenth).saturating_add(chance % (2 * tenth + 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_is_met_within_a_tenth_and_a_small_one_exactly() {
        let all: Vec<_> = (0..10_000).map(|chance| about(1000, chance)).collect();
        assert_eq!((all.iter().min(), all.iter().max()), (Some(&900), Some(&1100)));
        for limit in [0, 1, 9] {
            assert!((0..100).all(|chance| about(limit, chance) == limit));
        }
        assert_eq!(about(u64::MAX, 0), u64::MAX - u64::MAX / 10);
    }

    #[test]
    fn it_ends_with_the_request_or_the_moment_that_is_one_too_many() {
        let hour = Duration::from_hours(1);
        let lifetime = Lifetime::new(1000, hour, 100);
        assert!(!lifetime.is_over(999));
        assert!(lifetime.is_over(1000));
        assert!(Lifetime::new(1000, Duration::ZERO, 7).is_over(1));
    }
}
