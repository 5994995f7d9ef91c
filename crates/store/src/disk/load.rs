//! Reads an entry back from its record or file, verified; a small body whole, a large one later.

use std::io;
use std::sync::Arc;

use bytes::Bytes;

use super::files::Handle;
use super::format::{FOOTER, Footer, Tail};
use super::io::{FileId, Io};
use super::place::Place;
use super::presence::Presence;
use super::record_body::InRecord;
use super::segment::{Found, Segments, short, with_body};
use crate::key::{Key, variant_id};
use crate::lent::{Holding, Lent};
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
    /// A slice of what was read.
    Memory(Bytes, Holding),
    /// It stays where it is: it is long, or too much is held already.
    File(Presence, Holding),
    Record(Arc<InRecord>),
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

/// Reads a file that should hold `key`; a body of up to `whole` bytes comes with it, if it may be held.
/// Memory has `room` for it, if it is wanted there.
pub(crate) fn load<M: Meta>(
    io: &Arc<Io>,
    id: &FileId,
    key: &[u8],
    (whole, room): (u64, u64),
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
    let is_short = footer.body <= whole && !meta.is_partial();
    let body = match is_short.then(|| io.lent.whole(footer.body, room)) {
        Some(Some(holding)) => {
            let bytes = file.range(0, footer.body)?;
            if !tail.presence.verifies(&bytes) {
                return Err(Damage::Checksum.into());
            }
            LoadedBody::Memory(bytes, holding)
        }
        Some(None) => LoadedBody::File(tail.presence, Holding::OnDisk),
        None => LoadedBody::File(tail.presence, Holding::Uncounted),
    };
    // A copy: a slice would keep the whole end of the file in memory.
    let trailers = Bytes::copy_from_slice(&tail.trailers);
    Ok(Loaded { meta, trailers, length: footer.body, body })
}

/// What it takes to read records.
pub(crate) struct Records {
    pub(crate) segments: Arc<Segments>,
    pub(crate) lent: Arc<Lent>,
    /// What memory has for the body, if it is wanted there.
    pub(crate) room: u64,
}

impl Records {
    /// Reads the record that should hold `key`. `None` if it holds another one that looks alike in the
    /// index.
    pub(crate) fn load<M: Meta>(
        &self,
        place: Place,
        id: &FileId,
        key: &[u8],
    ) -> Result<Option<Loaded<M>>, Trouble> {
        self.take_apart(self.segments.read(place)?, id, key, |body| self.segments.read(body))
    }

    /// The same, if the system has the record in memory and there is no doubt about it: never waits.
    pub(crate) fn load_now<M: Meta>(
        &self,
        place: Place,
        id: &FileId,
        key: &[u8],
    ) -> Option<Loaded<M>> {
        // What is not there now is for the read that may wait.
        let body = |body| self.segments.read_now(body).ok_or(Damage::Missing.into());
        self.take_apart(self.segments.read_now(place)?, id, key, body).ok().flatten()
    }

    fn take_apart<M: Meta>(
        &self,
        found: Found,
        id: &FileId,
        key: &[u8],
        read: impl FnOnce(Place) -> Result<Found, Trouble>,
    ) -> Result<Option<Loaded<M>>, Trouble> {
        let Found { listed, record, .. } = &found;
        let said = (listed.key, listed.variant, listed.sequence);
        if said != (short(&id.key), id.variant, id.sequence) {
            return Err(Damage::Identity.into());
        }
        if *record.key != *key {
            let alike = short(&Key::new(&record.key).id()) == listed.key;
            return if alike { Ok(None) } else { Err(Damage::Identity.into()) };
        }
        let found = with_body(found, read)?;
        let meta = M::decode(&found.record.meta).ok_or(Damage::Meta)?;
        if variant_id(meta.variant()) != id.variant {
            return Err(Damage::Identity.into());
        }
        let trailers = Bytes::copy_from_slice(&found.record.trailers);
        let length = found.record.body.len() as u64;
        Ok(Some(Loaded { meta, trailers, length, body: self.body(found) }))
    }

    /// In memory if it may be held there, or if its segment is just going.
    fn body(&self, found: Found) -> LoadedBody {
        let Found { record, place, segment, .. } = found;
        let length = record.body.len() as u64;
        if let Some(holding) = self.lent.whole(length, self.room) {
            return LoadedBody::Memory(record.body, holding);
        }
        let left = Arc::new(InRecord::new(segment, record.body_at, &record.body));
        if self.segments.lend(place.segment, &left) {
            return LoadedBody::Record(left);
        }
        LoadedBody::Memory(record.body, self.lent.take(length))
    }
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
