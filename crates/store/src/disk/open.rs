//! Opens the directory of a disk tier: takes it, checks that it is ours, and reads what is there.
//!
//! ```text
//! format     the format version; a directory without it that has other files is not ours
//! lock       held while a process has the store; says which
//! events     the log of events, see `journal`
//! newest     says that the log has every removal, see `marker`
//! snapshot   the index as a clean stop left it, see `snapshot`
//! tmp/       files under way, worthless after a restart
//! segments/  small entries, see `segment::format`
//! objects/   one directory per first byte of the key id, one file per large entry, see `format`
//! ```

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;

use super::files::{allocated, create_directory};
use super::format::{FORMAT, FORMER};
use super::io::{FileId, parse_file_name};
use crate::reason::OpenError;

/// What may stand in a directory before its `format` file is written; `lost+found` is the file
/// system's.
const BEFORE_FORMAT: [&str; 4] = ["lock", "format.new", "tmp", "lost+found"];

/// Takes the directory. It is ours as long as the file that is returned stays open.
pub(crate) fn take(root: &Path) -> Result<File, OpenError> {
    create_directory(root).map_err(doing("creating", root))?;
    refuse_foreign(root)?;
    let lock = lock(root)?;
    check_format(root)?;
    empty_temporary(root)?;
    let objects = root.join("objects");
    create_directory(&objects).map_err(doing("creating", &objects))?;
    Ok(lock)
}

/// Takes the directory again if it was removed and made anew under us; `None` if it was not.
pub(crate) fn take_again(root: &Path, held: &File) -> Result<Option<File>, OpenError> {
    let path = root.join("lock");
    let identity = |about: fs::Metadata| (about.dev(), about.ino());
    let ours = held.metadata().map(identity).map_err(doing("reading", &path))?;
    if fs::metadata(&path).map(identity).is_ok_and(|there| there == ours) {
        return Ok(None);
    }
    create_directory(root).map_err(doing("creating", root))?;
    let lock = lock(root)?;
    check_format(root)?;
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

fn refuse_foreign(root: &Path) -> Result<(), OpenError> {
    let mut foreign = false;
    for entry in fs::read_dir(root).map_err(doing("reading", root))? {
        let name = entry.map_err(doing("reading", root))?.file_name();
        if name == "format" {
            return Ok(());
        }
        foreign |= !BEFORE_FORMAT.iter().any(|ours| name == *ours);
    }
    if foreign { Err(OpenError::Foreign { directory: root.to_owned() }) } else { Ok(()) }
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
    let pid = format!("{}\n", std::process::id());
    file.set_len(0)
        .and_then(|()| file.write_all(pid.as_bytes()))
        .map_err(doing("writing", &path))?;
    Ok(file)
}

fn check_format(root: &Path) -> Result<(), OpenError> {
    let path = root.join("format");
    match fs::read(&path) {
        Ok(found) if found == FORMAT.as_bytes() => Ok(()),
        Ok(found) if found == FORMER.as_bytes() => {
            write_format(root).map_err(doing("writing", &path))
        }
        Ok(found) => Err(OpenError::Version {
            directory: root.to_owned(),
            found: String::from_utf8_lossy(&found[..found.len().min(100)]).trim().to_owned(),
            expected: FORMAT.trim_ascii_end(),
        }),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            write_format(root).map_err(doing("writing", &path))
        }
        Err(error) => Err(doing("reading", &path)(error)),
    }
}

/// Written aside and moved, so that it is whole or not there.
fn write_format(root: &Path) -> io::Result<()> {
    let aside = root.join("format.new");
    let mut how = OpenOptions::new();
    let mut file = how.write(true).create(true).truncate(true).mode(0o600).open(&aside)?;
    file.write_all(FORMAT.as_bytes())?;
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
