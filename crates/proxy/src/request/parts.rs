//! Stored parts of a response: what they are good for (RFC 9111 §3.3, §3.4).

use std::sync::Arc;

use policy::reason::{Hit, Refetch};
use policy::{Age, OriginFailure, Reason, Verdict};
use store::{Key, Meta, Variants};
use tokio::sync::mpsc;

use super::answer::{Answer, AnswerHead, Forwarded, Report, Source};
use super::part_set::PartSet;
use super::range::Ranged;
use super::{Entry, Found, Request, Wanted, join, reuse};
use crate::content::Informational;
use crate::entry::StoredHead;
use crate::error::Refusal;
use crate::worker::Worker;

/// A partial response that the origin had a part in, or a whole one made of parts.
pub(crate) struct FetchedRange {
    pub(crate) ranged: Ranged,
    /// The origin's status.
    pub(crate) status: u16,
    pub(crate) became: Became,
    pub(crate) age: Option<Age>,
    pub(crate) ttl: Option<i64>,
}

/// What became of the origin's response to a request for a part.
#[derive(Clone, Copy)]
pub(crate) enum Became {
    /// It is stored, or on its way there: it may still break off or be too much for the store.
    Stored,
    /// It is not, for this reason.
    NotStored(&'static str),
    /// It confirmed what is stored, which is kept so or not.
    Confirmed { kept: bool },
}

/// An answer from stored parts alone, if they have all that is asked for and may be used. `wanted`
/// learns why not, if they have it.
pub(crate) async fn from_store(
    worker: &Worker,
    request: &Request,
    wanted: &mut Wanted,
) -> Result<Option<Answer>, Refusal> {
    let Found::Parts(parts, _) = &wanted.found else { return Ok(None) };
    let mut unused = None;
    for set in PartSet::of(parts).into_iter().filter(|set| set.has_all(request)) {
        let why = match judge(worker, wanted, &set) {
            Ok(used) => {
                if let Some(answer) = hit(request, wanted, &set, used)
                    && let Some(answer) = join::readable(answer).await
                {
                    return Ok(Some(answer));
                }
                Refetch::StoreFailed
            }
            Err(why) => why,
        };
        unused.get_or_insert(why);
    }
    if let Some(why) = unused {
        wanted.found = Found::Parts(Arc::clone(parts), why);
    }
    match policy::absent(&wanted.asked) {
        Some(_) => Err(Refusal::OnlyIfCached),
        None => Ok(None),
    }
}

/// May the parts of a set be used now?
fn judge(worker: &Worker, wanted: &Wanted, set: &PartSet) -> Result<(Age, i64, Hit), Refetch> {
    let (rules, now) = (&worker.shared.rules, worker.shared.clock.now());
    let purged = reuse::purged(&set.newest);
    match policy::reuse(&wanted.asked, &set.newest.meta().terms, rules, purged, now) {
        Verdict::Fresh { age, ttl, .. } => Ok((age, ttl, Hit::Partial)),
        Verdict::Stale { age, ttl, why, refresh: false } => Ok((age, ttl, why)),
        // A refresh in the background would fetch the whole: the parts are validated instead.
        Verdict::Stale { refresh: true, .. } | Verdict::Unsatisfiable => Err(Refetch::Stale),
        Verdict::Revalidate(why) => Err(why),
    }
}

/// Stored parts, if they may stand in for an origin that failed (RFC 5861 §4).
pub(crate) fn stale(
    worker: &Worker,
    request: &Request,
    wanted: &Wanted,
    failure: OriginFailure,
) -> Option<Answer> {
    let Found::Parts(parts, _) = &wanted.found else { return None };
    let now = worker.shared.clock.now();
    let sets = PartSet::of(parts).into_iter();
    let is_ended = |set: &PartSet| {
        set.entries().iter().any(|entry| worker.shared.store.is_ended(&wanted.key, entry))
    };
    sets.filter(|set| !is_ended(set)).find_map(|set| {
        let terms = &set.newest.meta().terms;
        let (asked, rules) = (&wanted.asked, &worker.shared.rules);
        let purged = reuse::purged(&set.newest);
        let used = policy::stale_on_error(asked, terms, rules, failure, purged, now)?;
        hit(request, wanted, &set, used)
    })
}

fn hit(
    request: &Request,
    wanted: &Wanted,
    set: &PartSet,
    (age, ttl, why): (Age, i64, Hit),
) -> Option<Answer> {
    let report = Report { code: why.code(), source: Source::Store { ttl, why }, proxy_error: None };
    let mut ranged = set.answers(request, &wanted.asked, set.fields())?;
    ranged.head.fields.retain(|name, _| !set.newest.meta().terms.hides(name));
    Some(ranged.answer(Some(age), report))
}

/// The stored entry that has all parts of the representation that a new one is of.
pub(crate) fn base<'v>(
    stored: &'v Variants<StoredHead>,
    new: &StoredHead,
) -> Option<&'v Arc<Entry>> {
    stored.iter().find(|entry| entry.meta().variant() == new.variant())
}

