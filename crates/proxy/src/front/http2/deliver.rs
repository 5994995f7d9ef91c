//! Step 12 for HTTP/2: head and content to a stream.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Instant;

use bytes::Bytes;
use h2::server::SendResponse;
use h2::{Reason, SendStream};
use smallvec::SmallVec;
use store::Part;
use tokio::time::timeout;

use super::head;
use super::malformed::Malformed;
use super::payload::Payload;
use super::priority::Priority;
use super::turns::{Over, PIECE, Ticket, Turns};
use crate::error::{Broken, Refusal};
use crate::front::deliver::{Next, Source};
use crate::http2_fields;
use crate::request::answer::{AnswerContent, AnswerHead, Report};
use crate::request::record::{self, Delivered};
use crate::request::{self, Answer, Request};
use crate::worker::Worker;

/// A request, and the stream that its response goes to.
pub(super) struct Stream {
    pub(super) worker: Arc<Worker>,
    pub(super) request: Request,
    pub(super) turns: Arc<Turns>,
    pub(super) priority: Priority,
    pub(super) number: u32,
    pub(super) respond: SendResponse<Payload>,
    /// When the head was there.
    pub(super) began: Option<Instant>,
}

/// A response whose content is on its way.
pub(super) struct Delivery {
    stream: Stream,
    send: SendStream<Payload>,
    content: Content,
    /// Bytes of content that were announced and not handed over yet.
    left: Option<u64>,
    report: Report,
    delivered: Delivered,
}

enum Content {
    AtHand(smallvec::IntoIter<[Bytes; 2]>),
    Source(Source),
}

/// Why a response was not delivered to its end.
enum Undelivered {
    /// The client reset the stream, or is gone.
    Client,
    /// The client does not open its window.
    Stalled,
    /// Its source broke.
    Source(Broken),
    /// The content is not as long as was said.
    Length,
}

impl From<h2::Error> for Undelivered {
    fn from(_: h2::Error) -> Self {
        Self::Client
    }
}

impl From<Over> for Undelivered {
    fn from(_: Over) -> Self {
        Self::Client
    }
}

impl Stream {
    /// Sends the head, and the content too if that is at hand and short, and nobody else waits for a
    /// turn. `text` is scratch space.
    pub(super) fn deliver(mut self, answer: Answer, text: &mut Vec<u8>) -> Option<Delivery> {
        let told = request::told(&self.worker, &self.request, &answer.report);
        let (head, bytes) = head::response(&answer, &told, text);
        let (report, status, length) = (answer.report, answer.status(), answer.length);
        let content = content(answer);
        let mut delivered = Delivered { status, bytes: bytes as u64, cut: false };
        let started = self.respond.send_response(head, content.is_none());
        delivered.cut = started.is_err();
        let (Ok(send), Some(content)) = (started, content) else {
            self.record(&report, delivered);
            return None;
        };
        let mut delivery =
            Delivery { stream: self, send, content, left: length, report, delivered };
        if !delivery.try_at_once() {
            return Some(delivery);
        }
        delivery.stream.record(&delivery.report, delivery.delivered);
        None
    }

    //= https://www.rfc-editor.org/rfc/rfc9113#section-8.1.1
    //# Malformed requests or responses that are detected MUST be treated as a stream error
    //# (Section 5.4.2) of type PROTOCOL_ERROR.
    /// The request is none. So much of a response has been handed over by then.
    pub(super) fn refuse(&mut self, bad: Malformed, bytes: u64) {
        let refusal = Refusal::Http2(bad);
        let answer = request::refusal(&self.worker, &self.request.head.method, &refusal);
        self.respond.send_reset(Reason::PROTOCOL_ERROR);
        self.record(&answer.report, Delivered { status: answer.status(), bytes, cut: true });
    }

    /// Step 13.
    pub(super) fn record(&self, report: &Report, delivered: Delivered) {
        self.turns.forget(self.number);
        record::record(&self.worker, &self.request, report, delivered, self.began);
    }
}

