//! The life of an HTTP/1.1 client connection: one request after the other.

mod exchange;
mod receive;

use std::future::{Future, poll_fn};
use std::ops::ControlFlow;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http1::{FieldSpan, Framing, Version};
use policy::Method;
use tokio::time::timeout;

use self::receive::{Receipt, Received};
use super::deliver::{self, Terms, Undelivered};
use super::lifetime::Lifetime;
use super::socket::{Inbound, Outbound};
use super::transport::{Incoming, Outgoing};
use super::tunnel::{self, Opening};
use super::unsent::{Left, Unsent};
use super::{LINGER, LINGER_BYTES, Peer};
use crate::clock::{self, in_ticks, ticks};
use crate::error::Refusal;
use crate::head::RequestHead;
use crate::request::answer::Report;
use crate::request::record::{self, Delivered};
use crate::request::upgrade::Tunnel;
use crate::request::{self, Answer, Request, Started};
use crate::worker::Worker;

/// What follows a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Turn {
    /// Another one may.
    Again,
    /// The end, all said.
    Close,
    /// The end, as nothing more is asked; the client may not have taken all that was said.
    Rest,
    /// The end, while the client may still be sending.
    Linger,
    /// The end in the middle of a response, which the client sees by its framing.
    Cut,
    /// The end, and the client must see that something is missing.
    Reset,
    /// HTTP/2 is spoken here.
    Http2,
}

struct Client<'a, R, W> {
    worker: &'a Arc<Worker>,
    peer: Peer,
    inbound: Inbound<R>,
    outbound: Outbound<W>,
    /// The head of the request at hand; its buffers are used again if nobody else holds it.
    head: Arc<RequestHead>,
    /// Scratch space.
    spans: Vec<FieldSpan>,
    key: Vec<u8>,
    served: u64,
    lifetime: Lifetime,
}

/// Serves a connection until it ends; or until it turns out to speak HTTP/2, and says what has been
/// read of that. Whoever calls this closes it.
pub(crate) async fn serve<R: Incoming, W: Outgoing>(
    worker: &Arc<Worker>,
    (reader, writer): (R, W),
    peer: Peer,
) -> Option<Bytes> {
    // Registered once: the task's waker stays the same, so a notification wakes whatever waits.
    let mut draining = pin!(worker.wake_idle.notified());
    poll_fn(|cx| Poll::Ready(draining.as_mut().poll(cx).is_ready())).await;
    let mut client = Client::new(worker, (reader, writer), peer);
    let last = loop {
        match client.turn().await {
            Turn::Again => {}
            last => break last,
        }
    };
    if last == Turn::Http2 {
        return Some(client.inbound.buf.split().freeze());
    }
    client.end(last).await;
    None
}

/// Answers whoever has connected with a refusal, and ends.
pub(crate) async fn refuse<R: Incoming, W: Outgoing>(
    worker: &Arc<Worker>,
    halves: (R, W),
    peer: Peer,
    refusal: Refusal,
) {
    let mut client = Client::new(worker, halves, peer);
    let last = client.refuse(&refusal).await;
    client.end(last).await;
}

impl<'a, R: Incoming, W: Outgoing> Client<'a, R, W> {
    fn new(worker: &'a Arc<Worker>, (reader, writer): (R, W), peer: Peer) -> Self {
        let limits = &worker.shared.limits;
        let (requests, age) = (limits.requests_per_connection, limits.connection_age);
        let large = Arc::clone(&worker.origin.shared.large_copies);
        Self {
            worker,
            peer,
            inbound: Inbound::new(reader),
            outbound: Outbound::new(writer, limits.write_timeout, large),
            head: Arc::default(),
            spans: Vec::with_capacity(32),
            key: Vec::with_capacity(128),
            served: 0,
            lifetime: Lifetime::new(requests, age, worker.ids.chance()),
        }
    }

