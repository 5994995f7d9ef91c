//! The life of a request, as a list of named steps. `docs/lifecycle.md` has the picture.
//!
//! | step      | where            | what it decides or does                                   |
//! |-----------|------------------|-----------------------------------------------------------|
//! | receive   | `front`          | a request head off the wire                               |
//! | screen    | [`screen`]       | may this request be served at all                         |
//! | route     | [`route`]        | the site whose rules and origin apply                     |
//! | classify  | `policy`         | may a stored response answer it                           |
//! | `look_up` | [`look_up`]      | the stored variant, from memory or disk                   |
//! | reuse     | [`reuse`]        | is that variant good enough now                           |
//! | join      | [`join`]         | fetch it, or wait for another request that does           |
//! | fetch     | [`fetch`]        | ask the origin                                            |
//! | reconcile | [`reconcile`]    | store, freshen, pass on, or fall back to a stale response |
//! | fill      | [`fill`]         | body to the store; the only step that changes it          |
//! | respond   | [`respond`]      | the final head                                            |
//! | deliver   | `front::deliver` | head and body to the client                               |
//! | record    | [`record`]       | counters and log                                          |
//!
//! [`start`] takes the steps that never wait: a request that a response in memory answers is done
//! there. [`finish`] takes the others.

pub(crate) mod answer;
mod fetch;
mod fill;
mod forward;
pub(crate) mod invalidations;
pub(crate) mod join;
mod lead;
mod look_up;
mod reconcile;
pub(crate) mod record;
mod respond;
mod reuse;
mod route;
mod screen;
pub(crate) mod unshareable;

use std::net::IpAddr;
use std::sync::Arc;

use policy::reason::{Pass, Refetch};
use policy::{Asked, Plan};
use store::Key;
use tokio::sync::mpsc;

pub(crate) use self::answer::Answer;
pub(crate) use self::fill::trailers;
pub(crate) use self::respond::refusal;

use crate::entry::StoredHead;
use crate::error::Refusal;
use crate::head::RequestHead;
use crate::ids::RequestId;
use crate::origin::content::RequestContent;
use crate::origin::exchange::Informational;
use crate::worker::Worker;

/// A stored response.
pub(crate) type Entry = store::Entry<StoredHead>;

/// A request as it goes through the steps.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    pub(crate) head: Arc<RequestHead>,
    pub(crate) client: IpAddr,
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
    /// A response for this key, from wherever it comes first.
    Obtain(Wanted),
}

/// A request for something that may be stored.
#[derive(Clone)]
pub(crate) struct Wanted {
    pub(crate) key: Key,
    pub(crate) asked: Asked,
    pub(crate) found: Found,
}

/// What a look-up came to.
#[derive(Clone)]
pub(crate) enum Found {
    /// Nothing in memory; the disk has not been asked.
    NotInMemory,
    /// A response that may not be used as it is.
    Unusable(Arc<Entry>, Refetch),
    /// Nothing that this request selects.
    Nothing(Refetch),
}

/// The steps that never wait. `key` is scratch space for the primary key.
pub(crate) fn start(
    worker: &Worker,
    request: &Request,
    has_content: bool,
    key: &mut Vec<u8>,
) -> Result<Started, Refusal> {
    let head = &*request.head;
    screen::screen(head)?;
    let site = route::route(worker, head);
    let asked = match policy::classify(&head.method, &head.fields, has_content, &site.rules) {
        Plan::Pass(why) => return Ok(Started::Waiting(Next::Forward(why))),
        Plan::LookUp(asked) => asked,
    };
    look_up::primary_key(worker, head, key);
    let found = match worker.shared.store.peek(key) {
        None => Found::NotInMemory,
        Some(variants) => match reuse::choose(worker, request, &asked, &variants)? {
            reuse::Choice::Answer(answer) => return Ok(Started::Answered(answer)),
            reuse::Choice::Obtain(found) => found,
        },
    };
    Ok(Started::Waiting(Next::Obtain(Wanted { key: Key::new(key), asked, found })))
}

/// The steps that wait.
pub(crate) async fn finish(
    worker: &Arc<Worker>,
    request: &Request,
    next: Next,
    content: Option<RequestContent>,
    interim: mpsc::Sender<Informational>,
) -> Result<Answer, Refusal> {
    let mut wanted = match next {
        Next::Forward(why) => {
            return Ok(forward::forward(worker, request, why, content, interim).await);
        }
        Next::Obtain(wanted) => wanted,
    };
    if let Some(answer) = look_up::on_disk(worker, request, &mut wanted).await? {
        return Ok(answer);
    }
    if let Some(why) = forward::cannot_be_shared(request, &wanted) {
        return Ok(forward::forward(worker, request, why, None, interim).await);
    }
    join::obtain(worker, request, wanted, interim).await
}
