//! The disk tier: which entries have a file, and the work of writing and removing files.
//!
//! Every entry has a file of its own at this stage. The rest of the store uses only [`Disk`] and
//! the pieces re-exported here, so that small objects can move to shared segments later.

mod file_body;
mod files;
mod format;
mod hot;
mod index;
mod io;
mod journal;
mod lane;
mod load;
mod open;
mod spill;
mod write;

use std::fs::File;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, Weak};

pub(crate) use file_body::{FileBody, Owner};
#[cfg(test)]
pub(crate) use files::{Fault, Op};
pub(crate) use files::{Files, Handle, seal};
pub(crate) use format::{BLOCK, PIECE};
pub(crate) use hot::Hot;
use index::Index;
pub(crate) use index::{Slot, Slots};
use io::Unanswered;
pub(crate) use io::{FileId, Io, Piece};
use journal::Journal;
pub(crate) use lane::lock;
use load::{Loaded, LoadedBody, Trouble};
pub(crate) use spill::{Published, Spill};

use crate::body::{Body, Done, Name, Place};
use crate::entry::Entry;
use crate::events::{Event, Events};
use crate::key::Key;
use crate::memory_file::MemoryFiles;
use crate::meta::Meta;
use crate::options::{Clock, DiskOptions, Options};
use crate::reason::{Damage, OpenError};
use crate::stats::{Counters, Stats};

/// Milliseconds for which nothing is written after a write failed.
const REST: u64 = 10_000;

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
    rests_until: AtomicU64,
    clock: Clock,
    /// Bytes of the largest file, and of the largest body that is read whole.
    pub(crate) largest: u64,
    whole: u64,
    me: Weak<Self>,
}

/// What one look at the files of a key gave.
pub(crate) enum Read<M> {
    Entries(Vec<Arc<Entry<M>>>),
    /// Something changed meanwhile: look again.
    Changed,
    /// The disk did not answer.
    Nothing,
}

impl<M: Meta> Disk<M> {
    /// Opens the directory and reads which files are there. The second value is the lock.
    pub(crate) fn open(
        options: &Options,
        disk: &DiskOptions,
        files: Files,
        memory_files: &Arc<MemoryFiles>,
        counters: Arc<Counters>,
    ) -> Result<(Arc<Self>, Arc<File>), OpenError> {
        let root = &disk.directory;
        let held = Arc::new(open::take(root)?);
        let found = open::scan(root)?;
        let starting = |source| {
            let path = root.clone();
            OpenError::Io { doing: "starting threads for", path, source }
        };
        let started = Io::start(files, root, options.disk_patience, counters, &held);
        let io = started.map_err(starting)?;
        let next = found.last().map(|(id, _)| id.sequence.saturating_add(1));
        let opened = Journal::open(io.files.clone(), root, &io.counters, next, &held);
        let (journal, events) = opened.map_err(starting)?;
        let tier = Arc::new_cyclic(|me| Self {
            io: Arc::new(io),
            index: Mutex::new(Index::new(disk.capacity, options.variants_per_key)),
            hot: Hot::new(),
            memory_files: Arc::clone(memory_files),
            queued: AtomicU64::new(0),
            queued_entries: AtomicU64::new(0),
            journal,
            events,
            rests_until: AtomicU64::new(0),
            clock: Arc::clone(&options.clock),
            largest: options.largest_on_disk(),
            whole: options.largest_in_memory(),
            me: Weak::clone(me),
        });
        tier.with_index(|index, hot| {
            for (id, size) in found {
                let removed = tier.events.has_removed(&id.key, id.sequence);
                if removed || !index.place(id.key, Slot::stored(&id, size, Weak::new()), hot) {
                    index.doom(id);
                }
            }
        });
        Ok((tier, held))
    }

    /// Changes the index; files that lose their place by it are removed in the background.
    fn with_index<R>(&self, change: impl FnOnce(&mut Index<M>, &Hot) -> R) -> R {
        let (result, doomed) = {
            let mut index = lock(&self.index);
            let result = change(&mut index, &self.hot);
            (result, index.take_doomed())
        };
        if !doomed.is_empty() {
            let io = Arc::clone(&self.io);
            self.io.writer.submit(move || doomed.iter().for_each(|id| unlink(&io, id)));
        }
        result
    }

    /// The slots of a key, as they are now.
    pub(crate) fn slots(&self, key: &[u8; 32]) -> Slots<M> {
        lock(&self.index).of_key(key).iter().cloned().collect()
    }

    /// True if the slots of a key are still those.
    pub(crate) fn are_as(&self, key: &[u8; 32], seen: &[Slot<M>]) -> bool {
        let index = lock(&self.index);
        let now = index.of_key(key);
        now.len() == seen.len() && now.iter().zip(seen).all(|(now, seen)| now.is_as(seen))
    }

    /// True if the disk has a variant of the key that is not among these.
    pub(crate) fn has_others(&self, key: &[u8; 32], known: &[Arc<Entry<M>>]) -> bool {
        let index = lock(&self.index);
        let is_known = |slot: &Slot<M>| known.iter().any(|e| e.variant() == slot.variant);
        !index.of_key(key).iter().all(is_known)
    }

    pub(crate) fn has(&self, key: [u8; 32], entry: &Entry<M>) -> bool {
        let id = FileId { key, variant: entry.variant(), sequence: entry.sequence() };
        lock(&self.index).slot(&id).is_some()
    }

    pub(crate) fn remove_variant(&self, key: &[u8; 32], variant: u64) {
        self.with_index(|index, _| index.remove_variant(key, variant));
    }

