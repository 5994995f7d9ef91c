//! The life of an HTTP/2 client connection.
//!
//! One task drives the codec and answers at once what a response in memory answers; a request that has
//! to wait, or whose response does, has a task of its own on the same thread. What is written is
//! gathered ([`wire`]), counted ([`meter`]), and put in order ([`turns`]).

mod ahead;
mod deliver;
mod exchange;
mod faults;
mod head;
mod intake;
mod leftover;
mod malformed;
mod meter;
mod outline;
mod payload;
mod priority;
mod receive;
mod room;
mod turns;
mod wire;

use std::future::{Future, poll_fn};
use std::ops::ControlFlow;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use h2::RecvStream;
use h2::server::{self, SendResponse};
use policy::Fields;

pub use self::malformed::Malformed;
pub(crate) use self::meter::PREFACE;
pub(crate) use self::turns::Behind;

use self::deliver::Stream;
use self::faults::Faults;
use self::meter::{Abuse, Meter};
use self::payload::Payload;
use self::receive::{Announced, Unfit};
use self::room::Room;
use self::turns::Turns;
use self::wire::{Wire, lock};
use super::lifetime::Lifetime;
use super::transport::Carrier;
use super::unsent::{Left, Unsent};
use super::waits::Waits;
use super::{LINGER, Peer};
use crate::clock::{self, since, ticks};
use crate::error::Refusal;
use crate::head::{RequestHead, Scheme};
use crate::http2_fields::{PRIORITY, X_REQUEST_ID};
use crate::request::{self, Request, Started};
use crate::settings::Limits;
use crate::worker::Worker;

/// How often a connection that is busy looks whether something stands still.
const LOOK: Duration = Duration::from_secs(1);
/// How long a client that has been told to go may take to answer that, or to take what is left.
const LEAVE: Duration = Duration::from_secs(1);
/// For how many times its patience it is listened to at the end, if it goes on talking.
const PATIENCES: u32 = 8;

/// Serves a connection until it ends. `ahead` is what has been read of it already, with the preface.
pub(crate) async fn serve<S: Carrier>(worker: &Arc<Worker>, stream: S, peer: Peer, ahead: Bytes) {
    // Registered once: the task's waker stays the same, so a notification wakes whatever waits.
    let mut draining = pin!(worker.wake_idle.notified());
    poll_fn(|cx| Poll::Ready(draining.as_mut().poll(cx).is_ready())).await;
    let limits = &worker.shared.limits;
    let turns = Turns::among(Arc::clone(&worker.shared.behind));
    let meter = Meter::new(&limits.http2);
    let faults = meter.faults();
    let (wire, socket) = Wire::new(stream, ahead, meter, Arc::clone(&turns));
    let mut waits = Waits::new();
    // Boxed, so that it takes nothing while the connection lasts.
    let Some(codec) = Box::pin(shake_hands(worker, wire, &socket, &mut waits)).await else {
        return;
    };
    let mut connection = Connection {
        worker,
        peer,
        codec,
        socket,
        turns,
        faults,
        room: Room::new(&limits.http2),
        mode: Mode::Idle,
        head: Arc::default(),
        key: Vec::with_capacity(128),
        text: Vec::with_capacity(1024),
        served: 0,
        lifetime: Lifetime::new(limits.http2.requests, limits.connection_age, worker.ids.chance()),
        farewell: Farewell::None,
        unsent: Unsent::default(),
    };
    connection.run(&mut waits).await;
}

/// What both sides say first.
async fn shake_hands<S: Carrier>(
    worker: &Worker,
    wire: Wire<S>,
    socket: &wire::Shared<S>,
    waits: &mut Waits,
) -> Option<server::Connection<Wire<S>, Payload>> {
    let limits = &worker.shared.limits;
    let is_crowded = worker.shared.seats.is_crowded();
    let mut handshake = pin!(builder(limits, is_crowded).handshake(wire));
    let codec = waits.within(limits.head_timeout, |cx| {
        let codec = handshake.as_mut().poll(cx);
        // A socket that is broken shows when it is read from.
        let _ = lock(socket).poll_flush(cx);
        codec
    });
    codec.await.ok()?.ok()
}

