//! The fetches under way that others may wait for: one for each key.
//!
//! Those who wait learn as soon as the head is there whether the response can be shared, and read the
//! body behind the fill.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use store::Key;
use tokio::sync::watch;

use super::{Entry, Request};
use crate::error::FetchError;
use crate::ids::RequestId;

/// How many independent parts the table has; requests for different keys rarely meet.
const SHARDS: usize = 64;

/// The fetches under way, by primary key.
pub(crate) struct Flights {
    shards: Box<[Mutex<Shard>]>,
}

type Shard = HashMap<Key, Arc<Flight>>;

/// One fetch that others may wait for.
pub(super) struct Flight {
    /// The request that leads it.
    leader: RequestId,
    pub(super) state: watch::Sender<State>,
    waiting: AtomicUsize,
}

/// What those who wait need to know.
#[derive(Clone)]
pub(super) enum State {
    /// No head yet.
    Fetching,
    /// A response that can be read, complete or while it arrives.
    Shared(Arc<Entry>),
    /// Nothing to share; the status is the origin's, if it answered.
    Private(Option<u16>),
    /// No response.
    Failed(Arc<FetchError>),
}

/// The duty to fetch for all who wait. Dropping it lets them go.
pub(crate) struct Permit {
    flights: Arc<Flights>,
    flight: Arc<Flight>,
    key: Key,
}

/// What part a request has in the fetch for its key.
pub(super) enum Joined {
    Lead(Permit),
    Follow(Arc<Flight>),
    /// Neither: go alone.
    Alone,
    /// As many wait as may.
    Crowded,
}

/// Whether a request is what its own leader sent out, come back in a loop. The leader waits for it,
/// so it must not wait for the leader.
fn is_own_echo(request: &Request, flight: &Flight) -> bool {
    request.id == flight.leader && policy::loops::hops(&request.head.fields) > 0
}

impl Flights {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self { shards: (0..SHARDS).map(|_| Mutex::default()).collect() })
    }

    fn shard(&self, key: &Key) -> MutexGuard<'_, Shard> {
        let shard = &self.shards[key.hash() as usize % SHARDS];
        shard.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn join(
        self: &Arc<Self>,
        key: &Key,
        request: &Request,
        most_waiting: usize,
    ) -> Joined {
        let mut shard = self.shard(key);
        if let Some(flight) = shard.get(key) {
            if is_own_echo(request, flight) {
                return Joined::Alone;
            }
            if flight.waiting.fetch_add(1, Ordering::Relaxed) >= most_waiting {
                flight.waiting.fetch_sub(1, Ordering::Relaxed);
                return Joined::Crowded;
            }
            return Joined::Follow(Arc::clone(flight));
        }
        let (state, _) = watch::channel(State::Fetching);
        let leader = request.id.clone();
        let flight = Arc::new(Flight { leader, state, waiting: AtomicUsize::new(0) });
        shard.insert(key.clone(), Arc::clone(&flight));
        Joined::Lead(Permit { flights: Arc::clone(self), flight, key: key.clone() })
    }

    /// The response that a fetch under way is bringing, if its head is there.
    pub(crate) fn under_way(&self, key: &Key) -> Option<Arc<Entry>> {
        let flight = self.shard(key).get(key).map(Arc::clone)?;
        let state = flight.state.borrow();
        if let State::Shared(entry) = &*state { Some(Arc::clone(entry)) } else { None }
    }

    /// Makes later requests for a key fetch anew; those who wait already are served as before.
    pub(crate) fn detach(&self, key: &Key) {
        self.shard(key).remove(key);
    }

    /// As [`Flights::detach`], but for this flight alone.
    pub(super) fn detach_one(&self, key: &Key, flight: &Arc<Flight>) {
        let mut shard = self.shard(key);
        if shard.get(key).is_some_and(|current| Arc::ptr_eq(current, flight)) {
            shard.remove(key);
        }
    }

    /// Makes all later requests fetch anew.
    pub(crate) fn detach_all(&self) {
        for shard in &self.shards {
            shard.lock().unwrap_or_else(PoisonError::into_inner).clear();
        }
    }
}

impl Permit {
    /// Whether someone waits who may not have begun to read yet.
    pub(crate) fn is_awaited(&self) -> bool {
        self.flight.waiting.load(Ordering::Acquire) > 0
    }

    /// There is a response to share.
    pub(crate) fn share(&self, entry: Arc<Entry>) {
        self.flight.state.send_replace(State::Shared(entry));
    }

    /// The response is for the one who asked.
    pub(crate) fn release(&self, status: u16) {
        self.flight.state.send_replace(State::Private(Some(status)));
    }

    /// There is no response.
    pub(crate) fn fail(&self, error: Arc<FetchError>) {
        self.flight.state.send_replace(State::Failed(error));
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        // A flight that was detached may have been followed by another one for the same key.
        self.flights.detach_one(&self.key, &self.flight);
        self.flight.state.send_if_modified(|state| {
            let unfinished = matches!(state, State::Fetching);
            if unfinished {
                *state = State::Private(None);
            }
            unfinished
        });
    }
}

/// Counts those who wait for a flight.
pub(super) struct Waiting<'f>(pub(super) &'f Flight);

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.waiting.fetch_sub(1, Ordering::Release);
    }
}
