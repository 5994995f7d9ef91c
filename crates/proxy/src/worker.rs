//! One thread that serves requests, and what it shares with the others.

use std::future::poll_fn;
use std::net::SocketAddr;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use policy::reason::NotStored;
use policy::{Rules, Timestamp};
use store::{Cleared, Key, Meta as _, Store};
use tokio::net::TcpStream;
use tokio::sync::{Notify, Semaphore, mpsc};
use tokio::time::sleep;

use crate::clock::Clock;
use crate::descriptors;
use crate::draining::Draining;
use crate::entry::StoredHead;
use crate::error::Broken;
use crate::error::FetchError;
use crate::events::{Counters, Recorder};
use crate::front::http2::Behind;
use crate::front::{self, Front, listener};
use crate::ids::Ids;
use crate::origin::Origin;
use crate::request::aliases::Aliases;
use crate::request::doubts::Doubts;
use crate::request::flights::Flights;
use crate::request::invalidations::{Began, Invalidations, Noted};
use crate::request::key_memory::KeyMemory;
use crate::request::part_fill::PartFills;
use crate::seats::{Seat, Seats};
use crate::settings::{Clients, Limits};
use crate::succession::Succession;
use crate::tally::add;
use crate::trouble::Troubles;

/// How long accepting pauses when hardly any file descriptors are left: first for no longer than it
/// takes somebody to make way, then for twice as long each time, up to this...
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// ...and how long in all, before the one who waits is told.
const ACCEPT_PATIENCE: Duration = Duration::from_secs(1);
/// How long a connection is looked at, when no patience is left, for what has arrived already.
const LAST_LOOK: Duration = Duration::from_millis(50);
/// How often a connection that is kept while draining asks whether there is a hurry by now.
const RECONSIDER: Duration = Duration::from_millis(500);

/// What all workers share.
pub(crate) struct Shared {
    pub(crate) store: Store<StoredHead>,
    pub(crate) rules: Rules,
    pub(crate) clients: Clients,
    pub(crate) limits: Limits,
    pub(crate) clock: Clock,
    pub(crate) flights: Arc<Flights>,
    /// Keys whose responses could not be shared lately: requests for them do not wait.
    pub(crate) uncacheable: KeyMemory,
    /// Keys of which only parts are stored, which cannot be combined with what the origin adds.
    pub(crate) uncombinable: KeyMemory,
    /// Keys whose resource an unsafe request may still change: nothing is stored for them.
    pub(crate) doubtful: Doubts,
    /// Keys whose refresh in the background has just failed.
    pub(crate) unrefreshable: KeyMemory,
    /// Parts that are being stored.
    pub(crate) part_fills: Arc<PartFills>,
    pub(crate) invalidations: Invalidations,
    /// Which stored responses may answer for other URLs.
    pub(crate) aliases: Aliases,
    pub(crate) recorder: Arc<dyn Recorder>,
    pub(crate) troubles: Troubles,
    /// Places for refreshes in the background.
    pub(crate) refreshes: Arc<Semaphore>,
    /// Places for connections that go on in another protocol.
    pub(crate) tunnels: Arc<Semaphore>,
    /// Bytes by which the windows of connections by HTTP/2 may be wider than one upload needs.
    pub(crate) uploads: Arc<Semaphore>,
    /// Connections by HTTP/2 whose clients take nothing.
    pub(crate) behind: Arc<Behind>,
    /// Closed when the time for the drain is over.
    pub(crate) open: Semaphore,
    pub(crate) seats: Arc<Seats>,
    pub(crate) succession: Succession,
    pub(crate) draining: Draining,
}

impl Shared {
    /// Waits until what has not ended by itself is cut.
    pub(crate) async fn cuts(&self) {
        // There are no permits: this ends when the semaphore is closed.
        let _ = self.open.acquire().await;
    }

    /// Marks the beginning of a fetch.
    pub(crate) fn began(&self) -> Began {
        Began { keys: self.invalidations.moment(), labels: self.store.moment() }
    }

