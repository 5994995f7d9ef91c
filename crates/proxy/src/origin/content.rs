//! The content of a response, read from the origin piece by piece.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use http1::{BodyDecoder, BodyEvent, Framing};
use policy::Fields;
use tokio::sync::OwnedSemaphorePermit;

use super::connection::Connection;
use super::patience::Patience;
use super::upload::Upload;
use super::{Origin, http2};
use crate::content::{Allowance, Piece};
use crate::error::FetchError;
use crate::head;

/// The content of a response, read from where it comes piece by piece.
#[expect(clippy::large_enum_variant, reason = "no allocation for what comes by HTTP/1.1")]
pub(crate) enum ResponseContent {
    Http1(Http1Content),
    Http2(Box<http2::Content>),
}

/// Read from a connection of its own.
pub(crate) struct Http1Content {
    origin: Arc<Origin>,
    connection: Option<Connection>,
    upload: Upload,
    decoder: BodyDecoder,
    allowance: Allowance,
    framing: Framing,
    persistent: bool,
    /// How long the origin may pause.
    pause: Duration,
    /// Held as long as the connection is in use.
    _slot: OwnedSemaphorePermit,
}

/// What can be had of the content without waiting.
pub(crate) enum Arrived {
    /// The next piece; `None` at the orderly end.
    Next(Option<Piece>),
    /// More has to be read first.
    Waiting,
}

impl ResponseContent {
    /// The next piece; `None` at the orderly end.
    pub(crate) async fn next(&mut self) -> Result<Option<Piece>, FetchError> {
        match self {
            Self::Http1(content) => content.next().await,
            Self::Http2(content) => content.next().await,
        }
    }

    /// What has arrived already.
    pub(crate) fn try_next(&mut self) -> Result<Arrived, FetchError> {
        match self {
            Self::Http1(content) => content.try_next(),
            Self::Http2(content) => content.try_next(),
        }
    }

    /// Lets the origin pause so long from now on.
    pub(crate) fn may_pause(&mut self, limit: Duration) {
        match self {
            Self::Http1(content) => content.pause = limit,
            Self::Http2(content) => content.may_pause(limit),
        }
    }

    /// Whether the origin may pause for longer than usual.
    pub(crate) fn is_patient(&self) -> bool {
        match self {
            Self::Http1(content) => {
                content.pause > content.origin.shared.limits.between_bytes_timeout
            }
            Self::Http2(content) => content.is_patient(),
        }
    }

    /// Whether it has ended already, without anything in it.
    pub(crate) fn is_over(&self) -> bool {
        match self {
            // Behind a length there are no trailers.
            Self::Http1(content) => content.length() == Some(0),
            Self::Http2(content) => content.is_over(),
        }
    }

    /// The announced length of the content; `None` if only its end will tell.
    pub(crate) fn length(&self) -> Option<u64> {
        match self {
            Self::Http1(content) => content.length(),
            Self::Http2(content) => content.length(),
        }
    }
}

impl Http1Content {
    /// What is to come behind the head that was `decoded`.
    pub(super) fn new(
        origin: &Arc<Origin>,
        connection: Connection,
        upload: Upload,
        decoded: &http1::ResponseHead,
        slot: OwnedSemaphorePermit,
    ) -> Self {
        let limits = &origin.shared.limits;
        // An origin that answers before it has the whole request may take the rest for another one,
        // whose answer would be somebody's.
        let persistent = decoded.persistent && upload.is_done();
        Self {
            origin: Arc::clone(origin),
            connection: Some(connection),
            upload,
            decoder: BodyDecoder::new(decoded.framing, &limits.http1),
            allowance: Allowance::new(limits.response_content),
            framing: decoded.framing,
            persistent,
            pause: limits.between_bytes_timeout,
            _slot: slot,
        }
    }

    /// The next piece; `None` at the orderly end, after which the connection is kept if it can be.
    async fn next(&mut self) -> Result<Option<Piece>, FetchError> {
        loop {
            if let Arrived::Next(piece) = self.try_next()? {
                return Ok(piece);
            }
            self.fill().await?;
        }
    }

    /// What has arrived already.
    fn try_next(&mut self) -> Result<Arrived, FetchError> {
        let Some(connection) = &mut self.connection else { return Ok(Arrived::Next(None)) };
        match self.decoder.decode(&mut connection.buf)? {
            BodyEvent::NeedMore => Ok(Arrived::Waiting),
            BodyEvent::Data(data) => {
                self.allowance.take(data.len())?;
                Ok(Arrived::Next(Some(Piece::Data(data))))
            }
            BodyEvent::Trailers(trailers) => {
                let mut fields = Fields::new();
                head::load(&mut fields, &trailers.block, &trailers.fields);
                policy::strip::strip_hop_by_hop(&mut fields);
                // Nothing can follow them: whoever has them need not ask for the end.
                if matches!(self.decoder.decode(&mut connection.buf), Ok(BodyEvent::End)) {
                    self.finish();
                }
                Ok(Arrived::Next(Some(Piece::Trailers(fields))))
            }
            BodyEvent::End => {
                self.finish();
                Ok(Arrived::Next(None))
            }
        }
    }

    /// The announced length of the content; `None` if only its end will tell.
    fn length(&self) -> Option<u64> {
        match self.framing {
            Framing::None => Some(0),
            Framing::Length(length) => Some(length),
            Framing::Chunked | Framing::UntilClose => None,
        }
    }

    async fn fill(&mut self) -> Result<(), FetchError> {
        let Some(connection) = &mut self.connection else { return Ok(()) };
        let limit = self.pause;
        let mut patience = Patience::new(limit);
        let read = self.upload.send_and_fill(connection, &mut patience).await?;
        match read.ok_or(FetchError::Stalled { limit })? {
            Ok(0) => {
                self.decoder
                    .end_of_input()
                    .map_err(|_| truncated(io::ErrorKind::UnexpectedEof.into()))?;
                // Delimited by the end of the connection, which therefore cannot be kept.
                self.connection = None;
                Ok(())
            }
            Ok(_) => Ok(()),
            Err(source) => Err(truncated(source)),
        }
    }

    /// Gives the connection back, but only from the clean state: everything sent, everything read,
    /// nothing unexpected behind it.
    fn finish(&mut self) {
        let Some(mut connection) = self.connection.take() else { return };
        let clean = self.persistent && self.framing != Framing::UntilClose && connection.is_clean();
        if clean {
            self.origin.keep(connection);
        }
    }
}

fn truncated(source: io::Error) -> FetchError {
    FetchError::Truncated { source }
}
