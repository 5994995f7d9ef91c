//! What the writer's thread does: records collected into one write, files, removals, in the order in
//! which the index changed.
//!
//! A removal that cannot be written is owed: it is tried again, and until it is written the marker is
//! taken away, so that a start after a crash trusts no record.

use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use bytes::Bytes;
use smallvec::SmallVec;

use super::index::{Oldest, Place};
use super::io::FileId;
use super::marker::Marker;
use super::segment::{Kind, Listed, Log, Parts, record_size, short};
use super::{Disk, FileBody, snapshot};
use crate::body::{Done, Place as BodyPlace};
use crate::entry::Entry;
use crate::key::Key;
use crate::meta::Meta;
use crate::reason::Damage;

/// Bytes that are collected into one write.
const BATCH: u64 = 1 << 20;
/// Removals that may be owed. With more, all that is stored is given up instead.
const OWED: usize = 1 << 16;

/// Work for the writer.
pub(crate) enum Item<M> {
    /// An entry goes into a segment.
    Record(Pending<M>),
    /// An entry in memory goes to a file of its own.
    Large(Pending<M>),
    /// The file of an entry gets its metadata.
    Tail(Key, Arc<Entry<M>>, Arc<FileBody>),
    Unlink(FileId),
    /// The log has to say that something is gone.
    Gone(Listed),
    /// Everything with lower numbers is gone.
    Clear(u64),
    /// Room has to be made for the next segment.
    Trim,
}

/// An entry to be written.
pub(crate) struct Pending<M> {
    pub(crate) key: Key,
    pub(crate) id: FileId,
    pub(crate) meta: Vec<u8>,
    pub(crate) entry: Arc<Entry<M>>,
    pub(crate) size: u64,
}

impl<M> Item<M> {
    pub(crate) fn weight(&self) -> u64 {
        match self {
            Self::Record(pending) | Self::Large(pending) => pending.size,
            _ => 64,
        }
    }
}

/// What only the writer's thread has.
pub(crate) struct Writer<M> {
    pub(crate) log: Log,
    pub(crate) marker: Marker,
    /// Removals that are not in the log yet.
    pub(crate) owed: Vec<Listed>,
    /// Files that could not be removed: the log has to say so as long as they are there.
    lingering: Vec<FileId>,
    /// What the log has collected and not written.
    records: Vec<(FileId, Arc<Entry<M>>, Place)>,
    pub(crate) copies: Vec<(Listed, Place, Place)>,
    gone: Vec<Listed>,
    /// A snapshot says all that the store has.
    said: bool,
}

/// Why there is no segment to write to.
pub(crate) enum Stop {
    /// All room is taken, and nothing can go.
    NoRoom,
    Failed,
}

impl From<io::Error> for Stop {
    fn from(_: io::Error) -> Self {
        Self::Failed
    }
}

impl<M> Writer<M> {
    pub(crate) fn new(log: Log, marker: Marker, owed: Vec<Listed>) -> Self {
        Self {
            log,
            marker,
            owed,
            lingering: Vec::new(),
            records: Vec::new(),
            copies: Vec::new(),
            gone: Vec::new(),
            said: false,
        }
    }
}

impl<M: Meta> Disk<M> {
    /// Does all that is queued.
    pub(crate) fn work(&self) {
        let mut writer = self.writer();
        loop {
            let batch = self.index().take_work(BATCH);
            if batch.is_empty() {
                break;
            }
            self.pay(&mut writer);
            for item in batch {
                self.do_one(&mut writer, item);
            }
            self.write_out(&mut writer);
        }
        self.listed_bytes.store(writer.log.bytes(), Ordering::Relaxed);
    }

    fn do_one(&self, writer: &mut Writer<M>, item: Item<M>) {
        writer.said = false;
        match item {
            Item::Record(pending) => return self.add_record(writer, &pending),
            Item::Gone(record) => return self.add_gone(writer, record),
            _ => self.write_out(writer),
        }
        match item {
            Item::Large(pending) => self.write_large(&pending),
            Item::Tail(key, entry, file) => self.write_tail(&key, &entry, &file),
            Item::Unlink(id) => self.unlink(writer, id),
            Item::Clear(number) => self.empty_log(writer, number),
            Item::Trim => self.keep_spare(writer, &mut 0),
            Item::Record(_) | Item::Gone(_) => (),
        }
    }