/// The part that another request's fetch is bringing, if with what is stored it has all that this
/// request asks for.
pub(crate) fn share(
    worker: &Worker,
    request: &Request,
    wanted: &Wanted,
    part: &Arc<Entry>,
) -> Option<Answer> {
    let stored: &[Arc<Entry>] = match &wanted.found {
        Found::Parts(parts, _) => parts,
        _ => &[],
    };
    let is_ended = |entry: &Arc<Entry>| worker.shared.store.is_ended(&wanted.key, entry);
    let stored = stored.iter().filter(|entry| !is_ended(entry));
    let parts: Vec<_> = std::iter::once(part).chain(stored).cloned().collect();
    // The first set is that of the first part.
    let set = PartSet::of(&parts).into_iter().next()?;
    if !reuse::selects(worker, request, part) || judge(worker, wanted, &set).ok()?.1 < 0 {
        return None;
    }
    // One that is only passed along has a beginning that may be gone; this one stays meanwhile.
    let _beginning = part.try_reader()?;
    let mut ranged = set.answers(request, &wanted.asked, set.fields())?;
    let (terms, now) = (&set.newest.meta().terms, worker.shared.clock.now());
    ranged.head.fields.retain(|name, _| !terms.hides(name));
    let (age, ttl) = (Some(terms.age(now)), Some(terms.ttl(now)));
    let forwarded = Forwarded { stored: true, ttl, ..join::forwarded(wanted, true) };
    let code = join::refetch(wanted).code();
    let report = Report { code, source: Source::Origin(forwarded), proxy_error: None };
    Some(ranged.answer(age, report))
}

/// A response for a request that has a Range: from a fill under way that will soon have what it
/// asks for, or by a fetch that requests for the same range share.
pub(crate) async fn obtain(
    worker: &Arc<Worker>,
    request: &Request,
    wanted: Wanted,
    informational: mpsc::Sender<Informational>,
) -> Result<Answer, Refusal> {
    let whole = join::flight(worker, &wanted.asked, &wanted.key, None);
    if let Some(entry) = worker.shared.flights.under_way(whole.as_ref().unwrap_or(&wanted.key))
        && let Some(answer) = join::share(worker, request, &wanted, &entry)
        && let Some(answer) = join::readable(answer).await
    {
        return Ok(answer);
    }
    let flight = Some(flight(worker, request, &wanted.key));
    join::obtain(worker, request, Wanted { flight, ..wanted }, informational).await
}

/// The key by which requests for the same range find the fetch under way. It has in it how often the
/// key was invalidated: who comes after an invalidation never waits for a fetch from before.
pub(super) fn flight(worker: &Worker, request: &Request, key: &Key) -> Key {
    let generation = worker.shared.invalidations.last(key);
    let mut flight = [key.as_bytes(), b" range ", &generation.to_le_bytes()].concat();
    for name in ["Range", "If-Range"] {
        request.head.fields.all(name).for_each(|value| flight.extend_from_slice(value));
        flight.push(b'\n');
    }
    Key::new(&flight)
}

/// An answer with what was fetched for a Range, or for what stored parts lack.
pub(crate) fn fetched(wanted: &Wanted, fetched: FetchedRange) -> Answer {
    let FetchedRange { ranged, status, became, age, ttl } = fetched;
    let (stored, validated, code) = match became {
        Became::Stored => (true, false, join::refetch(wanted).code()),
        Became::NotStored(why) => (false, false, why),
        Became::Confirmed { kept } => (kept, true, Hit::Validated.code()),
    };
    let status = Some(status);
    let forwarded = join::forwarded(wanted, false);
    let forwarded = Forwarded { status, stored, validated, ttl, ..forwarded };
    let report = Report { code, source: Source::Origin(forwarded), proxy_error: None };
    ranged.answer(age, report)
}

/// A complete response is stored: its parts are not needed any more.
pub(crate) fn superseded(worker: &Worker, wanted: &Wanted, whole: &Entry) {
    let Found::Parts(parts, _) = &wanted.found else { return };
    for entry in parts.iter().filter(|_| whole.meta().part().is_none()) {
        worker.shared.store.remove_entry(&wanted.key, entry);
    }
}

impl Ranged {
    pub(crate) fn answer(self, age: Option<Age>, report: Report) -> Answer {
        let Ranged { head, content, length } = self;
        Answer { head: AnswerHead::Own(head), age, content, length, report }
    }
}
