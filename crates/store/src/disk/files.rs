//! The only place that touches files, so that tests can make any operation fail.
//!
//! Directories get mode 0700 and files 0600: a cache holds what its users were sent.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, IoSliceMut};
use std::ops::Range;
use std::os::unix::fs::{DirBuilderExt, FileExt, MetadataExt, OpenOptionsExt};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// What is about to be asked of the system.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Op {
    Create,
    Open,
    Read,
    /// A read of what the system has in memory, or of nothing.
    ReadNow,
    Write,
    /// Waits until what was written is safe.
    Sync,
    Rename,
    Unlink,
    CreateInMemory,
}

/// How a test makes an operation fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(not(test), expect(dead_code, reason = "only tests inject faults"))]
pub(crate) enum Fault {
    /// Nothing happens and the system answers this `errno`.
    Errno(i32),
    /// Half of the bytes are written, then the system answers `ENOSPC`; a read finds half of them.
    Short,
}

type Faults = Arc<dyn Fn(Op) -> Option<Fault> + Send + Sync>;

/// The file system as the disk tier sees it.
#[derive(Clone, Default)]
pub(crate) struct Files {
    faults: Option<Faults>,
    /// The system, or the file system, cannot tell what it has in memory.
    never_now: Arc<AtomicBool>,
    /// A directory had to be made again.
    rebuilt: Arc<AtomicBool>,
}

impl Files {
    #[cfg(test)]
    pub(crate) fn failing(faults: impl Fn(Op) -> Option<Fault> + Send + Sync + 'static) -> Self {
        Self { faults: Some(Arc::new(faults)), ..Self::default() }
    }

    fn fault(&self, op: Op) -> Option<Fault> {
        self.faults.as_ref().and_then(|faults| faults(op))
    }

    fn check(&self, op: Op) -> io::Result<()> {
        match self.fault(op) {
            Some(Fault::Errno(code)) => Err(io::Error::from_raw_os_error(code)),
            Some(Fault::Short) => Err(io::ErrorKind::StorageFull.into()),
            None => Ok(()),
        }
    }

    /// Creates a file that must not exist yet, for reading and writing. Its directory is made again if
    /// somebody has removed it.
    pub(crate) fn create(&self, path: &Path) -> io::Result<Handle> {
        self.check(Op::Create)?;
        let mut how = OpenOptions::new();
        how.read(true).write(true).create_new(true).mode(0o600);
        let file = match how.open(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                self.rebuilt.store(true, Ordering::Release);
                path.parent().map_or(Ok(()), create_directory)?;
                how.open(path)?
            }
            opened => opened?,
        };
        Ok(Handle { file, files: self.clone() })
    }

    /// True once after a directory was made again.
    pub(crate) fn take_rebuilt(&self) -> bool {
        self.rebuilt.load(Ordering::Acquire) && self.rebuilt.swap(false, Ordering::AcqRel)
    }

    pub(crate) fn open(&self, path: &Path) -> io::Result<Handle> {
        self.check(Op::Open)?;
        Ok(Handle { file: File::open(path)?, files: self.clone() })
    }

    /// A file without a name that only memory holds.
    #[cfg(target_os = "linux")]
    pub(crate) fn create_in_memory(&self) -> io::Result<File> {
        use rustix::fs::{MemfdFlags, memfd_create};
        self.check(Op::CreateInMemory)?;
        let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
        Ok(memfd_create("caching-proxy body", flags)?.into())
    }

    #[cfg(not(target_os = "linux"))]
    pub(crate) fn create_in_memory(&self) -> io::Result<File> {
        Err(io::ErrorKind::Unsupported.into())
    }

    pub(crate) fn open_to_change(&self, path: &Path) -> io::Result<Handle> {
        self.check(Op::Open)?;
        let file = OpenOptions::new().read(true).write(true).open(path)?;
        Ok(Handle { file, files: self.clone() })
    }

    /// Moves a file to its final place, creating the directory it goes to if need be.
    pub(crate) fn publish(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.check(Op::Rename)?;
        match fs::rename(from, to) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                to.parent().map_or(Ok(()), create_directory)?;
                fs::rename(from, to)
            }
            done => done,
        }
    }

    /// Waits until what was moved into or out of a directory is safe from a power cut.
    pub(crate) fn sync_directory(&self, path: &Path) -> io::Result<()> {
        self.check(Op::Open)?;
        File::open(path)?.sync_all()
    }

    /// Removes a file; one that is gone already is no error.
    pub(crate) fn unlink(&self, path: &Path) -> io::Result<()> {
        self.check(Op::Unlink)?;
        match fs::remove_file(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }
}

#[cfg(target_os = "linux")]
fn preadv_nowait(file: &File, offset: u64, bytes: &mut [u8]) -> io::Result<usize> {
    use rustix::io::{ReadWriteFlags, preadv2};
    let into = &mut [IoSliceMut::new(bytes)];
    Ok(preadv2(file, into, offset, ReadWriteFlags::NOWAIT)?)
}

#[cfg(not(target_os = "linux"))]
fn preadv_nowait(_: &File, _: u64, _: &mut [u8]) -> io::Result<usize> {
    Err(io::ErrorKind::Unsupported.into())
}

