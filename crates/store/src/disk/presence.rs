//! Which bytes of a body its file has, and what each of them is verified by.
//!
//! A checksum covers bytes of one block alone, so a body that came in one go has one for each block.
//! One that came in parts has more where they meet: no checksum is ever made of bytes that were read
//! from the disk. Extents may overlap, where two parts brought the same bytes; whatever is read is
//! verified by one that has all of it.

use std::ops::Range;

use smallvec::SmallVec;
use xxhash_rust::xxh3::xxh3_64;

use super::format::{BLOCK, Cursor, PIECE};
use crate::reason::Damage;

/// Bytes of an extent in a file.
const EXTENT: usize = 20;

/// Some bytes of a file within one block, and their checksum.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Extent {
    pub(crate) start: u64,
    pub(crate) sum: u64,
    pub(crate) length: u32,
}

/// Extents that are read together.
pub(crate) type Extents = SmallVec<[Extent; 4]>;

/// What a file has of a body. It never changes: a file that gets more gets a new one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Presence {
    /// All of it: the checksum of each block.
    Whole(Box<[u64]>),
    /// In order. None is contained in another, so they begin and end in the same order.
    Some(Box<[Extent]>),
}

impl Extent {
    pub(crate) fn end(&self) -> u64 {
        self.start + u64::from(self.length)
    }

    /// One of the blocks of a body of this length.
    fn block(number: u64, length: u64, sum: u64) -> Self {
        let start = number * BLOCK;
        Self { start, sum, length: BLOCK.min(length - start) as u32 }
    }
}

/// The extents of bytes from `start` on up to `end`, with these checksums.
pub(crate) fn extents(start: u64, end: u64, sums: &[u64]) -> impl Iterator<Item = Extent> {
    let first = start / BLOCK;
    sums.iter().zip(first..).map(move |(sum, block)| {
        let start = start.max(block * BLOCK);
        let end = end.min((block + 1) * BLOCK);
        Extent { start, sum: *sum, length: (end - start) as u32 }
    })
}

/// Drops extents of which others before and behind have all bytes, so that parts which overlap again and
/// again leave no more than parts that meet.
fn drop_needless(all: &mut Vec<Extent>) {
    let mut kept: Vec<Extent> = Vec::with_capacity(all.len());
    for extent in all.drain(..) {
        // The last one is of no use if this one reaches back to the one before it.
        if let [.., before, _] = kept[..]
            && extent.start <= before.end()
        {
            kept.pop();
        }
        kept.push(extent);
    }
    *all = kept;
}

/// Which of these is not what was written, if `bytes` were read from `start` on.
pub(crate) fn first_wrong(bytes: &[u8], start: u64, extents: &[Extent]) -> Option<Extent> {
    let is_right = |extent: &Extent| {
        let from = extent.start.checked_sub(start)? as usize;
        let covered = bytes.get(from..from + extent.length as usize)?;
        (xxh3_64(covered) == extent.sum).then_some(())
    };
    extents.iter().find(|extent| is_right(extent).is_none()).copied()
}

impl Presence {
    /// Nothing.
    pub(crate) fn none() -> Self {
        Self::Some(Box::default())
    }

    /// All of this body.
    pub(crate) fn of(body: &[u8]) -> Self {
        Self::Whole(body.chunks(BLOCK as usize).map(xxh3_64).collect())
    }

    /// The same and `more`, of a body of this length.
    pub(crate) fn with(&self, more: &[Extent], length: u64) -> Self {
        let Self::Some(ours) = self else { return self.clone() };
        let mut all: Vec<Extent> = ours.iter().chain(more).copied().collect();
        // Of two with the same bytes the first stays.
        all.sort_by_key(|extent| (extent.start, std::cmp::Reverse(extent.length)));
        let mut end = 0;
        all.retain(|extent| {
            let is_more = extent.end() > end;
            end = end.max(extent.end());
            is_more
        });
        drop_needless(&mut all);
        let all = Self::Some(all.into());
        all.as_blocks(length).unwrap_or(all)
    }

