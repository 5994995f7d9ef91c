//! The disk tier: small entries are records in shared segments, a large one has a file of its own.
//!
//! The rest of the store uses only [`Disk`] and the pieces re-exported here.

mod file_body;
mod files;
mod format;
mod freeze;
mod grow;
mod health;
mod held;
mod hot;
mod index;
mod io;
mod journal;
mod lane;
mod load;
mod marker;
mod open;
mod part_file;
mod place;
mod presence;
mod reclaim;
mod record_body;
mod recover;
mod segment;
mod snapshot;
mod spill;
mod start;
mod table;
mod version;
mod work;
mod write;

use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, Weak};

pub(crate) use file_body::{FileBody, Owner};
#[cfg(test)]
pub(crate) use files::{Fault, Op};
pub(crate) use files::{Files, Handle, seal};
pub(crate) use format::{BLOCK, PIECE};
use health::{Health, is_shortage};
pub(crate) use held::Held;
pub(crate) use hot::Hot;
use index::Index;
#[cfg(test)]
pub(crate) use index::MOST;
pub(crate) use index::{Slot, Slots};
use io::Unanswered;
pub(crate) use io::{FileId, Io, Piece};
use journal::Journal;
pub(crate) use lane::lock;
use lane::{Closing, Lane};
use load::{Loaded, LoadedBody, Records, Trouble};
pub use open::is_in_use;
pub(crate) use part_file::PartFile;
pub(crate) use presence::{Presence, extents};
pub(crate) use record_body::RecordBody;
use segment::Segments;
pub(crate) use spill::{Published, Spill, Written};
use work::Writer;

use crate::body::{Body, Done, Name, Place};
use crate::entry::{Entry, Keeper};
use crate::events::{Event, Events};
use crate::key::Key;
use crate::lent::Holding;
use crate::memory_file::MemoryFiles;
use crate::meta::Meta;
use crate::options::Clock;
use crate::reason::Damage;
use crate::stats::Stats;

/// The disk tier.
pub(crate) struct Disk<M> {
    pub(crate) io: Arc<Io>,
    index: Mutex<Index<M>>,
    pub(crate) hot: Hot,
    memory_files: Arc<MemoryFiles>,
    /// Bytes and number of entries waiting for the writer.
    queued: AtomicU64,
    queued_entries: AtomicU64,
    pub(crate) journal: Journal,
    /// Numbers the files too.
    pub(crate) events: Arc<Events>,
    health: Mutex<Health>,
    clock: Clock,
    /// Bytes of the largest file, and of the largest body that is read whole.
    pub(crate) largest: u64,
    whole: u64,
    /// Bytes of the largest record, and of a segment.
    pub(crate) largest_record: u64,
    segment_size: u64,
    root: PathBuf,
    segments: Arc<Segments>,
    writer: Mutex<Writer<M>>,
    /// Bytes that the list of the open segment takes.
    listed_bytes: AtomicU64,
    /// Segments whose records are still to be found, and whoever looks for them.
    left: AtomicU64,
    finder: Option<Arc<Lane>>,
    closing: Closing,
    /// The lock of the directory, and of one that took its place.
    held: Mutex<Arc<Held>>,
    me: Weak<Self>,
}

/// What one look at the files of a key gave.
pub(crate) enum Read<M> {
    /// And those of them that were made for it.
    Entries(Vec<Arc<Entry<M>>>, Vec<Keeper<M>>),
    /// Something changed meanwhile: look again.
    Changed,
    /// The disk did not answer.
    Nothing,
}

impl<M: Meta> Disk<M> {
    /// Changes the index, and has the writer do what that takes.
    fn with_index<R>(&self, change: impl FnOnce(&mut Index<M>, &Hot) -> R) -> R {
        let (result, due) = {
            let mut index = self.index();
            let result = change(&mut index, &self.hot);
            if index.is_crowded() {
                index.give_up(self.events.number());
            }
            (result, index.schedule())
        };
        if due && let Some(disk) = self.me.upgrade() {
            self.io.writer.submit(move || disk.work());
        }
        result
    }