    /// Ends the connection as `last` says.
    async fn end(&mut self, last: Turn) {
        match last {
            Turn::Close => self.outbound.finish().await,
            Turn::Rest => {
                self.outbound.finish().await;
                if !self.peer.guest.is_sent_away() && self.outbound.unsent(1) > 0 {
                    self.linger().await;
                }
            }
            Turn::Linger => self.linger().await,
            Turn::Reset => self.outbound.reset_on_close(),
            Turn::Again | Turn::Cut | Turn::Http2 => {}
        }
    }

    /// One request and its response.
    async fn turn(&mut self) -> Turn {
        let received = match self.receive().await {
            Ok(Receipt::Head(received)) => received,
            Ok(Receipt::Http2) => return Turn::Http2,
            Ok(Receipt::End) => return Turn::Close,
            Ok(Receipt::Rest) => return Turn::Rest,
            Err(refusal) => return self.refuse(&refusal).await,
        };
        self.served += 1;
        let request = Request {
            head: Arc::clone(&self.head),
            way: Arc::clone(&received.way),
            id: received.id.clone(),
        };
        let has_content = received.framing.has_content();
        let length = received.length();
        let started = self.peer.start(self.worker, &request, length, has_content, &mut self.key);
        let started = started.unwrap_or_else(|refusal| {
            let method = &request.head.method;
            Started::Answered(request::refusal(self.worker, method, &refusal))
        });
        let answer = match (started, has_content) {
            // Without a look at its content the connection cannot go on.
            (Started::Answered(answer), true) => {
                return self.last(&request, answer, &received).await;
            }
            (Started::Waiting(next), true) => {
                let turn = Box::pin(self.exchange(&request, next, &received)).await;
                self.inbound.read_much(false);
                return turn;
            }
            (Started::Answered(answer), false) => answer,
            (Started::Waiting(next), false) => match self.wait(&request, next, &received).await {
                Ok(answer) => answer,
                Err(_) => return Turn::Cut,
            },
        };
        match answer.split_tunnel() {
            (answer, None) => self.deliver(&request, answer, &received).await,
            (answer, Some(tunnel)) => self.tunnel(&request, answer, *tunnel, &received).await,
        }
    }

    /// A message that cannot be understood: whatever follows it cannot be either.
    async fn refuse(&mut self, refusal: &Refusal) -> Turn {
        // Nothing of it can be relied on, not even the method.
        let method = Method::parse(b"-");
        self.head = Arc::new(RequestHead { method, ..RequestHead::default() });
        let id = self.worker.ids.adopt(None);
        let way = self.peer.alone();
        let request =
            Request { head: Arc::clone(&self.head), way: Arc::clone(&way), id: id.clone() };
        // Whoever is one too many is told that, whatever it says.
        let full = self.peer.refused.map(Refusal::Full);
        let refusal = full.as_ref().unwrap_or(refusal);
        let answer = request::refusal(self.worker, &request.head.method, refusal);
        let received = Received {
            version: Version::Http11,
            persistent: false,
            expects_continue: false,
            framing: Framing::None,
            id,
            way,
            began: self.stopwatch(),
        };
        self.last(&request, answer, &received).await
    }

    /// Only a log wants to know how long requests take.
    fn stopwatch(&self) -> Option<Instant> {
        self.worker.shared.recorder.wants_requests().then(clock::stopwatch)
    }

    fn terms(&self, received: &Received) -> Terms {
        let is_sent_away = self.peer.refused.is_some() || self.peer.guest.is_sent_away();
        let is_over = self.lifetime.is_over(self.served) || self.worker.is_draining();
        let closing = is_over || is_sent_away;
        Terms { version: received.version, persistent: received.persistent, closing }
    }

    async fn deliver(&mut self, request: &Request, answer: Answer, received: &Received) -> Turn {
        let terms = self.terms(received);
        match send(self.worker, &mut self.outbound, request, answer, terms, received.began).await {
            // There are few places to be told that there is none.
            Turn::Linger if self.peer.refused.is_some() => Turn::Close,
            turn => turn,
        }
    }

    /// Delivers a response after which the connection is closed.
    async fn last(&mut self, request: &Request, answer: Answer, received: &Received) -> Turn {
        let terms = Terms { closing: true, ..self.terms(received) };
        match send(self.worker, &mut self.outbound, request, answer, terms, received.began).await {
            Turn::Close => Turn::Linger,
            turn => turn,
        }
    }

