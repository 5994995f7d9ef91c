//! What an older process would tell, where nobody serves who could be told: it is left in the instance
//! directory, and the next process to start forgets it before it serves.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use proxy::Forgotten;

use super::{from_json, to_json};

const NAME: &str = "forgotten.";
/// Its name until it is whole.
const UNFINISHED: &str = "unfinished.";

/// Leaves word. Whoever opens the control socket afterwards finds it.
pub(super) fn leave(directory: &Path, what: &Forgotten) -> io::Result<()> {
    static NUMBER: AtomicU64 = AtomicU64::new(0);
    let number = NUMBER.fetch_add(1, Ordering::Relaxed);
    let name = format!("{}.{number}", std::process::id());
    let unfinished = directory.join(format!("{UNFINISHED}{name}"));
    let mut file = File::create(&unfinished)?;
    file.write_all(to_json(what).to_string().as_bytes())?;
    file.sync_all()?;
    fs::rename(&unfinished, directory.join(format!("{NAME}{name}")))
}

/// What was left, each with its file; `None` for one that nobody can read.
pub(crate) fn left(directory: &Path) -> io::Result<Vec<(PathBuf, Option<Forgotten>)>> {
    let mut all = Vec::new();
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        if entry.file_name().to_str().is_some_and(|name| name.starts_with(NAME)) {
            let path = entry.path();
            let text = fs::read(&path).ok();
            let line = text.and_then(|text| serde_json::from_slice(&text).ok());
            all.push((path, line.as_ref().and_then(from_json)));
        }
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_is_found_until_it_is_removed() {
        let directory = tempfile::tempdir().unwrap();
        let what = |label| Forgotten { labels: vec![label], ..Forgotten::default() };
        for label in [1, 2] {
            leave(directory.path(), &what(label)).unwrap();
        }
        fs::write(directory.path().join("forgotten.x"), "{").unwrap();
        fs::write(directory.path().join("unfinished.x"), "{").unwrap();
        let mut found = left(directory.path()).unwrap();
        found.sort_by_key(|(_, what)| what.as_ref().map(|what| what.labels.clone()));
        let whats: Vec<_> = found.iter().map(|(_, what)| what.clone()).collect();
        assert_eq!(whats, [None, Some(what(1)), Some(what(2))]);
        for (path, _) in found {
            fs::remove_file(path).unwrap();
        }
        assert!(left(directory.path()).unwrap().is_empty());
        assert!(left(&directory.path().join("missing")).is_err());
    }
}
