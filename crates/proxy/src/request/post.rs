//! The response to a POST that is a representation of its target: later GETs are answered with it
//! (RFC 9110 §9.3.3).

use std::sync::Arc;

use policy::reason::{Pass, Refetch};
use policy::{Admit, Asked, Exchanged, Method, Plan, Reason, Terms};
use store::Key;
use tokio::sync::oneshot;

use super::answer::{Answer, Forwarded};
use super::invalidations::Began;
use super::join;
use super::lead::{Lead, Led};
use super::reconcile::Times;
use super::{Found, Request, Wanted, look_up, respond};
use crate::error::FetchError;
use crate::head::ResponseHead;
use crate::origin::exchange::Response;
use crate::worker::Worker;

/// Leave to store the response to a POST.
pub(crate) struct Post {
    terms: Terms,
    asked: Asked,
}

/// Decides whether the response may be stored.
pub(crate) fn admit(
    worker: &Worker,
    request: &Request,
    response: &ResponseHead,
    times: Times,
) -> Option<Post> {
    let head = &*request.head;
    if head.method != Method::Post {
        return None;
    }
    let rules = &worker.shared.rules;
    // Of the request only counts who sent it and what it forbids: it is not answered from the store.
    let asked = match policy::classify(&Method::Get, &head.fields, false, rules) {
        Plan::LookUp(Asked { authorization, certificate, no_store, .. }) => {
            Asked { authorization, certificate, no_store, ..Asked::default() }
        }
        Plan::LookUpWithContent(_) | Plan::Pass(_) => return None,
    };
    let exchanged = Exchanged {
        method: &head.method,
        asked: &asked,
        request: &head.fields,
        status: response.status,
        response: &response.fields,
        request_time: times.request,
        response_time: times.response,
    };
    match policy::admit_post(&exchanged, &look_up::seen(worker, head), rules) {
        Admit::Store(terms) => Some(Post { terms, asked }),
        Admit::DoNotStore(_) => None,
    }
}

/// Answers with the response while a task of its own fills the store with it, so that a client that
/// leaves does not leave half of it behind. `after` is the moment after the POST made what was
/// stored invalid: what is made invalid later is not stored.
pub(crate) async fn keep(
    worker: &Arc<Worker>,
    request: &Request,
    Post { terms, asked }: Post,
    response: Response,
    after: Began,
    why: Pass,
) -> Answer {
    let mut key = Vec::new();
    look_up::primary_key(worker, &request.head, &mut key);
    let found = Found::Nothing(Refetch::Absent);
    let wanted = Wanted { key: Key::new(&key), flight: None, asked, found };
    let lead = Lead {
        worker: Arc::clone(worker),
        request: request.clone(),
        wanted: wanted.clone(),
        permit: None,
        informational: None,
    };
    let (sender, outcome) = oneshot::channel();
    tokio::spawn(lead.store(Some(sender), terms, response, after));
    let forwarded = Forwarded::new(why.fwd());
    match outcome.await {
        Ok(Led::Stored(stored)) => {
            join::from_stored(worker, request, &wanted, stored, why.code(), forwarded)
        }
        // It could have been stored: why it was not tells more than why it went forward.
        Ok(Led::Private { response, why }) => {
            respond::from_origin(worker, request, *response, why, forwarded)
        }
        Ok(Led::Failed(error)) => respond::failed(worker, request, &error, forwarded),
        Ok(Led::Validated(_) | Led::Ranged(_)) | Err(_) => {
            respond::failed(worker, request, &FetchError::Internal, forwarded)
        }
    }
}
