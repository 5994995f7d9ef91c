//! Every reason for refusing bytes, with its code, its status and the section that decides it.

use std::fmt;

/// What a reason is called (stable), where it is decided, and how a person reads it.
struct Reason(&'static str, &'static str, &'static str);

/// A head, or a trailer section, is broken in a way requests and responses share.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BadHead {
    /// The head is larger than [`Limits::head`](crate::Limits::head).
    TooLarge,
    /// A field line is longer than [`Limits::field`](crate::Limits::field).
    FieldTooLarge,
    /// There are more field lines than [`Limits::fields`](crate::Limits::fields).
    TooManyFields,
    /// LF without the CR before it.
    BareLf,
    /// CR without the LF after it.
    BareCr,
    /// NUL or another control byte.
    ControlByte,
    /// The first field line begins with whitespace.
    SpaceBeforeFields,
    /// A later field line begins with whitespace.
    ObsFold,
    /// A field line begins with its colon.
    EmptyName,
    /// A field name has a byte that no token has.
    FieldName,
    /// Whitespace between field name and colon.
    SpaceBeforeColon,
    /// A field line without a colon.
    NoColon,
    /// Whitespace around the value of a field: by HTTP/2, where lines have none to be skipped.
    SpaceAroundValue,
    /// More than one Content-Length line, equal or not.
    LengthRepeated,
    /// Content-Length is not digits alone, or more than 2^64 - 1. A list is not digits alone.
    LengthInvalid,
    /// Content-Length and Transfer-Encoding in one message.
    LengthWithCoding,
    /// Transfer-Encoding in an HTTP/1.0 message.
    CodingInHttp10,
    /// Transfer-Encoding is empty, repeats `chunked`, gives it parameters or is no list of tokens.
    CodingInvalid,
    /// The last transfer coding is not `chunked`: the end cannot be found.
    CodingNotFinal,
    /// A transfer coding other than `chunked` below a final `chunked`.
    CodingUnknown,
}

impl BadHead {
    /// Every fault of this kind.
    pub const ALL: &'static [Self] = &[
        Self::TooLarge,
        Self::FieldTooLarge,
        Self::TooManyFields,
        Self::BareLf,
        Self::BareCr,
        Self::ControlByte,
        Self::SpaceBeforeFields,
        Self::ObsFold,
        Self::EmptyName,
        Self::FieldName,
        Self::SpaceBeforeColon,
        Self::NoColon,
        Self::SpaceAroundValue,
        Self::LengthRepeated,
        Self::LengthInvalid,
        Self::LengthWithCoding,
        Self::CodingInHttp10,
        Self::CodingInvalid,
        Self::CodingNotFinal,
        Self::CodingUnknown,
    ];

    fn reason(self) -> Reason {
        use BadHead as B;
        match self {
            B::TooLarge => Reason("head-too-large", "RFC 6585 §5", "the head is too large"),
            B::FieldTooLarge => Reason("field-too-large", "RFC 6585 §5", "a field is too large"),
            B::TooManyFields => Reason("too-many-fields", "RFC 6585 §5", "too many fields"),
            B::BareLf => Reason("bare-lf", "RFC 9112 §2.2", "LF without CR"),
            B::BareCr => Reason("bare-cr", "RFC 9112 §2.2", "CR without LF"),
            B::ControlByte => Reason("control-byte", "RFC 9110 §5.5", "control byte in the head"),
            B::SpaceBeforeFields => {
                Reason("space-before-fields", "RFC 9112 §2.2", "whitespace before the first field")
            }
            B::ObsFold => Reason("obs-fold", "RFC 9112 §5.2", "folded field line"),
            B::EmptyName => Reason("empty-field-name", "RFC 9110 §5.1", "empty field name"),
            B::FieldName => Reason("bad-field-name", "RFC 9110 §5.1", "field name is no token"),
            B::SpaceBeforeColon => {
                Reason("space-before-colon", "RFC 9112 §5.1", "whitespace before the colon")
            }
            B::NoColon => Reason("no-colon", "RFC 9112 §5", "field line without a colon"),
            B::SpaceAroundValue => {
                Reason("space-around-value", "RFC 9113 §8.2.1", "whitespace around a field's value")
            }
            B::LengthRepeated => {
                Reason("repeated-content-length", "RFC 9112 §6.3", "Content-Length sent twice")
            }
            B::LengthInvalid => {
                Reason("bad-content-length", "RFC 9112 §6.3", "Content-Length is no number")
            }
            B::LengthWithCoding => Reason(
                "length-with-coding",
                "RFC 9112 §6.1",
                "Content-Length together with Transfer-Encoding",
            ),
            B::CodingInHttp10 => {
                Reason("coding-in-http10", "RFC 9112 §6.1", "Transfer-Encoding in HTTP/1.0")
            }
            B::CodingInvalid => {
                Reason("bad-transfer-encoding", "RFC 9112 §6.1", "Transfer-Encoding is malformed")
            }
            B::CodingNotFinal => {
                Reason("chunked-not-final", "RFC 9112 §6.3", "chunked is not the last coding")
            }
            B::CodingUnknown => {
                Reason("unknown-transfer-coding", "RFC 9112 §6.1", "unknown transfer coding")
            }
        }
    }

    fn status(self) -> u16 {
        match self {
            Self::TooLarge | Self::FieldTooLarge | Self::TooManyFields => 431,
            Self::CodingUnknown => 501,
            _ => 400,
        }
    }
}

