//! Validation: the conditional request out, the 304 in (RFC 9111 §4.3, §3.2).

use crate::date;
use crate::directives::ResponseDirectives;
use crate::fields::Fields;
use crate::rules::Rules;
use crate::strip::{is_hop_by_hop, is_named_by_connection};
use crate::syntax::trim;
use crate::units::Timestamp;

/// Adds to `out` the preconditions that validate a stored response; `false`, and nothing, when it
/// has no validator. Call [`strip_conditionals`] on `out` before, to drop the client's own.
pub fn conditional_fields(stored_fields: &Fields, out: &mut Fields) -> bool {
    conditional_fields_of(std::iter::once(stored_fields), out)
}

/// As [`conditional_fields`], for several stored responses at once: the origin may confirm any of
/// them, and [`selected`] says which. Those without a validator are passed over.
pub fn conditional_fields_of<'a>(
    stored: impl Iterator<Item = &'a Fields>,
    out: &mut Fields,
) -> bool {
    let validated: Vec<&Fields> = stored.filter(|stored| has_validator(stored)).collect();
    //= https://www.rfc-editor.org/rfc/rfc9111#section-4.3.1
    //# MUST send the relevant entity tags (using If-Match, If-None-Match, or If-Range) if the entity
    //# tags were provided in the stored response(s) being validated.
    let mut tags: Vec<&[u8]> = Vec::new();
    for tag in validated.iter().filter_map(|stored| etag(stored)) {
        if !tags.contains(&tag) {
            tags.push(tag);
        }
    }
    if !tags.is_empty() {
        out.push(b"If-None-Match", &tags.join(&b", "[..]));
    }
    //= https://www.rfc-editor.org/rfc/rfc9111#section-4.3.1
    //# SHOULD send the Last-Modified value (using If-Modified-Since) if the request is not for a
    //# subrange, a single stored response is being validated, and that response contains a
    //# Last-Modified value.
    let modified = match validated[..] {
        [single] => last_modified(single),
        _ => None,
    };
    if let Some(modified) = modified {
        out.push(b"If-Modified-Since", modified);
    }
    !tags.is_empty() || modified.is_some()
}

/// Can a stored response be validated with a conditional request?
pub fn has_validator(stored: &Fields) -> bool {
    etag(stored).is_some() || last_modified(stored).is_some()
}

/// Removes what would make the origin answer only this client: the preconditions that a cache
/// evaluates itself, and the range. A request that fills the cache must bring the whole response.
///
/// If-Match and If-Unmodified-Since stay, for they are meant for the origin; a 412 is not stored.
pub fn strip_conditionals(request: &mut Fields) {
    //= https://www.rfc-editor.org/rfc/rfc9111#section-4.3.2
    //# In summary, the If-Match and If-Unmodified-Since conditional header fields are not applicable
    //# to a cache
    const OURS: [&[u8]; 4] = [b"if-none-match", b"if-modified-since", b"if-range", b"range"];
    request.retain(|name, _| !OURS.iter().any(|ours| name.eq_ignore_ascii_case(ours)));
}

/// Is the 304 about this stored response, the only one whose validators were sent?
pub fn selected_by(stored: &Fields, not_modified: &Fields) -> bool {
    selected(&[stored], not_modified).is_some()
}

