//! Step 7: fetch a response, or wait for another request that does.
//!
//! A fetch that others may wait for is a task of its own: no client that leaves can stop it or leave
//! it half done. [`super::flights`] knows one task for each key.

use std::sync::Arc;

use policy::reason::{Hit, Refetch};
use policy::{Asked, Collapsed, Method, OriginFailure, Reason, Vary};
use store::Key;
use tokio::sync::{mpsc, oneshot};

use super::answer::{Answer, AnswerContent, AnswerHead, Forwarded, Report, Source};
use super::attempts::{Attempts, Fault, Waited};
use super::flights::{Joined, Permit, Place, State};
use super::lead::{Lead, Led, Storing};
use super::reconcile::Freshened;
use super::respond::Overrides;
use super::reuse::{self, Choice, Usable};
use super::{Entry, Found, Request, Wanted, look_up, parts, query, range, respond};
use crate::content::Informational;
use crate::error::{FetchError, Refusal};
use crate::head::RequestHead;
use crate::proxy_status::ProxyError;
use crate::worker::{Shared, Worker};

/// Whether one that has waited for a fetch that brought something else may wait for another one. Each
/// does so once: what it waits for may be invalidated again and again.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Round {
    First,
    Last,
}

/// What one that has waited for a fetch does then.
enum Then {
    /// It has a response.
    Answer(Answer),
    /// It asks the origin, for all who wait too if it has a permit.
    Lead(Option<Permit>),
    /// It joins those who have the same need, which are found by this key.
    Join(Key),
}

/// A response for `wanted`, fetched by this request or by another.
pub(crate) async fn obtain(
    worker: &Arc<Worker>,
    request: &Request,
    mut wanted: Wanted,
    informational: mpsc::Sender<Informational>,
) -> Result<Answer, Refusal> {
    wanted.flight = flight(worker, &wanted.asked, &wanted.key, wanted.flight.as_ref());
    join(worker, request, wanted, Round::First, informational).await
}

async fn join(
    worker: &Arc<Worker>,
    request: &Request,
    mut wanted: Wanted,
    round: Round,
    informational: mpsc::Sender<Informational>,
) -> Result<Answer, Refusal> {
    let shared = &worker.shared;
    // A key whose responses could not be shared lately would make requests wait for nothing, as would
    // what only a fetch of its own can answer; and a stream of events is shared with nobody.
    let is_for_one =
        wanted.asked.is_for_itself() || policy::live::asks_for_events(&request.head.fields);
    if is_for_one || shared.uncacheable.contains(wanted.flight()) {
        return Ok(lead(worker, request, wanted, None, informational).await);
    }
    match shared.flights.join(wanted.flight(), request, shared.limits.collapse_waiters) {
        Joined::Crowded => {
            let error = FetchError::Crowded { limit: shared.limits.collapse_waiters };
            Ok(failed(worker, request, &wanted, &error, false))
        }
        Joined::Alone => Ok(lead(worker, request, wanted, None, informational).await),
        Joined::Follow(place) => {
            Box::pin(follow(worker, request, wanted, place, round, informational)).await
        }
        Joined::Lead(permit) => {
            // Whoever led before may have ended between our look-up and here: look once more, or
            // its work would be done twice.
            if let Some(answer) = look_again(worker, request, &mut wanted).await? {
                return Ok(answer);
            }
            Ok(lead(worker, request, wanted, Some(permit), informational).await)
        }
    }
}

/// What has come into the store since the look-up. What the disk has just failed to give is not tried.
async fn look_again(
    worker: &Arc<Worker>,
    request: &Request,
    wanted: &mut Wanted,
) -> Result<Option<Answer>, Refusal> {
    let failed = matches!(wanted.found, Found::Nothing(Refetch::StoreFailed));
    let variants = worker.shared.store.peek(wanted.key.as_bytes());
    let Some(variants) = variants.filter(|_| !failed) else { return Ok(None) };
    match look_up::from_variants(worker, request, wanted, &variants).await? {
        Some(answer) => Ok(Some(answer)),
        None => parts::from_store(worker, request, wanted).await,
    }
}

