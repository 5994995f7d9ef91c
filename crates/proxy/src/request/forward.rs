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
    let fetched = fetch::fetch(worker, request, &conditions, content, Some(informational));
    match fetched.await {
        Ok(mut response) => {
            invalidate(worker, request, &response);
            respond::for_next_hop(&mut response.head, worker.shared.clock.now());
            respond::from_origin(request, response, why.code(), forwarded)
        }
        Err(error) => {
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
        let key = store::Key::new(&key);
        worker.shared.invalidations.add(&key);
        worker.shared.flights.detach(&key);
        worker.shared.store.remove(&key);
    }
}
