//! The store: two tiers, the fills under way, and what keeps them agreeing.
//!
//! Each key belongs to one shard. Whatever changes what a key holds does so under the shard's lock,
//! in both tiers at once; nothing waits while it has the lock. Lock order: shard, then the disk's
//! index or the memory tier.

mod ending;
mod freeze;
mod look_up;
mod parts;
mod publish;

use std::collections::HashMap;
use std::fs::File;
use std::sync::{Arc, Mutex, MutexGuard, Weak};

use look_up::Found;
pub(crate) use parts::Growing;
pub use parts::PartOf;
use tokio::sync::OnceCell;

use crate::body::{Body, Name, Place};
use crate::disk::{Disk, Files, Held, Hot, lock};
use crate::doorkeeper::Doorkeeper;
use crate::entry::{Entries, Entry};
use crate::events::{Events, Table};
use crate::fill::{self, Fill};
use crate::kept::Kept;
use crate::key::{Key, KnownHash};
use crate::lent::Lent;
use crate::memory::{EXPECTED, Memory};
use crate::memory_file::MemoryFiles;
use crate::meta::Meta;
use crate::options::Options;
use crate::reason::{OpenError, Refused};
use crate::stats::{Cleared, Counters, Stats};
use crate::stream::{InFlight, Stream};

/// Locks that keys share.
const SHARDS: usize = 64;
/// Where responses live. Clones are the same store.
pub struct Store<M: Meta>(Arc<Inner<M>>);

struct Inner<M: Meta> {
    memory: Memory<M>,
    disk: Option<Arc<Disk<M>>>,
    /// Who was read from disk lately.
    known: Doorkeeper,
    events: Arc<Events>,
    shards: Box<[Mutex<Shard<M>>]>,
    flight: Arc<InFlight>,
    memory_files: Arc<MemoryFiles>,
    counters: Arc<Counters>,
    lent: Arc<Lent>,
    largest_in_memory: u64,
    variants_per_key: usize,
    /// Held as long as the store is open.
    _lock: Option<Arc<Held>>,
}

struct Shard<M: Meta> {
    fills: HashMap<Key, Vec<Arc<Stream>>, KnownHash>,
    /// Files that fills write parts into.
    growing: HashMap<Key, Vec<Weak<Growing<M>>>, KnownHash>,
    /// Reads from disk that look-ups of the same key share.
    reads: HashMap<Key, Arc<OnceCell<Found<M>>>, KnownHash>,
}

impl<M: Meta> Store<M> {
    /// Opens a store; creates its directory if need be and takes it for this process.
    #[expect(clippy::needless_pass_by_value, reason = "the caller is done with them")]
    pub fn open(options: Options) -> Result<Self, OpenError> {
        Self::open_as(&options, Files::default(), None)
    }

    /// The same with the lock of the directory, which another process [has](Store::lock) given away.
    #[expect(clippy::needless_pass_by_value, reason = "the caller is done with them")]
    pub fn open_held(options: Options, lock: Option<File>) -> Result<Self, OpenError> {
        Self::open_as(&options, Files::default(), lock)
    }

    #[cfg(test)]
    pub(crate) fn open_with(options: &Options, files: Files) -> Result<Self, OpenError> {
        Self::open_as(options, files, None)
    }

    fn open_as(options: &Options, files: Files, lock: Option<File>) -> Result<Self, OpenError> {
        let counters = Arc::new(Counters::default());
        let flight = Arc::new(InFlight::new(options.in_flight()));
        let memory_files = MemoryFiles::new(files.clone());
        let kept = Arc::new(Kept::new(options.kept(), Arc::clone(&memory_files)));
        let lent =
            Arc::new(Lent::new(options.lent(), options.memory_tier(), options.largest_in_memory()));
        let opened = match &options.disk {
            Some(disk) => {
                let counters = Arc::clone(&counters);
                let (memory, with) = ((&kept, &lent), (counters, lock));
                Some(Disk::open(options, disk, files, &memory_files, memory, with)?)
            }
            None => None,
        };
        let (disk, held) = opened.unzip();
        let events = disk.as_ref().map(|disk: &Arc<Disk<M>>| Arc::clone(&disk.events));
        let largest_in_memory = options.largest_in_memory();
        Ok(Self(Arc::new(Inner {
            memory: Memory::new(
                options.memory_tier(),
                largest_in_memory,
                Arc::clone(&counters),
                kept,
                Arc::clone(&lent),
            ),
            disk,
            known: Doorkeeper::new(options.memory_tier() / EXPECTED),
            events: events.unwrap_or_else(|| Arc::new(Events::after(Table::new(), 1))),
            shards: (0..SHARDS).map(|_| Mutex::new(Shard::new())).collect(),
            flight,
            memory_files,
            counters,
            lent,
            largest_in_memory,
            variants_per_key: options.variants_per_key.max(1),
            _lock: held,
        })))
    }

