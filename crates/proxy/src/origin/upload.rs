//! Sends a request to the origin, while the response may already be arriving.

use std::io;
use std::task::{Context, Poll, ready};

use bytes::buf::Chain;
use bytes::{Buf, Bytes};
use http1::encode;

use super::connection::Connection;
use super::patience::Patience;
use crate::content::{Piece, RequestContent};
use crate::error::{ContentError, FetchError};

/// A request on its way out: its head, then its content if it has any.
pub(crate) struct Upload {
    out: Out,
    content: Option<RequestContent>,
    state: State,
    /// There is content, or was before it was sent.
    has_content: bool,
    /// Bytes written so far: progress keeps the patience for a response fresh.
    sent: u64,
}

/// Bytes ready to be written: a piece, which is not copied for that, between what frames it.
type Out = Chain<Chain<Bytes, Bytes>, Bytes>;

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Sending,
    Flushing,
    Done,
    /// The origin takes no more; it may still answer why.
    Refused,
}

/// Why the request could not be sent to its end.
enum UploadError {
    /// The origin takes no more of it.
    Refused,
    /// The client broke its content.
    Content(ContentError),
}

impl Upload {
    pub(crate) fn new(head: Bytes, content: Option<RequestContent>) -> Self {
        let has_content = content.is_some();
        Self { out: plain(head), content, state: State::Sending, has_content, sent: 0 }
    }

    /// Whether the request has content, be it sent already or not.
    pub(super) fn has_content(&self) -> bool {
        self.has_content
    }

    /// Whether every byte of the request has been handed to the system.
    pub(crate) fn is_done(&self) -> bool {
        self.state == State::Done
    }

    /// Sends what can be sent. An origin that stops taking the request is no error here: its
    /// response, or the end of the connection, tells more. A client that breaks its content is.
    fn poll(
        &mut self,
        cx: &mut Context<'_>,
        connection: &mut Connection,
    ) -> Result<(), FetchError> {
        match self.poll_send(cx, connection) {
            Poll::Pending | Poll::Ready(Ok(())) => Ok(()),
            Poll::Ready(Err(UploadError::Refused)) => {
                self.state = State::Refused;
                self.content = None;
                Ok(())
            }
            Poll::Ready(Err(UploadError::Content(error))) => Err(FetchError::Client(error)),
        }
    }

    /// Sends and reads at the same time; `None` if there is no patience left. What is sent renews it.
    pub(super) async fn send_and_fill(
        &mut self,
        connection: &mut Connection,
        patience: &mut Patience,
    ) -> Result<Option<io::Result<usize>>, FetchError> {
        let read = patience.wait(|cx, patience| {
            let sent = self.sent;
            if !self.is_done()
                && let Err(error) = self.poll(cx, connection)
            {
                return Poll::Ready(Err(error));
            }
            if self.sent > sent {
                patience.renew();
            }
            let read = connection.poll_fill(cx);
            if read.is_pending() && !self.is_done() {
                // An answer is not likely before the end of the request.
                connection.expect_little();
            }
            read.map(Ok)
        });
        read.await.transpose()
    }

    fn poll_send(
        &mut self,
        cx: &mut Context<'_>,
        connection: &mut Connection,
    ) -> Poll<Result<(), UploadError>> {
        while self.state == State::Sending {
            while self.out.has_remaining() {
                let written = ready!(connection.poll_write(cx, &mut self.out));
                match written.map_err(|_| UploadError::Refused)? {
                    0 => return Poll::Ready(Err(UploadError::Refused)),
                    count => self.sent += count as u64,
                }
            }
            // Whoever reads the next piece can have the room of this one.
            self.out = plain(Bytes::new());
            match &mut self.content {
                None => self.state = State::Flushing,
                Some(content) => {
                    let next = ready!(content.poll_next(cx)).map_err(UploadError::Content)?;
                    self.queue(next);
                }
            }
        }
        if self.state == State::Flushing {
            ready!(connection.poll_flush(cx)).map_err(|_| UploadError::Refused)?;
            self.state = State::Done;
        }
        Poll::Ready(Ok(()))
    }

    /// Frames the next piece; after the last one nothing more is awaited.
    fn queue(&mut self, next: Option<Piece>) {
        let chunked = self.content.as_ref().is_some_and(|content| content.length.is_none());
        if next.is_none() {
            self.content = None;
        }
        self.out = match (next, chunked) {
            (Some(Piece::Data(data)), false) => plain(data),
            (Some(Piece::Data(data)), true) => chunk(data),
            (Some(Piece::Trailers(trailers)), true) => {
                self.content = None;
                let mut out = Vec::new();
                encode::last_chunk(&mut out, trailers.iter());
                plain(out.into())
            }
            (None, true) => {
                let mut out = Vec::new();
                encode::last_chunk(&mut out, std::iter::empty());
                plain(out.into())
            }
            // Content of a known length has no room for trailers.
            (Some(Piece::Trailers(_)) | None, false) => plain(Bytes::new()),
        };
    }
}

fn plain(bytes: Bytes) -> Out {
    bytes.chain(Bytes::new()).chain(Bytes::new())
}

fn chunk(data: Bytes) -> Out {
    let mut start = Vec::new();
    encode::chunk_start(&mut start, data.len());
    Bytes::from(start).chain(data).chain(Bytes::from_static(encode::CHUNK_END))
}
