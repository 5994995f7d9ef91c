//! Runs the proxy from checked settings until a signal ends it.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender};
use std::time::Duration;
use std::{io, thread};

use policy::Rules;
use proxy::clock::Clock;
use proxy::{
    ConnectionLimits, Inherited, Kind, Limits, Listen, OriginUrl, Running, Settings, StartError,
    TlsSettings,
};
use store::DiskOptions;

use crate::cli::environment::Lookup;
use crate::cli::{Certificates, Serve};
use crate::control::BindError;
use crate::home::Home;
use crate::metrics::ListenError;
use crate::output::{self, Event, Log, Place, Ready, Speaks, Style, Writer};
use crate::recorder::AccessLog;
use crate::self_signed::{self, SelfSignedError};
use crate::signals::{self, Ending, Signal};
use crate::start::{Around, Started, bind_for_metrics, start};
use crate::state::{Claim, StateError};
use crate::succession::{Succession, TakeOverError};
use crate::supervisor::Supervisor;
use crate::units::{ByteSize, Span};
use crate::{capacity, clock_millis, demo, files};

/// Files that watching for signals takes, which is not told in order where there are none.
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
        "cannot take over: so few files may be open that there is no room for clients; raise the limit (ulimit -n)"
    )]
    NoRoom,
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
    let (ending, endings) = signals::watch()?;
    let supervisor = Supervisor::of(environment);
    let (log, writer) = open_log(&serve, environment)?;
    let (drain, metrics) = (serve.drain, serve.metrics.clone());
    let claim = home.as_ref().map(|home| &home.claim);
    let listen = listeners(&serve, claim, &sockets)?;
    let connections = connections(&serve, room);
    let mut ready = ready(&serve, claim, &listen, &connections);
    let shortage = shortage(&serve, &connections);
    let settings = settings(serve, claim, listen, connections);
    let recorder = Arc::new(AccessLog::new(log.clone()));
    let mut inherited = home.as_mut().map(Home::take_listeners).unwrap_or_default();
    inherited.extend(sockets);
    let prepared = proxy::prepare(settings, recorder, &mut inherited)?;
    // What nobody asks for any more is for the older process to close.
    drop(inherited);
    let metrics = metrics.map(|told| bind_for_metrics(&told, home.as_ref())).transpose()?;
    ready.metrics = metrics.as_ref().map(|bound| bound.address);
    let around = Around { ending: &ending, log: &log, supervisor: &supervisor };
    let started = start(prepared, home.as_mut(), metrics, &around);
    if started.is_err() {
        home.take().into_iter().for_each(Home::keep_until_the_end);
    }
    let Started { running, metrics, control, succession, watchdog } = started?;
    for (place, address) in ready.answers.iter_mut().zip(running.local_addrs()) {
        place.address = *address;
    }
    let replaces = home.as_mut().and_then(|place| place.predecessor.take());
    supervisor.ready(&ready.url(), replaces.is_some());
    let hint = hint(&ready).map(Event::Hint);
    log.say_surely(Event::Ready(Box::new(ready)));
    if let Some(predecessor) = replaces {
        let message = format!("took over from process {}", predecessor.pid);
        log.say(Event::Notice { code: "took-over", message });
    }
    if let Some(shortage) = shortage {
        log.say_surely(shortage);
    }
    if let Some(hint) = hint {
        log.say_surely(hint);
    }
    let ended = wait_for_end(&endings, &ending, &succession);
    drop(watchdog);
    match ended {
        Ending::Signal(signal) => {
            supervisor.stopping();
            log.say(Event::Draining { signal: signal.name(), limit: drain });
            stop(running, drain)?;
            drop(control);
        }
        Ending::Replaced(pid) => {
            drop(home);
            if let Some(control) = control {
                control.disown();
            }
            if let Some(metrics) = &metrics {
                metrics.stop();
            }
            log.say(Event::Replaced { pid, limit: drain });
            hand_over(running, drain, endings)?;
        }
    }
    drop(metrics);
    log.say_surely(Event::Stopped);
    writer.finish();
    Ok(())
}

/// Waits for a signal, or until another process has taken over. What came before that is said again.
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

fn workers(serve: &Serve) -> usize {
    let cores = || thread::available_parallelism().map_or(1, std::num::NonZero::get);
    serve.workers.unwrap_or_else(cores)
}

/// How many connections of clients there may be, where there is room for so many.
fn connections(serve: &Serve, room: Option<usize>) -> ConnectionLimits {
    let total = room.unwrap_or(usize::MAX);
    ConnectionLimits {
        total,
        listener: serve.bounds.connections.unwrap_or(total).min(total),
        client: serve.bounds.per_client,
        ..ConnectionLimits::default()
    }
}

/// Said where more connections were asked for than there is room for.
fn shortage(serve: &Serve, limits: &ConnectionLimits) -> Option<Event> {
    let asked = serve.bounds.connections.filter(|asked| *asked > limits.total)?;
    let message = format!(
        "--max-connections {asked}: open files and memory allow {} connections, which is the limit",
        limits.total
    );
    Some(Event::Trouble { code: "max-connections", message, times: 1 })
}