/// What there is to send behind the head.
fn content(answer: Answer) -> Option<Content> {
    let at_hand = |pieces: SmallVec<[Bytes; 2]>| Content::AtHand(pieces.into_iter());
    Some(match (answer.content, answer.head) {
        // Nothing is ever switched to from HTTP/2.
        (AnswerContent::None | AnswerContent::Switched(_), _) => return None,
        (AnswerContent::Text(text), _) => at_hand(std::iter::once(text).collect()),
        (AnswerContent::Pieces(pieces), _) => at_hand(pieces.into()),
        (AnswerContent::Memory, AnswerHead::Stored(entry)) => {
            let slices = entry.slices(0..u64::MAX).map(Iterator::collect);
            slices.map_or_else(
                // It lies in a file in memory.
                || Content::Source(Source::Stored { reader: entry.reader().into(), ended: false }),
                at_hand,
            )
        }
        (AnswerContent::Memory, AnswerHead::Own(_)) => at_hand(SmallVec::new()),
        (AnswerContent::Assembled(assembly), _) => Content::Source(Source::Assembled(assembly)),
        (AnswerContent::Stored(reader), _) => {
            Content::Source(Source::Stored { reader, ended: false })
        }
        (AnswerContent::Origin(content), _) => Content::Source(Source::Origin(content)),
    })
}

impl Delivery {
    /// Hands over content that is short and at hand, if it goes out at once.
    fn try_at_once(&mut self) -> bool {
        let Content::AtHand(pieces) = &self.content else { return false };
        let length = pieces.as_slice().iter().map(Bytes::len).sum::<usize>();
        let Some(length) = u32::try_from(length).ok().filter(|length| *length <= PIECE) else {
            return false;
        };
        let Some(mut ticket) = self.stream.turns.take_at_once(length) else { return false };
        self.send.reserve_capacity(length as usize);
        if self.send.capacity() < length as usize {
            // The window of the stream is too small. What it takes is found out later.
            self.send.reserve_capacity(0);
            return false;
        }
        let Content::AtHand(pieces) = &mut self.content else { return false };
        let mut pieces = pieces.filter(|piece| !piece.is_empty()).peekable();
        let mut outcome = Ok(());
        let mut is_ended = false;
        while let Some(piece) = pieces.next() {
            is_ended = pieces.peek().is_none();
            let part = ticket.split(piece.len() as u32);
            outcome = outcome.and(self.send.send_data(Payload::new(piece, part), is_ended));
        }
        if !is_ended {
            outcome = outcome.and(self.send.send_data(Payload::empty(), true));
        }
        self.delivered.bytes += u64::from(length);
        self.delivered.cut = outcome.is_err();
        true
    }

    /// Sends the content, piece by piece as it comes and as the client takes it.
    pub(super) async fn run(&mut self) {
        let outcome = self.send_all().await;
        self.delivered.cut = outcome.is_err();
        match outcome {
            Ok(()) | Err(Undelivered::Client) => {}
            Err(Undelivered::Stalled) => self.send.send_reset(Reason::ENHANCE_YOUR_CALM),
            Err(Undelivered::Length) => self.send.send_reset(Reason::INTERNAL_ERROR),
            Err(Undelivered::Source(broken)) => {
                self.stream.worker.broke(&broken);
                // The client must be able to see that something is missing.
                self.send.send_reset(Reason::INTERNAL_ERROR);
            }
        }
        self.stream.record(&self.report, self.delivered);
    }

    /// What it answers has turned out to be no request.
    pub(super) fn refuse(mut self, bad: Malformed) {
        self.stream.refuse(bad, self.delivered.bytes);
    }

