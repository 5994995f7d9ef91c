//! The task that fetches for a request with a Range, or what stored parts lack for a whole.

use std::sync::Arc;

use policy::parts::{combined_fields, missing_range, same_representation};
use policy::reason::NotStored;
use policy::{Admit, Fields, Part, Reason, Span, Terms, Verdict, strong};
use store::{Fill, Reader};

use super::assembly::Assembly;
use super::fetch::{self, Conditions};
use super::fill::{self, Ended, Pieces, Rushed};
use super::invalidations::Moment;
use super::lead::{FromOrigin, Lead, Led, ToLeader, tell};
use super::parts::{self, FetchedRange, Needed, PartSet};
use super::range::Ranged;
use super::reconcile::{self, Reconciled, Times};
use super::{Entry, Found, Request, Wanted, respond};
use crate::entry::StoredHead;
use crate::error::FetchError;
use crate::front::deliver::Broken;
use crate::head::{RequestHead, ResponseHead};
use crate::origin::content::Piece;
use crate::origin::exchange::{Response, ResponseContent};

/// Whether a fetch is about parts.
pub(crate) fn concerns(wanted: &Wanted) -> bool {
    wanted.asked.range || matches!(wanted.found, Found::Parts(_))
}

/// What the origin is asked.
enum Errand {
    /// What the client asks, as it asks it.
    AsItIs,
    /// The same, unless this is still current.
    Validate(Arc<Entry>),
    /// What these parts lack.
    Missing(Missing),
    /// The whole.
    Whole,
}

/// What stored parts lack for a request.
struct Missing {
    set: PartSet,
    part: Part,
    needed: Needed,
}

/// A response, with all that decides what becomes of it.
struct Arrived {
    response: Response,
    times: Times,
    began: Moment,
}

/// Runs to the end, whoever leaves.
pub(crate) async fn run(lead: Lead, leader: ToLeader) {
    let began = lead.worker.shared.invalidations.moment();
    let mut errand = first_errand(&lead);
    loop {
        if matches!(errand, Errand::Whole) {
            return lead.whole(leader).await;
        }
        let arrived = match ask(&lead, &errand, began).await {
            Ok(arrived) => arrived,
            Err(error) => return lead.fail(leader, error),
        };
        let status = arrived.response.head.status;
        match errand {
            Errand::Missing(missing) => match (missing.is_answered_by(&arrived.response), status) {
                (true, _) => return combine(lead, leader, missing, arrived).await,
                // What is stored is not a part of what there is now. The next request is the last.
                (false, 206 | 304 | 416) => missing.give_up(&lead),
                (false, _) => return keep(lead, leader, arrived).await,
            },
            Errand::Validate(entry) if status == 304 => {
                match reconcile_with(&lead, arrived, Some(&entry)) {
                    Ok(Some(confirmed)) => return confirm(lead, leader, confirmed),
                    // It was about something else.
                    Ok(None) => forget(&lead, &entry),
                    Err(error) => return lead.fail(leader, error),
                }
            }
            _ => return keep(lead, leader, arrived).await,
        }
        errand = if lead.wanted.asked.range { Errand::AsItIs } else { Errand::Whole };
    }
}

fn first_errand(lead: &Lead) -> Errand {
    let Lead { request, wanted, .. } = lead;
    let as_asked = if wanted.asked.range { Errand::AsItIs } else { Errand::Whole };
    let parts = match &wanted.found {
        Found::Unusable(entry, _) if entry.meta().terms.has_validator() => {
            return Errand::Validate(Arc::clone(entry));
        }
        Found::Parts(parts) => PartSet::of(parts),
        _ => return as_asked,
    };
    let Some(set) = parts.into_iter().next() else { return as_asked };
    let needed = match set.needed(request) {
        // Whether the Range applies, the origin decides.
        Some(Needed::Whole(_)) if wanted.asked.range => return as_asked,
        Some(needed) => needed,
        None => return as_asked,
    };
    match set.gaps(&needed)[..] {
        [] if set.newest.meta().terms.has_validator() => Errand::Validate(set.newest),
        [gap] if may_be_completed(lead, &set) => match Part::new(gap, set.complete) {
            Some(part) => Errand::Missing(Missing { set, part, needed }),
            None => as_asked,
        },
        _ => as_asked,
    }
}

