//! What the disk tier holds, kept in memory: the truth about which files count.
//!
//! A file that the index does not know is not part of the cache, whatever the directory says.
//! Room is made first in, first out; what was hit since its turn last came goes round once more.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Weak};

use smallvec::SmallVec;

use super::file_body::FileBody;
use super::hot::Hot;
use super::io::FileId;
use crate::entry::Entry;
use crate::events::Ages;

/// How many hot entries go round once more before room is made at any price.
const CHANCES: u32 = 64;

/// The slots of one key, oldest first.
pub(crate) type Slots<M> = SmallVec<[Slot<M>; 1]>;

/// One stored entry.
pub(crate) struct Slot<M> {
    pub(crate) variant: u64,
    pub(crate) sequence: u64,
    pub(crate) size: u64,
    /// While set, the entry itself answers: its file is still to be written or being changed.
    pub(crate) held: Option<Arc<Entry<M>>>,
    /// The large body that entries in memory read from this file.
    pub(crate) body: Weak<FileBody>,
    /// Rises before every change of the file, so that a read that met one can tell.
    pub(crate) version: u32,
}

impl<M> Clone for Slot<M> {
    fn clone(&self) -> Self {
        Self { held: self.held.clone(), body: self.body.clone(), ..*self }
    }
}

impl<M> Slot<M> {
    /// The slot of a file that is whole and in its place.
    pub(crate) fn stored(id: &FileId, size: u64, body: Weak<FileBody>) -> Self {
        let &FileId { variant, sequence, .. } = id;
        Self { variant, sequence, size, held: None, body, version: 0 }
    }

    /// True if nothing happened to the slot since `seen` was copied from it.
    pub(crate) fn is_as(&self, seen: &Self) -> bool {
        (self.sequence, self.version) == (seen.sequence, seen.version)
    }
}

/// What the disk tier holds.
pub(crate) struct Index<M> {
    slots: HashMap<[u8; 32], Slots<M>>,
    /// Every slot once, and leftovers of slots that are gone.
    order: VecDeque<FileId>,
    /// Files to be removed from the directory.
    doomed: Vec<FileId>,
    entries: u64,
    /// The numbers of all slots.
    ages: Ages,
    used: u64,
    reserved: u64,
    capacity: u64,
    variants_per_key: usize,
    evictions: u64,
}

impl<M> Index<M> {
    pub(crate) fn new(capacity: u64, variants_per_key: usize) -> Self {
        Self {
            slots: HashMap::new(),
            order: VecDeque::new(),
            doomed: Vec::new(),
            entries: 0,
            ages: Ages::default(),
            used: 0,
            reserved: 0,
            capacity,
            variants_per_key: variants_per_key.max(1),
            evictions: 0,
        }
    }

    pub(crate) fn entries(&self) -> u64 {
        self.entries
    }

    /// No slot has a lower number.
    pub(crate) fn oldest(&self) -> Option<u64> {
        self.ages.oldest()
    }

    /// Bytes of files, those under way included.
    pub(crate) fn bytes(&self) -> u64 {
        self.used + self.reserved
    }

    pub(crate) fn evictions(&self) -> u64 {
        self.evictions
    }

    pub(crate) fn of_key(&self, key: &[u8; 32]) -> &[Slot<M>] {
        self.slots.get(key).map_or(&[], |slots| slots.as_slice())
    }

    pub(crate) fn slot(&mut self, id: &FileId) -> Option<&mut Slot<M>> {
        self.slots.get_mut(&id.key)?.iter_mut().find(|slot| slot.sequence == id.sequence)
    }

    /// Files that lost their slot since the last call.
    pub(crate) fn take_doomed(&mut self) -> Vec<FileId> {
        std::mem::take(&mut self.doomed)
    }

