//! Asking the origin about what is stored for a target under other selecting fields: it may turn out
//! to be what this request gets, too. (RFC 9111 §4.1, §4.3.1, §4.3.4)
//!
//! A wrong guess here would show one client what was meant for another. So only strong entity tags
//! are offered, which tell representations apart, and none of a response that was selected by who
//! asks, however well the origin minds its tags.

use crate::fields::Fields;
use crate::syntax::{members, trim};
use crate::terms::Terms;
use crate::validate::{self, etag, is_weak};

/// So many are offered at most.
pub const MOST_OFFERED: usize = 8;

/// May the origin be asked whether this stored response, which the request does not select, answers
/// it all the same?
pub fn is_offered(status: u16, stored: &Fields, terms: &Terms, request: &Fields) -> bool {
    // What selects by these tells users apart.
    const WHO: [&str; 5] =
        ["authorization", "client-cert", "client-cert-chain", "cookie", "proxy-authorization"];
    status == 200
        && etag(stored).is_some_and(is_strong)
        && !WHO.iter().any(|name| terms.vary().depends_on(name))
        && is_accepted(stored, request)
}

/// Adds to `out` the precondition that offers these stored responses; `false`, and nothing, if there
/// are none. Call [`validate::strip_conditionals`] on `out` before.
pub fn offer<'a>(stored: impl Iterator<Item = &'a Fields>, out: &mut Fields) -> bool {
    //= https://www.rfc-editor.org/rfc/rfc9111#section-4.3.1
    //# Typically, this will include only the stored response(s) that has the same cache key, although
    //# a cache is allowed to validate a response that it cannot choose with the request header fields
    //# it is sending (see Section 4.1).
    let offered = validate::conditional_fields_of(stored, out);
    // A date does not tell variants apart.
    out.remove("If-Modified-Since");
    offered
}

/// Which of the stored responses that were offered answers the request, by the origin's 304. `None`
/// means that it cannot be told: ask again without conditions.
pub fn confirmed(offered: &[&Fields], not_modified: &Fields) -> Option<usize> {
    //= https://www.rfc-editor.org/rfc/rfc9110#section-8.8.1
    //# A strong validator is unique across all versions of all representations associated with a
    //# particular resource over time.
    etag(not_modified).filter(|tag| is_strong(tag))?;
    validate::selected(offered, not_modified)
}

/// Has the client a use for the coding of the stored content? Some origins give the same tag to all
/// codings of a representation.
fn is_accepted(stored: &Fields, request: &Fields) -> bool {
    let accepts = |coding: &[u8]| {
        request.all("accept-encoding").flat_map(members).any(|member| {
            let mut parts = member.split(|&b| b == b';').map(trim);
            let name = parts.next().unwrap_or_default();
            name.eq_ignore_ascii_case(coding) && !parts.any(is_refusal)
        })
    };
    stored.all("content-encoding").flat_map(members).all(accepts)
}

/// `q=0`, which says "not this one" (RFC 9110 §12.4.2).
fn is_refusal(parameter: &[u8]) -> bool {
    let weight = parameter.strip_prefix(b"q=").or(parameter.strip_prefix(b"Q="));
    weight.is_some_and(|weight| weight.iter().all(|b| b"0. \t".contains(b)))
}

