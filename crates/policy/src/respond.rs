//! What a client gets of a stored response: all of it, or only the news that it has it already
//! (RFC 9110 §13.2.2, RFC 9111 §4.3.2).

use crate::date;
use crate::fields::Fields;
use crate::method::Method;
use crate::syntax::trim;
use crate::units::Timestamp;
use crate::validate::lists_weakly;

/// The form of the answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reply {
    /// The stored response.
    Full,
    /// 304: the client has it.
    NotModified,
    /// 412: the request is not a GET, HEAD or QUERY, and its precondition is false.
    PreconditionFailed,
}

/// Evaluates the preconditions of a request against a stored response that satisfies it.
///
/// If-Match and If-Unmodified-Since are left alone: a cache does not evaluate them.
pub fn respond(method: &Method, request: &Fields, status: u16, stored: &Fields) -> Reply {
    //= https://www.rfc-editor.org/rfc/rfc9110#section-13.2.1
    //# A server MUST ignore all received preconditions if its response to the same request without
    //# those conditions, prior to processing the request content, would have been a status code
    //# other than a 2xx (Successful) or 412 (Precondition Failed).
    if status != 200 {
        return Reply::Full;
    }
    //= https://www.rfc-editor.org/rfc/rfc10008#section-2.6
    //# A conditional QUERY requests that the selected representation (i.e., the query results after
    //# any content negotiation) be returned in the response only under the circumstances described
    //# by the conditional header field(s)
    let reads = matches!(method, Method::Get | Method::Head | Method::Query);
    //= https://www.rfc-editor.org/rfc/rfc9110#section-13.1.3
    //# A recipient MUST ignore If-Modified-Since if the request contains an If-None-Match header
    //# field
    if request.contains("if-none-match") {
        return match (names_stored(request, stored), reads) {
            (false, _) => Reply::Full,
            (true, true) => Reply::NotModified,
            (true, false) => Reply::PreconditionFailed,
        };
    }
    if reads && is_unmodified(request, stored) { Reply::NotModified } else { Reply::Full }
}

/// Adds the fields of a stored response that a 304 about it carries, with an Age that it still has
/// from another cache: who updates a response with the 304 must not take it for newer than it is.
pub fn not_modified_fields(stored: &Fields, out: &mut Fields) {
    //= https://www.rfc-editor.org/rfc/rfc9110#section-15.4.5
    //# Content-Location, Date, ETag, and Vary
    const ALWAYS: [&[u8]; 7] =
        [b"age", b"content-location", b"date", b"etag", b"vary", b"cache-control", b"expires"];
    //= https://www.rfc-editor.org/rfc/rfc9110#section-15.4.5
    //# Last-Modified might be useful if the response does not have an ETag field
    let without_tag = !stored.contains("etag");
    for (name, value) in stored.iter() {
        let is = |wanted: &[u8]| name.eq_ignore_ascii_case(wanted);
        if ALWAYS.iter().any(|wanted| is(wanted)) || (without_tag && is(b"last-modified")) {
            out.push(name, value);
        }
    }
}

/// Is If-None-Match false: does it name the stored response?
fn names_stored(request: &Fields, stored: &Fields) -> bool {
    let mut lines = request.all("if-none-match");
    //= https://www.rfc-editor.org/rfc/rfc9110#section-13.1.2
    //# If the field value is "*", the condition is false if the origin server has a current
    //# representation for the target resource.
    //= https://www.rfc-editor.org/rfc/rfc9110#section-13.1.2
    //# A recipient MUST use the weak comparison function when comparing entity tags for
    //# If-None-Match
    lines.any(|line| trim(line) == b"*" || lists_weakly(line, stored))
}

