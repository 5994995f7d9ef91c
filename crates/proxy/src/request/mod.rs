//! The life of a request, as a list of named steps. `docs/lifecycle.md` has the picture.
//!
//! | step      | where            | what it decides or does                                   |
//! |-----------|------------------|-----------------------------------------------------------|
//! | receive   | `front`          | a request head off the wire                               |
//! | screen    | [`screen`]       | may this request be served at all                         |
//! | classify  | `policy`         | may a stored response answer it                           |
//! | `look_up` | [`look_up`]      | the stored variant, from memory or disk                   |
//! | reuse     | [`reuse`]        | is that variant good enough now                           |
//! | join      | [`join`]         | fetch it, or wait for another request that does           |
//! | fetch     | [`fetch`]        | ask the origin                                            |
//! | reconcile | [`reconcile`]    | store, freshen, pass on, or fall back to a stale response |
//! | fill      | [`fill`]         | body to the store, whole or not at all                    |
//! | respond   | [`respond`]      | the final head                                            |
//! | deliver   | `front::deliver` | head and body to the client                               |
//! | record    | [`record`]       | counters and log                                          |
//!
//! Beside the way: [`select`] (one of several that match), [`other_variants`] (none that matches),
//! [`head_update`] and [`post`] (what a passed request tells of stored responses), [`upgrade`] (a
//! request after which the connection may speak another protocol).
//!
//! [`start`] takes the steps that never wait: a request that a response in memory answers is done
//! there. [`finish`] takes the others.

pub(crate) mod aliases;
pub(crate) mod answer;
pub(crate) mod assembly;
mod attempts;
pub(crate) mod doubts;
mod errand;
mod fetch;
mod fill;
pub(crate) mod flights;
mod forward;
mod grouped;
mod head_update;
pub(crate) mod invalidations;
pub(crate) mod join;
pub(crate) mod key_memory;
pub(crate) mod labels;
mod last_hop;
mod lead;
mod look_up;
mod other_variants;
pub(crate) mod part_fill;
mod part_lead;
mod part_set;
mod part_store;
mod parts;
mod post;
mod query;
mod range;
mod reconcile;
pub(crate) mod record;
pub(crate) mod redirect;
mod respond;
mod reuse;
mod screen;
mod select;
pub(crate) mod upgrade;

use std::sync::Arc;

use policy::forwarded::Way;
use policy::reason::{Pass, Refetch};
use policy::rules::CacheStatus;
use policy::{Asked, Plan};
use store::Key;
use tokio::sync::mpsc;

pub(crate) use self::answer::{Answer, Report};
pub(crate) use self::fill::trailers;
pub(crate) use self::respond::refusal;
pub(crate) use self::screen::screen_length;

use self::query::Read;
use self::reuse::{Choice, Usable};
use self::upgrade::{Offered, TunnelPlace};

use crate::content::{Informational, RequestContent};
use crate::entry::StoredHead;
use crate::error::Refusal;
use crate::front::deliver::Told;
use crate::head::RequestHead;
use crate::ids::RequestId;
use crate::worker::Worker;

/// A stored response.
pub(crate) type Entry = store::Entry<StoredHead>;

/// A request as it goes through the steps.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    pub(crate) head: Arc<RequestHead>,
    pub(crate) way: Arc<Way>,
    pub(crate) id: RequestId,
}

/// How far a request came without waiting.
pub(crate) enum Started {
    /// All the way.
    Answered(Answer),
    /// It needs the disk, the origin, or another request's fetch.
    Waiting(Next),
}

/// What a request that waits needs.
pub(crate) enum Next {
    /// The origin's answer, for this request alone.
    Forward(Pass),
    /// The same, which may be that the connection goes on in another protocol.
    Upgrade(Offered),
    /// A response for this key, from wherever it comes first.
    Obtain(Wanted),
    /// The same, for a QUERY: its content comes first.
    Query(Asked),
}

impl Next {
    /// The place among the tunnels that is kept for the request, if it has an offer.
    pub(crate) fn tunnel_place(&self) -> Option<TunnelPlace> {
        match self {
            Self::Upgrade(offered) => Some(offered.place()),
            Self::Forward(_) | Self::Obtain(_) | Self::Query(_) => None,
        }
    }
}

/// A request for something that may be stored.
#[derive(Clone)]
pub(crate) struct Wanted {
    pub(crate) key: Key,
    /// The key by which a fetch under way is found, if not the same.
    pub(crate) flight: Option<Key>,
    pub(crate) asked: Asked,
    pub(crate) found: Found,
}

impl Wanted {
    /// The key of those who may wait for one fetch.
    pub(crate) fn flight(&self) -> &Key {
        self.flight.as_ref().unwrap_or(&self.key)
    }
}

/// What a look-up came to.
#[derive(Clone)]
pub(crate) enum Found {
    /// Nothing in memory; the disk has not been asked.
    NotInMemory,
    /// A response that may not be used as it is.
    Unusable(Arc<Entry>, Refetch),
    /// Only parts of what the request selects, newest first, and why they do not answer it.
    Parts(Arc<[Arc<Entry>]>, Refetch),
    /// Nothing that this request selects.
    Nothing(Refetch),
}

