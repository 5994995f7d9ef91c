//! Where a record is, and how 32 bits say how long it is, and how long its body's.

use super::segment::Listed;
use super::table::Packed;

/// Set in a length if the body is in another record.
const FRESHENED: u32 = 1 << 31;
/// Bytes of the longest record that may have its body in another one.
pub(crate) const LONGEST: u32 = (1 << 16) - 1;
/// In so many bytes the record with the body is measured.
const UNIT: u32 = 16;
/// So many of them it can have at most.
const MOST: u32 = (1 << 15) - 1;

/// Where a record is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) segment: u32,
    pub(crate) offset: u32,
    pub(crate) length: u32,
    /// Bytes of the record that has its body, if that is another one; 0 if it is this. Of what the
    /// index knows up to 15 too many.
    pub(crate) body: u32,
}

impl Place {
    pub(crate) fn of(segment: Option<u32>, listed: &Listed) -> Self {
        let &Listed { offset, length, body, .. } = listed;
        Self { segment: segment.unwrap_or(0), offset, length, body }
    }

    /// Bytes that are kept for the entry there.
    pub(crate) fn bytes(&self) -> u64 {
        u64::from(self.length) + u64::from(self.body)
    }

    /// True if the record that has its body may be this long.
    pub(crate) fn may_have(&self, body: u32) -> bool {
        self.body > 0 && units(self.body) == units(body)
    }

    /// Length and length of the body's record in one number.
    fn packed(&self) -> u32 {
        if self.body == 0 {
            return self.length;
        }
        FRESHENED | units(self.body) << 16 | self.length.min(LONGEST)
    }
}

fn units(bytes: u32) -> u32 {
    bytes.div_ceil(UNIT).min(MOST)
}

impl Packed {
    /// Where its record is, if it has one.
    pub(crate) fn place(&self) -> Place {
        let &Self { segment, offset, length, .. } = self;
        if length & FRESHENED == 0 {
            return Place { segment, offset, length, body: 0 };
        }
        let body = (length >> 16 & MOST) * UNIT;
        Place { segment, offset, length: length & LONGEST, body }
    }

    pub(crate) fn put(&mut self, place: Place) {
        (self.segment, self.offset, self.length) = (place.segment, place.offset, place.packed());
    }

    /// Bytes of its record, and of the one that has its body.
    pub(crate) fn bytes(&self) -> u64 {
        self.place().bytes()
    }

    pub(crate) fn is_at(&self, place: Place) -> bool {
        (self.segment, self.offset) == (place.segment, place.offset)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn put(place: Place) -> Packed {
        let (segment, offset, length) = (0, 0, 0);
        let mut packed = Packed { key: 1, variant: 2, sequence: 3, segment, offset, length };
        packed.put(place);
        packed
    }

    proptest! {
        #[test]
        fn a_place_comes_back_as_it_was_put(
            (segment, offset) in (1..u32::MAX, 0..u32::MAX),
            (whole, length) in (64..=1_u32 << 30, 64..=LONGEST),
            body in 64..=(256_u32 << 10) + 64,
        ) {
            let own = Place { segment, offset, length: whole, body: 0 };
            prop_assert_eq!(put(own).place(), own);
            prop_assert!(!own.may_have(whole));
            let other = put(Place { length, body, ..own }).place();
            prop_assert_eq!((other.segment, other.offset, other.length), (segment, offset, length));
            prop_assert!((body..body + UNIT).contains(&other.body) && other.may_have(body));
            prop_assert!(!other.may_have(body + UNIT) && put(other).is_at(own));
            prop_assert_eq!(put(other).place(), other);
        }
    }
}
