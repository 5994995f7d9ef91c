//! The form of a segment, version 1. All numbers are little-endian, every part begins at a multiple
//! of 8.
//!
//! ```text
//! header    8 bytes magic, u32 version, u32 number (as in the name), u64 salt, u64 born: a sequence
//!           number below those that were given out since, 24 bytes zero, u64 xxh3-64 of all that
//! records   u32 magic, u32 kind, u64 first bytes of the key id, u64 variant, u64 sequence number,
//!           u32 lengths of key, metadata, trailers and body, u64 xxh3-64 of these four,
//!           u64 xxh3-64 of the head so far, seeded with salt and offset;
//!           then key, metadata, trailers and body, and zeros up to the next multiple of 8
//! freshened such a record, with no trailers, and in place of the body u32 segment, u32 offset, u64
//!           sequence number and u64 salt of the record of kind 1 that has trailers and body; as
//!           length of the body stands the length of that record
//! footer    a record whose body lists all records before it: u64 key, u64 variant, u64 sequence,
//!           u32 offset, u32 length, u32 kind, u32 length of the record that has its body, or zero
//! trailer   8 bytes magic, u32 version, u32 number, u64 salt, u64 born, u64 offset and u64 count of
//!           the list, u64 xxh3-64 of the list, u64 xxh3-64 of the trailer so far
//! ```
//!
//! Only a sealed segment has footer and trailer; it ends with them. The salt is random: a body that
//! looks like a record is none, wherever one looks for the next. What a footer says of a record is
//! enough to find and to order it, so that damage to a record costs that record alone.

use bytes::Bytes;
use xxhash_rust::xxh3::{xxh3_64, xxh3_64_with_seed};

use super::super::format::Cursor;
use super::freshened::REFERENCE;
use crate::reason::Damage;

/// Bytes of the header of a segment, of the head of a record, and of the trailer.
pub(crate) const HEAD: u64 = 64;
/// Bytes that a footer has for each record.
pub(crate) const LISTED: u64 = 40;

const SEGMENT: [u8; 8] = *b"cp-segmt";
const SEALED: [u8; 8] = *b"cp-seald";
const RECORD: u32 = u32::from_le_bytes(*b"cp-r");
const VERSION: u32 = 1;

/// What is known of a whole segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct About {
    pub(crate) number: u32,
    pub(crate) salt: u64,
    pub(crate) born: u64,
}

/// What a record is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// An entry: key, metadata, trailers and body.
    Entry = 1,
    /// Entries of the key and variant with lower numbers are gone.
    VariantGone = 2,
    /// Entries of the key with lower numbers are gone.
    KeyGone = 3,
    /// All entries with lower numbers are gone.
    AllGone = 4,
    /// The list of the records before it.
    Footer = 5,
    /// An entry: key and metadata. Its body is in an older record.
    Freshened = 6,
}

/// A record as a footer lists it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Listed {
    pub(crate) kind: Kind,
    pub(crate) key: u64,
    pub(crate) variant: u64,
    pub(crate) sequence: u64,
    pub(crate) offset: u32,
    /// Bytes without the zeros behind them.
    pub(crate) length: u32,
    /// Bytes of the record that has its body, if that is another one.
    pub(crate) body: u32,
}

/// The parts of a record.
#[derive(Clone, Copy, Default)]
pub(crate) struct Parts<'a> {
    pub(crate) key: &'a [u8],
    pub(crate) meta: &'a [u8],
    pub(crate) trailers: &'a [u8],
    pub(crate) body: &'a [&'a [u8]],
}

/// A record that was read and verified.
pub(crate) struct Record {
    /// That of its segment.
    pub(crate) salt: u64,
    pub(crate) key: Bytes,
    pub(crate) meta: Bytes,
    pub(crate) trailers: Bytes,
    pub(crate) body: Bytes,
    /// Where in the segment the body begins.
    pub(crate) body_at: u64,
}

impl Kind {
    fn of(number: u32) -> Option<Self> {
        let records = [Self::Entry, Self::VariantGone, Self::KeyGone, Self::AllGone];
        let others = [Self::Footer, Self::Freshened];
        records.into_iter().chain(others).find(|kind| *kind as u32 == number)
    }
}

/// The first bytes of a key id, which stand for it where the whole would cost too much. Whoever
/// reads a record compares the whole key.
pub(crate) fn short(id: &[u8; 32]) -> u64 {
    id.first_chunk().map_or(0, |first| u64::from_le_bytes(*first))
}

/// Bytes that something takes with the zeros behind it.
pub(crate) fn padded(length: u64) -> u64 {
    length.next_multiple_of(8)
}

/// Bytes that footer and trailer take for so many records.
pub(crate) fn footer_size(records: usize) -> u64 {
    2 * HEAD + records as u64 * LISTED
}

impl About {
    pub(crate) fn header(&self) -> [u8; HEAD as usize] {
        let mut out = self.start(SEGMENT);
        out.extend_from_slice(&[0; 24]);
        close(out)
    }

