//! Parts of one body in one file, which is the whole's once nothing is missing.
//!
//! All that is in the file is of one representation, as whoever begins a part vouches for, and the
//! newest metadata is that of all of it. What was there before a part was asked for was good then, or
//! the part does not get into the file: an event that has ended what is in the file ends the file, and
//! one that has ended a part that is on its way ends that part alone.

use std::ops::Range;
use std::sync::{Arc, Mutex, Weak};

use super::{Shard, Store};
use crate::body::{Body, Done, Place};
use crate::disk::{BLOCK, Disk, FileBody, PartFile, Spill, Written, lock};
use crate::entry::Entry;
use crate::fill::{self, Fill};
use crate::key::{Key, variant_id};
use crate::labels::Moment;
use crate::meta::Meta;
use crate::reason::{NotStored, Refused};
use crate::store::name_of;
use crate::stream::Stream;

/// Runs of bytes that a file may have, apart from each other.
const RUNS: usize = 1024;
/// Checksums that a file may have beyond two for each block.
const EXTENTS: u64 = 4096;

/// A file that fills write parts into, as long as one of them does.
pub(crate) struct Growing<M: Meta> {
    variant: u64,
    file: Arc<PartFile>,
    /// What the store has of it; changes under the lock of the key's shard.
    current: Mutex<Option<Arc<Entry<M>>>>,
}

/// Which bytes of a body a part has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PartOf {
    /// The bytes.
    pub range: Range<u64>,
    /// The length of the whole body.
    pub complete: u64,
}

impl<M: Meta> Growing<M> {
    /// A part was written that is not kept.
    pub(crate) fn left_behind(&self) {
        self.file.left_behind();
    }

    fn current(&self) -> Option<Arc<Entry<M>>> {
        lock(&self.current).clone()
    }

    fn set_current(&self, entry: &Arc<Entry<M>>) {
        *lock(&self.current) = Some(Arc::clone(entry));
    }

    /// True once the file is that of the whole.
    fn is_complete(&self) -> bool {
        self.current().is_some_and(|entry| !entry.meta().is_partial())
    }
}

impl<M: Meta> Shard<M> {
    fn growing(&self, key: &Key) -> impl Iterator<Item = Arc<Growing<M>>> {
        self.growing.get(key).into_iter().flatten().filter_map(Weak::upgrade)
    }

    /// A stored entry has new metadata.
    pub(super) fn changed(&self, key: &Key, fresh: &Arc<Entry<M>>) {
        let is_same = |entry: &Arc<Entry<M>>| entry.sequence() == fresh.sequence();
        let growing =
            self.growing(key).filter(|growing| growing.current().is_some_and(|e| is_same(&e)));
        growing.for_each(|growing| growing.set_current(fresh));
    }

    /// Forgets files that nobody writes into any more.
    pub(super) fn tidy(&mut self, key: &Key) {
        let Some(growing) = self.growing.get_mut(key) else { return };
        growing.retain(|growing| growing.strong_count() > 0);
        if growing.is_empty() {
            self.growing.remove(key);
        }
    }
}

impl<M: Meta> Store<M> {
    /// True if parts of a body of this length can be stored together, by [`Store::begin_part`].
    pub fn keeps_parts_of(&self, complete: u64) -> bool {
        self.0.disk.as_ref().is_some_and(|disk| disk.keeps_parts_of(complete))
    }

