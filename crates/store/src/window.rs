//! The bytes of a body under way that readers may still need.

use std::collections::VecDeque;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use crate::body::{Joined, Step};
use crate::disk::{BLOCK, Handle, Io, PIECE, Piece, extents};
use crate::followers::Followers;
use crate::lent::LITTLE;

/// Bytes of a written body that stay in memory for readers close behind the writer.
const KEEP_BEHIND: u64 = 256 << 10;
/// A shorter chunk is copied: it may pin a read buffer many times its length. Several are copied
/// together up to this length, so that a body of many tiny chunks has few.
const COPY_BELOW: usize = 16 << 10;
/// A chunk that a reader wants is worth having by itself from this length on; of a shorter one that
/// still grows it gets a copy.
const WORTH_SHARING: usize = 4 << 10;
/// Bytes of short chunks that a reader gets at once. Also of any that are passed along: what a
/// reader takes and then sends on slowly must not look like no progress.
const AT_ONCE: usize = 64 << 10;

/// The state of a body under way.
#[derive(Default)]
pub(crate) struct State {
    pub(crate) window: VecDeque<Chunk>,
    /// Offset behind the last byte.
    pub(crate) end: u64,
    /// Readers that joined before the body was complete.
    pub(crate) followers: Followers,
    /// A window that forgets what every reader has.
    pub(crate) forgetful: bool,
    pub(crate) broken: bool,
    /// Bytes counted as in flight.
    pub(crate) held: u64,
    pub(crate) spilled: Option<Spilled>,
}

pub(crate) struct Chunk {
    start: u64,
    data: Data,
    /// Readers that do not have all of it yet.
    waiting: usize,
}

enum Data {
    /// The end of the window: short chunks that arrived one after the other, with more to come.
    Open(Vec<u8>),
    /// Nothing else shares its buffer.
    Own(Bytes),
    Shared(Bytes),
}

/// The verified beginning of a body in a file.
pub(crate) struct Spilled {
    pub(crate) handle: Arc<Handle>,
    /// Where in the file the body begins, and the checksums of its blocks there. The first one of a
    /// part may begin inside its block.
    pub(crate) offset: u64,
    pub(crate) sums: Vec<u64>,
    pub(crate) io: Arc<Io>,
}

impl Chunk {
    pub(crate) fn bytes(&self) -> &[u8] {
        match &self.data {
            Data::Open(bytes) => bytes,
            Data::Own(bytes) | Data::Shared(bytes) => bytes,
        }
    }

    fn len(&self) -> usize {
        self.bytes().len()
    }

    fn end(&self) -> u64 {
        self.start + self.len() as u64
    }

    /// True if it was copied together from short ones.
    fn is_copy(&self) -> bool {
        !matches!(self.data, Data::Shared(_))
    }

    /// Takes a short chunk in. False if it is closed or would become too long.
    fn extend(&mut self, more: &[u8]) -> bool {
        let Data::Open(bytes) = &mut self.data else { return false };
        let fits = bytes.len() + more.len() <= COPY_BELOW;
        if fits {
            bytes.extend_from_slice(more);
        }
        fits
    }

    /// Takes no more, and weighs no more than it holds.
    fn close(&mut self) {
        if let Data::Open(bytes) = &mut self.data {
            self.data = Data::Own(std::mem::take(bytes).into_boxed_slice().into());
        }
    }

    /// Bytes of it, as a copy if they are few and more are to come.
    fn share(&mut self, range: Range<usize>) -> Bytes {
        if self.len() >= WORTH_SHARING {
            self.close();
        }
        match &self.data {
            Data::Open(bytes) => Bytes::copy_from_slice(&bytes[range]),
            Data::Own(bytes) | Data::Shared(bytes) => bytes.slice(range),
        }
    }
}

impl State {
    pub(crate) fn start(&self) -> u64 {
        self.window.front().map_or(self.end, |chunk| chunk.start)
    }

    /// Bytes from the start of the body that the file has up to the end of a block.
    fn readable(&self) -> u64 {
        let Some(Spilled { offset, sums, .. }) = &self.spilled else { return 0 };
        let blocks = offset / BLOCK + sums.len() as u64;
        (blocks * BLOCK).saturating_sub(*offset)
    }

    /// True if a reader from the start could not get to the end.
    pub(crate) fn has_gap(&self) -> bool {
        self.start() > self.readable()
    }