/// Is it worth asking for what stored parts lack?
fn may_be_completed(lead: &Lead, set: &PartSet) -> bool {
    if strong::strong_validator(set.fields()).is_some() {
        return true;
    }
    // Without a strong validator only a whole response helps, which origins without ranges give.
    let shared = &lead.worker.shared;
    let terms = &set.newest.meta().terms;
    let verdict = policy::reuse(&lead.wanted.asked, terms, &shared.rules, shared.clock.now());
    !lead.wanted.asked.range
        && matches!(verdict, Verdict::Fresh { .. })
        && !shared.uncombinable.contains(&lead.wanted.key)
}

async fn ask(lead: &Lead, errand: &Errand, began: Moment) -> Result<Arrived, FetchError> {
    let Lead { worker, request, informational, .. } = lead;
    let clock = &worker.shared.clock;
    let asked = clock.now();
    let outgoing = outgoing(request, errand);
    let conditions = Conditions::AsTheClientHasThem;
    let informational = informational.clone();
    let response = fetch::fetch(worker, &outgoing, &conditions, None, informational).await?;
    Ok(Arrived { response, times: Times { request: asked, response: clock.now() }, began })
}

/// The request that the origin gets.
fn outgoing(request: &Request, errand: &Errand) -> Request {
    let mut fields = request.head.fields.clone();
    match errand {
        Errand::AsItIs | Errand::Whole => return request.clone(),
        // If-None-Match comes first, so that the client's own Range and If-Range only count where
        // what is stored is not current any more.
        Errand::Validate(entry) => {
            fields.remove("If-None-Match");
            fields.remove("If-Modified-Since");
            let _ = policy::validate::conditional_fields(&entry.meta().fields, &mut fields);
        }
        //= https://www.rfc-editor.org/rfc/rfc9111#section-3.3
        //# A cache MAY complete a stored incomplete response by making a subsequent range request
        //# (Section 14.2 of [HTTP]) and combining the successful response with the stored response,
        //# as defined in Section 3.4.
        Errand::Missing(Missing { set, part, .. }) => {
            policy::validate::strip_conditionals(&mut fields);
            fields.push(b"Range", missing_range(*part).as_bytes());
            //= https://www.rfc-editor.org/rfc/rfc9111#section-4.3.1
            //# MUST send the relevant entity tags (using If-Match, If-None-Match, or If-Range) if the
            //# entity tags were provided in the stored response(s) being validated.
            if let Some(validator) = strong::strong_validator(set.fields()) {
                fields.push(b"If-Range", validator);
            }
        }
    }
    let head = RequestHead { fields, ..(*request.head).clone() };
    Request { head: Arc::new(head), ..request.clone() }
}

impl Missing {
    /// Is this the missing part, and of the same representation?
    fn is_answered_by(&self, response: &Response) -> bool {
        let Response { head, content } = response;
        head.status == 206
            && Part::of(&head.fields) == Some(self.part)
            && self.set.includes(&head.fields, self.part)
            && content.length().is_none_or(|length| length == self.part.span().length())
    }

    /// What the client gets of the stored parts and of what `follow` adds.
    fn answered(
        &self,
        request: &Request,
        head: &ResponseHead,
        follow: Follow,
        stored: bool,
    ) -> FetchedRange {
        let ranged = self.set.ranged(request, &head.fields, &self.needed, follow.once());
        FetchedRange { ranged, status: 206, stored, validated: false, age: None, ttl: None }
    }

    /// The stored parts turned out to be of no use for what is asked.
    fn give_up(&self, lead: &Lead) {
        if strong::strong_validator(self.set.fields()).is_some() {
            self.set.forget(&lead.worker, &lead.wanted);
        } else {
            lead.worker.shared.uncombinable.remember(&lead.wanted.key);
        }
    }
}

