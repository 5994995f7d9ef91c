//! What tells that a file has changed.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// Where a file's bytes lie and when they were written, symbolic links followed: whoever swaps a
/// link changes it too.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stamp {
    device: u64,
    inode: u64,
    length: u64,
    modified: (i64, i64),
}

impl Stamp {
    /// `None` if there is no such file, or it may not be looked at.
    pub(crate) fn of(path: &Path) -> Option<Self> {
        let data = fs::metadata(path).ok()?;
        let (device, inode) = (data.dev(), data.ino());
        // A pipe that was read at the start changes by that, and has nothing new.
        if !data.is_file() {
            return Some(Self { device, inode, length: 0, modified: (0, 0) });
        }
        let modified = (data.mtime(), data.mtime_nsec());
        Some(Self { device, inode, length: data.len(), modified })
    }
}
