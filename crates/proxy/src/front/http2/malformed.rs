//! What makes an HTTP/2 request malformed, beside what the codec finds by itself.

use std::fmt;

/// Why a stream is reset with `PROTOCOL_ERROR`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Malformed {
    /// `:path` is no path.
    Path,
    /// Neither `:authority` nor Host.
    NoAuthority,
    /// The authority is not `host[:port]`.
    Authority,
    /// More than one Host.
    HostRepeated,
    /// Host names something else than `:authority`.
    HostDiffers,
    /// Whitespace around the value of a field.
    Whitespace,
    /// Content-Length is not one number.
    Length,
    /// A pseudo-field stands in the trailers.
    PseudoTrailer,
}

impl Malformed {
    /// Every fault of this kind.
    pub const ALL: &'static [Self] = &[
        Self::Path,
        Self::NoAuthority,
        Self::Authority,
        Self::HostRepeated,
        Self::HostDiffers,
        Self::Whitespace,
        Self::Length,
        Self::PseudoTrailer,
    ];

    /// The stable code that log and metric share.
    pub const fn code(self) -> &'static str {
        match self {
            Self::Path => "http2-path",
            Self::NoAuthority => "http2-no-authority",
            Self::Authority => "http2-authority",
            Self::HostRepeated => "http2-host-repeated",
            Self::HostDiffers => "http2-host-differs",
            Self::Whitespace => "http2-whitespace",
            Self::Length => "http2-content-length",
            Self::PseudoTrailer => "http2-pseudo-trailer",
        }
    }

    /// Where it is decided.
    pub const fn section(self) -> &'static str {
        match self {
            Self::Path | Self::NoAuthority | Self::Authority | Self::HostDiffers => {
                "RFC 9113 §8.3.1"
            }
            Self::HostRepeated => "RFC 9110 §7.2",
            Self::Whitespace => "RFC 9113 §8.2.1",
            Self::Length => "RFC 9113 §8.1.1",
            Self::PseudoTrailer => "RFC 9113 §8.1",
        }
    }

    /// What it means.
    pub const fn meaning(self) -> &'static str {
        match self {
            Self::Path => "`:path` is empty or not a path",
            Self::NoAuthority => "neither `:authority` nor Host says who is meant",
            Self::Authority => "the authority is not host[:port]",
            Self::HostRepeated => "Host was sent twice",
            Self::HostDiffers => "Host names something else than `:authority`",
            Self::Whitespace => "whitespace around the value of a field",
            Self::Length => "Content-Length is not one number",
            Self::PseudoTrailer => "a pseudo-field stands in the trailers",
        }
    }
}

impl fmt::Display for Malformed {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{} ({})", self.meaning(), self.section())
    }
}

impl std::error::Error for Malformed {}
