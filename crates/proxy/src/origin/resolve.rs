//! From the origin's name to its addresses, without making requests wait for a name server.

use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::net::lookup_host;
use tokio::time::timeout;

use crate::clock::ticks;
use crate::error::FetchError;

/// Addresses younger than this are used as they are.
const FRESH: Duration = Duration::from_secs(30);
/// Addresses that could not be renewed are used for this long.
const USABLE: Duration = Duration::from_hours(1);
/// How long one look-up may take.
const PATIENCE: Duration = Duration::from_secs(4);

/// The addresses of one host, shared by all workers.
///
/// After the first look-up no request waits for another: aged addresses are used while they are
/// renewed in the background, and the last good ones stay in use while the name server fails.
#[derive(Debug)]
pub(crate) struct Resolver {
    host: String,
    port: u16,
    known: Mutex<Option<Known>>,
    renewing: AtomicBool,
}

#[derive(Clone, Debug)]
struct Known {
    addresses: Arc<[SocketAddr]>,
    at: u64,
}

impl Resolver {
    pub(crate) fn new(host: &str, port: u16) -> Arc<Self> {
        let literal = host.parse::<IpAddr>().ok();
        let known = literal.map(|address| Known {
            addresses: [SocketAddr::new(address, port)].into(),
            at: u64::MAX,
        });
        Arc::new(Self {
            host: host.to_owned(),
            port,
            known: Mutex::new(known),
            renewing: AtomicBool::new(false),
        })
    }

    /// The addresses to try, in order.
    pub(crate) async fn addresses(self: &Arc<Self>) -> Result<Arc<[SocketAddr]>, FetchError> {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let Some(known) = known else { return self.look_up().await };
        let age = Duration::from_millis(ticks().saturating_sub(known.at));
        if age > USABLE {
            return self.look_up().await;
        }
        if age > FRESH && !self.renewing.swap(true, Ordering::AcqRel) {
            let this = Arc::clone(self);
            tokio::spawn(async move {
                // A failure leaves the last good addresses in place until they are too old.
                let _ = this.look_up().await;
                this.renewing.store(false, Ordering::Release);
            });
        }
        Ok(known.addresses)
    }

    async fn look_up(&self) -> Result<Arc<[SocketAddr]>, FetchError> {
        let found = timeout(PATIENCE, lookup_host((self.host.as_str(), self.port)))
            .await
            .map_err(|_| FetchError::ResolveTimeout { host: self.host.clone(), limit: PATIENCE })?
            .map_err(|source| FetchError::Resolve { host: self.host.clone(), source })?;
        let addresses: Arc<[SocketAddr]> = found.collect();
        let known = Known { addresses: Arc::clone(&addresses), at: ticks() };
        *self.known.lock().unwrap_or_else(PoisonError::into_inner) = Some(known);
        Ok(addresses)
    }
}
