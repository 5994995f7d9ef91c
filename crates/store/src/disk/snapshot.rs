//! The index as a clean stop leaves it, in the file `snapshot`.
//!
//! ```text
//! head      8 bytes magic, u32 version, u32 count of segments, u64 count of records,
//!           u64 next sequence number
//! segments  u32 number, u32 zero, u64 salt, u64 length
//! records   u64 first bytes of the key id, u64 variant, u64 sequence number, u32 segment, u32 offset,
//!           u32 length, as in the index (see `place`)
//! end       u64 xxh3-64 of all that
//! ```
//!
//! It counts only for exactly these segments. A clean stop seals the segment that was open, so
//! whatever is written later is in another one; and each start takes the snapshot away.

use std::io;
use std::path::{Path, PathBuf};

use xxhash_rust::xxh3::Xxh3Default;

use super::files::{Files, Handle};
use super::format::Cursor;
use super::segment::Segments;
use super::table::Packed;
use crate::reason::Damage;

const MAGIC: &[u8; 8] = b"cp-index";
const VERSION: u32 = 1;
const HEAD: usize = 32;
const SEGMENT: usize = 24;
const RECORD: usize = 36;
/// Bytes that are read or written at once, a whole number of records.
const STRIDE: usize = 1 << 15;

/// What a snapshot says.
pub(crate) struct Snapshot {
    pub(crate) next: u64,
    pub(crate) records: Vec<Packed>,
}

fn path(root: &Path) -> PathBuf {
    root.join("snapshot")
}

/// Writes it aside, to be moved into place. `parts` are all records, `count` how many these are.
pub(crate) fn write(
    files: &Files,
    root: &Path,
    segments: &Segments,
    next: u64,
    count: u64,
    parts: impl Iterator<Item = Vec<Packed>>,
) -> io::Result<()> {
    let aside = aside(root);
    files.unlink(&aside)?;
    let mut out =
        Out { handle: files.create(&aside)?, at: 0, sum: Xxh3Default::new(), bytes: Vec::new() };
    let state = segments.state();
    out.bytes.extend_from_slice(MAGIC);
    out.bytes.extend_from_slice(&VERSION.to_le_bytes());
    out.bytes.extend_from_slice(&(state.len() as u32).to_le_bytes());
    out.bytes.extend_from_slice(&count.to_le_bytes());
    out.bytes.extend_from_slice(&next.to_le_bytes());
    for (number, salt, length) in state {
        out.bytes.extend_from_slice(&u64::from(number).to_le_bytes());
        out.bytes.extend_from_slice(&salt.to_le_bytes());
        out.bytes.extend_from_slice(&length.to_le_bytes());
    }
    for packed in parts.flatten() {
        out.record(&packed);
        if out.bytes.len() >= STRIDE {
            out.write()?;
        }
    }
    out.write()?;
    out.bytes.extend_from_slice(&out.sum.digest().to_le_bytes());
    out.write()
}

/// Moves what was written into place, so that it is whole or not there.
pub(crate) fn publish(files: &Files, root: &Path) -> io::Result<()> {
    files.publish(&aside(root), &path(root))
}

fn aside(root: &Path) -> PathBuf {
    root.join("snapshot.new")
}

struct Out {
    handle: Handle,
    at: u64,
    sum: Xxh3Default,
    bytes: Vec<u8>,
}

impl Out {
    fn record(&mut self, packed: &Packed) {
        let &Packed { key, variant, sequence, segment, offset, length } = packed;
        for number in [key, variant, sequence] {
            self.bytes.extend_from_slice(&number.to_le_bytes());
        }
        for number in [segment, offset, length] {
            self.bytes.extend_from_slice(&number.to_le_bytes());
        }
    }

    fn write(&mut self) -> io::Result<()> {
        self.handle.write(self.at, &self.bytes)?;
        self.sum.update(&self.bytes);
        self.at += self.bytes.len() as u64;
        self.bytes.clear();
        Ok(())
    }
}

/// Reads the snapshot of a store with these segments, and takes it away: it is true only until
/// something is written. `None` if there is none for just these; a damaged one says why.
pub(crate) fn take(
    files: &Files,
    root: &Path,
    segments: &Segments,
) -> Option<Result<Snapshot, Damage>> {
    let path = path(root);
    let read = files.open(&path).ok().map(|handle| read(&handle, segments));
    // One that stays is of other segments as soon as there is a new one.
    let _ = files.unlink(&path);
    read
}

fn read(handle: &Handle, segments: &Segments) -> Result<Snapshot, Damage> {
    let unreadable = |_| Damage::Unreadable;
    let size = handle.len().map_err(unreadable)?;
    let body = size.checked_sub(8).ok_or(Damage::Size)?;
    let (mut sum, mut at) = (Xxh3Default::new(), 0);
    let mut next = |length: usize| {
        let bytes = handle.read(at, length).map_err(unreadable)?;
        sum.update(&bytes);
        at += length as u64;
        Ok(bytes)
    };
    let head = next(HEAD.min(body as usize))?;
    let mut from = Cursor(&head);
    if from.take(8)? != MAGIC {
        return Err(Damage::Magic);
    }
    if from.u32()? != VERSION {
        return Err(Damage::Version);
    }
    let (count, records, number) = (from.u32()? as usize, from.u64()?, from.u64()?);
    let expected = records.checked_mul(RECORD as u64).map(|n| n + (HEAD + count * SEGMENT) as u64);
    if expected != Some(body) {
        return Err(Damage::Size);
    }
    let state = next(count * SEGMENT)?;
    let mut found = Vec::with_capacity(records as usize);
    let mut left = records as usize;
    while left > 0 {
        let some = left.min(STRIDE / RECORD * 8);
        let bytes = next(some * RECORD)?;
        let mut from = Cursor(&bytes);
        for _ in 0..some {
            found.push(record(&mut from)?);
        }
        left -= some;
    }
    let end = handle.read(body, 8).map_err(unreadable)?;
    if Cursor(&end).u64()? != sum.digest() {
        return Err(Damage::Checksum);
    }
    if !is_of(&state, segments)? {
        return Err(Damage::Identity);
    }
    Ok(Snapshot { next: number, records: found })
}

fn is_of(state: &[u8], segments: &Segments) -> Result<bool, Damage> {
    let mut from = Cursor(state);
    let mut said = Vec::new();
    while !from.0.is_empty() {
        said.push((from.u64()? as u32, from.u64()?, from.u64()?));
    }
    Ok(said == segments.state())
}

fn record(from: &mut Cursor<'_>) -> Result<Packed, Damage> {
    Ok(Packed {
        key: from.u64()?,
        variant: from.u64()?,
        sequence: from.u64()?,
        segment: from.u32()?,
        offset: from.u32()?,
        length: from.u32()?,
    })
}
