//! Writes a large body to a temporary file while it arrives, at most one piece of work at a time.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::oneshot::{self, error::TryRecvError};

use super::files::Handle;
use super::format::{BlockSums, encode};
use super::io::{FileId, Io, Unanswered};
use super::segment::HEAD;
use super::{Disk, FileBody};
use crate::key::Key;
use crate::meta::Meta;
use crate::reason::NotStored;
use crate::stream::Stream;

/// Bytes worth a write of their own.
const WORTH_WRITING: u64 = 256 << 10;

type Answer = oneshot::Receiver<(Box<Writer>, io::Result<()>)>;

/// A body on its way to a file.
pub(crate) struct Spill<M: Meta> {
    disk: Arc<Disk<M>>,
    writer: Option<Box<Writer>>,
    job: Option<Answer>,
    /// Bytes given to the threads, and bytes they have written.
    handed: u64,
    written: u64,
    /// Bytes of room set aside for it.
    reserved: u64,
}

/// A finished file in its final place, not yet in the index.
pub(crate) struct Published<M: Meta> {
    pub(crate) file: Arc<FileBody>,
    size: u64,
    announced: Announced<M>,
}

/// As long as it is there, whoever removes the key of a file tells the log: the file may have its name
/// already, and not its slot yet. One that gets none is removed: it would come to life at the next
/// start.
struct Announced<M: Meta> {
    disk: Arc<Disk<M>>,
    id: FileId,
    /// It has its name.
    published: bool,
    claimed: bool,
}

impl<M: Meta> Announced<M> {
    fn new(disk: &Arc<Disk<M>>, id: &FileId) -> Self {
        disk.index().announce(id);
        Self { disk: Arc::clone(disk), id: *id, published: false, claimed: false }
    }
}

impl<M: Meta> Drop for Announced<M> {
    fn drop(&mut self) {
        self.disk.with_index(|index, _| {
            index.withdraw(&self.id);
            if self.published && !self.claimed {
                index.leave(&self.id);
            }
        });
    }
}

impl<M: Meta> Spill<M> {
    /// True if nothing of the body has gone to the file.
    pub(crate) fn is_untouched(&self) -> bool {
        self.handed == 0
    }

    /// True if a record can have so many bytes behind its head.
    pub(crate) fn fits_record(&self, bytes: u64) -> bool {
        HEAD + bytes <= self.disk.largest_record
    }

    pub(crate) fn new(disk: &Arc<Disk<M>>) -> Self {
        let writer = Some(Box::new(Writer::new(&disk.io)));
        Self { disk: Arc::clone(disk), writer, job: None, handed: 0, written: 0, reserved: 0 }
    }

    /// Gets on with writing; waits if the disk is behind by too much.
    pub(crate) async fn pump(&mut self, body: &Arc<Stream>) -> Result<(), NotStored> {
        let end = body.end();
        self.collect()?;
        loop {
            if self.job.is_none() && end - self.handed >= WORTH_WRITING {
                self.start(body)?;
            }
            if end - self.written <= body.unwritten() {
                return Ok(());
            }
            self.wait().await?;
        }
    }

    /// Writes the rest, tail and footer, and moves the file to its place.
    pub(crate) async fn publish(
        &mut self,
        body: &Arc<Stream>,
        key: &Key,
        meta: &[u8],
        trailers: &[u8],
        variant: u64,
    ) -> Result<Published<M>, NotStored> {
        let length = body.end();
        while self.written < length {
            if self.job.is_none() {
                self.start(body)?;
            }
            self.wait().await?;
        }
        let id = self.disk.next_id(key.id(), variant);
        let writer = self.writer.take().ok_or(NotStored::DiskFailed)?;
        let parts = (key.clone(), meta.to_owned(), trailers.to_owned());
        let mut announced = Announced::new(&self.disk, &id);
        let job = self.disk.io.write(move || {
            let (key, meta, trailers) = parts;
            let finished = writer.publish(&id, key.as_bytes(), &meta, &trailers, length);
            announced.published = finished.is_ok();
            finished.map(|finished| (finished, announced))
        });
        let done = match job {
            Ok(job) => self.disk.io.answer(job, self.disk.io.patience).await,
            Err(why) => Err(why),
        };
        let (finished, announced) = self.judge(done)?.map_err(|_| self.failed())?;
        let file = self.disk.file_body(&id, length, finished.sums);
        file.lend(finished.handle);
        Ok(Published { file, size: finished.size, announced })
    }

    /// Gives the file its place in the index, in the room that was set aside for it.
    pub(crate) fn adopt(&mut self, mut published: Published<M>) -> bool {
        let reserved = std::mem::take(&mut self.reserved);
        let placed = self.disk.adopt(&published.file, published.size, reserved);
        published.announced.claimed = placed;
        placed
    }

