//! Step 6: is a stored response good enough for this request, now?

use std::sync::Arc;

use policy::reason::Refetch;
use policy::{Asked, Verdict};
use store::Variants;

use super::{Answer, Entry, Found, Request, join, respond};
use crate::entry::StoredHead;
use crate::error::Refusal;
use crate::worker::Worker;

/// What to do with the stored responses of a key.
pub(crate) enum Choice {
    /// Answer with one of them.
    Answer(Answer),
    /// Ask the origin.
    Obtain(Found),
}

/// Picks the variant that the request selects and judges it.
pub(crate) fn choose(
    worker: &Worker,
    request: &Request,
    asked: &Asked,
    variants: &Variants<StoredHead>,
) -> Result<Choice, Refusal> {
    match select(request, variants) {
        Some(entry) => judge(worker, request, asked, entry),
        None => nothing(asked, Refetch::VaryMismatch),
    }
}

/// The newest stored response whose `Vary` the request matches (RFC 9111 §4.1).
fn select<'v>(request: &Request, variants: &'v Variants<StoredHead>) -> Option<&'v Arc<Entry>> {
    variants.iter().find(|entry| entry.meta().terms.vary().matches(&request.head.fields))
}

/// Judges one stored response.
fn judge(
    worker: &Worker,
    request: &Request,
    asked: &Asked,
    entry: &Arc<Entry>,
) -> Result<Choice, Refusal> {
    let now = worker.shared.clock.now();
    let rules = &worker.shared.site.rules;
    match policy::reuse(asked, &entry.meta().terms, rules, now) {
        Verdict::Fresh { age, ttl, why } => {
            Ok(Choice::Answer(respond::from_store(request, asked, entry, age, ttl, why)))
        }
        Verdict::Stale { age, ttl, why, refresh } => {
            if refresh {
                join::refresh(worker, request, asked, entry);
            }
            Ok(Choice::Answer(respond::from_store(request, asked, entry, age, ttl, why)))
        }
        Verdict::Revalidate(why) => Ok(Choice::Obtain(Found::Unusable(Arc::clone(entry), why))),
        Verdict::Unsatisfiable => Err(Refusal::OnlyIfCached),
    }
}

/// Nothing stored can be used, which `only-if-cached` forbids to mend.
pub(crate) fn nothing(asked: &Asked, why: Refetch) -> Result<Choice, Refusal> {
    if policy::absent(asked).is_some() {
        return Err(Refusal::OnlyIfCached);
    }
    Ok(Choice::Obtain(Found::Nothing(why)))
}
