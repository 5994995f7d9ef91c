//! A body from its first byte on: on its way at first, then complete.
//!
//! Many more bodies are complete than under way, so a complete one is small: what its readers and
//! its writer shared is gone as soon as nobody needs it any more.

use std::ops::Range;
use std::sync::{Arc, Mutex, OnceLock};

use bytes::Bytes;

use crate::counted::With;
use crate::disk::{FileBody, Handle, Io, PIECE, Piece, RecordBody, lock};
use crate::lent::{Holding, Lent};
use crate::memory::{ARC, allocated};
use crate::memory_file::{MemoryFile, MemoryFiles};
use crate::stream::Stream;
use crate::window::{Chunk, pieces, whole};

/// A body whose last byte has been written.
#[derive(Clone)]
pub(crate) struct Done {
    /// The key, and behind it the first piece of the body if memory has it: one allocation for
    /// all of a small object but its metadata.
    kept: Arc<[u8]>,
    key: u32,
    /// Where the disk tier notes that the key was hit.
    pub(crate) mark: u32,
    /// `None` for a little body in memory, without trailers.
    more: Option<Box<More>>,
}

/// What most bodies do without.
#[derive(Clone)]
struct More {
    length: u64,
    tail: Box<[u8]>,
    place: Place,
    /// Bytes on the heap that its place took when the body got there: a file may get more.
    held: usize,
    /// The further pieces of a body in memory.
    rest: Box<[Bytes]>,
    /// How a body in memory is counted.
    holding: Holding,
}

/// Where a complete body is.
#[derive(Clone)]
pub(crate) enum Place {
    /// In pieces of 256 KiB, the last one shorter.
    Memory,
    MemoryFile(Arc<MemoryFile>),
    File(Arc<FileBody>),
    /// The part from this byte on of what a file has.
    Part(Arc<FileBody>, u64),
    /// A short body left in its record: readers hold too much already.
    Record(Arc<RecordBody>),
    /// Only readers that came in time can have the rest of it.
    Nowhere,
}

/// The key of a body, and where the disk tier notes that it was hit.
#[derive(Clone, Copy)]
pub(crate) struct Name<'k> {
    pub(crate) key: &'k [u8],
    pub(crate) mark: u32,
}

impl Done {
    /// A body in memory: its first piece behind the key, and its further ones.
    fn in_memory(
        name: Name<'_>,
        (kept, rest): (Arc<[u8]>, Box<[Bytes]>),
        tail: &[u8],
        holding: Holding,
    ) -> Self {
        let first = kept.len() - name.key.len();
        let length = (rest.iter().map(Bytes::len).sum::<usize>() + first) as u64;
        let (tail, place) = (tail.into(), Place::Memory);
        let more = More { length, tail, place, held: 0, rest, holding };
        let is_plain = more.rest.is_empty() && more.tail.is_empty() && more.holding.is_uncounted();
        Self { kept, more: (!is_plain).then(|| Box::new(more)), ..Self::unplaced(name) }
    }

    /// A copy of a whole body.
    pub(crate) fn copied(
        name: Name<'_>,
        body: &[u8],
        tail: &[u8],
        files: &Arc<MemoryFiles>,
        holding: Holding,
    ) -> Self {
        let length = body.len() as u64;
        match files.hold(length, std::iter::once(body)) {
            Some(file) => Self::in_memory_file(name, file, tail, holding),
            None => Self::in_memory(name, whole(name.key, body), tail, holding),
        }
    }

    fn in_memory_file(name: Name<'_>, file: MemoryFile, tail: &[u8], holding: Holding) -> Self {
        let length = file.length();
        Self::off_the_heap(name, length, tail, Place::MemoryFile(Arc::new(file)), holding)
    }

    /// A body that is not in memory.
    pub(crate) fn elsewhere(name: Name<'_>, length: u64, tail: &[u8], place: Place) -> Self {
        Self::off_the_heap(name, length, tail, place, Holding::default())
    }

