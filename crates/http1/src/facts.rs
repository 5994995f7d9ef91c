//! Field lines to spans, and what the codec itself must know of them: framing and persistence.

use crate::chars::{TOKEN, end_of, members};
use crate::scan::Section;
use crate::{BadHead, FieldSpan, Framing, Span, Version};
use httparse::{EMPTY_HEADER, Header, Status};

/// A field of which there may be one.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Single {
    /// How many lines there were.
    pub(crate) lines: usize,
    /// The value of the last one.
    pub(crate) value: Span,
}

impl Single {
    fn note(&mut self, value: Span) {
        self.lines += 1;
        self.value = value;
    }
}

/// The fields that frame, route or keep the connection.
#[derive(Clone, Copy, Debug, Default)]
#[expect(clippy::struct_excessive_bools, reason = "each is the presence of one option")]
pub(crate) struct Facts {
    pub(crate) host: Single,
    pub(crate) length: Single,
    pub(crate) coding: Single,
    pub(crate) close: bool,
    pub(crate) keep_alive: bool,
    pub(crate) upgrade_listed: bool,
    pub(crate) upgrade: bool,
    pub(crate) expects_continue: bool,
}

impl Facts {
    #[inline]
    fn note(&mut self, name: &[u8], value: &[u8], at: Span) {
        match name.len() {
            4 if name.eq_ignore_ascii_case(b"host") => self.host.note(at),
            6 if name.eq_ignore_ascii_case(b"expect") => self.note_expect(value),
            7 if name.eq_ignore_ascii_case(b"upgrade") => self.upgrade |= !value.is_empty(),
            10 if name.eq_ignore_ascii_case(b"connection") => self.note_connection(value),
            14 if name.eq_ignore_ascii_case(b"content-length") => self.length.note(at),
            17 if name.eq_ignore_ascii_case(b"transfer-encoding") => self.coding.note(at),
            _ => {}
        }
    }

    fn note_expect(&mut self, value: &[u8]) {
        self.expects_continue |= members(value).any(|m| m.eq_ignore_ascii_case(b"100-continue"));
    }

    fn note_connection(&mut self, value: &[u8]) {
        for option in members(value) {
            self.close |= option.eq_ignore_ascii_case(b"close");
            self.keep_alive |= option.eq_ignore_ascii_case(b"keep-alive");
            self.upgrade_listed |= option.eq_ignore_ascii_case(b"upgrade");
        }
    }

    /// RFC 9112 §9.3: close wins, then the version, then keep-alive.
    pub(crate) fn persistent(&self, version: Version) -> bool {
        !self.close && (version == Version::Http11 || self.keep_alive)
    }

    /// The framing that the fields declare; `None` when they declare none. Both fields at once,
    /// and either of them twice, are what smuggling is made of: refused even where RFC 9112 §6.3
    /// would let a recipient choose.
    pub(crate) fn framing(
        &self,
        buf: &[u8],
        fields: &[FieldSpan],
        version: Version,
    ) -> Result<Option<Framing>, BadHead> {
        if self.coding.lines > 0 {
            return self.coded(buf, fields, version).map(Some);
        }
        match self.length.lines {
            0 => Ok(None),
            1 => match decimal(self.length.value.of(buf)) {
                Some(length) => Ok(Some(Framing::Length(length))),
                None => Err(BadHead::LengthInvalid),
            },
            _ => Err(BadHead::LengthRepeated),
        }
    }

    fn coded(
        &self,
        buf: &[u8],
        fields: &[FieldSpan],
        version: Version,
    ) -> Result<Framing, BadHead> {
        if version == Version::Http10 {
            return Err(BadHead::CodingInHttp10);
        }
        if self.length.lines > 0 {
            return Err(BadHead::LengthWithCoding);
        }
        if self.coding.lines == 1 && self.coding.value.of(buf).eq_ignore_ascii_case(b"chunked") {
            return Ok(Framing::Chunked);
        }
        Err(bad_coding(buf, fields))
    }
}

/// RFC 9110 §8.6: digits alone, and no more than a `u64` holds.
fn decimal(value: &[u8]) -> Option<u64> {
    if value.is_empty() {
        return None;
    }
    value.iter().try_fold(0_u64, |sum, byte| {
        let digit = byte.is_ascii_digit().then(|| u64::from(byte - b'0'))?;
        sum.checked_mul(10)?.checked_add(digit)
    })
}

/// What is wrong with codings that are not one `chunked`.
#[cold]
fn bad_coding(buf: &[u8], fields: &[FieldSpan]) -> BadHead {
    let lines = fields.iter().filter(|field| is_transfer_encoding(field.name.of(buf)));
    let (mut chunked, mut last_is_chunked) = (0, false);
    for coding in lines.flat_map(|field| members(field.value.of(buf))) {
        if coding.is_empty() || end_of(TOKEN, coding, 0) < coding.len() {
            return BadHead::CodingInvalid;
        }
        last_is_chunked = coding.eq_ignore_ascii_case(b"chunked");
        chunked += usize::from(last_is_chunked);
    }
    match (chunked, last_is_chunked) {
        (2.., _) => BadHead::CodingInvalid,
        (_, false) => BadHead::CodingNotFinal,
        _ => BadHead::CodingUnknown,
    }
}

