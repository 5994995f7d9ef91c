//! Fills that are about parts: one part by itself, or the whole that parts are completed to.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use policy::reason::NotStored;
use policy::{Part, Reason, Span, Terms};
use store::{Fill, Key, PartOf, Reader};

use super::assembly::Assembly;
use super::fill::{self, Ended, Pieces, Rushed};
use super::invalidations::Began;
use super::lead::{FromOrigin, Lead, Led, Storing, ToLeader, tell};
use super::parts::{self, Became, FetchedRange};
use super::{Entry, reconcile};
use crate::content::Piece;
use crate::entry::StoredHead;
use crate::error::Broken;
use crate::head::ResponseHead;
use crate::origin::content::ResponseContent;

/// Begins to store, unless the store refuses or the key was invalidated meanwhile.
pub(super) fn begin(
    lead: &Lead,
    head: &ResponseHead,
    terms: Terms,
    length: u64,
    began: Began,
) -> Result<Fill<StoredHead>, &'static str> {
    let meta =
        reconcile::stored_head(&lead.worker, &lead.request, head.clone(), terms, began.labels);
    let fill = lead.worker.shared.store.begin(lead.wanted.key.clone(), meta, Some(length));
    may_begin(lead, fill.map_err(store::Refused::code)?, began)
}

fn may_begin(
    lead: &Lead,
    fill: Fill<StoredHead>,
    began: Began,
) -> Result<Fill<StoredHead>, &'static str> {
    match lead.worker.shared.outdated(&lead.wanted.key, &fill.entry(), began) {
        Some(why) => Err(why.code()),
        None => Ok(fill),
    }
}

/// Begins to store a part by itself, or together with the others of a large representation.
async fn begin_among(
    lead: &Lead,
    head: &ResponseHead,
    terms: Terms,
    part: Part,
    began: Began,
) -> Result<Fill<StoredHead>, &'static str> {
    let (shared, wanted) = (&lead.worker.shared, &lead.wanted);
    if !shared.store.keeps_parts_of(part.complete()) {
        return begin(lead, head, terms, part.span().length(), began);
    }
    let meta = reconcile::stored_head(
        &lead.worker,
        &lead.request,
        head.clone(),
        terms.clone(),
        began.labels,
    );
    let Some(meta) = meta.spread() else {
        return begin(lead, head, terms, part.span().length(), began);
    };
    // Others may have come while the origin was asked.
    let stored = shared.store.look_up(&wanted.key).await;
    let base = stored.as_ref().and_then(|variants| parts::base(variants, &meta));
    let span = part.span();
    let range = span.first()..span.first() + span.length();
    let place = PartOf { range, complete: part.complete() };
    let fill = shared.store.begin_part(wanted.key.clone(), meta, &place, base);
    may_begin(lead, fill.map_err(store::Refused::code)?, began)
}

/// The parts that are being stored. Requests that ask for one part in different words do not wait for
/// each other, and to store it once is enough.
#[derive(Default)]
pub(crate) struct PartFills(Mutex<HashSet<(Key, Part)>>);

/// The duty to store a part, until it is dropped.
pub(super) struct UnderWay {
    fills: Arc<PartFills>,
    part: (Key, Part),
}

impl PartFills {
    fn begin(self: &Arc<Self>, key: &Key, part: Part) -> Option<UnderWay> {
        let part = (key.clone(), part);
        let is_new = self.lock().insert(part.clone());
        is_new.then_some(UnderWay { fills: Arc::clone(self), part })
    }

    fn lock(&self) -> MutexGuard<'_, HashSet<(Key, Part)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.fills.lock().remove(&self.part);
    }
}

/// Begins to store a part, as [`begin`] does, unless another request is storing it.
pub(super) async fn begin_part(
    lead: &Lead,
    head: &ResponseHead,
    terms: Terms,
    part: Part,
    began: Began,
) -> Result<(Fill<StoredHead>, UnderWay), &'static str> {
    let under_way = lead.worker.shared.part_fills.begin(&lead.wanted.key, part);
    let under_way = under_way.ok_or(NotStored::PartUnderWay.code())?;
    let fill = begin_among(lead, head, terms, part, began).await?;
    Ok((fill, under_way))
}