    /// Takes a chunk in. Returns the bytes freed: all of them if nobody wants them.
    pub(crate) fn append(&mut self, bytes: Bytes) -> u64 {
        let (start, short) = (self.end, bytes.len() < COPY_BELOW);
        self.end += bytes.len() as u64;
        self.held += bytes.len() as u64;
        if !(short && self.extend_last(&bytes)) {
            self.close_last();
            let data = if short { Data::Open(bytes.to_vec()) } else { Data::Shared(bytes) };
            self.window.push_back(Chunk { start, data, waiting: 0 });
        }
        // No reader is beyond the end, so all of them want this.
        let waiting = self.followers.count();
        self.window.back_mut().into_iter().for_each(|last| last.waiting = waiting);
        self.trim()
    }

    fn extend_last(&mut self, bytes: &[u8]) -> bool {
        self.window.back_mut().is_some_and(|last| last.extend(bytes))
    }

    fn close_last(&mut self) {
        self.window.back_mut().into_iter().for_each(Chunk::close);
    }

    /// What was written from `offset` on, where an earlier call ended; what comes later stands in
    /// chunks of its own.
    pub(crate) fn written_from(&mut self, offset: u64) -> Vec<Bytes> {
        let first = self.window.partition_point(|chunk| chunk.start < offset);
        self.close_last();
        self.window.range_mut(first..).map(|chunk| chunk.share(0..chunk.len())).collect()
    }

    /// Registers a reader at the start.
    pub(crate) fn join(&mut self) -> Joined {
        self.window.iter_mut().for_each(|chunk| chunk.waiting += 1);
        Joined::UnderWay(self.followers.join())
    }

    /// A reader went on, possibly over bytes that it did not want. Returns the bytes freed.
    pub(crate) fn advance(&mut self, number: usize, to: u64) -> u64 {
        self.followers.move_to(number, to).map_or(0, |from| self.passed(from, to))
    }

    /// A reader left. Returns the bytes freed, or `None` if it had been broken off.
    pub(crate) fn leave(&mut self, number: usize) -> Option<u64> {
        let position = self.followers.leave(number)?;
        Some(self.passed(position, u64::MAX))
    }

    /// Charges those who still want the oldest chunk for the time that others waited. Returns how
    /// many are broken off for it, and the bytes freed.
    pub(crate) fn charge(&mut self, waited: Duration) -> (usize, u64) {
        let oldest = self.window.front().map_or(0, Chunk::end);
        let broken_off = self.followers.charge(oldest, waited);
        let freed = broken_off.iter().map(|position| self.passed(*position, u64::MAX)).sum();
        (broken_off.len(), freed)
    }

    fn passed(&mut self, from: u64, to: u64) -> u64 {
        let chunks = self.between(from, to);
        for chunk in self.window.range_mut(chunks) {
            chunk.waiting = chunk.waiting.saturating_sub(1);
        }
        self.trim()
    }

    /// The chunks that end behind `from` and not behind `to`.
    fn between(&self, from: u64, to: u64) -> Range<usize> {
        let first = self.window.partition_point(|chunk| chunk.end() <= from);
        let after = self.window.partition_point(|chunk| chunk.end() <= to);
        first..after.max(first)
    }

    /// Says what a reader at `position` of a body under way does next.
    pub(crate) fn step(&mut self, joined: Joined, position: u64, is_scarce: bool) -> Step {
        let broken_off = match joined {
            Joined::UnderWay(number) => self.followers.is_broken_off(number),
            Joined::Complete => false,
        };
        if broken_off || self.is_lost(position) {
            Step::Broken
        } else if position < self.start() {
            self.piece_at(position)
        } else if position < self.end {
            if is_scarce { self.little_at(position) } else { self.chunk_at(position) }
        } else if self.broken {
            Step::Broken
        } else {
            Step::Wait
        }
    }

    fn is_lost(&self, position: u64) -> bool {
        position < self.start() && position >= self.readable()
    }

    /// Forgets what every reader has, if the window forgets. Returns the bytes freed.
    pub(crate) fn trim(&mut self) -> u64 {
        if !self.forgetful {
            return 0;
        }
        self.pop_while(|chunk| chunk.waiting == 0)
    }

    /// Forgets what the temporary file has, except for readers close behind the writer, if there is
    /// room to spare.
    pub(crate) fn forget_spilled(&mut self, is_scarce: bool) -> u64 {
        let (readable, end) = (self.readable(), self.end);
        let keep = if is_scarce { 0 } else { KEEP_BEHIND };
        self.pop_while(|chunk| chunk.end() <= readable && chunk.end() + keep <= end)
    }