    fn in_memory(&self, key: &Key) -> Entries<M> {
        self.0.memory.get_owned(key).map(|v| v.iter().cloned().collect()).unwrap_or_default()
    }

    /// Starts to store a body of `length` bytes, if that is known. A refusal says why; the request
    /// goes on without the store, and what is stored already stays.
    pub fn begin(&self, key: Key, meta: M, length: Option<u64>) -> Result<Fill<M>, Refused> {
        let least = length.unwrap_or(0);
        let in_memory = self.0.lent.may_go_to_memory(least) && self.0.flight.has_room(least);
        let spill = if in_memory { None } else { Some(self.spill(length, 0)?) };
        let weight = fill::WEIGHT + (meta.weight() + 2 * key.as_bytes().len()) as u64;
        let stream = Arc::new(Stream::new(length, Arc::clone(&self.0.flight), weight));
        self.shard(&key).fills.entry(key.clone()).or_default().push(Arc::clone(&stream));
        let entry = Entry::new(meta, Body::under_way(Arc::clone(&stream)), 0, &self.0.events);
        Ok(Fill::new(self.clone(), key, entry, stream, spill, None))
    }

    /// New metadata for a stored body. `None` if the entry is not, or no longer, what is stored.
    pub fn replace_meta(&self, key: &Key, entry: &Arc<Entry<M>>, meta: M) -> Option<Arc<Entry<M>>> {
        let mut shard = self.shard(key);
        let id = self.id(key);
        let place = entry.body().done()?.place();
        let disk = self.0.disk.as_ref();
        let stored = self.in_memory(key).iter().any(|e| Arc::ptr_eq(e, entry))
            || disk.is_some_and(|disk| disk.has(id, entry));
        if !stored || entry.is_gone() || self.is_ended(key, entry) {
            return None;
        }
        if entry.is_left_on_disk() && disk.is_some_and(|disk| disk.takes_nothing()) {
            // Nowhere would it have its body.
            return None;
        }
        shard.reads.remove(key);
        let body = entry.body().share(&self.0.lent)?;
        let fresh = Entry::new(meta, body, entry.sequence(), &self.0.events);
        let on_disk = match (disk, place) {
            (Some(disk), Place::File(file)) if fresh.variant() == entry.variant() => {
                disk.change_meta(key, &fresh, file)
            }
            (Some(disk), Place::Memory | Place::MemoryFile(_) | Place::Record(_)) => {
                let same = fresh.variant() == entry.variant();
                if !same {
                    disk.remove_variant(&id, entry.variant());
                }
                disk.store(key, id, &fresh, same.then(|| entry.sequence())).is_ok()
            }
            (None, Place::Memory | Place::MemoryFile(_) | Place::Record(_)) => false,
            // The name of a file has the variant: this one keeps its old metadata.
            (_, Place::File(_) | Place::Part(..) | Place::Nowhere) => return None,
        };
        shard.changed(key, &fresh);
        let in_memory = self.put(key, id, &fresh);
        (on_disk || in_memory).then_some(fresh)
    }

    /// Forgets one entry, if it is still what is stored; says whether it was.
    pub fn remove_entry(&self, key: &Key, entry: &Arc<Entry<M>>) -> bool {
        let mut shard = self.shard(key);
        let id = self.id(key);
        let disk = self.0.disk.as_ref();
        let in_memory = self.in_memory(key);
        let is_same = |other: &Arc<Entry<M>>| other.body().is(entry.body());
        let on_disk = disk.is_some_and(|disk| disk.has(id, entry));
        if !on_disk && !in_memory.iter().any(is_same) {
            return false;
        }
        shard.reads.remove(key);
        if let Some(disk) = disk {
            disk.remove_variant(&id, entry.variant());
        }
        self.install(key, id, in_memory.into_iter().filter(|other| !is_same(other)).collect());
        true
    }

    /// Forgets all variants of a key, also those on their way; returns how many were stored. That no
    /// crash of the process brings them back, [`Store::recorded`] waits for.
    pub fn remove(&self, key: &Key) -> usize {
        let mut shard = self.shard(key);
        shard.reads.remove(key);
        let fills = shard.fills.get(key);
        fills.into_iter().flatten().for_each(|stream| stream.set_removed());
        let mut variants: Vec<u64> = self.in_memory(key).iter().map(|e| e.variant()).collect();
        self.0.memory.remove(key);
        if let Some(disk) = &self.0.disk {
            let id = key.id();
            let (slots, counts) = disk.remove_key(&id);
            if fills.is_some() || counts {
                disk.record_removal(&id);
            }
            variants.extend(slots.iter().map(|slot| slot.variant));
        }
        variants.sort_unstable();
        variants.dedup();
        variants.len()
    }

