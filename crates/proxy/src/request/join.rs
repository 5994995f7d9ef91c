//! Step 7: fetch a response, or wait for another request that does.
//!
//! A fetch that others may wait for is a task of its own: no client that leaves can stop it or leave
//! it half done. The table of flights knows one task for each key. Those who wait learn as soon as
//! the head is there whether the response can be shared, and read the body behind the fill.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use policy::reason::{Hit, Refetch};
use policy::{Asked, Method, OriginFailure, Reason};
use store::Key;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::timeout;

use super::answer::{Answer, AnswerContent, Forwarded, Report, Source};
use super::lead::{Lead, Led};
use super::respond::Way;
use super::reuse::{self, Choice, Usable};
use super::{Entry, Found, Request, Wanted, look_up, parts, range, respond};
use crate::error::{FetchError, Refusal};
use crate::head::RequestHead;
use crate::origin::exchange::Informational;
use crate::worker::Worker;

/// How many independent parts the table has; requests for different keys rarely meet.
const SHARDS: usize = 64;

/// The fetches under way, by primary key.
pub(crate) struct Flights {
    shards: Box<[Mutex<Shard>]>,
}

type Shard = HashMap<Key, Arc<Flight>>;

/// One fetch that others may wait for.
struct Flight {
    state: watch::Sender<State>,
    waiting: AtomicUsize,
}

/// What those who wait need to know.
#[derive(Clone)]
enum State {
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

enum Joined {
    Lead(Permit),
    Follow(Arc<Flight>),
    Crowded,
}

impl Flights {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self { shards: (0..SHARDS).map(|_| Mutex::default()).collect() })
    }

    fn shard(&self, key: &Key) -> MutexGuard<'_, Shard> {
        let shard = &self.shards[key.hash() as usize % SHARDS];
        shard.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn join(self: &Arc<Self>, key: &Key, most_waiting: usize) -> Joined {
        let mut shard = self.shard(key);
        if let Some(flight) = shard.get(key) {
            if flight.waiting.fetch_add(1, Ordering::Relaxed) >= most_waiting {
                flight.waiting.fetch_sub(1, Ordering::Relaxed);
                return Joined::Crowded;
            }
            return Joined::Follow(Arc::clone(flight));
        }
        let (state, _) = watch::channel(State::Fetching);
        let flight = Arc::new(Flight { state, waiting: AtomicUsize::new(0) });
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
        let mut shard = self.flights.shard(&self.key);
        // A flight that was detached may have been followed by another one for the same key.
        if shard.get(&self.key).is_some_and(|flight| Arc::ptr_eq(flight, &self.flight)) {
            shard.remove(&self.key);
        }
        drop(shard);
        self.flight.state.send_if_modified(|state| {
            let unfinished = matches!(state, State::Fetching);
            if unfinished {
                *state = State::Private(None);
            }
            unfinished
        });
    }
}

/// A response for `wanted`, fetched by this request or by another.
pub(crate) async fn obtain(
    worker: &Arc<Worker>,
    request: &Request,
    mut wanted: Wanted,
    informational: mpsc::Sender<Informational>,
) -> Result<Answer, Refusal> {
    let shared = &worker.shared;
    // A key whose responses could not be shared lately would make requests wait for nothing.
    if shared.uncacheable.contains(&wanted.key) {
        return Ok(lead(worker, request, wanted, None, informational).await);
    }
    match shared.flights.join(&wanted.key, shared.limits.collapse_waiters) {
        Joined::Crowded => {
            let error = FetchError::Crowded { limit: shared.limits.collapse_waiters };
            Ok(failed(worker, request, &wanted, &error, true))
        }
        Joined::Follow(flight) => follow(worker, request, wanted, &flight, informational).await,
        Joined::Lead(permit) => {
            // Whoever led before may have ended between our look-up and here: look once more, or
            // its work would be done twice. What the disk has just failed to give is not tried.
            let failed = matches!(wanted.found, Found::Nothing(Refetch::StoreFailed));
            if let Some(variants) = shared.store.peek(wanted.key.as_bytes())
                && !failed
                && let Some(answer) =
                    look_up::from_variants(worker, request, &mut wanted, &variants).await?
            {
                return Ok(answer);
            }
            Ok(lead(worker, request, wanted, Some(permit), informational).await)
        }
    }
}

