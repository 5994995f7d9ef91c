//! Labels: what entries have in common, so that one event can end many of them.

use xxhash_rust::xxh3::xxh3_64;

/// Names something that entries may share. Equal names are equal labels, in every process; two
/// names that happen to share a label only make an event end more than it had to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Label(pub(crate) u64);

impl Label {
    /// The label of this name.
    pub fn of(name: &[u8]) -> Self {
        Self(xxh3_64(name))
    }

    /// The label as a number, for another process.
    pub fn number(self) -> u64 {
        self.0
    }

    /// The label that had this [number](Label::number).
    pub fn of_number(number: u64) -> Self {
        Self(number)
    }
}

/// A place in the order of events. An entry whose fetch began at a moment outlives the events
/// before it and none after that are about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Moment(pub(crate) u64);

/// The labels of an entry, and the moment from which on an event counts for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Labels {
    began: Moment,
    all: Vec<Label>,
}

impl Labels {
    /// No labels, and no moment: events count from when the entry is stored.
    pub const NONE: &'static Self = &Self { began: Moment(0), all: Vec::new() };

    /// Labels in any order, and the moment before the origin was asked for the entry.
    pub fn new(began: Moment, mut all: Vec<Label>) -> Self {
        all.sort_unstable();
        all.dedup();
        all.shrink_to_fit();
        Self { began, all }
    }

    /// True if there are none.
    pub fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    /// Bytes held on the heap.
    pub fn heap_bytes(&self) -> usize {
        self.all.capacity() * size_of::<Label>()
    }

    /// The moment from which on an event counts.
    pub fn began(&self) -> Moment {
        self.began
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = Label> {
        self.all.iter().copied()
    }

    /// Appends the form kept on disk.
    pub fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.began.0.to_le_bytes());
        out.extend_from_slice(&(self.all.len() as u64).to_le_bytes());
        out.extend(self.all.iter().flat_map(|label| label.0.to_le_bytes()));
    }

    /// Reads what [`Labels::encode`] wrote and returns the bytes behind it; `None` if some are
    /// missing.
    pub fn decode(bytes: &[u8]) -> Option<(Self, &[u8])> {
        let (began, rest) = number(bytes)?;
        let (count, rest) = number(rest)?;
        let length = usize::try_from(count).ok()?.checked_mul(size_of::<u64>())?;
        let (labels, rest) = rest.split_at_checked(length)?;
        let (labels, _) = labels.as_chunks();
        let all = labels.iter().map(|label| Label(u64::from_le_bytes(*label)));
        Some((Self { began: Moment(began), all: all.collect() }, rest))
    }
}

fn number(bytes: &[u8]) -> Option<(u64, &[u8])> {
    let (number, rest) = bytes.split_first_chunk()?;
    Some((u64::from_le_bytes(*number), rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_come_back_as_they_were_written() {
        let labels = |names: &[&str]| {
            Labels::new(Moment(7), names.iter().map(|name| Label::of(name.as_bytes())).collect())
        };
        for labels in [labels(&[]), labels(&["a"]), labels(&["b", "a", "b", "c"])] {
            let mut bytes = Vec::new();
            labels.encode(&mut bytes);
            for length in 0..bytes.len() {
                assert_eq!(Labels::decode(&bytes[..length]), None);
            }
            bytes.push(9);
            assert_eq!(Labels::decode(&bytes), Some((labels, &[9][..])));
        }
        assert_eq!(labels(&["b", "a", "b"]), labels(&["a", "b"]));
    }

    #[test]
    fn a_claimed_count_cannot_make_decoding_allocate() {
        for count in [1, u64::MAX / 8, u64::MAX] {
            let bytes = [7_u64.to_le_bytes(), count.to_le_bytes()].concat();
            assert_eq!(Labels::decode(&bytes), None);
        }
    }
}
