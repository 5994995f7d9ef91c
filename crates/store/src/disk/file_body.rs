//! A large body in a file of its own, read in verified pieces. It may lack some of its bytes.

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, Weak};

use bytes::Bytes;

use super::files::Handle;
use super::format::PIECE;
use super::io::{FileId, Io, Piece};
use super::lane::lock;
use super::presence::{Extent, Presence};
use crate::kept::{Asked, PieceName};
use crate::part::Part;
use crate::reason::{Damage, ReadError};

const EIO: i32 = rustix::io::Errno::IO.raw_os_error();

/// Whoever must know that a file turned out bad.
pub(crate) trait Owner: Send + Sync {
    /// Forgets the file and counts why.
    fn drop_damaged(&self, id: &FileId, why: Damage);
    /// Forgets a file that the disk cannot read.
    fn drop_unreadable(&self, id: &FileId, error: &io::Error);
    /// Learns how many bytes of the disk the file takes.
    fn measured(&self, id: &FileId, bytes: u64);
}

/// Tells the owner of what was read if it cannot be, or is not what was written.
pub(crate) fn tell(owner: &Weak<dyn Owner>, id: &FileId, read: &Result<Bytes, ReadError>) {
    let Err(error) = read else { return };
    let Some(owner) = owner.upgrade() else { return };
    match error {
        ReadError::Damaged { why, .. } => owner.drop_damaged(id, *why),
        ReadError::Read { source, .. } if source.raw_os_error() == Some(EIO) => {
            owner.drop_unreadable(id, source);
        }
        _ => (),
    }
}

/// A body in a file. As long as one reader has it open, all can read it, also after the
/// file lost its name.
pub(crate) struct FileBody {
    pub(crate) id: FileId,
    pub(crate) length: u64,
    /// What of it is there. It only grows.
    presence: Mutex<Arc<Presence>>,
    io: Arc<Io>,
    owner: Weak<dyn Owner>,
    /// Open while somebody reads, so that many bodies in memory do not hold many descriptors.
    open: Mutex<Weak<Handle>>,
    gone: AtomicBool,
}

impl FileBody {
    pub(crate) fn new(
        id: FileId,
        length: u64,
        presence: Presence,
        io: Arc<Io>,
        owner: Weak<dyn Owner>,
    ) -> Self {
        let (open, gone) = (Mutex::new(Weak::new()), AtomicBool::new(false));
        let presence = Mutex::new(Arc::new(presence));
        Self { id, length, presence, io, owner, open, gone }
    }

    /// Bytes on the heap now.
    pub(crate) fn weight(&self) -> usize {
        size_of::<Self>() + size_of::<Presence>() + self.presence().weight()
    }

    /// What of the body is there now.
    pub(crate) fn presence(&self) -> Arc<Presence> {
        Arc::clone(&lock(&self.presence))
    }

    /// More of the body is there: these bytes have been written. Returns what is there now.
    pub(crate) fn grow(&self, more: &[Extent]) -> Arc<Presence> {
        let mut presence = lock(&self.presence);
        *presence = Arc::new(presence.with(more, self.length));
        Arc::clone(&presence)
    }

    /// True once the file lost its slot: new look-ups must not find it.
    pub(crate) fn is_gone(&self) -> bool {
        self.gone.load(Ordering::Acquire)
    }

    pub(crate) fn set_gone(&self) {
        self.gone.store(true, Ordering::Release);
    }

    /// Lets readers share a handle; returns the one that they share already, if there is one. It
    /// is never replaced while somebody has it: who comes after the file lost its name has only
    /// this one.
    pub(crate) fn lend(&self, handle: Arc<Handle>) -> Arc<Handle> {
        let mut open = lock(&self.open);
        if let Some(handle) = open.upgrade() {
            return handle;
        }
        *open = Arc::downgrade(&handle);
        handle
    }

    /// The file, opened if nobody has it open.
    pub(crate) async fn handle(&self) -> Result<Arc<Handle>, ReadError> {
        let open = lock(&self.open).upgrade();
        if let Some(handle) = open {
            return Ok(handle);
        }
        let opened = self.io.open(self.id).await;
        if let Err(ReadError::Open(error)) = &opened
            && error.kind() == io::ErrorKind::NotFound
        {
            self.damaged(Damage::Missing);
        }
        Ok(self.lend(opened?))
    }

    /// What is left of the piece of 256 KiB that has `offset`, which lies inside the body, as far as
    /// it is there: from memory if it is kept there, else maybe less than that. The reader has read
    /// to `read_to` before.
    pub(crate) async fn part(
        &self,
        handle: &Arc<Handle>,
        offset: u64,
        read_to: u64,
    ) -> Result<Part, ReadError> {
        let kept = &self.io.kept;
        let name = PieceName { file: self.id.sequence, number: offset / PIECE };
        let start = name.number * PIECE;
        let end = self.length.min(start + PIECE);
        // Memory keeps whole pieces.
        if !self.presence().has(start..end, self.length) {
            return self.read(handle, offset).await.map(Part::Bytes);
        }
        let goes_on = start < offset && offset == read_to;
        let asked = if goes_on {
            kept.find(name).map_or(Asked::Unknown, Asked::Kept)
        } else {
            kept.ask(name, end - start)
        };
        let part = match asked {
            Asked::Unknown => None,
            Asked::Kept(part) => Some(part),
            Asked::Wanted => {
                let bytes = self.io.piece(self.piece(handle, start)?).await;
                kept.keep(name, self.sound(bytes)?, handle).or_else(|| kept.find(name))
            }
        };
        let Some(mut part) = part else {
            return self.read(handle, offset).await.map(Part::Bytes);
        };
        if self.is_gone() {
            // Nobody would ever ask for it again.
            kept.forget(self.id.sequence);
        }
        part.skip(offset - start);
        Ok(part)
    }

    /// From `offset` to the end of the piece of 256 KiB that has it, or to the first byte in it that
    /// is not there, or less; verified.
    async fn read(&self, handle: &Arc<Handle>, offset: u64) -> Result<Bytes, ReadError> {
        let piece = self.piece(handle, offset)?;
        let skip = (offset - piece.start()) as usize;
        self.sound(self.io.lend(piece, skip).await)
    }

    /// What is there of the piece of 256 KiB that has the byte at `offset`, from its block on.
    fn piece(&self, handle: &Arc<Handle>, offset: u64) -> Result<Piece, ReadError> {
        let extents = self.presence().piece(offset, self.length);
        let extents = extents.ok_or(ReadError::Absent { offset })?;
        Ok(Piece { handle: Arc::clone(handle), base: 0, extents })
    }

    /// What was read; tells the owner if it cannot be.
    fn sound(&self, read: Result<Bytes, ReadError>) -> Result<Bytes, ReadError> {
        // One that lost its slot is no news.
        if !self.is_gone() {
            tell(&self.owner, &self.id, &read);
        }
        read
    }

    /// Tells how many bytes of the disk the file takes.
    pub(crate) fn measure(&self, handle: &Handle) {
        if let (Some(owner), Ok(bytes)) = (self.owner.upgrade(), handle.allocated()) {
            owner.measured(&self.id, bytes);
        }
    }

    /// A file that lost its slot is no news when it cannot be found.
    fn damaged(&self, why: Damage) {
        if !self.is_gone()
            && let Some(owner) = self.owner.upgrade()
        {
            owner.drop_damaged(&self.id, why);
        }
    }
}