    fn add_record(&self, writer: &mut Writer<M>, pending: &Pending<M>) {
        let Pending { key, id, meta, entry, size } = pending;
        // Replaced or removed while it waited, or not.
        if self.is_held(id, entry) && !self.collect(writer, key, id, meta, entry) {
            self.settle(id, entry, false);
        }
        self.unqueue(*size);
    }

    fn collect(
        &self,
        writer: &mut Writer<M>,
        key: &Key,
        id: &FileId,
        meta: &[u8],
        entry: &Arc<Entry<M>>,
    ) -> bool {
        let Some(done) = entry.body().done() else { return false };
        let Some(of_file) = pieces_of_file(done) else { return false };
        if self.is_resting() {
            self.io.counters.resting_skips.add(1);
            return false;
        }
        let body: SmallVec<[&[u8]; 2]> =
            done.pieces().chain(of_file.iter().map(|piece| &piece[..])).collect();
        let parts = Parts { key: key.as_bytes(), meta, trailers: done.tail(), body: &body };
        let record = id.listed(Kind::Entry);
        let Some(listed) = self.add(writer, record, &parts) else { return false };
        self.io.counters.log_stored.add(u64::from(listed.length));
        writer.records.push((*id, Arc::clone(entry), Place::of(writer.log.number(), &listed)));
        true
    }

    /// Collects a record. `None` if it cannot be written; then the disk rests, or has no room.
    fn add(&self, writer: &mut Writer<M>, record: Listed, parts: &Parts<'_>) -> Option<Listed> {
        match self.make_fit(writer, record_size(parts)) {
            Ok(()) => writer.log.add(record, parts),
            Err(Stop::NoRoom) => None,
            Err(Stop::Failed) => {
                self.failed();
                None
            }
        }
    }

    /// Says in the log that something is gone, now or as soon as that can be.
    fn add_gone(&self, writer: &mut Writer<M>, record: Listed) {
        if !self.is_resting() && self.add(writer, record, &Parts::default()).is_some() {
            writer.gone.push(record);
            return;
        }
        writer.owed.push(record);
        writer.marker.take_away();
        if writer.owed.len() > OWED {
            self.clear();
        }
    }

    /// Writes removals that could not be written before.
    fn pay(&self, writer: &mut Writer<M>) {
        if !writer.owed.is_empty() && !self.is_resting() {
            for record in std::mem::take(&mut writer.owed) {
                self.add_gone(writer, record);
            }
            self.write_out(writer);
        }
    }

    /// Writes what is collected and tells the index.
    pub(crate) fn write_out(&self, writer: &mut Writer<M>) {
        let bytes = writer.log.collected();
        if bytes == 0 {
            return;
        }
        let written = self.write_log(writer);
        let records = std::mem::take(&mut writer.records);
        let copies = std::mem::take(&mut writer.copies);
        let gone = std::mem::take(&mut writer.gone);
        if written {
            self.io.counters.log_written.add(bytes as u64);
            let mut index = self.index();
            for (id, entry, place) in &records {
                index.written(id, entry, *place);
            }
            for (one, from, to) in &copies {
                index.moved(one.key, one.sequence, *from, *to);
            }
            drop(index);
            self.put_marker(writer);
            return;
        }
        self.failed();
        for (id, entry, _) in &records {
            self.settle(id, entry, false);
        }
        // Some may be there, and would come back when what they were copied from has gone.
        for (one, ..) in &copies {
            self.index().remove_copied(one.key, one.sequence);
        }
        for record in gone {
            self.add_gone(writer, record);
        }
    }

