//! A body on its way: one writer, any number of readers, on any threads.
//!
//! The bytes that readers may still need stand in a window. What is behind the window is in a
//! temporary file, or gone if the body is only passed along. Readers wait behind the writer's
//! high-water mark and are woken; the lock is never held across an await.

use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::Notify;
use tokio::time::{Instant, timeout};

use crate::disk::{Handle, Io, lock};
use crate::window::{Spilled, State};

/// Bytes of a body passed along that may wait for the slowest reader; and if room is scarce.
const PASS_ALONG: u64 = 256 << 10;
const PASS_ALONG_LITTLE: u64 = 16 << 10;
/// Bytes of a body not yet on disk, above which its fill waits for the disk; and if room is scarce.
const UNWRITTEN: u64 = 2 << 20;
const UNWRITTEN_LITTLE: u64 = 256 << 10;
/// What all bodies that go to files have to share if room is scarce, as long as each has enough for a
/// write: the more there are, the less does any of them have to be ahead of the disk.
const UNWRITTEN_TOGETHER: u64 = 8 << 20;
/// Bytes worth a write of their own, never more than may be unwritten. If room is scarce and they go
/// to a file in any case, a block: less of it could not be read from there.
const WORTH_WRITING: u64 = 256 << 10;
const WORTH_WRITING_LITTLE: u64 = 64 << 10;
/// Bodies that may be on their way to the disk if room is scarce.
const PASSAGES: usize = 128;
/// How often a writer that waits looks who holds the others up: a quarter of what they may.
const LOOK: Duration = Duration::from_millis(250);

/// Bytes of bodies under way, and how many there may be.
pub(crate) struct InFlight {
    bytes: AtomicU64,
    limit: u64,
    /// Bodies on their way to the disk.
    passages: AtomicUsize,
}

/// A body's right to go to the disk, until it is dropped.
pub(crate) struct Passage(Arc<InFlight>);

impl Drop for Passage {
    fn drop(&mut self) {
        self.0.passages.fetch_sub(1, Ordering::Relaxed);
    }
}

impl InFlight {
    pub(crate) fn new(limit: u64) -> Self {
        Self { bytes: AtomicU64::new(0), limit, passages: AtomicUsize::new(0) }
    }

    /// The right to go to the disk. However little each holds, where room is scarce not everyone has
    /// it: an origin may stop in the midst of each of thousands of bodies.
    pub(crate) fn passage(self: &Arc<Self>) -> Option<Passage> {
        let others = self.passages.fetch_add(1, Ordering::Relaxed);
        let passage = Passage(Arc::clone(self));
        (others < PASSAGES || !self.is_scarce()).then_some(passage)
    }

    /// What each of those on their way to the disk may be ahead of it where room is scarce.
    fn share(&self) -> u64 {
        let passages = self.passages.load(Ordering::Relaxed).max(1) as u64;
        (UNWRITTEN_TOGETHER / passages).clamp(WORTH_WRITING_LITTLE, UNWRITTEN_LITTLE)
    }

    pub(crate) fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    pub(crate) fn has_room(&self, bytes: u64) -> bool {
        self.bytes().saturating_add(bytes) <= self.limit
    }

    /// True once those that can do with less should.
    fn is_scarce(&self) -> bool {
        self.bytes() >= self.limit
    }

    /// Adds within the limit, or not at all.
    fn try_add(&self, bytes: u64) -> bool {
        let add = |now: u64| now.checked_add(bytes).filter(|sum| *sum <= self.limit);
        self.bytes.fetch_update(Ordering::Relaxed, Ordering::Relaxed, add).is_ok()
    }

