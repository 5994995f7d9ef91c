//! The right to write one entry: a body that readers follow while it grows.
//!
//! A fill starts in memory. When it outgrows its share it goes on to the disk; when the disk fails,
//! is full or too slow, it is only passed along. None of this shows to its readers.

use std::sync::Arc;

use bytes::Bytes;

use crate::body::Place;
use crate::disk::Spill;
use crate::entry::{Entry, Keeper};
use crate::key::Key;
use crate::meta::Meta;
use crate::reason::{Committed, NotStored, WriteError};
use crate::store::{Growing, Store, name_of};
use crate::stream::Stream;

/// Bytes that a fill takes beside what it writes, its metadata and its key.
pub(crate) const WEIGHT: u64 = 1024;

/// The right to write one entry. Dropping it abandons the body: its readers are told.
pub struct Fill<M: Meta>(Box<Filling<M>>);

struct Filling<M: Meta> {
    store: Store<M>,
    key: Key,
    entry: Arc<Entry<M>>,
    stream: Arc<Stream>,
    mode: Mode<M>,
    /// The file of which it is a part.
    growing: Option<Arc<Growing<M>>>,
    /// Bytes taken so far.
    end: u64,
    committed: bool,
}

enum Mode<M: Meta> {
    Memory,
    Spill(Spill<M>),
    /// Not stored; the readers that are there get it through a small window.
    Along(NotStored),
}

impl<M: Meta> Fill<M> {
    /// `spill` is there if it goes to disk from the start.
    pub(crate) fn new(
        store: Store<M>,
        key: Key,
        entry: Arc<Entry<M>>,
        stream: Arc<Stream>,
        spill: Option<Spill<M>>,
        growing: Option<Arc<Growing<M>>>,
    ) -> Self {
        let mode = spill.map_or(Mode::Memory, Mode::Spill);
        let (end, committed) = (0, false);
        Self(Box::new(Filling { store, key, entry, stream, mode, growing, end, committed }))
    }

    /// The entry being written. Readers that join before the first chunk miss nothing, whatever
    /// becomes of the fill.
    pub fn entry(&self) -> Arc<Entry<M>> {
        Arc::clone(&self.0.entry)
    }

    /// Readers of the body now.
    pub fn readers(&self) -> usize {
        self.stream().readers()
    }

    /// Waits until nobody reads.
    pub async fn abandoned_by_readers(&self) {
        self.stream().wait_until_alone().await;
    }

    /// Gives the body up if nobody reads it, and says whether it did. Nobody can begin to read it
    /// after that; drop the fill then.
    pub fn desert(&mut self) -> bool {
        self.stream().break_off_if_alone()
    }

    /// Why the body will not be stored, if that is certain already.
    pub fn passed_along(&self) -> Option<NotStored> {
        match self.0.mode {
            Mode::Along(why) => Some(why),
            Mode::Memory | Mode::Spill(_) => None,
        }
    }

    /// Takes a chunk if that needs no waiting: the body is in memory and still fits. False if
    /// nothing was taken; then [`Fill::write`] takes it.
    pub fn try_write(&mut self, chunk: &Bytes) -> bool {
        let end = self.0.end + chunk.len() as u64;
        let fits = matches!(self.0.mode, Mode::Memory)
            && self.stream().may_reach(end)
            && self.0.store.lent().may_go_to_memory(end)
            && self.stream().try_push(chunk);
        if fits {
            self.0.end = end;
        }
        fits
    }

    /// Takes a chunk; waits for the disk if it is far behind, or for the slowest reader of a body
    /// that is only passed along, up to a second if others wait behind it. If the returned future is dropped, the chunk has been taken.
    pub async fn write(&mut self, chunk: Bytes) -> Result<(), WriteError> {
        if !self.stream().may_reach(self.0.end + chunk.len() as u64) {
            return Err(WriteError::LongerThanDeclared);
        }
        if self.try_write(&chunk) {
            return Ok(());
        }
        self.0.end += chunk.len() as u64;
        if matches!(self.0.mode, Mode::Memory) {
            self.leave_memory();
        }
        self.stream().push(chunk);
        self.make_way().await;
        Ok(())
    }

    async fn make_way(&mut self) {
        let Filling { mode, stream, .. } = &mut *self.0;
        if let Mode::Spill(spill) = mode
            && let Err(why) = spill.pump(stream).await
        {
            self.pass_along(why);
        }
        if let Mode::Along(_) = self.0.mode {
            self.stream().wait_for_readers().await;
        }
    }

    fn leave_memory(&mut self) {
        match self.0.store.spill(self.stream().declared(), self.0.end) {
            Ok(spill) => self.0.mode = Mode::Spill(spill),
            Err(why) => self.pass_along(why.into()),
        }
    }

    fn pass_along(&mut self, why: NotStored) {
        self.0.mode = Mode::Along(why);
        self.0.store.counters().passed_along.add(1);
        self.stream().pass_along();
    }

