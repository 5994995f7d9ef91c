//! Records are collected and written together.

use std::io;
use std::sync::Arc;

use bytes::Bytes;
use smallvec::SmallVec;

use super::super::Disk;
use super::super::index::Place;
use super::super::io::FileId;
use super::super::segment::{Kind, Listed, Parts, record_size};
use super::room::Stop;
use super::{Pending, Writer};
use crate::body::{Done, Place as BodyPlace};
use crate::entry::Entry;
use crate::key::Key;
use crate::meta::Meta;

impl<M: Meta> Disk<M> {
    pub(super) fn add_record(&self, writer: &mut Writer<M>, pending: &Pending<M>) {
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
    pub(super) fn add(
        &self,
        writer: &mut Writer<M>,
        record: Listed,
        parts: &Parts<'_>,
    ) -> Option<Listed> {
        match self.make_fit(writer, record_size(parts)) {
            Ok(()) => writer.log.add(record, parts),
            Err(Stop::NoRoom) => None,
            Err(Stop::Failed) => {
                self.failed();
                None
            }
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