    /// A body that is not on the heap.
    pub(crate) fn off_the_heap(
        name: Name<'_>,
        length: u64,
        tail: &[u8],
        place: Place,
        holding: Holding,
    ) -> Self {
        let held = place.weight();
        let more = More { length, tail: tail.into(), place, held, rest: Box::default(), holding };
        Self { kept: name.key.into(), more: Some(Box::new(more)), ..Self::unplaced(name) }
    }

    fn unplaced(name: Name<'_>) -> Self {
        let kept = Arc::default();
        Self { kept, key: name.key.len() as u32, mark: name.mark, more: None }
    }

    pub(crate) fn key(&self) -> &[u8] {
        &self.kept[..self.key as usize]
    }

    pub(crate) fn length(&self) -> u64 {
        match &self.more {
            None => (self.kept.len() - self.key as usize) as u64,
            Some(more) => more.length,
        }
    }

    pub(crate) fn tail(&self) -> &[u8] {
        self.more.as_ref().map_or(&[], |more| &more.tail)
    }

    pub(crate) fn place(&self) -> &Place {
        self.more.as_ref().map_or(&Place::Memory, |more| &more.place)
    }

    /// How it is counted in memory; `None` if it is not.
    pub(crate) fn holding(&self) -> Option<&Holding> {
        self.more.as_ref().map(|more| &more.holding)
    }

    /// The pieces of a body on the heap; none of one that is elsewhere.
    pub(crate) fn pieces(&self) -> Pieces<'_> {
        let rest = self.more.as_ref().map_or(&[][..], |more| &more.rest);
        Pieces { first: &self.kept[self.key as usize..], rest: rest.iter() }
    }

    /// The rest of the piece of a body in memory that has this byte.
    fn piece_from(&self, position: u64) -> Bytes {
        let (number, start) = ((position / PIECE) as usize, (position % PIECE) as usize);
        let holding = self.holding().cloned().unwrap_or_default();
        let further = self.more.as_ref().zip(number.checked_sub(1));
        let Some((more, number)) = further else {
            let first = With::bytes(Arc::clone(&self.kept), holding);
            return first.slice(self.key as usize + start..);
        };
        let piece = more.rest.get(number).map(|piece| piece.slice(start..));
        piece.map(|piece| With::bytes(piece, holding)).unwrap_or_default()
    }

    /// These bytes of a body in memory, in as many pieces as they are in.
    pub(crate) fn slices(&self, range: Range<u64>) -> impl Iterator<Item = Bytes> {
        let mut position = range.start;
        let end = range.end.min(self.length());
        std::iter::from_fn(move || {
            let left = end.checked_sub(position).filter(|left| *left > 0)?;
            let mut piece = self.piece_from(position);
            piece.truncate(usize::try_from(left).unwrap_or(usize::MAX));
            position += piece.len() as u64;
            Some(piece)
        })
    }

    /// True if both are one body, whatever is said of it.
    fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.kept, &other.kept)
    }

    /// Bytes on the heap.
    pub(crate) fn weight(&self) -> usize {
        let more = self.more.as_ref().map_or(0, |more| {
            let pieces = more.rest.iter().map(|piece| allocated(piece.len()) + allocated(PROMOTED));
            let lists = allocated(size_of_val(&*more.rest)) + allocated(more.tail.len());
            let lists = lists + more.holding.weight();
            allocated(size_of::<More>()) + lists + more.held + pieces.sum::<usize>()
        });
        allocated(ARC + self.kept.len()) + more
    }
}

impl Place {
    /// Bytes on the heap, beside the pieces of a body in memory.
    fn weight(&self) -> usize {
        match self {
            Self::File(file) | Self::Part(file, _) => file.weight(),
            Self::MemoryFile(file) => allocated(ARC + size_of::<MemoryFile>()) + file.weight(),
            Self::Record(record) => allocated(ARC + size_of::<RecordBody>()) + record.weight(),
            Self::Memory | Self::Nowhere => 0,
        }
    }
}

/// The pieces of a body in memory, in order. Plain, since every hit goes through them.
#[derive(Clone)]
pub(crate) struct Pieces<'b> {
    first: &'b [u8],
    rest: std::slice::Iter<'b, Bytes>,
}

impl<'b> Iterator for Pieces<'b> {
    type Item = &'b [u8];

