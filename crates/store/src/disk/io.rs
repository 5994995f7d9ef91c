//! Blocking file work, done by a few threads and awaited by any runtime.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot, watch};

use super::files::{Files, Handle};
use super::format::BLOCK;
use super::lane::{Lane, lock};
use super::presence::{Extent, Extents, first_wrong};
use crate::kept::Kept;
use crate::lent::Lent;
use crate::reason::{Damage, ReadError};
use crate::stats::Counters;

/// Threads for reads and for bodies that are written while they arrive.
const THREADS: usize = 3;
/// Reads queued or under way; those beyond them wait for their turn.
const READS: usize = 64;
/// Writes of bodies under way, queued or being done; those beyond them wait for their turn.
const WRITES: usize = 64;
/// Jobs that may wait before temporary files are left to the next start.
const DISCARDS: usize = 4096;
/// A reader in the middle of a body waits longer than a look-up, which has the origin to ask.
const MIDDLE: u32 = 10;
/// Of [`Io::patience`] a look-up or a write waits one part in so many for its turn.
const TURN: u32 = 2;

/// Names a file: what it holds and which time it was stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct FileId {
    pub(crate) key: [u8; 32],
    pub(crate) variant: u64,
    /// Unique in a store and rising: no two files ever have the same name, so removing an old file
    /// cannot hit a new one.
    pub(crate) sequence: u64,
}

/// Why the threads gave no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unanswered {
    /// Too much is queued already.
    Full,
    /// It took too long; the work may still happen.
    Late,
    /// The store is closing.
    Closed,
}

/// What the parts of the disk tier need to touch files.
pub(crate) struct Io {
    pub(crate) files: Files,
    pub(crate) counters: Arc<Counters>,
    pub(crate) patience: Duration,
    /// Pieces of bodies in files that memory keeps.
    pub(crate) kept: Arc<Kept>,
    /// What readers have that memory does not keep.
    pub(crate) lent: Arc<Lent>,
    /// In order, one at a time: small bodies, new tails, removals.
    pub(crate) writer: Arc<Lane>,
    root: PathBuf,
    pool: Arc<Lane>,
    reads: Arc<Semaphore>,
    /// Somebody waited in vain for a turn, and nothing has been done since.
    stuck: Arc<AtomicBool>,
    writes: Arc<Semaphore>,
    temporary: AtomicU64,
    /// Nothing is written any more, see [`Disk::freeze`](super::Disk::freeze).
    sealed: AtomicBool,
    /// Every write of a body holds a receiver until it is done.
    under_way: Mutex<watch::Sender<()>>,
}

