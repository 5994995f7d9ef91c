//! Ranges of bytes: what a Range asks for, and what a Content-Range says (RFC 9110 §14).

use smallvec::SmallVec;

use crate::fields::Fields;
use crate::syntax::{members, trim};

/// A Range that names more ranges than this is ignored.
const MOST: usize = 16;
/// As many ranges as this, in ascending order and apart from each other, are given as they were
/// asked for.
const FEW: usize = 4;
/// Bytes that another part of a multipart response costs: a smaller gap is cheaper to send along.
const OVERHEAD: u64 = 80;

/// Bytes of a representation from the first to the last, counted from 0. Never empty.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Span {
    first: u64,
    last: u64,
}

/// Some bytes of a representation and its complete length, which is greater than their last.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Part {
    span: Span,
    complete: u64,
}

/// One or more spans, in the order in which they are to be sent.
pub type Spans = SmallVec<[Span; 1]>;

/// The ranges that a request asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RangeSet(SmallVec<[Spec; 1]>);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Spec {
    /// `first-` or `first-last`.
    Int(u64, Option<u64>),
    /// `-length`.
    Suffix(u64),
}

/// What a set of ranges selects of a representation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Selection {
    /// The Range does not apply: 200.
    Whole,
    /// These bytes: 206.
    Spans(Spans),
    /// Nothing: 416.
    Unsatisfiable,
}

impl Span {
    /// From `first` to `last`; `None` if that would be empty.
    pub const fn new(first: u64, last: u64) -> Option<Span> {
        if first <= last { Some(Span { first, last }) } else { None }
    }

    /// So many bytes from `first` on; `None` if that would be none, or too many to count.
    pub fn of_length(first: u64, length: u64) -> Option<Span> {
        Span::new(first, first.checked_add(length)?.checked_sub(1)?)
    }

    /// Offset of the first byte.
    pub const fn first(self) -> u64 {
        self.first
    }

    /// Offset of the last byte.
    pub const fn last(self) -> u64 {
        self.last
    }

    /// The number of bytes, which saturates.
    pub const fn length(self) -> u64 {
        (self.last - self.first).saturating_add(1)
    }

    /// Are all bytes of `other` among these?
    pub const fn contains(self, other: Span) -> bool {
        self.first <= other.first && other.last <= self.last
    }

    /// Do these overlap, or stand no more than `gap` bytes apart?
    fn is_near(self, other: Span, gap: u64) -> bool {
        let reach = |end: u64| end.saturating_add(gap).saturating_add(1);
        self.first <= reach(other.last) && other.first <= reach(self.last)
    }

    fn union(self, other: Span) -> Span {
        Span { first: self.first.min(other.first), last: self.last.max(other.last) }
    }
}

impl Part {
    /// These bytes of a representation of that length; `None` if they are not all within it.
    pub const fn new(span: Span, complete: u64) -> Option<Part> {
        if span.last < complete { Some(Part { span, complete }) } else { None }
    }

    /// The bytes.
    pub const fn span(self) -> Span {
        self.span
    }

    /// The length of the representation.
    pub const fn complete(self) -> u64 {
        self.complete
    }

    /// Does it reach to the end of the representation?
    pub const fn is_last(self) -> bool {
        self.span.last + 1 == self.complete
    }

    /// What a response says that it brings; `None` without a Content-Range in bytes, or if it is
    /// invalid, or if it does not tell the complete length.
    pub fn of(response: &Fields) -> Option<Part> {
        let mut lines = response.all("content-range");
        let (Some(line), None) = (lines.next(), lines.next()) else { return None };
        let (unit, range) = split(trim(line), b' ')?;
        //= https://www.rfc-editor.org/rfc/rfc9110#section-14.4
        //# If a 206 (Partial Content) response contains a Content-Range header field with a range
        //# unit (Section 14.1) that the recipient does not understand, the recipient MUST NOT
        //# attempt to recombine it with a stored representation.
        if !unit.eq_ignore_ascii_case(b"bytes") {
            return None;
        }
        let (span, complete) = split(range, b'/')?;
        let (first, last) = split(span, b'-')?;
        //= https://www.rfc-editor.org/rfc/rfc9110#section-14.4
        //# A Content-Range field value is invalid if it contains a range-resp that has a last-pos
        //# value less than its first-pos value, or a complete-length value less than or equal to its
        //# last-pos value.
        Part::new(Span::new(exactly(first)?, exactly(last)?)?, exactly(complete)?)
    }

    /// The value of a Content-Range.
    pub fn content_range(self) -> String {
        let Part { span: Span { first, last }, complete } = self;
        format!("bytes {first}-{last}/{complete}")
    }

    /// What a response really brings whose content has this length, if it says that it is `self`.
    pub fn with_content(self, length: u64) -> Option<Part> {
        if length == self.span.length() {
            return Some(self);
        }
        // Some origins count wrong. Where the content ends, so does the representation, if it was
        // said to reach that far; otherwise nobody can tell which bytes these are. One that was said
        // to be all of it would be served as the whole, for which that is not good enough.
        let is_end = self.is_last() && self.span.first > 0;
        let span = Span::of_length(self.span.first, length).filter(|_| is_end)?;
        Part::new(span, span.last.checked_add(1)?)
    }
}

/// The value of a Content-Range where no range of so long a representation was satisfiable.
pub fn unsatisfied(complete: u64) -> String {
    format!("bytes */{complete}")
}