    fn pop_while(&mut self, done: impl Fn(&Chunk) -> bool) -> u64 {
        let mut freed = 0;
        while let Some(chunk) = self.window.pop_front_if(|chunk| done(chunk)) {
            freed += chunk.len() as u64;
        }
        self.held -= freed;
        freed
    }

    fn at_once(&self) -> usize {
        if self.forgetful { AT_ONCE } else { PIECE as usize }
    }

    fn chunk_at(&mut self, position: u64) -> Step {
        let number = self.window.partition_point(|chunk| chunk.end() <= position);
        let most = self.at_once();
        let Some(chunk) = self.window.get_mut(number) else { return Step::Broken };
        let from = (position - chunk.start) as usize;
        let rest = chunk.len() - from;
        let room = AT_ONCE.saturating_sub(rest);
        let further = if chunk.is_copy() { self.further_copies(number + 1, room) } else { 0 };
        if further == 0 {
            let chunk = &mut self.window[number];
            return Step::Chunk(chunk.share(from..from + rest.min(most)));
        }
        let mut together = Vec::with_capacity(AT_ONCE);
        together.extend_from_slice(&self.window[number].bytes()[from..]);
        for chunk in self.window.range(number + 1..number + 1 + further) {
            together.extend_from_slice(chunk.bytes());
        }
        Step::Chunk(together.into())
    }

    /// A copy of a little: the reader may be slow, and a part of a chunk would hold all of it.
    fn little_at(&self, position: u64) -> Step {
        let number = self.window.partition_point(|chunk| chunk.end() <= position);
        let length = LITTLE.min((self.end - position) as usize);
        let mut little = Vec::with_capacity(length);
        for chunk in self.window.range(number..) {
            let bytes = &chunk.bytes()[position.saturating_sub(chunk.start) as usize..];
            little.extend_from_slice(&bytes[..bytes.len().min(length - little.len())]);
            if little.len() == length {
                break;
            }
        }
        Step::Chunk(little.into())
    }

    /// How many chunks from `first` on were short when they came, and fit `room` together.
    fn further_copies(&self, first: usize, mut room: usize) -> usize {
        let fits = |chunk: &&Chunk| {
            let left = room.checked_sub(chunk.len()).filter(|_| chunk.is_copy());
            room = left.unwrap_or(0);
            left.is_some()
        };
        self.window.range(first..).take_while(fits).count()
    }

    fn piece_at(&self, position: u64) -> Step {
        let Some(spilled) = &self.spilled else { return Step::Broken };
        let Spilled { offset, sums, handle, io } = spilled;
        let (wanted, before) = (offset + position, offset / BLOCK);
        let first = wanted / BLOCK;
        let most = self.at_once() as u64;
        let last = (first + most / BLOCK).min(before + sums.len() as u64);
        let start = (first * BLOCK).max(*offset);
        let sums = &sums[(first - before) as usize..(last - before) as usize];
        let extents = extents(start, last * BLOCK, sums).collect();
        let piece = Piece { handle: Arc::clone(handle), base: 0, extents };
        Step::Spilled(Arc::clone(io), piece, (wanted - start) as usize)
    }
}

/// Copies the window into pieces of their own, the first behind the key: what they hold is what they
/// weigh.
pub(crate) fn pieces(
    key: &[u8],
    window: &VecDeque<Chunk>,
    length: u64,
) -> (Arc<[u8]>, Box<[Bytes]>) {
    cut(key, window.iter().map(Chunk::bytes), length as usize)
}

/// Copies a complete body likewise.
pub(crate) fn whole(key: &[u8], body: &[u8]) -> (Arc<[u8]>, Box<[Bytes]>) {
    cut(key, std::iter::once(body), body.len())
}

fn cut<'b>(
    key: &[u8],
    chunks: impl Iterator<Item = &'b [u8]>,
    length: usize,
) -> (Arc<[u8]>, Box<[Bytes]>) {
    let first = length.min(PIECE as usize);
    // In its place from the start: another copy would leave a hole behind for each object.
    let mut kept: Arc<[u8]> = std::iter::repeat_n(0, key.len() + first).collect();
    let mut source = Source { chunks, rest: &[] };
    if let Some((name, body)) =
        Arc::get_mut(&mut kept).and_then(|k| k.split_at_mut_checked(key.len()))
    {
        name.copy_from_slice(key);
        source.fill(body);
    }
    let rest = (first..length).step_by(PIECE as usize).map(|start| {
        let mut piece = vec![0; (length - start).min(PIECE as usize)];
        source.fill(&mut piece);
        piece.into()
    });
    let rest = rest.collect();
    (kept, rest)
}

