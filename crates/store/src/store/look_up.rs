//! Finds what is stored, in memory first, then on disk.

use std::sync::Arc;

use tokio::sync::OnceCell;

use super::Store;
use crate::disk::{Disk, Read, Slots};
use crate::entry::{Entries, Variants};
use crate::key::{Key, KeyRef};
use crate::meta::Meta;

/// How often a look-up starts over because the disk changed under it.
const TRIES: usize = 40;

/// What a look at the disk gave.
pub(super) enum Found<M> {
    Variants(Variants<M>),
    Nothing,
    Changed,
}

impl<M: Meta> Store<M> {
    /// All variants of a key, if they are in memory. Never waits and does not allocate; `None` means
    /// that [`Store::look_up`] may still find some.
    pub fn peek(&self, key: &[u8]) -> Option<Variants<M>> {
        self.hit(key, self.0.memory.get(&KeyRef::new(key))?)
    }

    fn hit(&self, key: &[u8], found: Variants<M>) -> Option<Variants<M>> {
        if let Some(disk) = &self.0.disk {
            disk.hot.mark(found.mark());
        }
        Some(found).filter(|found| found.is_whole() && found.are_alive(key, &self.0.events))
    }

    /// All variants of a key, from memory or disk. Trouble with the disk is a miss, and counted.
    pub async fn look_up(&self, key: &Key) -> Option<Variants<M>> {
        for _ in 0..TRIES {
            if let Some(found) = self.0.memory.get_owned(key) {
                if !found.are_alive(key.as_bytes(), &self.0.events) {
                    self.bury(key);
                    continue;
                }
                if let Some(found) = self.hit(key.as_bytes(), found) {
                    return Some(found);
                }
            }
            let disk = self.0.disk.as_ref()?;
            let id = key.id();
            let read = {
                let mut shard = self.shard(key);
                if disk.slots(&id).is_empty() && self.0.memory.get_owned(key).is_none() {
                    return None;
                }
                Arc::clone(shard.reads.entry(key.clone()).or_default())
            };
            let shared = SharedRead { store: self, key, read };
            match shared.read.get_or_init(|| self.read(disk, key, id)).await {
                // One that was read before an event may still be shared after it.
                Found::Variants(variants)
                    if !variants.are_alive(key.as_bytes(), &self.0.events) => {}
                Found::Variants(variants) => return Some(variants.clone()),
                Found::Nothing => return None,
                Found::Changed => (),
            }
        }
        None
    }

    async fn read(&self, disk: &Disk<M>, key: &Key, id: [u8; 32]) -> Found<M> {
        let slots = disk.slots(&id);
        let known: Entries<M> = self.in_memory(key);
        // To memory goes what is read for the second time within a while.
        // What has just been fetched goes there at once: it is wanted now, has to be held until it
        // is on disk, and passes only through the small queue of the memory tier (3 % of it) unless it
        // is hit again. What a scan reads from disk would do the same, but a scan of a large disk would
        // push all else out of that queue and out of the memory of evicted keys.
        let is_welcome = self.0.known.knows(key.hash()) || !known.is_empty();
        let room = if is_welcome { self.0.memory.room() } else { 0 };
        match disk.read(key, &id, &slots, &known, room).await {
            Read::Entries(entries, made) => {
                let found = self.promote(disk, key, id, &slots, entries.into(), is_welcome);
                // They have found their place.
                drop(made);
                found
            }
            Read::Changed => Found::Changed,
            Read::Nothing => Found::Nothing,
        }
    }

    /// Puts what was read into memory if it is welcome there, unless the key changed meanwhile.
    fn promote(
        &self,
        disk: &Disk<M>,
        key: &Key,
        id: [u8; 32],
        slots: &Slots<M>,
        mut entries: Entries<M>,
        is_welcome: bool,
    ) -> Found<M> {
        let _shard = self.shard(key);
        if !disk.are_as(&id, slots) {
            return Found::Changed;
        }
        self.0.known.note(key.hash());
        // Some may be in memory alone.
        let here = self.in_memory(key);
        for entry in here {
            if !entry.is_gone() && entries.iter().all(|e| e.variant() != entry.variant()) {
                entries.push(entry);
            }
        }
        entries.retain(|entry| !self.forget_if_ended(id, key, entry));
        entries.sort_by_key(|entry| std::cmp::Reverse(entry.sequence()));
        if is_welcome {
            let welcome = entries.iter().filter(|entry| !entry.is_lent());
            self.install(key, id, welcome.cloned().collect());
        }
        Variants::new(entries, false).map_or(Found::Nothing, Found::Variants)
    }
}

/// Part in a read from disk; the first to leave ends it for those who come later.
struct SharedRead<'a, M: Meta> {
    store: &'a Store<M>,
    key: &'a Key,
    read: Arc<OnceCell<Found<M>>>,
}

impl<M: Meta> Drop for SharedRead<'_, M> {
    fn drop(&mut self) {
        let mut shard = self.store.shard(self.key);
        if shard.reads.get(self.key).is_some_and(|current| Arc::ptr_eq(current, &self.read)) {
            shard.reads.remove(self.key);
        }
    }
}
