//! What a look-up finds: the entries of one key, each metadata with a body.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use smallvec::SmallVec;

use crate::body::{Body, Done, Place};
use crate::events::Events;
use crate::key::variant_id;
use crate::labels::{Labels, Moment};
use crate::meta::Meta;
use crate::reader::Reader;

/// Metadata with a body, complete or still being written. Shared by all who read it.
pub struct Entry<M> {
    meta: M,
    body: Arc<Body>,
    variant: u64,
    /// Number of its file on disk; 0 while there is none.
    sequence: AtomicU64,
}

impl<M: Meta> Entry<M> {
    pub(crate) fn new(meta: M, body: Arc<Body>, sequence: u64) -> Arc<Self> {
        let variant = variant_id(meta.variant());
        Arc::new(Self { meta, body, variant, sequence: AtomicU64::new(sequence) })
    }

    /// Bytes of memory that it takes.
    pub(crate) fn weight(&self) -> u64 {
        let place = match self.body.done() {
            Some(Done { length, place: Place::Memory(pieces), .. }) => {
                *length as usize + pieces.len() * 2 * size_of::<Bytes>()
            }
            Some(Done { place: Place::File(file), .. }) => file.weight(),
            _ => 0,
        };
        let tail = self.tail().map_or(0, <[u8]>::len);
        (size_of::<Self>() + size_of::<Body>() + self.meta.weight() + tail + place) as u64
    }
}

impl<M: Meta> Entry<M> {
    /// True if an event has ended it: it must not be found any more.
    pub(crate) fn is_ended(&self, events: &Events) -> bool {
        let labels = self.meta.labels();
        !labels.is_empty() && events.ended(labels, self.began(labels))
    }
}

impl<M> Entry<M> {
    /// What [`begin`](crate::Store::begin) was given.
    pub fn meta(&self) -> &M {
        &self.meta
    }

    /// The total length in bytes: declared while the body is written, certain once it is complete.
    pub fn length(&self) -> Option<u64> {
        self.body.length()
    }

    /// Bytes written so far; the length once it is complete.
    pub fn written(&self) -> u64 {
        self.body.end()
    }

    /// True once the last byte was written and committed.
    pub fn is_complete(&self) -> bool {
        self.body.done().is_some()
    }

    /// The complete body if it is held in memory, ready to be sent. Never waits.
    pub fn in_memory(&self) -> Option<&[Bytes]> {
        match &self.body.done()?.place {
            Place::Memory(pieces) => Some(pieces),
            Place::File(_) | Place::Nowhere => None,
        }
    }

    /// The opaque trailers given at commit; `None` until then.
    pub fn tail(&self) -> Option<&[u8]> {
        self.body.done().map(|done| &*done.tail)
    }

    /// Reads the body from the start. A reader that comes too late for a body which is only passed
    /// along gets `Abandoned`; [`Entry::try_reader`] tells at once.
    pub fn reader(self: &Arc<Self>) -> Reader<M> {
        self.try_reader().unwrap_or_else(|| Reader::late(Arc::clone(self)))
    }

    /// Reads the body from the start, or `None` if the start is gone or the fill has broken off.
    pub fn try_reader(self: &Arc<Self>) -> Option<Reader<M>> {
        let joined = self.body.join()?;
        Some(Reader::new(Arc::clone(self), joined))
    }

    /// The moment from which on an event counts for it. New metadata of a file keeps the file's
    /// number, which a restart goes on from: what began later could have a number that comes again.
    pub(crate) fn began(&self, labels: &Labels) -> Moment {
        match self.sequence() {
            0 => labels.began(),
            sequence => labels.began().min(Moment(sequence)),
        }
    }

    pub(crate) fn body(&self) -> &Arc<Body> {
        &self.body
    }

    pub(crate) fn variant(&self) -> u64 {
        self.variant
    }

    pub(crate) fn sequence(&self) -> u64 {
        self.sequence.load(Ordering::Acquire)
    }

    pub(crate) fn set_sequence(&self, sequence: u64) {
        self.sequence.store(sequence, Ordering::Release);
    }

    /// True if its file lost its place: look-ups must not find it.
    pub(crate) fn is_gone(&self) -> bool {
        match self.body.done() {
            Some(Done { place: Place::File(file), .. }) => file.is_gone(),
            _ => false,
        }
    }
}

impl<M: fmt::Debug> fmt::Debug for Entry<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Entry")
            .field("meta", &self.meta)
            .field("length", &self.length())
            .field("complete", &self.is_complete())
            .finish_non_exhaustive()
    }
}

pub(crate) type Entries<M> = SmallVec<[Arc<Entry<M>>; 1]>;

/// The entries of one key, newest first.
pub struct Variants<M> {
    entries: Entries<M>,
    weight: u64,
    /// The disk has variants that are not here.
    partial: bool,
    /// Key id, where there is a disk.
    id: [u8; 32],
    /// Some have labels.
    labelled: bool,
    /// The last event after which all were seen alive.
    checked: AtomicU64,
}

impl<M: Meta> Variants<M> {
    pub(crate) fn new(entries: Entries<M>, partial: bool, id: [u8; 32]) -> Self {
        let weight = entries.iter().map(|entry| entry.weight()).sum();
        let labelled = entries.iter().any(|entry| !entry.meta.labels().is_empty());
        Self { entries, weight, partial, id, labelled, checked: AtomicU64::new(0) }
    }

    /// True if no event has ended any of them. Costs nothing if none has labels, and next to nothing
    /// if there was no event since it was last asked.
    pub(crate) fn are_alive(&self, events: &Events) -> bool {
        if !self.labelled {
            return true;
        }
        let last = events.last();
        if self.checked.load(Ordering::Relaxed) >= last {
            return true;
        }
        let alive = !self.entries.iter().any(|entry| entry.is_ended(events));
        if alive {
            // Only after the look at the events, which knows all up to `last`.
            self.checked.store(last, Ordering::Relaxed);
        }
        alive
    }
}

impl<M> Variants<M> {
    /// Newest first.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<Entry<M>>> {
        self.entries.iter()
    }

    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    pub(crate) fn weight(&self) -> u64 {
        self.weight
    }

    pub(crate) fn id(&self) -> &[u8; 32] {
        &self.id
    }

    /// True if these are all variants of the key, each readable.
    pub(crate) fn is_whole(&self) -> bool {
        !self.partial && !self.entries.iter().any(|entry| entry.is_gone())
    }
}

impl<M: fmt::Debug> fmt::Debug for Variants<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(&self.entries).finish()
    }
}
