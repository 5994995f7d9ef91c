//! Step 5: the stored responses for a request's target.

use std::sync::Arc;

use policy::reason::{Hit, Refetch};
use policy::{OriginName, Seen};
use store::Variants;

use super::reuse::{self, Choice};
use super::{Answer, Found, Request, Wanted, aliases, join};
use crate::entry::StoredHead;
use crate::error::Refusal;
use crate::head::RequestHead;
use crate::worker::{Shared, Worker};

/// Writes the primary key of a request: scheme, host, path and query, and the origin.
pub(crate) fn primary_key(worker: &Worker, head: &RequestHead, key: &mut Vec<u8>) {
    key.clear();
    policy::primary_key(key, head.scheme.as_str().as_bytes(), &head.authority, &head.target);
    add_origin(worker, key);
}

/// A request's target as its client sees it and as the origin does.
pub(crate) fn seen<'a>(worker: &'a Worker, head: &'a RequestHead) -> Seen<'a> {
    let origin = &worker.origin.shared;
    Seen {
        scheme: head.scheme.as_str().as_bytes(),
        authority: &head.authority,
        path_and_query: &head.target,
        origin: OriginName {
            scheme: origin.url.scheme().as_str().as_bytes(),
            authority: origin.authority.as_bytes(),
            prefix: origin.url.prefix().as_bytes(),
        },
    }
}

/// Two origins that use one cache directory, now or one after the other, never share an entry. A
/// space cannot stand in a target, so what comes behind it is not the client's.
pub(crate) fn add_origin(worker: &Worker, key: &mut Vec<u8>) {
    key.push(b' ');
    key.extend_from_slice(worker.origin.shared.name.as_bytes());
}

/// Looks further than memory, if nothing was there. A store that fails is a miss.
pub(crate) async fn on_disk(
    worker: &Arc<Worker>,
    request: &Request,
    wanted: &mut Wanted,
) -> Result<Option<Answer>, Refusal> {
    if !matches!(wanted.found, Found::NotInMemory) {
        return Ok(None);
    }
    let shared = &worker.shared;
    if let Some(variants) = shared.store.look_up(&wanted.key).await {
        if let Some(entry) = variants.iter().next() {
            shared.aliases.learn(&wanted.key, &entry.meta().fields());
        }
        return from_variants(worker, request, wanted, &variants).await;
    }
    if let Some(answer) = for_equivalent(worker, request, wanted).await {
        return Ok(Some(answer));
    }
    wanted.found = reuse::nothing(&wanted.asked, Refetch::Absent)?;
    Ok(None)
}

/// An answer from a response that was stored for another URL and says that it is good for this one
/// too. One that would have to be validated is of no use: the origin was not asked for its URL.
async fn for_equivalent(
    worker: &Arc<Worker>,
    request: &Request,
    wanted: &Wanted,
) -> Option<Answer> {
    let Shared { aliases, store, .. } = &*worker.shared;
    for key in aliases.of(&wanted.key) {
        let Some(variants) = store.look_up(&key).await else { continue };
        let choice = reuse::choose(worker, request, &wanted.asked, &variants);
        let Ok(Choice::Use(mut usable)) = choice else { continue };
        let meta = usable.entry.meta();
        let is_equivalent = aliases::is_equivalent(&key, &meta.fields(), &wanted.key);
        if !is_equivalent || !aliases.may_answer(&key, &meta.terms) {
            continue;
        }
        if usable.why == Hit::Fresh {
            usable.why = Hit::NoVarySearch;
        }
        // It is refreshed, if that is due, as what it is: under its own URL.
        let target = aliases::target(&key).to_vec();
        let head = Arc::new(RequestHead { target, ..(*request.head).clone() });
        let request = Request { head, ..request.clone() };
        let answer = super::answer_from(worker, &request, &wanted.asked, &usable);
        let answer = join::readable(answer).await;
        if answer.is_some() {
            return answer;
        }
    }
    None
}

/// An answer from stored responses, wherever their content is. `wanted` learns what is there.
pub(crate) async fn from_variants(
    worker: &Arc<Worker>,
    request: &Request,
    wanted: &mut Wanted,
    variants: &Variants<StoredHead>,
) -> Result<Option<Answer>, Refusal> {
    let usable = match reuse::choose(worker, request, &wanted.asked, variants)? {
        Choice::Use(usable) => usable,
        Choice::Obtain(found) => {
            wanted.found = found;
            return Ok(None);
        }
    };
    let answer = super::answer_from(worker, request, &wanted.asked, &usable);
    // Trouble with a body on disk is a miss as long as nothing has been sent.
    let answer = join::readable(answer).await;
    if answer.is_none() {
        wanted.found = reuse::nothing(&wanted.asked, Refetch::StoreFailed)?;
    }
    Ok(answer)
}
