//! Where an instance keeps its files, and the claim that makes them its own.
//!
//! An instance directory holds `store/` (the disk tier), `instance.lock` (held while the instance
//! runs, with its process id) and `control.sock`. Unless `--cache-dir` names one, it lies below the
//! user's cache directory and is named after origin and port: two instances do not disturb each
//! other, and a restart of the same command finds its cache.

mod name;

use std::fmt;
use std::fs::{DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, Read};
use std::os::unix::fs::{DirBuilderExt, FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

pub(crate) use name::InstanceName;

/// The socket's name in an instance directory.
pub(crate) const SOCKET: &str = "control.sock";
/// Its name while another process takes over, which may yet come to nothing.
pub(crate) const FORMER: &str = "control.former";
const LOCK: &str = "instance.lock";
const STORE: &str = "store";
/// How often, and after which pause, a lock is tried that somebody looks at.
const LOOKS: u32 = 50;
const LOOK: Duration = Duration::from_millis(2);
/// Instances of one origin that asked the system for a port each get a directory; this many at once.
const SLOTS: u16 = 64;

/// Why an instance has no directory.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StateError {
    /// Neither variable leads anywhere.
    #[error(
        "there is no place for the cache: neither XDG_CACHE_HOME nor HOME is set to an absolute path; name one with --cache-dir DIR"
    )]
    NoHome,
    /// The directory cannot be made or written.
    #[error("cannot {doing} {}: {source}; name a directory that can be written with --cache-dir DIR", .path.display())]
    Unusable {
        /// For example "create".
        doing: &'static str,
        /// The file or directory.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Another instance has it.
    #[error("{} is in use by {}; stop it, take over from it with --take-over, or name another directory with --cache-dir DIR", .directory.display(), .holder)]
    InUse {
        /// The instance directory.
        directory: PathBuf,
        /// Who has it.
        holder: Holder,
    },
}

/// The process that has a directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Holder {
    /// Its number, where that could be told.
    pub(crate) pid: Option<u32>,
}

impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.pid {
            Some(pid) => write!(f, "pid {pid}"),
            None => f.write_str("another process"),
        }
    }
}

/// The right to use an instance directory. It ends with the process, whatever ends that.
#[derive(Debug)]
pub(crate) struct Claim {
    directory: PathBuf,
    /// `None` as long as the instance that runs there has it.
    lock: Option<File>,
}

impl Claim {
    /// Claims the directory; creates it where it is missing.
    pub(crate) fn take(directory: &Path) -> Result<Self, StateError> {
        let unusable =
            |doing, source| StateError::Unusable { doing, path: directory.to_owned(), source };
        // What clients were sent may be private to this user.
        let made = DirBuilder::new().recursive(true).mode(0o700).create(directory);
        made.map_err(|source| unusable("create", source))?;
        // Relative paths would point elsewhere if the process ever changed its directory.
        let directory = directory.canonicalize().map_err(|source| unusable("open", source))?;
        Self::lock(directory)
    }

    /// Claims a directory that may have been used before. `None`: there is no instance directory.
    pub(crate) fn take_existing(directory: &Path) -> Result<Option<Self>, StateError> {
        if !is_instance(directory) {
            return Ok(None);
        }
        Self::lock(directory.to_owned()).map(Some)
    }