    /// The checksums of all blocks, if each has one for itself.
    fn as_blocks(&self, length: u64) -> Option<Self> {
        let Self::Some(extents) = self else { return None };
        if extents.len() as u64 != length.div_ceil(BLOCK) {
            return None;
        }
        let sums = extents.iter().zip(0..).map(|(extent, number)| {
            (*extent == Extent::block(number, length, extent.sum)).then_some(extent.sum)
        });
        sums.collect::<Option<_>>().map(Self::Whole)
    }

    /// The one that has the byte at `position` and most of what follows.
    fn at(&self, position: u64, length: u64) -> Option<Extent> {
        match self {
            Self::Whole(sums) => {
                let sum = sums.get((position / BLOCK) as usize)?;
                Some(Extent::block(position / BLOCK, length, *sum))
            }
            Self::Some(extents) => {
                let before = extents.partition_point(|extent| extent.start <= position);
                let last = extents.get(before.checked_sub(1)?)?;
                Some(*last).filter(|extent| position < extent.end())
            }
        }
    }

    /// What is read at once for the byte at `position`: no more than its piece of 256 KiB. `None` if
    /// it is not there.
    pub(crate) fn piece(&self, position: u64, length: u64) -> Option<Extents> {
        let first = self.at(position, length)?;
        let limit = (first.start / PIECE + 1) * PIECE;
        let (mut piece, mut end) = (Extents::from_slice(&[first]), first.end());
        while let Some(next) = self.at(end, length).filter(|_| end < length)
            && next.end() <= limit
        {
            piece.push(next);
            end = next.end();
        }
        Some(piece)
    }

    /// Runs of bytes that are there, in order and apart from each other.
    pub(crate) fn runs(&self, length: u64) -> Vec<Range<u64>> {
        let extents = match self {
            Self::Whole(_) => return Vec::from_iter((length > 0).then_some(0..length)),
            Self::Some(extents) => extents,
        };
        let mut runs: Vec<Range<u64>> = Vec::new();
        for extent in extents {
            match runs.last_mut() {
                Some(run) if extent.start <= run.end => run.end = extent.end(),
                _ => runs.push(extent.start..extent.end()),
            }
        }
        runs
    }

    /// What of `range` is not there, in order.
    pub(crate) fn gaps(&self, range: Range<u64>, length: u64) -> Vec<Range<u64>> {
        let (mut at, mut gaps) = (range.start, Vec::new());
        while at < range.end {
            if let Some(extent) = self.at(at, length) {
                at = extent.end();
                continue;
            }
            let next = self.next_start(at).min(range.end);
            gaps.push(at..next);
            at = next;
        }
        gaps
    }

    /// True if all of `range` is there.
    pub(crate) fn has(&self, range: Range<u64>, length: u64) -> bool {
        matches!(self, Self::Whole(_)) || self.gaps(range, length).is_empty()
    }

    fn next_start(&self, position: u64) -> u64 {
        let Self::Some(extents) = self else { return u64::MAX };
        let next = extents.partition_point(|extent| extent.start <= position);
        extents.get(next).map_or(u64::MAX, |extent| extent.start)
    }

    /// True if no byte of a body of this length is missing.
    pub(crate) fn is_whole(&self, length: u64) -> bool {
        self.has(0..length, length)
    }

    /// True if it needs the form that says where each checksum belongs.
    pub(crate) fn is_spread(&self) -> bool {
        matches!(self, Self::Some(_))
    }

    /// Checksums that it has.
    pub(crate) fn len(&self) -> usize {
        match self {
            Self::Whole(sums) => sums.len(),
            Self::Some(extents) => extents.len(),
        }
    }

    /// Bytes on the heap.
    pub(crate) fn weight(&self) -> usize {
        match self {
            Self::Whole(sums) => size_of_val(&**sums),
            Self::Some(extents) => size_of_val(&**extents),
        }
    }

