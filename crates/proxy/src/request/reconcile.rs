//! Step 9: what the origin's response means for the store.

use std::sync::Arc;

use policy::reason::NotStored;
use policy::{Admit, Exchanged, Fields, Terms, Timestamp};

use super::{Entry, Request, Wanted, labels, respond};
use crate::entry::StoredHead;
use crate::error::FetchError;
use crate::head::ResponseHead;
use crate::origin::exchange::Response;
use crate::worker::Worker;

/// What to do with a response that was asked for by a request that may be answered from the store.
pub(crate) enum Reconciled {
    /// The origin confirmed a stored response.
    Freshened(Freshened),
    /// Keep it under these terms.
    Store(Terms, Response),
    /// Pass it on to the client that asked.
    DoNotStore(NotStored, Response),
}

/// A stored response that was confirmed, under its new head.
pub(crate) struct Freshened {
    pub(crate) entry: Arc<Entry>,
    /// The head for this request, if some of it is for this request alone.
    pub(crate) head: Option<Box<ResponseHead>>,
    /// It was another cache that confirmed it: the 304 had an `Age`.
    pub(crate) aged: bool,
    /// It is stored under its new head. Otherwise its content answers this request and no other.
    pub(crate) kept: bool,
}

/// When the request was sent and its response came.
#[derive(Clone, Copy)]
pub(crate) struct Times {
    /// In the order of what invalidates by labels.
    pub(crate) began: store::Moment,
    pub(crate) request: Timestamp,
    pub(crate) response: Timestamp,
}

/// Decides. `validating` is the stored response that the origin was asked about, if it was. `None`
/// means that its 304 is about another one: ask again, without conditions.
pub(crate) fn reconcile(
    worker: &Worker,
    request: &Request,
    wanted: &Wanted,
    response: Response,
    times: Times,
    validating: Option<&Arc<Entry>>,
) -> Result<Option<Reconciled>, FetchError> {
    if response.head.status == 304 {
        let entry = validating.ok_or(FetchError::Unasked { status: 304 })?;
        respond::settle(response.content);
        return Ok(freshen(worker, request, wanted, entry, response.head, times));
    }
    //= https://www.rfc-editor.org/rfc/rfc9111#section-4.3.3
    //# Instead, the cache MUST use the full response to satisfy the request. The cache MAY store
    //# such a full response, subject to its constraints (see Section 3).
    let Response { mut head, content } = response;
    respond::for_next_hop(&mut head, times.response);
    let response = Response { head, content };
    Ok(Some(match admit(worker, request, wanted, &response.head, times) {
        Admit::Store(terms) => Reconciled::Store(terms, response),
        Admit::DoNotStore(why) => Reconciled::DoNotStore(why, response),
    }))
}

/// A 304 updates the stored response's metadata (RFC 9111 §4.3.4).
fn freshen(
    worker: &Worker,
    request: &Request,
    wanted: &Wanted,
    entry: &Arc<Entry>,
    not_modified: ResponseHead,
    times: Times,
) -> Option<Reconciled> {
    let stored = entry.meta();
    if !policy::validate::selected_by(&stored.fields(), &not_modified.fields) {
        return None;
    }
    let UpdatedHead { head, first } = updated_head(worker, stored, not_modified, times);
    let store = &worker.shared.store;
    let kept = match admit(worker, request, wanted, &head, times) {
        Admit::Store(terms) => {
            let meta = stored_head(worker, request, head, terms, times.began);
            let meta = if stored.is_spread() { meta.spread()? } else { meta };
            // Removed in the meantime: the confirmed content still answers who asked for it.
            store.replace_meta(&wanted.key, entry, meta)
        }
        // Another request, without what this one brought along, may still use what is stored.
        Admit::DoNotStore(why) if why.is_about_request() => None,
        // The origin has changed its mind: nothing stored for this target can be relied on.
        Admit::DoNotStore(_) => {
            store.remove(&wanted.key);
            None
        }
    };
    Some(Reconciled::Freshened(Freshened::of(worker, entry, kept, first)))
}

impl Freshened {
    /// `kept` is the entry under its new head, if it is stored so; `first` is the head for the request
    /// for which it was validated.
    pub(super) fn of(
        worker: &Worker,
        confirmed: &Arc<Entry>,
        kept: Option<Arc<Entry>>,
        first: ResponseHead,
    ) -> Self {
        let Some(entry) = kept else {
            let (entry, head) = (Arc::clone(confirmed), Some(Box::new(first)));
            return Self { entry, head, aged: false, kept: false };
        };
        let aged = first.fields.contains("Age");
        Self { entry, head: own_head(worker, first), aged, kept: true }
    }
}

/// What a 304 makes of a stored head.
pub(super) struct UpdatedHead {
    pub(super) head: ResponseHead,
    /// The same for the request for which it was validated.
    pub(super) first: ResponseHead,
}

/// Updates a stored head by what a 304 says (RFC 9111 §3.2).
pub(super) fn updated_head(
    worker: &Worker,
    stored: &StoredHead,
    mut not_modified: ResponseHead,
    times: Times,
) -> UpdatedHead {
    respond::for_next_hop(&mut not_modified, times.response);
    let mut head = ResponseHead {
        status: stored.status(),
        reason: stored.reason().to_vec(),
        fields: stored.fields(),
        version: not_modified.version,
    };
    policy::validate::freshen(&mut head.fields, &not_modified.fields, &worker.shared.rules);
    let first = head_for_first(worker, &head, &not_modified.fields);
    UpdatedHead { head, first }
}

/// A stored head that `new` has updated, with what `new` brought for the client alone that asked.
pub(super) fn head_for_first(
    worker: &Worker,
    updated: &ResponseHead,
    new: &Fields,
) -> ResponseHead {
    let mut head = updated.clone();
    let rules = &worker.shared.rules;
    for (name, value) in policy::validate::withheld_fields(&updated.fields, new, rules).iter() {
        head.fields.push(name, value);
    }
    head
}

/// The head for the client that asked, whose Age is computed; `None` if it is just what is stored.
pub(super) fn own_head(worker: &Worker, mut head: ResponseHead) -> Option<Box<ResponseHead>> {
    //= https://www.rfc-editor.org/rfc/rfc9111#section-5.2.2.4
    //# if the listed header fields are excluded from the subsequent response
    let is_own = policy::strip::strip_for_first(&mut head.fields, &worker.shared.rules);
    is_own.then(|| Box::new(head))
}

pub(super) fn admit(
    worker: &Worker,
    request: &Request,
    wanted: &Wanted,
    response: &ResponseHead,
    times: Times,
) -> Admit {
    let exchanged = Exchanged {
        method: &request.head.method,
        asked: &wanted.asked,
        request: &request.head.fields,
        status: response.status,
        response: &response.fields,
        request_time: times.request,
        response_time: times.response,
    };
    policy::admit(&exchanged, &worker.shared.rules)
}

/// The head as it is kept: without what must not be stored and without framing, which is computed
/// anew for each client; and its labels, from the moment on when it was asked for.
pub(crate) fn stored_head(
    worker: &Worker,
    request: &Request,
    head: ResponseHead,
    terms: Terms,
    began: store::Moment,
) -> StoredHead {
    let labels = labels::of(worker, &request.head, &head.fields, began);
    let ResponseHead { status, reason, mut fields, .. } = head;
    policy::strip::strip_for_storage(&mut fields, &worker.shared.rules);
    fields.remove("Content-Length");
    let stored = StoredHead::new(status, &reason, &fields, terms).labelled(labels);
    match request.head.query_digest() {
        Some(digest) => stored.for_query(*digest),
        None => stored,
    }
}