    fn start(&mut self, body: &Arc<Stream>) -> Result<(), NotStored> {
        let chunks = body.written_from(self.handed);
        let bytes = chunks.iter().map(|chunk| chunk.len() as u64).sum::<u64>();
        if self.handed + bytes > self.disk.largest {
            return Err(NotStored::TooLarge);
        }
        if !self.disk.reserve(bytes) {
            return Err(NotStored::NoRoom);
        }
        self.handed += bytes;
        self.reserved += bytes;
        let Some(mut writer) = self.writer.take() else { return Err(NotStored::DiskFailed) };
        let body = Arc::clone(body);
        let job = self.disk.io.write(move || {
            let written = writer.append(&chunks, &body);
            (writer, written)
        });
        self.job = Some(self.judge(job)?);
        Ok(())
    }

    /// Takes the answer if it is there.
    fn collect(&mut self) -> Result<(), NotStored> {
        let Some(job) = &mut self.job else { return Ok(()) };
        match job.try_recv() {
            Ok(answer) => self.finish(answer),
            Err(TryRecvError::Empty) => Ok(()),
            Err(TryRecvError::Closed) => Err(NotStored::DiskFailed),
        }
    }

    /// Dropped while it waits, it can be called again.
    async fn wait(&mut self) -> Result<(), NotStored> {
        let Some(job) = &mut self.job else { return Ok(()) };
        let answer = self.disk.io.answer(job, self.disk.io.patience).await;
        let answer = self.judge(answer)?;
        self.finish(answer)
    }

    fn finish(&mut self, (writer, result): (Box<Writer>, io::Result<()>)) -> Result<(), NotStored> {
        self.job = None;
        self.writer = Some(writer);
        self.written = self.handed;
        result.map_err(|_| self.failed())
    }

    fn judge<T>(&self, answer: Result<T, Unanswered>) -> Result<T, NotStored> {
        answer.map_err(|why| match why {
            Unanswered::Full => {
                self.disk.io.counters.queue_full_skips.add(1);
                NotStored::DiskSlow
            }
            Unanswered::Late => NotStored::DiskSlow,
            Unanswered::Closed => NotStored::DiskFailed,
        })
    }

    fn failed(&self) -> NotStored {
        self.disk.failed();
        NotStored::DiskFailed
    }
}

impl<M: Meta> Drop for Spill<M> {
    fn drop(&mut self) {
        self.disk.release(self.reserved);
    }
}

/// The file being written. It travels with each piece of work, and dropping it unpublished, where
/// ever it is then, removes the file.
struct Writer {
    io: Arc<Io>,
    path: PathBuf,
    handle: Option<Arc<Handle>>,
    sums: BlockSums,
    /// Block sums that readers have been told of.
    told: usize,
    length: u64,
}

struct Finished {
    handle: Arc<Handle>,
    sums: Box<[u64]>,
    size: u64,
}

impl Writer {
    fn new(io: &Arc<Io>) -> Self {
        let (path, sums) = (io.temporary_path(), BlockSums::default());
        Self { io: Arc::clone(io), path, handle: None, sums, told: 0, length: 0 }
    }

    fn handle(&mut self) -> io::Result<Arc<Handle>> {
        if let Some(handle) = &self.handle {
            return Ok(Arc::clone(handle));
        }
        let handle = Arc::new(self.io.files.create(&self.path)?);
        self.handle = Some(Arc::clone(&handle));
        Ok(handle)
    }

    fn append(&mut self, chunks: &[Bytes], body: &Stream) -> io::Result<()> {
        let handle = self.handle()?;
        for chunk in chunks {
            handle.write(self.length, chunk)?;
            self.sums.add(chunk);
            self.length += chunk.len() as u64;
        }
        body.spilled(&self.io, &handle, &self.sums.done[self.told..]);
        self.told = self.sums.done.len();
        Ok(())
    }

    fn publish(
        mut self,
        id: &FileId,
        key: &[u8],
        meta: &[u8],
        trailers: &[u8],
        length: u64,
    ) -> io::Result<Finished> {
        let handle = self.handle()?;
        self.sums.finish();
        let sums = std::mem::take(&mut self.sums.done);
        let end = encode(key, meta, trailers, &sums, length, id.sequence);
        let end = end.ok_or(io::ErrorKind::InvalidInput)?;
        handle.write(length, &end)?;
        self.io.files.publish(&self.path, &self.io.path(id))?;
        self.handle = None;
        let size = length + end.len() as u64;
        Ok(Finished { handle, sums: sums.into(), size })
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        if self.handle.take().is_some() {
            self.io.discard(std::mem::take(&mut self.path));
        }
    }
}
