//! What can go wrong with a request, whose fault it is, and what the client is told.

mod refusal;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use http1::{BadBody, BadHead, BadResponse};
use store::ReadError;

pub(crate) use self::refusal::Refusal;

use crate::failure::{Failure, Malformed};
use crate::origin::tls;
use crate::proxy_status::ProxyError;

/// Why the origin gave no usable response.
#[derive(Debug, thiserror::Error)]
pub(crate) enum FetchError {
    /// The origin's name could not be resolved.
    #[error("resolving {host}: {source}")]
    Resolve {
        /// The name.
        host: String,
        /// The resolver's complaint, shared by all who waited for it.
        source: Arc<io::Error>,
    },
    /// The resolver gave no answer in time.
    #[error("resolving {host} took longer than {limit:?}")]
    ResolveTimeout {
        /// The name.
        host: String,
        /// How long a request waits for that.
        limit: Duration,
    },
    /// No connection could be made.
    #[error("connecting to {address}: {source}")]
    Connect {
        /// The address that was tried last.
        address: SocketAddr,
        /// The system's complaint.
        source: io::Error,
    },
    /// The origin did not answer the attempt to connect.
    #[error("connecting to {address} took longer than {limit:?}")]
    ConnectTimeout {
        /// The address that was tried last.
        address: SocketAddr,
        /// [`crate::Limits::connect_timeout`].
        limit: Duration,
    },
    /// The TLS handshake failed.
    #[error("TLS handshake with {host}: {source}")]
    Tls {
        /// The name that the certificate was checked against.
        host: String,
        /// The TLS library's complaint.
        source: io::Error,
    },
    /// The TLS handshake took too long.
    #[error("TLS handshake with {host} took longer than {limit:?}")]
    TlsTimeout {
        /// The name that the certificate was checked against.
        host: String,
        /// [`crate::Limits::tls_timeout`].
        limit: Duration,
    },
    /// All permitted origin connections are in use and none became free in time.
    #[error("all {limit} connections to the origin are in use")]
    Busy {
        /// [`crate::Limits::origin_connections`].
        limit: usize,
    },
    /// As many connections as are permitted have gone on in another protocol.
    #[error("all {limit} tunnels to the origin are in use")]
    NoTunnel {
        /// [`crate::Limits::tunnels`].
        limit: usize,
    },
    /// No file descriptor became free in time.
    #[error("no file descriptor is left for a connection to the origin: {source}")]
    NoDescriptor {
        /// The system's complaint.
        source: io::Error,
    },
    /// Too many requests wait for this key already.
    #[error("{limit} requests wait for this resource already")]
    Crowded {
        /// [`crate::Limits::collapse_waiters`].
        limit: usize,
    },
    /// The connection broke before a response head was complete.
    #[error("the origin closed the connection before it answered: {source}")]
    Closed {
        /// What ended it.
        source: io::Error,
        /// Not one byte of a response had arrived.
        unanswered: bool,
    },
    /// No response head in time.
    #[error("the origin sent no response head within {limit:?}")]
    HeadTimeout {
        /// [`crate::Limits::first_byte_timeout`].
        limit: Duration,
    },
    /// What the origin sent is not an HTTP/1.1 response.
    #[error("the origin's response is malformed: {0}")]
    BadHead(#[from] BadResponse),
    /// What the origin sent is not HTTP/2 as it should be.
    #[error("the origin's HTTP/2 is malformed: {0}")]
    BadHttp2(#[source] h2::Error),
    /// A status that nobody asked for, such as 101 or a 304 to an unconditional request.
    #[error("the origin answered {status}, which was not asked for")]
    Unasked {
        /// The status code.
        status: u16,
    },
    /// More informational responses than are forwarded.
    #[error("the origin sent more than {limit} informational responses")]
    EndlessInformational {
        /// [`crate::Limits::informational`].
        limit: usize,
    },
    /// The content ended early.
    #[error("the origin's content ended early: {source}")]
    Truncated {
        /// What ended it.
        source: io::Error,
    },
    /// The content's framing is malformed.
    #[error("the origin's content is malformed: {0}")]
    BadContent(#[from] BadBody),
    /// There is more content than is taken.
    #[error("the origin's content has more than {limit} bytes (--max-response-content)")]
    ContentTooLarge {
        /// [`crate::Limits::response_content`].
        limit: u64,
    },
    /// The content stalled.
    #[error("the origin sent nothing of the content for {limit:?}")]
    Stalled {
        /// [`crate::Limits::between_bytes_timeout`].
        limit: Duration,
    },
    /// The request came by proxies of this name too often.
    #[error(
        "the request came through {hops} proxies of this kind, and {limit} are permitted: check \
         that the origin does not lead back to this proxy, or permit more with --max-hops"
    )]
    Loop {
        /// How often `Via` or `CDN-Loop` name it.
        hops: usize,
        /// [`crate::Limits::hops`].
        limit: usize,
    },
    /// The fetch ended without a result.
    #[error("the proxy failed in the middle of this request")]
    Internal,
    /// The client went away, or broke its own content, while it was being forwarded.
    #[error(transparent)]
    Client(#[from] ContentError),
}

impl FetchError {
    /// What it is in the table of failures.
    pub(crate) fn failure(&self) -> Failure {
        match self {
            Self::Resolve { .. } => Failure::NameUnresolved,
            Self::ResolveTimeout { .. } => Failure::NameTimeout,
            Self::Connect { source, .. } => connecting(source.kind()),
            Self::ConnectTimeout { .. } => Failure::ConnectTimeout,
            Self::Tls { source, .. } | Self::Closed { source, .. } => {
                tls::failure(source).unwrap_or(Failure::Closed)
            }
            Self::TlsTimeout { .. } => Failure::TlsTimeout,
            Self::Busy { .. } => Failure::Busy,
            Self::NoTunnel { .. } => Failure::NoTunnel,
            Self::NoDescriptor { .. } => Failure::NoDescriptor,
            Self::Crowded { .. } => Failure::Crowded,
            Self::HeadTimeout { .. } => Failure::HeadTimeout,
            Self::BadHead(BadResponse::Head(bad)) => head(*bad),
            Self::BadHead(_) | Self::BadHttp2(_) => Failure::Malformed,
            Self::Unasked { .. } => Failure::Unasked,
            Self::EndlessInformational { .. } => Failure::EndlessInformational,
            Self::Truncated { source } => tls::failure(source).unwrap_or(Failure::Truncated),
            Self::BadContent(BadBody::Trailers(bad)) => trailers(*bad),
            Self::BadContent(_) => Failure::BadContent,
            Self::ContentTooLarge { .. } => Failure::ContentTooLarge,
            Self::Stalled { .. } => Failure::Stalled,
            Self::Loop { .. } => Failure::Loop,
            Self::Internal => Failure::Internal,
            Self::Client(error) => error.failure(),
        }
    }

    /// The stable code that header, log and metric share.
    pub(crate) fn code(&self) -> &'static str {
        self.failure().code()
    }

    /// The status that the client gets (RFC 9110 §15.6).
    pub(crate) fn status(&self) -> u16 {
        self.failure().status()
    }

    /// What `Proxy-Status` tells.
    pub(crate) fn proxy_error(&self) -> ProxyError {
        let failure = self.failure();
        let received_status = match self {
            Self::Unasked { status } => Some(*status),
            _ => None,
        };
        let alert = match self {
            Self::Tls { source, .. } | Self::Closed { source, .. } | Self::Truncated { source } => {
                tls::alert(source)
            }
            _ => None,
        };
        let stays_here = matches!(
            self,
            Self::NoTunnel { .. } | Self::Crowded { .. } | Self::Loop { .. } | Self::Internal
        );
        ProxyError {
            error: Some(failure.error_type()),
            received_status,
            alert,
            details: failure.code(),
            went_forward: !stays_here,
        }
    }

    /// Whether there was no way to the origin, or no word from it.
    pub(crate) const fn is_disconnection(&self) -> bool {
        matches!(
            self,
            Self::Resolve { .. }
                | Self::ResolveTimeout { .. }
                | Self::Connect { .. }
                | Self::ConnectTimeout { .. }
                | Self::Tls { .. }
                | Self::TlsTimeout { .. }
                | Self::Closed { .. }
                | Self::HeadTimeout { .. }
        )
    }

    /// Whether the origin may have got the request and acted on it.
    pub(crate) const fn may_have_reached_origin(&self) -> bool {
        !matches!(
            self,
            Self::Resolve { .. }
                | Self::ResolveTimeout { .. }
                | Self::Connect { .. }
                | Self::ConnectTimeout { .. }
                | Self::Tls { .. }
                | Self::TlsTimeout { .. }
                | Self::Busy { .. }
                | Self::NoTunnel { .. }
                | Self::NoDescriptor { .. }
                | Self::Crowded { .. }
                | Self::Loop { .. }
        )
    }

    /// Whether the failure may be due to this one request, such as a field that has the origin close the
    /// connection: then another request for the same resource may still be answered. What is doubtful
    /// is counted here: to find out costs the origin few requests, however many wait.
    pub(crate) const fn may_be_about_request(&self) -> bool {
        matches!(
            self,
            Self::Closed { .. }
                | Self::BadHead(_)
                | Self::BadHttp2(_)
                | Self::Unasked { .. }
                | Self::EndlessInformational { .. }
                | Self::Truncated { .. }
                | Self::BadContent(_)
                | Self::ContentTooLarge { .. }
                | Self::Loop { .. }
                | Self::Internal
        )
    }

    /// Whether the same request may be sent once more: a kept connection that turned out closed
    /// before a byte of the response arrived (RFC 9110 §9.2.2, RFC 9112 §9.3.1).
    pub(crate) const fn was_unanswered(&self) -> bool {
        matches!(self, Self::Closed { unanswered: true, .. })
    }
}

/// Why a connection could not be made.
const fn connecting(kind: io::ErrorKind) -> Failure {
    match kind {
        io::ErrorKind::ConnectionRefused | io::ErrorKind::ConnectionReset => Failure::Refused,
        io::ErrorKind::HostUnreachable
        | io::ErrorKind::NetworkUnreachable
        | io::ErrorKind::NetworkDown => Failure::Unroutable,
        io::ErrorKind::TimedOut => Failure::ConnectTimeout,
        _ => Failure::ConnectFailed,
    }
}

/// What is wrong with a response head.
const fn head(bad: BadHead) -> Failure {
    match bad {
        BadHead::TooLarge | BadHead::TooManyFields => Failure::HeadTooLarge,
        BadHead::FieldTooLarge => Failure::FieldTooLarge,
        BadHead::CodingInvalid | BadHead::CodingNotFinal | BadHead::CodingUnknown => {
            Failure::BadCoding
        }
        _ => Failure::Malformed,
    }
}

/// What is wrong with trailers.
const fn trailers(bad: BadHead) -> Failure {
    match bad {
        BadHead::TooLarge | BadHead::TooManyFields => Failure::TrailersTooLarge,
        BadHead::FieldTooLarge => Failure::TrailerTooLarge,
        _ => Failure::Malformed,
    }
}

/// Why a client's content could not be read to its end.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ContentError {
    /// The connection ended first.
    #[error("the client closed the connection in the middle of its content")]
    Cut,
    /// Nothing arrived for too long.
    #[error("the client sent nothing of its content, or too little, for {limit:?}")]
    Stalled {
        /// [`crate::Limits::body_timeout`].
        limit: Duration,
    },
    /// There is more of it than is taken.
    #[error("the client's content has more than {limit} bytes, which is all that is taken")]
    TooLarge {
        /// [`crate::Limits::request_content`].
        limit: u64,
    },
    /// The framing is malformed.
    #[error("the client's content is malformed: {0}")]
    Malformed(#[from] BadBody),
    /// Its trailers make the whole request malformed.
    #[error("the request is malformed: {0}")]
    Http2(#[from] Malformed),
}

impl ContentError {
    const fn failure(&self) -> Failure {
        match self {
            Self::Cut => Failure::ClientCut,
            Self::Stalled { .. } => Failure::ClientStalled,
            Self::TooLarge { .. } => Failure::ClientContentTooLarge,
            Self::Malformed(BadBody::Trailers(
                BadHead::TooLarge | BadHead::TooManyFields | BadHead::FieldTooLarge,
            )) => Failure::ClientTrailersTooLarge,
            Self::Malformed(_) | Self::Http2(_) => Failure::ClientBadContent,
        }
    }

    /// Why it is no request at all.
    pub(crate) const fn malformed(&self) -> Option<Malformed> {
        match self {
            Self::Http2(bad) => Some(*bad),
            _ => None,
        }
    }
}

/// Why content that a client is being sent broke off.
#[derive(Debug)]
pub(crate) enum Broken {
    /// A stored body could not be read to its end, or its fill broke.
    Store(ReadError),
    /// The origin broke it off.
    Origin(FetchError),
}

#[cfg(test)]
mod tests;
