//! The compact index: 36 bytes for each stored entry, whatever its key.
//!
//! Entries are found by the first 64 bits of the key id. Two keys that share these bits cost each
//! other a miss: whoever reads a record compares the whole key.

use std::hash::{BuildHasher, RandomState};

use hashbrown::HashTable;
use smallvec::SmallVec;

/// Tables, by some bits of the hash: when one grows, only its part exists twice for a moment.
pub(crate) const PARTS: usize = 64;

/// Where an entry is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C, packed(4))]
pub(crate) struct Packed {
    pub(crate) key: u64,
    pub(crate) variant: u64,
    pub(crate) sequence: u64,
    /// Number of the segment; 0 for one that is not in a segment, or not yet.
    pub(crate) segment: u32,
    pub(crate) offset: u32,
    /// Bytes of the record, see `place`; those of other files are known beside.
    pub(crate) length: u32,
}

/// All entries.
pub(crate) struct Table {
    parts: Box<[HashTable<Packed>]>,
    /// Clients choose the keys: nobody can prepare some that crowd a table.
    secret: u64,
    len: u64,
    /// Rises with each change.
    changes: u64,
}

impl Table {
    pub(crate) fn new() -> Self {
        let parts = (0..PARTS).map(|_| HashTable::new()).collect();
        Self { parts, secret: RandomState::new().hash_one(0_u8) | 1, len: 0, changes: 0 }
    }

    pub(crate) fn len(&self) -> u64 {
        self.len
    }

    /// Tells one state from every other.
    pub(crate) fn changes(&self) -> u64 {
        self.changes
    }

    /// A part of all: there are [`PARTS`].
    pub(crate) fn part(&self, number: usize) -> impl Iterator<Item = &Packed> {
        self.parts[number].iter()
    }

    /// Bytes on the heap.
    pub(crate) fn bytes(&self) -> u64 {
        self.parts.iter().map(|part| part.allocation_size() as u64).sum()
    }

    /// All of a key, in no order.
    pub(crate) fn of_key(&self, key: u64) -> SmallVec<[Packed; 2]> {
        let hash = self.hash(key);
        let part = &self.parts[part_of(hash)];
        part.iter_hash(hash).filter(|packed| packed.key == key).copied().collect()
    }

    pub(crate) fn find(&self, key: u64, sequence: u64) -> Option<&Packed> {
        let hash = self.hash(key);
        let is_it = |packed: &Packed| packed.key == key && packed.sequence == sequence;
        self.parts[part_of(hash)].find(hash, is_it)
    }

    pub(crate) fn find_mut(&mut self, key: u64, sequence: u64) -> Option<&mut Packed> {
        self.changes += 1;
        let hash = self.hash(key);
        let is_it = |packed: &Packed| packed.key == key && packed.sequence == sequence;
        self.parts[part_of(hash)].find_mut(hash, is_it)
    }

    pub(crate) fn insert(&mut self, packed: Packed) {
        let (hash, secret) = (self.hash(packed.key), self.secret);
        let part = &mut self.parts[part_of(hash)];
        part.insert_unique(hash, packed, |other| folded(other.key, secret));
        self.changes += 1;
        self.len += 1;
    }

    pub(crate) fn remove(&mut self, key: u64, sequence: u64) -> Option<Packed> {
        let hash = self.hash(key);
        let is_it = |packed: &Packed| packed.key == key && packed.sequence == sequence;
        let (packed, _) = self.parts[part_of(hash)].find_entry(hash, is_it).ok()?.remove();
        self.len -= 1;
        self.changes += 1;
        Some(packed)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Packed> {
        self.parts.iter().flat_map(HashTable::iter)
    }

    /// Takes everything out.
    pub(crate) fn drain(&mut self) -> impl Iterator<Item = Packed> + use<> {
        let empty = Self { secret: self.secret, changes: self.changes + 1, ..Self::new() };
        std::mem::replace(self, empty).parts.into_iter().flatten()
    }

    fn hash(&self, key: u64) -> u64 {
        folded(key, self.secret)
    }
}

/// Mixes all bits of the key into all bits of the hash.
fn folded(key: u64, secret: u64) -> u64 {
    let wide = u128::from(key ^ secret) * u128::from(secret);
    (wide as u64) ^ (wide >> 64) as u64
}

/// Other bits than those that the tables themselves look at.
fn part_of(hash: u64) -> usize {
    (hash >> 48) as usize % PARTS
}

#[cfg(test)]
mod tests {
    use super::*;

    fn packed(key: u64, sequence: u64) -> Packed {
        Packed { key, variant: 0, sequence, segment: 1, offset: 64, length: 100 }
    }

    #[test]
    fn what_was_put_in_is_found_until_it_is_taken_out() {
        let mut table = Table::new();
        for sequence in 0..1000_u64 {
            table.insert(packed(sequence / 2, sequence));
        }
        assert_eq!((table.len(), table.iter().count()), (1000, 1000));
        assert_eq!(table.of_key(7).len(), 2);
        assert!(table.remove(7, 14).is_some() && table.remove(7, 14).is_none());
        assert!(table.find(7, 14).is_none() && table.find(7, 15).is_some());
        assert_eq!(table.drain().count(), 999);
        assert!(table.len() == 0 && table.find(7, 15).is_none());
    }

    #[test]
    fn an_entry_takes_at_most_a_hundred_bytes_even_just_after_the_tables_grew() {
        let mut table = Table::new();
        let mut most = 0.0_f64;
        for number in 0..300_000_u64 {
            table.insert(packed(number.wrapping_mul(0x9e37_79b9_7f4a_7c15), number));
            if number > 20_000 {
                most = most.max(table.bytes() as f64 / table.len() as f64);
            }
        }
        assert!(most < 90.0, "{most}");
    }
}
