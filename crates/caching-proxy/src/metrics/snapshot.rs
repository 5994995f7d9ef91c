//! All numbers at one moment.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};

use policy::Timestamp;
use proxy::events::Counts;
use proxy::failure::Failure;
use proxy::{CertificateInfo, ConnectionCounts, Handle};

/// Where the numbers of this process come from.
pub(crate) struct Source {
    handle: Handle,
    /// When the process began.
    started: Timestamp,
    /// How often a process has taken over, from the first one of the line to this one.
    takeovers: u64,
    /// How often another wanted to take over from this one, in vain.
    pub(crate) failed_takeovers: AtomicU64,
}

/// The numbers.
#[derive(Clone, Debug)]
pub(crate) struct Snapshot {
    pub(crate) started: Timestamp,
    pub(crate) counts: Counts,
    pub(crate) listeners: Vec<(SocketAddr, ConnectionCounts)>,
    pub(crate) open_tunnels: u64,
    pub(crate) origin_connections: u64,
    pub(crate) store: store::Stats,
    pub(crate) certificates: Vec<CertificateInfo>,
    pub(crate) origin_certificate: Option<CertificateInfo>,
    pub(crate) troubles: Vec<(&'static str, u64)>,
    pub(crate) takeovers: u64,
    pub(crate) failed_takeovers: u64,
}

impl Snapshot {
    /// Failures of the origin by their code; those that are no failures of the origin are left out.
    pub(crate) fn origin_failures(&self) -> impl Iterator<Item = (&'static str, u64)> {
        let failures = Failure::ALL.iter().zip(self.counts.failures);
        let failures = failures.filter(|(why, _)| why.is_of_origin());
        failures.map(|(why, count)| (why.code(), count))
    }
}

impl Source {
    pub(crate) fn new(handle: Handle, started: Timestamp, takeovers: u64) -> Self {
        Self { handle, started, takeovers, failed_takeovers: AtomicU64::new(0) }
    }

    /// Reads them all.
    pub(crate) fn read(&self) -> Snapshot {
        let handle = &self.handle;
        Snapshot {
            started: self.started,
            counts: handle.counts(),
            listeners: handle.connections_of_listeners(),
            open_tunnels: handle.open_tunnels() as u64,
            origin_connections: handle.origin_connections() as u64,
            store: handle.store_stats(),
            certificates: handle.certificates(),
            origin_certificate: handle.origin_certificate(),
            troubles: handle.troubles(),
            takeovers: self.takeovers,
            failed_takeovers: self.failed_takeovers.load(Ordering::Relaxed),
        }
    }
}
