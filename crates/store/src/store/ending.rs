//! What ends entries, or makes them stale, without looking for them, and how the store forgets those
//! that are ended.

use std::sync::Arc;

use super::Store;
use crate::entry::Entry;
use crate::key::Key;
use crate::labels::Moment;
use crate::matcher::{Fate, Matcher};
use crate::meta::Meta;

impl<M: Meta> Store<M> {
    /// The moment to give to the [`Labels`](crate::Labels) of an entry: take it before the origin is
    /// asked.
    pub fn moment(&self) -> Moment {
        self.0.events.moment()
    }

    /// Ends all entries that one of these is about and that began before now, wherever they are, or
    /// makes them stale; also after a restart. It is done at once and costs the same whatever is
    /// stored; what is returned waits until the disk has it too, as long as the disk may take for an
    /// answer.
    pub fn invalidate(
        &self,
        matchers: &[Matcher<'_>],
        fate: Fate,
    ) -> impl Future<Output = ()> + Send + use<M> {
        let events = (!matchers.is_empty()).then(|| self.0.events.add(matchers, fate));
        let recorded = events.zip(self.0.disk.as_ref());
        let recorded = recorded.map(|(events, disk)| disk.record(events));
        async move {
            if let Some(recorded) = recorded {
                recorded.await;
            }
        }
    }

    /// Waits until what was removed stays removed if the process is killed, as long as the disk may
    /// take for an answer. A power cut is not waited for.
    pub fn recorded(&self) -> impl Future<Output = ()> + Send + use<M> {
        let disk = self.0.disk.as_ref().filter(|disk| !disk.journal.is_written());
        let recorded = disk.map(|disk| disk.record(Vec::new()));
        async move {
            if let Some(recorded) = recorded {
                recorded.await;
            }
        }
    }

    /// Forgets the events that can end nothing any more. Costs next to nothing where there is nothing
    /// to forget; ask for it now and then.
    pub fn prune_events(&self) {
        let on_disk = self.0.disk.as_ref().and_then(|disk| disk.oldest());
        self.0.events.prune(on_disk);
    }

    /// True if an event has ended an entry under this key, stored or on its way.
    pub fn is_ended(&self, key: &Key, entry: &Entry<M>) -> bool {
        entry.is_ended(key.as_bytes(), &self.0.events)
    }

    /// True if an entry that an event has ended, or made stale, comes after one that was fetched since
    /// and took its place already.
    pub(super) fn is_outlived(&self, key: &Key, entry: &Entry<M>) -> bool {
        let is_newer = |other: &Arc<Entry<M>>| {
            other.variant() == entry.variant() && other.began() > entry.began()
        };
        let is_outdated = self.is_ended(key, entry) || entry.stale_since().is_some();
        is_outdated && self.in_memory(key).iter().any(is_newer)
    }

    /// Drops what events have ended from what memory has of a key.
    pub(super) fn bury(&self, key: &Key) {
        let mut shard = self.shard(key);
        shard.reads.remove(key);
        let (id, mut entries) = (self.id(key), self.in_memory(key));
        entries.retain(|entry| !self.forget_if_ended(id, key, entry));
        self.install(key, id, entries);
    }

    /// Takes the file of an ended entry away. True if it is ended.
    pub(super) fn forget_if_ended(&self, id: [u8; 32], key: &Key, entry: &Entry<M>) -> bool {
        let ended = self.is_ended(key, entry);
        if let (true, Some(disk)) = (ended, &self.0.disk) {
            disk.remove(id, entry);
        }
        ended
    }
}
