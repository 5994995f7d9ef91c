//! Keys whose resource an unsafe request may still change, because nobody knows what came of it.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use store::Key;

use super::key_memory::KeyMemory;
use crate::clock::{in_ticks, ticks};

/// Keys that a process that takes over is told of, the last ones.
const TOLD: usize = 1024;

/// Answers by hash, as [`KeyMemory`] does, and knows the last keys themselves.
pub(crate) struct Doubts {
    memory: KeyMemory,
    patience: u64,
    /// Each with the tick until which it counts.
    last: Mutex<VecDeque<(u64, Key)>>,
}

impl Doubts {
    pub(crate) fn new(patience: Duration) -> Self {
        let memory = KeyMemory::new(patience);
        Self { memory, patience: in_ticks(patience), last: Mutex::default() }
    }

    pub(crate) fn contains(&self, key: &Key) -> bool {
        self.memory.contains(key)
    }

    pub(crate) fn remember(&self, key: &Key) {
        self.memory.remember(key);
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        if last.len() >= TOLD {
            last.pop_front();
        }
        last.push_back((ticks().saturating_add(self.patience), key.clone()));
    }

    /// Those of which there is still doubt.
    pub(crate) fn keys(&self) -> Vec<Vec<u8>> {
        let now = ticks();
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        last.retain(|(until, _)| *until > now);
        last.iter().map(|(_, key)| key.as_bytes().to_vec()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn doubts_are_told_until_they_are_over() {
        let doubts = Doubts::new(Duration::from_mins(1));
        for number in 0..2 * TOLD {
            doubts.remember(&Key::new(&number.to_le_bytes()));
        }
        assert_eq!(doubts.keys().len(), TOLD);
        assert!(doubts.contains(&Key::new(&(2 * TOLD - 1).to_le_bytes())));
        let over = Doubts::new(Duration::ZERO);
        over.remember(&Key::new(b"a"));
        assert!(over.keys().is_empty() && !over.contains(&Key::new(b"a")));
    }
}
