//! The fetches under way that others may wait for: one flight for each key.
//!
//! Those who wait learn as soon as the head is there whether the response can be shared, and read the
//! body behind the fill. Usually one request leads a flight; if its fetch fails or takes long, some of
//! those who wait lead it too ([`super::attempts`] says how many), and the first response that can be
//! shared is for all.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use store::Key;
use tokio::sync::watch;
use tokio::time::timeout_at;

use super::attempts::{Attempts, Fault, Waited};
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

/// The fetches for one key that others may wait for.
struct Flight {
    /// The request that began it.
    leader: RequestId,
    /// Those that have asked besides.
    others: Mutex<Vec<RequestId>>,
    state: watch::Sender<State>,
    waiting: AtomicUsize,
}

/// What those who wait need to know.
#[derive(Clone)]
pub(super) enum State {
    /// No head yet that decides.
    Fetching(Attempts),
    /// A response that can be read, complete or while it arrives.
    Shared(Arc<Entry>),
    /// Nothing to share; the status is the origin's, if it answered.
    Private(Option<u16>),
    /// No response.
    Failed(Arc<FetchError>),
    /// A response from before its target was invalidated, which is not for those who come after that.
    Outdated,
}

/// The duty to fetch for all who wait. Dropping it leaves that to others of them.
pub(crate) struct Permit {
    seat: Seat,
    told: OnceLock<Told>,
}

/// What became of a fetch, as those who wait for it have been told.
enum Told {
    Shared,
    Nothing,
}

/// A place among those who wait.
pub(super) struct Place(Seat);

/// A flight, and where it is found.
#[derive(Clone)]
struct Seat {
    flights: Arc<Flights>,
    flight: Arc<Flight>,
    key: Key,
}

/// What part a request has in the fetch for its key.
pub(super) enum Joined {
    Lead(Permit),
    Follow(Place),
    /// Neither: go alone.
    Alone,
    /// As many wait as may.
    Crowded,
}

impl Flight {
    fn led_by(request: &Request) -> Self {
        let (state, _) = watch::channel(State::Fetching(Attempts::first()));
        let (leader, others) = (request.id.clone(), Mutex::default());
        Self { leader, others, state, waiting: AtomicUsize::new(0) }
    }

    /// Whether a request is what its own leader sent out, come back in a loop. The leader waits for it,
    /// so it must not wait for the leader.
    fn is_led_by_sender_of(&self, request: &Request) -> bool {
        self.is_led_by(&request.id) && policy::loops::hops(&request.head.fields) > 0
    }

    fn is_led_by(&self, id: &RequestId) -> bool {
        self.leader == *id || self.others().contains(id)
    }

    fn others(&self) -> MutexGuard<'_, Vec<RequestId>> {
        self.others.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether there may be something to share, but nobody asks for it.
    fn is_vacant(&self) -> bool {
        matches!(&*self.state.borrow(), State::Fetching(attempts) if attempts.is_vacant())
    }

    /// Lets a request lead it too, if it may. Nobody has to hear of that.
    fn begin(&self, request: &Request, permits: usize) -> bool {
        let mut has_begun = false;
        self.state.send_if_modified(|state| {
            if let State::Fetching(attempts) = state {
                has_begun = attempts.begin(permits);
            }
            false
        });
        if has_begun {
            self.others().push(request.id.clone());
        }
        has_begun
    }

    /// Tells those who wait what one of the fetches came to, unless another one has decided before.
    /// Says whether this one decides.
    fn tell(&self, change: impl FnOnce(&mut Attempts) -> Option<State>) -> bool {
        let mut decides = false;
        self.state.send_if_modified(|state| {
            let State::Fetching(attempts) = state else { return false };
            if let Some(over) = change(attempts) {
                *state = over;
                decides = true;
            }
            true
        });
        decides
    }
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
        let seat = |flight| Seat { flights: Arc::clone(self), flight, key: key.clone() };
        if let Some(flight) = shard.get(key) {
            if flight.is_led_by_sender_of(request) {
                return Joined::Alone;
            }
            if flight.is_vacant() && flight.begin(request, 1) {
                return Joined::Lead(Permit::of(seat(Arc::clone(flight))));
            }
            if flight.waiting.fetch_add(1, Ordering::AcqRel) >= most_waiting {
                flight.waiting.fetch_sub(1, Ordering::AcqRel);
                return Joined::Crowded;
            }
            return Joined::Follow(Place(seat(Arc::clone(flight))));
        }
        let flight = Arc::new(Flight::led_by(request));
        shard.insert(key.clone(), Arc::clone(&flight));
        Joined::Lead(Permit::of(seat(flight)))
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

