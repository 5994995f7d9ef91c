//! Reads a request's content from an HTTP/1.1 client and hands it on.

use http1::{BodyDecoder, BodyEvent, Framing};
use policy::Fields;
use tokio::sync::mpsc;

use super::pace::Pace;
use super::socket::Inbound;
use super::transport::Incoming;
use crate::content::{Allowance, ContentSender, Informational, Piece, Unwanted};
use crate::error::ContentError;
use crate::head;
use crate::settings::Limits;
use crate::untrusted;

/// Content that nobody asked for is read up to this size, so that the connection can be kept.
const DRAIN: usize = 64 << 10;

/// How reading the content ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Consumed {
    /// All of it: the next request starts where it ended.
    Whole,
    /// Some of it is still to come, or it broke: the connection cannot be used any more.
    Partly,
}

/// Reads the content of one request.
pub(crate) struct Intake<'c, R> {
    inbound: &'c mut Inbound<R>,
    decoder: BodyDecoder,
    allowance: Allowance,
    pace: Pace,
    limits: &'c Limits,
}

impl<'c, R: Incoming> Intake<'c, R> {
    pub(crate) fn new(inbound: &'c mut Inbound<R>, framing: Framing, limits: &'c Limits) -> Self {
        let decoder = BodyDecoder::new(framing, &limits.http1);
        let length = decoder.remaining();
        Self {
            inbound,
            decoder,
            allowance: Allowance::new(limits.request_content),
            pace: Pace::new(limits, length),
            limits,
        }
    }

    /// Hands the content on as it is asked for. `interim` gets a 100 once it is, if the client
    /// waits for one.
    pub(crate) async fn run(
        mut self,
        sender: ContentSender,
        interim: Option<mpsc::Sender<Informational>>,
    ) -> Consumed {
        if sender.wanted().await.is_err() {
            // The client that waits for a 100 and gets a final response sends no content.
            return if interim.is_some() { Consumed::Partly } else { self.drain() };
        }
        // RFC 9110 §10.1.1: the 100 may be left out once content has arrived.
        if let Some(interim) = interim.filter(|_| self.inbound.buf.is_empty()) {
            let _ = interim.try_send(Informational::new(100, Fields::new()));
        }
        match self.hand_on(&sender).await {
            Ok(Ok(())) => Consumed::Whole,
            Ok(Err(Unwanted)) => self.drain(),
            Err(error) => {
                let _ = sender.fail(error);
                Consumed::Partly
            }
        }
    }

    /// Each piece is read when it is wanted; the first one is.
    async fn hand_on(
        &mut self,
        sender: &ContentSender,
    ) -> Result<Result<(), Unwanted>, ContentError> {
        loop {
            let piece = match self.decoder.decode(&mut self.inbound.buf)? {
                BodyEvent::Data(data) => {
                    self.allowance.take(data.len())?;
                    Piece::Data(data)
                }
                BodyEvent::Trailers(trailers) => {
                    let mut fields = Fields::new();
                    head::load(&mut fields, &trailers.block, &trailers.fields);
                    policy::strip::strip_hop_by_hop(&mut fields);
                    untrusted::strip(&mut fields);
                    Piece::Trailers(fields)
                }
                BodyEvent::End => return Ok(sender.end()),
                BodyEvent::NeedMore => {
                    self.fill().await?;
                    continue;
                }
            };
            if sender.send(piece).is_err() || sender.wanted().await.is_err() {
                return Ok(Err(Unwanted));
            }
        }
    }

    async fn fill(&mut self) -> Result<(), ContentError> {
        match self.inbound.fill(self.pace.wait(), || false).await {
            Ok(Ok(count)) if count > 0 => {
                self.pace.came(count);
                Ok(())
            }
            Ok(_) => Err(ContentError::Cut),
            Err(_) => Err(ContentError::Stalled { limit: self.limits.body_timeout }),
        }
    }

    /// Discards what has arrived of the content. If that is all of it, the connection can be kept;
    /// otherwise waiting for the rest would only help a client that ignores the response.
    fn drain(&mut self) -> Consumed {
        let mut seen = 0;
        while seen <= DRAIN {
            match self.decoder.decode(&mut self.inbound.buf) {
                Ok(BodyEvent::Data(data)) => seen += data.len(),
                Ok(BodyEvent::Trailers(_)) => {}
                Ok(BodyEvent::End) => return Consumed::Whole,
                Ok(BodyEvent::NeedMore) | Err(_) => return Consumed::Partly,
            }
        }
        Consumed::Partly
    }
}
