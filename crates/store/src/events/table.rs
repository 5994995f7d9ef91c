//! What is remembered of events: of each subject the last, and a floor for all that is forgotten.

use std::collections::{BTreeMap, HashMap};
use std::hash::{BuildHasher, RandomState};

use crate::key::KnownHash;
use crate::labels::{Labels, Moment};
use crate::matcher::{Fate, Matcher, Subject};

/// Different lengths of prefixes: so many hashes of a key are computed to check it.
pub(crate) const LENGTHS: usize = 64;

/// What is remembered of the events.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Table {
    /// Entries that began before it are dead, whatever they are.
    pub(crate) floor: u64,
    /// Files with lower numbers may have been removed, which counts at the next start.
    pub(crate) files_floor: u64,
    /// For the hashes of keys and prefixes.
    pub(crate) seed: u64,
    by_subject: HashMap<Subject, Last, KnownHash>,
    /// Of each key whose files were removed, by its hash, the number of the last removal.
    removed: HashMap<u64, u64, KnownHash>,
    /// The lengths of prefixes in use, with how many have each.
    lengths: BTreeMap<u32, usize>,
}

/// The last events about one subject.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Last {
    /// Number of the last that ended entries; 0 for none.
    dead: u64,
    /// Number of the last that made them stale; 0 for none.
    stale: u64,
    /// When that was.
    since: i64,
}

/// One event about one subject.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Event {
    pub(crate) subject: Subject,
    pub(crate) fate: Fate,
    pub(crate) number: u64,
}

impl Last {
    fn note(&mut self, fate: Fate, number: u64) {
        match fate {
            Fate::Dead => self.dead = self.dead.max(number),
            Fate::Stale { since } if number >= self.stale => {
                (self.stale, self.since) = (number, since);
            }
            Fate::Stale { .. } => {}
        }
    }

    fn fate(&self, began: Moment) -> Option<Fate> {
        let stale = (self.stale >= began.0).then_some(Fate::Stale { since: self.since });
        if self.dead >= began.0 { Some(Fate::Dead) } else { stale }
    }

    fn number(&self) -> u64 {
        self.dead.max(self.stale)
    }
}

impl Table {
    /// Nothing happened yet.
    pub(crate) fn new() -> Self {
        Self { seed: RandomState::new().hash_one(0_u8), ..Self::default() }
    }

    /// What a log says before its records.
    pub(crate) fn with(floor: u64, files_floor: u64, seed: u64) -> Self {
        Self { floor, files_floor, seed, ..Self::default() }
    }

    /// Ends whatever began before `number`.
    pub(crate) fn ends_all_before(number: u64) -> Self {
        Self { floor: number, ..Self::new() }
    }

    /// The highest number in it.
    pub(crate) fn last(&self) -> u64 {
        let removals = self.removed.values().copied();
        let numbers = self.by_subject.values().map(Last::number).chain(removals);
        numbers.max().unwrap_or(0).max(self.floor)
    }

    pub(crate) fn len(&self) -> usize {
        self.by_subject.len() + self.removed.len()
    }

    /// The events to write down, so that a table made of them says the same.
    pub(crate) fn events(&self) -> impl Iterator<Item = Event> {
        let removals = self.removed.iter().map(|(&hash, &number)| {
            let subject = Subject::Files(hash);
            Event { subject, fate: Fate::Dead, number }
        });
        let events = self.by_subject.iter().flat_map(|(&subject, last)| {
            let dead = Event { subject, fate: Fate::Dead, number: last.dead };
            let fate = Fate::Stale { since: last.since };
            let stale = Event { subject, fate, number: last.stale };
            [dead, stale].into_iter().filter(|event| event.number > 0)
        });
        events.chain(removals)
    }

    /// What a matcher is remembered as. With too many lengths of prefixes, a new one is cut to one
    /// that is in use: it ends more, never less.
    pub(crate) fn subject(&mut self, matcher: &Matcher<'_>) -> Subject {
        match *matcher {
            Matcher::Label(label) => Subject::Label(label.0),
            Matcher::Key(key) => Subject::key(key, self.seed),
            Matcher::Prefix(bytes) => {
                let length = self.length_for(u32::try_from(bytes.len()).unwrap_or(u32::MAX));
                Subject::prefix(bytes, length, self.seed).unwrap_or(Subject::Everything)
            }
            Matcher::Everything => Subject::Everything,
        }
    }

    fn length_for(&mut self, length: u32) -> u32 {
        if self.lengths.len() < LENGTHS || self.lengths.contains_key(&length) {
            return length;
        }
        if let Some((&shorter, _)) = self.lengths.range(..length).next_back() {
            return shorter;
        }
        self.forget_a_length();
        length
    }