    fn lock(directory: PathBuf) -> Result<Self, StateError> {
        let path = directory.join(LOCK);
        let unusable = |doing, source| StateError::Unusable { doing, path: path.clone(), source };
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false).mode(0o600);
        let mut lock = options.open(&path).map_err(|source| unusable("open", source))?;
        match lock_alone(&lock) {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let holder = Holder { pid: read_pid(&mut lock) };
                return Err(StateError::InUse { directory, holder });
            }
            Err(TryLockError::Error(source)) => return Err(unusable("lock", source)),
        }
        write_pid(&lock).map_err(|source| unusable("write", source))?;
        Ok(Self { directory, lock: Some(lock) })
    }

    /// A claim to come, on a directory that an instance uses that is to be taken over.
    pub(crate) fn to_come(directory: PathBuf) -> Self {
        Self { directory, lock: None }
    }

    /// It has come, with the lock.
    pub(crate) fn inherit(&mut self, lock: File) {
        // Who has it is good to know, and no more than that.
        let _ = write_pid(&lock);
        self.lock = Some(lock);
    }

    /// Another descriptor of the lock, for whoever takes over.
    pub(crate) fn lock_copy(&self) -> io::Result<Option<File>> {
        self.lock.as_ref().map(File::try_clone).transpose()
    }

    /// The instance directory.
    pub(crate) fn directory(&self) -> &Path {
        &self.directory
    }

    /// Where the disk tier lies.
    pub(crate) fn store(&self) -> PathBuf {
        self.directory.join(STORE)
    }
}

/// Who has claimed a directory, or is about to. No instance directory: nobody.
pub(crate) fn holder_of(directory: &Path) -> Result<Option<Holder>, StateError> {
    if !is_instance(directory) {
        return Ok(None);
    }
    let path = directory.join(LOCK);
    let unusable = |doing, source| StateError::Unusable { doing, path: path.clone(), source };
    let mut lock = File::open(&path).map_err(|source| unusable("open", source))?;
    match lock.try_lock_shared() {
        Ok(()) => Ok(None),
        Err(TryLockError::WouldBlock) => Ok(Some(Holder { pid: read_pid(&mut lock) })),
        Err(TryLockError::Error(source)) => Err(unusable("lock", source)),
    }
}

/// Locks a file against all others. Whoever only looks whether somebody has it shares it for a moment,
/// and is not taken for somebody who has it.
fn lock_alone(lock: &File) -> Result<(), TryLockError> {
    for _ in 1..LOOKS {
        match lock.try_lock() {
            Err(TryLockError::WouldBlock) if lock.try_lock_shared().is_ok() => {
                // Two who do this at once must not keep each other from it.
                lock.unlock().map_err(TryLockError::Error)?;
                thread::sleep(LOOK);
            }
            outcome => return outcome,
        }
    }
    lock.try_lock()
}

/// Claims the directory of this instance below `base`. Port 0 takes the first one that is free, so
/// that such instances can run side by side and still find a cache again.
pub(crate) fn claim_below(base: &Path, name: &InstanceName) -> Result<Claim, StateError> {
    if name.port() != 0 {
        return Claim::take(&base.join(name.to_string()));
    }
    let mut last = Claim::take(&base.join(name.to_string()));
    for slot in 2..=SLOTS {
        if !matches!(last, Err(StateError::InUse { .. })) {
            break;
        }
        last = Claim::take(&base.join(name.in_slot(slot).to_string()));
    }
    last
}

/// The instance directories below `base`, in the order of their names. No `base`: none.
pub(crate) fn instances_below(base: &Path) -> io::Result<Vec<(InstanceName, PathBuf)>> {
    let entries = match base.read_dir() {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let mut found = Vec::new();
    for entry in entries {
        let path = entry?.path();
        let name = path.file_name().and_then(|name| InstanceName::parse(name.to_str()?));
        if let Some(name) = name.filter(|_| is_instance(&path)) {
            found.push((name, path));
        }
    }
    found.sort_by(|(_, a), (_, b)| a.cmp(b));
    Ok(found)
}

/// Whether an instance has ever run here.
fn is_instance(directory: &Path) -> bool {
    directory.join(LOCK).is_file()
}

fn read_pid(lock: &mut File) -> Option<u32> {
    let mut text = String::new();
    lock.take(32).read_to_string(&mut text).ok()?;
    text.trim().parse().ok()
}

/// Writes over what is there before it is cut, for which not even a full file system lacks room.
fn write_pid(lock: &File) -> io::Result<()> {
    let line = format!("{}\n", std::process::id());
    lock.write_all_at(line.as_bytes(), 0)?;
    lock.set_len(line.len() as u64)
}

#[cfg(test)]
mod tests;
