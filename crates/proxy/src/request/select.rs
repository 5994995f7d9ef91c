//! Which stored response a request selects (RFC 9111 §4.1).

use std::sync::Arc;

use policy::Match;
use store::Variants;

use super::{Entry, Request, reuse};
use crate::entry::StoredHead;
use crate::worker::Worker;

/// The stored response to use, by its `Vary` and its date; `None` if the request matches none.
pub(crate) fn select<'v>(
    worker: &Worker,
    request: &Request,
    variants: &'v Variants<StoredHead>,
) -> Option<&'v Arc<Entry>> {
    let mut entries = variants.iter();
    let first = entries.find(|entry| is_candidate(worker, request, entry))?;
    let vary = first.meta().terms.vary();
    // What depends on the same fields, and was not stored in its place, cannot match as well.
    let is_rival = |entry: &Arc<Entry>| {
        !entry.meta().terms.vary().has_names_of(vary) && is_candidate(worker, request, entry)
    };
    if entries.any(is_rival) { choose(worker, request, variants) } else { Some(first) }
}

/// A part never answers for the whole.
fn is_candidate(worker: &Worker, request: &Request, entry: &Entry) -> bool {
    entry.meta().part().is_none() && reuse::selects(worker, request, entry)
}

#[cold]
fn choose<'v>(
    worker: &Worker,
    request: &Request,
    variants: &'v Variants<StoredHead>,
) -> Option<&'v Arc<Entry>> {
    let matching = variants.iter().filter(|entry| is_candidate(worker, request, entry));
    let matching: Vec<_> = matching.map(|entry| (entry, entry.meta().fields())).collect();
    let matching: Vec<_> = matching
        .iter()
        .map(|(of, fields)| Match { of: *of, terms: &of.meta().terms, fields })
        .collect();
    policy::choose(&matching, worker.shared.clock.now())
}
