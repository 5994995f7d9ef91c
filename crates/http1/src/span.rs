//! Positions in the caller's buffer: a decoded head borrows nothing and survives a moved buffer.

/// Half-open byte range into the buffer the head was decoded from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Span {
    /// The first byte.
    pub start: u32,
    /// The byte after the last one.
    pub end: u32,
}

impl Span {
    /// The bytes in `buf`; empty when the span does not lie inside it.
    #[inline]
    pub fn of<'a>(&self, buf: &'a [u8]) -> &'a [u8] {
        buf.get(self.start as usize..self.end as usize).unwrap_or_default()
    }

    /// The number of bytes.
    #[inline]
    pub fn len(&self) -> usize {
        self.end.saturating_sub(self.start) as usize
    }

    /// Whether there is no byte in it.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Offsets of a head are below the limit that `scan` clamps to `u32`.
    #[inline]
    pub(crate) fn new(start: usize, end: usize) -> Self {
        Self { start: start as u32, end: end as u32 }
    }

    /// Where `part`, a slice of `buf`, lies in it.
    #[inline]
    pub(crate) fn locate(buf: &[u8], part: &[u8]) -> Self {
        let start = part.as_ptr().addr().wrapping_sub(buf.as_ptr().addr());
        Self::new(start, start.wrapping_add(part.len()))
    }
}

/// One field line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct FieldSpan {
    /// The name in the case it was sent in.
    pub name: Span,
    /// The value without the whitespace around it; may be empty.
    pub value: Span,
}
