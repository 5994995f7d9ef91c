//! Waits for the answer to a request, and takes in its content meanwhile.

use std::future::{Future, poll_fn};
use std::io;
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::Poll;

use tokio::sync::mpsc;

use super::receive::Received;
use super::{Client, Turn, send};
use crate::content::{Informational, RequestContent};
use crate::error::Refusal;
use crate::front::content::{Consumed, Intake};
use crate::front::deliver::{self, Terms};
use crate::front::socket::Outbound;
use crate::front::transport::{Incoming, Outgoing};
use crate::request::upgrade::TunnelPlace;
use crate::request::{self, Answer, Next, Request};
use crate::worker::Worker;

/// Content of more than this is read in large pieces, if that is possible.
const MUCH: u64 = 64 << 10;

impl<R: Incoming, W: Outgoing> Client<'_, R, W> {
    /// The answer to a request without content that needs disk or origin.
    pub(super) async fn wait(
        &mut self,
        request: &Request,
        next: Next,
        received: &Received,
    ) -> io::Result<Answer> {
        let most = self.worker.shared.limits.informational;
        let (interim, hints) = mpsc::channel(most);
        let place = next.tunnel_place();
        self.inbound.rest();
        // Boxed, and gone before the answer is delivered, which may take long.
        let mut finish = Box::pin(request::finish(self.worker, request, next, None, interim));
        let outbound = &mut self.outbound;
        answer(self.worker, outbound, request, received, finish.as_mut(), hints, place).await
    }

    /// A request with content: it is handed on while the response may already be on its way.
    pub(super) async fn exchange(
        &mut self,
        request: &Request,
        next: Next,
        received: &Received,
    ) -> Turn {
        let terms = self.terms(received);
        let limits = &self.worker.shared.limits;
        let (sender, content) = RequestContent::channel(received.length());
        let (interim, hints) = mpsc::channel(limits.informational);
        let to_continue = received.expects_continue.then(|| interim.clone());
        let whole = AtomicBool::new(false);
        // Held as long as the content is read.
        let is_much = received.length().is_none_or(|length| length > MUCH);
        let much = is_much.then(|| self.worker.origin.shared.reads_much()).flatten();
        self.inbound.read_much(much.is_some());
        let intake = Intake::new(&mut self.inbound, received.framing, limits);
        let mut intake = pin!(async {
            let consumed = intake.run(sender, to_continue).await;
            whole.store(consumed == Consumed::Whole, Ordering::Relaxed);
        });
        let (worker, outbound) = (self.worker, &mut self.outbound);
        let mut respond = pin!(async {
            let answer = {
                let finish = request::finish(worker, request, next, Some(content), interim);
                let mut finish = Box::pin(finish);
                answer(worker, outbound, request, received, finish.as_mut(), hints, None).await
            };
            let Ok(answer) = answer else { return Turn::Cut };
            // Content that is still on its way may never come to its end.
            let closing = terms.closing || !whole.load(Ordering::Relaxed);
            send(worker, outbound, request, answer, Terms { closing, ..terms }, received.began)
                .await
        });
        let turn = tokio::select! {
            biased;
            () = &mut intake => respond.await,
            turn = &mut respond => {
                // What has arrived may be all there is.
                poll_fn(|cx| Poll::Ready(intake.as_mut().poll(cx).is_ready())).await;
                turn
            }
        };
        match turn {
            Turn::Again | Turn::Close | Turn::Cut if !whole.load(Ordering::Relaxed) => Turn::Linger,
            turn => turn,
        }
    }
}

/// Waits for the answer, and passes on the informational responses that come before it. A client that
/// has ended its side of the connection still gets the answer. But it could send nothing through a
/// tunnel, so `place`, which is kept for one, is given to others.
async fn answer<W: Outgoing>(
    worker: &Worker,
    outbound: &mut Outbound<W>,
    request: &Request,
    received: &Received,
    mut finish: Pin<&mut impl Future<Output = Result<Answer, Refusal>>>,
    mut hints: mpsc::Receiver<Informational>,
    mut place: Option<TunnelPlace>,
) -> io::Result<Answer> {
    let outcome = loop {
        tokio::select! {
            biased;
            Some(hint) = hints.recv() => {
                deliver::informational(outbound, received.version, &hint).await?;
            }
            outcome = &mut finish => break outcome,
            () = outbound.gone() => return Err(io::ErrorKind::ConnectionReset.into()),
            () = outbound.ended_soon(), if place.is_some() => {
                if let Some(place) = place.take() {
                    place.give_up();
                }
            }
        }
    };
    while let Ok(hint) = hints.try_recv() {
        deliver::informational(outbound, received.version, &hint).await?;
    }
    let refused = |refusal| request::refusal(worker, &request.head.method, &refusal);
    Ok(outcome.unwrap_or_else(refused))
}
