//! What goes between a front and the origin beside heads: pieces of content, a request's content on its
//! way, informational responses.

mod handover;

use std::future::poll_fn;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use policy::Fields;

use self::handover::{Giver, Gone, Taker, handover};
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
    /// Its field lines. Boxed: the channel that they go through has room for many from the beginning.
    pub(crate) fields: Box<Fields>,
}

impl Informational {
    pub(crate) fn new(status: u16, mut fields: Fields) -> Self {
        //= https://www.rfc-editor.org/rfc/rfc9110#section-8.6
        //# A server MUST NOT send a Content-Length header field in any response with a status code of 1xx (Informational) or 204 (No Content).
        // Whoever believed it would take the final response for content.
        fields.remove("Content-Length");
        Self { status, fields: Box::new(fields) }
    }
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

/// The receiving end of a request's content. Nothing is handed over before a piece is asked for: an
/// `Expect: 100-continue` is answered only if the origin is reached, and where the origin is slower than
/// the client, one piece is all that is held by HTTP/1.1, and by HTTP/2 what the client's window lets come.
#[derive(Debug)]
pub(crate) struct RequestContent {
    /// The announced length; unknown for chunked content.
    pub(crate) length: Option<u64>,
    /// What was taken out and put back; it comes first.
    ahead: Option<Bytes>,
    pieces: Taker<Handed>,
}

/// The sending end, held by the front.
#[derive(Debug)]
pub(crate) struct ContentSender {
    pieces: Giver<Handed>,
}

type Handed = Result<Sent, ContentError>;

#[derive(Debug)]
enum Sent {
    Piece(Piece),
    End,
}

/// The receiver has lost interest: the rest of the content need not be read.
#[derive(Debug)]
pub(crate) struct Unwanted;

impl RequestContent {
    /// Both ends.
    pub(crate) fn channel(length: Option<u64>) -> (ContentSender, Self) {
        let (giver, pieces) = handover();
        (ContentSender { pieces: giver }, Self { length, ahead: None, pieces })
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
        Poll::Ready(match ready!(self.pieces.poll_take(cx)) {
            Ok(Ok(Sent::Piece(piece))) => Ok(Some(piece)),
            Ok(Ok(Sent::End)) => Ok(None),
            Ok(Err(error)) => Err(error),
            // The front is gone.
            Err(Gone) => Err(ContentError::Cut),
        })
    }
}

impl ContentSender {
    /// Waits until the next piece is asked for: the one before has been taken then.
    pub(crate) async fn wanted(&self) -> Result<(), Unwanted> {
        self.pieces.wanted().await.map_err(|Gone| Unwanted)
    }

    /// Hands over a piece that is wanted.
    pub(crate) fn send(&self, piece: Piece) -> Result<(), Unwanted> {
        self.pieces.give(Ok(Sent::Piece(piece))).map_err(|Gone| Unwanted)
    }

    /// Says that the content is complete.
    pub(crate) fn end(&self) -> Result<(), Unwanted> {
        self.pieces.give(Ok(Sent::End)).map_err(|Gone| Unwanted)
    }

    /// Says that the content broke.
    pub(crate) fn fail(&self, error: ContentError) -> Result<(), Unwanted> {
        self.pieces.give(Err(error)).map_err(|Gone| Unwanted)
    }
}
