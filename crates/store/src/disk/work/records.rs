//! Records are collected and written together.

use std::io;

use bytes::Bytes;
use smallvec::SmallVec;

use super::super::Disk;
use super::super::place::Place;
use super::super::segment::{Kind, Listed, Parts, Reference, record_size};
use super::super::write::pieces_elsewhere;
use super::room::Stop;
use super::{Pending, Writer};
use crate::meta::Meta;

impl<M: Meta> Disk<M> {
    pub(super) fn add_record(&self, writer: &mut Writer<M>, pending: &Pending<M>) {
        let Pending { id, entry, size, .. } = pending;
        // Replaced or removed while it waited, or not.
        if self.is_held(id, entry) && !self.collect(writer, pending) {
            self.settle(id, entry, false);
        }
        self.unqueue(*size);
    }

    fn collect(&self, writer: &mut Writer<M>, pending: &Pending<M>) -> bool {
        if self.is_resting() {
            self.io.counters.resting_skips.add(1);
            return false;
        }
        // That may take segments away, so only then it is known which are there.
        if !self.fits(writer, pending.size) {
            return false;
        }
        let listed = match self.reference(pending) {
            Some(body) => add_freshened(writer, pending, &body),
            None if self.has_lost_body(&pending.entry) => return false,
            None => add_whole(writer, pending),
        };
        let Some(listed) = listed else { return false };
        self.io.counters.log_stored.add(u64::from(listed.length));
        let place = Place::of(writer.log.number(), &listed);
        writer.records.push((pending.id, pending.entry.clone(), place));
        true
    }

    /// Collects a record. `None` if it cannot be written; then the disk rests, or has no room.
    pub(super) fn add(
        &self,
        writer: &mut Writer<M>,
        record: Listed,
        parts: &Parts<'_>,
    ) -> Option<Listed> {
        self.fits(writer, record_size(parts)).then(|| writer.log.add(record, parts)).flatten()
    }

    /// Makes room for a record. If that cannot be done, the disk rests, or has no room.
    fn fits(&self, writer: &mut Writer<M>, length: u64) -> bool {
        let fits = self.make_fit(writer, length);
        if let Err(Stop::Failed(error)) = &fits {
            self.failed(error, writer.log.step());
        }
        fits.is_ok()
    }

    /// The record that has the body of a freshened entry already, if it is there. No segment goes
    /// before what is collected now is written; from then on the index knows who refers to it.
    fn reference(&self, pending: &Pending<M>) -> Option<Reference> {
        let (place, sequence) = pending.older?;
        let salt = self.segments.salt(place.segment)?;
        if place.body == 0 {
            return Some(Reference { place, sequence, salt });
        }
        // That one refers to the body too.
        let found = self.segments.read(place).ok()?;
        let body = Reference::of(&found.listed, &found.record).ok()??;
        (self.segments.salt(body.place.segment)? == body.salt).then_some(body)
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
        let Err(error) = written else {
            self.wrote();
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
        };
        // No room is made for the next segment yet: what this one had set aside is free again.
        self.failed(&error, 0);
        for (id, entry, _) in &records {
            self.settle(id, entry, false);
        }
        // Some may be there, and would come back when what they were copied from has gone.
        for (one, ..) in &copies {
            self.index().remove_copied(one.key, one.sequence);
        }
        for record in gone {
            self.owe(writer, record);
        }
    }

    /// If that fails the segment is given up, cut to what it has.
    fn write_log(&self, writer: &mut Writer<M>) -> io::Result<()> {
        let number = writer.log.number().unwrap_or(0);
        let before = self.segments.size(number);
        let written = writer.log.write();
        self.index().segments -= before - self.segments.size(number);
        written
    }
}

fn add_freshened<M>(
    writer: &mut Writer<M>,
    pending: &Pending<M>,
    body: &Reference,
) -> Option<Listed> {
    let Pending { key, id, meta, .. } = pending;
    let record = Listed { body: body.place.length, ..id.listed(Kind::Freshened) };
    let parts = Parts { key: key.as_bytes(), meta, trailers: &[], body: &[&body.encode()] };
    writer.log.add(record, &parts)
}

fn add_whole<M>(writer: &mut Writer<M>, pending: &Pending<M>) -> Option<Listed> {
    let Pending { key, id, meta, entry, .. } = pending;
    let done = entry.body().done()?;
    let elsewhere: SmallVec<[Bytes; 1]> =
        pieces_elsewhere(done)?.collect::<io::Result<_>>().ok()?;
    let body: SmallVec<[&[u8]; 2]> =
        done.pieces().chain(elsewhere.iter().map(|piece| &piece[..])).collect();
    let parts = Parts { key: key.as_bytes(), meta, trailers: done.tail(), body: &body };
    writer.log.add(id.listed(Kind::Entry), &parts)
}