    /// Why a response that is about to be stored is out of date, if its fetch began too early. Ask
    /// this when its fill has begun: what comes later finds the fill.
    pub(crate) fn outdated(
        &self,
        key: &Key,
        entry: &store::Entry<StoredHead>,
        began: Began,
    ) -> Option<NotStored> {
        if self.invalidations.since(began.keys, key) || self.doubtful.contains(key) {
            return Some(NotStored::Invalidated);
        }
        let has_labels = !entry.meta().labels().is_empty();
        let why = if has_labels { NotStored::GroupInvalidated } else { NotStored::Invalidated };
        self.store.is_ended(key, entry).then_some(why)
    }

    /// Makes whatever is stored or on its way for the URL of a primary key invalid: what answers a
    /// GET, what answers any QUERY, and what answers in their place.
    pub(crate) fn forget(&self, key: &Key) -> Noted {
        self.forget_until(key, self.clock.now(), false)
    }

    /// As [`Shared::forget`], and lets nothing be stored until the origin has had its time: it may
    /// act on an unsafe request at any moment until it would have answered.
    pub(crate) fn doubt(&self, key: &Key) {
        self.doubtful.remember(key);
        self.doubtful.remember(&query_key(key));
        let patience = self.limits.first_byte_timeout.as_millis();
        let patience = i64::try_from(patience).unwrap_or(i64::MAX);
        let until = self.clock.now().as_millis().saturating_add(patience);
        self.forget_until(key, Timestamp::from_millis(until), true);
    }

    /// What is made until then answers for no other URL afterwards.
    fn forget_until(&self, key: &Key, until: Timestamp, doubtful: bool) -> Noted {
        let query = query_key(key);
        let mut all = vec![key.clone()];
        for aliased in [key, &query] {
            all.extend(self.aliases.invalidate(aliased, until));
        }
        for alias in all.iter().skip(1).chain([&query]) {
            self.forget_alone(alias);
        }
        let noted = self.forget_alone(key);
        // Whoever has to know that it has heard of this waits for what is told later.
        drop(self.succession.tell_heir(&all, &[], doubtful));
        self.succession.tell_predecessors();
        noted
    }

    /// Forgets every stored response, and what is on its way.
    pub(crate) fn forget_all(&self) -> Cleared {
        self.invalidations.add_all();
        self.flights.detach_all();
        self.aliases.clear();
        self.store.clear()
    }

    /// Where another process has taken over, what it has forgotten is not true here either.
    pub(crate) fn catch_up(&self) {
        if self.succession.has_heir_forgotten() {
            self.forget_all();
        }
    }

    fn forget_alone(&self, key: &Key) -> Noted {
        let noted = self.invalidations.add(key);
        self.flights.detach(key);
        self.store.remove(key);
        noted
    }
}

fn query_key(key: &Key) -> Key {
    Key::new(&policy::key::query_key(key.as_bytes()))
}

/// One worker.
pub(crate) struct Worker {
    pub(crate) shared: Arc<Shared>,
    pub(crate) origin: Arc<Origin>,
    pub(crate) counters: Arc<Counters>,
    pub(crate) ids: Ids,
    /// Wakes idle connections when draining begins.
    pub(crate) wake_idle: Arc<Notify>,
}

impl Worker {
    pub(crate) fn new(
        shared: Arc<Shared>,
        origin: Arc<Origin>,
        counters: Arc<Counters>,
        wake_idle: Arc<Notify>,
    ) -> Arc<Self> {
        Arc::new(Self { shared, origin, counters, ids: Ids::new(), wake_idle })
    }

    pub(crate) fn is_draining(&self) -> bool {
        self.shared.draining.has_begun()
    }

    /// How long a connection may wait for its next request.
    pub(crate) fn idle_patience(&self) -> Duration {
        let draining = self.shared.draining.patience();
        draining.map_or(self.shared.limits.idle_timeout, |left| left.min(RECONSIDER) + LAST_LOOK)
    }

    /// True if connections without a request are not wanted any more.
    pub(crate) fn lets_idle_go(&self) -> bool {
        self.shared.draining.patience().is_some_and(|patience| patience.is_zero())
    }

    /// Waits until connections without a request are not wanted any more.
    pub(crate) async fn drains(&self) {
        while !self.lets_idle_go() {
            self.wake_idle.notified().await;
        }
    }

