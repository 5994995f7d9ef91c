//! Reads a request's content from an HTTP/2 stream and hands it on.

use std::convert::Infallible;
use std::future::pending;

use bytes::Bytes;
use h2::RecvStream;
use http::HeaderMap;
use http1::{BadBody, BadHead};
use policy::Fields;
use tokio::sync::mpsc;
use tokio::time::timeout;

use super::ahead::Ahead;
use super::faults::Faults;
use super::leftover::Leftover;
use super::malformed::Malformed;
use crate::content::{Allowance, ContentSender, Informational, Piece, Unwanted};
use crate::error::ContentError;
use crate::front::pace::Pace;
use crate::http2_fields;
use crate::settings::Limits;
use crate::untrusted;

/// Reads the content of one request.
pub(super) struct Intake<'l> {
    body: &'l mut RecvStream,
    /// What has come before it is wanted.
    ahead: Ahead,
    /// Bytes that the client may not send again yet.
    taken: usize,
    /// What goes no further.
    leftover: &'l mut Leftover,
    /// Bytes that were announced and have not come yet.
    left: Option<u64>,
    allowance: Allowance,
    pace: Pace,
    limits: &'l Limits,
    faults: &'l Faults,
}

impl<'l> Intake<'l> {
    pub(super) fn new(
        body: &'l mut RecvStream,
        leftover: &'l mut Leftover,
        length: Option<u64>,
        limits: &'l Limits,
        faults: &'l Faults,
    ) -> Self {
        let allowance = Allowance::new(limits.request_content);
        let pace = Pace::new(limits, length);
        let (ahead, taken) = (Ahead::default(), 0);
        Self { body, ahead, taken, leftover, left: length, allowance, pace, limits, faults }
    }

    /// Hands the content on as it is asked for. `interim` gets a 100 once it is, if the client waits
    /// for one. Content that nobody wants goes no further. This comes to an end if the request
    /// turns out to be none, and not otherwise.
    pub(super) async fn run(
        mut self,
        sender: ContentSender,
        interim: Option<mpsc::Sender<Informational>>,
    ) -> Malformed {
        if let Err(bad) = self.run_to_end(sender, interim).await {
            return bad;
        }
        self.give_back();
        match self.leftover.take_beside(self.body).await {}
    }

    async fn run_to_end(
        &mut self,
        sender: ContentSender,
        interim: Option<mpsc::Sender<Informational>>,
    ) -> Result<(), Malformed> {
        if self.wanted(&sender).await.is_err() {
            return Ok(());
        }
        if let Some(interim) = interim {
            let _ = interim.try_send(Informational::new(100, Fields::new()));
        }
        let Err(error) = self.hand_on(&sender).await else { return Ok(()) };
        let malformed = error.malformed();
        let _ = sender.fail(error);
        malformed.map_or(Ok(()), Err)
    }

    async fn hand_on(&mut self, sender: &ContentSender) -> Result<(), ContentError> {
        let mut last = None;
        while let Some(data) = self.data().await? {
            if data.is_empty() {
                continue;
            }
            //= https://www.rfc-editor.org/rfc/rfc9113#section-8.1.1
            //# Intermediaries that process HTTP requests or responses (i.e., any intermediary not acting
            //# as a tunnel) MUST NOT forward a malformed request or response.
            // With the last byte of what was announced the origin would have all of it.
            if self.left == Some(0) && !self.body.is_end_stream() {
                last = Some(data);
                continue;
            }
            if self.hand_over(sender, data).await.is_err() {
                return Ok(());
            }
        }
        //= https://www.rfc-editor.org/rfc/rfc9113#section-8.1.1
        //# A request or response is also malformed if the value of a content-length header field does
        //# not equal the sum of the DATA frame payload lengths that form the content
        if self.left.is_some_and(|left| left > 0) {
            return Err(ContentError::Cut);
        }
        let trailers = self.trailers().await?;
        if let Some(last) = last
            && self.hand_over(sender, last).await.is_err()
        {
            return Ok(());
        }
        if let Some(trailers) = trailers
            && (sender.send(Piece::Trailers(trailers)).is_err()
                || self.wanted(sender).await.is_err())
        {
            return Ok(());
        }
        // Nobody who has lost interest need be told that this is the end.
        let _ = sender.end();
        Ok(())
    }

