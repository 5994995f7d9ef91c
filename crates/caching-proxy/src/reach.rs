//! One command line asks the instances that run.

use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::control::{self, A_MOMENT, AskError, Request};
use crate::state::{self, Holder, StateError};

/// Why an instance gave no answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ReachError {
    /// Its directory cannot be used.
    #[error(transparent)]
    State(#[from] StateError),
    /// A process has the directory, and nobody answers.
    #[error("the instance in {}: the directory is in use by {holder}, which does not answer", .directory.display())]
    Silent {
        /// The instance directory.
        directory: PathBuf,
        /// Who has it.
        holder: Holder,
    },
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
    // One that starts or stops holds its directory for a moment without answering.
    let is_passing = |error: &ReachError| matches!(error, ReachError::Silent { .. });
    control::patiently(A_MOMENT, is_passing, || ask_once(directory, request))
}

fn ask_once(directory: &Path, request: &Request) -> Result<Option<Value>, ReachError> {
    let source = match control::ask(directory, request) {
        Ok(answer) => return Ok(Some(answer)),
        Err(source) => source,
    };
    let directory = directory.to_owned();
    // Whoever comes after one that has ended in the middle of it is asked too.
    if !source.is_absence() {
        return Err(ReachError::Ask { directory, source });
    }
    match state::holder_of(&directory)? {
        Some(holder) => Err(ReachError::Silent { directory, holder }),
        None => Ok(None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::state::Claim;

    #[test]
    fn who_has_a_directory_and_says_nothing_is_named() {
        let base = tempfile::tempdir().unwrap();
        let claim = Claim::take(base.path()).unwrap();
        let error = ask(claim.directory(), &Request::Stats).unwrap_err().to_string();
        let pid = std::process::id();
        let end = format!(": the directory is in use by pid {pid}, which does not answer");
        assert!(error.starts_with("the instance in ") && error.ends_with(&end), "{error}");
        let directory = claim.directory().to_owned();
        drop(claim);
        assert_eq!(ask(&directory, &Request::Stats).unwrap(), None);
    }
}
