//! Puts in what is complete.

use std::sync::Arc;

use super::{Store, name_of};
use crate::body::Place;
use crate::disk::{Published, Spill};
use crate::entry::{Entries, Entry, Variants};
use crate::key::Key;
use crate::meta::Meta;
use crate::reason::{Committed, NotStored, Refused};
use crate::stream::Stream;

impl<M: Meta> Store<M> {
    /// Stores an entry whose body is complete and in memory.
    pub(crate) fn publish(
        &self,
        key: &Key,
        id: [u8; 32],
        entry: &Arc<Entry<M>>,
        stream: &Stream,
    ) -> Committed {
        let mut shard = self.shard(key);
        if stream.is_removed() {
            return Committed::NotStored(NotStored::Removed);
        }
        if self.is_ended(key, entry) || self.is_outlived(key, entry) {
            drop(shard);
            self.supersede(key, entry, stream);
            return Committed::NotStored(NotStored::Removed);
        }
        shard.reads.remove(key);
        let on_disk = match &self.0.disk {
            Some(disk) => disk.store(key, id, entry, None),
            None => Err(NotStored::NoRoom),
        };
        match (self.put(key, id, entry), on_disk) {
            (false, Err(why)) => Committed::NotStored(why),
            _ => Committed::Stored,
        }
    }

    /// Stores an entry whose body is complete and in its file.
    pub(crate) fn publish_file(
        &self,
        key: &Key,
        entry: &Arc<Entry<M>>,
        stream: &Stream,
        tail: &[u8],
        spill: &mut Spill<M>,
        published: Published<M>,
    ) -> Committed {
        let mut shard = self.shard(key);
        let body = entry.body();
        let file = Arc::clone(&published.file);
        let id = self.id(key);
        let name = name_of(key, &id);
        let why = match stream.is_removed() {
            true => NotStored::Removed,
            false if self.is_ended(key, entry) || self.is_outlived(key, entry) => {
                NotStored::Removed
            }
            false if spill.adopt(published) => {
                shard.reads.remove(key);
                entry.set_sequence(file.id.sequence);
                body.finish_in_file(name, tail, Place::File(file));
                self.put(key, id, entry);
                return Committed::Stored;
            }
            false => NotStored::NoRoom,
        };
        body.finish_nowhere(name, tail);
        drop(shard);
        self.supersede(key, entry, stream);
        Committed::NotStored(why)
    }

    pub(crate) fn end_fill(&self, key: &Key, stream: &Arc<Stream>) {
        let mut shard = self.shard(key);
        shard.tidy(key);
        let Some(fills) = shard.fills.get_mut(key) else { return };
        fills.retain(|other| !Arc::ptr_eq(other, stream));
        if fills.is_empty() {
            shard.fills.remove(key);
        }
    }

    /// Forgets what a complete body would have replaced, had it been stored: a look-up finds the
    /// last answer or none.
    pub(crate) fn supersede(&self, key: &Key, entry: &Arc<Entry<M>>, stream: &Stream) {
        let mut shard = self.shard(key);
        if stream.is_removed() || self.is_outlived(key, entry) {
            return;
        }
        shard.reads.remove(key);
        let id = self.id(key);
        if let Some(disk) = &self.0.disk {
            disk.remove_variant(&id, entry.variant());
        }
        self.install(key, id, self.others(key, entry));
    }

    /// Puts a new entry before the others of its key in memory. False if memory has no room.
    pub(super) fn put(&self, key: &Key, id: [u8; 32], entry: &Arc<Entry<M>>) -> bool {
        let mut entries = self.others(key, entry);
        let fits = !entry.is_lent() && entry.weight() <= self.0.memory.room();
        if fits {
            entries.insert(0, Arc::clone(entry));
        }
        entries.truncate(self.0.variants_per_key);
        self.install(key, id, entries);
        fits
    }

    /// The entries in memory that a new one leaves in place.
    pub(super) fn others(&self, key: &Key, entry: &Entry<M>) -> Entries<M> {
        let mut entries = self.in_memory(key);
        entries.retain(|old| {
            let same = old.variant() == entry.variant() || old.body().is(entry.body());
            !same && !old.is_gone()
        });
        entries
    }

    /// Makes these the entries of a key in memory, as many as fit.
    pub(super) fn install(&self, key: &Key, id: [u8; 32], mut entries: Entries<M>) {
        let mut room = self.0.memory.room();
        let fitting = entries.iter().take_while(|entry| {
            let left = room.checked_sub(entry.weight());
            room = left.unwrap_or(0);
            left.is_some()
        });
        entries.truncate(fitting.count());
        let partial = self.0.disk.as_ref().is_some_and(|disk| disk.has_others(&id, &entries));
        match Variants::new(entries, partial) {
            Some(variants) => self.0.memory.insert(key, variants),
            None => self.0.memory.remove(key),
        }
    }

    /// A way to disk for a body that has reached `end`.
    pub(crate) fn spill(&self, declared: Option<u64>, end: u64) -> Result<Spill<M>, Refused> {
        let length = declared.unwrap_or(0).max(end);
        match &self.0.disk {
            None if length > self.0.largest_in_memory => Err(Refused::TooLarge),
            None => Err(Refused::NoRoom),
            Some(disk) if length > disk.largest => Err(Refused::TooLarge),
            Some(disk) if disk.takes_nothing() => {
                self.0.counters.resting_skips.add(1);
                Err(Refused::DiskResting)
            }
            Some(disk) => Ok(Spill::new(disk, self.0.flight.passage().ok_or(Refused::NoRoom)?)),
        }
    }
}
