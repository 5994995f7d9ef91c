//! What ends entries by their labels, and how the store forgets those that are ended.

use std::sync::Arc;

use super::Store;
use crate::entry::Entry;
use crate::key::Key;
use crate::labels::{Label, Moment};
use crate::meta::Meta;

impl<M: Meta> Store<M> {
    /// The moment to give to the [`Labels`](crate::Labels) of an entry: take it before the origin is
    /// asked.
    pub fn moment(&self) -> Moment {
        self.0.events.moment()
    }

    /// Ends all entries that have one of these labels and began before now, wherever they are: no
    /// look-up finds them any more, also after a restart. It is done at once and costs the same
    /// whatever is stored; what is returned waits until the disk has it too, as long as the disk may
    /// take for an answer.
    pub fn invalidate(&self, labels: &[Label]) -> impl Future<Output = ()> + Send + use<M> {
        let number = (!labels.is_empty()).then(|| self.0.events.add(labels));
        let recorded = number.zip(self.0.disk.as_ref());
        let recorded = recorded.map(|(number, disk)| disk.record(labels, number));
        async move {
            if let Some(recorded) = recorded {
                recorded.await;
            }
        }
    }

    /// True if [`Store::invalidate`] has ended an entry, stored or on its way.
    pub fn is_ended(&self, entry: &Entry<M>) -> bool {
        entry.is_ended(&self.0.events)
    }

    /// True if an ended entry comes after one that was fetched since and took its place already.
    pub(super) fn is_outlived(&self, key: &Key, entry: &Entry<M>) -> bool {
        let began = entry.meta().labels().began();
        let is_newer = |other: &Arc<Entry<M>>| {
            let labels = other.meta().labels();
            other.variant() == entry.variant() && !labels.is_empty() && labels.began() > began
        };
        self.is_ended(entry) && self.in_memory(key).iter().any(is_newer)
    }

    /// Drops what events have ended from what memory has of a key.
    pub(super) fn bury(&self, key: &Key) {
        let mut shard = self.shard(key);
        shard.reads.remove(key);
        let (id, mut entries) = (self.id(key), self.in_memory(key));
        entries.retain(|entry| !self.forget_if_ended(id, entry));
        self.install(key, id, entries);
    }

    /// Takes the file of an ended entry away. True if it is ended.
    pub(super) fn forget_if_ended(&self, id: [u8; 32], entry: &Entry<M>) -> bool {
        let ended = self.is_ended(entry);
        if let (true, Some(disk)) = (ended, &self.0.disk) {
            disk.remove(id, entry);
        }
        ended
    }
}
