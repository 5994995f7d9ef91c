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
/// What was given up is taken off what memory keeps in steps of one part in so many: each change costs
/// memory some of what it remembers of evicted keys.
const STEPS: u64 = 8;

/// Counts what readers alone have.
pub(crate) struct Lent {
    /// Bytes that were read for them, and how many that may be.
    loans: Arc<AtomicU64>,
    most: u64,
    /// Bytes that memory has given up.
    given_up: Arc<AtomicU64>,
    /// Bytes that memory may have with them, and those that are taken off for them.
    memory: AtomicU64,
    taken_off: AtomicU64,
    /// Bytes that are taken off, or given back, at once.
    step: u64,
    /// Bytes of the largest body that memory takes.
    largest: u64,
}

/// What a reader may have of a piece.
pub(crate) enum Loan {
    All(Counted),
    Block(Counted),
    Little,
}

/// How a body in memory is counted. Copies are about the same body.
#[derive(Clone, Default)]
pub(crate) enum Holding {
    /// It is little, or never in memory as a whole.
    #[default]
    Uncounted,
    /// It was read for its readers, or memory never takes so much.
    Lent { _counted: Arc<Counted> },
    /// It would be in memory if readers did not have too much there already.
    OnDisk,
    /// Somebody may keep it; if nobody does its readers have it.
    InMemory(Arc<Held>),
}

/// A body that a tier may keep, the queue of the disk, or who has just made it.
pub(crate) struct Held {
    bytes: u64,
    /// How many keep it. As long as nobody does, its bytes are in the sum.
    keepers: AtomicUsize,
    sum: Arc<AtomicU64>,
}

impl Lent {
    /// At most so many bytes are lent, without the little ones; `memory` is what the memory tier may
    /// have, and `largest` the longest body that it takes.
    pub(crate) fn new(most: u64, memory: u64, largest: u64) -> Self {
        let (loans, given_up, taken_off) = (Arc::default(), Arc::default(), AtomicU64::new(0));
        let step = (memory / STEPS).max(1);
        Self { loans, most, given_up, memory: memory.into(), taken_off, step, largest }
    }

    /// Bytes that readers alone have.
    pub(crate) fn bytes(&self) -> u64 {
        self.loans.load(Ordering::Relaxed) + self.given_up()
    }

    fn given_up(&self) -> u64 {
        self.given_up.load(Ordering::Relaxed)
    }

    /// True if it is time to look what is [left](Lent::leaves).
    pub(crate) fn has_changed(&self) -> bool {
        self.taken_off.load(Ordering::Relaxed).abs_diff(self.given_up()) >= self.step
    }