    fn index(&self) -> MutexGuard<'_, Index<M>> {
        lock(&self.index)
    }

    /// Only for the writer's thread: taken before the index, and for as long as a disk takes.
    fn writer(&self) -> MutexGuard<'_, Writer<M>> {
        lock(&self.writer)
    }

    /// The slots of a key, as they are now.
    pub(crate) fn slots(&self, key: &[u8; 32]) -> Slots<M> {
        self.index().of_key(key)
    }

    /// True if the slots of a key are still those.
    pub(crate) fn are_as(&self, key: &[u8; 32], seen: &[Slot<M>]) -> bool {
        let now = self.index().of_key(key);
        now.len() == seen.len() && now.iter().zip(seen).all(|(now, seen)| now.is_as(seen))
    }

    /// True if the disk has a variant of the key that is not among these.
    pub(crate) fn has_others(&self, key: &[u8; 32], known: &[Arc<Entry<M>>]) -> bool {
        let is_known = |slot: &Slot<M>| known.iter().any(|e| e.variant() == slot.variant);
        !self.index().of_key(key).iter().all(is_known)
    }

    pub(crate) fn has(&self, key: [u8; 32], entry: &Entry<M>) -> bool {
        let id = FileId { key, variant: entry.variant(), sequence: entry.sequence() };
        self.index().slot(&id).is_some()
    }

    pub(crate) fn remove_variant(&self, key: &[u8; 32], variant: u64) {
        let number = self.events.number();
        self.with_index(|index, _| index.remove_variant(key, variant, number));
    }

    /// Forgets all variants of a key. The second value is true if a start after a kill could find
    /// some, were the removal not recorded.
    pub(crate) fn remove_key(&self, key: &[u8; 32]) -> (Slots<M>, bool) {
        let number = self.events.number();
        self.with_index(|index, _| index.remove_key(key, number))
    }

    /// Removes the file of an entry, and no other of its variant.
    pub(crate) fn remove(&self, key: [u8; 32], entry: &Entry<M>) {
        let id = FileId { key, variant: entry.variant(), sequence: entry.sequence() };
        self.with_index(|index, _| index.remove(&id));
    }

    /// Queues events for the log. Waits until they are there, and what was queued before, but not for
    /// a disk that hangs.
    pub(crate) fn record(&self, events: Vec<Event>) -> impl Future<Output = ()> + use<M> {
        let (io, answer) = (Arc::clone(&self.io), self.journal.append(events));
        async move {
            // What went wrong is counted; the event holds all the same.
            let _ = io.answer(answer, io.patience).await;
        }
    }

    /// Notes that the files of a key were removed: they may be there yet when the process is killed.
    pub(crate) fn record_removal(&self, key_id: &[u8; 32]) {
        self.journal.note(self.events.add_removal(key_id));
    }

    /// No entry has a lower number.
    pub(crate) fn oldest(&self) -> Option<u64> {
        self.index().lowest()
    }

    /// Forgets everything; returns how many entries of how many bytes that were.
    pub(crate) fn clear(&self) -> (u64, u64) {
        self.with_index(|index, _| {
            let before = (index.entries(), index.bytes());
            // Taken here: above those of all that the index has.
            index.clear(self.events.number());
            (before.0, before.1 - index.bytes())
        })
    }

    /// Reads the entries of these slots, those of `known` and those still held excepted. Memory has
    /// `room` for what is wanted there.
    pub(crate) async fn read(
        &self,
        key: &Key,
        id: &[u8; 32],
        slots: &[Slot<M>],
        known: &[Arc<Entry<M>>],
        mut room: u64,
    ) -> Read<M> {
        let (mut entries, mut made) = (Vec::with_capacity(slots.len()), Vec::new());
        // Newest first, as in every list of variants.
        for slot in slots.iter().rev() {
            let in_memory = known.iter().find(|e| e.sequence() == slot.sequence && !e.is_gone());
            if let Some(entry) = slot.held.as_ref().or(in_memory) {
                room = room.saturating_sub(entry.weight());
                entries.push(Arc::clone(entry));
                continue;
            }
            match self.read_slot(key, id, slot, room).await {
                SlotRead::Entry(entry) => {
                    room = room.saturating_sub(entry.weight());
                    made.push(Keeper::made(Arc::clone(&entry)));
                    entries.push(entry);
                }
                SlotRead::Another => (),
                SlotRead::Changed => return Read::Changed,
                SlotRead::Nothing => return Read::Nothing,
            }
        }
        self.hot.mark(Hot::mark_of(id));
        Read::Entries(entries, made)
    }

    async fn read_slot(
        &self,
        key: &Key,
        key_id: &[u8; 32],
        slot: &Slot<M>,
        room: u64,
    ) -> SlotRead<M> {
        let id = FileId { key: *key_id, variant: slot.variant, sequence: slot.sequence };
        if self.is_left_alone() {
            self.io.counters.resting_skips.add(1);
            return SlotRead::Nothing;
        }
        let (io, bytes, whole) = (Arc::clone(&self.io), key.clone(), (self.whole, room));
        let read = if let Some(place) = slot.record {
            let (segments, lent) = (Arc::clone(&self.segments), Arc::clone(&io.lent));
            let records = Records { segments, lent, room };
            if let Some(loaded) = records.load_now(place, &id, key.as_bytes()) {
                return self.loaded(key, &id, loaded, slot);
            }
            self.io.look(move || records.load(place, &id, bytes.as_bytes())).await
        } else {
            self.io.look(move || load::load(&io, &id, bytes.as_bytes(), whole).map(Some)).await
        };
        if let Ok(Ok(_)) = &read {
            lock(&self.health).read();
        }
        match read {
            Ok(Ok(Some(loaded))) => self.loaded(key, &id, loaded, slot),
            Ok(Ok(None)) => SlotRead::Another,
            Ok(Err(trouble)) => self.troubled(&id, slot, &trouble),
            Err(Unanswered::Full) => {
                self.io.counters.queue_full_skips.add(1);
                SlotRead::Nothing
            }
            Err(Unanswered::Late | Unanswered::Closed) => SlotRead::Nothing,
        }
    }

    fn loaded(&self, key: &Key, id: &FileId, loaded: Loaded<M>, seen: &Slot<M>) -> SlotRead<M> {
        self.entry(key, id, loaded, seen).map_or(SlotRead::Changed, SlotRead::Entry)
    }

    /// A file that cannot be trusted goes; one that was changed under the read is read again.
    fn troubled(&self, id: &FileId, seen: &Slot<M>, trouble: &Trouble) -> SlotRead<M> {
        if let Trouble::Io(error) = trouble {
            self.io.counters.disk_read_errors.add(1);
            self.read_failed(error);
            if is_shortage(error) {
                return SlotRead::Nothing;
            }
        }
        let dropped = self.with_index(|index, _| {
            index.slot(id).is_some_and(|slot| slot.is_where(seen)) && index.remove(id)
        });
        if let (true, Trouble::Damaged(why)) = (dropped, trouble) {
            self.io.counters.damaged(*why);
        }
        SlotRead::Changed
    }

    fn entry(
        &self,
        key: &Key,
        id: &FileId,
        loaded: Loaded<M>,
        seen: &Slot<M>,
    ) -> Option<Arc<Entry<M>>> {
        let Loaded { meta, trailers, length, body } = loaded;
        let name = Name { key: key.as_bytes(), mark: Hot::mark_of(&id.key) };
        let done = match body {
            LoadedBody::Memory(bytes, holding) => {
                Done::copied(name, &bytes, &trailers, &self.memory_files, holding)
            }
            LoadedBody::Record(at) => {
                let owner: Weak<dyn Owner> = self.me.clone();
                let record = RecordBody::new(*id, at, Arc::clone(&self.io), owner);
                let place = Place::Record(Arc::new(record));
                Done::off_the_heap(name, length, &trailers, place, Holding::OnDisk)
            }
            LoadedBody::File(presence, holding) => {
                let place = Place::File(self.shared_body(id, length, presence, seen)?);
                Done::off_the_heap(name, length, &trailers, place, holding)
            }
        };
        Some(Entry::new(meta, Body::complete(done), id.sequence, &self.events))
    }

    /// One body for all entries of a file, so that its end shows in each of them.
    fn shared_body(
        &self,
        id: &FileId,
        length: u64,
        presence: Presence,
        seen: &Slot<M>,
    ) -> Option<Arc<FileBody>> {
        let mut index = self.index();
        index.slot(id).filter(|slot| slot.is_as(seen))?;
        let beside = index.beside(id)?;
        let body = beside.body.upgrade().unwrap_or_else(|| self.file_body(id, length, presence));
        beside.body = Arc::downgrade(&body);
        Some(body)
    }

    pub(crate) fn file_body(&self, id: &FileId, length: u64, presence: Presence) -> Arc<FileBody> {
        let owner: Weak<dyn Owner> = self.me.clone();
        Arc::new(FileBody::new(*id, length, presence, Arc::clone(&self.io), owner))
    }

    /// Fills in the gauges of this tier.
    pub(crate) fn gauge(&self, stats: &mut Stats) {
        let index = self.index();
        stats.disk_entries = index.entries();
        stats.disk_bytes = index.bytes();
        stats.segment_bytes = index.segments;
        stats.disk_evictions = index.evictions;
        stats.index_bytes = index.memory() + self.hot.bytes();
        stats.index_bytes += self.listed_bytes.load(Ordering::Relaxed);
        stats.segments_to_recover = self.left.load(Ordering::Acquire);
        stats.queued_bytes = self.queued.load(Ordering::Relaxed);
    }

    /// Jobs of the writer that wait, and items in its queue.
    #[cfg(test)]
    pub(crate) fn waiting(&self) -> (usize, usize) {
        (self.io.writer.waiting(), self.index().waiting())
    }

    /// Waits until everything queued so far is on disk, if anything is written at all.
    pub(crate) async fn flush(&self) {
        if self.io.is_sealed() {
            return;
        }
        self.io.flush().await;
        self.journal.flush().await;
    }

    /// The lock of the directory, to be given to another process.
    pub(crate) fn lock_of_directory(&self) -> Option<std::fs::File> {
        lock(&self.held).copy()
    }

    /// Leaves a snapshot, so that the next start knows all at once.
    pub(crate) async fn leave_snapshot(&self) {
        if self.io.is_sealed() {
            return;
        }
        let (done, left) = tokio::sync::oneshot::channel::<()>();
        let Some(disk) = self.me.upgrade() else { return };
        let work = move || {
            disk.finish();
            drop(done);
        };
        if self.io.writer.submit(work) {
            // The sender is dropped when that is done.
            let _ = left.await;
        }
    }

    /// Finishes what is queued and leaves a snapshot, then ends the threads.
    pub(crate) fn close(&self) {
        self.closing.set();
        if let Some(finder) = &self.finder {
            finder.join(5 * self.io.patience);
        }
        if self.io.is_sealed() {
            self.abandon();
        } else if let Some(disk) = self.me.upgrade() {
            self.io.writer.submit(move || _ = disk.finish());
        }
        self.io.close();
        self.journal.close(5 * self.io.patience);
    }
}

enum SlotRead<M> {
    Entry(Arc<Entry<M>>),
    /// The entry of another key that looks alike.
    Another,
    Changed,
    Nothing,
}

impl<M: Meta> Owner for Disk<M> {
    fn drop_damaged(&self, id: &FileId, why: Damage) {
        if self.with_index(|index, _| index.remove(id)) {
            self.io.counters.damaged(why);
        }
    }

    fn drop_unreadable(&self, id: &FileId, error: &std::io::Error) {
        self.read_failed(error);
        self.with_index(|index, _| index.remove(id));
    }

    fn measured(&self, id: &FileId, bytes: u64) {
        self.index().resize(id, bytes);
    }
}
