//! Keeps one kind of trouble from filling the log.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use crate::clock::ticks;
use crate::events::{Recorder, Trouble};

/// Each kind of trouble is told at most once in this time, in milliseconds.
const PAUSE: u64 = 1_000;
/// The same for trouble that others can make at will.
const LONG_PAUSE: u64 = 60_000;

/// Tells a recorder of trouble, at most once a second per code, with the number of times.
#[derive(Default)]
pub(crate) struct Troubles {
    told: Mutex<HashMap<&'static str, Told>>,
}

struct Told {
    at: u64,
    since: u64,
    ever: u64,
}

impl Troubles {
    pub(crate) fn tell(&self, recorder: &dyn Recorder, code: &'static str, message: &str) {
        self.tell_after(PAUSE, recorder, code, message);
    }

    /// The same, at most once a minute.
    pub(crate) fn tell_rarely(&self, recorder: &dyn Recorder, code: &'static str, message: &str) {
        self.tell_after(LONG_PAUSE, recorder, code, message);
    }

    fn tell_after(&self, pause: u64, recorder: &dyn Recorder, code: &'static str, message: &str) {
        if let Some(times) = self.due(code, ticks(), pause) {
            recorder.trouble(&Trouble { code, message, times });
        }
    }

    /// How often each code came up, in their order.
    pub(crate) fn counts(&self) -> Vec<(&'static str, u64)> {
        let told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        let mut counts: Vec<_> = told.iter().map(|(code, told)| (*code, told.ever)).collect();
        counts.sort_unstable();
        counts
    }

    /// How often `code` came up since it was last told, if it may be told now.
    fn due(&self, code: &'static str, now: u64, pause: u64) -> Option<u64> {
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(told) = told.get_mut(code) else {
            told.insert(code, Told { at: now, since: 0, ever: 1 });
            return Some(1);
        };
        told.since += 1;
        told.ever += 1;
        if now.saturating_sub(told.at) < pause {
            return None;
        }
        told.at = now;
        Some(std::mem::take(&mut told.since))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_storm_is_told_once_a_second_with_its_size() {
        let troubles = Troubles::default();
        assert_eq!(troubles.due("a", 10_000, PAUSE), Some(1));
        assert_eq!(troubles.due("a", 10_500, PAUSE), None);
        assert_eq!(troubles.due("b", 10_500, PAUSE), Some(1));
        assert_eq!(troubles.due("a", 10_900, PAUSE), None);
        assert_eq!(troubles.due("a", 11_000, PAUSE), Some(3));
        assert_eq!(troubles.due("a", 70_999, LONG_PAUSE), None);
        assert_eq!(troubles.due("a", 71_000, LONG_PAUSE), Some(2));
        assert_eq!(troubles.counts(), [("a", 6), ("b", 1)]);
    }
}