    /// Tells that a response broke on its way to a client. A fill that broke was told already.
    pub(crate) fn broke(&self, broken: &Broken) {
        match broken {
            Broken::Origin(error) => self.failed(error),
            Broken::Store(store::ReadError::Abandoned) => {}
            Broken::Store(error) => {
                let message = format!("reading a stored body: {error}");
                self.shared.troubles.tell(&*self.shared.recorder, "store-read-failed", &message);
            }
        }
    }

    /// Counts and tells that the origin gave no usable response, if the fault is the origin's.
    pub(crate) fn failed(&self, error: &FetchError) {
        let failure = error.failure();
        if !failure.is_of_origin() {
            return;
        }
        self.counters.failures.add(failure as usize);
        let message = error.to_string();
        self.shared.troubles.tell(&*self.shared.recorder, error.code(), &message);
    }
}

/// A listener of one worker.
pub(crate) struct Door<L> {
    /// The same for all sockets that share its port.
    pub(crate) number: usize,
    pub(crate) listener: L,
    pub(crate) front: Front,
}

/// Takes the connections that have been made and not accepted yet, before the socket is closed and
/// would reset them.
pub(crate) fn take_waiting(
    worker: &Arc<Worker>,
    Door { number, listener, front }: Door<tokio::net::TcpListener>,
    alive: &mpsc::Sender<()>,
) {
    let Ok(listener) = listener.into_std() else { return };
    // Where another process listens to the same socket there may be more at any time.
    for _ in 0..listener::BACKLOG {
        let Ok((stream, client)) = listener.accept() else { return };
        if stream.set_nonblocking(true).is_ok()
            && let Ok(stream) = TcpStream::from_std(stream)
        {
            let seat = worker.shared.seats.enter(number, descriptors::number(&stream));
            welcome(worker, &front, (stream, client), seat, alive);
        }
    }
}

pub(crate) async fn accept(
    worker: &Arc<Worker>,
    doors: &[Door<tokio::net::TcpListener>],
    alive: &mpsc::Sender<()>,
) {
    // Each time another one is asked first, so that a crowd at one door does not block the others.
    for turn in (0..doors.len()).cycle() {
        let (door, accepted) = poll_fn(|cx| {
            let (before, from) = doors.split_at(turn);
            for door in from.iter().chain(before) {
                if let Poll::Ready(accepted) = door.listener.poll_accept(cx) {
                    return Poll::Ready((door, accepted));
                }
            }
            Poll::Pending
        })
        .await;
        match accepted {
            Ok(accepted) => {
                let lowest = wait_for_descriptors(worker, &accepted.0).await;
                let seat = worker.shared.seats.enter(door.number, lowest);
                welcome(worker, &door.front, accepted, seat, alive);
            }
            Err(error) => {
                let shared = &worker.shared;
                let message = format!("accepting a connection: {error}");
                shared.troubles.tell(&*shared.recorder, "accept-failed", &message);
                if descriptors::is_shortage(&error) {
                    worker.origin.let_go();
                    shared.seats.make_room();
                }
                // Whatever it is, it may be so again at once.
                sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

/// Where file descriptors run out, the one who has come waits here for a while, and those behind in
/// the queue of the system. Returns the lowest descriptor that is free.
async fn wait_for_descriptors(worker: &Worker, stream: &TcpStream) -> u64 {
    let seats = &worker.shared.seats;
    let mut lowest = descriptors::number(stream);
    let (mut pause, mut waited) = (Duration::from_millis(1), Duration::ZERO);
    while waited < ACCEPT_PATIENCE && seats.is_short(lowest) {
        worker.origin.let_go();
        seats.make_room();
        sleep(pause).await;
        waited += pause;
        pause = (pause * 2).min(ACCEPT_PAUSE);
        lowest = descriptors::lowest_free(stream);
    }
    lowest
}

fn welcome(
    worker: &Arc<Worker>,
    front: &Front,
    (stream, client): (TcpStream, SocketAddr),
    seat: Option<Seat>,
    alive: &mpsc::Sender<()>,
) {
    add(&worker.counters.connections, 1);
    let Some(seat) = seat else { return };
    // Failure means that the peer is gone, which reading will tell.
    let _ = stream.set_nodelay(true);
    front::admit(Arc::clone(worker), front, stream, client, seat, alive.clone());
}
