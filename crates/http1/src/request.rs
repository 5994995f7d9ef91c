//! The head of a request: request line, fields, and what they say about framing and routing.

use crate::chars::{TARGET, TOKEN, end_of};
use crate::facts::{self, Facts};
use crate::scan::{self, Line};
use crate::target::{self, Target, TargetForm};
use crate::{BadRequest, FieldSpan, Framing, Limits, Progress, Span, Version};

/// A request head that follows every rule of RFC 9112.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RequestHead {
    /// The bytes it takes, from the start of the buffer to the end of the empty line.
    pub len: usize,
    /// Case-sensitive.
    pub method: Span,
    /// The request target as sent.
    pub target: Span,
    /// The form of the target.
    pub form: TargetForm,
    /// The version of the request line.
    pub version: Version,
    /// `host[:port]`: of the target when it has one (it beats Host, RFC 9112 §3.2.2), else of
    /// Host. Empty for HTTP/1.0 without either.
    pub authority: Span,
    /// Path and query of origin-form and absolute-form. For absolute-form without a path it is
    /// empty or begins with `?`: the caller puts the `/` in front.
    pub path: Span,
    /// Never [`Framing::UntilClose`].
    pub framing: Framing,
    /// Whether the connection may carry another request. RFC 9112 §9.3.
    pub persistent: bool,
    /// The client waits for 100 (Continue) and content follows. RFC 9110 §10.1.1.
    pub expects_continue: bool,
    /// `Connection: upgrade` together with Upgrade, in HTTP/1.1. RFC 9110 §7.8.
    pub upgrade: bool,
}

/// Decodes the request head at the start of `buf`, after at most one empty line (RFC 9112 §2.2).
/// `fields` is cleared and, when the head is complete, holds its field lines in order.
///
/// A fault is reported as soon as the byte that makes it has arrived, except for field names,
/// framing and Host, which are looked at when the head is whole.
#[inline]
pub fn decode_request(
    buf: &[u8],
    limits: &Limits,
    fields: &mut Vec<FieldSpan>,
) -> Result<Progress<RequestHead>, BadRequest> {
    fields.clear();
    let window = scan::window(buf, limits);
    let start = if window.starts_with(b"\r\n") { 2 } else { 0 };
    let (line, next) = match scan::line(window, start, limits.request_line) {
        Line::End(end) => (RequestLine::parse(window, start, end)?, end + 2),
        Line::Open(at) => {
            split(window.get(start..at).unwrap_or_default())?;
            scan::unfinished::<()>(window, limits)?;
            return Ok(Progress::Partial);
        }
        Line::TooLong => {
            let most = start + limits.request_line + 1;
            split(window.get(start..most).unwrap_or_default())?;
            return Err(BadRequest::LineTooLong);
        }
        Line::Bad(at, fault) => {
            split(window.get(start..at).unwrap_or_default())?;
            return Err(fault.into());
        }
    };
    let Some(section) = scan::section(window, next, limits)? else {
        return Ok(Progress::Partial);
    };
    let facts = facts::read(window, section, fields)?;
    let head = line.with(window, section.end, &facts, fields)?;
    Ok(Progress::Complete(head))
}

/// A valid request line.
struct RequestLine {
    method: Span,
    target: Span,
    version: Version,
    parts: Target,
}

impl RequestLine {
    /// Reads the line from `start` to `end`, which is the index of its CRLF.
    #[inline]
    fn parse(buf: &[u8], start: usize, end: usize) -> Result<Self, BadRequest> {
        let line = buf.get(start..end).unwrap_or_default();
        let ends = split(line)?;
        let (Some(method_end), Some(target_end)) = (ends.method, ends.target) else {
            return Err(BadRequest::Line);
        };
        let version = version(line.get(target_end + 1..).unwrap_or_default())?;
        let method = Span::new(start, start + method_end);
        let target = Span::new(start + method_end + 1, start + target_end);
        let parts = target::parse(buf, method.of(buf), target)?;
        Ok(Self { method, target, version, parts })
    }