/// Is If-Modified-Since false: has the stored response not been modified since?
fn is_unmodified(request: &Fields, stored: &Fields) -> bool {
    let mut lines = request.all("if-modified-since");
    //= https://www.rfc-editor.org/rfc/rfc9110#section-13.1.3
    //# A recipient MUST ignore the If-Modified-Since header field if the received field value is not
    //# a valid HTTP-date, the field value has more than one member, or if the request method is
    //# neither GET nor HEAD.
    let (Some(since), None) = (lines.next(), lines.next()) else { return false };
    let made = stored.get("date").and_then(|value| date::parse(value, Timestamp::default()));
    let now = made.unwrap_or_default();
    let Some(since) = date::parse(since, now) else { return false };
    //= https://www.rfc-editor.org/rfc/rfc9111#section-4.3.2
    //# If a request contains an If-Modified-Since header field and the Last-Modified header field is
    //# not present in a stored response, a cache SHOULD use the stored response's Date field value
    //# (or, if no Date field is present, the time that the stored response was received) to evaluate
    //# the conditional.
    let modified = match stored.get("last-modified") {
        Some(value) => date::parse(value, now),
        None => made,
    };
    //= https://www.rfc-editor.org/rfc/rfc9110#section-13.1.3
    //# If the selected representation's last modification date is earlier or equal to the date
    //# provided in the field value, the condition is false.
    modified.is_some_and(|modified| modified <= since)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::fields;

    const EARLIER: &str = "Sun, 06 Nov 1994 08:49:36 GMT";
    const LATER: &str = "Sun, 06 Nov 1994 08:49:37 GMT";

    fn check(request: &str, stored: &str, expected: Reply) {
        let (request, stored) = (fields(request), fields(stored));
        for method in [Method::Get, Method::Head, Method::Query] {
            let got = respond(&method, &request, 200, &stored);
            assert_eq!(got, expected, "{method:?} {request:?} {stored:?}");
        }
    }

    #[test]
    fn if_none_match_is_compared_weakly_with_every_listed_tag() {
        //= https://www.rfc-editor.org/rfc/rfc10008#section-2.6
        //= type=test
        //# A conditional QUERY requests that the selected representation (i.e., the query results
        //# after any content negotiation) be returned in the response only under the circumstances
        //# described by the conditional header field(s)
        //= https://www.rfc-editor.org/rfc/rfc9110#section-13.1.2
        //= type=test
        //# A recipient MUST use the weak comparison function when comparing entity tags for
        //# If-None-Match
        //= https://www.rfc-editor.org/rfc/rfc9110#section-8.8.3.2
        //= type=test
        //# two entity tags are equivalent if their opaque-tags match character-by-character,
        //# regardless of either or both being tagged as "weak".
        let rows = [
            ("\"a\"", "\"a\"", Reply::NotModified),
            ("W/\"a\"", "\"a\"", Reply::NotModified),
            ("\"a\"", "W/\"a\"", Reply::NotModified),
            ("\"x\", \"a\", \"y\"", "\"a\"", Reply::NotModified),
            ("\"x,\", \"a\"", "\"a\"", Reply::NotModified),
            ("\"x\\\", \"a\"", "\"a\"", Reply::NotModified),
            ("\"x\"\nif-none-match: \"a\"", "\"a\"", Reply::NotModified),
            ("\"b\"", "\"a\"", Reply::Full),
            ("\"A\"", "\"a\"", Reply::Full),
            ("w/\"a\"", "\"a\"", Reply::Full),
            ("\"x, a\"", "a", Reply::Full),
            ("", "\"a\"", Reply::Full),
        ];
        for (tags, etag, expected) in rows {
            check(&format!("if-none-match: {tags}"), &format!("etag: {etag}"), expected);
        }
        check("if-none-match: \"a\"", "", Reply::Full);
    }

    #[test]
    fn a_star_matches_whatever_is_stored() {
        //= https://www.rfc-editor.org/rfc/rfc9110#section-13.1.2
        //= type=test
        //# If the field value is "*", the condition is false if the origin server has a current
        //# representation for the target resource.
        check("if-none-match: *", "", Reply::NotModified);
        let put = respond(&Method::Put, &fields("if-none-match: *"), 200, &Fields::new());
        assert_eq!(put, Reply::PreconditionFailed);
    }

    #[test]
    fn if_none_match_outranks_if_modified_since() {
        //= https://www.rfc-editor.org/rfc/rfc9110#section-13.1.3
        //= type=test
        //# A recipient MUST ignore If-Modified-Since if the request contains an If-None-Match header
        //# field
        let stored = format!("etag: \"a\"\nlast-modified: {LATER}");
        let request = format!("if-none-match: \"a\"\nif-modified-since: {EARLIER}");
        check(&request, &stored, Reply::NotModified);
        let request = format!("if-none-match: \"b\"\nif-modified-since: {LATER}");
        check(&request, &stored, Reply::Full);
    }

    #[test]
    fn if_modified_since_is_false_for_a_response_not_modified_later() {
        //= https://www.rfc-editor.org/rfc/rfc9110#section-13.1.3
        //= type=test
        //# If the selected representation's last modification date is earlier or equal to the date
        //# provided in the field value, the condition is false.
        let rows = [
            (EARLIER, LATER, Reply::NotModified),
            (LATER, LATER, Reply::NotModified),
            (LATER, EARLIER, Reply::Full),
            (LATER, "Sunday, 06-Nov-94 08:49:37 GMT", Reply::NotModified),
            (EARLIER, "yesterday", Reply::Full),
            ("yesterday", LATER, Reply::Full),
        ];
        for (modified, since, expected) in rows {
            let stored = format!("last-modified: {modified}\ndate: {LATER}");
            check(&format!("if-modified-since: {since}"), &stored, expected);
        }
    }

    #[test]
    fn a_precondition_that_is_no_single_date_is_ignored() {
        //= https://www.rfc-editor.org/rfc/rfc9110#section-13.1.3
        //= type=test
        //# A recipient MUST ignore the If-Modified-Since header field if the received field value is
        //# not a valid HTTP-date, the field value has more than one member, or if the request method
        //# is neither GET nor HEAD.
        let stored = format!("last-modified: {EARLIER}");
        let twice = format!("if-modified-since: {LATER}\nif-modified-since: {LATER}");
        check(&twice, &stored, Reply::Full);
        let once = fields(&format!("if-modified-since: {LATER}"));
        let put = respond(&Method::Put, &once, 200, &fields(&stored));
        assert_eq!(put, Reply::Full);
    }

    #[test]
    fn without_last_modified_the_date_stands_in() {
        //= https://www.rfc-editor.org/rfc/rfc9111#section-4.3.2
        //= type=test
        //# If a request contains an If-Modified-Since header field and the Last-Modified header field
        //# is not present in a stored response, a cache SHOULD use the stored response's Date field
        //# value (or, if no Date field is present, the time that the stored response was received) to
        //# evaluate the conditional.
        let request = format!("if-modified-since: {EARLIER}");
        check(&request, &format!("date: {EARLIER}"), Reply::NotModified);
        check(&request, &format!("date: {LATER}"), Reply::Full);
        check(&request, "", Reply::Full);
    }

    #[test]
    fn preconditions_are_for_successes_and_those_of_origins_are_left_alone() {
        //= https://www.rfc-editor.org/rfc/rfc9110#section-13.2.1
        //= type=test
        //# A server MUST ignore all received preconditions if its response to the same request
        //# without those conditions, prior to processing the request content, would have been a
        //# status code other than a 2xx (Successful) or 412 (Precondition Failed).
        let (request, stored) = (fields("if-none-match: \"a\""), fields("etag: \"a\""));
        assert_eq!(respond(&Method::Get, &request, 404, &stored), Reply::Full);
        check(
            &format!("if-match: \"b\"\nif-unmodified-since: {EARLIER}"),
            "etag: \"a\"",
            Reply::Full,
        );
    }

    #[test]
    fn a_304_carries_what_a_client_needs_to_update_its_copy() {
        //= https://www.rfc-editor.org/rfc/rfc9110#section-15.4.5
        //= type=test
        //# Content-Location, Date, ETag, and Vary
        let stored = "Date: d\nContent-Type: t\nETag: e\nVary: v\nCache-Control: a\nCache-Control: b\n\
                      Expires: x\nContent-Location: l\nLast-Modified: m\nAge: 3\nContent-Length: 5";
        let mut out = Fields::new();
        not_modified_fields(&fields(stored), &mut out);
        let expected = "Date: d\nETag: e\nVary: v\nCache-Control: a\nCache-Control: b\nExpires: x\n\
                        Content-Location: l\nAge: 3";
        assert_eq!(out, fields(expected));
    }

    #[test]
    fn last_modified_is_sent_when_there_is_no_tag() {
        //= https://www.rfc-editor.org/rfc/rfc9110#section-15.4.5
        //= type=test
        //# Last-Modified might be useful if the response does not have an ETag field
        let mut out = Fields::new();
        not_modified_fields(&fields("Last-Modified: m\nServer: s"), &mut out);
        assert_eq!(out, fields("Last-Modified: m"));
    }
}
