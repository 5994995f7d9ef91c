//! What a look-up finds: the entries of one key, each metadata with a body.

use std::fmt;
use std::ops::{Deref, Range};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use smallvec::SmallVec;

use crate::body::{Body, Done, Place};
use crate::events::{Epoch, Events};
use crate::key::variant_id;
use crate::labels::Moment;
use crate::lent::Holding;
use crate::matcher::Fate;
use crate::memory::{ARC, allocated};
use crate::memory_file::MemoryFile;
use crate::meta::Meta;
use crate::reader::Reader;
use crate::standing::Standing;

/// Metadata with a body, complete or still being written. Shared by all who read it.
pub struct Entry<M> {
    meta: M,
    body: Body,
    /// Number of its file on disk; 0 while there is none.
    sequence: AtomicU64,
    /// As long as it is held, events that may be about the entry are remembered.
    epoch: Arc<Epoch>,
    /// What it has lived to see of them.
    standing: Standing,
}

impl<M: Meta> Entry<M> {
    pub(crate) fn new(meta: M, body: Body, sequence: u64, events: &Events) -> Arc<Self> {
        let epoch = events.enlist(meta.began(), sequence);
        Arc::new(Self {
            meta,
            body,
            sequence: sequence.into(),
            epoch,
            standing: Standing::default(),
        })
    }

    /// The moment from which on an event counts for it.
    pub(crate) fn began(&self) -> Moment {
        self.epoch.began(self.meta.began())
    }

    /// Names the variant, in file names too.
    pub(crate) fn variant(&self) -> u64 {
        variant_id(self.meta.variant())
    }

    /// Bytes of memory that it takes.
    pub(crate) fn weight(&self) -> u64 {
        let body = self.body.done().map_or(0, Done::weight);
        let beside = self.meta.weight() + self.epoch.own_weight();
        (allocated(ARC + size_of::<Self>()) + beside + body) as u64
    }
}

impl<M: Meta> Entry<M> {
    /// True if an event has ended it: it must not be found any more. One that is only stale since an
    /// event says so from now on.
    pub(crate) fn is_ended(&self, key: &[u8], events: &Events) -> bool {
        self.is_ended_by(events.changes(), key, events)
    }

    fn is_ended_by(&self, changes: u64, key: &[u8], events: &Events) -> bool {
        !self.standing.has_seen(changes) && self.is_ended_now(changes, key, events)
    }