/// The steps that never wait. `key` is scratch space for the primary key.
pub(crate) fn start(
    worker: &Arc<Worker>,
    request: &Request,
    has_content: bool,
    key: &mut Vec<u8>,
) -> Result<Started, Refusal> {
    let head = &*request.head;
    worker.shared.catch_up();
    screen::screen(head, has_content)?;
    screen::screen_path(worker, head)?;
    if let Some(answer) = last_hop::answer(worker, request) {
        return Ok(Started::Answered(answer));
    }
    if let Some(offer) = upgrade::offer(worker, head) {
        return Ok(Started::Waiting(Next::Upgrade(offer)));
    }
    let rules = &worker.shared.rules;
    let asked = match policy::classify(&head.method, &head.fields, has_content, rules) {
        Plan::Pass(why) => return Ok(Started::Waiting(Next::Forward(why))),
        Plan::LookUp(asked) => asked,
        Plan::LookUpWithContent(asked) => {
            return Ok(Started::Waiting(query::start(worker, head, asked)));
        }
    };
    look_up::primary_key(worker, head, key);
    let found = match worker.shared.store.peek(key) {
        None => Found::NotInMemory,
        Some(variants) => match reuse::choose(worker, request, &asked, &variants)? {
            // A body that has to be read from disk is looked up with patience.
            Choice::Use(usable) if !usable.entry.is_in_memory() => Found::NotInMemory,
            Choice::Use(usable) => {
                return Ok(Started::Answered(answer_from(worker, request, &asked, &usable)));
            }
            Choice::Obtain(found) => found,
        },
    };
    Ok(Started::Waiting(Next::Obtain(Wanted { key: Key::new(key), flight: None, asked, found })))
}

/// A response from the store, renewed behind the client's back if that is due.
fn answer_from(worker: &Arc<Worker>, request: &Request, asked: &Asked, usable: &Usable) -> Answer {
    if usable.refresh {
        join::refresh(worker, request, asked, &usable.entry);
    }
    respond::from_store(request, asked, usable)
}

/// The steps that wait.
pub(crate) async fn finish(
    worker: &Arc<Worker>,
    request: &Request,
    next: Next,
    content: Option<RequestContent>,
    informational: mpsc::Sender<Informational>,
) -> Result<Answer, Refusal> {
    match next {
        Next::Forward(why) => {
            let forward = forward::forward(worker, request, None, why, content, informational);
            Ok(Box::pin(forward).await)
        }
        Next::Upgrade(offer) => Ok(upgrade::upgrade(worker, request, &offer, informational).await),
        Next::Obtain(wanted) => obtain(worker, request, wanted, informational).await,
        Next::Query(asked) => match query::read(worker, request, asked, content).await {
            Read::Whole(request, wanted) => {
                // The content may have taken a while.
                worker.shared.catch_up();
                Box::pin(obtain(worker, &request, wanted, informational)).await
            }
            Read::TooLarge(content) => {
                let (why, content) = (Pass::QueryContentTooLarge, Some(content));
                let forward = forward::forward(worker, request, None, why, content, informational);
                Ok(Box::pin(forward).await)
            }
            Read::Broken(error) => Ok(respond::broken(worker, request, error)),
        },
    }
}

/// A response that may come from the store, or be stored.
async fn obtain(
    worker: &Arc<Worker>,
    request: &Request,
    mut wanted: Wanted,
    informational: mpsc::Sender<Informational>,
) -> Result<Answer, Refusal> {
    if let Some(answer) = look_up::on_disk(worker, request, &mut wanted).await? {
        return Ok(answer);
    }
    if let Some(answer) = parts::from_store(worker, request, &mut wanted).await? {
        return Ok(answer);
    }
    // The answer may be for this client only, whatever it is.
    if let Some(why) = unshared(request, &wanted.asked) {
        let found = Some(&wanted);
        let forward = forward::forward(worker, request, found, why, None, informational);
        let mut answer = Box::pin(forward).await;
        answer.report.looked_up(join::refetch(&wanted).fwd());
        return Ok(answer);
    }
    if wanted.asked.range {
        return Box::pin(parts::obtain(worker, request, wanted, informational)).await;
    }
    // Step 7; and, in a task of its own (`lead`), step 8 fetch, 9 reconcile, 10 fill.
    join::obtain(worker, request, wanted, informational).await
}

/// What the head of a response tells beside the answer. Only those who debug pay for a key.
pub(crate) fn told<'a>(worker: &'a Worker, request: &'a Request, report: &Report) -> Told<'a> {
    let cache_status = worker.shared.rules.cache_status;
    let mut told = Told { id: &request.id, cache_status, key: None, next_hop: None };
    if cache_status == CacheStatus::Full {
        if report.is_keyed() {
            let mut key = Vec::new();
            look_up::primary_key(worker, &request.head, &mut key);
            told.key = Some(key);
        }
        told.next_hop = Some(&worker.origin.shared.authority);
    }
    told
}

/// Why nobody else could be answered with what the origin says to this request.
fn unshared(request: &Request, asked: &Asked) -> Option<Pass> {
    // Parts are kept of responses to GET alone.
    let is_query = request.head.query_digest().is_some();
    policy::unshared(asked, &request.head.fields)
        .or((is_query && asked.range).then_some(Pass::RequestRange))
}