    /// Ends the body with its trailers. Later look-ups find it unless the answer says why not; an
    /// older entry of the same variant is gone either way, unless the body came out too short.
    pub async fn commit(self, tail: &[u8]) -> Committed {
        match self.commit_now(tail) {
            Ok((_, committed)) => committed,
            Err(fill) => fill.commit_file(tail).await,
        }
    }

    /// Ends the body at once, or gives the fill back if that has to wait for the disk.
    pub fn commit_now(mut self, tail: &[u8]) -> Result<(Arc<Entry<M>>, Committed), Self> {
        let entry = self.entry();
        if !self.stream().may_end_at(self.0.end) {
            return Ok((entry, Committed::NotStored(NotStored::WrongLength)));
        }
        let committed = match &self.0.mode {
            Mode::Spill(spill) if !self.is_short(spill, tail) => return Err(self),
            Mode::Along(why) => {
                let id = self.0.store.id(&self.0.key);
                entry.body().finish_nowhere(name_of(&self.0.key, &id), tail);
                // Of a part that is not kept the others are as good as before.
                if self.0.growing.is_none() {
                    self.0.store.supersede(&self.0.key, &entry, self.stream());
                }
                Committed::NotStored(*why)
            }
            // What is short goes to disk from memory, also where there is hardly any, unless readers have
            // too much of it already: then it gets a file.
            Mode::Memory | Mode::Spill(_) => {
                let id = self.0.store.id(&self.0.key);
                entry.body().finish_in_memory(
                    name_of(&self.0.key, &id),
                    tail,
                    self.0.store.memory_files(),
                    self.0.store.lent(),
                );
                // Until it has found its place.
                let _made = Keeper::made(Arc::clone(&entry));
                self.0.store.publish(&self.0.key, id, &entry, self.stream())
            }
        };
        self.0.committed = true;
        Ok((entry, committed))
    }

    /// True if nothing has gone to the disk yet, all of it fits a record, and it may be held as long as
    /// its readers take.
    fn is_short(&self, spill: &Spill<M>, tail: &[u8]) -> bool {
        if !self.0.store.lent().may_be_held(self.0.end) {
            return false;
        }
        let mut meta = Vec::new();
        self.0.entry.meta().encode(&mut meta);
        let beside = self.0.key.as_bytes().len() + meta.len() + tail.len();
        spill.is_untouched() && spill.fits_record(self.0.end + beside as u64)
    }

    async fn commit_file(mut self, tail: &[u8]) -> Committed {
        if let Some(growing) = self.0.growing.clone() {
            return self.commit_part(tail, &growing).await;
        }
        let Filling { store, key, entry, stream, mode, committed, .. } = &mut *self.0;
        let Mode::Spill(spill) = mode else {
            return Committed::NotStored(NotStored::DiskFailed);
        };
        let mut meta = Vec::new();
        entry.meta().encode(&mut meta);
        let done = match spill.publish(stream, key, &meta, tail, entry.variant()).await {
            Ok(published) => store.publish_file(key, entry, stream, tail, spill, published),
            Err(why) => {
                store.counters().passed_along.add(1);
                entry.body().finish_nowhere(name_of(key, &store.id(key)), tail);
                store.supersede(key, entry, stream);
                Committed::NotStored(why)
            }
        };
        *committed = true;
        done
    }

    async fn commit_part(mut self, tail: &[u8], growing: &Growing<M>) -> Committed {
        let Filling { store, key, entry, stream, mode, committed, .. } = &mut *self.0;
        let Mode::Spill(spill) = mode else {
            return Committed::NotStored(NotStored::DiskFailed);
        };
        let mut meta = Vec::new();
        entry.meta().encode(&mut meta);
        let stored = match store.may_publish(key, entry, stream) {
            Ok(()) => match spill.publish_part(stream, key, &meta, entry.variant()).await {
                Ok(written) => store.publish_part(key, entry, stream, growing, spill, written),
                Err(why) => Err(why),
            },
            Err(why) => Err(why),
        };
        let id = store.id(key);
        let name = name_of(key, &id);
        *committed = true;
        match stored {
            Ok((file, start)) => {
                entry.body().finish_in_file(name, tail, Place::Part(file, start));
                Committed::Stored
            }
            Err(why) => {
                store.counters().passed_along.add(1);
                growing.left_behind();
                entry.body().finish_nowhere(name, tail);
                Committed::NotStored(why)
            }
        }
    }

    fn stream(&self) -> &Arc<Stream> {
        &self.0.stream
    }
}

impl<M: Meta> Drop for Filling<M> {
    fn drop(&mut self) {
        if !self.committed {
            self.stream.break_off();
        }
        // The last that writes into a file takes it off the list.
        self.growing = None;
        self.store.end_fill(&self.key, &self.stream);
    }
}
