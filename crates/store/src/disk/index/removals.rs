//! What goes, and who has to be told.

use std::sync::Arc;

use super::super::file_body::FileBody;
use super::super::hot::Hot;
use super::super::io::FileId;
use super::super::segment::{Kind, short};
use super::super::table::Packed;
use super::super::work::Item;
use super::{Gone, Index, New, Slots};
use crate::entry::Entry;

impl<M> Index<M> {
    /// A file will get its name before it gets its slot: whoever removes its key has to tell the log.
    pub(crate) fn announce(&mut self, id: &FileId) {
        self.announced.add(id);
    }

    pub(crate) fn has_announced(&self) -> bool {
        !self.announced.is_empty()
    }

    /// It has its slot, or never got its name.
    pub(crate) fn withdraw(&mut self, id: &FileId) {
        self.announced.remove(id);
    }

    /// A file that nobody knows goes. Until it has gone whoever removes its key has to tell, or it
    /// could be found at the next start.
    pub(crate) fn leave(&mut self, id: &FileId) {
        self.leaving.add(id);
        self.queue(Item::Unlink(*id));
    }

    /// It has gone, or the log says so.
    pub(crate) fn left(&mut self, id: &FileId) {
        self.leaving.remove(id);
    }

    /// A segment goes, after all before it: from now until it has gone the log is told of whatever is
    /// removed, also of what the index does not know any more.
    pub(crate) fn segment_goes(&mut self, number: u32) {
        self.going = self.going.max(Some(number));
    }

    /// The files of all segments up to this one have gone.
    pub(crate) fn segment_went(&mut self, number: u32) {
        self.going = self.going.filter(|last| *last > number);
    }

    pub(crate) fn has_going(&self) -> bool {
        self.going.is_some()
    }

    /// True if there may be records or files on disk that the index does not know.
    pub(crate) fn is_unsure(&self) -> bool {
        self.kills.is_some() || self.has_going() || self.strays
    }

    /// A file takes the place of what is older. The log has to be told of records that are not known:
    /// they would come back when the file has gone.
    pub(crate) fn outdate(&mut self, id: &FileId) {
        if self.is_unsure() {
            self.tell(Kind::VariantGone, short(&id.key), id.variant, id.sequence);
        }
    }

    /// Forgets a record of which there may be a copy that nobody knows.
    pub(crate) fn remove_copied(&mut self, key: u64, sequence: u64) {
        if let Some(packed) = self.table.find(key, sequence).copied() {
            self.drop_slot(&packed, Gone::Removed);
        }
    }

    /// Forgets a variant. `number` is higher than any that was given out for it.
    pub(crate) fn remove_variant(&mut self, key: &[u8; 32], variant: u64, number: u64) {
        let short = short(key);
        let found = self.table.of_key(short).into_iter().find(|other| other.variant == variant);
        if let Some(packed) = found {
            self.drop_slot(&packed, Gone::Removed);
        }
        if let Some(kills) = &mut self.kills {
            kills.variant(short, variant, number);
            kills.changed(number);
        }
        if self.is_unsure() {
            self.tell(Kind::VariantGone, short, variant, number);
        }
    }

    /// Forgets one entry, whatever its variant.
    pub(crate) fn remove(&mut self, id: &FileId) -> bool {
        let Some(slot) = self.slot(id) else { return false };
        if let Some(packed) = self.table.find(short(&id.key), slot.sequence).copied() {
            self.drop_slot(&packed, Gone::Removed);
        }
        true
    }

    /// Forgets all variants of a key. `number` is higher than any that was given out for it. The
    /// second value is true if there was something, or may be something that the index does not know.
    pub(crate) fn remove_key(&mut self, key: &[u8; 32], number: u64) -> (Slots<M>, bool) {
        let slots = self.of_key(key);
        let short = short(key);
        let all = self.table.of_key(short);
        let is_named = self.announced.has_key(short) || self.leaving.has_key(short);
        let mut tell = self.is_unsure() || is_named;
        for packed in &all {
            tell |= !self.has_file(packed);
            self.drop_slot(packed, Gone::ByItself);
        }
        if let Some(kills) = &mut self.kills {
            kills.key(short, number);
            kills.changed(number);
        }
        if tell {
            self.tell(Kind::KeyGone, short, 0, number);
        }
        let counts = tell || !slots.is_empty();
        (slots, counts)
    }

    /// Forgets everything, also what is not known yet. `number` is higher than all given out so far.
    pub(crate) fn clear(&mut self, number: u64) {
        for packed in self.table.drain().collect::<Vec<_>>() {
            self.let_go(&packed);
        }
        self.order.clear();
        if let Some(kills) = &mut self.kills {
            kills.all(number);
        }
        self.queue_clear(number);
    }

    /// Takes a slot out.
    pub(super) fn drop_slot(&mut self, packed: &Packed, gone: Gone) {
        if self.table.remove(packed.key, packed.sequence).is_none() {
            return;
        }
        let in_log = !self.has_file(packed);
        self.let_go(packed);
        if in_log && gone == Gone::Removed {
            self.tell(Kind::VariantGone, packed.key, packed.variant, packed.sequence + 1);
        }
    }

    /// Forgets what a slot had that is not in the table any more.
    pub(super) fn let_go(&mut self, packed: &Packed) {
        let &Packed { variant, sequence, .. } = packed;
        self.ages.remove(sequence);
        let Some(beside) = self.beside.remove(&sequence) else {
            self.records -= packed.bytes();
            return;
        };
        let Some(bytes) = beside.file else {
            self.records -= packed.bytes();
            return;
        };
        self.files -= bytes;
        if let Some(body) = beside.body.upgrade() {
            body.set_gone();
        }
        self.leave(&FileId { key: beside.key, variant, sequence });
    }

    /// A file becomes that of another entry, which answers by itself until the file has its name.
    /// False if the file has no place, or there is none for it.
    pub(crate) fn turn(
        &mut self,
        from: &FileId,
        to: &Arc<FileBody>,
        held: Arc<Entry<M>>,
        hot: &Hot,
    ) -> bool {
        let Some(bytes) = self.beside(from).and_then(|beside| beside.file) else { return false };
        if self.table.remove(short(&from.key), from.sequence).is_none() {
            return false;
        }
        self.ages.remove(from.sequence);
        if let Some(beside) = self.beside.remove(&from.sequence)
            && let Some(body) = beside.body.upgrade()
        {
            body.set_gone();
        }
        self.files -= bytes;
        self.outdate(&to.id);
        let placed = self.place(&to.id, New::Large(held, bytes), hot);
        match self.beside(&to.id) {
            Some(beside) if placed => {
                beside.body = Arc::downgrade(to);
                // Whoever removes its key has to tell, or it would be found by its old name.
                self.announce(from);
            }
            _ => self.leave(from),
        }
        placed
    }

    pub(super) fn has_file(&self, packed: &Packed) -> bool {
        let &Packed { sequence, segment, .. } = packed;
        segment == 0 && self.beside.get(&sequence).is_some_and(|beside| beside.file.is_some())
    }

    /// Drops the oldest variants of a key beyond so many.
    pub(super) fn drop_beyond(&mut self, key: u64, most: usize) {
        let mut all = self.table.of_key(key);
        if all.len() <= most {
            return;
        }
        all.sort_unstable_by_key(|packed| packed.sequence);
        let beyond = all.len() - most;
        all[..beyond].iter().for_each(|packed| self.drop_slot(packed, Gone::Removed));
    }
}
