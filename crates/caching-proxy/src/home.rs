//! The directory of this instance, or the process that has it and is to be replaced.

use std::mem;
use std::time::Duration;

use proxy::{Inherited, Legacy};

use crate::cli::Serve;
use crate::cli::environment::{Lookup, base_directory};
use crate::control;
use crate::serve::ServeError;
use crate::state::{self, Claim, InstanceName, StateError};
use crate::succession::{Predecessor, TakenOver};
use crate::supervisor::Supervisor;

/// The instance directory, and the process that has it, if this one is to take over.
pub(crate) struct Home {
    pub(crate) claim: Claim,
    pub(crate) predecessor: Option<Predecessor>,
}

impl Home {
    /// Claims the directory. With `--take-over` a process that has it is asked for its sockets.
    pub(crate) fn claim(serve: &Serve, environment: Lookup<'_>) -> Result<Self, ServeError> {
        let name = InstanceName::new(&serve.origin, serve.first);
        let base = || base_directory(environment).ok_or(StateError::NoHome);
        let take = || match &serve.directory {
            Some(directory) => Claim::take(directory),
            // The instance of this name, and no other, is the one that is replaced.
            None if serve.take_over => Claim::take(&base()?.join(name.to_string())),
            None => state::claim_below(&base()?, &name),
        };
        let claim_or_find = || {
            let (directory, holder) = match take() {
                Err(StateError::InUse { directory, holder }) if serve.take_over => {
                    (directory, holder)
                }
                claimed => return Ok(Self { claim: claimed?, predecessor: None }),
            };
            match Predecessor::in_directory(&directory) {
                // It has just begun, or is about to end: then the directory is free soon.
                Err(error) if error.is_absence() => {
                    Err(StateError::InUse { directory, holder }.into())
                }
                found => {
                    let predecessor = Some(found?);
                    Ok(Self { claim: Claim::to_come(directory), predecessor })
                }
            }
        };
        let is_passing = |error: &ServeError| {
            let is_passing = match error {
                ServeError::State(StateError::InUse { .. }) => true,
                ServeError::TakeOver(error) => error.is_passing(),
                _ => false,
            };
            serve.take_over && is_passing
        };
        control::patiently(control::A_WHILE, is_passing, claim_or_find)
    }

    /// The listening sockets of the other process.
    pub(crate) fn take_listeners(&mut self) -> Vec<Inherited> {
        let predecessor = self.predecessor.as_mut();
        predecessor.map(|other| mem::take(&mut other.listeners)).unwrap_or_default()
    }

    /// How often the supervisor wants a sign of life. A process that takes over was not told by the
    /// supervisor; it uses the interval of the process before.
    pub(crate) fn watchdog_interval(&self, supervisor: &Supervisor) -> Option<Duration> {
        let before = || self.predecessor.as_ref().and_then(|other| other.watchdog_interval);
        supervisor.watchdog_interval().or_else(before)
    }

    /// Waits for a while until no process has the store open. One that has given up the directory may
    /// still have the store until it has ended.
    pub(crate) fn wait_for_store(&self) {
        let directory = self.claim.store();
        let is_free = || if store::is_in_use(&directory) { Err(()) } else { Ok(()) };
        // If it is still in use then, opening it fails and says so.
        let _ = control::patiently(control::A_WHILE, |()| true, is_free);
    }

    /// Has the other process stop writing, and takes all that it has. One that ends before that, or is
    /// about to, leaves its directory to whoever comes, with what was written by then.
    pub(crate) fn take_legacy(&mut self) -> Result<Legacy, ServeError> {
        let Some(predecessor) = &mut self.predecessor else { return Ok(Legacy::default()) };
        match predecessor.take() {
            Ok(TakenOver { legacy, lock }) => {
                self.claim.inherit(lock);
                Ok(legacy)
            }
            Err(error) if error.is_passing() => {
                self.claim = when_free(|| Claim::take(self.claim.directory()))?;
                self.predecessor = None;
                Ok(Legacy::default())
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Keeps everything open until the process ends: only its end tells the other one that nothing
    /// is written here any more.
    pub(crate) fn keep_until_the_end(self) {
        mem::forget(self);
    }
}

/// Claims a directory that is about to become free: its process has closed the connection to this one,
/// and closes the rest now.
fn when_free(take: impl Fn() -> Result<Claim, StateError>) -> Result<Claim, StateError> {
    let is_passing = |error: &StateError| matches!(error, StateError::InUse { .. });
    control::patiently(control::A_WHILE, is_passing, take)
}
