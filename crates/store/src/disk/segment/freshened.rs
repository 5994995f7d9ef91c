//! A record of new metadata that has its body in an older record.

use super::Found;
use super::format::{Kind, Listed, Record};
use crate::disk::format::Cursor;
use crate::disk::load::Trouble;
use crate::disk::place::Place;
use crate::reason::Damage;

/// Bytes that say where a body is.
pub(super) const REFERENCE: u32 = 24;

/// The record that has a body: where it is, its sequence number, and the salt of its segment. No two
/// bodies of a store have the same number, and no two segments of any stores the same salt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Reference {
    pub(crate) place: Place,
    pub(crate) sequence: u64,
    pub(crate) salt: u64,
}

impl Reference {
    /// What stands in a record in place of the body; the length stands in its head.
    pub(crate) fn encode(&self) -> [u8; REFERENCE as usize] {
        let mut out = [0; REFERENCE as usize];
        out[..4].copy_from_slice(&self.place.segment.to_le_bytes());
        out[4..8].copy_from_slice(&self.place.offset.to_le_bytes());
        out[8..16].copy_from_slice(&self.sequence.to_le_bytes());
        out[16..].copy_from_slice(&self.salt.to_le_bytes());
        out
    }

    /// What a record refers to; `None` if it has its body.
    pub(crate) fn of(listed: &Listed, record: &Record) -> Result<Option<Self>, Damage> {
        match listed.kind {
            Kind::Entry => return Ok(None),
            Kind::Freshened => (),
            _ => return Err(Damage::Identity),
        }
        let mut from = Cursor(&record.body);
        let (segment, offset) = (from.u32()?, from.u32()?);
        let place = Place { segment, offset, length: listed.body, body: 0 };
        Ok(Some(Self { place, sequence: from.u64()?, salt: from.u64()? }))
    }
}

/// A record with its body, which may have to be read from another one. That has to be the one that
/// was meant: of the same key and variant, with the number it had.
pub(crate) fn with_body(
    found: Found,
    read: impl FnOnce(Place) -> Result<Found, Trouble>,
) -> Result<Found, Trouble> {
    let Found { listed, record, .. } = &found;
    let Some(Reference { place, sequence, salt }) = Reference::of(listed, record)? else {
        return Ok(found);
    };
    let Found { listed: older, record: whole, place, segment } = read(place)?;
    let meant = (Kind::Entry, listed.key, listed.variant, sequence);
    let is_meant = (older.kind, older.key, older.variant, older.sequence) == meant;
    if !is_meant || (whole.salt, &whole.key) != (salt, &record.key) {
        return Err(Damage::Identity.into());
    }
    let record = Record { meta: found.record.meta, ..whole };
    Ok(Found { listed: found.listed, record, place, segment })
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use bytes::Bytes;

    use super::*;
    use crate::disk::files::Files;

    const PLACE: Place = Place { segment: 3, offset: 64, length: 100, body: 0 };

    fn listed(kind: Kind, sequence: u64) -> Listed {
        let body = if kind == Kind::Freshened { PLACE.length } else { 0 };
        Listed { kind, key: 1, variant: 2, sequence, body, ..Listed::NOTHING }
    }

    fn record(meta: &'static [u8], body: Vec<u8>) -> Record {
        let (key, trailers) = (Bytes::from_static(b"key"), Bytes::from_static(b"trailers"));
        Record { salt: 8, body_at: 0, key, meta: meta.into(), trailers, body: body.into() }
    }

    #[test]
    fn new_metadata_comes_with_the_body_that_was_meant_and_no_other() {
        let reference = Reference { place: PLACE, sequence: 5, salt: 8 };
        let fresh = || record(b"new", reference.encode().to_vec());
        let kind = Kind::Freshened;
        assert_eq!(Reference::of(&listed(kind, 9), &fresh()), Ok(Some(reference)));
        let segment = Arc::new(Files::default().open("/dev/null".as_ref()).unwrap());
        let found = |listed, record| {
            let segment = Arc::clone(&segment);
            Found { listed, record, place: PLACE, segment }
        };
        let read = |change: fn(&mut Listed, &mut Record)| {
            with_body(found(listed(kind, 9), fresh()), |place| {
                assert_eq!(place, PLACE);
                let mut found = found(listed(Kind::Entry, 5), record(b"old", b"body".to_vec()));
                change(&mut found.listed, &mut found.record);
                Ok(found)
            })
        };
        let whole = read(|_, _| ()).ok().unwrap();
        assert_eq!(whole.listed.sequence, 9);
        let whole = whole.record;
        assert_eq!((&whole.meta[..], &whole.body[..]), (&b"new"[..], &b"body"[..]));
        assert_eq!((&whole.key[..], &whole.trailers[..]), (&b"key"[..], &b"trailers"[..]));
        let others: [fn(&mut Listed, &mut Record); 6] = [
            |listed, _| listed.kind = Kind::Freshened,
            |listed, _| listed.key += 1,
            |listed, _| listed.variant += 1,
            |listed, _| listed.sequence += 1,
            |_, record| record.salt += 1,
            |_, record| record.key = Bytes::from_static(b"kez"),
        ];
        for change in others {
            assert!(matches!(read(change), Err(Trouble::Damaged(Damage::Identity))));
        }
    }
}
