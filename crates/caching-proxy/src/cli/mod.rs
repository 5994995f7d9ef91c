//! The command line and the environment, read once into settings that cannot hold a bad value.

mod check;
mod clients;
pub(crate) mod environment;
mod fault;
mod http2;
mod limits;
mod metrics;
mod origin_tls;
mod purge;
mod raw;
mod targeted;
mod tls;
mod tunnels;

use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::FromArgMatches;
use policy::rules::{CacheStatus, Profile, SetCookie};
use proxy::{Clients, Http2Limits, Limits, OriginTls, OriginUrl};

use crate::output::Level;
use crate::units::{ByteSize, Span};
use environment::Lookup;

pub(crate) use fault::Fault;
pub(crate) use limits::Bounds;
pub(crate) use metrics::Metrics;
pub(crate) use tls::{Certificates, Tls};
pub(crate) use tunnels::Tunnels;

/// What the user asked for.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Command {
    /// Print this text, as for `--help`, and exit.
    Print(String),
    /// Forward and keep.
    Serve(Box<Serve>),
    /// Empty caches and exit.
    Clear(Instances),
    /// Purge some of what running instances have stored, and exit.
    Purge(Purge),
    /// Tell what running instances have counted, and exit.
    Tell(Telling, Instances),
    /// Serve the built-in origin.
    Demo {
        /// The port on loopback; 0 lets the system pick one.
        port: u16,
    },
}

/// How counters are told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Telling {
    /// To a person.
    Stats,
    /// To a program that collects metrics.
    Metrics,
}

/// Everything `--port --origin` can be told.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Serve {
    /// The first place to listen, by which the instance is known.
    pub(crate) first: SocketAddr,
    /// Where to listen for plain HTTP.
    pub(crate) listen: Option<SocketAddr>,
    /// Where and how to speak HTTPS.
    pub(crate) tls: Option<Tls>,
    /// Where to forward to.
    pub(crate) origin: OriginUrl,
    /// How TLS is spoken there.
    pub(crate) origin_tls: OriginTls,
    /// What clients are believed, and what the origin is told of them.
    pub(crate) clients: Clients,
    /// What a client may do by HTTP/2.
    pub(crate) http2: Http2Limits,
    /// What clients may do, and how slowly.
    pub(crate) bounds: Bounds,
    /// Where metrics are told.
    pub(crate) metrics: Option<Metrics>,
    /// `--cache-dir`, used as given.
    pub(crate) directory: Option<PathBuf>,
    /// The lifetime of responses that bring none; zero for none.
    pub(crate) ttl: Span,
    /// The size of the memory tier.
    pub(crate) memory: ByteSize,
    /// The size of the disk tier.
    pub(crate) disk: Option<ByteSize>,
    /// What to write; `None` depends on whether there is a terminal.
    pub(crate) log: Option<Level>,
    /// Threads that serve requests; `None` for one per core.
    pub(crate) workers: Option<usize>,
    /// How long requests under way may take to end.
    pub(crate) drain: Duration,
    /// An instance that runs already is replaced.
    pub(crate) take_over: bool,
    /// Which set of choices.
    pub(crate) profile: Profile,
    /// What becomes of responses with Set-Cookie.
    pub(crate) set_cookie: SetCookie,
    /// The fields that outrank Cache-Control, most applicable first.
    pub(crate) targeted: Vec<String>,
    /// How long connecting to the origin may take.
    pub(crate) connect_timeout: Duration,
    /// How long the origin may take to begin its response.
    pub(crate) first_byte_timeout: Duration,
    /// How long the origin may pause within a response.
    pub(crate) between_bytes_timeout: Duration,
    /// Connections to the origin at once.
    pub(crate) origin_connections: usize,
    /// Connections that go on in another protocol.
    pub(crate) tunnels: Tunnels,
    /// Proxies of this name that a request may have come through.
    pub(crate) max_hops: usize,
    /// How much Cache-Status tells.
    pub(crate) cache_status: CacheStatus,
    /// How much content of a QUERY is read; zero for none.
    pub(crate) query_content: ByteSize,
}

impl Serve {
    /// What applies where nothing else was asked for.
    pub(crate) fn new(listen: SocketAddr, origin: OriginUrl) -> Self {
        let limits = Limits::default();
        Self {
            first: listen,
            listen: Some(listen),
            tls: None,
            origin,
            origin_tls: OriginTls::default(),
            clients: Clients::default(),
            http2: Http2Limits::default(),
            bounds: Bounds::default(),
            metrics: None,
            directory: None,
            ttl: Span(Duration::from_mins(5)),
            memory: ByteSize(256 << 20),
            disk: Some(ByteSize(1 << 30)),
            log: None,
            workers: None,
            drain: Duration::from_secs(25),
            take_over: false,
            profile: Profile::Safe,
            set_cookie: SetCookie::Refuse,
            targeted: policy::Rules::default().targeted,
            connect_timeout: limits.connect_timeout,
            first_byte_timeout: limits.first_byte_timeout,
            between_bytes_timeout: limits.between_bytes_timeout,
            origin_connections: limits.origin_connections,
            tunnels: Tunnels::default(),
            max_hops: limits.hops,
            cache_status: CacheStatus::Normal,
            query_content: ByteSize(limits.query_content as u64),
        }
    }
}

/// Whose caches are meant. Nothing given: every one of this user.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Instances {
    /// This directory.
    pub(crate) directory: Option<PathBuf>,
    /// Those of this origin.
    pub(crate) origin: Option<OriginUrl>,
    /// Those of this port, whatever the address.
    pub(crate) port: Option<u16>,
}

/// What to purge, and where.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Purge {
    /// Which responses.
    pub(crate) what: proxy::purge::Purge,
    /// Making them stale is enough.
    pub(crate) soft: bool,
    /// Of which instances.
    pub(crate) instances: Instances,
}

/// Reads the arguments (without the program's name) and the environment.
pub(crate) fn read(args: &[OsString], environment: Lookup<'_>) -> Result<Command, Fault> {
    let name = OsString::from("caching-proxy");
    let matches = match raw::command().try_get_matches_from(std::iter::once(&name).chain(args)) {
        Ok(matches) => matches,
        Err(error) if error.use_stderr() => return Err(Fault::of_clap(&error, args)),
        Err(error) => return Ok(Command::Print(error.render().to_string())),
    };
    let raw = raw::Raw::from_arg_matches(&matches).map_err(|e| Fault::of_clap(&e, args))?;
    check::command(raw, environment)
}

#[cfg(test)]
mod tests;
