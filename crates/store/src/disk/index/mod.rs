//! What the disk tier holds, kept in memory: the truth about which records and files count.
//!
//! A record or file that the index does not know is not part of the cache, whatever the disk says.
//! Whatever the writer has to do because of a change is queued together with the change, so that it
//! is done in the order in which the index changed.

mod found;
mod names;
mod queue;
mod removals;
mod room;

use std::collections::VecDeque;
use std::sync::{Arc, Weak};

use hashbrown::HashMap;
use names::Names;
#[cfg(test)]
pub(crate) use queue::MOST;
use queue::Queue;
use smallvec::SmallVec;

use super::file_body::FileBody;
use super::hot::Hot;
use super::io::FileId;
use super::place::Place;
use super::recover::Kills;
use super::segment::short;
use super::table::{Packed, Table};
use super::work::Item;
use crate::entry::Entry;
use crate::events::Ages;
use crate::key::{Key, KnownHash};

/// The slots of one key, oldest first.
pub(crate) type Slots<M> = SmallVec<[Slot<M>; 1]>;

/// One stored entry, as it was when somebody looked.
pub(crate) struct Slot<M> {
    pub(crate) variant: u64,
    pub(crate) sequence: u64,
    /// Where its record is, unless it has a file of its own.
    pub(crate) record: Option<Place>,
    /// While set, the entry itself answers: it is still to be written, or being changed.
    pub(crate) held: Option<Arc<Entry<M>>>,
    /// Rises before every change of a file, so that a read that met one can tell.
    version: u32,
}

impl<M> Slot<M> {
    /// True if what the slot holds is still what it was when `seen` was copied from it.
    pub(crate) fn is_as(&self, seen: &Self) -> bool {
        (self.sequence, self.version) == (seen.sequence, seen.version)
    }

    /// True if it has not been moved either.
    pub(crate) fn is_where(&self, seen: &Self) -> bool {
        self.is_as(seen) && self.record == seen.record
    }
}

impl<M> Clone for Slot<M> {
    fn clone(&self) -> Self {
        Self { held: self.held.clone(), ..*self }
    }
}

/// What is known of an entry that is held, or has a file of its own.
pub(crate) struct Beside<M> {
    key: [u8; 32],
    pub(crate) held: Option<Arc<Entry<M>>>,
    /// The large body that entries in memory read from the file.
    pub(crate) body: Weak<FileBody>,
    pub(crate) version: u32,
    /// Its new tail waits for the writer.
    pub(crate) tail: bool,
    /// Bytes of the file; `None` if it goes into a segment.
    pub(crate) file: Option<u64>,
}

/// What a new entry is.
pub(crate) enum New<M> {
    /// To be written into a segment: so many bytes.
    Record(Arc<Entry<M>>, u32),
    /// In memory, to be written to a file of its own.
    Large(Arc<Entry<M>>, u64),
    /// In its file.
    File(Weak<FileBody>, u64),
}

/// What became of new metadata for a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Tail {
    Queued,
    /// The one that was queued before will write it.
    Joined,
    /// There is no such file, or no more.
    Gone,
}

/// Why a slot goes, as far as the disk has to be told.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Gone {
    /// A record with a higher number comes after it, or its segment goes.
    ByItself,
    /// The log has to say so.
    Removed,
}

/// What would have to go to make room.
pub(crate) enum Oldest {
    File,
    Segment(u32),
    Nothing,
}

