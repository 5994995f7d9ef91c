//! What is written in the background: bodies from memory, new metadata; and what happens when that
//! fails.

use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use bytes::Bytes;

use super::files::Handle;
use super::format::{BLOCK, BlockSums, FOOTER, encode};
use super::index::{New, Tail};
use super::io::{FileId, Io};
use super::place::LONGEST;
use super::segment::HEAD;
use super::work::{Item, Pending};
use super::{Disk, FileBody, Presence};
use crate::body::{Done, Place};
use crate::entry::{Entry, Keeper};
use crate::key::Key;
use crate::meta::Meta;
use crate::reason::{Damage, NotStored};

/// Bytes that may wait for the writer.
const QUEUE_BYTES: u64 = 32 << 20;
/// Entries that may wait for the writer.
const QUEUE_ENTRIES: u64 = 8192;
/// Bytes of the smallest body that new metadata refers to.
const SHARED: u64 = 1 << 10;

impl<M: Meta> Disk<M> {
    /// Gives an entry whose body is in memory or in a record its place and queues its record or file.
    /// Until that is written the entry itself answers look-ups. Whatever comes of it, an older entry of
    /// the same variant is gone; `freshened` is its number if it has the same body.
    pub(crate) fn store(
        &self,
        key: &Key,
        key_id: [u8; 32],
        entry: &Arc<Entry<M>>,
        freshened: Option<u64>,
    ) -> Result<(), NotStored> {
        let id = self.next_id(key_id, entry.variant());
        let mut meta = Vec::new();
        entry.meta().encode(&mut meta);
        let record = record_size(key, &meta, entry);
        let is_small = record <= self.largest_record;
        let size = if is_small { record } else { file_size(key, &meta, entry) };
        entry.set_sequence(id.sequence);
        let placed = self.queue(size).and_then(|()| {
            let freshened = freshened.filter(|_| is_small && is_worth_it(entry, size));
            let (held, key) = (Arc::clone(entry), key.clone());
            let entry = Keeper::new(Arc::clone(entry));
            let placed = self.with_index(|index, hot| {
                let older = |sequence| Some((index.place_of(&id, sequence)?, sequence));
                let older = freshened.and_then(older);
                let pending = Box::new(Pending { key, id, meta, entry, size, older });
                let (new, item) = if is_small {
                    (New::Record(held, size as u32), Item::Record(pending))
                } else {
                    index.outdate(&id);
                    (New::Large(held, size), Item::Large(pending))
                };
                let placed = index.place(&id, new, hot);
                if placed {
                    index.queue(item);
                }
                placed
            });
            if !placed {
                self.unqueue(size);
            }
            if placed { Ok(()) } else { Err(NotStored::NoRoom) }
        });
        if placed.is_err() {
            self.remove_variant(&key_id, id.variant);
        }
        placed
    }

    /// Gives a large body that is already in its file its place.
    pub(crate) fn adopt(&self, file: &Arc<FileBody>, size: u64, reserved: u64) -> bool {
        let new = New::File(Arc::downgrade(file), size);
        self.with_index(|index, hot| {
            index.release(reserved);
            index.outdate(&file.id);
            index.place(&file.id, new, hot)
        })
    }

    /// Queues new metadata for a large body in its file. False if the file has no slot any more: with
    /// the old metadata it must not stay.
    pub(crate) fn change_meta(
        &self,
        key: &Key,
        entry: &Arc<Entry<M>>,
        file: &Arc<FileBody>,
    ) -> bool {
        let size = (key.as_bytes().len() + entry.meta().weight()) as u64;
        let has_room = self.admit(size);
        let changed =
            self.with_index(|index, _| index.change_tail(key, entry, file, size, has_room));
        if has_room && changed != Tail::Queued {
            self.unqueue(size);
        }
        changed != Tail::Gone
    }

    pub(crate) fn next_id(&self, key: [u8; 32], variant: u64) -> FileId {
        FileId { key, variant, sequence: self.events.number() }
    }

    pub(crate) fn reserve(&self, bytes: u64) -> bool {
        self.with_index(|index, hot| index.reserve(bytes, hot))
    }

    pub(crate) fn release(&self, bytes: u64) {
        self.with_index(|index, _| index.release(bytes));
    }