    /// True if `bytes` are a whole body that is as it was written.
    pub(crate) fn verifies(&self, bytes: &[u8]) -> bool {
        let length = bytes.len() as u64;
        let is_right = |extent: Extent| first_wrong(bytes, 0, &[extent]).is_none();
        match self {
            Self::Whole(sums) => {
                let blocks = sums.iter().zip(0..);
                let mut blocks = blocks.map(|(sum, number)| Extent::block(number, length, *sum));
                sums.len() as u64 == length.div_ceil(BLOCK) && blocks.all(is_right)
            }
            Self::Some(extents) => self.is_whole(length) && extents.iter().copied().all(is_right),
        }
    }
}

/// The form in a file.
impl Presence {
    /// Appends the number of checksums and what they cover.
    pub(crate) fn encode(&self, out: &mut Vec<u8>) -> Option<()> {
        out.extend_from_slice(&u32::try_from(self.len()).ok()?.to_le_bytes());
        match self {
            Self::Whole(sums) => out.extend(sums.iter().flat_map(|sum| sum.to_le_bytes())),
            Self::Some(extents) => {
                for Extent { start, sum, length } in extents {
                    out.extend_from_slice(&start.to_le_bytes());
                    out.extend_from_slice(&length.to_le_bytes());
                    out.extend_from_slice(&sum.to_le_bytes());
                }
            }
        }
        Some(())
    }

    /// Reads what stands to the end of a tail.
    pub(crate) fn decode(mut from: Cursor<'_>, is_spread: bool, body: u64) -> Result<Self, Damage> {
        let count = from.u32()? as usize;
        if !is_spread {
            if count as u64 != body.div_ceil(BLOCK) || from.0.len() != 8 * count {
                return Err(Damage::Size);
            }
            return (0..count).map(|_| from.u64()).collect::<Result<_, _>>().map(Self::Whole);
        }
        if Some(from.0.len()) != count.checked_mul(EXTENT) {
            return Err(Damage::Size);
        }
        let mut extents = Vec::with_capacity(count);
        for _ in 0..count {
            let (start, length, sum) = (from.u64()?, from.u32()?, from.u64()?);
            let extent = Extent { start, sum, length };
            if !extent.may_follow(extents.last(), body) {
                return Err(Damage::Size);
            }
            extents.push(extent);
        }
        Ok(Self::Some(extents.into()))
    }
}

