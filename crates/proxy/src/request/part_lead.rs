//! The task that fetches for a request with a Range, or what stored parts lack for a whole.

use std::sync::Arc;

use policy::parts::combined_fields;
use policy::reason::{NotStored, Refetch};
use policy::{Admit, Reason};

use super::assembly::Assembly;
use super::errand::{Errand, Missing};
use super::invalidations::Began;
use super::lead::{Lead, Led, Outlook, ToLeader, tell};
use super::part_fill::{Completion, Follow, begin, begin_part, complete, fill_part};
use super::part_set::{self, Needed, PartSet};
use super::part_store::keep_part;
use super::parts::{Became, FetchedRange};
use super::reconcile::{self, Freshened, Reconciled, Times};
use super::{Entry, Found, Request, Wanted, respond, reuse};
use crate::error::FetchError;
use crate::head::ResponseHead;
use crate::origin::exchange::Response;

/// Whether a fetch is about parts.
pub(crate) fn concerns(wanted: &Wanted) -> bool {
    wanted.asked.range || matches!(wanted.found, Found::Parts(..))
}

/// A response, with all that decides what becomes of it.
pub(super) struct Arrived {
    pub(super) response: Response,
    pub(super) times: Times,
    pub(super) began: Began,
}

/// Runs to the end, whoever leaves.
pub(crate) async fn run(mut lead: Lead, leader: ToLeader) {
    let began = lead.worker.shared.began();
    look_again(&mut lead).await;
    let mut errand = Errand::of(&lead);
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
                // What is stored is not a part of what there is now, unless the origin only sent
                // another part of it than it was asked for. The next request is the last.
                (false, 206) if missing.is_of_same(&arrived.response) => {}
                (false, 206 | 304 | 416) => missing.give_up(&lead),
                (false, _) => return keep(lead, leader, arrived).await,
            },
            Errand::Validate(entry) if status == 304 => {
                let Arrived { response, times, .. } = arrived;
                match lead.reconcile(response, times, Some(&entry)) {
                    Ok(Some(Reconciled::Freshened(confirmed))) => {
                        return confirm(lead, leader, confirmed);
                    }
                    // It was about something else.
                    Ok(_) => forget(&lead, &entry),
                    Err(error) => return lead.fail(leader, error),
                }
            }
            _ => return keep(lead, leader, arrived).await,
        }
        errand = if lead.wanted.asked.range { Errand::AsItIs } else { Errand::Whole };
    }
}

/// What was found may have been invalidated before the fetch began: what is combined with something
/// from after that must have been there then.
async fn look_again(lead: &mut Lead) {
    let Lead { worker, request, wanted, .. } = lead;
    if !matches!(wanted.found, Found::Parts(..)) {
        return;
    }
    let variants = worker.shared.store.look_up(&wanted.key).await;
    let found = variants.and_then(|variants| reuse::parts(worker, request, &variants));
    wanted.found = found.unwrap_or(Found::Nothing(Refetch::Absent));
}

async fn ask(lead: &Lead, errand: &Errand, began: Began) -> Result<Arrived, FetchError> {
    let (mut response, times) = lead.fetch(&errand.conditions(), began).await?;
    // Whether a Last-Modified is a strong validator depends on the Date.
    policy::date::stamp(&mut response.head.fields, times.response);
    Ok(Arrived { response, times, began })
}

/// A response that is not a part of what is stored: it is stored by itself, if it can be.
async fn keep(lead: Lead, leader: ToLeader, arrived: Arrived) {
    if arrived.response.head.status == 206 {
        return keep_part(lead, leader, arrived).await;
    }
    let Arrived { response, times, began } = arrived;
    match lead.reconcile(response, times, None) {
        Ok(Some(Reconciled::Store(terms, response))) => {
            lead.store(leader, terms, response, began).await;
        }
        Ok(Some(Reconciled::DoNotStore(why, response))) => pass_on(lead, leader, response, why),
        Ok(_) => lead.fail(leader, FetchError::Unasked { status: 304 }),
        Err(error) => lead.fail(leader, error),
    }
}

