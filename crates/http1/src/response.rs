//! The head of a response: status line, fields, and where the content ends.

use crate::facts::{self, Facts};
use crate::scan::{self, Line};
use crate::{BadHead, BadResponse, FieldSpan, Framing, Limits, Progress, Span, Version};

/// What the answered request's method says about the content of the response. RFC 9112 §6.3.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answered {
    /// HEAD: never content.
    Head,
    /// CONNECT: a 2xx has no content and no framing; the tunnel follows.
    Connect,
    /// Any other method.
    Other,
}

/// A response head that follows every rule of RFC 9112.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ResponseHead {
    /// The bytes it takes, from the start of the buffer to the end of the empty line.
    pub len: usize,
    /// The version of the status line.
    pub version: Version,
    /// 100 to 599.
    pub status: u16,
    /// The reason phrase; may be empty.
    pub reason: Span,
    /// [`Framing::None`] for HEAD, 1xx, 204, 304 and a 2xx to CONNECT.
    pub framing: Framing,
    /// Whether the connection may carry another response. RFC 9112 §9.3.
    pub persistent: bool,
}

/// Decodes the response head at the start of `buf`. `fields` is cleared and, when the head is
/// complete, holds its field lines in order. Nothing is tolerated before the status line.
#[inline]
pub fn decode_response(
    buf: &[u8],
    limits: &Limits,
    answered: Answered,
    fields: &mut Vec<FieldSpan>,
) -> Result<Progress<ResponseHead>, BadResponse> {
    fields.clear();
    let window = scan::window(buf, limits);
    if !begins_like_a_response(window) {
        return Err(BadResponse::Version);
    }
    let (line, next) = match scan::line(window, 0, limits.request_line) {
        Line::End(end) => (StatusLine::parse(window, end)?, end + 2),
        Line::Open(_) => {
            scan::unfinished::<()>(window, limits)?;
            return Ok(Progress::Partial);
        }
        Line::TooLong => return Err(BadResponse::LineTooLong),
        Line::Bad(_, fault) => return Err(fault.into()),
    };
    let Some(section) = scan::section(window, next, limits)? else {
        return Ok(Progress::Partial);
    };
    let facts = facts::read_response(window, section, fields)?;
    let head = line.with(window, section.end, answered, &facts, fields)?;
    Ok(Progress::Complete(head))
}

/// A peer that does not speak HTTP is noticed by its first bytes, not by a timeout.
fn begins_like_a_response(bytes: &[u8]) -> bool {
    let start = b"HTTP/";
    bytes.iter().zip(start).all(|(byte, expected)| byte == expected)
}

/// A valid status line.
struct StatusLine {
    version: Version,
    status: u16,
    reason: Span,
}

impl StatusLine {
    /// Reads the line that ends at `end`. The space after the status may be missing together with
    /// the phrase: some origins omit it, and nothing can be read in two ways.
    fn parse(buf: &[u8], end: usize) -> Result<Self, BadResponse> {
        let line = buf.get(..end).unwrap_or_default();
        let (version, rest) = line.split_first_chunk::<8>().ok_or(BadResponse::Version)?;
        let version = match version {
            b"HTTP/1.0" => Version::Http10,
            [_, _, _, _, _, b'1', b'.', b'0'..=b'9'] => Version::Http11,
            [_, _, _, _, _, b'0'..=b'9', b'.', b'0'..=b'9'] => {
                return Err(BadResponse::VersionUnsupported);
            }
            _ => return Err(BadResponse::Version),
        };
        let [b' ', status @ ..] = rest else {
            return Err(BadResponse::Line);
        };
        let Some((status, [] | [b' ', ..])) = status.split_first_chunk::<3>() else {
            return Err(BadResponse::Status);
        };
        if !matches!(status, [b'1'..=b'5', b'0'..=b'9', b'0'..=b'9']) {
            return Err(BadResponse::Status);
        }
        let status = status.iter().fold(0, |sum, digit| sum * 10 + u16::from(digit - b'0'));
        Ok(Self { version, status, reason: Span::new(end.min(REASON_START), end) })
    }

    /// Adds what the fields say.
    fn with(
        self,
        buf: &[u8],
        len: usize,
        answered: Answered,
        facts: &Facts,
        fields: &[FieldSpan],
    ) -> Result<ResponseHead, BadResponse> {
        let Self { version, status, reason } = self;
        let mut persistent = facts.persistent(version);
        let framing = if answered == Answered::Connect && (200..300).contains(&status) {
            //= https://www.rfc-editor.org/rfc/rfc9112#section-6.3
            //# A client MUST ignore any Content-Length or Transfer-Encoding header
            //# fields received in such a message.
            Framing::None
        } else {
            let declared = match facts.framing(buf, fields, version) {
                //= https://www.rfc-editor.org/rfc/rfc9112#section-6.3
                //# If a Transfer-Encoding header field is present in a response and the
                //# chunked transfer coding is not the final encoding, the message body length is
                //# determined by reading the connection until it is closed by the server.
                Err(BadHead::CodingNotFinal) if facts::is_coding_nobody_has(buf, fields) => None,
                declared => declared?,
            };
            // Content announced where none can be: if it follows anyway, it must not be taken for
            // the next response.
            persistent &= !(forbids_content(status) && promises_content(declared));
            framing(answered, status, declared)
        };
        persistent &= framing != Framing::UntilClose;
        Ok(ResponseHead { len, version, status, reason, framing, persistent })
    }
}

/// The reason phrase follows `HTTP/1.1 200 `.
const REASON_START: usize = 13;

/// RFC 9112 §6.3 after the exceptions for CONNECT.
fn framing(answered: Answered, status: u16, declared: Option<Framing>) -> Framing {
    if answered == Answered::Head || status == 304 || forbids_content(status) {
        return Framing::None;
    }
    declared.unwrap_or(Framing::UntilClose)
}

/// Statuses whose response has neither content nor, unlike 304, fields that describe any.
fn forbids_content(status: u16) -> bool {
    matches!(status, 100..=199 | 204)
}

fn promises_content(declared: Option<Framing>) -> bool {
    matches!(declared, Some(Framing::Chunked | Framing::Length(1..)))
}