impl RangeSet {
    /// The ranges of bytes that a request asks for; `None` if it has no Range, or one to ignore.
    pub fn of(request: &Fields) -> Option<RangeSet> {
        let mut lines = request.all("range");
        let (Some(line), None) = (lines.next(), lines.next()) else { return None };
        //= https://www.rfc-editor.org/rfc/rfc9110#section-14.2
        //# An origin server MUST ignore a Range header field that contains a range unit it does not
        //# understand.
        let (_, set) =
            split(trim(line), b'=').filter(|(unit, _)| unit.eq_ignore_ascii_case(b"bytes"))?;
        let mut specs = SmallVec::new();
        for member in members(set) {
            //= https://www.rfc-editor.org/rfc/rfc9110#section-17.15
            //# Servers ought to ignore, coalesce, or reject egregious range requests
            if specs.len() == MOST {
                return None;
            }
            //= https://www.rfc-editor.org/rfc/rfc9110#section-14.1.1
            //# A ranges-specifier is invalid if it contains any range-spec that is invalid or
            //# undefined for the indicated range-unit.
            specs.push(Spec::parse(member)?);
        }
        (!specs.is_empty()).then_some(RangeSet(specs))
    }

    /// What these ranges select of a representation of this length.
    pub fn select(&self, complete: u64) -> Selection {
        //= https://www.rfc-editor.org/rfc/rfc9110#section-14.2
        //# A server that supports range requests MAY ignore a Range header field when the selected
        //# representation has no content (i.e., the selected representation's data is of zero
        //# length).
        if complete == 0 {
            return Selection::Whole;
        }
        let spans: Spans = self.0.iter().filter_map(|spec| spec.within(complete)).collect();
        if spans.is_empty() {
            return Selection::Unsatisfiable;
        }
        Selection::Spans(coalesced(&spans))
    }
}

impl Spec {
    fn parse(spec: &[u8]) -> Option<Spec> {
        let (first, last) = split(spec, b'-')?;
        if first.is_empty() {
            return Some(Spec::Suffix(saturating(last)?));
        }
        let first = saturating(first)?;
        if last.is_empty() {
            return Some(Spec::Int(first, None));
        }
        //= https://www.rfc-editor.org/rfc/rfc9110#section-14.1.1
        //# An int-range is invalid if the last-pos value is present and less than the first-pos.
        let last = saturating(last).filter(|last| first <= *last)?;
        Some(Spec::Int(first, Some(last)))
    }

    /// The bytes it selects, if it is satisfiable.
    fn within(self, complete: u64) -> Option<Span> {
        let end = complete.checked_sub(1)?;
        match self {
            //= https://www.rfc-editor.org/rfc/rfc9110#section-14.1.2
            //# If the last-pos value is absent, or if the value is greater than or equal to the
            //# current length of the representation data, the byte range is interpreted as the
            //# remainder of the representation
            Spec::Int(first, last) => Span::new(first, last.map_or(end, |last| last.min(end))),
            //= https://www.rfc-editor.org/rfc/rfc9110#section-14.1.2
            //# If the selected representation is shorter than the specified suffix-length, the
            //# entire representation is used.
            Spec::Suffix(length) => {
                Span::new(complete.saturating_sub(length), end).filter(|_| length > 0)
            }
        }
    }
}

/// The same bytes in no more parts than are worth it. A part that was put together from several
/// stands where the first of them stood.
fn coalesced(spans: &[Span]) -> Spans {
    let is_ordered = spans.windows(2).all(|pair| pair[0].last < pair[1].first);
    //= https://www.rfc-editor.org/rfc/rfc9110#section-15.3.7.2
    //# When multiple ranges are requested, a server MAY coalesce any of the ranges that overlap, or
    //# that are separated by a gap that is smaller than the overhead of sending multiple parts,
    //# regardless of the order in which the corresponding range-spec appeared in the received Range
    //# header field.
    let gap = if is_ordered && spans.len() <= FEW { 0 } else { OVERHEAD - 1 };
    let mut apart = Spans::new();
    for &span in spans {
        let (mut whole, mut at) = (span, apart.len());
        while let Some(near) = apart.iter().position(|other| other.is_near(whole, gap)) {
            whole = whole.union(apart.remove(near));
            at = at.min(near);
        }
        apart.insert(at, whole);
    }
    apart
}

/// The bytes before and behind the first `separator`.
fn split(bytes: &[u8], separator: u8) -> Option<(&[u8], &[u8])> {
    let at = bytes.iter().position(|byte| *byte == separator)?;
    Some((&bytes[..at], &bytes[at + 1..]))
}

/// Reads `1*DIGIT`. A number that is too great to count is as good as the greatest.
fn saturating(digits: &[u8]) -> Option<u64> {
    //= https://www.rfc-editor.org/rfc/rfc9110#section-14.1.2
    //# Since there is no predefined limit to the length of content, recipients MUST anticipate
    //# potentially large decimal numerals and prevent parsing errors due to integer conversion
    //# overflows.
    let all = !digits.is_empty() && digits.iter().all(u8::is_ascii_digit);
    let add = |sum: u64, digit: &u8| sum.saturating_mul(10).saturating_add(u64::from(digit - b'0'));
    all.then(|| digits.iter().fold(0, add))
}

/// Reads `1*DIGIT`; `None` also if the number is too great to count.
pub(crate) fn exactly(digits: &[u8]) -> Option<u64> {
    saturating(digits).filter(|number| *number < u64::MAX)
}

#[cfg(test)]
mod tests;