/// Renews a stale response with no client waiting for it. Not if that is under way or has just failed,
/// or if as many others are being renewed as may be at once.
///
/// The request is that of the client, with two differences: it asks for the whole response (a GET, if
/// the client's was a HEAD), and it has no preconditions.
pub(crate) fn refresh(worker: &Arc<Worker>, request: &Request, asked: &Asked, entry: &Arc<Entry>) {
    let (key, flight) = query::keys(worker, &request.head);
    let method = if flight.is_some() { Method::Query } else { Method::Get };
    let flight = self::flight(worker, asked, &key, flight.as_ref());
    let by = flight.as_ref().unwrap_or(&key);
    if worker.shared.unrefreshable.contains(by) {
        return;
    }
    let Ok(place) = Arc::clone(&worker.shared.refreshes).try_acquire_owned() else { return };
    let Joined::Lead(permit) = worker.shared.flights.join(by, request, 0) else { return };
    if is_renewed(worker, request, asked, &key) {
        return;
    }
    let mut head = RequestHead { method, ..(*request.head).clone() };
    head.fields.remove("If-Match");
    head.fields.remove("If-Unmodified-Since");
    let lead = Lead {
        worker: Arc::clone(worker),
        request: Request { head: Arc::new(head), ..request.clone() },
        wanted: Wanted {
            key,
            flight,
            asked: Asked { head: false, range: false, ..*asked },
            found: Found::Unusable(Arc::clone(entry), Refetch::Stale),
        },
        permit: Some(permit),
        informational: None,
    };
    tokio::spawn(async move {
        lead.run(None).await;
        drop(place);
    });
}

/// Whether a refresh on another thread has ended between the look-up and here.
fn is_renewed(worker: &Worker, request: &Request, asked: &Asked, key: &Key) -> bool {
    let Some(variants) = worker.shared.store.peek(key.as_bytes()) else { return false };
    let choice = reuse::choose(worker, request, asked, &variants);
    matches!(choice, Ok(Choice::Use(Usable { refresh: false, .. })))
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
        if !is_about_stored(&wanted.found) {
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
    failed(worker, request, &wanted, &FetchError::Internal, false)
}

/// Whether the origin may have been asked about something stored: what was found, or other variants.
fn is_about_stored(found: &Found) -> bool {
    matches!(found, Found::Unusable(..) | Found::Parts(..) | Found::Nothing(Refetch::VaryMismatch))
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
        Led::Stored(stored) => {
            from_stored(worker, request, wanted, stored, refetch(wanted).code(), forwarded)
        }
        Led::Validated(Freshened { entry, head, aged, kept }) => {
            let status = Some(304);
            let forwarded = Forwarded { status, stored: kept, validated: true, ..forwarded };
            let overrides = Overrides { reader: None, head };
            let fetched = Fetched { code: Hit::Validated.code(), forwarded, aged };
            from_fetched(worker, request, wanted, &entry, overrides, fetched)
        }
        Led::Ranged(mut fetched) => {
            let fields = &mut fetched.ranged.head.fields;
            policy::dialect::strip_heeded(fields, &worker.shared.rules);
            parts::fetched(wanted, *fetched)
        }
        Led::Private { response, why } => {
            let status = response.head.status;
            match stale(worker, request, wanted, OriginFailure::Status(status)) {
                Some(answer) => answer,
                None => respond::from_origin(worker, request, *response, why, forwarded),
            }
        }
        Led::Failed(error) => failed(worker, request, wanted, &error, false),
    }
}

/// An answer from a response that is in the store or on its way there. `code` says why it was fetched.
pub(super) fn from_stored(
    worker: &Worker,
    request: &Request,
    wanted: &Wanted,
    Storing { entry, origin, reader, head }: Storing,
    code: &'static str,
    forwarded: Forwarded,
) -> Answer {
    let status = Some(origin.status);
    let forwarded = Forwarded { status, stored: origin.unkept.is_none(), ..forwarded };
    // Why it could not be kept tells more than why it was fetched.
    let code = origin.unkept.unwrap_or(code);
    let fetched = Fetched { code, forwarded, aged: origin.aged };
    from_fetched(worker, request, wanted, &entry, Overrides { reader, head }, fetched)
}

