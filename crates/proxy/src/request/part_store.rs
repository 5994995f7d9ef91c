//! A part that the origin sent by itself: whether and how it is stored.

use policy::parts::{combined_fields, maybe_same_representation, same_representation};
use policy::reason::NotStored;
use policy::{Admit, Part, Terms};

use super::assembly::Assembly;
use super::lead::{Lead, Outlook, ToLeader};
use super::part_fill::{Follow, begin_part, fill_part};
use super::part_lead::{Arrived, forget, pass_on};
use super::part_set::{self, PartSet};
use super::parts::FetchedRange;
use super::range::Ranged;
use super::reconcile::{self, Times};
use super::{Entry, Found, Request, respond};
use crate::head::ResponseHead;
use crate::origin::exchange::Response;

/// A part by itself goes to the client as it came, and into the store if that is possible.
pub(super) async fn keep_part(lead: Lead, leader: ToLeader, arrived: Arrived) {
    let Arrived { mut response, times, began } = arrived;
    respond::for_next_hop(&mut response.head, times.response);
    let (part, head, terms) = match storable(&lead, &response, times) {
        Ok(storable) => storable,
        Err(why) => return pass_on(lead, leader, response, why),
    };
    let span = part.span();
    let (fill, _under_way) = match begin_part(&lead, &head, terms.clone(), part, began).await {
        Ok(begun) => begun,
        Err(code) => return lead.pass_on(leader, response, code, Outlook::Open),
    };
    drop_outdated(&lead, &head, part);
    let ttl = Some(terms.ttl(lead.worker.shared.clock.now()));
    let Response { head: as_it_came, content } = response;
    let to_client = |follow: Follow, became| {
        let mut assembly = Assembly::default();
        follow.push(&mut assembly, span);
        let (content, length) = (assembly.into_content(), Some(span.length()));
        let ranged = Ranged { head: as_it_came, content, length };
        FetchedRange { ranged, status: 206, became, age: None, ttl }
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
    policy::partial::drop_content_digests(&mut head.fields);
    match &wanted.found {
        // The origin did not say that the whole has changed: it is worth more than its part.
        Found::Unusable(entry, _) if may_be_part_of(entry, &head, part) => {
            return Err(NotStored::PartialContent);
        }
        Found::Parts(parts, _) => {
            let sets = PartSet::of(parts);
            match sets.iter().find(|set| set.includes(&head.fields, part)) {
                Some(set) => {
                    let rules = &worker.shared.rules;
                    head.fields = combined_fields(set.fields(), &head.fields, rules);
                }
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

fn may_be_part_of(whole: &Entry, head: &ResponseHead, part: Part) -> bool {
    let (ours, theirs) = (&whole.meta().fields(), &head.fields);
    let length = whole.length().unwrap_or_default();
    same_representation(ours, theirs)
        || maybe_same_representation((ours, length), (theirs, part.complete()))
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
        Found::Parts(parts, _) => parts,
        Found::NotInMemory | Found::Nothing(_) => return,
    };
    let (ours, complete) = (&head.fields, part.complete());
    let (current, outdated): (Vec<_>, Vec<_>) = PartSet::of(parts).into_iter().partition(|set| {
        set.includes(ours, part)
            || maybe_same_representation((ours, complete), (set.fields(), set.complete))
    });
    for set in outdated {
        set.forget(worker, wanted);
    }
    part_set::make_room(&current, worker, wanted);
}
