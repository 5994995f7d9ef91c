//! A part of the respond step: what a Range makes of a stored response.

use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;

use bytes::Bytes;
use policy::range::Spans;
use policy::{Fields, Method, Part, RangeSet, Selection, Span, partial, strong};
use store::Reader;

use super::answer::AnswerContent;
use super::assembly::Assembly;
use super::{Entry, Request};
use crate::entry::StoredHead;
use crate::head::ResponseHead;

/// A body that is still being filled serves a range that begins no further than this behind what
/// has arrived: to wait for more would be slower than to ask the origin.
const REACH: u64 = 1 << 20;

/// A partial response, or the news that there is none.
pub(crate) struct Ranged {
    pub(crate) head: ResponseHead,
    pub(crate) content: AnswerContent,
    pub(crate) length: Option<u64>,
}

/// What the Range of a request makes of a complete response, or of one that is being filled. `None`
/// if it does not apply: the whole response is the answer.
pub(crate) fn of_whole(
    request: &Request,
    fields: &Fields,
    entry: &Arc<Entry>,
    reader: &mut Option<Reader<StoredHead>>,
) -> Option<Ranged> {
    let (complete, spans) = match selected(request, entry, fields)? {
        (complete, Selection::Spans(spans)) => (complete, spans),
        (complete, Selection::Unsatisfiable) => return Some(unsatisfiable(fields, complete)),
        (_, Selection::Whole) => return None,
    };
    if !is_near(entry, &spans) {
        return None;
    }
    let pieces = |assembly: &mut Assembly, span| match reader.take() {
        Some(reader) => assembly.push_reader(Box::new(reader), span),
        None => assembly.push_stored(entry, span),
    };
    Some(of_spans(request, fields, complete, &spans, pieces))
}

/// Whether a range that a request asks for can be read from a fill under way soon enough.
pub(crate) fn is_within_reach(request: &Request, entry: &Arc<Entry>) -> bool {
    match selected(request, entry, &entry.meta().fields()) {
        Some((_, Selection::Spans(spans))) => is_near(entry, &spans),
        Some((_, Selection::Unsatisfiable)) => true,
        Some((_, Selection::Whole)) | None => false,
    }
}

fn is_near(entry: &Entry, spans: &[Span]) -> bool {
    // Several ranges are read one after the other, each from its own place: one who follows a body that
    // is only passed along has but one way through it.
    entry.is_kept()
        || matches!(spans, [span] if span.first() <= entry.written().saturating_add(REACH))
}

/// The length of a response, and what the request selects of it.
fn selected(request: &Request, entry: &Entry, fields: &Fields) -> Option<(u64, Selection)> {
    let head = &*request.head;
    //= https://www.rfc-editor.org/rfc/rfc9110#section-14.2
    //# For this specification, GET is the only method for which range handling is defined.
    //= https://www.rfc-editor.org/rfc/rfc9110#section-14.2
    //# The Range header field is evaluated after evaluating the precondition header fields defined
    //# in Section 13.1, and only if the result in absence of the Range header field would be a 200
    //# (OK) response.
    if head.method != Method::Get || entry.meta().status() != 200 {
        return None;
    }
    let set = RangeSet::of(&head.fields)?;
    //= https://www.rfc-editor.org/rfc/rfc9110#section-13.1.5
    //# A recipient of an If-Range header field MUST ignore the Range header field if the If-Range
    //# condition evaluates to false.
    if !strong::if_range(&head.fields, fields) {
        return None;
    }
    let complete = entry.length()?;
    Some((complete, set.select(complete)))
}

/// A 206 with these spans of a representation of that length, which has these fields. `pieces` adds
/// the bytes of one span.
pub(crate) fn of_spans(
    request: &Request,
    fields: &Fields,
    complete: u64,
    spans: &Spans,
    mut pieces: impl FnMut(&mut Assembly, Span),
) -> Ranged {
    let asked = &request.head.fields;
    //= https://www.rfc-editor.org/rfc/rfc9111#section-3.3
    //# A cache MUST NOT send a partial response to a client without explicitly marking it using the
    //# 206 (Partial Content) status code.
    let mut head = ResponseHead::with_status(206);
    let mut assembly = Assembly::default();
    let part_of = |span| Part::new(span, complete);
    if let [span] = spans[..]
        && let Some(part) = part_of(span)
    {
        head.fields = partial::single_part_fields(asked, fields, part);
        pieces(&mut assembly, span);
        return Ranged { head, content: assembly.into_content(), length: Some(span.length()) };
    }
    let boundary = boundary(request);
    head.fields = partial::multipart_fields(asked, fields, &boundary);
    let mut length = 0;
    for (number, span) in spans.iter().enumerate() {
        let Some(part) = part_of(*span) else { continue };
        let text = partial::part_head(fields, &boundary, part, number == 0);
        length += text.len() as u64 + span.length();
        assembly.push_bytes(Bytes::from(text));
        pieces(&mut assembly, *span);
    }
    let end = partial::part_end(&boundary);
    length += end.len() as u64;
    assembly.push_bytes(Bytes::from(end));
    Ranged { head, content: assembly.into_content(), length: Some(length) }
}

fn unsatisfiable(fields: &Fields, complete: u64) -> Ranged {
    let mut head = ResponseHead::with_status(416);
    head.fields = partial::unsatisfied_fields(fields, complete);
    Ranged { head, content: AnswerContent::None, length: Some(0) }
}

/// The news that a client has already what has these fields.
pub(crate) fn not_modified(fields: &Fields) -> Ranged {
    let mut head = ResponseHead::with_status(304);
    policy::respond::not_modified_fields(fields, &mut head.fields);
    Ranged { head, content: AnswerContent::None, length: None }
}

/// What separates the parts of one response. Nobody who writes content can know it beforehand: each
/// is a keyed hash with a key of its own.
fn boundary(request: &Request) -> String {
    format!("{:016x}", RandomState::new().hash_one(request.id.as_bytes()))
}
