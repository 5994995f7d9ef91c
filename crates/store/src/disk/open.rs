//! Opens the directory of a disk tier: takes it, checks that it is ours, and reads what is there.
//!
//! ```text
//! format     which format this is, see `version`
//! lock       held while a process has the store; says which
//! events     the log of events, see `journal`
//! newest     says that the log has every removal, see `marker`
//! snapshot   the index as a clean stop left it, see `snapshot`
//! tmp/       files under way, worthless after a restart
//! segments/  small entries, see `segment::format`
//! objects/   one directory per first byte of the key id, one file per large entry, see `format`
//! ```

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Read, Seek, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;

use super::files::{allocated, create_directory};
use super::io::{FileId, parse_file_name};
use super::version::{self, FORMAT, Said};
use crate::reason::{Damage, OpenError};

/// What may stand in a directory before its `format` file is written; `lost+found` is the file
/// system's.
const BEFORE_FORMAT: [&str; 4] = ["lock", "format.new", "tmp", "lost+found"];
/// What else may stand there.
const AFTER_FORMAT: [&str; 8] =
    ["format", "events", "events.new", "newest", "snapshot", "snapshot.new", "segments", "objects"];

/// A directory that is ours as long as the lock stays open.
pub(crate) struct Taken {
    pub(crate) lock: File,
    /// What was wrong with its `format` file, which has been written anew.
    pub(crate) damage: Option<Damage>,
}

/// What the names in a directory tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Names {
    /// Nothing has been stored there yet.
    New,
    /// They are those of a store, and no others.
    Store,
    /// There are others: only its `format` file can say that it is a store.
    Mixed,
}

/// Takes the directory. `held` is its lock, if we have it already.
pub(crate) fn take(root: &Path, held: Option<File>) -> Result<Taken, OpenError> {
    create_directory(root).map_err(doing("creating", root))?;
    let names = names(root)?;
    let lock = match held {
        Some(held) if is_of(&held, root) => sign(held, root)?,
        _ => lock(root)?,
    };
    let damage = check_format(root, names)?;
    empty_temporary(root)?;
    let objects = root.join("objects");
    create_directory(&objects).map_err(doing("creating", &objects))?;
    Ok(Taken { lock, damage })
}

/// Takes the directory again if it was removed and made anew under us; `None` if it was not.
pub(crate) fn take_again(root: &Path, held: &File) -> Result<Option<File>, OpenError> {
    if is_of(held, root) {
        return Ok(None);
    }
    create_directory(root).map_err(doing("creating", root))?;
    let lock = lock(root)?;
    check_format(root, Names::New)?;
    Ok(Some(lock))
}

/// Reads names of all stored files, and how many bytes of the disk they take. What is not named like
/// ours is left alone.
pub(crate) fn scan(root: &Path) -> Result<Vec<(FileId, u64)>, OpenError> {
    let objects = root.join("objects");
    let mut found = Vec::new();
    for directory in fs::read_dir(&objects).map_err(doing("reading", &objects))? {
        let directory = directory.map_err(doing("reading", &objects))?.path();
        if directory.is_dir() {
            scan_directory(&directory, &mut found).map_err(doing("reading", &directory))?;
        }
    }
    found.sort_unstable_by_key(|(id, _)| id.sequence);
    Ok(found)
}

fn scan_directory(directory: &Path, found: &mut Vec<(FileId, u64)>) -> io::Result<()> {
    let prefix = directory.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    for file in fs::read_dir(directory)? {
        let file = file?;
        let name = file.file_name();
        let Some(name) = name.to_str().filter(|name| name.get(..2) == Some(prefix)) else {
            continue;
        };
        let Some(id) = parse_file_name(name) else { continue };
        let about = file.metadata()?;
        if about.is_file() {
            found.push((id, allocated(&about)));
        }
    }
    Ok(())
}

