//! The segment that is written: records are collected in a buffer, and written in one go.

use std::io;
use std::sync::Arc;

use super::Segments;
use super::format::{About, HEAD, Listed, Parts, encode, footer_size, padded, record_size, seal};
use crate::disk::files::Handle;

/// Bytes of a segment that are set aside at once, so that a full disk shows before it is written to
/// and a store with little in it takes little room.
const STEP: u64 = 4 << 20;

/// The end of the log. Only the writer's thread has it.
pub(crate) struct Log {
    segments: Arc<Segments>,
    /// Bytes of a segment.
    size: u64,
    /// The number of the next segment.
    next: u32,
    open: Option<Open>,
}

struct Open {
    about: About,
    handle: Arc<Handle>,
    /// Bytes written, and bytes set aside.
    written: u64,
    allocated: u64,
    buffer: Vec<u8>,
    /// All records so far, for the footer.
    listed: Vec<Listed>,
}

impl Log {
    /// Goes on behind all segments that there are, and the newest that there was.
    pub(crate) fn new(segments: &Arc<Segments>, size: u64, newest: u32) -> Self {
        let last = segments.numbers().last().copied().unwrap_or(0);
        let next = last.max(newest) + 1;
        Self { segments: Arc::clone(segments), size, next, open: None }
    }

    /// The segment that records go to now.
    pub(crate) fn number(&self) -> Option<u32> {
        self.open.as_ref().map(|open| open.about.number)
    }

    /// Bytes that a segment needs to begin.
    pub(crate) fn step(&self) -> u64 {
        STEP.min(self.size)
    }

    /// Bytes of memory that the list of the open segment takes.
    pub(crate) fn bytes(&self) -> u64 {
        let open = self.open.as_ref();
        open.map_or(0, |open| (open.listed.capacity() * size_of::<Listed>()) as u64)
    }

    /// True if a record of this length still fits the open segment.
    pub(crate) fn fits(&self, length: u64) -> bool {
        self.open.as_ref().is_some_and(|open| {
            let end = open.end() + padded(length) + footer_size(open.listed.len() + 1);
            end <= self.size
        })
    }

    /// Begins the next segment. The one before was sealed, or abandoned.
    pub(crate) fn begin(&mut self, born: u64) -> io::Result<()> {
        let first = STEP.min(self.size);
        // Another process may have begun one that it did not live to use.
        while self.segments.has_name(self.next) {
            self.next += 1;
        }
        let (about, handle) = self.segments.begin(self.next, born, first, self.size)?;
        self.next += 1;
        self.open = Some(Open {
            about,
            handle,
            written: HEAD,
            allocated: first,
            buffer: Vec::new(),
            listed: Vec::new(),
        });
        Ok(())
    }

    /// Collects a record that fits, and says where it will be.
    pub(crate) fn add(&mut self, record: Listed, parts: &Parts<'_>) -> Option<Listed> {
        let open = self.open.as_mut()?;
        let length = record_size(parts) as u32;
        let listed = Listed { offset: open.end() as u32, length, ..record };
        encode(&mut open.buffer, open.about.salt, &listed, parts);
        open.listed.push(listed);
        Some(listed)
    }

    /// Bytes that are collected.
    pub(crate) fn collected(&self) -> usize {
        self.open.as_ref().map_or(0, |open| open.buffer.len())
    }

    /// Writes what is collected. After a failure the segment is given up, with what it has.
    pub(crate) fn write(&mut self) -> io::Result<()> {
        let Some(open) = &mut self.open else { return Ok(()) };
        let done = open.write(self.size);
        if done.is_err() {
            self.abandon();
        }
        done
    }

    /// Ends the open segment with its footer. All that it has is written.
    pub(crate) fn seal(&mut self) -> io::Result<()> {
        let Some(open) = &self.open else { return Ok(()) };
        let number = open.about.number;
        match open.seal() {
            Ok(size) => {
                self.segments.set_size(number, size);
                self.open = None;
                Ok(())
            }
            Err(error) => {
                self.abandon();
                Err(error)
            }
        }
    }

    /// Forgets that a segment is open whose file goes away.
    pub(crate) fn forget(&mut self) {
        self.open = None;
    }

    /// Leaves the open segment as it is. Zeros behind what was written tell a walk that this is the
    /// end; if they cannot be had, the walk doubts.
    fn abandon(&mut self) {
        let Some(open) = self.open.take() else { return };
        let cut = open.handle.set_len(open.written);
        let _ = cut.and_then(|()| open.handle.set_len(open.written + footer_size(0)));
        // A snapshot tells segments by their lengths.
        let length = open.handle.len().unwrap_or(self.size).min(self.size);
        self.segments.set_size(open.about.number, length);
    }
}

impl Open {
    /// Offset of the next record.
    fn end(&self) -> u64 {
        self.written + self.buffer.len() as u64
    }

    fn write(&mut self, size: u64) -> io::Result<()> {
        if self.buffer.is_empty() {
            return Ok(());
        }
        // Zeros have to follow, or a walk does not know where to end.
        let wanted = (self.end() + footer_size(0)).min(size);
        while self.allocated < wanted {
            let step = STEP.min(size - self.allocated);
            self.handle.allocate(self.allocated, step)?;
            self.allocated += step;
        }
        self.handle.write(self.written, &self.buffer)?;
        self.written = self.end();
        self.buffer.clear();
        Ok(())
    }

    fn seal(&self) -> io::Result<u64> {
        let end = seal(&self.about, &self.listed, self.written as u32);
        let size = self.written + end.len() as u64;
        // The trailer has to be the end, also if that is all that gets done.
        self.handle.write(self.written, &end)?;
        self.handle.set_len(size)?;
        Ok(size)
    }
}
