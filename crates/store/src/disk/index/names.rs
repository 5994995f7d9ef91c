//! Files that a look-up must not find and that are there all the same.

use hashbrown::HashMap;
use smallvec::SmallVec;

use super::super::io::FileId;
use super::super::segment::short;
use crate::key::KnownHash;

/// Their numbers by the short keys of what they hold.
#[derive(Default)]
pub(super) struct Names(HashMap<u64, SmallVec<[u64; 2]>, KnownHash>);

impl Names {
    pub(super) fn add(&mut self, id: &FileId) {
        self.0.entry(short(&id.key)).or_default().push(id.sequence);
    }

    pub(super) fn remove(&mut self, id: &FileId) {
        let key = short(&id.key);
        let Some(numbers) = self.0.get_mut(&key) else { return };
        numbers.retain(|number| *number != id.sequence);
        if numbers.is_empty() {
            self.0.remove(&key);
        }
        if self.0.capacity() > 4 * self.0.len() + 1024 {
            self.0.shrink_to(2 * self.0.len());
        }
    }

    pub(super) fn has(&self, id: &FileId) -> bool {
        self.0.get(&short(&id.key)).is_some_and(|numbers| numbers.contains(&id.sequence))
    }

    /// True if there is one of this key.
    pub(super) fn has_key(&self, key: u64) -> bool {
        self.0.contains_key(&key)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn clear(&mut self) {
        self.0 = HashMap::default();
    }
}