/// Is the only transfer coding a word that names none? Nobody could have asked for it or could undo
/// it, so the content is what it is. A registered coding would have to be undone, and what only
/// resembles `chunked` may have been meant so: neither is passed on.
#[cold]
pub(crate) fn is_coding_nobody_has(buf: &[u8], fields: &[FieldSpan]) -> bool {
    const REGISTERED: [&[u8]; 7] =
        [b"compress", b"deflate", b"gzip", b"identity", b"trailers", b"x-compress", b"x-gzip"];
    let mut lines = fields.iter().filter(|field| is_transfer_encoding(field.name.of(buf)));
    let (Some(line), None) = (lines.next(), lines.next()) else { return false };
    let coding = line.value.of(buf).to_ascii_lowercase();
    let resembles_chunked = coding.windows(5).any(|part| part == b"chunk");
    end_of(TOKEN, &coding, 0) == coding.len()
        && !resembles_chunked
        && !REGISTERED.contains(&coding.as_slice())
}

fn is_transfer_encoding(name: &[u8]) -> bool {
    name.eq_ignore_ascii_case(b"transfer-encoding")
}

/// Replaces `fields` by those of `section`, a part of `buf` that the scan has passed.
#[inline]
pub(crate) fn read(
    buf: &[u8],
    section: Section,
    fields: &mut Vec<FieldSpan>,
) -> Result<Facts, BadHead> {
    fields.clear();
    // `httparse` wants its output initialised, which for 128 fields costs more than the parsing.
    match section.lines {
        0 => Ok(Facts::default()),
        1..=8 => read_into(&mut [EMPTY_HEADER; 8], buf, section, fields),
        9..=32 => read_into(&mut [EMPTY_HEADER; 32], buf, section, fields),
        lines => read_into(&mut vec![EMPTY_HEADER; lines], buf, section, fields),
    }
}

#[inline]
fn read_into<'b>(
    parsed: &mut [Header<'b>],
    buf: &'b [u8],
    section: Section,
    fields: &mut Vec<FieldSpan>,
) -> Result<Facts, BadHead> {
    let lines = buf.get(section.start..section.end).unwrap_or_default();
    let Ok(Status::Complete((_, parsed))) = httparse::parse_headers(lines, parsed) else {
        return Err(bad_line(lines));
    };
    // Two readers of one head: if they do not count the same lines, neither is to be believed.
    if parsed.len() != section.lines {
        return Err(BadHead::FieldName);
    }
    let mut facts = Facts::default();
    fields.extend(parsed.iter().map(|header| {
        let name = header.name.as_bytes();
        let value = Span::locate(buf, header.value);
        facts.note(name, header.value, value);
        FieldSpan { name: Span::locate(buf, name), value }
    }));
    Ok(facts)
}

/// As [`read`], for a response.
#[inline]
pub(crate) fn read_response(
    buf: &[u8],
    section: Section,
    fields: &mut Vec<FieldSpan>,
) -> Result<Facts, BadHead> {
    match read(buf, section, fields) {
        //= https://www.rfc-editor.org/rfc/rfc9112#section-5.1
        //# A proxy MUST remove any such whitespace from a response message before forwarding the
        //# message downstream.
        Err(BadHead::SpaceBeforeColon) => read_spaced(buf, section, fields),
        read => read,
    }
}

/// Reads lines of which some have whitespace between name and colon. It is no part of the name, so
/// that the field counts for what it is.
#[cold]
fn read_spaced(
    buf: &[u8],
    section: Section,
    fields: &mut Vec<FieldSpan>,
) -> Result<Facts, BadHead> {
    fields.clear();
    let mut facts = Facts::default();
    let lines = buf.get(section.start..section.end).unwrap_or_default();
    let lines =
        lines.split(|&byte| byte == b'\n').map(|line| line.strip_suffix(b"\r").unwrap_or(line));
    for line in lines.filter(|line| !line.is_empty()) {
        let (name, rest) = line.split_at(end_of(TOKEN, line, 0));
        let [b':', value @ ..] = rest.trim_ascii_start() else { return Err(bad_line(line)) };
        let (at, value) = (Span::locate(buf, value.trim_ascii()), value.trim_ascii());
        facts.note(name, value, at);
        fields.push(FieldSpan { name: Span::locate(buf, name), value: at });
    }
    Ok(facts)
}

/// Names the fault that made `httparse` refuse `lines`. The scan has passed them, so it is a name.
#[cold]
fn bad_line(lines: &[u8]) -> BadHead {
    for line in lines.split(|&byte| byte == b'\n') {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        let name_end = end_of(TOKEN, line, 0);
        match line.get(name_end..).unwrap_or_default() {
            [b':', ..] => {}
            [] if line.is_empty() => {}
            [] => return BadHead::NoColon,
            rest if rest.trim_ascii_start().first() == Some(&b':') => {
                return BadHead::SpaceBeforeColon;
            }
            rest if !rest.contains(&b':') => return BadHead::NoColon,
            _ => return BadHead::FieldName,
        }
    }
    BadHead::FieldName
}
