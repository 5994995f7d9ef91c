//! How slowly a client may send content.
//!
//! A client that sends a byte now and then could hold a connection to the origin for ever. Content of
//! known length has to come at a minimum rate. Content of unknown length may be a conversation that lasts
//! for hours, so any byte counts, unless the operator has set a rate (`--client-body-pace`).

use std::time::Duration;

use crate::clock::{since, ticks};
use crate::settings::Limits;

/// Bytes of content of known length that have to come in each `body_timeout`, if no rate was set.
const LEAST: usize = 1 << 10;

/// How long one content is still waited for.
#[derive(Debug)]
pub(crate) struct Pace {
    limit: Duration,
    least: usize,
    /// Bytes that have come since the time began to count anew...
    come: usize,
    /// ...and how long they were waited for.
    waited: Duration,
    began: u64,
}

impl Pace {
    /// For content of this length.
    pub(crate) fn new(limits: &Limits, length: Option<u64>) -> Self {
        let least = limits.body_pace.unwrap_or(if length.is_some() { LEAST } else { 1 });
        let limit = limits.body_timeout;
        Self { limit, least, come: 0, waited: Duration::ZERO, began: 0 }
    }

    /// The wait for more begins: says how long it may take.
    pub(crate) fn wait(&mut self) -> Duration {
        self.began = ticks();
        self.limit.saturating_sub(self.waited)
    }

    /// It has ended with so many bytes.
    pub(crate) fn came(&mut self, bytes: usize) {
        self.waited += since(self.began);
        self.come += bytes;
        if self.come >= self.least {
            (self.come, self.waited) = (0, Duration::ZERO);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Waits of so many seconds for so many bytes each; says what is left of the patience.
    fn after(least: Option<usize>, length: Option<u64>, waits: &[(u64, usize)]) -> u64 {
        let limits = Limits { body_pace: least, ..Limits::default() };
        let mut pace = Pace::new(&limits, length);
        for (seconds, bytes) in waits {
            pace.wait();
            pace.began -= seconds * 1000;
            pace.came(*bytes);
        }
        pace.wait().as_millis().div_ceil(1000) as u64
    }

    #[test]
    fn announced_content_has_to_come_at_a_pace_and_any_word_of_a_conversation_counts() {
        for (length, waits, left) in [
            (None, &[][..], 30),
            (None, &[(29, 1)], 30),
            (Some(5000), &[(29, 1)], 1),
            (Some(5000), &[(10, 1), (10, 1)], 10),
            (Some(5000), &[(10, 1), (25, 1)], 0),
            (Some(5000), &[(29, 1024)], 30),
            (Some(5000), &[(29, 1023)], 1),
            (Some(5000), &[(10, 600), (10, 424)], 30),
            (Some(5000), &[(10, 600), (10, 423)], 10),
        ] {
            assert_eq!(after(None, length, waits), left, "{length:?} {waits:?}");
        }
    }

    #[test]
    fn where_a_pace_is_set_it_is_for_all_content() {
        for length in [None, Some(5000)] {
            for (waits, left) in [
                (&[(10, 99)][..], 20),
                (&[(10, 100)], 30),
                (&[(10, 60), (10, 39)], 10),
                (&[(10, 60), (10, 40)], 30),
                (&[(20, 1), (10, 1)], 0),
            ] {
                assert_eq!(after(Some(100), length, waits), left, "{length:?} {waits:?}");
            }
        }
    }
}
