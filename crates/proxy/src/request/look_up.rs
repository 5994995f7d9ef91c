//! Step 5: the stored responses for a request's target.

use std::sync::Arc;

use policy::reason::Refetch;
use policy::{OriginName, Seen};
use store::Variants;

use super::reuse::{self, Choice};
use super::{Answer, Found, Request, Wanted, join};
use crate::entry::StoredHead;
use crate::error::Refusal;
use crate::head::RequestHead;
use crate::worker::Worker;

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
    if let Some(variants) = worker.shared.store.look_up(&wanted.key).await {
        return from_variants(worker, request, wanted, &variants).await;
    }
    wanted.found = reuse::nothing(&wanted.asked, Refetch::Absent)?;
    Ok(None)
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