/// Chunks one after the other, in portions of any length.
struct Source<'b, I> {
    chunks: I,
    rest: &'b [u8],
}

impl<'b, I: Iterator<Item = &'b [u8]>> Source<'b, I> {
    fn fill(&mut self, mut room: &mut [u8]) {
        while !room.is_empty() {
            if self.rest.is_empty() {
                let Some(chunk) = self.chunks.next() else { return };
                self.rest = chunk;
            }
            let (taken, rest) = self.rest.split_at(room.len().min(self.rest.len()));
            let (filled, left) = room.split_at_mut(taken.len());
            filled.copy_from_slice(taken);
            (self.rest, room) = (rest, left);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Steps of work for a body of so many chunks of one byte, with a reader that takes each as
    /// it comes and one that takes as much as it gets every 1000 bytes.
    fn steps(chunks: u64, forgetful: bool, is_scarce: bool) -> usize {
        let mut state = State { forgetful, ..State::default() };
        let readers = [state.join(), state.join()];
        let (mut positions, mut steps) = ([0, 0], 0);
        for number in 0..chunks {
            state.append(Bytes::from_static(b"x"));
            for (reader, every) in [(0, 1), (1, 1000)] {
                let Joined::UnderWay(follower) = readers[reader] else { unreachable!() };
                while number % every == 0
                    && let Step::Chunk(bytes) =
                        state.step(readers[reader], positions[reader], is_scarce)
                {
                    let from = positions[reader];
                    positions[reader] += bytes.len() as u64;
                    steps += 1 + state.between(from, positions[reader]).len();
                    state.advance(follower, positions[reader]);
                }
            }
        }
        assert!(state.window.len() as u64 <= chunks / WORTH_SHARING as u64 + 2);
        assert_eq!(state.held, if forgetful { 999 } else { chunks });
        steps
    }

    #[test]
    fn twice_as_many_tiny_chunks_are_twice_as_much_work() {
        for (forgetful, is_scarce) in [(false, false), (false, true), (true, false), (true, true)] {
            let steps = |chunks| steps(chunks, forgetful, is_scarce);
            let (once, twice) = (steps(20_000), steps(40_000));
            assert!(once <= 45_000 && twice <= 2 * once + 10, "{once}, {twice}");
        }
    }

    #[test]
    fn where_room_is_scarce_a_reader_gets_a_little_whatever_the_chunks() {
        let whole: Vec<u8> = (0..100_000_u32).map(|at| (at % 251) as u8).collect();
        for chunk in [1, 999, 16 << 10, 20_000, 64 << 10, 100_000] {
            let mut state = State::default();
            let joined = state.join();
            for chunk in whole.chunks(chunk) {
                state.append(Bytes::copy_from_slice(chunk));
            }
            let (mut all, mut steps) = (Vec::new(), 0);
            while let Step::Chunk(bytes) = state.step(joined, all.len() as u64, true) {
                assert!(bytes.len() == LITTLE || all.len() + bytes.len() == whole.len());
                all.extend_from_slice(&bytes);
                steps += 1;
            }
            assert!(all == whole && steps == whole.len().div_ceil(LITTLE), "{chunk}");
        }
    }

    #[test]
    fn who_was_at_the_end_of_a_chunk_that_grew_wants_the_rest() {
        let mut state = State { forgetful: true, ..State::default() };
        let Joined::UnderWay(first) = state.join() else { unreachable!() };
        let Joined::UnderWay(second) = state.join() else { unreachable!() };
        assert_eq!(state.append(Bytes::from_static(b"ab")), 0);
        assert_eq!(state.advance(first, 2), 0);
        assert_eq!(state.append(Bytes::from_static(b"cd")), 0);
        assert_eq!(state.advance(second, 4), 0, "the first still wants the rest");
        assert_eq!(state.advance(first, 3), 0);
        assert_eq!(state.leave(first), Some(4));
        assert_eq!(state.append(Bytes::from_static(b"e")), 0);
        assert_eq!(state.charge(crate::followers::PATIENCE), (1, 1));
        assert_eq!((state.leave(second), state.held), (None, 0));
    }
}
