//! Takes the oldest segment away; what was hit lately is copied to the end of the log.
//!
//! The segments go in the order of their numbers, and none before its file is really gone. All that
//! a removal in a segment speaks of stands before it in the log: it was removed from the index before
//! the removal was queued, and only what the index has is ever copied. So when a segment with a
//! removal goes, nothing is left that the removal keeps dead, and it need not be copied.
//!
//! A freshened entry has its body in another record, of the same segment or of an older one. So when
//! the segment with the body goes, that of the metadata goes too or stays; either way the two are
//! copied as one record, or forgotten. Which entry has a body is not in the index: it is one of the
//! same key and variant that says that its body is elsewhere, and as long; its record tells.
//!
//! What is not copied is forgotten before its file has gone, and if the file cannot be removed it is
//! there for long. So as long as a segment goes, every removal is told to the log and to the events,
//! whether the index knows of something to remove or not.

use std::io;

use super::Disk;
use super::load::Trouble;
use super::place::Place;
use super::segment::{Found, HEAD, Kind, Listed, Parts, Reference, with_body};
use super::work::Writer;
use crate::meta::Meta;

/// Records that are decided on while the index is locked.
const AT_ONCE: usize = 128;
/// Bytes of copies that are written at once.
const COLLECTED: usize = 1 << 20;

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
        let open = writer.log.number();
        match self.segments.list(number) {
            Ok(found) if found.doubt.is_none() => {
                for some in found.listed.chunks(AT_ONCE) {
                    self.copy_hot(writer, number, some, budget);
                    if writer.log.collected() >= COLLECTED {
                        self.write_out(writer);
                    }
                }
            }
            _ => self.index().forget_segment(number),
        }
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
        let (mut kept, mut shared) = (Vec::new(), Vec::new());
        {
            let mut index = self.index();
            let entries =
                some.iter().filter(|one| matches!(one.kind, Kind::Entry | Kind::Freshened));
            for one in entries {
                let at = Place::of(Some(number), one);
                if index.keeps(one.key, one.sequence, at, at.bytes() <= left, &self.hot) {
                    left -= at.bytes();
                    kept.push((*one, at));
                } else if let Some(freshened) = index.freshened(number, one) {
                    shared.push((freshened, *one));
                }
            }
        }
        for (one, from) in kept {
            self.keep(writer, &one, from, budget);
        }
        for ((place, sequence), body) in shared {
            let one = Listed { sequence, ..body };
            if self.has_body(place, &one, &Place::of(Some(number), &body)) {
                self.keep_shared(writer, &one, place, budget);
            }
        }
    }

    /// True if an entry was copied. One that cannot be is forgotten.
    fn keep(&self, writer: &mut Writer<M>, one: &Listed, from: Place, budget: &mut u64) -> bool {
        let kept = writer.log.fits(from.bytes()) && self.copy(writer, one, from);
        if kept {
            *budget = budget.saturating_sub(from.bytes());
        } else {
            *budget = 0;
            self.index().keeps(one.key, one.sequence, from, false, &self.hot);
        }
        kept
    }

    /// Does so with one whose own record stays, if it is hot. If it is forgotten, the log says so as
    /// long as it has room, so that a crash does not bring it back without its body, as a miss.
    fn keep_shared(&self, writer: &mut Writer<M>, one: &Listed, from: Place, budget: &mut u64) {
        let may_keep = from.bytes() <= *budget;
        let keeps = self.index().keeps(one.key, one.sequence, from, may_keep, &self.hot);
        if keeps && self.keep(writer, one, from, budget) {
            return;
        }
        let &Listed { key, variant, sequence, .. } = one;
        let (kind, sequence) = (Kind::VariantGone, sequence + 1);
        let gone = Listed { kind, key, variant, sequence, ..Listed::NOTHING };
        if writer.log.fits(HEAD) && writer.log.add(gone, &Parts::default()).is_some() {
            writer.gone.push(gone);
        }
    }

    /// True if the freshened entry at `place` has the body that is in the record at `body`, and if
    /// that cannot be told.
    fn has_body(&self, place: Place, one: &Listed, body: &Place) -> bool {
        match self.segments.read(place) {
            Ok(Found { listed, record, .. }) if listed.sequence == one.sequence => {
                let reference = Reference::of(&listed, &record);
                !matches!(reference, Ok(Some(other)) if other.place != *body)
            }
            _ => true,
        }
    }

    fn copy(&self, writer: &mut Writer<M>, one: &Listed, from: Place) -> bool {
        let read = |place| self.segments.read(place);
        let record = match read(from).and_then(|found| with_body(found, read)) {
            Ok(found) if found.listed.sequence == one.sequence => found.record,
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
        let whole = Listed { kind: Kind::Entry, body: 0, ..*one };
        let Some(copy) = writer.log.add(whole, &parts) else { return false };
        writer.copies.push((copy, from, Place::of(writer.log.number(), &copy)));
        self.io.counters.log_copied.add(u64::from(copy.length));
        true
    }
}
