//! The content of a response that comes by HTTP/2.

use std::io;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use h2::RecvStream;
use http1::{BadBody, BadHead};
use tokio::sync::OwnedSemaphorePermit;

use super::Place;
use super::upload::Upload;
use crate::content::{Allowance, Piece};
use crate::error::FetchError;
use crate::http2_fields;
use crate::origin::Origin;
use crate::origin::content::Arrived;
use crate::origin::patience::Patience;

/// Read from its stream piece by piece.
pub(crate) struct Content {
    origin: Arc<Origin>,
    body: RecvStream,
    upload: Upload,
    length: Option<u64>,
    /// Bytes that were announced and have not come yet.
    left: Option<u64>,
    allowance: Allowance,
    /// Bytes that were handed out, and for which the origin may send others when the next are
    /// asked for.
    taken: usize,
    state: State,
    /// How long the origin may pause.
    pause: Duration,
    /// Held as long as the stream is in use.
    held: (Place, OwnedSemaphorePermit),
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Data,
    Trailers,
    Ended,
}

impl Content {
    pub(super) fn new(
        origin: Arc<Origin>,
        body: RecvStream,
        upload: Upload,
        (length, allowance): (Option<u64>, Allowance),
        held: (Place, OwnedSemaphorePermit),
    ) -> Self {
        let (left, taken, state) = (length, 0, State::Data);
        let pause = origin.shared.limits.between_bytes_timeout;
        Self { origin, body, upload, length, left, allowance, taken, state, pause, held }
    }

    /// Whether the origin may pause for longer than usual.
    pub(crate) fn is_patient(&self) -> bool {
        self.pause > self.origin.shared.limits.between_bytes_timeout
    }

    /// Lets the origin pause so long from now on.
    pub(crate) fn may_pause(&mut self, limit: Duration) {
        self.pause = limit;
    }

    /// Whether the stream has ended, with nothing in it that has not been taken.
    pub(crate) fn is_over(&self) -> bool {
        self.body.is_end_stream()
    }

    /// The announced length; `None` if only the end will tell.
    pub(crate) fn length(&self) -> Option<u64> {
        self.length
    }

    /// The next piece; `None` at the orderly end.
    pub(crate) async fn next(&mut self) -> Result<Option<Piece>, FetchError> {
        let limit = self.pause;
        let mut patience = Patience::new(limit);
        let next = patience.wait(|cx, patience| {
            let before = self.upload.sent();
            let next = self.poll(cx);
            if self.upload.sent() > before {
                patience.renew();
            }
            next
        });
        next.await.unwrap_or(Err(FetchError::Stalled { limit }))
    }

    /// What has arrived already.
    pub(crate) fn try_next(&mut self) -> Result<Arrived, FetchError> {
        match self.poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(next) => next.map(Arrived::Next),
            Poll::Pending => Ok(Arrived::Waiting),
        }
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Piece>, FetchError>> {
        self.upload.poll(cx)?;
        let taken = std::mem::take(&mut self.taken);
        let _ = self.body.flow_control().release_capacity(taken);
        if self.state == State::Data {
            match self.body.poll_data(cx) {
                Poll::Ready(Some(Ok(data))) => {
                    self.taken = data.len();
                    self.count(data.len())?;
                    return Poll::Ready(Ok(Some(Piece::Data(data))));
                }
                Poll::Ready(Some(Err(error))) => return Poll::Ready(Err(truncated(error))),
                Poll::Ready(None) => self.state = State::Trailers,
                Poll::Pending => return Poll::Pending,
            }
            if self.left.is_some_and(|left| left > 0) {
                let source = io::ErrorKind::UnexpectedEof.into();
                return Poll::Ready(Err(FetchError::Truncated { source }));
            }
        }
        if self.state == State::Trailers {
            match self.body.poll_trailers(cx) {
                Poll::Ready(Ok(trailers)) => {
                    self.state = State::Ended;
                    let Some(trailers) = trailers else { return Poll::Ready(Ok(None)) };
                    if trailers.len() > self.origin.shared.limits.http1.fields {
                        let bad = BadBody::Trailers(BadHead::TooManyFields);
                        return Poll::Ready(Err(FetchError::BadContent(bad)));
                    }
                    if let Err(bad) = http2_fields::check_values(&trailers) {
                        return Poll::Ready(Err(FetchError::BadContent(BadBody::Trailers(bad))));
                    }
                    let trailers = http2_fields::trailers(&trailers);
                    return Poll::Ready(Ok(Some(Piece::Trailers(trailers))));
                }
                Poll::Ready(Err(error)) => return Poll::Ready(Err(truncated(error))),
                Poll::Pending => return Poll::Pending,
            }
        }
        Poll::Ready(Ok(None))
    }

    fn count(&mut self, bytes: usize) -> Result<(), FetchError> {
        if let Some(left) = &mut self.left {
            let more = || FetchError::Truncated { source: io::ErrorKind::InvalidData.into() };
            *left = left.checked_sub(bytes as u64).ok_or_else(more)?;
        }
        Ok(self.allowance.take(bytes)?)
    }
}

impl Drop for Content {
    fn drop(&mut self) {
        if self.body.is_end_stream() {
            self.held.0.end();
        }
    }
}

fn truncated(error: h2::Error) -> FetchError {
    FetchError::Truncated { source: io::Error::other(error) }
}
