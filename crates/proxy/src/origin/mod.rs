//! The origin side: connections, their pool, and one request and response over them.

mod budget;
pub(crate) mod connection;
pub(crate) mod content;
pub(crate) mod exchange;
mod http2;
mod named;
pub(crate) mod outgoing;
mod patience;
mod resolve;
pub(crate) mod switch;
pub(crate) mod tls;
mod unchecked;
mod upload;
mod url;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

pub use self::url::{OriginUrl, OriginUrlError, Protocol};

use self::budget::Budget;
use self::connection::{Connection, Opened};
use self::resolve::Resolver;
use self::tls::{Connector, OriginTls, TlsSetupError};
use crate::clock::{in_ticks, ticks};
use crate::error::FetchError;
use crate::seats::Seats;
use crate::settings::Limits;

/// What all workers share about an origin.
pub(crate) struct Shared {
    pub(crate) url: OriginUrl,
    pub(crate) authority: String,
    /// The whole URL, as it stands in cache keys.
    pub(crate) name: String,
    pub(crate) limits: Limits,
    pub(crate) seats: Arc<Seats>,
    resolver: Arc<Resolver>,
    /// How TLS is spoken there, if it is.
    pub(crate) tls: Option<Arc<Connector>>,
    slots: Arc<Semaphore>,
    /// What many connections hold for a slow side is bounded by giving each of them little. Few may
    /// read much at once, from clients or from the origin...
    large_readers: Arc<Semaphore>,
    /// ...and few copy much for clients: apart, for they may be slow.
    pub(crate) large_copies: Arc<Semaphore>,
    budget: Budget,
}

/// How many they are of each, over all workers.
const LARGE: usize = 32;

impl Shared {
    pub(crate) fn new(
        url: OriginUrl,
        tls: &OriginTls,
        limits: Limits,
        seats: Arc<Seats>,
    ) -> Result<Arc<Self>, TlsSetupError> {
        let tls = match url.scheme() {
            crate::head::Scheme::Http => None,
            crate::head::Scheme::Https => Some(Connector::new(url.host(), tls, url.protocol())?),
        };
        Ok(Arc::new(Self {
            resolver: Resolver::new(url.host(), url.port()),
            authority: url.authority(),
            name: url.to_string(),
            budget: Budget::default(),
            slots: Arc::new(Semaphore::new(limits.origin_connections)),
            large_readers: Arc::new(Semaphore::new(LARGE)),
            large_copies: Arc::new(Semaphore::new(LARGE)),
            tls,
            url,
            limits,
            seats,
        }))
    }
}

impl Shared {
    /// The right to read much at once, as long as not too many have it.
    pub(crate) fn reads_much(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.large_readers).try_acquire_owned().ok()
    }

    /// Requests that were sent once more.
    pub(crate) fn retries(&self) -> u64 {
        self.budget.spent()
    }

    /// Connections that are in use.
    pub(crate) fn in_use(&self) -> usize {
        self.limits.origin_connections.saturating_sub(self.slots.available_permits())
    }

    /// Whether the origin chooses what is spoken.
    fn may_speak_either(&self) -> bool {
        self.url.protocol() == Protocol::Auto && self.tls.is_some()
    }

    /// Whether an answer may come by HTTP/2.
    pub(crate) fn may_speak_http2(&self) -> bool {
        match self.url.protocol() {
            Protocol::Auto => self.tls.is_some(),
            Protocol::Http1 => false,
            Protocol::Http2 => true,
        }
    }
}

/// An origin as one worker uses it: connections never leave their worker.
pub(crate) struct Origin {
    pub(crate) shared: Arc<Shared>,
    /// Last in, first out: a few connections stay warm, the rest ages out.
    idle: Mutex<Vec<Connection>>,
    /// Connections by HTTP/2.
    lines: http2::Lines,
    /// Held while a connection is made that many may be going to use.
    opening: tokio::sync::Mutex<()>,
    /// The origin has chosen HTTP/1.1.
    chose_http1: AtomicBool,
}

impl Origin {
    pub(crate) fn new(shared: Arc<Shared>) -> Arc<Self> {
        Arc::new(Self {
            shared,
            idle: Mutex::new(Vec::new()),
            lines: http2::Lines::default(),
            opening: tokio::sync::Mutex::new(()),
            chose_http1: AtomicBool::new(false),
        })
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

    /// A new connection for HTTP/1.1.
    pub(crate) async fn open(&self) -> Result<Connection, FetchError> {
        // Boxed: rare, and larger than all that surrounds it.
        Box::pin(Connection::open(self, Protocol::Http1)).await
    }

    /// A place on a connection by HTTP/2, or that there is none to be had. Where many would begin at
    /// the same moment, one makes the connection and the others wait for it, as long as connecting may
    /// take.
    async fn place(&self, has_content: bool) -> Result<Opened, FetchError> {
        if let Some(place) = self.lines.place(has_content) {
            return Ok(Opened::Http2(place));
        }
        if self.chose_http1.load(Ordering::Relaxed) {
            if let Some(kept) = self.take_idle() {
                self.keep(kept);
                return Ok(Opened::Http1(None));
            }
            return self.open_either().await;
        }
        // Where connecting fails, those who wait would else do so one after the other.
        let patience = self.shared.limits.connect_timeout;
        let _opening = timeout(patience, self.opening.lock()).await;
        match self.lines.place(has_content) {
            Some(place) => Ok(Opened::Http2(place)),
            None => self.open_either().await,
        }
    }

    async fn open_either(&self) -> Result<Opened, FetchError> {
        let opened = Box::pin(Opened::open(self)).await?;
        self.chose_http1.store(matches!(opened, Opened::Http1(_)), Ordering::Relaxed);
        Ok(opened)
    }

    /// A kept connection that is still good.
    pub(crate) fn take_idle(&self) -> Option<Connection> {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        let oldest = ticks().saturating_sub(in_ticks(self.shared.limits.origin_idle_timeout));
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
        connection.expect_little();
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        if idle.len() < self.shared.limits.origin_idle {
            idle.push(connection);
        }
    }

    /// Closes the idle connections, for want of descriptors.
    pub(crate) fn let_go(&self) {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    /// Closes connections that have been idle for too long; called now and then by the worker.
    pub(crate) fn sweep(&self) {
        let oldest = ticks().saturating_sub(in_ticks(self.shared.limits.origin_idle_timeout));
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        idle.retain_mut(|connection| connection.idle_since >= oldest && connection.is_quiet());
        drop(idle);
        self.lines.sweep(oldest);
    }
}