impl Io {
    /// Starts the threads; each keeps `held` until it ends.
    pub(crate) fn start<T: Send + Sync + 'static>(
        files: Files,
        root: &Path,
        patience: Duration,
        counters: Arc<Counters>,
        (kept, lent): (Arc<Kept>, Arc<Lent>),
        held: &Arc<T>,
    ) -> io::Result<Self> {
        Ok(Self {
            files,
            counters,
            patience,
            kept,
            lent,
            writer: Lane::start("store-writer", 1, held)?,
            root: root.to_owned(),
            pool: Lane::start("store-pool", THREADS, held)?,
            reads: Arc::new(Semaphore::new(READS)),
            stuck: Arc::default(),
            writes: Arc::new(Semaphore::new(WRITES)),
            temporary: AtomicU64::new(0),
            sealed: AtomicBool::new(false),
            under_way: Mutex::new(watch::Sender::new(())),
        })
    }

    /// Lets nothing more be written, or lets it again.
    pub(crate) fn seal(&self, sealed: bool) {
        self.sealed.store(sealed, Ordering::SeqCst);
    }

    pub(crate) fn is_sealed(&self) -> bool {
        self.sealed.load(Ordering::SeqCst)
    }

    /// Finishes what is queued, then ends the threads.
    pub(crate) fn close(&self) {
        // In this order: what the pool ends with may leave files for the writer to remove.
        for lane in [&self.pool, &self.writer] {
            lane.close();
            lane.join(5 * self.patience);
        }
    }

    /// `objects/ab/<SHA-256 of the key>-<hash of the variant>-<sequence number>`, all in hex.
    pub(crate) fn path(&self, id: &FileId) -> PathBuf {
        let name = file_name(id);
        self.root.join("objects").join(&name[..2]).join(&name)
    }

    /// A new name under `tmp`, where everything is removed at the next start.
    pub(crate) fn temporary_path(&self) -> PathBuf {
        let number = self.temporary.fetch_add(1, Ordering::Relaxed);
        self.root.join("tmp").join(format!("{number:016x}"))
    }

    /// Removes a file under `tmp`, later. What stays is removed at the next start.
    pub(crate) fn discard(self: &Arc<Self>, path: PathBuf) {
        let io = Arc::clone(self);
        self.sometime(move || drop(io.files.unlink(&path)));
    }

    /// Has the writer do what may be left undone if too much waits already.
    pub(crate) fn sometime(&self, work: impl FnOnce() + Send + 'static) {
        if self.writer.waiting() < DISCARDS {
            self.writer.submit(work);
        }
    }

    /// Does short work for a look-up.
    pub(crate) async fn look<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Unanswered> {
        let permit = self.turn(&self.reads).await?;
        self.answer(self.submit(permit, work)?, self.patience).await
    }

    /// A turn to read or to write. Many may come at once although the disk is quick, so they wait a
    /// little; but not for a disk that hangs.
    async fn turn(&self, turns: &Arc<Semaphore>) -> Result<OwnedSemaphorePermit, Unanswered> {
        if let Ok(permit) = Arc::clone(turns).try_acquire_owned() {
            return Ok(permit);
        }
        if self.stuck.load(Ordering::Relaxed) {
            return Err(Unanswered::Full);
        }
        let turn = Arc::clone(turns).acquire_owned();
        // Boxed, so that fetches and look-ups that hardly ever wait stay small.
        let turn = Box::pin(tokio::time::timeout(self.patience / TURN, turn)).await;
        if turn.is_err() {
            self.stuck.store(true, Ordering::Relaxed);
        }
        turn.map_err(|_| Unanswered::Full)?.map_err(|_| Unanswered::Closed)
    }

    /// The turn of a body under way to have something [written](Io::write).
    pub(crate) async fn turn_to_write(&self) -> Result<OwnedSemaphorePermit, Unanswered> {
        self.turn(&self.writes).await
    }

    /// Does work for a reader in the middle of a body: waits for its turn.
    async fn read<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Unanswered> {
        let turn = async {
            let permit = Arc::clone(&self.reads).acquire_owned().await;
            let answer = self.submit(permit.map_err(|_| Unanswered::Closed)?, work)?;
            answer.await.map_err(|_| Unanswered::Closed)
        };
        self.in_time(turn, self.patience * MIDDLE).await
    }

    /// Queues work for a body under way, whose turn it is; the answer comes later.
    pub(crate) fn write<T: Send + 'static>(
        &self,
        turn: OwnedSemaphorePermit,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<oneshot::Receiver<T>, Unanswered> {
        let under_way = lock(&self.under_way).subscribe();
        // Asked after that: who has sealed it and then waits for those under way waits for this one.
        if self.is_sealed() {
            return Err(Unanswered::Closed);
        }
        self.submit((turn, under_way), work)
    }

    /// Waits until all work queued so far is done.
    pub(crate) async fn flush(&self) {
        let (next, since) = watch::channel(());
        let before = std::mem::replace(&mut *lock(&self.under_way), next);
        before.closed().await;
        // Until here a later flush had to wait for this one.
        drop(since);
        let (done, flushed) = oneshot::channel::<()>();
        if self.writer.submit(move || drop(done)) {
            // The sender is dropped when its turn comes: that is the signal.
            let _ = flushed.await;
        }
    }

    /// Waits for an answer as long as the disk may take.
    pub(crate) async fn answer<T>(
        &self,
        answer: impl Future<Output = Result<T, oneshot::error::RecvError>>,
        patience: Duration,
    ) -> Result<T, Unanswered> {
        self.in_time(async { answer.await.map_err(|_| Unanswered::Closed) }, patience).await
    }

    async fn in_time<T>(
        &self,
        answer: impl Future<Output = Result<T, Unanswered>>,
        patience: Duration,
    ) -> Result<T, Unanswered> {
        tokio::time::timeout(patience, answer).await.unwrap_or_else(|_| {
            self.counters.disk_timeouts.add(1);
            Err(Unanswered::Late)
        })
    }

    /// The permit goes with the work: whoever stops waiting does not make room for more.
    fn submit<P: Send + 'static, T: Send + 'static>(
        &self,
        permit: P,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<oneshot::Receiver<T>, Unanswered> {
        let (done, answer) = oneshot::channel();
        let stuck = Arc::clone(&self.stuck);
        let queued = self.pool.submit(move || {
            let result = work();
            stuck.store(false, Ordering::Relaxed);
            drop(done.send(result));
            drop(permit);
        });
        if queued { Ok(answer) } else { Err(Unanswered::Closed) }
    }

    /// Opens a stored file for a reader.
    pub(crate) async fn open(self: &Arc<Self>, id: FileId) -> Result<Arc<Handle>, ReadError> {
        let io = Arc::clone(self);
        let opened = self.read(move || io.files.open(&io.path(&id))).await;
        self.flat(opened).map(Arc::new).map_err(ReadError::Open)
    }

    /// Reads a piece for a reader who may be slow, without its first bytes, or less of it if too many
    /// are. What it leaves out lies within the first block.
    pub(crate) async fn lend(&self, piece: Piece, skip: usize) -> Result<Bytes, ReadError> {
        let loan = self.lent.ask(&piece);
        let bytes = self.piece(loan.of(piece)).await?;
        Ok(loan.hand_out(bytes, skip))
    }

    /// Reads a piece, verified before any byte is given out: on the spot if the system has it in
    /// memory.
    pub(crate) async fn piece(&self, piece: Piece) -> Result<Bytes, ReadError> {
        if let Some(bytes) = piece.read_now() {
            return Ok(bytes);
        }
        let block = piece.start() / BLOCK;
        self.flat(self.read(move || piece.read()).await)
            .map_err(|source| ReadError::Read { block, source })?
            .map_err(|(block, why)| ReadError::Damaged { block, why })
    }

    fn flat<T>(&self, answer: Result<io::Result<T>, Unanswered>) -> io::Result<T> {
        match answer {
            Ok(Ok(done)) => Ok(done),
            Ok(Err(error)) => {
                self.counters.disk_read_errors.add(1);
                Err(error)
            }
            Err(Unanswered::Late) => Err(io::ErrorKind::TimedOut.into()),
            Err(Unanswered::Full | Unanswered::Closed) => Err(io::ErrorKind::ResourceBusy.into()),
        }
    }
}

