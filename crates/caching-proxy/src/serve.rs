//! Runs the proxy from checked settings until a signal ends it.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use std::{io, thread};

use policy::Rules;
use proxy::clock::Clock;
use proxy::events::Counts;
use proxy::purge::Purge;
use proxy::{
    CertificateInfo, ConnectionLimits, HandshakeFailure, Limits, Listen, OriginUrl, Running,
    Settings, StartError, TlsSettings,
};
use serde_json::{Value, json};
use store::DiskOptions;

use crate::cli::environment::{Lookup, base_directory};
use crate::cli::{Certificates, Serve, Tls};
use crate::control::{BindError, Commands, Request, Server};
use crate::output::{self, Event, Log, Place, Ready, Speaks, Style, Writer, rfc3339};
use crate::recorder::AccessLog;
use crate::self_signed::{self, SelfSignedError};
use crate::signals;
use crate::state::{self, Claim, InstanceName, StateError};
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

/// Serves the origin that was asked for.
pub(crate) fn run(serve: Serve, environment: Lookup<'_>) -> Result<(), ServeError> {
    let claim = claim(&serve, environment)?;
    until_signalled(serve, Some(&claim), environment, |_| None)
}

/// Serves the built-in origin from memory alone: nothing is left behind.
pub(crate) fn run_demo(port: u16, environment: Lookup<'_>) -> Result<(), ServeError> {
    let origin = demo::start(clock_millis)?;
    let origin = OriginUrl::parse(&format!("http://{origin}"));
    let origin = origin.map_err(io::Error::other)?;
    let listen = (std::net::Ipv4Addr::LOCALHOST, port).into();
    let serve = Serve { memory: ByteSize(64 << 20), disk: None, ..Serve::new(listen, origin) };
    until_signalled(serve, None, environment, |ready| Some(demo::hints(&ready.url())))
}

fn claim(serve: &Serve, environment: Lookup<'_>) -> Result<Claim, StateError> {
    if let Some(directory) = &serve.directory {
        return Claim::take(directory);
    }
    let base = base_directory(environment).ok_or(StateError::NoHome)?;
    state::claim_below(&base, &InstanceName::new(&serve.origin, serve.first))
}

