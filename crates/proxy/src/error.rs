//! What can go wrong with a request, whose fault it is, and what the client is told.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use http1::{BadBody, BadRequest, BadResponse};

use crate::origin::tls;

/// Why the origin gave no usable response.
#[derive(Debug, thiserror::Error)]
pub(crate) enum FetchError {
    /// The origin's name could not be resolved.
    #[error("resolving {host}: {source}")]
    Resolve {
        /// The name.
        host: String,
        /// The resolver's complaint.
        source: io::Error,
    },
    /// The resolver gave no answer in time.
    #[error("resolving {host} took longer than {limit:?}")]
    ResolveTimeout {
        /// The name.
        host: String,
        /// [`crate::Limits::connect_timeout`].
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
    /// The content stalled.
    #[error("the origin sent nothing of the content for {limit:?}")]
    Stalled {
        /// [`crate::Limits::between_bytes_timeout`].
        limit: Duration,
    },
    /// The request came by this proxy too often.
    #[error("the request passed through this proxy {times} times")]
    Loop {
        /// How often `Via` names it.
        times: usize,
    },
    /// The client went away, or broke its own content, while it was being forwarded.
    #[error("the client's content broke: {0}")]
    Client(#[from] ContentError),
}

impl FetchError {
    /// The stable code that header, log and metric share.
    pub(crate) const fn code(&self) -> &'static str {
        match self {
            Self::Resolve { .. } => "origin-name-unresolved",
            Self::ResolveTimeout { .. } => "origin-name-timeout",
            Self::Connect { .. } => "origin-refused",
            Self::ConnectTimeout { .. } => "origin-connect-timeout",
            Self::Tls { .. } => "origin-tls",
            Self::TlsTimeout { .. } => "origin-tls-timeout",
            Self::Busy { .. } => "origin-busy",
            Self::Crowded { .. } => "collapse-crowded",
            Self::Closed { .. } => "origin-closed",
            Self::HeadTimeout { .. } => "origin-timeout",
            Self::BadHead(_) => "origin-malformed",
            Self::Unasked { .. } => "origin-unasked-status",
            Self::EndlessInformational { .. } => "origin-endless-informational",
            Self::Truncated { .. } => "origin-truncated",
            Self::BadContent(_) => "origin-bad-content",
            Self::Stalled { .. } => "origin-stalled",
            Self::Loop { .. } => "loop",
            Self::Client(error) => error.code(),
        }
    }

    /// The status that the client gets (RFC 9110 §15.6).
    pub(crate) const fn status(&self) -> u16 {
        match self {
            Self::ResolveTimeout { .. }
            | Self::ConnectTimeout { .. }
            | Self::TlsTimeout { .. }
            | Self::HeadTimeout { .. }
            | Self::Stalled { .. } => 504,
            Self::Busy { .. } | Self::Crowded { .. } => 503,
            Self::Client(error) => error.status(),
            _ => 502,
        }
    }

    /// The error type of RFC 9209 §2.3 for `Proxy-Status`.
    pub(crate) fn proxy_error(&self) -> &'static str {
        match self {
            Self::Resolve { .. } => "dns_error",
            Self::ResolveTimeout { .. } => "dns_timeout",
            Self::Connect { .. } => "connection_refused",
            Self::ConnectTimeout { .. } => "connection_timeout",
            Self::Tls { source, .. } if tls::is_certificate_error(source) => {
                "tls_certificate_error"
            }
            Self::Tls { .. } | Self::TlsTimeout { .. } => "tls_protocol_error",
            Self::Busy { .. } | Self::Crowded { .. } => "connection_limit_reached",
            Self::Closed { .. } => "connection_terminated",
            Self::HeadTimeout { .. } => "http_response_timeout",
            Self::Stalled { .. } => "connection_read_timeout",
            Self::Truncated { .. } => "http_response_incomplete",
            Self::BadHead(_)
            | Self::Unasked { .. }
            | Self::EndlessInformational { .. }
            | Self::BadContent(_) => "http_protocol_error",
            Self::Loop { .. } => "proxy_loop_detected",
            Self::Client(_) => "http_request_error",
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
                | Self::Crowded { .. }
                | Self::Loop { .. }
        )
    }

    /// Whether the same request may be sent once more: a kept connection that turned out closed
    /// before a byte of the response arrived (RFC 9110 §9.2.2, RFC 9112 §9.3.1).
    pub(crate) const fn was_unanswered(&self) -> bool {
        matches!(self, Self::Closed { unanswered: true, .. })
    }
}

/// Why a client's content could not be read to its end.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ContentError {
    /// The connection ended first.
    #[error("the client closed the connection in the middle of its content")]
    Cut,
    /// Nothing arrived for too long.
    #[error("the client sent nothing of its content for {limit:?}")]
    Stalled {
        /// [`crate::Limits::body_timeout`].
        limit: Duration,
    },
    /// The framing is malformed.
    #[error("the client's content is malformed: {0}")]
    Malformed(#[from] BadBody),
}

impl ContentError {
    /// The stable code that header, log and metric share.
    pub(crate) const fn code(&self) -> &'static str {
        match self {
            Self::Cut => "client-cut",
            Self::Stalled { .. } => "client-stalled",
            Self::Malformed(_) => "client-bad-content",
        }
    }

    /// The status that the client gets.
    pub(crate) const fn status(&self) -> u16 {
        match self {
            Self::Cut | Self::Malformed(_) => 400,
            Self::Stalled { .. } => 408,
        }
    }
}

/// Why a request is answered by the proxy itself, without a look at store or origin.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Refusal {
    /// The head breaks a rule of HTTP/1.1.
    #[error(transparent)]
    Malformed(#[from] BadRequest),
    /// The head did not arrive in time.
    #[error("the request head took longer than {limit:?}")]
    HeadTimeout {
        /// [`crate::Limits::head_timeout`].
        limit: Duration,
    },
    /// A method that a reverse proxy does not serve.
    #[error("CONNECT is not served here: this is a reverse proxy")]
    Connect,
    /// `only-if-cached` and nothing suitable is stored (RFC 9111 §5.2.1.7).
    #[error("only-if-cached was asked and no suitable response is stored")]
    OnlyIfCached,
}

impl Refusal {
    /// The stable code that header, log and metric share.
    pub(crate) fn code(&self) -> &'static str {
        match self {
            Self::Malformed(bad) => bad.code(),
            Self::HeadTimeout { .. } => "head-timeout",
            Self::Connect => "connect-refused",
            Self::OnlyIfCached => "only-if-cached",
        }
    }

    /// The status that the client gets.
    pub(crate) fn status(&self) -> u16 {
        match self {
            Self::Malformed(bad) => bad.status(),
            Self::HeadTimeout { .. } => 408,
            Self::Connect => 501,
            Self::OnlyIfCached => 504,
        }
    }
}
