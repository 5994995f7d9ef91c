//! From the origin's name to its addresses, without making requests wait for a name server.

use std::future::Future;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::net::lookup_host;
use tokio::sync::watch;
use tokio::time::timeout;

use crate::clock::ticks;
use crate::error::FetchError;

/// Addresses younger than this are used as they are.
const FRESH: Duration = Duration::from_secs(30);
/// Addresses that could not be renewed are used for this long.
const USABLE: Duration = Duration::from_hours(1);
/// How long a request waits for a look-up.
const PATIENCE: Duration = Duration::from_secs(4);
/// A look-up that failed is not repeated for so long. A name server is not asked once for each request
/// then, and a name that is known at last, as when all of a site starts together, is found soon.
const FAILED: Duration = Duration::from_secs(1);
/// A look-up that has not ended after so long is given up for lost, and another one begins. Until then
/// it holds a thread, for the system's resolver cannot be told to stop.
const LOST: Duration = Duration::from_secs(30);

/// What a look-up brings.
type Answer = io::Result<Arc<[SocketAddr]>>;

/// The addresses of one host, shared by all workers.
///
/// After the first look-up no request waits for another: aged addresses are used while they are
/// renewed in the background, and the last good ones stay in use while the name server fails. There is
/// one look-up at a time, however many wait for it, and what it brings counts also where nobody
/// waited so long.
#[derive(Debug)]
pub(crate) struct Resolver {
    host: String,
    port: u16,
    state: Mutex<State>,
    /// Told when a look-up has ended.
    ended: watch::Sender<()>,
}

#[derive(Debug, Default)]
struct State {
    known: Option<Known>,
    /// What became of the last look-up, if it failed.
    failed: Option<Failed>,
    /// When the look-up began that is under way, in ticks.
    began: Option<u64>,
}

#[derive(Clone, Debug)]
struct Known {
    addresses: Arc<[SocketAddr]>,
    at: u64,
}

#[derive(Debug)]
struct Failed {
    error: Arc<io::Error>,
    at: u64,
}

impl Resolver {
    pub(crate) fn new(host: &str, port: u16) -> Arc<Self> {
        let literal = host.parse::<IpAddr>().ok();
        let known = literal.map(|address| Known {
            addresses: [SocketAddr::new(address, port)].into(),
            at: u64::MAX,
        });
        let state = Mutex::new(State { known, ..State::default() });
        Arc::new(Self { host: host.to_owned(), port, state, ended: watch::Sender::new(()) })
    }

    /// The addresses to try, in order.
    pub(crate) async fn addresses(self: &Arc<Self>) -> Result<Arc<[SocketAddr]>, FetchError> {
        let this = Arc::clone(self);
        self.addresses_from(|| async move {
            Ok(lookup_host((this.host.as_str(), this.port)).await?.collect())
        })
        .await
    }

    /// The same, from whoever is asked if that is needed.
    async fn addresses_from<F>(
        self: &Arc<Self>,
        ask: impl FnOnce() -> F,
    ) -> Result<Arc<[SocketAddr]>, FetchError>
    where
        F: Future<Output = Answer> + Send + 'static,
    {
        let mut ended = self.ended.subscribe();
        let now = ticks();
        let (usable, is_due) = {
            let mut state = self.state();
            let usable = state.usable(now);
            let recent = state.failed.as_ref().filter(|failed| !is_older(failed.at, FAILED, now));
            if let (None, Some(failed)) = (&usable, recent) {
                return Err(self.failure(failed));
            }
            let fresh = usable.as_ref().is_some_and(|known| !is_older(known.at, FRESH, now));
            (usable, !fresh && recent.is_none() && state.begin(now))
        };
        if is_due {
            self.look_up(ask());
        }
        if let Some(known) = usable {
            return Ok(known.addresses);
        }
        let waited = timeout(PATIENCE, ended.changed()).await;
        let state = self.state();
        match (waited, state.usable(ticks()), &state.failed) {
            (Ok(_), Some(known), _) => Ok(known.addresses),
            (Ok(_), None, Some(failed)) => Err(self.failure(failed)),
            _ => Err(FetchError::ResolveTimeout { host: self.host.clone(), limit: PATIENCE }),
        }
    }

    /// Looks the name up, in a task of its own: nobody who leaves takes the answer along.
    fn look_up<F>(self: &Arc<Self>, answer: F)
    where
        F: Future<Output = Answer> + Send + 'static,
    {
        let this = Arc::clone(self);
        tokio::spawn(async move {
            let answer = answer.await;
            this.state().end(answer, ticks());
            this.ended.send_replace(());
        });
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn failure(&self, failed: &Failed) -> FetchError {
        FetchError::Resolve { host: self.host.clone(), source: Arc::clone(&failed.error) }
    }
}

impl State {
    fn usable(&self, now: u64) -> Option<Known> {
        self.known.clone().filter(|known| !is_older(known.at, USABLE, now))
    }

    /// Says whether a look-up is to begin: none is under way.
    fn begin(&mut self, now: u64) -> bool {
        let is_under_way = self.began.is_some_and(|began| !is_older(began, LOST, now));
        if !is_under_way {
            self.began = Some(now);
        }
        !is_under_way
    }

    /// A failure leaves the last good addresses in place until they are too old.
    fn end(&mut self, answer: Answer, now: u64) {
        self.began = None;
        match answer {
            Ok(addresses) => {
                self.known = Some(Known { addresses, at: now });
                self.failed = None;
            }
            Err(error) => self.failed = Some(Failed { error: Arc::new(error), at: now }),
        }
    }
}

/// Whether it is longer ago than this.
fn is_older(at: u64, than: Duration, now: u64) -> bool {
    Duration::from_millis(now.saturating_sub(at)) > than
}

#[cfg(test)]
mod tests;
