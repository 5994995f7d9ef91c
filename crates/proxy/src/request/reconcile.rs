//! Step 9: what the origin's response means for the store.

use std::sync::Arc;

use policy::reason::NotStored;
use policy::{Admit, Exchanged, Terms, Timestamp};

use super::{Entry, Found, Request, Wanted, respond};
use crate::entry::StoredHead;
use crate::error::FetchError;
use crate::head::ResponseHead;
use crate::origin::exchange::Response;
use crate::worker::Worker;

/// What to do with a response that was asked for by a request that may be answered from the store.
pub(crate) enum Reconciled {
    /// The stored response is good again, with new metadata.
    Freshened(Arc<Entry>),
    /// The stored response is good for this request, but must not be kept.
    FreshenedOnce(Arc<Entry>),
    /// Keep it under these terms.
    Store(Terms, Response),
    /// Pass it on to the client that asked.
    DoNotStore(NotStored, Response),
    /// A 304 that confirms nothing we have: ask again without conditions.
    AskAgain,
}

/// When the request was sent and its response came.
#[derive(Clone, Copy)]
pub(crate) struct Times {
    pub(crate) request: Timestamp,
    pub(crate) response: Timestamp,
}

/// Decides. `conditional` says whether the origin was asked to validate what is stored.
pub(crate) fn reconcile(
    worker: &Worker,
    request: &Request,
    wanted: &Wanted,
    response: Response,
    times: Times,
    conditional: bool,
) -> Result<Reconciled, FetchError> {
    if response.head.status == 304 {
        return match &wanted.found {
            Found::Unusable(entry, _) if conditional => {
                Ok(freshen(worker, request, wanted, entry, &response.head, times))
            }
            _ => Err(FetchError::Unasked { status: 304 }),
        };
    }
    let Response { mut head, content } = response;
    respond::for_next_hop(&mut head.fields, times.response);
    let response = Response { head, content };
    match admit(worker, request, wanted, &response.head, times) {
        Admit::Store(terms) => Ok(Reconciled::Store(terms, response)),
        Admit::DoNotStore(why) => Ok(Reconciled::DoNotStore(why, response)),
    }
}

/// A 304 updates the stored response's metadata (RFC 9111 §4.3.4).
fn freshen(
    worker: &Worker,
    request: &Request,
    wanted: &Wanted,
    entry: &Arc<Entry>,
    not_modified: &ResponseHead,
    times: Times,
) -> Reconciled {
    let stored = entry.meta();
    if !policy::validate::selected_by(&stored.fields, &not_modified.fields) {
        return Reconciled::AskAgain;
    }
    let mut update = not_modified.fields.clone();
    respond::for_next_hop(&mut update, times.response);
    let mut fields = stored.fields.clone();
    policy::validate::freshen(&mut fields, &update);
    let head = ResponseHead { status: stored.status, reason: stored.reason.clone(), fields };
    match admit(worker, request, wanted, &head, times) {
        Admit::Store(terms) => {
            let meta = stored_head(worker, head, terms);
            let store = &worker.shared.store;
            let updated = store.replace_meta(&wanted.key, entry, meta);
            // Removed in the meantime: the confirmed body still answers who asked for it.
            Reconciled::Freshened(updated.unwrap_or_else(|| Arc::clone(entry)))
        }
        Admit::DoNotStore(_) => {
            worker.shared.store.remove(&wanted.key);
            Reconciled::FreshenedOnce(Arc::clone(entry))
        }
    }
}

fn admit(
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
    policy::admit(&exchanged, &worker.shared.site.rules)
}

/// The head as it is kept: without what must not be stored and without framing, which is computed
/// anew for each client.
pub(crate) fn stored_head(worker: &Worker, head: ResponseHead, terms: Terms) -> StoredHead {
    let ResponseHead { status, reason, mut fields } = head;
    policy::strip::strip_for_storage(&mut fields, &worker.shared.site.rules);
    fields.remove("Content-Length");
    StoredHead::new(status, reason, fields, terms)
}