    /// False if that failed: then the segment was given up, cut to what it has.
    fn write_log(&self, writer: &mut Writer<M>) -> bool {
        let number = writer.log.number().unwrap_or(0);
        let before = self.segments.size(number);
        let written = writer.log.write().is_ok();
        self.index().segments -= before - self.segments.size(number);
        written
    }

    /// The marker is there as long as no removal is owed, and names the newest segment.
    fn put_marker(&self, writer: &mut Writer<M>) -> bool {
        let number = writer.log.number().unwrap_or(0);
        if writer.owed.is_empty() && writer.gone.is_empty() && writer.marker.put(number).is_err() {
            self.failed();
            return false;
        }
        true
    }

    /// Makes sure that a record of this length fits the open segment.
    fn make_fit(&self, writer: &mut Writer<M>, length: u64) -> Result<(), Stop> {
        if writer.log.fits(length) {
            return Ok(());
        }
        self.write_out(writer);
        self.seal(writer)?;
        self.begin_segment(writer)
    }

    fn seal(&self, writer: &mut Writer<M>) -> io::Result<()> {
        let Some(number) = writer.log.number() else { return Ok(()) };
        let before = self.segments.size(number);
        let sealed = writer.log.seal();
        let after = self.segments.size(number);
        self.index().segments -= before - after;
        sealed
    }

    fn begin_segment(&self, writer: &mut Writer<M>) -> Result<(), Stop> {
        let size = self.segment_size;
        while !self.index().take_segment(size) {
            if !self.evict(writer, &mut 0)? {
                return Err(Stop::NoRoom);
            }
        }
        let begun = writer.log.begin(self.events.number());
        if let Err(error) = begun {
            self.index().segments -= size;
            // The file system is full before the cache is: the cache makes room for itself.
            if error.kind() == io::ErrorKind::StorageFull {
                self.evict(writer, &mut 0)?;
            }
            return Err(error.into());
        }
        if !self.put_marker(writer) {
            self.drop_open(writer);
            return Err(Stop::Failed);
        }
        self.keep_spare(writer, &mut (size / 2));
        Ok(())
    }

    fn drop_open(&self, writer: &mut Writer<M>) {
        let number = writer.log.number();
        writer.log.forget();
        if let Some(Ok(bytes)) = number.map(|number| self.segments.remove(number)) {
            self.index().segments -= bytes;
        }
    }

    /// Makes room for the next segment. Up to `budget` bytes of hot records are copied.
    pub(crate) fn keep_spare(&self, writer: &mut Writer<M>, budget: &mut u64) {
        while self.index().is_tight() {
            match self.evict(writer, budget) {
                Ok(true) => (),
                Ok(false) => return,
                Err(_) => return self.failed(),
            }
        }
    }

    /// Makes what was stored first go. False if there is nothing that can.
    fn evict(&self, writer: &mut Writer<M>, budget: &mut u64) -> io::Result<bool> {
        let open = writer.log.number().unwrap_or(u32::MAX);
        let segment = self.segments.oldest(open);
        let oldest = self.index().oldest(segment);
        match oldest {
            Oldest::Nothing => Ok(false),
            Oldest::File => Ok(self.with_index(|index, hot| index.evict_file(&mut 8, hot))),
            Oldest::Segment(number) => {
                self.reclaim(writer, number, budget)?;
                self.retry_lingering(writer);
                Ok(true)
            }
        }
    }

    fn unlink(&self, writer: &mut Writer<M>, id: FileId) {
        if self.io.files.unlink(&self.io.path(&id)).is_err() {
            self.io.counters.disk_write_failures.add(1);
            writer.lingering.push(id);
            self.add_gone(writer, id.gone());
        }
    }

    /// The log forgets with each segment which files should not be there.
    fn retry_lingering(&self, writer: &mut Writer<M>) {
        for id in std::mem::take(&mut writer.lingering) {
            if self.io.files.unlink(&self.io.path(&id)).is_err() {
                writer.lingering.push(id);
                writer.owed.push(id.gone());
                writer.marker.take_away();
            }
        }
    }

