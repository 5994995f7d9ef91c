//! Reads an entry back from its record or file, verified; a small body whole, a large one later.

use std::io;
use std::sync::Arc;

use bytes::Bytes;

use super::files::Handle;
use super::format::{FOOTER, Footer, Tail};
use super::io::{FileId, Io};
use super::place::Place;
use super::presence::Presence;
use super::segment::{Listed, Record, Segments, short, with_body};
use crate::key::{Key, variant_id};
use crate::meta::Meta;
use crate::reason::Damage;

/// Bytes read from the end of a file at once: footer, tail, and the body if it is small.
const END: u64 = 256 << 10;
/// Bytes of a tail beyond which a file cannot be sound: the block sums of 256 GiB.
const LONGEST_TAIL: u64 = 64 << 20;

/// What a file holds.
pub(crate) struct Loaded<M> {
    pub(crate) meta: M,
    pub(crate) trailers: Bytes,
    pub(crate) length: u64,
    pub(crate) body: LoadedBody,
}

pub(crate) enum LoadedBody {
    /// A slice of what was read from the file.
    Memory(Bytes),
    File(Presence),
}

/// Why a file gave nothing.
#[derive(Debug)]
pub(crate) enum Trouble {
    Damaged(Damage),
    Io(io::Error),
}

impl From<Damage> for Trouble {
    fn from(why: Damage) -> Self {
        Self::Damaged(why)
    }
}

impl From<io::Error> for Trouble {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::NotFound => Self::Damaged(Damage::Missing),
            io::ErrorKind::UnexpectedEof => Self::Damaged(Damage::Size),
            _ => Self::Io(error),
        }
    }
}

/// Reads a file that should hold `key`; a body of up to `whole` bytes comes with it.
pub(crate) fn load<M: Meta>(
    io: &Arc<Io>,
    id: &FileId,
    key: &[u8],
    whole: u64,
) -> Result<Loaded<M>, Trouble> {
    let file = End::read(io.files.open(&io.path(id))?)?;
    let footer = Footer::decode(&file.bytes, file.length)?;
    if footer.tail > LONGEST_TAIL {
        return Err(Damage::Size.into());
    }
    let tail = Tail::decode(&file.range(footer.body, footer.tail)?, &footer)?;
    if *tail.key != *key || footer.sequence != id.sequence {
        return Err(Damage::Identity.into());
    }
    let meta = M::decode(&tail.meta).ok_or(Damage::Meta)?;
    if variant_id(meta.variant()) != id.variant {
        return Err(Damage::Identity.into());
    }
    // What lacks anything must say so, or it would pass for the whole.
    if !meta.is_partial() && !tail.presence.is_whole(footer.body) {
        return Err(Damage::Identity.into());
    }
    let body = if footer.body <= whole && !meta.is_partial() {
        let bytes = file.range(0, footer.body)?;
        if !tail.presence.verifies(&bytes) {
            return Err(Damage::Checksum.into());
        }
        LoadedBody::Memory(bytes)
    } else {
        LoadedBody::File(tail.presence)
    };
    // A copy: a slice would keep the whole end of the file in memory.
    let trailers = Bytes::copy_from_slice(&tail.trailers);
    Ok(Loaded { meta, trailers, length: footer.body, body })
}

/// Reads the record that should hold `key`. `None` if it holds another one that looks alike in the
/// index.
pub(crate) fn load_record<M: Meta>(
    segments: &Segments,
    place: Place,
    id: &FileId,
    key: &[u8],
) -> Result<Option<Loaded<M>>, Trouble> {
    take_apart(segments.read(place)?, id, key, |body| segments.read(body))
}

/// The same, if the system has the record in memory and there is no doubt about it: never waits.
pub(crate) fn load_record_now<M: Meta>(
    segments: &Segments,
    place: Place,
    id: &FileId,
    key: &[u8],
) -> Option<Loaded<M>> {
    // What is not there now is for the read that may wait.
    let body = |body| segments.read_now(body).ok_or(Damage::Missing.into());
    take_apart(segments.read_now(place)?, id, key, body).ok().flatten()
}

fn take_apart<M: Meta>(
    (listed, record): (Listed, Record),
    id: &FileId,
    key: &[u8],
    read: impl FnOnce(Place) -> Result<(Listed, Record), Trouble>,
) -> Result<Option<Loaded<M>>, Trouble> {
    if (listed.key, listed.variant, listed.sequence) != (short(&id.key), id.variant, id.sequence) {
        return Err(Damage::Identity.into());
    }
    if *record.key != *key {
        let alike = short(&Key::new(&record.key).id()) == listed.key;
        return if alike { Ok(None) } else { Err(Damage::Identity.into()) };
    }
    let record = with_body(&listed, record, read)?;
    let meta = M::decode(&record.meta).ok_or(Damage::Meta)?;
    if variant_id(meta.variant()) != id.variant {
        return Err(Damage::Identity.into());
    }
    let trailers = Bytes::copy_from_slice(&record.trailers);
    let length = record.body.len() as u64;
    Ok(Some(Loaded { meta, trailers, length, body: LoadedBody::Memory(record.body) }))
}

/// The end of an open file, and the rest on demand.
struct End {
    handle: Handle,
    length: u64,
    start: u64,
    bytes: Bytes,
}

impl End {
    fn read(handle: Handle) -> Result<Self, Trouble> {
        let length = handle.len()?;
        if length < FOOTER as u64 {
            return Err(Damage::Size.into());
        }
        let start = length.saturating_sub(END);
        let bytes = handle.read(start, (length - start) as usize)?.into();
        Ok(Self { handle, length, start, bytes })
    }

    fn range(&self, from: u64, length: u64) -> io::Result<Bytes> {
        if from >= self.start {
            let from = (from - self.start) as usize;
            return Ok(self.bytes.slice(from..from + length as usize));
        }
        self.handle.read(from, length as usize).map(Bytes::from)
    }
}
