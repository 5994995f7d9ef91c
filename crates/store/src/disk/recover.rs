//! Finds out what is stored when there is no snapshot, while requests are served.
//!
//! Why nothing comes back that is gone, and nothing older than what was stored last:
//!
//! 1. *Numbers.* Every entry and every removal has a sequence number; of two with the same key and
//!    variant the higher is the later, and a copy keeps the number of what it was copied from. After
//!    a start without a snapshot numbers go on 2^32 above all that the disk tells of, which is more
//!    than a segment can have records: so what is stored, removed or cleared now beats whatever is
//!    found later, and [`Kills`] remembers the removals.
//! 2. *Order in the log.* Whatever ends a record in the log (its successor, or a removal) was queued
//!    after the record was, and a copy is made only of what the index has. So what ends a record
//!    stands behind all its copies. The segments are read from the newest to the oldest, each from
//!    its end: what ends a record is known before the record is found.
//! 3. *Files.* A file may be older than a record (its unlink comes before the record in the writer's
//!    queue, but it may have failed: then a removal follows in the log). So no file is looked at
//!    before all segments are read, and it counts only if no record and no removal has a higher
//!    number. A record may be older than a file that took its place: a removal of the record is
//!    queued when the file gets its slot, also of one that is not found yet, and once more when it
//!    is found here, so that the record does not come back when the file has gone. A file that got
//!    its name while its key was removed was announced, and the removal is in the log; so is one of a
//!    key whose file was forgotten before, and is there until its unlink has had its turn.
//! 4. *Doubt.* A record that cannot be told may have ended any record before it, but none behind it
//!    (2). So if a segment is missing, or one has a place that cannot be read, all before that place
//!    is given up: older segments altogether. Segments go in the order of their numbers, so a gap
//!    means that one is missing, and the marker names the newest. If a removal could not be written,
//!    the marker is not there, and all is given up.
//! 5. *Events* that the store has a log of (see `journal`) count too: a removal is in both logs, and
//!    whichever was written keeps the key dead.
//! 6. *Until all is known* what is not yet found is a miss, and no segment is reclaimed: a removal
//!    cannot go before what it ends has been looked at.
//! 7. *What was forgotten* to make room is on disk until its segment has gone, and for longer if that
//!    fails: until then removals of what the index does not know are told too. A copy that may have
//!    been written though its write failed is removed in the log.
//! 8. *Freshened entries* have their body in an older record, which their number outdates but which
//!    stays where it is. New metadata takes its place only where the index has what it freshens, so
//!    nothing between the two in the log has ended the body: it is good as long as the metadata
//!    counts, even if what stands between them is in doubt (4). Segments go in order, so the body's
//!    goes first. Before it does, the two become one record, which is a copy with the number of the
//!    metadata (2), or they are forgotten. A removal then spares the next start the metadata, which
//!    may stay for long; if there is none, what is found refers to nothing. That is a miss: nothing
//!    else ever has that number, or is in a segment with that salt.
//!
//! 8. *Too much at once*: if more removals wait for a disk than may, everything is given up instead, as
//!    if it had been cleared, and so are files that cannot be removed. The writer then removes all files
//!    that nobody knows; if it cannot, the marker is taken away.
//!
//! What a killed process had collected and not yet written is lost, as if it had never been stored:
//! a removal that was not flushed may be undone by it, one that was flushed never.

use std::collections::HashMap;
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::Disk;
use super::health::is_shortage;
use super::io::FileId;
use super::load::Trouble;
use super::segment::{Kind, Listed, Listing};
use crate::key::KnownHash;
use crate::meta::Meta;
use crate::reason::Damage;

/// How long a segment waits that could not be read because the system had run out of something.
const FIRST_PAUSE: Duration = Duration::from_millis(10);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);
/// Records that are put in while the index is locked.
const AT_ONCE: usize = 512;

/// Changes that are remembered while records are looked for. With more, what is not found by then is
/// given up: a disk takes that long only if it hangs.
const CHANGES: usize = 1 << 18;

/// What may not come back: numbers below which entries are gone.
#[derive(Default)]
pub(crate) struct Kills {
    all: u64,
    keys: HashMap<u64, u64, KnownHash>,
    variants: HashMap<(u64, u64), u64>,
    /// Changes of this process.
    changes: usize,
}

impl Kills {
    pub(crate) fn variant(&mut self, key: u64, variant: u64, below: u64) {
        raise(self.variants.entry((key, variant)).or_default(), below);
    }

    pub(crate) fn key(&mut self, key: u64, below: u64) {
        raise(self.keys.entry(key).or_default(), below);
    }