/// A response that was fetched just now.
pub(super) struct Fetched {
    pub(super) code: &'static str,
    pub(super) forwarded: Forwarded,
    /// It was not made by the origin for this request.
    pub(super) aged: bool,
}

/// An answer from a response that was fetched just now.
pub(super) fn from_fetched(
    worker: &Worker,
    request: &Request,
    wanted: &Wanted,
    entry: &Arc<Entry>,
    mut overrides: Overrides,
    Fetched { code, forwarded, aged }: Fetched,
) -> Answer {
    let Shared { clock, rules, .. } = &*worker.shared;
    if let Some(head) = &mut overrides.head {
        policy::dialect::strip_heeded(&mut head.fields, rules);
    }
    let now = clock.now();
    let terms = &entry.meta().terms;
    let ttl = (overrides.head.is_none() || forwarded.stored).then(|| terms.ttl(now));
    //= https://www.rfc-editor.org/rfc/rfc9111#section-5.1
    //# The presence of an Age header field implies that the response was not generated or validated
    //# by the origin server for this request.
    let age = aged.then(|| terms.age(now));
    let source = Source::Origin(Forwarded { ttl, ..forwarded });
    let report = Report { code, source, proxy_error: None };
    let own = overrides.head.as_ref().map(|head| policy::strip::withheld(&head.fields, rules));
    let mut answer = respond::stored(request, &wanted.asked, entry, overrides, age, report);
    if let (AnswerHead::Own(head), Some(own)) = (&mut answer.head, own) {
        respond::add_withheld(head, &own);
    }
    answer
}

/// Waits for another request's fetch, and asks the origin if that does not help: for all who wait too
/// if the fetch failed or takes long, or if it brought something else; alone if its response is not
/// for others.
async fn follow(
    worker: &Arc<Worker>,
    request: &Request,
    mut wanted: Wanted,
    place: Place,
    round: Round,
    informational: mpsc::Sender<Informational>,
) -> Result<Answer, Refusal> {
    let then = wait(worker, request, &mut wanted, &place).await?;
    drop(place);
    let mut answer = match then {
        Then::Answer(answer) => return Ok(answer),
        Then::Join(flight) if round == Round::First => {
            let wanted = Wanted { flight: Some(flight), ..wanted };
            Box::pin(join(worker, request, wanted, Round::Last, informational)).await?
        }
        Then::Join(_) => lead(worker, request, wanted, None, informational).await,
        Then::Lead(permit) => lead(worker, request, wanted, permit, informational).await,
    };
    answer.report.waited_in_vain();
    Ok(answer)
}

/// Waits until there is a response, or something better to do.
async fn wait(
    worker: &Arc<Worker>,
    request: &Request,
    wanted: &mut Wanted,
    place: &Place,
) -> Result<Then, Refusal> {
    let mut patience = Waited::from_now(&worker.shared.limits);
    // Ends, since each fetch does, and so many begin in one flight.
    loop {
        let answer = match place.news(&mut patience).await {
            State::Fetching(attempts) => {
                if let Some(answer) = instead(worker, request, wanted, &attempts).await? {
                    return Ok(Then::Answer(answer));
                }
                match place.lead(request, &patience) {
                    Some(permit) => return Ok(Then::Lead(Some(permit))),
                    None => continue,
                }
            }
            State::Outdated => return Ok(Then::Join(flight_now(worker, request, wanted))),
            // Those who come later wait for one another again.
            State::Shared(entry) if is_outdated(worker, wanted, &entry) => {
                place.detach();
                return Ok(Then::Join(flight_now(worker, request, wanted)));
            }
            State::Shared(entry) => match other_variant(worker, request, wanted, &entry) {
                Some(flight) => return Ok(Then::Join(flight)),
                None => share(worker, request, wanted, &entry),
            },
            State::Failed(error) => Some(failed(worker, request, wanted, &error, true)),
            // Those who led may each have found in the store what others had put there meanwhile.
            State::Private(None) => look_again(worker, request, wanted).await?,
            State::Private(Some(status)) => {
                stand_in(worker, request, wanted, &Fault::Status(status))
            }
        };
        let readable = match answer {
            Some(answer) => readable(answer).await,
            None => None,
        };
        return Ok(readable.map_or(Then::Lead(None), Then::Answer));
    }
}

