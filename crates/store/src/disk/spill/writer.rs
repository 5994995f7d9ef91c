//! The file that a body is written to.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;

use super::super::files::Handle;
use super::super::format::{BlockSums, encode};
use super::super::io::{FileId, Io};
use super::super::part_file::PartFile;
use super::super::presence::Presence;
use crate::stream::Stream;

/// What is being written. It travels with each piece of work, and dropping it unpublished, where
/// ever it is then, removes what it has written, or counts what it leaves behind.
pub(super) struct Writer {
    target: Target,
    pub(super) sums: BlockSums,
    /// Sums that readers have been told of.
    told: usize,
    length: u64,
    /// Whatever it has written is known.
    pub(super) is_done: bool,
}

/// Where a body is written to.
pub(super) enum Target {
    /// A file of its own.
    Whole(Temporary),
    /// The file of its whole, from this byte on.
    Part(Arc<PartFile>, u64),
}

/// A file under `tmp`, removed again unless it is published.
pub(super) struct Temporary {
    io: Arc<Io>,
    path: PathBuf,
    handle: Option<Arc<Handle>>,
}

pub(super) struct Finished {
    pub(super) handle: Arc<Handle>,
    pub(super) presence: Presence,
    pub(super) size: u64,
}

impl Writer {
    pub(super) fn new(target: Target) -> Self {
        let sums = BlockSums::at(target.start());
        Self { target, sums, told: 0, length: 0, is_done: false }
    }

    pub(super) fn append(&mut self, chunks: &[Bytes], body: &Stream) -> io::Result<()> {
        let (handle, start) = (self.target.handle()?, self.target.start());
        for chunk in chunks {
            self.target.write(&handle, start + self.length, chunk)?;
            self.sums.add(chunk);
            self.length += chunk.len() as u64;
        }
        body.spilled(self.target.io(), &handle, start, &self.sums.done[self.told..]);
        self.told = self.sums.done.len();
        Ok(())
    }

    pub(super) fn publish(
        mut self,
        id: &FileId,
        key: &[u8],
        meta: &[u8],
        trailers: &[u8],
        length: u64,
    ) -> io::Result<Finished> {
        let handle = self.target.handle()?;
        self.sums.finish();
        let presence = Presence::Whole(std::mem::take(&mut self.sums.done).into());
        let end = encode(key, meta, trailers, &presence, length, id.sequence);
        let end = end.ok_or(io::ErrorKind::InvalidInput)?;
        handle.write(length, &end)?;
        self.target.publish(id)?;
        self.is_done = true;
        let size = length + end.len() as u64;
        Ok(Finished { handle, presence, size })
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        match &self.target {
            Target::Part(file, _) if !self.is_done && self.length > 0 => file.left_behind(),
            _ => (),
        }
    }
}

impl Target {
    fn io(&self) -> &Arc<Io> {
        match self {
            Self::Whole(file) => &file.io,
            Self::Part(file, _) => file.io(),
        }
    }

    /// Where in the file the body begins.
    fn start(&self) -> u64 {
        match self {
            Self::Whole(_) => 0,
            Self::Part(_, start) => *start,
        }
    }

    fn handle(&mut self) -> io::Result<Arc<Handle>> {
        match self {
            Self::Whole(file) => file.handle(),
            Self::Part(file, _) => file.handle(),
        }
    }

    fn write(&self, handle: &Handle, offset: u64, bytes: &[u8]) -> io::Result<()> {
        match self {
            Self::Whole(_) => handle.write(offset, bytes),
            Self::Part(file, _) => file.write(handle, offset, bytes),
        }
    }

    fn publish(&mut self, id: &FileId) -> io::Result<()> {
        match self {
            Self::Whole(file) => file.publish(id),
            Self::Part(..) => Err(io::ErrorKind::InvalidInput.into()),
        }
    }
}

impl Temporary {
    pub(super) fn new(io: &Arc<Io>) -> Self {
        Self { io: Arc::clone(io), path: io.temporary_path(), handle: None }
    }

    fn handle(&mut self) -> io::Result<Arc<Handle>> {
        if let Some(handle) = &self.handle {
            return Ok(Arc::clone(handle));
        }
        let created = Arc::new(self.io.files.create(&self.path)?);
        Ok(Arc::clone(self.handle.insert(created)))
    }

    fn publish(&mut self, id: &FileId) -> io::Result<()> {
        self.io.files.publish(&self.path, &self.io.path(id))?;
        self.handle = None;
        Ok(())
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        if self.handle.take().is_some() {
            self.io.discard(std::mem::take(&mut self.path));
        }
    }
}
