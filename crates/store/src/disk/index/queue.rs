//! What the writer has to do, in the order in which the index changed.

use std::collections::VecDeque;

use super::super::io::FileId;
use super::super::segment::{Kind, Listed};
use super::super::work::Item;
use super::Index;

/// Items that may wait for the writer, 16 MiB of memory. Entries and tails are bounded before they
/// get here; with more removals than that, all that is stored is given up instead.
/// Tests have not the time for so many.
pub(crate) const MOST: usize = if cfg!(test) { 1 << 15 } else { 1 << 18 };
/// Room that a queue keeps when nothing waits.
const KEPT: usize = 1 << 12;

/// The work of the writer.
pub(super) struct Queue<M> {
    items: VecDeque<Item<M>>,
    /// The writer has been told that there is work, and has not looked yet.
    scheduled: bool,
    /// Room is going to be made for the next segment.
    trims: bool,
    /// Bytes that the file system lacked.
    wanted: u64,
}

impl<M> Queue<M> {
    pub(super) fn new() -> Self {
        Self { items: VecDeque::new(), scheduled: false, trims: false, wanted: 0 }
    }
}

impl<M> Index<M> {
    /// Queues work for the writer.
    pub(crate) fn queue(&mut self, item: Item<M>) {
        self.queue.items.push_back(item);
    }

    /// Has room made for the next segment.
    pub(crate) fn trim(&mut self) {
        if !self.queue.trims {
            self.queue.trims = true;
            self.queue(Item::Trim);
        }
    }

    /// Has so much of what is stored go.
    pub(crate) fn want(&mut self, bytes: u64) {
        if self.queue.wanted == 0 {
            self.queue(Item::Shrink);
        }
        self.queue.wanted = self.queue.wanted.max(bytes);
    }

    pub(crate) fn take_wanted(&mut self) -> u64 {
        std::mem::take(&mut self.queue.wanted)
    }

    pub(super) fn tell(&mut self, kind: Kind, key: u64, variant: u64, below: u64) {
        let record = Listed { kind, key, variant, sequence: below, ..Listed::NOTHING };
        self.queue(Item::Gone(record));
    }

    pub(crate) fn waiting(&self) -> usize {
        self.queue.items.len()
    }

    /// True if the writer has to be told that there is work: once, until it begins.
    pub(crate) fn schedule(&mut self) -> bool {
        let due = !self.queue.scheduled && self.waiting() > 0;
        self.queue.scheduled |= due;
        due
    }

    /// The writer looks for work.
    pub(crate) fn begin_work(&mut self) {
        self.queue.scheduled = false;
    }

    /// The next work, of about so many bytes.
    pub(crate) fn take_work(&mut self, bytes: u64) -> Vec<Item<M>> {
        let (mut taken, mut batch) = (0, Vec::new());
        while taken < bytes
            && let Some(item) = self.queue.items.pop_front()
        {
            self.queue.trims &= !matches!(item, Item::Trim);
            taken += item.weight();
            batch.push(item);
        }
        if batch.is_empty() && self.queue.items.capacity() > KEPT {
            self.queue.items = VecDeque::new();
        }
        batch
    }

    /// Removals of single entries say nothing that the end of everything would not say, and neither
    /// does an earlier end.
    pub(super) fn queue_clear(&mut self, number: u64) {
        self.queue.items.retain(|item| !matches!(item, Item::Gone(_) | Item::Clear(_)));
        self.queue(Item::Clear(number));
    }

    /// True if more waits than may. A disk that hangs is as good as none, and what cannot be removed
    /// from it must not be found after it.
    pub(crate) fn is_crowded(&self) -> bool {
        self.waiting() > MOST
    }

    /// Forgets everything, and also what has to be removed: the writer removes all files that nobody
    /// knows.
    pub(crate) fn give_up(&mut self, number: u64) {
        self.clear(number);
        self.queue.items.retain(|item| !matches!(item, Item::Unlink(_)));
        self.leaving.clear();
        self.strays = true;
    }

    /// True if there may be files that neither the index nor the queue knows.
    pub(crate) fn has_strays(&self) -> bool {
        self.strays
    }

    /// True if nobody knows a file, nor ever will.
    pub(crate) fn is_stray(&self, id: &FileId) -> bool {
        self.slot(id).is_none() && !self.announced.has(id)
    }

    /// All files that nobody knew are gone.
    pub(crate) fn swept(&mut self) {
        self.strays = false;
    }
}
