//! What readers hold together and memory does not keep.
//!
//! What is read from the disk for a reader is its own until its client has taken it. Those who take
//! what they get at once hold little, however many they are, so there is a bound for all: up to half
//! of it they get whole bodies and whole pieces, up to the bound a block each, and beyond it a little
//! of a block, which is read and verified again when they want more. They are slow: there is time for
//! that.
//!
//! A body that memory gives up cannot be taken away from those who read it. So it counts on, and
//! memory keeps less; where it could keep hardly anything, nothing more goes there as a whole.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use bytes::Bytes;

use crate::counted::{Counted, With};
use crate::disk::Piece;
use crate::memory::{ARC, allocated};

/// Bytes that are lent beyond the bound: a quarter of a block. Many slow readers cost less memory with
/// less, and fast ones among them more work. A body that is no longer is not counted.
pub(crate) const LITTLE: usize = 16 << 10;

/// Of what memory may have, it keeps at least one part in so many, whatever it has given up.
const LEAST_PART: u64 = 4;

/// Counts what readers alone have.
pub(crate) struct Lent {
    /// Bytes that were read for them, and how many that may be.
    loans: Arc<AtomicU64>,
    most: u64,
    /// Bytes that memory has given up.
    given_up: Arc<AtomicU64>,
    /// Bytes that memory may have with them.
    memory: AtomicU64,
}

/// What a reader may have of a piece.
pub(crate) enum Loan {
    All(Counted),
    Block(Counted),
    Little,
}

/// Where a body that is read from the disk is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wanted {
    /// Memory is to keep it, if it may.
    InMemory,
    /// Whoever has asked for it reads it.
    ByReaders,
}

/// How a body in memory is counted. Copies are about the same body.
#[derive(Clone, Default)]
pub(crate) enum Holding {
    /// It is little.
    #[default]
    Uncounted,
    /// It was read for its readers.
    Lent { _counted: Arc<Counted> },
    /// A tier may keep it; if none does its readers have it.
    InMemory(Arc<Held>),
}

/// A body that a tier may keep.
pub(crate) struct Held {
    bytes: u64,
    /// How many keep it. As long as nobody does, its bytes are in the sum.
    keepers: AtomicUsize,
    sum: Arc<AtomicU64>,
}

impl Lent {
    /// At most so many bytes are lent, without the little ones; `memory` is what the memory tier may
    /// have.
    pub(crate) fn new(most: u64, memory: u64) -> Self {
        let (loans, given_up) = (Arc::default(), Arc::default());
        Self { loans, most, given_up, memory: memory.into() }
    }

    /// Bytes that readers alone have.
    pub(crate) fn bytes(&self) -> u64 {
        self.loans.load(Ordering::Relaxed) + self.given_up()
    }

    /// Bytes of these that memory gave up, or never had room for.
    pub(crate) fn given_up(&self) -> u64 {
        // What one takes off may have to be added by another yet.
        self.given_up.load(Ordering::Relaxed).cast_signed().max(0).cast_unsigned()
    }

    /// What memory may keep, which may have so many bytes with what it gave up.
    pub(crate) fn leaves(&self, memory: u64) -> u64 {
        self.memory.store(memory, Ordering::Relaxed);
        memory.saturating_sub(self.given_up()).max(memory / LEAST_PART)
    }

    /// What a reader may have of this piece, counted from now on.
    pub(crate) fn ask(&self, piece: &Piece) -> Loan {
        let all = || self.lend(piece.length() as u64).map(Loan::All);
        let block = || Counted::within(self.most, piece.block().length() as u64, &self.loans);
        all().or_else(|| block().map(Loan::Block)).unwrap_or(Loan::Little)
    }

    fn lend(&self, bytes: u64) -> Option<Counted> {
        Counted::within(self.most / 2, bytes, &self.loans)
    }

    /// True if a body of so many bytes may go to memory as a whole.
    pub(crate) fn may_go_to_memory(&self, bytes: u64) -> bool {
        let memory = self.memory.load(Ordering::Relaxed);
        is_little(bytes) || self.given_up() <= memory - memory / LEAST_PART
    }

    /// A body that goes to memory, whatever there is.
    pub(crate) fn hold(&self, bytes: u64) -> Holding {
        if is_little(bytes) {
            return Holding::Uncounted;
        }
        self.given_up.fetch_add(bytes, Ordering::Relaxed);
        let (keepers, sum) = (AtomicUsize::new(0), Arc::clone(&self.given_up));
        Holding::InMemory(Arc::new(Held { bytes, keepers, sum }))
    }