/// Renews a stale response with no client waiting for it, unless that is under way or has just
/// failed. The request is the client's, but for a GET of the whole and under no conditions of its
/// own.
pub(crate) fn refresh(worker: &Arc<Worker>, request: &Request, asked: &Asked, entry: &Arc<Entry>) {
    let mut key = Vec::new();
    look_up::primary_key(worker, &request.head, &mut key);
    let key = Key::new(&key);
    if worker.shared.unrefreshable.contains(&key) {
        return;
    }
    let Joined::Lead(permit) = worker.shared.flights.join(&key, 0) else { return };
    let mut head = RequestHead { method: Method::Get, ..(*request.head).clone() };
    head.fields.remove("If-Match");
    head.fields.remove("If-Unmodified-Since");
    let lead = Lead {
        worker: Arc::clone(worker),
        request: Request { head: Arc::new(head), ..request.clone() },
        wanted: Wanted {
            key,
            asked: Asked { head: false, range: false, ..*asked },
            found: Found::Unusable(Arc::clone(entry), Refetch::Stale),
        },
        permit: Some(permit),
        informational: None,
    };
    tokio::spawn(lead.run(None));
}

/// Starts the fetch and waits for what it brings.
pub(super) async fn lead(
    worker: &Arc<Worker>,
    request: &Request,
    wanted: Wanted,
    permit: Option<Permit>,
    informational: mpsc::Sender<Informational>,
) -> Answer {
    let (sender, outcome) = oneshot::channel();
    let lead = Lead {
        worker: Arc::clone(worker),
        request: request.clone(),
        wanted: wanted.clone(),
        permit,
        informational: Some(informational.clone()),
    };
    tokio::spawn(lead.run(Some(sender)));
    if let Ok(led) = outcome.await {
        let answer = answer(worker, request, &wanted, led);
        if !matches!(wanted.found, Found::Unusable(..) | Found::Parts(_)) {
            return answer;
        }
        if let Some(answer) = readable(answer).await {
            return answer;
        }
        // The stored content has gone while the origin was asked about it: ask for it again.
        let wanted = Wanted { found: Found::Nothing(Refetch::StoreFailed), ..wanted };
        return Box::pin(self::lead(worker, request, wanted, None, informational)).await;
    }
    // The task can only end without a word if it panicked.
    let source = std::io::Error::other("the fetch ended without a result");
    let error = FetchError::Closed { source, unanswered: false };
    failed(worker, request, &wanted, &error, false)
}

/// An answer whose content, if it has to be read from a stored whole, is there. A fill under way
/// is not waited for: its head goes out at once.
pub(crate) async fn readable(mut answer: Answer) -> Option<Answer> {
    if let AnswerContent::Stored(reader) = &mut answer.content
        && reader.entry().is_complete()
        && reader.ready().await.is_err()
    {
        return None;
    }
    if let AnswerContent::Assembled(assembly) = &mut answer.content
        && assembly.ready().await.is_err()
    {
        return None;
    }
    Some(answer)
}

fn answer(worker: &Worker, request: &Request, wanted: &Wanted, led: Led) -> Answer {
    let forwarded = forwarded(wanted, false);
    match led {
        Led::Stored { entry, origin, reader } => {
            let status = Some(origin.status);
            let forwarded = Forwarded { status, stored: true, ..forwarded };
            let way = Way { reader, head: None };
            let code = refetch(wanted).code();
            let fetched = Fetched { code, forwarded, aged: origin.aged };
            from_fetched(worker, request, wanted, &entry, way, fetched)
        }
        Led::Validated { entry, head } => {
            let stored = head.is_none();
            let forwarded = Forwarded { status: Some(304), stored, validated: true, ..forwarded };
            let way = Way { reader: None, head };
            let fetched = Fetched { code: Hit::Validated.code(), forwarded, aged: false };
            from_fetched(worker, request, wanted, &entry, way, fetched)
        }
        Led::Ranged(fetched) => parts::fetched(wanted, *fetched),
        Led::Private { response, why } => {
            let status = response.head.status;
            match stale(worker, request, wanted, OriginFailure::Status(status)) {
                Some(answer) => answer,
                None => respond::from_origin(request, *response, why, forwarded),
            }
        }
        Led::Failed(error) => failed(worker, request, wanted, &error, false),
    }
}

/// A response that was fetched just now.
struct Fetched {
    code: &'static str,
    forwarded: Forwarded,
    /// It was not made by the origin for this request.
    aged: bool,
}