    fn start(&self, magic: [u8; 8]) -> Vec<u8> {
        let mut out = Vec::with_capacity(HEAD as usize);
        out.extend_from_slice(&magic);
        out.extend_from_slice(&VERSION.to_le_bytes());
        out.extend_from_slice(&self.number.to_le_bytes());
        out.extend_from_slice(&self.salt.to_le_bytes());
        out.extend_from_slice(&self.born.to_le_bytes());
        out
    }

    fn read(bytes: &[u8], magic: [u8; 8]) -> Result<(Self, [u64; 3]), Damage> {
        let (sum, mut from) = open(bytes)?;
        if from.take(8)? != magic {
            return Err(Damage::Magic);
        }
        if !sum {
            return Err(Damage::Checksum);
        }
        if from.u32()? != VERSION {
            return Err(Damage::Version);
        }
        let about = Self { number: from.u32()?, salt: from.u64()?, born: from.u64()? };
        Ok((about, [from.u64()?, from.u64()?, from.u64()?]))
    }

    /// Reads the header of a segment.
    pub(crate) fn of_header(bytes: &[u8]) -> Result<Self, Damage> {
        Self::read(bytes, SEGMENT).map(|(about, _)| about)
    }
}

fn close(mut head: Vec<u8>) -> [u8; HEAD as usize] {
    let mut out = [0; HEAD as usize];
    let sum = xxh3_64(&head);
    head.extend_from_slice(&sum.to_le_bytes());
    out.copy_from_slice(&head);
    out
}

fn open(bytes: &[u8]) -> Result<(bool, Cursor<'_>), Damage> {
    let bytes = bytes.get(..HEAD as usize).ok_or(Damage::Size)?;
    let (head, mut sum) = (&bytes[..HEAD as usize - 8], Cursor(&bytes[HEAD as usize - 8..]));
    Ok((sum.u64()? == xxh3_64(head), Cursor(head)))
}

/// Where the list of a sealed segment is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Trailer {
    pub(crate) about: About,
    pub(crate) offset: u64,
    pub(crate) count: u64,
    checksum: u64,
}

impl Trailer {
    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, Damage> {
        let (about, [offset, count, checksum]) = About::read(bytes, SEALED)?;
        Ok(Self { about, offset, count, checksum })
    }

    fn encode(&self) -> [u8; HEAD as usize] {
        let mut out = self.about.start(SEALED);
        for number in [self.offset, self.count, self.checksum] {
            out.extend_from_slice(&number.to_le_bytes());
        }
        close(out)
    }

    pub(crate) fn speaks_of(&self, list: &[u8]) -> bool {
        xxh3_64(list) == self.checksum
    }
}

/// Bytes of a record with these parts.
pub(crate) fn record_size(parts: &Parts<'_>) -> u64 {
    let body: usize = parts.body.iter().map(|piece| piece.len()).sum();
    HEAD + (parts.key.len() + parts.meta.len() + parts.trailers.len() + body) as u64
}

/// Appends a record that will stand at `listed.offset`, with the zeros behind it. Its parts are
/// known to be short.
pub(crate) fn encode(out: &mut Vec<u8>, salt: u64, listed: &Listed, parts: &Parts<'_>) {
    let start = out.len();
    out.extend_from_slice(&[0; HEAD as usize]);
    for part in [parts.key, parts.meta, parts.trailers] {
        out.extend_from_slice(part);
    }
    parts.body.iter().for_each(|piece| out.extend_from_slice(piece));
    let content = xxh3_64(&out[start + HEAD as usize..]);
    let body: usize = parts.body.iter().map(|piece| piece.len()).sum();
    let mut lengths = [parts.key.len(), parts.meta.len(), parts.trailers.len(), body];
    if listed.kind == Kind::Freshened {
        lengths[3] = listed.body as usize;
    }
    let head = record_head(salt, listed, lengths.map(|length| length as u32), content);
    out[start..start + HEAD as usize].copy_from_slice(&head);
    pad(out);
}

fn pad(out: &mut Vec<u8>) {
    out.resize(out.len().next_multiple_of(8), 0);
}

fn record_head(salt: u64, listed: &Listed, lengths: [u32; 4], content: u64) -> [u8; HEAD as usize] {
    let mut head = Vec::with_capacity(HEAD as usize);
    head.extend_from_slice(&RECORD.to_le_bytes());
    head.extend_from_slice(&(listed.kind as u32).to_le_bytes());
    for number in [listed.key, listed.variant, listed.sequence] {
        head.extend_from_slice(&number.to_le_bytes());
    }
    for length in lengths {
        head.extend_from_slice(&length.to_le_bytes());
    }
    head.extend_from_slice(&content.to_le_bytes());
    let sum = xxh3_64_with_seed(&head, salt.wrapping_add(u64::from(listed.offset)));
    head.extend_from_slice(&sum.to_le_bytes());
    let mut out = [0; HEAD as usize];
    out.copy_from_slice(&head);
    out
}