    fn next(&mut self) -> Option<&'b [u8]> {
        match std::mem::take(&mut self.first) {
            [] => self.rest.next().map(|piece| &piece[..]),
            first => Some(first),
        }
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let left = self.rest.len() + usize::from(!self.first.is_empty());
        (left, Some(left))
    }
}

/// What `Bytes` allocates when it is shared for the first time.
const PROMOTED: usize = 3 * size_of::<usize>();

/// What a reader at some position does next.
pub(crate) enum Step {
    Chunk(Bytes),
    /// Read this on the spot.
    MemoryFile(Arc<MemoryFile>),
    /// Read this from the file that is being written, without so many bytes of it; a failure is the
    /// reader's alone.
    Spilled(Arc<Io>, Piece, usize),
    /// Go on with these bytes of a file.
    File(Arc<FileBody>, Range<u64>),
    /// Go on with what a record has from this byte on.
    Record(Arc<RecordBody>, u64),
    Wait,
    End,
    Broken,
}

/// A body from its first byte on.
pub(crate) struct Body {
    done: OnceLock<Done>,
    /// How it comes, until it is complete and all who followed it have left.
    stream: Mutex<Option<Arc<Stream>>>,
}

impl Body {
    pub(crate) fn under_way(stream: Arc<Stream>) -> Self {
        Self { done: OnceLock::new(), stream: Mutex::new(Some(stream)) }
    }

    pub(crate) fn complete(done: Done) -> Self {
        Self { done: done.into(), stream: Mutex::new(None) }
    }

    pub(crate) fn done(&self) -> Option<&Done> {
        self.done.get()
    }

    /// The same body once more, if it is complete. One that was lent in memory may stay there.
    pub(crate) fn share(&self, lent: &Lent) -> Option<Self> {
        let mut done = self.done()?.clone();
        if let Some(more) = &mut done.more {
            more.held = more.place.weight();
            let is_lent = matches!(more.holding, Holding::Lent { .. });
            if is_lent && lent.may_go_to_memory(more.length) {
                more.holding = lent.hold(more.length);
                more.holding.give_up();
            }
        }
        Some(Self::complete(done))
    }

    /// True if both are one body, and complete.
    pub(crate) fn is(&self, other: &Self) -> bool {
        self.done().zip(other.done()).is_some_and(|(one, other)| one.is(other))
    }

    pub(crate) fn stream(&self) -> Option<Arc<Stream>> {
        lock(&self.stream).clone()
    }

    pub(crate) fn length(&self) -> Option<u64> {
        match self.done() {
            Some(done) => Some(done.length()),
            // It may have ended since.
            None => match self.stream() {
                Some(stream) => stream.declared(),
                None => self.done().map(Done::length),
            },
        }
    }

    /// The writer's high-water mark.
    pub(crate) fn end(&self) -> u64 {
        let under_way = || self.stream().map(|stream| stream.end());
        match self.done() {
            Some(done) => done.length(),
            None => under_way().or_else(|| self.done().map(Done::length)).unwrap_or(0),
        }
    }
}

/// The writer's side.
impl Body {
    /// Ends a body that is wholly in memory: true copies of what arrived, in even pieces or in a
    /// file. From here on the memory tier accounts for the bytes.
    pub(crate) fn finish_in_memory(
        &self,
        name: Name<'_>,
        tail: &[u8],
        files: &Arc<MemoryFiles>,
        lent: &Lent,
    ) {
        let finish = |stream: &Stream| {
            let mut state = stream.state();
            let (window, length) = (std::mem::take(&mut state.window), state.end);
            let holding = lent.hold(length);
            let done = match files.hold(length, window.iter().map(Chunk::bytes)) {
                Some(file) => Done::in_memory_file(name, file, tail, holding),
                None => Done::in_memory(name, pieces(name.key, &window, length), tail, holding),
            };
            let _ = self.done.set(done);
            // Whoever follows goes on in memory.
            *lock(&self.stream) = None;
            std::mem::take(&mut state.held)
        };
        self.finish(finish);
    }