    pub(crate) fn all(&mut self, below: u64) {
        raise(&mut self.all, below);
    }

    /// Something with this number, above all that are still to be found, was changed by this process.
    pub(crate) fn changed(&mut self, number: u64) {
        self.changes += 1;
        if self.changes > CHANGES {
            *self = Self { all: number.max(self.all), ..Self::default() };
        }
    }

    /// True if an entry with this number is gone.
    pub(crate) fn killed(&self, key: u64, variant: u64, sequence: u64) -> bool {
        let below = |found: Option<&u64>| found.is_some_and(|below| sequence < *below);
        sequence < self.all
            || below(self.keys.get(&key))
            || below(self.variants.get(&(key, variant)))
    }
}

fn raise(value: &mut u64, to: u64) {
    *value = to.max(*value);
}

/// What has to be looked at.
pub(crate) struct ToFind {
    /// Numbers of segments, oldest first.
    pub(crate) segments: Vec<u32>,
    /// The newest segment that there has to be.
    pub(crate) newest: u32,
    /// All files with their sizes, oldest first.
    pub(crate) files: Vec<(FileId, u64)>,
}

impl<M: Meta> Disk<M> {
    /// Finds all records and files; stops early if the store is closed.
    pub(crate) fn recover(&self, find: &ToFind) {
        let (mut trusted, mut next) = (true, find.newest);
        let mut dropped = Vec::new();
        for number in find.segments.iter().rev().copied() {
            if self.closing.is_set() {
                return;
            }
            if trusted && number < next {
                self.io.counters.damaged(Damage::Missing);
                trusted = false;
            }
            next = number - 1;
            let whole = if trusted {
                let Some(found) = self.list_records(number) else { return };
                found.is_ok_and(|found| self.find_records(number, &found))
            } else {
                false
            };
            if !trusted {
                dropped.push(number);
            }
            trusted = whole;
            self.left.fetch_sub(1, Ordering::Relaxed);
        }
        self.drop_segments(dropped);
        self.with_index(|index, _| {
            self.take_files(index, &find.files);
            index.kills = None;
            index.trim();
        });
        self.left.store(0, Ordering::Release);
    }

    /// Lists the records of a segment. That the system has run out of something says nothing about
    /// the segment: it is tried again until it can be read. `None` if the store is closed before.
    fn list_records(&self, number: u32) -> Option<Result<Listing, Damage>> {
        let mut pause = FIRST_PAUSE;
        loop {
            let damage = match self.segments.list(number) {
                Ok(found) => return Some(Ok(found)),
                Err(Trouble::Damaged(why)) => why,
                Err(Trouble::Io(error)) => {
                    self.io.counters.disk_read_errors.add(1);
                    if is_shortage(&error) {
                        self.closing.wait(pause);
                        if self.closing.is_set() {
                            return None;
                        }
                        pause = (2 * pause).min(LONGEST_PAUSE);
                        continue;
                    }
                    Damage::Unreadable
                }
            };
            self.io.counters.damaged(damage);
            return Some(Err(damage));
        }
    }

    /// Takes in the records of a segment. False if those of older segments cannot be trusted.
    fn find_records(&self, number: u32, found: &Listing) -> bool {
        found.footer.iter().chain(&found.doubt).for_each(|why| self.io.counters.damaged(*why));
        for some in found.listed.rchunks(AT_ONCE) {
            let mut index = self.index();
            for one in some.iter().rev() {
                let &Listed { kind, key, variant, sequence, .. } = one;
                match (kind, &mut index.kills) {
                    (Kind::Entry | Kind::Freshened, _)
                        if self.events.has_removed(key, sequence) => {}
                    (Kind::Entry | Kind::Freshened, _) => _ = index.found(number, one, &self.hot),
                    (Kind::VariantGone, Some(kills)) => kills.variant(key, variant, sequence),
                    (Kind::KeyGone, Some(kills)) => kills.key(key, sequence),
                    (Kind::AllGone, Some(kills)) => kills.all(sequence),
                    (_, None) | (Kind::Footer, _) => (),
                }
            }
        }
        found.doubt.is_none()
    }

    /// Oldest first: what is left if this is interrupted is in doubt for the same reason.
    fn drop_segments(&self, newest_first: Vec<u32>) {
        let Some(newest) = newest_first.first().copied() else { return };
        self.index().segment_goes(newest);
        for number in newest_first.into_iter().rev() {
            match self.segments.remove(number) {
                Ok(bytes) => self.index().segments -= bytes,
                Err(error) => return self.failed(&error, 0),
            }
        }
        self.index().segment_went(newest);
    }
}
