//! What the proxy answers by itself, without a look at store or origin.

use std::time::Duration;

use http1::BadRequest;
use policy::Reason;
use policy::reason::Refused;

use crate::failure::Denial;
use crate::front::http2::Malformed;
use crate::proxy_status::ProxyError;
use crate::seats::Full;

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
    /// There are as many connections as are permitted.
    #[error("{0}; try again later")]
    Full(Full),
    /// The announced content is larger than is taken.
    #[error("the content has more than {limit} bytes, which is all that is taken")]
    ContentTooLarge {
        /// [`crate::Limits::request_content`].
        limit: u64,
    },
    /// HTTP came where TLS was expected.
    #[error("this port speaks HTTP inside TLS alone; ask for https:// in place of http://")]
    PlainHttp,
    /// A header list of HTTP/2 that is no request.
    #[error("the request is malformed: {0}")]
    Http2(#[from] Malformed),
    /// The target's scheme is not that of the connection.
    #[error("the target's scheme is not {scheme}, which is what this connection is for")]
    Misdirected {
        /// The scheme of the connection.
        scheme: &'static str,
    },
    /// There is no URL to send the client on to.
    #[error("the request names no host and path that it could be sent on to")]
    Nowhere,
    /// A method that a reverse proxy does not serve.
    #[error("CONNECT is not served here: this is a reverse proxy")]
    Connect,
    /// A TRACE that brings content.
    #[error("a TRACE request has no content (RFC 9110 §9.3.8)")]
    TraceContent,
    /// A path that leads out of the part of the origin that is served.
    #[error("the path leads out of what is served here")]
    Outside,
    /// `only-if-cached` and nothing suitable is stored (RFC 9111 §5.2.1.7).
    #[error("only-if-cached was asked and no suitable response is stored")]
    OnlyIfCached,
}

impl Refusal {
    /// The stable code that header, log and metric share.
    pub(crate) fn code(&self) -> &'static str {
        match self {
            Self::Malformed(bad) => bad.code(),
            Self::HeadTimeout { .. } => Denial::HeadTimeout.code(),
            Self::Full(full) => full.denial().code(),
            Self::ContentTooLarge { .. } => Denial::ContentTooLarge.code(),
            Self::PlainHttp => Denial::PlainHttp.code(),
            Self::Nowhere => Denial::Nowhere.code(),
            Self::Http2(bad) => bad.code(),
            Self::Misdirected { .. } => Denial::Misdirected.code(),
            Self::Connect => Denial::Connect.code(),
            Self::TraceContent => Denial::TraceContent.code(),
            Self::Outside => Denial::Outside.code(),
            Self::OnlyIfCached => Refused::OnlyIfCached.code(),
        }
    }

    /// The status that the client gets.
    pub(crate) fn status(&self) -> u16 {
        match self {
            Self::Malformed(bad) => bad.status(),
            Self::HeadTimeout { .. } => Denial::HeadTimeout.status(),
            Self::Full(full) => full.denial().status(),
            Self::ContentTooLarge { .. } => Denial::ContentTooLarge.status(),
            Self::PlainHttp => Denial::PlainHttp.status(),
            Self::Nowhere => Denial::Nowhere.status(),
            Self::Http2(_) => 400,
            Self::Misdirected { .. } => Denial::Misdirected.status(),
            Self::Connect => Denial::Connect.status(),
            Self::TraceContent => Denial::TraceContent.status(),
            Self::Outside => Denial::Outside.status(),
            Self::OnlyIfCached => 504,
        }
    }

    /// What `Proxy-Status` tells.
    pub(crate) fn proxy_error(&self) -> ProxyError {
        let error = match self {
            Self::HeadTimeout { .. } => Denial::HeadTimeout.error_type(),
            Self::Full(full) => full.denial().error_type(),
            Self::ContentTooLarge { .. } => Denial::ContentTooLarge.error_type(),
            Self::PlainHttp => Denial::PlainHttp.error_type(),
            Self::Nowhere => Denial::Nowhere.error_type(),
            Self::Http2(_) => "http_request_error",
            Self::Misdirected { .. } => Denial::Misdirected.error_type(),
            Self::Connect => Denial::Connect.error_type(),
            Self::TraceContent => Denial::TraceContent.error_type(),
            Self::Outside => Denial::Outside.error_type(),
            //= https://www.rfc-editor.org/rfc/rfc9209#section-2.3.16
            //# The intermediary is generating a client (4xx) response on the origin's behalf.
            Self::Malformed(bad) if bad.status() < 500 => "http_request_error",
            //= https://www.rfc-editor.org/rfc/rfc9209#section-2.3.29
            //# The intermediary generated the response itself without attempting to connect to the
            //# next hop.
            Self::Malformed(_) | Self::OnlyIfCached => "proxy_internal_response",
        };
        ProxyError::own(error, self.code())
    }
}