/// An answer from a response that was fetched just now.
fn from_fetched(
    worker: &Worker,
    request: &Request,
    wanted: &Wanted,
    entry: &Arc<Entry>,
    way: Way,
    Fetched { code, forwarded, aged }: Fetched,
) -> Answer {
    let now = worker.shared.clock.now();
    let terms = &entry.meta().terms;
    let ttl = way.head.is_none().then(|| terms.ttl(now));
    //= https://www.rfc-editor.org/rfc/rfc9111#section-5.1
    //# The presence of an Age header field implies that the response was not generated or validated
    //# by the origin server for this request.
    let age = aged.then(|| terms.age(now));
    let source = Source::Origin(Forwarded { ttl, ..forwarded });
    let report = Report { code, source, proxy_error: None };
    respond::stored(request, &wanted.asked, entry, way, age, report)
}

/// Waits for another request's fetch, and goes alone if that does not help.
async fn follow(
    worker: &Arc<Worker>,
    request: &Request,
    wanted: Wanted,
    flight: &Arc<Flight>,
    informational: mpsc::Sender<Informational>,
) -> Result<Answer, Refusal> {
    let mut watched = flight.state.subscribe();
    let waiting = Waiting(flight);
    let patience = worker.shared.limits.collapse_wait;
    let state = timeout(patience, watched.wait_for(|state| !matches!(state, State::Fetching)));
    let state = match state.await {
        Ok(Ok(state)) => state.clone(),
        Ok(Err(_)) | Err(_) => State::Private(None),
    };
    let answer = match state {
        State::Shared(entry) => share(worker, request, &wanted, &entry),
        State::Failed(error) => Some(failed(worker, request, &wanted, &error, true)),
        State::Private(Some(status)) => {
            stale(worker, request, &wanted, OriginFailure::Status(status))
        }
        State::Private(None) | State::Fetching => None,
    };
    if let Some(answer) = answer
        && let Some(answer) = readable(answer).await
    {
        return Ok(answer);
    }
    drop(waiting);
    Ok(lead(worker, request, wanted, None, informational).await)
}

/// Counts those who wait for a flight.
struct Waiting<'f>(&'f Flight);

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.waiting.fetch_sub(1, Ordering::Release);
    }
}

/// Another request's response, if this request selects it and may use it without asking again.
pub(super) fn share(
    worker: &Worker,
    request: &Request,
    wanted: &Wanted,
    entry: &Arc<Entry>,
) -> Option<Answer> {
    let judged = reuse::judge(worker, &wanted.asked, entry);
    let usable = matches!(judged, Ok(Choice::Use(Usable { ttl: 0.., refresh: false, .. })));
    let in_reach = !wanted.asked.range || range::is_within_reach(request, entry);
    if !usable || !in_reach || !reuse::selects(request, entry) {
        return None;
    }
    // One that is only passed along has a beginning that may be gone.
    let way = Way { reader: Some(entry.try_reader()?), head: None };
    let forwarded = Forwarded { stored: true, ..forwarded(wanted, true) };
    let fetched = Fetched { code: refetch(wanted).code(), forwarded, aged: true };
    Some(from_fetched(worker, request, wanted, entry, way, fetched))
}

/// The stored response, if it may stand in for an origin that failed (RFC 5861 §4).
fn stale(
    worker: &Worker,
    request: &Request,
    wanted: &Wanted,
    failure: OriginFailure,
) -> Option<Answer> {
    let Found::Unusable(entry, _) = &wanted.found else {
        return parts::stale(worker, request, wanted, failure);
    };
    let now = worker.shared.clock.now();
    let terms = &entry.meta().terms;
    let (age, ttl, why) =
        policy::stale_on_error(&wanted.asked, terms, &worker.shared.rules, failure, now)?;
    let usable = Usable { entry: Arc::clone(entry), age, ttl, why, refresh: false };
    Some(respond::from_store(request, &wanted.asked, &usable))
}

/// No response: what is stored if that is allowed, else an error.
fn failed(
    worker: &Worker,
    request: &Request,
    wanted: &Wanted,
    error: &FetchError,
    collapsed: bool,
) -> Answer {
    stale(worker, request, wanted, OriginFailure::Unreachable)
        .unwrap_or_else(|| respond::failed(worker, request, error, forwarded(wanted, collapsed)))
}

pub(super) fn refetch(wanted: &Wanted) -> Refetch {
    match &wanted.found {
        Found::NotInMemory => Refetch::Absent,
        Found::Parts(_) => Refetch::RangeMissing,
        Found::Unusable(_, why) | Found::Nothing(why) => *why,
    }
}

pub(super) fn forwarded(wanted: &Wanted, collapsed: bool) -> Forwarded {
    Forwarded { collapsed, ..Forwarded::new(refetch(wanted).fwd()) }
}
