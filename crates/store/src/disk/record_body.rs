//! A short body in a segment, read in verified pieces by readers for whom there is no room in memory.

use std::io;
use std::ops::Range;
use std::sync::{Arc, Weak};

use bytes::Bytes;

use super::file_body::{Owner, tell};
use super::files::Handle;
use super::io::{FileId, Io, Piece};
use super::presence::Presence;
use crate::part::Part;
use crate::reason::ReadError;

/// Where a body is whose record has been verified.
pub(crate) struct InRecord {
    handle: Arc<Handle>,
    /// Where in the segment it begins.
    start: u64,
    length: u64,
    /// What each block of it is verified by when it is read again.
    presence: Presence,
}

/// A body in a segment. As long as it is held its bytes are there, whatever becomes of the segment.
pub(crate) struct RecordBody {
    id: FileId,
    at: Arc<InRecord>,
    io: Arc<Io>,
    owner: Weak<dyn Owner>,
}

impl InRecord {
    /// `body` has just been verified, as a part of its record.
    pub(crate) fn new(handle: Arc<Handle>, start: u64, body: &[u8]) -> Self {
        Self { handle, start, length: body.len() as u64, presence: Presence::of(body) }
    }

    /// Its bytes in the segment.
    pub(crate) fn range(&self) -> Range<u64> {
        self.start..self.start + self.length
    }
}

impl RecordBody {
    pub(crate) fn new(id: FileId, at: Arc<InRecord>, io: Arc<Io>, owner: Weak<dyn Owner>) -> Self {
        Self { id, at, io, owner }
    }

    /// Bytes on the heap beside itself.
    pub(crate) fn weight(&self) -> usize {
        self.at.presence.weight()
    }

    /// What a reader gets of it from `offset` on, which lies inside.
    pub(crate) async fn part(&self, offset: u64) -> Result<Part, ReadError> {
        let piece = self.piece(offset).ok_or(ReadError::Absent { offset })?;
        let skip = (offset - piece.start()) as usize;
        let read = self.io.lend(piece, skip).await;
        tell(&self.owner, &self.id, &read);
        read.map(Part::Bytes)
    }

    /// All of it, verified: waits for the disk.
    pub(crate) fn whole(&self) -> io::Result<Bytes> {
        let bytes = self.at.handle.read(self.at.start, self.at.length as usize)?;
        let is_sound = self.at.presence.verifies(&bytes);
        if is_sound { Ok(bytes.into()) } else { Err(io::ErrorKind::InvalidData.into()) }
    }

    fn piece(&self, offset: u64) -> Option<Piece> {
        let extents = self.at.presence.piece(offset, self.at.length)?;
        Some(Piece { handle: Arc::clone(&self.at.handle), base: self.at.start, extents })
    }
}