    pub(crate) fn remove_key(&self, key: &[u8; 32]) -> Slots<M> {
        self.with_index(|index, _| index.remove_key(key))
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

    /// No file has a lower number.
    pub(crate) fn oldest(&self) -> Option<u64> {
        lock(&self.index).oldest()
    }

    /// Forgets everything; returns how many entries of how many bytes that were.
    pub(crate) fn clear(&self) -> (u64, u64) {
        self.with_index(|index, _| {
            let before = (index.entries(), index.bytes());
            index.clear();
            (before.0, before.1 - index.bytes())
        })
    }

    /// Reads the entries of these slots, those of `known` and those still held excepted.
    pub(crate) async fn read(
        &self,
        key: &Key,
        id: &[u8; 32],
        slots: &[Slot<M>],
        known: &[Arc<Entry<M>>],
    ) -> Read<M> {
        let mut entries = Vec::with_capacity(slots.len());
        // Newest first, as in every list of variants.
        for slot in slots.iter().rev() {
            let in_memory = known.iter().find(|e| e.sequence() == slot.sequence && !e.is_gone());
            if let Some(entry) = slot.held.as_ref().or(in_memory) {
                entries.push(Arc::clone(entry));
                continue;
            }
            match self.read_slot(key, id, slot).await {
                SlotRead::Entry(entry) => entries.push(entry),
                SlotRead::Changed => return Read::Changed,
                SlotRead::Nothing => return Read::Nothing,
            }
        }
        self.hot.mark(Hot::mark_of(id));
        Read::Entries(entries)
    }

    async fn read_slot(&self, key: &Key, key_id: &[u8; 32], slot: &Slot<M>) -> SlotRead<M> {
        let id = FileId { key: *key_id, variant: slot.variant, sequence: slot.sequence };
        let (io, bytes, whole) = (Arc::clone(&self.io), key.clone(), self.whole);
        let read = self.io.look(move || load::load(&io, &id, bytes.as_bytes(), whole)).await;
        match read {
            Ok(Ok(loaded)) => {
                self.entry(key, &id, loaded, slot).map_or(SlotRead::Changed, SlotRead::Entry)
            }
            Ok(Err(trouble)) => self.troubled(&id, slot, &trouble),
            Err(Unanswered::Full) => {
                self.io.counters.queue_full_skips.add(1);
                SlotRead::Nothing
            }
            Err(Unanswered::Late | Unanswered::Closed) => SlotRead::Nothing,
        }
    }

    /// A file that cannot be trusted goes; one that was changed under the read is read again.
    fn troubled(&self, id: &FileId, seen: &Slot<M>, trouble: &Trouble) -> SlotRead<M> {
        if let Trouble::Io(error) = trouble {
            self.io.counters.disk_read_errors.add(1);
            if is_shortage(error) {
                return SlotRead::Nothing;
            }
        }
        let dropped = self.with_index(|index, _| {
            index.slot(id).is_some_and(|slot| slot.is_as(seen)) && index.remove(id)
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
            LoadedBody::Memory(bytes) => Done::copied(name, &bytes, &trailers, &self.memory_files),
            LoadedBody::File(sums) => {
                let place = Place::File(self.shared_body(id, length, sums, seen)?);
                Done::elsewhere(name, length, &trailers, place)
            }
        };
        Some(Entry::new(meta, Body::complete(done), id.sequence, &self.events))
    }

    /// One body for all entries of a file, so that its end shows in each of them.
    fn shared_body(
        &self,
        id: &FileId,
        length: u64,
        sums: Box<[u64]>,
        seen: &Slot<M>,
    ) -> Option<Arc<FileBody>> {
        let mut index = lock(&self.index);
        let slot = index.slot(id).filter(|slot| slot.is_as(seen))?;
        let body = slot.body.upgrade().unwrap_or_else(|| self.file_body(id, length, sums));
        slot.body = Arc::downgrade(&body);
        Some(body)
    }

    fn file_body(&self, id: &FileId, length: u64, sums: Box<[u64]>) -> Arc<FileBody> {
        let owner: Weak<dyn Owner> = self.me.clone();
        Arc::new(FileBody::new(*id, length, sums, Arc::clone(&self.io), owner))
    }

    /// Fills in the gauges of this tier.
    pub(crate) fn gauge(&self, stats: &mut Stats) {
        let index = lock(&self.index);
        stats.disk_entries = index.entries();
        stats.disk_bytes = index.bytes();
        stats.disk_evictions = index.evictions();
        stats.queued_bytes = self.queued.load(Ordering::Relaxed);
    }

    /// Waits until everything queued so far is on disk.
    pub(crate) async fn flush(&self) {
        self.io.flush().await;
        self.journal.flush().await;
    }

    /// Finishes what is queued, then ends the threads.
    pub(crate) fn close(&self) {
        self.io.close();
        self.journal.close(5 * self.io.patience);
    }
}

enum SlotRead<M> {
    Entry(Arc<Entry<M>>),
    Changed,
    Nothing,
}

impl<M: Meta> Owner for Disk<M> {
    fn drop_damaged(&self, id: &FileId, why: Damage) {
        if self.with_index(|index, _| index.remove(id)) {
            self.io.counters.damaged(why);
        }
    }

    fn drop_unreadable(&self, id: &FileId) {
        self.with_index(|index, _| index.remove(id));
    }
}

/// True if the system ran out of something, which says nothing about the file.
fn is_shortage(error: &std::io::Error) -> bool {
    use rustix::io::Errno;
    let shortages = [Errno::MFILE, Errno::NFILE, Errno::NOMEM, Errno::AGAIN, Errno::INTR];
    Errno::from_io_error(error).is_some_and(|errno| shortages.contains(&errno))
}

fn unlink(io: &Io, id: &FileId) {
    // A file that stays is garbage until the next start finds it: no more than lost room.
    if io.files.unlink(&io.path(id)).is_err() {
        io.counters.disk_write_failures.add(1);
    }
}
