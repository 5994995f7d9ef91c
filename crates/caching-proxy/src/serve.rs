//! Runs the proxy from checked settings until a signal ends it.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender};
use std::time::Duration;
use std::{io, thread};

use policy::Rules;
use proxy::clock::Clock;
use proxy::{
    ConnectionLimits, Inherited, Kind, Legacy, Limits, Listen, OriginUrl, Prepared, Running,
    Settings, StartError, TlsSettings,
};
use store::DiskOptions;

use crate::cli::environment::{Lookup, base_directory};
use crate::cli::{Certificates, Metrics, Serve};
use crate::control::{self, AskError, BindError, Server};
use crate::metrics::{Bound, ListenError, Listener, Source, Token};
use crate::output::{self, Event, Log, Place, Ready, Speaks, Style, Writer};
use crate::recorder::AccessLog;
use crate::self_signed::{self, SelfSignedError};
use crate::signals::{self, Ending, Signal};
use crate::state::{self, Claim, InstanceName, StateError};
use crate::steering::Steering;
use crate::succession::{Elder, Known, Predecessor, Succession, TakeOverError};
use crate::supervisor::Supervisor;
use crate::units::{ByteSize, Span};
use crate::{capacity, clock_millis, demo, files};

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

/// The instance directory, and the process that has it, if this one is to take over.
struct Home {
    claim: Claim,
    predecessor: Option<Predecessor>,
}