/// A response that is not a part of what is stored: it is stored by itself, if it can be.
async fn keep(lead: Lead, leader: ToLeader, arrived: Arrived) {
    if arrived.response.head.status == 206 {
        return keep_part(lead, leader, arrived).await;
    }
    let began = arrived.began;
    match reconcile_with(&lead, arrived, None) {
        Ok(Some(Reconciled::Store(terms, response))) => {
            lead.store(leader, terms, response, began).await;
        }
        Ok(Some(Reconciled::DoNotStore(why, response))) => pass_on(lead, leader, response, why),
        Ok(_) => lead.fail(leader, FetchError::Unasked { status: 304 }),
        Err(error) => lead.fail(leader, error),
    }
}

fn reconcile_with(
    lead: &Lead,
    arrived: Arrived,
    validating: Option<&Arc<Entry>>,
) -> Result<Option<Reconciled>, FetchError> {
    let Lead { worker, request, wanted, .. } = lead;
    reconcile::reconcile(worker, request, wanted, arrived.response, arrived.times, validating)
}

/// What is stored was confirmed.
fn confirm(lead: Lead, leader: ToLeader, confirmed: Reconciled) {
    let (entry, head) = match confirmed {
        Reconciled::Freshened(entry) => (entry, None),
        Reconciled::FreshenedOnce(entry, head) => (entry, Some(Box::new(head))),
        Reconciled::Store(..) | Reconciled::DoNotStore(..) => return,
    };
    lead.release(304, false);
    if entry.meta().part.is_none() {
        return tell(leader, Led::Validated { entry, head });
    }
    let Found::Parts(parts) = &lead.wanted.found else { return };
    // Under its new head the entry is another one; the old one still has the bytes.
    let fields = head.as_ref().map_or(&entry.meta().fields, |head| &head.fields);
    let sets = PartSet::of(parts);
    if let Some(ranged) = sets.first().and_then(|set| set.answers(&lead.request, fields)) {
        let ttl = head.is_none().then(|| entry.meta().terms.ttl(lead.worker.shared.clock.now()));
        let stored = head.is_none();
        let confirmed =
            FetchedRange { ranged, status: 304, stored, validated: true, age: None, ttl };
        tell(leader, Led::Ranged(Box::new(confirmed)));
    }
}

fn forget(lead: &Lead, entry: &Arc<Entry>) {
    lead.worker.shared.store.remove_entry(&lead.wanted.key, entry);
}

fn pass_on(lead: Lead, leader: ToLeader, response: Response, why: NotStored) {
    // That a part was of no use says nothing about the whole.
    let is_about_part = matches!(why, NotStored::PartialContent | NotStored::ConditionalStatus);
    let lasting = !why.is_about_request() && !is_about_part;
    lead.pass_on(leader, response, why.code(), lasting);
}

/// A part by itself goes to the client as it came, and into the store if that is possible.
async fn keep_part(lead: Lead, leader: ToLeader, arrived: Arrived) {
    let Arrived { mut response, times, began } = arrived;
    respond::for_next_hop(&mut response.head, times.response);
    let (part, head, terms) = match storable(&lead, &response, times) {
        Ok(storable) => storable,
        Err(why) => return pass_on(lead, leader, response, why),
    };
    let span = part.span();
    let fill = match begin(&lead, &head, terms.clone(), span.length(), began) {
        Ok(fill) => fill,
        Err(code) => return lead.pass_on(leader, response, code, false),
    };
    drop_outdated(&lead, &head, part);
    let ttl = Some(terms.ttl(lead.worker.shared.clock.now()));
    let Response { head: as_it_came, content } = response;
    let to_client = |follow: Follow| {
        let mut assembly = Assembly::default();
        follow.push(&mut assembly, span);
        let (content, length) = (assembly.into_content(), span.length());
        let ranged = Ranged { head: as_it_came, content, length };
        FetchedRange { ranged, status: 206, stored: true, validated: false, age: None, ttl }
    };
    fill_part(&lead, leader, fill, content, to_client).await;
}