    /// Makes all later requests fetch anew.
    pub(crate) fn detach_all(&self) {
        for shard in &self.shards {
            shard.lock().unwrap_or_else(PoisonError::into_inner).clear();
        }
    }
}

impl Seat {
    /// Makes later requests fetch anew, if `is_over` still says so when nobody can join any more. A
    /// flight that was detached may have been followed by another one for the same key.
    fn detach_if(&self, is_over: impl FnOnce(&Flight) -> bool) {
        let mut shard = self.flights.shard(&self.key);
        let is_there =
            shard.get(&self.key).is_some_and(|current| Arc::ptr_eq(current, &self.flight));
        if is_there && is_over(&self.flight) {
            shard.remove(&self.key);
        }
    }
}

impl Permit {
    fn of(seat: Seat) -> Self {
        Self { seat, told: OnceLock::new() }
    }

    /// Whether someone waits who may not have begun to read yet.
    pub(crate) fn is_awaited(&self) -> bool {
        self.seat.flight.waiting.load(Ordering::Acquire) > 0
    }

    /// There is a response to share.
    pub(crate) fn share(&self, entry: Arc<Entry>) {
        let decides = self.seat.flight.tell(|_| Some(State::Shared(entry)));
        // What another one shares stays there when this one ends.
        let _ = self.told.set(if decides { Told::Shared } else { Told::Nothing });
    }

    /// The response is for the one who asked, and so will be those of others.
    pub(crate) fn release(&self, status: u16) {
        let _ = self.told.set(Told::Nothing);
        self.seat.flight.tell(|_| Some(State::Private(Some(status))));
    }

    /// The response was invalidated on its way: those who wait ask anew.
    pub(crate) fn outdated(&self) {
        let _ = self.told.set(Told::Nothing);
        // First, or one that asks anew at once would come to this flight again. What another one has
        // shared is left there.
        self.seat.detach_if(|flight| matches!(*flight.state.borrow(), State::Fetching(_)));
        self.seat.flight.tell(|_| Some(State::Outdated));
    }

    /// The origin has answered the one who asked with an error.
    pub(crate) fn refused(&self, status: u16) {
        self.in_vain(Fault::Status(status));
    }

    /// There is no response.
    pub(crate) fn fail(&self, error: Arc<FetchError>) {
        self.in_vain(Fault::Error(error));
    }

    fn in_vain(&self, fault: Fault) {
        // Of a response that broke after it was shared they hear as its readers.
        if self.told.set(Told::Nothing).is_err() {
            return;
        }
        self.seat.flight.tell(|attempts| {
            attempts.fail(fault).map(|fault| match fault {
                Fault::Dropped => State::Private(None),
                Fault::Status(status) => State::Private(Some(status)),
                Fault::Error(error) => State::Failed(error),
            })
        });
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.in_vain(Fault::Dropped);
        let has_shared = matches!(self.told.get(), Some(Told::Shared));
        self.seat.detach_if(|flight| match &*flight.state.borrow() {
            State::Fetching(attempts) => {
                attempts.is_vacant() && flight.waiting.load(Ordering::Acquire) == 0
            }
            State::Shared(_) => has_shared,
            State::Private(_) | State::Failed(_) | State::Outdated => true,
        });
    }
}

impl Place {
    /// Waits until something has become of the flight, or something has failed that this request does
    /// not know of, or its patience is over for now.
    pub(super) async fn news(&self, waited: &mut Waited) -> State {
        let mut watched = self.0.flight.state.subscribe();
        let is_news = |state: &State| match state {
            State::Fetching(attempts) => waited.is_news(attempts),
            State::Shared(_) | State::Private(_) | State::Failed(_) | State::Outdated => true,
        };
        let news = timeout_at(waited.until(), watched.wait_for(is_news)).await;
        let state = if let Ok(Ok(state)) = news {
            state.clone()
        } else {
            waited.is_late();
            self.0.flight.state.borrow().clone()
        };
        if let State::Fetching(attempts) = &state {
            waited.knows(attempts);
        }
        state
    }

    /// Leads the flight, if one who has waited so long may.
    pub(super) fn lead(&self, request: &Request, waited: &Waited) -> Option<Permit> {
        let has_begun = self.0.flight.begin(request, waited.permits());
        has_begun.then(|| Permit::of(self.0.clone()))
    }

    /// Makes later requests fetch anew; those who wait already are served as before.
    pub(super) fn detach(&self) {
        self.0.detach_if(|_| true);
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let was_last = self.0.flight.waiting.fetch_sub(1, Ordering::AcqRel) == 1;
        if was_last && self.0.flight.is_vacant() {
            self.0.detach_if(|flight| {
                flight.is_vacant() && flight.waiting.load(Ordering::Acquire) == 0
            });
        }
    }
}

#[cfg(test)]
mod tests;
