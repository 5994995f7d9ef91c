//! Requests for objects, by number.

use crate::random::{Random, Zipf};

/// Requests between two scans, and objects that a scan touches.
const BETWEEN_SCANS: u32 = 4_000;
const SCAN: u32 = 2_000;

/// A sequence of requests.
pub(crate) struct Trace {
    pub(crate) requests: Vec<u32>,
    /// Objects that are asked for again and again.
    pub(crate) footprint: u32,
}

impl Trace {
    /// Requests for `objects` objects, ten for each on average, and scans of others among them.
    pub(crate) fn new(objects: u32, skew: f64, scans: bool) -> Self {
        let (zipf, mut random) = (Zipf::new(objects, skew), Random::new(5));
        let mut requests = Vec::new();
        let mut fresh = objects;
        for number in 0..objects * 10 {
            requests.push(zipf.next(&mut random));
            if scans && number % BETWEEN_SCANS == BETWEEN_SCANS - 1 {
                requests.extend(fresh..fresh + SCAN);
                fresh += SCAN;
            }
        }
        Self { requests, footprint: objects }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trace_is_the_same_each_time_and_a_third_of_it_scans() {
        let (plain, mixed) = (Trace::new(1_000, 1.0, false), Trace::new(1_000, 1.0, true));
        assert_eq!(plain.requests, Trace::new(1_000, 1.0, false).requests);
        assert_eq!(plain.requests.len(), 10_000);
        assert_eq!(mixed.requests.len(), 14_000);
        let again: Vec<_> = mixed.requests.into_iter().filter(|object| *object < 1_000).collect();
        assert_eq!(again, plain.requests);
    }
}