/// Where the client gets what the origin sends from.
pub(super) enum Follow {
    /// Behind the fill.
    Reader(Box<Reader<StoredHead>>),
    /// It is stored already.
    Stored(Arc<Entry>),
    /// Straight from the origin.
    Origin(Box<ResponseContent>),
}

impl Follow {
    /// Adds it where it is asked for.
    pub(super) fn once(self) -> impl FnMut(&mut Assembly, Span) {
        let mut follow = Some(self);
        move |assembly, span| {
            if let Some(follow) = follow.take() {
                follow.push(assembly, span);
            }
        }
    }

    /// Adds all of it, which is as long as the span.
    pub(super) fn push(self, assembly: &mut Assembly, span: Span) {
        let Some(all) = Span::of_length(0, span.length()) else { return };
        match self {
            Follow::Reader(reader) => assembly.push_reader(reader, all),
            Follow::Stored(entry) => assembly.push_stored(&entry, all),
            Follow::Origin(content) => assembly.push_origin(content, span.length()),
        }
    }
}

/// Stores a part while all who want it read behind.
pub(super) async fn fill_part(
    lead: &Lead,
    leader: ToLeader,
    mut fill: Fill<StoredHead>,
    mut content: ResponseContent,
    to_client: impl FnOnce(Follow, Became) -> FetchedRange,
) {
    let entry = fill.entry();
    let reader = Box::new(entry.reader());
    let mut backlog = None;
    let rules = &lead.worker.shared.rules;
    let fill = match fill::rush(&mut fill, &mut content, &mut backlog, rules) {
        Ok(Rushed::Complete(tail)) => match fill.commit_now(&tail) {
            Ok((entry, committed)) => {
                lead.note_shareable(&entry);
                lead.share(&entry);
                let became = committed.why_not().map_or(Became::Stored, Became::NotStored);
                let ranged = to_client(Follow::Stored(entry), became);
                return tell(leader, Led::Ranged(Box::new(ranged)));
            }
            Err(fill) => fill,
        },
        Ok(Rushed::Waiting) => fill,
        // The head was good: the client gets it, and sees where the content breaks.
        Err(error) => {
            lead.worker.failed(&error);
            drop(fill);
            let became = Became::NotStored(error.code());
            return tell(leader, Led::Ranged(Box::new(to_client(Follow::Reader(reader), became))));
        }
    };
    lead.note_shareable(&entry);
    lead.share(&entry);
    tell(leader, Led::Ranged(Box::new(to_client(Follow::Reader(reader), Became::Stored))));
    let is_awaited = || lead.is_awaited();
    if let Ended::Broken(broken) = fill::run(fill, content, backlog, true, is_awaited, rules).await
    {
        lead.worker.broke(&broken);
    }
}

/// A whole that is made of stored parts and of what the origin sends.
pub(super) struct Completion {
    pub(super) assembly: Assembly,
    pub(super) length: u64,
}

impl Pieces for Completion {
    async fn next(&mut self) -> Result<Option<Piece>, Broken> {
        let Some(part) = self.assembly.next().await? else { return Ok(None) };
        part.into_bytes().map(|bytes| Some(Piece::Data(bytes))).map_err(Broken::Store)
    }

    fn length(&self) -> Option<u64> {
        Some(self.length)
    }
}

/// Stores the whole while all who want it read behind. `first` is the head for who asked for it.
pub(super) async fn complete(
    lead: &Lead,
    leader: ToLeader,
    fill: Fill<StoredHead>,
    whole: Completion,
    first: ResponseHead,
) {
    let entry = fill.entry();
    let reader = Some(entry.reader());
    lead.note_shareable(&entry);
    lead.worker.shared.aliases.learn(&lead.wanted.key, &entry.meta().fields());
    lead.share(&entry);
    let origin = FromOrigin { status: 206, aged: first.fields.contains("Age"), unkept: None };
    let head = reconcile::own_head(&lead.worker, first);
    tell(leader, Led::Stored(Storing { entry: Arc::clone(&entry), origin, reader, head }));
    let rules = &lead.worker.shared.rules;
    match fill::run(fill, whole, None, true, || lead.is_awaited(), rules).await {
        Ended::Broken(broken) => lead.worker.broke(&broken),
        Ended::Whole => parts::superseded(&lead.worker, &lead.wanted, &entry),
        Ended::Deserted => {}
    }
}
