//! Events that end entries by their labels: the truth about which labelled entries are dead.
//!
//! One counter numbers events and files. A fetch notes the number that would come next; an event
//! about a label ends each entry with that label whose fetch noted no more than the event's number.
//! So an event costs the same whatever is stored, and nothing has to be found to be ended.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use crate::key::KnownHash;
use crate::labels::{Label, Labels, Moment};

/// Labels whose events are remembered, at about 40 bytes each. With more, the older half is
/// forgotten, and with it every labelled entry that is older than the youngest event forgotten.
pub(crate) const MOST: usize = 1 << 18;

/// The events so far.
pub(crate) struct Events {
    /// The next number, of an event or of a file.
    next: AtomicU64,
    /// Rises with every change of the table, after it.
    last: AtomicU64,
    table: RwLock<Table>,
    most: usize,
}

/// What is remembered of the events.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Table {
    /// Labelled entries that began before it are dead, whatever their labels.
    pub(crate) floor: u64,
    /// The last event of each label.
    pub(crate) by_label: HashMap<u64, u64, KnownHash>,
}

impl Events {
    /// Goes on behind what a store has seen: its events, and numbers below `next`.
    pub(crate) fn after(table: Table, next: u64) -> Self {
        Self::with_room(table, next, MOST)
    }

    fn with_room(table: Table, next: u64, most: usize) -> Self {
        let last = table.last();
        let next = next.max(last.saturating_add(1));
        let events = Self { next: next.into(), last: last.into(), table: table.into(), most };
        events.write().shrink(most);
        events
    }

    /// A number that nothing else has, higher than all before.
    pub(crate) fn number(&self) -> u64 {
        self.next.fetch_add(1, Ordering::SeqCst)
    }

    /// Now.
    pub(crate) fn moment(&self) -> Moment {
        Moment(self.next.load(Ordering::SeqCst))
    }

    /// Ends what has any of these labels and began before now. Returns the event's number.
    pub(crate) fn add(&self, labels: &[Label]) -> u64 {
        let mut table = self.write();
        let number = self.number();
        for label in labels {
            table.by_label.insert(label.0, number);
        }
        table.shrink(self.most);
        self.last.store(number, Ordering::Release);
        number
    }

    /// Ends everything that has labels and began before now.
    pub(crate) fn add_all(&self) {
        let mut table = self.write();
        let number = self.number();
        *table = Table { floor: number + 1, ..Table::default() };
        self.last.store(number + 1, Ordering::Release);
    }

    /// Rises whenever an entry that was alive may have died.
    pub(crate) fn last(&self) -> u64 {
        self.last.load(Ordering::Acquire)
    }

    /// True if an event has ended an entry with these labels, which began at `began`.
    pub(crate) fn ended(&self, labels: &Labels, began: Moment) -> bool {
        if labels.is_empty() || began.0 > self.last() {
            return false;
        }
        let table = self.read();
        let ended_by = |label: Label| table.by_label.get(&label.0).is_some_and(|n| *n >= began.0);
        began.0 < table.floor || labels.iter().any(ended_by)
    }

    /// Labels whose events are remembered.
    pub(crate) fn len(&self) -> u64 {
        self.read().by_label.len() as u64
    }

    /// All that is remembered.
    pub(crate) fn table(&self) -> Table {
        self.read().clone()
    }

    fn read(&self) -> RwLockReadGuard<'_, Table> {
        self.table.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Table> {
        self.table.write().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Table {
    /// Ends whatever has labels and began before `number`.
    pub(crate) fn ends_all_before(number: u64) -> Self {
        Self { floor: number, ..Self::default() }
    }

    /// The highest number in it.
    pub(crate) fn last(&self) -> u64 {
        self.by_label.values().copied().max().unwrap_or(0).max(self.floor)
    }

    /// Forgets the older half if there are more than `most`. What a forgotten event ended stays
    /// ended, by the floor, and so does all that is as old.
    fn shrink(&mut self, most: usize) {
        if self.by_label.len() <= most {
            return;
        }
        let mut numbers: Vec<u64> = self.by_label.values().copied().collect();
        let half = numbers.len() / 2;
        let (_, &mut youngest, _) = numbers.select_nth_unstable(half);
        self.floor = self.floor.max(youngest + 1);
        self.by_label.retain(|_, number| *number > youngest);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(began: Moment, names: &[&str]) -> Labels {
        Labels::new(began, names.iter().map(|name| label(name)).collect())
    }

    fn label(name: &str) -> Label {
        Label::of(name.as_bytes())
    }

    fn ended(events: &Events, labels: &Labels) -> bool {
        events.ended(labels, labels.began())
    }

    #[test]
    fn an_event_ends_what_has_its_label_and_began_before() {
        let events = Events::after(Table::default(), 1);
        let before = labels(events.moment(), &["a", "b"]);
        let other = labels(events.moment(), &["c"]);
        let none = labels(events.moment(), &[]);
        assert!(!ended(&events, &before));
        events.add(&[label("b")]);
        assert!(ended(&events, &before));
        assert!(!ended(&events, &other) && !ended(&events, &none));
        assert!(!ended(&events, &labels(events.moment(), &["a", "b"])));
        events.add_all();
        assert!(ended(&events, &other) && !ended(&events, &none));
        assert!(!ended(&events, &labels(events.moment(), &["c"])));
    }

    #[test]
    fn what_was_remembered_still_counts_and_numbers_go_on() {
        let events = Events::after(Table::default(), 1);
        let old = labels(events.moment(), &["a"]);
        events.add(&[label("a")]);
        let young = labels(events.moment(), &["a"]);
        let events = Events::after(events.table(), 1);
        assert!(ended(&events, &old) && !ended(&events, &young));
        assert!(events.moment() >= young.began());
        let events = Events::after(Table::ends_all_before(50), 1);
        assert!(ended(&events, &young));
        assert!(!ended(&events, &labels(events.moment(), &["a"])));
    }

    #[test]
    fn with_too_many_labels_the_oldest_events_end_more_rather_than_less() {
        let events = Events::with_room(Table::default(), 1, 100);
        let first = labels(events.moment(), &["never named"]);
        let mut entries = Vec::new();
        for number in 0..101 {
            let name = number.to_string();
            entries.push(labels(events.moment(), &[&name]));
            events.add(&[label(&name)]);
        }
        assert!(events.len() <= 51, "{}", events.len());
        assert!(entries.iter().all(|entry| ended(&events, entry)));
        assert!(ended(&events, &first));
        assert!(!ended(&events, &labels(Moment(90), &["never named"])));
    }
}