    /// Adds what the fields say.
    #[inline]
    fn with(
        self,
        buf: &[u8],
        len: usize,
        facts: &Facts,
        fields: &[FieldSpan],
    ) -> Result<RequestHead, BadRequest> {
        let host = host(buf, facts, self.version)?;
        let framing = facts.framing(buf, fields, self.version)?.unwrap_or(Framing::None);
        let is_http11 = self.version == Version::Http11;
        let Target { form, authority, path } = self.parts;
        Ok(RequestHead {
            len,
            method: self.method,
            target: self.target,
            form,
            version: self.version,
            authority: if authority.is_empty() { host } else { authority },
            path,
            framing,
            persistent: facts.persistent(self.version),
            expects_continue: facts.expects_continue && is_http11 && framing.has_content(),
            upgrade: facts.upgrade && facts.upgrade_listed && is_http11,
        })
    }
}

/// The indices of the spaces of a request line, as far as they have arrived.
struct Ends {
    method: Option<usize>,
    target: Option<usize>,
}

/// Checks the bytes of method and target in a request line that may be cut anywhere.
#[inline]
fn split(line: &[u8]) -> Result<Ends, BadRequest> {
    let method = end_of(TOKEN, line, 0);
    match line.get(method) {
        None => return Ok(Ends { method: None, target: None }),
        Some(b' ') if method > 0 => {}
        Some(b' ') => return Err(BadRequest::Line),
        Some(_) => return Err(BadRequest::Method),
    }
    let target = target_end(line, method + 1);
    match line.get(target) {
        None => Ok(Ends { method: Some(method), target: None }),
        Some(b' ') if target > method + 1 => {
            Ok(Ends { method: Some(method), target: Some(target) })
        }
        Some(b' ') => Err(BadRequest::Line),
        Some(_) => Err(BadRequest::Target),
    }
}

/// Whether `bytes` is a target in origin form, `/path?query`, with none of the bytes that no target
/// may have.
pub fn is_path(bytes: &[u8]) -> bool {
    bytes.first() == Some(&b'/') && target_end(bytes, 0) == bytes.len()
}

/// The index of the first byte at or after `start` that a target cannot have.
#[inline]
fn target_end(line: &[u8], start: usize) -> usize {
    let end = end_of(TARGET, line, start);
    match line.get(start..end) {
        Some(before) if line.get(end) == Some(&b'\\') && before.contains(&b'?') => {
            query_end(line, end)
        }
        _ => end,
    }
}

/// As [`target_end`], within the query, where a backslash separates nothing.
#[cold]
fn query_end(line: &[u8], mut end: usize) -> usize {
    while line.get(end) == Some(&b'\\') {
        end = end_of(TARGET, line, end + 1);
    }
    end
}

/// RFC 9112 §2.3, and RFC 9110 §2.5: a later minor version is read as the latest one known.
#[inline]
fn version(bytes: &[u8]) -> Result<Version, BadRequest> {
    match bytes {
        b"HTTP/1.0" => Ok(Version::Http10),
        [b'H', b'T', b'T', b'P', b'/', b'1', b'.', b'0'..=b'9'] => Ok(Version::Http11),
        [b'H', b'T', b'T', b'P', b'/', b'0'..=b'9', b'.', b'0'..=b'9'] => {
            Err(BadRequest::VersionUnsupported)
        }
        _ if bytes.contains(&b' ') => Err(BadRequest::Line),
        _ => Err(BadRequest::Version),
    }
}

/// RFC 9112 §3.2: exactly one valid Host in HTTP/1.1, whatever the form of the target; at most one
/// in HTTP/1.0.
#[inline]
fn host(buf: &[u8], facts: &Facts, version: Version) -> Result<Span, BadRequest> {
    match facts.host.lines {
        0 if version == Version::Http11 => Err(BadRequest::HostMissing),
        0 => Ok(Span::default()),
        1 if target::authority(facts.host.value.of(buf)).is_some() => Ok(facts.host.value),
        1 => Err(BadRequest::HostInvalid),
        _ => Err(BadRequest::HostRepeated),
    }
}
