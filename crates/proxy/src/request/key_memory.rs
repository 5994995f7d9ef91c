//! Remembers facts about keys for a while: that their responses could not be shared ("hit for miss"),
//! that an unsafe request may still change them, or that a refresh of them failed.

use std::sync::Mutex;
use std::sync::PoisonError;
use std::time::Duration;

use store::Key;

use crate::clock::{in_ticks, ticks};

/// Keys remembered at once; one that is pushed out is simply forgotten.
const SLOTS: usize = 1 << 16;
/// Locks over the slots.
const SHARDS: usize = 16;

/// Remembers keys for a while, in fixed space: a slot a hash, the last one wins.
pub(crate) struct KeyMemory {
    shards: Box<[Mutex<Box<[Slot]>>]>,
    memory: u64,
}

/// The hash of a key, and until when it is remembered, in ticks. Plain numbers that begin as zeros: the
/// system allocates a page of slots only when one of them is used.
type Slot = [u64; 2];

impl KeyMemory {
    pub(crate) fn new(memory: Duration) -> Self {
        let shard = || Mutex::new(vec![[0; 2]; SLOTS / SHARDS].into_boxed_slice());
        Self { shards: (0..SHARDS).map(|_| shard()).collect(), memory: in_ticks(memory) }
    }

    /// Whether `key` is remembered. Another key with the same hash is mistaken for it; the harm is a
    /// fetch more, or a refresh later.
    pub(crate) fn contains(&self, key: &Key) -> bool {
        self.with(key, |&mut [hash, until]| hash == key.hash() && until > ticks())
    }

    pub(crate) fn remember(&self, key: &Key) {
        let until = ticks().saturating_add(self.memory);
        self.with(key, |slot| *slot = [key.hash(), until]);
    }

    pub(crate) fn remove(&self, key: &Key) {
        self.with(key, |slot| {
            if slot[0] == key.hash() {
                *slot = [0; 2];
            }
        });
    }

    fn with<T>(&self, key: &Key, act: impl FnOnce(&mut Slot) -> T) -> T {
        let hash = key.hash() as usize;
        let mut shard = self.shards[hash % SHARDS].lock().unwrap_or_else(PoisonError::into_inner);
        let place = (hash / SHARDS) % shard.len();
        act(&mut shard[place])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_remembered_until_it_is_removed_or_time_has_passed() {
        let keys = KeyMemory::new(Duration::from_mins(1));
        let (key, other) = (Key::new(b"a"), Key::new(b"b"));
        keys.remember(&key);
        assert!(keys.contains(&key));
        assert!(!keys.contains(&other));
        keys.remove(&key);
        assert!(!keys.contains(&key));
        let forgetful = KeyMemory::new(Duration::ZERO);
        forgetful.remember(&key);
        assert!(!forgetful.contains(&key));
    }
}
