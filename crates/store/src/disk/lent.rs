//! What readers hold together of bodies in files.
//!
//! What is read for a reader is its own until its client has taken it. Readers who take what they get
//! at once hold little, however many they are, so there is a bound for all: up to half of it they get
//! whole pieces, up to the bound a block each, and beyond it a little of a block, which is read and
//! verified again when they want more. They are slow: there is time for that.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use bytes::Bytes;

use super::io::Piece;
use crate::counted::Counted;

/// Bytes that are lent beyond the bound: a quarter of a block. Many slow readers cost less memory with
/// less, and fast ones among them more work.
pub(crate) const LITTLE: usize = 16 << 10;

/// Counts what is lent.
pub(crate) struct Lent {
    bytes: Arc<AtomicU64>,
    most: u64,
}

/// What a reader may have of a piece.
pub(crate) enum Loan {
    All(Counted),
    Block(Counted),
    Little,
}

impl Lent {
    /// `most` bytes at the most, without the little ones.
    pub(crate) fn new(most: u64) -> Self {
        Self { bytes: Arc::default(), most }
    }

    /// What a reader may have of this piece, counted from now on.
    pub(crate) fn ask(&self, piece: &Piece) -> Loan {
        let count = |most, bytes| Counted::within(most, bytes, &self.bytes);
        let all = || count(self.most / 2, piece.length() as u64).map(Loan::All);
        let block = || count(self.most, piece.block().length() as u64).map(Loan::Block);
        all().or_else(block).unwrap_or(Loan::Little)
    }
}

impl Loan {
    /// What has to be read for it.
    pub(crate) fn of(&self, piece: Piece) -> Piece {
        if matches!(self, Self::All(_)) { piece } else { piece.block() }
    }

    /// What the reader gets of that, without the first bytes.
    pub(crate) fn hand_out(self, mut bytes: Bytes, skip: usize) -> Bytes {
        let mut wanted = bytes.split_off(skip);
        match self {
            Self::All(counted) | Self::Block(counted) => counted.on_heap(wanted),
            Self::Little => {
                wanted.truncate(LITTLE);
                Bytes::copy_from_slice(&wanted)
            }
        }
    }
}