/// Lets nobody change a file in memory any more, whoever has it.
#[cfg(target_os = "linux")]
pub(crate) fn seal(file: &File) -> io::Result<()> {
    use rustix::fs::{SealFlags, fcntl_add_seals};
    let all = SealFlags::WRITE | SealFlags::GROW | SealFlags::SHRINK | SealFlags::SEAL;
    Ok(fcntl_add_seals(file, all)?)
}

#[cfg(not(target_os = "linux"))]
pub(crate) fn seal(_: &File) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

/// Creates a directory and its parents, readable by the owner alone.
pub(crate) fn create_directory(path: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(path)
}

/// An open file, read and written at offsets.
pub(crate) struct Handle {
    file: File,
    files: Files,
}

impl Handle {
    pub(crate) fn len(&self) -> io::Result<u64> {
        Ok(self.file.metadata()?.len())
    }

    /// Bytes of the disk that it takes: without its holes.
    pub(crate) fn allocated(&self) -> io::Result<u64> {
        Ok(allocated(&self.file.metadata()?))
    }

    /// Exactly `length` bytes, or `UnexpectedEof`.
    pub(crate) fn read(&self, offset: u64, length: usize) -> io::Result<Vec<u8>> {
        let mut bytes = vec![0; length];
        match self.files.fault(Op::Read) {
            Some(Fault::Errno(code)) => return Err(io::Error::from_raw_os_error(code)),
            Some(Fault::Short) => return Err(io::ErrorKind::UnexpectedEof.into()),
            None => self.file.read_exact_at(&mut bytes, offset)?,
        }
        Ok(bytes)
    }

    /// Fills `bytes` if the system has all of them in memory, and says whether it did. Never waits
    /// for the disk; an error is for the read that may wait to find.
    pub(crate) fn read_now(&self, offset: u64, bytes: &mut [u8]) -> bool {
        let never = &self.files.never_now;
        if never.load(Ordering::Relaxed) {
            return false;
        }
        let read = match self.files.fault(Op::ReadNow) {
            Some(Fault::Errno(code)) => Err(io::Error::from_raw_os_error(code)),
            Some(Fault::Short) => Ok(bytes.len() / 2),
            None => preadv_nowait(&self.file, offset, bytes),
        };
        if read.as_ref().is_err_and(|error| error.kind() == io::ErrorKind::Unsupported) {
            never.store(true, Ordering::Relaxed);
        }
        read.is_ok_and(|count| count == bytes.len())
    }

    pub(crate) fn write(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        match self.files.fault(Op::Write) {
            Some(Fault::Errno(code)) => Err(io::Error::from_raw_os_error(code)),
            Some(Fault::Short) => {
                self.file.write_all_at(&bytes[..bytes.len() / 2], offset)?;
                Err(io::ErrorKind::StorageFull.into())
            }
            None => self.file.write_all_at(bytes, offset),
        }
    }

    /// Waits until what was written is safe from a power cut.
    pub(crate) fn sync(&self) -> io::Result<()> {
        self.files.check(Op::Sync)?;
        self.file.sync_data()
    }

    /// Extends the file by `length` zeros from `from` on, and makes sure that there is room for them.
    pub(crate) fn allocate(&self, from: u64, length: u64) -> io::Result<()> {
        self.files.check(Op::Write)?;
        allocate(&self.file, from, length)
    }

    /// Gives the room of these bytes back to the disk, where the system can. Not of a file that still has
    /// a name: somebody may have given it another one, to keep it.
    pub(crate) fn give_back(&self, bytes: Range<u64>) -> io::Result<()> {
        self.files.check(Op::Write)?;
        if self.file.metadata()?.nlink() > 0 {
            return Err(io::ErrorKind::ResourceBusy.into());
        }
        give_back(&self.file, bytes)
    }

    /// Cuts or extends the file to this length.
    pub(crate) fn set_len(&self, length: u64) -> io::Result<()> {
        self.files.check(Op::Write)?;
        self.file.set_len(length)
    }
}

#[cfg(target_os = "linux")]
fn give_back(file: &File, bytes: Range<u64>) -> io::Result<()> {
    use rustix::fs::{FallocateFlags, fallocate};
    if bytes.is_empty() {
        return Ok(());
    }
    let how = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
    Ok(fallocate(file, how, bytes.start, bytes.end - bytes.start)?)
}

#[cfg(not(target_os = "linux"))]
fn give_back(_: &File, _: Range<u64>) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

/// Bytes of the disk that a file takes: without its holes, and not rounded up.
pub(crate) fn allocated(about: &fs::Metadata) -> u64 {
    about.len().min(about.blocks().saturating_mul(512))
}

/// Where the file system cannot set room aside, a full disk shows when it is written to.
fn allocate(file: &File, from: u64, length: u64) -> io::Result<()> {
    use rustix::fs::{FallocateFlags, fallocate};
    use rustix::io::Errno;
    match fallocate(file, FallocateFlags::empty(), from, length) {
        Err(Errno::OPNOTSUPP | Errno::NOSYS | Errno::INVAL) => file.set_len(from + length),
        done => Ok(done?),
    }
}
