//! The strict look at the lines of a head before anything else reads them.
//!
//! `httparse` takes a bare LF for a line end; this scan refuses it, and every other control byte,
//! as soon as it arrives. It goes from left to right and stops at the first fault, so a prefix of
//! the bytes either gives the same fault or none: the answer does not depend on the reads.

use crate::chars::next_control;
use crate::{BadHead, Limits};

/// The state of one line.
pub(crate) enum Line {
    /// It ends with the CRLF at this index.
    End(usize),
    /// Its end has not arrived; its bytes go up to this index, where a CR may stand.
    Open(usize),
    /// It has more bytes than allowed before its CRLF.
    TooLong,
    /// The byte at this index must not be there.
    Bad(usize, BadHead),
}

/// Looks for the end of the line that begins at `from`, at most `longest` bytes long.
#[inline]
pub(crate) fn line(buf: &[u8], from: usize, longest: usize) -> Line {
    let rest = buf.get(from..).unwrap_or_default();
    let Some(length) = next_control(rest) else {
        return if rest.len() > longest { Line::TooLong } else { Line::Open(buf.len()) };
    };
    if length > longest {
        return Line::TooLong;
    }
    let at = from + length;
    match (rest.get(length), rest.get(length + 1)) {
        (Some(b'\r'), Some(b'\n')) => Line::End(at),
        (Some(b'\r'), None) => Line::Open(at),
        (Some(b'\r'), Some(_)) => Line::Bad(at, BadHead::BareCr),
        (Some(b'\n'), _) => Line::Bad(at, BadHead::BareLf),
        _ => Line::Bad(at, BadHead::ControlByte),
    }
}

/// The part of `buf` in which a head may lie.
#[inline]
pub(crate) fn window<'a>(buf: &'a [u8], limits: &Limits) -> &'a [u8] {
    let most = limits.head.min(u32::MAX as usize);
    buf.get(..most).unwrap_or(buf)
}

/// The verdict on a head that does not end within `window`.
#[inline]
pub(crate) fn unfinished<T>(window: &[u8], limits: &Limits) -> Result<Option<T>, BadHead> {
    if window.len() >= limits.head { Err(BadHead::TooLarge) } else { Ok(None) }
}

/// Where the field lines of a head lie.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Section {
    /// The first byte of the first field line.
    pub(crate) start: usize,
    /// The byte after the empty line.
    pub(crate) end: usize,
    /// The number of field lines.
    pub(crate) lines: usize,
}

/// Finds the end of the field lines that begin at `start`; `None` while it has not arrived.
#[inline]
pub(crate) fn section(
    window: &[u8],
    start: usize,
    limits: &Limits,
) -> Result<Option<Section>, BadHead> {
    let mut at = start;
    let mut lines = 0;
    while let Some(&first) = window.get(at) {
        match first {
            b' ' | b'\t' if lines == 0 => return Err(BadHead::SpaceBeforeFields),
            b' ' | b'\t' => return Err(BadHead::ObsFold),
            b':' => return Err(BadHead::EmptyName),
            b'\r' => {}
            _ if lines == limits.fields => return Err(BadHead::TooManyFields),
            _ => {}
        }
        match line(window, at, limits.field) {
            Line::End(end) if end == at => {
                return Ok(Some(Section { start, end: end + 2, lines }));
            }
            Line::End(end) => at = end + 2,
            Line::Open(_) => break,
            Line::TooLong => return Err(BadHead::FieldTooLarge),
            Line::Bad(_, fault) => return Err(fault),
        }
        lines += 1;
    }
    unfinished(window, limits)
}
