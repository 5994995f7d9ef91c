//! A request that the origin answers for this client alone.

use std::sync::Arc;

use policy::Reason;
use policy::reason::Pass;
use tokio::sync::mpsc;

use super::answer::{Answer, Forwarded};
use super::fetch::{self, Conditions};
use super::{Request, look_up, respond};
use crate::origin::content::RequestContent;
use crate::origin::exchange::{Informational, Response};
use crate::worker::Worker;

/// Forwards a request and passes the response on, whatever it is. A successful unsafe request
/// makes what is stored for its target invalid (RFC 9111 §4.4).
pub(crate) async fn forward(
    worker: &Arc<Worker>,
    request: &Request,
    why: Pass,
    content: Option<RequestContent>,
    informational: mpsc::Sender<Informational>,
) -> Answer {
    let forwarded = Forwarded::new(why.fwd());
    let conditions = Conditions::AsTheClientHasThem;
    let unanswered = Unanswered::of(worker, request);
    let fetched = fetch::fetch(worker, request, &conditions, content, Some(informational));
    match fetched.await {
        Ok(mut response) => {
            unanswered.settle();
            invalidate(worker, request, &response);
            respond::for_next_hop(&mut response.head, worker.shared.clock.now());
            respond::from_origin(request, response, why.code(), forwarded)
        }
        Err(error) => {
            if !error.may_have_reached_origin() {
                unanswered.settle();
            }
            worker.failed(&error);
            respond::failed(worker, request, &error, forwarded)
        }
    }
}

fn invalidate(worker: &Worker, request: &Request, response: &Response) {
    let head = &*request.head;
    let keys = policy::invalidate::invalidated(
        &head.method,
        response.head.status,
        head.scheme.as_str().as_bytes(),
        &head.authority,
        &head.target,
        &response.head.fields,
    );
    for mut key in keys {
        look_up::add_origin(worker, &mut key);
        worker.shared.forget(&store::Key::new(&key));
    }
}

/// An unsafe request whose outcome is not known. Dropped in that state, because its client left or
/// the origin broke off, it makes its target invalid: the origin may have done what was asked.
struct Unanswered<'a> {
    worker: &'a Worker,
    request: &'a Request,
    open: bool,
}

impl<'a> Unanswered<'a> {
    fn of(worker: &'a Worker, request: &'a Request) -> Self {
        Self { worker, request, open: !request.head.method.is_safe() }
    }

    fn settle(mut self) {
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
