//! Events that end entries, or make them stale: the truth about which of the stored are good.
//!
//! One counter numbers events and files. A fetch notes the number that would come next; an event
//! ends each entry that it is about and whose fetch noted no more than the event's number. So an
//! event costs the same whatever is stored, and nothing has to be found to be ended.

mod epochs;
mod table;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

pub(crate) use self::epochs::{Ages, Epoch};
pub(crate) use self::table::{Event, Table};

use self::epochs::Epochs;
use crate::labels::{Labels, Moment};
use crate::matcher::{Fate, Matcher, Subject};

/// Subjects whose events are remembered, at about 64 bytes each. With more, the older half is
/// forgotten, and with it every entry that is older than the youngest event forgotten.
pub(crate) const MOST: usize = 1 << 18;
/// Numbers that each start takes for itself, so that none comes again after a crash: more than a
/// process can use up.
const STRETCH: u64 = 1 << 44;
/// Events of the last so many numbers are never pruned: fetches under way have no entries yet.
const UNDER_WAY: u64 = 1024;

/// The events so far.
pub(crate) struct Events {
    /// The next number, of an event or of a file.
    next: AtomicU64,
    /// No number of this process is as high.
    pub(crate) taken: u64,
    /// The number of the last change of the table that can end an entry.
    last: AtomicU64,
    /// How many of them there were, counted after them and after `last`.
    changes: AtomicU64,
    table: RwLock<Table>,
    epochs: Epochs,
    /// Events before it were pruned.
    pruned: AtomicU64,
    most: usize,
}

impl Events {
    /// Goes on behind what a store has seen: its events, and numbers below `next`.
    pub(crate) fn after(table: Table, next: u64) -> Self {
        Self::with_room(table, next, MOST)
    }

    fn with_room(mut table: Table, next: u64, most: usize) -> Self {
        table.shrink(most);
        let last = table.last();
        let next = next.max(last.saturating_add(1));
        Self {
            next: next.into(),
            taken: next.saturating_add(STRETCH),
            last: last.into(),
            changes: u64::from(last > 0).into(),
            table: table.into(),
            epochs: Epochs::default(),
            pruned: 0.into(),
            most,
        }
    }

    /// A number that nothing else has, higher than all before.
    pub(crate) fn number(&self) -> u64 {
        self.next.fetch_add(1, Ordering::SeqCst)
    }

    /// Now.
    pub(crate) fn moment(&self) -> Moment {
        Moment(self.next.load(Ordering::SeqCst))
    }

    /// A share in the epoch of an entry, which knows the moment from which on an event counts for it.
    /// Without a moment of its own it is that of its file's number or, if it is new, now. One that
    /// lies ahead cannot be true: such an entry is as old as can be.
    pub(crate) fn enlist(&self, given: Moment, sequence: u64) -> Arc<Epoch> {
        let now = self.moment();
        let began = match (given, sequence) {
            (Moment(0), 0) => now,
            (Moment(0), sequence) => Moment(sequence),
            (given, _) if given > now => Moment(0),
            (given, _) => given,
        };
        let epoch = self.epochs.of(began.0);
        if began == given { epoch } else { Epoch::own(began, epoch) }
    }

    /// Notes an event about all of these, from now on. Returns what the log has to know.
    pub(crate) fn add(&self, matchers: &[Matcher<'_>], fate: Fate) -> Vec<Event> {
        let mut table = self.write();
        let number = self.number();
        let note = |matcher| {
            let event = Event { subject: table.subject(matcher), fate, number };
            table.note(event);
            event
        };
        let events = matchers.iter().map(note).collect();
        table.shrink(self.most);
        self.note_change(number);
        events
    }

    /// Notes that the files of a key were removed. The index has forgotten them already.
    pub(crate) fn add_removal(&self, key_id: &[u8; 32]) -> Event {
        let mut table = self.write();
        let (floor, subject) = (table.floor, Subject::files(key_id));
        let event = Event { subject, fate: Fate::Dead, number: self.number() };
        table.note(event);
        table.shrink(self.most);
        if table.floor > floor {
            self.note_change(event.number);
        }
        event
    }

    fn note_change(&self, number: u64) {
        self.last.store(number, Ordering::Release);
        self.changes.fetch_add(1, Ordering::Release);
    }

    /// Ends everything that began before now.
    pub(crate) fn add_all(&self) {
        self.add(&[Matcher::Everything], Fate::Dead);
    }

    /// Rises whenever an event may have changed what an entry is good for.
    pub(crate) fn changes(&self) -> u64 {
        self.changes.load(Ordering::Acquire)
    }

    /// What events have made of an entry.
    pub(crate) fn fate(&self, key: &[u8], labels: &Labels, began: Moment) -> Option<Fate> {
        if began.0 > self.last.load(Ordering::Acquire) {
            return None;
        }
        self.read().fate(key, labels, began)
    }

    /// Forgets the events that nothing is left of, neither in memory nor on disk, where no file has
    /// a number below `on_disk`. True if there were some.
    pub(crate) fn prune(&self, on_disk: Option<u64>) -> bool {
        if self.len() == 0 {
            return false;
        }
        let now = self.moment().0;
        let oldest = [self.epochs.oldest(), on_disk].into_iter().flatten().min().unwrap_or(now);
        let bound = oldest.min(now.saturating_sub(UNDER_WAY));
        let bound = bound - bound % epochs::LENGTH;
        self.pruned.fetch_max(bound, Ordering::Relaxed) < bound && self.write().prune(bound)
    }

    /// Subjects whose events are remembered.
    pub(crate) fn len(&self) -> u64 {
        self.read().len() as u64
    }

    /// All that is remembered.
    pub(crate) fn table(&self) -> Table {
        self.read().clone()
    }

    /// True if an entry on disk is known to be dead, whatever is in it. `start` is that of its key id.
    pub(crate) fn has_removed(&self, start: u64, sequence: u64) -> bool {
        self.read().has_removed(start, sequence)
    }

    fn read(&self) -> RwLockReadGuard<'_, Table> {
        self.table.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Table> {
        self.table.write().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests;
