//! The segment that is open, and room for it.

use std::io;

use super::super::Disk;
use super::super::index::Oldest;
use super::Writer;
use crate::meta::Meta;

/// Why there is no segment to write to.
pub(super) enum Stop {
    /// All room is taken, and nothing can go.
    NoRoom,
    Failed(io::Error),
}

impl From<io::Error> for Stop {
    fn from(error: io::Error) -> Self {
        Self::Failed(error)
    }
}

impl<M: Meta> Disk<M> {
    /// Makes sure that a record of this length fits the open segment.
    pub(super) fn make_fit(&self, writer: &mut Writer<M>, length: u64) -> Result<(), Stop> {
        if writer.log.fits(length) {
            return Ok(());
        }
        self.write_out(writer);
        self.seal(writer)?;
        self.begin_segment(writer)
    }

    pub(super) fn seal(&self, writer: &mut Writer<M>) -> io::Result<()> {
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
            return Err(error.into());
        }
        if let Err(error) = self.mark(writer) {
            self.drop_open(writer);
            return Err(Stop::Failed(error));
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
                Err(error) => return self.failed(&error, 0),
            }
        }
    }

    /// Makes so much of what is stored go as the file system lacked, or what there is.
    pub(super) fn shrink(&self, writer: &mut Writer<M>) {
        let (wanted, mut freed) = (self.index().take_wanted(), 0);
        while freed < wanted {
            let before = self.index().taken();
            // What cannot go is counted where it fails.
            if !self.evict(writer, &mut 0).unwrap_or(false) {
                return;
            }
            freed += before.saturating_sub(self.index().taken());
        }
    }

    /// Makes what was stored first go. False if there is nothing that can.
    pub(super) fn evict(&self, writer: &mut Writer<M>, budget: &mut u64) -> io::Result<bool> {
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

    /// The marker is there as long as no removal is owed, and names the newest segment.
    pub(super) fn put_marker(&self, writer: &mut Writer<M>) {
        if let Err(error) = self.mark(writer) {
            self.failed(&error, 0);
        }
    }

    fn mark(&self, writer: &mut Writer<M>) -> io::Result<()> {
        let number = writer.log.number().unwrap_or(0);
        let owes = !writer.owed.is_empty() || !writer.gone.is_empty() || self.index().has_strays();
        if owes { Ok(()) } else { writer.marker.put(number) }
    }
}