    fn queue(&self, size: u64) -> Result<(), NotStored> {
        if size > self.largest {
            return Err(NotStored::TooLarge);
        }
        if self.takes_nothing() {
            self.io.counters.resting_skips.add(1);
            return Err(NotStored::DiskFailed);
        }
        if self.admit(size) { Ok(()) } else { Err(NotStored::DiskSlow) }
    }

    /// Counts what is to be queued. False if too much waits already, or nothing is written any more.
    pub(crate) fn admit(&self, size: u64) -> bool {
        if self.io.is_sealed() {
            return false;
        }
        let bytes = self.queued.fetch_add(size, Ordering::Relaxed) + size;
        let entries = self.queued_entries.fetch_add(1, Ordering::Relaxed) + 1;
        if bytes > QUEUE_BYTES || entries > QUEUE_ENTRIES {
            self.unqueue(size);
            self.io.counters.queue_full_skips.add(1);
            return false;
        }
        true
    }

    pub(crate) fn unqueue(&self, size: u64) {
        self.queued.fetch_sub(size, Ordering::Relaxed);
        self.queued_entries.fetch_sub(1, Ordering::Relaxed);
    }

    pub(crate) fn write_large(&self, pending: &Pending<M>) {
        let Pending { key, id, meta, entry, size, .. } = pending;
        // Replaced or removed while it waited, or not.
        if self.is_held(id, entry) {
            let written = if self.is_resting() {
                self.io.counters.resting_skips.add(1);
                false
            } else if self.has_lost_body(entry) {
                false
            } else {
                let written = write_file(&self.io, key, id, meta, entry);
                match &written {
                    Ok(()) => self.wrote(),
                    Err(error) => self.failed(error, *size),
                }
                written.is_ok()
            };
            self.settle(id, entry, written);
        }
        self.unqueue(*size);
    }

    /// True if the body of an entry is in a record that cannot be read again: that is no fault of what is
    /// to be written.
    pub(crate) fn has_lost_body(&self, entry: &Entry<M>) -> bool {
        let place = entry.body().done().map(Done::place);
        let Some(Place::Record(record)) = place else { return false };
        let Err(error) = record.whole() else { return false };
        let is_changed = error.kind() == io::ErrorKind::InvalidData;
        let why = if is_changed { Damage::Checksum } else { Damage::Unreadable };
        self.io.counters.damaged(why);
        true
    }

    /// Ends the time in which an entry stood in for its file, or gives it up. Says whether it lost its
    /// place because nothing was written.
    pub(crate) fn settle(&self, id: &FileId, entry: &Arc<Entry<M>>, written: bool) -> bool {
        self.with_index(|index, _| match index.beside(id).filter(|beside| beside.holds(entry)) {
            Some(beside) if written => {
                beside.held = None;
                false
            }
            Some(_) => index.remove(id),
            None => false,
        })
    }

    pub(crate) fn is_held(&self, id: &FileId, entry: &Arc<Entry<M>>) -> bool {
        self.index().beside(id).is_some_and(|beside| beside.holds(entry))
    }
}

/// True if new metadata had better refer to the body than come with it in a record of `size` bytes.
/// As every read will be two, it has to save more than it costs to write.
fn is_worth_it<M>(entry: &Entry<M>, size: u64) -> bool {
    let body = entry.length().unwrap_or(0);
    let rest = size - body;
    body >= SHARED.max(rest) && rest + HEAD <= LONGEST.into()
}

/// Bytes of the record of such an entry.
fn record_size<M: Meta>(key: &Key, meta: &[u8], entry: &Entry<M>) -> u64 {
    let trailers = entry.tail().map_or(0, <[u8]>::len);
    let beside = key.as_bytes().len() + meta.len() + trailers;
    HEAD + beside as u64 + entry.length().unwrap_or(0)
}

/// Bytes of the file of such an entry.
fn file_size<M: Meta>(key: &Key, meta: &[u8], entry: &Entry<M>) -> u64 {
    let body = entry.length().unwrap_or(0);
    let trailers = entry.tail().map_or(0, <[u8]>::len);
    let tail = 16 + key.as_bytes().len() + meta.len() + trailers;
    body + 8 * body.div_ceil(BLOCK) + (tail + FOOTER) as u64
}

