//! Stored parts of a response: what they are good for (RFC 9111 §3.3, §3.4).
//!
//! Parts of one representation, which only a strong validator can tell, make a set. The part that
//! was asked for last has the fields and the terms of all of them.

use std::sync::Arc;

use policy::parts::{Run, Runs, cover, same_representation};
use policy::range::Spans;
use policy::reason::{Hit, Refetch};
use policy::{
    Age, Asked, Fields, Method, OriginFailure, Part, RangeSet, Reason, Reply, Selection, Span,
    Verdict, strong,
};
use store::{Key, Meta, Variants};
use tokio::sync::mpsc;

use super::answer::{Answer, AnswerHead, Forwarded, Report, Source};
use super::assembly::Assembly;
use super::range::{self, Ranged};
use super::{Entry, Found, Request, Wanted, join, reuse};
use crate::content::Informational;
use crate::entry::StoredHead;
use crate::error::Refusal;
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

/// A partial response that the origin had a part in, or a whole one made of parts.
pub(crate) struct FetchedRange {
    pub(crate) ranged: Ranged,
    /// The origin's status.
    pub(crate) status: u16,
    pub(crate) became: Became,
    pub(crate) age: Option<Age>,
    pub(crate) ttl: Option<i64>,
}

/// What became of the origin's response to a request for a part.
#[derive(Clone, Copy)]
pub(crate) enum Became {
    /// It is stored, or on its way there: it may still break off or be too much for the store.
    Stored,
    /// It is not, for this reason.
    NotStored(&'static str),
    /// It confirmed what is stored, which is kept so or not.
    Confirmed { kept: bool },
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

    fn has_all(&self, request: &Request) -> bool {
        self.needed(request).is_some_and(|needed| self.gaps(&needed).is_empty())
    }

    /// The entries, each once.
    fn entries(&self) -> Vec<&Arc<Entry>> {
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

/// An answer from stored parts alone, if they have all that is asked for and may be used. `wanted`
/// learns why not, if they have it.
pub(crate) async fn from_store(
    worker: &Worker,
    request: &Request,
    wanted: &mut Wanted,
) -> Result<Option<Answer>, Refusal> {
    let Found::Parts(parts, _) = &wanted.found else { return Ok(None) };
    let mut unused = None;
    for set in PartSet::of(parts).into_iter().filter(|set| set.has_all(request)) {
        let why = match judge(worker, wanted, &set) {
            Ok(used) => {
                if let Some(answer) = hit(request, wanted, &set, used)
                    && let Some(answer) = join::readable(answer).await
                {
                    return Ok(Some(answer));
                }
                Refetch::StoreFailed
            }
            Err(why) => why,
        };
        unused.get_or_insert(why);
    }
    if let Some(why) = unused {
        wanted.found = Found::Parts(Arc::clone(parts), why);
    }
    match policy::absent(&wanted.asked) {
        Some(_) => Err(Refusal::OnlyIfCached),
        None => Ok(None),
    }
}

/// May the parts of a set be used now?
fn judge(worker: &Worker, wanted: &Wanted, set: &PartSet) -> Result<(Age, i64, Hit), Refetch> {
    let (rules, now) = (&worker.shared.rules, worker.shared.clock.now());
    let purged = reuse::purged(&set.newest);
    match policy::reuse(&wanted.asked, &set.newest.meta().terms, rules, purged, now) {
        Verdict::Fresh { age, ttl, .. } => Ok((age, ttl, Hit::Partial)),
        Verdict::Stale { age, ttl, why, refresh: false } => Ok((age, ttl, why)),
        // A refresh in the background would fetch the whole: the parts are validated instead.
        Verdict::Stale { refresh: true, .. } | Verdict::Unsatisfiable => Err(Refetch::Stale),
        Verdict::Revalidate(why) => Err(why),
    }
}

/// Stored parts, if they may stand in for an origin that failed (RFC 5861 §4).
pub(crate) fn stale(
    worker: &Worker,
    request: &Request,
    wanted: &Wanted,
    failure: OriginFailure,
) -> Option<Answer> {
    let Found::Parts(parts, _) = &wanted.found else { return None };
    let now = worker.shared.clock.now();
    let sets = PartSet::of(parts).into_iter();
    let is_ended = |set: &PartSet| {
        set.entries().iter().any(|entry| worker.shared.store.is_ended(&wanted.key, entry))
    };
    sets.filter(|set| !is_ended(set)).find_map(|set| {
        let terms = &set.newest.meta().terms;
        let (asked, rules) = (&wanted.asked, &worker.shared.rules);
        let purged = reuse::purged(&set.newest);
        let used = policy::stale_on_error(asked, terms, rules, failure, purged, now)?;
        hit(request, wanted, &set, used)
    })
}

fn hit(
    request: &Request,
    wanted: &Wanted,
    set: &PartSet,
    (age, ttl, why): (Age, i64, Hit),
) -> Option<Answer> {
    let report = Report { code: why.code(), source: Source::Store { ttl, why }, proxy_error: None };
    let mut ranged = set.answers(request, &wanted.asked, set.fields())?;
    ranged.head.fields.retain(|name, _| !set.newest.meta().terms.hides(name));
    Some(ranged.answer(Some(age), report))
}

/// The stored entry that has all parts of the representation that a new one is of.
pub(crate) fn base<'v>(
    stored: &'v Variants<StoredHead>,
    new: &StoredHead,
) -> Option<&'v Arc<Entry>> {
    stored.iter().find(|entry| entry.meta().variant() == new.variant())
}

/// The part that another request's fetch is bringing, if with what is stored it has all that this
/// request asks for.
pub(crate) fn share(
    worker: &Worker,
    request: &Request,
    wanted: &Wanted,
    part: &Arc<Entry>,
) -> Option<Answer> {
    let stored: &[Arc<Entry>] = match &wanted.found {
        Found::Parts(parts, _) => parts,
        _ => &[],
    };
    let is_ended = |entry: &Arc<Entry>| worker.shared.store.is_ended(&wanted.key, entry);
    let stored = stored.iter().filter(|entry| !is_ended(entry));
    let parts: Vec<_> = std::iter::once(part).chain(stored).cloned().collect();
    // The first set is that of the first part.
    let set = PartSet::of(&parts).into_iter().next()?;
    if !reuse::selects(request, part) || judge(worker, wanted, &set).ok()?.1 < 0 {
        return None;
    }
    // One that is only passed along has a beginning that may be gone; this one stays meanwhile.
    let _beginning = part.try_reader()?;
    let mut ranged = set.answers(request, &wanted.asked, set.fields())?;
    let (terms, now) = (&set.newest.meta().terms, worker.shared.clock.now());
    ranged.head.fields.retain(|name, _| !terms.hides(name));
    let (age, ttl) = (Some(terms.age(now)), Some(terms.ttl(now)));
    let forwarded = Forwarded { stored: true, ttl, ..join::forwarded(wanted, true) };
    let code = join::refetch(wanted).code();
    let report = Report { code, source: Source::Origin(forwarded), proxy_error: None };
    Some(ranged.answer(age, report))
}

/// A response for a request that has a Range: from a fill under way that will soon have what it
/// asks for, or by a fetch that requests for the same range share.
pub(crate) async fn obtain(
    worker: &Arc<Worker>,
    request: &Request,
    wanted: Wanted,
    informational: mpsc::Sender<Informational>,
) -> Result<Answer, Refusal> {
    if let Some(entry) = worker.shared.flights.under_way(&wanted.key)
        && let Some(answer) = join::share(worker, request, &wanted, &entry)
        && let Some(answer) = join::readable(answer).await
    {
        return Ok(answer);
    }
    let flight = Some(flight(worker, request, &wanted.key));
    join::obtain(worker, request, Wanted { flight, ..wanted }, informational).await
}

/// The key by which requests for the same range find the fetch under way. It has in it how often the
/// key was invalidated: who comes after an invalidation never waits for a fetch from before.
fn flight(worker: &Worker, request: &Request, key: &Key) -> Key {
    let generation = worker.shared.invalidations.last(key);
    let mut flight = [key.as_bytes(), b" range ", &generation.to_le_bytes()].concat();
    for name in ["Range", "If-Range"] {
        request.head.fields.all(name).for_each(|value| flight.extend_from_slice(value));
        flight.push(b'\n');
    }
    Key::new(&flight)
}

/// An answer with what was fetched for a Range, or for what stored parts lack.
pub(crate) fn fetched(wanted: &Wanted, fetched: FetchedRange) -> Answer {
    let FetchedRange { ranged, status, became, age, ttl } = fetched;
    let (stored, validated, code) = match became {
        Became::Stored => (true, false, join::refetch(wanted).code()),
        Became::NotStored(why) => (false, false, why),
        Became::Confirmed { kept } => (kept, true, Hit::Validated.code()),
    };
    let status = Some(status);
    let forwarded = join::forwarded(wanted, false);
    let forwarded = Forwarded { status, stored, validated, ttl, ..forwarded };
    let report = Report { code, source: Source::Origin(forwarded), proxy_error: None };
    ranged.answer(age, report)
}

/// A complete response is stored: its parts are not needed any more.
pub(crate) fn superseded(worker: &Worker, wanted: &Wanted, whole: &Entry) {
    let Found::Parts(parts, _) = &wanted.found else { return };
    for entry in parts.iter().filter(|_| whole.meta().part().is_none()) {
        worker.shared.store.remove_entry(&wanted.key, entry);
    }
}

impl Ranged {
    pub(crate) fn answer(self, age: Option<Age>, report: Report) -> Answer {
        let Ranged { head, content, length } = self;
        Answer { head: AnswerHead::Own(head), age, content, length, report }
    }
}
