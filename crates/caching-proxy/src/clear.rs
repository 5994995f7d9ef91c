//! `--clear-cache`: empties caches, whether an instance uses them or not.
//!
//! A running instance is told through its control socket and forgets its memory tier too. Where
//! none runs, the files are removed here, under the same claim that an instance would hold.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use store::{Cleared, DiskOptions, OpenError, Options, Store};

use crate::cli::Instances;
use crate::control::{self, A_MOMENT, AskError, Request};
use crate::state::{self, Claim, StateError};
use crate::units::{responses, rough_bytes};

/// Why a cache was not emptied.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ClearError {
    /// The directory cannot be used.
    #[error(transparent)]
    State(#[from] StateError),
    /// The directory of all caches cannot be read.
    #[error("cannot read {}: {source}", .path.display())]
    List {
        /// The directory.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The running instance did not do it.
    #[error("cannot clear {}: {source}", .directory.display())]
    Ask {
        /// The instance directory.
        directory: PathBuf,
        /// Why.
        source: AskError,
    },
    /// The files cannot be opened as a store.
    #[error("cannot clear the cache")]
    Open(#[from] OpenError),
    /// There is no runtime to wait for the removal with.
    #[error("cannot clear the cache: {0}")]
    Runtime(#[source] io::Error),
    /// A store of another version cannot be deleted.
    #[error("cannot remove {}: {source}", .path.display())]
    Remove {
        /// The store's directory.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

/// What was done about one directory.
#[derive(Debug, PartialEq, Eq)]
enum Done {
    /// There is no cache.
    Nothing,
    /// The files were removed.
    Removed(Cleared),
    /// The running instance did it.
    Told(Cleared),
    /// A store that only another version can read was deleted whole.
    Deleted,
}

/// Empties what `what` selects and says so, one line each. One that fails does not keep the others
/// from being emptied; the first failure is returned.
pub(crate) fn run(
    what: &Instances,
    base: Option<PathBuf>,
    out: &mut dyn Write,
) -> Result<(), ClearError> {
    let mut failure = None;
    let mut lines = Vec::new();
    for directory in selected(what, base)? {
        match clear(&directory) {
            Ok(done) => lines.extend(line(&done, &directory)),
            Err(error) => failure = failure.or(Some(error)),
        }
    }
    if lines.is_empty() && failure.is_none() {
        lines.push("nothing to clear".to_owned());
    }
    for line in lines {
        // Nobody reads it: what was asked for is done all the same.
        let _ = writeln!(out, "{line}");
    }
    failure.map_or(Ok(()), Err)
}

/// The directories of the instances that were asked for.
pub(crate) fn selected(
    what: &Instances,
    base: Option<PathBuf>,
) -> Result<Vec<PathBuf>, ClearError> {
    if let Some(directory) = &what.directory {
        return Ok(vec![directory.clone()]);
    }
    let base = base.ok_or(StateError::NoHome)?;
    let found = state::instances_below(&base);
    let found = found.map_err(|source| ClearError::List { path: base, source })?;
    let wanted = found.into_iter().filter(|(name, _)| {
        what.origin.as_ref().is_none_or(|origin| name.is_of(origin))
            && what.port.is_none_or(|port| name.port() == port)
    });
    Ok(wanted.map(|(_, directory)| directory).collect())
}

fn line(done: &Done, directory: &Path) -> Option<String> {
    let directory = directory.display();
    let told = |how, cleared: &Cleared| {
        let (responses, bytes) = (responses(cleared.entries), rough_bytes(cleared.bytes));
        format!("cleared {responses} ({bytes}) in {directory}{how}")
    };
    match done {
        Done::Nothing => None,
        Done::Removed(cleared) => Some(told("", cleared)),
        Done::Told(cleared) => Some(told(", in use by a running instance", cleared)),
        Done::Deleted => Some(format!("cleared a cache of another version in {directory}")),
    }
}

fn clear(directory: &Path) -> Result<Done, ClearError> {
    // One that starts or stops holds its directory for a moment without answering.
    let is_passing =
        |error: &ClearError| matches!(error, ClearError::State(StateError::InUse { .. }));
    control::patiently(A_MOMENT, is_passing, || clear_once(directory))
}

fn clear_once(directory: &Path) -> Result<Done, ClearError> {
    let busy = match Claim::take_existing(directory) {
        Ok(None) => return Ok(Done::Nothing),
        Ok(Some(claim)) => return clear_unused(&claim, None),
        Err(busy @ StateError::InUse { .. }) => busy,
        Err(error) => return Err(error.into()),
    };
    match control::ask(directory, &Request::Clear) {
        Ok(answer) => Ok(Done::Told(told(&answer))),
        Err(error) if error.is_absence() => Err(busy.into()),
        Err(source) => Err(ClearError::Ask { directory: directory.into(), source }),
    }
}

fn told(answer: &serde_json::Value) -> Cleared {
    let number = |name: &str| answer[name].as_u64().unwrap_or(0);
    Cleared { entries: number("entries"), bytes: number("bytes") }
}

/// Empties the store of a process that does without it from now on: purges and unsafe requests would
/// pass it by, and it would come back outdated. `lock` is that of the process before. Says what was
/// there, if anything was.
pub(crate) fn abandon(claim: &Claim, lock: Option<File>) -> Result<Option<String>, ClearError> {
    let done = clear_unused(claim, lock)?;
    let is_empty = matches!(done, Done::Removed(Cleared { entries: 0, .. }));
    Ok(line(&done, claim.directory()).filter(|_| !is_empty))
}

/// Nobody else uses it while the claim is held.
fn clear_unused(claim: &Claim, lock: Option<File>) -> Result<Done, ClearError> {
    let directory = claim.store();
    if !directory.is_dir() {
        return Ok(Done::Nothing);
    }
    match open(directory.clone(), lock) {
        Ok(store) => Ok(Done::Removed(empty(&store)?)),
        Err(OpenError::Version { .. }) => match fs::remove_dir_all(&directory) {
            Ok(()) => Ok(Done::Deleted),
            Err(source) => Err(ClearError::Remove { path: directory, source }),
        },
        Err(error) => Err(error.into()),
    }
}

/// Any capacity will do: nothing is stored here.
fn open(directory: PathBuf, lock: Option<File>) -> Result<Store<Opaque>, OpenError> {
    let disk = Some(DiskOptions { directory, capacity: 1 << 50 });
    Store::open_held(Options { disk, ..Options::default() }, lock)
}

/// Removes everything and waits until the files are gone.
fn empty(store: &Store<Opaque>) -> Result<Cleared, ClearError> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(ClearError::Runtime)?;
    let cleared = store.clear();
    runtime.block_on(store.flush());
    Ok(cleared)
}

/// Stored metadata that is not looked into: it is only counted and removed.
struct Opaque(Vec<u8>);

impl store::Meta for Opaque {
    fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.0);
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        Some(Self(bytes.to_vec()))
    }

    fn weight(&self) -> usize {
        self.0.len()
    }

    fn variant(&self) -> &[u8] {
        &self.0
    }
}

#[cfg(test)]
mod tests;