    /// Starts to store a part of a body, in one file with the others that have the same key and
    /// variant: `base`, if a look-up has found some. The metadata is [partial](Meta::is_partial); the newest is
    /// that of all of them. The entry of the fill has the part alone; look-ups find one entry that has
    /// the bytes of all parts at their own offsets. When none is missing any more, that becomes what
    /// [`Meta::completed`] makes of it.
    ///
    /// Who calls it vouches that the part and `base` are of one representation, and so are all that
    /// have this variant.
    pub fn begin_part(
        &self,
        key: Key,
        meta: M,
        part: &PartOf,
        base: Option<&Arc<Entry<M>>>,
    ) -> Result<Fill<M>, Refused> {
        let PartOf { range, complete } = part;
        let disk = self.0.disk.as_ref().ok_or(Refused::NoRoom)?;
        if range.end > *complete || range.is_empty() || *complete > disk.largest {
            return Err(Refused::TooLarge);
        }
        if disk.takes_nothing() {
            self.0.counters.resting_skips.add(1);
            return Err(Refused::DiskResting);
        }
        let passage = self.0.flight.passage().ok_or(Refused::NoRoom)?;
        let length = range.end - range.start;
        let weight = fill::WEIGHT + (meta.weight() + 2 * key.as_bytes().len()) as u64;
        let stream = Arc::new(Stream::new(Some(length), Arc::clone(&self.0.flight), weight));
        let entry = Entry::new(meta, Body::under_way(Arc::clone(&stream)), 0, &self.0.events);
        let growing = {
            let mut shard = self.shard(&key);
            let growing = self.grows_into(&mut shard, disk, &key, &entry, *complete, base);
            if is_too_scattered(&growing.file, range) {
                return Err(Refused::TooScattered);
            }
            shard.fills.entry(key.clone()).or_default().push(Arc::clone(&stream));
            growing
        };
        let spill = Some(Spill::part(disk, Arc::clone(&growing.file), range.start, passage));
        Ok(Fill::new(self.clone(), key, entry, stream, spill, Some(growing)))
    }

    /// The file of which a new entry is a part: one that others write into, the one that is stored, or
    /// a new one.
    fn grows_into(
        &self,
        shard: &mut Shard<M>,
        disk: &Disk<M>,
        key: &Key,
        entry: &Entry<M>,
        complete: u64,
        base: Option<&Arc<Entry<M>>>,
    ) -> Arc<Growing<M>> {
        let variant = entry.variant();
        let may_join = |growing: &Arc<Growing<M>>| {
            let is_ended = growing.current().is_some_and(|entry| self.is_ended(key, &entry));
            let is_same = growing.variant == variant && growing.file.length == complete;
            is_same && !is_ended && !growing.is_complete() && !growing.file.is_lost()
        };
        if let Some(growing) = shard.growing(key).find(may_join) {
            return growing;
        }
        // What the caller has found may have been all that there was, when it looked.
        let stored = base.cloned().into_iter().chain(self.in_memory(key)).find_map(|base| {
            let is_same = base.variant() == variant && !self.is_ended(key, &base);
            let file = match base.body().done().filter(|_| is_same)?.place() {
                Place::File(file) if file.length == complete && !file.is_gone() => Arc::clone(file),
                _ => return None,
            };
            Some((base, file))
        });
        let (current, file) = stored.unzip();
        let file = PartFile::new(&disk.io, complete, file);
        let growing = Arc::new(Growing { variant, file, current: Mutex::new(current) });
        shard.growing.entry(key.clone()).or_default().push(Arc::downgrade(&growing));
        growing
    }

    /// May what has arrived be stored?
    pub(crate) fn may_publish(
        &self,
        key: &Key,
        entry: &Entry<M>,
        stream: &Stream,
    ) -> Result<(), NotStored> {
        let is_gone =
            stream.is_removed() || self.is_ended(key, entry) || self.is_outlived(key, entry);
        if is_gone { Err(NotStored::Removed) } else { Ok(()) }
    }