    async fn hand_over(&mut self, sender: &ContentSender, data: Bytes) -> Result<(), Unwanted> {
        let length = data.len();
        sender.send(Piece::Data(data))?;
        self.wanted(sender).await?;
        // It has been taken: the client may send as much again.
        let _ = self.body.flow_control().release_capacity(length);
        self.taken -= length;
        Ok(())
    }

    /// Nobody wants what has been taken and not handed on.
    fn give_back(&mut self) {
        self.ahead = Ahead::default();
        self.leftover.release(self.body, std::mem::take(&mut self.taken));
    }

    /// Waits until something is wanted, and takes what comes before that. The codec closes the
    /// connection when too many small frames are left with it.
    async fn wanted(&mut self, sender: &ContentSender) -> Result<(), Unwanted> {
        let (body, ahead, taken) = (&mut *self.body, &mut self.ahead, &mut self.taken);
        let take = async {
            while let Some(Ok(data)) = body.data().await {
                *taken += data.len();
                ahead.put(data);
            }
            pending::<Infallible>().await
        };
        tokio::select! {
            biased;
            wanted = sender.wanted() => wanted,
            never = take => match never {},
        }
    }

    /// The next piece; `None` before the trailers or the end.
    async fn data(&mut self) -> Result<Option<Bytes>, ContentError> {
        let limit = self.limits.body_timeout;
        // Whatever comes is waited for, be it there already.
        let wait = self.pace.wait();
        let data = if let Some(data) = self.ahead.take() {
            Some(Ok(data))
        } else {
            let data = timeout(wait, self.body.data()).await;
            let data = data.map_err(|_| ContentError::Stalled { limit })?;
            self.taken += data.as_ref().and_then(|data| data.as_ref().ok()).map_or(0, Bytes::len);
            data
        };
        let Some(data) = data.transpose().map_err(|_| self.broken())? else { return Ok(None) };
        self.pace.came(data.len());
        if let Some(left) = &mut self.left {
            *left = left.checked_sub(data.len() as u64).ok_or(ContentError::Cut)?;
        }
        self.allowance.take(data.len())?;
        Ok(Some(data))
    }

    async fn trailers(&mut self) -> Result<Option<Fields>, ContentError> {
        let limit = self.limits.body_timeout;
        let trailers = timeout(limit, self.body.trailers()).await;
        let trailers = trailers.map_err(|_| ContentError::Stalled { limit })?;
        let Some(trailers) = trailers.map_err(|_| self.broken())? else { return Ok(None) };
        self.check_pseudo_fields()?;
        self.check(&trailers)?;
        let mut trailers = http2_fields::trailers(&trailers);
        untrusted::strip(&mut trailers);
        Ok(Some(trailers))
    }

    //= https://www.rfc-editor.org/rfc/rfc9113#section-8.1
    //# Trailers MUST NOT include pseudo-header fields (Section 8.3). An endpoint that receives
    //# pseudo-header fields in trailers MUST treat the request or response as malformed
    //# (Section 8.1.1).
    /// The codec has dropped them by now; what they were like is known from the wire.
    fn check_pseudo_fields(&self) -> Result<(), ContentError> {
        let is_malformed = self.faults.take(self.body.stream_id().as_u32());
        if is_malformed { Err(Malformed::PseudoTrailer.into()) } else { Ok(()) }
    }

    /// Why the codec gives no more. It resets the stream for some of what is wrong with trailers.
    fn broken(&self) -> ContentError {
        self.check_pseudo_fields().err().unwrap_or(ContentError::Cut)
    }

    /// The bounds of HTTP/1.1 hold here too.
    fn check(&self, trailers: &HeaderMap) -> Result<(), ContentError> {
        let limits = &self.limits.http1;
        let lines = trailers.iter().map(|(name, value)| name.as_str().len() + value.len() + 4);
        let bad = match lines.sum::<usize>() {
            _ if trailers.len() > limits.fields => BadHead::TooManyFields,
            bytes if bytes > limits.trailers => BadHead::TooLarge,
            _ => match http2_fields::check_values(trailers) {
                Ok(()) => return Ok(()),
                Err(bad) => bad,
            },
        };
        Err(ContentError::Malformed(BadBody::Trailers(bad)))
    }
}

impl Drop for Intake<'_> {
    /// Whoever is answered before everything has come may send on for a while.
    fn drop(&mut self) {
        self.give_back();
    }
}