fn until_signalled(
    serve: Serve,
    claim: Option<&Claim>,
    environment: Lookup<'_>,
    hint: impl FnOnce(&Ready) -> Option<String>,
) -> Result<(), ServeError> {
    let signals = signals::watch()?;
    let room = capacity::connections(files::raise_limit());
    let (log, writer) = open_log(&serve, environment)?;
    let drain = serve.drain;
    let listen = listeners(&serve, claim)?;
    let connections = connections(&serve, room);
    let mut ready = ready(&serve, claim, &listen, &connections);
    let shortage = shortage(&serve, &connections);
    let has_files = serve.tls.as_ref().is_some_and(Tls::has_files) || serve.origin_tls.has_files();
    let settings = settings(serve, claim, listen, connections);
    let running = proxy::start(settings, Arc::new(AccessLog::new(log.clone())))?;
    for (place, address) in ready.answers.iter_mut().zip(running.local_addrs()) {
        place.address = *address;
    }
    if has_files {
        signals::on_hangup({
            let handle = running.handle();
            move || handle.reload_certificates()
        })?;
    }
    let commands = Arc::new(Steering { handle: running.handle(), log: log.clone() });
    let control = claim.map(|claim| Server::start(claim, commands)).transpose()?;
    let hint = hint(&ready).map(Event::Hint);
    log.say_surely(Event::Ready(Box::new(ready)));
    if let Some(shortage) = shortage {
        log.say_surely(shortage);
    }
    if let Some(hint) = hint {
        log.say_surely(hint);
    }
    // The sender lives as long as the process: this waits for a signal, and for nothing else.
    if let Ok(signal) = signals.recv() {
        log.say(Event::Draining { signal: signal.name(), limit: drain });
    }
    stop(running, drain)?;
    drop(control);
    log.say_surely(Event::Stopped);
    writer.finish();
    Ok(())
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

fn listeners(serve: &Serve, claim: Option<&Claim>) -> Result<Vec<Listen>, ServeError> {
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

/// A certificate as it is told of.
fn told(certificate: &CertificateInfo) -> Value {
    json!({
        "file": certificate.file.display().to_string(),
        "names": certificate.names,
        "not_after": rfc3339(certificate.not_after.as_millis()),
        "not_after_seconds": certificate.not_after.as_millis() / 1000,
    })
}

/// What the control socket steers.
struct Steering {
    handle: proxy::Handle,
    log: Log,
}

impl Commands for Steering {
    fn answer(&self, request: Request) -> Value {
        match request {
            Request::Clear => self.clear(),
            Request::Stats => self.stats(),
            Request::Purge { what, soft } => self.purge(&what, soft),
        }
    }
}

impl Steering {
    fn clear(&self) -> Value {
        let store::Cleared { entries, bytes } = self.handle.clear();
        // Memory has forgotten already; the answer waits for the files.
        if let Err(error) = self.handle.settle() {
            return json!({ "error": format!("cannot wait for the disk: {error}") });
        }
        self.log.say(Event::Cleared { entries, bytes });
        json!({ "entries": entries, "bytes": bytes })
    }

    fn purge(&self, what: &Purge, soft: bool) -> Value {
        if let Err(error) = self.handle.purge(what, soft) {
            return json!({ "error": format!("cannot wait for the disk: {error}") });
        }
        let what = what.to_string();
        self.log.say(Event::Purged { what: what.clone(), soft });
        json!({ "purged": what, "soft": soft })
    }

    /// What happened in TLS, and what is served there.
    fn tls(&self, counts: &Counts) -> Value {
        let failures = HandshakeFailure::ALL.iter().zip(counts.handshake_failures);
        let failures = failures.map(|(why, count)| (why.code().to_owned(), json!(count)));
        json!({
            "handshakes": counts.handshakes,
            "failures": Value::Object(failures.collect()),
            "certificates": self.handle.certificates().iter().map(told).collect::<Vec<_>>(),
            "origin_certificate": self.handle.origin_certificate().as_ref().map(told),
        })
    }

    fn connections(&self) -> Value {
        let proxy::ConnectionCounts { open, refused, dropped, made_way } =
            self.handle.connections();
        json!({ "open": open, "refused": refused, "dropped": dropped, "made_way": made_way })
    }

    fn stats(&self) -> Value {
        let (counts, store) = (self.handle.counts(), self.handle.store_stats());
        let damaged =
            store.damaged.iter().map(|(why, count)| (why.code().to_owned(), json!(count)));
        json!({
            "requests": counts.requests,
            "hits": counts.hits,
            "origin_failures": counts.origin_failures,
            "refused": counts.refused,
            "cut": counts.cut,
            "connections": counts.connections,
            "tunnels": { "begun": counts.tunnels, "open": self.handle.open_tunnels() },
            "client_connections": self.connections(),
            "bytes": counts.bytes,
            "tls": self.tls(&counts),
            "store": {
                "memory_entries": store.memory_entries,
                "memory_bytes": store.memory_bytes,
                "kept_bytes": store.kept_bytes,
                "disk_entries": store.disk_entries,
                "disk_bytes": store.disk_bytes,
                "segment_bytes": store.segment_bytes,
                "index_bytes": store.index_bytes,
                "segments_to_recover": store.segments_to_recover,
                "log_stored_bytes": store.log_stored_bytes,
                "log_copied_bytes": store.log_copied_bytes,
                "log_written_bytes": store.log_written_bytes,
                "in_flight_bytes": store.in_flight_bytes,
                "queued_bytes": store.queued_bytes,
                "memory_evictions": store.memory_evictions,
                "disk_evictions": store.disk_evictions,
                "disk_write_failures": store.disk_write_failures,
                "disk_read_errors": store.disk_read_errors,
                "disk_left_alone": store.disk_left_alone,
                "disk_timeouts": store.disk_timeouts,
                "queue_full_skips": store.queue_full_skips,
                "resting_skips": store.resting_skips,
                "passed_along": store.passed_along,
                "events": store.events,
                "event_write_failures": store.event_write_failures,
                "event_logs_lost": store.event_logs_lost,
                "damaged": Value::Object(damaged.collect()),
            },
        })
    }
}