/// What of a 206 is stored: its true part, and its head, combined with what is stored already.
fn storable(
    lead: &Lead,
    response: &Response,
    times: Times,
) -> Result<(Part, ResponseHead, Terms), NotStored> {
    let Lead { worker, request, wanted, .. } = lead;
    let mut head = response.head.clone();
    let length = response.content.length().ok_or(NotStored::PartialContent)?;
    let said = Part::of(&head.fields).ok_or(NotStored::PartialContent)?;
    let part = said.with_content(length).ok_or(NotStored::PartialContent)?;
    head.fields.set("Content-Range", part.content_range().as_bytes());
    match &wanted.found {
        // The origin did not say that the whole has changed: it is worth more than its part.
        Found::Unusable(entry, _) if same_representation(&entry.meta().fields, &head.fields) => {
            return Err(NotStored::PartialContent);
        }
        Found::Parts(parts) => {
            let sets = PartSet::of(parts);
            match sets.iter().find(|set| set.includes(&head.fields, part)) {
                Some(set) => head.fields = combined_fields(set.fields(), &head.fields),
                None => may_lack_fields(request)?,
            }
        }
        _ => may_lack_fields(request)?,
    }
    match reconcile::admit(worker, request, wanted, &head, times) {
        Admit::Store(terms) => Ok((part, head, terms)),
        Admit::DoNotStore(why) => Err(why),
    }
}

/// A response to If-Range has not all the fields that other clients must be told.
fn may_lack_fields(request: &Request) -> Result<(), NotStored> {
    //= https://www.rfc-editor.org/rfc/rfc9110#section-15.3.7
    //# A sender that generates a 206 response to a request with an If-Range header field SHOULD NOT
    //# generate other representation header fields beyond those required because the client already
    //# has a prior response containing those header fields.
    if request.head.fields.contains("If-Range") { Err(NotStored::PartialContent) } else { Ok(()) }
}

/// A new part tells that what is stored of another representation is out of date.
fn drop_outdated(lead: &Lead, head: &ResponseHead, part: Part) {
    let Lead { worker, wanted, .. } = lead;
    let parts = match &wanted.found {
        Found::Unusable(entry, _) => return forget(lead, entry),
        Found::Parts(parts) => parts,
        Found::NotInMemory | Found::Nothing(_) => return,
    };
    let is_strong = |fields: &Fields| strong::strong_validator(fields).is_some();
    for set in PartSet::of(parts) {
        let unknown =
            !is_strong(&head.fields) && !is_strong(set.fields()) && part.complete() == set.complete;
        if unknown || set.includes(&head.fields, part) {
            set.make_room(worker, wanted);
        } else {
            set.forget(worker, wanted);
        }
    }
}

/// What was missing has come, and is sent among what is stored.
async fn combine(lead: Lead, leader: ToLeader, missing: Missing, arrived: Arrived) {
    let Arrived { mut response, times, began } = arrived;
    respond::for_next_hop(&mut response.head, times.response);
    let Lead { worker, request, wanted, .. } = &lead;
    let Missing { set, part, needed } = &missing;
    let Response { head: new, content } = response;
    let aged = new.fields.contains("Age");
    let mut head = ResponseHead { fields: combined_fields(set.fields(), &new.fields), ..new };
    let mut length = part.span().length();
    if matches!(needed, Needed::Whole(_)) {
        head = ResponseHead { fields: head.fields, ..ResponseHead::with_status(200) };
        head.fields.remove("Content-Range");
        length = set.complete;
    }
    let fill = match reconcile::admit(worker, request, wanted, &head, times) {
        Admit::Store(terms) => begin(&lead, &head, terms, length, began),
        Admit::DoNotStore(why) => {
            set.forget(worker, wanted);
            Err(why.code())
        }
    };
    match (fill, needed) {
        (Err(_), _) => {
            lead.release(head.status, false);
            let follow = Follow::Origin(Box::new(content));
            tell(leader, Led::Ranged(Box::new(missing.answered(request, &head, follow, false))));
        }
        (Ok(fill), Needed::Whole(span)) => {
            let mut assembly = Assembly::default();
            set.assemble(&mut assembly, *span, &mut Follow::Origin(Box::new(content)).once());
            // The parts must stay readable, whatever others do to them meanwhile.
            if assembly.ready().await.is_err() {
                drop(fill);
                return lead.whole(leader).await;
            }
            complete(&lead, leader, fill, Completion { assembly, length }, aged).await;
        }
        (Ok(fill), Needed::Spans(_)) => {
            let to_client = |follow| missing.answered(request, &head, follow, true);
            fill_part(&lead, leader, fill, content, to_client).await;
            set.make_room(worker, wanted);
        }
    }
}

