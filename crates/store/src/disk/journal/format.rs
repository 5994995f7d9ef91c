//! The bytes of the log of events.
//!
//! ```text
//! header    8 bytes magic, u32 version, u32 zero, u64 floor: entries that began before it are dead;
//!           u64 files with numbers below it are dead;
//!           u64 numbers below it may have been given; u64 seed of the hashes of keys and prefixes;
//!           u64 xxh3-64 of the header so far
//! records   u64 hash, u32 kind: 0 label, 1 key, 2 prefix, 3 everything, 4 files of a key; u32 length
//!           of the prefix, u64 number of the event, i64 since when what it is about is stale (the
//!           least number for dead); u64 xxh3-64 of all that, seeded with the checksum before it:
//!           none can be lost from the middle, doubled or moved
//! ```
//!
//! All numbers are little-endian.

use xxhash_rust::xxh3::{xxh3_64, xxh3_64_with_seed};

use crate::events::{Event, MOST, Table};
use crate::matcher::{Fate, Subject};

const MAGIC: &[u8; 8] = b"cp-event";
const VERSION: u32 = 2;
const HEADER: usize = 56;
pub(super) const RECORD: usize = 40;
/// Stands for dead where others have a time.
const DEAD: i64 = i64::MIN;
/// Bytes above which a log is not one of ours.
pub(super) const LONGEST: u64 = (HEADER + 4 * MOST * RECORD) as u64;

/// What a log says.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Replayed {
    pub(super) table: Table,
    /// No number as high was given.
    pub(super) taken: u64,
}

/// A log with all events of a table, and its checksum.
pub(super) fn encode(table: &Table, taken: u64) -> (Vec<u8>, u64) {
    let mut bytes = Vec::with_capacity(HEADER + table.len() * RECORD);
    bytes.extend_from_slice(MAGIC);
    bytes.extend_from_slice(&VERSION.to_le_bytes());
    bytes.extend_from_slice(&[0; 4]);
    bytes.extend_from_slice(&table.floor.to_le_bytes());
    bytes.extend_from_slice(&table.files_floor.to_le_bytes());
    bytes.extend_from_slice(&taken.to_le_bytes());
    bytes.extend_from_slice(&table.seed.to_le_bytes());
    let mut chain = xxh3_64(&bytes);
    bytes.extend_from_slice(&chain.to_le_bytes());
    for event in table.events() {
        chain = put_record(&mut bytes, &event, chain);
    }
    (bytes, chain)
}

/// Appends a record and returns its checksum.
pub(super) fn put_record(out: &mut Vec<u8>, event: &Event, chain: u64) -> u64 {
    let start = out.len();
    let (kind, length, hash) = event.subject.parts();
    let since = if let Fate::Stale { since } = event.fate { since.max(DEAD + 1) } else { DEAD };
    out.extend_from_slice(&hash.to_le_bytes());
    out.extend_from_slice(&kind.to_le_bytes());
    out.extend_from_slice(&length.to_le_bytes());
    out.extend_from_slice(&event.number.to_le_bytes());
    out.extend_from_slice(&since.to_le_bytes());
    let checksum = xxh3_64_with_seed(&out[start..], chain);
    out.extend_from_slice(&checksum.to_le_bytes());
    checksum
}

/// What a log says; `None` if there is any doubt.
pub(super) fn decode(bytes: &[u8]) -> Option<Replayed> {
    let (header, mut rest) = bytes.split_at_checked(HEADER)?;
    let (head, mut sum) = header.split_at(HEADER - 8);
    let mut fields = head.strip_prefix(MAGIC)?.strip_prefix(&VERSION.to_le_bytes())?.get(4..)?;
    let (floor, files_floor) = (number(&mut fields)?, number(&mut fields)?);
    let (taken, seed) = (number(&mut fields)?, number(&mut fields)?);
    let mut table = Table::with(floor, files_floor, seed);
    let mut chain = number(&mut sum)?;
    if chain != xxh3_64(head) {
        return None;
    }
    while !rest.is_empty() {
        let (record, behind) = rest.split_at_checked(RECORD)?;
        let (mut record, mut sum) = record.split_at(RECORD - 8);
        if number(&mut sum)? != xxh3_64_with_seed(record, chain) {
            return None;
        }
        chain = xxh3_64_with_seed(record, chain);
        table.note(read_record(&mut record)?);
        rest = behind;
    }
    Some(Replayed { table, taken })
}

fn read_record(record: &mut &[u8]) -> Option<Event> {
    let (hash, kind) = (number(record)?, number(record)?);
    // The kind is the lower half of the two.
    let subject = Subject::of_parts(kind as u32, (kind >> 32) as u32, hash)?;
    let number = number(record)?;
    let since = self::number(record)?.cast_signed();
    let fate = if since == DEAD { Fate::Dead } else { Fate::Stale { since } };
    Some(Event { subject, fate, number })
}

fn number(bytes: &mut &[u8]) -> Option<u64> {
    let (number, rest) = bytes.split_first_chunk()?;
    *bytes = rest;
    Some(u64::from_le_bytes(*number))
}

#[cfg(test)]
mod tests;
