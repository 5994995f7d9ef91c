//! What a proxy is started with: typed values that are already checked.

use std::net::SocketAddr;
use std::time::Duration;

use policy::Rules;
use policy::forwarded::Trust;

use crate::clock::Clock;
use crate::origin::OriginUrl;
use crate::origin::tls::OriginTls;
use crate::tls::TlsSettings;

/// Everything a running proxy needs to know.
pub struct Settings {
    /// Where to listen, and what is spoken there.
    pub listen: Vec<Listen>,
    /// Where requests are forwarded to.
    pub origin: OriginUrl,
    /// How TLS is spoken there, if the URL says so.
    pub origin_tls: OriginTls,
    /// Threads that serve requests, each with its own listener and origin connections.
    pub workers: usize,
    /// Where responses are kept.
    pub store: store::Options,
    /// The caching rules of the one site.
    pub rules: Rules,
    /// What clients are believed, and what the origin is told of them.
    pub clients: Clients,
    /// How long each thing may take and how much of it there may be.
    pub limits: Limits,
    /// Where the time comes from.
    pub clock: Clock,
}

/// What clients are believed about themselves, and what the origin is told of them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Clients {
    /// The proxies in front whose word counts.
    pub trust: Trust,
    /// What the origin is told.
    pub told: Told,
    /// Every connection begins with a header of the PROXY protocol, version 1 or 2. Where proxies are
    /// named in [`Clients::trust`], it has to come from one of them.
    pub proxy_protocol: bool,
}

/// The fields by which the origin is told who asked, and for what.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Told {
    /// `X-Forwarded-For`, `X-Forwarded-Host` and `X-Forwarded-Proto`.
    #[default]
    XForwarded,
    /// `Forwarded` (RFC 7239).
    Forwarded,
    /// All of them.
    Both,
    /// None of them.
    Nothing,
}

/// A listener.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listen {
    /// Where; port 0 lets the system pick one.
    pub address: SocketAddr,
    /// What.
    pub speaks: Speaks,
}

/// The kind of what is spoken on a listener.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// HTTP.
    Http,
    /// HTTP inside TLS.
    Https,
    /// HTTP, to be sent on to HTTPS.
    Redirect,
}

impl Listen {
    /// Plain HTTP.
    pub const fn plain(address: SocketAddr) -> Self {
        Self { address, speaks: Speaks::Http }
    }
}

/// What is spoken on a listener.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Speaks {
    /// HTTP.
    Http,
    /// HTTP inside TLS.
    Https(TlsSettings),
    /// HTTP, to tell every client to come by HTTPS: to this port, or to that of the first listener
    /// with TLS before it.
    Redirect(Option<u16>),
}

impl Speaks {
    /// Its kind.
    pub const fn kind(&self) -> Kind {
        match self {
            Self::Http => Kind::Http,
            Self::Https(_) => Kind::Https,
            Self::Redirect(_) => Kind::Redirect,
        }
    }
}

