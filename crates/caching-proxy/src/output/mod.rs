//! What the program says: readable lines on a terminal, lines of JSON anywhere else.
//!
//! Whoever has something to say puts an event into a bounded queue and goes on; a thread of its own
//! formats and writes. When the queue is full the event is dropped and counted, and the count is
//! said: a slow terminal never slows a request.

mod escape;
mod json;
mod queue;
mod terminal;
mod timestamp;

use std::io::IsTerminal;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use proxy::Kind;
use proxy::events::Tunnelled;

use crate::cli::environment::{Lookup, allows_colours};
use crate::units::{ByteSize, Span};

pub(crate) use queue::{Log, Writer, start};
pub(crate) use timestamp::{civil_date, rfc3339};

/// How much is said. Each level says also what those before it say.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Level {
    /// Nothing.
    Off,
    /// What stops it from working.
    Error,
    /// What it can work around.
    Warn,
    /// That it is ready, that it stops.
    Info,
    /// Every request.
    Requests,
}

impl Level {
    /// All of them.
    pub(crate) const ALL: [Self; 5] =
        [Self::Off, Self::Error, Self::Warn, Self::Info, Self::Requests];

    /// The word for it.
    pub(crate) const fn word(self) -> &'static str {
        match self {
            Self::Off => "off",
            Self::Error => "error",
            Self::Warn => "warn",
            Self::Info => "info",
            Self::Requests => "requests",
        }
    }
}

/// How lines look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Style {
    /// For a person.
    Readable {
        /// With colours.
        colours: bool,
    },
    /// For a program: one JSON object a line.
    Json,
}

impl Style {
    /// What suits standard error.
    pub(crate) fn of_stderr(environment: Lookup<'_>) -> Self {
        if std::io::stderr().is_terminal() {
            return Self::Readable { colours: allows_colours(environment) };
        }
        Self::Json
    }

    /// The level when none was asked for.
    pub(crate) const fn usual_level(self) -> Level {
        match self {
            Self::Readable { .. } => Level::Requests,
            Self::Json => Level::Info,
        }
    }
}

/// Something worth a line.
#[derive(Debug)]
pub(crate) enum Event {
    /// Clients can connect.
    Ready(Box<Ready>),
    /// A request was answered.
    Request(Box<Served>),
    /// A signal came, and requests under way are given time to end.
    Draining {
        /// For example `SIGTERM`.
        signal: &'static str,
        /// How long they get.
        limit: Duration,
    },
    /// Another process has taken over, and requests under way are given time to end.
    Replaced {
        /// Its number.
        pid: u32,
        /// How long they get.
        limit: Duration,
    },
    /// Everything has ended.
    Stopped,
    /// The store was emptied through the control socket.
    Cleared {
        /// How many responses it had.
        entries: u64,
        /// What they took.
        bytes: u64,
    },
    /// Something stored was purged through the control socket.
    Purged {
        /// What, in words.
        what: String,
        /// It was only made stale.
        soft: bool,
    },
    /// Something to try.
    Hint(String),
    /// Something good to know.
    Notice {
        /// A stable kebab-case word for programs.
        code: &'static str,
        /// For people.
        message: String,
    },
    /// Something that the proxy can work around.
    Trouble {
        /// A stable kebab-case word for programs.
        code: &'static str,
        /// For people.
        message: String,
        /// How often it happened since it was last said.
        times: u64,
    },
    /// The queue was full.
    Dropped {
        /// How many events were lost.
        count: u64,
    },
}

impl Event {
    /// From which level on it is said.
    pub(crate) fn level(&self) -> Level {
        match self {
            Self::Request(_) => Level::Requests,
            Self::Trouble { .. } | Self::Dropped { .. } => Level::Warn,
            _ => Level::Info,
        }
    }
}

/// What a user wants to know first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Ready {
    /// Where it answers; the first is told first.
    pub(crate) answers: Vec<Place>,
    /// Where it forwards to.
    pub(crate) origin: String,
    /// The instance directory.
    pub(crate) directory: Option<PathBuf>,
    /// The size of the memory tier.
    pub(crate) memory: ByteSize,
    /// The size of the disk tier.
    pub(crate) disk: Option<ByteSize>,
    /// The lifetime of responses that bring none; zero for none.
    pub(crate) ttl: Span,
    /// Threads that serve requests.
    pub(crate) workers: usize,
    /// Connections of clients at once, for each address; `None` if there is no limit.
    pub(crate) connections: Option<usize>,
    /// Where metrics are told.
    pub(crate) metrics: Option<SocketAddr>,
}

impl Ready {
    /// A URL that works on this machine.
    pub(crate) fn url(&self) -> String {
        self.answers.first().map(Place::url).unwrap_or_default()
    }

    /// The first URL where this is spoken.
    pub(crate) fn url_of(&self, kind: Kind) -> Option<String> {
        self.answers.iter().find(|place| place.kind == kind).map(Place::url)
    }

    /// Where a scraper on this machine asks.
    fn metrics_url(&self) -> Option<String> {
        self.metrics.map(|address| format!("http://{}/metrics", reached(address)))
    }
}

/// Where clients come in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    /// What they speak there.
    pub(crate) kind: Kind,
    /// Where that is.
    pub(crate) address: SocketAddr,
}

impl Place {
    fn url(&self) -> String {
        let scheme = match self.kind {
            Kind::Http | Kind::Redirect => "http",
            Kind::Https => "https",
        };
        format!("{scheme}://{}", reached(self.address))
    }
}

/// The unspecified address is reached through loopback.
fn reached(mut address: SocketAddr) -> SocketAddr {
    match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => address.set_ip(Ipv4Addr::LOCALHOST.into()),
        IpAddr::V6(ip) if ip.is_unspecified() => address.set_ip(Ipv6Addr::LOCALHOST.into()),
        _ => {}
    }
    address
}

/// An answered request, as much of it as is said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Served {
    /// As the client wrote it.
    pub(crate) method: Vec<u8>,
    /// The host that was asked for.
    pub(crate) host: Vec<u8>,
    /// Path and query, as the client wrote them.
    pub(crate) target: Vec<u8>,
    /// What the client got.
    pub(crate) status: u16,
    /// Whether the content came from the cache, as in `X-Cache`.
    pub(crate) hit: bool,
    /// The stable code of the reason.
    pub(crate) reason: &'static str,
    /// Bytes sent.
    pub(crate) bytes: u64,
    /// From the arrival of the request's head to the last byte.
    pub(crate) took: Duration,
    /// Who asked.
    pub(crate) client: IpAddr,
    /// As in `X-Request-Id`.
    pub(crate) request_id: String,
    /// Whether the response could not be sent to its end.
    pub(crate) cut: bool,
    /// What came of it if the connection went on in another protocol.
    pub(crate) tunnel: Option<Tunnelled>,
}

impl Served {
    /// As in `X-Cache`.
    const fn verdict(&self) -> &'static str {
        if self.hit { "HIT" } else { "MISS" }
    }
}

#[cfg(test)]
mod tests;
