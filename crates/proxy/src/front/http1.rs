//! The life of an HTTP/1.1 client connection: one request after the other.

use std::future::{Future, poll_fn};
use std::io;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::Poll;
use std::time::{Duration, Instant};

use bytes::{Buf, Bytes};
use http1::{FieldSpan, Framing, Progress, TargetForm, Version};
use policy::Method;
use policy::forwarded::Way;
use tokio::sync::mpsc;

use super::Peer;
use super::content::{Consumed, Intake};
use super::deliver::{self, Terms, Undelivered};
use super::http2;
use super::lifetime::Lifetime;
use super::socket::{Inbound, Outbound};
use super::transport::{Incoming, Outgoing};
use super::tunnel::{self, Opening};
use crate::clock::{self, ticks};
use crate::content::{Informational, RequestContent};
use crate::error::Refusal;
use crate::head::{RequestHead, Scheme};
use crate::ids::RequestId;
use crate::request::answer::Report;
use crate::request::record::{self, Delivered};
use crate::request::redirect;
use crate::request::upgrade::Tunnel;
use crate::request::{self, Answer, Next, Request, Started};
use crate::worker::Worker;

/// How long a closing connection still takes what the client sends, so that the client gets to read
/// the response instead of a reset.
const LINGER: Duration = Duration::from_secs(2);
/// How much it takes.
const LINGER_BYTES: usize = 1 << 20;

/// Content of more than this is read in large pieces, if that is possible.
const MUCH: u64 = 64 << 10;

/// What follows a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Turn {
    /// Another one may.
    Again,
    /// The end, all said.
    Close,
    /// The end, while the client may still be sending.
    Linger,
    /// The end in the middle of a response, which the client sees by its framing.
    Cut,
    /// The end, and the client must see that something is missing.
    Reset,
    /// HTTP/2 is spoken here.
    Http2,
}

/// What a client sent.
enum Receipt {
    Head(Received),
    /// The preface of HTTP/2, and maybe more.
    Http2,
    /// Nothing more: the orderly end.
    End,
}

/// A head, and what the codec said of it.
struct Received {
    version: Version,
    persistent: bool,
    expects_continue: bool,
    framing: Framing,
    id: RequestId,
    way: Arc<Way>,
    /// When the head was there.
    began: Option<Instant>,
}

