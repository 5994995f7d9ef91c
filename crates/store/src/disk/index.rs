//! What the disk tier holds, kept in memory: the truth about which records and files count.
//!
//! A record or file that the index does not know is not part of the cache, whatever the disk says.
//! Whatever the writer has to do because of a change is queued together with the change, so that it
//! is done in the order in which the index changed.

use std::collections::VecDeque;
use std::sync::{Arc, Weak};

use hashbrown::HashMap;
use smallvec::SmallVec;

use super::file_body::FileBody;
use super::hot::Hot;
use super::io::FileId;
use super::recover::Kills;
use super::segment::{Kind, Listed, short};
use super::table::{Packed, Table};
use super::work::Item;
use crate::entry::Entry;
use crate::events::Ages;
use crate::key::KnownHash;

/// How many hot files go round once more before room is made at any price.
const CHANCES: u32 = 64;

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

/// Where a record is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) segment: u32,
    pub(crate) offset: u32,
    pub(crate) length: u32,
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
    queue: VecDeque<Item<M>>,
    /// Files that get their place while nobody knows them yet: numbers and short keys.
    announced: HashMap<u64, u64, KnownHash>,
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
            queue: VecDeque::new(),
            announced: HashMap::default(),
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
    fn taken(&self) -> u64 {
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

    /// `None` if it is known to be another key that looks alike.
    fn slot_of(&self, packed: &Packed, key: &[u8; 32]) -> Option<Slot<M>> {
        let &Packed { variant, sequence, segment, offset, length, .. } = packed;
        let beside = self.beside.get(&sequence);
        if segment == 0 && beside.is_none_or(|beside| beside.key != *key) {
            return None;
        }
        Some(Slot {
            variant,
            sequence,
            record: (segment > 0).then_some(Place { segment, offset, length }),
            held: beside.and_then(|beside| beside.held.clone()),
            version: beside.map_or(0, |beside| beside.version),
        })
    }

    /// What is known of an entry that is held or has a file.
    pub(crate) fn beside(&mut self, id: &FileId) -> Option<&mut Beside<M>> {
        self.beside.get_mut(&id.sequence).filter(|beside| beside.key == id.key)
    }

    /// Queues work for the writer.
    pub(crate) fn queue(&mut self, item: Item<M>) {
        self.queue.push_back(item);
    }

    pub(crate) fn has_work(&self) -> bool {
        !self.queue.is_empty()
    }

    /// The next work, of about so many bytes.
    pub(crate) fn take_work(&mut self, bytes: u64) -> Vec<Item<M>> {
        let (mut taken, mut batch) = (0, Vec::new());
        while taken < bytes
            && let Some(item) = self.queue.pop_front()
        {
            taken += item.weight();
            batch.push(item);
        }
        batch
    }

    /// Puts an entry in, in place of the same variant. False if there is no room even then.
    pub(crate) fn place(&mut self, id: &FileId, new: New<M>, hot: &Hot) -> bool {
        let key = short(&id.key);
        if let Some(kills) = &mut self.kills {
            kills.variant(key, id.variant, id.sequence);
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
        self.beside.insert(id.sequence, Beside { key: id.key, held, body, version: 0, file });
        let (variant, sequence) = (id.variant, id.sequence);
        self.insert(Packed { key, variant, sequence, segment: 0, offset: 0, length }, hot);
        self.tidy();
        true
    }

    /// Puts in what a segment was found to have. False if something newer is there, or it is gone.
    pub(crate) fn found(&mut self, segment: u32, one: &Listed, hot: &Hot) -> bool {
        let &Listed { key, variant, sequence, offset, length, .. } = one;
        if self.kills.as_ref().is_some_and(|kills| kills.killed(key, variant, sequence)) {
            return false;
        }
        let of_key = self.table.of_key(key);
        if let Some(other) = of_key.iter().find(|other| other.variant == variant) {
            if other.sequence >= sequence {
                return false;
            }
            self.drop_slot(other, Gone::ByItself);
        } else if of_key.len() >= self.variants_per_key {
            if of_key.iter().all(|other| other.sequence > sequence) {
                return false;
            }
            self.drop_beyond(key, self.variants_per_key - 1);
        }
        self.records += u64::from(length);
        self.insert(Packed { key, variant, sequence, segment, offset, length }, hot);
        true
    }

    /// Puts in a file that was there at the start; all records are known. One that is gone, or older
    /// than what is there, is removed.
    pub(crate) fn found_file(&mut self, id: &FileId, bytes: u64, removed: bool, hot: &Hot) {
        self.unproven -= bytes;
        let key = short(&id.key);
        let is_killed = |kills: &Kills| kills.killed(key, id.variant, id.sequence);
        let is_newer =
            |other: &Packed| other.variant == id.variant && other.sequence >= id.sequence;
        let killed = removed || self.kills.as_ref().is_some_and(is_killed);
        if killed || self.table.of_key(key).iter().any(is_newer) {
            return self.queue(Item::Unlink(*id));
        }
        if !self.place(id, New::File(Weak::new(), bytes), hot) {
            self.queue(Item::Unlink(*id));
        }
    }

    /// The record of an entry was written. False if it is not wanted any more.
    pub(crate) fn written(&mut self, id: &FileId, entry: &Arc<Entry<M>>, place: Place) -> bool {
        let holds = self.beside(id).is_some_and(|beside| beside.holds(entry));
        let Some(packed) = self.table.find_mut(short(&id.key), id.sequence).filter(|_| holds)
        else {
            return false;
        };
        (packed.segment, packed.offset) = (place.segment, place.offset);
        self.beside.remove(&id.sequence);
        self.tidy();
        true
    }

    /// A record was copied from one place to another. False if it had gone meanwhile.
    pub(crate) fn moved(&mut self, key: u64, sequence: u64, from: Place, to: Place) -> bool {
        let found = self.table.find_mut(key, sequence).filter(|packed| packed.is_at(from));
        found.is_some_and(|packed| {
            (packed.segment, packed.offset) = (to.segment, to.offset);
            true
        })
    }

    /// What becomes of a record whose segment goes: true if it is worth a copy. One that is not is
    /// forgotten.
    pub(crate) fn keeps(
        &mut self,
        key: u64,
        sequence: u64,
        at: Place,
        may_keep: bool,
        hot: &Hot,
    ) -> bool {
        let Some(packed) =
            self.table.find(key, sequence).filter(|packed| packed.is_at(at)).copied()
        else {
            return false;
        };
        if hot.take(key) && may_keep {
            return true;
        }
        self.drop_slot(&packed, Gone::ByItself);
        self.evictions += 1;
        false
    }

    /// Forgets all that is in a segment, wherever it is in there.
    pub(crate) fn forget_segment(&mut self, number: u32) {
        let inside: Vec<Packed> =
            self.table.iter().filter(|packed| packed.segment == number).copied().collect();
        for packed in inside {
            self.drop_slot(&packed, Gone::ByItself);
            self.evictions += 1;
        }
    }

    /// Sets room aside for a file under way. False if there is none.
    pub(crate) fn reserve(&mut self, bytes: u64, hot: &Hot) -> bool {
        let room = self.make_room(bytes, hot);
        if room {
            self.reserved += bytes;
        }
        room
    }

    pub(crate) fn release(&mut self, bytes: u64) {
        self.reserved = self.reserved.saturating_sub(bytes);
    }

    /// A file will get its name before it gets its slot: whoever removes its key has to tell the log.
    pub(crate) fn announce(&mut self, id: &FileId) {
        self.announced.insert(id.sequence, short(&id.key));
    }

    pub(crate) fn has_announced(&self) -> bool {
        !self.announced.is_empty()
    }

    pub(crate) fn withdraw(&mut self, sequence: u64) {
        self.announced.remove(&sequence);
    }

    /// A segment goes, after all before it: from now until it has gone the log is told of whatever is
    /// removed, also of what the index does not know any more.
    pub(crate) fn segment_goes(&mut self, number: u32) {
        self.going = self.going.max(Some(number));
    }

    /// The files of all segments up to this one have gone.
    pub(crate) fn segment_went(&mut self, number: u32) {
        self.going = self.going.filter(|last| *last > number);
    }

    pub(crate) fn has_going(&self) -> bool {
        self.going.is_some()
    }

    /// True if there may be records on disk that the index does not know.
    pub(crate) fn is_unsure(&self) -> bool {
        self.kills.is_some() || self.has_going()
    }

    /// A file takes the place of what is older. The log has to be told of records that are not known:
    /// they would come back when the file has gone.
    pub(crate) fn outdate(&mut self, id: &FileId) {
        if self.is_unsure() {
            self.tell(Kind::VariantGone, short(&id.key), id.variant, id.sequence);
        }
    }

    /// Forgets a record of which there may be a copy that nobody knows.
    pub(crate) fn remove_copied(&mut self, key: u64, sequence: u64) {
        if let Some(packed) = self.table.find(key, sequence).copied() {
            self.drop_slot(&packed, Gone::Removed);
        }
    }

    /// Forgets a variant. `number` is higher than any that was given out for it.
    pub(crate) fn remove_variant(&mut self, key: &[u8; 32], variant: u64, number: u64) {
        let short = short(key);
        let found = self.table.of_key(short).into_iter().find(|other| other.variant == variant);
        if let Some(packed) = found {
            self.drop_slot(&packed, Gone::Removed);
        }
        if let Some(kills) = &mut self.kills {
            kills.variant(short, variant, number);
        }
        if self.is_unsure() {
            self.tell(Kind::VariantGone, short, variant, number);
        }
    }

    /// Forgets one entry, whatever its variant.
    pub(crate) fn remove(&mut self, id: &FileId) -> bool {
        let Some(slot) = self.slot(id) else { return false };
        if let Some(packed) = self.table.find(short(&id.key), slot.sequence).copied() {
            self.drop_slot(&packed, Gone::Removed);
        }
        true
    }

    /// Forgets all variants of a key. `number` is higher than any that was given out for it.
    pub(crate) fn remove_key(&mut self, key: &[u8; 32], number: u64) -> Slots<M> {
        let slots = self.of_key(key);
        let short = short(key);
        let all = self.table.of_key(short);
        let mut tell = self.is_unsure() || self.announced.values().any(|other| *other == short);
        for packed in &all {
            tell |= !self.has_file(packed);
            self.drop_slot(packed, Gone::ByItself);
        }
        if let Some(kills) = &mut self.kills {
            kills.key(short, number);
        }
        if tell {
            self.tell(Kind::KeyGone, short, 0, number);
        }
        slots
    }

    /// Forgets everything, also what is not known yet. `number` is higher than all given out so far.
    pub(crate) fn clear(&mut self, number: u64) {
        for packed in self.table.drain().collect::<Vec<_>>() {
            self.let_go(&packed);
        }
        self.order.clear();
        if let Some(kills) = &mut self.kills {
            kills.all(number);
        }
        self.queue.push_back(Item::Clear(number));
    }

    fn insert(&mut self, packed: Packed, hot: &Hot) {
        self.ages.add(packed.sequence);
        self.table.insert(packed);
        hot.fit(self.table.len());
    }

    /// Takes a slot out.
    fn drop_slot(&mut self, packed: &Packed, gone: Gone) {
        if self.table.remove(packed.key, packed.sequence).is_none() {
            return;
        }
        let in_log = !self.has_file(packed);
        self.let_go(packed);
        if in_log && gone == Gone::Removed {
            self.tell(Kind::VariantGone, packed.key, packed.variant, packed.sequence + 1);
        }
    }

    /// Forgets what a slot had that is not in the table any more.
    fn let_go(&mut self, packed: &Packed) {
        let &Packed { variant, sequence, .. } = packed;
        self.ages.remove(sequence);
        let Some(beside) = self.beside.remove(&sequence) else {
            self.records -= u64::from(packed.length);
            return;
        };
        let Some(bytes) = beside.file else {
            self.records -= u64::from(packed.length);
            return;
        };
        self.files -= bytes;
        if let Some(body) = beside.body.upgrade() {
            body.set_gone();
        }
        self.queue.push_back(Item::Unlink(FileId { key: beside.key, variant, sequence }));
    }

    fn has_file(&self, packed: &Packed) -> bool {
        let &Packed { sequence, segment, .. } = packed;
        segment == 0 && self.beside.get(&sequence).is_some_and(|beside| beside.file.is_some())
    }

    fn tell(&mut self, kind: Kind, key: u64, variant: u64, below: u64) {
        let record = Listed { kind, key, variant, sequence: below, offset: 0, length: 0 };
        self.queue.push_back(Item::Gone(record));
    }

    /// Drops the oldest variants of a key beyond so many.
    fn drop_beyond(&mut self, key: u64, most: usize) {
        let mut all = self.table.of_key(key);
        if all.len() <= most {
            return;
        }
        all.sort_unstable_by_key(|packed| packed.sequence);
        let beyond = all.len() - most;
        all[..beyond].iter().for_each(|packed| self.drop_slot(packed, Gone::Removed));
    }

    /// The new size of a file whose tail was replaced.
    pub(crate) fn resize(&mut self, id: &FileId, size: u64) {
        let Some(file) = self.beside(id).and_then(|beside| beside.file.as_mut()) else { return };
        let before = std::mem::replace(file, size);
        self.files = self.files - before + size;
    }

    /// Sets room aside for a segment, if it is there.
    pub(crate) fn take_segment(&mut self, bytes: u64) -> bool {
        let room = self.taken() + bytes <= self.capacity;
        if room {
            self.segments += bytes;
        }
        room
    }

    /// True if the room for the next segment is not there. Without segments none is kept free.
    pub(crate) fn is_tight(&self) -> bool {
        self.segments > 0 && self.taken() + self.spare > self.capacity
    }

    /// No entry has a lower number.
    pub(crate) fn lowest(&self) -> Option<u64> {
        // What is not known yet may be as old as can be.
        if self.kills.is_some() { Some(0) } else { self.ages.oldest() }
    }

    /// What was stored first, if the oldest segment is that.
    pub(crate) fn oldest(&mut self, segment: Option<(u32, u64)>) -> Oldest {
        if self.kills.is_some() {
            return Oldest::Nothing;
        }
        while let Some((_, id)) = self.order.front()
            && !self.beside.contains_key(&id.sequence)
        {
            self.order.pop_front();
        }
        match (self.order.front(), segment) {
            (None, None) => Oldest::Nothing,
            (None, Some((number, _))) => Oldest::Segment(number),
            (Some((turn, _)), Some((number, born))) if born < *turn => Oldest::Segment(number),
            (Some(_), _) => Oldest::File,
        }
    }

    /// Forgets the file that was stored first, or gives it a new turn if it is hot. False if there
    /// is none.
    pub(crate) fn evict_file(&mut self, chances: &mut u32, hot: &Hot) -> bool {
        let Some((_, id)) = self.order.pop_front() else { return false };
        let Some(packed) = self.table.find(short(&id.key), id.sequence).copied() else {
            return true;
        };
        if *chances > 0 && hot.take(packed.key) {
            *chances -= 1;
            let turn = self.order.back().map_or(id.sequence, |(turn, _)| *turn);
            self.order.push_back((turn, id));
        } else {
            self.drop_slot(&packed, Gone::ByItself);
            self.evictions += 1;
        }
        true
    }

    /// Makes room for a file. What stands in segments goes too, but the writer needs time for that;
    /// until then files make room, and the room of the next segment is used.
    fn make_room(&mut self, bytes: u64, hot: &Hot) -> bool {
        if bytes == 0 {
            return true;
        }
        if self.reserved.saturating_add(bytes) > self.capacity {
            return false;
        }
        let mut chances = CHANCES;
        while self.taken() + bytes > self.capacity {
            if self.kills.is_some() || !self.evict_file(&mut chances, hot) {
                self.queue.push_back(Item::Trim);
                return false;
            }
        }
        if self.segments > 0 && self.taken() + bytes + self.spare > self.capacity {
            self.queue.push_back(Item::Trim);
        }
        true
    }

    /// Drops what is left behind of what is gone before it outnumbers the rest.
    fn tidy(&mut self) {
        if self.order.len() > 2 * self.beside.len() + 1024 {
            let order = std::mem::take(&mut self.order);
            let beside = &self.beside;
            self.order =
                order.into_iter().filter(|(_, id)| beside.contains_key(&id.sequence)).collect();
        }
        if self.beside.capacity() > 4 * self.beside.len() + 1024 {
            self.beside.shrink_to(2 * self.beside.len());
        }
    }

    /// Takes in what a snapshot says.
    pub(crate) fn load(&mut self, records: &[Packed], hot: &Hot) {
        for packed in records {
            self.records += u64::from(packed.length);
            self.insert(*packed, hot);
        }
    }

    /// All entries in segments.
    pub(crate) fn slots(&self) -> impl Iterator<Item = &Packed> {
        self.table.iter().filter(|packed| packed.segment > 0)
    }
}

impl<M> Beside<M> {
    pub(crate) fn holds(&self, entry: &Arc<Entry<M>>) -> bool {
        self.held.as_ref().is_some_and(|held| Arc::ptr_eq(held, entry))
    }
}

impl Packed {
    fn is_at(&self, place: Place) -> bool {
        (self.segment, self.offset) == (place.segment, place.offset)
    }
}