    /// Puts an entry in, in place of the same variant. False if there is no room even then.
    pub(crate) fn place(&mut self, key: [u8; 32], slot: Slot<M>, hot: &Hot) -> bool {
        self.remove_variant(&key, slot.variant);
        while self.of_key(&key).len() >= self.variants_per_key {
            let oldest = self.of_key(&key)[0].sequence;
            self.remove(&FileId { key, variant: 0, sequence: oldest });
        }
        if !self.make_room(slot.size, hot) {
            return false;
        }
        self.order.push_back(FileId { key, variant: slot.variant, sequence: slot.sequence });
        self.used += slot.size;
        self.entries += 1;
        self.ages.add(slot.sequence);
        let slots = self.slots.entry(key).or_default();
        let at = slots.partition_point(|other| other.sequence < slot.sequence);
        slots.insert(at, slot);
        self.tidy_order();
        true
    }

    /// Sets room aside for a file under way. False if there is none.
    pub(crate) fn reserve(&mut self, bytes: u64, hot: &Hot) -> bool {
        let room = self.make_room(bytes, hot);
        if room {
            self.reserved += bytes;
        }
        room
    }

    /// Has a file removed that never got a slot.
    pub(crate) fn doom(&mut self, id: FileId) {
        self.doomed.push(id);
    }

    pub(crate) fn release(&mut self, bytes: u64) {
        self.reserved = self.reserved.saturating_sub(bytes);
    }

    pub(crate) fn remove_variant(&mut self, key: &[u8; 32], variant: u64) {
        let found = self.of_key(key).iter().find(|slot| slot.variant == variant);
        if let Some(sequence) = found.map(|slot| slot.sequence) {
            self.remove(&FileId { key: *key, variant, sequence });
        }
    }

    /// Removes one slot; its file is doomed. The variant in `id` does not matter.
    pub(crate) fn remove(&mut self, id: &FileId) -> bool {
        let Some(slots) = self.slots.get_mut(&id.key) else { return false };
        let Some(at) = slots.iter().position(|slot| slot.sequence == id.sequence) else {
            return false;
        };
        let slot = slots.remove(at);
        if slots.is_empty() {
            self.slots.remove(&id.key);
        }
        self.forget(id.key, &slot);
        true
    }

    pub(crate) fn remove_key(&mut self, key: &[u8; 32]) -> Slots<M> {
        let slots = self.slots.remove(key).unwrap_or_default();
        slots.iter().for_each(|slot| self.forget(*key, slot));
        slots
    }

    pub(crate) fn clear(&mut self) {
        for (key, slots) in std::mem::take(&mut self.slots) {
            slots.iter().for_each(|slot| self.forget(key, slot));
        }
        self.order.clear();
    }

    fn forget(&mut self, key: [u8; 32], slot: &Slot<M>) {
        self.entries -= 1;
        self.ages.remove(slot.sequence);
        self.used -= slot.size;
        if let Some(body) = slot.body.upgrade() {
            body.set_gone();
        }
        self.doomed.push(FileId { key, variant: slot.variant, sequence: slot.sequence });
    }

    /// The new size of a file whose tail was replaced.
    pub(crate) fn resize(&mut self, id: &FileId, size: u64) {
        let Some(slot) = self.slot(id) else { return };
        let before = std::mem::replace(&mut slot.size, size);
        self.used = self.used - before + size;
    }

    fn make_room(&mut self, bytes: u64, hot: &Hot) -> bool {
        if self.reserved.saturating_add(bytes) > self.capacity {
            return false;
        }
        let mut chances = CHANCES;
        while self.bytes() + bytes > self.capacity {
            let Some(id) = self.order.pop_front() else { return false };
            if self.slot(&id).is_none() {
                continue;
            }
            if chances > 0 && hot.take(&id.key) {
                chances -= 1;
                self.order.push_back(id);
            } else {
                self.remove(&id);
                self.evictions += 1;
            }
        }
        true
    }

    /// Replaced slots leave their place in the order behind; drop these before they outnumber
    /// the rest.
    fn tidy_order(&mut self) {
        if self.order.len() as u64 <= 2 * self.entries + 1024 {
            return;
        }
        let order = std::mem::take(&mut self.order);
        self.order = order.into_iter().filter(|id| self.slot(id).is_some()).collect();
    }
}
