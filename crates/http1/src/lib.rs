//! A strict HTTP/1.1 codec for both sides of a proxy, without I/O.
//!
//! What it does: [`decode_request`] and [`decode_response`] turn the head of a message into spans
//! into the caller's buffer; [`BodyDecoder`] turns the bytes that follow into content; [`encode`]
//! writes heads and chunks. Framing (RFC 9112 §6) is decided here, once, and whatever two readers
//! could read in two ways is refused instead of repaired.
//!
//! What it never does: read a socket, a clock or a configuration, wait, or decide policy. The same
//! bytes give the same answer however they were cut into reads.
//!
//! The decoders are pure functions of the bytes received so far. Asking again on a grown buffer
//! repeats the scan, which [`Limits::head`] keeps harmless.
#![deny(clippy::indexing_slicing)]
#![cfg_attr(test, allow(clippy::indexing_slicing))]

mod body;
mod chars;
pub mod encode;
mod error;
mod facts;
#[cfg(any(test, feature = "fuzzing"))]
#[doc(hidden)]
#[allow(missing_docs, clippy::indexing_slicing, clippy::panic, reason = "test code: it may fail")]
pub mod fuzzing;
mod request;
mod response;
mod scan;
mod span;
mod target;
#[cfg(test)]
mod tests;

pub use body::{BodyDecoder, BodyEvent, Trailers, may_be_trailer};
pub use error::{BadBody, BadHead, BadRequest, BadResponse};
pub use request::{RequestHead, decode_request, is_path};
pub use response::{Answered, ResponseHead, decode_response};
pub use span::{FieldSpan, Span};
pub use target::{TargetForm, is_authority};

/// The protocol version of a message. A later minor version than 1 counts as HTTP/1.1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Version {
    /// HTTP/1.0: no chunked coding, closes by default.
    Http10,
    /// HTTP/1.1 or a later minor version.
    Http11,
}

/// How the end of the content is found. RFC 9112 §6.3.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    /// The message ends with its head.
    None,
    /// Content-Length said so many bytes.
    Length(u64),
    /// The chunked transfer coding, alone.
    Chunked,
    /// Everything up to the end of the connection; responses only.
    UntilClose,
}

impl Framing {
    /// Whether content may follow the head.
    pub fn has_content(&self) -> bool {
        !matches!(self, Self::None | Self::Length(0))
    }
}

/// The size of what is accepted, in bytes unless the field says otherwise.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// A whole head: start line, fields, all line ends. At most 4 GiB is honoured.
    pub head: usize,
    /// One field line without its CRLF: name, colon, whitespace, value.
    pub field: usize,
    /// The number of field lines.
    pub fields: usize,
    /// The request line or status line without its CRLF.
    pub request_line: usize,
    /// One chunk-size line without its CRLF, extensions included.
    pub chunk_line: usize,
    /// All chunk extensions of one message.
    pub chunk_extensions: usize,
    /// A whole trailer section, its last CRLF included.
    pub trailers: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            head: 32 << 10,
            field: 16 << 10,
            fields: 128,
            request_line: 8 << 10,
            chunk_line: 1 << 10,
            chunk_extensions: 16 << 10,
            trailers: 8 << 10,
        }
    }
}

/// What a decoder knows of an element that may still be arriving.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress<T> {
    /// Nothing wrong so far; more bytes are needed.
    Partial,
    /// The element is whole.
    Complete(T),
}