fn names(root: &Path) -> Result<Names, OpenError> {
    let (mut has_format, mut has_lock, mut is_new, mut is_store) = (false, false, true, true);
    for entry in fs::read_dir(root).map_err(doing("reading", root))? {
        let name = entry.map_err(doing("reading", root))?.file_name();
        has_format |= name == "format";
        has_lock |= name == "lock";
        let before = BEFORE_FORMAT.iter().any(|ours| name == *ours);
        is_new &= before;
        is_store &= before || AFTER_FORMAT.iter().any(|ours| name == *ours);
    }
    match (is_new, is_store && has_lock, has_format) {
        (true, ..) => Ok(Names::New),
        (_, true, _) => Ok(Names::Store),
        (_, _, true) => Ok(Names::Mixed),
        _ => Err(OpenError::Foreign { directory: root.to_owned() }),
    }
}

/// True if this is the lock file of a directory.
fn is_of(file: &File, root: &Path) -> bool {
    let identity = |about: fs::Metadata| (about.dev(), about.ino());
    let there = fs::metadata(root.join("lock")).map(identity);
    there.is_ok_and(|there| file.metadata().map(identity).is_ok_and(|ours| ours == there))
}

/// Whether somebody has the lock of this directory.
pub fn is_in_use(root: &Path) -> bool {
    let lock = File::open(root.join("lock")).map(|lock| lock.try_lock_shared());
    matches!(lock, Ok(Err(TryLockError::WouldBlock)))
}

fn lock(root: &Path) -> Result<File, OpenError> {
    let path = root.join("lock");
    let mut how = OpenOptions::new();
    how.read(true).write(true).create(true).truncate(false).mode(0o600);
    let mut file = how.open(&path).map_err(doing("opening", &path))?;
    match file.try_lock() {
        Ok(()) => (),
        Err(TryLockError::WouldBlock) => {
            let mut text = String::new();
            // Only for the message: a holder that cannot be named still holds it.
            let _ = file.read_to_string(&mut text);
            let pid = text.trim().parse().ok();
            return Err(OpenError::InUse { directory: root.to_owned(), pid });
        }
        Err(TryLockError::Error(source)) => return Err(doing("locking", &path)(source)),
    }
    sign(file, root)
}

/// Writes into a lock file who has it.
fn sign(mut file: File, root: &Path) -> Result<File, OpenError> {
    let pid = format!("{}\n", std::process::id());
    file.set_len(0)
        .and_then(|()| file.rewind())
        .and_then(|()| file.write_all(pid.as_bytes()))
        .map_err(doing("writing", &root.join("lock")))?;
    Ok(file)
}

/// Makes sure that the directory has the format of this program, and tells what was wrong with the file
/// that says so.
fn check_format(root: &Path, names: Names) -> Result<Option<Damage>, OpenError> {
    let path = root.join("format");
    let found = match fs::read(&path) {
        Ok(found) => Some(found),
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        Err(error) => return Err(doing("reading", &path)(error)),
    };
    let damage = match (found.as_deref().map(version::tell), names) {
        (Some(Said::This), _) => return Ok(None),
        (Some(Said::Other(found)), _) => {
            let expected = FORMAT.trim_ascii_end();
            return Err(OpenError::Version { directory: root.to_owned(), found, expected });
        }
        (None | Some(Said::Nothing(_)), Names::Mixed) => {
            return Err(OpenError::Foreign { directory: root.to_owned() });
        }
        (Some(Said::Readable), _) | (None, Names::New) => None,
        (None, Names::Store) => Some(Damage::Missing),
        (Some(Said::Nothing(damage)), _) => Some(damage),
    };
    write_format(root).map_err(doing("writing", &path))?;
    Ok(damage)
}

/// Written aside and moved, so that it is whole or not there.
fn write_format(root: &Path) -> io::Result<()> {
    let aside = root.join("format.new");
    let mut how = OpenOptions::new();
    let mut file = how.write(true).create(true).truncate(true).mode(0o600).open(&aside)?;
    file.write_all(version::text().as_bytes())?;
    fs::rename(&aside, root.join("format"))
}

fn empty_temporary(root: &Path) -> Result<(), OpenError> {
    let path = root.join("tmp");
    match fs::remove_dir_all(&path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            return Err(doing("emptying", &path)(error));
        }
        _ => (),
    }
    create_directory(&path).map_err(doing("creating", &path))
}

pub(crate) fn doing(doing: &'static str, path: &Path) -> impl FnOnce(io::Error) -> OpenError {
    move |source| OpenError::Io { doing, path: path.to_owned(), source }
}
