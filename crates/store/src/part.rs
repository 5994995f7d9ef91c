//! What a reader gets: bytes, or the file in memory that has them.

use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;

use crate::disk::BLOCK;
use crate::memory_file::{MemoryFile, WORTH_A_FILE};
use crate::reason::ReadError;

/// Some bytes of a body, in order.
#[derive(Clone)]
pub enum Part {
    /// The bytes themselves.
    Bytes(Bytes),
    /// These bytes of a file that only memory holds and that never changes.
    InFile(Arc<MemoryFile>, Range<u64>),
}

impl Part {
    /// How many bytes.
    pub fn len(&self) -> u64 {
        match self {
            Self::Bytes(bytes) => bytes.len() as u64,
            Self::InFile(_, range) => range.end - range.start,
        }
    }

    /// True if there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Leaves the first bytes out.
    pub fn skip(&mut self, bytes: u64) {
        let bytes = bytes.min(self.len());
        match self {
            Self::Bytes(all) => drop(all.split_to(bytes as usize)),
            Self::InFile(_, range) => range.start += bytes,
        }
    }

    /// Leaves out what is beyond the first bytes.
    pub fn truncate(&mut self, bytes: u64) {
        let bytes = bytes.min(self.len());
        match self {
            Self::Bytes(all) => all.truncate(bytes as usize),
            Self::InFile(_, range) => range.end = range.start + bytes,
        }
    }

    /// The file, and which bytes of it: if there are so many that the system sends them from there
    /// for less than a copy costs.
    pub fn worth_sending(&self) -> Option<(&MemoryFile, Range<u64>)> {
        match self {
            Self::InFile(file, range) if self.len() >= WORTH_A_FILE => Some((file, range.clone())),
            _ => None,
        }
    }

    /// The bytes, read on the spot if they are in a file: it is memory.
    pub fn into_bytes(self) -> Result<Bytes, ReadError> {
        match self {
            Self::Bytes(bytes) => Ok(bytes),
            Self::InFile(file, range) => {
                let block = range.start / BLOCK;
                file.read(range).map_err(|source| ReadError::Read { block, source })
            }
        }
    }
}
