//! What goes between a front and the origin beside heads: pieces of content, a request's content on its
//! way, informational responses.

use std::future::poll_fn;
use std::task::{Context, Poll};

use bytes::Bytes;
use policy::Fields;
use tokio::sync::{mpsc, oneshot};

use crate::error::{ContentError, FetchError};

/// A part of a message's content, in order.
#[derive(Debug)]
pub(crate) enum Piece {
    /// Some bytes of it.
    Data(Bytes),
    /// The trailer section, after all data.
    Trailers(Fields),
}

/// An informational response on its way to the client.
#[derive(Debug)]
pub(crate) struct Informational {
    /// 102 to 199; 100 is answered by the proxy itself, 101 goes a way of its own (`switch`).
    pub(crate) status: u16,
    /// Its field lines.
    pub(crate) fields: Fields,
}

/// How much content may still come.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Allowance {
    left: u64,
    limit: u64,
}

/// More came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TooMuch {
    limit: u64,
}

impl Allowance {
    /// So many bytes, or any number.
    pub(crate) fn new(limit: Option<u64>) -> Self {
        let limit = limit.unwrap_or(u64::MAX);
        Self { left: limit, limit }
    }

    /// Whether content of this length would be too much.
    pub(crate) const fn check(&self, length: u64) -> Result<(), TooMuch> {
        if length > self.left { Err(TooMuch { limit: self.limit }) } else { Ok(()) }
    }

    /// Some of it has come.
    pub(crate) fn take(&mut self, bytes: usize) -> Result<(), TooMuch> {
        let bytes = bytes as u64;
        self.check(bytes)?;
        self.left -= bytes;
        Ok(())
    }
}

impl From<TooMuch> for ContentError {
    fn from(TooMuch { limit }: TooMuch) -> Self {
        Self::TooLarge { limit }
    }
}

impl From<TooMuch> for FetchError {
    fn from(TooMuch { limit }: TooMuch) -> Self {
        Self::ContentTooLarge { limit }
    }
}

/// The receiving end of a request's content. Nothing is read from the client before the first
/// piece is asked for, so that an `Expect: 100-continue` is answered only if the origin is reached.
#[derive(Debug)]
pub(crate) struct RequestContent {
    /// The announced length; unknown for chunked content.
    pub(crate) length: Option<u64>,
    /// What was taken out and put back; it comes first.
    ahead: Option<Bytes>,
    pieces: mpsc::Receiver<Result<Sent, ContentError>>,
    wanted: Option<oneshot::Sender<()>>,
}

/// The sending end, held by the front.
#[derive(Debug)]
pub(crate) struct ContentSender {
    pieces: mpsc::Sender<Result<Sent, ContentError>>,
    wanted: Option<oneshot::Receiver<()>>,
}

#[derive(Debug)]
enum Sent {
    Piece(Piece),
    End,
}

/// The receiver has lost interest: the rest of the content need not be read.
#[derive(Debug)]
pub(crate) struct Unwanted;

impl RequestContent {
    /// Both ends; at most one piece waits between them.
    pub(crate) fn channel(length: Option<u64>) -> (ContentSender, Self) {
        let (sender, pieces) = mpsc::channel(1);
        let (want, wanted) = oneshot::channel();
        let sender = ContentSender { pieces: sender, wanted: Some(wanted) };
        (sender, Self { length, ahead: None, pieces, wanted: Some(want) })
    }

    /// As it was before these bytes were taken out of it.
    pub(crate) fn put_back(self, taken: Bytes) -> Self {
        Self { ahead: Some(taken), ..self }
    }

    /// Waits for the next piece; `None` is the orderly end.
    pub(crate) async fn next(&mut self) -> Result<Option<Piece>, ContentError> {
        poll_fn(|cx| self.poll_next(cx)).await
    }

    /// The next piece; `None` at the orderly end.
    pub(crate) fn poll_next(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Option<Piece>, ContentError>> {
        if let Some(ahead) = self.ahead.take() {
            return Poll::Ready(Ok(Some(Piece::Data(ahead))));
        }
        if let Some(wanted) = self.wanted.take() {
            // A front that is gone shows as a closed channel below.
            let _ = wanted.send(());
        }
        self.pieces.poll_recv(cx).map(|received| match received {
            Some(Ok(Sent::Piece(piece))) => Ok(Some(piece)),
            Some(Ok(Sent::End)) => Ok(None),
            Some(Err(error)) => Err(error),
            None => Err(ContentError::Cut),
        })
    }
}

impl ContentSender {
    /// Waits until the content is asked for.
    pub(crate) async fn wanted(&mut self) -> Result<(), Unwanted> {
        match self.wanted.take() {
            Some(wanted) => wanted.await.map_err(|_| Unwanted),
            None => Ok(()),
        }
    }

    /// Hands over the next piece.
    pub(crate) async fn send(&self, piece: Piece) -> Result<(), Unwanted> {
        self.pieces.send(Ok(Sent::Piece(piece))).await.map_err(|_| Unwanted)
    }

    /// Says that the content is complete.
    pub(crate) async fn end(&self) -> Result<(), Unwanted> {
        self.pieces.send(Ok(Sent::End)).await.map_err(|_| Unwanted)
    }

    /// Says that the content broke.
    pub(crate) async fn fail(&self, error: ContentError) -> Result<(), Unwanted> {
        self.pieces.send(Err(error)).await.map_err(|_| Unwanted)
    }
}
