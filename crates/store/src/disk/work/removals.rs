//! What is gone has to be gone after a crash too.

use super::super::io::FileId;
use super::super::segment::{Kind, Listed, Parts};
use std::io;

use super::super::{Disk, open};
use super::Writer;
use crate::meta::Meta;

/// Removals that may be owed. With more, all that is stored is given up instead.
const OWED: usize = 1 << 16;
/// Files that may be there although they were removed. With more, all that is stored is given up.
const LINGERING: usize = 1 << 12;

impl<M: Meta> Disk<M> {
    /// Says in the log that something is gone, now or as soon as that can be.
    pub(super) fn add_gone(&self, writer: &mut Writer<M>, record: Listed) {
        if !self.is_resting() && self.add(writer, record, &Parts::default()).is_some() {
            writer.gone.push(record);
        } else {
            self.owe(writer, record);
        }
    }

    /// Says so later.
    pub(super) fn owe(&self, writer: &mut Writer<M>, record: Listed) {
        writer.owed.push(record);
        writer.marker.take_away();
        if writer.owed.len() > OWED {
            self.clear();
        }
    }

    /// Makes up for removals that could not be done before.
    pub(super) fn pay(&self, writer: &mut Writer<M>) {
        self.sweep(writer);
        if !writer.owed.is_empty() && !self.is_resting() {
            for record in std::mem::take(&mut writer.owed) {
                self.add_gone(writer, record);
            }
            self.write_out(writer);
        }
    }

    pub(super) fn unlink(&self, writer: &mut Writer<M>, id: FileId) {
        self.io.kept.forget(id.sequence);
        if self.io.files.unlink(&self.io.path(&id)).is_err() {
            self.io.counters.disk_write_failures.add(1);
            writer.lingering.push(id);
            self.add_gone(writer, id.gone());
            self.write_out(writer);
        }
        self.index().left(&id);
        if writer.lingering.len() > LINGERING {
            // They are strays from now on.
            writer.lingering.clear();
            writer.marker.take_away();
            self.with_index(|index, _| index.give_up(self.events.number()));
        }
    }

    /// Removes all files that nobody knows. As long as that fails the marker is not there.
    fn sweep(&self, writer: &mut Writer<M>) {
        let is_due = {
            let index = self.index();
            // Until all is known, nobody knows what was there at the start.
            index.has_strays() && index.kills.is_none()
        };
        if !is_due || self.is_resting() {
            return;
        }
        if self.remove_strays() {
            self.index().swept();
            self.put_marker(writer);
        } else {
            writer.marker.take_away();
            self.failed(&io::ErrorKind::Other.into(), 0);
        }
    }

    fn remove_strays(&self) -> bool {
        let Ok(found) = open::scan(&self.root) else { return false };
        let mut whole = true;
        for (id, _) in found {
            let is_stray = self.index().is_stray(&id);
            whole &= !is_stray || self.io.files.unlink(&self.io.path(&id)).is_ok();
        }
        whole
    }

    /// The log forgets with each segment which files should not be there.
    pub(super) fn retry_lingering(&self, writer: &mut Writer<M>) {
        for id in std::mem::take(&mut writer.lingering) {
            if self.io.files.unlink(&self.io.path(&id)).is_err() {
                writer.lingering.push(id);
                writer.owed.push(id.gone());
                writer.marker.take_away();
            }
        }
    }

    /// Says that everything is gone, then takes all segments away, oldest first.
    pub(super) fn empty_log(&self, writer: &mut Writer<M>, number: u64) {
        let (announced, strays) = {
            let index = self.index();
            (index.has_announced(), index.has_strays())
        };
        let numbers = self.segments.numbers();
        if numbers.is_empty() && !announced && !strays && writer.owed.is_empty() {
            return;
        }
        writer.owed.clear();
        let all = Listed { kind: Kind::AllGone, sequence: number, ..Listed::NOTHING };
        self.add_gone(writer, all);
        self.write_out(writer);
        self.sweep(writer);
        let open = writer.log.number();
        let files = announced || self.index().has_strays() || !writer.lingering.is_empty();
        let keep = if files { open } else { None };
        for segment in self.segments.numbers() {
            if Some(segment) == keep {
                continue;
            }
            if Some(segment) == open {
                writer.log.forget();
            }
            match self.segments.remove(segment) {
                Ok(bytes) => self.index().segments -= bytes,
                Err(error) => return self.failed(&error, 0),
            }
        }
        // Nothing is left that could come back.
        if writer.lingering.is_empty() {
            writer.owed.clear();
        }
        self.put_marker(writer);
    }
}