    fn add(&self, bytes: u64) {
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    fn sub(&self, bytes: u64) {
        self.bytes.fetch_sub(bytes, Ordering::Relaxed);
    }
}

/// A body on its way.
pub(crate) struct Stream {
    declared: Option<u64>,
    state: Mutex<State>,
    pub(crate) data: Notify,
    space: Notify,
    /// Readers that came before the body was complete, and those who are about to read.
    readers: AtomicUsize,
    /// Readers that have everything and wait for more.
    hungry: AtomicUsize,
    removed: AtomicBool,
    flight: Arc<InFlight>,
}

impl Stream {
    /// Nothing yet. `weight` is what the fill takes beside the bytes of the body.
    pub(crate) fn new(declared: Option<u64>, flight: Arc<InFlight>, weight: u64) -> Self {
        flight.add(weight);
        Self {
            declared,
            state: Mutex::new(State { held: weight, ..State::default() }),
            data: Notify::new(),
            space: Notify::new(),
            readers: AtomicUsize::new(0),
            hungry: AtomicUsize::new(0),
            removed: AtomicBool::new(false),
            flight,
        }
    }

    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }

    /// The length that was declared.
    pub(crate) fn declared(&self) -> Option<u64> {
        self.declared
    }

    /// True if a body that ends at `end` is as long as was declared.
    pub(crate) fn may_end_at(&self, end: u64) -> bool {
        self.declared.is_none_or(|declared| declared == end)
    }

    pub(crate) fn may_reach(&self, end: u64) -> bool {
        self.declared.is_none_or(|declared| end <= declared)
    }

    pub(crate) fn readers(&self) -> usize {
        self.readers.load(Ordering::Acquire)
    }

    /// The key was removed while this body was on its way: it must not be stored any more.
    pub(crate) fn set_removed(&self) {
        self.removed.store(true, Ordering::Release);
    }

    pub(crate) fn is_removed(&self) -> bool {
        self.removed.load(Ordering::Acquire)
    }

    /// True if bodies under way have taken their share of memory: who can do with less should.
    pub(crate) fn is_scarce(&self) -> bool {
        self.flight.is_scarce()
    }

    /// The writer's high-water mark.
    pub(crate) fn end(&self) -> u64 {
        self.state().end
    }
}

/// The writer's side.
impl Stream {
    /// Takes a chunk if it fits the share of memory of bodies under way.
    pub(crate) fn try_push(&self, chunk: &Bytes) -> bool {
        let room = self.flight.try_add(chunk.len() as u64);
        if room {
            self.append(chunk.clone());
        }
        room
    }

    /// Takes a chunk whatever the share; the caller keeps the window small.
    pub(crate) fn push(&self, chunk: Bytes) {
        self.flight.add(chunk.len() as u64);
        self.append(chunk);
    }

    fn append(&self, chunk: Bytes) {
        if chunk.is_empty() {
            return;
        }
        let freed = self.state().append(chunk);
        self.flight.sub(freed);
        self.data.notify_waiters();
    }

    /// From now on the window forgets what every reader has.
    pub(crate) fn pass_along(&self) {
        let freed = {
            let mut state = self.state();
            state.forgetful = true;
            state.trim()
        };
        self.flight.sub(freed);
    }

    /// Waits until readers have taken enough of a body that is passed along. One that holds the
    /// others up for too long is broken off; a lone one ends by whatever its client may take.
    pub(crate) async fn wait_for_readers(&self) {
        loop {
            let mut taken = std::pin::pin!(self.space.notified());
            taken.as_mut().enable();
            let most = if self.flight.is_scarce() { PASS_ALONG_LITTLE } else { PASS_ALONG };
            let alone = {
                let state = self.state();
                // What the fill takes beside its bytes is nobody's to take.
                if state.end - state.start() <= most {
                    return;
                }
                state.followers.count() < 2
            };
            if alone {
                taken.await;
                continue;
            }
            let since = Instant::now();
            let _ = timeout(LOOK, taken).await;
            if self.hungry.load(Ordering::Acquire) > 0 {
                // No more than that: if the whole process stood still, it was nobody's fault.
                self.charge(since.elapsed().min(LOOK));
            }
        }
    }

    fn charge(&self, waited: Duration) {
        let (broken_off, freed) = self.state().charge(waited);
        self.readers.fetch_sub(broken_off, Ordering::AcqRel);
        self.flight.sub(freed);
    }

