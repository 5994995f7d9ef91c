//! What the proxy tells the outside about its work: typed events and counters.
//!
//! This is the only place where a log field or a counter is named.

use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::front::tls::HandshakeFailure;
use crate::front::tunnel::TunnelEnd;

/// A request that was answered. Feeds the access log.
#[derive(Debug)]
pub struct Served<'a> {
    /// The id that also went to the origin and to the client.
    pub request_id: &'a str,
    /// Who asked.
    pub client: IpAddr,
    /// The method.
    pub method: &'a [u8],
    /// The host that was asked for; may be empty.
    pub host: &'a [u8],
    /// Path and query.
    pub target: &'a [u8],
    /// The status the client got.
    pub status: u16,
    /// Whether the content came from the cache.
    pub hit: bool,
    /// Why the response is what it is.
    pub reason: &'static str,
    /// Bytes that were sent, heads included.
    pub bytes: u64,
    /// From the arrival of the request head to the last byte sent.
    pub took: Duration,
    /// The response could not be sent to its end.
    pub cut: bool,
    /// What came of it, if the connection went on in another protocol. [`Served::bytes`] are those of
    /// the tunnel then, and it ended when this is told.
    pub tunnel: Option<Tunnelled>,
}

/// A tunnel that has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tunnelled {
    /// Bytes that came from the client.
    pub received: u64,
    /// How it ended.
    pub end: TunnelEnd,
}

/// Something an operator should know.
#[derive(Debug)]
pub struct Trouble<'a> {
    /// A stable code.
    pub code: &'static str,
    /// The whole story in one line.
    pub message: &'a str,
    /// How often it happened since it was last told.
    pub times: u64,
}

/// Something good to know.
#[derive(Debug)]
pub struct Notice<'a> {
    /// A stable code.
    pub code: &'static str,
    /// The whole story in one line.
    pub message: &'a str,
}

/// Takes the events. Called on the threads that serve requests: it must not wait.
pub trait Recorder: Send + Sync + 'static {
    /// Whether [`Recorder::served`] is of any use; if not, the clock is not even read.
    fn wants_requests(&self) -> bool;
    /// A request was answered.
    fn served(&self, served: &Served<'_>);
    /// Something went wrong; at most once a second per code.
    fn trouble(&self, trouble: &Trouble<'_>);
    /// Something happened that is no trouble. Never called on a thread that serves requests.
    fn notice(&self, _notice: &Notice<'_>) {}
}

/// Counts since the start. One set per worker, so that no two cores write to one cache line.
#[derive(Debug, Default)]
#[repr(align(128))]
pub(crate) struct Counters {
    pub(crate) requests: AtomicU64,
    pub(crate) hits: AtomicU64,
    pub(crate) origin_failures: AtomicU64,
    pub(crate) refused: AtomicU64,
    pub(crate) cut: AtomicU64,
    pub(crate) connections: AtomicU64,
    pub(crate) tunnels: AtomicU64,
    pub(crate) handshakes: AtomicU64,
    pub(crate) handshake_failures: [AtomicU64; HandshakeFailure::ALL.len()],
    pub(crate) bytes: AtomicU64,
}

/// The sums over all workers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Requests answered.
    pub requests: u64,
    /// Those whose content came from the cache.
    pub hits: u64,
    /// Attempts to get a response from the origin that failed.
    pub origin_failures: u64,
    /// Requests the proxy answered itself without store or origin.
    pub refused: u64,
    /// Responses that could not be sent to their end.
    pub cut: u64,
    /// Client connections accepted.
    pub connections: u64,
    /// Connections that went on in another protocol (RFC 9110 §7.8).
    pub tunnels: u64,
    /// TLS handshakes with clients that were completed.
    pub handshakes: u64,
    /// Those that came to nothing, in the order of [`HandshakeFailure::ALL`].
    pub handshake_failures: [u64; HandshakeFailure::ALL.len()],
    /// Bytes sent to clients.
    pub bytes: u64,
}

/// Adds to a counter of the worker whose thread this is: only that one writes, so no lock is taken.
pub(crate) fn add(counter: &AtomicU64, count: u64) {
    counter.store(counter.load(Ordering::Relaxed) + count, Ordering::Relaxed);
}

impl Counts {
    pub(crate) fn include(&mut self, counters: &Counters) {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        self.requests += read(&counters.requests);
        self.hits += read(&counters.hits);
        self.origin_failures += read(&counters.origin_failures);
        self.refused += read(&counters.refused);
        self.cut += read(&counters.cut);
        self.connections += read(&counters.connections);
        self.tunnels += read(&counters.tunnels);
        self.handshakes += read(&counters.handshakes);
        for (sum, counter) in self.handshake_failures.iter_mut().zip(&counters.handshake_failures) {
            *sum += read(counter);
        }
        self.bytes += read(&counters.bytes);
    }
}
