//! A request that offers to go on in another protocol, such as WebSocket (RFC 9110 §7.8).
//!
//! It goes to the origin for its client alone: it is not looked up, waits for nobody, is sent once, and
//! nothing of its answer is stored. Until the origin has answered with a 101 the connection speaks
//! HTTP, whatever the client has sent ahead; with any other answer it goes on doing so.

use std::sync::{Arc, Mutex, PoisonError};

use policy::reason::Pass;
use policy::{Offer, Reason};
use tokio::sync::{OwnedSemaphorePermit, mpsc};

use super::answer::{Answer, AnswerContent, AnswerHead, Forwarded, Report, Source};
use super::forward::{self, Unanswered};
use super::{Request, fetch, respond};
use crate::content::Informational;
use crate::error::FetchError;
use crate::head::RequestHead;
use crate::origin::Protocol;
use crate::origin::connection::Connection;
use crate::origin::switch::{Switch, Switched};
use crate::worker::Worker;

/// What follows a 101: the way to the origin, and the right to have it open.
pub(crate) struct Tunnel {
    /// What is spoken there.
    pub(crate) protocol: Vec<u8>,
    /// What came behind the 101 is in its buffer.
    pub(crate) connection: Connection,
    pub(crate) _place: OwnedSemaphorePermit,
}

/// An offer on its way to the origin, and its place among the tunnels.
#[derive(Clone)]
pub(crate) struct Offered {
    offer: Offer,
    place: TunnelPlace,
}

/// The right to have a tunnel open, kept for a client until the origin has answered its offer.
#[derive(Clone, Default)]
pub(crate) struct TunnelPlace(Arc<Mutex<Option<OwnedSemaphorePermit>>>);

impl TunnelPlace {
    /// Leaves it to others. If the origin takes up the offer all the same there has to be another.
    pub(crate) fn give_up(&self) {
        drop(self.take());
    }

    fn keep(&self, permit: OwnedSemaphorePermit) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(permit);
    }

    fn take(&self) -> Option<OwnedSemaphorePermit> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

impl Offered {
    /// The place that is kept for it from [`upgrade`] on.
    pub(crate) fn place(&self) -> TunnelPlace {
        self.place.clone()
    }
}

/// What is offered to the origin. Nothing where there are to be no tunnels, or where the origin is
/// asked by HTTP/2 alone, which has no upgrades; then it is a request like any other.
pub(crate) fn offer(worker: &Worker, head: &RequestHead) -> Option<Offered> {
    //= https://www.rfc-editor.org/rfc/rfc9110#section-7.8
    //# A server MAY ignore a received Upgrade header field if it wishes to continue using the current
    //# protocol on that connection.
    let may_be_taken_up =
        worker.shared.limits.tunnels > 0 && worker.origin.shared.url.protocol() != Protocol::Http2;
    let offer = head.offer.clone().filter(|_| may_be_taken_up)?;
    Some(Offered { offer, place: TunnelPlace::default() })
}

/// Asks the origin, and passes on whatever it answers.
pub(crate) async fn upgrade(
    worker: &Arc<Worker>,
    request: &Request,
    Offered { offer, place }: &Offered,
    informational: mpsc::Sender<Informational>,
) -> Answer {
    let why = Pass::Upgrade;
    let forwarded = Forwarded::new(why.fwd());
    let permit = || Arc::clone(&worker.shared.tunnels).try_acquire_owned().ok();
    let none = FetchError::NoTunnel { limit: worker.shared.limits.tunnels };
    let Some(kept) = permit() else { return respond::failed(worker, request, &none, forwarded) };
    place.keep(kept);
    let unanswered = Unanswered::of(worker, request);
    match fetch::switch(worker, request, offer, informational).await {
        // What an unsafe request did is told in the other protocol: its outcome is never known here.
        Ok(Switch::Switched(switched)) => match place.take().or_else(permit) {
            Some(place) => switched_to(worker, *switched, place, forwarded),
            None => respond::failed(worker, request, &none, forwarded),
        },
        Ok(Switch::Declined(response)) => {
            let mut response = *response;
            unanswered.settle();
            forward::invalidate(worker, request, &response).await;
            respond::for_next_hop(&mut response.head, worker.shared.clock.now());
            respond::from_origin(worker, request, response, why.code(), forwarded)
        }
        Err(error) => forward::failed(worker, request, unanswered, &error, forwarded).await,
    }
}

fn switched_to(
    worker: &Worker,
    Switched { mut head, protocol, connection }: Switched,
    place: OwnedSemaphorePermit,
    forwarded: Forwarded,
) -> Answer {
    respond::for_next_hop(&mut head, worker.shared.clock.now());
    let source = Source::Origin(Forwarded { status: Some(head.status), ..forwarded });
    let report = Report { code: Pass::Upgrade.code(), source, proxy_error: None };
    let tunnel = Tunnel { protocol, connection, _place: place };
    let content = AnswerContent::Switched(Box::new(tunnel));
    Answer { head: AnswerHead::Own(head), age: None, content, length: None, report }
}
