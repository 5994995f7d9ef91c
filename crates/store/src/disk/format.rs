//! The form of a file that has an entry to itself. All numbers are little-endian.
//!
//! ```text
//! body      the bytes of the body, first, each at its own offset, so that it can be written while
//!           it arrives
//! tail      u32 length, key bytes
//!           u32 length, metadata
//!           u32 length, trailers
//!           version 1, the body is whole:
//!           u32 count,  u64 × count: xxh3-64 of each 64 KiB block of the body, the last one shorter
//!           version 2, it came in parts and may have holes:
//!           u32 count,  count × (u64 offset, u32 length, u64 xxh3-64 of these bytes), in order,
//!                       each within one block, none within another
//! footer    8 bytes magic, u32 format version, u32 block size,
//!           u64 body length, u64 tail length, u64 sequence number (as in the file's name),
//!           u64 xxh3-64 of the tail, u64 xxh3-64 of the footer so far
//! ```
//!
//! The footer at the end of the file is the truth: body, tail and footer must add up to the file's
//! length, every checksum must match, and key, variant and sequence number must be those of the
//! file's name. Any doubt makes the file damaged; it is dropped and the look-up is a miss.

use bytes::Bytes;
use xxhash_rust::xxh3::{Xxh3Default, xxh3_64};

use super::presence::Presence;
use crate::reason::Damage;

/// Bytes of the body that one checksum covers.
pub(crate) const BLOCK: u64 = 64 << 10;
/// Bytes of a piece of a body held in memory or handed to a reader; a whole number of blocks.
pub(crate) const PIECE: u64 = 256 << 10;
/// Bytes of the footer.
pub(crate) const FOOTER: usize = 56;
const MAGIC: &[u8; 8] = b"cp-store";
/// A whole body with a checksum for each block; and one that came in parts.
const WHOLE: u32 = 1;
const SPREAD: u32 = 2;

/// What stands beside the body in a file.
pub(crate) struct Tail {
    pub(crate) key: Bytes,
    pub(crate) meta: Bytes,
    pub(crate) trailers: Bytes,
    pub(crate) presence: Presence,
}

/// The fixed end of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Footer {
    pub(crate) body: u64,
    pub(crate) tail: u64,
    pub(crate) sequence: u64,
    version: u32,
    checksum: u64,
}

/// Tail and footer of a body of this length; `None` if a part is too long for the format.
pub(crate) fn encode(
    key: &[u8],
    meta: &[u8],
    trailers: &[u8],
    presence: &Presence,
    body: u64,
    sequence: u64,
) -> Option<Vec<u8>> {
    let length = 16 + key.len() + meta.len() + trailers.len() + presence.weight();
    let mut out = Vec::with_capacity(length + FOOTER);
    for part in [key, meta, trailers] {
        out.extend_from_slice(&u32::try_from(part.len()).ok()?.to_le_bytes());
        out.extend_from_slice(part);
    }
    presence.encode(&mut out)?;
    let checksum = xxh3_64(&out);
    let version = if presence.is_spread() { SPREAD } else { WHOLE };
    Footer { body, tail: out.len() as u64, sequence, version, checksum }.encode(&mut out);
    Some(out)
}

impl Footer {
    fn encode(&self, out: &mut Vec<u8>) {
        let start = out.len();
        out.extend_from_slice(MAGIC);
        out.extend_from_slice(&self.version.to_le_bytes());
        out.extend_from_slice(&(BLOCK as u32).to_le_bytes());
        for number in [self.body, self.tail, self.sequence, self.checksum] {
            out.extend_from_slice(&number.to_le_bytes());
        }
        let checksum = xxh3_64(&out[start..]);
        out.extend_from_slice(&checksum.to_le_bytes());
    }

    /// Reads the footer at the end of `bytes`, which are the end of a file of `file` bytes.
    pub(crate) fn decode(bytes: &[u8], file: u64) -> Result<Self, Damage> {
        let at = bytes.len().checked_sub(FOOTER).ok_or(Damage::Size)?;
        let mut from = Cursor(&bytes[at..]);
        let magic = from.take(8)?;
        let (version, block) = (from.u32()?, from.u32()?);
        let footer = Self {
            body: from.u64()?,
            tail: from.u64()?,
            sequence: from.u64()?,
            version,
            checksum: from.u64()?,
        };
        if magic != MAGIC {
            return Err(Damage::Magic);
        }
        if from.u64()? != xxh3_64(&bytes[at..bytes.len() - 8]) {
            return Err(Damage::Checksum);
        }
        if !matches!(version, WHOLE | SPREAD) || u64::from(block) != BLOCK {
            return Err(Damage::Version);
        }
        let whole = footer.body.checked_add(footer.tail).and_then(|n| n.checked_add(FOOTER as u64));
        if whole == Some(file) { Ok(footer) } else { Err(Damage::Size) }
    }
}

impl Tail {
    /// Reads the tail that `footer` speaks of.
    pub(crate) fn decode(bytes: &Bytes, footer: &Footer) -> Result<Self, Damage> {
        if xxh3_64(bytes) != footer.checksum {
            return Err(Damage::Checksum);
        }
        let mut from = Cursor(bytes);
        let key = bytes.slice_ref(from.part()?);
        let meta = bytes.slice_ref(from.part()?);
        let trailers = bytes.slice_ref(from.part()?);
        let presence = Presence::decode(from, footer.version == SPREAD, footer.body)?;
        Ok(Self { key, meta, trailers, presence })
    }
}

