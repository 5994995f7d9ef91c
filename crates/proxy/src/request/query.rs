//! QUERY: a safe request whose content belongs to the key (RFC 10008 §2.7).
//!
//! The responses to all QUERYs for a URL are variants under one key of its own, so that whatever
//! makes the URL invalid takes them all along. What tells them apart is a digest of the content and
//! of the fields that describe it, before anything that Vary says.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use policy::Asked;
use policy::reason::Pass;
use sha2::{Digest, Sha256};
use store::Key;

use super::{Found, Next, Request, Wanted, look_up};
use crate::content::{Piece, RequestContent};
use crate::error::ContentError;
use crate::head::{Query, RequestHead};
use crate::worker::Worker;

/// What a QUERY comes to whose content has been asked for.
pub(crate) enum Read {
    /// A request with its content, and what it wants.
    Whole(Request, Wanted),
    /// Content that is not read further, as if nothing had been taken out of it.
    TooLarge(RequestContent),
    /// Content that cannot be read.
    Broken(ContentError),
}

/// What a QUERY waits for first.
pub(crate) fn start(worker: &Worker, head: &RequestHead, asked: Asked) -> Next {
    if worker.shared.limits.query_content == 0 {
        return Next::Forward(Pass::MethodNotCacheable);
    }
    // Nothing that is stored could answer it, so its content need not wait here.
    match policy::unshared(&asked, &head.fields) {
        Some(why) => Next::Forward(why),
        None => Next::Query(asked),
    }
}

/// Reads the content, as far as it may be kept.
pub(crate) async fn read(
    worker: &Worker,
    request: &Request,
    asked: Asked,
    content: Option<RequestContent>,
) -> Read {
    let most = worker.shared.limits.query_content;
    match collect(content, most).await {
        Ok(Collected::Whole(content)) => {
            let request = with_content(request, content);
            let (key, flight) = keys(worker, &request.head);
            let wanted = Wanted { key, flight, asked, found: Found::NotInMemory };
            Read::Whole(request, wanted)
        }
        Ok(Collected::TooLarge(content)) => Read::TooLarge(content),
        Err(error) => Read::Broken(error),
    }
}

/// The key under which the response to a request is stored, and for a QUERY the one by which others
/// that ask the same find the fetch under way. That one has in it how often the URL was invalidated:
/// who comes after an invalidation never waits for a fetch from before.
pub(crate) fn keys(worker: &Worker, head: &RequestHead) -> (Key, Option<Key>) {
    let mut key = Vec::new();
    look_up::primary_key(worker, head, &mut key);
    let Some(digest) = head.query_digest() else { return (Key::new(&key), None) };
    key = policy::key::query_key(&key);
    let stored = Key::new(&key);
    let generation = worker.shared.invalidations.last(&stored);
    key.push(b' ');
    key.extend_from_slice(digest);
    key.extend_from_slice(&generation.to_le_bytes());
    (stored, Some(Key::new(&key)))
}

enum Collected {
    Whole(Bytes),
    TooLarge(RequestContent),
}

async fn collect(content: Option<RequestContent>, most: usize) -> Result<Collected, ContentError> {
    let Some(mut content) = content else { return Ok(Collected::Whole(Bytes::new())) };
    if content.length.is_some_and(|length| length > most as u64) {
        return Ok(Collected::TooLarge(content));
    }
    let mut taken = BytesMut::new();
    while let Some(piece) = content.next().await? {
        match piece {
            Piece::Data(data) => taken.extend_from_slice(&data),
            //= https://www.rfc-editor.org/rfc/rfc9112#section-7.1.2
            //# A recipient that removes the chunked coding from a message MAY selectively retain or
            //# discard the received trailer fields.
            Piece::Trailers(_) => {}
        }
        if taken.len() > most {
            return Ok(Collected::TooLarge(content.put_back(taken.freeze())));
        }
    }
    Ok(Collected::Whole(taken.freeze()))
}

fn with_content(request: &Request, content: Bytes) -> Request {
    let mut head = (*request.head).clone();
    // The trailers it announces are not sent.
    head.fields.remove("Trailer");
    let mut identity = Vec::with_capacity(content.len() + 128);
    policy::query::identity(&head.fields, &content, &mut identity);
    let digest = Sha256::digest(&identity).into();
    head.query = Some(Arc::new(Query { content, digest }));
    Request { head: Arc::new(head), ..request.clone() }
}