/// Begins to store, unless the store refuses or the key was invalidated meanwhile.
fn begin(
    lead: &Lead,
    head: &ResponseHead,
    terms: Terms,
    length: u64,
    began: Moment,
) -> Result<Fill<StoredHead>, &'static str> {
    let (shared, key) = (&lead.worker.shared, &lead.wanted.key);
    let meta = reconcile::stored_head(&lead.worker, head.clone(), terms);
    let fill = shared.store.begin(key.clone(), meta, Some(length)).map_err(|why| why.code())?;
    if shared.invalidations.since(began, key) || shared.doubtful.contains(key) {
        return Err(NotStored::Invalidated.code());
    }
    Ok(fill)
}

/// Where the client gets what the origin sends from.
enum Follow {
    /// Behind the fill.
    Reader(Box<Reader<StoredHead>>),
    /// It is stored already.
    Stored(Arc<Entry>),
    /// Straight from the origin.
    Origin(Box<ResponseContent>),
}

impl Follow {
    /// Adds it where it is asked for.
    fn once(self) -> impl FnMut(&mut Assembly, Span) {
        let mut follow = Some(self);
        move |assembly, span| {
            if let Some(follow) = follow.take() {
                follow.push(assembly, span);
            }
        }
    }

    /// Adds all of it, which is as long as the span.
    fn push(self, assembly: &mut Assembly, span: Span) {
        let Some(all) = Span::of_length(0, span.length()) else { return };
        match self {
            Follow::Reader(reader) => assembly.push_reader(reader, all),
            Follow::Stored(entry) => assembly.push_stored(&entry, all),
            Follow::Origin(content) => assembly.push_origin(content, span.length()),
        }
    }
}

/// Stores a part while the client reads behind.
async fn fill_part(
    lead: &Lead,
    leader: ToLeader,
    mut fill: Fill<StoredHead>,
    mut content: ResponseContent,
    to_client: impl FnOnce(Follow) -> FetchedRange,
) {
    let entry = fill.entry();
    let reader = Box::new(entry.reader());
    let mut backlog = None;
    let fill = match fill::rush(&mut fill, &mut content, &mut backlog) {
        Ok(Rushed::Complete(tail)) => match fill.commit_now(&tail) {
            Ok((entry, _)) => {
                let ranged = to_client(Follow::Stored(entry));
                return tell(leader, Led::Ranged(Box::new(ranged)));
            }
            Err(fill) => fill,
        },
        Ok(Rushed::Waiting) => fill,
        // The head was good: the client gets it, and sees where the content breaks.
        Err(error) => {
            lead.worker.failed(&error);
            drop(fill);
            return tell(leader, Led::Ranged(Box::new(to_client(Follow::Reader(reader)))));
        }
    };
    tell(leader, Led::Ranged(Box::new(to_client(Follow::Reader(reader)))));
    if let Ended::Broken(broken) = fill::run(fill, content, backlog, true, || false).await {
        lead.worker.broke(&broken);
    }
}

/// A whole that is made of stored parts and of what the origin sends.
struct Completion {
    assembly: Assembly,
    length: u64,
}

impl Pieces for Completion {
    async fn next(&mut self) -> Result<Option<Piece>, Broken> {
        Ok(self.assembly.next().await?.map(Piece::Data))
    }

    fn length(&self) -> Option<u64> {
        Some(self.length)
    }
}

/// Stores the whole while all who want it read behind.
async fn complete(
    lead: &Lead,
    leader: ToLeader,
    fill: Fill<StoredHead>,
    whole: Completion,
    aged: bool,
) {
    let entry = fill.entry();
    let reader = Some(entry.reader());
    lead.note_shareable(&entry);
    lead.share(&entry);
    let origin = FromOrigin { status: 206, aged };
    tell(leader, Led::Stored { entry: Arc::clone(&entry), origin, reader });
    match fill::run(fill, whole, None, true, || lead.is_awaited()).await {
        Ended::Broken(broken) => lead.worker.broke(&broken),
        Ended::Whole => parts::superseded(&lead.worker, &lead.wanted, &entry),
        Ended::Deserted => {}
    }
}
