//! A request that selects none of the stored responses may get one of them all the same, if the
//! origin says so (RFC 9111 §4.1, §4.3).

use std::sync::Arc;

use policy::other_variants::{self as variants, MOST_OFFERED};
use policy::reason::Refetch;
use policy::{Admit, Terms};
use store::Committed;

use super::fetch::Conditions;
use super::invalidations::Began;
use super::lead::Lead;
use super::reconcile::{self, Freshened, Reconciled, Times, UpdatedHead};
use super::{Entry, Found, respond, reuse};
use crate::error::FetchError;
use crate::head::ResponseHead;
use crate::origin::exchange::Response;

/// Asks the origin whether one of the stored responses answers the request. `None` if there is none
/// to ask about, or if it cannot be told which one the origin means: ask without conditions.
pub(crate) async fn ask(lead: &Lead, began: Began) -> Result<Option<Reconciled>, FetchError> {
    let offered = offered(lead).await;
    if offered.is_empty() {
        return Ok(None);
    }
    let (response, times) = lead.fetch(&Conditions::Offering(&offered), began).await?;
    if response.head.status != 304 {
        return lead.reconcile(response, times, None);
    }
    let Response { head, content } = response;
    respond::settle(content);
    let fields: Vec<_> = offered.iter().map(|entry| entry.meta().fields()).collect();
    let fields: Vec<_> = fields.iter().collect();
    let confirmed = variants::confirmed(&fields, &head.fields).and_then(|index| offered.get(index));
    Ok(confirmed.map(|entry| reuse_confirmed(lead, entry, head, times, began)))
}

async fn offered(lead: &Lead) -> Vec<Arc<Entry>> {
    let Lead { worker, request, wanted, .. } = lead;
    if !matches!(wanted.found, Found::Nothing(Refetch::VaryMismatch)) {
        return Vec::new();
    }
    let Some(stored) = worker.shared.store.look_up(&wanted.key).await else { return Vec::new() };
    let is_offered = |entry: &&Arc<Entry>| {
        let meta = entry.meta();
        reuse::is_about(worker, request, entry)
            && !reuse::selects(worker, request, entry)
            && variants::is_offered(
                meta.status(),
                &meta.fields(),
                &meta.terms,
                &request.head.fields,
            )
    };
    stored.iter().filter(is_offered).take(MOST_OFFERED).cloned().collect()
}

/// The confirmed content under the head that this request gets.
///
/// The stored response itself stays as it is: it is not one that the request could have been answered
/// with, and the 304 is about one that could (RFC 9111 §4.3.4).
fn reuse_confirmed(
    lead: &Lead,
    entry: &Arc<Entry>,
    not_modified: ResponseHead,
    times: Times,
    began: Began,
) -> Reconciled {
    let Lead { worker, request, wanted, .. } = lead;
    let UpdatedHead { head, first } =
        reconcile::updated_head(worker, entry.meta(), not_modified, times);
    let kept = match reconcile::admit(worker, request, wanted, &head, times) {
        Admit::Store(terms) => keep(lead, entry, head, terms, began),
        Admit::DoNotStore(_) => None,
    };
    Reconciled::Freshened(Freshened::of(worker, entry, kept, first))
}

/// Stores the content once more, for what this request selects by. Only content in memory, of which
/// all copies share the bytes there: more is not worth a copy on disk.
fn keep(
    lead: &Lead,
    entry: &Arc<Entry>,
    head: ResponseHead,
    terms: Terms,
    began: Began,
) -> Option<Arc<Entry>> {
    let mut content = entry.slices(0..entry.length()?)?;
    let (shared, key) = (&lead.worker.shared, &lead.wanted.key);
    let meta = reconcile::stored_head(&lead.worker, &lead.request, head, terms, began.labels);
    let mut fill = shared.store.begin(key.clone(), meta, entry.length()).ok()?;
    if shared.outdated(key, &fill.entry(), began).is_some() {
        return None;
    }
    let is_whole = content.all(|piece| fill.try_write(&piece));
    let ended = is_whole.then(|| fill.commit_now(entry.tail().unwrap_or_default()))?;
    let (copy, committed) = ended.ok()?;
    matches!(committed, Committed::Stored).then_some(copy)
}
