//! What the origin's answer to HEAD says about a stored response to GET. (RFC 9111 §4.3.5)

use crate::classify::Asked;
use crate::fields::Fields;
use crate::range::exactly;
use crate::rules::{Profile, Rules};
use crate::syntax::trim;
use crate::terms::{Fact, Terms};
use crate::units::Timestamp;
use crate::validate::{etag, last_modified, same_date};

/// A stored response that the HEAD could have been answered with: its key and its `Vary` match.
#[derive(Clone, Copy, Debug)]
pub struct StoredForHead<'a> {
    /// Its status.
    pub status: u16,
    /// Its fields.
    pub fields: &'a Fields,
    /// The length of its content in bytes.
    pub length: Option<u64>,
    /// Its terms.
    pub terms: &'a Terms,
}

/// What becomes of a stored response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HeadEffect {
    /// It is what a GET would have brought: [`freshen`](crate::validate::freshen) it.
    Freshen {
        /// A validator says so, and its age is counted anew. Otherwise the new fields have a say in
        /// how long it may be used, but its age runs on (see [`Terms::aged_as`]): an answer that does
        /// not tell the content apart from any other must not prolong its life beyond what the
        /// origin gives to content of that age.
        validated: bool,
    },
    /// A GET would have brought something else: it is stale from now on.
    Outdated,
    /// The answer says nothing about it.
    Nothing,
}

/// Judges one stored response by the origin's answer to a HEAD that was sent at `sent`. The fields
/// are as they arrived, with their `Content-Length`.
pub fn head_effect(
    asked: &Asked,
    stored: &StoredForHead<'_>,
    status: u16,
    head: &Fields,
    sent: Timestamp,
    rules: &Rules,
) -> HeadEffect {
    // What was stored since then is newer than this answer. Without the permission to share it, what
    // one user is shown is no news for the others; and nothing of the answer may be kept if the
    // client forbids it.
    let personal = (asked.authorization || asked.certificate)
        && rules.profile == Profile::Safe
        && !stored.terms.is(Fact::PermitsAuthorized);
    if stored.terms.response_time() > sent || personal || asked.no_store {
        return HeadEffect::Nothing;
    }
    match (status, stored.status) {
        //= https://www.rfc-editor.org/rfc/rfc9111#section-4.3.5
        //# When a cache makes an inbound HEAD request for a target URI and receives a 200 (OK)
        //# response, the cache SHOULD update or invalidate each of its stored GET responses that
        //# could have been chosen for that request (see Section 4.1).
        (200, 200 | 206) => compare(stored, head),
        //= https://www.rfc-editor.org/rfc/rfc9111#section-4.3.5
        //# A response to the HEAD method is identical to what an equivalent request made with a GET
        //# would have been, without sending the content.
        // Other errors may be about this client, or about the method.
        (200 | 404 | 410, before) if before != status => HeadEffect::Outdated,
        _ => HeadEffect::Nothing,
    }
}

fn compare(stored: &StoredForHead<'_>, head: &Fields) -> HeadEffect {
    let tag = etag(head).map(|tag| etag(stored.fields) == Some(tag));
    let modified =
        last_modified(head).map(|modified| same_date(last_modified(stored.fields), modified));
    // The length of a part is not that of the whole.
    let is_whole = stored.status == 200;
    let length =
        head.get("content-length").filter(|_| is_whole).map(|told| same_length(stored, told));
    //= https://www.rfc-editor.org/rfc/rfc9111#section-4.3.5
    //# if the stored response and HEAD response have matching values for any received validator
    //# fields (ETag and Last-Modified) and, if the HEAD response has a Content-Length header field,
    //# the value of Content-Length matches that of the stored response, the cache SHOULD update the
    //# stored response as described below; otherwise, the cache SHOULD consider the stored response
    //# to be stale.
    if [tag, modified, length].contains(&Some(false)) {
        return HeadEffect::Outdated;
    }
    if !is_whole {
        return HeadEffect::Nothing;
    }
    //= https://www.rfc-editor.org/rfc/rfc9111#section-4.2.3
    //# The Age field value is the cache's estimate of the number of seconds since the origin server
    //# generated or validated the response.
    HeadEffect::Freshen { validated: tag.or(modified).is_some() }
}

fn same_length(stored: &StoredForHead<'_>, told: &[u8]) -> bool {
    let told = exactly(trim(told));
    told.is_some() && told == stored.length
}

#[cfg(test)]
mod tests;