impl Received {
    /// The length of the content, if it was announced.
    const fn length(&self) -> Option<u64> {
        match self.framing {
            Framing::Length(length) => Some(length),
            _ => None,
        }
    }
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
        Self {
            worker,
            peer,
            inbound: Inbound::new(reader),
            outbound: Outbound::new(writer, limits.write_timeout),
            head: Arc::default(),
            spans: Vec::with_capacity(32),
            key: Vec::with_capacity(128),
            served: 0,
            lifetime: Lifetime::new(requests, age, worker.ids.chance()),
        }
    }

    /// Takes leave.
    async fn end(&mut self, last: Turn) {
        match last {
            Turn::Close => self.outbound.finish().await,
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
            Err(refusal) => return self.refuse(&refusal).await,
        };
        self.served += 1;
        let request = Request {
            head: Arc::clone(&self.head),
            way: Arc::clone(&received.way),
            id: received.id.clone(),
        };
        let has_content = received.framing.has_content();
        let started = match (self.peer.refused, self.peer.sent_to) {
            (Some(full), _) => Err(Refusal::Full(full)),
            (None, Some(port)) => {
                redirect::answer(self.worker, &request, has_content, port).map(Started::Answered)
            }
            (None, None) => request::screen_length(self.worker, received.length())
                .and_then(|()| request::start(self.worker, &request, has_content, &mut self.key)),
        };
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

    /// Step 1: a request head off the wire.
    async fn receive(&mut self) -> Result<Receipt, Refusal> {
        let limits = &self.worker.shared.limits;
        let mut began = None;
        loop {
            let (idle_timeout, head_timeout) = self.patience();
            //= https://www.rfc-editor.org/rfc/rfc9113#section-3.3
            //# Servers can identify these connections by the presence of the connection preface. This
            //# only affects the establishment of HTTP/2 connections over cleartext TCP; HTTP/2
            //# connections over TLS MUST use protocol negotiation in TLS [TLS-ALPN].
            // A listener that sends everyone elsewhere does so in the words of HTTP/1.1.
            let is_plain = self.peer.scheme == Scheme::Http && self.peer.sent_to.is_none();
            let is_first = self.served == 0 && is_plain;
            match preface(&self.inbound.buf) {
                Some(Progress::Complete(())) if is_first => return Ok(Receipt::Http2),
                Some(Progress::Partial) if is_first => {}
                _ => {
                    let buf = &self.inbound.buf;
                    let decoded = http1::decode_request(buf, &limits.http1, &mut self.spans)?;
                    if let Progress::Complete(head) = decoded {
                        return self.received(&head).map(Receipt::Head);
                    }
                }
            }
            let idle = self.inbound.buf.is_empty();
            let draining = self.worker.is_draining();
            let limit = if idle {
                self.peer.guest.rest();
                idle_timeout
            } else {
                // From the first byte to the last, however they drip.
                let began = *began.get_or_insert_with(ticks);
                let spent = Duration::from_millis(ticks().saturating_sub(began));
                head_timeout.saturating_sub(spent)
            };
            // Once when draining begins, to wait less, and again when no more patience is left.
            let (worker, guest) = (self.worker, &self.peer.guest);
            let lets_go = || worker.lets_idle_go() || guest.is_sent_away();
            let interrupted = || idle && (lets_go() || (!draining && worker.is_draining()));
            match self.inbound.fill(limit, interrupted).await {
                Ok(Ok(count)) if count > 0 => guest.work(),
                Ok(Err(error)) if is_interrupted(&error) && !lets_go() => {}
                Err(_) if idle && worker.is_draining() && !lets_go() => {}
                Ok(_) => return Ok(Receipt::End),
                Err(_) if idle => return Ok(Receipt::End),
                Err(_) => return Err(Refusal::HeadTimeout { limit: head_timeout }),
            }
        }
    }

    /// How long a request is waited for, and for the end of its head once it has begun.
    fn patience(&self) -> (Duration, Duration) {
        let limits = &self.worker.shared.limits;
        if self.peer.refused.is_some() {
            let limit = limits.connections.refusal_timeout;
            return (limit, limit);
        }
        (self.worker.idle_patience(), limits.head_timeout)
    }

    fn received(&mut self, head: &http1::RequestHead) -> Result<Received, Refusal> {
        let (id, way) = self.adopt(head);
        check_scheme(head, &self.inbound.buf, self.head.scheme)?;
        self.inbound.buf.advance(head.len);
        Ok(Received {
            version: head.version,
            persistent: head.persistent,
            expects_continue: head.expects_continue,
            framing: head.framing,
            id,
            way,
            began: self.stopwatch(),
        })
    }

    /// Takes over a decoded head. The id of the request and its way are read before their fields are
    /// removed.
    fn adopt(&mut self, head: &http1::RequestHead) -> (RequestId, Arc<Way>) {
        if Arc::get_mut(&mut self.head).is_none() {
            self.head = Arc::default();
        }
        let (mut id, mut way) = (None, None);
        if let Some(own) = Arc::get_mut(&mut self.head) {
            own.adopt(&self.inbound.buf, head, &self.spans);
            id = own.fields.get("X-Request-Id").map(|id| self.worker.ids.adopt(Some(id)));
            let (told, scheme) = self.peer.way(self.worker, &own.fields);
            (own.scheme, way) = (scheme, Some(told));
            own.normalise();
            // After the client's own of that name are gone.
            if let Some(shown) = &self.peer.shown {
                shown.tell(&mut own.fields);
            }
        }
        let id = id.unwrap_or_else(|| self.worker.ids.adopt(None));
        (id, way.unwrap_or_else(|| self.peer.alone()))
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
        send(self.worker, &mut self.outbound, request, answer, terms, received.began).await
    }

    /// Delivers a response after which the connection is closed.
    async fn last(&mut self, request: &Request, answer: Answer, received: &Received) -> Turn {
        let terms = Terms { closing: true, ..self.terms(received) };
        match send(self.worker, &mut self.outbound, request, answer, terms, received.began).await {
            Turn::Close => Turn::Linger,
            turn => turn,
        }
    }

    /// The answer to a request without content that needs disk or origin.
    async fn wait(
        &mut self,
        request: &Request,
        next: Next,
        received: &Received,
    ) -> io::Result<Answer> {
        let most = self.worker.shared.limits.informational;
        let (interim, hints) = mpsc::channel(most);
        self.inbound.rest();
        // Boxed, and gone before the answer is delivered, which may take long.
        let mut finish = Box::pin(request::finish(self.worker, request, next, None, interim));
        answer(self.worker, &mut self.outbound, request, received, finish.as_mut(), hints).await
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

    /// A request with content: it is handed on while the response may already be on its way.
    async fn exchange(&mut self, request: &Request, next: Next, received: &Received) -> Turn {
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
                answer(worker, outbound, request, received, finish.as_mut(), hints).await
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

    /// Says that nothing more will be sent, and takes what is still coming for a while.
    async fn linger(&mut self) {
        self.outbound.shut_down().await;
        let until = ticks() + u64::try_from(LINGER.as_millis()).unwrap_or(0);
        let mut taken = 0;
        while taken < LINGER_BYTES {
            self.inbound.buf.clear();
            let left = Duration::from_millis(until.saturating_sub(ticks()));
            match self.inbound.fill(left, || false).await {
                Ok(Ok(count)) if count > 0 => taken += count,
                _ => return,
            }
        }
    }
}

fn is_interrupted(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::Interrupted
}

/// A target in absolute form names its scheme itself.
fn check_scheme(head: &http1::RequestHead, buf: &[u8], scheme: Scheme) -> Result<(), Refusal> {
    if head.form != TargetForm::Absolute {
        return Ok(());
    }
    //= https://www.rfc-editor.org/rfc/rfc9110#section-7.4
    //# In particular, a request for an "https" resource MUST be rejected unless it has been received
    //# over a connection that has been secured via a certificate valid for that target URI's origin,
    // One for an "http" resource inside TLS is refused too: there is one scheme to each connection,
    // and it stands in the cache key and in what the origin is told.
    let expected = [scheme.as_str().as_bytes(), b":"].concat();
    let named = head.target.of(buf).get(..expected.len());
    if named.is_some_and(|named| named.eq_ignore_ascii_case(&expected)) {
        return Ok(());
    }
    Err(Refusal::Misdirected { scheme: scheme.as_str() })
}

/// Whether a connection begins with the preface of HTTP/2, as far as it has come.
fn preface(buf: &[u8]) -> Option<Progress<()>> {
    match buf.get(..http2::PREFACE.len()) {
        Some(begin) => (begin == http2::PREFACE).then_some(Progress::Complete(())),
        None => (!buf.is_empty() && http2::PREFACE.starts_with(buf)).then_some(Progress::Partial),
    }
}

/// Waits for the answer, and passes on the informational responses that come before it.
async fn answer<W: Outgoing>(
    worker: &Worker,
    outbound: &mut Outbound<W>,
    request: &Request,
    received: &Received,
    mut finish: Pin<&mut impl Future<Output = Result<Answer, Refusal>>>,
    mut hints: mpsc::Receiver<Informational>,
) -> io::Result<Answer> {
    let outcome = loop {
        tokio::select! {
            biased;
            Some(hint) = hints.recv() => {
                deliver::informational(outbound, received.version, &hint).await?;
            }
            outcome = &mut finish => break outcome,
            () = outbound.gone() => return Err(io::ErrorKind::ConnectionReset.into()),
        }
    };
    while let Ok(hint) = hints.try_recv() {
        deliver::informational(outbound, received.version, &hint).await?;
    }
    let refused = |refusal| request::refusal(worker, &request.head.method, &refusal);
    Ok(outcome.unwrap_or_else(refused))
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
        Ok(false) => Turn::Close,
        Err(Undelivered::Client) => Turn::Cut,
        Err(Undelivered::Source { reset, broken }) => {
            worker.broke(&broken);
            if reset { Turn::Reset } else { Turn::Cut }
        }
    }
}