/// Every bound that the codec has.
fn builder(limits: &Limits, is_crowded: bool) -> server::Builder {
    let http2 = &limits.http2;
    let streams = if is_crowded { http2.crowded_streams.min(http2.streams) } else { http2.streams };
    let mut builder = server::Builder::new();
    builder
        .max_concurrent_streams(streams)
        // The codec refuses a list of the size that it is given.
        .max_header_list_size(http2.header_list.saturating_add(1))
        .max_frame_size(meter::bounds(http2).frame as u32)
        .initial_window_size(http2.stream_window)
        .initial_connection_window_size(room::first_window(http2))
        .max_concurrent_reset_streams(http2.pending_resets)
        .max_pending_accept_reset_streams(http2.pending_resets)
        .max_local_error_reset_streams(Some(http2.resets))
        .max_send_buffer_size(turns::ROOM as usize);
    builder
}

/// What a connection is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mode {
    /// It waits for a request.
    Idle,
    /// It has requests, or a head is on its way.
    Busy,
    /// It has been told that there will be no more requests; some may be under way.
    Leaving { busy: bool },
    /// It is closed for what the client did.
    Closing,
    /// It is over.
    Over,
}

/// What a client may still have to take when its connection is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Farewell {
    /// Nothing: it has left by itself, or takes nothing.
    None,
    /// That it has to go.
    Word,
    /// The end of a response.
    Response,
}

struct Connection<'a, S> {
    worker: &'a Arc<Worker>,
    peer: Peer,
    codec: server::Connection<Wire<S>, Payload>,
    socket: wire::Shared<S>,
    turns: Arc<Turns>,
    faults: Arc<Faults>,
    room: Room,
    mode: Mode,
    /// The head of the request at hand; its buffers are used again if nobody else holds it.
    head: Arc<RequestHead>,
    /// Scratch space.
    key: Vec<u8>,
    text: Vec<u8>,
    served: u64,
    lifetime: Lifetime,
    farewell: Farewell,
    unsent: Unsent,
}

