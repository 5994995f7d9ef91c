//! One command line asks the instances that run.

use std::path::{Path, PathBuf};
use std::thread;

use serde_json::Value;

use crate::clear::{ATTEMPTS, PAUSE};
use crate::control::{self, AskError, Request};
use crate::state::{Claim, StateError};

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
    for attempt in 1.. {
        match control::ask(directory, request) {
            Ok(answer) => return Ok(Some(answer)),
            Err(AskError::NotRunning) => {}
            Err(source) => return Err(ReachError::Ask { directory: directory.into(), source }),
        }
        // One that starts or stops holds its directory for a moment without answering.
        match Claim::take_existing(directory) {
            Err(StateError::InUse { .. }) if attempt < ATTEMPTS => thread::sleep(PAUSE),
            Err(error) => return Err(error.into()),
            Ok(_) => return Ok(None),
        }
    }
    Ok(None)
}