    /// Notes an event.
    pub(crate) fn note(&mut self, event: Event) {
        let Event { subject, fate, number } = event;
        if (subject, fate) == (Subject::Everything, Fate::Dead) {
            return self.raise(number);
        }
        if let Subject::Files(hash) = subject {
            let last = self.removed.entry(hash).or_default();
            *last = number.max(*last);
            return;
        }
        let last = self.by_subject.entry(subject).or_insert_with(|| {
            if let Subject::Prefix { length, .. } = subject {
                *self.lengths.entry(length).or_default() += 1;
            }
            Last::default()
        });
        last.note(fate, number);
    }

    /// Ends all that began no later than at `number`.
    fn raise(&mut self, number: u64) {
        self.floor = self.floor.max(number + 1);
        self.removed.retain(|_, removal| *removal > number);
        self.retain(|_, last| last.number() > number);
    }

    /// What events have made of an entry.
    pub(crate) fn fate(&self, key: &[u8], labels: &Labels, began: Moment) -> Option<Fate> {
        // Nothing began at 0: that is a moment which cannot be told.
        if began.0 < self.floor.max(1) {
            return Some(Fate::Dead);
        }
        let prefix = |length| Subject::prefix(key, length, self.seed);
        let prefixes = self.lengths.keys().map_while(|length| prefix(*length));
        labels
            .iter()
            .map(|label| Subject::Label(label.0))
            .chain([Subject::Everything, Subject::key(key, self.seed)])
            .chain(prefixes)
            .filter_map(|subject| self.by_subject.get(&subject)?.fate(began))
            .reduce(worse)
    }

    /// True if a file was removed, or is of an entry that is dead for sure, whatever is in it.
    pub(crate) fn has_removed(&self, start: u64, sequence: u64) -> bool {
        let removed = self.removed.get(&start).is_some_and(|number| *number >= sequence);
        removed || sequence < self.floor.max(self.files_floor)
    }

    /// Forgets the older half if there are more than `most`. What a forgotten event ended stays
    /// ended, by the floor, and so does all that is as old. Where only removals are too many, that
    /// counts at the next start.
    pub(crate) fn shrink(&mut self, most: usize) {
        if self.by_subject.len() > most {
            self.raise(median(self.by_subject.values().map(Last::number)));
        }
        if self.removed.len() > most {
            // Until the next start the index knows.
            let youngest = median(self.removed.values().copied());
            self.files_floor = self.files_floor.max(youngest + 1);
            self.removed.retain(|_, number| *number > youngest);
        }
    }

    /// Forgets the events before `number`, as there is nothing left that they could end. True if
    /// there were some.
    pub(crate) fn prune(&mut self, number: u64) -> bool {
        let numbers = self.by_subject.values().map(Last::number);
        let numbers = numbers.chain(self.removed.values().copied());
        let youngest = numbers.filter(|last| *last < number).max();
        if let Some(youngest) = youngest {
            self.raise(youngest);
        }
        youngest.is_some()
    }

    /// Forgets the prefixes of the length that was used least lately.
    fn forget_a_length(&mut self) {
        let mut youngest: BTreeMap<u32, u64> = BTreeMap::new();
        for (subject, last) in &self.by_subject {
            if let Subject::Prefix { length, .. } = subject {
                let number = youngest.entry(*length).or_default();
                *number = last.number().max(*number);
            }
        }
        if let Some(number) = youngest.into_values().min() {
            self.raise(number);
        }
    }

    fn retain(&mut self, keep: impl Fn(&Subject, &Last) -> bool) {
        let lengths = &mut self.lengths;
        self.by_subject.retain(|subject, last| {
            let kept = keep(subject, last);
            if let (false, Subject::Prefix { length, .. }) = (kept, subject)
                && let Some(count) = lengths.get_mut(length)
            {
                *count -= 1;
            }
            kept
        });
        lengths.retain(|_, count| *count > 0);
    }
}

/// The number in the middle; there are some.
fn median(numbers: impl Iterator<Item = u64>) -> u64 {
    let mut numbers: Vec<u64> = numbers.collect();
    let half = numbers.len() / 2;
    *numbers.select_nth_unstable(half).1
}

/// Of two fates the one that ends more.
fn worse(one: Fate, other: Fate) -> Fate {
    match (one, other) {
        (Fate::Stale { since }, Fate::Stale { since: before }) => {
            Fate::Stale { since: since.min(before) }
        }
        _ => Fate::Dead,
    }
}