fn ready(
    serve: &Serve,
    claim: Option<&Claim>,
    listen: &[Listen],
    connections: &ConnectionLimits,
) -> Ready {
    Ready {
        connections: Some(connections.listener).filter(|most| *most < usize::MAX),
        metrics: None,
        answers: listen.iter().map(place).collect(),
        origin: serve.origin.to_string(),
        directory: claim.map(|claim| PathBuf::from(claim.directory())),
        memory: serve.memory,
        disk: serve.disk,
        ttl: Span(serve.ttl.0),
        workers: workers(serve),
    }
}

/// A listener as it is told of.
const fn place(listen: &Listen) -> Place {
    let speaks = match listen.speaks {
        proxy::Speaks::Http => Speaks::Http,
        proxy::Speaks::Https(_) => Speaks::Https,
        proxy::Speaks::Redirect(_) => Speaks::Redirect,
    };
    Place { speaks, address: listen.address }
}

/// What was asked for, and each of the `sockets` that was not.
fn listeners(
    serve: &Serve,
    claim: Option<&Claim>,
    sockets: &[Inherited],
) -> Result<Vec<Listen>, ServeError> {
    let mut listen = asked_for(serve, claim)?;
    for Inherited { address, kind, .. } in sockets {
        if listen.iter().any(|known| known.address == *address) {
            continue;
        }
        let speaks = match kind {
            Kind::Http => Some(proxy::Speaks::Http),
            Kind::Redirect => Some(proxy::Speaks::Redirect(None)),
            Kind::Https => {
                listen.iter().find(|l| l.speaks.kind() == *kind).map(|l| l.speaks.clone())
            }
        };
        let speaks = speaks.ok_or(ServeError::NoCertificate(*address))?;
        listen.push(Listen { address: *address, speaks });
    }
    Ok(listen)
}

fn asked_for(serve: &Serve, claim: Option<&Claim>) -> Result<Vec<Listen>, ServeError> {
    let mut listen: Vec<_> = serve.listen.map(Listen::plain).into_iter().collect();
    let Some(tls) = &serve.tls else { return Ok(listen) };
    let pairs = match (&tls.certificates, claim) {
        (Certificates::Files(pairs), _) => pairs.clone(),
        (Certificates::SelfSigned, Some(claim)) => {
            let (directory, address) = (claim.directory(), tls.listen.ip());
            vec![self_signed::certificate(directory, address, clock_millis())?]
        }
        // Without a place to keep one there is none; only the demo has no place, and no TLS.
        (Certificates::SelfSigned, None) => Vec::new(),
    };
    let (clients, tells_chain) = (tls.clients.clone(), tls.tells_chain);
    let settings = TlsSettings { clients, tells_chain, ..TlsSettings::new(pairs) };
    let speaks = proxy::Speaks::Https(settings);
    listen.push(Listen { address: tls.listen, speaks });
    let redirect =
        tls.redirect.map(|address| Listen { address, speaks: proxy::Speaks::Redirect(None) });
    listen.extend(redirect);
    Ok(listen)
}

fn settings(
    serve: Serve,
    claim: Option<&Claim>,
    listen: Vec<Listen>,
    connections: ConnectionLimits,
) -> Settings {
    let disk = serve.disk.zip(claim);
    let disk = disk.map(|(size, claim)| DiskOptions { directory: claim.store(), capacity: size.0 });
    let default_ttl = Some(serve.ttl.0).filter(|ttl| !ttl.is_zero());
    Settings {
        listen,
        workers: workers(&serve),
        store: store::Options { memory: serve.memory.0, disk, ..store::Options::default() },
        rules: Rules {
            default_ttl,
            profile: serve.profile,
            set_cookie: serve.set_cookie,
            targeted: serve.targeted,
            cache_status: serve.cache_status,
            ..Rules::default()
        },
        limits: Limits {
            http2: serve.http2,
            head_timeout: serve.bounds.head_timeout,
            body_timeout: serve.bounds.body_timeout,
            body_pace: serve
                .bounds
                .body_pace
                .map(|size| usize::try_from(size.0).unwrap_or(usize::MAX)),
            write_timeout: serve.bounds.write_timeout,
            idle_timeout: serve.bounds.idle_timeout,
            probe: serve.bounds.probe,
            request_content: serve.bounds.request_content.map(|size| size.0),
            response_content: serve.bounds.response_content.map(|size| size.0),
            connections,
            connect_timeout: serve.connect_timeout,
            first_byte_timeout: serve.first_byte_timeout,
            between_bytes_timeout: serve.between_bytes_timeout,
            origin_connections: serve.origin_connections,
            tunnels: serve.tunnels.most,
            tunnel_idle: serve.tunnels.idle,
            hops: serve.max_hops,
            query_content: usize::try_from(serve.query_content.0).unwrap_or(usize::MAX),
            ..Limits::default()
        },
        clients: serve.clients,
        clock: Clock::System,
        origin: serve.origin,
        origin_tls: serve.origin_tls,
    }
}
