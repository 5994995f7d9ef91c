//! Socket paths of any length.
//!
//! The address of a Unix socket holds 108 bytes. A longer path is reached through the open
//! directory: `/proc/self/fd/N/control.sock`.

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};

use crate::state::SOCKET;

/// One byte of the 108 ends the path.
const LONGEST: usize = 107;

/// A path that fits. The directory stays open while this lives.
pub(super) struct SocketPath {
    path: PathBuf,
    _directory: Option<File>,
}

impl SocketPath {
    /// The socket of an instance directory, which must exist.
    pub(super) fn within(directory: &Path) -> io::Result<Self> {
        let path = directory.join(SOCKET);
        if path.as_os_str().len() <= LONGEST {
            return Ok(Self { path, _directory: None });
        }
        let open = File::open(directory)?;
        let short = format!("/proc/self/fd/{}/{SOCKET}", open.as_raw_fd());
        Ok(Self { path: PathBuf::from(short), _directory: Some(open) })
    }
}

impl AsRef<Path> for SocketPath {
    fn as_ref(&self) -> &Path {
        &self.path
    }
}
