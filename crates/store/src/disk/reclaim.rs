//! Takes the oldest segment away; what was hit lately is copied to the end of the log.
//!
//! The segments go in the order of their numbers, and none before its file is really gone. All that
//! a removal in a segment speaks of stands before it in the log: it was removed from the index before
//! the removal was queued, and only what the index has is ever copied. So when a segment with a
//! removal goes, nothing is left that the removal keeps dead, and it need not be copied.
//!
//! What is not copied is forgotten before its file has gone, and if the file cannot be removed it is
//! there for long. So as long as a segment goes, every removal is told to the log and to the events,
//! whether the index knows of something to remove or not.

use std::io;

use super::Disk;
use super::index::Place;
use super::load::Trouble;
use super::segment::{Kind, Listed, Parts};
use super::work::Writer;
use crate::meta::Meta;

/// Records that are decided on while the index is locked.
const AT_ONCE: usize = 128;

impl<M: Meta> Disk<M> {
    /// Takes a segment away. Copies of up to `budget` bytes are made as long as they fit the open
    /// segment: less than a segment in all, so that there is always room for what is new.
    pub(crate) fn reclaim(
        &self,
        writer: &mut Writer<M>,
        number: u32,
        budget: &mut u64,
    ) -> io::Result<()> {
        self.index().segment_goes(number);
        match self.segments.list(number) {
            Ok(found) if found.doubt.is_none() => {
                for some in found.listed.chunks(AT_ONCE) {
                    self.copy_hot(writer, number, some, budget);
                }
            }
            _ => self.index().forget_segment(number),
        }
        let open = writer.log.number();
        self.write_out(writer);
        if open != writer.log.number() {
            // The copies failed: what is here is all that there is.
            return Err(io::ErrorKind::Other.into());
        }
        let bytes = self.segments.remove(number)?;
        let mut index = self.index();
        index.segments -= bytes;
        index.segment_went(number);
        Ok(())
    }

    fn copy_hot(&self, writer: &mut Writer<M>, number: u32, some: &[Listed], budget: &mut u64) {
        let mut left = *budget;
        let kept: Vec<Listed> = {
            let mut index = self.index();
            let entries = some.iter().filter(|one| one.kind == Kind::Entry);
            let keeps = |one: &&Listed| {
                let length = u64::from(one.length);
                let at = Place::of(Some(number), one);
                let kept = index.keeps(one.key, one.sequence, at, length <= left, &self.hot);
                left -= if kept { length } else { 0 };
                kept
            };
            entries.filter(keeps).copied().collect()
        };
        for one in kept {
            let from = Place::of(Some(number), &one);
            if writer.log.fits(u64::from(one.length)) && self.copy(writer, &one, from) {
                *budget -= u64::from(one.length);
            } else {
                *budget = 0;
                self.index().keeps(one.key, one.sequence, from, false, &self.hot);
            }
        }
    }

    fn copy(&self, writer: &mut Writer<M>, one: &Listed, from: Place) -> bool {
        let record = match self.segments.read(from) {
            Ok((head, record)) if head.sequence == one.sequence => record,
            Ok(_) => return false,
            Err(Trouble::Damaged(why)) => {
                self.io.counters.damaged(why);
                return false;
            }
            Err(Trouble::Io(_)) => {
                self.io.counters.disk_read_errors.add(1);
                return false;
            }
        };
        let parts = Parts {
            key: &record.key,
            meta: &record.meta,
            trailers: &record.trailers,
            body: &[&record.body],
        };
        let Some(copy) = writer.log.add(*one, &parts) else { return false };
        writer.copies.push((copy, from, Place::of(writer.log.number(), &copy)));
        self.io.counters.log_copied.add(u64::from(copy.length));
        true
    }
}
