//! From what is checked to what serves.

use std::fs::{self, File};
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::Sender;
use std::time::Duration;

use policy::Timestamp;
use proxy::{Handle, Legacy, Prepared, Running, Staffed};

use store::OpenError;

use crate::clear::{self, ClearError};
use crate::cli::Metrics;
use crate::clock_millis;
use crate::control::{self, Server};
use crate::home::Home;
use crate::metrics::{Bound, ListenError, Listener, Source, Token};
use crate::output::{Event, Log};
use crate::serve::ServeError;
use crate::signals::{self, Ending, Standby};
use crate::steering::Steering;
use crate::succession::{self, Elder, PassedOn, Succession};
use crate::supervisor::Supervisor;
use crate::watchdog::Watchdog;

/// Clients for which there has to be room at the least...
const CLIENTS: u64 = 4;
/// ...and where another process would serve them.
const CLIENTS_TAKEN_OVER: u64 = 16;

/// What runs.
pub(crate) struct Started {
    pub(crate) running: Running,
    pub(crate) metrics: Option<Listener>,
    pub(crate) control: Option<Server>,
    pub(crate) succession: Arc<Succession>,
    /// As long as this process is the one that the supervisor watches.
    pub(crate) watchdog: Option<Watchdog>,
}

/// Where this process tells of itself, and of its end.
pub(crate) struct Channels<'a> {
    pub(crate) ending: &'a Sender<Ending>,
    pub(crate) standby: &'a Standby,
    pub(crate) log: &'a Log,
    pub(crate) supervisor: &'a Supervisor,
}

/// Opens the store and serves. Where another process serves, all that can fail is done before it is
/// told to stop.
pub(crate) fn start(
    prepared: Prepared,
    home: Option<&mut Home>,
    metrics: Option<Bound>,
    channels: &Channels<'_>,
) -> Result<Started, ServeError> {
    if let Some(home) = home {
        return start_instance(prepared, home, metrics, channels);
    }
    let interval = channels.supervisor.watchdog_interval();
    let (staffed, watchdog) = staffed(prepared, Legacy::default(), interval, channels)?;
    let (running, succession) = (staffed.serve(), Arc::default());
    Ok(Started { running, metrics: None, control: None, succession, watchdog })
}

/// The same with a directory, and with the process that has it, if there is one.
fn start_instance(
    prepared: Prepared,
    home: &mut Home,
    metrics: Option<Bound>,
    channels: &Channels<'_>,
) -> Result<Started, ServeError> {
    let begun = Timestamp::from_millis(clock_millis());
    let takeovers = home.predecessor.as_ref().map_or(0, |other| other.takeovers + 1);
    let address = metrics.as_ref().map(|bound| bound.address);
    let watchdog_interval = home.watchdog_interval(channels.supervisor);
    let passed_on = PassedOn { metrics: address, takeovers, watchdog_interval };
    let legacy = home.take_legacy()?;
    if legacy.lock.is_none() {
        home.wait_for_store();
    }
    let unused = (!prepared.stores_on_disk()).then(|| legacy.lock.as_ref().map(File::try_clone));
    let takes_over = home.predecessor.is_some();
    let succession = if takes_over { Succession::to_come() } else { Succession::default() };
    let succession = Arc::new(succession);
    let (staffed, watchdog) = staffed(prepared, legacy, watchdog_interval, channels)?;
    let (handle, log, ending) = (staffed.handle(), channels.log.clone(), channels.ending.clone());
    let source = Arc::new(Source::new(handle.clone(), begun, takeovers));
    let (directory, lock) = (home.claim.directory().to_owned(), home.claim.lock_copy()?);
    let succeeds = Arc::clone(&succession);
    let elder = Elder::new(handle.clone(), succeeds, directory, lock, passed_on, log.clone());
    let commands = Arc::new(Steering { elder, source: Arc::clone(&source), log, ending });
    if !handle.has_room_for(if takes_over { CLIENTS_TAKEN_OVER } else { CLIENTS }) {
        return Err(ServeError::NoRoom);
    }
    // Before the other process stops: no scraper meets a closed door.
    let metrics = metrics.map(|bound| bound.serve(source)).transpose()?;
    if let Some(lock) = unused {
        abandon_store(home, lock.transpose()?, channels.log)?;
    }
    let control = Some(take_place(home, commands, &handle, &succession, channels.standby)?);
    Ok(Started { running: staffed.serve(), metrics, control, succession, watchdog })
}

/// Empties the store that is in the directory, and of no use to this process: it must not come back.
fn abandon_store(home: &Home, lock: Option<File>, log: &Log) -> Result<(), ServeError> {
    let is_given = lock.is_some() || home.predecessor.is_none();
    let told = match clear::abandon(&home.claim, lock) {
        // The process before has done without it too, and the one before that still ends.
        Err(ClearError::Open(OpenError::InUse { .. })) if !is_given => None,
        told => told.map_err(ServeError::Abandon)?,
    };
    if let Some(told) = told {
        let message = format!("{told}: without a disk it would become outdated");
        log.say(Event::Notice { code: "disk-emptied", message });
    }
    Ok(())
}

/// A proxy whose threads wait for the word, and what tells the supervisor of them.
fn staffed(
    prepared: Prepared,
    legacy: Legacy,
    watchdog_interval: Option<Duration>,
    channels: &Channels<'_>,
) -> Result<(Staffed, Option<Watchdog>), ServeError> {
    let staffed = prepared.open(legacy)?.staff()?;
    on_hangup(staffed.handle(), channels.supervisor)?;
    let watchdog = watched(watchdog_interval, staffed.handle(), channels.supervisor)?;
    Ok((staffed, watchdog))
}

/// Opens the control socket. If another process serves, this one takes its place: whatever happens on
/// the way, one of them can be asked, and each unsafe request is told to the one that serves. For that
/// the order matters:
///
/// 1. The other one's socket gets another name, which it can take back as long as it is not told that
///    this process serves.
/// 2. This process listens under the usual name. Who asks it waits until 5.
/// 3. What an older process could tell nobody, and has left in the directory, is forgotten. Not before
///    2: what it leaves from then on it tells that socket too.
/// 4. The other one is told, unless a signal comes before. Nothing can fail from here on, and the other
///    one does not come back.
/// 5. Commands are carried out here, and no earlier: until 4 the other one might have gone on.
/// 6. The other name is of no use to anybody, but was until 4.
fn take_place(
    home: &Home,
    commands: Arc<Steering>,
    handle: &Handle,
    succession: &Succession,
    standby: &Standby,
) -> Result<Server, ServeError> {
    let directory = home.claim.directory();
    if home.predecessor.is_some() {
        control::step_aside(directory)?;
    }
    let control = Server::start(&home.claim, commands)?;
    take_up(directory, handle)?;
    if let Some(predecessor) = &home.predecessor {
        // Both accept connections for a moment, and what is accepted is served.
        standby.end(|| predecessor.relieve());
        succession.has_come();
        control::forget_former(directory);
    }
    Ok(control)
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
