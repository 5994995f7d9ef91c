//! File descriptors, and how many are in use.

use std::io;
use std::os::fd::{AsFd, AsRawFd};

use rustix::io::Errno;

/// The number of a file descriptor. A new one is always the lowest that is free: all below it are in
/// use.
pub(crate) fn number(file: &impl AsRawFd) -> u64 {
    u64::try_from(file.as_raw_fd()).unwrap_or_default()
}

/// The lowest file descriptor that is free.
pub(crate) fn lowest_free(file: &impl AsFd) -> u64 {
    rustix::io::dup(file).map_or(u64::MAX, |copy| number(&copy))
}

/// Whether the system has no file descriptor left, or no memory for one.
pub(crate) fn is_shortage(error: &io::Error) -> bool {
    let shortages = [Errno::MFILE, Errno::NFILE, Errno::NOBUFS, Errno::NOMEM];
    Errno::from_io_error(error).is_some_and(|errno| shortages.contains(&errno))
}
