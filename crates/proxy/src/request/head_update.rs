//! What the origin's answer to HEAD means for the responses to GET that are stored (RFC 9111 §4.3.5).
//!
//! The HEAD goes to the origin as its client sent it, without validators of ours: its 200 shows the
//! validators of what a GET would bring, which tells as much as a 304.

use std::sync::Arc;

use policy::{Admit, Asked, Exchanged, HeadEffect, Method, StoredForHead};
use store::Meta as _;

use super::reconcile::{self, Times};
use super::{Entry, Found, Request, Wanted, reuse, select};
use crate::entry::StoredHead;
use crate::head::ResponseHead;
use crate::worker::Worker;

/// The stored response that the HEAD selects, updated: its fields are what a GET would be told now.
pub(crate) struct Updated {
    pub(crate) entry: Arc<Entry>,
    /// Its age is counted anew.
    pub(crate) validated: bool,
}

/// Freshens or outdates what is stored, if the request is a HEAD that could have been answered with
/// it. `head` is ready for the next hop, with the `Content-Length` of the origin.
pub(crate) async fn apply(
    worker: &Worker,
    request: &Request,
    wanted: &Wanted,
    head: &ResponseHead,
    times: Times,
) -> Option<Updated> {
    if !wanted.asked.head || !matches!(wanted.found, Found::Unusable(..)) {
        return None;
    }
    let store = &worker.shared.store;
    let variants = store.look_up(&wanted.key).await?;
    let selected = select::select(worker, request, &variants);
    let answer = Answered { worker, request, asked: &wanted.asked, head, times };
    let mut updated = None;
    for entry in variants.iter().filter(|entry| is_whole_and_selected(worker, request, entry)) {
        let Some((meta, freshened)) = answer.update(entry) else { continue };
        // One that is no longer stored needs no update.
        let replaced = store.replace_meta(&wanted.key, entry, meta);
        if selected.is_some_and(|selected| Arc::ptr_eq(selected, entry)) {
            updated = replaced
                .zip(freshened)
                .map(|(entry, Validated(validated))| Updated { entry, validated });
        }
    }
    updated
}

/// A HEAD tells of the whole, which a part is not.
fn is_whole_and_selected(worker: &Worker, request: &Request, entry: &Entry) -> bool {
    entry.meta().part().is_none() && reuse::selects(worker, request, entry)
}

/// Whether a validator has spoken for a response that was freshened.
struct Validated(bool);

/// A HEAD and the origin's answer to it.
struct Answered<'a> {
    worker: &'a Worker,
    request: &'a Request,
    asked: &'a Asked,
    head: &'a ResponseHead,
    times: Times,
}

impl Answered<'_> {
    /// The metadata of a stored response by what the answer says, and whether that freshened it;
    /// `None` to leave it as it is.
    fn update(&self, entry: &Entry) -> Option<(StoredHead, Option<Validated>)> {
        let (meta, rules) = (entry.meta(), &self.worker.shared.rules);
        let stored = StoredForHead {
            status: meta.status(),
            fields: &meta.fields(),
            length: entry.length(),
            terms: &meta.terms,
        };
        let Self { asked, head: ResponseHead { status, fields, .. }, times, .. } = self;
        match policy::head_effect(asked, &stored, *status, fields, times.request, rules) {
            HeadEffect::Nothing => None,
            HeadEffect::Outdated => Some((self.outdated(meta), None)),
            HeadEffect::Freshen { validated } => self.freshened(meta, validated),
        }
    }

    fn outdated(&self, meta: &StoredHead) -> StoredHead {
        let terms = meta.terms.clone().outdated(self.times.response);
        let labels = meta.own_labels();
        StoredHead::new(meta.status(), meta.reason(), &meta.fields(), terms).labelled(labels)
    }

    /// As by a 304, except that what the origin wants no longer stored is only stale from now on: a
    /// GET will tell.
    fn freshened(
        &self,
        meta: &StoredHead,
        validated: bool,
    ) -> Option<(StoredHead, Option<Validated>)> {
        let mut fields = meta.fields();
        policy::validate::freshen(&mut fields, &self.head.fields, &self.worker.shared.rules);
        let exchanged = Exchanged {
            method: &Method::Get,
            asked: self.asked,
            request: &self.request.head.fields,
            status: meta.status(),
            response: &fields,
            request_time: self.times.request,
            response_time: self.times.response,
        };
        match policy::admit(&exchanged, &self.worker.shared.rules) {
            Admit::Store(terms) => {
                let terms = if validated { terms } else { terms.aged_as(&meta.terms) };
                let (status, reason) = (meta.status(), meta.reason().to_vec());
                let head = ResponseHead { version: self.head.version, status, reason, fields };
                // Without a validator the content is as old as it was, for events too.
                let began = if validated { self.times.began } else { meta.began() };
                let meta = reconcile::stored_head(self.worker, self.request, head, terms, began);
                Some((meta, Some(Validated(validated))))
            }
            Admit::DoNotStore(why) if why.is_about_request() => None,
            Admit::DoNotStore(_) => Some((self.outdated(meta), None)),
        }
    }
}