/// A few extents of a file that follow each other without gaps.
pub(crate) struct Piece {
    pub(crate) handle: Arc<Handle>,
    /// Where in the file the body begins.
    pub(crate) base: u64,
    pub(crate) extents: Extents,
}

impl Piece {
    /// Offset in the body of its first byte.
    pub(crate) fn start(&self) -> u64 {
        self.extents.first().map_or(0, |first| first.start)
    }

    /// The same up to the end of its first block.
    pub(crate) fn block(&self) -> Self {
        let extents = self.extents.iter().take(1).copied().collect();
        Self { handle: Arc::clone(&self.handle), base: self.base, extents }
    }

    /// Bytes to read.
    pub(crate) fn length(&self) -> usize {
        (self.extents.last().map_or(0, Extent::end) - self.start()) as usize
    }

    /// The bytes, if they can be had without waiting and are as they were written.
    fn read_now(&self) -> Option<Bytes> {
        let mut bytes = vec![0; self.length()];
        let sound = self.handle.read_now(self.base + self.start(), &mut bytes)
            && first_wrong(&bytes, self.start(), &self.extents).is_none();
        sound.then(|| bytes.into())
    }

    /// The bytes, or which block is not as it was written and why.
    fn read(&self) -> io::Result<Result<Bytes, (u64, Damage)>> {
        let bytes = match self.handle.read(self.base + self.start(), self.length()) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                return Ok(Err((self.cut_block()?, Damage::Size)));
            }
            Err(error) => return Err(error),
        };
        Ok(match first_wrong(&bytes, self.start(), &self.extents) {
            None => Ok(bytes.into()),
            Some(wrong) => Err((wrong.start / BLOCK, Damage::Checksum)),
        })
    }

    /// The block in which the file ends.
    fn cut_block(&self) -> io::Result<u64> {
        Ok(self.handle.len()?.saturating_sub(self.base).max(self.start()) / BLOCK)
    }
}

fn file_name(id: &FileId) -> String {
    use std::fmt::Write;
    let mut name = String::with_capacity(98);
    for byte in id.key {
        // Writing to a string cannot fail.
        let _ = write!(name, "{byte:02x}");
    }
    let _ = write!(name, "-{:016x}-{:016x}", id.variant, id.sequence);
    name
}

/// The opposite of [`file_name`]; `None` for a name that is not ours.
pub(crate) fn parse_file_name(name: &str) -> Option<FileId> {
    let mut parts = name.split('-');
    let (key_hex, variant, sequence) = (parts.next()?, parts.next()?, parts.next()?);
    let mut key = [0; 32];
    for (byte, pair) in key.iter_mut().zip(key_hex.as_bytes().chunks(2)) {
        *byte = u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()?;
    }
    let id = FileId {
        key,
        variant: u64::from_str_radix(variant, 16).ok()?,
        sequence: u64::from_str_radix(sequence, 16).ok()?,
    };
    // Only the one spelling that we write is ours.
    (file_name(&id) == name).then_some(id)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_name_says_what_the_file_holds() {
        let id = FileId { key: [0xab; 32], variant: 0x12, sequence: 3 };
        let name = file_name(&id);
        assert_eq!(name, format!("{}-0000000000000012-0000000000000003", "ab".repeat(32)));
        assert_eq!(parse_file_name(&name), Some(id));
    }

    #[test]
    fn names_that_are_not_ours_are_not_read_as_ours() {
        let name = file_name(&FileId { key: [0; 32], variant: 0, sequence: 0 });
        for foreign in ["", "README", &name[1..], &name.replace('0', "+"), &format!("{name}-1")] {
            assert_eq!(parse_file_name(foreign), None, "{foreign}");
        }
    }
}