/// The key by which a fetch under way is found, if not the primary key. Those whose clients show who
/// they are wait for one another alone: what is then not for others makes nobody else wait in vain.
pub(super) fn flight(
    worker: &Worker,
    asked: &Asked,
    key: &Key,
    flight: Option<&Key>,
) -> Option<Key> {
    if !asked.has_credentials() {
        return flight.cloned();
    }
    Some(narrower(worker, key, flight.unwrap_or(key), b" credentials ", b""))
}

/// The key by which those who ask for the same find one another now: after an invalidation it may be
/// another one than before.
fn flight_now(worker: &Worker, request: &Request, wanted: &Wanted) -> Key {
    let own = if wanted.asked.range {
        Some(parts::flight(worker, request, &wanted.key))
    } else {
        query::keys(worker, &request.head).1
    };
    let flight = flight(worker, &wanted.asked, &wanted.key, own.as_ref());
    flight.unwrap_or_else(|| wanted.key.clone())
}

/// If a request selects another variant than a fetch brings: the key by which those find one another
/// that select the same.
fn other_variant(
    worker: &Worker,
    request: &Request,
    wanted: &Wanted,
    entry: &Entry,
) -> Option<Key> {
    let (terms, fields) = (&entry.meta().terms, &request.head.fields);
    if !reuse::is_about(worker, request, entry) || terms.vary().matches(fields) {
        return None;
    }
    let selecting = Vary::of(&entry.meta().fields(), fields).ok()?;
    let selecting = selecting.as_bytes();
    Some(narrower(worker, &wanted.key, wanted.flight(), b" variant ", selecting))
}

/// A key for some of those who wait for a flight. It has in it how often the primary key was
/// invalidated: who comes after that never waits for a fetch from before.
fn narrower(worker: &Worker, key: &Key, flight: &Key, which: &[u8], by: &[u8]) -> Key {
    let generation = worker.shared.invalidations.last(key).to_le_bytes();
    Key::new(&[flight.as_bytes(), which, &generation, by].concat())
}

/// An answer for one whose fetch has failed by another's hand, without the origin: what others have
/// stored meanwhile, or what is stale.
async fn instead(
    worker: &Arc<Worker>,
    request: &Request,
    wanted: &mut Wanted,
    attempts: &Attempts,
) -> Result<Option<Answer>, Refusal> {
    let Some(fault) = attempts.fault() else { return Ok(None) };
    if let Some(answer) = look_again(worker, request, wanted).await? {
        return Ok(Some(answer));
    }
    match stand_in(worker, request, wanted, fault) {
        Some(answer) => Ok(readable(answer).await),
        None => Ok(None),
    }
}

/// Whether an event has ended what a flight brings, or made it stale: who comes now asks anew.
fn is_outdated(worker: &Worker, wanted: &Wanted, entry: &Entry) -> bool {
    worker.shared.store.is_ended(&wanted.key, entry) || entry.stale_since().is_some()
}

