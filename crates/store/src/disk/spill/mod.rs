//! Writes a large body, or a part of one, to a file while it arrives, at most one piece of work at a
//! time.

mod naming;
mod writer;

use std::io;
use std::sync::Arc;

use tokio::sync::oneshot::{self, error::TryRecvError};
use tokio::sync::{OwnedMutexGuard, OwnedSemaphorePermit};

use naming::Announced;
pub(crate) use naming::Published;
use writer::{Finished, Target, Temporary, Writer};

use super::Disk;
use super::format::encode;
use super::io::{FileId, Unanswered};
use super::part_file::PartFile;
use super::presence::{Extent, Presence, extents};
use super::segment::HEAD;
use crate::key::Key;
use crate::meta::Meta;
use crate::reason::NotStored;
use crate::stream::{Passage, Stream};

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
    /// The file that it is a part of, and where it begins there.
    part: Option<(Arc<PartFile>, u64)>,
    _passage: Passage,
}

/// A part that is all in its file, not yet known to be there.
pub(crate) struct Written<M: Meta> {
    pub(crate) extents: Vec<Extent>,
    /// The file, if it got its name for this part.
    pub(crate) named: Option<Published<M>>,
    /// Others that would name the file wait.
    _naming: OwnedMutexGuard<()>,
}

impl<M: Meta> Spill<M> {
    /// True if nothing of the body has gone to the file.
    pub(crate) fn is_untouched(&self) -> bool {
        self.handed == 0
    }

    /// True if a record can have so many bytes behind its head.
    pub(crate) fn fits_record(&self, bytes: u64) -> bool {
        self.part.is_none() && HEAD + bytes <= self.disk.largest_record
    }

    pub(crate) fn new(disk: &Arc<Disk<M>>, passage: Passage) -> Self {
        Self::into(disk, Target::Whole(Temporary::new(&disk.io)), None, passage)
    }

    /// A part of a body that begins at `start`.
    pub(crate) fn part(
        disk: &Arc<Disk<M>>,
        file: Arc<PartFile>,
        start: u64,
        passage: Passage,
    ) -> Self {
        Self::into(disk, Target::Part(Arc::clone(&file), start), Some((file, start)), passage)
    }

    fn into(
        disk: &Arc<Disk<M>>,
        target: Target,
        part: Option<(Arc<PartFile>, u64)>,
        passage: Passage,
    ) -> Self {
        let (disk, writer) = (Arc::clone(disk), Some(Box::new(Writer::new(target))));
        let (handed, written, reserved) = (0, 0, 0);
        Self { disk, writer, job: None, handed, written, reserved, part, _passage: passage }
    }

    /// The file that it is a part of, and where it begins there.
    pub(crate) fn part_of(&self) -> Option<(&Arc<PartFile>, u64)> {
        self.part.as_ref().map(|(file, start)| (file, *start))
    }

    /// Bytes of room that are set aside for it; from here on they are somebody else's matter.
    pub(crate) fn take_reserved(&mut self) -> u64 {
        std::mem::take(&mut self.reserved)
    }

