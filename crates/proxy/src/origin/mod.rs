//! The origin side: connections, their pool, and one request and response over them.

pub(crate) mod connection;
pub(crate) mod content;
pub(crate) mod exchange;
pub(crate) mod outgoing;
mod resolve;
pub(crate) mod tls;
mod unchecked;
mod upload;
mod url;

use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

pub use self::url::{OriginUrl, OriginUrlError};

use self::connection::Connection;
use self::resolve::Resolver;
use self::tls::{Connector, OriginTls, TlsSetupError};
use crate::clock::ticks;
use crate::error::FetchError;
use crate::settings::Limits;

/// What all workers share about an origin.
pub(crate) struct Shared {
    pub(crate) url: OriginUrl,
    pub(crate) authority: String,
    /// The whole URL, as it stands in cache keys.
    pub(crate) name: String,
    pub(crate) limits: Limits,
    resolver: Arc<Resolver>,
    tls: Option<Connector>,
    slots: Arc<Semaphore>,
}

impl Shared {
    pub(crate) fn new(
        url: OriginUrl,
        tls: &OriginTls,
        limits: Limits,
    ) -> Result<Arc<Self>, TlsSetupError> {
        let tls = match url.scheme() {
            crate::head::Scheme::Http => None,
            crate::head::Scheme::Https => Some(Connector::new(url.host(), tls)?),
        };
        Ok(Arc::new(Self {
            resolver: Resolver::new(url.host(), url.port()),
            authority: url.authority(),
            name: url.to_string(),
            slots: Arc::new(Semaphore::new(limits.origin_connections)),
            tls,
            url,
            limits,
        }))
    }
}

/// An origin as one worker uses it: connections never leave their worker.
pub(crate) struct Origin {
    pub(crate) shared: Arc<Shared>,
    /// Last in, first out: a few connections stay warm, the rest ages out.
    idle: Mutex<Vec<Connection>>,
}

impl Origin {
    pub(crate) fn new(shared: Arc<Shared>) -> Arc<Self> {
        Arc::new(Self { shared, idle: Mutex::new(Vec::new()) })
    }

    /// Waits for the right to use one more connection.
    pub(crate) async fn admit(&self) -> Result<OwnedSemaphorePermit, FetchError> {
        let slots = &self.shared.slots;
        if let Ok(permit) = Arc::clone(slots).try_acquire_owned() {
            return Ok(permit);
        }
        let waited = timeout(self.shared.limits.origin_queue, Arc::clone(slots).acquire_owned());
        let busy = || FetchError::Busy { limit: self.shared.limits.origin_connections };
        waited.await.map_err(|_| busy())?.map_err(|_| busy())
    }

    /// A new connection.
    pub(crate) async fn open(&self) -> Result<Connection, FetchError> {
        // Boxed: rare, and larger than all that surrounds it.
        Box::pin(Connection::open(self)).await
    }

    /// A kept connection that is still good.
    pub(crate) fn take_idle(&self) -> Option<Connection> {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        let oldest = ticks().saturating_sub(idle_limit(&self.shared.limits));
        while let Some(mut connection) = idle.pop() {
            if connection.idle_since < oldest {
                // Those below are older still.
                idle.clear();
                return None;
            }
            if connection.is_quiet() {
                return Some(connection);
            }
        }
        None
    }

    /// Keeps a connection for later. The caller vouches that its last exchange ended cleanly.
    pub(crate) fn keep(&self, mut connection: Connection) {
        connection.idle_since = ticks();
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        if idle.len() < self.shared.limits.origin_idle {
            idle.push(connection);
        }
    }

    /// Closes connections that have been idle for too long; called now and then by the worker.
    pub(crate) fn sweep(&self) {
        let oldest = ticks().saturating_sub(idle_limit(&self.shared.limits));
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        idle.retain_mut(|connection| connection.idle_since >= oldest && connection.is_quiet());
    }
}

fn idle_limit(limits: &Limits) -> u64 {
    u64::try_from(limits.origin_idle_timeout.as_millis()).unwrap_or(u64::MAX)
}
