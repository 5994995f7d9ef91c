//! Step 6: is a stored response good enough for this request, now?

use std::sync::Arc;

use policy::reason::{Hit, Refetch};
use policy::{Age, Asked, Method, Timestamp, Verdict};
use store::Variants;

use super::{Entry, Found, Request, select};
use crate::entry::StoredHead;
use crate::error::Refusal;
use crate::worker::Worker;

/// What to do with the stored responses of a key.
pub(crate) enum Choice {
    /// Answer with this one.
    Use(Usable),
    /// Ask the origin.
    Obtain(Found),
}

/// A stored response that may answer the request as it is.
pub(crate) struct Usable {
    pub(crate) entry: Arc<Entry>,
    pub(crate) age: Age,
    /// Remaining freshness in seconds; negative if it is stale.
    pub(crate) ttl: i64,
    pub(crate) why: Hit,
    /// It should be renewed behind the client's back.
    pub(crate) refresh: bool,
}

/// Picks the variant that the request selects and judges it.
pub(crate) fn choose(
    worker: &Worker,
    request: &Request,
    asked: &Asked,
    variants: &Variants<StoredHead>,
) -> Result<Choice, Refusal> {
    match select::select(worker, request, variants) {
        Some(entry) => judge(worker, asked, entry),
        None => match parts(worker, request, variants) {
            Some(found) => Ok(Choice::Obtain(found)),
            None => nothing(asked, mismatch(worker, request, variants)).map(Choice::Obtain),
        },
    }
}

/// The stored parts of what a request selects, if there are any. Only a GET has a use for them.
pub(crate) fn parts(
    worker: &Worker,
    request: &Request,
    variants: &Variants<StoredHead>,
) -> Option<Found> {
    let is_get = request.head.method == Method::Get;
    let parts: Vec<_> = variants
        .iter()
        .filter(|entry| is_get && entry.meta().part().is_some() && selects(worker, request, entry))
        .cloned()
        .collect();
    (!parts.is_empty()).then(|| Found::Parts(parts.into(), Refetch::RangeMissing))
}

/// Whether a stored response is one that this request selects.
pub(crate) fn selects(worker: &Worker, request: &Request, entry: &Entry) -> bool {
    is_about(worker, request, entry) && entry.meta().terms.vary().matches(&request.head.fields)
}

/// Whether both are about the same QUERY, or neither is about one, and the response may be used at all.
pub(crate) fn is_about(worker: &Worker, request: &Request, entry: &Entry) -> bool {
    let meta = entry.meta();
    request.head.query_digest() == meta.query() && meta.terms.is_permitted(&worker.shared.rules)
}

fn mismatch(worker: &Worker, request: &Request, variants: &Variants<StoredHead>) -> Refetch {
    let known = || variants.iter().filter(|entry| is_about(worker, request, entry));
    match known().next() {
        None => Refetch::Absent,
        // Parts of the very thing, of which this request needs the whole.
        Some(_) if known().any(|entry| selects(worker, request, entry)) => Refetch::RangeMissing,
        Some(_) => Refetch::VaryMismatch,
    }
}

/// Judges one stored response.
pub(crate) fn judge(worker: &Worker, asked: &Asked, entry: &Arc<Entry>) -> Result<Choice, Refusal> {
    let now = worker.shared.clock.now();
    let usable = |age, ttl, why, refresh| {
        Ok(Choice::Use(Usable { entry: Arc::clone(entry), age, ttl, why, refresh }))
    };
    match policy::reuse(asked, &entry.meta().terms, &worker.shared.rules, purged(entry), now) {
        Verdict::Fresh { age, ttl, why } => usable(age, ttl, why, false),
        Verdict::Stale { age, ttl, why, refresh } => usable(age, ttl, why, refresh),
        Verdict::Revalidate(why) => Ok(Choice::Obtain(Found::Unusable(Arc::clone(entry), why))),
        Verdict::Unsatisfiable => Err(Refusal::OnlyIfCached),
    }
}

/// Since when a soft purge has made a stored response stale, if one has.
pub(crate) fn purged(entry: &Entry) -> Option<Timestamp> {
    entry.stale_since().map(Timestamp::from_millis)
}

/// Nothing stored can be used, which `only-if-cached` forbids to mend.
pub(crate) fn nothing(asked: &Asked, why: Refetch) -> Result<Found, Refusal> {
    match policy::absent(asked) {
        Some(_) => Err(Refusal::OnlyIfCached),
        None => Ok(Found::Nothing(why)),
    }
}
