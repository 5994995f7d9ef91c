//! Whose turn it is to send: the responses of a connection share what its socket and its window take.
//!
//! A response asks for its turn before it hands a piece to the codec, and gets a ticket for it that
//! lives as long as the piece is on its way. So no more than [`PIECES`] wait inside the codec (or
//! [`ROOM`], of responses that are short and in memory anyway), and what comes next is decided when
//! there is room for it: by urgency, not by who asked first.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use super::priority::Priority;
use crate::clock::ticks;

/// Bytes of content inside the codec at once, for all responses of a connection.
pub(super) const ROOM: u32 = 64 << 10;
/// Bytes of content for which one turn is good.
pub(super) const PIECE: u32 = 16 << 10;
/// Bytes inside the codec at which nobody has a turn. They may be read for it alone, from a file or
/// the origin, and stay for as long as the client takes nothing: one piece, where many do so.
const PIECES: u32 = 3 * PIECE;
/// Connections that are many in that sense.
const MANY: usize = 256;
/// RFC 9113 §6.9.2: the window of a new connection.
const FIRST_WINDOW: i64 = 65_535;

/// How many connections have clients that take nothing at the moment, over all workers.
#[derive(Debug, Default)]
pub(crate) struct Behind(AtomicUsize);

impl Behind {
    /// One more, as long as that is there.
    fn count(self: &Arc<Self>) -> Counted {
        self.0.fetch_add(1, Ordering::Relaxed);
        Counted(Arc::clone(self))
    }

    /// What may be inside the codec of each.
    fn pieces(&self) -> u32 {
        if self.0.load(Ordering::Relaxed) > MANY { PIECE } else { PIECES }
    }
}

/// A connection whose client takes nothing.
struct Counted(Arc<Behind>);

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// The order of one connection.
pub(super) struct Turns(Mutex<State>);

/// The connection is closed: there are no more turns.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Over;

struct State {
    /// Bytes for which there are tickets.
    under_way: u32,
    /// What the client's window for the connection still takes, by the frames on the wire.
    window: i64,
    waiting: Vec<Waiting>,
    asked: u64,
    /// The last turn went to an incremental response.
    shared_last: bool,
    /// The client knows of priorities.
    is_told: bool,
    /// What the client wants of streams, ahead of their requests or in place of what those said.
    updates: BTreeMap<u32, Priority>,
    /// When something moved for the last time.
    moved: u64,
    /// It is one of those whose socket takes no more.
    counted: Option<Counted>,
    behind: Arc<Behind>,
    over: bool,
}

struct Waiting {
    stream: u32,
    priority: Priority,
    /// The number of its question: who was served asks again behind the others.
    number: u64,
    waker: Waker,
}

/// The right to have so many bytes inside the codec.
#[derive(Debug)]
pub(super) struct Ticket {
    turns: Arc<Turns>,
    bytes: u32,
}

impl std::fmt::Debug for Turns {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str("Turns")
    }
}

impl Turns {
    #[cfg(test)]
    pub(super) fn new() -> Arc<Self> {
        Self::among(Arc::default())
    }

