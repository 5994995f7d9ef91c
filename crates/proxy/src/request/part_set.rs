//! Sets of stored parts, each of one representation: what they have, and what is missing.
//!
//! Only a strong validator can tell the representation (RFC 9111 §3.4). The part that was asked for
//! last has the fields and the terms of all of them.

use std::sync::Arc;

use policy::parts::{Run, Runs, cover, same_representation};
use policy::range::Spans;
use policy::{Asked, Fields, Method, Part, RangeSet, Reply, Selection, Span, strong};

use super::assembly::Assembly;
use super::range::{self, Ranged};
use super::{Entry, Request, Wanted};
use crate::head::ResponseHead;
use crate::worker::Worker;

/// Parts kept of one representation that are not kept together; the oldest goes.
const MOST: usize = 8;

/// Stored parts of one representation.
#[derive(Clone)]
pub(crate) struct PartSet {
    /// The one whose fields and terms count.
    pub(crate) newest: Arc<Entry>,
    fields: Fields,
    /// All of them, each with a run of bytes that it has.
    members: Vec<Member>,
    pub(crate) complete: u64,
}

/// Bytes that a stored entry has.
#[derive(Clone)]
struct Member {
    entry: Arc<Entry>,
    span: Span,
    /// Which byte of the representation its body begins with.
    start: u64,
}

impl Member {
    /// Of a part that is stored or on its way by itself there is one; of one that has all parts that
    /// have come, one for each run of bytes.
    fn all_of(entry: &Arc<Entry>, part: Part) -> Vec<Member> {
        let of = |span: Span, start| Member { entry: Arc::clone(entry), span, start };
        match entry.present().filter(|_| entry.meta().is_spread()) {
            Some(runs) => {
                let spans = runs.into_iter().filter_map(|run| Span::new(run.start, run.end - 1));
                spans.map(|span| of(span, 0)).collect()
            }
            None => vec![of(part.span(), part.span().first())],
        }
    }
}

/// What a request needs of a representation.
pub(crate) enum Needed {
    Whole(Span),
    Spans(Spans),
}

impl Needed {
    /// Is it one range, and this?
    pub(crate) fn is_just(&self, span: Span) -> bool {
        matches!(self, Needed::Spans(spans) if spans[..] == [span])
    }
}

impl PartSet {
    /// The sets that stored parts make, newest first.
    pub(crate) fn of(parts: &[Arc<Entry>]) -> Vec<PartSet> {
        let mut sets: Vec<PartSet> = Vec::new();
        for entry in parts {
            let Some(part) = entry.meta().part() else { continue };
            let (fields, members) = (entry.meta().fields(), Member::all_of(entry, part));
            match sets.iter_mut().find(|set| set.includes(&fields, part)) {
                Some(set) => {
                    let (ours, newest) = (&entry.meta().terms, &set.newest.meta().terms);
                    if ours.response_time() > newest.response_time() {
                        (set.newest, set.fields) = (Arc::clone(entry), fields);
                    }
                    set.members.extend(members);
                }
                None => sets.push(PartSet {
                    newest: Arc::clone(entry),
                    fields,
                    members,
                    complete: part.complete(),
                }),
            }
        }
        sets
    }

    /// May a part with these fields be combined with those of the set?
    pub(crate) fn includes(&self, fields: &Fields, part: Part) -> bool {
        part.complete() == self.complete && same_representation(self.fields(), fields)
    }

    pub(crate) fn fields(&self) -> &Fields {
        &self.fields
    }

    /// What a request needs of the representation; `None` if only the origin can say.
    pub(crate) fn needed(&self, request: &Request) -> Option<Needed> {
        let head = &*request.head;
        let whole = Span::of_length(0, self.complete).map(Needed::Whole);
        let applies = head.method == Method::Get && strong::if_range(&head.fields, self.fields());
        let Some(set) = RangeSet::of(&head.fields).filter(|_| applies) else { return whole };
        match set.select(self.complete) {
            Selection::Whole => whole,
            Selection::Spans(spans) => Some(Needed::Spans(spans)),
            //= https://www.rfc-editor.org/rfc/rfc9111#section-3.3
            //# A cache MUST NOT use an incomplete response to answer requests unless the response
            //# has been made complete, or the request is partial and specifies a range wholly within
            //# the incomplete response.
            Selection::Unsatisfiable => None,
        }
    }

    /// Where the bytes of a span are.
    fn runs(&self, span: Span) -> Runs {
        let held: Vec<_> = self.members.iter().map(|member| member.span).collect();
        cover(span, &held)
    }