impl Extent {
    /// True if it is within one block of the body, and in order.
    fn may_follow(&self, before: Option<&Self>, body: u64) -> bool {
        let room = BLOCK - self.start % BLOCK;
        let is_inside = self.start < body && u64::from(self.length) <= room.min(body - self.start);
        let is_next = |before: &Self| before.start < self.start && before.end() < self.end();
        self.length > 0 && is_inside && before.is_none_or(is_next)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::disk::format::BlockSums;

    const LENGTH: u64 = 3 * BLOCK + 1000;

    fn body() -> Vec<u8> {
        (0..LENGTH).map(|at| (at * at % 251) as u8).collect()
    }

    /// The extents that a part of the body makes.
    fn part(body: &[u8], range: Range<u64>) -> Vec<Extent> {
        let mut sums = BlockSums::at(range.start);
        sums.add(&body[range.start as usize..range.end as usize]);
        sums.finish();
        extents(range.start, range.end, &sums.done).collect()
    }

    /// All bytes, as they are read piece by piece.
    fn read(presence: &Presence, body: &[u8], range: Range<u64>) -> Vec<u8> {
        let (mut at, mut all) = (range.start, Vec::new());
        while at < range.end {
            let piece = presence.piece(at, LENGTH).unwrap();
            let (start, end) = (piece[0].start, piece.last().unwrap().end());
            assert!(start <= at && at < end && end - start <= PIECE);
            let bytes = &body[start as usize..end as usize];
            assert_eq!(first_wrong(bytes, start, &piece), None);
            let mut changed = bytes.to_vec();
            changed[(at - start) as usize] ^= 1;
            assert!(first_wrong(&changed, start, &piece).is_some());
            let end = end.min(range.end);
            all.extend_from_slice(&body[at as usize..end as usize]);
            at = end;
        }
        all
    }

    fn written(presence: &Presence) -> Vec<u8> {
        let mut out = Vec::new();
        presence.encode(&mut out).unwrap();
        out
    }

    #[test]
    fn parts_of_whole_blocks_make_what_a_body_in_one_go_makes() {
        let body = body();
        let whole = Presence::none().with(&part(&body, 0..LENGTH), LENGTH);
        assert!(matches!(&whole, Presence::Whole(sums) if sums.len() == 4));
        let parts = Presence::none().with(&part(&body, BLOCK..LENGTH), LENGTH);
        assert!(!parts.is_whole(LENGTH));
        assert_eq!(parts.with(&part(&body, 0..BLOCK), LENGTH), whole);
        assert!(whole.verifies(&body) && !whole.verifies(&body[1..]));
        assert_eq!(Presence::of(&body), whole);
    }

    #[test]
    fn parts_that_overlap_again_and_again_need_few_checksums() {
        let body = body();
        let mut presence = Presence::none();
        for start in 0..400 {
            presence = presence.with(&part(&body, start..start + 40_000), LENGTH);
        }
        assert_eq!(presence.runs(LENGTH), vec![0..40_399]);
        assert!(presence.len() <= 3, "{}", presence.len());
    }

    #[test]
    fn what_no_writer_writes_is_damaged() {
        let body = body();
        let good = Presence::none().with(&part(&body, 10..BLOCK + 10), LENGTH);
        let decode = |bytes: &[u8]| Presence::decode(Cursor(bytes), true, LENGTH);
        let bytes = written(&good);
        assert_eq!(decode(&bytes).as_ref(), Ok(&good));
        let with = |at: usize, value: u8| {
            let mut bytes = bytes.clone();
            bytes[at] = value;
            decode(&bytes)
        };
        // Out of order, beyond the block, nothing, beyond the body, another number of them.
        for (at, value) in [(4, 0xff), (12, 0xff), (4 + EXTENT + 8, 0), (7, 9), (0, 3), (0, 1)] {
            assert_eq!(with(at, value), Err(Damage::Size), "{at}");
        }
        assert_eq!(decode(&bytes[..bytes.len() - 1]), Err(Damage::Size));
        assert_eq!(decode(&[0xff; 4]), Err(Damage::Size));
    }

    proptest! {
        #[test]
        fn parts_in_any_order_are_there_byte_for_byte(
            ranges in prop::collection::vec((0..LENGTH, 1..2 * BLOCK), 0..12),
        ) {
            let body = body();
            let mut presence = Presence::none();
            let mut model = vec![false; LENGTH as usize];
            for (start, length) in ranges {
                let range = start..LENGTH.min(start + length);
                presence = presence.with(&part(&body, range.clone()), LENGTH);
                model[range.start as usize..range.end as usize].fill(true);
                let again = Presence::decode(Cursor(&written(&presence)), presence.is_spread(), LENGTH);
                prop_assert_eq!(again.as_ref(), Ok(&presence));
            }
            let mut there = vec![false; LENGTH as usize];
            for run in presence.runs(LENGTH) {
                let (start, end) = (run.start as usize, run.end as usize);
                there[start..end].fill(true);
                prop_assert!(read(&presence, &body, run) == body[start..end]);
                prop_assert!(presence.piece(end as u64, LENGTH).is_none() || end as u64 == LENGTH);
            }
            prop_assert!(there == model);
            let mut absent = vec![true; LENGTH as usize];
            for gap in presence.gaps(0..LENGTH, LENGTH) {
                prop_assert!(presence.piece(gap.start, LENGTH).is_none());
                absent[gap.start as usize..gap.end as usize].fill(false);
            }
            prop_assert!(absent == model);
            prop_assert_eq!(presence.is_whole(LENGTH), model.iter().all(|there| *there));
            prop_assert_eq!(presence.verifies(&body), presence.is_whole(LENGTH));
        }
    }
}
