//! How many files and connections the system lets the process have.

use std::io;
use std::os::fd::{AsFd, OwnedFd};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Raises the soft limit of open files to the hard one: a shell's 1,024 are soon used up by
/// clients, origin connections and files. A system that refuses leaves what there is. Says what
/// applies then; `None` if there is no limit.
pub(crate) fn raise_limit() -> Option<u64> {
    let limit = getrlimit(Resource::Nofile);
    let _ = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit });
    getrlimit(Resource::Nofile).current
}

/// Whether so many more files can be opened.
pub(crate) fn check_room(count: usize) -> io::Result<()> {
    let (any, all) = (io::stderr(), 0..count);
    let copies: io::Result<Vec<OwnedFd>> = all.map(|_| any.as_fd().try_clone_to_owned()).collect();
    copies.map(drop)
}