/// The pieces of a complete body that are not on the heap, each read when it is asked for. `None` if
/// it has a file of its own on disk, or is nowhere.
pub(crate) fn pieces_elsewhere(
    done: &Done,
) -> Option<Box<dyn Iterator<Item = io::Result<Bytes>> + '_>> {
    match done.place() {
        Place::Memory => Some(Box::new(std::iter::empty())),
        Place::MemoryFile(file) => Some(Box::new(file.pieces())),
        Place::Record(record) => Some(Box::new(std::iter::once_with(|| record.whole()))),
        Place::File(_) | Place::Part(..) | Place::Nowhere => None,
    }
}

fn write_file<M>(io: &Io, key: &Key, id: &FileId, meta: &[u8], entry: &Entry<M>) -> io::Result<()> {
    let done = entry.body().done().ok_or(io::ErrorKind::InvalidInput)?;
    let elsewhere = pieces_elsewhere(done).ok_or(io::ErrorKind::InvalidInput)?;
    let elsewhere: Vec<Bytes> = elsewhere.collect::<io::Result<_>>()?;
    let (mut pieces, mut sums) = (done.pieces(), BlockSums::default());
    pieces.clone().for_each(|piece| sums.add(piece));
    for piece in &elsewhere {
        sums.add(piece);
    }
    sums.finish();
    let sums = Presence::Whole(sums.done.into());
    let end = encode(key.as_bytes(), meta, done.tail(), &sums, done.length(), id.sequence);
    let end = end.ok_or(io::ErrorKind::InvalidInput)?;
    let mut temporary = Temporary::create(io)?;
    if done.length() < BLOCK && matches!(done.place(), Place::Memory) {
        // One write for the many small ones.
        let piece = pieces.next().unwrap_or_default();
        temporary.append(&[piece, end.as_slice()].concat())?;
    } else {
        pieces.try_for_each(|piece| temporary.append(piece))?;
        elsewhere.iter().try_for_each(|piece| temporary.append(piece))?;
        temporary.append(&end)?;
    }
    temporary.publish(id)
}

/// A file under `tmp` that is removed again unless it is published.
struct Temporary<'a> {
    io: &'a Io,
    path: std::path::PathBuf,
    handle: Handle,
    length: u64,
    published: bool,
}

impl<'a> Temporary<'a> {
    fn create(io: &'a Io) -> io::Result<Self> {
        let path = io.temporary_path();
        let handle = io.files.create(&path)?;
        Ok(Self { io, path, handle, length: 0, published: false })
    }

    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.handle.write(self.length, bytes)?;
        self.length += bytes.len() as u64;
        Ok(())
    }

    fn publish(mut self, id: &FileId) -> io::Result<()> {
        self.io.files.publish(&self.path, &self.io.path(id))?;
        self.published = true;
        Ok(())
    }
}

impl Drop for Temporary<'_> {
    fn drop(&mut self) {
        if !self.published {
            // What stays here is removed at the next start.
            let _ = self.io.files.unlink(&self.path);
        }
    }
}

/// Writes tail and footer of a stored file anew.
pub(crate) fn tail_in_place(
    io: &Io,
    key: &Key,
    meta: &[u8],
    trailers: &[u8],
    file: &FileBody,
) -> io::Result<u64> {
    let handle = io.files.open_to_change(&io.path(&file.id))?;
    end_in_place(&handle, key, meta, trailers, file)
}

/// Writes tail and footer of a body into its file. Returns how many bytes of the disk that takes.
pub(crate) fn end_in_place(
    handle: &Handle,
    key: &Key,
    meta: &[u8],
    trailers: &[u8],
    file: &FileBody,
) -> io::Result<u64> {
    let (presence, length) = (file.presence(), file.length);
    let end = encode(key.as_bytes(), meta, trailers, &presence, length, file.id.sequence);
    let end = end.ok_or(io::ErrorKind::InvalidInput)?;
    handle.write(length, &end)?;
    let size = length + end.len() as u64;
    handle.set_len(size)?;
    if presence.is_spread() { handle.allocated() } else { Ok(size) }
}
