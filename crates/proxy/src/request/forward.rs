//! A request that the origin answers for this client alone.

use std::sync::Arc;

use policy::Reason;
use policy::reason::Pass;
use tokio::sync::mpsc;

use super::answer::{Answer, Forwarded};
use super::fetch::{self, Conditions};
use super::head_update::{self, Updated};
use super::invalidations::{Began, Noted};
use super::join::{self, Fetched};
use super::reconcile::Times;
use super::respond::Overrides;
use super::{Request, Wanted, grouped, look_up, post, respond};
use crate::content::{Informational, RequestContent};
use crate::error::FetchError;
use crate::origin::exchange::Response;
use crate::worker::Worker;

/// Forwards a request and passes the response on, whatever it is. A successful unsafe request
/// makes what is stored for its target invalid (RFC 9111 §4.4). `wanted` is what the request looked
/// for in the store, if it did.
pub(crate) async fn forward(
    worker: &Arc<Worker>,
    request: &Request,
    wanted: Option<&Wanted>,
    why: Pass,
    content: Option<RequestContent>,
    informational: mpsc::Sender<Informational>,
) -> Answer {
    let forwarded = Forwarded::new(why.fwd());
    let conditions = Conditions::AsTheClientHasThem;
    let unanswered = Unanswered::of(worker, request);
    let shared = &worker.shared;
    let (began, sent) = (shared.began(), shared.clock.now());
    let fetched = fetch::fetch(worker, request, &conditions, content, Some(informational));
    match fetched.await {
        Ok(mut response) => {
            unanswered.settle();
            let invalidated = invalidate(worker, request, &response).await;
            let response_time = shared.clock.now();
            let times = Times { began: began.labels, request: sent, response: response_time };
            respond::for_next_hop(&mut response.head, times.response);
            if let Some(wanted) = wanted
                && let Some(updated) =
                    head_update::apply(worker, request, wanted, &response.head, times).await
            {
                return updated_by_head(worker, request, wanted, updated, response, why);
            }
            let keys = invalidated.and_then(|noted| shared.invalidations.only(noted, began.keys));
            if let Some(keys) = keys
                && let Some(post) = post::admit(worker, request, &response.head, times)
            {
                let after = Began { keys, ..began };
                return post::keep(worker, request, post, response, after, why).await;
            }
            respond::from_origin(worker, request, response, why.code(), forwarded)
        }
        Err(error) => failed(worker, request, unanswered, &error, forwarded).await,
    }
}

/// The answer when the origin gave none.
pub(super) async fn failed(
    worker: &Worker,
    request: &Request,
    unanswered: Unanswered<'_>,
    error: &FetchError,
    forwarded: Forwarded,
) -> Answer {
    if error.may_have_reached_origin() {
        drop(unanswered);
        // A process that takes over has to know of the doubt before the client is answered.
        worker.shared.succession.tell_heir(&[], &[], false).await;
    } else {
        unanswered.settle();
    }
    worker.failed(error);
    respond::failed(worker, request, error, forwarded)
}

/// A HEAD is told what a GET would be told from now on.
fn updated_by_head(
    worker: &Worker,
    request: &Request,
    wanted: &Wanted,
    Updated { entry, validated }: Updated,
    response: Response,
    why: Pass,
) -> Answer {
    let forwarded = Forwarded::new(why.fwd());
    let mut own = response.head.fields.clone();
    if policy::strip::strip_for_first(&mut own, &worker.shared.rules) {
        // Some of the head is for this client alone.
        return respond::from_origin(worker, request, response, why.code(), forwarded);
    }
    let aged = !validated || response.head.fields.contains("Age");
    respond::settle(response.content);
    let forwarded = Forwarded { status: Some(200), stored: true, ..forwarded };
    let fetched = Fetched { code: why.code(), forwarded, aged };
    join::from_fetched(worker, request, wanted, &entry, Overrides::default(), fetched)
}

/// Forgets what the response makes invalid; says when it forgot the target, if it did.
pub(super) async fn invalidate(
    worker: &Arc<Worker>,
    request: &Request,
    response: &Response,
) -> Option<Noted> {
    let head = &*request.head;
    let target = look_up::seen(worker, head);
    let status = response.head.status;
    let keys =
        policy::invalidate::invalidated(&head.method, status, &target, &response.head.fields);
    let keys = keys.into_iter().map(|mut key| {
        look_up::add_origin(worker, &mut key);
        store::Key::new(&key)
    });
    grouped::invalidate(worker, request, &response.head.fields, keys.collect()).await
}

/// An unsafe request whose outcome is not known. Dropped in that state, because its client left or
/// the origin broke off, it makes its target invalid: the origin may have done what was asked.
pub(super) struct Unanswered<'a> {
    worker: &'a Worker,
    request: &'a Request,
    open: bool,
}

impl<'a> Unanswered<'a> {
    pub(super) fn of(worker: &'a Worker, request: &'a Request) -> Self {
        Self { worker, request, open: !request.head.method.is_safe() }
    }

    pub(super) fn settle(mut self) {
        self.open = false;
    }
}

impl Drop for Unanswered<'_> {
    fn drop(&mut self) {
        if self.open {
            let mut key = Vec::new();
            look_up::primary_key(self.worker, &self.request.head, &mut key);
            let key = store::Key::new(&key);
            self.worker.shared.doubt(&key);
        }
    }
}