/// Bytes still to be read; every step checks that they are there.
pub(crate) struct Cursor<'a>(pub(crate) &'a [u8]);

impl<'a> Cursor<'a> {
    pub(crate) fn take(&mut self, length: usize) -> Result<&'a [u8], Damage> {
        let (taken, rest) = self.0.split_at_checked(length).ok_or(Damage::Size)?;
        self.0 = rest;
        Ok(taken)
    }

    pub(crate) fn u32(&mut self) -> Result<u32, Damage> {
        let (taken, rest) = self.0.split_first_chunk().ok_or(Damage::Size)?;
        self.0 = rest;
        Ok(u32::from_le_bytes(*taken))
    }

    pub(crate) fn u64(&mut self) -> Result<u64, Damage> {
        let (taken, rest) = self.0.split_first_chunk().ok_or(Damage::Size)?;
        self.0 = rest;
        Ok(u64::from_le_bytes(*taken))
    }

    fn part(&mut self) -> Result<&'a [u8], Damage> {
        let length = self.u32()? as usize;
        self.take(length)
    }
}

/// Computes the checksums of what arrives of a body in chunks of any size: one for each block, or for
/// the end or the beginning of one where it begins or ends inside.
#[derive(Default)]
pub(crate) struct BlockSums {
    /// Checksums of whole blocks, and of the rest once [`BlockSums::finish`] was called.
    pub(crate) done: Vec<u64>,
    open: Xxh3Default,
    /// Offset in the block of what comes next, and how much of the block is in `open`.
    filled: u64,
    hashed: u64,
}

impl BlockSums {
    /// Of what arrives from this offset of the body on.
    pub(crate) fn at(offset: u64) -> Self {
        Self { filled: offset % BLOCK, ..Self::default() }
    }

    pub(crate) fn add(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let room = (BLOCK - self.filled).min(bytes.len() as u64) as usize;
            self.open.update(&bytes[..room]);
            self.filled += room as u64;
            self.hashed += room as u64;
            bytes = &bytes[room..];
            if self.filled == BLOCK {
                self.close();
            }
        }
    }

    /// Ends the last block.
    pub(crate) fn finish(&mut self) {
        if self.hashed > 0 {
            self.close();
        }
    }

    fn close(&mut self) {
        self.done.push(self.open.digest());
        self.open.reset();
        (self.filled, self.hashed) = (0, 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sums(chunks: &[&[u8]]) -> Vec<u64> {
        let mut sums = BlockSums::default();
        for chunk in chunks {
            sums.add(chunk);
        }
        sums.finish();
        sums.done
    }

    #[test]
    fn block_sums_do_not_depend_on_how_the_body_arrives() {
        let body: Vec<u8> = (0..200_000_u32).map(|n| (n % 251) as u8).collect();
        let whole = sums(&[&body]);
        assert_eq!(whole.len(), 4);
        assert_eq!(sums(&[&body[..1], &body[1..65_536], &body[65_536..]]), whole);
        let whole = Presence::Whole(whole.into());
        assert!(whole.verifies(&body));
        assert!(!whole.verifies(&body[1..]) && !whole.verifies(&body[..199_999]));
    }

    #[test]
    fn a_tail_comes_back_as_it_was_written() {
        let presence = Presence::Whole([7, 8].into());
        let out = encode(b"key", b"meta", b"trailers", &presence, BLOCK + 1, 42).unwrap();
        let footer = Footer::decode(&out, BLOCK + 1 + out.len() as u64).unwrap();
        assert_eq!((footer.body, footer.sequence), (BLOCK + 1, 42));
        let tail = Bytes::copy_from_slice(&out[..footer.tail as usize]);
        let tail = Tail::decode(&tail, &footer).unwrap();
        assert_eq!(
            (&*tail.key, &*tail.meta, &*tail.trailers),
            (&b"key"[..], &b"meta"[..], &b"trailers"[..])
        );
        assert_eq!(tail.presence, presence);
    }

    #[test]
    fn a_footer_of_another_place_or_version_says_why_it_is_refused() {
        let good = encode(b"key", b"", b"", &Presence::Whole(Box::default()), 0, 1).unwrap();
        let file = good.len() as u64;
        let with = |change: fn(&mut [u8])| {
            let mut bytes = good.clone();
            let at = bytes.len() - FOOTER;
            change(&mut bytes[at..]);
            Footer::decode(&bytes, file)
        };
        assert_eq!(with(|footer| footer[0] ^= 1), Err(Damage::Magic));
        assert_eq!(with(|footer| footer[20] ^= 1), Err(Damage::Checksum));
        let newer = with(|footer| {
            footer[8] = 3;
            let checksum = xxh3_64(&footer[..FOOTER - 8]);
            footer[FOOTER - 8..].copy_from_slice(&checksum.to_le_bytes());
        });
        assert_eq!(newer, Err(Damage::Version));
        assert_eq!(Footer::decode(&good, file + 1), Err(Damage::Size));
        assert_eq!(Footer::decode(&good[..FOOTER - 1], file), Err(Damage::Size));
    }
}