    /// A body that is read from the disk as a whole; `None` if nobody may have it so.
    pub(crate) fn whole(&self, bytes: u64, wanted: Wanted) -> Option<Holding> {
        if is_little(bytes) || wanted == Wanted::InMemory && self.may_go_to_memory(bytes) {
            return Some(self.hold(bytes));
        }
        self.lend(bytes).map(|lent| Holding::Lent { _counted: Arc::new(lent) })
    }
}

fn is_little(bytes: u64) -> bool {
    bytes <= LITTLE as u64
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
            Self::All(counted) | Self::Block(counted) => With::bytes(wanted, counted),
            Self::Little => {
                wanted.truncate(LITTLE);
                Bytes::copy_from_slice(&wanted)
            }
        }
    }
}

impl Holding {
    /// True if it is not counted.
    pub(crate) fn is_uncounted(&self) -> bool {
        matches!(self, Self::Uncounted)
    }

    /// True if it was read for its readers alone.
    pub(crate) fn is_lent(&self) -> bool {
        matches!(self, Self::Lent { .. })
    }

    /// Bytes of memory that the count takes.
    pub(crate) fn weight(&self) -> usize {
        match self {
            Self::InMemory(_) => allocated(ARC + size_of::<Held>()),
            // No tier has it.
            Self::Uncounted | Self::Lent { .. } => 0,
        }
    }

    /// A tier keeps the body, and counts its bytes.
    pub(crate) fn keep(&self) {
        if let Self::InMemory(held) = self
            && held.keepers.fetch_add(1, Ordering::Relaxed) == 0
        {
            held.sum.fetch_sub(held.bytes, Ordering::Relaxed);
        }
    }

    /// A tier that kept it does not keep it any more.
    pub(crate) fn give_up(&self) {
        if let Self::InMemory(held) = self
            && held.keepers.fetch_sub(1, Ordering::Relaxed) == 1
        {
            held.sum.fetch_add(held.bytes, Ordering::Relaxed);
        }
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        if *self.keepers.get_mut() == 0 {
            self.sum.fetch_sub(self.bytes, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1 << 20;

    #[test]
    fn what_somebody_keeps_does_not_count_until_nobody_does() {
        let lent = Lent::new(8 * MIB, 64 * MIB);
        let holding = lent.hold(MIB);
        assert_eq!((lent.bytes(), lent.given_up()), (MIB, MIB));
        holding.keep();
        holding.keep();
        assert_eq!(lent.bytes(), 0);
        holding.give_up();
        assert_eq!(lent.bytes(), 0, "another keeps it");
        holding.give_up();
        assert_eq!(lent.bytes(), MIB);
        holding.keep();
        drop(holding);
        assert_eq!(lent.bytes(), 0, "gone with who kept it");
        drop(lent.hold(MIB));
        assert_eq!(lent.bytes(), 0);
    }

    #[test]
    fn what_comes_before_the_other_half_of_a_change_is_no_large_number() {
        let lent = Lent::new(8 * MIB, 64 * MIB);
        lent.given_up.fetch_sub(1, Ordering::Relaxed);
        assert_eq!((lent.given_up(), lent.bytes(), lent.leaves(9)), (0, 0, 9));
        assert!(lent.may_go_to_memory(MIB));
    }

    #[test]
    fn loans_are_refused_beyond_half_and_what_goes_to_memory_beyond_three_quarters_of_it() {
        let lent = Lent::new(8 * MIB, 64 * MIB);
        let loans: Vec<_> = (0..4).map(|_| lent.whole(MIB, Wanted::ByReaders).unwrap()).collect();
        assert!(loans.iter().all(Holding::is_lent));
        assert!(lent.whole(MIB, Wanted::ByReaders).is_none());
        let little = LITTLE as u64;
        assert!(lent.whole(little, Wanted::ByReaders).unwrap().is_uncounted());
        let held: Vec<_> = (0..49).map(|_| lent.whole(MIB, Wanted::InMemory).unwrap()).collect();
        assert!(!held.iter().any(Holding::is_lent));
        assert!(!lent.may_go_to_memory(little + 1) && lent.may_go_to_memory(little));
        assert!(lent.whole(MIB, Wanted::InMemory).is_none());
        assert_eq!((lent.leaves(64 * MIB), lent.leaves(60 * MIB)), (16 * MIB, 15 * MIB));
        drop(loans);
        assert!(lent.whole(MIB, Wanted::InMemory).unwrap().is_lent());
        drop(held);
        assert_eq!((lent.bytes(), lent.leaves(64 * MIB)), (0, 64 * MIB));
    }
}
