//! `purge`: has running instances forget some of what they stored, or take it for stale.
//!
//! Only an instance knows its origin, which is part of every key and label, so one has to run.
//! A cache that no instance uses can be emptied with `--clear-cache`.

use std::io::Write;
use std::path::{Path, PathBuf};

use crate::clear::{ClearError, selected};
use crate::cli::Purge;
use crate::control::Request;
use crate::reach::{self, ReachError};

/// Why something was not purged.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PurgeError {
    /// There is no way to tell which instances there are.
    #[error(transparent)]
    Select(#[from] ClearError),
    /// Nothing runs.
    #[error(
        "nothing was purged: no instance is running{}; start it and purge again, or empty its cache with --clear-cache", within(.0.as_deref())
    )]
    NotRunning(Option<PathBuf>),
    /// The running instance did not do it.
    #[error("cannot purge: {0}")]
    Reach(#[from] ReachError),
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
    let request = Request::Purge { what: purge.what.clone(), soft: purge.soft };
    let mut failure = None;
    let mut told = false;
    for directory in selected(&purge.instances, base)? {
        match reach::ask(&directory, &request) {
            Ok(Some(_)) => {
                told = true;
                // Nobody reads it: what was asked for is done all the same.
                let _ = writeln!(out, "{}", line(purge, &directory));
            }
            // A cache of the past, unless it was named.
            Ok(None) => {}
            Err(error) => failure = failure.or(Some(error.into())),
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