/// The bounds on every wait and every queue, by the names used in documents and errors.
#[derive(Clone, Debug)]
pub struct Limits {
    /// The bounds on message heads and chunk framing.
    pub http1: http1::Limits,
    /// How long a client's TLS handshake may take.
    pub handshake_timeout: Duration,
    /// The bounds on what a connection may do by HTTP/2.
    pub http2: Http2Limits,
    /// From the first byte of a request head to its last.
    pub head_timeout: Duration,
    /// How long a client connection may wait for its next request.
    pub idle_timeout: Duration,
    /// The time in which `body_pace` of a client's content has to come.
    pub body_timeout: Duration,
    /// Bytes of content in each `body_timeout`. `None`: 1 KiB where its length is announced, and any at
    /// all where it is not.
    pub body_pace: Option<usize>,
    /// How long a client may accept no byte of a response.
    pub write_timeout: Duration,
    /// Silence after which the system probes a connection, of a client or to the origin. It is given up
    /// after twice that; or after twice the time-out for that side, if that is longer (`write_timeout` for
    /// clients, the longer of `first_byte_timeout` and `between_bytes_timeout` for the origin).
    pub tcp_keepalive: Duration,
    /// How long one attempt to connect to the origin may take, without TLS.
    pub connect_timeout: Duration,
    /// How long the TLS handshake with the origin may take.
    pub tls_timeout: Duration,
    /// From the end of the request to the response head.
    pub first_byte_timeout: Duration,
    /// How long the origin may pause within a body.
    pub between_bytes_timeout: Duration,
    /// Connections to the origin at once, over all workers; tunnels are not among them.
    pub origin_connections: usize,
    /// Connections that have gone on in another protocol (RFC 9110 §7.8), over all workers; if this is
    /// 0, none ever does.
    pub tunnels: usize,
    /// How long nothing may come from either side of a tunnel.
    pub tunnel_idle: Duration,
    /// Idle origin connections that one worker keeps.
    pub origin_idle: usize,
    /// How long an idle origin connection is kept.
    pub origin_idle_timeout: Duration,
    /// How long an origin may say nothing by HTTP/2, while requests wait, before it is sent a PING...
    pub origin_ping: Duration,
    /// ...and how long it may take to answer that before its connection is given up.
    pub origin_pong: Duration,
    /// How long a request may wait for one of [`Limits::origin_connections`].
    pub origin_queue: Duration,
    /// How long a request waits for another's fetch of the same key before it may fetch too. So may
    /// more of those who wait, each tenth of it.
    pub collapse_wait: Duration,
    /// Requests that may wait for one key.
    pub collapse_waiters: usize,
    /// How long a key whose response could not be shared is fetched without waiting for others.
    pub uncacheable_memory: Duration,
    /// Stale responses that are refreshed in the background at once, over all workers. A request that
    /// would begin another one leaves that to a later one.
    pub refreshes: usize,
    /// How long a stale response is not refreshed again after its refresh failed.
    pub refresh_pause: Duration,
    /// Informational responses forwarded for one request.
    pub informational: usize,
    /// How many proxies of this name a request may have come through; more is taken for a loop.
    pub hops: usize,
    /// Bytes of the content of a QUERY that are read to look for its response; with more, or if this
    /// is 0, it is only passed on.
    pub query_content: usize,
    /// Requests on one client connection by HTTP/1.1, up to a tenth more or less.
    pub requests_per_connection: u64,
    /// How long a client connection may last, up to a tenth more or less: it ends after the response
    /// that it is at.
    pub connection_age: Duration,
    /// The bounds on the number of client connections.
    pub connections: ConnectionLimits,
    /// Bytes of content of a request; more is refused. `None`: as many as it likes.
    pub request_content: Option<u64>,
    /// Bytes of content of a response from the origin; more is cut off. `None`: as many as it likes.
    pub response_content: Option<u64>,
}

/// The bounds on the number of client connections.
#[derive(Clone, Debug)]
pub struct ConnectionLimits {
    /// Connections at once, over all listeners and workers.
    pub total: usize,
    /// Connections at once of one listener, over all workers.
    pub listener: usize,
    /// Connections at once of one client: of an address, or of a network of 64 bits in IPv6. `None`:
    /// as many as it likes.
    pub client: Option<usize>,
    /// How long an idle connection is kept where more than 80 % of the connections, or of the file
    /// descriptors, are in use.
    pub crowded_idle: Duration,
    /// How long a connection has to be idle before it makes way for another one.
    pub spared_idle: Duration,
    /// How long a connection that is one too many may take to ask, and so to be told.
    pub refusal_timeout: Duration,
}