    #[cold]
    fn is_ended_now(&self, changes: u64, key: &[u8], events: &Events) -> bool {
        let since = match events.fate(key, self.meta.labels(), self.began()) {
            Some(Fate::Dead) => return true,
            Some(Fate::Stale { since }) => Some(since),
            None => None,
        };
        // Only after the look at the events, which knows these changes.
        self.standing.note(changes, since);
        false
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

    /// True if the body is complete and kept: whoever comes now can read it from its start. One that was
    /// only passed along is complete as well, and only those who followed it can have it.
    pub fn is_kept(&self) -> bool {
        self.body.is_kept()
    }

    /// True if the complete body is held in memory: it can be had without waiting.
    pub fn is_in_memory(&self) -> bool {
        let place = self.body.done().map(Done::place);
        matches!(place, Some(Place::Memory | Place::MemoryFile(_)))
    }

    /// The file, if the body is held in one in memory: the system can send it by itself.
    pub fn memory_file(&self) -> Option<&MemoryFile> {
        match self.body.done()?.place() {
            Place::MemoryFile(file) => Some(file),
            _ => None,
        }
    }

    /// The complete body if it is held on the heap, in pieces ready to be sent. Never waits.
    pub fn in_memory(&self) -> Option<impl Iterator<Item = &[u8]> + Clone> {
        let done = self.body.done()?;
        matches!(done.place(), Place::Memory).then(|| done.pieces())
    }

    /// Some bytes of a complete body that is held on the heap, not copied. Never waits.
    pub fn slices(&self, range: Range<u64>) -> Option<impl Iterator<Item = Bytes>> {
        let done = self.body.done()?;
        matches!(done.place(), Place::Memory).then(|| done.slices(range))
    }

    /// The runs of bytes that are there of a body in a file, in order and apart from each other: all
    /// of it, unless its metadata says that it is [partial](Meta::is_partial). `None` for any other.
    pub fn present(&self) -> Option<Vec<Range<u64>>> {
        match self.body.done()?.place() {
            Place::File(file) => Some(file.presence().runs(file.length)),
            _ => None,
        }
    }

    /// The opaque trailers given at commit; `None` until then.
    pub fn tail(&self) -> Option<&[u8]> {
        self.body.done().map(Done::tail)
    }

    /// Since when an event has made it stale, if one has, as far as the last look-up saw: in whole
    /// seconds, rather too early.
    pub fn stale_since(&self) -> Option<i64> {
        self.standing.stale_since()
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

    pub(crate) fn body(&self) -> &Body {
        &self.body
    }

    /// True if memory is not to have it.
    pub(crate) fn is_lent(&self) -> bool {
        self.holding().is_some_and(Holding::is_lent)
    }

    /// True if its body is short, and on disk alone for want of room in memory.
    pub(crate) fn is_left_on_disk(&self) -> bool {
        matches!(self.holding(), Some(Holding::OnDisk))
    }

    /// How its body is counted in memory; `None` if it is not.
    pub(crate) fn holding(&self) -> Option<&Holding> {
        self.body.done()?.holding()
    }

    pub(crate) fn sequence(&self) -> u64 {
        self.sequence.load(Ordering::Acquire)
    }

    pub(crate) fn set_sequence(&self, sequence: u64) {
        self.sequence.store(sequence, Ordering::Release);
    }

    /// True if its file lost its place: look-ups must not find it.
    pub(crate) fn is_gone(&self) -> bool {
        match self.body.done().map(Done::place) {
            Some(Place::File(file) | Place::Part(file, _)) => file.is_gone(),
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

/// An entry that somebody keeps as long as this is there, and counts: the queue of the disk, or who has
/// just made it.
pub(crate) struct Keeper<M>(Arc<Entry<M>>);

impl<M> Keeper<M> {
    pub(crate) fn new(entry: Arc<Entry<M>>) -> Self {
        entry.holding().into_iter().for_each(Holding::keep);
        Self(entry)
    }

    /// Of one whose body has just been made.
    pub(crate) fn made(entry: Arc<Entry<M>>) -> Self {
        Self(entry)
    }
}

impl<M> Clone for Keeper<M> {
    fn clone(&self) -> Self {
        Self::new(Arc::clone(&self.0))
    }
}

impl<M> Deref for Keeper<M> {
    type Target = Arc<Entry<M>>;

    fn deref(&self) -> &Arc<Entry<M>> {
        &self.0
    }
}

impl<M> Drop for Keeper<M> {
    fn drop(&mut self) {
        self.0.holding().into_iter().for_each(Holding::give_up);
    }
}

pub(crate) type Entries<M> = SmallVec<[Arc<Entry<M>>; 1]>;

/// The entries of one key, newest first. Copies share them.
pub struct Variants<M>(Held<M>);

enum Held<M> {
    /// Most keys have one entry, of which nothing more has to be said.
    One(Arc<Entry<M>>),
    Many(Arc<Many<M>>),
}

struct Many<M> {
    entries: Entries<M>,
    /// The disk has variants that are not here.
    partial: bool,
}

impl<M: Meta> Variants<M> {
    /// `None` if there are none.
    pub(crate) fn new(mut entries: Entries<M>, partial: bool) -> Option<Self> {
        if entries.len() == 1 && !partial {
            return entries.pop().map(|entry| Self(Held::One(entry)));
        }
        let many = Many { entries, partial };
        (!many.entries.is_empty()).then(|| Self(Held::Many(Arc::new(many))))
    }

    /// True if no event has ended any of them. Costs next to nothing if there was no event since it
    /// was last asked.
    pub(crate) fn are_alive(&self, key: &[u8], events: &Events) -> bool {
        let changes = events.changes();
        !self.iter().any(|entry| entry.is_ended_by(changes, key, events))
    }

    /// Memory keeps them.
    pub(crate) fn keep(&self) {
        self.iter().filter_map(|entry| entry.holding()).for_each(Holding::keep);
    }

    /// Memory does not keep them any more.
    pub(crate) fn give_up(&self) {
        self.iter().filter_map(|entry| entry.holding()).for_each(Holding::give_up);
    }

    /// Bytes of memory that they take.
    pub(crate) fn weight(&self) -> u64 {
        let entries: u64 = self.iter().map(|entry| entry.weight()).sum();
        match &self.0 {
            Held::One(_) => entries,
            Held::Many(many) => {
                let list = match many.entries.len() {
                    1 => 0,
                    more => allocated(more.next_power_of_two() * size_of::<Arc<Entry<M>>>()),
                };
                entries + (allocated(ARC + size_of::<Many<M>>()) + list) as u64
            }
        }
    }
}

impl<M> Variants<M> {
    /// Newest first.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<Entry<M>>> {
        self.entries().iter()
    }

    fn entries(&self) -> &[Arc<Entry<M>>] {
        match &self.0 {
            Held::One(entry) => std::slice::from_ref(entry),
            Held::Many(many) => &many.entries,
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.entries().len()
    }

    fn first(&self) -> Option<&Done> {
        self.entries().first()?.body.done()
    }

    /// Their key: what is in memory is complete.
    pub(crate) fn key(&self) -> &[u8] {
        self.first().map_or(&[], Done::key)
    }

    /// Where the disk tier notes that the key was hit.
    pub(crate) fn mark(&self) -> u32 {
        self.first().map_or(0, |done| done.mark)
    }

    /// True if these are all variants of the key, each readable.
    pub(crate) fn is_whole(&self) -> bool {
        let partial = matches!(&self.0, Held::Many(many) if many.partial);
        !partial && !self.entries().iter().any(|entry| entry.is_gone())
    }
}

impl<M> Clone for Variants<M> {
    fn clone(&self) -> Self {
        Self(match &self.0 {
            Held::One(entry) => Held::One(Arc::clone(entry)),
            Held::Many(many) => Held::Many(Arc::clone(many)),
        })
    }
}

impl<M: fmt::Debug> fmt::Debug for Variants<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.entries()).finish()
    }
}
