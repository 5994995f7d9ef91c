//! `--stats` and `--metrics`: what running instances have counted.
//!
//! An instance tells its counters by the control socket, as JSON for `--stats`, which `table` sets for
//! a person, and as the text that its metrics listener would send for `--metrics`.

mod json;
mod table;

use std::io::Write;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::clear::{ClearError, selected};
use crate::cli::{Instances, Telling};
use crate::clock_millis;
use crate::control::{AskError, Request};
use crate::reach::{self, ReachError};

pub(crate) use json::to_json;

/// Why nothing is told.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StatsError {
    /// There is no way to tell which instances there are.
    #[error(transparent)]
    Select(#[from] ClearError),
    /// Nothing runs.
    #[error("no instance is running{}", .0.as_deref().map_or(String::new(), |at| format!(" in {}", at.display())))]
    NotRunning(Option<PathBuf>),
    /// The text is about one instance.
    #[error(
        "several instances are running, and metrics are of one: choose with --cache-dir, --origin or --port; {0}"
    )]
    Several(String),
    /// The running instance did not answer.
    #[error("cannot ask {0}")]
    Reach(#[from] ReachError),
}

/// Asks each selected instance that runs, and writes what it tells. One that does not answer does not
/// keep the others from being asked; the first failure is returned.
pub(crate) fn run(
    what: Telling,
    instances: &Instances,
    base: Option<PathBuf>,
    out: &mut dyn Write,
) -> Result<(), StatsError> {
    let request = match what {
        Telling::Stats => Request::Stats,
        Telling::Metrics => Request::Metrics,
    };
    let (mut failure, mut answers) = (None, Vec::new());
    for directory in selected(instances, base)? {
        match reach::ask(&directory, &request) {
            Ok(Some(answer)) => answers.push((directory, answer)),
            // A cache of the past.
            Ok(None) => {}
            Err(error) => failure = failure.or(Some(error)),
        }
    }
    if answers.is_empty() {
        let nobody = || StatsError::NotRunning(instances.directory.clone());
        return Err(failure.map_or_else(nobody, StatsError::from));
    }
    let text = match what {
        Telling::Stats => tables(&answers),
        Telling::Metrics => metrics(&answers)?,
    };
    // A reader that has seen enough is no fault.
    let _ = out.write_all(text.as_bytes());
    failure.map_or(Ok(()), |error| Err(error.into()))
}

fn tables(answers: &[(PathBuf, Value)]) -> String {
    let now = clock_millis() / 1000;
    let tables = answers.iter().map(|(directory, stats)| table::text(directory, stats, now));
    tables.collect::<Vec<_>>().join("\n")
}

fn metrics(answers: &[(PathBuf, Value)]) -> Result<String, StatsError> {
    match answers {
        [(directory, answer)] => {
            let text = answer["metrics"].as_str().map(ToOwned::to_owned);
            let directory = directory.clone();
            Ok(text.ok_or(ReachError::Ask { directory, source: AskError::Garbled })?)
        }
        several => Err(StatsError::Several(listed(several.iter().map(|(at, _)| at.as_path())))),
    }
}

fn listed<'p>(directories: impl Iterator<Item = &'p Path>) -> String {
    directories.map(|at| at.display().to_string()).collect::<Vec<_>>().join(", ")
}
