//! What a start finds, and a stop leaves behind.

use std::sync::Weak;

use super::super::hot::Hot;
use super::super::io::FileId;
use super::super::place::Place;
use super::super::recover::Kills;
use super::super::segment::{Listed, short};
use super::super::table::Packed;
use super::{Gone, Index, New};

impl<M> Index<M> {
    /// Puts in what a segment was found to have. False if something newer is there, or it is gone.
    pub(crate) fn found(&mut self, segment: u32, one: &Listed, hot: &Hot) -> bool {
        let &Listed { key, variant, sequence, .. } = one;
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
        let mut packed = Packed { key, variant, sequence, segment: 0, offset: 0, length: 0 };
        packed.put(Place::of(Some(segment), one));
        self.records += packed.bytes();
        self.insert(packed, hot);
        true
    }

    /// Puts in a file that was there at the start; all records are known. False if it is gone, or
    /// older than what is there.
    pub(crate) fn found_file(&mut self, id: &FileId, bytes: u64, removed: bool, hot: &Hot) -> bool {
        self.unproven -= bytes;
        let key = short(&id.key);
        let is_killed = |kills: &Kills| kills.killed(key, id.variant, id.sequence);
        let is_newer =
            |other: &Packed| other.variant == id.variant && other.sequence >= id.sequence;
        let killed = removed || self.kills.as_ref().is_some_and(is_killed);
        let is_older = killed || self.table.of_key(key).iter().any(is_newer);
        !is_older && self.place(id, New::File(Weak::new(), bytes), hot)
    }

    /// Takes in what a snapshot says.
    pub(crate) fn load(&mut self, records: &[Packed], hot: &Hot) {
        for packed in records {
            self.records += packed.bytes();
            self.insert(*packed, hot);
        }
    }

    /// How many entries are in segments, if nothing waits for the writer, and what tells that state
    /// from every other.
    pub(crate) fn settled(&self) -> Option<(u64, u64)> {
        let in_segments = self.table.len().saturating_sub(self.beside.len() as u64);
        (self.waiting() == 0 && !self.is_unsure()).then_some((in_segments, self.table.changes()))
    }

    /// Those of one part of the table.
    pub(crate) fn in_segments(&self, part: usize) -> Vec<Packed> {
        self.table.part(part).filter(|packed| packed.segment > 0).copied().collect()
    }
}
