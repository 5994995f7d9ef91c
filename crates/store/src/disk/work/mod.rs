//! What the writer's thread does: records collected into one write, files, removals, in the order in
//! which the index changed.
//!
//! A removal that cannot be written is owed: it is tried again, and until it is written the marker is
//! taken away, so that a start after a crash trusts no record.

mod records;
mod removals;
mod room;
mod turn;

use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;

pub(crate) use turn::Turn;

use super::io::FileId;
use super::marker::Marker;
use super::place::Place;
use super::segment::{Kind, Listed, Log, short};
use super::table::PARTS;
use super::{Disk, FileBody, Held, lock, open, snapshot};
use crate::entry::Keeper;
use crate::key::Key;
use crate::meta::Meta;
use crate::reason::Damage;

/// Bytes that are collected into one write.
const BATCH: u64 = 1 << 20;

/// Work for the writer.
pub(crate) enum Item<M> {
    /// An entry goes into a segment.
    Record(Box<Pending<M>>),
    /// An entry in memory goes to a file of its own.
    Large(Box<Pending<M>>),
    /// A file gets the metadata of the entry that is held for it; so many bytes were queued.
    Tail(Key, Arc<FileBody>, u64),
    /// The file of parts that are complete becomes that of the whole.
    Turn(Box<Turn<M>>),
    Unlink(FileId),
    /// Files that a start found, and that are not wanted.
    Leftovers(Vec<FileId>),
    /// The log has to say that something is gone.
    Gone(Listed),
    /// Everything with lower numbers is gone.
    Clear(u64),
    /// Room has to be made for the next segment.
    Trim,
    /// The file system is full.
    Shrink,
}

/// An entry to be written.
pub(crate) struct Pending<M> {
    pub(crate) key: Key,
    pub(crate) id: FileId,
    pub(crate) meta: Vec<u8>,
    pub(crate) entry: Keeper<M>,
    /// Bytes of its record or file, with its body.
    pub(crate) size: u64,
    /// Place and number of a record that has the same body, or refers to it.
    pub(crate) older: Option<(Place, u64)>,
}

impl<M> Item<M> {
    pub(crate) fn weight(&self) -> u64 {
        match self {
            Self::Record(pending) | Self::Large(pending) => pending.size,
            Self::Tail(_, _, size) => *size,
            Self::Turn(turn) => turn.size,
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
    records: Vec<(FileId, Keeper<M>, Place)>,
    pub(crate) copies: Vec<(Listed, Place, Place)>,
    pub(crate) gone: Vec<Listed>,
    /// A snapshot says all that the store has.
    said: bool,
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
        self.index().begin_work();
        if self.io.files.take_rebuilt() {
            self.take_again(&mut writer);
        }
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
            Item::Tail(key, file, size) => {
                self.write_tail(&key, &file, size);
                self.unqueue(size);
            }
            Item::Turn(turn) => {
                self.turn(writer, &turn);
                self.unqueue(turn.size);
            }
            Item::Unlink(id) => self.unlink(writer, id),
            Item::Leftovers(all) => all.into_iter().for_each(|id| self.unlink(writer, id)),
            Item::Clear(number) => self.empty_log(writer, number),
            Item::Trim => self.keep_spare(writer, &mut 0),
            Item::Shrink => self.shrink(writer),
            Item::Record(_) | Item::Gone(_) => (),
        }
    }

    /// Somebody removed directories, perhaps all: what goes on has to be found by the next start, and
    /// no other process may use the directory meanwhile.
    fn take_again(&self, writer: &mut Writer<M>) {
        let mut held = lock(&self.held);
        let Some(file) = held.copy() else { return };
        match open::take_again(&self.root, &file) {
            Ok(Some(lock)) => *held = Arc::new(Held::new(lock)),
            Ok(None) => (),
            Err(_) => {
                self.io.counters.disk_left_alone.add(1);
                return lock(&self.health).lose();
            }
        }
        if writer.log.number().is_some_and(|number| !self.segments.has_name(number)) {
            // What it has can be read as long as it is open.
            self.write_out(writer);
            writer.log.forget();
        }
        writer.marker.look_again();
        self.put_marker(writer);
        self.journal.rewrite();
    }

    /// Another process had the directory for a while: what it took away is made anew.
    pub(crate) fn look_again(&self) {
        let mut writer = self.writer();
        writer.said = false;
        writer.marker.look_again();
        self.put_marker(&mut writer);
    }

    /// The last work of a store: leaves a snapshot, unless something is not as it says. True if the
    /// next start needs nothing more.
    pub(crate) fn finish(&self) -> bool {
        self.work();
        let mut writer = self.writer();
        // Rested or not, there is no other time.
        lock(&self.health).wake();
        self.pay(&mut writer);
        let sealed = self.seal(&mut writer).is_ok();
        let settled = self.index().settled();
        let is_true = writer.owed.is_empty() && writer.lingering.is_empty();
        if writer.said || self.segments.numbers().is_empty() {
            return true;
        }
        let Some(settled) = settled.filter(|_| sealed && is_true) else { return false };
        match self.write_snapshot(settled) {
            Ok(said) => writer.said = said,
            Err(_) => self.io.counters.disk_write_failures.add(1),
        }
        writer.said
    }

    /// Look-ups go on meanwhile; false if the index changed under it.
    fn write_snapshot(&self, settled @ (count, _): (u64, u64)) -> io::Result<bool> {
        let (files, next) = (&self.io.files, self.events.number());
        let parts = (0..PARTS).map(|part| self.index().in_segments(part));
        snapshot::write(files, &self.root, &self.segments, next, count, parts)?;
        // Whatever changes from now on ends in a new segment, or takes the marker away.
        let is_true = self.index().settled() == Some(settled);
        if is_true {
            snapshot::publish(files, &self.root)?;
        }
        Ok(is_true)
    }

    /// Puts a new tail in place of the old one. Cut off in the middle, the file is damaged, which
    /// the next look-up finds out; a reader of the body does not mind.
    fn write_tail(&self, key: &Key, file: &FileBody, size: u64) {
        let Some(entry) = self.index().take_tail(&file.id) else { return };
        let mut meta = Vec::new();
        entry.meta().encode(&mut meta);
        let trailers = entry.tail().unwrap_or_default();
        let written = super::write::tail_in_place(&self.io, key, &meta, trailers, file);
        match &written {
            Ok(size) => {
                self.index().resize(&file.id, *size);
                self.wrote();
            }
            // Taken away behind our back, which says nothing against the disk.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => self.failed(error, size),
        }
        let is_missing = matches!(&written, Err(e) if e.kind() == io::ErrorKind::NotFound);
        // Unless a reader found out at the same time, and counted it.
        if self.settle(&file.id, &entry, written.is_ok()) && is_missing {
            self.io.counters.damaged(Damage::Missing);
        }
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