/// Another request's response, if this request selects it and may use it without asking again.
pub(super) fn share(
    worker: &Worker,
    request: &Request,
    wanted: &Wanted,
    entry: &Arc<Entry>,
) -> Option<Answer> {
    if worker.shared.store.is_ended(&wanted.key, entry) {
        return None;
    }
    if entry.meta().part().is_some() {
        return parts::share(worker, request, wanted, entry);
    }
    let judged = reuse::judge(worker, &wanted.asked, entry);
    let usable = matches!(judged, Ok(Choice::Use(Usable { ttl: 0.., refresh: false, .. })));
    let in_reach = !wanted.asked.range || range::is_within_reach(request, entry);
    if !usable || !in_reach || !reuse::selects(worker, request, entry) {
        return None;
    }
    // One that is only passed along has a beginning that may be gone.
    let overrides = Overrides { reader: Some(entry.try_reader()?), head: None };
    let forwarded = Forwarded { stored: true, ..forwarded(wanted, true) };
    let fetched = Fetched { code: refetch(wanted).code(), forwarded, aged: true };
    Some(from_fetched(worker, request, wanted, entry, overrides, fetched))
}

/// The stored response, if it may stand in where another's fetch failed.
fn stand_in(worker: &Worker, request: &Request, wanted: &Wanted, fault: &Fault) -> Option<Answer> {
    match fault {
        Fault::Dropped => None,
        Fault::Status(status) => stale(worker, request, wanted, OriginFailure::Status(*status)),
        Fault::Error(error) => stale_for(worker, request, wanted, error),
    }
}

/// The stored response, if it may stand in where there is none.
fn stale_for(
    worker: &Worker,
    request: &Request,
    wanted: &Wanted,
    error: &FetchError,
) -> Option<Answer> {
    let mut answer = stale(worker, request, wanted, OriginFailure::Unreachable)?;
    answer.report.proxy_error = Some(error.proxy_error());
    Some(answer)
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
    if worker.shared.store.is_ended(&wanted.key, entry) {
        return None;
    }
    let now = worker.shared.clock.now();
    let terms = &entry.meta().terms;
    let (asked, rules, purged) = (&wanted.asked, &worker.shared.rules, reuse::purged(entry));
    let (age, ttl, why) = policy::stale_on_error(asked, terms, rules, failure, purged, now)?;
    let usable = Usable { entry: Arc::clone(entry), age, ttl, why, refresh: false };
    let mut answer = respond::from_store(request, &wanted.asked, &usable);
    if let OriginFailure::Status(status) = failure {
        answer.report.proxy_error = Some(ProxyError::replaced(status, why.code()));
    }
    Some(answer)
}

/// No response: what is stored if that is allowed, else an error.
fn failed(
    worker: &Worker,
    request: &Request,
    wanted: &Wanted,
    error: &FetchError,
    collapsed: bool,
) -> Answer {
    stale_for(worker, request, wanted, error).unwrap_or_else(|| {
        let status = failed_status(worker, wanted, error);
        respond::failed_as(status, worker, request, error, forwarded(wanted, collapsed))
    })
}

/// The status of the error: that of the fault itself, unless a stored response had to be validated
/// and the origin was out of reach.
fn failed_status(worker: &Worker, wanted: &Wanted, error: &FetchError) -> u16 {
    let stored = match &wanted.found {
        Found::Unusable(entry, _) => Some(entry),
        Found::Parts(parts, _) => parts.first(),
        Found::NotInMemory | Found::Nothing(_) => None,
    };
    let now = worker.shared.clock.now();
    stored
        .filter(|_| error.is_disconnection())
        .and_then(|entry| {
            policy::unvalidated_status(&entry.meta().terms, reuse::purged(entry), now)
        })
        .unwrap_or(error.status())
}

/// Why the origin is asked, as the look-up has it.
pub(crate) fn refetch(wanted: &Wanted) -> Refetch {
    match &wanted.found {
        Found::NotInMemory => Refetch::Absent,
        Found::Unusable(_, why) | Found::Parts(_, why) | Found::Nothing(why) => *why,
    }
}

pub(super) fn forwarded(wanted: &Wanted, collapsed: bool) -> Forwarded {
    let collapsed = if collapsed { Collapsed::Reused } else { Collapsed::No };
    Forwarded { collapsed, ..Forwarded::new(refetch(wanted).fwd()) }
}