/// Which of the stored responses whose validators were sent is the 304 about? They are given newest
/// first. `None` means that it is about none of them, or that it cannot be told about which: ask
/// again without conditions.
pub fn selected(stored: &[&Fields], not_modified: &Fields) -> Option<usize> {
    match (etag(not_modified), last_modified(not_modified)) {
        //= https://www.rfc-editor.org/rfc/rfc9111#section-4.3.4
        //# If none of the initial set contains at least one of the same strong validators, then the
        //# cache MUST NOT use the new response to update any stored responses.
        (Some(tag), _) if !is_weak(tag) => newest(stored, |ours| etag(ours) == Some(tag)),
        //= https://www.rfc-editor.org/rfc/rfc9111#section-4.3.4
        //# If the new response contains no strong validators but does contain one or more weak
        //# validators, and those validators correspond to one of the initial set's stored responses,
        //# then the most recent of those matching stored responses is identified for update.
        (Some(tag), _) => {
            newest(stored, |ours| etag(ours).is_some_and(|ours| opaque(ours) == opaque(tag)))
        }
        // Variants made from one source are often modified in the same second.
        (None, Some(modified)) => only(stored, |ours| same_date(last_modified(ours), modified)),
        // Without a validator it can only be an answer to the ones that were sent: many origins
        // leave them out, although RFC 9110 §15.4.5 asks for them.
        (None, None) if stored.len() > 1 => only(stored, has_validator),
        (None, None) => only(stored, |_| true),
    }
}

/// The first for which `is_meant` holds; `None` when another one that is not in the same form is
/// meant as well. Some origins give one tag to all codings of a representation.
fn newest(stored: &[&Fields], is_meant: impl Fn(&Fields) -> bool) -> Option<usize> {
    const FORM: [&str; 3] = ["content-encoding", "content-language", "content-type"];
    let (first, newest) = stored.iter().enumerate().find(|(_, ours)| is_meant(ours))?;
    let is_alike = |ours: &Fields| FORM.iter().all(|name| newest.all(name).eq(ours.all(name)));
    let others = &stored[first + 1..];
    others.iter().all(|ours| !is_meant(ours) || is_alike(ours)).then_some(first)
}

/// The one for which `is_meant` holds; `None` when there are several.
fn only(stored: &[&Fields], is_meant: impl Fn(&Fields) -> bool) -> Option<usize> {
    let mut meant = stored.iter().enumerate().filter(|(_, ours)| is_meant(ours));
    let (index, _) = meant.next()?;
    meant.next().is_none().then_some(index)
}

/// Updates the fields of a stored response with those of a 304 about it.
///
/// Age and Date are those of the 304 alone: the old ones are removed even when it has none, so that
/// a validated response counts as new. Give the 304 a Date first with [`date::stamp`]. What the
/// updated directives withhold from storage is removed, be it old or new.
pub fn freshen(stored: &mut Fields, not_modified: &Fields, rules: &Rules) {
    //= https://www.rfc-editor.org/rfc/rfc9111#section-3.2
    //# When doing so, the cache MUST add each header field in the provided response to the stored
    //# response, replacing field values that are already present, with the following exceptions:
    //= https://www.rfc-editor.org/rfc/rfc9111#section-4.3.4
    //# For each stored response identified, the cache MUST update its header fields with the header
    //# fields provided in the 304 (Not Modified) response, as per Section 3.2.
    let keeps_type = !is_same_type(stored, not_modified);
    let is_kept =
        |name: &[u8]| is_kept(name) || (keeps_type && name.eq_ignore_ascii_case(b"content-type"));
    let updates = |name: &[u8]| {
        !is_kept(name) && !is_hop_by_hop(name) && !is_named_by_connection(name, not_modified)
    };
    stored.retain(|name, _| {
        let is_renewed = name.eq_ignore_ascii_case(b"age") || name.eq_ignore_ascii_case(b"date");
        let is_replaced = updates(name) && not_modified.values(name).next().is_some();
        !is_renewed && !is_replaced
    });
    for (name, value) in not_modified.iter().filter(|(name, _)| updates(name)) {
        stored.push(name, value);
    }
    let directives = ResponseDirectives::of(stored, rules);
    stored.retain(|name, _| !directives.withholds(name));
}

/// The fields of a 304 that [`freshen`] left out of the `updated` ones because they are withheld
/// from storage: they are for the client whose request brought them.
pub fn withheld_fields(updated: &Fields, not_modified: &Fields, rules: &Rules) -> Fields {
    let withheld = ResponseDirectives::of(updated, rules);
    let mut fields = not_modified.clone();
    fields.retain(|name, _| withheld.withholds(name) && !is_kept(name) && !is_hop_by_hop(name));
    fields
}