/// A tag in quotes that is not weak.
fn is_strong(tag: &[u8]) -> bool {
    !is_weak(tag) && tag.len() > 1 && tag.starts_with(b"\"") && tag.ends_with(b"\"")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::fields;
    use crate::{Admit, Asked, Exchanged, Method, Rules, Timestamp, admit};

    fn terms(response: &Fields) -> Terms {
        let exchanged = Exchanged {
            method: &Method::Get,
            asked: &Asked::default(),
            request: &Fields::new(),
            status: 200,
            response,
            request_time: Timestamp::from_secs(1_000),
            response_time: Timestamp::from_secs(1_000),
        };
        match admit(&exchanged, &Rules::default()) {
            Admit::Store(terms) => terms,
            Admit::DoNotStore(why) => panic!("{why:?}"),
        }
    }

    #[test]
    fn only_what_a_strong_tag_tells_apart_and_the_client_can_read_is_offered() {
        let rows = [
            (200, "etag: \"a\"\nvary: foo", "", true),
            (404, "etag: \"a\"\nvary: foo", "", false),
            (206, "etag: \"a\"\nvary: foo", "", false),
            (200, "vary: foo", "", false),
            (200, "etag: W/\"a\"\nvary: foo", "", false),
            (200, "etag: a\nvary: foo", "", false),
            (200, "etag: \"\nvary: foo", "", false),
            (200, "etag: \"a\"\nvary: foo, Cookie", "", false),
            (200, "etag: \"a\"\nvary: Authorization", "", false),
            (200, "etag: \"a\"\nvary: Proxy-Authorization", "", false),
            (200, "etag: \"a\"\ncontent-encoding: gzip", "", false),
            (200, "etag: \"a\"\ncontent-encoding: gzip", "accept-encoding: br", false),
            (200, "etag: \"a\"\ncontent-encoding: gzip", "accept-encoding: br, GZIP;q=0.5", true),
            (200, "etag: \"a\"\ncontent-encoding: gzip", "accept-encoding: gzip; q=0.0, br", false),
            (200, "etag: \"a\"\ncontent-encoding: gzip, br", "accept-encoding: gzip", false),
            (200, "etag: \"a\"\ncontent-encoding: gzip, br", "accept-encoding: br,gzip", true),
        ];
        for (status, stored, request, expected) in rows {
            let stored = fields(&format!("cache-control: max-age=60\n{stored}"));
            let got = is_offered(status, &stored, &terms(&stored), &fields(request));
            assert_eq!(got, expected, "{status} {stored:?} {request}");
        }
    }

    #[test]
    fn tags_are_offered_and_dates_are_not() {
        //= https://www.rfc-editor.org/rfc/rfc9111#section-4.3.1
        //= type=test
        //# Typically, this will include only the stored response(s) that has the same cache key,
        //# although a cache is allowed to validate a response that it cannot choose with the request
        //# header fields it is sending (see Section 4.1).
        let modified = "last-modified: Sun, 06 Nov 1994 08:49:37 GMT";
        let stored = [fields(&format!("etag: \"a\"\n{modified}")), fields("etag: \"b\"")];
        for (count, expected) in [(2, "If-None-Match: \"a\", \"b\""), (1, "If-None-Match: \"a\"")] {
            let mut out = Fields::new();
            assert!(offer(stored[..count].iter(), &mut out));
            assert_eq!(out, fields(expected));
        }
        let mut out = Fields::new();
        assert!(!offer(std::iter::empty(), &mut out) && out.is_empty());
    }

    #[test]
    fn a_304_confirms_only_by_a_strong_tag_that_was_offered() {
        //= https://www.rfc-editor.org/rfc/rfc9110#section-8.8.1
        //= type=test
        //# A strong validator is unique across all versions of all representations associated with a
        //# particular resource over time.
        let modified = "last-modified: Sun, 06 Nov 1994 08:49:37 GMT";
        let stored = [fields(&format!("etag: \"a\"\n{modified}")), fields("etag: \"b\"")];
        let offered: Vec<_> = stored.iter().collect();
        let rows = [
            ("etag: \"a\"", Some(0)),
            ("etag: \"b\"", Some(1)),
            ("etag: \"c\"", None),
            ("etag: W/\"a\"", None),
            (modified, None),
            ("", None),
        ];
        for (not_modified, expected) in rows {
            assert_eq!(confirmed(&offered, &fields(not_modified)), expected, "{not_modified}");
        }
        assert_eq!(confirmed(&offered[..1], &Fields::new()), None);
    }
}
