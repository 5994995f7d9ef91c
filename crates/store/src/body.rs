//! A body from its first byte on: one writer, any number of readers, on any threads.
//!
//! While it is filled, the bytes that readers may still need stand in a window. What is behind the
//! window is in a temporary file, or gone if the body is only passed along. Readers wait behind the
//! writer's high-water mark and are woken; the lock is never held across an await.

use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::Notify;
use tokio::time::{Instant, timeout};

use crate::disk::{FileBody, Handle, Io, Piece, lock};
use crate::window::{Spilled, State, piece_at, pieces};

/// Bytes of a body passed along that may wait for the slowest reader.
const PASS_ALONG: u64 = 256 << 10;
/// How often a writer that waits looks who holds the others up: a quarter of what they may.
const LOOK: Duration = Duration::from_millis(250);

/// Bytes of bodies under way, and how many there may be.
pub(crate) struct InFlight {
    bytes: AtomicU64,
    limit: u64,
}

impl InFlight {
    pub(crate) fn new(limit: u64) -> Self {
        Self { bytes: AtomicU64::new(0), limit }
    }

    pub(crate) fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    pub(crate) fn has_room(&self, bytes: u64) -> bool {
        self.bytes().saturating_add(bytes) <= self.limit
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

/// A body whose last byte has been written.
pub(crate) struct Done {
    pub(crate) length: u64,
    pub(crate) tail: Box<[u8]>,
    pub(crate) place: Place,
}

/// Where a complete body is.
pub(crate) enum Place {
    /// In pieces of 256 KiB, the last one shorter.
    Memory(Box<[Bytes]>),
    File(Arc<FileBody>),
    /// Only readers that came in time can have the rest of it.
    Nowhere,
}

/// What a reader at some position does next.
pub(crate) enum Step {
    Chunk(Bytes),
    /// Read this from the temporary file; a failure is the reader's alone.
    Spilled(Arc<Io>, Piece),
    File(Arc<FileBody>),
    Wait,
    End,
    Broken,
}

/// A body from its first byte on.
pub(crate) struct Body {
    declared: Option<u64>,
    state: Mutex<State>,
    done: OnceLock<Done>,
    pub(crate) data: Notify,
    space: Notify,
    /// Readers, and those who are about to read.
    readers: AtomicUsize,
    /// Readers that have everything and wait for more.
    hungry: AtomicUsize,
    removed: AtomicBool,
    flight: Arc<InFlight>,
}

impl Body {
    pub(crate) fn new(declared: Option<u64>, flight: Arc<InFlight>) -> Self {
        Self {
            declared,
            state: Mutex::default(),
            done: OnceLock::new(),
            data: Notify::new(),
            space: Notify::new(),
            readers: AtomicUsize::new(0),
            hungry: AtomicUsize::new(0),
            removed: AtomicBool::new(false),
            flight,
        }
    }

    /// A body that is complete from the start.
    pub(crate) fn complete(done: Done, flight: Arc<InFlight>) -> Self {
        let body = Self::new(Some(done.length), flight);
        let _ = body.done.set(done);
        body
    }

    pub(crate) fn done(&self) -> Option<&Done> {
        self.done.get()
    }

    pub(crate) fn length(&self) -> Option<u64> {
        self.done.get().map(|done| done.length).or(self.declared)
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

    /// The writer's high-water mark.
    pub(crate) fn end(&self) -> u64 {
        self.done.get().map_or_else(|| lock(&self.state).end, |done| done.length)
    }
}

/// The writer's side.
impl Body {
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
        let freed = lock(&self.state).append(chunk);
        self.flight.sub(freed);
        self.data.notify_waiters();
    }

    /// From now on the window forgets what every reader has.
    pub(crate) fn pass_along(&self) {
        let freed = {
            let mut state = lock(&self.state);
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
            let alone = {
                let state = lock(&self.state);
                if state.held <= PASS_ALONG {
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
        let (broken_off, freed) = lock(&self.state).charge(waited);
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
        lock(&self.state).written_from(offset)
    }

    /// The temporary file now has these further whole blocks.
    pub(crate) fn spilled(&self, io: &Arc<Io>, handle: &Arc<Handle>, sums: &[u64]) {
        let mut state = lock(&self.state);
        let spilled = state.spilled.get_or_insert_with(|| Spilled {
            handle: Arc::clone(handle),
            sums: Vec::new(),
            io: Arc::clone(io),
        });
        spilled.sums.extend_from_slice(sums);
        let freed = state.forget_spilled();
        drop(state);
        self.flight.sub(freed);
    }

    /// Ends a body that is wholly in memory: true copies of what arrived, in even pieces.
    pub(crate) fn finish_in_memory(&self, tail: &[u8]) {
        let mut state = lock(&self.state);
        let window = std::mem::take(&mut state.window);
        let place = Place::Memory(pieces(window, state.end));
        let _ = self.done.set(Done { length: state.end, tail: tail.into(), place });
        drop(state);
        self.data.notify_waiters();
    }

    pub(crate) fn finish_in_file(&self, tail: &[u8], file: Arc<FileBody>) {
        let mut state = lock(&self.state);
        state.window.clear();
        let held = std::mem::take(&mut state.held);
        if state.followers.count() == 0 {
            state.spilled = None;
        }
        let done = Done { length: state.end, tail: tail.into(), place: Place::File(file) };
        let _ = self.done.set(done);
        drop(state);
        self.flight.sub(held);
        self.data.notify_waiters();
    }

    /// Ends a body that is not kept.
    pub(crate) fn finish_nowhere(&self, tail: &[u8]) {
        let mut state = lock(&self.state);
        state.forgetful = true;
        let freed = state.trim();
        let done = Done { length: state.end, tail: tail.into(), place: Place::Nowhere };
        let _ = self.done.set(done);
        drop(state);
        self.flight.sub(freed);
        self.data.notify_waiters();
    }

    /// The rest will never come.
    pub(crate) fn break_off(&self) {
        let mut state = lock(&self.state);
        state.broken = true;
        state.forgetful = true;
        let freed = state.trim();
        drop(state);
        self.flight.sub(freed);
        self.data.notify_waiters();
    }

    /// Breaks off unless somebody reads. Who comes later is told so at once: [`Body::join`] looks
    /// under the same lock.
    pub(crate) fn break_off_if_alone(&self) -> bool {
        let mut state = lock(&self.state);
        if self.readers() > 0 {
            return false;
        }
        state.broken = true;
        drop(state);
        self.data.notify_waiters();
        true
    }

    /// From here on the memory tier accounts for the bytes.
    pub(crate) fn hand_over(&self) {
        let held = std::mem::take(&mut lock(&self.state).held);
        self.flight.sub(held);
    }
}

/// The readers' side.
impl Body {
    /// Registers a reader at the start. `None` if the start is gone or the end will never come.
    pub(crate) fn join(&self) -> Option<Joined> {
        let mut state = lock(&self.state);
        let joined = match self.done.get().map(|done| &done.place) {
            Some(Place::Memory(_) | Place::File(_)) => Joined::Complete,
            Some(Place::Nowhere) | None if state.broken || state.has_gap() => return None,
            Some(Place::Nowhere) | None => state.join(),
        };
        self.register();
        drop(state);
        // A writer that waits for one reader alone does not look who is slow.
        self.space.notify_waiters();
        Some(joined)
    }

    /// Counts somebody who is about to read as a reader, until [`Body::unregister`].
    pub(crate) fn register(&self) {
        self.readers.fetch_add(1, Ordering::AcqRel);
    }

    pub(crate) fn unregister(&self) {
        self.readers.fetch_sub(1, Ordering::AcqRel);
        self.space.notify_waiters();
    }

    /// Counts a reader that waits for more, as long as the guard lives.
    pub(crate) fn hungry(&self) -> Hungry<'_> {
        self.hungry.fetch_add(1, Ordering::AcqRel);
        Hungry(self)
    }

    /// Says what a reader at `position` does next.
    pub(crate) fn step(&self, joined: Joined, position: u64) -> Step {
        if let Some(step) = self.step_in_done(position) {
            return step;
        }
        let mut state = lock(&self.state);
        // It may have ended since; under the lock the answer is final.
        match self.step_in_done(position) {
            Some(step) => step,
            None => state.step(joined, position),
        }
    }

    /// `None` if the body is not complete, or only its window has the rest.
    fn step_in_done(&self, position: u64) -> Option<Step> {
        let done = self.done.get()?;
        match &done.place {
            _ if position >= done.length => Some(Step::End),
            Place::Memory(pieces) => Some(Step::Chunk(piece_at(pieces, position))),
            Place::File(file) => Some(Step::File(Arc::clone(file))),
            Place::Nowhere => None,
        }
    }

    /// A reader went on, possibly over bytes that it did not want.
    pub(crate) fn advance(&self, joined: Joined, position: u64) {
        let Joined::UnderWay(number) = joined else { return };
        let freed = lock(&self.state).advance(number, position);
        if freed > 0 {
            self.flight.sub(freed);
            self.space.notify_waiters();
        }
    }

    pub(crate) fn leave(&self, joined: Joined) {
        let Joined::UnderWay(number) = joined else { return self.unregister() };
        let mut state = lock(&self.state);
        let left = state.leave(number);
        let in_file = matches!(self.done(), Some(Done { place: Place::File(_), .. }));
        if in_file && state.followers.count() == 0 {
            state.spilled = None;
        }
        drop(state);
        // One that was broken off has not counted since.
        if let Some(freed) = left {
            self.flight.sub(freed);
            self.unregister();
        }
    }

    /// The open temporary file of a body that went to disk while readers followed it.
    pub(crate) fn followed_file(&self) -> Option<Arc<Handle>> {
        lock(&self.state).spilled.as_ref().map(|spilled| Arc::clone(&spilled.handle))
    }
}

impl Drop for Body {
    fn drop(&mut self) {
        self.hand_over();
    }
}

/// When a reader came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Joined {
    /// The body was complete.
    Complete,
    /// The window counts this reader, by its number.
    UnderWay(usize),
}

/// A reader that waits for more.
pub(crate) struct Hungry<'b>(&'b Body);

impl Drop for Hungry<'_> {
    fn drop(&mut self) {
        self.0.hungry.fetch_sub(1, Ordering::AcqRel);
    }
}