/// Fields that describe the stored bytes, which a 304 does not change.
fn is_kept(name: &[u8]) -> bool {
    //= https://www.rfc-editor.org/rfc/rfc9111#section-3.2
    //# The Content-Length header field.
    //= https://www.rfc-editor.org/rfc/rfc9111#section-3.2
    //# Header fields that the cache's stored response depends upon, as described below,
    const KEPT: [&[u8]; 8] = [
        b"content-digest",
        b"content-encoding",
        b"content-length",
        b"content-md5",
        b"content-range",
        b"digest",
        b"repr-digest",
        b"trailer",
    ];
    KEPT.iter().any(|kept| name.eq_ignore_ascii_case(kept))
}

/// Does the 304 say the same of what the stored bytes are, apart from parameters and letter case?
fn is_same_type(stored: &Fields, not_modified: &Fields) -> bool {
    //= https://www.rfc-editor.org/rfc/rfc9111#section-3.2
    //# Caches in this situation MAY omit these header fields from updating stored responses on an
    //# exceptional basis but SHOULD limit such omission to those fields necessary to assure integrity
    //# of the stored response.
    let ours = stored.get("content-type").map(media_type);
    let mut theirs = not_modified.all("content-type").map(media_type);
    let is_same = |ours: &[u8]| theirs.all(|theirs| theirs.eq_ignore_ascii_case(ours));
    ours.is_some_and(is_same)
}

/// The `type/subtype` of a Content-Type.
fn media_type(value: &[u8]) -> &[u8] {
    let end = value.iter().position(|&b| b == b';').unwrap_or(value.len());
    trim(&value[..end])
}

/// The `ETag` as it came; many origins forget its quotes, and want it back without.
pub(crate) fn etag(fields: &Fields) -> Option<&[u8]> {
    fields.get("etag").map(trim).filter(|tag| !tag.is_empty())
}

/// The Last-Modified, if it is a date.
pub(crate) fn last_modified(fields: &Fields) -> Option<&[u8]> {
    fields.get("last-modified").filter(|value| date::parse(value, Timestamp::default()).is_some())
}

pub(crate) fn same_date(ours: Option<&[u8]>, theirs: &[u8]) -> bool {
    let read = |value| date::parse(value, Timestamp::default());
    ours.is_some_and(|ours| read(ours) == read(theirs))
}

pub(crate) fn is_weak(tag: &[u8]) -> bool {
    tag.starts_with(b"W/")
}

fn opaque(tag: &[u8]) -> &[u8] {
    tag.strip_prefix(b"W/").unwrap_or(tag)
}

/// Does a list of entity tags have one that weakly equals the `ETag` of the stored response?
pub(crate) fn lists_weakly(list: &[u8], stored: &Fields) -> bool {
    //= https://www.rfc-editor.org/rfc/rfc9110#section-8.8.3.2
    //# two entity tags are equivalent if their opaque-tags match character-by-character, regardless
    //# of either or both being tagged as "weak".
    let Some(ours) = etag(stored) else { return false };
    tags(list).any(|theirs| opaque(theirs) == opaque(ours))
}

/// An entity tag has no escapes: a backslash before its closing quote is part of it.
fn tags(list: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = list;
    std::iter::from_fn(move || {
        let mut quoted = false;
        let separates = |byte: &u8| {
            quoted ^= *byte == b'"';
            *byte == b',' && !quoted
        };
        if rest.is_empty() {
            return None;
        }
        let end = rest.iter().position(separates).unwrap_or(rest.len());
        let tag = trim(&rest[..end]);
        rest = rest.get(end + 1..).unwrap_or_default();
        Some(tag)
    })
}

#[cfg(test)]
mod tests;
