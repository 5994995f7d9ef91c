//! One command line asks the instances that run.

use std::path::{Path, PathBuf};
use std::thread;

use serde_json::Value;

use crate::clear::{ATTEMPTS, PAUSE};
use crate::control::{self, AskError, Request};
use crate::state::{self, StateError};

/// Why an instance gave no answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ReachError {
    /// Its directory cannot be used.
    #[error(transparent)]
    State(#[from] StateError),
    /// It did not do what it was asked.
    #[error("the instance in {}: {source}", .directory.display())]
    Ask {
        /// The instance directory.
        directory: PathBuf,
        /// Why.
        source: AskError,
    },
}

/// The answer of the instance in a directory; `None` if none runs there.
pub(crate) fn ask(directory: &Path, request: &Request) -> Result<Option<Value>, ReachError> {
    for _ in 0..ATTEMPTS {
        match control::ask(directory, request) {
            Ok(answer) => return Ok(Some(answer)),
            // Whoever comes after one that has ended in the middle of it is asked too.
            Err(error) if error.is_absence() => {}
            Err(source) => return Err(ReachError::Ask { directory: directory.into(), source }),
        }
        if !state::is_claimed(directory)? {
            return Ok(None);
        }
        // One that starts or stops holds its directory for a moment without answering.
        thread::sleep(PAUSE);
    }
    Err(ReachError::Ask { directory: directory.into(), source: AskError::NotRunning })
}