    /// Forgets everything, also what is on its way. The files go in the background:
    /// [`Store::flush`] waits until they are gone.
    pub fn clear(&self) -> Cleared {
        let mut shards: Vec<MutexGuard<'_, Shard<M>>> = self.0.shards.iter().map(lock).collect();
        for shard in &mut shards {
            shard.reads.clear();
            shard.fills.values().flatten().for_each(|stream| stream.set_removed());
        }
        let mut cleared = Cleared { entries: 0, bytes: self.0.memory.weights() };
        let disk = self.0.disk.as_deref();
        let only_here = std::cell::Cell::new(0);
        self.0.memory.clear(|variants| {
            let id = disk.map(|_| Key::new(variants.key()).id());
            let on_disk = |e: &Entry<M>| disk.zip(id).is_some_and(|(disk, id)| disk.has(id, e));
            let count = variants.iter().filter(|entry| !on_disk(entry)).count() as u64;
            only_here.set(only_here.get() + count);
        });
        let (entries, bytes) = disk.map(Disk::clear).unwrap_or_default();
        // Nothing is left for earlier events to end; what is being fetched must not come back.
        self.0.events.add_all();
        if let Some(disk) = disk {
            disk.journal.rewrite();
        }
        cleared.entries += only_here.get() + entries;
        cleared.bytes += bytes;
        cleared
    }

    /// Gives memory to pieces of large bodies on disk that are read again and again, or takes it
    /// back. Ask for it once a second; nothing of them is in memory otherwise.
    pub fn divide_memory(&self) {
        self.0.memory.divide();
    }

    /// Gauges and counters.
    pub fn stats(&self) -> Stats {
        let mut stats = self.0.counters.read();
        stats.memory_entries = self.0.memory.keys();
        stats.memory_bytes = self.0.memory.bytes();
        stats.kept_bytes = self.0.memory.kept_bytes();
        stats.lent_bytes = self.0.lent.bytes();
        stats.in_flight_bytes = self.0.flight.bytes();
        stats.events = self.0.events.len();
        if let Some(disk) = &self.0.disk {
            disk.gauge(&mut stats);
        }
        stats
    }

    #[cfg(test)]
    pub(crate) fn waiting(&self) -> (usize, usize) {
        self.0.disk.as_ref().map_or((0, 0), |disk| disk.waiting())
    }

    /// Waits until all queued work on disk is done.
    pub async fn flush(&self) {
        if let Some(disk) = &self.0.disk {
            disk.flush().await;
        }
    }

    /// Waits until all queued work on disk is done, and leaves behind what the next start has to know:
    /// for a clean stop. The last owner that is dropped does so too.
    pub async fn settle(&self) {
        if let Some(disk) = &self.0.disk {
            disk.flush().await;
            disk.leave_snapshot().await;
        }
    }
}

/// What fills use.
impl<M: Meta> Store<M> {
    pub(crate) fn memory_files(&self) -> &Arc<MemoryFiles> {
        &self.0.memory_files
    }

    pub(crate) fn lent(&self) -> &Lent {
        &self.0.lent
    }

    pub(crate) fn counters(&self) -> &Counters {
        &self.0.counters
    }

    /// The key id, which only the disk needs.
    pub(crate) fn id(&self, key: &Key) -> [u8; 32] {
        if self.0.disk.is_some() { key.id() } else { [0; 32] }
    }

    fn shard(&self, key: &Key) -> MutexGuard<'_, Shard<M>> {
        // Other bits than those that choose a place in a hash table.
        lock(&self.0.shards[(key.hash() >> 48) as usize % SHARDS])
    }
}

/// What a body is told of its key.
pub(crate) fn name_of<'k>(key: &'k Key, id: &[u8; 32]) -> Name<'k> {
    Name { key: key.as_bytes(), mark: Hot::mark_of(id) }
}

impl<M: Meta> Shard<M> {
    fn new() -> Self {
        Self { fills: HashMap::default(), growing: HashMap::default(), reads: HashMap::default() }
    }
}

impl<M: Meta> Clone for Store<M> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<M: Meta> Drop for Inner<M> {
    fn drop(&mut self) {
        if let Some(disk) = &self.disk {
            disk.close();
        }
    }
}
