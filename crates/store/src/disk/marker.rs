//! The file `newest`: which segment is the newest, and that the log has every removal.
//!
//! ```text
//! 8 bytes magic, u32 version, u32 number of the newest segment, u64 xxh3-64 of the 16 bytes before
//! ```
//!
//! It is there unless a removal could not be written to the log: then a start that finds no snapshot
//! gives up all that is stored. An empty one counts as none. One that is there and damaged still says
//! that nothing is owed.

use std::io;
use std::path::{Path, PathBuf};

use xxhash_rust::xxh3::xxh3_64;

use super::files::{Files, Handle};
use super::health::is_shortage;

const MAGIC: &[u8; 8] = b"cp-newst";
const VERSION: u32 = 1;
const LENGTH: usize = 24;

/// The marker of a store.
pub(crate) struct Marker {
    files: Files,
    path: PathBuf,
    /// The open file and what it says.
    there: Option<(Handle, u32)>,
}

/// What a start finds.
pub(crate) enum Found {
    /// Nothing.
    Absent,
    /// The number of the newest segment, if that can be read.
    There(Option<u32>),
}

impl Marker {
    /// Fails if the system has run out of something, which is no reason to give up what is stored.
    pub(crate) fn open(files: &Files, root: &Path) -> io::Result<(Self, Found)> {
        let path = root.join("newest");
        let mut marker = Self { files: files.clone(), path, there: None };
        let handle = match files.open_to_change(&marker.path) {
            Ok(handle) if handle.len()? > 0 => handle,
            Err(error) if is_shortage(&error) => return Err(error),
            _ => return Ok((marker, Found::Absent)),
        };
        let number = handle.read(0, LENGTH).ok().and_then(|bytes| decode(&bytes));
        // One that cannot be read says nothing that the next segment would not say anew.
        marker.there = Some((handle, number.unwrap_or(0)));
        Ok((marker, Found::There(number)))
    }

    /// Makes it say that this is the newest segment.
    pub(crate) fn put(&mut self, number: u32) -> io::Result<()> {
        if let Some((handle, says)) = &mut self.there {
            if *says < number {
                handle.write(0, &encode(number))?;
                *says = number;
            }
            return Ok(());
        }
        self.files.unlink(&self.path)?;
        let handle = self.files.create(&self.path)?;
        handle.write(0, &encode(number))?;
        self.there = Some((handle, number));
        Ok(())
    }

    /// The directory was made again: what was open there may be no more.
    pub(crate) fn look_again(&mut self) {
        if !self.path.exists() {
            self.there = None;
        }
    }

    /// A removal is owed. One that cannot be removed is emptied; if not even that can be done, it is
    /// tried again with the next removal.
    pub(crate) fn take_away(&mut self) {
        let Some((handle, _)) = &self.there else { return };
        if self.files.unlink(&self.path).is_ok() || handle.set_len(0).is_ok() {
            self.there = None;
        }
    }
}

fn encode(number: u32) -> Vec<u8> {
    let mut out = Vec::with_capacity(LENGTH);
    out.extend_from_slice(MAGIC);
    out.extend_from_slice(&VERSION.to_le_bytes());
    out.extend_from_slice(&number.to_le_bytes());
    let sum = xxh3_64(&out);
    out.extend_from_slice(&sum.to_le_bytes());
    out
}

fn decode(bytes: &[u8]) -> Option<u32> {
    let number = u32::from_le_bytes(*bytes.get(12..16)?.first_chunk()?);
    (bytes == encode(number)).then_some(number)
}