    /// What follows a 101 is not read as HTTP any more.
    async fn tunnel(
        &mut self,
        request: &Request,
        answer: Answer,
        tunnel: Tunnel,
        received: &Received,
    ) -> Turn {
        let opening = Opening { request, answer, began: received.began };
        let client = (&mut self.inbound, &mut self.outbound);
        let is_told = Box::pin(tunnel::serve(self.worker, client, opening, tunnel)).await;
        if is_told { Turn::Linger } else { Turn::Reset }
    }

    /// Takes what is still coming for a while, first until the client has taken what the system has for
    /// it, and then behind the word that nothing more will be sent. Meanwhile it makes way for others.
    async fn linger(&mut self) {
        //= https://www.rfc-editor.org/rfc/rfc9112#section-9.6
        //# To avoid the TCP reset problem, servers typically close a connection in stages.
        self.peer.guest.rest();
        let mut taken = 0;
        let left = self.wait_for_unsent(&mut taken).await;
        let limit = self.worker.shared.limits.write_timeout;
        // Of one that takes nothing it is not known when it would take that.
        let limit = if left == Left::Stuck { Duration::ZERO } else { limit };
        self.outbound.shut_down(limit).await;
        if left == Left::Nothing {
            let _ = self.discard(LINGER, &mut taken).await;
        }
    }

    /// Lets the client take what the system has for it, unless it ends its side before.
    async fn wait_for_unsent(&mut self, taken: &mut usize) -> Left {
        let (mut unsent, limit) = (Unsent::default(), self.worker.shared.limits.write_timeout);
        loop {
            let left = unsent.look(|known| self.outbound.unsent(known), ticks(), limit);
            if left != Left::Moving {
                return left;
            }
            // Others need its place, and the system goes on by itself.
            if self.peer.guest.is_sent_away() {
                return Left::Stuck;
            }
            if self.discard(unsent.pause(), taken).await.is_break() {
                return left;
            }
        }
    }

    /// Takes what comes for so long. Breaks off when the client has ended its side.
    async fn discard(&mut self, patience: Duration, taken: &mut usize) -> ControlFlow<()> {
        let until = ticks() + in_ticks(patience);
        let left = || Duration::from_millis(until.saturating_sub(ticks()));
        while *taken < LINGER_BYTES {
            self.inbound.buf.clear();
            match self.inbound.fill(left(), || false).await {
                Ok(Ok(count)) if count > 0 => *taken += count,
                Ok(_) => return ControlFlow::Break(()),
                Err(_) => return ControlFlow::Continue(()),
            }
        }
        // A client that goes on sending is not read any more. It gets the rest of the time to read the
        // response before the connection is closed, which resets it.
        match timeout(left(), self.outbound.ended_soon()).await {
            Ok(()) => ControlFlow::Break(()),
            Err(_) => ControlFlow::Continue(()),
        }
    }
}

/// Steps 12 and 13.
async fn send<W: Outgoing>(
    worker: &Worker,
    outbound: &mut Outbound<W>,
    request: &Request,
    answer: Answer,
    terms: Terms,
    began: Option<Instant>,
) -> Turn {
    let written = outbound.written;
    let status = answer.status();
    let report: Report = answer.report;
    let told = request::told(worker, request, &report);
    let outcome = deliver::deliver(outbound, answer, &told, terms).await;
    let delivered = Delivered { status, bytes: outbound.written - written, cut: outcome.is_err() };
    record::record(worker, request, &report, delivered, began);
    match outcome {
        Ok(true) => Turn::Again,
        // It has not asked for the end, and may have sent more.
        Ok(false) if terms.closing && terms.persistent => Turn::Linger,
        Ok(false) => Turn::Close,
        Err(Undelivered::Client) => Turn::Cut,
        Err(Undelivered::Source { reset, broken }) => {
            worker.broke(&broken);
            if reset { Turn::Reset } else { Turn::Cut }
        }
    }
}