    /// Gets on with writing; waits if the disk is behind by too much.
    pub(crate) async fn pump(&mut self, body: &Arc<Stream>) -> Result<(), NotStored> {
        let end = body.end();
        self.collect()?;
        let is_large = body.declared().is_some_and(|length| !self.fits_record(length));
        let gets_file = is_large || !self.disk.io.lent.may_be_held(end);
        loop {
            let (worth, most) = body.ahead_of_disk(gets_file || !self.is_untouched());
            if self.job.is_none() && end - self.handed >= worth {
                self.start(body).await?;
            }
            if end - self.written <= most {
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
        let length = self.write_rest(body).await?;
        let id = self.disk.next_id(key.id(), variant);
        let writer = self.writer.take().ok_or(NotStored::DiskFailed)?;
        let parts = (key.clone(), meta.to_owned(), trailers.to_owned());
        self.name(&id, length, move || {
            let (key, meta, trailers) = parts;
            writer.publish(&id, key.as_bytes(), &meta, &trailers, length)
        })
        .await
    }

    /// Writes the rest of a part. Unless the file has its name already, it gets it.
    pub(crate) async fn publish_part(
        &mut self,
        body: &Arc<Stream>,
        key: &Key,
        meta: &[u8],
        variant: u64,
    ) -> Result<Written<M>, NotStored> {
        let (file, start) = self.part.clone().ok_or(NotStored::DiskFailed)?;
        let end = start + self.write_rest(body).await?;
        let mut writer = self.writer.take().ok_or(NotStored::DiskFailed)?;
        writer.sums.finish();
        let extents: Vec<_> = extents(start, end, &writer.sums.done).collect();
        writer.is_done = true;
        let naming = Arc::clone(&file.naming).lock_owned().await;
        if file.has_failed() {
            return Err(NotStored::Removed);
        }
        if file.body().is_some() {
            return Ok(Written { extents, named: None, _naming: naming });
        }
        file.set_named();
        let id = self.disk.next_id(key.id(), variant);
        let (key, meta, length) = (key.clone(), meta.to_owned(), file.length);
        let presence = Presence::none().with(&extents, length);
        let named = self.name(&id, length, move || {
            let handle = file.handle()?;
            let end = encode(key.as_bytes(), &meta, &[], &presence, length, id.sequence);
            handle.write(length, &end.ok_or(io::ErrorKind::InvalidInput)?)?;
            file.name(&file.io().path(&id))?;
            let size = handle.allocated()?;
            Ok(Finished { handle, presence, size })
        });
        Ok(Written { extents, named: Some(named.await?), _naming: naming })
    }

    /// Waits until all that has come is written; returns how much that is.
    async fn write_rest(&mut self, body: &Arc<Stream>) -> Result<u64, NotStored> {
        let length = body.end();
        while self.written < length {
            if self.job.is_none() {
                self.start(body).await?;
            }
            self.wait().await?;
        }
        Ok(length)
    }

    /// Does what gives a file of a body of this length its end and its name.
    async fn name(
        &self,
        id: &FileId,
        length: u64,
        work: impl FnOnce() -> io::Result<Finished> + Send + 'static,
    ) -> Result<Published<M>, NotStored> {
        let turn = self.turn().await?;
        let mut announced = Announced::new(&self.disk, id);
        let job = self.disk.io.write(turn, move || {
            let finished = work();
            announced.published = finished.is_ok();
            finished.map(|finished| (finished, announced))
        });
        let done = match job {
            Ok(job) => self.disk.io.answer(job, self.disk.io.patience).await,
            Err(why) => Err(why),
        };
        let (finished, announced) = self.judge(done)?.map_err(|error| self.failed(&error))?;
        self.disk.wrote();
        let Finished { handle, presence, size } = finished;
        let file = self.disk.file_body(id, length, presence);
        file.lend(handle);
        Ok(Published { file, size, announced })
    }

    /// Gives the file its place in the index, in the room that was set aside for it.
    pub(crate) fn adopt(&mut self, mut published: Published<M>) -> bool {
        let reserved = self.take_reserved();
        let placed = self.disk.adopt(&published.file, published.size, reserved);
        published.announced.claimed = placed;
        placed
    }

    async fn turn(&self) -> Result<OwnedSemaphorePermit, NotStored> {
        let turn = self.disk.io.turn_to_write().await;
        self.judge(turn)
    }

    /// Dropped while it waits for its turn, it has done nothing.
    async fn start(&mut self, body: &Arc<Stream>) -> Result<(), NotStored> {
        let turn = self.turn().await?;
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
        let job = self.disk.io.write(turn, move || {
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
        result.map_err(|error| match error.kind() {
            // The file of other parts was taken away, which says nothing against the disk.
            io::ErrorKind::NotFound if self.part.is_some() => NotStored::Removed,
            _ => self.failed(&error),
        })
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

    fn failed(&self, error: &io::Error) -> NotStored {
        self.disk.failed(error, self.reserved);
        NotStored::DiskFailed
    }
}

impl<M: Meta> Drop for Spill<M> {
    fn drop(&mut self) {
        self.disk.release(self.reserved);
    }
}