/// Serves the origin that was asked for, on these `sockets` where they are of the right address.
pub(crate) fn run(
    serve: Serve,
    sockets: Vec<Inherited>,
    environment: Lookup<'_>,
) -> Result<(), ServeError> {
    let place = claim(&serve, environment)?;
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

fn claim(serve: &Serve, environment: Lookup<'_>) -> Result<Home, ServeError> {
    let name = InstanceName::new(&serve.origin, serve.first);
    let base = || base_directory(environment).ok_or(StateError::NoHome);
    let take = || match &serve.directory {
        Some(directory) => Claim::take(directory),
        // The instance of this name, and no other, is the one that is replaced.
        None if serve.take_over => Claim::take(&base()?.join(name.to_string())),
        None => state::claim_below(&base()?, &name),
    };
    for _ in 1..control::ATTEMPTS {
        match take() {
            Err(StateError::InUse { directory, .. }) if serve.take_over => {
                match Predecessor::in_directory(&directory) {
                    // It has just begun, or is about to end: then the directory is free soon.
                    Err(TakeOverError::Ask(AskError::NotRunning)) => thread::sleep(control::PAUSE),
                    found => {
                        let claim = Claim::to_come(directory);
                        return Ok(Home { claim, predecessor: Some(found?) });
                    }
                }
            }
            claimed => return Ok(Home { claim: claimed?, predecessor: None }),
        }
    }
    Ok(Home { claim: take()?, predecessor: None })
}

fn until_ended(
    serve: Serve,
    mut home: Option<Home>,
    sockets: Vec<Inherited>,
    environment: Lookup<'_>,
    hint: impl FnOnce(&Ready) -> Option<String>,
) -> Result<(), ServeError> {
    let (ending, endings) = signals::watch()?;
    let room = capacity::connections(files::raise_limit());
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
    let started = start(prepared, home.as_mut(), metrics, &ending, &log)?;
    let Started { running, metrics, control, succession } = started;
    for (place, address) in ready.answers.iter_mut().zip(running.local_addrs()) {
        place.address = *address;
    }
    on_hangup(&running, &supervisor)?;
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
    let ended = wait_for_end(&endings, &succession);
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

impl Home {
    fn take_listeners(&mut self) -> Vec<Inherited> {
        let predecessor = self.predecessor.as_mut();
        predecessor.map(|other| std::mem::take(&mut other.listeners)).unwrap_or_default()
    }
}

/// What runs.
struct Started {
    running: Running,
    metrics: Option<Listener>,
    control: Option<Server>,
    succession: Arc<Succession>,
}

/// Opens the store and serves; takes over first where another process has the store.
fn start(
    prepared: Prepared,
    home: Option<&mut Home>,
    metrics: Option<Bound>,
    ending: &Sender<Ending>,
    log: &Log,
) -> Result<Started, ServeError> {
    let (succession, begun) = (Arc::new(Succession::default()), clock_millis());
    let Some(home) = home else {
        let running = prepared.open(Legacy::default())?.run()?;
        return Ok(Started { running, metrics: None, control: None, succession });
    };
    let mut legacy = Legacy::default();
    if let Some(predecessor) = &mut home.predecessor {
        let lock;
        (legacy, lock) = predecessor.take()?;
        home.claim.inherit(lock)?;
    }
    let claim = &home.claim;
    let opened = prepared.open(legacy)?;
    let (handle, directory) = (opened.handle(), claim.directory().to_owned());
    let lock = claim.lock_copy()?;
    let takeovers = home.predecessor.as_ref().map_or(0, |other| other.takeovers + 1);
    let source = Arc::new(Source::new(handle.clone(), begun, takeovers));
    let known = Known { metrics: metrics.as_ref().map(|bound| bound.address), takeovers };
    let elder = Elder::new(handle, Arc::clone(&succession), directory, lock, known, log.clone());
    let (log, ending) = (log.clone(), ending.clone());
    let commands = Arc::new(Steering { elder, source: Arc::clone(&source), log, ending });
    // Before the other process stops: no scraper meets a closed door.
    let metrics = metrics.map(|bound| bound.serve(source)).transpose()?;
    let control = if let Some(predecessor) = &home.predecessor {
        control::step_aside(claim.directory())?;
        let control = Server::start(claim, commands)?;
        // Both accept connections for a moment, and what is accepted is served.
        predecessor.relieve();
        control::forget_former(claim.directory());
        control
    } else {
        Server::start(claim, commands)?
    };
    Ok(Started { running: opened.run()?, metrics, control: Some(control), succession })
}

/// An address that cannot be had is found before anything changes.
fn bind_for_metrics(told: &Metrics, home: Option<&Home>) -> Result<Bound, ListenError> {
    let token = told.token.as_deref().map(Token::of_file).transpose()?;
    let predecessor = home.and_then(|home| home.predecessor.as_ref());
    let theirs = predecessor.and_then(|other| other.metrics);
    Bound::to(told.listen, token, theirs)
}

/// SIGHUP never ends the process, whether there are files to be read again or not.
fn on_hangup(running: &Running, supervisor: &Supervisor) -> io::Result<()> {
    let (handle, supervisor) = (running.handle(), supervisor.clone());
    signals::on_hangup(move || supervisor.reload(|| handle.reload_certificates()))
}

/// Waits for a signal, or until another process has taken over.
fn wait_for_end(endings: &Receiver<Ending>, succession: &Succession) -> Ending {
    // The senders live as long as the process.
    let mut last = Ending::Signal(Signal::Terminate);
    while let Ok(ending) = endings.recv() {
        last = ending;
        // Another process may be about to take over: then there is nothing to be stopped here.
        if matches!(ending, Ending::Replaced(_)) || !succession.is_given() {
            break;
        }
    }
    last
}

fn open_log(serve: &Serve, environment: Lookup<'_>) -> io::Result<(Log, Writer)> {
    let style = Style::of_stderr(environment);
    let level = serve.log.unwrap_or(style.usual_level());
    output::start(level, style, clock_millis, io::stderr())
}

fn stop(running: Running, drain: Duration) -> io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(running.stop(drain));
    Ok(())
}

/// The same once another process serves. A signal says that there is a hurry.
fn hand_over(running: Running, drain: Duration, endings: Receiver<Ending>) -> io::Result<()> {
    let handle = running.handle();
    let named = thread::Builder::new().name("hurry".to_owned());
    named.spawn(move || {
        if endings.recv().is_ok() {
            handle.hurry();
        }
    })?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(running.hand_over(drain));
    Ok(())
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
            write_timeout: serve.bounds.write_timeout,
            idle_timeout: serve.bounds.idle_timeout,
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