    pub(crate) fn finish_in_file(&self, name: Name<'_>, tail: &[u8], place: Place) {
        let finish = |stream: &Stream| {
            let mut state = stream.state();
            state.window.clear();
            let done = Done::elsewhere(name, state.end, tail, place);
            let _ = self.done.set(done);
            if state.followers.count() == 0 {
                *lock(&self.stream) = None;
            }
            std::mem::take(&mut state.held)
        };
        self.finish(finish);
    }

    /// Ends a body that is not kept.
    pub(crate) fn finish_nowhere(&self, name: Name<'_>, tail: &[u8]) {
        let finish = |stream: &Stream| {
            let mut state = stream.state();
            state.forgetful = true;
            let freed = state.trim();
            let _ = self.done.set(Done::elsewhere(name, state.end, tail, Place::Nowhere));
            if state.followers.count() == 0 {
                *lock(&self.stream) = None;
            }
            freed
        };
        self.finish(finish);
    }

    fn finish(&self, finish: impl FnOnce(&Stream) -> u64) {
        let Some(stream) = self.stream() else { return };
        let freed = finish(&stream);
        stream.freed(freed);
        stream.data.notify_waiters();
    }
}

/// The readers' side.
impl Body {
    /// Registers a reader at the start. `None` if the start is gone or the end will never come.
    pub(crate) fn join(&self) -> Option<Joined> {
        let Some(stream) = self.stream() else { return self.join_done() };
        let mut state = stream.state();
        if self.done().is_some() && (state.followers.count() == 0 || self.is_kept()) {
            return self.join_done();
        }
        if state.broken || state.has_gap() {
            return None;
        }
        let joined = state.join();
        stream.register();
        Some(joined)
    }

    fn join_done(&self) -> Option<Joined> {
        let is_empty = self.done().is_some_and(|done| done.length() == 0);
        (self.is_kept() || is_empty).then_some(Joined::Complete)
    }

    pub(crate) fn is_kept(&self) -> bool {
        self.done().is_some_and(|done| !matches!(done.place(), Place::Nowhere))
    }

    /// Says what a reader at `position` does next.
    pub(crate) fn step(&self, joined: Joined, position: u64) -> Step {
        if let Some(step) = self.step_in_done(position) {
            return step;
        }
        let Some(stream) = self.stream() else {
            return self.step_in_done(position).unwrap_or(Step::Broken);
        };
        let mut state = stream.state();
        // It may have ended since; under the lock the answer is final.
        match self.step_in_done(position) {
            Some(step) => step,
            None => state.step(joined, position, stream.is_scarce()),
        }
    }

    /// `None` if the body is not complete, or only its window has the rest.
    fn step_in_done(&self, position: u64) -> Option<Step> {
        let done = self.done()?;
        match done.place() {
            _ if position >= done.length() => Some(Step::End),
            Place::Memory => Some(Step::Chunk(done.piece_from(position))),
            Place::MemoryFile(file) => Some(Step::MemoryFile(Arc::clone(file))),
            Place::File(file) => Some(Step::File(Arc::clone(file), position..done.length())),
            Place::Part(file, start) => {
                let bytes = start + position..start + done.length();
                Some(Step::File(Arc::clone(file), bytes))
            }
            Place::Record(record) => Some(Step::Record(Arc::clone(record), position)),
            Place::Nowhere => None,
        }
    }

    /// A reader went on, possibly over bytes that it did not want.
    pub(crate) fn advance(&self, joined: Joined, position: u64) {
        if let Joined::UnderWay(number) = joined
            && let Some(stream) = self.stream()
        {
            stream.advance(number, position);
        }
    }

    pub(crate) fn leave(&self, joined: Joined) {
        let (Joined::UnderWay(number), Some(stream)) = (joined, self.stream()) else { return };
        let freed = {
            let mut state = stream.state();
            let freed = state.leave(number);
            if self.done().is_some() && state.followers.count() == 0 {
                *lock(&self.stream) = None;
            }
            freed
        };
        stream.left(freed);
    }

    /// The open temporary file of a body that went to disk while readers followed it.
    pub(crate) fn followed_file(&self) -> Option<Arc<Handle>> {
        let stream = self.stream()?;
        let state = stream.state();
        state.spilled.as_ref().map(|spilled| Arc::clone(&spilled.handle))
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