/// The bounds on one HTTP/2 connection of a client. Whoever goes beyond one that protects the proxy
/// is told `ENHANCE_YOUR_CALM`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Http2Limits {
    /// Requests on one connection, one after the other and at once. Many more than by HTTP/1.1: there
    /// are few connections, and some clients make no other when they are told to.
    pub requests: u64,
    /// Requests at once.
    pub streams: u32,
    /// The same on a connection that is made while nearly all that are permitted are in use.
    pub crowded_streams: u32,
    /// Bytes of a header list, each field counted as its name, its value and 32 bytes more.
    pub header_list: u32,
    /// Fields of a request; those of its name and value are bounded as in HTTP/1.1.
    pub fields: usize,
    /// Lines into which a client may split its cookie beside them.
    pub cookie_crumbs: usize,
    /// CONTINUATION frames of one header block, unless the header list needs more.
    pub continuations: u32,
    /// Streams reset by either side in [`Http2Limits::resets_per`].
    pub resets: usize,
    /// The time in which they are counted.
    pub resets_per: Duration,
    /// Streams that the client reset before they were looked at.
    pub pending_resets: usize,
    /// Frames that carry no request and no content, in [`Http2Limits::control_frames_per`]: PING,
    /// SETTINGS, PRIORITY, CONTINUATION, empty DATA, unknown ones, and those that open a window for little
    /// content.
    pub control_frames: usize,
    /// The time in which they are counted.
    pub control_frames_per: Duration,
    /// Bytes of content that a client may send before they are taken, for one stream...
    pub stream_window: u32,
    /// ...and for all of them, where more than one upload is under way...
    pub connection_window: u32,
    /// ...as long as all connections together have no more than this beyond one stream each.
    pub common_window: usize,
    /// How long the window of a stream may be closed to a response that has more...
    pub stream_stall: Duration,
    /// ...and that of the connection, or the socket, to all of them.
    pub connection_stall: Duration,
}

impl Default for ConnectionLimits {
    fn default() -> Self {
        Self {
            total: usize::MAX,
            listener: usize::MAX,
            client: None,
            crowded_idle: Duration::from_secs(5),
            spared_idle: Duration::from_secs(1),
            refusal_timeout: Duration::from_secs(1),
        }
    }
}

impl Default for Http2Limits {
    fn default() -> Self {
        Self {
            requests: 1_000_000,
            streams: 100,
            crowded_streams: 20,
            header_list: 32 << 10,
            fields: 128,
            cookie_crumbs: 256,
            continuations: 5,
            resets: 100,
            resets_per: Duration::from_secs(30),
            pending_resets: 20,
            control_frames: 1000,
            control_frames_per: Duration::from_secs(10),
            stream_window: 64 << 10,
            connection_window: 1 << 20,
            common_window: 2 << 20,
            stream_stall: Duration::from_secs(30),
            connection_stall: Duration::from_mins(1),
        }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            http1: http1::Limits::default(),
            handshake_timeout: Duration::from_secs(10),
            http2: Http2Limits::default(),
            head_timeout: Duration::from_secs(10),
            idle_timeout: Duration::from_secs(75),
            body_timeout: Duration::from_secs(30),
            body_pace: None,
            write_timeout: Duration::from_secs(30),
            tcp_keepalive: Duration::from_secs(30),
            connect_timeout: Duration::from_millis(3500),
            tls_timeout: Duration::from_secs(5),
            first_byte_timeout: Duration::from_mins(1),
            between_bytes_timeout: Duration::from_secs(30),
            origin_connections: 512,
            tunnels: 10_000,
            tunnel_idle: Duration::from_hours(1),
            origin_idle: 128,
            origin_idle_timeout: Duration::from_secs(30),
            origin_ping: Duration::from_secs(10),
            origin_pong: Duration::from_secs(15),
            origin_queue: Duration::from_secs(1),
            collapse_wait: Duration::from_secs(10),
            collapse_waiters: 10_000,
            uncacheable_memory: Duration::from_mins(2),
            refreshes: 64,
            refresh_pause: Duration::from_secs(1),
            informational: 8,
            hops: 16,
            query_content: 64 << 10,
            requests_per_connection: 10_000,
            connection_age: Duration::from_hours(1),
            connections: ConnectionLimits::default(),
            request_content: None,
            response_content: None,
        }
    }
}
