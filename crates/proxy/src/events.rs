//! What the proxy tells the outside about its work: typed events and counters.
//!
//! This is the only place where a log field or a counter is named.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::failure::Failure;
use crate::front::tls::HandshakeFailure;
use crate::front::tunnel::TunnelEnd;
use crate::outcomes::{self, Answered, Outcome, Outcomes};
use crate::tally::Tally;

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
    pub(crate) outcomes: Outcomes,
    pub(crate) failures: Tally<{ Failure::ALL.len() }>,
    pub(crate) cut: AtomicU64,
    pub(crate) connections: AtomicU64,
    pub(crate) tunnels: AtomicU64,
    pub(crate) handshakes: AtomicU64,
    pub(crate) handshake_failures: Tally<{ HandshakeFailure::ALL.len() }>,
    pub(crate) bytes: AtomicU64,
}

/// The sums over all workers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Counts {
    /// Requests answered.
    pub requests: u64,
    /// Those whose content came from the cache.
    pub hits: u64,
    /// Those that the proxy answered itself without store or origin.
    pub refused: u64,
    /// All of them by how they were answered, and why; also codes that have not come up.
    pub outcomes: Vec<Outcome>,
    /// Attempts to get a response from the origin that failed.
    pub origin_failures: u64,
    /// The same for each reason, in the order of [`Failure::ALL`].
    pub failures: [u64; Failure::ALL.len()],
    /// Requests that were sent to the origin once more.
    pub origin_retries: u64,
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

impl Counts {
    /// The sums over the counters of all workers.
    pub(crate) fn of(all: &[Arc<Counters>], origin_retries: u64) -> Self {
        let sum = |counter: fn(&Counters) -> &AtomicU64| {
            all.iter().map(|counters| counter(counters).load(Ordering::Relaxed)).sum()
        };
        let (mut failures, mut handshake_failures) =
            ([0; Failure::ALL.len()], [0; HandshakeFailure::ALL.len()]);
        for counters in all {
            counters.failures.add_to(&mut failures);
            counters.handshake_failures.add_to(&mut handshake_failures);
        }
        let outcomes = outcomes::sum(all.iter().map(|counters| &counters.outcomes));
        let answered = |is_meant: fn(Answered) -> bool| {
            let meant = outcomes.iter().filter(|outcome| is_meant(outcome.answered));
            meant.map(|outcome| outcome.requests).sum()
        };
        Self {
            requests: sum(|counters| &counters.requests),
            hits: answered(Answered::is_hit),
            refused: answered(|answered| answered == Answered::Refused),
            origin_failures: failures.iter().sum(),
            failures,
            origin_retries,
            cut: sum(|counters| &counters.cut),
            connections: sum(|counters| &counters.connections),
            tunnels: sum(|counters| &counters.tunnels),
            handshakes: sum(|counters| &counters.handshakes),
            handshake_failures,
            bytes: sum(|counters| &counters.bytes),
            outcomes,
        }
    }
}