/// Why a request was refused. The connection is not to be read any further.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BadRequest {
    /// Broken in a way a response could be, too.
    Head(BadHead),
    /// The request line is longer than [`Limits::request_line`](crate::Limits::request_line).
    LineTooLong,
    /// The request line is not three parts with one space between them.
    Line,
    /// The method is no token.
    Method,
    /// The target has a byte that no target may have, or is in none of the four forms.
    Target,
    /// The authority in the target is not `host[:port]`.
    TargetAuthority,
    /// CONNECT without `host:port`.
    ConnectTarget,
    /// `*` with a method other than OPTIONS.
    AsteriskTarget,
    /// The version is not `HTTP/` digit `.` digit.
    Version,
    /// The major version is not 1.
    VersionUnsupported,
    /// HTTP/1.1 without Host.
    HostMissing,
    /// More than one Host line.
    HostRepeated,
    /// Host is not `host[:port]`.
    HostInvalid,
}

impl BadRequest {
    /// Every fault of this kind, beside those that a response could have, too.
    pub const OWN: &'static [Self] = &[
        Self::LineTooLong,
        Self::Line,
        Self::Method,
        Self::Target,
        Self::TargetAuthority,
        Self::ConnectTarget,
        Self::AsteriskTarget,
        Self::Version,
        Self::VersionUnsupported,
        Self::HostMissing,
        Self::HostRepeated,
        Self::HostInvalid,
    ];

    fn reason(self) -> Reason {
        use BadRequest as B;
        match self {
            B::Head(head) => head.reason(),
            B::LineTooLong => {
                Reason("request-line-too-long", "RFC 9112 §3", "the request line is too long")
            }
            B::Line => Reason("bad-request-line", "RFC 9112 §3", "malformed request line"),
            B::Method => Reason("bad-method", "RFC 9112 §3.1", "the method is no token"),
            B::Target => Reason("bad-target", "RFC 9112 §3.2", "malformed request target"),
            B::TargetAuthority => {
                Reason("bad-target-authority", "RFC 9112 §3.2.2", "bad authority in the target")
            }
            B::ConnectTarget => {
                Reason("bad-connect-target", "RFC 9112 §3.2.3", "CONNECT needs host:port")
            }
            B::AsteriskTarget => {
                Reason("asterisk-without-options", "RFC 9112 §3.2.4", "* is for OPTIONS alone")
            }
            B::Version => Reason("bad-version", "RFC 9112 §2.3", "malformed HTTP version"),
            B::VersionUnsupported => {
                Reason("unsupported-version", "RFC 9110 §15.6.6", "the major version is not 1")
            }
            B::HostMissing => Reason("host-missing", "RFC 9112 §3.2", "Host is missing"),
            B::HostRepeated => Reason("host-repeated", "RFC 9112 §3.2", "Host was sent twice"),
            B::HostInvalid => Reason("bad-host", "RFC 9112 §3.2", "Host is not host[:port]"),
        }
    }

    /// The status to answer with: 400, 414, 431, 501 or 505.
    pub fn status(&self) -> u16 {
        match self {
            Self::Head(head) => head.status(),
            Self::LineTooLong => 414,
            Self::VersionUnsupported => 505,
            _ => 400,
        }
    }
}

/// Why a response was refused. The connection is not to be read any further.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BadResponse {
    /// Broken in a way a request could be, too.
    Head(BadHead),
    /// The status line is longer than [`Limits::request_line`](crate::Limits::request_line).
    LineTooLong,
    /// The status line is not version, status and phrase with one space between them.
    Line,
    /// The version is not `HTTP/` digit `.` digit.
    Version,
    /// The major version is not 1.
    VersionUnsupported,
    /// The status is not three digits from 100 to 599.
    Status,
}