    /// Makes known what a file has got. Returns the file, and where in it the part begins.
    pub(crate) fn publish_part(
        &self,
        key: &Key,
        entry: &Arc<Entry<M>>,
        stream: &Stream,
        growing: &Growing<M>,
        spill: &mut Spill<M>,
        written: Written<M>,
    ) -> Result<(Arc<FileBody>, u64), NotStored> {
        let mut shard = self.shard(key);
        let (disk, start) = self
            .0
            .disk
            .as_ref()
            .zip(spill.part_of().map(|(_, start)| start))
            .ok_or(NotStored::DiskFailed)?;
        self.may_publish(key, entry, stream)?;
        let current = growing.current();
        if current.as_ref().is_some_and(|current| self.is_ended(key, current)) {
            return Err(NotStored::Removed);
        }
        let is_new = written.named.is_some();
        if let Some(published) = written.named {
            let file = Arc::clone(&published.file);
            if !spill.adopt(published) {
                return Err(NotStored::NoRoom);
            }
            growing.file.placed(&file);
        }
        // It may have been removed, or had to make room.
        let file = growing.file.body().filter(|file| !file.is_gone()).ok_or(NotStored::Removed)?;
        if growing.is_complete() {
            return Ok((file, start));
        }
        let presence = file.grow(&written.extents);
        shard.reads.remove(key);
        let newest = current.filter(|current| current.began() > entry.began());
        let newest = newest.as_ref().unwrap_or(entry);
        let stored = match copy(newest.meta()) {
            Some(meta) if presence.is_whole(file.length) => {
                self.complete(disk, key, growing, spill, &file, (newest.began(), meta))?
            }
            Some(meta) => self.enlarge(disk, key, spill, &file, meta, is_new)?,
            None => return Err(NotStored::DiskFailed),
        };
        growing.set_current(&stored);
        let file = growing.file.body().unwrap_or(file);
        Ok((file, start))
    }

    /// A file has got more.
    fn enlarge(
        &self,
        disk: &Disk<M>,
        key: &Key,
        spill: &mut Spill<M>,
        file: &Arc<FileBody>,
        meta: M,
        is_new: bool,
    ) -> Result<Arc<Entry<M>>, NotStored> {
        let id = file.id.key;
        let fresh = self.of_file(key, meta, file);
        // A new file has its end already.
        if !is_new && !disk.grow(key, &fresh, file, spill.take_reserved()) {
            return Err(NotStored::Removed);
        }
        self.put(key, id, &fresh);
        Ok(fresh)
    }

    /// A file has all.
    fn complete(
        &self,
        disk: &Disk<M>,
        key: &Key,
        growing: &Growing<M>,
        spill: &mut Spill<M>,
        file: &Arc<FileBody>,
        (began, meta): (Moment, M),
    ) -> Result<Arc<Entry<M>>, NotStored> {
        let whole = meta.completed();
        let variant = whole.as_ref().map(|whole| variant_id(whole.variant()));
        // Whatever of the whole has come since is newer than this, or it may be.
        let is_newest = variant.filter(|variant| !disk.has_since(&file.id.key, *variant, began.0));
        let (Some(whole), Some(variant), Some(handle)) = (whole, is_newest, growing.file.open())
        else {
            return self.enlarge(disk, key, spill, file, meta, false);
        };
        let to = disk.next_id(file.id.key, variant);
        let to = disk.file_body(&to, file.length, (*file.presence()).clone());
        to.lend(Arc::clone(&handle));
        let fresh = self.of_file(key, whole, &to);
        if !disk.complete(key, file, &fresh, &to, handle, spill.take_reserved()) {
            return Err(NotStored::Removed);
        }
        growing.file.placed(&to);
        self.put(key, to.id.key, &fresh);
        Ok(fresh)
    }

    fn of_file(&self, key: &Key, meta: M, file: &Arc<FileBody>) -> Arc<Entry<M>> {
        let name = name_of(key, &file.id.key);
        let done = Done::elsewhere(name, file.length, &[], Place::File(Arc::clone(file)));
        Entry::new(meta, Body::complete(done), file.id.sequence, &self.0.events)
    }
}

/// Metadata once more, as the disk would have it.
fn copy<M: Meta>(meta: &M) -> Option<M> {
    let mut bytes = Vec::new();
    meta.encode(&mut bytes);
    M::decode(&bytes)
}

/// True if a file has so many places already that this range may not add another.
fn is_too_scattered(file: &PartFile, range: &Range<u64>) -> bool {
    let presence = file.presence();
    let blocks = file.length / BLOCK;
    if presence.len() as u64 > 2 * blocks + EXTENTS {
        return true;
    }
    let runs = presence.runs(file.length);
    let touches = |run: &Range<u64>| run.start <= range.end && range.start <= run.end;
    runs.len() >= RUNS && !runs.iter().any(touches)
}