impl<S: Carrier> Connection<'_, S> {
    async fn run(&mut self, waits: &mut Waits) {
        let mut told = (Mode::Over, 0);
        while self.mode != Mode::Over {
            // Once each time, or it would not be seen how long it has been idle.
            let now = (self.mode, self.served);
            if std::mem::replace(&mut told, now) != now {
                self.tell_guest();
            }
            let limit = self.patience();
            match waits.within(limit, |cx| self.poll(cx)).await {
                Ok(mode) => self.mode = mode,
                Err(_) => self.look(),
            }
        }
        self.turns.close();
        self.linger(waits).await;
    }

    /// Takes what the client still sends until it has ended its side, or been silent for long: whoever
    /// closes a socket in which something arrives resets the connection, and what the client has not
    /// taken yet is lost. One that is alive ends its side as soon as it has seen the end of this one.
    /// Meanwhile it makes way for others.
    async fn linger(&mut self, waits: &mut Waits) {
        self.peer.guest.rest();
        if self.farewell == Farewell::Response && self.wait_for_unsent(waits).await.is_break() {
            self.farewell = Farewell::None;
        }
        let began = ticks();
        loop {
            let patience = self.last_patience();
            let left = patience.saturating_sub(since(began.max(lock(&self.socket).heard())));
            let ended = waits.within(left.min(LOOK), |cx| lock(&self.socket).poll_end(cx)).await;
            let is_over = since(began) > patience.saturating_mul(PATIENCES);
            if ended.is_ok() || left.is_zero() || is_over {
                return;
            }
        }
    }

    /// How long its client may be silent once everything is sent.
    fn last_patience(&self) -> Duration {
        match self.farewell {
            Farewell::None => Duration::ZERO,
            Farewell::Response if !self.peer.guest.is_sent_away() => {
                self.worker.shared.limits.write_timeout
            }
            Farewell::Response | Farewell::Word => LINGER,
        }
    }

    /// Lets the client take what the system has for it. Breaks off when the client has ended its side.
    async fn wait_for_unsent(&mut self, waits: &mut Waits) -> ControlFlow<()> {
        while self.look_at_unsent() == Left::Moving {
            let pause = self.unsent.pause();
            if waits.within(pause, |cx| lock(&self.socket).poll_discard(cx)).await.is_ok() {
                return ControlFlow::Break(());
            }
        }
        ControlFlow::Continue(())
    }

    /// Nothing is under way, but the client may not have taken all of what came before.
    fn look_at_unsent(&mut self) -> Left {
        // Others need its place, and the system goes on by itself.
        if self.peer.guest.is_sent_away() {
            return Left::Nothing;
        }
        let limit = self.worker.shared.limits.write_timeout;
        let left = self.unsent.look(|known| lock(&self.socket).unsent(known), ticks(), limit);
        if left == Left::Stuck {
            self.farewell = Farewell::None;
        }
        left
    }

    /// Whether it could make way for others.
    fn tell_guest(&self) {
        match self.mode {
            Mode::Idle | Mode::Leaving { busy: false } => self.peer.guest.rest(),
            _ => self.peer.guest.work(),
        }
    }

    /// How long nothing need be looked at.
    fn patience(&self) -> Duration {
        let limits = &self.worker.shared.limits;
        match self.mode {
            Mode::Idle if self.peer.refused.is_some() => limits.connections.refusal_timeout,
            Mode::Idle => limits.idle_timeout,
            Mode::Busy | Mode::Leaving { busy: true } => LOOK,
            Mode::Leaving { busy: false } | Mode::Closing | Mode::Over => LEAVE,
        }
    }

    /// Does all that there is to do; ready when the mode changes, and when it has been idle no longer
    /// than until now.
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Mode> {
        let (before, served) = (self.mode, self.served);
        lock(&self.socket).meter.go_on();
        loop {
            match self.codec.poll_accept(cx) {
                Poll::Ready(Some(Ok((request, respond)))) => {
                    self.begin(request, respond);
                    continue;
                }
                Poll::Ready(end) => {
                    // Without an error, and without having been told, the client wants no more than
                    // what it had asked for.
                    if end.is_none() && self.farewell == Farewell::None {
                        self.farewell = Farewell::Response;
                    }
                    let _ = lock(&self.socket).poll_flush(cx);
                    return Poll::Ready(Mode::Over);
                }
                Poll::Pending => {}
            }
            if self.take_leave() {
                continue;
            }
            let mut socket = lock(&self.socket);
            if matches!(socket.poll_flush(cx), Poll::Ready(Err(_))) {
                return Poll::Ready(Mode::Over);
            }
            if !socket.is_awaited() {
                socket.relax(self.codec.has_streams());
                break;
            }
        }
        let mode = self.mode_now();
        // Whoever asks is not idle, be it answered at once.
        let has_asked = mode == Mode::Idle && self.served > served;
        if mode == before && !has_asked { Poll::Pending } else { Poll::Ready(mode) }
    }

    fn is_busy(&self) -> bool {
        self.codec.has_streams() || lock(&self.socket).is_behind()
    }

    fn mode_now(&self) -> Mode {
        let busy = self.is_busy();
        match self.mode {
            Mode::Closing | Mode::Over => self.mode,
            Mode::Leaving { .. } => Mode::Leaving { busy },
            _ if busy || lock(&self.socket).meter.head_since().is_some() => Mode::Busy,
            _ => Mode::Idle,
        }
    }

    /// Says goodbye if it is time for that.
    fn take_leave(&mut self) -> bool {
        if self.mode == Mode::Closing {
            return false;
        }
        let abuse = lock(&self.socket).meter.abuse();
        if let Some(abuse) = abuse {
            self.close(abuse);
            return true;
        }
        let is_told = self.peer.refused.is_some() && self.served > 0;
        let is_sent_away = is_told || self.peer.guest.is_sent_away();
        let is_over = self.lifetime.is_over(self.served) || self.worker.is_draining();
        if (is_over || is_sent_away) && !matches!(self.mode, Mode::Leaving { .. }) {
            self.leave();
            return true;
        }
        false
    }

    /// Lets the requests under way finish.
    fn leave(&mut self) {
        self.farewell = if self.is_busy() { Farewell::Response } else { Farewell::Word };
        self.codec.graceful_shutdown();
        self.mode = Mode::Leaving { busy: true };
    }

    fn close(&mut self, abuse: Abuse) {
        let recorder = &*self.worker.shared.recorder;
        self.worker.shared.troubles.tell(recorder, "http2-abuse", abuse.message());
        self.codec.abrupt_shutdown(abuse.reason());
        self.mode = Mode::Closing;
        self.farewell = Farewell::Word;
    }

    /// Nothing has changed for as long as [`Connection::patience`] lasts.
    fn look(&mut self) {
        match self.mode {
            Mode::Idle => self.leave(),
            Mode::Leaving { busy: false } => {
                if self.look_at_unsent() != Left::Moving {
                    self.mode = Mode::Over;
                }
            }
            Mode::Closing | Mode::Over => self.mode = Mode::Over,
            Mode::Busy | Mode::Leaving { busy: true } => self.look_at_waits(),
        }
    }

    fn look_at_waits(&mut self) {
        let limits = &self.worker.shared.limits;
        let now = ticks();
        let is_over = |since: Option<u64>, limit: Duration| {
            since.is_some_and(|since| u128::from(now.saturating_sub(since)) >= limit.as_millis())
        };
        let socket = lock(&self.socket);
        let (stuck, head) = (socket.stuck_since(), socket.meter.head_since());
        drop(socket);
        if is_over(stuck, limits.write_timeout) {
            self.farewell = Farewell::None;
            self.mode = Mode::Over;
        } else if is_over(head, limits.head_timeout) {
            self.close(Abuse::SlowHead);
        } else if is_over(self.turns.stalled_since(), limits.http2.connection_stall) {
            self.close(Abuse::Stalled);
        }
    }

    /// Takes a request through the steps that never wait.
    fn begin(&mut self, request: http::Request<RecvStream>, respond: SendResponse<Payload>) {
        let (parts, body) = request.into_parts();
        let body = (!body.is_end_stream()).then_some(body);
        self.served += 1;
        if self.farewell != Farewell::None {
            self.farewell = Farewell::Response;
            self.unsent = Unsent::default();
        }
        let began = self.worker.shared.recorder.wants_requests().then(clock::stopwatch);
        let id = parts.headers.get(X_REQUEST_ID).map(http::HeaderValue::as_bytes);
        let id = self.worker.ids.adopt(id);
        let (way, scheme) = self.peer.way(self.worker, &self.told(&parts));
        let announced = self.receive(&parts, scheme);
        let request = Request { head: Arc::clone(&self.head), way, id };
        let number = respond.stream_id().as_u32();
        let priority = parts.headers.get(PRIORITY).map(http::HeaderValue::as_bytes);
        let priority = self.turns.priority(number, priority);
        let (worker, turns) = (Arc::clone(self.worker), Arc::clone(&self.turns));
        let mut stream = Stream { worker, request, turns, priority, number, respond, began };
        let announced = match announced {
            Ok(announced) => announced,
            Err(Unfit::Malformed(bad)) => return stream.refuse(bad, 0),
            Err(Unfit::Refused(refusal)) => return self.answer(stream, Err(refusal), body, None),
        };
        let has_content = body.is_some() && announced.length != Some(0);
        let (length, key) = (announced.length, &mut self.key);
        let started = self.peer.start(self.worker, &stream.request, length, has_content, key);
        self.answer(stream, started, body, has_content.then_some(announced));
    }

    /// Step 1: the head, whatever it is.
    fn receive(
        &mut self,
        parts: &http::request::Parts,
        scheme: Scheme,
    ) -> Result<Announced, Unfit> {
        if Arc::get_mut(&mut self.head).is_none() {
            self.head = Arc::default();
        }
        let Some(head) = Arc::get_mut(&mut self.head) else { return Ok(Announced::default()) };
        let announced =
            receive::adopt(head, parts, scheme, self.peer.scheme, &self.worker.shared.limits);
        head.normalise();
        // After the client's own of that name are gone.
        if let Some(shown) = &self.peer.shown {
            shown.tell(&mut head.fields);
        }
        announced
    }

    /// What a proxy in front says of its client, if its word counts.
    fn told(&self, parts: &http::request::Parts) -> Fields {
        let mut told = Fields::new();
        for name in policy::forwarded::FIELDS.iter().filter(|_| self.peer.trusted) {
            for value in parts.headers.get_all(*name) {
                told.push(name.as_bytes(), value.as_bytes());
            }
        }
        told
    }

    /// Answers at once, or lets a task do it. `body` is what is still to come of the request.
    fn answer(
        &mut self,
        stream: Stream,
        started: Result<Started, Refusal>,
        body: Option<RecvStream>,
        content: Option<Announced>,
    ) {
        let method = &stream.request.head.method;
        let refused =
            |refusal| Started::Answered(request::refusal(&stream.worker, method, &refusal));
        match (started.unwrap_or_else(refused), content, body) {
            (Started::Answered(answer), _, body) => {
                let delivery = stream.deliver(answer, &mut self.text);
                if delivery.is_some() || body.is_some() {
                    drop(tokio::spawn(exchange::finish(delivery, body)));
                }
            }
            (Started::Waiting(next), Some(announced), Some(body)) => {
                let shared = &self.worker.shared;
                let (upload, window) = self.room.begin(&shared.uploads, &shared.limits.http2);
                if let Some(window) = window {
                    self.codec.set_target_window_size(window);
                }
                let faults = Arc::clone(&self.faults);
                let exchange = exchange::exchange(stream, next, body, announced, faults, upload);
                drop(tokio::spawn(exchange));
            }
            (Started::Waiting(next), ..) => drop(tokio::spawn(exchange::wait(stream, next))),
        }
    }
}
