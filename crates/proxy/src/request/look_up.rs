//! Step 5: the stored responses for a request's target.

use policy::reason::Refetch;

use super::answer::AnswerContent;
use super::{Answer, Found, Request, Wanted, reuse};
use crate::error::Refusal;
use crate::head::RequestHead;
use crate::worker::Worker;

/// Writes the primary key of a request: scheme, host, path and query, and the origin.
pub(crate) fn primary_key(worker: &Worker, head: &RequestHead, key: &mut Vec<u8>) {
    key.clear();
    policy::primary_key(key, head.scheme.as_str().as_bytes(), &head.authority, &head.target);
    add_origin(worker, key);
}

/// Two origins that use one cache directory, now or one after the other, never share an entry. A
/// space cannot stand in a target, so what comes behind it is not the client's.
pub(crate) fn add_origin(worker: &Worker, key: &mut Vec<u8>) {
    key.push(b' ');
    key.extend_from_slice(worker.origin.shared.name.as_bytes());
}

/// Looks further than memory, if nothing was there. A store that fails is a miss.
pub(crate) async fn on_disk(
    worker: &Worker,
    request: &Request,
    wanted: &mut Wanted,
) -> Result<Option<Answer>, Refusal> {
    if !matches!(wanted.found, Found::NotInMemory) {
        return Ok(None);
    }
    let choice = match worker.shared.store.look_up(&wanted.key).await {
        Some(variants) => reuse::choose(worker, request, &wanted.asked, &variants)?,
        None => reuse::nothing(&wanted.asked, Refetch::Absent)?,
    };
    match choice {
        reuse::Choice::Answer(answer) => return checked(wanted, answer).await,
        reuse::Choice::Obtain(found) => wanted.found = found,
    }
    Ok(None)
}

/// Waits for the first bytes of a body on disk, while trouble with it is still only a miss.
async fn checked(wanted: &mut Wanted, mut answer: Answer) -> Result<Option<Answer>, Refusal> {
    if let AnswerContent::Stored(reader) = &mut answer.content
        && reader.ready().await.is_err()
    {
        reuse::nothing(&wanted.asked, Refetch::StoreFailed)?;
        wanted.found = Found::Nothing(Refetch::StoreFailed);
        return Ok(None);
    }
    Ok(Some(answer))
}
