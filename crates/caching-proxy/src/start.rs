//! From what is checked to what serves.

use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::Sender;
use std::time::Duration;
use std::{fs, io};

use proxy::{Handle, Prepared, Running};

use crate::cli::Metrics;
use crate::clock_millis;
use crate::control::{self, Server};
use crate::home::Home;
use crate::metrics::{Bound, ListenError, Listener, Source, Token};
use crate::output::Log;
use crate::serve::ServeError;
use crate::signals::{self, Ending};
use crate::steering::Steering;
use crate::succession::{self, Elder, Known, Succession};
use crate::supervisor::Supervisor;
use crate::watchdog::Watchdog;

/// Clients at the least: a process that would send them away must not take another one's place.
const CLIENTS: u64 = 16;

/// What runs.
pub(crate) struct Started {
    pub(crate) running: Running,
    pub(crate) metrics: Option<Listener>,
    pub(crate) control: Option<Server>,
    pub(crate) succession: Arc<Succession>,
    /// As long as this process is the one that the supervisor watches.
    pub(crate) watchdog: Option<Watchdog>,
}

/// Whom this process tells of itself, and who may end it.
pub(crate) struct Around<'a> {
    pub(crate) ending: &'a Sender<Ending>,
    pub(crate) log: &'a Log,
    pub(crate) supervisor: &'a Supervisor,
}

/// Opens the store and serves. Where another process serves, all that can fail is done before it is
/// told to stop.
pub(crate) fn start(
    prepared: Prepared,
    home: Option<&mut Home>,
    metrics: Option<Bound>,
    around: &Around<'_>,
) -> Result<Started, ServeError> {
    let Some(home) = home else {
        let succession = Arc::default();
        let staffed = prepared.open(proxy::Legacy::default())?.staff()?;
        on_hangup(staffed.handle(), around.supervisor)?;
        let interval = around.supervisor.watchdog();
        let watchdog = watched(interval, staffed.handle(), around.supervisor)?;
        let running = staffed.serve();
        return Ok(Started { running, metrics: None, control: None, succession, watchdog });
    };
    let begun = policy::Timestamp::from_millis(clock_millis());
    let watchdog = home.watchdog(around.supervisor);
    let takeovers = home.predecessor.as_ref().map_or(0, |other| other.takeovers + 1);
    let known = Known { metrics: metrics.as_ref().map(|bound| bound.address), takeovers, watchdog };
    let legacy = home.take_legacy()?;
    let takes_over = home.predecessor.is_some();
    let succession = if takes_over { Succession::to_come() } else { Succession::default() };
    let succession = Arc::new(succession);
    let staffed = prepared.open(legacy)?.staff()?;
    on_hangup(staffed.handle(), around.supervisor)?;
    let watchdog = watched(known.watchdog, staffed.handle(), around.supervisor)?;
    let (claim, log) = (&home.claim, around.log.clone());
    let directory = claim.directory().to_owned();
    let (handle, lock) = (staffed.handle(), claim.lock_copy()?);
    let source = Arc::new(Source::new(handle.clone(), begun, takeovers));
    let succeeds = Arc::clone(&succession);
    let elder = Elder::new(handle, succeeds, directory, lock, known, log.clone());
    let ending = around.ending.clone();
    let commands = Arc::new(Steering { elder, source: Arc::clone(&source), log, ending });
    if takes_over && !staffed.handle().has_room_for(CLIENTS) {
        return Err(ServeError::NoRoom);
    }
    // Before the other process stops: no scraper meets a closed door.
    let metrics = metrics.map(|bound| bound.serve(source)).transpose()?;
    if takes_over {
        control::step_aside(claim.directory())?;
    }
    let control = Some(Server::start(claim, commands)?);
    take_up(claim.directory(), &staffed.handle())?;
    if let Some(predecessor) = &home.predecessor {
        // Both accept connections for a moment, and what is accepted is served.
        predecessor.relieve();
        succession.has_come();
        control::forget_former(claim.directory());
    }
    Ok(Started { running: staffed.serve(), metrics, control, succession, watchdog })
}

/// Forgets what an older process could tell nobody. From now on it can be told here.
fn take_up(directory: &Path, handle: &Handle) -> io::Result<()> {
    for (path, what) in succession::left(directory)? {
        if let Some(what) = what {
            handle.forget(&what)?;
        } else {
            // Nobody knows what it was.
            handle.clear();
            handle.settle()?;
        }
        fs::remove_file(path)?;
    }
    Ok(())
}

/// An address that cannot be had is found before anything changes.
pub(crate) fn bind_for_metrics(told: &Metrics, home: Option<&Home>) -> Result<Bound, ListenError> {
    let token = told.token.as_deref().map(Token::of_file).transpose()?;
    let predecessor = home.and_then(|home| home.predecessor.as_ref());
    let theirs = predecessor.and_then(|other| other.metrics);
    Bound::to(told.listen, token, theirs)
}

/// SIGHUP never ends the process, whether there are files to be read again or not.
fn on_hangup(handle: Handle, supervisor: &Supervisor) -> io::Result<()> {
    let supervisor = supervisor.clone();
    signals::on_hangup(move || supervisor.reload(|| handle.reload_certificates()))
}

/// Tells the supervisor that this process does something, if it wants to know.
fn watched(
    interval: Option<Duration>,
    workers: Handle,
    supervisor: &Supervisor,
) -> io::Result<Option<Watchdog>> {
    let interval = interval.filter(|_| supervisor.is_there());
    interval.map(|interval| Watchdog::start(supervisor.clone(), interval, workers)).transpose()
}
