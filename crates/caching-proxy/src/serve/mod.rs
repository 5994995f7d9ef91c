//! Runs the proxy from checked settings until a signal ends it.

mod settings;

use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender};
use std::time::Duration;
use std::{io, thread};

use proxy::{Inherited, OriginUrl, Running, StartError};

use crate::clear::ClearError;
use crate::cli::Serve;
use crate::cli::environment::Lookup;
use crate::control::BindError;
use crate::home::Home;
use crate::metrics::ListenError;
use crate::output::{self, Event, Log, Ready, Style, Writer};
use crate::recorder::AccessLog;
use crate::self_signed::SelfSignedError;
use crate::signals::{self, Ending, Signal};
use crate::start::{Channels, Started, bind_for_metrics, start};
use crate::state::StateError;
use crate::succession::{Succession, TakeOverError};
use crate::supervisor::Supervisor;
use crate::units::ByteSize;
use crate::{capacity, clock_millis, demo, files};

/// Files that watching for signals takes. Where there are fewer, tokio panics in place of an error.
const FOR_SIGNALS: usize = 12;

/// Why the proxy does not run.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ServeError {
    /// There is no directory for it.
    #[error(transparent)]
    State(#[from] StateError),
    /// The address is in use, or not one of this machine's.
    #[error(
        "cannot listen on {address}: {source}; choose another with --port N or --listen ADDR:PORT"
    )]
    Listen {
        /// What was asked for.
        address: std::net::SocketAddr,
        /// What the system said.
        source: io::Error,
    },
    /// Anything else at the start.
    #[error("cannot start")]
    Start(#[source] StartError),
    /// There is no certificate of its own.
    #[error("for --tls-self-signed: {0}")]
    SelfSigned(#[from] SelfSignedError),
    /// A socket that was passed on speaks HTTPS, and nothing says how.
    #[error(
        "nothing says how to speak HTTPS on {0}; give a certificate and its key with --tls-cert FILE --tls-key FILE"
    )]
    NoCertificate(std::net::SocketAddr),
    /// The instance that runs cannot be replaced.
    #[error(transparent)]
    TakeOver(#[from] TakeOverError),
    /// There are no metrics.
    #[error(transparent)]
    Metrics(#[from] ListenError),
    /// It would serve nobody.
    #[error(
        "so few files may be open that there is no room for clients; raise the limit (ulimit -n)"
    )]
    NoRoom,
    /// What is stored on disk, and would become outdated, cannot be removed.
    #[error("without a disk, what is stored there has to go: {0}; give another --cache-dir")]
    Abandon(#[source] ClearError),
    /// There is no control socket.
    #[error(transparent)]
    Control(#[from] BindError),
    /// A thread, a runtime or a signal handler could not be had.
    #[error("cannot start: {0}")]
    System(#[from] io::Error),
}

impl From<StartError> for ServeError {
    fn from(error: StartError) -> Self {
        match error {
            StartError::Listen { address, source } => Self::Listen { address, source },
            StartError::Store(_)
            | StartError::Certificate(_)
            | StartError::Tls(_)
            | StartError::Thread(_) => Self::Start(error),
        }
    }
}

/// Serves the origin that was asked for, on these `sockets` where they are of the right address.
pub(crate) fn run(
    serve: Serve,
    sockets: Vec<Inherited>,
    environment: Lookup<'_>,
) -> Result<(), ServeError> {
    let place = Home::claim(&serve, environment)?;
    until_ended(serve, Some(place), sockets, environment, |_| None)
}

/// Serves the built-in origin from memory alone: nothing is left behind.
pub(crate) fn run_demo(port: u16, environment: Lookup<'_>) -> Result<(), ServeError> {
    let origin = demo::start(clock_millis)?;
    let origin = OriginUrl::parse(&format!("http://{origin}"));
    let origin = origin.map_err(io::Error::other)?;
    let listen = (std::net::Ipv4Addr::LOCALHOST, port).into();
    let serve = Serve { memory: ByteSize(64 << 20), disk: None, ..Serve::new(listen, origin) };
    until_ended(serve, None, Vec::new(), environment, |ready| Some(demo::hints(&ready.url())))
}

fn until_ended(
    serve: Serve,
    mut home: Option<Home>,
    sockets: Vec<Inherited>,
    environment: Lookup<'_>,
    hint: impl FnOnce(&Ready) -> Option<String>,
) -> Result<(), ServeError> {
    let room = capacity::connections(files::raise_limit());
    files::check_room(FOR_SIGNALS)?;
    let takes_over = home.as_ref().is_some_and(|home| home.predecessor.is_some());
    let (ending, endings, standby) = signals::watch(takes_over)?;
    let supervisor = Supervisor::of(environment);
    let (log, writer) = open_log(&serve, environment)?;
    let channels =
        Channels { ending: &ending, standby: &standby, log: &log, supervisor: &supervisor };
    let (drain, metrics) = (serve.drain, serve.metrics.clone());
    let claim = home.as_ref().map(|home| &home.claim);
    let listen = settings::listeners(&serve, claim, &sockets)?;
    let connections = settings::connections(&serve, room);
    let mut ready = settings::ready(&serve, claim, &listen, &connections);
    let shortage = settings::shortage(&serve, &connections);
    let settings = settings::settings(serve, claim, listen, connections);
    let recorder = Arc::new(AccessLog::new(log.clone()));
    let mut inherited = home.as_mut().map(Home::take_listeners).unwrap_or_default();
    inherited.extend(sockets);
    let prepared = proxy::prepare(settings, recorder, &mut inherited)?;
    // Sockets of addresses that are no longer listened on: the older process closes its own.
    drop(inherited);
    let metrics = metrics.map(|told| bind_for_metrics(&told, home.as_ref())).transpose()?;
    ready.metrics = metrics.as_ref().map(|bound| bound.address);
    let started = start(prepared, home.as_mut(), metrics, &channels);
    if started.is_err() {
        home.take().into_iter().for_each(Home::keep_until_the_end);
    }
    let started = started?;
    // This process serves, also where the other one has ended by itself: a signal ends it in order now.
    standby.end(|| ());
    for (place, address) in ready.answers.iter_mut().zip(started.running.local_addrs()) {
        place.address = *address;
    }
    let replaced = home.as_mut().and_then(|home| home.predecessor.take());
    let hint = hint(&ready);
    announce(ready, replaced.map(|other| other.pid), shortage, hint, &channels);
    let why = wait_for_end(&endings, &ending, &started.succession);
    end(why, started, &mut home, drain, endings, &channels)?;
    log.say_surely(Event::Stopped);
    writer.finish();
    Ok(())
}

/// Says that it serves, in place of which process, and what else there is to know.
fn announce(
    ready: Ready,
    replaced: Option<u64>,
    shortage: Option<Event>,
    hint: Option<String>,
    channels: &Channels<'_>,
) {
    let Channels { log, supervisor, .. } = channels;
    supervisor.ready(&ready.url(), replaced.is_some());
    log.say_surely(Event::Ready(Box::new(ready)));
    if let Some(pid) = replaced {
        let message = format!("took over from process {pid}");
        log.say(Event::Notice { code: "took-over", message });
    }
    if let Some(shortage) = shortage {
        log.say_surely(shortage);
    }
    if let Some(hint) = hint {
        log.say_surely(Event::Hint(hint));
    }
}

/// Finishes the requests under way, and gives up what this process has, or leaves it to the process that
/// has taken over.
fn end(
    why: Ending,
    started: Started,
    home: &mut Option<Home>,
    drain: Duration,
    endings: Receiver<Ending>,
    channels: &Channels<'_>,
) -> io::Result<()> {
    let Started { running, metrics, control, succession: _, watchdog } = started;
    drop(watchdog);
    match why {
        Ending::Signal(signal) => {
            channels.supervisor.stopping();
            channels.log.say(Event::Draining { signal: signal.name(), limit: drain });
            stop(running, drain)?;
            drop(control);
        }
        Ending::Replaced(pid) => {
            // While it drains it keeps nobody from the directory.
            drop(home.take());
            if let Some(control) = control {
                control.disown();
            }
            if let Some(metrics) = &metrics {
                metrics.stop();
            }
            channels.log.say(Event::Replaced { pid, limit: drain });
            hand_over(running, drain, endings)?;
        }
    }
    drop(metrics);
    Ok(())
}

/// Waits for a signal, or until another process has taken over. A signal that came before that is sent
/// once more, for [`hand_over`].
fn wait_for_end(
    endings: &Receiver<Ending>,
    again: &Sender<Ending>,
    succession: &Succession,
) -> Ending {
    let mut hurry = None;
    // The senders live as long as the process.
    while let Ok(ending) = endings.recv() {
        // Another process may be about to take over: then there is nothing to be stopped here.
        if matches!(ending, Ending::Signal(_)) && !succession.close() {
            hurry = Some(ending);
            continue;
        }
        if let Some(hurry) = hurry {
            let _ = again.send(hurry);
        }
        return ending;
    }
    Ending::Signal(Signal::Terminate)
}

fn open_log(serve: &Serve, environment: Lookup<'_>) -> io::Result<(Log, Writer)> {
    let style = Style::of_stderr(environment);
    let level = serve.log.unwrap_or(style.usual_level());
    output::start(level, style, clock_millis, io::stderr())
}

fn stop(running: Running, drain: Duration) -> io::Result<()> {
    time_alone()?.block_on(running.stop(drain));
    Ok(())
}

/// The same once another process serves. A signal says that there is a hurry.
fn hand_over(running: Running, drain: Duration, endings: Receiver<Ending>) -> io::Result<()> {
    let handle = running.handle();
    let named = thread::Builder::new().name("hurry".to_owned());
    let hurries = named.spawn(move || {
        if endings.recv().is_ok() {
            handle.hurry();
        }
    });
    // Without that thread nobody hurries, and all else is as it should be.
    drop(hurries);
    time_alone()?.block_on(running.hand_over(drain));
    Ok(())
}

/// A runtime that needs nothing of the system: where there are no files left it can be had too.
fn time_alone() -> io::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_current_thread().enable_time().build()
}