/// What the disk tier holds.
pub(crate) struct Index<M> {
    table: Table,
    /// The numbers of all entries.
    ages: Ages,
    /// By sequence number.
    beside: HashMap<u64, Beside<M>, KnownHash>,
    /// Every file once with its turn, and leftovers of files that are gone.
    order: VecDeque<(u64, FileId)>,
    /// What the writer has to do.
    queue: Queue<M>,
    /// Files that get their place while nobody knows them yet.
    announced: Names,
    /// Files that nobody knows any more, until they are gone.
    leaving: Names,
    /// There may be files that are not even leaving.
    strays: bool,
    /// As long as not all records are known: what those that are found must not bring back.
    pub(crate) kills: Option<Kills>,
    /// The index has forgotten segments up to this one, and their files may be there yet.
    going: Option<u32>,
    /// Bytes of live records, of files, and of files whose turn to be looked at has not come.
    records: u64,
    files: u64,
    pub(crate) unproven: u64,
    reserved: u64,
    /// Bytes of segments.
    pub(crate) segments: u64,
    capacity: u64,
    /// Room that is kept free for the next segment.
    spare: u64,
    variants_per_key: usize,
    pub(crate) evictions: u64,
}

impl<M> Index<M> {
    pub(crate) fn new(capacity: u64, spare: u64, variants_per_key: usize) -> Self {
        Self {
            table: Table::new(),
            ages: Ages::default(),
            beside: HashMap::default(),
            order: VecDeque::new(),
            queue: Queue::new(),
            announced: Names::default(),
            leaving: Names::default(),
            strays: false,
            kills: None,
            going: None,
            records: 0,
            files: 0,
            unproven: 0,
            reserved: 0,
            segments: 0,
            capacity,
            spare,
            variants_per_key: variants_per_key.max(1),
            evictions: 0,
        }
    }

    pub(crate) fn entries(&self) -> u64 {
        self.table.len()
    }

    /// Bytes of what is stored, and of files under way.
    pub(crate) fn bytes(&self) -> u64 {
        self.records + self.files + self.unproven + self.reserved
    }

    /// Bytes of the disk that are taken.
    pub(crate) fn taken(&self) -> u64 {
        self.segments + self.files + self.unproven + self.reserved
    }

    /// Bytes of memory that the index takes, without what waits for the writer.
    pub(crate) fn memory(&self) -> u64 {
        let order = self.order.capacity() * size_of::<(u64, FileId)>();
        self.table.bytes() + self.ages.bytes() + (self.beside.allocation_size() + order) as u64
    }

    pub(crate) fn of_key(&self, key: &[u8; 32]) -> Slots<M> {
        let found = self.table.of_key(short(key));
        let mut slots: Slots<M> =
            found.iter().filter_map(|packed| self.slot_of(packed, key)).collect();
        slots.sort_unstable_by_key(|slot| slot.sequence);
        slots
    }

    pub(crate) fn slot(&self, id: &FileId) -> Option<Slot<M>> {
        self.slot_of(self.table.find(short(&id.key), id.sequence)?, &id.key)
    }

    /// Where the record with this number is, if it is of the same variant and written.
    pub(crate) fn place_of(&self, id: &FileId, sequence: u64) -> Option<Place> {
        let slot = self.slot(&FileId { sequence, ..*id })?;
        slot.record.filter(|_| slot.variant == id.variant)
    }

    /// `None` if it is known to be another key that looks alike.
    fn slot_of(&self, packed: &Packed, key: &[u8; 32]) -> Option<Slot<M>> {
        let &Packed { variant, sequence, segment, .. } = packed;
        let beside = self.beside.get(&sequence);
        if segment == 0 && beside.is_none_or(|beside| beside.key != *key) {
            return None;
        }
        Some(Slot {
            variant,
            sequence,
            record: (segment > 0).then(|| packed.place()),
            held: beside.and_then(|beside| beside.held.clone()),
            version: beside.map_or(0, |beside| beside.version),
        })
    }

    /// What is known of an entry that is held or has a file.
    pub(crate) fn beside(&mut self, id: &FileId) -> Option<&mut Beside<M>> {
        self.beside.get_mut(&id.sequence).filter(|beside| beside.key == id.key)
    }