    /// Says that everything is gone, then takes all segments away, oldest first.
    fn empty_log(&self, writer: &mut Writer<M>, number: u64) {
        let announced = self.index().has_announced();
        let numbers = self.segments.numbers();
        if numbers.is_empty() && !announced && writer.owed.is_empty() {
            return;
        }
        writer.owed.clear();
        let all = Listed { kind: Kind::AllGone, sequence: number, ..Listed::NOTHING };
        self.add_gone(writer, all);
        self.write_out(writer);
        let open = writer.log.number();
        let keep = if announced { open } else { None };
        for segment in self.segments.numbers() {
            if Some(segment) == keep {
                continue;
            }
            if Some(segment) == open {
                writer.log.forget();
            }
            match self.segments.remove(segment) {
                Ok(bytes) => self.index().segments -= bytes,
                Err(_) => return self.failed(),
            }
        }
        // Nothing is left that could come back.
        if writer.lingering.is_empty() {
            writer.owed.clear();
        }
        self.put_marker(writer);
    }

    /// The last work of a store: leaves a snapshot, unless something is not as it says.
    pub(crate) fn finish(&self) {
        self.work();
        let mut writer = self.writer();
        // Rested or not, there is no other time.
        self.rests_until.store(0, Ordering::Relaxed);
        self.pay(&mut writer);
        let sealed = self.seal(&mut writer).is_ok();
        let index = self.index();
        let is_true = !index.is_unsure() && writer.owed.is_empty() && writer.lingering.is_empty();
        if writer.said
            || !sealed
            || !is_true
            || index.has_work()
            || self.segments.numbers().is_empty()
        {
            return;
        }
        let next = self.events.number();
        match snapshot::write(&self.io.files, &self.root, &self.segments, next, &index) {
            Ok(()) => writer.said = true,
            Err(_) => self.io.counters.disk_write_failures.add(1),
        }
    }

    /// Puts a new tail in place of the old one. Cut off in the middle, the file is damaged, which
    /// the next look-up finds out; a reader of the body does not mind.
    fn write_tail(&self, key: &Key, entry: &Arc<Entry<M>>, file: &FileBody) {
        if !self.is_held(&file.id, entry) {
            return;
        }
        let mut meta = Vec::new();
        entry.meta().encode(&mut meta);
        let trailers = entry.tail().unwrap_or_default();
        let written = super::write::tail_in_place(&self.io, key, &meta, trailers, file);
        match &written {
            Ok(size) => self.index().resize(&file.id, *size),
            // Taken away behind our back, which says nothing against the disk.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(_) => self.failed(),
        }
        let is_missing = matches!(&written, Err(e) if e.kind() == io::ErrorKind::NotFound);
        // Unless a reader found out at the same time, and counted it.
        if self.settle(&file.id, entry, written.is_ok()) && is_missing {
            self.io.counters.damaged(Damage::Missing);
        }
    }
}

/// The pieces of a body in a memory file; none of one on the heap. `None` if it is in neither, or
/// cannot be read.
fn pieces_of_file(done: &Done) -> Option<SmallVec<[Bytes; 1]>> {
    match done.place() {
        BodyPlace::Memory => Some(SmallVec::new()),
        BodyPlace::MemoryFile(file) => file.pieces().collect::<io::Result<_>>().ok(),
        BodyPlace::File(_) | BodyPlace::Nowhere => None,
    }
}

impl Place {
    pub(crate) fn of(segment: Option<u32>, listed: &Listed) -> Self {
        let &Listed { offset, length, .. } = listed;
        Self { segment: segment.unwrap_or(0), offset, length }
    }
}

impl FileId {
    /// The record of what it names.
    fn listed(&self, kind: Kind) -> Listed {
        let &Self { key, variant, sequence } = self;
        Listed { kind, key: short(&key), variant, sequence, ..Listed::NOTHING }
    }

    /// The record that says it is gone, and all before it.
    fn gone(&self) -> Listed {
        let listed = self.listed(Kind::VariantGone);
        Listed { sequence: listed.sequence + 1, ..listed }
    }
}