    async fn send_all(&mut self) -> Result<(), Undelivered> {
        loop {
            match self.next().await? {
                Some(Next::Part(part)) => self.send_part(part).await?,
                Some(Next::Trailers(trailers)) => {
                    self.check_length()?;
                    return Ok(self.send.send_trailers(http2_fields::map(&trailers))?);
                }
                None => {
                    self.check_length()?;
                    return Ok(self.send.send_data(Payload::empty(), true)?);
                }
            }
        }
    }

    /// The next piece, unless the client has left.
    async fn next(&mut self) -> Result<Option<Next>, Undelivered> {
        let source = match &mut self.content {
            Content::AtHand(pieces) => return Ok(pieces.next().map(Part::Bytes).map(Next::Part)),
            Content::Source(source) => source,
        };
        let mut next = pin!(source.next());
        let send = &mut self.send;
        poll_fn(|cx| match next.as_mut().poll(cx) {
            Poll::Ready(next) => Poll::Ready(next.map_err(Undelivered::Source)),
            Poll::Pending => send.poll_reset(cx).map(|_| Err(Undelivered::Client)),
        })
        .await
    }

    async fn send_part(&mut self, mut part: Part) -> Result<(), Undelivered> {
        if let Some(left) = &mut self.left {
            *left = left.checked_sub(part.len()).ok_or(Undelivered::Length)?;
        }
        while !part.is_empty() {
            let mut ticket = self.turn(part.len()).await?;
            self.send.reserve_capacity(ticket.bytes() as usize);
            let taken = self.send.capacity().min(ticket.bytes() as usize);
            if taken == 0 {
                // Others may use the turn until the window opens.
                drop(ticket);
                self.window().await?;
                continue;
            }
            ticket.shrink_to(taken as u32);
            // Of what is in a file no more is read than goes out now.
            let mut piece = part.clone();
            piece.truncate(taken as u64);
            part.skip(taken as u64);
            let piece = piece.into_bytes().map_err(Broken::Store).map_err(Undelivered::Source)?;
            self.send.send_data(Payload::new(piece, ticket), false)?;
            self.send.reserve_capacity(0);
            self.delivered.bytes += taken as u64;
        }
        Ok(())
    }

    async fn turn(&mut self, most: u64) -> Result<Ticket, Undelivered> {
        let Stream { turns, number, priority, .. } = &self.stream;
        let send = &mut self.send;
        poll_fn(|cx: &mut Context<'_>| match turns.poll_take(*number, *priority, most, cx) {
            Poll::Ready(ticket) => Poll::Ready(ticket.map_err(Undelivered::from)),
            Poll::Pending => send.poll_reset(cx).map(|_| Err(Undelivered::Client)),
        })
        .await
    }

    /// Waits until the client takes more for this stream.
    async fn window(&mut self) -> Result<(), Undelivered> {
        let limit = self.stream.worker.shared.limits.http2.stream_stall;
        let send = &mut self.send;
        let opened = poll_fn(|cx| {
            loop {
                match send.poll_capacity(cx) {
                    Poll::Ready(Some(Ok(0))) => {}
                    Poll::Ready(Some(Ok(_))) => break Poll::Ready(Ok(())),
                    Poll::Ready(Some(Err(error))) => break Poll::Ready(Err(error.into())),
                    Poll::Ready(None) => break Poll::Ready(Err(Undelivered::Client)),
                    Poll::Pending => break Poll::Pending,
                }
            }
        });
        timeout(limit, opened).await.map_err(|_| Undelivered::Stalled)??;
        // It is used when the turn comes: until then others may have it.
        self.send.reserve_capacity(0);
        Ok(())
    }

    /// A client would wait for what is missing, or take what is too much for something else.
    fn check_length(&self) -> Result<(), Undelivered> {
        match self.left {
            Some(left) if left > 0 => Err(Undelivered::Length),
            _ => Ok(()),
        }
    }
}

impl Drop for Delivery {
    /// Nobody waits for a turn that is never taken.
    fn drop(&mut self) {
        self.stream.turns.forget(self.stream.number);
    }
}