/// The head of a record.
pub(crate) struct RecordHead {
    pub(crate) listed: Listed,
    salt: u64,
    lengths: [u32; 4],
    content: u64,
}

impl RecordHead {
    /// Reads the head that stands at `offset` of a segment.
    pub(crate) fn decode(bytes: &[u8], salt: u64, offset: u32) -> Result<Self, Damage> {
        let head = bytes.get(..HEAD as usize).ok_or(Damage::Size)?;
        let mut from = Cursor(head);
        if from.u32()? != RECORD {
            return Err(Damage::Magic);
        }
        let kind = Kind::of(from.u32()?);
        let (key, variant, sequence) = (from.u64()?, from.u64()?, from.u64()?);
        let mut lengths = [from.u32()?, from.u32()?, from.u32()?, from.u32()?];
        let (content, sum) = (from.u64()?, from.u64()?);
        let seed = salt.wrapping_add(u64::from(offset));
        if sum != xxh3_64_with_seed(&head[..HEAD as usize - 8], seed) {
            return Err(Damage::Checksum);
        }
        let kind = kind.ok_or(Damage::Version)?;
        let mut body = 0;
        if kind == Kind::Freshened {
            body = std::mem::replace(&mut lengths[3], REFERENCE);
        }
        let length = lengths.iter().map(|length| u64::from(*length)).sum::<u64>() + HEAD;
        let length = u32::try_from(length).map_err(|_| Damage::Size)?;
        let listed = Listed { kind, key, variant, sequence, offset, length, body };
        Ok(Self { listed, salt, lengths, content })
    }

    /// Verifies the record that has this head, and takes it apart.
    pub(crate) fn record(&self, bytes: &Bytes) -> Result<Record, Damage> {
        let content = bytes.get(HEAD as usize..self.listed.length as usize).ok_or(Damage::Size)?;
        if xxh3_64(content) != self.content {
            return Err(Damage::Checksum);
        }
        let mut from = Cursor(content);
        let mut part = |length: u32| Ok(bytes.slice_ref(from.take(length as usize)?));
        let [key, meta, trailers, body] = self.lengths;
        let body_at = u64::from(self.listed.offset) + u64::from(self.listed.length - body);
        Ok(Record {
            body_at,
            salt: self.salt,
            key: part(key)?,
            meta: part(meta)?,
            trailers: part(trailers)?,
            body: part(body)?,
        })
    }
}

/// Footer and trailer of a segment that ends at `offset`.
pub(crate) fn seal(about: &About, listed: &[Listed], offset: u32) -> Vec<u8> {
    let mut list = Vec::with_capacity(listed.len() * LISTED as usize);
    for one in listed {
        one.encode(&mut list);
    }
    let footer = Listed { kind: Kind::Footer, offset, ..Listed::NOTHING };
    let mut out = Vec::with_capacity(list.len() + 2 * HEAD as usize);
    let checksum = xxh3_64(&list);
    let parts = Parts { body: &[&list], ..Parts::default() };
    encode(&mut out, about.salt, &footer, &parts);
    let (offset, count) = (u64::from(offset) + HEAD, listed.len() as u64);
    out.extend_from_slice(&Trailer { about: *about, offset, count, checksum }.encode());
    out
}

/// Reads the list of a footer, each record of which has to lie before `end`.
pub(crate) fn list(bytes: &[u8], end: u64) -> Result<Vec<Listed>, Damage> {
    let mut from = Cursor(bytes);
    let count = bytes.len() / LISTED as usize;
    let listed: Vec<Listed> =
        (0..count).map(|_| Listed::decode(&mut from)).collect::<Result<_, _>>()?;
    let is_inside = |one: &Listed| {
        let (offset, length) = (u64::from(one.offset), u64::from(one.length));
        offset >= HEAD && offset.is_multiple_of(8) && length >= HEAD && offset + length <= end
    };
    if from.0.is_empty() && listed.iter().all(is_inside) { Ok(listed) } else { Err(Damage::Size) }
}

impl Listed {
    pub(crate) const NOTHING: Self = Self {
        kind: Kind::AllGone,
        key: 0,
        variant: 0,
        sequence: 0,
        offset: 0,
        length: 0,
        body: 0,
    };

    fn encode(&self, out: &mut Vec<u8>) {
        for number in [self.key, self.variant, self.sequence] {
            out.extend_from_slice(&number.to_le_bytes());
        }
        for number in [self.offset, self.length, self.kind as u32, self.body] {
            out.extend_from_slice(&number.to_le_bytes());
        }
    }

    fn decode(from: &mut Cursor<'_>) -> Result<Self, Damage> {
        let (key, variant, sequence) = (from.u64()?, from.u64()?, from.u64()?);
        let (offset, length) = (from.u32()?, from.u32()?);
        let kind = Kind::of(from.u32()?).ok_or(Damage::Version)?;
        Ok(Self { kind, key, variant, sequence, offset, length, body: from.u32()? })
    }
}

#[cfg(test)]
mod tests;
