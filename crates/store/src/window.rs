//! The bytes of a body under way that readers may still need.

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};

use crate::body::Step;
use crate::disk::{BLOCK, Handle, Io, PIECE, Piece};

/// Bytes of a written body that stay in memory for readers close behind the writer.
const KEEP_BEHIND: u64 = 256 << 10;

/// The state of a body under way.
#[derive(Default)]
pub(crate) struct State {
    pub(crate) window: VecDeque<Chunk>,
    /// Offset behind the last byte.
    pub(crate) end: u64,
    /// Readers that joined before the body was complete.
    pub(crate) joined: usize,
    /// A window that forgets what every reader has.
    pub(crate) forgetful: bool,
    pub(crate) broken: bool,
    /// Bytes counted as in flight.
    pub(crate) held: u64,
    pub(crate) spilled: Option<Spilled>,
}

pub(crate) struct Chunk {
    pub(crate) start: u64,
    pub(crate) bytes: Bytes,
    /// Readers that do not have all of it yet.
    pub(crate) waiting: usize,
    /// Nothing else shares its buffer.
    pub(crate) own: bool,
}

/// The verified beginning of a body in a temporary file.
pub(crate) struct Spilled {
    pub(crate) handle: Arc<Handle>,
    pub(crate) sums: Vec<u64>,
    pub(crate) io: Arc<Io>,
}

impl Chunk {
    pub(crate) fn end(&self) -> u64 {
        self.start + self.bytes.len() as u64
    }
}

impl State {
    pub(crate) fn start(&self) -> u64 {
        self.window.front().map_or(self.end, |chunk| chunk.start)
    }

    /// Bytes from the start of the body that the temporary file has in whole blocks.
    fn readable(&self) -> u64 {
        self.spilled.as_ref().map_or(0, |spilled| spilled.sums.len() as u64 * BLOCK)
    }

    /// True if a reader from the start could not get to the end.
    pub(crate) fn has_gap(&self) -> bool {
        self.start() > self.readable()
    }

    /// Says what a reader at `position` of a body under way does next.
    pub(crate) fn step(&self, position: u64) -> Step {
        if self.is_lost(position) {
            Step::Broken
        } else if position < self.start() {
            self.piece_at(position)
        } else if position < self.end {
            self.chunk_at(position)
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

    /// Forgets what the temporary file has, except for readers close behind the writer.
    pub(crate) fn forget_spilled(&mut self) -> u64 {
        let (readable, end) = (self.readable(), self.end);
        self.pop_while(|chunk| chunk.end() <= readable && chunk.end() + KEEP_BEHIND <= end)
    }

    fn pop_while(&mut self, done: impl Fn(&Chunk) -> bool) -> u64 {
        let mut freed = 0;
        while let Some(chunk) = self.window.pop_front_if(|chunk| done(chunk)) {
            freed += chunk.bytes.len() as u64;
        }
        self.held -= freed;
        freed
    }

    fn chunk_at(&self, position: u64) -> Step {
        let number = self.window.partition_point(|chunk| chunk.end() <= position);
        let Some(chunk) = self.window.get(number) else { return Step::Broken };
        let from = (position - chunk.start) as usize;
        let to = chunk.bytes.len().min(from + PIECE as usize);
        Step::Chunk(chunk.bytes.slice(from..to))
    }

    fn piece_at(&self, position: u64) -> Step {
        let Some(spilled) = &self.spilled else { return Step::Broken };
        let first = position / BLOCK;
        let last = (first + PIECE / BLOCK).min(spilled.sums.len() as u64);
        let piece = Piece {
            handle: Arc::clone(&spilled.handle),
            first,
            length: ((last - first) * BLOCK) as usize,
            sums: spilled.sums[first as usize..last as usize].into(),
        };
        Step::Spilled(Arc::clone(&spilled.io), piece)
    }
}

/// The rest of a piece of a complete body.
pub(crate) fn piece_at(pieces: &[Bytes], position: u64) -> Bytes {
    let piece = pieces.get((position / PIECE) as usize).cloned().unwrap_or_default();
    piece.slice((position % PIECE) as usize..)
}

/// Copies the window into pieces of their own: what they hold is what they weigh.
pub(crate) fn pieces(window: &VecDeque<Chunk>, length: u64) -> Box<[Bytes]> {
    if let [only] = window.as_slices().0
        && only.own
    {
        return Box::new([only.bytes.clone()]);
    }
    let mut pieces = Vec::with_capacity(length.div_ceil(PIECE) as usize);
    let mut left = length;
    let mut piece = BytesMut::with_capacity(left.min(PIECE) as usize);
    for chunk in window {
        let mut rest = &chunk.bytes[..];
        while !rest.is_empty() {
            let room = (PIECE as usize - piece.len()).min(rest.len());
            piece.extend_from_slice(&rest[..room]);
            rest = &rest[room..];
            if piece.len() as u64 == left.min(PIECE) {
                left -= piece.len() as u64;
                let next = BytesMut::with_capacity(left.min(PIECE) as usize);
                pieces.push(std::mem::replace(&mut piece, next).freeze());
            }
        }
    }
    pieces.into()
}

/// Cuts a complete body into the pieces that memory holds.
pub(crate) fn cut(bytes: &[u8]) -> Box<[Bytes]> {
    bytes.chunks(PIECE as usize).map(Bytes::copy_from_slice).collect()
}
