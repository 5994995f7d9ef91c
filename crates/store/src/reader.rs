//! Reads a body behind its writer, or from where it was stored.

use std::ops::Range;
use std::pin::pin;
use std::sync::Arc;

use bytes::Bytes;

use crate::body::{Joined, Step};
use crate::disk::{FileBody, Handle};
use crate::entry::Entry;
use crate::part::Part;
use crate::reason::ReadError;

/// Reads one body from start to end. Dropping it releases its place.
pub struct Reader<M> {
    entry: Arc<Entry<M>>,
    /// `None` for a reader that came too late.
    joined: Option<Joined>,
    /// Offset behind the last byte read.
    position: u64,
    /// Offset to go on at, if that is further.
    wanted: u64,
    file: Option<Arc<Handle>>,
    /// Offset in the file behind the last byte read from there.
    read_to: u64,
    /// A part that was read but not yet handed out.
    ahead: Option<Part>,
}

impl<M> Reader<M> {
    pub(crate) fn new(entry: Arc<Entry<M>>, joined: Joined) -> Self {
        Self::at_start(entry, Some(joined))
    }

    pub(crate) fn late(entry: Arc<Entry<M>>) -> Self {
        Self::at_start(entry, None)
    }

    fn at_start(entry: Arc<Entry<M>>, joined: Option<Joined>) -> Self {
        Self { entry, joined, position: 0, wanted: 0, file: None, read_to: 0, ahead: None }
    }

    /// The entry whose body this is.
    pub fn entry(&self) -> &Arc<Entry<M>> {
        &self.entry
    }

    /// The next chunk, at most 256 KiB; `None` once the body is complete and read.
    ///
    /// Waits behind the writer. Dropping the returned future loses nothing.
    pub async fn next(&mut self) -> Result<Option<Bytes>, ReadError> {
        self.next_part().await?.map(Part::into_bytes).transpose()
    }

    /// The same, in a file if memory holds it in one: for those who can have it sent from there.
    pub async fn next_part(&mut self) -> Result<Option<Part>, ReadError> {
        self.ready().await?;
        Ok(self.ahead.take())
    }

    /// Waits until [`Reader::next`] has its answer, so that trouble with the disk shows while there
    /// is still something else to answer with.
    pub async fn ready(&mut self) -> Result<(), ReadError> {
        let joined = self.joined.ok_or(ReadError::Abandoned)?;
        while self.ahead.is_none() {
            self.skip();
            let Some(mut part) = self.read(joined).await? else { return Ok(()) };
            let unwanted = self.wanted.saturating_sub(self.position);
            self.move_to(self.position + part.len());
            part.skip(unwanted);
            self.ahead = Some(part).filter(|part| !part.is_empty());
        }
        Ok(())
    }

    /// Opens the file of a complete body, if it is in one: what happens to the entry after that does
    /// not matter to this reader.
    pub async fn open(&mut self) -> Result<(), ReadError> {
        let joined = self.joined.ok_or(ReadError::Abandoned)?;
        if let Step::File(file, _) = self.entry.body().step(joined, self.position)
            && self.file.is_none()
        {
            self.file = Some(self.open_file(joined, &file).await?);
        }
        Ok(())
    }

    /// Goes on at `offset` of the body. Only forwards: what was handed out is not read again.
    pub fn skip_to(&mut self, offset: u64) {
        self.wanted = self.wanted.max(offset);
        if let Some(mut ahead) = self.ahead.take() {
            let start = self.position - ahead.len();
            ahead.skip(offset.saturating_sub(start));
            self.ahead = Some(ahead).filter(|ahead| !ahead.is_empty());
        }
    }

    /// Passes over what is written and not wanted. It never goes ahead of the writer, who counts
    /// the readers of each chunk.
    fn skip(&mut self) {
        if self.wanted > self.position {
            self.move_to(self.wanted.min(self.entry.body().end()).max(self.position));
        }
    }

    fn move_to(&mut self, position: u64) {
        if let Some(joined) = self.joined {
            self.entry.body().advance(joined, position);
        }
        self.position = position;
    }

    async fn read(&mut self, joined: Joined) -> Result<Option<Part>, ReadError> {
        loop {
            let step = match self.entry.body().step(joined, self.position) {
                Step::Wait => self.wait(joined).await,
                step => step,
            };
            return match step {
                Step::Wait => continue,
                Step::Chunk(bytes) => Ok(Some(Part::Bytes(bytes))),
                Step::MemoryFile(file) => {
                    let range = file.piece_from(self.position);
                    Ok(Some(Part::InFile(file, range)))
                }
                Step::Record(record, position) => record.part(position).await.map(Some),
                Step::File(file, bytes) => self.read_file(joined, &file, bytes).await.map(Some),
                Step::Spilled(io, piece, skip) => {
                    io.lend(piece, skip).await.map(Part::Bytes).map(Some)
                }
                Step::End => Ok(None),
                Step::Broken => Err(ReadError::Abandoned),
            };
        }
    }

    /// Looks once more when it can no longer miss the wake-up, then sleeps.
    async fn wait(&self, joined: Joined) -> Step {
        let body = self.entry.body();
        let Some(stream) = body.stream() else { return body.step(joined, self.position) };
        let mut more = pin!(stream.data.notified());
        more.as_mut().enable();
        let step = body.step(joined, self.position);
        if matches!(step, Step::Wait) {
            let _hungry = stream.hungry();
            more.await;
        }
        step
    }

    async fn read_file(
        &mut self,
        joined: Joined,
        file: &FileBody,
        bytes: Range<u64>,
    ) -> Result<Part, ReadError> {
        let handle = match &self.file {
            Some(handle) => Arc::clone(handle),
            None => self.open_file(joined, file).await?,
        };
        self.file = Some(Arc::clone(&handle));
        let mut part = file.part(&handle, bytes.start, self.read_to).await?;
        part.truncate(bytes.end - bytes.start);
        self.read_to = bytes.start + part.len();
        Ok(part)
    }

    async fn open_file(&self, joined: Joined, file: &FileBody) -> Result<Arc<Handle>, ReadError> {
        match self.followed_file(joined) {
            Some(handle) => Ok(handle),
            None => file.handle().await,
        }
    }

    fn followed_file(&self, joined: Joined) -> Option<Arc<Handle>> {
        let followed = matches!(joined, Joined::UnderWay(_));
        if followed { self.entry.body().followed_file() } else { None }
    }
}

impl<M> Drop for Reader<M> {
    fn drop(&mut self) {
        if let Some(joined) = self.joined {
            self.entry.body().leave(joined);
        }
    }
}
