//! A complete body in a file that only memory holds.
//!
//! The system can send a file to a client without copying it, so that is where larger bodies in
//! memory are, and pieces of those on disk that are wanted again and again (`kept`). Each has a file
//! of its own, written once and then sealed: pages that wait in a socket are never written again,
//! whatever becomes of the body.

use std::fs::File;
use std::io::{self, IoSlice, Write};
use std::ops::Range;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::FileExt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use rustix::process::{Resource, getrlimit};

use crate::counted::Counted;
use crate::disk::{Files, PIECE, seal};

/// Bytes from which on a body is worth a file: below, a second system call costs more than the
/// copy that it saves (docs/decisions/008-sendfile.md has the figures).
pub(crate) const WORTH_A_FILE: u64 = 40 << 10;
/// Of the descriptors that the process may have, one in so many is for bodies in memory.
const SHARE_OF_DESCRIPTORS: u64 = 4;
/// What a system without a limit is taken to have.
const MANY_DESCRIPTORS: u64 = 1 << 20;
/// Bytes of a page, in which a file is held.
const PAGE: u64 = 4 << 10;
/// Bytes that the system takes for a file beside its pages.
const FILE: u64 = 2 << 10;
/// Slices handed to one system call.
const MOST_SLICES: usize = 64;

/// A file without a name that only memory holds, and whose bytes never change.
pub struct MemoryFile {
    file: File,
    length: u64,
    _place: Place,
    /// Counts its bytes where somebody does.
    _counted: Option<Counted>,
}

/// The files in memory that a store may have open.
pub(crate) struct MemoryFiles {
    files: Files,
    open: AtomicU64,
    most: u64,
}

/// The place of one of them, until it is dropped.
struct Place(Arc<MemoryFiles>);

impl Drop for Place {
    fn drop(&mut self) {
        self.0.open.fetch_sub(1, Ordering::Relaxed);
    }
}

impl MemoryFile {
    /// Bytes of the body.
    pub fn length(&self) -> u64 {
        self.length
    }

    /// Bytes of memory that it takes.
    pub(crate) fn weight(&self) -> usize {
        weight(self.length) as usize
    }

    pub(crate) fn counted(self, by: Counted) -> Self {
        Self { _counted: Some(by), ..self }
    }

    /// The body, piece by piece, each read when it is asked for.
    pub(crate) fn pieces(&self) -> impl Iterator<Item = io::Result<Bytes>> {
        (0..self.length).step_by(PIECE as usize).map(|start| self.read(self.piece_from(start)))
    }

    /// Where up to 256 KiB from `offset` are.
    pub(crate) fn piece_from(&self, offset: u64) -> Range<u64> {
        offset..self.length.min(offset + PIECE)
    }

    pub(crate) fn read(&self, range: Range<u64>) -> io::Result<Bytes> {
        let mut bytes = vec![0; (range.end - range.start) as usize];
        self.file.read_exact_at(&mut bytes, range.start)?;
        Ok(bytes.into())
    }
}

/// Bytes of memory that a file of so many bytes takes.
pub(crate) fn weight(length: u64) -> u64 {
    length.next_multiple_of(PAGE) + FILE
}

impl AsFd for MemoryFile {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

impl MemoryFiles {
    /// As many as the limits of the process allow now.
    pub(crate) fn new(files: Files) -> Arc<Self> {
        let descriptors = getrlimit(Resource::Nofile).current.unwrap_or(MANY_DESCRIPTORS);
        Self::at_most(descriptors / SHARE_OF_DESCRIPTORS, files)
    }

    pub(crate) fn at_most(most: u64, files: Files) -> Arc<Self> {
        Arc::new(Self { files, open: AtomicU64::new(0), most })
    }

    /// Holds a body of these parts in a file. `None` if it is too short to be worth one, or the
    /// system gives none: then the heap takes it.
    pub(crate) fn hold<'p>(
        self: &Arc<Self>,
        length: u64,
        parts: impl Iterator<Item = &'p [u8]>,
    ) -> Option<MemoryFile> {
        if length < WORTH_A_FILE {
            return None;
        }
        let place = self.place()?;
        let mut parts: Vec<_> = parts.map(IoSlice::new).collect();
        let file = self.written(&mut parts).ok()?;
        Some(MemoryFile { file, length, _place: place, _counted: None })
    }

    fn place(self: &Arc<Self>) -> Option<Place> {
        let add = |open: u64| (open < self.most).then_some(open + 1);
        let added = self.open.fetch_update(Ordering::Relaxed, Ordering::Relaxed, add);
        added.ok().map(|_| Place(Arc::clone(self)))
    }

    fn written(&self, mut parts: &mut [IoSlice<'_>]) -> io::Result<File> {
        let mut file = self.files.create_in_memory()?;
        while !parts.is_empty() {
            let most = parts.len().min(MOST_SLICES);
            match file.write_vectored(&parts[..most])? {
                0 => return Err(io::ErrorKind::WriteZero.into()),
                written => IoSlice::advance_slices(&mut parts, written),
            }
        }
        seal(&file)?;
        Ok(file)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;
    use crate::tests::{KIB, body};

    fn files(most: u64) -> Arc<MemoryFiles> {
        MemoryFiles::at_most(most, Files::default())
    }

    fn held(files: &Arc<MemoryFiles>, whole: &[u8], part: usize) -> Option<MemoryFile> {
        files.hold(whole.len() as u64, whole.chunks(part))
    }

    #[test]
    fn a_body_comes_out_as_it_went_in() {
        // More parts than one call takes, or one.
        for part in [999, 1 << 20] {
            for length in [WORTH_A_FILE, 256 * KIB, 256 * KIB + 1, 700_000] {
                let whole = body(length, length);
                let file = held(&files(1), &whole, part).unwrap();
                let pieces: Vec<_> = file.pieces().map(Result::unwrap).collect();
                assert!(pieces.concat() == whole, "{length}");
                assert!(file.read(length - 9..length).unwrap() == whole[whole.len() - 9..]);
                assert!((length as usize..length as usize + 8_000).contains(&file.weight()));
            }
        }
        assert!(held(&files(1), &body(1, WORTH_A_FILE - 1), 999).is_none());
    }

    #[test]
    fn descriptors_are_a_share_and_come_back() {
        let (files, whole) = (files(2), body(1, 100_000));
        let hold = || held(&files, &whole, 100_000);
        let (first, second) = (hold(), hold());
        assert!(first.is_some() && second.is_some());
        assert!(hold().is_none(), "the share is used up");
        drop(first);
        assert!(hold().is_some(), "the place is free again");
    }

    #[test]
    fn what_may_wait_in_a_socket_cannot_be_written_again() {
        let held = held(&files(1), &body(1, 100_000), 100_000).unwrap();
        assert!((&held.file).write(b"x").is_err());
        assert!(held.file.set_len(10).is_err() && held.file.set_len(1 << 20).is_err());
    }
}