    /// What of the needed bytes no part has.
    pub(crate) fn gaps(&self, needed: &Needed) -> Vec<Span> {
        let gap = |run: &Run| run.part.is_none().then_some(run.span);
        let spans: &[Span] = match needed {
            Needed::Whole(span) => std::slice::from_ref(span),
            Needed::Spans(spans) => spans,
        };
        spans.iter().flat_map(|span| self.runs(*span)).filter_map(|run| gap(&run)).collect()
    }

    /// Adds the bytes of a span; `missing` adds those that no part has.
    pub(crate) fn assemble(
        &self,
        assembly: &mut Assembly,
        span: Span,
        missing: &mut impl FnMut(&mut Assembly, Span),
    ) {
        for Run { span, part } in self.runs(span) {
            let member = part.and_then(|number| self.members.get(number));
            let Some(Member { entry, start, .. }) = member else {
                missing(assembly, span);
                continue;
            };
            if let Some(span) = Span::of_length(span.first() - start, span.length()) {
                assembly.push_stored(entry, span);
            }
        }
    }

    /// A response with what is needed, and these fields.
    pub(crate) fn ranged(
        &self,
        request: &Request,
        fields: &Fields,
        needed: &Needed,
        mut missing: impl FnMut(&mut Assembly, Span),
    ) -> Ranged {
        let mut pieces = |assembly: &mut Assembly, span| {
            self.assemble(assembly, span, &mut missing);
        };
        let span = match needed {
            Needed::Spans(spans) => {
                return range::of_spans(request, fields, self.complete, spans, pieces);
            }
            Needed::Whole(span) => *span,
        };
        //= https://www.rfc-editor.org/rfc/rfc9110#section-15.3.7.3
        //# If the union consists of the entire range of the representation, then the client MUST
        //# process the combined response as if it were a complete 200 (OK) response, including a
        //# Content-Length header field that reflects the complete length.
        let mut head = ResponseHead::with_status(200);
        head.fields = fields.clone();
        head.fields.remove("Content-Range");
        let mut assembly = Assembly::default();
        pieces(&mut assembly, span);
        Ranged { head, content: assembly.into_content(), length: Some(self.complete) }
    }

    /// The stored parts answer the request alone.
    pub(crate) fn answers(
        &self,
        request: &Request,
        asked: &Asked,
        fields: &Fields,
    ) -> Option<Ranged> {
        let needed = self.needed(request).filter(|needed| self.gaps(needed).is_empty())?;
        let Request { head, .. } = request;
        //= https://www.rfc-editor.org/rfc/rfc9110#section-14.2
        //# In other words, Range is ignored when a conditional GET would result in a 304 (Not
        //# Modified) response.
        if asked.conditional
            && policy::respond(&head.method, &head.fields, 200, fields) == Reply::NotModified
        {
            return Some(range::not_modified(fields));
        }
        Some(self.ranged(request, fields, &needed, |_: &mut Assembly, _| {}))
    }

    /// Whether nothing that the request needs is missing.
    pub(super) fn has_all(&self, request: &Request) -> bool {
        self.needed(request).is_some_and(|needed| self.gaps(&needed).is_empty())
    }

    /// The entries, each once.
    pub(super) fn entries(&self) -> Vec<&Arc<Entry>> {
        let mut entries: Vec<_> = self.members.iter().map(|member| &member.entry).collect();
        entries.dedup_by(|one, other| Arc::ptr_eq(one, other));
        entries
    }

    /// True if all that is stored is in one place, where it becomes the whole when nothing is missing.
    pub(crate) fn is_in_one_file(&self) -> bool {
        matches!(self.entries()[..], [entry] if entry.meta().is_spread())
    }

    /// Forgets the parts.
    pub(crate) fn forget(&self, worker: &Worker, wanted: &Wanted) {
        for entry in self.entries() {
            worker.shared.store.remove_entry(&wanted.key, entry);
        }
    }
}

/// Makes room among these for another part. Those that are kept together are no more the more they
/// are.
pub(crate) fn make_room(sets: &[PartSet], worker: &Worker, wanted: &Wanted) {
    let mut entries: Vec<_> = sets.iter().flat_map(PartSet::entries).collect();
    entries.retain(|entry| !entry.meta().is_spread());
    entries.sort_by_key(|entry| entry.meta().terms.response_time());
    for entry in entries.iter().take((entries.len() + 1).saturating_sub(MOST)) {
        worker.shared.store.remove_entry(&wanted.key, entry);
    }
}
