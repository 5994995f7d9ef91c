//! Sends a request's content to the origin, while the response may already be arriving.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::task::{Context, Poll};

use bytes::Bytes;
use h2::{Reason, SendStream};

use crate::content::{Piece, RequestContent};
use crate::error::{ContentError, FetchError};
use crate::http2_fields;

/// Sends all of a content, unless the client breaks it.
type Sending = Pin<Box<dyn Future<Output = Result<(), ContentError>> + Send + Sync>>;

/// Content on its way out.
pub(super) struct Upload {
    /// `None` once all of it is sent, or the origin takes no more.
    sending: Option<Sending>,
    /// Bytes handed over so far: progress keeps the patience for a response fresh.
    sent: Arc<AtomicU64>,
}

impl Upload {
    /// Sends `ahead` and then the content, if there is any.
    pub(super) fn new(
        stream: SendStream<Bytes>,
        ahead: Bytes,
        content: Option<RequestContent>,
        held_up: Arc<AtomicUsize>,
    ) -> Self {
        let sent = Arc::new(AtomicU64::new(0));
        let is_empty = ahead.is_empty() && content.is_none();
        let counts = Counts { sent: Arc::clone(&sent), held_up };
        let sending = (!is_empty).then(|| Box::pin(send(stream, ahead, content, counts)) as _);
        Self { sending, sent }
    }

    pub(super) fn sent(&self) -> u64 {
        self.sent.load(Ordering::Relaxed)
    }

    /// Sends what can be sent. An origin that takes no more is no error here: its response, or the
    /// end of the stream, tells more. A client that breaks its content is.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Result<(), FetchError> {
        let Some(sending) = &mut self.sending else { return Ok(()) };
        if let Poll::Ready(outcome) = sending.as_mut().poll(cx) {
            self.sending = None;
            outcome.map_err(FetchError::Client)?;
        }
        Ok(())
    }
}

/// What others know of it.
struct Counts {
    sent: Arc<AtomicU64>,
    /// One for each content of the connection that is held up.
    held_up: Arc<AtomicUsize>,
}

/// Counts a content as held up, as long as it lives.
struct HeldUp<'c>(&'c AtomicUsize);

impl<'c> HeldUp<'c> {
    fn new(count: &'c AtomicUsize) -> Self {
        count.fetch_add(1, Ordering::Relaxed);
        Self(count)
    }
}

impl Drop for HeldUp<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

async fn send(
    mut stream: SendStream<Bytes>,
    ahead: Bytes,
    content: Option<RequestContent>,
    counts: Counts,
) -> Result<(), ContentError> {
    let Some(mut content) = content else {
        let _ = send_data(&mut stream, ahead, true, &counts).await;
        return Ok(());
    };
    loop {
        let piece = match content.next().await {
            Ok(piece) => piece,
            Err(error) => {
                // The origin must not take a part for the whole.
                stream.send_reset(Reason::CANCEL);
                return Err(error);
            }
        };
        let taken = match piece {
            Some(Piece::Data(data)) => send_data(&mut stream, data, false, &counts).await,
            Some(Piece::Trailers(trailers)) => {
                let _ = stream.send_trailers(http2_fields::map(&trailers));
                return Ok(());
            }
            None => {
                let _ = stream.send_data(Bytes::new(), true);
                return Ok(());
            }
        };
        if taken.is_err() {
            return Ok(());
        }
    }
}

/// The origin takes no more.
struct Refused;

async fn send_data(
    stream: &mut SendStream<Bytes>,
    mut data: Bytes,
    ends: bool,
    counts: &Counts,
) -> Result<(), Refused> {
    while !data.is_empty() {
        stream.reserve_capacity(data.len());
        let capacity = match stream.capacity() {
            0 => {
                let _held_up = HeldUp::new(&counts.held_up);
                std::future::poll_fn(|cx| stream.poll_capacity(cx)).await
            }
            capacity => Some(Ok(capacity)),
        };
        let capacity = capacity.ok_or(Refused)?.map_err(|_| Refused)?.min(data.len());
        if capacity == 0 {
            continue;
        }
        let piece = data.split_to(capacity);
        let is_last = ends && data.is_empty();
        stream.send_data(piece, is_last).map_err(|_| Refused)?;
        counts.sent.fetch_add(capacity as u64, Ordering::Relaxed);
    }
    Ok(())
}
