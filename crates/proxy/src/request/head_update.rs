//! What the origin's answer to HEAD means for the responses to GET that are stored (RFC 9111 §4.3.5).
//!
//! The HEAD goes to the origin as its client sent it, without validators of ours: its 200 shows the
//! validators of what a GET would bring, which tells as much as a 304.

use std::sync::Arc;

use policy::{Admit, Asked, Exchanged, HeadEffect, Method, StoredForHead, Timestamp};

use super::reconcile::{self, Times};
use super::{Entry, Found, Request, Wanted, reuse};
use crate::entry::StoredHead;
use crate::head::ResponseHead;
use crate::worker::Worker;

/// Freshens or outdates what is stored, if the request is a HEAD that could have been answered with
/// it. `head` is ready for the next hop, with the `Content-Length` of the origin.
pub(crate) async fn apply(
    worker: &Worker,
    request: &Request,
    wanted: &Wanted,
    head: &ResponseHead,
    times: Times,
) {
    if !wanted.asked.head || !matches!(wanted.found, Found::Unusable(..)) {
        return;
    }
    let store = &worker.shared.store;
    let Some(variants) = store.look_up(&wanted.key).await else { return };
    for entry in variants.iter().filter(|entry| reuse::selects(request, entry)) {
        if let Some(meta) = updated(worker, request, &wanted.asked, entry, head, times) {
            // One that is no longer stored needs no update.
            let _ = store.replace_meta(&wanted.key, entry, meta);
        }
    }
}

/// The metadata of a stored response by what the HEAD says; `None` to leave it as it is.
fn updated(
    worker: &Worker,
    request: &Request,
    asked: &Asked,
    entry: &Arc<Entry>,
    head: &ResponseHead,
    times: Times,
) -> Option<StoredHead> {
    let meta = entry.meta();
    let stored = StoredForHead {
        status: meta.status,
        fields: &meta.fields,
        length: entry.length(),
        terms: &meta.terms,
    };
    let rules = &worker.shared.rules;
    match policy::head_effect(asked, &stored, head.status, &head.fields, times.request, rules) {
        HeadEffect::Nothing => None,
        HeadEffect::Outdated => Some(outdated(meta, times.response)),
        HeadEffect::Freshen => freshened(worker, request, asked, meta, head, times),
    }
}

fn outdated(meta: &StoredHead, now: Timestamp) -> StoredHead {
    let terms = meta.terms.clone().outdated(now);
    StoredHead::new(meta.status, meta.reason.clone(), meta.fields.clone(), terms)
}

/// As by a 304, except that what the origin wants no longer stored is only stale from now on: a GET
/// will tell.
fn freshened(
    worker: &Worker,
    request: &Request,
    asked: &Asked,
    meta: &StoredHead,
    head: &ResponseHead,
    times: Times,
) -> Option<StoredHead> {
    let mut fields = meta.fields.clone();
    policy::validate::freshen(&mut fields, &head.fields);
    let exchanged = Exchanged {
        method: &Method::Get,
        asked,
        request: &request.head.fields,
        status: meta.status,
        response: &fields,
        request_time: times.request,
        response_time: times.response,
    };
    match policy::admit(&exchanged, &worker.shared.rules) {
        Admit::Store(terms) => {
            let (status, reason) = (meta.status, meta.reason.clone());
            let head = ResponseHead { version: head.version, status, reason, fields };
            Some(reconcile::stored_head(worker, head, terms))
        }
        Admit::DoNotStore(why) if why.is_about_request() => None,
        Admit::DoNotStore(_) => Some(outdated(meta, times.response)),
    }
}