    /// What memory may keep, which may have so many bytes with what it gave up.
    pub(crate) fn leaves(&self, memory: u64) -> u64 {
        self.memory.store(memory, Ordering::Relaxed);
        if self.has_changed() {
            let steps = self.given_up() / self.step;
            self.taken_off.store(steps * self.step, Ordering::Relaxed);
        }
        memory.saturating_sub(self.taken_off.load(Ordering::Relaxed)).max(memory / LEAST_PART)
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

    /// True if memory may have a body of so many bytes. It may have a few in any case, however small it
    /// is.
    pub(crate) fn may_go_to_memory(&self, bytes: u64) -> bool {
        bytes <= self.largest && self.may_be_held(bytes)
    }

    /// True if a complete body of so many bytes may be held for its readers, whether memory ever takes it
    /// or not.
    pub(crate) fn may_be_held(&self, bytes: u64) -> bool {
        if is_little(bytes) {
            return true;
        }
        if bytes > self.largest {
            return self.loans.load(Ordering::Relaxed) <= self.most / 2;
        }
        let memory = self.memory.load(Ordering::Relaxed);
        self.given_up() <= (memory - memory / LEAST_PART).max(self.most / 2)
    }

    /// A complete body of so many bytes, whatever there is. Who makes it keeps it until it has found its
    /// place.
    pub(crate) fn hold(&self, bytes: u64) -> Holding {
        if is_little(bytes) {
            return Holding::Uncounted;
        }
        if bytes > self.largest {
            return self.take(bytes);
        }
        let (keepers, sum) = (AtomicUsize::new(1), Arc::clone(&self.given_up));
        Holding::InMemory(Arc::new(Held { bytes, keepers, sum }))
    }

    /// One that its readers alone have, whatever there is.
    pub(crate) fn take(&self, bytes: u64) -> Holding {
        if is_little(bytes) {
            return Holding::Uncounted;
        }
        Holding::Lent { _counted: Arc::new(Counted::new(bytes, &self.loans)) }
    }

    /// The same of one that is read from the disk as a whole; `None` if nobody may have it so. Memory has
    /// `room` for it, if it is wanted there.
    pub(crate) fn whole(&self, bytes: u64, room: u64) -> Option<Holding> {
        if is_little(bytes) || bytes <= room && self.may_go_to_memory(bytes) {
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

    /// True if memory is not to have it.
    pub(crate) fn is_lent(&self) -> bool {
        matches!(self, Self::Lent { .. } | Self::OnDisk)
    }

    /// Bytes of memory that the count takes.
    pub(crate) fn weight(&self) -> usize {
        match self {
            Self::InMemory(_) => allocated(ARC + size_of::<Held>()),
            // No tier has it.
            Self::Uncounted | Self::OnDisk | Self::Lent { .. } => 0,
        }
    }

    /// Somebody keeps the body, and counts its bytes.
    pub(crate) fn keep(&self) {
        if let Self::InMemory(held) = self
            && held.keepers.fetch_add(1, Ordering::AcqRel) == 0
        {
            held.sum.fetch_sub(held.bytes, Ordering::Relaxed);
        }
    }

    /// Somebody who kept it does not keep it any more.
    pub(crate) fn give_up(&self) {
        let Self::InMemory(held) = self else { return };
        // First: who keeps it next takes them off again.
        held.sum.fetch_add(held.bytes, Ordering::Relaxed);
        if held.keepers.fetch_sub(1, Ordering::AcqRel) > 1 {
            held.sum.fetch_sub(held.bytes, Ordering::Relaxed);
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
    use std::thread;

    use super::*;

    const MIB: u64 = 1 << 20;

    fn given_up(lent: &Lent, bytes: u64) -> Holding {
        let holding = lent.hold(bytes);
        holding.give_up();
        holding
    }

    #[test]
    fn what_somebody_keeps_does_not_count_until_nobody_does() {
        let lent = Lent::new(8 * MIB, 64 * MIB, 4 * MIB);
        let holding = lent.hold(MIB);
        assert_eq!(lent.bytes(), 0, "who makes it keeps it");
        holding.keep();
        holding.give_up();
        assert_eq!(lent.bytes(), 0, "another keeps it");
        holding.give_up();
        assert_eq!((lent.bytes(), lent.given_up()), (MIB, MIB));
        holding.keep();
        drop(holding);
        assert_eq!(lent.bytes(), 0, "gone with who kept it");
        drop((given_up(&lent, MIB), lent.hold(MIB), lent.take(MIB)));
        assert_eq!(lent.bytes(), 0);
    }

    #[test]
    fn the_sum_is_never_less_than_nothing() {
        let lent = Lent::new(8 * MIB, 64 * MIB, 4 * MIB);
        let holding = given_up(&lent, MIB);
        let keep = || {
            for _ in 0..200_000 {
                holding.keep();
                assert!(lent.given_up() <= 3 * MIB);
                holding.give_up();
            }
        };
        thread::scope(|scope| [(); 2].map(|()| _ = scope.spawn(keep)));
        assert_eq!(lent.given_up(), MIB);
    }

    #[test]
    fn loans_are_refused_beyond_half_and_what_goes_to_memory_beyond_three_quarters_of_it() {
        const ROOM: u64 = 3 * MIB;
        let lent = Lent::new(8 * MIB, 64 * MIB, 4 * MIB);
        let loans: Vec<_> = (0..4).map(|_| lent.whole(MIB, 0).unwrap()).collect();
        assert!(loans.iter().all(Holding::is_lent) && lent.may_be_held(5 * MIB));
        assert!(lent.whole(MIB, 0).is_none());
        let one_more = lent.hold(5 * MIB);
        assert!(one_more.is_lent() && !lent.may_be_held(5 * MIB) && lent.may_be_held(4 * MIB));
        assert!(!lent.may_go_to_memory(5 * MIB));
        let little = LITTLE as u64;
        assert!(lent.whole(little, 0).unwrap().is_uncounted());
        let held: Vec<_> = (0..49).map(|_| lent.whole(MIB, ROOM).unwrap()).collect();
        assert!(!held.iter().any(Holding::is_lent) && lent.may_go_to_memory(MIB));
        held.iter().for_each(Holding::give_up);
        assert!(!lent.may_go_to_memory(little + 1) && lent.may_go_to_memory(little));
        assert!(lent.whole(MIB, ROOM).is_none() && lent.whole(ROOM + 1, ROOM).is_none());
        drop((loans, one_more));
        assert!(lent.whole(MIB, ROOM).unwrap().is_lent());
        drop(held);
        assert!(!lent.whole(ROOM, ROOM).unwrap().is_lent());
        assert!(lent.whole(ROOM + 1, ROOM).unwrap().is_lent(), "memory has no room for it");
        assert_eq!(lent.bytes(), 0);
    }

    #[test]
    fn a_little_memory_takes_a_few_all_the_same() {
        let lent = Lent::new(8 * MIB, MIB, MIB);
        let _held: Vec<_> = (0..4).map(|_| given_up(&lent, MIB)).collect();
        assert!(lent.may_go_to_memory(MIB));
        let _one_more = given_up(&lent, 1 << 16);
        assert!(!lent.may_go_to_memory(MIB));
    }

    #[test]
    fn memory_keeps_less_step_by_step_and_never_less_than_a_quarter() {
        let lent = Lent::new(8 * MIB, 64 * MIB, 4 * MIB);
        let mut held = Vec::new();
        for (bodies, left) in [(7, 64), (1, 56), (7, 56), (1, 48), (36, 16), (30, 16)] {
            held.extend((0..bodies).map(|_| given_up(&lent, MIB)));
            assert_eq!(lent.leaves(64 * MIB), left * MIB, "{bodies}");
        }
        // Who comes and goes changes nothing.
        for _ in 0..9 {
            drop(given_up(&lent, 4 * MIB));
            assert!(!lent.has_changed());
        }
        held.truncate(8);
        assert_eq!(lent.leaves(64 * MIB), 56 * MIB);
        drop(held);
        assert!(lent.has_changed());
        assert_eq!((lent.leaves(64 * MIB), lent.bytes()), (64 * MIB, 0));
    }

    #[test]
    fn nothing_stays_taken_off_when_memory_may_have_more_again() {
        let lent = Lent::new(8 * MIB, 64 * MIB, 4 * MIB);
        let mut held: Vec<_> = (0..9).map(|_| given_up(&lent, MIB)).collect();
        assert_eq!(lent.leaves(38 * MIB), 30 * MIB);
        held.truncate(1);
        lent.leaves(56 * MIB);
        drop(held);
        assert_eq!(lent.leaves(56 * MIB), 56 * MIB);
    }
}