impl BadResponse {
    fn reason(self) -> Reason {
        use BadResponse as B;
        match self {
            B::Head(head) => head.reason(),
            B::LineTooLong => {
                Reason("status-line-too-long", "RFC 9112 §4", "the status line is too long")
            }
            B::Line => Reason("bad-status-line", "RFC 9112 §4", "malformed status line"),
            B::Version => Reason("bad-version", "RFC 9112 §2.3", "malformed HTTP version"),
            B::VersionUnsupported => {
                Reason("unsupported-version", "RFC 9112 §2.3", "the major version is not 1")
            }
            B::Status => Reason("bad-status", "RFC 9110 §15", "the status is not 100 to 599"),
        }
    }
}

/// Why content was refused. The connection is not to be read any further.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BadBody {
    /// The chunk size is no hexadecimal number.
    ChunkSize,
    /// The chunk size has more than 16 digits.
    ChunkSizeOverflow,
    /// A chunk extension does not follow the grammar.
    ChunkExtension,
    /// A chunk-size line is longer than [`Limits::chunk_line`](crate::Limits::chunk_line).
    ChunkLineTooLong,
    /// The extensions together exceed
    /// [`Limits::chunk_extensions`](crate::Limits::chunk_extensions).
    ChunkExtensionsTooLarge,
    /// A chunk-size line ends in LF without CR.
    BareLf,
    /// A chunk-size line has a CR without LF.
    BareCr,
    /// The chunk data is not followed by CRLF.
    ChunkEnd,
    /// The trailer section is broken.
    Trailers(BadHead),
    /// The connection ended before the message did.
    Incomplete,
}

impl BadBody {
    fn reason(self) -> Reason {
        use BadBody as B;
        match self {
            B::ChunkSize => {
                Reason("bad-chunk-size", "RFC 9112 §7.1", "the chunk size is no hexadecimal number")
            }
            B::ChunkSizeOverflow => {
                Reason("chunk-size-overflow", "RFC 9112 §7.1", "the chunk size is too large")
            }
            B::ChunkExtension => {
                Reason("bad-chunk-extension", "RFC 9112 §7.1.1", "malformed chunk extension")
            }
            B::ChunkLineTooLong => {
                Reason("chunk-line-too-long", "RFC 9112 §7.1.1", "a chunk-size line is too long")
            }
            B::ChunkExtensionsTooLarge => Reason(
                "chunk-extensions-too-large",
                "RFC 9112 §7.1.1",
                "the chunk extensions are too large",
            ),
            B::BareLf => Reason("chunk-bare-lf", "RFC 9112 §7.1", "LF without CR in a chunk line"),
            B::BareCr => Reason("chunk-bare-cr", "RFC 9112 §7.1", "CR without LF in a chunk line"),
            B::ChunkEnd => Reason("bad-chunk-end", "RFC 9112 §7.1", "no CRLF after the chunk data"),
            B::Trailers(head) => head.reason(),
            B::Incomplete => {
                Reason("incomplete-message", "RFC 9112 §8", "the message was cut short")
            }
        }
    }

    /// The status to answer with when the content was a request's: 400 or 431.
    pub fn status(&self) -> u16 {
        match self {
            Self::Trailers(head) => head.status(),
            _ => 400,
        }
    }
}

macro_rules! speak {
    ($($refusal:ty),+) => {$(
        impl $refusal {
            /// The reason in stable kebab-case, for logs, labels and headers.
            pub fn code(&self) -> &'static str {
                self.reason().0
            }

            /// What is wrong, in a few words.
            pub fn meaning(&self) -> &'static str {
                self.reason().2
            }

            /// The section that decides it, as in `RFC 9112 §6.1`.
            pub fn section(&self) -> &'static str {
                self.reason().1
            }
        }

        impl fmt::Display for $refusal {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                let Reason(_, section, text) = self.reason();
                write!(f, "{text} ({section})")
            }
        }

        impl std::error::Error for $refusal {}
    )+};
}
speak!(BadHead, BadRequest, BadResponse, BadBody);

impl From<BadHead> for BadRequest {
    fn from(fault: BadHead) -> Self {
        Self::Head(fault)
    }
}

impl From<BadHead> for BadResponse {
    fn from(fault: BadHead) -> Self {
        Self::Head(fault)
    }
}

impl From<BadHead> for BadBody {
    fn from(fault: BadHead) -> Self {
        Self::Trailers(fault)
    }
}
