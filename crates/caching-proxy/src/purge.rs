//! `purge`: has running instances forget some of what they stored, or take it for stale.
//!
//! Only an instance knows its origin, which is part of every key and label, so one has to run.
//! A cache that no instance uses can be emptied with `--clear-cache`.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::thread;

use crate::clear::{ATTEMPTS, ClearError, PAUSE, selected};
use crate::cli::Purge;
use crate::control::{self, AskError, Request};
use crate::state::{Claim, StateError};

/// Why something was not purged.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PurgeError {
    /// There is no way to tell which instances there are.
    #[error(transparent)]
    Select(#[from] ClearError),
    /// A directory cannot be used.
    #[error(transparent)]
    State(#[from] StateError),
    /// Nothing runs.
    #[error(
        "nothing was purged: no instance is running{}; start it and purge again, or empty its cache with --clear-cache", within(.0.as_deref())
    )]
    NotRunning(Option<PathBuf>),
    /// The running instance did not do it.
    #[error("cannot purge in {}: {source}", .directory.display())]
    Ask {
        /// The instance directory.
        directory: PathBuf,
        /// Why.
        source: AskError,
    },
}

fn within(directory: Option<&Path>) -> String {
    directory.map_or(String::new(), |directory| format!(" in {}", directory.display()))
}

/// Purges in each selected instance that runs and says so, one line each. One that fails does not
/// keep the others from being told; the first failure is returned.
pub(crate) fn run(
    purge: &Purge,
    base: Option<PathBuf>,
    out: &mut dyn Write,
) -> Result<(), PurgeError> {
    let mut failure = None;
    let mut told = false;
    for directory in selected(&purge.instances, base)? {
        match tell(purge, &directory) {
            Ok(true) => {
                told = true;
                // Nobody reads it: what was asked for is done all the same.
                let _ = writeln!(out, "{}", line(purge, &directory));
            }
            // A cache of the past, unless it was named.
            Ok(false) => {}
            Err(error) => failure = failure.or(Some(error)),
        }
    }
    match failure {
        Some(error) => Err(error),
        None if told => Ok(()),
        None => Err(PurgeError::NotRunning(purge.instances.directory.clone())),
    }
}

fn line(purge: &Purge, directory: &Path) -> String {
    let (what, directory) = (&purge.what, directory.display());
    if purge.soft {
        return format!("made stale: {what}, in {directory}");
    }
    format!("purged: {what}, in {directory}")
}

/// Tells the instance in a directory; false if none runs there.
fn tell(purge: &Purge, directory: &Path) -> Result<bool, PurgeError> {
    let request = Request::Purge { what: purge.what.clone(), soft: purge.soft };
    for attempt in 1.. {
        match control::ask(directory, &request) {
            Ok(_) => return Ok(true),
            Err(AskError::NotRunning) => {}
            Err(source) => return Err(PurgeError::Ask { directory: directory.into(), source }),
        }
        // One that starts or stops holds its directory for a moment without answering.
        match Claim::take_existing(directory) {
            Err(StateError::InUse { .. }) if attempt < ATTEMPTS => thread::sleep(PAUSE),
            Err(error) => return Err(error.into()),
            Ok(_) => return Ok(false),
        }
    }
    Ok(false)
}