    /// Waits until nobody reads.
    pub(crate) async fn wait_until_alone(&self) {
        loop {
            let mut left = std::pin::pin!(self.space.notified());
            left.as_mut().enable();
            if self.readers() == 0 {
                return;
            }
            left.await;
        }
    }

    /// What was written from `offset` on; the window still has all of it.
    pub(crate) fn written_from(&self, offset: u64) -> Vec<Bytes> {
        self.state().written_from(offset)
    }

    /// Bytes that are worth a write of their own, and as many or more that the fill may have written and
    /// the disk not. The file is there for the body in any case, or would be made for it.
    pub(crate) fn ahead_of_disk(&self, in_any_case: bool) -> (u64, u64) {
        match (self.flight.is_scarce(), in_any_case) {
            (false, _) => (WORTH_WRITING, UNWRITTEN),
            (true, false) => (WORTH_WRITING, UNWRITTEN_LITTLE),
            (true, true) => (WORTH_WRITING_LITTLE, self.flight.share()),
        }
    }

    /// The file that the body is written to, from `offset` on, now has these further blocks to their
    /// ends.
    pub(crate) fn spilled(&self, io: &Arc<Io>, handle: &Arc<Handle>, offset: u64, sums: &[u64]) {
        let mut state = self.state();
        let spilled = state.spilled.get_or_insert_with(|| Spilled {
            handle: Arc::clone(handle),
            offset,
            sums: Vec::new(),
            io: Arc::clone(io),
        });
        spilled.sums.extend_from_slice(sums);
        let freed = state.forget_spilled(self.flight.is_scarce());
        drop(state);
        self.flight.sub(freed);
    }

    /// The rest will never come.
    pub(crate) fn break_off(&self) {
        let mut state = self.state();
        state.broken = true;
        state.forgetful = true;
        let freed = state.trim();
        drop(state);
        self.flight.sub(freed);
        self.data.notify_waiters();
    }

    /// Breaks off unless somebody reads. Who comes later is told so at once: [`Body::join`](crate::body::Body::join) looks
    /// under the same lock.
    pub(crate) fn break_off_if_alone(&self) -> bool {
        let mut state = self.state();
        if self.readers() > 0 {
            return false;
        }
        state.broken = true;
        drop(state);
        self.data.notify_waiters();
        true
    }
}

/// The readers' side.
impl Stream {
    pub(crate) fn register(&self) {
        self.readers.fetch_add(1, Ordering::AcqRel);
        // A writer that waits for one reader alone does not look who is slow.
        self.space.notify_waiters();
    }

    fn unregister(&self) {
        self.readers.fetch_sub(1, Ordering::AcqRel);
        self.space.notify_waiters();
    }

    /// Counts a reader that waits for more, as long as the guard lives.
    pub(crate) fn hungry(&self) -> Hungry<'_> {
        self.hungry.fetch_add(1, Ordering::AcqRel);
        Hungry(self)
    }

    /// A reader went on, possibly over bytes that it did not want.
    pub(crate) fn advance(&self, number: usize, position: u64) {
        let freed = self.state().advance(number, position);
        if freed > 0 {
            self.flight.sub(freed);
            self.space.notify_waiters();
        }
    }

    /// A reader left that was taken off `state`, which returned the bytes that it freed. One that
    /// was broken off has not counted since.
    pub(crate) fn left(&self, freed: Option<u64>) {
        if let Some(freed) = freed {
            self.flight.sub(freed);
            self.unregister();
        }
    }

    pub(crate) fn freed(&self, bytes: u64) {
        self.flight.sub(bytes);
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        let held = self.state().held;
        self.flight.sub(held);
    }
}

/// A reader that waits for more.
pub(crate) struct Hungry<'s>(&'s Stream);

impl Drop for Hungry<'_> {
    fn drop(&mut self) {
        self.0.hungry.fetch_sub(1, Ordering::AcqRel);
    }
}