/// What is stored was confirmed.
fn confirm(lead: Lead, leader: ToLeader, confirmed: Freshened) {
    lead.share_confirmed(&confirmed);
    if confirmed.entry.meta().part().is_none() {
        return tell(leader, Led::Validated(confirmed));
    }
    let Freshened { entry, head, aged, kept } = confirmed;
    let parts = match &lead.wanted.found {
        Found::Parts(parts, _) => PartSet::of(parts),
        _ => Vec::new(),
    };
    // Under its new head the entry is another one; the old one still has the bytes.
    let fields = head.as_ref().map_or_else(|| entry.meta().fields(), |head| head.fields.clone());
    let Lead { worker, request, wanted, .. } = &lead;
    let answers = |set: &PartSet| set.answers(request, &wanted.asked, &fields);
    let Some(mut ranged) = parts.first().and_then(answers) else {
        return lead.fail(leader, FetchError::Unasked { status: 304 });
    };
    let own = policy::strip::withheld(&fields, &worker.shared.rules);
    respond::add_withheld(&mut ranged.head, &own);
    let (terms, now) = (&entry.meta().terms, lead.worker.shared.clock.now());
    let (age, ttl) = (aged.then(|| terms.age(now)), kept.then(|| terms.ttl(now)));
    let confirmed =
        FetchedRange { ranged, status: 304, became: Became::Confirmed { kept }, age, ttl };
    tell(leader, Led::Ranged(Box::new(confirmed)));
}

pub(super) fn forget(lead: &Lead, entry: &Arc<Entry>) {
    lead.worker.shared.store.remove_entry(&lead.wanted.key, entry);
}

pub(super) fn pass_on(lead: Lead, leader: ToLeader, response: Response, why: NotStored) {
    // That a part was of no use says nothing about the whole, only about requests for the same range.
    let is_about_part = matches!(why, NotStored::PartialContent | NotStored::ConditionalStatus);
    let is_telling = !is_about_part || lead.wanted.asked.range;
    let outlook = if is_telling { Outlook::of(why) } else { Outlook::Open };
    lead.pass_on(leader, response, why.code(), outlook);
}

impl Missing {
    /// What the client gets of the stored parts and of what `follow` adds.
    fn answered(
        &self,
        request: &Request,
        head: &ResponseHead,
        follow: Follow,
        became: Became,
    ) -> FetchedRange {
        let ranged = self.set.ranged(request, &head.fields, &self.needed, follow.once());
        FetchedRange { ranged, status: 206, became, age: None, ttl: None }
    }
}

/// What was missing has come, and is sent among what is stored.
async fn combine(lead: Lead, leader: ToLeader, missing: Missing, arrived: Arrived) {
    let Arrived { mut response, times, began } = arrived;
    respond::for_next_hop(&mut response.head, times.response);
    let Lead { worker, request, wanted, .. } = &lead;
    let Missing { set, part, needed } = &missing;
    let Response { head: new, content } = response;
    let mut head = new.clone();
    head.fields = combined_fields(set.fields(), &new.fields, &worker.shared.rules);
    let length = set.complete;
    // In a file that has all other bytes the part makes the whole, and nothing has to be copied.
    let is_copied = matches!(needed, Needed::Whole(_)) && !set.is_in_one_file();
    if is_copied {
        head = ResponseHead { fields: head.fields, ..ResponseHead::with_status(200) };
        head.fields.remove("Content-Range");
    }
    let first = reconcile::head_for_first(worker, &head, &new.fields);
    let begun = match reconcile::admit(worker, request, wanted, &head, times) {
        Admit::Store(terms) if is_copied => {
            begin(&lead, &head, terms, length, began).map(|fill| (fill, None))
        }
        Admit::Store(terms) => begin_part(&lead, &head, terms, *part, began)
            .await
            .map(|(fill, under_way)| (fill, Some(under_way))),
        Admit::DoNotStore(why) => {
            if !why.is_about_request() {
                set.forget(worker, wanted);
            }
            Err(why.code())
        }
    };
    match (begun, needed) {
        (Err(why), _) => {
            lead.release(head.status, Outlook::Open);
            let (follow, became) = (Follow::Origin(Box::new(content)), Became::NotStored(why));
            tell(leader, Led::Ranged(Box::new(missing.answered(request, &first, follow, became))));
        }
        (Ok((fill, _)), Needed::Whole(span)) if is_copied => {
            let mut assembly = Assembly::default();
            set.assemble(&mut assembly, *span, &mut Follow::Origin(Box::new(content)).once());
            // The parts must stay readable, whatever others do to them meanwhile.
            if assembly.ready().await.is_err() {
                drop(fill);
                return lead.whole(leader).await;
            }
            complete(&lead, leader, fill, Completion { assembly, length }, first).await;
        }
        (Ok((fill, _under_way)), _) => {
            if matches!(needed, Needed::Whole(_)) {
                worker.shared.aliases.learn(&wanted.key, &head.fields);
            }
            let to_client = |follow, became| missing.answered(request, &first, follow, became);
            fill_part(&lead, leader, fill, content, to_client).await;
            part_set::make_room(std::slice::from_ref(set), worker, wanted);
        }
    }
}