    /// The order of a new connection, which is one of those that `behind` counts.
    pub(super) fn among(behind: Arc<Behind>) -> Arc<Self> {
        Arc::new(Self(Mutex::new(State {
            under_way: 0,
            window: FIRST_WINDOW,
            waiting: Vec::new(),
            asked: 0,
            shared_last: false,
            is_told: false,
            updates: BTreeMap::new(),
            moved: ticks(),
            counted: None,
            behind,
            over: false,
        })))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What a request says of its priority, unless the client has said something else since.
    pub(super) fn priority(&self, stream: u32, field: Option<&[u8]>) -> Priority {
        let mut state = self.state();
        state.is_told |= field.is_some();
        //= https://www.rfc-editor.org/rfc/rfc9218#section-7.1
        //# The HTTP/2 PRIORITY_UPDATE frame (type=0x10) is used by clients to signal the initial
        //# priority of a response, or to reprioritize a response or push stream.
        state.updates.get(&stream).copied().unwrap_or_else(|| Priority::parse(field.unwrap_or(b"")))
    }

    /// A `PRIORITY_UPDATE` frame. At most `most` streams are remembered: the oldest are over.
    pub(super) fn update(&self, stream: u32, priority: Priority, most: usize) {
        let mut state = self.state();
        state.is_told = true;
        state.updates.insert(stream, priority);
        if state.updates.len() > most {
            state.updates.pop_first();
        }
        for waiting in state.waiting.iter_mut().filter(|waiting| waiting.stream == stream) {
            waiting.priority = priority;
        }
        state.wake_next();
    }

    /// What was said of a stream that is over now.
    pub(super) fn forget(&self, stream: u32) {
        let mut state = self.state();
        state.updates.remove(&stream);
        state.leave(stream);
    }

    /// A ticket for all of `bytes`, if nobody waits and there is room.
    pub(super) fn take_at_once(self: &Arc<Self>, bytes: u32) -> Option<Ticket> {
        let mut state = self.state();
        let fits = state.waiting.is_empty() && bytes <= state.room(ROOM).min(PIECE);
        fits.then(|| state.grant(bytes))?;
        Some(Ticket { turns: Arc::clone(self), bytes })
    }

    /// Waits for the turn of `stream`, which is good for no more than `most` bytes.
    pub(super) fn poll_take(
        self: &Arc<Self>,
        stream: u32,
        priority: Priority,
        most: u64,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Ticket, Over>> {
        let mut state = self.state();
        if state.over {
            return Poll::Ready(Err(Over));
        }
        state.enter(stream, priority, cx.waker());
        let wanted = u32::try_from(most).unwrap_or(u32::MAX).min(PIECE);
        if state.next() != Some(stream) || !state.has_room_for(wanted) {
            return Poll::Pending;
        }
        state.shared_last = state.priority_of(stream).incremental;
        state.leave(stream);
        let bytes = wanted.min(state.room(PIECES));
        state.grant(bytes);
        // There may be room for one more.
        state.wake_next();
        Poll::Ready(Ok(Ticket { turns: Arc::clone(self), bytes }))
    }

    /// The client has opened its window for the connection.
    pub(super) fn opened(&self, by: u32) {
        let mut state = self.state();
        state.window += i64::from(by);
        state.moved = ticks();
        state.wake_next();
    }

    /// The socket takes no more, or has taken all: in between nothing more is read for it.
    pub(super) fn fall_behind(&self, is_behind: bool) {
        let mut state = self.state();
        state.moved = ticks();
        if state.counted.is_some() != is_behind {
            state.counted = is_behind.then(|| state.behind.count());
            state.wake_next();
        }
    }

    /// So much content has gone out.
    pub(super) fn sent(&self, bytes: u32) {
        self.state().window -= i64::from(bytes);
    }

    /// Since when, in ticks, responses have been waiting without any of them moving.
    pub(super) fn stalled_since(&self) -> Option<u64> {
        let state = self.state();
        (!state.waiting.is_empty()).then_some(state.moved)
    }

    /// The connection is closed.
    pub(super) fn close(&self) {
        let mut state = self.state();
        state.over = true;
        state.waiting.drain(..).for_each(|waiting| waiting.waker.wake());
    }
}

impl State {
    /// What may still go in until there are `most` bytes inside.
    fn room(&self, most: u32) -> u32 {
        let window = self.window - i64::from(self.under_way);
        let room = most.saturating_sub(self.under_way);
        room.min(u32::try_from(window.max(0)).unwrap_or(u32::MAX))
    }

    /// Room in the codec is waited for until a piece fits; a window that is nearly closed may stay so.
    fn has_room_for(&self, wanted: u32) -> bool {
        let room = self.behind.pieces().saturating_sub(self.under_way);
        self.counted.is_none() && room >= wanted && self.room(PIECES) > 0
    }

    fn grant(&mut self, bytes: u32) {
        self.under_way += bytes;
        self.moved = ticks();
    }

    fn enter(&mut self, stream: u32, priority: Priority, waker: &Waker) {
        if let Some(known) = self.waiting.iter_mut().find(|waiting| waiting.stream == stream) {
            known.waker.clone_from(waker);
            return;
        }
        if self.waiting.is_empty() {
            self.moved = ticks();
        }
        let priority = self.updates.get(&stream).copied().unwrap_or(priority);
        self.asked += 1;
        self.waiting.push(Waiting { stream, priority, number: self.asked, waker: waker.clone() });
    }

    fn leave(&mut self, stream: u32) {
        self.waiting.retain(|waiting| waiting.stream != stream);
        self.wake_next();
    }

    /// The priority of a stream that waits. A client that has never spoken of priorities has not said
    /// that it cannot use responses piece by piece; to it all are equal.
    fn priority_of(&self, stream: u32) -> Priority {
        let found = self.waiting.iter().find(|waiting| waiting.stream == stream);
        found.map_or_else(Priority::default, |waiting| self.effective(waiting))
    }

    fn effective(&self, waiting: &Waiting) -> Priority {
        let incremental = waiting.priority.incremental || !self.is_told;
        Priority { incremental, ..waiting.priority }
    }

    /// Who is to be served next.
    fn next(&self) -> Option<u32> {
        //= https://www.rfc-editor.org/rfc/rfc9218#section-10
        //# It is RECOMMENDED that, when possible, servers respect the urgency parameter (Section 4.1),
        //# sending higher-urgency responses before lower-urgency responses.
        let urgency = self.waiting.iter().map(|waiting| waiting.priority.urgency).min()?;
        let most_urgent = || self.waiting.iter().filter(|w| w.priority.urgency == urgency);
        //= https://www.rfc-editor.org/rfc/rfc9218#section-10
        //# Non-incremental responses of the same urgency SHOULD be served by prioritizing bandwidth
        //# allocation in ascending order of the stream ID
        let first = most_urgent().filter(|w| !self.effective(w).incremental);
        let first = first.map(|waiting| waiting.stream).min();
        //= https://www.rfc-editor.org/rfc/rfc9218#section-10
        //# Incremental responses of the same urgency SHOULD be served by sharing bandwidth among them.
        let sharing = most_urgent().filter(|w| self.effective(w).incremental);
        let sharing = sharing.min_by_key(|waiting| waiting.number).map(|waiting| waiting.stream);
        //= https://www.rfc-editor.org/rfc/rfc9218#section-10
        //# It is RECOMMENDED that servers avoid such starvation where possible.
        if self.shared_last { first.or(sharing) } else { sharing.or(first) }
    }

    fn wake_next(&self) {
        let Some(next) = self.next().filter(|_| self.has_room_for(1)) else { return };
        let next = self.waiting.iter().find(|waiting| waiting.stream == next);
        if let Some(waiting) = next {
            waiting.waker.wake_by_ref();
        }
    }
}

impl Ticket {
    pub(super) fn bytes(&self) -> u32 {
        self.bytes
    }

    /// Splits off the ticket for the first of several pieces.
    pub(super) fn split(&mut self, bytes: u32) -> Self {
        let bytes = bytes.min(self.bytes);
        self.bytes -= bytes;
        Self { turns: Arc::clone(&self.turns), bytes }
    }

    /// Gives back what is not needed.
    pub(super) fn shrink_to(&mut self, bytes: u32) {
        let unused = self.bytes.saturating_sub(bytes);
        self.bytes -= unused;
        self.give_back(unused);
    }

    fn give_back(&self, bytes: u32) {
        if bytes > 0 {
            let mut state = self.turns.state();
            state.under_way = state.under_way.saturating_sub(bytes);
            state.moved = ticks();
            state.wake_next();
        }
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        self.give_back(self.bytes);
    }
}

#[cfg(test)]
mod tests;