    /// Puts an entry in, in place of the same variant. False if there is no room even then.
    pub(crate) fn place(&mut self, id: &FileId, new: New<M>, hot: &Hot) -> bool {
        let key = short(&id.key);
        if let Some(kills) = &mut self.kills {
            kills.variant(key, id.variant, id.sequence);
            kills.changed(id.sequence);
        }
        let same = self.table.of_key(key).into_iter().find(|other| other.variant == id.variant);
        if let Some(old) = same {
            let followed = matches!(new, New::Record(..));
            self.drop_slot(&old, if followed { Gone::ByItself } else { Gone::Removed });
        }
        self.drop_beyond(key, self.variants_per_key - 1);
        let (held, body, length, file) = match new {
            New::Record(entry, length) => (Some(entry), Weak::new(), length, None),
            New::Large(entry, bytes) => (Some(entry), Weak::new(), 0, Some(bytes)),
            New::File(body, bytes) => (None, body, 0, Some(bytes)),
        };
        if !self.make_room(file.unwrap_or(0), hot) {
            return false;
        }
        self.records += u64::from(length);
        self.files += file.unwrap_or(0);
        if file.is_some() {
            self.order.push_back((id.sequence, *id));
        }
        let beside = Beside { key: id.key, held, body, version: 0, tail: false, file };
        self.beside.insert(id.sequence, beside);
        let (variant, sequence) = (id.variant, id.sequence);
        self.insert(Packed { key, variant, sequence, segment: 0, offset: 0, length }, hot);
        self.tidy();
        true
    }

    /// The record of an entry was written. False if it is not wanted any more.
    pub(crate) fn written(&mut self, id: &FileId, entry: &Arc<Entry<M>>, place: Place) -> bool {
        let holds = self.beside(id).is_some_and(|beside| beside.holds(entry));
        let Some(packed) = self.table.find_mut(short(&id.key), id.sequence).filter(|_| holds)
        else {
            return false;
        };
        self.records -= packed.bytes();
        packed.put(place);
        self.records += packed.bytes();
        self.beside.remove(&id.sequence);
        self.tidy();
        true
    }

    /// Holds an entry with new metadata for its file until the writer has written it.
    pub(crate) fn change_tail(
        &mut self,
        key: &Key,
        entry: &Arc<Entry<M>>,
        file: &Arc<FileBody>,
        size: u64,
        has_room: bool,
    ) -> Tail {
        let Some(beside) = self.beside(&file.id) else { return Tail::Gone };
        let joins = beside.tail;
        if !joins && !has_room {
            self.remove(&file.id);
            return Tail::Gone;
        }
        beside.held = Some(Arc::clone(entry));
        beside.version += 1;
        beside.tail = true;
        if joins {
            return Tail::Joined;
        }
        self.queue(Item::Tail(key.clone(), Arc::clone(file), size));
        Tail::Queued
    }

    /// What a queued tail has to say now.
    pub(crate) fn take_tail(&mut self, id: &FileId) -> Option<Arc<Entry<M>>> {
        let beside = self.beside(id).filter(|beside| beside.tail)?;
        beside.tail = false;
        beside.held.clone()
    }

    /// A record was copied from one place to another. False if it had gone meanwhile.
    pub(crate) fn moved(&mut self, key: u64, sequence: u64, from: Place, to: Place) -> bool {
        let found = self.table.find_mut(key, sequence).filter(|packed| packed.is_at(from));
        let Some(packed) = found else { return false };
        self.records -= packed.bytes();
        packed.put(to);
        self.records += packed.bytes();
        true
    }

    fn insert(&mut self, packed: Packed, hot: &Hot) {
        self.ages.add(packed.sequence);
        self.table.insert(packed);
        hot.fit(self.table.len());
    }

    /// No entry has a lower number.
    pub(crate) fn lowest(&self) -> Option<u64> {
        // What is not known yet may be as old as can be.
        if self.kills.is_some() { Some(0) } else { self.ages.oldest() }
    }
}

impl<M> Beside<M> {
    pub(crate) fn holds(&self, entry: &Arc<Entry<M>>) -> bool {
        self.held.as_ref().is_some_and(|held| Arc::ptr_eq(held, entry))
    }
}
